use frost_ed25519::{SigningPackage, keys::KeyPackage, round1, round2};
use rand_core::OsRng;
use time::macros::datetime;

use super::*;
use crate::{
    kit::Kit,
    log::tests::{NOW, add, asked, events, file, name},
    log::{Asked, Fixed, LogError, Purpose},
    name::{Name, is_plain},
    opener::Granted,
    request::Request,
    share::tests::quorum,
};

mod grants;

/// The notes, but for the machine of which alice's log heard and which plays no part here.
fn notes(report: &Report) -> Vec<Note> {
    let plays =
        |note: &&Note| !matches!(note, Note::NotAtHand { machine, .. } if *machine == "cd".repeat(16));
    report.notes().iter().filter(plays).cloned().collect()
}

/// alice's log, and bob's, which heard of alice's after its second and fourth entry.
fn ceremony() -> (Vec<u8>, Vec<u8>) {
    let (mut alice, mut bob) = (Vec::new(), Vec::new());
    for (at, event) in events().into_iter().enumerate() {
        add(&mut alice, event);
        if at == 1 || at == 3 {
            add(&mut bob, heard_of(&alice));
        }
    }
    (alice, bob)
}

fn head(bytes: &[u8]) -> Head {
    Log::parse(bytes).unwrap().head().unwrap()
}

fn heard_of(log: &[u8]) -> Event {
    Event::Heard {
        from: name("alice"),
        text: "GATEPASS REQUEST".into(),
        head: head(log),
    }
}

fn text(log: &[u8]) -> HeardHead {
    HeardHead {
        by: "chat.txt".into(),
        from: "alice".into(),
        head: head(log),
    }
}

fn report(logs: &[(&str, &[u8])], texts: &[HeardHead]) -> Report {
    let sources: Vec<_> = logs.iter().map(|(name, bytes)| Source { name, bytes }).collect();
    Report::new(&sources, texts)
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A log rewritten from an edited entry on, as whoever has the file can.
fn rewritten(bytes: &[u8], entry: u64, edit: impl Fn(Event) -> Event) -> Vec<u8> {
    let log = Log::parse(bytes).unwrap();
    let machine = log.machine().unwrap().to_owned();
    let mut forged = Vec::new();
    for old in log.entries() {
        let Recorded::Known(event) = old.event.clone() else {
            panic!()
        };
        let event = if old.seq == entry { edit(event) } else { event };
        let mut log = Log::parse(&forged).unwrap();
        let mut line = log.append(event, NOW, &mut OsRng);
        if forged.is_empty() {
            let made = log.machine().unwrap().to_owned();
            line = line.replace(&made, &machine);
        }
        forged.extend_from_slice(line.as_bytes());
    }
    assert_eq!(Log::parse(&forged).unwrap().machine(), Some(machine.as_str()));
    forged
}

fn eve(_: Event) -> Event {
    Event::Refused {
        request: None,
        why: "nothing to see".into(),
    }
}

#[test]
fn logs_that_agree_give_no_finding_and_say_how_far_others_saw() {
    let (alice, bob) = ceremony();
    let report = report(&[("alice.jsonl", &alice), ("bob.jsonl", &bob)], &[]);
    assert_eq!(report.findings(), []);
    let unseen = |log: &str, seen, has| Note::EndUnseen {
        log: log.into(),
        seen,
        has,
    };
    let unseen = [unseen("alice.jsonl", 4, 6), unseen("bob.jsonl", 0, 2)];
    assert_eq!(notes(&report), unseen);
    let with_text = super::tests::report(&[("alice.jsonl", &alice)], &[text(&alice)]);
    assert_eq!((with_text.findings().len(), notes(&with_text).len()), (0, 0));
}

#[test]
fn a_log_is_no_witness_of_itself() {
    let (mut alice, _) = ceremony();
    let itself = heard_of(&alice);
    add(&mut alice, itself);
    let report = report(&[("alice.jsonl", &alice)], &[]);
    assert!(matches!(
        notes(&report)[..],
        [Note::EndUnseen { seen: 0, has: 7, .. }]
    ));
}

#[test]
fn a_log_that_was_edited_and_chained_again_is_noticed_by_who_heard_of_it() {
    let (alice, bob) = ceremony();
    for (entry, first, last) in [(1, 1, 2), (2, 1, 2), (3, 3, 4), (4, 3, 4)] {
        let forged = rewritten(&alice, entry, eve);
        assert!(Log::parse(&forged).is_ok());
        let report = report(&[("alice.jsonl", &forged), ("bob.jsonl", &bob)], &[]);
        let by = set(&["bob.jsonl"]);
        let changed = Finding::Changed {
            log: "alice.jsonl".into(),
            first,
            last,
            by,
        };
        assert_eq!(report.findings(), [changed], "{report}");
    }
    // Nobody heard of entry 6: only the note says so.
    let report = report(
        &[("alice.jsonl", &rewritten(&alice, 6, eve)), ("bob.jsonl", &bob)],
        &[],
    );
    assert_eq!(report.findings(), []);
    assert!(matches!(
        report.notes()[0],
        Note::EndUnseen { seen: 4, has: 6, .. }
    ));
}

#[test]
fn no_changed_byte_of_the_last_line_goes_unnoticed_where_its_head_was_heard() {
    let (alice, _) = ceremony();
    let heads = [text(&alice)];
    let last = alice[..alice.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap();
    for at in last + 1..alice.len() {
        for flip in [0x01, 0x20, alice[at] ^ b'\n', alice[at] ^ 0x1e] {
            if flip != 0 {
                let mut changed = alice.clone();
                changed[at] ^= flip;
                let report = report(&[("alice.jsonl", &changed)], &heads);
                assert!(!report.findings().is_empty(), "byte {at} ^ {flip}");
            }
        }
    }
}

#[test]
fn a_tail_that_was_cut_is_noticed_by_who_heard_of_it() {
    let (alice, bob) = ceremony();
    let lines: Vec<_> = alice.split_inclusive(|byte| *byte == b'\n').collect();
    for kept in 1..4 {
        let cut = lines[..kept].concat();
        let report = report(&[("alice.jsonl", &cut), ("bob.jsonl", &bob)], &[text(&alice)]);
        let expected = Finding::TailMissing {
            log: "alice.jsonl".into(),
            has: kept as u64,
            heard: 6,
            by: set(&["bob.jsonl", "chat.txt"]),
        };
        assert_eq!(report.findings(), [expected]);
    }
    // Half a line does not stand for the entry that was heard of.
    let torn = &alice[..alice.len() - 10];
    let report = report(&[("alice.jsonl", torn)], &[text(&alice)]);
    assert!(matches!(
        report.findings(),
        [Finding::TailMissing { has: 5, heard: 6, .. }]
    ));
    assert!(matches!(notes(&report)[..], [Note::Torn { after: 5, .. }]));
}

#[test]
fn a_broken_log_is_shown_up_to_its_break() {
    let (alice, bob) = ceremony();
    let changed = String::from_utf8(alice.clone())
        .unwrap()
        .replace("\"seq\":3", "\"seq\":7");
    let report = report(
        &[("alice.jsonl", changed.as_bytes()), ("bob.jsonl", &bob)],
        &[text(&alice)],
    );
    let why = LogError::Number { after: 2, found: 7 }.to_string();
    assert_eq!(
        report.findings(),
        [Finding::Broken {
            log: "alice.jsonl".into(),
            why
        }]
    );
    assert_eq!(report.logs()[0].log.entries().len(), 2);
    assert!(report.to_string().contains("THE LOG BREAKS HERE"), "{report}");
}

#[test]
fn a_machine_that_shows_two_logs_is_noticed() {
    let (alice, _) = ceremony();
    let forged = rewritten(&alice, 3, eve);
    let two = report(&[("one", &alice), ("two", &forged)], &[]);
    let finding = Finding::TwoLogs {
        log: "one".into(),
        other: "two".into(),
        entry: 3,
    };
    assert_eq!(two.findings(), [finding]);
    let lines: Vec<_> = alice.split_inclusive(|byte| *byte == b'\n').collect();
    let older = lines[..2].concat();
    let copy = report(&[("one", &alice), ("two", &older)], &[]);
    assert_eq!(copy.findings(), []);
    assert!(copy.notes().contains(&Note::OlderCopy {
        log: "two".into(),
        of: "one".into()
    }));
}

#[test]
fn a_machine_that_told_two_people_different_things_is_noticed_without_its_log() {
    let (alice, bob) = ceremony();
    let lines: Vec<_> = alice.split_inclusive(|byte| *byte == b'\n').collect();
    let forged = rewritten(&lines[..4].concat(), 4, eve);
    let carol = file(vec![heard_of(&forged)]);
    let report = report(&[("bob.jsonl", &bob), ("carol.jsonl", &carol)], &[]);
    let expected = Finding::ToldDifferently {
        machine: head(&alice).machine,
        from: "alice".into(),
        entry: 4,
        by: set(&["bob.jsonl", "carol.jsonl"]),
    };
    assert_eq!(report.findings(), [expected]);
    assert!(
        report
            .notes()
            .iter()
            .any(|note| matches!(note, Note::NotAtHand { heard: 4, .. }))
    );
}

#[test]
fn a_log_that_took_anothers_place_is_named_as_not_at_hand() {
    let (alice, bob) = ceremony();
    // alice hands in a new log with a name of its own.
    let report = report(&[("alice.jsonl", &file(events())), ("bob.jsonl", &bob)], &[]);
    let expected = Note::NotAtHand {
        machine: head(&alice).machine,
        from: "alice".into(),
        heard: 4,
        by: set(&["bob.jsonl"]),
    };
    assert!(report.notes().contains(&expected), "{report}");
    // A person may have two machines, so it is no finding; but neither is it said that all is well.
    assert_eq!(report.findings(), []);
    let shown = report.to_string();
    let (headline, rest) = shown.split_once('\n').unwrap();
    assert_eq!(
        headline,
        ALL_AT_HAND.replace('.', " in what is at hand. Not at hand:")
    );
    let missing = format!(
        "- the log of the machine {}, which said to be alice: bob.jsonl heard of 4 entries of it",
        head(&alice).machine
    );
    assert!(rest.split("\n\n").next().unwrap().contains(&missing), "{shown}");
}

const ALL_AT_HAND: &str = "Nothing was found that somebody has to explain.";

#[test]
fn the_first_line_says_whether_all_was_at_hand() {
    let quorum = crate::tests::Quorum::new();
    let log = file(held(&quorum, &quorum.request(), &[1, 2]));
    let headline = |log: &[u8], kits: &[Kit]| {
        let mut report = report(&[("a", log)], &[]);
        report.prove(kits);
        report.to_string().lines().next().unwrap().to_owned()
    };
    assert_eq!(headline(&log, std::slice::from_ref(&quorum.kit)), ALL_AT_HAND);
    assert_ne!(headline(&log, &[]), ALL_AT_HAND);
    let drill = Request::drill(&quorum.kit, name("alice"), &mut OsRng);
    let mut with_drill = held(&quorum, &drill, &[1, 2]);
    with_drill.push(Event::Drilled {
        request: drill.hash().to_string(),
        kit: quorum.kit.hash(),
        holders: vec![name("bob")],
    });
    let with_drill = file(with_drill);
    let heard = file(vec![heard_of(&log)]);
    assert_ne!(headline(&heard, std::slice::from_ref(&quorum.kit)), ALL_AT_HAND);
    // Each that is missing is named right below.
    let mut report = report(&[("a", &with_drill)], &[]);
    report.prove(&[]);
    let shown = report.to_string();
    let below: Vec<_> = shown.split("\n\n").next().unwrap().lines().skip(1).collect();
    let [drill, approvals] = &below[..] else {
        panic!("{shown}")
    };
    assert!(
        drill.starts_with("- what would prove that a quorum granted the drill "),
        "{drill}"
    );
    assert!(
        approvals.starts_with("- what would prove some approvals"),
        "{approvals}"
    );
    // What was found stands first all the same.
    let broken = [&heard[..], b"garbage\n"].concat();
    let shown = super::tests::report(&[("a", &broken)], &[]).to_string();
    let (found, missing) = shown.split_once("\n\nNot at hand:\n- the log of ").unwrap();
    assert!(found.starts_with("SOMEBODY HAS TO EXPLAIN:\n! a: "), "{found}");
    assert!(missing.contains("a heard of 4 entries"), "{missing}");
}

#[test]
fn a_head_that_no_log_can_have_is_a_finding_and_no_panic() {
    let (alice, _) = ceremony();
    for entries in [0, u64::MAX] {
        let mut heard = text(&alice);
        heard.head.entries = entries;
        assert_eq!(report(&[("alice.jsonl", &alice)], &[heard]).findings().len(), 1);
    }
}

#[test]
fn a_clock_that_went_back_is_noted() {
    let mut log = Log::default();
    let mut text = log.append(eve(events().remove(0)), NOW, &mut OsRng);
    text += &log.append(
        eve(events().remove(0)),
        datetime!(2020-01-01 00:00 UTC),
        &mut OsRng,
    );
    let report = report(&[("a", text.as_bytes())], &[]);
    assert!(report.notes().contains(&Note::ClockWentBack {
        log: "a".into(),
        entry: 2
    }));
    assert_eq!(report.findings(), []);
}

#[test]
fn a_log_that_was_put_aside_is_looked_at_too_or_has_to_be_explained() {
    let (alice, bob) = ceremony();
    let broken = [&alice[..], b"garbage\n"].concat();
    let why = Log::parse(&broken).unwrap_err();
    let aside = data_encoding::HEXLOWER.encode(&sha256(&[&broken]));
    let new = file(vec![Log::set_aside(&broken, &why), eve(events().remove(0))]);
    let alone = report(&[("new", &new), ("bob.jsonl", &bob)], &[]);
    let (log, missing) = ("new".to_owned(), aside.clone());
    assert_eq!(alone.findings(), [Finding::PutAside { log, aside: missing }]);
    // What it holds is examined then, and its break has to be explained.
    let both = report(&[("new", &new), ("old", &broken)], &[]);
    assert!(
        matches!(both.findings(), [Finding::Broken { log, .. }] if log == "old"),
        "{both}"
    );
    assert!(both.notes().contains(&Note::Restarted {
        log: "new".into(),
        aside
    }));
    // Another file in its place, and a log that nothing was wrong with.
    let other = [&alice[..], b"rubbish\n"].concat();
    let swapped = report(&[("new", &new), ("old", &other)], &[]);
    assert!(matches!(
        swapped.findings(),
        [Finding::Broken { .. }, Finding::PutAside { .. }]
    ));
    let begun = file(vec![Log::set_aside(&bob, &why)]);
    let whole = report(&[("new", &begun), ("bob.jsonl", &bob)], &[]);
    assert_eq!(
        whole.findings(),
        [Finding::PutAsideWhole {
            log: "new".into(),
            whole: "bob.jsonl".into()
        }]
    );
}

#[test]
fn nothing_in_a_log_from_elsewhere_moves_a_cursor() {
    let hostile = "\u{1b}[2J\u{202e}\nNothing was found";
    let mut head = head(&file(events()));
    (head.machine, head.hash) = (hostile.into(), hostile.into());
    let mut asked = asked();
    (asked.words, asked.request) = (hostile.into(), hostile.into());
    let mut bytes = file(vec![
        Event::Requested(asked),
        Event::Refused {
            request: Some(hostile.into()),
            why: hostile.into(),
        },
        Event::Heard {
            from: name("eve"),
            text: hostile.into(),
            head,
        },
        Event::Closed {
            credential_id: hostile.into(),
        },
        Event::Opened {
            request: hostile.into(),
            credential_id: hostile.into(),
            not_before: i64::MAX,
            not_after: i64::MIN,
        },
        Event::SetAside {
            log: hostile.into(),
            why: hostile.into(),
        },
    ]);
    // A kind that nobody knows, a machine of any name, and a time at the calendar's end.
    let line = serde_json::json!({
        "seq": 7, "time": "9999-12-31T23:59:59-23:00", "machine": Log::parse(&bytes).unwrap().machine(),
        "previous": super::tests::head(&bytes).hash, "event": { "kind": hostile, "x": hostile },
    });
    bytes.extend_from_slice(format!("{line}\n").as_bytes());
    let text = HeardHead {
        by: hostile.into(),
        from: hostile.into(),
        head: super::tests::head(&bytes),
    };
    let mut report = report(&[(hostile, &bytes), (hostile, b"{}\n")], &[text]);
    let round = Round {
        log: hostile.into(),
        asked: None,
        fixed: Fixed {
            request: hostile.into(),
            kit: super::tests::asked().kit,
            not_before: None,
            commitments: BTreeMap::new(),
        },
        shares: [(name("bob"), hostile.into())].into(),
        elsewhere: BTreeSet::new(),
        unsure: false,
    };
    report.add_approvals(round.unknown(hostile));
    let (_, keys) = quorum(2, 2);
    report.add_approvals(round.approvals(&BTreeMap::new(), &keys, &[]));
    let shown = report.to_string();
    assert!(shown.lines().count() > 15, "{shown}");
    assert!(shown.lines().flat_map(str::chars).all(is_plain), "{shown}");
    assert!(
        !shown.lines().any(|line| line.starts_with("Nothing was found")),
        "{shown}"
    );
    assert!(shown.starts_with("SOMEBODY HAS TO EXPLAIN:\n"), "{shown}");
}

/// A log of a run by two of three holders, the kit's keys and holders, and what was signed.
struct Run {
    log: Log,
    holders: BTreeMap<Name, frost_ed25519::Identifier>,
    keys: frost_ed25519::keys::PublicKeyPackage,
    message: Vec<u8>,
}

fn run() -> Run {
    let (shares, keys) = quorum(2, 3);
    let names = ["alice", "bob", "carol"].map(name);
    let holders: BTreeMap<_, _> = names.into_iter().zip(shares.keys().copied()).collect();
    let message = b"one".to_vec();
    let signers = holders
        .iter()
        .take(2)
        .map(|(name, id)| (name.clone(), shares[id].clone()));
    let log = log_of(&asked(), Some(0), &signers.collect::<Vec<_>>(), &message);
    Run {
        log,
        holders,
        keys,
        message,
    }
}

/// The opener's log of a run.
fn log_of(asked: &Asked, not_before: Option<i64>, signers: &[(Name, KeyPackage)], message: &[u8]) -> Log {
    let hex = |bytes: Vec<u8>| data_encoding::HEXLOWER.encode(&bytes);
    let (mut commitments, mut signed) = (BTreeMap::new(), BTreeMap::new());
    let round1: BTreeMap<_, _> = (signers.iter())
        .map(|(_, key)| (*key.identifier(), round1::commit(key.signing_share(), &mut OsRng)))
        .collect();
    let package = SigningPackage::new(round1.iter().map(|(id, (_, c))| (*id, *c)).collect(), message);
    for (name, key) in signers {
        let (nonces, commitment) = &round1[key.identifier()];
        let share = round2::sign(&package, nonces, key).unwrap();
        commitments.insert(name.clone(), hex(commitment.serialize().unwrap()));
        signed.insert(name.clone(), hex(share.serialize()));
    }
    let (request, kit) = (asked.request.clone(), asked.kit);
    let mut events = vec![
        Event::Requested(asked.clone()),
        Event::Signing(Fixed {
            request: request.clone(),
            kit,
            not_before,
            commitments,
        }),
    ];
    for (holder, share) in signed {
        events.push(Event::Signed {
            request: request.clone(),
            holder,
            share,
        });
    }
    Log::parse(&file(events)).unwrap()
}

#[test]
fn who_approved_is_proven_by_their_signature_shares() {
    let run = run();
    let [round] = &rounds("alice.jsonl", &run.log)[..] else {
        panic!()
    };
    assert_eq!(round.asked.as_deref(), Some(&asked()));
    let approvals = round.approvals(&run.holders, &run.keys, &run.message);
    let outcomes: Vec<_> = approvals
        .iter()
        .map(|one| (one.holder.as_str(), &one.outcome))
        .collect();
    assert_eq!(outcomes, [("alice", &Outcome::Proven), ("bob", &Outcome::Proven)]);
    let mut report = report(&[], &[]);
    report.add_approvals(approvals);
    assert_eq!(report.findings(), []);
    assert!(
        report.to_string().contains("proven by the signature share"),
        "{report}"
    );
}

#[test]
fn a_share_that_does_not_fit_proves_nothing_and_is_a_finding() {
    let run = run();
    let round = rounds("alice.jsonl", &run.log).remove(0);
    let refuted = |round: &Round, message: &[u8], why: ProofError| {
        let approvals = round.approvals(&run.holders, &run.keys, message);
        let mut report = report(&[], &[]);
        report.add_approvals(approvals);
        let whys: Vec<_> = (report.findings().iter())
            .map(|finding| match finding {
                Finding::Unproven { why, .. } => why.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(
            !whys.is_empty() && whys.iter().all(|found| *found == why.to_string()),
            "{whys:?}"
        );
    };
    // Something else was signed than the log says.
    refuted(&round, b"two", ProofError::DoesNotFit);
    refuted(&round, b"", ProofError::DoesNotFit);
    // alice's shares under bob's name, and under carol's, who did not sign.
    for holder in ["bob", "carol"] {
        let mut lie = round.clone();
        lie.shares = [(name(holder), round.shares[&name("alice")].clone())].into();
        refuted(&lie, &run.message, ProofError::DoesNotFit);
    }
    let mut lie = round.clone();
    lie.shares = [(name("eve"), round.shares[&name("alice")].clone())].into();
    refuted(&lie, &run.message, ProofError::NoHolder(name("eve")));
    // The shares of another run, a made-up one, and one that is none.
    let mut lie = round.clone();
    lie.shares = rounds("x", &super::tests::run().log).remove(0).shares;
    refuted(&lie, &run.message, ProofError::DoesNotFit);
    for (share, why) in [
        ("01".repeat(32), ProofError::DoesNotFit),
        ("zz".into(), ProofError::Unreadable),
    ] {
        let mut lie = round.clone();
        lie.shares = [(name("bob"), share)].into();
        refuted(&lie, &run.message, why);
    }
    // Another kit's keys.
    let (_, others) = quorum(2, 3);
    let approvals = round.approvals(&run.holders, &others, &run.message);
    assert!(
        approvals
            .iter()
            .all(|one| matches!(one.outcome, Outcome::NotTheirs { .. }))
    );
}

#[test]
fn approvals_are_proven_against_the_kit_and_the_request_that_the_log_tells_of() {
    let quorum = crate::tests::Quorum::new();
    let request = quorum.request();
    let checked = request.clone().check(&quorum.kit).unwrap();
    let honest = Asked::of(&checked, &quorum.kit);
    let signers = quorum.shares[..2].iter();
    let signers: Vec<_> = signers
        .map(|share| (share.holder().clone(), share.key_package().clone()))
        .collect();
    let not_before = crate::tests::NOW;
    let message = checked.message(&quorum.kit, not_before).unwrap();
    let outcomes = |asked: &Asked, not_before, kits: &[Kit]| {
        let log = log_of(asked, Some(not_before), &signers, &message);
        let mut report = report(&[], &[]);
        report.logs.push(Examined {
            name: "alice.jsonl".into(),
            sha256: String::new(),
            log,
            broken: false,
        });
        report.prove(kits);
        let outcomes: Vec<_> = report.approvals().iter().map(|one| one.outcome.clone()).collect();
        assert_eq!(outcomes.len(), 2);
        assert_eq!(outcomes[0], outcomes[1]);
        let refuted = matches!(outcomes[0], Outcome::NotTheirs { .. });
        assert_eq!(!report.findings().is_empty(), refuted, "{report}");
        outcomes[0].clone()
    };
    let kits = [crate::tests::Quorum::new().kit, quorum.kit.clone()];
    assert_eq!(outcomes(&honest, not_before, &kits), Outcome::Proven);
    assert!(matches!(
        outcomes(&honest, not_before, &kits[..1]),
        Outcome::Unknown { .. }
    ));
    // Another time than was signed, and what the log says of the request is another than was signed.
    let refuted = |asked: &Asked, not_before| {
        assert!(matches!(
            outcomes(asked, not_before, &kits),
            Outcome::NotTheirs { .. }
        ));
    };
    refuted(&honest, not_before + 1);
    let lies: [fn(&mut Asked); 7] = [
        |asked| asked.purpose = Purpose::Drill,
        |asked| asked.who = name("bob"),
        |asked| asked.reason = Some(crate::tests::reason("a rehearsal")),
        |asked| asked.seconds = Some(60),
        |asked| asked.request = "00".repeat(32),
        |asked| asked.content["by"] = "bob".into(),
        |asked| asked.content = serde_json::Value::Null,
    ];
    for lie in lies {
        let mut asked = honest.clone();
        lie(&mut asked);
        refuted(&asked, not_before);
    }
}

#[test]
fn a_request_that_started_over_has_two_runs() {
    let run = run();
    let (first, second) = (events_of(&run.log), events_of(&super::tests::run().log));
    let shares = |events: Vec<Event>| -> Vec<usize> {
        let rounds = rounds("a", &Log::parse(&file(events)).unwrap());
        rounds.iter().map(|round| round.shares.len()).collect()
    };
    assert_eq!(shares([&first[..3], &second[1..]].concat()), [1, 2]);
    // Two processes at one machine write the same run, each what passes through it.
    let [_, signing, alice, bob] = &first[..] else {
        panic!()
    };
    let both = [&first[..3], &[signing.clone(), bob.clone()]].concat();
    assert!(matches!(alice, Event::Signed { .. }));
    assert_eq!(shares(both), [2]);
}

fn events_of(log: &Log) -> Vec<Event> {
    let known = |entry: &crate::log::Entry| match &entry.event {
        Recorded::Known(event) => event.clone(),
        Recorded::Other(_) => panic!(),
    };
    log.entries().iter().map(known).collect()
}

/// What the opener's log holds of a ceremony of the holders of these numbers, up to its end.
fn held(quorum: &crate::tests::Quorum, request: &Request, holders: &[usize]) -> Vec<Event> {
    let checked = request.clone().check(&quorum.kit).unwrap();
    let signers = holders.iter().map(|index| &quorum.shares[*index]);
    let signers: Vec<_> = signers
        .map(|share| (share.holder().clone(), share.key_package().clone()))
        .collect();
    let not_before = checked.seconds().map(|_| crate::tests::NOW);
    let message = checked.message(&quorum.kit, not_before.unwrap_or(0)).unwrap();
    events_of(&log_of(
        &Asked::of(&checked, &quorum.kit),
        not_before,
        &signers,
        &message,
    ))
}

#[test]
fn a_report_for_programs_has_everything() {
    let (alice, bob) = ceremony();
    let mut report = report(
        &[("alice.jsonl", &rewritten(&alice, 1, eve)), ("bob.jsonl", &bob)],
        &[],
    );
    report.add_approvals(rounds("alice.jsonl", &report.logs()[0].log)[0].unknown("the kit is not here"));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["findings"][0]["kind"], "changed");
    assert_eq!(json["notes"][0]["kind"], "endUnseen");
    assert_eq!(json["approvals"][0]["outcome"]["kind"], "unknown");
    assert_eq!(json["logs"][0]["name"], "alice.jsonl");
    assert_eq!(json["logs"][0]["entries"][5]["event"]["kind"], "signed");
    assert_eq!(json["logs"][0]["entries"][5]["time"], "2026-11-22T02:12:05Z");
}
