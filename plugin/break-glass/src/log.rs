//! The log of a machine that took part in a ceremony: each entry holds the hash of the one before.
//!
//! An entry is a line of JSON that ends with a line feed; its hash is the SHA-256 of the line without it. So whoever edits
//! an entry has to write all later ones again, and then the heads that other machines heard ([`Event::Heard`]) differ.
//!
//! A machine that stops in the middle of a write leaves half a line at the end. It stays: the next entry follows on the
//! same line, behind a record separator (which JSON never has, RFC 7464), and holds the hash of what stands before it
//! there. A line that is neither is a break.

mod event;

use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;
use time::{OffsetDateTime, UtcOffset};

use crate::words::sha256;

pub use event::{Asked, Event, Fixed, Purpose};

/// The head of a machine's log: ceremony texts carry it, so that others can tell when its tail was cut or an entry changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// A random name of the log.
    #[serde(deserialize_with = "short")]
    pub machine: String,
    /// How many entries it had.
    pub entries: u64,
    /// The SHA-256 of the last one's line, in hexadecimal.
    #[serde(deserialize_with = "short")]
    pub hash: String,
}

/// Heads come from others and go into the log: long ones would fill it up.
fn short<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.len() <= 64 {
        true => Ok(text),
        false => Err(D::Error::custom(
            "a log's name and hash have at most 64 characters",
        )),
    }
}

/// A log whose entries follow one another.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Log {
    machine: Option<String>,
    entries: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    torn: Vec<Torn>,
    #[serde(skip)]
    tail: Tail,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// When, by this machine's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// The SHA-256 of its line, in hexadecimal.
    pub hash: String,
    /// What happened.
    pub event: Recorded,
}

/// What stands in an entry.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Recorded {
    /// What this program knows.
    Known(Event),
    /// What another version wrote. The chain is over bytes, so that it holds all the same.
    Other(Value),
}

/// What a write that did not end left in a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Torn {
    /// The entry before it; 0 if there is none.
    pub after: u64,
    /// How many bytes.
    pub bytes: usize,
}

/// How a log's last line ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Tail {
    /// With a line feed; or there is none.
    #[default]
    Ended,
    /// It is a whole entry that lacks the line feed.
    NotEnded,
    /// In the middle; the hash is what the next entry holds.
    Torn(String),
}

/// Where a log breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Longer than any.
    #[error("the log is longer than {} MiB, which no machine's is", LONGEST / 1024 / 1024)]
    TooLong,
    /// A line that is no entry.
    #[error("after entry {after} stands a line that is no entry: it was changed or damaged")]
    Unreadable {
        /// The last entry before it.
        after: u64,
    },
    /// Numbers that do not follow.
    #[error("after entry {after} comes entry {found}: entries were removed, added or moved")]
    Number {
        /// The last entry before it.
        after: u64,
        /// The number that stands there.
        found: u64,
    },
    /// An entry that does not hold the hash of the one before.
    #[error("entry {entry} does not hold the hash of the one before it: one of the two was changed")]
    Previous {
        /// Which.
        entry: u64,
    },
    /// An entry of another log.
    #[error("entry {entry} comes from the log of another machine")]
    Machine {
        /// Which.
        entry: u64,
    },
    /// A torn line that is gone or changed.
    #[error("the half line that entry {entry} says to stand before it was changed or removed")]
    Torn {
        /// Which.
        entry: u64,
    },
}

/// A line, with its event as it is written or read.
#[derive(Serialize, Deserialize)]
struct Line<E> {
    seq: u64,
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
    machine: String,
    previous: Option<String>,
    /// The hash of the half line before this entry, with the separator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    torn: Option<String>,
    event: E,
}

/// Between half a line and the entry after it.
const SEPARATOR: u8 = 0x1e;

/// Above what a machine gathers in a lifetime.
const LONGEST: usize = 16 * 1024 * 1024;

impl Log {
    /// Reads and verifies a log; no bytes at all are a log without entries.
    ///
    /// An entry that was edited is noticed at the next one. That the last one was edited, or that entries are missing at
    /// the end, shows only against what other machines heard: see [`crate::report`].
    pub fn parse(bytes: &[u8]) -> Result<Self, LogError> {
        match Self::parse_before_break(bytes) {
            (log, None) => Ok(log),
            (_, Some(error)) => Err(error),
        }
    }

    /// Reads a log up to where it breaks, and says where.
    pub fn parse_before_break(bytes: &[u8]) -> (Self, Option<LogError>) {
        let mut log = Self::default();
        if bytes.len() > LONGEST {
            return (log, Some(LogError::TooLong));
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let content = line.strip_suffix(b"\n");
            let (torn, entry) = whole(content.unwrap_or(line));
            match (serde_json::from_slice::<Line<Value>>(entry), content) {
                (Ok(parsed), _) => {
                    if let Err(error) = log.push(parsed, entry, torn) {
                        return (log, Some(error));
                    }
                    log.tail = match content {
                        Some(_) => Tail::Ended,
                        None => Tail::NotEnded,
                    };
                }
                (Err(_), Some(_)) => {
                    let after = log.count();
                    return (log, Some(LogError::Unreadable { after }));
                }
                (Err(_), None) => {
                    log.torn.push(log.torn_here(line));
                    log.tail = Tail::Torn(hash(&[line, &[SEPARATOR]]));
                }
            }
        }
        (log, None)
    }

    /// Makes the next entry: these bytes are to be written at the end of what was parsed, while nobody else may write, and
    /// to be on the disk before anything rests on them. `rng` names the machine at the first entry.
    pub fn append(
        &mut self,
        event: Event,
        now: OffsetDateTime,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> String {
        let machine = self.machine.get_or_insert_with(|| {
            let mut name = [0; 16];
            rng.fill_bytes(&mut name);
            data_encoding::HEXLOWER.encode(&name)
        });
        let (begin, torn) = match std::mem::take(&mut self.tail) {
            Tail::Ended => ("", None),
            Tail::NotEnded => ("\n", None),
            Tail::Torn(hash) => ("\u{1e}", Some(hash)),
        };
        // RFC 3339 has years of four digits.
        let time = now
            .max(OffsetDateTime::UNIX_EPOCH)
            .checked_to_offset(UtcOffset::UTC)
            .unwrap_or(now);
        let line = Line {
            seq: self.entries.len() as u64 + 1,
            time: time.replace_nanosecond(0).unwrap_or(time),
            machine: machine.clone(),
            previous: self.entries.last().map(|entry| entry.hash.clone()),
            torn,
            event: &event,
        };
        let json = serde_json::to_string(&line).expect("an entry is plain JSON");
        self.entries.push(Entry {
            seq: line.seq,
            time: line.time,
            hash: hash(&[json.as_bytes()]),
            event: Recorded::Known(event),
        });
        format!("{begin}{json}\n")
    }

    /// What to put into texts; `None` before the first entry.
    pub fn head(&self) -> Option<Head> {
        Some(Head {
            machine: self.machine.clone()?,
            entries: self.count(),
            hash: self.entries.last()?.hash.clone(),
        })
    }

    /// The random name of this log; `None` before the first entry.
    pub fn machine(&self) -> Option<&str> {
        self.machine.as_deref()
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What writes that did not end left in it.
    pub fn torn(&self) -> &[Torn] {
        &self.torn
    }

    /// The first entry of a new log, where the old one breaks: the old file is kept under another name, whole.
    pub fn set_aside(bytes: &[u8], error: &LogError) -> Event {
        Event::SetAside {
            log: hash(&[bytes]),
            why: error.to_string(),
        }
    }

    /// The SHA-256 of the log that this one was begun in place of, as its first entry says.
    pub(crate) fn put_aside(&self) -> Option<&str> {
        match &self.entries.first()?.event {
            Recorded::Known(Event::SetAside { log, .. }) => Some(log),
            _ => None,
        }
    }

    fn count(&self) -> u64 {
        self.entries.len() as u64
    }

    fn torn_here(&self, half: &[u8]) -> Torn {
        Torn {
            after: self.count(),
            bytes: half.len(),
        }
    }

    /// Takes an entry, if it follows; `half` is the half line before it.
    fn push(&mut self, line: Line<Value>, bytes: &[u8], half: &[u8]) -> Result<(), LogError> {
        let (after, entry) = (self.count(), line.seq);
        let expected = (!half.is_empty()).then(|| hash(&[half]));
        if line.torn != expected {
            return Err(LogError::Torn { entry });
        }
        if entry != after + 1 {
            return Err(LogError::Number { after, found: entry });
        }
        if line.previous.as_ref() != self.entries.last().map(|entry| &entry.hash) {
            return Err(LogError::Previous { entry });
        }
        if self.machine.get_or_insert_with(|| line.machine.clone()) != &line.machine {
            return Err(LogError::Machine { entry });
        }
        if let Some((_, half)) = half.split_last() {
            self.torn.push(self.torn_here(half));
        }
        self.entries.push(Entry {
            seq: entry,
            time: line.time,
            hash: hash(&[bytes]),
            event: match Event::deserialize(&line.event) {
                Ok(event) => Recorded::Known(event),
                Err(_) => Recorded::Other(line.event),
            },
        });
        Ok(())
    }
}

/// What stands before an entry in its line, with the separator, and the entry.
fn whole(line: &[u8]) -> (&[u8], &[u8]) {
    let separator = line.iter().rposition(|byte| *byte == SEPARATOR);
    line.split_at(separator.map_or(0, |at| at + 1))
}

fn hash(parts: &[&[u8]]) -> String {
    data_encoding::HEXLOWER.encode(&sha256(parts))
}

#[cfg(test)]
pub(crate) mod tests;
