//! Whether a quorum granted what a log says: the ceremony is held again with the commitments and signature shares that stand
//! in the log, and has to give the very same.

use serde::Deserialize as _;

use super::{Round, approval::NO_KIT};
use crate::{
    approver::{Commitment, SignatureShare},
    kit::Kit,
    log::{Entry, Event, Head, Log, Recorded},
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

/// What a log says that quorums granted, and does not prove.
pub(super) fn doubts<'a>(
    log: &'a Log,
    rounds: &'a [Round],
    kits: &'a [Kit],
) -> impl Iterator<Item = Doubt> + 'a {
    log.entries().iter().filter_map(move |Entry { seq, event, .. }| {
        let Recorded::Known(event) = event else {
            return None;
        };
        let what = match event {
            Event::Opened { credential_id, .. } => format!("the certificate {credential_id}"),
            Event::Drilled { request, .. } => format!("the drill {request}"),
            Event::Recertified { kit, .. } => format!("the kit {kit}"),
            _ => return None,
        };
        let (why, refuted) = doubt(event, rounds, kits)?;
        Some(Doubt {
            entry: *seq,
            what,
            why: why.to_owned(),
            refuted,
        })
    })
}

/// Why it is not proven, and whether that refutes it; `None` if some run gives it.
fn doubt(event: &Event, rounds: &[Round], kits: &[Kit]) -> Option<(&'static str, bool)> {
    let (mut unknown, mut given) = (false, false);
    let complete = |round: &&Round| is_of(event, round) && round.is_complete();
    for round in rounds.iter().filter(complete) {
        match round.kit(kits) {
            None => unknown = true,
            Some(kit) => match round.granted(kit) {
                Some(granted) if is_it(event, &granted) => return None,
                granted => given |= granted.is_some(),
            },
        }
    }
    Some(match (unknown, given) {
        (true, _) => (NO_KIT, false),
        (false, true) => ("they give something else", true),
        (false, false) => (
            "the log does not hold a round two of it with the signature shares of a quorum",
            true,
        ),
    })
}

/// Whether a run can be the one that gave something.
fn is_of(event: &Event, round: &Round) -> bool {
    match event {
        Event::Opened { request, .. } => round.fixed.request == *request,
        Event::Drilled { request, kit, .. } => round.fixed.request == *request && round.fixed.kit == *kit,
        Event::Recertified { previous, .. } => round.fixed.kit == *previous,
        _ => false,
    }
}

/// Whether what a run gave is what the log says.
fn is_it(event: &Event, granted: &Granted) -> bool {
    match (event, granted) {
        (
            Event::Opened {
                credential_id,
                not_before,
                not_after,
                ..
            },
            Granted::Certificate(made),
        ) => {
            (&made.credential_id, &made.not_before, &made.not_after) == (credential_id, not_before, not_after)
        }
        (Event::Drilled { holders, .. }, Granted::Drill { holders: signed }) => signed == holders,
        (Event::Recertified { kit, .. }, Granted::Kit(made)) => made.hash() == *kit,
        _ => false,
    }
}

impl Round {
    /// Whether all who were to sign did, as the log says: else it gives nothing, whatever the kit.
    fn is_complete(&self) -> bool {
        let mut signers = self.fixed.commitments.keys();
        !self.shares.is_empty() && signers.all(|holder| self.shares.contains_key(holder))
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
