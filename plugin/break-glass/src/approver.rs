//! The side of who approves: one share, one request, one signature share.
//!
//! [`Approval::begin`] holds the request against the holder's own kit and share. [`Approval::commit`] makes the nonces, which live
//! in [`Committed`] and nowhere else: it cannot be copied or written down, and [`Committed::sign`] consumes it. If the process
//! ends in between, round one starts over.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use frost_ed25519::{
    Identifier, SigningPackage,
    round1::{self, SigningCommitments, SigningNonces},
    round2,
};
use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};

use crate::{
    armor::Armored,
    certificate::CertificateError,
    kit::Kit,
    log::Head,
    name::Name,
    request::{BACKDATE, Checked, Request, RequestError, RequestHash, shown_time},
    share::Share,
};

/// How far ahead of an approver's clock a certificate may begin without a question, in seconds.
const AHEAD: i64 = 300;

/// In seconds.
const DAY: u64 = 24 * 60 * 60;

/// Round one, from an approver: the commitments to two nonces (RFC 9591, section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Commitment {
    /// To what.
    pub request: RequestHash,
    /// By whom; proven by the signature share that follows.
    pub holder: Name,
    /// The commitments, in hexadecimal.
    pub commitments: String,
    /// The head of the approver's log.
    pub head: Head,
}

impl Armored for Commitment {
    const LABEL: &'static str = "GATEPASS COMMITMENT";
}

/// Round two, from the opener: who signs, and from when the certificate counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signing {
    /// What is signed.
    pub request: RequestHash,
    /// The beginning of the certificate, Unix seconds; of no meaning for a drill or a kit.
    pub not_before: i64,
    /// The commitments of all who sign, in hexadecimal, by their number in the quorum.
    pub commitments: BTreeMap<u16, String>,
    /// The head of the opener's log.
    pub head: Head,
}

impl Armored for Signing {
    const LABEL: &'static str = "GATEPASS SIGNING";
}

/// Round two, from an approver: their share of the signature (RFC 9591, section 5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignatureShare {
    /// Of what.
    pub request: RequestHash,
    /// By whom.
    pub holder: Name,
    /// The share, in hexadecimal.
    pub share: String,
    /// The head of the approver's log.
    pub head: Head,
}

impl Armored for SignatureShare {
    const LABEL: &'static str = "GATEPASS SIGNATURE SHARE";
}

/// Why nothing is approved.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request.
    #[error("this request is refused: {0}")]
    Request(#[from] RequestError),
    /// The share is of another quorum.
    #[error("this share file belongs to another kit{0}; give the kit that it was made with")]
    AnotherKit(&'static str),
    /// The kit is older than the one that the holder confirmed.
    #[error(
        "this kit is revision {kit}, and this share was confirmed for revision {share}: what the newer one took back would \
         count again; find the newer kit"
    )]
    OldKit {
        /// The kit's.
        kit: u32,
        /// The share's.
        share: u32,
    },
    /// A text that belongs to something else.
    #[error(
        "this text is about another request (words: {theirs}) than the one you agreed to (words: {ours}); ask for the right \
         one, and be on your guard"
    )]
    AnotherRequest {
        /// The words of the text's.
        theirs: crate::words::Words,
        /// The words of ours.
        ours: crate::words::Words,
    },
    /// Round two does not hold what this approver said in round one.
    #[error(
        "your commitment is not in it as you sent it: it was changed on the way, or is of an earlier round; start over with \
         `approve` and the request"
    )]
    NotMyCommitment,
    /// Not a quorum of this kit.
    #[error("those who sign by it are not the quorum that is needed: {0}")]
    Quorum(String),
    /// The times are odd, and nobody has confirmed them.
    #[error("the time was not confirmed: type the beginning as it is shown, {0}")]
    Time(String),
    /// A proof at another time than now.
    #[error(
        "the kit says that holders prove their shares at another time than now by this machine's clock; set the clock right"
    )]
    Dates,
    /// The certificate could not be built.
    #[error("the certificate cannot be built: {0}")]
    Certificate(#[from] CertificateError),
    /// The library refused.
    #[error("the signature share could not be made ({0}); start over with `approve` and the request")]
    Frost(frost_ed25519::Error),
}

/// Whether the kit is the one that the holder confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fit {
    /// It is.
    Confirmed,
    /// It is a later revision, signed by the same quorum; the person should look at it.
    Newer {
        /// The revision that they confirmed.
        confirmed: u32,
    },
}

/// Holds a share against a kit.
pub fn fit(share: &Share, kit: &Kit) -> Result<Fit, Refusal> {
    let payload = kit.payload();
    let key = share.key_package();
    if key.verifying_key() != kit.public_keys().verifying_key() {
        return Err(Refusal::AnotherKit(""));
    }
    // The pin: a kit that is older, or another of the same revision, may be wider.
    match payload.revision.cmp(&share.kit_revision()) {
        std::cmp::Ordering::Less => {
            return Err(Refusal::OldKit {
                kit: payload.revision,
                share: share.kit_revision(),
            });
        }
        std::cmp::Ordering::Equal if share.kit_hash() != kit.hash() => {
            return Err(Refusal::AnotherKit(
                ", of the same authority and the same revision",
            ));
        }
        std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => {}
    }
    let known = kit.holder(share.holder()).is_some_and(|holder| {
        Identifier::try_from(holder.identifier).is_ok_and(|identifier| {
            *key.identifier() == identifier
                && kit.public_keys().verifying_shares().get(&identifier) == Some(key.verifying_share())
        })
    });
    if !known {
        return Err(Refusal::AnotherKit(
            " (the same authority, but its holder has no share any more, or a new one)",
        ));
    }
    Ok(match payload.revision == share.kit_revision() {
        true => Fit::Confirmed,
        false => Fit::Newer {
            confirmed: share.kit_revision(),
        },
    })
}

/// A request that one holder is asked to approve, and may.
#[derive(Debug)]
pub struct Approval<'k> {
    kit: &'k Kit,
    share: Share,
    fit: Fit,
    checked: Checked,
}

/// An approver between the rounds: the nonces are here and nowhere else.
#[must_use = "nonces that are dropped are a round that starts over"]
pub struct Committed<'k> {
    approval: Approval<'k>,
    nonces: SigningNonces,
    commitments: SigningCommitments,
}

/// What an approver's clock says of a certificate's times.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Times {
    /// Nothing: there are none, or they are as expected.
    Fine,
    /// They do not fit this clock: the person types the beginning as it is shown.
    Odd {
        /// The beginning, as it is shown and typed.
        begins: String,
        /// The end.
        ends: String,
        /// What is odd.
        why: &'static str,
    },
}

impl<'k> Approval<'k> {
    /// Holds request, kit and share against each other.
    pub fn begin(kit: &'k Kit, share: Share, request: Request) -> Result<Self, Refusal> {
        let fit = fit(&share, kit)?;
        let checked = request.check(kit)?;
        Ok(Self {
            kit,
            share,
            fit,
            checked,
        })
    }

    /// What is asked.
    pub fn checked(&self) -> &Checked {
        &self.checked
    }

    /// Who approves.
    pub fn holder(&self) -> &Name {
        self.share.holder()
    }

    /// Whether the kit is the one that the holder confirmed.
    pub fn fit(&self) -> Fit {
        self.fit
    }

    /// Round one: makes the nonces. `head` is filled in by who passes the text on.
    pub fn commit(self, head: Head, rng: &mut (impl RngCore + CryptoRng)) -> (Committed<'k>, Commitment) {
        let (nonces, commitments) = round1::commit(self.share.key_package().signing_share(), rng);
        let text = Commitment {
            request: self.checked.hash(),
            holder: self.share.holder().clone(),
            commitments: hex(&commitments),
            head,
        };
        let committed = Committed {
            approval: self,
            nonces,
            commitments,
        };
        (committed, text)
    }
}

impl Committed<'_> {
    /// Whose share it is.
    pub fn holder(&self) -> &Name {
        self.approval.holder()
    }

    /// Looks at round two without using up the nonces.
    pub fn check(&self, signing: &Signing, now: i64) -> Result<Times, Refusal> {
        self.package(signing)?;
        self.dates(now)?;
        Ok(self.times(signing, now))
    }

    /// Round two: makes the signature share, of the certificate that is built here. `typed` is the beginning as the person
    /// typed it, where [`Self::check`] found the times odd.
    pub fn sign(
        self,
        signing: &Signing,
        now: i64,
        typed: Option<&str>,
        head: Head,
    ) -> Result<SignatureShare, Refusal> {
        let package = self.package(signing)?;
        self.dates(now)?;
        if let Times::Odd { begins, .. } = self.times(signing, now)
            && typed.map(str::trim) != Some(&begins)
        {
            return Err(Refusal::Time(begins));
        }
        let share = &self.approval.share;
        let signed = round2::sign(&package, &self.nonces, share.key_package()).map_err(Refusal::Frost)?;
        Ok(SignatureShare {
            request: self.approval.checked.hash(),
            holder: share.holder().clone(),
            share: HEXLOWER.encode(&signed.serialize()),
            head,
        })
    }

    /// What is approved.
    pub fn approval(&self) -> &Approval<'_> {
        &self.approval
    }

    fn package(&self, signing: &Signing) -> Result<SigningPackage, Refusal> {
        let approval = &self.approval;
        let ours = approval.checked.hash();
        if signing.request != ours {
            return Err(Refusal::AnotherRequest {
                theirs: signing.request.words(),
                ours: ours.words(),
            });
        }
        let commitments = quorum(approval.kit, &approval.checked, &signing.commitments)?;
        if commitments.get(approval.share.key_package().identifier()) != Some(&self.commitments) {
            return Err(Refusal::NotMyCommitment);
        }
        let message = approval.checked.message(approval.kit, signing.not_before)?;
        Ok(SigningPackage::new(commitments, &message))
    }

    /// A kit must not say that somebody proves their share at another time than now: they would never be due again.
    fn dates(&self, now: i64) -> Result<(), Refusal> {
        let Some(proposed) = self.approval.checked.proposed() else {
            return Ok(());
        };
        let before = &self.approval.kit.payload().holders;
        let changed = before.iter().zip(&proposed.holders);
        let mut changed = changed.filter(|(before, after)| before.confirmed != after.confirmed);
        match changed.any(|(_, after)| after.confirmed.abs_diff(now) > DAY) {
            true => Err(Refusal::Dates),
            false => Ok(()),
        }
    }

    fn times(&self, signing: &Signing, now: i64) -> Times {
        let Some((begins, ends)) = self.approval.checked.life(signing.not_before) else {
            return Times::Fine;
        };
        let why = if ends <= now {
            "it would be over already"
        } else if begins > now.saturating_add(AHEAD) {
            "it would begin too far ahead"
        } else {
            return Times::Fine;
        };
        Times::Odd {
            begins: shown_time(begins),
            ends: shown_time(ends),
            why,
        }
    }
}

/// The commitments of those who sign, if they are a quorum of the kit that may sign this.
pub(crate) fn quorum(
    kit: &Kit,
    checked: &Checked,
    commitments: &BTreeMap<u16, String>,
) -> Result<BTreeMap<Identifier, SigningCommitments>, Refusal> {
    let refuse = |why: String| Err(Refusal::Quorum(why));
    let payload = kit.payload();
    let numbers: Vec<_> = commitments.keys().copied().collect();
    if let Some(signers) = checked.signers(kit) {
        if signers != numbers || signers.len() < payload.threshold.into() {
            return refuse(
                "a kit is signed by those who prove their shares with it, at least a quorum".into(),
            );
        }
    } else if numbers.len() != usize::from(payload.threshold) {
        return refuse(format!(
            "{} commitments where {} are needed",
            numbers.len(),
            payload.threshold
        ));
    }
    let mut read = BTreeMap::new();
    for (number, text) in commitments {
        if !payload.holders.iter().any(|holder| holder.identifier == *number) {
            return refuse(format!("the kit has no holder number {number}"));
        }
        let commitments = HEXLOWER.decode(text.as_bytes()).ok();
        let commitments = commitments.and_then(|bytes| SigningCommitments::deserialize(&bytes).ok());
        match (Identifier::try_from(*number), commitments) {
            (Ok(identifier), Some(commitments)) => read.insert(identifier, commitments),
            _ => return refuse(format!("the commitment of holder number {number} cannot be read")),
        };
    }
    Ok(read)
}

fn hex(commitments: &SigningCommitments) -> String {
    let bytes = commitments.serialize().expect("commitments that were just made");
    HEXLOWER.encode(&bytes)
}

const _: () = assert!(
    AHEAD <= BACKDATE,
    "an opener whose clock is right never makes an approver type"
);
