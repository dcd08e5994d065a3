//! The texts of an init apart, after its invitation.

use std::collections::BTreeMap;

use frost_ed25519::{
    Identifier,
    keys::dkg::{round1 as dkg_1, round2 as dkg_2},
    round1::SigningCommitments,
    round2::SignatureShare,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{KeygenError, apart::Sealing};
use crate::{
    armor::{Armored, Block},
    kit::{KitHash, Payload},
    name::{Escaped, Name},
    words::sha256,
};

/// What a holder says in one of the rounds.
pub(super) trait Body: Clone + PartialEq + Serialize + DeserializeOwned {
    /// What stands after BEGIN and END.
    const LABEL: &'static str;
    /// How people call it.
    const WHAT: &'static str;
}

/// A holder's text: bound to the invitation, and to a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Text<B> {
    pub(super) invitation: String,
    pub(super) from: Name,
    pub(super) body: B,
}

impl<B: Body> Armored for Text<B> {
    const LABEL: &'static str = B::LABEL;
}

/// Bytes in hexadecimal.
pub(super) type Hex = String;

/// The commitments to a holder's secret polynomial, and the proof that they know its constant term.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Round1 {
    pub(super) package: Hex,
}

/// A holder's polynomial at each other holder's number, encrypted to that holder; and what the sender had from round 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Round2 {
    pub(super) seen: Seen,
    pub(super) parts: BTreeMap<Name, String>,
}

/// Commitments to the nonces for the authority's certificate and for the kit, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Commitments {
    pub(super) kit: KitHash,
    pub(super) commitments: [Hex; 2],
}

/// Signature shares over the same two; and which commitments the sender signed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Shares {
    pub(super) seen: Seen,
    pub(super) shares: [Hex; 2],
}

impl Body for Round1 {
    const LABEL: &'static str = "GATEPASS KEY ROUND 1";
    const WHAT: &'static str = "text of round 1";
}

impl Body for Round2 {
    const LABEL: &'static str = "GATEPASS KEY ROUND 2";
    const WHAT: &'static str = "text of round 2";
}

impl Body for Commitments {
    const LABEL: &'static str = "GATEPASS KEY COMMITMENT";
    const WHAT: &'static str = "commitment";
}

impl Body for Shares {
    const LABEL: &'static str = "GATEPASS KEY SIGNATURE SHARE";
    const WHAT: &'static str = "signature share";
}

/// Something of each holder, by number.
pub(super) type Numbered<T> = BTreeMap<Identifier, T>;

/// The hashes of all texts of a round, by whose they are.
pub(super) type Seen = BTreeMap<Name, Hex>;

/// The texts of one round, at most one of each holder; one's own, too, once it is written.
#[derive(Debug)]
pub(super) struct Shelf<B>(pub(super) BTreeMap<Name, Text<B>>);

impl<B> Default for Shelf<B> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<B: Body> Shelf<B> {
    /// Takes a text that came from somewhere.
    pub(super) fn take(
        &mut self,
        block: &Block,
        invitation: &str,
        holders: &[Name],
        me: &Name,
    ) -> Result<(), KeygenError> {
        let text: Text<B> = block.read()?;
        let (what, from) = (B::WHAT, text.from.clone());
        if text.invitation != invitation {
            return Err(KeygenError::AnotherInvitation { what, from });
        }
        if !holders.contains(&from) {
            return Err(KeygenError::Stranger { what, from });
        }
        match self.0.get(&from) {
            Some(before) if *before == text => Ok(()),
            _ if from == *me => Err(KeygenError::Forged { what }),
            Some(_) => Err(KeygenError::TwoTexts { what, from }),
            None => {
                self.0.insert(from, text);
                Ok(())
            }
        }
    }

    /// Whose are not here yet.
    pub(super) fn missing(&self, holders: &[Name]) -> Vec<Name> {
        let missing = holders.iter().filter(|name| !self.0.contains_key(*name));
        missing.cloned().collect()
    }

    /// What everybody should have seen.
    pub(super) fn seen(&self) -> Seen {
        let hash = |text: &Text<B>| {
            let bytes = serde_json::to_vec(text).expect("a ceremony's text is plain JSON");
            let hash = sha256(&[b"gatepass/key-text/v1\0", B::LABEL.as_bytes(), b"\0", &bytes]);
            data_encoding::HEXLOWER.encode(&hash)
        };
        let texts = self.0.iter();
        texts.map(|(name, text)| (name.clone(), hash(text))).collect()
    }

    /// Refuses somebody's view of these texts if it is not this one.
    pub(super) fn compare(&self, from: &Name, theirs: &Seen) -> Result<(), KeygenError> {
        let what = B::WHAT;
        let ours = self.seen();
        match ours.iter().find(|(name, hash)| theirs.get(*name) != Some(*hash)) {
            Some((whose, _)) => Err(KeygenError::Differ {
                from: from.clone(),
                what,
                whose: whose.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// The number of a holder: their place in the invitation, from 1.
pub(super) fn number(names: &[Name], name: &Name) -> Option<Identifier> {
    let index = names.iter().position(|one| one == name)?;
    Identifier::try_from(u16::try_from(index + 1).ok()?).ok()
}

/// The number of one who is known to be a holder.
pub(super) fn number_among(names: &[Name], name: &Name) -> Result<Identifier, KeygenError> {
    number(names, name).ok_or_else(|| KeygenError::NotInvited(name.clone()))
}

/// The others' packages of round 1.
pub(super) fn packages(
    shelf: &Shelf<Round1>,
    names: &[Name],
    me: &Name,
    threshold: u16,
) -> Result<Numbered<dkg_1::Package>, KeygenError> {
    let mut packages = BTreeMap::new();
    for (from, text) in shelf.0.iter().filter(|(from, _)| *from != me) {
        let package = unhex(&text.body.package)
            .and_then(|bytes| dkg_1::Package::deserialize(&bytes).ok())
            .ok_or_else(|| damaged::<Round1>(from))?;
        // Another degree is another threshold; the library says so only without a name.
        let degree = package.commitment().serialize().map(|all| all.len());
        if degree != Ok(usize::from(threshold)) {
            return Err(damaged::<Round1>(from));
        }
        packages.insert(number_among(names, from)?, package);
    }
    Ok(packages)
}

/// One's own part in somebody's text of round 2.
pub(super) fn open_part(
    text: &Text<Round2>,
    me: &Name,
    sealing: &mut dyn Sealing,
) -> Result<dkg_2::Package, KeygenError> {
    let sealed = text
        .body
        .parts
        .get(me)
        .ok_or_else(|| damaged::<Round2>(&text.from))?;
    let plaintext = sealing.open(sealed).map_err(|refusal| KeygenError::Sealed {
        from: text.from.clone(),
        reason: Escaped::new(&refusal.to_string()),
    })?;
    dkg_2::Package::deserialize(&plaintext).map_err(|_| damaged::<Round2>(&text.from))
}

/// Everybody's commitments to nonces, for the first and the second message.
pub(super) fn commitments(
    shelf: &Shelf<Commitments>,
    names: &[Name],
    payload: &Payload,
) -> Result<[Numbered<SigningCommitments>; 2], KeygenError> {
    let mut all = [BTreeMap::new(), BTreeMap::new()];
    for (from, text) in &shelf.0 {
        if text.body.kit != payload.hash() {
            return Err(KeygenError::AnotherKit(from.clone()));
        }
        for (nth, commitments) in all.iter_mut().enumerate() {
            let said = unhex(&text.body.commitments[nth])
                .and_then(|bytes| SigningCommitments::deserialize(&bytes).ok())
                .ok_or_else(|| damaged::<Commitments>(from))?;
            commitments.insert(number_among(names, from)?, said);
        }
    }
    Ok(all)
}

/// Everybody's signature shares over both.
pub(super) fn shares(
    shelf: &Shelf<Shares>,
    commitments: &Shelf<Commitments>,
    names: &[Name],
) -> Result<[Numbered<SignatureShare>; 2], KeygenError> {
    let mut all = [BTreeMap::new(), BTreeMap::new()];
    for (from, text) in &shelf.0 {
        commitments.compare(from, &text.body.seen)?;
        for (nth, shares) in all.iter_mut().enumerate() {
            let share = unhex(&text.body.shares[nth])
                .and_then(|bytes| SignatureShare::deserialize(&bytes).ok())
                .ok_or_else(|| damaged::<Shares>(from))?;
            shares.insert(number_among(names, from)?, share);
        }
    }
    Ok(all)
}

fn damaged<B: Body>(from: &Name) -> KeygenError {
    KeygenError::Damaged {
        what: B::WHAT,
        from: from.clone(),
    }
}

pub(super) fn hex(bytes: &[u8]) -> Hex {
    data_encoding::HEXLOWER.encode(bytes)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()
}
