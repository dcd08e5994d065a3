use std::collections::BTreeMap;

use frost_ed25519::{
    Identifier,
    keys::{PublicKeyPackage, dkg},
};
use rand_core::OsRng;

use super::*;
use crate::identity::{
    Nobody,
    tests::{Answers, Pair, ed25519, rsa, x25519},
};

/// The shares of a quorum, by the distributed key generation alone.
pub(crate) fn quorum(threshold: u16, holders: u16) -> (BTreeMap<Identifier, KeyPackage>, PublicKeyPackage) {
    let ids: Vec<Identifier> = (1..=holders).map(|id| id.try_into().unwrap()).collect();
    let first: BTreeMap<_, _> = (ids.iter())
        .map(|id| (*id, dkg::part1(*id, holders, threshold, OsRng).unwrap()))
        .collect();
    let others = |id: &Identifier| -> BTreeMap<_, _> {
        let others = first.iter().filter(|(other, _)| *other != id);
        others
            .map(|(other, (_, package))| (*other, package.clone()))
            .collect()
    };
    let second: BTreeMap<_, _> = (first.iter())
        .map(|(id, (secret, _))| (*id, dkg::part2(secret.clone(), &others(id)).unwrap()))
        .collect();
    let mut public = None;
    let shares = second.iter().map(|(id, (secret, _))| {
        let to_me = second.iter().filter(|(other, _)| *other != id);
        let to_me = to_me
            .map(|(other, (_, packages))| (*other, packages[id].clone()))
            .collect();
        let (share, package) = dkg::part3(secret, &others(id), &to_me).unwrap();
        public = Some(package);
        (*id, share)
    });
    let shares = shares.collect();
    (shares, public.unwrap())
}

fn share() -> Share {
    let (shares, _) = quorum(2, 3);
    let package = shares.into_values().next().unwrap();
    let hash = KitHash::try_from("ab".repeat(32)).unwrap();
    Share::new("production".into(), name("alice"), hash, 3, package)
}

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).unwrap()
}

fn nobody() -> Arc<dyn Person> {
    Arc::new(Nobody)
}

fn identities(files: &[&str]) -> Identities {
    let mut identities = Identities::new(nobody());
    for file in files {
        identities.read("key", file.as_bytes()).unwrap();
    }
    identities
}

#[track_caller]
fn assert_same(one: &Share, other: &Share) {
    assert_eq!((one.cluster(), one.holder()), (other.cluster(), other.holder()));
    assert_eq!(
        (one.kit_hash(), one.kit_revision(), one.key_package()),
        (other.kit_hash(), other.kit_revision(), other.key_package())
    );
}

/// Encrypts something else to a key, as anybody can.
fn forge(inside: &str, recipient: &str) -> String {
    let recipient: age::x25519::Recipient = recipient.parse().unwrap();
    age::encrypt_and_armor(&recipient, inside.as_bytes()).unwrap()
}

#[test]
fn each_of_several_keys_opens_a_share_file() {
    let share = share();
    let keys = [
        x25519(),
        ed25519(None),
        rsa(true, None),
        rsa(false, None),
        ed25519(Some("sesame")),
        rsa(true, Some("sesame")),
    ];
    let recipients: Vec<_> = keys.iter().map(|key| key.recipient.as_str()).collect();
    let file = share
        .encrypt(&Lock::parse(&recipients).unwrap(), &nobody())
        .unwrap();
    assert!(file.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"), "{file}");
    for Pair { identity, .. } in &keys {
        let mut identities = Identities::new(Answers::of(&["sesame"]));
        identities.read("key", identity.as_bytes()).unwrap();
        assert_same(&Share::decrypt(&file, &identities).unwrap(), &share);
    }
    // The right key among others, and lines that a chat put around the file's beginning.
    let several = identities(&[&x25519().identity, &ed25519(None).identity, &keys[0].identity]);
    assert_same(
        &Share::decrypt(format!("\n\n  {file}"), &several).unwrap(),
        &share,
    );
}

#[test]
fn another_holders_key_opens_nothing() {
    let file = share()
        .encrypt(&Lock::parse(&[x25519().recipient]).unwrap(), &nobody())
        .unwrap();
    let other = identities(&[&x25519().identity, &ed25519(None).identity]);
    assert!(matches!(
        Share::decrypt(&file, &other),
        Err(ShareError::WrongIdentity)
    ));
    assert!(matches!(
        Share::decrypt(&file, &identities(&[])),
        Err(ShareError::NoIdentity)
    ));
}

#[test]
fn a_passphrase_is_typed_twice_and_opens_the_file() {
    let share = share();
    let person = Answers::of(&[
        "short",
        "four words and more",
        "four words or more",
        "one two three",
        "one two three",
    ]);
    let asked: Arc<dyn Person> = person.clone();
    let file = share.encrypt_with(&Lock::Passphrase, &asked, 2).unwrap();
    assert_eq!(person.seen().len(), 7, "{:?}", person.seen());
    let person = Answers::of(&["two three one", "one two three"]);
    assert_same(&Share::decrypt(&file, &Identities::new(person)).unwrap(), &share);
    let wrong = Answers::of(&["wrong"; 4]);
    let refused = Share::decrypt(&file, &Identities::new(wrong.clone()));
    assert!(matches!(refused, Err(ShareError::WrongPassphrase)));
    assert_eq!(wrong.seen().len(), 5);
    // A key does not stand in for it, and nobody to ask is not an empty passphrase.
    let refused = Share::decrypt(&file, &identities(&[&x25519().identity]));
    assert!(matches!(refused, Err(ShareError::NoPassphrase)));
    for answers in [vec!["short"; 3], vec![]] {
        let person: Arc<dyn Person> = Answers::of(&answers);
        let refused = share.encrypt_with(&Lock::Passphrase, &person, 2).unwrap_err();
        assert!(matches!(
            refused,
            ShareError::NoneChosen | ShareError::NoPassphrase
        ));
    }
}

#[test]
fn a_passphrase_that_would_take_for_ever_to_try_is_not_tried() {
    let person: Arc<dyn Person> = Answers::of(&["one two three", "one two three"]);
    let file = share().encrypt_with(&Lock::Passphrase, &person, 2).unwrap();
    let plain = pem::parse(&file).unwrap().into_contents();
    let at = plain.windows(3).position(|bytes| bytes == b" 2\n").unwrap();
    for (work, refusal) in [("21", true), ("63", true), ("1", false)] {
        let changed = [&plain[..at + 1], work.as_bytes(), &plain[at + 2..]].concat();
        let refused = Share::decrypt(changed, &Identities::new(Answers::of(&["one two three"; 3])));
        match refusal {
            true => assert!(matches!(refused, Err(ShareError::TooMuchWork))),
            false => assert!(matches!(refused, Err(ShareError::WrongPassphrase))),
        }
    }
}

#[test]
fn what_is_no_share_file_is_named() {
    let key = x25519();
    let mine = identities(&[&key.identity]);
    let decrypt = |file: &str| Share::decrypt(file, &mine).unwrap_err();
    assert!(matches!(decrypt(""), ShareError::NotEncrypted));
    assert!(matches!(
        decrypt("-----BEGIN GATEPASS KIT-----\n"),
        ShareError::NotEncrypted
    ));
    assert!(matches!(decrypt(&"-".repeat(LONGEST + 1)), ShareError::TooLong));
    let file = share()
        .encrypt(&Lock::parse(&[&key.recipient]).unwrap(), &nobody())
        .unwrap();
    let lines: Vec<_> = file.lines().collect();
    for cut in [
        &lines[..1],
        &lines[..4],
        &lines[..lines.len() - 2],
        &lines[..lines.len() - 1],
    ] {
        let error = decrypt(&cut.join("\n"));
        assert!(matches!(error, ShareError::Damaged), "{error}");
    }
}

#[test]
fn no_changed_byte_of_a_share_file_is_taken() {
    let key = x25519();
    let mine = identities(&[&key.identity]);
    let file = share()
        .encrypt(&Lock::parse(&[&key.recipient]).unwrap(), &nobody())
        .unwrap();
    let plain = pem::parse(&file).unwrap().into_contents();
    for at in 0..plain.len() {
        let mut changed = plain.clone();
        changed[at] ^= 1;
        assert!(Share::decrypt(&changed, &mine).is_err(), "byte {at}");
    }
}

#[test]
fn a_file_that_somebody_else_encrypted_to_a_holder_is_looked_at_closely() {
    let key = x25519();
    let mine = identities(&[&key.identity]);
    let decrypt = |inside: &str| Share::decrypt(forge(inside, &key.recipient), &mine).unwrap_err();
    assert!(matches!(decrypt("hello"), ShareError::NotAShare));
    assert!(matches!(
        decrypt(r#"{"version":2,"new":1}"#),
        ShareError::AnotherVersion(2)
    ));
    assert!(matches!(decrypt(r#"{"version":1}"#), ShareError::NotAShare));
    let inside = String::from_utf8(share().inside().to_vec()).unwrap();
    let changes: [(&str, &str); 5] = [
        (r#""holder":"alice""#, r#""holder":"al\u001bice""#),
        (r#""kitHash":"ab"#, r#""kitHash":"xy"#),
        (r#""kitRevision":3"#, r#""kitRevision":-3"#),
        (r#""keyPackage":""#, r#""keyPackage":"zz"#),
        (r#""version":1,"#, r#""version":1,"more":1,"#),
    ];
    for (from, to) in changes {
        assert!(inside.contains(from), "{inside}");
        let error = decrypt(&inside.replacen(from, to, 1));
        assert!(matches!(error, ShareError::NotAShare), "{to}: {error}");
        assert!(!error.to_string().contains(to));
    }
    // The secret of one holder beside the public part of another.
    let (shares, _) = quorum(2, 3);
    let packages: Vec<_> = shares.values().collect();
    let mixed = KeyPackage::new(
        *packages[0].identifier(),
        *packages[0].signing_share(),
        *packages[1].verifying_share(),
        *packages[0].verifying_key(),
        2,
    );
    let mixed = Share::new("production".into(), name("alice"), share().kit_hash(), 3, mixed);
    let inside = String::from_utf8(mixed.inside().to_vec()).unwrap();
    assert!(matches!(decrypt(&inside), ShareError::Contradiction));
}

#[test]
fn a_missing_plugin_is_named() {
    let lock =
        Lock::parse(&["age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt"]).unwrap();
    let error = share().encrypt(&lock, &nobody()).unwrap_err();
    assert!(matches!(error, ShareError::NoPlugin(_)));
    assert!(error.to_string().contains("age-plugin-yubikey"), "{error}");
}

#[test]
fn debug_shows_no_secret() {
    let share = share();
    let secret = HEXLOWER.encode(&share.key_package().signing_share().serialize());
    let shown = format!("{share:?} {share:#?}");
    assert!(
        shown.contains("alice") && !shown.contains(&secret) && !shown.contains("key_package"),
        "{shown}"
    );
}
