//! What can go wrong with a window.

use std::{io, path::PathBuf};

use crate::{escape, paths::PathsError, store::StoreError};

/// Why a window is not kept, or not served.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// Not PEM with an X.509 certificate first.
    #[error("what the quorum signed is no certificate")]
    NoCertificate,
    /// A key of another certificate.
    #[error("the key is not that of the certificate")]
    OtherKey,
    /// A kit that names neither an issuer nor a CA.
    #[error(
        "the kit names neither an issuer nor a CA of the API server, so no kubeconfig entry would use the certificate"
    )]
    ForNoCluster,
    /// The keyring did not take the key, and nobody wanted it in a file.
    #[error("the certificate's key could not be kept: {0}")]
    KeyNotKept(#[source] StoreError),
    /// The keyring does not give the key.
    #[error("the key of the open break-glass certificate cannot be read: {0}")]
    KeyNotRead(#[source] StoreError),
    /// The key is gone.
    #[error("the key of the open break-glass certificate is gone from {0}")]
    KeyGone(String),
    /// The window is closed, and its key is still there.
    #[error("the window is closed, but its key could not be deleted: {source}")]
    KeyNotDeleted {
        /// Whose key.
        credential_id: String,
        /// Why.
        source: KeyStays,
    },
    /// The directory.
    #[error(transparent)]
    Directory(#[from] PathsError),
    /// A file.
    #[error("cannot use {path}: {source}", path = escape::path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl WindowError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::KeyNotKept(error) | Self::KeyNotRead(error) => error.hint(),
            Self::KeyGone(_) => "open the window again: kubectl gatepass break-glass open".into(),
            Self::KeyNotDeleted {
                credential_id,
                source,
            } => {
                let first = match source {
                    KeyStays::Store(_) => "nothing needs to be done".to_owned(),
                    KeyStays::File { path, .. } => format!("delete {} yourself", escape::path(path)),
                };
                format!(
                    "{first}: the key is of no use after the certificate's end; if it may have been copied, revoke the certificate: \
                     kubectl gatepass revoke --credential-id {credential_id}"
                )
            }
            Self::Directory(_) | Self::File { .. } => {
                "see that the file system is there, has room and can be written".into()
            }
            Self::NoCertificate | Self::OtherKey | Self::ForNoCluster => return None,
        })
    }
}

/// Why a key was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum KeyStays {
    /// The keyring did not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file stays.
    #[error("{path} stays: {source}", path = escape::path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
