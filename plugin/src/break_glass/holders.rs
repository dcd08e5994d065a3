//! The holders who are at this terminal, with their share files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gatepass_break_glass::{
    identity::{Identities, Person},
    share::{Share, ShareError},
};

use super::{error::BreakGlassError, files::read, person::Terminal};

/// How often a holder may name the wrong file.
const ATTEMPTS: usize = 3;

/// Opens a share file with the keys in `identities`, or asks its holder for the file with the key, or for the passphrase.
pub fn open(path: &Path, identities: &[PathBuf], terminal: &Arc<Terminal>) -> Result<Share, BreakGlassError> {
    let file = read(path)?;
    let failed = |source| BreakGlassError::Share {
        path: path.to_owned(),
        source,
    };
    let mut refused = match Share::decrypt(&file, &keys(identities, terminal)?) {
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
        let answer = match terminal.ask(&question) {
            Ok(answer) if !answer.is_empty() => answer,
            _ => break,
        };
        match keys(&[answer.into()], terminal) {
            Ok(keys) => match Share::decrypt(&file, &keys) {
                Ok(share) => return Ok(share),
                Err(error) => {
                    terminal.say(&format!("  {error}"));
                    refused = error;
                }
            },
            Err(error) => terminal.say(&format!("  {error}")),
        }
    }
    Err(failed(refused))
}

/// The keys in files; the person is asked where one has a passphrase.
pub fn keys(paths: &[PathBuf], terminal: &Arc<Terminal>) -> Result<Identities, BreakGlassError> {
    let mut keys = Identities::new(Arc::clone(terminal) as Arc<dyn Person>);
    for path in paths {
        keys.read(&path.display().to_string(), &read(path)?)?;
    }
    Ok(keys)
}
