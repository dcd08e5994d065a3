//! Files that the configuration names.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use x509_cert::Certificate;
use zeroize::Zeroizing;

use crate::marker::{MIN_KEY_BYTES, MarkerKey};

/// Far above any real file here.
const MAX_FILE: u64 = 1024 * 1024;

pub(super) struct Files {
    directory: PathBuf,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("cannot read it: {0}")]
    Read(#[from] std::io::Error),
    #[error("it is longer than 1 MiB")]
    TooLarge,
    #[error("everybody on this machine may read or write it: `chmod o=` it")]
    Exposed,
    #[error(
        "it is not one line of base64 with at least {MIN_KEY_BYTES} bytes: `openssl rand -base64 32` makes one"
    )]
    MarkerKey,
}

impl Files {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    pub(super) fn read(&self, path: &str) -> Result<Zeroizing<String>, FileError> {
        let path = self.resolve(path);
        if fs::metadata(&path)?.len() > MAX_FILE {
            return Err(FileError::TooLarge);
        }
        Ok(Zeroizing::new(fs::read_to_string(path)?))
    }

    /// Group access is left to the operator: Kubernetes mounts secrets so.
    pub(super) fn read_secret(&self, path: &str) -> Result<Zeroizing<String>, FileError> {
        if fs::metadata(self.resolve(path))?.permissions().mode() & 0o007 != 0 {
            return Err(FileError::Exposed);
        }
        self.read(path)
    }

    pub(super) fn marker_key(&self, path: &str) -> Result<MarkerKey, FileError> {
        let text = self.read_secret(path)?;
        let bytes = BASE64.decode(text.trim_end().as_bytes()).map(Zeroizing::new);
        bytes
            .ok()
            .and_then(|bytes| MarkerKey::new(&bytes))
            .ok_or(FileError::MarkerKey)
    }
}

/// Whether the first certificate of a PEM text is valid now.
pub(super) fn check_validity(pem: &str, now: i64) -> Result<(), String> {
    let chain = Certificate::load_pem_chain(pem.as_bytes()).unwrap_or_default();
    // What is not a certificate at all is reported by whoever uses it.
    let Some(leaf) = chain.first() else { return Ok(()) };
    let validity = leaf.tbs_certificate().validity();
    let now = u64::try_from(now).unwrap_or(0);
    if now < validity.not_before.to_unix_duration().as_secs() {
        return Err(format!(
            "the certificate is not valid before {}",
            validity.not_before
        ));
    }
    if now > validity.not_after.to_unix_duration().as_secs() {
        return Err(format!("the certificate expired at {}", validity.not_after));
    }
    Ok(())
}
