//! Whose login was the latest, where the keyring did not take it: what the keyring still holds may be another account's.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{keys::sha256_base64url, paths::Paths, session::Session, store::Entry};

/// The note about one session's latest login. It holds no secret.
pub(super) struct Latest {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    /// Unix seconds by the issuer's clock.
    login_time: u64,
    /// A digest of the account's `sub`.
    account: String,
}

impl Latest {
    pub(super) fn new(paths: &Paths, session: &Entry<'_>) -> Self {
        let name = sha256_base64url(session.key(paths.state_dir()).as_bytes());
        Self {
            path: paths.lock_dir().join(format!("{name}.latest")),
        }
    }

    /// The keyring did not take this login, nor let go of the one before.
    pub(super) fn was(&self, session: &Session) {
        let login = Login {
            login_time: session.salt().login_time(),
            account: account(session),
        };
        let written = serde_json::to_vec(&login).map(|bytes| fs::write(&self.path, bytes));
        if !matches!(written, Ok(Ok(()))) {
            tracing::warn!("cannot note whose login was the latest");
        }
    }

    /// The keyring holds the latest login again.
    pub(super) fn is_kept(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Whether somebody else has logged in since `kept` began.
    pub(super) fn is_another_accounts(&self, kept: &Session) -> bool {
        let login = fs::read(&self.path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        login.is_some_and(|login: Login| {
            kept.salt().login_time() <= login.login_time && account(kept) != login.account
        })
    }
}

fn account(session: &Session) -> String {
    sha256_base64url(session.subject.as_bytes())
}
