//! Other holders, or the same with other shares, at the same threshold and for the same authority.
//!
//! At least a quorum of the present holders comes to one machine. There each newcomer gets a share by *repair* (the library's
//! way to compute what the present polynomial is at a number), and then all who hold a share from now on *refresh*: each adds a
//! random polynomial that is 0 at 0, so the key stays and every share changes. Holders who stay but are not there get a new
//! share too: it is computed for them. So this machine has all shares in its memory, as at an init side by side, and the kit
//! says so from then on.
//!
//! # What old shares can still do
//!
//! Let `f` be the polynomial before and `g` the one after, both of degree M−1, where M is the threshold. A share is one of
//! their values; the key is `f(0) = g(0)`, and apart from this they are independent: their difference is random but for its 0
//! at 0. So whoever has `k` old shares and `j` new ones, of the same or of other holders,
//!
//! - with k < M and j < M learns nothing of the key and cannot sign, however large k + j is: for every possible key there are
//!   as many `f` and `g` that fit. Old and new shares are never added up to a quorum.
//! - with j ≥ M is a quorum.
//! - with k ≥ M *is still a quorum*, for ever: the authority's key is the same, and nothing in the API server tells an old share
//!   from a new one. Reshare helps against shares that may be copied one after the other, not against M that were. Against
//!   these only another authority helps, and the old one's end in the API server's bundle.
//!
//! Who stays has an old share and a new one, so knows the difference of the polynomials at one place. M−1 who stay know all of
//! it, and could turn the old share of somebody who left into a new one. They gain nothing by it: together with that old share
//! they have M old ones. But it means that old share files are to be destroyed by those who *stay*; that somebody who left
//! still has one is then harmless.
//!
//! The same holds for any two revisions of a kit; shares of one revision only ever fit each other. A newcomer's value of `f`
//! never leaves this module, so nobody gets an old share that did not have it.
//!
//! # What the library leaves to its caller
//!
//! The last part of repair adds up what it is given and checks nothing; refresh takes whatever shares it is told that the
//! group has before. So shares that come in are held against the kit, and what comes out signs the new kit in as many
//! quorums as prove that all shares are values of one polynomial with the authority's key at 0.

use std::collections::{BTreeMap, BTreeSet};

use frost_ed25519::{
    Ed25519Sha512, Error as FrostError, Identifier,
    keys::{
        KeyPackage, PublicKeyPackage, VerifyingShare,
        refresh::{refresh_dkg_part1, refresh_dkg_part2, refresh_dkg_shares},
        repairable::{Delta, repair_share_part1, repair_share_part2, repair_share_part3},
    },
};
use rand_core::{CryptoRng, RngCore};

use crate::{
    keygen::{all_but, delivered, sign_together},
    kit::{Holder, Kit, KitError, Made, Payload, verifying_share},
    name::Name,
};

/// Who is to hold a share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Holders who are none from now on.
    pub remove: Vec<Name>,
    /// New ones, and to whom their share files are encrypted. The name of a removed one may come again: a lost share is
    /// replaced so.
    pub add: Vec<(Name, Vec<String>)>,
}

/// Why shares stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum ReshareError {
    /// A share of nobody in the kit.
    #[error("{0} is no holder of this kit")]
    NotAHolder(Name),
    /// The same name twice.
    #[error("{0} is named twice")]
    Twice(Name),
    /// A share of another kit, or a damaged one.
    #[error(
        "the share of {0} is not the one that belongs to this kit: it is of an older or another kit, or damaged"
    )]
    AnotherShare(Name),
    /// Not a quorum.
    #[error("only a quorum can give out shares: {needed} holders with their shares, and here are {present}")]
    NoQuorum {
        /// How many are here.
        present: usize,
        /// How many are needed.
        needed: u16,
    },
    /// Somebody to add who is a holder and stays one.
    #[error("{0} is a holder already; to replace a lost share, remove and add them at once")]
    AlreadyAHolder(Name),
    /// Nothing to encrypt to.
    #[error("nothing says to which key the share of {0} is to be encrypted")]
    NoRecipient(Name),
    /// Fewer than a quorum would be left.
    #[error(
        "{left} holders would be left, and a quorum needs {needed}: add others at the same time, or make a new kit with \
         another threshold (init --rotate)"
    )]
    TooFewLeft {
        /// How many.
        left: usize,
        /// How many are needed.
        needed: u16,
    },
    /// Numbers for newcomers are used up.
    #[error("this kit has been signed too often to number new holders; make a new one (init --rotate)")]
    TooManyRevisions,
    /// The library refused, or the result does not fit.
    #[error(
        "the new shares cannot be made ({0}); nothing was changed: the kit and the shares before stay as they are"
    )]
    Frost(#[from] FrostError),
    /// The result is no kit.
    #[error(transparent)]
    Kit(#[from] KitError),
}

/// Changes who holds a share. `present` are holders of the kit with their shares, those who leave as well if they are there;
/// `now` is in Unix seconds. Gives the kit's next revision, and a share for each of its holders: files of all are to be
/// written anew. Those who were here count as confirmed; others have yet to show that they can use their new share.
pub fn reshare(
    kit: &Kit,
    present: Vec<(Name, KeyPackage)>,
    change: Change,
    now: i64,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(Kit, Vec<(Name, KeyPackage)>), ReshareError> {
    let before = kit.payload();
    let helpers = check_present(kit, present)?;
    let holders = holders_after(before, &change, |name| helpers.contains_key(name).then_some(now))?;

    let mut keys = BTreeMap::new();
    for holder in &holders {
        let number = Identifier::try_from(holder.identifier)?;
        let key = match helpers
            .get(&holder.name)
            .filter(|key| *key.identifier() == number)
        {
            Some(key) => key.clone(),
            None => repair(&helpers, number, kit.public_keys(), rng)?,
        };
        keys.insert(number, key);
    }
    drop(helpers);
    let (mut keys, public) = refresh(keys, kit.public_keys(), rng)?;

    let mut payload = before.clone();
    payload.revision = before
        .revision
        .checked_add(1)
        .ok_or(ReshareError::TooManyRevisions)?;
    payload.previous = Some(kit.hash());
    payload.made = Made::OneMachine;
    payload.holders = holders;
    for holder in &mut payload.holders {
        holder.verifying_share = verifying_share(&public, holder.identifier)?;
    }
    payload.follows(kit)?;
    let signature = sign_as_each_quorum(&keys, &public, &payload.message(), rng)?;
    let shares: Result<_, ReshareError> = payload
        .holders
        .iter()
        .map(|holder| {
            let key = keys.remove(&Identifier::try_from(holder.identifier)?);
            Ok((holder.name.clone(), key.ok_or(FrostError::UnknownIdentifier)?))
        })
        .collect();
    let kit = Kit::assemble(payload.bytes(), kit.authority_signature(), signature)?;
    Ok((kit, shares?))
}

/// The shares that came, each the one that the kit says its holder has.
fn check_present(
    kit: &Kit,
    present: Vec<(Name, KeyPackage)>,
) -> Result<BTreeMap<Name, KeyPackage>, ReshareError> {
    let public = kit.public_keys();
    let needed = kit.payload().threshold;
    let mut helpers = BTreeMap::new();
    for (name, key) in present {
        let holder = kit
            .holder(&name)
            .ok_or_else(|| ReshareError::NotAHolder(name.clone()))?;
        let number = Identifier::try_from(holder.identifier)?;
        // A share file says both halves; nothing but this says that they belong together.
        let share = VerifyingShare::from(*key.signing_share());
        let fits = *key.identifier() == number
            && public.verifying_shares().get(&number) == Some(&share)
            && *key.verifying_share() == share
            && key.verifying_key() == public.verifying_key()
            && *key.min_signers() == needed;
        if !fits {
            return Err(ReshareError::AnotherShare(name));
        }
        if helpers.insert(name.clone(), key).is_some() {
            return Err(ReshareError::Twice(name));
        }
    }
    match helpers.len() {
        present if present < usize::from(needed) => Err(ReshareError::NoQuorum { present, needed }),
        _ => Ok(helpers),
    }
}

/// Checks what can be checked of a change before anybody opens a share file.
pub fn check(kit: &Kit, change: &Change) -> Result<(), ReshareError> {
    holders_after(kit.payload(), change, |_| None).map(drop)
}

/// Those who hold a share afterwards, with their verifying shares of before or, for newcomers, none yet.
fn holders_after(
    before: &Payload,
    change: &Change,
    confirmed: impl Fn(&Name) -> Option<i64>,
) -> Result<Vec<Holder>, ReshareError> {
    let mut removed = BTreeSet::new();
    for name in &change.remove {
        if !before.holders.iter().any(|holder| holder.name == *name) {
            return Err(ReshareError::NotAHolder(name.clone()));
        }
        if !removed.insert(name) {
            return Err(ReshareError::Twice(name.clone()));
        }
    }
    let stay = before
        .holders
        .iter()
        .filter(|holder| !removed.contains(&holder.name));
    let mut holders: Vec<_> = stay
        .map(|holder| Holder {
            confirmed: confirmed(&holder.name).unwrap_or(0),
            ..holder.clone()
        })
        .collect();
    let staying = holders.len();
    for (index, (name, recipients)) in change.add.iter().enumerate() {
        match holders.iter().position(|holder| holder.name == *name) {
            Some(found) if found < staying => return Err(ReshareError::AlreadyAHolder(name.clone())),
            Some(_) => return Err(ReshareError::Twice(name.clone())),
            None => {}
        }
        if recipients.is_empty() {
            return Err(ReshareError::NoRecipient(name.clone()));
        }
        holders.push(Holder {
            name: name.clone(),
            identifier: new_number(before, index)?,
            recipients: recipients.clone(),
            verifying_share: String::new(),
            confirmed: 0,
        });
    }
    let (left, needed) = (holders.len(), before.threshold);
    match left < usize::from(needed) {
        true => Err(ReshareError::TooFewLeft { left, needed }),
        false => Ok(holders),
    }
}

/// A number that no holder of any revision had: each revision has sixteen of its own, the first one 1 to 15. One that had been
/// somebody's would make the repaired share, for a moment, that person's old one.
fn new_number(before: &Payload, index: usize) -> Result<u16, ReshareError> {
    const EACH: u32 = 16;
    let number = u32::try_from(index)
        .ok()
        .filter(|index| *index < EACH)
        .and_then(|index| before.revision.checked_mul(EACH)?.checked_add(index));
    number
        .and_then(|number| u16::try_from(number).ok())
        .ok_or(ReshareError::TooManyRevisions)
}

/// What the polynomial of the present shares is at a number.
fn repair(
    helpers: &BTreeMap<Name, KeyPackage>,
    number: Identifier,
    public: &PublicKeyPackage,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<KeyPackage, FrostError> {
    let numbers: Vec<_> = helpers.values().map(|key| *key.identifier()).collect();
    let mut received: BTreeMap<Identifier, Vec<Delta>> = BTreeMap::new();
    for key in helpers.values() {
        for (to, delta) in repair_share_part1::<Ed25519Sha512, _>(&numbers, key, rng, number)? {
            received.entry(to).or_default().push(delta);
        }
    }
    let sigmas: Vec<_> = received
        .values()
        .map(|deltas| repair_share_part2(deltas))
        .collect();
    repair_share_part3(&sigmas, number, public)
}

/// Adds a random polynomial of each of them, 0 at 0, to the one they have shares of.
fn refresh(
    keys: BTreeMap<Identifier, KeyPackage>,
    public: &PublicKeyPackage,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(BTreeMap<Identifier, KeyPackage>, PublicKeyPackage), FrostError> {
    let holders = u16::try_from(keys.len()).map_err(|_| FrostError::InvalidMaxSigners)?;
    let threshold = public.min_signers().ok_or(FrostError::InvalidMinSigners)?;
    // Those who leave are none of the group any more: the library would carry on with exactly what it is given here.
    let shares = keys.iter().map(|(number, key)| (*number, *key.verifying_share()));
    let group = PublicKeyPackage::new(shares.collect(), *public.verifying_key(), Some(threshold));
    let (mut kept, mut said) = (BTreeMap::new(), BTreeMap::new());
    for me in keys.keys() {
        let (secret, package) = refresh_dkg_part1(*me, holders, threshold, &mut *rng)?;
        kept.insert(*me, secret);
        said.insert(*me, package);
    }
    let (mut kept_2, mut sent) = (BTreeMap::new(), BTreeMap::new());
    for (me, secret) in kept {
        let (secret, parts) = refresh_dkg_part2(secret, &all_but(me, &said))?;
        kept_2.insert(me, secret);
        sent.insert(me, parts);
    }
    let mut received = delivered(sent);
    let (mut refreshed, mut after) = (BTreeMap::new(), None);
    for (me, key) in keys {
        let secret = kept_2.get(&me).ok_or(FrostError::PackageNotFound)?;
        let parts = received.remove(&me).unwrap_or_default();
        let (key, seen) = refresh_dkg_shares(secret, &all_but(me, &said), &parts, group.clone(), key)?;
        let fits = seen.verifying_shares().get(&me) == Some(key.verifying_share())
            && seen.verifying_key() == public.verifying_key();
        if !fits || after.get_or_insert_with(|| seen.clone()) != &seen {
            return Err(FrostError::IncorrectPackage);
        }
        refreshed.insert(me, key);
    }
    let after = after.ok_or(FrostError::IncorrectNumberOfPackages)?;
    Ok((refreshed, after))
}

/// Signs once with each M holders who are neighbours in a ring. Two quorums next to each other have M−1 shares and the key in
/// common, so both lie on one polynomial, and so do all: every quorum of the kit can sign, not only the ones that did.
fn sign_as_each_quorum(
    keys: &BTreeMap<Identifier, KeyPackage>,
    public: &PublicKeyPackage,
    message: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<[u8; 64], FrostError> {
    let threshold = usize::from(public.min_signers().ok_or(FrostError::InvalidMinSigners)?);
    let mut signature = None;
    for first in 0..keys.len() {
        let ring = keys.values().cycle().skip(first);
        signature = Some(sign_together(ring.take(threshold), public, message, rng)?);
    }
    signature.ok_or(FrostError::IncorrectNumberOfShares)
}

#[cfg(test)]
mod tests;
