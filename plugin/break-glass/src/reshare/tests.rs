use rand_core::OsRng;

use super::*;
use crate::keygen::tests::{apart::made_apart, made, name, signs};

const NOW: i64 = 1_800_000_000;

type Shares = Vec<(Name, KeyPackage)>;

fn change(remove: &[&str], add: &[&str]) -> Change {
    Change {
        remove: remove.iter().map(|one| name(one)).collect(),
        add: add
            .iter()
            .map(|one| (name(one), vec![format!("age1{one}")]))
            .collect(),
    }
}

/// The shares of those who are here.
fn of(shares: &Shares, here: &[&str]) -> Shares {
    let here = here
        .iter()
        .map(|one| shares.iter().find(|(name, _)| name.as_str() == *one));
    here.map(|share| share.unwrap().clone()).collect()
}

fn keys(shares: &Shares) -> impl Iterator<Item = &KeyPackage> + Clone {
    shares.iter().map(|(_, key)| key)
}

/// Reshares, and checks what has to hold each time.
fn reshared(kit: &Kit, shares: &Shares, here: &[&str], change: Change) -> (Kit, Shares) {
    let (after, new) = reshare(kit, of(shares, here), change.clone(), NOW, &mut OsRng).unwrap();
    let payload = after.payload();
    payload.follows(kit).unwrap();
    assert_eq!(Kit::parse(&after.write()).unwrap().hash(), after.hash());
    assert_eq!(after.certificate(), kit.certificate());
    assert_eq!(payload.made, Made::OneMachine);
    assert_eq!(payload.holders.len(), new.len());
    for (holder, (name, key)) in payload.holders.iter().zip(&new) {
        assert_eq!(holder.name, *name);
        assert_eq!(
            Identifier::try_from(holder.identifier).unwrap(),
            *key.identifier()
        );
        let added = change.add.iter().any(|(added, _)| added == name);
        assert_eq!(holder.confirmed == NOW, here.contains(&name.as_str()) && !added);
        let old = kit.holder(name).filter(|_| !added);
        assert!(
            old.is_none_or(|old| old.identifier == holder.identifier && old.recipients == holder.recipients)
        );
        let used_before = kit
            .payload()
            .holders
            .iter()
            .any(|old| old.identifier == holder.identifier);
        assert_eq!(used_before, !added);
    }
    let quorum = usize::from(payload.threshold);
    let new_keys: Vec<_> = keys(&new).collect();
    for quorum in new_keys.windows(quorum).chain([&new_keys[..]]) {
        assert!(signs(&after, quorum.iter().copied()));
    }
    (after, new)
}

#[test]
fn a_holder_is_removed_replaced_or_added() {
    let (kit, shares) = made(2, 3);
    let (after, _) = reshared(&kit, &shares, &["alice", "bob"], change(&["carol"], &[]));
    assert_eq!(after.payload().holders.len(), 2);
    let (after, _) = reshared(&kit, &shares, &["alice", "bob"], change(&["carol"], &["dave"]));
    assert_eq!(after.holder(&name("dave")).unwrap().recipients, ["age1dave"]);
    let everybody = ["alice", "bob", "carol"];
    let (after, _) = reshared(&kit, &shares, &everybody, change(&[], &["dave", "erin"]));
    assert_eq!(after.payload().holders.len(), 5);
    let (after, _) = reshared(&kit, &shares, &everybody, change(&[], &[]));
    assert_eq!(after.payload().holders.len(), 3);
}

#[test]
fn who_leaves_helps_where_there_are_no_others() {
    let (kit, shares) = made(2, 2);
    let here = ["alice", "bob"];
    let (after, _) = reshared(&kit, &shares, &here, change(&["bob"], &["carol"]));
    assert!(after.holder(&name("bob")).is_none());
    let (after, new) = reshared(
        &kit,
        &shares,
        &here,
        change(&["alice", "bob"], &["carol", "dave"]),
    );
    assert_eq!((after.payload().holders.len(), new.len()), (2, 2));
}

#[test]
fn a_lost_share_is_replaced_under_another_number() {
    let (kit, shares) = made(2, 3);
    let (after, _) = reshared(&kit, &shares, &["alice", "bob"], change(&["carol"], &["carol"]));
    let number = |kit: &Kit| kit.holder(&name("carol")).unwrap().identifier;
    assert_ne!(number(&kit), number(&after));
    // Of somebody who is there, too: the old share is not carried over.
    let (_, new) = reshared(&kit, &shares, &["alice", "carol"], change(&["carol"], &["carol"]));
    assert!(shares[2].1.identifier() != new[2].1.identifier());
}

#[test]
fn who_stays_and_is_not_there_gets_a_share_too() {
    let (kit, shares) = made(3, 5);
    let here = ["alice", "carol", "erin"];
    let (after, new) = reshared(&kit, &shares, &here, change(&["dave"], &["frank"]));
    // Bob's, with the newcomer's.
    assert!(signs(&after, keys(&of(&new, &["bob", "frank", "alice"]))));
    assert_eq!(after.holder(&name("bob")).unwrap().confirmed, 0);
}

#[test]
fn fifteen_holders_of_whom_half_are_there() {
    let (kit, shares) = made(8, 15);
    let here = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];
    reshared(
        &kit,
        &shares,
        &here,
        change(&["alice", "olga"], &["paul", "quinn"]),
    );
}

#[test]
fn reshares_follow_each_other_and_no_number_comes_twice() {
    let (mut kit, mut shares) = made(2, 3);
    let mut numbers: BTreeSet<_> = kit.payload().holders.iter().map(|one| one.identifier).collect();
    for (leaves, comes) in [
        ("carol", "dave"),
        ("dave", "erin"),
        ("alice", "dave"),
        ("erin", "alice"),
    ] {
        let here: Vec<_> = kit
            .payload()
            .holders
            .iter()
            .map(|one| one.name.to_string())
            .collect();
        let here: Vec<_> = here
            .iter()
            .map(String::as_str)
            .filter(|one| *one != leaves)
            .collect();
        let (after, new) = reshared(&kit, &shares, &here, change(&[leaves], &[comes]));
        assert!(numbers.insert(after.holder(&name(comes)).unwrap().identifier));
        (kit, shares) = (after, new);
    }
    assert_eq!(kit.payload().revision, 5);
}

#[test]
fn an_old_share_does_not_sign_with_new_ones_but_a_quorum_of_old_ones_does() {
    let (kit, old) = made(3, 4);
    let everybody = ["alice", "bob", "carol", "dave"];
    let (after, new) = reshared(&kit, &old, &everybody, change(&["dave"], &["erin"]));
    for (old_ones, new_ones) in [
        (&["dave"][..], &["alice", "bob"][..]),
        (&["dave"], &["alice", "erin"]),
        (&["carol"], &["alice", "bob"]),
        (&["carol", "dave"], &["alice"]),
        (&["dave"], &["alice", "bob", "carol", "erin"]),
    ] {
        let (old, new) = (of(&old, old_ones), of(&new, new_ones));
        for kit in [&kit, &after] {
            assert!(!signs(kit, keys(&old).chain(keys(&new))));
        }
    }
    // What the module says of old shares: M of them are a quorum, for ever.
    assert!(signs(&kit, keys(&of(&old, &["alice", "bob", "dave"]))));
}

#[test]
fn a_kit_that_was_made_apart_says_that_its_shares_were_together_since() {
    let (kit, shares) = made_apart(2, 3);
    assert_eq!(kit.payload().made, Made::Apart);
    let (after, _) = reshared(&kit, &shares, &["alice", "bob"], change(&["carol"], &["dave"]));
    let said = after.payload().differences(kit.payload());
    assert!(said.iter().any(|said| said.contains("one machine")), "{said:?}");
}

#[test]
fn every_share_changes() {
    let (kit, old) = made(2, 3);
    let (_, new) = reshared(&kit, &old, &["alice", "bob"], change(&[], &[]));
    for ((_, old), (_, new)) in old.iter().zip(&new) {
        assert_eq!(old.identifier(), new.identifier());
        assert!(old.signing_share() != new.signing_share());
        assert!(old.verifying_share() != new.verifying_share());
    }
}

fn refused(kit: &Kit, shares: Shares, change: Change) -> ReshareError {
    reshare(kit, shares, change, NOW, &mut OsRng).unwrap_err()
}

#[test]
fn fewer_than_a_quorum_give_out_nothing() {
    let (kit, shares) = made(3, 4);
    let two = of(&shares, &["alice", "bob"]);
    let error = refused(&kit, two, change(&["dave"], &[]));
    assert!(matches!(
        error,
        ReshareError::NoQuorum {
            present: 2,
            needed: 3
        }
    ));
    let twice = of(&shares, &["alice", "bob", "alice"]);
    assert!(
        matches!(refused(&kit, twice, change(&[], &[])), ReshareError::Twice(who) if who == name("alice"))
    );
}

#[test]
fn a_share_that_is_not_of_this_kit_is_named() {
    let (kit, shares) = made(2, 3);
    let (other_kit, others) = made(2, 3);
    let (after, new) = reshared(&kit, &shares, &["alice", "bob"], change(&[], &[]));
    let [alice, bob] = ["alice", "bob"].map(|one| of(&shares, &[one]).remove(0).1);
    let with = |share: KeyPackage| vec![(name("alice"), alice.clone()), (name("bob"), share)];
    let another = |kit: &Kit, shares| match refused(kit, shares, change(&[], &[])) {
        ReshareError::AnotherShare(who) => assert_eq!(who, name("bob")),
        other => panic!("{other}"),
    };
    // Of another kit, of the kit before, of the kit after, somebody else's.
    another(&kit, with(of(&others, &["bob"]).remove(0).1));
    let mixed = [of(&new, &["alice"]), of(&shares, &["bob"])].concat();
    another(&after, mixed);
    another(&kit, with(of(&new, &["bob"]).remove(0).1));
    another(&kit, with(alice.clone()));
    // A file whose halves do not belong together, in every field.
    let key = |share: &KeyPackage, of: &KeyPackage, group: &Kit, threshold| {
        KeyPackage::new(
            *of.identifier(),
            *share.signing_share(),
            *of.verifying_share(),
            *group.public_keys().verifying_key(),
            threshold,
        )
    };
    assert!(
        reshare(
            &kit,
            with(key(&bob, &bob, &kit, 2)),
            change(&[], &[]),
            NOW,
            &mut OsRng
        )
        .is_ok()
    );
    another(&kit, with(key(&alice, &bob, &kit, 2)));
    let other_half = KeyPackage::new(
        *bob.identifier(),
        *bob.signing_share(),
        *alice.verifying_share(),
        *bob.verifying_key(),
        2,
    );
    another(&kit, with(other_half));
    let other_number = KeyPackage::new(
        *alice.identifier(),
        *bob.signing_share(),
        *bob.verifying_share(),
        *bob.verifying_key(),
        2,
    );
    another(&kit, with(other_number));
    another(&kit, with(key(&bob, &bob, &other_kit, 2)));
    another(&kit, with(key(&bob, &bob, &kit, 3)));
    let stranger = vec![(name("alice"), alice.clone()), (name("mallory"), bob.clone())];
    assert!(
        matches!(refused(&kit, stranger, change(&[], &[])), ReshareError::NotAHolder(who) if who == name("mallory"))
    );
}

#[test]
fn a_change_that_leaves_no_quorum_or_names_no_holder_is_refused_in_words() {
    let (kit, shares) = made(2, 3);
    let refuse = |change| refused(&kit, of(&shares, &["alice", "bob"]), change);
    let few = refuse(change(&["bob", "carol"], &[]));
    assert!(matches!(few, ReshareError::TooFewLeft { left: 1, needed: 2 }));
    assert!(few.to_string().contains("init --rotate"), "{few}");
    assert!(
        matches!(refuse(change(&["mallory"], &[])), ReshareError::NotAHolder(who) if who == name("mallory"))
    );
    assert!(
        matches!(refuse(change(&["carol", "carol"], &[])), ReshareError::Twice(who) if who == name("carol"))
    );
    assert!(matches!(refuse(change(&[], &["bob"])), ReshareError::AlreadyAHolder(who) if who == name("bob")));
    assert!(
        matches!(refuse(change(&[], &["dave", "dave"])), ReshareError::Twice(who) if who == name("dave"))
    );
    let mut nothing = change(&[], &["dave"]);
    nothing.add[0].1.clear();
    assert!(matches!(refuse(nothing), ReshareError::NoRecipient(who) if who == name("dave")));
    let many: Vec<_> = (0..13).map(|one| format!("holder{one}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let (more, most) = (&many[..13], &many[..12]);
    assert!(matches!(
        refuse(change(&[], more)),
        ReshareError::Kit(KitError::Bounds(_))
    ));
    reshared(&kit, &shares, &["alice", "bob"], change(&[], most));
}

#[test]
fn numbers_for_newcomers_never_run_into_each_other() {
    let (kit, _) = made(2, 2);
    let mut payload = kit.payload().clone();
    let mut given = BTreeSet::from_iter(1..=15);
    for revision in 1..=4095 {
        payload.revision = revision;
        assert!((0..15).all(|index| given.insert(new_number(&payload, index).unwrap())));
        assert!(new_number(&payload, 16).is_err());
    }
    payload.revision = 4096;
    assert!(matches!(
        new_number(&payload, 0),
        Err(ReshareError::TooManyRevisions)
    ));
    payload.revision = u32::MAX;
    assert!(new_number(&payload, 0).is_err());
}

#[test]
fn a_share_that_was_repaired_wrongly_never_comes_into_a_kit() {
    let (kit, shares) = made(2, 4);
    let (_, others) = made(2, 4);
    // The library refreshes a share of another polynomial without a word; only a quorum with it shows what it is.
    let mut mixed = of(&shares, &["alice", "bob", "carol"]);
    mixed.extend(of(&others, &["dave"]));
    let mixed = mixed
        .into_iter()
        .map(|(_, key)| (*key.identifier(), key))
        .collect();
    let (keys, public) = refresh(mixed, kit.public_keys(), &mut OsRng).unwrap();
    assert!(sign_together(keys.values().take(2), &public, b"message", &mut OsRng).is_ok());
    let refused = sign_as_each_quorum(&keys, &public, b"message", &mut OsRng);
    assert_eq!(refused, Err(FrostError::InvalidSignature));
}

#[test]
fn verifying_shares_that_do_not_fit_their_shares_never_come_into_a_kit() {
    let (kit, shares) = made(2, 3);
    let mut keys: BTreeMap<_, _> = keys(&shares)
        .map(|key| (*key.identifier(), key.clone()))
        .collect();
    let key = |share: &KeyPackage, of: &KeyPackage| {
        KeyPackage::new(
            *share.identifier(),
            *share.signing_share(),
            *of.verifying_share(),
            *share.verifying_key(),
            2,
        )
    };
    assert!(refresh(keys.clone(), kit.public_keys(), &mut OsRng).is_ok());
    let (bob, carol) = (&shares[1].1, &shares[2].1);
    keys.insert(*bob.identifier(), key(bob, carol));
    let refused = refresh(keys, kit.public_keys(), &mut OsRng);
    assert!(matches!(refused, Err(FrostError::IncorrectPackage)));
}
