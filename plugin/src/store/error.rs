//! What can go wrong with a keyring, each with the way out.

use std::{io, path::PathBuf, time::Duration};

/// Why a store did not answer as asked. That nothing is stored is no error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The keyring is there and locked.
    #[error("the keyring is locked")]
    Locked,
    /// There is no session bus to look for a keyring on.
    #[error("there is no D-Bus session bus, so no keyring can be reached")]
    NoBus,
    /// The session bus is there, and no keyring on it.
    #[error("no keyring (Secret Service) runs on this D-Bus session bus")]
    NoService,
    /// The keyring is there, and has never been set up.
    #[error("the keyring has no default collection to store into")]
    NoCollection,
    /// The keyring does not answer.
    #[error("the keyring did not answer within {} s", .after.as_secs_f32())]
    Hung {
        /// How long we waited.
        after: Duration,
    },
    /// The operating system does not let us.
    #[error("{store} refused access")]
    Denied {
        /// Who refused.
        store: &'static str,
    },
    /// There is no room.
    #[error("{store} is full: this user's quota is used up")]
    Full {
        /// What is full.
        store: &'static str,
    },
    /// The secret is too long for the store.
    #[error("{bytes} bytes are too long for {store}")]
    TooLong {
        /// What it does not fit into.
        store: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// The machine does not have this store.
    #[error("this machine has no {store}")]
    Unsupported {
        /// What it does not have.
        store: &'static str,
    },
    /// A file or directory that others could have written or could read.
    #[error("{path} is not safe to keep a secret in: {fault}", path = path.display())]
    Untrusted {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A file or directory that cannot be read or written.
    #[error("cannot use {path}: {kind}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// What is stored was not written by us, or not completely.
    #[error("what {store} holds is not readable")]
    Corrupt {
        /// Who holds it.
        store: &'static str,
    },
    /// Anything else.
    #[error("{store} failed: {reason}")]
    Failed {
        /// What failed.
        store: &'static str,
        /// What it said; never a secret.
        reason: String,
    },
}

impl StoreError {
    /// What to do next.
    pub fn hint(&self) -> String {
        const ELSEWHERE: &str = "keep sessions elsewhere, with `store: kernel` (until the machine restarts) or \
             `store: file` (unencrypted files only you can read) in the configuration file";
        let first = match self {
            Self::Locked => {
                "unlock it (logging in to the desktop does; so does any program that asks for it)"
            }
            Self::NoBus => "run this inside a login session",
            Self::NoService => "start a keyring such as gnome-keyring, KWallet or KeePassXC",
            Self::NoCollection => {
                "make a default keyring, for instance with the program Passwords and Keys (seahorse)"
            }
            Self::Hung { .. } => "restart the keyring (gnome-keyring-daemon, KWallet or KeePassXC)",
            Self::Denied { .. } | Self::Unsupported { .. } => {
                return "containers often forbid it; use another `store:` in the configuration file".into();
            }
            Self::Full { .. } => {
                return "log out of what is not needed (kubectl-gatepass logout), or use another `store:` in the \
                        configuration file"
                    .into();
            }
            Self::Untrusted { path, .. } => {
                return format!(
                    "look at who wrote it, then delete {} and try again",
                    path.display()
                );
            }
            Self::Io { .. } => {
                return "see that its file system is there, has room and can be written".into();
            }
            Self::Corrupt { .. } => return "log in again: kubectl-gatepass login".into(),
            Self::TooLong { .. } | Self::Failed { .. } => return format!("try again, or {ELSEWHERE}"),
        };
        format!("{first}, or {ELSEWHERE}")
    }

    /// Whether another place may hold or take what this one does not.
    pub(super) fn falls_through(&self) -> bool {
        matches!(
            self,
            Self::Denied { .. } | Self::Full { .. } | Self::Unsupported { .. } | Self::TooLong { .. }
        )
    }

    /// Reads what a store of keyring-core said. Ours wrap a `StoreError`; the platforms' own are named by kind.
    pub(super) fn from_keyring(error: keyring_core::Error, store: &'static str) -> Self {
        use keyring_core::Error;
        match error {
            Error::NoStorageAccess(inner) | Error::PlatformFailure(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::Failed {
                    store,
                    reason: other.to_string(),
                },
            },
            // These variants carry the secret: their words must not be shown.
            Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::BadStoreFormat(_) => {
                Self::Corrupt { store }
            }
            other => Self::Failed {
                store,
                reason: other.to_string(),
            },
        }
    }
}

impl From<StoreError> for keyring_core::Error {
    fn from(error: StoreError) -> Self {
        Self::NoStorageAccess(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_way_through_keyring_core() {
        for error in [
            StoreError::Locked,
            StoreError::Hung {
                after: Duration::from_millis(1500),
            },
            StoreError::Full {
                store: "kernel keyring",
            },
        ] {
            assert_eq!(StoreError::from_keyring(error.clone().into(), "any"), error);
        }
    }

    #[test]
    fn foreign_errors_never_show_the_secret() {
        let error = keyring_core::Error::BadDataFormat(b"s3cret".to_vec(), "s3cret".into());
        let error = StoreError::from_keyring(error, "keychain");
        assert_eq!(error, StoreError::Corrupt { store: "keychain" });
        assert_eq!(error.to_string(), "what keychain holds is not readable");
    }

    #[test]
    fn every_error_says_what_to_do() {
        assert_eq!(
            StoreError::Hung {
                after: Duration::from_millis(1500)
            }
            .to_string(),
            "the keyring did not answer within 1.5 s"
        );
        for error in [
            StoreError::Locked,
            StoreError::NoBus,
            StoreError::NoService,
            StoreError::NoCollection,
        ] {
            assert!(error.hint().contains("store: kernel"), "{}", error.hint());
        }
    }
}
