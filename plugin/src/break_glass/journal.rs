//! This machine's log, while a command runs.

use std::path::PathBuf;

use gatepass_break_glass::{
    approver::{Commitment, SignatureShare, Signing},
    armor::Armored,
    kit::Kit,
    log::{Event, Fixed, Head, Log},
    name::Name,
    request::{Checked, RequestHash},
};
use rand_core::OsRng;

use super::{
    error::BreakGlassError,
    log_file::{self, Next},
    person::Terminal,
};
use crate::{clock::Clock, paths::Paths};

/// Writes into the log; each entry is on the disk before the ceremony goes on.
pub struct Journal<'a> {
    path: PathBuf,
    clock: &'a dyn Clock,
    terminal: &'a Terminal,
}

impl<'a> Journal<'a> {
    /// Nothing is made before the first entry.
    pub fn new(paths: &Paths, clock: &'a dyn Clock, terminal: &'a Terminal) -> Self {
        Self {
            path: log_file::path(paths),
            clock,
            terminal,
        }
    }

    /// Writes an entry and gives the log's new head. What cannot be recorded is not done; but a log that is broken must not
    /// close the last way in, so it is put aside, whole, a new one begins by saying so, and so are the people here told.
    pub fn add(&self, event: Event) -> Result<Head, BreakGlassError> {
        let (mut head, mut broken) = (None, None);
        let aside = log_file::append(&self.path, |bytes| {
            let now = self.clock.now();
            let (mut log, first) = match Log::parse(bytes) {
                Ok(log) => (log, None),
                Err(error) => {
                    let first = Log::set_aside(bytes, &error);
                    broken = Some(error);
                    (Log::default(), Some(first))
                }
            };
            let mut lines = String::new();
            for event in first.into_iter().chain([event]) {
                lines.push_str(&log.append(event, now, &mut OsRng));
            }
            head = log.head();
            Ok(match broken {
                Some(_) => Next::Begin(lines),
                None => Next::Append(lines),
            })
        })?;
        if let (Some(aside), Some(error)) = (aside, broken) {
            self.terminal.say(&format!(
                "\nWARNING: this machine's log was changed or damaged ({error}). It is put aside, whole: {}\nA new log begins, and \
                 this goes on. Afterwards somebody has to explain it: kubectl gatepass break-glass report {}\n",
                aside.display(),
                aside.display()
            ));
        }
        Ok(head.expect("a log with an entry has a head"))
    }

    /// What came from another machine. Like [`Self::refused`], it ends no ceremony where it cannot be written: nonces would go
    /// with it.
    pub fn heard<T: Armored>(&self, from: &Name, head: &Head) {
        self.note(Event::Heard {
            from: from.clone(),
            text: T::LABEL.into(),
            head: head.clone(),
        });
    }

    /// What this program refused, and why.
    pub fn refused(&self, request: Option<RequestHash>, why: &str) {
        self.note(Event::Refused {
            request: request.map(|request| request.to_string()),
            why: why.into(),
        });
    }

    /// Writes an entry that nothing waits for; where that fails, it is said.
    pub fn note(&self, event: Event) {
        if let Err(error) = self.add(event) {
            self.terminal
                .say(&format!("This was not written into the log: {error}"));
        }
    }

    /// A commitment that was made here or came here.
    pub fn committed(&self, text: &Commitment) -> Result<Head, BreakGlassError> {
        self.add(Event::Committed {
            request: text.request.to_string(),
            holder: text.holder.clone(),
            commitments: text.commitments.clone(),
        })
    }

    /// Round two as it was fixed here or came here.
    pub fn signing(&self, kit: &Kit, checked: &Checked, text: &Signing) -> Result<Head, BreakGlassError> {
        let holders = kit.payload().holders.iter();
        let commitments = holders.filter_map(|holder| {
            let commitments = text.commitments.get(&holder.identifier)?;
            Some((holder.name.clone(), commitments.clone()))
        });
        self.add(Event::Signing(Fixed {
            request: text.request.to_string(),
            kit: kit.hash(),
            not_before: checked.seconds().map(|_| text.not_before),
            commitments: commitments.collect(),
        }))
    }

    /// A signature share that was made here or came here.
    pub fn signed(&self, text: &SignatureShare) -> Result<Head, BreakGlassError> {
        self.add(Event::Signed {
            request: text.request.to_string(),
            holder: text.holder.clone(),
            share: text.share.clone(),
        })
    }
}
