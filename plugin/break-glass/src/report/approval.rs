//! Who approved: proven by signature shares, which nobody but the holder of a share can make.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map},
    sync::Arc,
};

use data_encoding::HEXLOWER;
use frost_ed25519::{
    Identifier, SigningPackage, keys::PublicKeyPackage, round1::SigningCommitments, round2::SignatureShare,
};
use serde::{Deserialize as _, Serialize};

use super::{
    Examined, Finding, Note, Report,
    grant::{self, Doubt},
};
use crate::{
    kit::{Kit, KitHash},
    log::{Asked, Event, Fixed, Log, Purpose, Recorded},
    name::Name,
    request::{Ask, Request},
};

/// One run of both rounds, as a log tells of it.
#[derive(Clone, Debug)]
pub struct Round {
    /// The name of the log.
    pub log: String,
    /// What was asked; a log that is not whole may lack it. It may be long, and have many runs.
    pub asked: Option<Arc<Asked>>,
    /// What was fixed between the rounds.
    pub fixed: Fixed,
    /// The signature share of each holder.
    pub shares: BTreeMap<Name, String>,
    /// Whose signature share stands in a log that was put aside before this one, and not here: that log's report says
    /// whether it is proven.
    pub elsewhere: BTreeSet<Name>,
    /// What was fixed stands before a part that cannot be read: what was fixed anew can stand there, for which later shares
    /// were made.
    pub unsure: bool,
}

/// Whether a holder approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The log that says so.
    pub log: String,
    /// The request's hash.
    pub request: String,
    /// Whose approval.
    pub holder: Name,
    /// Whether it is proven.
    pub outcome: Outcome,
}

/// Whether an approval is proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Outcome {
    /// By a signature share that fits the kit, the commitments and what was signed.
    Proven,
    /// The share does not fit.
    NotTheirs {
        /// Why, in words.
        why: String,
    },
    /// This could not be found out.
    Unknown {
        /// Why, in words.
        why: String,
    },
}

/// A signature share and what it has to fit.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Whose share.
    pub identifier: Identifier,
    /// The commitments of all who signed.
    pub commitments: BTreeMap<Identifier, SigningCommitments>,
    /// The signature share.
    pub share: SignatureShare,
    /// What was signed.
    pub message: Vec<u8>,
}

/// Why a signature share proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not hexadecimal, or no point or scalar.
    #[error("a commitment or signature share cannot be read")]
    Unreadable,
    /// A name that the kit does not have.
    #[error("the kit has no holder {0}")]
    NoHolder(Name),
    /// It does not verify.
    #[error("it does not fit the kit, the commitments and what was signed")]
    DoesNotFit,
}

/// Without it nothing is proven.
pub(super) const NO_KIT: &str = "the kit is not here";

/// Without it nobody knows what was signed.
pub(super) const NO_REQUEST: &str = "the log does not hold the request";

/// What a log lacks that was begun because another one broke.
pub(super) const LOST: &str =
    "it can stand in a log that was put aside before this one, which is broken or not here";

/// What a log tells of ceremonies, read together with the logs that were put aside before it: a ceremony goes on over the
/// break of a log.
#[derive(Default)]
pub(super) struct Told {
    /// The runs.
    pub(super) rounds: Vec<Round>,
    /// The signature shares in this log before which nothing says what was fixed.
    strays: Vec<Approval>,
    /// A part of the logs before cannot be read, so that not all that is missing was never there.
    lost: bool,
    /// What was asked while this log was written: all of these ceremonies is in it.
    begun: HashSet<String>,
}

impl Told {
    /// `before` are the logs that were put aside, from the oldest on.
    fn new(name: &str, log: &Log, before: &[&Examined]) -> Self {
        let oldest = before.first().map_or(log, |oldest| &oldest.log);
        let lost = oldest.put_aside().is_some() || before.iter().any(|before| before.broken);
        let mut told = Self {
            lost,
            ..Self::default()
        };
        let mut asked: HashMap<&str, Arc<Asked>> = HashMap::new();
        // Whoever wrote a log may have written a great many runs: each is found without a look at the others.
        let mut runs: HashMap<Run<'_>, usize> = HashMap::new();
        let mut current: HashMap<&str, usize> = HashMap::new();
        let before = before.iter().map(|before| (false, &before.log));
        for (own, log) in before.chain([(true, log)]) {
            for entry in log.entries() {
                let Recorded::Known(event) = &entry.event else {
                    continue;
                };
                match event {
                    Event::Requested(what) | Event::Shown { asked: what, .. } => {
                        asked.insert(&what.request, Arc::new(what.clone()));
                        // A request that is shown may have been held before; one that is made was not.
                        if own && matches!(event, Event::Requested(_)) {
                            told.begun.insert(what.request.clone());
                        }
                    }
                    Event::Signing(fixed) => {
                        // Who asks and who approves at one machine write one run into one log, each for themselves.
                        let run = (&*fixed.request, fixed.kit, fixed.not_before, &fixed.commitments);
                        let at = match runs.entry(run) {
                            hash_map::Entry::Occupied(run) => *run.get(),
                            hash_map::Entry::Vacant(run) => {
                                told.rounds.push(Round {
                                    log: name.to_owned(),
                                    asked: asked.get(fixed.request.as_str()).cloned(),
                                    fixed: fixed.clone(),
                                    shares: BTreeMap::new(),
                                    elsewhere: BTreeSet::new(),
                                    unsure: lost,
                                });
                                *run.insert(told.rounds.len() - 1)
                            }
                        };
                        told.rounds[at].unsure &= !own;
                        current.insert(&fixed.request, at);
                    }
                    Event::Signed {
                        request,
                        holder,
                        share,
                    } => match current.get(request.as_str()) {
                        Some(at) => {
                            let round = &mut told.rounds[*at];
                            round.shares.insert(holder.clone(), share.clone());
                            match own {
                                true => round.elsewhere.remove(holder),
                                false => round.elsewhere.insert(holder.clone()),
                            };
                        }
                        None if own => told.stray(name, request, holder),
                        // A stray of the log that it stands in.
                        None => {}
                    },
                    _ => {}
                }
            }
        }
        told
    }

    /// Every program writes what was fixed before the signature shares, so whoever put one there without wanted it believed
    /// and not proven, if all that was written can be read.
    fn stray(&mut self, name: &str, request: &str, holder: &Name) {
        let outcome = match self.is_lost(request) {
            true => Outcome::Unknown { why: LOST.to_owned() },
            false => Outcome::NotTheirs {
                why: "no round two of this request stands before it in the log".to_owned(),
            },
        };
        self.strays.push(Approval {
            log: name.to_owned(),
            request: request.to_owned(),
            holder: holder.clone(),
            outcome,
        });
    }

    /// Whether something of this request can stand where nobody can read it.
    pub(super) fn is_lost(&self, request: &str) -> bool {
        self.lost && !self.begun.contains(request)
    }

    /// Whether something of some request can.
    pub(super) fn is_any_lost(&self) -> bool {
        self.lost
    }
}

/// What tells one run from another: the request, the kit, the time, and the commitments.
type Run<'a> = (&'a str, KitHash, Option<i64>, &'a BTreeMap<Name, String>);

/// The runs that a log tells of: a run begins when the commitments are fixed, and a request that had to start over has
/// several.
pub fn rounds(name: &str, log: &Log) -> Vec<Round> {
    Told::new(name, log, &[]).rounds
}

impl Report {
    /// Finds out who approved and what came of it, with these kits at hand: each request that a log holds is made into what
    /// was signed again, each signature share is checked against it, and what the log says that a quorum granted against
    /// what they give. A share that is not the holder's is a finding, and so is something that they do not give.
    ///
    /// A log goes on from the one that was put aside before it, if that is here, too. Where a part of it cannot be read,
    /// nothing is held against anybody for not being there.
    pub fn prove(&mut self, kits: &[Kit]) {
        let (mut approvals, mut grants) = (Vec::new(), Vec::new());
        let by_hash: HashMap<_, _> = self.logs.iter().map(|log| (log.sha256.as_str(), log)).collect();
        for Examined { name, log, .. } in &self.logs {
            let before = |log: &Log| by_hash.get(log.put_aside()?).copied();
            // No file holds its own hash, so this ends.
            let mut aside: Vec<_> =
                std::iter::successors(before(log), |examined| before(&examined.log)).collect();
            aside.reverse();
            let told = Told::new(name, log, &aside);
            let doubts = grant::doubts(log, &told, kits);
            grants.extend(doubts.into_iter().map(|doubt| (name.clone(), doubt)));
            approvals.extend(told.rounds.iter().flat_map(|round| round.with_kits(kits)));
            approvals.extend(told.strays);
        }
        self.add_approvals(approvals);
        for (log, doubt) in grants {
            let Doubt {
                entry,
                what,
                why,
                refuted,
            } = doubt;
            match refuted {
                true => self.findings.push(Finding::NotGranted {
                    log,
                    entry,
                    what,
                    why,
                }),
                false => self.notes.push(Note::GrantUnknown {
                    log,
                    entry,
                    what,
                    why,
                }),
            }
        }
    }
}

impl Round {
    fn with_kits(&self, kits: &[Kit]) -> Vec<Approval> {
        let mut approvals = self.checked(kits);
        for Approval { outcome, .. } in &mut approvals {
            if self.unsure && matches!(outcome, Outcome::NotTheirs { .. }) {
                let why = LOST.to_owned();
                *outcome = Outcome::Unknown { why };
            }
        }
        approvals
    }

    fn checked(&self, kits: &[Kit]) -> Vec<Approval> {
        let Some(kit) = self.kit(kits) else {
            return self.unknown(NO_KIT);
        };
        let Some(asked) = &self.asked else {
            return self.unknown(NO_REQUEST);
        };
        let Some(message) = self.message(kit, asked) else {
            let why = "the log does not tell of the request that was signed";
            return self.each(|_, _| Outcome::NotTheirs { why: why.to_owned() });
        };
        let holders = kit.payload().holders.iter().filter_map(|holder| {
            let identifier = Identifier::try_from(holder.identifier).ok()?;
            Some((holder.name.clone(), identifier))
        });
        self.approvals(&holders.collect(), kit.public_keys(), &message)
    }

    /// The kit that it was held with.
    pub(super) fn kit<'k>(&self, kits: &'k [Kit]) -> Option<&'k Kit> {
        kits.iter().find(|kit| kit.hash() == self.fixed.kit)
    }

    /// What was signed, if what the log says of the request is true of it.
    fn message(&self, kit: &Kit, asked: &Asked) -> Option<Vec<u8>> {
        let request = Request::deserialize(&asked.content).ok()?;
        let (purpose, reason) = match &request.ask {
            Ask::Certificate { reason, .. } => (Purpose::Certificate, Some(reason)),
            Ask::Drill { .. } => (Purpose::Drill, None),
            Ask::Kit { .. } => (Purpose::Kit, None),
        };
        let told = purpose == asked.purpose && reason == asked.reason.as_ref() && request.by == asked.who;
        let checked = request.check(kit).ok()?;
        let is_it = checked.hash().to_string() == self.fixed.request && asked.seconds == checked.seconds();
        match told && is_it {
            true => checked.message(kit, self.fixed.not_before.unwrap_or(0)).ok(),
            false => None,
        }
    }

    /// Checks every holder's signature share. `message` is what was signed, made again from the request and what was
    /// fixed; `holders` and `keys` are the kit's, whose hash must be the one in [`Fixed`]: the caller compares it.
    pub fn approvals(
        &self,
        holders: &BTreeMap<Name, Identifier>,
        keys: &PublicKeyPackage,
        message: &[u8],
    ) -> Vec<Approval> {
        self.each(|holder, share| {
            let proven = self.prove(holder, share, holders, keys, message);
            proven.map_or_else(
                |error| Outcome::NotTheirs {
                    why: error.to_string(),
                },
                |()| Outcome::Proven,
            )
        })
    }

    /// The same where what was signed cannot be made again, such as without the kit.
    pub fn unknown(&self, why: &str) -> Vec<Approval> {
        self.each(|_, _| Outcome::Unknown { why: why.to_owned() })
    }

    fn each(&self, outcome: impl Fn(&Name, &str) -> Outcome) -> Vec<Approval> {
        let approval = |(holder, share): (&Name, &String)| Approval {
            log: self.log.clone(),
            request: self.fixed.request.clone(),
            holder: holder.clone(),
            outcome: outcome(holder, share),
        };
        let here = self
            .shares
            .iter()
            .filter(|(holder, _)| !self.elsewhere.contains(*holder));
        here.map(approval).collect()
    }

    fn prove(
        &self,
        holder: &Name,
        share: &str,
        holders: &BTreeMap<Name, Identifier>,
        keys: &PublicKeyPackage,
        message: &[u8],
    ) -> Result<(), ProofError> {
        let identifier = |name: &Name| {
            let known = holders.get(name).copied();
            known.ok_or_else(|| ProofError::NoHolder(name.clone()))
        };
        let mut commitments = BTreeMap::new();
        for (name, text) in &self.fixed.commitments {
            let commitment = SigningCommitments::deserialize(&bytes(text)?);
            commitments.insert(identifier(name)?, commitment.map_err(|_| ProofError::Unreadable)?);
        }
        let proof = Proof {
            identifier: identifier(holder)?,
            commitments,
            share: SignatureShare::deserialize(&bytes(share)?).map_err(|_| ProofError::Unreadable)?,
            message: message.to_owned(),
        };
        proof.check(keys)
    }
}

fn bytes(hex: &str) -> Result<Vec<u8>, ProofError> {
    HEXLOWER
        .decode(hex.as_bytes())
        .map_err(|_| ProofError::Unreadable)
}

impl Proof {
    /// Checks that the holder's share of the key made this signature share over this message (RFC 9591, section 5.4).
    pub fn check(self, keys: &PublicKeyPackage) -> Result<(), ProofError> {
        let verifying_share = keys.verifying_shares().get(&self.identifier);
        frost_core::verify_signature_share(
            self.identifier,
            verifying_share.ok_or(ProofError::DoesNotFit)?,
            &self.share,
            &SigningPackage::new(self.commitments, &self.message),
            keys.verifying_key(),
        )
        .map_err(|_| ProofError::DoesNotFit)
    }
}
