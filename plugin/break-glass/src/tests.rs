//! Ceremonies as people and attackers hold them.

use std::collections::BTreeMap;

use frost_ed25519::{
    Identifier, SigningPackage, aggregate,
    keys::{KeyPackage, PublicKeyPackage, dkg},
    round1, round2,
};
use rand_core::OsRng;

use crate::{
    kit::{Draft, Kit, Limits, Made, signature_bytes},
    log::Head,
    name::{Name, Reason},
    request::Request,
    share::Share,
};

mod attacks;
mod ceremony;
mod checks;
mod kits;

pub(crate) const NOW: i64 = 1_795_000_000;

pub(crate) fn name(name: &str) -> Name {
    Name::try_from(name.to_owned()).unwrap()
}

pub(crate) fn reason(reason: &str) -> Reason {
    Reason::try_from(reason.to_owned()).unwrap()
}

pub(crate) fn head() -> Head {
    Head {
        machine: "m".into(),
        entries: 0,
        hash: String::new(),
    }
}

pub(crate) const NAMES: [&str; 3] = ["alice", "bob", "carol"];

pub(crate) fn draft() -> Draft {
    Draft {
        cluster: "prod".into(),
        issuer: Some("https://issuer".into()),
        server: "https://server:6443".into(),
        server_ca: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        made: Made::OneMachine,
        created: NOW,
        authority_days: 7300,
        threshold: 2,
        holders: NAMES
            .map(|holder| (name(holder), vec![format!("age1{holder}")]))
            .into(),
        limits: Limits {
            longest_seconds: 3600,
            openers: Vec::new(),
            recertify_days: 365,
        },
    }
}

/// A kit and the shares of alice, bob and carol, two of whom are a quorum.
pub(crate) struct Quorum {
    pub(crate) kit: Kit,
    pub(crate) shares: Vec<Share>,
}

impl Quorum {
    pub(crate) fn new() -> Self {
        Self::of(&draft())
    }

    pub(crate) fn of(draft: &Draft) -> Self {
        let (keys, public) = generate(draft.threshold, draft.holders.len() as u16);
        let payload = draft.payload(&public).unwrap();
        let authority = sign(&keys, &public, &payload.authority_to_be_signed().unwrap());
        let kit = Kit::assemble(
            payload.bytes(),
            authority,
            sign(&keys, &public, &payload.message()),
        )
        .unwrap();
        let shares = keys.into_values().zip(&draft.holders);
        let shares = shares.map(|(key, (holder, _))| Share::of(&kit, holder.clone(), key));
        Self {
            shares: shares.collect(),
            kit,
        }
    }

    pub(crate) fn share(&self, index: usize) -> Share {
        let share = &self.shares[index];
        Share::of(&self.kit, share.holder().clone(), share.key_package().clone())
    }

    /// A request of alice's for an hour.
    pub(crate) fn request(&self) -> Request {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Request::certificate(
            &self.kit,
            name("alice"),
            reason("IdP down"),
            3600,
            key.public_key_raw(),
        )
    }

    /// What the quorum would sign of anything: nobody has such a program.
    pub(crate) fn sign_anything(&self, message: &[u8]) -> [u8; 64] {
        let keys = self.shares[..2].iter().map(Share::key_package);
        let keys = keys.map(|key| (*key.identifier(), key.clone())).collect();
        sign(&keys, self.kit.public_keys(), message)
    }
}

fn sign(keys: &BTreeMap<Identifier, KeyPackage>, public: &PublicKeyPackage, message: &[u8]) -> [u8; 64] {
    let (mut nonces, mut commitments) = (BTreeMap::new(), BTreeMap::new());
    for (identifier, key) in keys {
        let (secret, commitment) = round1::commit(key.signing_share(), &mut OsRng);
        nonces.insert(*identifier, secret);
        commitments.insert(*identifier, commitment);
    }
    let package = SigningPackage::new(commitments, message);
    let shares = keys.iter().map(|(identifier, key)| {
        let share = round2::sign(&package, &nonces[identifier], key).unwrap();
        (*identifier, share)
    });
    signature_bytes(&aggregate(&package, &shares.collect(), public).unwrap())
}

fn generate(threshold: u16, holders: u16) -> (BTreeMap<Identifier, KeyPackage>, PublicKeyPackage) {
    let all: Vec<_> = (1..=holders).map(|n| Identifier::try_from(n).unwrap()).collect();
    let (mut secrets, mut sent) = (BTreeMap::new(), BTreeMap::new());
    for identifier in &all {
        let (secret, package) = dkg::part1(*identifier, holders, threshold, OsRng).unwrap();
        secrets.insert(*identifier, secret);
        sent.insert(*identifier, package);
    }
    let others = |me: &Identifier| {
        let mut others = sent.clone();
        others.remove(me);
        others
    };
    let (mut seconds, mut inbox) = (BTreeMap::new(), BTreeMap::<_, BTreeMap<_, _>>::new());
    for (me, secret) in secrets {
        let (second, packages) = dkg::part2(secret, &others(&me)).unwrap();
        seconds.insert(me, second);
        for (to, package) in packages {
            inbox.entry(to).or_default().insert(me, package);
        }
    }
    let mut public = None;
    let keys = seconds.iter().map(|(me, second)| {
        let (key, package) = dkg::part3(second, &others(me), &inbox[me]).unwrap();
        public = Some(package);
        (*me, key)
    });
    let keys = keys.collect();
    (keys, public.unwrap())
}
