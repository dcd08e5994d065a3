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
    // Without the request nobody can tell, either.
    let (findings, notes) = proven(with(&honest)[1..].to_vec(), &kits);
    assert_eq!(findings, []);
    assert!(
        matches!(&notes[..], [Note::GrantUnknown { entry: 4, why, .. }] if why == "the log does not hold the request"),
        "{notes:?}"
    );
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

/// A report of alice's two logs: somebody broke hers after the first events, and a new one went on with the others.
fn halves(before: &[Event], after: &[Event], kits: &[Kit], with_broken: bool) -> Report {
    let broken = [&file(before.to_vec())[..], b"garbage\n"].concat();
    let aside = Log::set_aside(&broken, &Log::parse(&broken).unwrap_err());
    let new = file([&[aside], after].concat());
    let logs = [("new", &new[..]), ("broken", &broken[..])];
    let mut report = report(&logs[..if with_broken { 2 } else { 1 }], &[]);
    report.prove(kits);
    report
}

/// A drill as alice's log tells of it, up to its end.
fn drill(quorum: &crate::tests::Quorum) -> Vec<Event> {
    let request = Request::drill(&quorum.kit, name("alice"), &mut OsRng);
    let mut events = held(quorum, &request, &[1, 2]);
    events.push(Event::Drilled {
        request: request.hash().to_string(),
        kit: quorum.kit.hash(),
        holders: vec![name("bob"), name("carol")],
    });
    events
}

#[test]
fn a_ceremony_goes_on_over_the_break_of_a_log_and_nobody_is_accused_of_it() {
    let quorum = crate::tests::Quorum::new();
    let kits = [quorum.kit.clone()];
    let events = drill(&quorum);
    let is_proven = |approval: &Approval| approval.outcome == Outcome::Proven;
    // With both halves all is proven wherever it broke, each signature share once.
    for at in 0..events.len() {
        let both = halves(&events[..at], &events[at..], &kits, true);
        assert!(
            matches!(both.findings(), [Finding::Broken { .. }]),
            "{at}: {both}"
        );
        let unknown = |note: &Note| matches!(note, Note::GrantUnknown { .. });
        assert!(!both.notes().iter().any(unknown), "{at}: {both}");
        assert_eq!(both.approvals().len(), 2, "{at}: {both}");
        assert!(both.approvals().iter().all(is_proven), "{at}: {both}");
        let in_old = both
            .approvals()
            .iter()
            .filter(|approval| approval.log == "broken");
        assert_eq!(in_old.count(), at.saturating_sub(2).min(2), "{at}: {both}");
    }
    // Without the other half it is not known, and that is said; but what the request and all since is in is proven.
    for at in 0..events.len() {
        let alone = halves(&events[..at], &events[at..], &kits, false);
        assert!(
            matches!(alone.findings(), [Finding::PutAside { .. }]),
            "{at}: {alone}"
        );
        let unknown = |note: &&Note| matches!(note, Note::GrantUnknown { .. });
        let notes = alone.notes().iter().filter(unknown).count();
        assert_eq!(notes, usize::from(at > 0), "{at}: {alone}");
        assert_eq!(
            alone.approvals().iter().all(is_proven),
            at == 0 || at == 4,
            "{alone}"
        );
    }
    // So it is where what is missing stood behind the place where the other half breaks.
    let behind = halves(&events[..1], &events[2..], &kits, true);
    assert!(matches!(behind.findings(), [Finding::Broken { .. }]), "{behind}");
    let unknown = |approval: &Approval| matches!(approval.outcome, Outcome::Unknown { .. });
    assert!(behind.approvals().iter().all(unknown), "{behind}");
    // A share of a run that was fixed there, where the run that can be read is an earlier one.
    let later = &held(&quorum, &quorum.request(), &[1, 2])[2..];
    let later: Vec<_> = later
        .iter()
        .zip(&events[2..])
        .map(|(later, event)| match (later, event) {
            (Event::Signed { share, .. }, Event::Signed { request, holder, .. }) => Event::Signed {
                request: request.clone(),
                holder: holder.clone(),
                share: share.clone(),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    let over = halves(&events[..2], &later, &kits, true);
    assert!(matches!(over.findings(), [Finding::Broken { .. }]), "{over}");
    assert!(over.approvals().iter().all(unknown), "{over}");
    // Other kits may have been signed there than those that can be read.
    let recertified = Event::Recertified {
        previous: quorum.kit.hash(),
        kit: crate::tests::Quorum::new().kit.hash(),
    };
    let kit = halves(&events, &[recertified], &kits, true);
    assert!(matches!(kit.findings(), [Finding::Broken { .. }]), "{kit}");
}

#[test]
fn a_log_that_goes_on_from_a_broken_one_is_no_place_for_inventions() {
    let quorum = crate::tests::Quorum::new();
    let kits = [quorum.kit.clone()];
    let invented = |before: &[Event], after: &[Event]| {
        let both = halves(before, after, &kits, true);
        let of_new = both.findings().iter().filter(|finding| {
            matches!(finding, Finding::NotGranted { log, .. } | Finding::Unproven { log, .. } if log == "new")
        });
        assert!(of_new.count() > 0, "{both}");
    };
    let events = drill(&quorum);
    // What was asked since the break stands whole in the log that goes on.
    invented(&[], &[&events[..1], &events[4..]].concat());
    invented(&[], &[&events[..1], &events[2..3]].concat());
    // What was given is not what it says.
    let Event::Drilled { request, kit, .. } = &events[4] else {
        panic!()
    };
    let lie = Event::Drilled {
        request: request.clone(),
        kit: *kit,
        holders: vec![name("alice"), name("bob")],
    };
    for at in 0..=4 {
        let after = [&events[at..4], std::slice::from_ref(&lie)].concat();
        invented(&events[..at], &after);
    }
    // Another's share under bob's name.
    let mut swapped = events.clone();
    let Event::Signed { share: carols, .. } = events[3].clone() else {
        panic!()
    };
    let Event::Signed { share, .. } = &mut swapped[2] else {
        panic!()
    };
    *share = carols;
    invented(&swapped[..1], &swapped[1..3]);
    // What a broken log invents is told of that one, and once.
    let old = halves(&events[2..3], &[], &kits, true);
    assert!(
        matches!(old.findings(), [Finding::Broken { .. }, Finding::Unproven { log, .. }] if log == "broken"),
        "{old}"
    );
    assert_eq!(old.approvals().len(), 1, "{old}");
    // A log that does not break has lost nothing, though another says to go on from it.
    let whole = file(events[..1].to_vec());
    let aside = Log::set_aside(&whole, &LogError::TooLong);
    let new = file([&[aside], &events[2..]].concat());
    let mut two = report(&[("new", &new), ("whole", &whole)], &[]);
    two.prove(&kits);
    let kinds = |finding: &Finding| match finding {
        Finding::PutAsideWhole { .. } => "whole",
        Finding::Unproven { .. } => "unproven",
        Finding::NotGranted { .. } => "notGranted",
        other => panic!("{other:?}"),
    };
    let kinds: Vec<_> = two.findings().iter().map(kinds).collect();
    assert_eq!(kinds, ["whole", "unproven", "unproven", "notGranted"]);
}

#[test]
fn a_log_that_breaks_twice_is_read_together_with_both() {
    let quorum = crate::tests::Quorum::new();
    let events = drill(&quorum);
    let mut logs: Vec<Vec<u8>> = Vec::new();
    for (at, part) in [&events[..1], &events[1..3], &events[3..]].iter().enumerate() {
        let aside = logs
            .last()
            .map(|broken| Log::set_aside(broken, &Log::parse(broken).unwrap_err()));
        let mut log = file(aside.into_iter().chain(part.iter().cloned()).collect());
        if at < 2 {
            log.extend_from_slice(b"garbage\n");
        }
        logs.push(log);
    }
    let sources = [("third", &logs[2][..]), ("first", &logs[0]), ("second", &logs[1])];
    let mut report = report(&sources, &[]);
    report.prove(std::slice::from_ref(&quorum.kit));
    let is_break = |finding: &Finding| matches!(finding, Finding::Broken { .. });
    assert!(report.findings().iter().all(is_break), "{report}");
    let proven: Vec<_> = report
        .approvals()
        .iter()
        .filter(|approval| approval.outcome == Outcome::Proven)
        .map(|approval| (approval.log.as_str(), approval.holder.as_str()))
        .collect();
    assert_eq!(proven, [("third", "carol"), ("second", "bob")]);
}

/// How long something took, of three times the least.
fn least(of: impl Fn()) -> std::time::Duration {
    let once = || {
        let begun = std::time::Instant::now();
        of();
        begun.elapsed()
    };
    (0..3).map(|_| once()).min().unwrap()
}

#[test]
fn a_log_of_many_runs_and_many_lies_is_looked_through_in_no_time() {
    let quorum = crate::tests::Quorum::new();
    let request = quorum.request();
    let mut events = vec![];
    for _ in 0..20 {
        events.extend(held(&quorum, &request, &[1, 2]));
    }
    let lie = Event::Opened {
        request: request.hash().to_string(),
        credential_id: "X509SHA256=".to_owned() + &"0".repeat(64),
        not_before: 0,
        not_after: 1,
    };
    let proves = |lies: usize| {
        let bytes = file([&events[..], &vec![lie.clone(); lies]].concat());
        let report = report(&[("alice.jsonl", &bytes)], &[]);
        least(|| {
            let mut report = report.clone();
            report.prove(std::slice::from_ref(&quorum.kit));
            assert_eq!(report.findings().len(), lies);
        })
    };
    let (one, many) = (proves(1), proves(100));
    assert!(many < one * 10, "a hundred lies took {many:?}, one took {one:?}");

    // Runs that were never signed.
    let signing = |at: usize| {
        Event::Signing(Fixed {
            request: request.hash().to_string(),
            kit: quorum.kit.hash(),
            not_before: Some(at as i64),
            commitments: BTreeMap::new(),
        })
    };
    let reads = |runs: usize| {
        let mut log = Log::default();
        for at in 0..runs {
            log.append(signing(at), NOW, &mut OsRng);
        }
        least(|| assert_eq!(rounds("a", &log).len(), runs))
    };
    let (few, many) = (reads(1000), reads(20_000));
    assert!(many < few * 80, "20000 runs took {many:?}, 1000 took {few:?}");
}
