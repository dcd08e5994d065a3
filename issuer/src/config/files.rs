//! Files that the configuration names.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::BASE64;
use x509_cert::Certificate;
use zeroize::Zeroizing;

use crate::clock::rfc3339;
use crate::marker::{MIN_KEY_BYTES, MarkerKey};

/// Far above any real file here.
const MAX_FILE: u64 = 1024 * 1024;

pub(super) struct Files {
    directory: PathBuf,
    read: RefCell<Context>,
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
            read: RefCell::new(Context::new(&SHA256)),
        }
    }

    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    pub(super) fn read(&self, path: &str) -> Result<Zeroizing<String>, FileError> {
        self.read_whole(&self.resolve(path))
    }

    /// Reads a file and remembers what was in it; one that cannot be read counts as empty.
    pub(super) fn read_whole(&self, path: &Path) -> Result<Zeroizing<String>, FileError> {
        let text = if fs::metadata(path).is_ok_and(|file| file.len() > MAX_FILE) {
            Err(FileError::TooLarge)
        } else {
            fs::read_to_string(path)
                .map(Zeroizing::new)
                .map_err(FileError::Read)
        };
        let content = text.as_ref().map_or("", |text| text.as_str());
        let mut read = self.read.borrow_mut();
        for field in [path.as_os_str().as_encoded_bytes(), content.as_bytes()] {
            // Each with its length: no two lists of files look alike.
            read.update(&field.len().to_be_bytes());
            read.update(field);
        }
        text
    }

    /// The digest of all that was read so far.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.read.borrow().clone().finish().as_ref());
        digest
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

/// The time in which a certificate is valid, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    not_before: i64,
    not_after: i64,
}

impl Validity {
    /// That of the first certificate of a PEM text; what is none at all is reported by whoever uses it.
    pub(super) fn of_leaf(pem: &str) -> Option<Self> {
        let chain = Certificate::load_pem_chain(pem.as_bytes()).ok()?;
        let validity = chain.first()?.tbs_certificate().validity();
        let seconds = |time: x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs());
        Some(Self {
            not_before: seconds(validity.not_before).ok()?,
            not_after: seconds(validity.not_after).ok()?,
        })
    }

    pub(super) fn problem(&self, now: i64) -> Option<String> {
        if now < self.not_before {
            Some(format!(
                "the certificate is not valid before {}",
                rfc3339(self.not_before)
            ))
        } else if now > self.not_after {
            Some(format!("the certificate expired at {}", rfc3339(self.not_after)))
        } else {
            None
        }
    }

    /// The end, where a tenth of the whole time or less is left: whatever renews it has had its chance.
    pub fn near_end(&self, now: i64) -> Option<String> {
        let whole = self.not_after - self.not_before;
        (now >= self.not_after - whole / 10).then(|| rfc3339(self.not_after))
    }
}
