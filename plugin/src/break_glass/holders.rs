//! The holders who are at this terminal, with their share files.

use std::{path::{Path, PathBuf}, sync::Arc};

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
    let person = || Arc::clone(terminal) as Arc<dyn Person>;
    let failed = |source| BreakGlassError::Share {
        path: path.to_owned(),
        source,
    };
    let mut keys = Identities::new(person());
    for identity in identities {
        add(&mut keys, identity)?;
    }
    let mut refused = match Share::decrypt(&file, &keys) {
        Ok(share) => return Ok(share),
        Err(error) => error,
    };
    for _ in 0..ATTEMPTS {
        if !matches!(refused, ShareError::NoIdentity | ShareError::WrongIdentity) {
            break;
        }
        let question = format!("file with the key that opens {} (an age identity or an OpenSSH key):", path.display());
        let answer = match terminal.ask(&question) {
            Ok(answer) if !answer.is_empty() => answer,
            _ => break,
        };
        let mut keys = Identities::new(person());
        match add(&mut keys, Path::new(&answer)) {
            Ok(()) => match Share::decrypt(&file, &keys) {
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

fn add(keys: &mut Identities, path: &Path) -> Result<(), BreakGlassError> {
    let file = read(path)?;
    Ok(keys.read(&path.display().to_string(), &file)?)
}
