//! The log of a machine that took part in a ceremony: each entry holds the hash of the one before.

use serde::{Deserialize, Serialize};

/// The head of a machine's log: ceremony texts carry it, so that others can tell when its tail was cut or an entry changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// A random name of the log.
    pub machine: String,
    /// How many entries it had.
    pub entries: u64,
    /// The SHA-256 of the last one's line, in hexadecimal.
    pub hash: String,
}
