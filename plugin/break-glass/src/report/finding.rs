//! What a report says of the logs themselves.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use crate::name::Escaped;

/// What somebody has to explain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Finding {
    /// A log that breaks.
    Broken {
        /// Which log.
        log: String,
        /// Where, in words.
        why: String,
    },
    /// Entries that are not what others heard.
    Changed {
        /// Which log.
        log: String,
        /// The first entry that can be the one.
        first: u64,
        /// The last one.
        last: u64,
        /// Who heard otherwise.
        by: BTreeSet<String>,
    },
    /// Entries that others heard of and that are not there.
    TailMissing {
        /// Which log.
        log: String,
        /// How many entries it has.
        has: u64,
        /// How many others heard of.
        heard: u64,
        /// Who heard of more.
        by: BTreeSet<String>,
    },
    /// The log before this one was put aside, and is not here.
    PutAside {
        /// Which log.
        log: String,
        /// The SHA-256 of the one before it.
        aside: String,
    },
    /// The log before this one is here and does not break, so that nothing put it aside.
    PutAsideWhole {
        /// Which log.
        log: String,
        /// The one before it.
        whole: String,
    },
    /// Two logs that claim to be of one machine and differ.
    TwoLogs {
        /// One.
        log: String,
        /// The other.
        other: String,
        /// The first entry that differs.
        entry: u64,
    },
    /// A machine whose log is not here, and of which two heard different things.
    ToldDifferently {
        /// The machine.
        machine: String,
        /// Who said to be it.
        from: String,
        /// At which entry.
        entry: u64,
        /// Who heard it.
        by: BTreeSet<String>,
    },
    /// A signature share that is not the holder's.
    Unproven {
        /// In which log.
        log: String,
        /// Whose it is said to be.
        holder: String,
        /// Why it is not.
        why: String,
    },
    /// Something that a quorum granted, says a log, and that its signature shares do not give.
    NotGranted {
        /// Which log.
        log: String,
        /// The entry that says so.
        entry: u64,
        /// What.
        what: String,
        /// Why it is not believed.
        why: String,
    },
}

/// What is good to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Note {
    /// A write that did not end.
    Torn {
        /// In which log.
        log: String,
        /// After which entry.
        after: u64,
    },
    /// A clock that went back.
    ClockWentBack {
        /// In which log.
        log: String,
        /// At which entry.
        entry: u64,
    },
    /// Heads of a log that is not here.
    NotAtHand {
        /// The machine.
        machine: String,
        /// Who said to be it.
        from: String,
        /// How many entries were heard of.
        heard: u64,
        /// By whom.
        by: BTreeSet<String>,
    },
    /// Nothing that others heard reaches to the end of a log.
    EndUnseen {
        /// Which log.
        log: String,
        /// The last entry that others heard of, or 0.
        seen: u64,
        /// How many there are.
        has: u64,
    },
    /// A log that is the beginning of another.
    OlderCopy {
        /// Which log.
        log: String,
        /// The longer one.
        of: String,
    },
    /// The log before could not be gone on with.
    Restarted {
        /// Which log.
        log: String,
        /// The SHA-256 of the log that was put aside.
        aside: String,
    },
    /// Something that a quorum granted, says a log, which could not be found out.
    GrantUnknown {
        /// Which log.
        log: String,
        /// The entry that says so.
        entry: u64,
        /// What.
        what: String,
        /// Why it could not.
        why: String,
    },
}

impl Note {
    /// Whether it says that something could not be looked at.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::NotAtHand { .. } | Self::GrantUnknown { .. })
    }
}

/// Names, as people read them.
fn list(names: &BTreeSet<String>) -> Escaped {
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    Escaped::new(&names.join(" and "))
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { log, why } => write!(f, "{}: {why}", Escaped::new(log)),
            Self::Changed { log, first, last, by } => {
                match first == last {
                    true => write!(f, "entry {last}")?,
                    false => write!(f, "one of the entries {first} to {last}")?,
                }
                write!(
                    f,
                    " of {} was changed after {} heard of it",
                    Escaped::new(log),
                    list(by)
                )
            }
            Self::TailMissing { log, has, heard, by } => write!(
                f,
                "the tail of {} is missing: {} heard of {heard} entries, it has {has} (or this is an old copy of it)",
                Escaped::new(log),
                list(by),
            ),
            Self::PutAside { log, aside } => write!(
                f,
                "{} was begun because the log before it was broken, and that one is not here; it was kept beside it, with \
                 \"broken\" in its name: give it to `report`, too (its SHA-256: {})",
                Escaped::new(log),
                Escaped::new(aside)
            ),
            Self::PutAsideWhole { log, whole } => write!(
                f,
                "{} says that it was begun because {} was broken, which holds",
                Escaped::new(log),
                Escaped::new(whole)
            ),
            Self::TwoLogs { log, other, entry } => write!(
                f,
                "{} and {} claim to be of one machine, and differ from entry {entry} on",
                Escaped::new(log),
                Escaped::new(other),
            ),
            Self::ToldDifferently {
                machine,
                from,
                entry,
                by,
            } => write!(
                f,
                "{} heard different things of entry {entry} of the machine {} (which said to be {})",
                list(by),
                Escaped::new(machine),
                Escaped::new(from),
            ),
            Self::Unproven { log, holder, why } => write!(
                f,
                "the signature share in {} that is said to be {}'s is not: {}",
                Escaped::new(log),
                Escaped::new(holder),
                Escaped::new(why),
            ),
            Self::NotGranted {
                log,
                entry,
                what,
                why,
            } => write!(
                f,
                "entry {entry} of {} says that a quorum granted {}, and the signature shares there do not: {}",
                Escaped::new(log),
                Escaped::new(what),
                Escaped::new(why),
            ),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn { log, after } => write!(
                f,
                "after entry {after} of {} stands half a line: a write ended in its middle there",
                Escaped::new(log)
            ),
            Self::ClockWentBack { log, entry } => {
                write!(
                    f,
                    "the clock of {} went back before entry {entry}",
                    Escaped::new(log)
                )
            }
            Self::NotAtHand {
                machine,
                from,
                heard,
                by,
            } => write!(
                f,
                "the log of the machine {}, which said to be {}: {} heard of {heard} entries of it",
                Escaped::new(machine),
                Escaped::new(from),
                list(by),
            ),
            Self::EndUnseen { log, seen: 0, .. } => write!(
                f,
                "nobody else's log or text is here that tells of {}: an edited last entry, or missing ones, would not show",
                Escaped::new(log)
            ),
            Self::EndUnseen { log, seen, has } => write!(
                f,
                "what others heard of {} ends at entry {seen} of {has}: later entries that were edited or cut would not show",
                Escaped::new(log)
            ),
            Self::OlderCopy { log, of } => write!(
                f,
                "{} is the beginning of {}",
                Escaped::new(log),
                Escaped::new(of)
            ),
            Self::Restarted { log, aside } => write!(
                f,
                "{} was begun because the log before it was broken; that one has the SHA-256 {}",
                Escaped::new(log),
                Escaped::new(aside)
            ),
            Self::GrantUnknown {
                log,
                entry,
                what,
                why,
            } => write!(
                f,
                "what would prove that a quorum granted {}, as entry {entry} of {} says: {}",
                Escaped::new(what),
                Escaped::new(log),
                Escaped::new(why),
            ),
        }
    }
}
