use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::*;
use crate::{
    approver::{Approval, Commitment, Committed, Fit, Times},
    armor::{self, Armored as _},
    opener::{Certificate, Granted, Opening, OpeningError, Progress},
    request::{Ask, RequestText, begins, shown_time},
};

pub(super) fn approver<'k>(quorum: &'k Quorum, index: usize, request: &Request) -> Approval<'k> {
    Approval::begin(&quorum.kit, quorum.share(index), request.clone()).unwrap()
}

/// Both rounds by the holders of these numbers, all of whose texts pass through a chat.
pub(super) fn hold(quorum: &Quorum, request: &Request, holders: &[usize]) -> Granted {
    let text = RequestText {
        request: request.clone(),
        head: head(),
    };
    let seen: RequestText = armor::read(&text.armor()).unwrap();
    let mut opening = Opening::begin(&quorum.kit, request.clone()).unwrap();
    let mut committed: Vec<Committed<'_>> = Vec::new();
    for index in holders {
        let (one, text) = approver(quorum, *index, &seen.request).commit(head(), &mut OsRng);
        let _ = opening.commitment(&armor::read(&text.armor()).unwrap()).unwrap();
        committed.push(one);
    }
    assert_eq!(opening.progress(), Progress::Complete);
    let signing = opening.sign(NOW - 300, head()).unwrap().armor();
    for one in committed {
        let signing = armor::read(&signing).unwrap();
        assert_eq!(one.check(&signing, NOW).unwrap(), Times::Fine);
        let text = one.sign(&signing, NOW, None, head()).unwrap();
        let _ = opening
            .signature_share(&armor::read(&text.armor()).unwrap())
            .unwrap();
    }
    opening.finish().unwrap()
}

/// Alice and bob between the rounds of a request, and what they committed to.
pub(super) fn both<'k>(
    quorum: &'k Quorum,
    request: &Request,
) -> (Opening<'k>, [Committed<'k>; 2], [Commitment; 2]) {
    let mut opening = Opening::begin(&quorum.kit, request.clone()).unwrap();
    let (alice, first) = approver(quorum, 0, request).commit(head(), &mut OsRng);
    let (bob, second) = approver(quorum, 1, request).commit(head(), &mut OsRng);
    let _ = opening.commitment(&first).unwrap();
    let _ = opening.commitment(&second).unwrap();
    (opening, [alice, bob], [first, second])
}

pub(super) fn certificate(granted: Granted) -> Certificate {
    match granted {
        Granted::Certificate(certificate) => certificate,
        other => panic!("{other:?}"),
    }
}

#[test]
fn any_two_of_three_make_a_certificate_and_it_is_the_one_that_was_asked_for() {
    let quorum = Quorum::new();
    for holders in [[0, 1], [0, 2], [1, 2]] {
        let made = certificate(hold(&quorum, &quorum.request(), &holders));
        let (_, authority) = X509Certificate::from_der(quorum.kit.certificate()).unwrap();
        let (rest, leaf) = X509Certificate::from_der(&made.der).unwrap();
        assert!(rest.is_empty());
        leaf.verify_signature(Some(authority.public_key())).unwrap();
        assert_eq!(leaf.issuer().as_raw(), authority.subject().as_raw());
        let subject: Vec<_> = leaf
            .subject()
            .iter_attributes()
            .map(|attribute| attribute.as_str().unwrap())
            .collect();
        assert_eq!(subject, ["break-glass:alice", "gatepass:break-glass"]);
        let usage = leaf.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && !usage.key_cert_sign());
        let extended = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.client_auth && !extended.server_auth && !extended.any);
        assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
        assert_eq!(leaf.validity().not_before.timestamp(), NOW - 300);
        assert_eq!(leaf.validity().not_after.timestamp(), NOW - 300 + 3600);
        assert!(leaf.raw_serial().len() == 16 && leaf.raw_serial()[0] < 0x80);
        assert_eq!((made.not_before, made.not_after), (NOW - 300, NOW + 3300));
        assert!(made.credential_id.starts_with("X509SHA256=") && made.credential_id.len() == 75);
    }
}

#[test]
fn two_certificates_of_one_quorum_have_different_serial_numbers() {
    let quorum = Quorum::new();
    let serial = |request: &Request| {
        let made = certificate(hold(&quorum, request, &[0, 1]));
        let (_, leaf) = X509Certificate::from_der(&made.der).unwrap();
        leaf.raw_serial().to_vec()
    };
    assert_ne!(serial(&quorum.request()), serial(&quorum.request()));
}

#[test]
fn a_drill_holds_both_rounds_and_gives_nothing() {
    let quorum = Quorum::new();
    let drill = Request::drill(&quorum.kit, name("carol"), &mut OsRng);
    let Granted::Drill { holders } = hold(&quorum, &drill, &[1, 2]) else {
        panic!("something else");
    };
    assert_eq!(holders, [name("bob"), name("carol")]);
    let message = drill
        .clone()
        .check(&quorum.kit)
        .unwrap()
        .message(&quorum.kit, 0)
        .unwrap();
    assert!(
        message.starts_with(b"gatepass/drill/v1\0"),
        "no certificate begins so"
    );
    let shown = drill.check(&quorum.kit).unwrap().describe(&quorum.kit);
    assert!(shown.contains(&("DRILL", "gives no access".to_owned())));
}

#[test]
fn a_kit_is_recertified_by_those_who_prove_their_shares() {
    let quorum = Quorum::new();
    let mut next = quorum.kit.payload().clone();
    next.revision = 2;
    next.previous = Some(quorum.kit.hash());
    for holder in [0, 2] {
        next.holders[holder].confirmed = NOW + 1;
    }
    let request = Request::kit(&quorum.kit, name("alice"), &next);
    let shown = request.clone().check(&quorum.kit).unwrap().describe(&quorum.kit);
    assert!(
        shown.iter().any(|(_, line)| line.contains("carol proves today")),
        "{shown:?}"
    );
    let Granted::Kit(kit) = hold(&quorum, &request, &[0, 2]) else {
        panic!("no kit");
    };
    assert_eq!(kit.payload(), &next);
    assert_eq!(kit.certificate(), quorum.kit.certificate());
    // Old shares fit the new kit, and say so.
    let request = Request::drill(&kit, name("bob"), &mut OsRng);
    let approval = Approval::begin(&kit, quorum.share(1), request).unwrap();
    assert_eq!(approval.fit(), Fit::Newer { confirmed: 1 });
}

#[test]
fn whoever_approves_sees_who_why_where_and_how_long_and_words_that_are_the_openers() {
    let quorum = Quorum::new();
    let request = quorum.request();
    let shown = request.clone().check(&quorum.kit).unwrap().describe(&quorum.kit);
    let line = |wanted: &str| {
        let mut lines = shown.iter();
        lines
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value.clone())
            .unwrap()
    };
    assert!(line("who").starts_with("alice (claimed, not proven"));
    assert_eq!(line("why"), r#""IdP down""#);
    let mut long = request.clone();
    let Ask::Certificate { reason: why, .. } = &mut long.ask else {
        panic!("another request");
    };
    *why = reason(&"x".repeat(500));
    let mut forged = long.clone();
    let described = long.check(&quorum.kit).unwrap().describe(&quorum.kit);
    assert!(
        described.contains(&("why", format!("\"{}\"", "x".repeat(500)))),
        "nobody agrees to what they do not see: {described:?}"
    );
    let Ask::Certificate { reason: why, .. } = &mut forged.ask else {
        panic!("another request");
    };
    *why = reason(r#"IdP down" for 5 minutes \"#);
    let described = forged.check(&quorum.kit).unwrap().describe(&quorum.kit);
    assert!(
        described.contains(&("why", r#""IdP down\" for 5 minutes \\""#.to_owned())),
        "what is quoted ends where the reason does: {described:?}"
    );
    assert_eq!(line("cluster"), "prod");
    assert!(line("for").starts_with("60 minutes"));
    assert!(
        shown.iter().all(|(name, _)| *name != "words"),
        "they stand apart from all that may be somebody else's: {shown:?}"
    );
    assert_eq!(request.hash().words().to_string().split(' ').count(), 6);
}

/// Holds round two: all who committed sign, and it gives a certificate.
fn ends_well(mut opening: Opening<'_>, committed: [Committed<'_>; 2]) {
    let signing = opening.sign(begins(time(NOW)), head()).unwrap().clone();
    for one in committed {
        let _ = opening
            .signature_share(&one.sign(&signing, NOW, None, head()).unwrap())
            .unwrap();
    }
    assert!(matches!(opening.finish(), Ok(Granted::Certificate(_))));
}

#[test]
fn an_approver_that_was_killed_starts_round_one_over_for_everybody() {
    let quorum = Quorum::new();
    let request = quorum.request();
    let (mut opening, [alice, bob], [first, _]) = both(&quorum, &request);
    let signing = opening.sign(begins(time(NOW)), head()).unwrap().clone();
    let _ = opening
        .signature_share(&alice.sign(&signing, NOW, None, head()).unwrap())
        .unwrap();
    drop(bob);
    let (bob, again) = approver(&quorum, 1, &request).commit(head(), &mut OsRng);
    // Nobody's text starts anything over by itself.
    let another = opening.commitment(&again);
    assert!(matches!(another, Err(OpeningError::Another(who)) if who == name("bob")));
    assert_eq!(opening.signing(), Some(&signing));
    assert_eq!(
        opening.replace(&again).unwrap(),
        Progress::Restarted { by: name("bob") }
    );
    // The old commitment of alice's is of no use; bob refuses round two as it was.
    assert!(opening.commitment(&first).is_err());
    assert!(bob.check(&signing, NOW).is_err());
    let (alice, anew) = approver(&quorum, 0, &request).commit(head(), &mut OsRng);
    assert_eq!(opening.commitment(&anew).unwrap(), Progress::Complete);
    ends_well(opening, [alice, bob]);
}

#[test]
fn another_commitment_in_round_one_takes_the_place_of_the_first_only_when_that_is_said() {
    let quorum = Quorum::new();
    let request = quorum.request();
    let mut opening = Opening::begin(&quorum.kit, request.clone()).unwrap();
    let commit = |index| approver(&quorum, index, &request).commit(head(), &mut OsRng);
    let ((alice, first), (_, another)) = (commit(0), commit(0));
    let (bob, bobs) = commit(1);
    let _ = opening.commitment(&another).unwrap();
    let refused = opening.commitment(&first);
    assert!(matches!(refused, Err(OpeningError::Another(who)) if who == name("alice")));
    let _ = opening.replace(&first).unwrap();
    // A slip can be taken back: nothing was signed yet.
    let _ = opening.replace(&another).unwrap();
    let _ = opening.replace(&first).unwrap();
    assert_eq!(opening.commitment(&bobs).unwrap(), Progress::Complete);
    ends_well(opening, [alice, bob]);
}

#[test]
fn texts_may_come_twice_and_in_any_order_and_more_approvers_than_needed_do_no_harm() {
    let quorum = Quorum::new();
    let request = quorum.request();
    let mut opening = Opening::begin(&quorum.kit, request.clone()).unwrap();
    let made: Vec<_> = (0..3)
        .map(|index| approver(&quorum, index, &request).commit(head(), &mut OsRng))
        .collect();
    let need = |more, of: &[&str]| Progress::Need {
        more,
        of: of.iter().map(|holder| name(holder)).collect(),
    };
    assert_eq!(opening.progress(), need(2, &NAMES));
    for _ in 0..2 {
        assert_eq!(
            opening.commitment(&made[2].1).unwrap(),
            need(1, &["alice", "bob"])
        );
    }
    assert_eq!(opening.commitment(&made[0].1).unwrap(), Progress::Complete);
    assert!(opening.commitment(&made[1].1).is_err(), "enough have committed");
    let signing = opening.sign(NOW, head()).unwrap().clone();
    assert_eq!(opening.progress(), need(2, &["alice", "carol"]));
    // Who comes too late ends nothing, and may take the place of somebody who is gone.
    let late = opening.commitment(&made[1].1);
    assert!(matches!(late, Err(OpeningError::Late(who)) if who == name("bob")));
    assert_eq!(opening.signing(), Some(&signing));
    assert_eq!(
        opening.replace(&made[1].1).unwrap(),
        Progress::Restarted { by: name("bob") }
    );
    assert!(opening.signing().is_none());
}

#[test]
fn a_clock_that_is_off_by_a_day_makes_the_approver_type_the_time() {
    const DAY: i64 = 86400;
    let quorum = Quorum::new();
    let request = quorum.request();
    let (mut opening, [alice, bob], _) = both(&quorum, &request);
    let signing = opening.sign(NOW - 300, head()).unwrap().clone();
    assert_eq!(alice.check(&signing, NOW - 600).unwrap(), Times::Fine);
    assert_eq!(alice.check(&signing, NOW + 3299).unwrap(), Times::Fine);
    for now in [NOW - 601, NOW + 3300, NOW - DAY, NOW + DAY] {
        let odd = alice.check(&signing, now).unwrap();
        assert!(matches!(odd, Times::Odd { .. }), "{now}");
    }
    let refused = alice.sign(&signing, NOW + DAY, Some("2026-01-01 00:00"), head());
    assert!(refused.unwrap_err().to_string().contains(&shown_time(NOW - 300)));
    let typed = shown_time(NOW - 300);
    assert!(bob.sign(&signing, NOW - DAY, Some(&typed), head()).is_ok());
}

pub(super) fn time(unix: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(unix).unwrap()
}
