//! The kit: the public part of a quorum.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The SHA-256 of a kit's payload; in texts 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KitHash(pub(crate) [u8; 32]);

/// A text is not the hash of a kit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hash of a kit is 64 hexadecimal digits in lower case")]
pub struct KitHashError;

impl TryFrom<String> for KitHash {
    type Error = KitHashError;

    fn try_from(text: String) -> Result<Self, KitHashError> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes());
        let hash = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        hash.map(Self).ok_or(KitHashError)
    }
}

impl From<KitHash> for String {
    fn from(hash: KitHash) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for KitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
