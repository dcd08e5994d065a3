//! The holders who are at this terminal, with their share files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gatepass_break_glass::{
    identity::{Identities, Person, is_age, may_open},
    share::{Share, ShareError},
};

use super::{error::BreakGlassError, files::read, person::Terminal};

/// How often a holder may name the wrong file, or none.
const ATTEMPTS: usize = 10;

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
    let failed = |source| BreakGlassError::Share {
        path: path.to_owned(),
        source,
    };
    let mut refused = match decrypt(file, identities, terminal)? {
        Ok(share) => return Ok(share),
        Err(error) => error,
    };
    for _ in 0..ATTEMPTS {
        if !matches!(refused, ShareError::NoIdentity | ShareError::WrongIdentity) {
            break;
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
        match decrypt(file, &[answer], terminal) {
            Ok(Ok(share)) => return Ok(share),
            Ok(Err(error)) => {
                terminal.say(&format!("  {error}"));
                refused = error;
            }
            Err(error) => terminal.say(&format!("  {error}")),
        }
    }
    Err(failed(refused))
}

/// Opens a share file with the first key that does. Several people's may be named: nobody is asked for the passphrase of a key
/// that is not for this file, or before the keys without one were tried.
fn decrypt(
    file: &[u8],
    identities: &[PathBuf],
    terminal: &Arc<Terminal>,
) -> Result<Result<Share, ShareError>, BreakGlassError> {
    let none = || Identities::new(Arc::clone(terminal) as Arc<dyn Person>);
    let mut files = Vec::new();
    for path in identities {
        files.push((path, read(path)?));
    }
    files.retain(|(_, key)| may_open(key, file));
    files.sort_by_key(|(_, key)| is_age(key));
    if files.is_empty() {
        return Ok(match Share::decrypt(file, &none()) {
            Err(ShareError::NoIdentity) if !identities.is_empty() => Err(ShareError::WrongIdentity),
            opened => opened,
        });
    }
    let mut refused = ShareError::NoIdentity;
    for (path, key) in files {
        let mut keys = none();
        keys.read(&path.display().to_string(), &key)?;
        match Share::decrypt(file, &keys) {
            Err(error @ ShareError::WrongIdentity) => refused = error,
            opened => return Ok(opened),
        }
    }
    Ok(Err(refused))
}

/// The keys in files; the person is asked where one has a passphrase.
pub fn keys(paths: &[PathBuf], terminal: &Arc<Terminal>) -> Result<Identities, BreakGlassError> {
    let mut keys = Identities::new(Arc::clone(terminal) as Arc<dyn Person>);
    for path in paths {
        keys.read(&path.display().to_string(), &read(path)?)?;
    }
    Ok(keys)
}
