//! A report for people.

use std::fmt;

use time::{OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description};

use super::{Approval, Examined, Outcome, Report};
use crate::{
    log::{Asked, Event, Purpose, Recorded},
    name::{Escaped, Name},
};

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (missing, notes): (Vec<_>, Vec<_>) = self.notes.iter().partition(|note| note.is_missing());
        let unproven = |approval: &Approval| matches!(approval.outcome, Outcome::Unknown { .. });
        let unproven = self.approvals.iter().any(unproven);
        let all = missing.is_empty() && !unproven;
        // Whoever reads one line must not take what nobody could look at for what was looked at.
        match (self.findings.as_slice(), all) {
            ([], true) => writeln!(f, "Nothing was found that somebody has to explain.")?,
            ([], false) => writeln!(
                f,
                "Nothing was found that somebody has to explain in what is at hand. Not at hand:"
            )?,
            (findings, _) => {
                writeln!(f, "SOMEBODY HAS TO EXPLAIN:")?;
                findings
                    .iter()
                    .try_for_each(|finding| writeln!(f, "! {finding}"))?;
                if !all {
                    writeln!(f, "\nNot at hand:")?;
                }
            }
        }
        missing.iter().try_for_each(|note| writeln!(f, "- {note}"))?;
        if unproven {
            writeln!(f, "- what would prove some approvals: see below who approved")?;
        }
        if !notes.is_empty() {
            writeln!(f, "\nGood to know:")?;
            notes.iter().try_for_each(|note| writeln!(f, "- {note}"))?;
        }
        if !self.approvals.is_empty() {
            writeln!(f, "\nWho approved:")?;
            self.approvals
                .iter()
                .try_for_each(|approval| writeln!(f, "- {approval}"))?;
        }
        self.logs.iter().try_for_each(|log| write!(f, "\n{log}"))
    }
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            log,
            request,
            holder,
            outcome,
        } = self;
        let (log, request) = (Escaped::new(log), short(request));
        match outcome {
            Outcome::Proven => write!(
                f,
                "{holder} approved request {request} ({log}): proven by the signature share"
            ),
            Outcome::NotTheirs { why } => {
                write!(
                    f,
                    "{holder} did NOT provably approve request {request} ({log}): {}",
                    Escaped::new(why)
                )
            }
            Outcome::Unknown { why } => {
                write!(
                    f,
                    "{holder} approved request {request}, says {log}; not proven: {}",
                    Escaped::new(why)
                )
            }
        }
    }
}

impl fmt::Display for Examined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Escaped::new(&self.name);
        match self.log.machine() {
            None => writeln!(f, "{name}: no entries")?,
            Some(machine) => writeln!(f, "{name} (machine {}):", Escaped::new(machine))?,
        }
        for entry in self.log.entries() {
            let what = match &entry.event {
                Recorded::Known(event) => told(event),
                Recorded::Other(value) => {
                    format!(
                        "something that this program does not know: {}",
                        Escaped::new(&value.to_string())
                    )
                }
            };
            writeln!(f, "{:>5}  {}  {what}", entry.seq, moment(entry.time))?;
        }
        match self.broken {
            true => writeln!(f, "       THE LOG BREAKS HERE; what follows is not shown"),
            false => Ok(()),
        }
    }
}

/// An entry in words.
fn told(event: &Event) -> String {
    match event {
        Event::KitMade {
            kit,
            cluster,
            revision,
            threshold,
            holders,
        } => format!(
            "kit {} was made for {}, revision {revision}: {threshold} of {}",
            short(&kit.to_string()),
            Escaped::new(cluster),
            names(holders)
        ),
        Event::KitConfirmed { kit, holder } => {
            format!(
                "{holder} compared the words of kit {}: the same",
                short(&kit.to_string())
            )
        }
        Event::Requested(what) => asked(what),
        Event::Shown { holder, asked: what } => format!("shown to {holder}: {}", asked(what)),
        Event::Agreed { request, holder } => format!("{holder} agreed to request {}", short(request)),
        Event::Declined { request, holder } => {
            format!("{holder} did not agree to request {}", short(request))
        }
        Event::Committed { request, holder, .. } => {
            format!("round one: {holder} committed to request {}", short(request))
        }
        Event::Signing(fixed) => {
            let holders: Vec<_> = fixed.commitments.keys().cloned().collect();
            let begins = fixed.not_before.map(|time| format!(", beginning {}", unix(time)));
            format!(
                "request {} was fixed{}: signed by {}",
                short(&fixed.request),
                begins.unwrap_or_default(),
                names(&holders)
            )
        }
        Event::Signed { request, holder, .. } => {
            format!("round two: {holder} signed request {}", short(request))
        }
        Event::Opened {
            request,
            credential_id,
            not_before,
            not_after,
        } => format!(
            "THE GLASS WAS BROKEN: request {} gave certificate {}, from {} to {}",
            short(request),
            Escaped::new(credential_id),
            unix(*not_before),
            unix(*not_after)
        ),
        Event::Closed { credential_id } => format!("closed: certificate {}", Escaped::new(credential_id)),
        Event::Drilled {
            request,
            kit,
            holders,
        } => format!(
            "DRILL {} of kit {} ended well: {}",
            short(request),
            short(&kit.to_string()),
            names(holders)
        ),
        Event::Refused { request, why } => {
            let request = request
                .as_ref()
                .map(|request| format!(" of request {}", short(request)));
            format!("refused{}: {}", request.unwrap_or_default(), Escaped::new(why))
        }
        Event::Heard { from, text, head } => format!(
            "came from {from}, as it says: {}, whose log had {} entries (machine {})",
            Escaped::new(text),
            head.entries,
            short(&head.machine)
        ),
        Event::Reshared {
            previous,
            kit,
            removed,
            added,
        } => format!(
            "reshared: kit {} follows {}; removed {}, added {}",
            short(&kit.to_string()),
            short(&previous.to_string()),
            names(removed),
            names(added)
        ),
        Event::Recertified { previous, kit } => format!(
            "recertified: kit {} follows {}",
            short(&kit.to_string()),
            short(&previous.to_string())
        ),
        Event::SetAside { log, why } => format!(
            "a new log begins; the one before (SHA-256 {}) was put aside: {}",
            short(log),
            Escaped::new(why)
        ),
    }
}

fn asked(asked: &Asked) -> String {
    let Asked { who, words, .. } = asked;
    let (request, words) = (short(&asked.request), Escaped::new(words));
    match asked.purpose {
        Purpose::Certificate => {
            let reason = asked
                .reason
                .as_ref()
                .map_or("(no reason)", |reason| reason.as_str());
            let minutes = asked.seconds.unwrap_or(0).div_ceil(60);
            format!("request {request} of {who} for {minutes} min, words {words}, because: {reason}")
        }
        Purpose::Drill => format!("DRILL {request} of {who}, words {words}"),
        Purpose::Kit => format!("request {request} of {who} for the next revision of the kit, words {words}"),
    }
}

fn names(names: &[Name]) -> String {
    match names {
        [] => "nobody".into(),
        names => Name::list(names),
    }
}

/// Enough of a hash to tell two apart by eye; `-o json` has all of it.
fn short(hash: &str) -> Escaped {
    Escaped::new(&hash.chars().take(16).collect::<String>())
}

fn unix(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| seconds.to_string(), moment)
}

fn moment(time: OffsetDateTime) -> String {
    // At the ends of the calendar there is no UTC for every offset; a log from elsewhere can hold any time.
    let utc = time.checked_to_offset(UtcOffset::UTC);
    utc.and_then(|utc| utc.format(TIME).ok())
        .unwrap_or_else(|| time.to_string())
}
