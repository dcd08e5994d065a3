//! Whether a quorum granted what a log says: the ceremony is held again with the commitments and signature shares that stand
//! in the log, and has to give the very same.

use std::collections::{HashMap, HashSet};

use serde::Deserialize as _;

use super::{
    Round,
    approval::{LOST, NO_KIT, NO_REQUEST, Told},
};
use crate::{
    approver::{Commitment, SignatureShare},
    kit::{Kit, KitHash},
    log::{Entry, Event, Fixed, Head, Log, Recorded},
    name::Name,
    opener::{Granted, Opening},
    request::Request,
};

/// Something that a quorum granted, says a log, and that is not proven by it.
pub(super) struct Doubt {
    /// The entry that says so.
    pub(super) entry: u64,
    /// What, in words.
    pub(super) what: String,
    /// Why, in words.
    pub(super) why: String,
    /// It is not so; else this could not be found out.
    pub(super) refuted: bool,
}

/// Something that a quorum can grant, as a log says it or as it is.
#[derive(PartialEq, Eq, Hash)]
enum Made {
    Certificate {
        id: String,
        not_before: i64,
        not_after: i64,
    },
    Drill(Vec<Name>),
    Kit(KitHash),
}

/// Which runs can be those that gave something.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Of<'a> {
    /// A certificate: those of a request.
    Request(&'a str),
    /// A drill: those of a request that were held with a kit.
    Drill(&'a str, KitHash),
    /// The next kit: those that were held with the one before.
    Kit(KitHash),
}

/// What runs gave.
#[derive(Default)]
struct Given {
    made: HashSet<Made>,
    without_kit: bool,
    without_request: bool,
}

/// What a log says that quorums granted, and does not prove.
pub(super) fn doubts(log: &Log, told: &Told, kits: &[Kit]) -> Vec<Doubt> {
    let said = || log.entries().iter().filter_map(said);
    // Whoever wrote the log may have written a great many of both: each run is held again once, not for each entry.
    let mut given: HashMap<Of<'_>, Given> = said().map(|said| (said.of, Given::default())).collect();
    for round in told.rounds.iter().filter(|round| round.is_complete()) {
        round.give(kits, &mut given);
    }
    let doubts = said().filter_map(|said| {
        let (why, refuted) = doubt(said.of, &said.made, &given[&said.of], told)?;
        Some(Doubt {
            entry: said.entry,
            what: said.what,
            why: why.to_owned(),
            refuted,
        })
    });
    doubts.collect()
}

/// What an entry says that a quorum granted.
struct Said<'a> {
    entry: u64,
    what: String,
    of: Of<'a>,
    made: Made,
}

fn said(Entry { seq, event, .. }: &Entry) -> Option<Said<'_>> {
    let Recorded::Known(event) = event else {
        return None;
    };
    let (what, of, made) = match event {
        Event::Opened {
            request,
            credential_id,
            not_before,
            not_after,
        } => (
            format!("the certificate {credential_id}"),
            Of::Request(request),
            Made::Certificate {
                id: credential_id.clone(),
                not_before: *not_before,
                not_after: *not_after,
            },
        ),
        Event::Drilled {
            request,
            kit,
            holders,
        } => (
            format!("the drill {request}"),
            Of::Drill(request, *kit),
            Made::Drill(holders.clone()),
        ),
        Event::Recertified { previous, kit } => {
            (format!("the kit {kit}"), Of::Kit(*previous), Made::Kit(*kit))
        }
        _ => return None,
    };
    Some(Said {
        entry: *seq,
        what,
        of,
        made,
    })
}

/// Why it is not proven, and whether that refutes it; `None` if some run gave it.
fn doubt(of: Of<'_>, made: &Made, given: &Given, told: &Told) -> Option<(&'static str, bool)> {
    // The runs with a kit have requests that differ: that one of them gave something else says nothing of another one.
    let (lost, one_request) = match of {
        Of::Request(request) | Of::Drill(request, _) => (told.is_lost(request), true),
        Of::Kit(_) => (told.is_any_lost(), false),
    };
    Some(match given {
        given if given.made.contains(made) => return None,
        Given {
            without_kit: true, ..
        } => (NO_KIT, false),
        Given {
            without_request: true,
            ..
        } => (NO_REQUEST, false),
        given if !given.made.is_empty() && (one_request || !lost) => ("they give something else", true),
        _ if lost => (LOST, false),
        _ => (
            "the log does not hold a round two of it with the signature shares of a quorum",
            true,
        ),
    })
}

impl Made {
    fn new(granted: &Granted) -> Self {
        match granted {
            Granted::Certificate(made) => Self::Certificate {
                id: made.credential_id.clone(),
                not_before: made.not_before,
                not_after: made.not_after,
            },
            Granted::Drill { holders } => Self::Drill(holders.clone()),
            Granted::Kit(made) => Self::Kit(made.hash()),
        }
    }
}

impl Round {
    /// Whether all who were to sign did, as the log says: else it gives nothing, whatever the kit.
    fn is_complete(&self) -> bool {
        let mut signers = self.fixed.commitments.keys();
        !self.shares.is_empty() && signers.all(|holder| self.shares.contains_key(holder))
    }

    /// Adds what the quorum granted to each place where it is asked for.
    fn give<'a>(&'a self, kits: &[Kit], given: &mut HashMap<Of<'a>, Given>) {
        let Fixed { request, kit, .. } = &self.fixed;
        let mut places = [Of::Request(request), Of::Drill(request, *kit), Of::Kit(*kit)].to_vec();
        places.retain(|of| given.contains_key(of));
        if places.is_empty() {
            return;
        }
        let (kit, asked) = (self.kit(kits), self.asked.is_some());
        let granted = kit.and_then(|kit| self.granted(kit));
        for of in places {
            let Some(given) = given.get_mut(&of) else {
                continue;
            };
            given.without_kit |= kit.is_none();
            given.without_request |= !asked;
            given.made.extend(granted.as_ref().map(Made::new));
        }
    }

    /// What the quorum granted, if its commitments and signature shares give anything.
    pub(super) fn granted(&self, kit: &Kit) -> Option<Granted> {
        let request = Request::deserialize(&self.asked.as_ref()?.content).ok()?;
        let mut opening = Opening::begin(kit, request).ok()?;
        let request = opening.checked().hash();
        if request.to_string() != self.fixed.request {
            return None;
        }
        for (holder, commitments) in &self.fixed.commitments {
            let text = Commitment {
                request,
                holder: holder.clone(),
                commitments: commitments.clone(),
                head: nobodys(),
            };
            let _sign_asks_whether_all_are_there = opening.commitment(&text).ok()?;
        }
        opening.sign(self.fixed.not_before.unwrap_or(0), nobodys()).ok()?;
        for (holder, share) in &self.shares {
            let text = SignatureShare {
                request,
                holder: holder.clone(),
                share: share.clone(),
                head: nobodys(),
            };
            // A false one is a finding of its own, and is not taken.
            let _finish_asks_whether_all_are_there = opening.signature_share(&text);
        }
        opening.finish().ok()
    }
}

/// Texts carry a head, and what is signed does not depend on it.
fn nobodys() -> Head {
    Head {
        machine: String::new(),
        entries: 0,
        hash: String::new(),
    }
}
