//! The checks of both rounds, one by one: each test here turns red when its check is deleted.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    ceremony::{approver, both, certificate},
    *,
};
use crate::{
    approver::{Approval, Commitment, Refusal, SignatureShare, Signing},
    kit::Payload,
    opener::{Opening, OpeningError, Progress},
    request::{Ask, RequestError, RequestText},
    reshare::{Change, reshare},
};

fn drill(kit: &Kit) -> Request {
    Request::drill(kit, name("alice"), &mut OsRng)
}

fn next(quorum: &Quorum, proving: &[usize], change: impl Fn(&mut Payload)) -> Request {
    let mut next = quorum.kit.payload().clone();
    next.revision = 2;
    next.previous = Some(quorum.kit.hash());
    for holder in proving {
        next.holders[*holder].confirmed = NOW + 1;
    }
    change(&mut next);
    Request::kit(&quorum.kit, name("alice"), &next)
}

#[test]
fn a_share_has_to_be_the_one_that_the_kit_says_its_holder_has() {
    let (quorum, foreign) = (Quorum::new(), Quorum::new());
    let refused = |kit: &Kit, share: Share| match Approval::begin(kit, share, drill(kit)).unwrap_err() {
        Refusal::AnotherKit(why) => why,
        other => panic!("{other}"),
    };
    assert_eq!(refused(&quorum.kit, foreign.share(1)), "");
    // Bob's own secret under carol's number.
    let (bobs, carols) = (quorum.share(1), quorum.share(2));
    let (bobs, carols) = (bobs.key_package(), carols.key_package());
    let renumbered = KeyPackage::new(
        *carols.identifier(),
        *bobs.signing_share(),
        *bobs.verifying_share(),
        *bobs.verifying_key(),
        *bobs.min_signers(),
    );
    let renumbered = Share::of(&quorum.kit, name("bob"), renumbered);
    assert!(refused(&quorum.kit, renumbered).contains("no share any more, or a new one"));
    // The same number and authority, from before a reshare.
    let present = [0, 1].map(|at| {
        let share = quorum.share(at);
        (share.holder().clone(), share.key_package().clone())
    });
    let (kit, _) = reshare(&quorum.kit, present.into(), Change::default(), NOW, &mut OsRng).unwrap();
    assert!(refused(&kit, quorum.share(1)).contains("no share any more, or a new one"));
}

#[test]
fn round_two_has_exactly_a_quorum() {
    let quorum = Quorum::new();
    let request = quorum.request();
    let (mut opening, [alice, bob], _) = both(&quorum, &request);
    let mut signing = opening.sign(NOW, head()).unwrap().clone();
    let (_carol, third) = approver(&quorum, 2, &request).commit(head(), &mut OsRng);
    signing.commitments.insert(3, third.commitments);
    for one in [alice, bob] {
        let refused = one.check(&signing, NOW).unwrap_err().to_string();
        assert!(refused.contains("3 commitments where 2 are needed"), "{refused}");
    }
}

#[test]
fn a_kit_is_signed_by_at_least_a_quorum_of_those_who_prove_their_shares_and_nobody_else() {
    let quorum = Quorum::new();
    let request = next(&quorum, &[0], |_| {});
    let (alice, first) = approver(&quorum, 0, &request).commit(head(), &mut OsRng);
    let signing = Signing {
        request: request.hash(),
        not_before: 0,
        commitments: BTreeMap::from([(1, first.commitments.clone())]),
        head: head(),
    };
    assert!(matches!(
        alice.check(&signing, NOW).unwrap_err(),
        Refusal::Quorum(_)
    ));
    let mut opening = Opening::begin(&quorum.kit, request.clone()).unwrap();
    let _ = opening.commitment(&first).unwrap();
    assert!(matches!(
        opening.sign(0, head()).unwrap_err(),
        OpeningError::Quorum(Refusal::Quorum(_))
    ));
    // Before all others, too.
    let request = next(&quorum, &[0, 2], |_| {});
    let mut opening = Opening::begin(&quorum.kit, request.clone()).unwrap();
    let (_bob, second) = approver(&quorum, 1, &request).commit(head(), &mut OsRng);
    assert!(matches!(
        opening.commitment(&second).unwrap_err(),
        OpeningError::NotSigning(who) if who == name("bob")
    ));
}

#[test]
fn a_quorum_does_not_sign_that_a_key_was_made_otherwise() {
    let quorum = Quorum::new();
    let request = next(&quorum, &[0, 1], |kit| kit.made = Made::Apart);
    assert!(matches!(
        request.check(&quorum.kit).unwrap_err(),
        RequestError::Limits(_)
    ));
}

#[test]
fn texts_have_no_field_that_this_program_does_not_know() {
    fn check<T: Serialize + DeserializeOwned>(text: &T) {
        let mut json = serde_json::to_value(text).unwrap();
        assert!(serde_json::from_value::<T>(json.clone()).is_ok());
        json["groups"] = json!(["system:masters"]);
        assert!(serde_json::from_value::<T>(json.clone()).is_err(), "{json}");
    }
    let quorum = Quorum::new();
    let request = quorum.request();
    let (mut opening, [alice, _], [commitment, _]) = both(&quorum, &request);
    let signing = opening.sign(NOW, head()).unwrap().clone();
    check(&commitment);
    check(&signing);
    check(&alice.sign(&signing, NOW, None, head()).unwrap());
    check(&request);
    check(&RequestText {
        request: request.clone(),
        head: head(),
    });
    check(&head());
    check(quorum.kit.payload());
}

#[test]
fn the_words_are_of_all_that_is_asked() {
    let (quorum, foreign) = (Quorum::new(), Quorum::new());
    let request = quorum.request();
    let json = serde_json::to_value(&request).unwrap();
    let other = quorum.request();
    let Ask::Certificate { key, .. } = other.ask else {
        panic!("another request");
    };
    let foreign = foreign.kit.hash().to_string();
    for (at, value) in [
        ("/by", json!("bob")),
        ("/kit", json!(foreign)),
        ("/ask/certificate/reason", json!("another")),
        ("/ask/certificate/seconds", json!(1800)),
        ("/ask/certificate/key", json!(key)),
    ] {
        let mut json: Value = json.clone();
        *json.pointer_mut(at).unwrap() = value;
        let changed: Request = serde_json::from_value(json).unwrap();
        assert_ne!(
            changed.hash().words().to_string(),
            request.hash().words().to_string(),
            "{at}"
        );
    }
}

#[test]
fn a_drill_is_one_of_this_kit() {
    let quorum = Quorum::new();
    let message = drill(&quorum.kit).check(&quorum.kit).unwrap();
    let message = message.message(&quorum.kit, 0).unwrap();
    let kit = quorum.kit.hash().0;
    assert!(message.windows(kit.len()).any(|bytes| bytes == kit));
}

#[test]
fn an_opener_takes_no_text_that_is_of_no_use_and_says_why() {
    let quorum = Quorum::new();
    let (before, request) = (quorum.request(), quorum.request());
    let (mut opening, [alice, _], [first, _]) = both(&quorum, &before);
    let signing = opening.sign(NOW - 300, head()).unwrap().clone();
    let old = alice.sign(&signing, NOW, None, head()).unwrap();

    let mut opening = Opening::begin(&quorum.kit, request.clone()).unwrap();
    let garbage = Commitment {
        request: request.hash(),
        commitments: "00".into(),
        ..first
    };
    assert!(matches!(
        opening.commitment(&garbage).unwrap_err(),
        OpeningError::Unreadable(who) if who == name("alice")
    ));
    assert!(matches!(opening.finish().unwrap_err(), OpeningError::Incomplete));

    let (mut opening, [alice, bob], _) = both(&quorum, &request);
    let signing = opening.sign(NOW - 300, head()).unwrap().clone();
    assert!(matches!(
        opening.signature_share(&old).unwrap_err(),
        OpeningError::AnotherRequest { .. }
    ));
    let share = alice.sign(&signing, NOW, None, head()).unwrap();
    let of = |holder: &str, text: &str| SignatureShare {
        holder: name(holder),
        share: text.into(),
        ..share.clone()
    };
    assert!(matches!(
        opening.signature_share(&of("carol", &share.share)).unwrap_err(),
        OpeningError::NotSigning(who) if who == name("carol")
    ));
    assert!(matches!(
        opening.signature_share(&of("bob", "00")).unwrap_err(),
        OpeningError::Unreadable(who) if who == name("bob")
    ));
    let _ = opening.signature_share(&share).unwrap();
    assert!(matches!(opening.finish().unwrap_err(), OpeningError::Incomplete));
    // One that is wrong is not kept, and the right one is waited for.
    assert!(matches!(
        opening.signature_share(&of("bob", &share.share)).unwrap_err(),
        OpeningError::Wrong(who) if who == name("bob")
    ));
    let waiting = Progress::Need {
        more: 1,
        of: vec![name("bob")],
    };
    assert_eq!(opening.progress(), waiting);
    let _ = opening
        .signature_share(&bob.sign(&signing, NOW, None, head()).unwrap())
        .unwrap();
    opening.finish().unwrap();
}

#[test]
fn what_was_signed_before_a_round_started_over_is_forgotten() {
    let quorum = Quorum::new();
    let request = quorum.request();
    let (mut opening, [alice, _], _) = both(&quorum, &request);
    let signing = opening.sign(NOW - 300, head()).unwrap().clone();
    let _ = opening
        .signature_share(&alice.sign(&signing, NOW, None, head()).unwrap())
        .unwrap();
    for at in [1, 0] {
        let (_again, text) = approver(&quorum, at, &request).commit(head(), &mut OsRng);
        let _ = opening.replace(&text).unwrap();
    }
    let _ = opening.sign(NOW - 300, head()).unwrap();
    let both = Progress::Need {
        more: 2,
        of: vec![name("alice"), name("bob")],
    };
    assert_eq!(opening.progress(), both);
}

#[test]
fn whoever_signs_a_kit_sees_each_change_of_it_however_long_it_is() {
    let quorum = Quorum::of(&{
        let mut draft = draft();
        draft.limits.longest_seconds = 1800;
        draft.limits.openers = (1..=8).map(|n| name(&format!("{n}{}", "x".repeat(60)))).collect();
        draft
    });
    let shown = |change: &dyn Fn(&mut Payload)| {
        let checked = next(&quorum, &[0, 1], change).check(&quorum.kit).unwrap();
        let lines = checked.describe(&quorum.kit).into_iter();
        let changes = lines.filter(|(what, line)| *what == "change" && !line.contains("proves today"));
        changes.map(|(_, line)| line).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(shown(&|_| {}), "");
    let openers = shown(&|kit| kit.limits.openers.push(name("mallory")));
    assert!(openers.ends_with(", mallory"), "{openers}");
    let longer = shown(&|kit| kit.limits.longest_seconds = 1859);
    assert_eq!(longer, "longest life of a certificate: 30 minutes → 1859 seconds");
}

#[test]
fn no_kit_lifts_the_programs_own_hour() {
    let limits = Limits {
        longest_seconds: 7200,
        ..draft().limits
    };
    assert!(limits.allow(&name("alice"), 3600).is_ok());
    assert!(limits.allow(&name("alice"), 3601).is_err());
}

#[test]
fn one_request_that_is_signed_twice_gives_two_serial_numbers() {
    let quorum = Quorum::new();
    let request = quorum.request();
    let serial = |not_before| {
        let (mut opening, committed, _) = both(&quorum, &request);
        let signing = opening.sign(not_before, head()).unwrap().clone();
        for one in committed {
            let share = one.sign(&signing, NOW, None, head()).unwrap();
            let _ = opening.signature_share(&share).unwrap();
        }
        let made = certificate(opening.finish().unwrap());
        let (_, leaf) = X509Certificate::from_der(&made.der).unwrap();
        leaf.raw_serial().to_vec()
    };
    assert_ne!(serial(NOW - 300), serial(NOW - 299));
}
