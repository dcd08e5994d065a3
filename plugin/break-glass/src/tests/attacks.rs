//! What a changed program, a thief of one share or a person in the middle of the chat tries.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    ceremony::{approver, both, certificate, hold},
    *,
};
use crate::{
    approver::{Approval, Refusal},
    certificate::{Leaf, leaf, leaf_to_be_signed},
    kit::{KitError, Payload},
    opener::{Granted, Opening, OpeningError},
    request::{Ask, RequestError},
};

fn refused(quorum: &Quorum, request: Request) -> Refusal {
    Approval::begin(&quorum.kit, quorum.share(1), request).unwrap_err()
}

#[test]
fn a_duration_beyond_the_kits_is_refused() {
    let mut narrow = draft();
    narrow.limits.longest_seconds = 1800;
    let quorum = Quorum::of(&narrow);
    for seconds in [0, 599, 1801, 3600, u32::MAX] {
        let mut request = quorum.request();
        let Ask::Certificate { seconds: asked, .. } = &mut request.ask else {
            panic!("another request");
        };
        *asked = seconds;
        let refused = refused(&quorum, request);
        assert!(
            matches!(refused, Refusal::Request(RequestError::Limits(_))),
            "{refused}"
        );
        assert!(refused.to_string().contains("600 to 1800 s"), "{refused}");
    }
}

#[test]
fn an_opener_whom_the_kit_does_not_name_is_refused() {
    let mut narrow = draft();
    narrow.limits.openers = vec![name("carol")];
    let quorum = Quorum::of(&narrow);
    let refused = refused(&quorum, quorum.request());
    assert!(
        refused.to_string().contains("does not allow alice to open"),
        "{refused}"
    );
}

#[test]
fn names_and_reasons_that_would_fool_a_terminal_or_an_api_server_do_not_even_parse() {
    let quorum = Quorum::new();
    let json = serde_json::to_value(quorum.request()).unwrap();
    for bad in ["x\u{202e}y", "x\u{1b}[2Jy", "x\ny", "", "x\u{0}"] {
        let mut request = json.clone();
        request["by"] = bad.into();
        assert!(serde_json::from_value::<Request>(request).is_err(), "{bad:?}");
        let mut request = json.clone();
        request["ask"]["certificate"]["reason"] = bad.into();
        assert!(serde_json::from_value::<Request>(request).is_err(), "{bad:?}");
    }
    let mut request = json.clone();
    request["by"] = "x,O=system:masters".into();
    assert!(serde_json::from_value::<Request>(request).is_err());
    let mut request = json;
    request["ask"]["certificate"]["groups"] = serde_json::json!(["system:masters"]);
    assert!(serde_json::from_value::<Request>(request).is_err());
}

#[test]
fn a_key_that_is_none_is_refused() {
    let quorum = Quorum::new();
    for key in [vec![], vec![4; 65], vec![4; 64], vec![0; 33]] {
        let request = Request::certificate(&quorum.kit, name("alice"), reason("r"), 3600, &key);
        assert!(matches!(
            refused(&quorum, request),
            Refusal::Request(RequestError::Unreadable("key"))
        ));
    }
}

#[test]
fn another_group_name_or_duration_does_not_verify_although_the_opener_changed_their_program() {
    let quorum = Quorum::new();
    let request = quorum.request();
    let (mut opening, [alice, bob], _) = both(&quorum, &request);
    let signing = opening.sign(NOW - 300, head()).unwrap().clone();
    for one in [alice, bob] {
        let share = one.sign(&signing, NOW, None, head()).unwrap();
        let _ = opening.signature_share(&share).unwrap();
    }
    let granted = certificate(opening.finish().unwrap());
    let signature: [u8; 64] = granted.der[granted.der.len() - 64..].try_into().unwrap();
    // With the very signature that the quorum made, what the opener builds otherwise is worth nothing.
    let Ask::Certificate { key, .. } = &request.ask else {
        panic!("another request");
    };
    let key: [u8; 65] = BASE64_STANDARD.decode(key).unwrap().try_into().unwrap();
    let other = |who: &str, not_after| {
        let mallory = name(who);
        let other = Leaf {
            who: &mallory,
            key: &key,
            request: &[0; 32],
            not_before: NOW - 300,
            not_after,
        };
        let der = leaf(quorum.kit.payload(), &other, signature).unwrap();
        let (_, authority) = x509_parser::parse_x509_certificate(quorum.kit.certificate()).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert!(leaf.verify_signature(Some(authority.public_key())).is_err());
    };
    other("root", NOW + 3300);
    other("alice", NOW + 86400);
}

#[test]
fn round_two_of_another_request_is_refused() {
    let quorum = Quorum::new();
    let (mine, others) = (quorum.request(), quorum.request());
    let (bob, commitment) = approver(&quorum, 1, &mine).commit(head(), &mut OsRng);
    // The opener's program sends round two of a request that bob was never shown, with bob's commitment in it.
    let mut opening = Opening::begin(&quorum.kit, others.clone()).unwrap();
    let (_alice, first) = approver(&quorum, 0, &others).commit(head(), &mut OsRng);
    let mut planted = commitment.clone();
    planted.request = others.hash();
    let _ = opening.commitment(&first).unwrap();
    let _ = opening.commitment(&planted).unwrap();
    let signing = opening.sign(NOW, head()).unwrap();
    let refused = bob.check(signing, NOW).unwrap_err();
    assert!(matches!(refused, Refusal::AnotherRequest { .. }));
    assert!(refused.to_string().contains("be on your guard"));
    assert!(bob.sign(signing, NOW, None, head()).is_err());
}

#[test]
fn a_replayed_approval_is_refused() {
    let quorum = Quorum::new();
    let (before, now) = (quorum.request(), quorum.request());
    let (_bob, old) = approver(&quorum, 1, &before).commit(head(), &mut OsRng);
    let mut opening = Opening::begin(&quorum.kit, now.clone()).unwrap();
    let refused = opening.commitment(&old).unwrap_err();
    assert!(matches!(refused, OpeningError::AnotherRequest { .. }));
    assert!(refused.to_string().contains("perhaps an earlier one"));
    // The same for what somebody relabels: bob does not find his commitment, and signs nothing.
    let (bob, new) = approver(&quorum, 1, &now).commit(head(), &mut OsRng);
    let mut relabelled = old;
    relabelled.request = now.hash();
    let (_alice, first) = approver(&quorum, 0, &now).commit(head(), &mut OsRng);
    let _ = opening.commitment(&first).unwrap();
    let _ = opening.commitment(&relabelled).unwrap();
    let signing = opening.sign(NOW, head()).unwrap();
    assert!(matches!(
        bob.check(signing, NOW).unwrap_err(),
        Refusal::NotMyCommitment
    ));
    assert_ne!(new, relabelled);
}

#[test]
fn fewer_than_a_quorum_sign_nothing() {
    let quorum = Quorum::new();
    let request = quorum.request();
    let mut opening = Opening::begin(&quorum.kit, request.clone()).unwrap();
    let (alice, first) = approver(&quorum, 0, &request).commit(head(), &mut OsRng);
    let _ = opening.commitment(&first).unwrap();
    assert!(matches!(
        opening.sign(NOW, head()).unwrap_err(),
        OpeningError::Incomplete
    ));
    // Nor does alice's own program, when the opener's is changed.
    let signing = crate::approver::Signing {
        request: request.hash(),
        not_before: NOW,
        commitments: BTreeMap::from([(1, first.commitments.clone())]),
        head: head(),
    };
    let refused = alice.check(&signing, NOW).unwrap_err();
    assert!(
        refused.to_string().contains("1 commitments where 2 are needed"),
        "{refused}"
    );
    // Nor a quorum that is filled up with a stranger.
    let mut filled = signing;
    filled.commitments.insert(9, first.commitments);
    let refused = alice.check(&filled, NOW).unwrap_err();
    assert!(refused.to_string().contains("no holder number 9"), "{refused}");
}

#[test]
fn a_wrong_signature_share_names_who_sent_it_and_loses_nothing() {
    let (quorum, foreign) = (Quorum::new(), Quorum::new());
    let request = quorum.request();
    let (mut opening, [alice, bob], _) = both(&quorum, &request);
    let signing = opening.sign(NOW - 300, head()).unwrap().clone();
    // A thief of bob's place in the chat has a share, but of another kit.
    let theirs = foreign.request();
    let Granted::Certificate(_) = hold(&foreign, &theirs, &[0, 1]) else {
        panic!("no certificate");
    };
    let (mallory, _) = approver(&foreign, 1, &theirs).commit(head(), &mut OsRng);
    let (other, commitment) = approver(&foreign, 0, &theirs).commit(head(), &mut OsRng);
    drop(mallory);
    let (mallory, own) = approver(&foreign, 1, &theirs).commit(head(), &mut OsRng);
    let false_signing = crate::approver::Signing {
        request: theirs.hash(),
        not_before: NOW,
        commitments: BTreeMap::from([(1, commitment.commitments), (2, own.commitments)]),
        head: head(),
    };
    drop(other);
    let mut wrong = mallory.sign(&false_signing, NOW, None, head()).unwrap();
    wrong.request = request.hash();
    let _ = opening
        .signature_share(&alice.sign(&signing, NOW, None, head()).unwrap())
        .unwrap();
    let refused = opening.signature_share(&wrong).unwrap_err();
    assert!(
        matches!(&refused, OpeningError::Wrong(who) if *who == name("bob")),
        "{refused}"
    );
    // The true one still counts.
    let _ = opening
        .signature_share(&bob.sign(&signing, NOW, None, head()).unwrap())
        .unwrap();
    assert!(matches!(opening.finish(), Ok(Granted::Certificate(_))));
}

#[test]
fn a_share_of_another_kit_is_refused() {
    let (quorum, foreign) = (Quorum::new(), Quorum::new());
    let refused = Approval::begin(&quorum.kit, foreign.share(1), quorum.request()).unwrap_err();
    assert!(matches!(refused, Refusal::AnotherKit(_)));
    // And one that claims another holder's name.
    let bobs = quorum.share(1).key_package().clone();
    let claimed = Share::of(&quorum.kit, name("carol"), bobs);
    let refused = Approval::begin(&quorum.kit, claimed, quorum.request()).unwrap_err();
    assert!(matches!(refused, Refusal::AnotherKit(_)));
}

#[test]
fn a_request_made_with_another_kit_is_refused() {
    let (quorum, foreign) = (Quorum::new(), Quorum::new());
    let refused = refused(&quorum, foreign.request());
    assert!(
        matches!(refused, Refusal::Request(RequestError::AnotherKit { .. })),
        "{refused}"
    );
}

fn next(quorum: &Quorum, change: impl Fn(&mut Payload)) -> Payload {
    let mut next = quorum.kit.payload().clone();
    next.revision = 2;
    next.previous = Some(quorum.kit.hash());
    for holder in [0, 1] {
        next.holders[holder].confirmed = NOW + 1;
    }
    change(&mut next);
    next
}

#[test]
fn a_wider_kit_of_an_earlier_revision_is_refused_once_the_narrower_one_was_confirmed() {
    let quorum = Quorum::new();
    let narrower = next(&quorum, |kit| kit.limits.longest_seconds = 900);
    let request = Request::kit(&quorum.kit, name("alice"), &narrower);
    let Granted::Kit(kit) = hold(&quorum, &request, &[0, 1]) else {
        panic!("no kit");
    };
    let bob = Share::of(&kit, name("bob"), quorum.share(1).key_package().clone());
    let refused = Approval::begin(&quorum.kit, bob, quorum.request()).unwrap_err();
    assert!(
        matches!(refused, Refusal::OldKit { kit: 1, share: 2 }),
        "{refused}"
    );
    // Another kit of the same revision, signed by the same quorum behind bob's back, is not his either.
    let wider = next(&quorum, |kit| kit.limits.longest_seconds = 3600);
    let request = Request::kit(&quorum.kit, name("alice"), &wider);
    let Granted::Kit(other) = hold(&quorum, &request, &[0, 1]) else {
        panic!("no kit");
    };
    let bob = Share::of(&kit, name("bob"), quorum.share(1).key_package().clone());
    let refused = Approval::begin(&other, bob, Request::drill(&other, name("bob"), &mut OsRng)).unwrap_err();
    assert!(matches!(refused, Refusal::AnotherKit(_)), "{refused}");
}

#[test]
fn a_quorum_is_asked_for_no_kit_that_could_not_follow() {
    let (quorum, foreign) = (Quorum::new(), Quorum::new());
    let theirs = foreign.kit.payload();
    type Change<'a> = (&'static str, &'a dyn Fn(&mut Payload));
    let changes: [Change<'_>; 10] = [
        ("revision", &|kit| kit.revision = 3),
        ("previous", &|kit| kit.previous = Some(foreign.kit.hash())),
        ("threshold", &|kit| kit.threshold = 3),
        ("authority", &|kit| kit.authority = theirs.authority.clone()),
        ("longer", &|kit| kit.limits.longest_seconds = 7200),
        ("cluster", &|kit| kit.cluster = "other".into()),
        ("created", &|kit| kit.created += 1),
        ("holder", &|kit| kit.holders[2].name = name("mallory")),
        ("share", &|kit| {
            kit.holders[2].verifying_share = theirs.holders[2].verifying_share.clone();
        }),
        ("fewer holders", &|kit| drop(kit.holders.pop())),
    ];
    for (what, change) in changes {
        let request = Request::kit(&quorum.kit, name("alice"), &next(&quorum, change));
        let refused = refused(&quorum, request);
        assert!(
            matches!(
                refused,
                Refusal::Request(RequestError::Kit(KitError::Bounds(_)) | RequestError::Limits(_))
            ),
            "{what}: {refused}"
        );
    }
}

#[test]
fn a_kit_that_only_claims_that_a_holder_proved_their_share_is_not_signed() {
    let quorum = Quorum::new();
    let claimed = next(&quorum, |kit| kit.holders[2].confirmed = NOW + 1);
    let request = Request::kit(&quorum.kit, name("alice"), &claimed);
    let (alice, first) = approver(&quorum, 0, &request).commit(head(), &mut OsRng);
    let (_bob, second) = approver(&quorum, 1, &request).commit(head(), &mut OsRng);
    let without_carol = crate::approver::Signing {
        request: request.hash(),
        not_before: NOW,
        commitments: BTreeMap::from([(1, first.commitments), (2, second.commitments)]),
        head: head(),
    };
    let refused = alice.check(&without_carol, NOW).unwrap_err();
    assert!(matches!(refused, Refusal::Quorum(_)), "{refused}");
}

#[test]
fn nothing_that_is_signed_can_be_taken_for_something_else() {
    let quorum = Quorum::new();
    let certificate = quorum.request().check(&quorum.kit).unwrap();
    let certificate = certificate.message(&quorum.kit, NOW).unwrap();
    let drill = Request::drill(&quorum.kit, name("alice"), &mut OsRng);
    let drill = drill
        .check(&quorum.kit)
        .unwrap()
        .message(&quorum.kit, NOW)
        .unwrap();
    let kit = Request::kit(&quorum.kit, name("alice"), &next(&quorum, |_| {}));
    let kit = kit.check(&quorum.kit).unwrap().message(&quorum.kit, NOW).unwrap();
    // A DER SEQUENCE, and two texts.
    assert_eq!(certificate[0], 0x30);
    assert!(drill.starts_with(b"gatepass/drill/v1\0") && kit.starts_with(b"gatepass/kit/v1\0"));
    let leaf = Leaf {
        who: &name("alice"),
        key: &[4; 65],
        request: &[0; 32],
        not_before: NOW,
        not_after: NOW + 600,
    };
    assert_eq!(leaf_to_be_signed(quorum.kit.payload(), &leaf).unwrap()[0], 0x30);
}

#[test]
fn a_time_beyond_every_calendar_refuses_round_two_and_ends_no_approver() {
    let quorum = Quorum::new();
    let request = quorum.request();
    let (bob, second) = approver(&quorum, 1, &request).commit(head(), &mut OsRng);
    let (_alice, first) = approver(&quorum, 0, &request).commit(head(), &mut OsRng);
    let signing = |not_before| crate::approver::Signing {
        request: request.hash(),
        not_before,
        commitments: BTreeMap::from([(1, first.commitments.clone()), (2, second.commitments.clone())]),
        head: head(),
    };
    // The year -249, both ends of the type, and one whose end has five digits.
    for not_before in [-70_000_000_000, i64::MIN, i64::MAX, 253_402_300_799] {
        let refused = bob.check(&signing(not_before), NOW).unwrap_err();
        assert!(matches!(refused, Refusal::Certificate(_)), "{refused}");
    }
    assert!(bob.sign(&signing(NOW - 300), NOW, None, head()).is_ok());
}

#[test]
fn nobody_has_a_quorum_encrypt_anothers_share_to_a_key_of_theirs() {
    let quorum = Quorum::new();
    let stolen = next(&quorum, |kit| {
        kit.holders[1].recipients = vec!["age1mallory".into()]
    });
    let refused = refused(&quorum, Request::kit(&quorum.kit, name("alice"), &stolen));
    assert!(
        matches!(refused, Refusal::Request(RequestError::Limits(_))),
        "{refused}"
    );
}

#[test]
fn a_false_share_in_somebodys_name_does_not_take_the_place_of_their_true_one() {
    let quorum = Quorum::new();
    let request = quorum.request();
    let (mut opening, [alice, bob], _) = both(&quorum, &request);
    let signing = opening.sign(NOW - 300, head()).unwrap().clone();
    let alices = alice.sign(&signing, NOW, None, head()).unwrap();
    let mut forged = alices.clone();
    forged.holder = name("bob");
    let _ = opening
        .signature_share(&bob.sign(&signing, NOW, None, head()).unwrap())
        .unwrap();
    // Whoever reads the chat has a share to write under bob's name, and bob's approver has ended.
    let refused = opening.signature_share(&forged).unwrap_err();
    assert!(
        matches!(&refused, OpeningError::Wrong(who) if *who == name("bob")),
        "{refused}"
    );
    let _ = opening.signature_share(&alices).unwrap();
    assert!(matches!(opening.finish(), Ok(Granted::Certificate(_))));
}

#[test]
fn a_kit_that_dates_proofs_ahead_is_not_signed() {
    const DAY: i64 = 24 * 60 * 60;
    let quorum = Quorum::new();
    for (date, refused) in [
        (NOW + DAY, false),
        (NOW + DAY + 1, true),
        (i64::MAX, true),
        (NOW - DAY - 1, true),
    ] {
        let dated = next(&quorum, |kit| kit.holders[0].confirmed = date);
        let request = Request::kit(&quorum.kit, name("alice"), &dated);
        let (alice, first) = approver(&quorum, 0, &request).commit(head(), &mut OsRng);
        let (_bob, second) = approver(&quorum, 1, &request).commit(head(), &mut OsRng);
        let signing = crate::approver::Signing {
            request: request.hash(),
            not_before: NOW,
            commitments: BTreeMap::from([(1, first.commitments), (2, second.commitments)]),
            head: head(),
        };
        assert_eq!(
            matches!(alice.check(&signing, NOW), Err(Refusal::Dates)),
            refused,
            "{date}"
        );
        assert_eq!(
            alice.sign(&signing, NOW, None, head()).is_err(),
            refused,
            "{date}"
        );
    }
}
