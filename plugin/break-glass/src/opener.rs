//! The side of who asks: collects commitments, fixes the time, collects signature shares, and puts the signature together.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use frost_ed25519::{Identifier, SigningPackage, aggregate, round2::SignatureShare as Share};
use rustls_pki_types::CertificateDer;

use crate::{
    approver::{Commitment, Refusal, SignatureShare, Signing, quorum},
    certificate::{self, CertificateError},
    kit::{Kit, KitError, signature_bytes},
    log::Head,
    name::Name,
    report::Proof,
    request::{Checked, Request, RequestError, RequestHash},
    words::{Words, sha256},
};

/// A request under way.
#[derive(Debug)]
pub struct Opening<'k> {
    kit: &'k Kit,
    checked: Checked,
    commitments: BTreeMap<u16, String>,
    /// All that were ever taken: an old one that is pasted again must not start a round over.
    seen: BTreeSet<String>,
    signing: Option<Signing>,
    shares: BTreeMap<u16, String>,
}

/// Whose text is still missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// So many more; from these, any of them or all.
    Need {
        /// How many.
        more: usize,
        /// Who has not sent one.
        of: Vec<Name>,
    },
    /// None.
    Complete,
    /// Somebody committed anew after round two had begun: it starts over for everybody, with this as its first commitment.
    Restarted {
        /// Who did.
        by: Name,
    },
}

/// Why a text is of no use. Nothing is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    /// The request itself.
    #[error("this cannot be asked: {0}")]
    Request(#[from] RequestError),
    /// A text about something else.
    #[error(
        "this text is about another request (words: {theirs}), perhaps an earlier one; yours has the words {ours}"
    )]
    AnotherRequest {
        /// The words of the text's.
        theirs: Words,
        /// The words of ours.
        ours: Words,
    },
    /// Not a holder.
    #[error("{0} is not a holder of this kit")]
    Stranger(Name),
    /// Not among those who sign.
    #[error("{0} is not among those who sign in this round; nothing is lost")]
    NotSigning(Name),
    /// A commitment of a holder who does not sign, when round two has begun.
    #[error("round two has begun without {0}, who is not needed; nothing is lost")]
    Late(Name),
    /// Another commitment of a holder whose first one still counts.
    #[error("{0} has committed already, and this is another commitment; the first one still counts")]
    Another(Name),
    /// A commitment that another one took the place of.
    #[error("this commitment of {0} is of an earlier round; ask for the latest one")]
    Old(Name),
    /// A commitment or a share that cannot be read.
    #[error("the text of {0} is damaged; ask for it again")]
    Unreadable(Name),
    /// Round two has not begun.
    #[error("{0} sent a signature share before it was asked for; it belongs to an earlier round")]
    TooEarly(Name),
    /// Not everybody has sent a text.
    #[error("texts are still missing")]
    Incomplete,
    /// A signature share that does not fit.
    #[error(
        "the signature share of {0} is wrong: not of this kit's share, or of another round; it is not kept; the true one still counts, else they start over with `approve`"
    )]
    Wrong(Name),
    /// Round two cannot begin.
    #[error(transparent)]
    Quorum(#[from] Refusal),
    /// The library refused.
    #[error("the signature cannot be put together: {0}")]
    Frost(frost_ed25519::Error),
    /// The certificate could not be built.
    #[error("the certificate cannot be built: {0}")]
    Certificate(#[from] CertificateError),
    /// The new kit is none.
    #[error("the new kit is of no use: {0}")]
    Kit(#[from] KitError),
}

/// What a quorum made.
#[derive(Debug)]
pub enum Granted {
    /// A certificate.
    Certificate(Certificate),
    /// A drill that went well.
    Drill {
        /// Who signed.
        holders: Vec<Name>,
    },
    /// The next revision of the kit.
    Kit(Box<Kit>),
}

/// A certificate that a quorum signed.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// DER.
    pub der: CertificateDer<'static>,
    /// PEM.
    pub pem: String,
    /// `X509SHA256=…`, as the API server writes it.
    pub credential_id: String,
    /// Its beginning, Unix seconds.
    pub not_before: i64,
    /// Its end, Unix seconds.
    pub not_after: i64,
}

impl<'k> Opening<'k> {
    /// Begins with a request. Whoever opens is held to the kit, too.
    pub fn begin(kit: &'k Kit, request: Request) -> Result<Self, OpeningError> {
        Ok(Self {
            kit,
            checked: request.check(kit)?,
            commitments: BTreeMap::new(),
            seen: BTreeSet::new(),
            signing: None,
            shares: BTreeMap::new(),
        })
    }

    /// What is asked.
    pub fn checked(&self) -> &Checked {
        &self.checked
    }

    /// Takes a commitment.
    pub fn commitment(&mut self, text: &Commitment) -> Result<Progress, OpeningError> {
        self.is_ours(text.request)?;
        let number = self.number(&text.holder)?;
        if self.signers().is_some_and(|signers| !signers.contains(&number)) {
            return Err(OpeningError::NotSigning(text.holder.clone()));
        }
        if !is_commitment(&text.commitments) {
            return Err(OpeningError::Unreadable(text.holder.clone()));
        }
        if self.commitments.get(&number) == Some(&text.commitments) {
            return Ok(self.progress());
        }
        if self.seen.contains(&text.commitments) {
            return Err(OpeningError::Old(text.holder.clone()));
        }
        if self.signing.is_none()
            && !self.commitments.contains_key(&number)
            && self.progress() == Progress::Complete
        {
            return Err(OpeningError::NotSigning(text.holder.clone()));
        }
        // Texts carry nobody's signature: whoever can write into the chat can commit in a holder's name, and what the others have
        // signed would be for nothing. The person is asked.
        if self.commitments.contains_key(&number) {
            return Err(OpeningError::Another(text.holder.clone()));
        }
        if self.signing.is_some() {
            return Err(OpeningError::Late(text.holder.clone()));
        }
        Ok(self.take(number, text))
    }

    /// Takes a commitment all the same that came too late ([`OpeningError::Late`]) or is another ([`OpeningError::Another`]). In
    /// round two, round one starts over with it.
    pub fn replace(&mut self, text: &Commitment) -> Result<Progress, OpeningError> {
        match self.commitment(text) {
            Err(OpeningError::Late(holder) | OpeningError::Another(holder)) => {
                let number = self.number(&holder)?;
                Ok(match self.signing {
                    Some(_) => self.start_over(number, text),
                    None => self.take(number, text),
                })
            }
            taken => taken,
        }
    }

    fn take(&mut self, number: u16, text: &Commitment) -> Progress {
        self.commitments.insert(number, text.commitments.clone());
        self.progress()
    }

    /// Nonces are used once: whoever has signed has to commit anew as well.
    fn start_over(&mut self, number: u16, text: &Commitment) -> Progress {
        self.seen
            .extend(std::mem::take(&mut self.commitments).into_values());
        self.signing = None;
        self.shares.clear();
        self.commitments.insert(number, text.commitments.clone());
        Progress::Restarted {
            by: text.holder.clone(),
        }
    }

    /// Begins round two: fixes the beginning of the certificate. From now on commitments are fixed.
    pub fn sign(&mut self, not_before: i64, head: Head) -> Result<&Signing, OpeningError> {
        if self.missing(&self.commitments).0 > 0 {
            return Err(OpeningError::Incomplete);
        }
        quorum(self.kit, &self.checked, &self.commitments)?;
        Ok(self.signing.insert(Signing {
            request: self.checked.hash(),
            not_before,
            commitments: self.commitments.clone(),
            head,
        }))
    }

    /// Takes a signature share. One that is wrong is not kept, and all who sent a wrong one are named.
    pub fn signature_share(&mut self, text: &SignatureShare) -> Result<Progress, OpeningError> {
        self.is_ours(text.request)?;
        let number = self.number(&text.holder)?;
        let Some(signing) = &self.signing else {
            return Err(OpeningError::TooEarly(text.holder.clone()));
        };
        if !signing.commitments.contains_key(&number) {
            return Err(OpeningError::NotSigning(text.holder.clone()));
        }
        let Some(share) = share(&text.share) else {
            return Err(OpeningError::Unreadable(text.holder.clone()));
        };
        // Texts carry nobody's signature. A false one must not take the place of the true one, whose writer has ended.
        let proof = Proof {
            identifier: Identifier::try_from(number).map_err(OpeningError::Frost)?,
            commitments: quorum(self.kit, &self.checked, &signing.commitments)?,
            share,
            message: self.checked.message(self.kit, signing.not_before)?,
        };
        proof
            .check(self.kit.public_keys())
            .map_err(|_| OpeningError::Wrong(text.holder.clone()))?;
        self.shares.insert(number, text.share.clone());
        Ok(self.progress())
    }

    /// Puts the signature together.
    pub fn finish(&self) -> Result<Granted, OpeningError> {
        let Some(signing) = self.signing.clone() else {
            return Err(OpeningError::Incomplete);
        };
        if self.missing(&self.shares).0 > 0 {
            return Err(OpeningError::Incomplete);
        }
        let commitments = quorum(self.kit, &self.checked, &signing.commitments)?;
        let message = self.checked.message(self.kit, signing.not_before)?;
        let package = SigningPackage::new(commitments, &message);
        let shares: BTreeMap<Identifier, Share> = self
            .shares
            .iter()
            .filter_map(|(number, text)| Some((Identifier::try_from(*number).ok()?, share(text)?)))
            .collect();
        // Each was proven when it came.
        let signature = aggregate(&package, &shares, self.kit.public_keys()).map_err(OpeningError::Frost)?;
        let signature = signature_bytes(&signature);
        if let Some(bytes) = self.checked.proposed_bytes() {
            let kit = Kit::assemble(bytes.to_vec(), self.kit.authority_signature(), signature)?;
            return Ok(Granted::Kit(Box::new(kit)));
        }
        let Some((not_before, not_after)) = self.checked.life(signing.not_before) else {
            let holders = self.kit.payload().holders.iter();
            let signed = holders.filter(|holder| signing.commitments.contains_key(&holder.identifier));
            return Ok(Granted::Drill {
                holders: signed.map(|holder| holder.name.clone()).collect(),
            });
        };
        let built = self
            .checked
            .leaf_at(not_before, |leaf| {
                certificate::leaf(self.kit.payload(), leaf, signature)
            })
            .ok_or(OpeningError::Incomplete)?;
        let der = built?;
        Ok(Granted::Certificate(Certificate {
            pem: certificate::pem(&der),
            credential_id: format!("X509SHA256={}", HEXLOWER.encode(&sha256(&[&der]))),
            der,
            not_before,
            not_after,
        }))
    }

    /// Round two as it was begun.
    pub fn signing(&self) -> Option<&Signing> {
        self.signing.as_ref()
    }

    /// Whose text is missing, in the round that is under way.
    pub fn progress(&self) -> Progress {
        let texts = match self.signing {
            None => &self.commitments,
            Some(_) => &self.shares,
        };
        match self.missing(texts) {
            (0, _) => Progress::Complete,
            (more, of) => Progress::Need { more, of },
        }
    }

    fn missing(&self, texts: &BTreeMap<u16, String>) -> (usize, Vec<Name>) {
        let payload = self.kit.payload();
        let asked = match &self.signing {
            Some(signing) => Some(signing.commitments.keys().copied().collect()),
            None => self.signers(),
        };
        let needed = asked.as_ref().map_or(payload.threshold.into(), Vec::len);
        let of = payload.holders.iter().filter(|holder| {
            let asked = asked
                .as_ref()
                .is_none_or(|asked| asked.contains(&holder.identifier));
            asked && !texts.contains_key(&holder.identifier)
        });
        (
            needed.saturating_sub(texts.len()),
            of.map(|holder| holder.name.clone()).collect(),
        )
    }

    fn signers(&self) -> Option<Vec<u16>> {
        self.checked.signers(self.kit)
    }

    fn is_ours(&self, request: RequestHash) -> Result<(), OpeningError> {
        let ours = self.checked.hash();
        match request == ours {
            true => Ok(()),
            false => Err(OpeningError::AnotherRequest {
                theirs: request.words(),
                ours: ours.words(),
            }),
        }
    }

    fn number(&self, name: &Name) -> Result<u16, OpeningError> {
        match self.kit.holder(name) {
            Some(holder) => Ok(holder.identifier),
            None => Err(OpeningError::Stranger(name.clone())),
        }
    }
}

fn is_commitment(text: &str) -> bool {
    let bytes = HEXLOWER.decode(text.as_bytes());
    bytes.is_ok_and(|bytes| frost_ed25519::round1::SigningCommitments::deserialize(&bytes).is_ok())
}

fn share(text: &str) -> Option<Share> {
    Share::deserialize(&HEXLOWER.decode(text.as_bytes()).ok()?).ok()
}
