//! Who approved: proven by signature shares, which nobody but the holder of a share can make.

use std::collections::{BTreeMap, BTreeSet};

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
    kit::Kit,
    log::{Asked, Event, Fixed, Log, Purpose, Recorded},
    name::Name,
    request::{Ask, Request},
};

/// One run of both rounds, as a log tells of it.
#[derive(Clone, Debug)]
pub struct Round {
    /// The name of the log.
    pub log: String,
    /// What was asked; a log that is not whole may lack it.
    pub asked: Option<Asked>,
    /// What was fixed between the rounds.
    pub fixed: Fixed,
    /// The signature share of each holder.
    pub shares: BTreeMap<Name, String>,
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

/// The runs that a log tells of: a run begins when the commitments are fixed, and a request that had to start over has
/// several.
pub fn rounds(name: &str, log: &Log) -> Vec<Round> {
    let mut asked: BTreeMap<&str, &Asked> = BTreeMap::new();
    let mut rounds: Vec<Round> = Vec::new();
    for entry in log.entries() {
        let Recorded::Known(event) = &entry.event else {
            continue;
        };
        match event {
            Event::Requested(what) | Event::Shown { asked: what, .. } => {
                asked.insert(&what.request, what);
            }
            Event::Signing(fixed) => {
                // Who asks and who approves at one machine write one run into one log, each for themselves.
                let same = rounds.iter().position(|round| round.fixed == *fixed);
                let round = same.map(|at| rounds.remove(at)).unwrap_or_else(|| Round {
                    log: name.to_owned(),
                    asked: asked.get(fixed.request.as_str()).map(|asked| (*asked).clone()),
                    fixed: fixed.clone(),
                    shares: BTreeMap::new(),
                });
                rounds.push(round);
            }
            Event::Signed {
                request,
                holder,
                share,
            } => {
                let round = rounds
                    .iter_mut()
                    .rev()
                    .find(|round| round.fixed.request == *request);
                if let Some(round) = round {
                    round.shares.insert(holder.clone(), share.clone());
                }
            }
            _ => {}
        }
    }
    rounds
}

/// The signature shares before which a log does not say what was fixed. Every program writes that first, so whoever put them
/// there wanted them believed and not proven.
fn strays(name: &str, log: &Log) -> Vec<Approval> {
    let mut fixed = BTreeSet::new();
    let mut strays = Vec::new();
    for entry in log.entries() {
        match &entry.event {
            Recorded::Known(Event::Signing(what)) => drop(fixed.insert(&what.request)),
            Recorded::Known(Event::Signed { request, holder, .. }) if !fixed.contains(request) => {
                let why = "no round two of this request stands before it in the log";
                strays.push(Approval {
                    log: name.to_owned(),
                    request: request.clone(),
                    holder: holder.clone(),
                    outcome: Outcome::NotTheirs { why: why.to_owned() },
                });
            }
            _ => {}
        }
    }
    strays
}

impl Report {
    /// Finds out who approved and what came of it, with these kits at hand: each request that a log holds is made into what
    /// was signed again, each signature share is checked against it, and what the log says that a quorum granted against
    /// what they give. A share that is not the holder's is a finding, and so is something that they do not give.
    pub fn prove(&mut self, kits: &[Kit]) {
        let (mut approvals, mut grants) = (Vec::new(), Vec::new());
        for Examined { name, log, .. } in &self.logs {
            let rounds = rounds(name, log);
            approvals.extend(strays(name, log));
            approvals.extend(rounds.iter().flat_map(|round| round.with_kits(kits)));
            grants.extend(grant::doubts(log, &rounds, kits).map(|doubt| (name.clone(), doubt)));
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
        let Some(kit) = self.kit(kits) else {
            return self.unknown(NO_KIT);
        };
        let Some(asked) = &self.asked else {
            return self.unknown("the log does not hold the request");
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
        self.shares.iter().map(approval).collect()
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
