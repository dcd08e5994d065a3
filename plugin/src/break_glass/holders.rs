//! The holders who are at this terminal, with their share files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gatepass_break_glass::{
    identity::{Identities, IdentityError, Person, is_age, may_open, needs_plugin},
    share::{Share, ShareError, has_passphrase},
};

use super::{
    error::BreakGlassError,
    files::{is_there, read},
    person::Terminal,
};
use crate::cli::break_glass::Shares;

/// How often a holder may name the wrong file, or none.
const ATTEMPTS: usize = 10;

/// That all files can be read which somebody has named, and the share files are such: better known before holders have done
/// their part.
pub fn readable(shares: &Shares) -> Result<(), BreakGlassError> {
    for path in &shares.identities {
        is_there(path)?;
    }
    shares.files.iter().try_for_each(|path| share_file(path))
}

/// That a share file lies at a path, as far as shows before anybody opens it.
pub fn share_file(path: &Path) -> Result<(), BreakGlassError> {
    match is_age(&read(path)?) {
        true => Ok(()),
        false => Err(BreakGlassError::Share {
            path: path.to_owned(),
            source: ShareError::NotEncrypted,
        }),
    }
}

/// Opens a share file with the keys in `identities`, or asks its holder for the file with the key, or for the passphrase.
pub fn open(path: &Path, identities: &[PathBuf], terminal: &Arc<Terminal>) -> Result<Share, BreakGlassError> {
    open_text(path, &read(path)?, identities, terminal)
}

/// The same of what lies at `path`, or is to lie there.
pub fn open_text(
    path: &Path,
    file: &[u8],
    identities: &[PathBuf],
    terminal: &Arc<Terminal>,
) -> Result<Share, BreakGlassError> {
    let mut refused = match decrypt(path, file, identities, terminal) {
        Ok(share) => return Ok(share),
        Err(error) => error,
    };
    for attempt in 0..ATTEMPTS {
        if !is_about_the_key(&refused) {
            break;
        }
        // What a plugin lacks its holder can bring: it must not end a ceremony for everybody, either.
        if attempt == 0 && is_about_a_plugin(&refused) {
            terminal.say(&format!("  {refused}"));
        }
        let question = format!(
            "file with the key that opens {} (an age identity or an OpenSSH key):",
            path.display()
        );
        let Ok(answer) = terminal.path(&question) else {
            break;
        };
        // One slip must not end a ceremony for everybody.
        let Some(answer) = answer else {
            terminal.say(
                "  type the path of your key, such as ~/.ssh/id_ed25519; Ctrl-C ends this for everybody",
            );
            continue;
        };
        match decrypt(path, file, &[answer], terminal) {
            Ok(share) => return Ok(share),
            Err(error @ BreakGlassError::Share { .. }) => {
                if let BreakGlassError::Share { source, .. } = &error {
                    terminal.say(&format!("  {source}"));
                }
                refused = error;
            }
            Err(error) => terminal.say(&format!("  {error}")),
        }
    }
    Err(refused)
}

/// Whether another key, or the same one with what was missing, may open the file.
fn is_about_the_key(error: &BreakGlassError) -> bool {
    let another = matches!(
        error,
        BreakGlassError::Share {
            source: ShareError::NoIdentity | ShareError::WrongIdentity,
            ..
        }
    );
    another || is_about_a_plugin(error)
}

fn is_about_a_plugin(error: &BreakGlassError) -> bool {
    matches!(
        error,
        BreakGlassError::Share {
            source: ShareError::Plugin(_),
            ..
        } | BreakGlassError::Identity(IdentityError::NoPlugin { .. })
    )
}

/// Opens a share file with the first key that does. Several people's may be named: nobody is asked for a touch or the passphrase
/// of a key that is not for this file before the keys were tried that ask for nothing, and one person's plugin that fails keeps
/// nobody else's share closed.
fn decrypt(
    path: &Path,
    file: &[u8],
    identities: &[PathBuf],
    terminal: &Arc<Terminal>,
) -> Result<Share, BreakGlassError> {
    let failed = |source| BreakGlassError::Share {
        path: path.to_owned(),
        source,
    };
    let none = || Identities::new(Arc::clone(terminal) as Arc<dyn Person>);
    let mut keys = Vec::new();
    for path in identities {
        keys.push((path, read(path)?));
    }
    keys.retain(|(_, key)| may_open(key, file));
    keys.sort_by_key(|(_, key)| (is_age(key), needs_plugin(key)));
    if keys.is_empty() || has_passphrase(file) {
        return Share::decrypt(file, &none()).map_err(|error| match error {
            ShareError::NoIdentity if !identities.is_empty() => failed(ShareError::WrongIdentity),
            error => failed(error),
        });
    }
    let mut refused = failed(ShareError::WrongIdentity);
    for (path, key) in keys {
        let mut keys = none();
        let read = keys.read(&path.display().to_string(), &key);
        let opened = read
            .map_err(BreakGlassError::from)
            .and_then(|()| Share::decrypt(file, &keys).map_err(failed));
        match opened {
            Ok(share) => return Ok(share),
            // What a plugin lacks says more than that the other keys are not for this file.
            Err(error) if is_about_a_plugin(&error) => refused = error,
            Err(error) if is_about_the_key(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(refused)
}

/// The keys in files; the person is asked where one has a passphrase.
pub fn keys(paths: &[PathBuf], terminal: &Arc<Terminal>) -> Result<Identities, BreakGlassError> {
    let mut keys = Identities::new(Arc::clone(terminal) as Arc<dyn Person>);
    for path in paths {
        keys.read(&path.display().to_string(), &read(path)?)?;
    }
    Ok(keys)
}
