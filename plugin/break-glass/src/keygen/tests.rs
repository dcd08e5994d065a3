use std::sync::{LazyLock, Mutex};

use rand_core::OsRng;

use super::*;
use crate::kit::Limits;

pub(crate) mod apart;

pub(crate) fn name(name: &str) -> Name {
    Name::try_from(name.to_owned()).unwrap()
}

/// Somebody's public key, the same each time.
pub(crate) fn recipient(name: &str) -> String {
    static KEYS: LazyLock<Mutex<BTreeMap<String, String>>> = LazyLock::new(Mutex::default);
    let make = || age::x25519::Identity::generate().to_public().to_string();
    let mut keys = KEYS.lock().unwrap();
    keys.entry(name.to_owned()).or_insert_with(make).clone()
}

/// Alice, bob, carol, …, each with a key of their own.
pub(crate) fn draft(made: Made, threshold: u16, holders: u16) -> Draft {
    let names = [
        "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "kim", "leo",
        "mia", "nina", "olga",
    ];
    let holders = names.iter().take(holders.into());
    Draft {
        cluster: "prod".into(),
        issuer: None,
        server: "https://10.0.0.1:6443".into(),
        server_ca: pem::encode(&pem::Pem::new("CERTIFICATE", "a certificate")),
        made,
        created: 1_700_000_000,
        authority_days: 3650,
        threshold,
        holders: holders
            .map(|holder| (name(holder), vec![recipient(holder)]))
            .collect(),
        limits: Limits {
            longest_seconds: 3600,
            openers: vec![],
            recertify_days: 90,
        },
    }
}

pub(crate) fn made(threshold: u16, holders: u16) -> (Kit, Vec<(Name, KeyPackage)>) {
    side_by_side(&draft(Made::OneMachine, threshold, holders), &mut OsRng).unwrap()
}

pub(crate) fn signs<'a>(kit: &Kit, keys: impl IntoIterator<Item = &'a KeyPackage>) -> bool {
    let signature = sign_together(keys, kit.public_keys(), b"message", &mut OsRng);
    signature.is_ok_and(|signature| {
        let key = &kit.payload().authority.key;
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, key);
        key.verify(b"message", &signature).is_ok()
    })
}

#[test]
fn side_by_side_every_quorum_signs_and_no_fewer() {
    for (threshold, holders) in [(2, 2), (2, 3), (3, 5), (8, 15)] {
        let (kit, shares) = made(threshold, holders);
        assert_eq!(Kit::parse(&kit.write()).unwrap().hash(), kit.hash());
        assert_eq!(kit.payload().holders.len(), usize::from(holders));
        for (holder, (name, key)) in kit.payload().holders.iter().zip(&shares) {
            assert_eq!(holder.name, *name);
            assert_eq!(
                Identifier::try_from(holder.identifier).unwrap(),
                *key.identifier()
            );
        }
        let keys: Vec<_> = shares.iter().map(|(_, key)| key).collect();
        let quorum = usize::from(threshold);
        for quorum in keys.windows(quorum).chain([&keys[..]]) {
            assert!(signs(&kit, quorum.iter().copied()));
        }
        assert!(!signs(&kit, keys[1..quorum].iter().copied()));
    }
}

#[test]
fn a_kit_says_how_its_key_was_made() {
    let apart = draft(Made::Apart, 2, 3);
    assert!(matches!(
        side_by_side(&apart, &mut OsRng),
        Err(KeygenError::Apart)
    ));
    let together = draft(Made::OneMachine, 2, 3);
    assert!(matches!(
        Invitation::new(together, &mut OsRng),
        Err(KeygenError::Together)
    ));
    assert_eq!(made(2, 2).0.payload().made, Made::OneMachine);
}

#[test]
fn nobody_is_a_quorum_alone() {
    for (threshold, holders) in [(1, 2), (0, 2), (3, 2), (1, 1)] {
        let draft = draft(Made::OneMachine, threshold, holders);
        assert!(matches!(
            side_by_side(&draft, &mut OsRng),
            Err(KeygenError::Kit(KitError::Bounds(_)))
        ));
    }
}
