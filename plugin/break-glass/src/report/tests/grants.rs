//! What a log says that a quorum granted.

use super::*;

/// What is found and noted of a log with these events, but for how far others saw.
fn proven(events: Vec<Event>, kits: &[Kit]) -> (Vec<Finding>, Vec<Note>) {
    let mut report = report(&[("alice.jsonl", &file(events))], &[]);
    report.prove(kits);
    let notes = report.notes().iter();
    let notes = notes.filter(|note| !matches!(note, Note::EndUnseen { .. }));
    (report.findings().to_vec(), notes.cloned().collect())
}

/// The only finding is that something was not granted; why.
fn not_granted(events: Vec<Event>, kits: &[Kit]) -> String {
    let last = events.len() as u64;
    let (findings, _) = proven(events, kits);
    let [Finding::NotGranted { log, entry, why, .. }] = &findings[..] else {
        panic!("{findings:?}");
    };
    assert_eq!((log.as_str(), *entry), ("alice.jsonl", last));
    why.clone()
}

const NO_QUORUM: &str = "the log does not hold a round two of it with the signature shares of a quorum";
const ANOTHER: &str = "they give something else";

#[test]
fn a_certificate_that_a_log_tells_of_is_the_one_that_its_signature_shares_give() {
    let quorum = crate::tests::Quorum::new();
    let kits = [quorum.kit.clone()];
    let request = quorum.request();
    let ceremony = held(&quorum, &request, &[1, 2]);
    let round = rounds("a", &Log::parse(&file(ceremony.clone())).unwrap()).remove(0);
    let Some(Granted::Certificate(made)) = round.granted(&quorum.kit) else {
        panic!()
    };
    let opened = |request: &str, id: &str, not_before, not_after| Event::Opened {
        request: request.into(),
        credential_id: id.into(),
        not_before,
        not_after,
    };
    let (hash, id) = (request.hash().to_string(), made.credential_id.as_str());
    let (begins, ends) = (made.not_before, made.not_after);
    let honest = opened(&hash, id, begins, ends);
    let with = |event: &Event| [&ceremony[..], std::slice::from_ref(event)].concat();
    assert_eq!(proven(with(&honest), &kits), (vec![], vec![]));
    // Without the kit nobody can tell, and that is said.
    let (findings, notes) = proven(with(&honest), &[]);
    assert_eq!(findings, []);
    assert!(
        matches!(&notes[..], [Note::GrantUnknown { entry: 5, what, .. }] if what.ends_with(id)),
        "{notes:?}"
    );

    let made_up = "X509SHA256=".to_owned() + &"0".repeat(64);
    for lie in [
        opened(&hash, &made_up, begins, ends),
        opened(&hash, id, begins + 1, ends),
        opened(&hash, id, begins, ends + 1),
    ] {
        assert_eq!(not_granted(with(&lie), &kits), ANOTHER);
    }
    let other = opened(&"0".repeat(64), id, begins, ends);
    assert_eq!(not_granted(with(&other), &kits), NO_QUORUM);
    // One holder of the two, or the request of something else.
    for kits in [&kits[..], &[]] {
        let mut alone = with(&honest);
        alone.remove(3);
        assert_eq!(not_granted(alone.clone(), kits), NO_QUORUM);
        alone.remove(2);
        let Event::Signing(fixed) = &mut alone[1] else {
            panic!()
        };
        fixed.commitments.clear();
        assert_eq!(not_granted(alone, kits), NO_QUORUM);
    }
    let unasked = with(&honest)[1..].to_vec();
    assert_eq!(not_granted(unasked, &kits), NO_QUORUM);
    // Another request under this one's name, which no holder saw.
    let mut renamed = with(&honest);
    for event in &mut renamed {
        let (Event::Requested(Asked { request, .. })
        | Event::Signing(Fixed { request, .. })
        | Event::Signed { request, .. }
        | Event::Opened { request, .. }) = event
        else {
            panic!("{event:?}")
        };
        *request = "0".repeat(64);
    }
    let (findings, _) = proven(renamed, &kits);
    let refuted = |finding: &Finding| matches!(finding, Finding::NotGranted { .. });
    assert!(findings.iter().any(refuted), "{findings:?}");
    // A ceremony that never was needs no kit to be told from one.
    for kits in [&kits[..], &[]] {
        let never = vec![ceremony[0].clone(), honest.clone()];
        assert_eq!(not_granted(never, kits), NO_QUORUM);
    }
}

#[test]
fn a_signature_share_before_which_nothing_was_fixed_is_a_finding() {
    let quorum = crate::tests::Quorum::new();
    let mut events = held(&quorum, &quorum.request(), &[1, 2]);
    let signing = events.remove(1);
    // Fixed afterwards is not before.
    for more in [vec![], vec![signing]] {
        let events = [&events[..], &more].concat();
        for kits in [&[quorum.kit.clone()][..], &[]] {
            let (findings, _) = proven(events.clone(), kits);
            let holders = findings.iter().map(|finding| match finding {
                Finding::Unproven { holder, why, .. } if why.starts_with("no round two") => holder.as_str(),
                other => panic!("{other:?}"),
            });
            assert_eq!(holders.collect::<Vec<_>>(), ["bob", "carol"]);
        }
    }
}

#[test]
fn a_drill_and_a_kit_that_a_log_tells_of_are_those_that_its_signature_shares_give() {
    let quorum = crate::tests::Quorum::new();
    let kits = [quorum.kit.clone()];
    let (kit, another) = (quorum.kit.hash(), crate::tests::Quorum::new().kit.hash());
    let request = Request::drill(&quorum.kit, name("alice"), &mut OsRng);
    let drill = |kit, holders: &[&str]| {
        let mut events = held(&quorum, &request, &[1, 2]);
        events.push(Event::Drilled {
            request: request.hash().to_string(),
            kit,
            holders: holders.iter().map(|holder| name(holder)).collect(),
        });
        events
    };
    assert_eq!(proven(drill(kit, &["bob", "carol"]), &kits), (vec![], vec![]));
    let lie = drill(kit, &["alice", "bob", "carol"]);
    assert_eq!(not_granted(lie, &kits), ANOTHER);
    let lie = drill(another, &["bob", "carol"]);
    assert_eq!(not_granted(lie, &kits), NO_QUORUM);

    let mut next = quorum.kit.payload().clone();
    (next.revision, next.previous) = (2, Some(kit));
    for holder in [0, 2] {
        next.holders[holder].confirmed += 1;
    }
    let request = Request::kit(&quorum.kit, name("alice"), &next);
    let recertified = |previous, kit| {
        let mut events = held(&quorum, &request, &[0, 2]);
        events.push(Event::Recertified { previous, kit });
        events
    };
    assert_eq!(proven(recertified(kit, next.hash()), &kits), (vec![], vec![]));
    assert_eq!(not_granted(recertified(kit, another), &kits), ANOTHER);
    assert_eq!(not_granted(recertified(another, next.hash()), &kits), NO_QUORUM);
}
