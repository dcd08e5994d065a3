//! How a quorum's key is made: by all its holders together, each of whom adds a secret of their own that nobody else learns,
//! never by a dealer, who would have the whole key in hand. Side by side all of them act in one process, [`apart`] each in one
//! of their own.
//!
//! The last step is a signature by *all* holders over the kit and over the authority's certificate. It is the proof that each
//! of them has a share that works, before anybody relies on it.

pub mod apart;
mod invitation;
mod texts;

use std::collections::BTreeMap;

use frost_ed25519::{
    Error as FrostError, Identifier, SigningPackage, aggregate,
    keys::{KeyPackage, PublicKeyPackage, dkg},
    round1, round2,
};
use rand_core::{CryptoRng, RngCore};

pub use invitation::Invitation;

use crate::{
    armor::ArmorError,
    kit::{Draft, Kit, KitError, Made, signature_bytes},
    name::{Escaped, Name},
    recipient::RecipientError,
};

/// Why a key could not be made. Where it is about a text, that text was put aside and all others are kept.
#[derive(Debug, thiserror::Error)]
pub enum KeygenError {
    /// A draft for holders apart.
    #[error("the kit would say that no two of its shares were ever on one machine, and here all of them are")]
    Apart,
    /// A draft for holders side by side.
    #[error("the kit would say that its shares are made on one machine, and here they are not")]
    Together,
    /// A draft that cannot become a kit, or a kit that does not verify.
    #[error(transparent)]
    Kit(#[from] KitError),
    /// The library refused.
    #[error("the shares cannot be made ({0}); start over")]
    Frost(#[from] FrostError),
    /// Not a text of an init.
    #[error(transparent)]
    Armor(#[from] ArmorError),
    /// An invitation that this program does not know, or whose id is none.
    #[error("the invitation is not one that this program would have made: {0}")]
    Invitation(&'static str),
    /// A passphrase encrypts to oneself only.
    #[error(
        "the share of {0} would be encrypted with a passphrase, which others cannot encrypt with; apart, everybody needs a \
         key: age1…, or the public half of an SSH key file"
    )]
    Passphrase(Name),
    /// Nothing that can be encrypted to.
    #[error("the share of {name} cannot be encrypted to what the invitation says: {source}")]
    Recipient {
        /// Whose.
        name: Name,
        /// Why not.
        source: RecipientError,
    },
    /// Who joins is not invited.
    #[error("the invitation does not name {0} as a holder; is that the name in it, letter by letter?")]
    NotInvited(Name),
    /// An invitation, while another is being followed.
    #[error("this is another invitation than the one you joined with; stop here and join with the right one")]
    SecondInvitation,
    /// A text of another init.
    #[error("the {what} of {from} belongs to another invitation; ask {from} for the one of this init")]
    AnotherInvitation {
        /// What it is.
        what: &'static str,
        /// Whose.
        from: Name,
    },
    /// Of nobody who is invited.
    #[error(
        "there is a {what} of {from}, whom the invitation does not name; leave it out, and ask who sent it"
    )]
    Stranger {
        /// What it is.
        what: &'static str,
        /// Whose.
        from: Name,
    },
    /// Under the name of who reads it.
    #[error(
        "there is a {what} in your name that you did not write; somebody changes texts on their way: start over, and send \
         them another way"
    )]
    Forged {
        /// What it is.
        what: &'static str,
    },
    /// The second is refused, the first kept.
    #[error(
        "there are two different {what}s of {from}; if {from} has started anew, all start over with a new invitation; \
         if not, somebody changes texts on their way"
    )]
    TwoTexts {
        /// What it is.
        what: &'static str,
        /// Whose.
        from: Name,
    },
    /// Not everybody has the same texts.
    #[error(
        "{from} saw another {what} of {whose} than you did: somebody changed one on its way; start over with a new \
         invitation, and send texts another way"
    )]
    Differ {
        /// Who saw it.
        from: Name,
        /// What it is.
        what: &'static str,
        /// Whose it is.
        whose: Name,
    },
    /// Well formed outside, not within.
    #[error("the {what} of {from} is not one that this program writes; ask {from} for it again")]
    Damaged {
        /// What it is.
        what: &'static str,
        /// Whose.
        from: Name,
    },
    /// What it says is not true.
    #[error(
        "the {what} of {from} is wrong: it is not what {from}'s program computes, or it was changed on its way; ask {from} \
         for it again, another way"
    )]
    Wrong {
        /// What it is.
        what: &'static str,
        /// Whose.
        from: Name,
    },
    /// Not decrypted.
    #[error(
        "your part in the text of round 2 of {from} cannot be opened ({reason}); with the key that the invitation names for \
         you at hand, paste it again"
    )]
    Sealed {
        /// Whose.
        from: Name,
        /// What the decryption says.
        reason: Escaped,
    },
    /// Not encrypted.
    #[error("the part for {to} cannot be encrypted ({reason}); try again")]
    Unsealed {
        /// For whom.
        to: Name,
        /// What the encryption says.
        reason: Escaped,
    },
    /// They all have other keys than this machine.
    #[error("{0} came to another kit than you; start over with a new invitation")]
    AnotherKit(Name),
    /// Not yet.
    #[error("a {what} is missing of: {}", Name::list(from))]
    Missing {
        /// What is missing.
        what: &'static str,
        /// Of whom.
        from: Vec<Name>,
    },
    /// It was ended by an error.
    #[error("this init has ended; start over with a new invitation")]
    Over,
}

impl KeygenError {
    /// Whose text it is about, of those that were taken in: it is put aside, and another of theirs can mend it.
    pub fn text_of(&self) -> Option<&Name> {
        match self {
            Self::Damaged { from, .. }
            | Self::Wrong { from, .. }
            | Self::Differ { from, .. }
            | Self::Sealed { from, .. }
            | Self::AnotherKit(from) => Some(from),
            _ => None,
        }
    }
}

/// Makes the key in this process, with all shares in its memory, and the kit that says so. Gives each holder's share.
pub fn side_by_side(
    draft: &Draft,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(Kit, Vec<(Name, KeyPackage)>), KeygenError> {
    if draft.made != Made::OneMachine {
        return Err(KeygenError::Apart);
    }
    draft.check()?;
    let holders = number_of(draft);
    let (mut kept, mut said) = (BTreeMap::new(), BTreeMap::new());
    for number in 1..=holders {
        let me = Identifier::try_from(number)?;
        let (secret, package) = dkg::part1(me, holders, draft.threshold, &mut *rng)?;
        kept.insert(me, secret);
        said.insert(me, package);
    }
    let (mut kept_2, mut sent) = (BTreeMap::new(), BTreeMap::new());
    for (me, secret) in kept {
        let (secret, parts) = dkg::part2(secret, &all_but(me, &said))?;
        kept_2.insert(me, secret);
        sent.insert(me, parts);
    }
    let mut received = delivered(sent);
    let (mut keys, mut public) = (Vec::new(), None);
    for (me, secret) in kept_2 {
        let parts = received.remove(&me).unwrap_or_default();
        let (key, seen) = dkg::part3(&secret, &all_but(me, &said), &parts)?;
        // All of them computed it from the same packages; who differs has another key.
        if public.get_or_insert_with(|| seen.clone()) != &seen {
            return Err(FrostError::IncorrectPackage.into());
        }
        keys.push(key);
    }
    let public = public.ok_or(FrostError::IncorrectNumberOfPackages)?;
    let payload = draft.payload(&public)?;
    let mut sign = |message: &[u8]| sign_together(&keys, &public, message, rng);
    let authority = sign(&payload.authority_to_be_signed()?)?;
    let signature = sign(&payload.message())?;
    let kit = Kit::assemble(payload.bytes(), authority, signature)?;
    let names = draft.holders.iter().map(|(name, _)| name.clone());
    Ok((kit, names.zip(keys).collect()))
}

/// How many holders a checked draft has.
fn number_of(draft: &Draft) -> u16 {
    u16::try_from(draft.holders.len()).expect("a checked draft has at most 15 holders")
}

/// What one of them is told by the others.
pub(crate) fn all_but<T: Clone>(me: Identifier, said: &BTreeMap<Identifier, T>) -> BTreeMap<Identifier, T> {
    let others = said.iter().filter(|(from, _)| **from != me);
    others.map(|(from, what)| (*from, what.clone())).collect()
}

/// Sender → receiver → part becomes receiver → sender → part; nothing is copied.
pub(crate) fn delivered<T>(
    sent: BTreeMap<Identifier, BTreeMap<Identifier, T>>,
) -> BTreeMap<Identifier, BTreeMap<Identifier, T>> {
    let mut received: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (from, parts) in sent {
        for (to, part) in parts {
            received.entry(to).or_default().insert(from, part);
        }
    }
    received
}

/// A signature by all whose shares are given, over one message, with nonces that are made and gone here.
pub(crate) fn sign_together<'a>(
    keys: impl IntoIterator<Item = &'a KeyPackage>,
    public: &PublicKeyPackage,
    message: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<[u8; 64], FrostError> {
    let (mut nonces, mut commitments) = (Vec::new(), BTreeMap::new());
    for key in keys {
        let (nonce, commitment) = round1::commit(key.signing_share(), rng);
        nonces.push((key, nonce));
        commitments.insert(*key.identifier(), commitment);
    }
    let package = SigningPackage::new(commitments, message);
    let mut shares = BTreeMap::new();
    for (key, nonce) in nonces {
        shares.insert(*key.identifier(), round2::sign(&package, &nonce, key)?);
    }
    Ok(signature_bytes(&aggregate(&package, &shares, public)?))
}

#[cfg(test)]
pub(crate) mod tests;
