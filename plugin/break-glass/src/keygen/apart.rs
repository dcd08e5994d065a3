//! Holders apart: each on a machine of their own, with texts between them that pass through any chat.
//!
//! Four texts of each holder go to all others: what they commit to, the encrypted parts of what they chose, commitments to
//! nonces, signature shares. Only the second holds secrets, each encrypted to its receiver's keys in the invitation.
//!
//! A chat proves nobody's name. What holds against whoever reads and changes all of it:
//! - The invitation's twelve words are compared by voice, and its hash is in every text. So everybody encrypts to the same keys.
//! - The second text says which first texts its writer had; the commitments are of use only if all holders have the same (the
//!   broadcast that RFC 9591 asks for). The fourth says the same of the third, so that nobody is blamed for another's forgery.
//! - To sign, a holder must have opened the parts of all others. Who writes in the name of a holder whose key they do not have
//!   cannot: the kit does not come to be.
//! - A holder signs what their own machine computed from the invitation and the texts, and nothing that a text says.
//!
//! Who *writes* the invitation could look for two with the same words, and if they carry everybody's texts as well, make a kit
//! with each holder alone: so invitation and kit have twelve words, which are 132 bits.

use std::{collections::BTreeMap, error::Error, mem};

use frost_ed25519::{
    Error as FrostError, SigningPackage, aggregate,
    keys::{
        KeyPackage, PublicKeyPackage,
        dkg::{self, round1 as dkg_1, round2 as dkg_2},
    },
    round1::{SigningCommitments, SigningNonces, commit},
    round2::sign,
};
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::{
    Invitation, KeygenError, number_of,
    texts::{
        Body, Commitments, Hex, Numbered, Round1, Round2, Shares, Shelf, Text, commitments, hex, number,
        number_among, open_part, packages, shares,
    },
};
use crate::{
    armor::{Armored, Block},
    kit::{Kit, Payload, signature_bytes},
    name::{Escaped, Name},
};

/// How parts are encrypted to other holders, and one's own are opened.
pub trait Sealing {
    /// Encrypts to whoever has one of the recipients' keys.
    fn seal(&mut self, recipients: &[String], plaintext: &[u8]) -> Result<String, Refusal>;
    /// Opens what was encrypted to oneself.
    fn open(&mut self, ciphertext: &str) -> Result<Zeroizing<Vec<u8>>, Refusal>;
}

/// Why something was not encrypted or opened, for people.
pub type Refusal = Box<dyn Error + Send + Sync>;

/// What a text brought.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// More texts are needed.
    Need {
        /// Which.
        what: &'static str,
        /// Whose.
        from: Vec<Name>,
    },
    /// [`Joining::next`] is due.
    Ready,
}

/// What comes next.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// A text to give to all other holders.
    Text(String),
    /// The kit, the same for all holders, and this one's share.
    Kit(Box<(Kit, KeyPackage)>),
}

/// A holder's part in making a kit apart. What is secret lives in here alone: it cannot be copied or written down, and each
/// step takes it from the one before, so that nothing is used twice.
#[derive(Debug)]
pub struct Joining {
    invitation: Invitation,
    hash: String,
    me: Name,
    names: Vec<Name>,
    stage: Stage,
    // Texts come in any order, so those of later rounds wait here; nothing in them is looked at before its round.
    round1: Shelf<Round1>,
    round2: Shelf<Round2>,
    commitments: Shelf<Commitments>,
    shares: Shelf<Shares>,
}

#[derive(Debug)]
enum Stage {
    Round1(dkg_1::SecretPackage),
    Round1Done(dkg_2::SecretPackage, Numbered<dkg_2::Package>),
    Round2(dkg_2::SecretPackage, Numbered<dkg_2::Package>),
    Round2Done(Quorum),
    Committed(Quorum, [SigningNonces; 2]),
    CommittedDone(Quorum, [SigningNonces; 2], [SigningPackage; 2]),
    Signed(Quorum, [SigningPackage; 2]),
    SignedDone(Box<(Kit, KeyPackage)>),
    Over,
}

/// The key as one of its holders has it.
#[derive(Debug)]
struct Quorum {
    key: KeyPackage,
    public: PublicKeyPackage,
    payload: Payload,
}

impl Joining {
    /// Joins as one of the invited; gives the first text for all others. The invitation's words were compared before.
    pub fn begin(
        invitation: Invitation,
        me: Name,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, String), KeygenError> {
        invitation.check()?;
        let draft = invitation.draft();
        let names: Vec<_> = draft.holders.iter().map(|(name, _)| name.clone()).collect();
        let number = number(&names, &me).ok_or_else(|| KeygenError::NotInvited(me.clone()))?;
        let (secret, package) = dkg::part1(number, number_of(draft), draft.threshold, rng)?;
        let mut joining = Self {
            hash: invitation.hash(),
            invitation,
            me,
            names,
            stage: Stage::Round1(secret),
            round1: Shelf::default(),
            round2: Shelf::default(),
            commitments: Shelf::default(),
            shares: Shelf::default(),
        };
        let package = hex(&package.serialize()?);
        let text = joining.write(|joining| &mut joining.round1, Round1 { package });
        Ok((joining, text))
    }

    /// Takes a text of this init, of any round and any holder. An error puts this one text aside and keeps all others.
    pub fn take(&mut self, block: &Block, sealing: &mut dyn Sealing) -> Result<Progress, KeygenError> {
        let (hash, names, me) = (&self.hash, &self.names, &self.me);
        match block.label() {
            Invitation::LABEL if Invitation::read(block)? != self.invitation => {
                return Err(KeygenError::SecondInvitation);
            }
            Invitation::LABEL => {}
            Round2::LABEL => self.round2.take(block, hash, names, me)?,
            Commitments::LABEL => self.commitments.take(block, hash, names, me)?,
            Shares::LABEL => self.shares.take(block, hash, names, me)?,
            _ => self.round1.take(block, hash, names, me)?,
        }
        self.progress(sealing)
    }

    /// What is needed next, by the texts that are here. An error that is nobody's text ([`KeygenError::text_of`]) comes again
    /// whatever is pasted.
    pub fn progress(&mut self, sealing: &mut dyn Sealing) -> Result<Progress, KeygenError> {
        match self.settle(sealing) {
            Ok(Some(stage)) => self.stage = stage,
            Ok(None) => {}
            Err(error) => {
                self.put_aside(&error);
                return Err(error);
            }
        }
        let (what, from) = match &self.stage {
            Stage::Round1(_) => (Round1::WHAT, self.round1.missing(&self.names)),
            Stage::Round2(..) => (Round2::WHAT, self.round2.missing(&self.names)),
            Stage::Committed(..) => (Commitments::WHAT, self.commitments.missing(&self.names)),
            Stage::Signed(..) => (Shares::WHAT, self.shares.missing(&self.names)),
            Stage::Over => return Err(KeygenError::Over),
            _ => return Ok(Progress::Ready),
        };
        Ok(Progress::Need { what, from })
    }

    /// Checks the texts of this round that are here; the stage after it if they are all.
    fn settle(&mut self, sealing: &mut dyn Sealing) -> Result<Option<Stage>, KeygenError> {
        let names = &self.names;
        match &mut self.stage {
            Stage::Round1(secret) => {
                let threshold = self.invitation.draft().threshold;
                let packages = packages(&self.round1, names, &self.me, threshold)?;
                if !self.round1.missing(names).is_empty() {
                    return Ok(None);
                }
                // It is kept until the others' packages have proven good: one that is not may be replaced.
                let (secret, parts) = dkg::part2(secret.clone(), &packages)
                    .map_err(|error| blame(error, names, &self.me, Round1::WHAT))?;
                Ok(Some(Stage::Round1Done(secret, parts)))
            }
            Stage::Round2(secret, parts) => {
                for (from, text) in &self.round2.0 {
                    let number = number_among(names, from)?;
                    if *from == self.me || parts.contains_key(&number) {
                        continue;
                    }
                    self.round1.compare(from, &text.body.seen)?;
                    parts.insert(number, open_part(text, &self.me, sealing)?);
                }
                if !self.round2.missing(names).is_empty() {
                    return Ok(None);
                }
                let draft = self.invitation.draft();
                let packages = packages(&self.round1, names, &self.me, draft.threshold)?;
                let (key, public) = match dkg::part3(secret, &packages, parts) {
                    Ok(made) => made,
                    Err(error) => {
                        error.culprits().iter().for_each(|culprit| {
                            parts.remove(culprit);
                        });
                        return Err(blame(error, names, &self.me, Round2::WHAT));
                    }
                };
                let payload = draft.payload(&public)?;
                Ok(Some(Stage::Round2Done(Quorum { key, public, payload })))
            }
            Stage::Committed(quorum, _) => {
                let commitments = commitments(&self.commitments, names, &quorum.payload)?;
                if !self.commitments.missing(names).is_empty() {
                    return Ok(None);
                }
                let packages = signing_packages(commitments, &quorum.payload)?;
                match mem::replace(&mut self.stage, Stage::Over) {
                    Stage::Committed(quorum, nonces) => {
                        Ok(Some(Stage::CommittedDone(quorum, nonces, packages)))
                    }
                    _ => Err(KeygenError::Over),
                }
            }
            Stage::Signed(quorum, packages) => {
                let shares = shares(&self.shares, &self.commitments, names)?;
                if !self.shares.missing(names).is_empty() {
                    return Ok(None);
                }
                let whole = |nth: usize| {
                    let signature = aggregate(&packages[nth], &shares[nth], &quorum.public)
                        .map_err(|error| blame(error, names, &self.me, Shares::WHAT));
                    Ok::<_, KeygenError>(signature_bytes(&signature?))
                };
                let kit = Kit::assemble(quorum.payload.bytes(), whole(0)?, whole(1)?)?;
                match mem::replace(&mut self.stage, Stage::Over) {
                    Stage::Signed(quorum, _) => Ok(Some(Stage::SignedDone(Box::new((kit, quorum.key))))),
                    _ => Err(KeygenError::Over),
                }
            }
            _ => Ok(None),
        }
    }

    /// Goes on once [`Progress::Ready`] was seen. After [`KeygenError::Unsealed`] it can be tried again.
    pub fn next(
        &mut self,
        sealing: &mut dyn Sealing,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Step, KeygenError> {
        let text = match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Round1Done(secret, parts) => {
                let sealed = self.seal(&parts, sealing);
                match sealed {
                    Ok(body) => {
                        self.stage = Stage::Round2(secret, BTreeMap::new());
                        self.write(|joining| &mut joining.round2, body)
                    }
                    Err(error) => {
                        self.stage = Stage::Round1Done(secret, parts);
                        return Err(error);
                    }
                }
            }
            Stage::Round2Done(quorum) => {
                let mut pair = || commit(quorum.key.signing_share(), rng);
                let [(first, first_said), (second, second_said)] = [pair(), pair()];
                let body = Commitments {
                    kit: quorum.payload.hash(),
                    commitments: [hex(&first_said.serialize()?), hex(&second_said.serialize()?)],
                };
                self.stage = Stage::Committed(quorum, [first, second]);
                self.write(|joining| &mut joining.commitments, body)
            }
            // The nonces end here, whatever comes of it.
            Stage::CommittedDone(quorum, nonces, packages) => {
                let share = |nth: usize| -> Result<Hex, FrostError> {
                    Ok(hex(&sign(&packages[nth], &nonces[nth], &quorum.key)?.serialize()))
                };
                let body = Shares {
                    seen: self.commitments.seen(),
                    shares: [share(0)?, share(1)?],
                };
                self.stage = Stage::Signed(quorum, packages);
                self.write(|joining| &mut joining.shares, body)
            }
            Stage::SignedDone(kit) => return Ok(Step::Kit(kit)),
            waiting => {
                self.stage = waiting;
                return match self.progress(sealing)? {
                    Progress::Need { what, from } => Err(KeygenError::Missing { what, from }),
                    Progress::Ready => self.next(sealing, rng),
                };
            }
        };
        Ok(Step::Text(text))
    }

    /// What goes to the others in round 2.
    fn seal(
        &self,
        parts: &Numbered<dkg_2::Package>,
        sealing: &mut dyn Sealing,
    ) -> Result<Round2, KeygenError> {
        let mut sealed = BTreeMap::new();
        for (to, recipients) in &self.invitation.draft().holders {
            let Some(part) = parts.get(&number_among(&self.names, to)?) else {
                continue;
            };
            let plaintext = Zeroizing::new(part.serialize()?);
            let refused = |refusal: Refusal| KeygenError::Unsealed {
                to: to.clone(),
                reason: Escaped::new(&refusal.to_string()),
            };
            sealed.insert(to.clone(), sealing.seal(recipients, &plaintext).map_err(refused)?);
        }
        Ok(Round2 {
            seen: self.round1.seen(),
            parts: sealed,
        })
    }

    /// Writes a text of one's own.
    fn write<B: Body>(&mut self, shelf: impl Fn(&mut Self) -> &mut Shelf<B>, body: B) -> String {
        let text = Text {
            invitation: self.hash.clone(),
            from: self.me.clone(),
            body,
        };
        let armored = text.armor();
        let me = self.me.clone();
        shelf(self).0.insert(me, text);
        armored
    }

    /// Lets a text be replaced that an error is about.
    fn put_aside(&mut self, error: &KeygenError) {
        let Some(from) = error.text_of() else { return };
        match &self.stage {
            Stage::Round1(_) => drop(self.round1.0.remove(from)),
            Stage::Round2(..) => drop(self.round2.0.remove(from)),
            Stage::Committed(..) => drop(self.commitments.0.remove(from)),
            Stage::Signed(..) => drop(self.shares.0.remove(from)),
            _ => {}
        }
    }
}

/// Who made the library refuse, if it is one of the others.
fn blame(error: FrostError, names: &[Name], me: &Name, what: &'static str) -> KeygenError {
    let culprits = error.culprits();
    let culprit = names.iter().find(|name| {
        let number = number(names, name);
        *name != me && number.is_some_and(|number| culprits.contains(&number))
    });
    match culprit.cloned() {
        Some(from) => KeygenError::Wrong { what, from },
        None => KeygenError::Frost(error),
    }
}

/// What is signed: first the authority's certificate, then the kit. Both come from this machine's payload.
fn signing_packages(
    [first, second]: [Numbered<SigningCommitments>; 2],
    payload: &Payload,
) -> Result<[SigningPackage; 2], KeygenError> {
    Ok([
        SigningPackage::new(first, &payload.authority_to_be_signed()?),
        SigningPackage::new(second, &payload.message()),
    ])
}
