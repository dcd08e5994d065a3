//! What logs tell, and whether it can be believed: each alone, against what other machines heard of it, and against the
//! quorum's public keys.

mod approval;
mod finding;
mod grant;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    log::{Event, Head, Log, Recorded},
    words::sha256,
};

pub use approval::{Approval, Outcome, Proof, ProofError, Round, rounds};
pub use finding::{Finding, Note};

/// A log to look at.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What people are told: the name of its file, or whose it is.
    pub name: &'a str,
    /// The file.
    pub bytes: &'a [u8],
}

/// A log's head as a ceremony's text carried it. Texts are not signed: whoever sent one could put any head into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeardHead {
    /// Where it stands: the name of a log or of a text's file.
    pub by: String,
    /// Who says to have sent it.
    pub from: String,
    /// The head.
    pub head: Head,
}

/// What logs tell.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
    notes: Vec<Note>,
    approvals: Vec<Approval>,
    logs: Vec<Examined>,
}

/// One log: of a broken one, what stands before the break.
#[derive(Clone, Debug, Serialize)]
pub struct Examined {
    /// The name that was given.
    pub name: String,
    /// The SHA-256 of its bytes as they were given, in hexadecimal: an entry about a log that was put aside names it so.
    /// Whoever puts one aside and whoever reports read no more than a byte beyond what a log may have.
    pub sha256: String,
    /// Its entries.
    #[serde(flatten)]
    pub log: Log,
    /// Whether it breaks after them.
    pub broken: bool,
}

impl Report {
    /// Looks at logs, and at heads that stand in texts beside those that the logs heard.
    pub fn new(sources: &[Source<'_>], texts: &[HeardHead]) -> Self {
        let mut report = Self {
            findings: Vec::new(),
            notes: Vec::new(),
            approvals: Vec::new(),
            logs: Vec::new(),
        };
        for source in sources {
            report.examine(source);
        }
        let mut heads: Vec<_> = report.logs.iter().flat_map(heard).collect();
        heads.extend_from_slice(texts);
        report.compare_put_aside();
        report.compare_copies();
        for at in 0..report.logs.len() {
            report.compare(at, &heads);
        }
        report.compare_absent(&heads);
        report
    }

    /// Adds who approved, as [`Round::approvals`] found. A share that is not the holder's is a finding.
    pub fn add_approvals(&mut self, approvals: Vec<Approval>) {
        for approval in &approvals {
            if let Outcome::NotTheirs { why } = &approval.outcome {
                self.findings.push(Finding::Unproven {
                    log: approval.log.clone(),
                    holder: approval.holder.to_string(),
                    why: why.clone(),
                });
            }
        }
        self.approvals.extend(approvals);
    }

    /// What somebody has to explain.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What is good to know.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Who approved.
    pub fn approvals(&self) -> &[Approval] {
        &self.approvals
    }

    /// The logs.
    pub fn logs(&self) -> &[Examined] {
        &self.logs
    }

    fn examine(&mut self, source: &Source<'_>) {
        let (log, error) = Log::parse_before_break(source.bytes);
        let name = source.name.to_owned();
        if let Some(error) = &error {
            self.findings.push(Finding::Broken {
                log: name.clone(),
                why: error.to_string(),
            });
        }
        for torn in log.torn() {
            self.notes.push(Note::Torn {
                log: name.clone(),
                after: torn.after,
            });
        }
        for pair in log.entries().windows(2) {
            if let [before, entry] = pair
                && entry.time < before.time
            {
                self.notes.push(Note::ClockWentBack {
                    log: name.clone(),
                    entry: entry.seq,
                });
            }
        }
        self.logs.push(Examined {
            name,
            sha256: data_encoding::HEXLOWER.encode(&sha256(&[source.bytes])),
            log,
            broken: error.is_some(),
        });
    }

    /// Logs that were put aside. One that is here is looked at itself, and its break is a finding; of one that is not,
    /// whoever owns the machine may have broken it so that nobody looks.
    fn compare_put_aside(&mut self) {
        for Examined { name, log, .. } in &self.logs {
            for entry in log.entries() {
                let Recorded::Known(Event::SetAside { log: aside, .. }) = &entry.event else {
                    continue;
                };
                let (log, aside) = (name.clone(), aside.clone());
                match self.logs.iter().find(|other| other.sha256 == aside) {
                    Some(Examined { broken: true, .. }) => self.notes.push(Note::Restarted { log, aside }),
                    Some(whole) => self.findings.push(Finding::PutAsideWhole {
                        log,
                        whole: whole.name.clone(),
                    }),
                    None => self.findings.push(Finding::PutAside { log, aside }),
                }
            }
        }
    }

    /// Logs that are said to be of the same machine.
    fn compare_copies(&mut self) {
        for (at, one) in self.logs.iter().enumerate() {
            for other in &self.logs[at + 1..] {
                if one.log.machine().is_none() || one.log.machine() != other.log.machine() {
                    continue;
                }
                let mut pairs = one.log.entries().iter().zip(other.log.entries());
                if let Some((entry, _)) = pairs.find(|(one, other)| one.hash != other.hash) {
                    self.findings.push(Finding::TwoLogs {
                        log: one.name.clone(),
                        other: other.name.clone(),
                        entry: entry.seq,
                    });
                    continue;
                }
                let (short, long) = match one.log.entries().len() <= other.log.entries().len() {
                    true => (one, other),
                    false => (other, one),
                };
                self.notes.push(Note::OlderCopy {
                    log: short.name.clone(),
                    of: long.name.clone(),
                });
            }
        }
    }

    /// One log against what was heard of it.
    fn compare(&mut self, at: usize, heads: &[HeardHead]) {
        let Examined {
            name, log, broken, ..
        } = &self.logs[at];
        let has = log.entries().len() as u64;
        let of_it = |heard: &&HeardHead| log.machine() == Some(&heard.head.machine);
        let (mut right, mut wrong, mut missing) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        for heard in heads.iter().filter(of_it) {
            let entries = heard.head.entries;
            let entry = usize::try_from(entries)
                .ok()
                .and_then(|n| log.entries().get(n.checked_sub(1)?));
            match entry {
                Some(entry) if entry.hash == heard.head.hash => drop(right.insert(entries)),
                // A head without entries is none that this program makes.
                None if entries > has => drop(missing.insert(heard.by.clone(), entries)),
                _ => drop(wrong.insert(
                    heard.by.clone(),
                    wrong.get(&heard.by).map_or(entries, |n| entries.min(*n)),
                )),
            }
        }
        let name = name.clone();
        if let Some(last) = wrong.values().min().copied() {
            // What was heard rightly before is as it was.
            let before = right.range(..last).next_back().copied().unwrap_or(0);
            self.findings.push(Finding::Changed {
                log: name.clone(),
                first: before + 1,
                last,
                by: wrong.into_keys().collect(),
            });
        }
        // Where a log breaks, nobody knows what stood behind.
        if *broken {
            return;
        }
        let seen = right.last().copied().unwrap_or(0);
        match missing.values().max().copied() {
            Some(heard) => self.findings.push(Finding::TailMissing {
                log: name,
                has,
                heard,
                by: missing.into_keys().collect(),
            }),
            None if seen < has => self.notes.push(Note::EndUnseen { log: name, seen, has }),
            None => {}
        }
    }

    /// What was heard of logs that are not here.
    fn compare_absent(&mut self, heads: &[HeardHead]) {
        let here: BTreeSet<_> = self.logs.iter().filter_map(|log| log.log.machine()).collect();
        let mut absent: BTreeMap<&str, Vec<&HeardHead>> = BTreeMap::new();
        for heard in heads
            .iter()
            .filter(|heard| !here.contains(heard.head.machine.as_str()))
        {
            absent.entry(&heard.head.machine).or_default().push(heard);
        }
        let (mut findings, mut notes) = (Vec::new(), Vec::new());
        for (machine, heads) in absent {
            let mut by_entry: BTreeMap<u64, Vec<&HeardHead>> = BTreeMap::new();
            for heard in &heads {
                by_entry.entry(heard.head.entries).or_default().push(heard);
            }
            let from = heads
                .iter()
                .map(|heard| heard.from.as_str())
                .collect::<BTreeSet<_>>();
            let from = from.into_iter().collect::<Vec<_>>().join(", ");
            let told = by_entry
                .iter()
                .find(|(_, heads)| heads.iter().any(|heard| heard.head.hash != heads[0].head.hash));
            if let Some((entry, heads)) = told {
                findings.push(Finding::ToldDifferently {
                    machine: machine.into(),
                    from: from.clone(),
                    entry: *entry,
                    by: heads.iter().map(|heard| heard.by.clone()).collect(),
                });
            }
            notes.push(Note::NotAtHand {
                machine: machine.into(),
                from,
                heard: by_entry.into_keys().next_back().unwrap_or(0),
                by: heads.iter().map(|heard| heard.by.clone()).collect(),
            });
        }
        self.findings.extend(findings);
        self.notes.extend(notes);
    }
}

/// The heads that a log heard. What it says of itself is no witness.
fn heard(examined: &Examined) -> impl Iterator<Item = HeardHead> + '_ {
    let own = examined.log.machine();
    examined
        .log
        .entries()
        .iter()
        .filter_map(move |entry| match &entry.event {
            Recorded::Known(Event::Heard { from, head, .. }) if own != Some(&head.machine) => {
                Some(HeardHead {
                    by: examined.name.clone(),
                    from: from.to_string(),
                    head: head.clone(),
                })
            }
            _ => None,
        })
}

#[cfg(test)]
mod tests;
