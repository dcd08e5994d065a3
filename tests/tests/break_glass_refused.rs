//! What a quorum refuses, or what does no harm, each with words: M−1 holders, wrong shares, texts of another time or changed on
//! the way, changed logs, wrong clocks, crashes, and texts that would fool a terminal.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use e2e::apart::{
    AGREE, Quorum, SHARE, agree, changed, inside, log, log_file, nobody_here, own_share, text, windows,
};
use e2e::clock::Clock;
use e2e::machine::Machine;
use e2e::parts::{Part, present};
use e2e::person::{Key, Person};
use e2e::talk::{Party, talk};
use e2e::world::Site;
use gatepass_break_glass::name::Name;
use gatepass_break_glass::recipient::Lock;
use gatepass_break_glass::request::RequestText;
use gatepass_break_glass::share::Share;
use serde_json::{Value, json};

static SITE: Site = Site::new("break_glass_refused");
/// Machines have a kubectl.
const PARTS: &[Part] = &[Part::ControlPlane];

/// The hash of what an opener's first text asks.
fn hash(request: &str) -> String {
    let text: RequestText = serde_json::from_value(inside(request)).expect("a request");
    text.request.hash().to_string()
}

/// The words that somebody was shown.
fn words(party: &Party) -> String {
    let said = party.said();
    let line = said.lines().find_map(|line| line.strip_prefix("  words        "));
    line.unwrap_or_else(|| panic!("no words:\n{said}")).to_owned()
}

/// A text that says to be about another request.
fn relabelled(text: &str, request: &str) -> String {
    changed(text, |inside| inside["request"] = request.into())
}

/// Ends a program that waits for texts: nothing came of it.
fn gives_up(mut party: Party) -> String {
    party.hang_up();
    let run = party.finish();
    assert!(!run.ok, "{}{}", run.stdout, run.stderr);
    run.stderr
}

/// What the opener is asked when a signer's second commitment comes in round two.
const ANEW: &str = "Did they run `approve` again, so that round one starts over? [yes/no]";

fn name(name: &str) -> Name {
    Name::try_from(name.to_owned()).expect("a name")
}

#[test]
fn less_than_a_quorum_opens_nothing_and_one_holder_is_not_two() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("fewer"));
    let alice = quorum.person("alice");
    let own = own_share(alice);
    let mut twice = quorum.open_with_share("alice", &["--share", &own[1]]);
    agree(&mut twice);
    twice.wait_for(
        "This share file is left out: the share of alice was given twice; a quorum is of different people",
    );
    twice.wait_for("waiting for the text of 1 of: bob, carol");
    gives_up(twice);

    // What is no share file is known before anybody was asked for anything.
    let key = text(&alice.identity());
    for wrong in [["--share", &key], ["--identity", "nosuch"]] {
        let run = alice.run(&[&["open", "--reason", "IdP down"], &wrong[..]].concat());
        assert!(!run.ok && !run.stderr.contains("What is asked"), "{}", run.stderr);
    }

    // One too many does no harm.
    let more: Vec<_> = ["bob", "carol"]
        .iter()
        .flat_map(|name| own_share(quorum.person(name)))
        .collect();
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    let mut all = quorum.open_with_share("alice", &more);
    agree(&mut all);
    agree(&mut all);
    all.wait_for("A quorum has agreed; this share file is not needed: ");
    all.finish().expect_ok();
    let first = windows(alice)[0]["credentialId"].clone();

    // Whoever is in already is told so, and the first certificate is not forgotten.
    let mut second = quorum.open("alice", &[]);
    second.wait_for("A window for prod is open until ");
    second.wait_for("in its place? [yes/no]");
    second.tell("no");
    assert!(second.finish().stderr.contains("nothing was asked"));
    assert_eq!(windows(alice)[0]["credentialId"], first);
    let mut second = quorum.open_with_share("alice", &more);
    second.wait_for("in its place? [yes/no]");
    second.tell("yes");
    agree(&mut second);
    agree(&mut second);
    second.wait_for("It took the place of the window that was open");
    second.wait_for(first.as_str().expect("an ID"));
    second.finish().expect_ok();
    assert_eq!(windows(alice).len(), 1);
    assert_ne!(windows(alice)[0]["credentialId"], first);
    alice.run(&["close"]).expect_ok();
    alice.run(&["report"]).expect_ok();
    for (args, words) in [
        (
            ["report", "--text", &key].as_slice(),
            "no text of a ceremony can be read in",
        ),
        (&["report", &key], "is no log"),
    ] {
        let run = alice.run(args);
        assert!(!run.ok && run.stderr.contains(words), "{}", run.stderr);
    }

    // Nor is she two, here and once more through the chat.
    let mut opener = quorum.open_with_share("alice", &[]);
    agree(&mut opener);
    let request = opener.text();
    opener.wait_for("waiting for the text of 1 of: bob, carol");
    let (_again, commitment) = quorum.commit("alice", &request);
    opener.tell(&commitment);
    opener.wait_for("This text is of no use: alice is at this machine");
    opener.wait_for("waiting for the text of 1 of: bob, carol");
    opener.hang_up();
    let run = opener.finish();
    assert!(!run.ok);
    assert!(run.stderr.contains("the input ended"), "{}", run.stderr);
    assert!(
        run.stdout.is_empty() || !run.stdout.contains("SIGNING"),
        "{}",
        run.stdout
    );
    assert_eq!(windows(alice), [Value::Null; 0]);
}

#[test]
fn a_share_that_is_anothers_or_of_another_kit_signs_nothing() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("shares");
    let quorum = Quorum::new(&dir.join("ours"));
    let foreign = Quorum::new(&dir.join("theirs"));
    let bob = quorum.person("bob");
    let mut opener = quorum.open("alice", &[]);
    nobody_here(&mut opener);
    let request = opener.text();
    let kept = quorum.share("bob");
    // Made with the same authority's bob, and another name on it.
    let lock = Lock::parse(std::slice::from_ref(&bob.recipient)).expect("bob's key");
    let nobody = std::sync::Arc::new(gatepass_break_glass::identity::Nobody);
    let claimed = Share::of(&quorum.kit(), name("carol"), kept.key_package().clone());
    let claimed = claimed.encrypt(&lock, &(nobody as _)).expect("it is encrypted");
    fs::write(bob.file("claimed.share"), claimed).expect("bob's home is writable");
    let damaged = fs::read_to_string(bob.file(SHARE)).expect("bob has a share");
    let damaged = damaged.replacen('A', "B", 1);
    fs::write(bob.file("damaged.share"), damaged).expect("bob's home is writable");
    for (share, identity, words) in [
        (
            quorum.person("carol").file(SHARE),
            bob.identity(),
            "none of the given keys opens this share file: it is another holder's",
        ),
        (
            bob.file(SHARE),
            quorum.person("carol").identity(),
            "none of the given keys opens this share file",
        ),
        (
            foreign.person("bob").file(SHARE),
            foreign.person("bob").identity(),
            "this share file belongs to another kit; give the kit that it was made with",
        ),
        (
            bob.file("claimed.share"),
            bob.identity(),
            "this share file belongs to another kit (the same authority, but its holder has no share any more, or a new one)",
        ),
        (bob.file("damaged.share"), bob.identity(), "damaged"),
        (
            bob.identity(),
            bob.identity(),
            "this is no share file: one begins with -----BEGIN AGE ENCRYPTED FILE-----",
        ),
    ] {
        let (share, identity) = (text(&share), text(&identity));
        let mut approve = bob.talking(&["approve", "--share", &share, "--identity", &identity]);
        approve.tell(&request);
        approve.wait_for("Call alice, hear their voice");
        let said = gives_up(approve);
        assert!(said.contains(words), "{words}:\n{said}");
    }
    // What was seen of it is in the log, and nothing was signed.
    let log = log(bob);
    assert!(log.contains("this share file belongs to another kit"), "{log}");
    assert!(
        !log.contains(r#""kind":"committed""#) && !log.contains(r#""kind":"signed""#),
        "{log}"
    );
    gives_up(opener);
}

#[test]
fn approvals_of_an_earlier_request_are_of_no_use_and_do_not_stand_in_the_way() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("replayed"));
    let mut opener = quorum.open_with_share("alice", &[]);
    let passed = talk(&mut opener, &mut [quorum.approve("bob")], AGREE);
    opener.finish().expect_ok();
    let bobs: Vec<_> = passed.iter().filter(|passed| passed.from == "bob").collect();
    let [commitment, share] = bobs.as_slice() else {
        panic!("{passed:?}");
    };
    quorum.person("alice").run(&["close"]).expect_ok();

    let mut opener = quorum.open_with_share("alice", &[]);
    agree(&mut opener);
    let request = opener.text();
    for old in [commitment, share] {
        opener.tell(&old.text);
        opener.wait_for("This text is of no use: this text is about another request (words: ");
        opener.wait_for("), perhaps an earlier one; yours has the words ");
    }
    // The thief says that it is about this one; bob does not find himself in what comes of it.
    opener.tell(&relabelled(&commitment.text, &hash(&request)));
    let false_signing = opener.text();
    let (mut bob, true_commitment) = quorum.commit("bob", &request);
    bob.tell(&false_signing);
    bob.wait_for("Refused: your commitment is not in it as you sent it: it was changed on the way, or is of an earlier round");
    bob.wait_for("Nothing was signed.");
    opener.tell(&true_commitment);
    opener.wait_for(ANEW);
    opener.tell("yes");
    opener.wait_for("bob committed anew, so round one starts over");
    assert_eq!(opener.text(), request);
    let signing = opener.text();
    opener.tell(&relabelled(&share.text, &hash(&request)));
    opener.wait_for("the signature share of bob is wrong: not of this kit's share, or of another round");
    assert_eq!(windows(quorum.person("alice")), [Value::Null; 0]);
    // None of this was in the way of the true one.
    bob.tell(&signing);
    opener.tell(&bob.text());
    opener.wait_for("The glass is broken");
    opener.finish().expect_ok();
    bob.finish().expect_ok();
}

#[test]
fn what_others_say_in_the_name_of_somebody_at_the_openers_machine_is_of_no_use() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("here"));
    let mut opener = quorum.open_with_share("alice", &[]);
    agree(&mut opener);
    let request = opener.text();
    let (mut bob, commitment) = quorum.commit("bob", &request);
    let as_alice = |text: &str| changed(text, |inside| inside["holder"] = "alice".into());
    opener.tell(&as_alice(&commitment));
    opener.wait_for("This text is of no use: alice is at this machine");
    opener.tell(&commitment);
    bob.tell(&opener.text());
    let share = bob.text();
    opener.tell(&as_alice(&share));
    opener.wait_for("This text is of no use: alice is at this machine");
    opener.tell(&as_alice(&commitment));
    opener.wait_for("This text is of no use: alice is at this machine");
    opener.tell(&share);
    opener.wait_for("The glass is broken");
    opener.finish().expect_ok();
}

#[test]
fn a_request_that_was_changed_on_the_way_gives_nothing() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("changed"));
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let key = BASE64_STANDARD.encode(rcgen::PublicKeyData::der_bytes(&key));
    type Change<'a> = (&'static str, &'a dyn Fn(&mut Value));
    let changes: [Change<'_>; 4] = [
        ("why", &|ask| {
            ask["ask"]["certificate"]["reason"] = "a drill".into()
        }),
        ("for how long", &|ask| {
            ask["ask"]["certificate"]["seconds"] = 600.into()
        }),
        ("for which key", &|ask| {
            ask["ask"]["certificate"]["key"] = key.clone().into()
        }),
        ("who", &|ask| ask["by"] = "mallory".into()),
    ];
    for (what, change) in changes {
        let mut opener = quorum.open_with_share("alice", &[]);
        agree(&mut opener);
        let asked = opener.text();
        let shown = changed(&asked, |text| change(&mut text["request"]));
        let (mut bob, commitment) = quorum.commit("bob", &shown);
        let (ours, theirs) = (words(&opener), words(&bob));
        assert_ne!(
            ours, theirs,
            "{what}: by voice it is noticed before anybody agrees"
        );
        opener.tell(&commitment);
        let words = format!(
            "about another request (words: {theirs}), perhaps an earlier one; yours has the words {ours}"
        );
        opener.wait_for(&words);
        // Whoever stands in the middle says to each what they want to hear.
        opener.tell(&relabelled(&commitment, &hash(&asked)));
        let signing = opener.text();
        bob.tell(&signing);
        bob.wait_for(&format!(
            "Refused: this text is about another request (words: {ours}) than the one you agreed to (words: {theirs}); ask for \
             the right one, and be on your guard"
        ));
        bob.tell(&relabelled(&signing, &hash(&shown)));
        let share = bob.text();
        opener.tell(&relabelled(&share, &hash(&asked)));
        opener.wait_for("the signature share of bob is wrong");
        gives_up(opener);
        assert_eq!(windows(quorum.person("alice")), [Value::Null; 0], "{what}");
    }
}

#[test]
fn a_beginning_that_was_changed_on_the_way_gives_nothing_and_the_true_one_does() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("time"));
    let mut opener = quorum.open("alice", &[]);
    nobody_here(&mut opener);
    let request = opener.text();
    let mut approvers = ["bob", "carol"].map(|name| quorum.approve(name));
    for approver in &mut approvers {
        approver.tell(&request);
        agree(approver);
        opener.tell(&approver.text());
    }
    let signing = opener.text();
    // A minute later is nothing that a clock could tell.
    let later = changed(&signing, |signing| {
        let begins = signing["notBefore"].as_i64().expect("a time");
        signing["notBefore"] = (begins + 60).into();
    });
    for (approver, text) in approvers.iter_mut().zip([&signing, &later]) {
        approver.tell(text);
        opener.tell(&approver.text());
    }
    opener.wait_for("the signature share of carol is wrong");
    opener.wait_for("Round two: waiting for the text of 1 of: carol");
    let (_carol, commitment) = quorum.commit("carol", &request);
    opener.tell(&commitment);
    opener.wait_for(ANEW);
    opener.tell("yes");
    opener.wait_for("carol committed anew, so round one starts over");
    gives_up(opener);
    assert_eq!(windows(quorum.person("alice")), [Value::Null; 0]);
}

#[test]
fn a_changed_log_is_put_aside_with_words_and_the_ceremony_goes_on() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("log"));
    let drill = || {
        let [share, file, identity, key] = own_share(quorum.person("alice"));
        let args = ["drill", "--as", "alice", &share, &file, &identity, &key];
        let mut opener = quorum.person("alice").talking(&args);
        let mut bob = [quorum.approve("bob")];
        talk(&mut opener, &mut bob, AGREE);
        let [bob] = bob;
        (opener.finish().expect_ok(), bob.finish().expect_ok())
    };
    let (alices, bobs) = drill();
    assert!(!alices.stderr.contains("put aside") && !bobs.stderr.contains("put aside"));
    for person in ["alice", "bob"] {
        let person = quorum.person(person);
        let edited = log(person).replacen("\"drill\"", "\"certificate\"", 1);
        assert_ne!(edited, log(person));
        fs::write(log_file(person), edited).expect("it is their own");
    }
    let (alices, bobs) = drill();
    for (person, run) in [("alice", alices), ("bob", bobs)] {
        let person = quorum.person(person);
        let aside = log_file(person).with_extension("broken-1.jsonl");
        let words = "WARNING: this machine's log was changed or damaged";
        assert!(run.stderr.contains(words), "{}", run.stderr);
        assert!(run.stderr.contains(&text(&aside)), "{}", run.stderr);
        assert_eq!(run.stderr.matches(words).count(), 1, "{}", run.stderr);
        // It stays to be explained: whoever breaks their log would else be rid of what it holds.
        let report = person.run(&["report"]);
        let missing = "! this machine's log was begun because the log before it was broken, and that one is not here; it was kept \
                       beside it, with \"broken\" in its name: give it to `report`, too";
        assert!(!report.ok && report.stdout.contains(missing), "{}", report.stdout);
        // The evidence is whole.
        let report = person.run(&["report", &text(&aside)]);
        assert!(
            !report.ok && report.stdout.contains("THE LOG BREAKS HERE") && !report.stdout.contains(missing),
            "{}",
            report.stdout
        );
    }
}

#[test]
fn an_approver_whose_clock_is_off_by_a_day_types_the_time_or_signs_nothing() {
    if !present(&[Part::ControlPlane, Part::Faketime]) {
        return;
    }
    let dir = SITE.dir("clock");
    for (name, offset, why) in [
        ("ahead", 86_400, "it would be over already"),
        ("behind", -86_400, "it would begin too far ahead"),
    ] {
        let dir = dir.join(name);
        fs::create_dir_all(dir.join("bob")).expect("the scratch directory is writable");
        let clock = Clock::new(&dir, offset);
        let mut people = Quorum::people_but(&dir, "bob");
        let machine = Machine::without_idp(&dir.join("bob"), Some(&clock), None);
        people.push(Person::on(machine, "bob", Key::X25519));
        let quorum = Quorum::of(&dir, people, &[]);
        let mut opener = quorum.open_with_share("alice", &[]);
        agree(&mut opener);
        let (mut bob, commitment) = quorum.commit("bob", &opener.text());
        opener.tell(&commitment);
        let signing = opener.text();
        bob.tell(&signing);
        bob.wait_for(&format!("bob: by this machine's clock {why}:"));
        for wrong in ["yes", "2026-01-01 00:00"] {
            bob.wait_for("It begins at (YYYY-MM-DD HH:MM, UTC):");
            bob.tell(wrong);
            bob.wait_for("That is not how it is shown above.");
        }
        bob.wait_for("It begins at (YYYY-MM-DD HH:MM, UTC):");
        bob.tell("");
        bob.wait_for("Nothing was signed.");
        assert!(!log(quorum.person("bob")).contains(r#""kind":"signed""#));
        bob.tell(&signing);
        bob.wait_for("  it begins    ");
        let begins = bob.wait_for(" UTC\n");
        bob.wait_for("It begins at (YYYY-MM-DD HH:MM, UTC):");
        bob.tell(&begins);
        opener.tell(&bob.text());
        opener.wait_for("The glass is broken");
        opener.finish().expect_ok();
        bob.finish().expect_ok();
    }
}

#[test]
fn an_approver_killed_between_the_rounds_starts_round_one_over_and_the_glass_breaks_after_all() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("killed"));
    let mut opener = quorum.open("alice", &[]);
    nobody_here(&mut opener);
    let request = opener.text();
    let (bob, bobs) = quorum.commit("bob", &request);
    let (mut carol, carols) = quorum.commit("carol", &request);
    opener.tell(&bobs);
    opener.tell(&carols);
    let signing = opener.text();
    bob.kill();
    // Carol has signed already; what she signed is of no use to anybody.
    carol.tell(&signing);
    let useless = carol.text();
    carol.finish().expect_ok();
    opener.tell(&useless);
    opener.wait_for("Round two: waiting for the text of 1 of: bob");
    // Bob is back.
    let (mut bob, again) = quorum.commit("bob", &request);
    bob.tell(&signing);
    bob.wait_for("Refused: your commitment is not in it as you sent it");
    opener.tell(&again);
    opener.wait_for(ANEW);
    opener.tell("yes");
    opener.wait_for(
        "bob committed anew, so round one starts over: everybody else runs `approve` again with the same request",
    );
    assert_eq!(opener.text(), request);
    opener.tell(&useless);
    opener.wait_for("carol sent a signature share before it was asked for; it belongs to an earlier round");
    opener.tell(&carols);
    opener.wait_for("this commitment of carol is of an earlier round; ask for the latest one");
    let (mut carol, again) = quorum.commit("carol", &request);
    opener.tell(&again);
    let signing = opener.text();
    for party in [&mut carol, &mut bob] {
        party.tell(&signing);
        opener.tell(&party.text());
    }
    opener.wait_for("The glass is broken");
    opener.finish().expect_ok();
    assert_eq!(windows(quorum.person("alice")).len(), 1);
    // The round that came to nothing is nothing to explain.
    let logs = ["bob", "carol"].map(|name| text(&log_file(quorum.person(name))));
    let report = quorum.person("alice").run(&["report", &logs[0], &logs[1]]);
    let report = report.expect_ok().stdout;
    assert!(
        report.starts_with("Nothing was found that somebody has to explain.\n"),
        "{report}"
    );
}

#[test]
fn a_commitment_that_somebody_else_wrote_in_a_signers_name_starts_nothing_over() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("in-their-name"));
    let mut opener = quorum.open("alice", &[]);
    nobody_here(&mut opener);
    let request = opener.text();
    let (mut bob, bobs) = quorum.commit("bob", &request);
    let (mut carol, carols) = quorum.commit("carol", &request);
    // Two points are a commitment, whoever chose them.
    let (other, others) = quorum.commit("carol", &request);
    other.kill();
    let written = changed(&others, |inside| inside["holder"] = "bob".into());
    opener.tell(&bobs);
    opener.tell(&written);
    opener.wait_for("Is this what their `approve` printed last? [yes/no]");
    opener.tell("no");
    opener.wait_for("bob has committed already, and this is another commitment; the first one still counts");
    opener.tell(&carols);
    let signing = opener.text();
    carol.tell(&signing);
    opener.tell(&carol.text());
    opener.wait_for("Round two: waiting for the text of 1 of: bob");
    opener.tell(&written);
    opener.wait_for(ANEW);
    opener.tell("no");
    opener.wait_for("bob has committed already, and this is another commitment; the first one still counts");
    bob.tell(&signing);
    opener.tell(&bob.text());
    opener.wait_for("The glass is broken");
    opener.finish().expect_ok();
}

#[test]
fn a_log_that_somebody_breaks_while_the_glass_is_broken_does_not_end_it() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("log-meanwhile"));
    let alice = quorum.person("alice");
    let breaks = || {
        let broken = log(alice) + "garbage\n";
        fs::write(log_file(alice), broken).expect("it is her own");
    };
    let mut opener = quorum.open_with_share("alice", &[]);
    agree(&mut opener);
    let (mut bob, commitment) = quorum.commit("bob", &opener.text());
    breaks();
    opener.tell(&commitment);
    bob.tell(&opener.text());
    let share = bob.text();
    breaks();
    opener.tell(&share);
    opener.wait_for("The glass is broken");
    let said = opener.finish().expect_ok().stderr;
    let aside = "WARNING: this machine's log was changed or damaged";
    assert_eq!(said.matches(aside).count(), 2, "{said}");
    assert_eq!(windows(alice).len(), 1);
    bob.finish().expect_ok();

    // The three parts of alice's log and bob's are read together: only the breaks have to be explained.
    let parts = [1, 2].map(|part| text(&log_file(alice).with_extension(format!("broken-{part}.jsonl"))));
    let bobs = text(&log_file(quorum.person("bob")));
    let run = alice.run(&["report", "-o", "json", &parts[0], &parts[1], &bobs]);
    assert!(!run.ok, "{}", run.stdout);
    let report = run.json();
    let findings = report["findings"].as_array().expect("a list");
    let found: Vec<_> = findings
        .iter()
        .map(|finding| (finding["kind"].as_str(), finding["log"].as_str()))
        .collect();
    let breaks = parts.each_ref().map(|part| (Some("broken"), Some(part.as_str())));
    assert_eq!(found, breaks, "{report:#}");
    let approvals = report["approvals"].as_array().expect("a list");
    let of_bob: Vec<_> = approvals
        .iter()
        .filter(|approval| approval["holder"] == "bob")
        .map(|approval| (&approval["log"], &approval["outcome"]["kind"]))
        .collect();
    let proven = json!("proven");
    let expected = [(&json!("this machine's log"), &proven), (&json!(bobs), &proven)];
    assert_eq!(of_bob, expected, "{report:#}");
    let unproven = approvals
        .iter()
        .any(|approval| approval["outcome"] != json!({ "kind": "proven" }));
    assert!(!unproven, "{report:#}");
    let notes = report["notes"].as_array().expect("a list");
    assert!(
        !notes.iter().any(|note| note["kind"] == "grantUnknown"),
        "{report:#}"
    );
}

#[test]
fn a_late_holder_takes_the_place_of_one_who_is_gone_only_if_the_opener_says_so() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("late"));
    for answer in ["no", "yes"] {
        let mut opener = quorum.open("alice", &[]);
        nobody_here(&mut opener);
        let request = opener.text();
        let (mut bob, bobs) = quorum.commit("bob", &request);
        let (mut carol, carols) = quorum.commit("carol", &request);
        let (mut alice, late) = quorum.commit("alice", &request);
        opener.tell(&bobs);
        opener.tell(&carols);
        let signing = opener.text();
        bob.tell(&signing);
        let bobs = bob.text();
        opener.tell(&late);
        opener.wait_for("Is somebody else gone, so that round one starts over with alice? [yes/no]");
        opener.tell(answer);
        let signing = if answer == "no" {
            opener.wait_for("round two has begun without alice, who is not needed; nothing is lost");
            opener.tell(&bobs);
            carol.tell(&signing);
            opener.tell(&carol.text());
            None
        } else {
            opener.wait_for("alice committed anew, so round one starts over");
            assert_eq!(opener.text(), request);
            opener.tell(&bobs);
            opener.wait_for("bob sent a signature share before it was asked for");
            let (again, bobs) = quorum.commit("bob", &request);
            bob = again;
            opener.tell(&bobs);
            Some(opener.text())
        };
        if let Some(signing) = signing {
            for party in [&mut alice, &mut bob] {
                party.tell(&signing);
                opener.tell(&party.text());
            }
        }
        opener.wait_for("The glass is broken");
        opener.finish().expect_ok();
        quorum.person("alice").run(&["close"]).expect_ok();
    }
}

#[test]
fn an_agreement_of_more_than_half_an_hour_ago_is_asked_for_once_more() {
    if !present(&[Part::ControlPlane, Part::Faketime]) {
        return;
    }
    let dir = SITE.dir("stale");
    fs::create_dir_all(dir.join("bob")).expect("the scratch directory is writable");
    let clock = Clock::new(&dir, 0);
    let mut people = Quorum::people_but(&dir, "bob");
    let machine = Machine::without_idp(&dir.join("bob"), Some(&clock), None);
    people.push(Person::on(machine, "bob", Key::X25519));
    let quorum = Quorum::of(&dir, people, &[]);
    for (answer, late) in [(None, 29), (Some("no"), 31), (Some("yes"), 31)] {
        let mut opener = quorum.open_with_share("alice", &[]);
        agree(&mut opener);
        let request = opener.text();
        // Bob's clock is right when round two begins: only the time since he agreed is long.
        clock.set(-60 * late);
        let (mut bob, commitment) = quorum.commit("bob", &request);
        clock.set(0);
        opener.tell(&commitment);
        bob.tell(&opener.text());
        if let Some(answer) = answer {
            bob.wait_for("bob: you agreed 3");
            bob.wait_for(" minutes ago. Do you still? [yes/no]");
            bob.tell(answer);
        }
        if answer == Some("no") {
            let run = bob.finish();
            assert!(
                !run.ok && !run.stdout.contains("SIGNATURE SHARE"),
                "{}",
                run.stderr
            );
            assert!(run.stderr.contains("bob did not agree"), "{}", run.stderr);
            gives_up(opener);
            continue;
        }
        opener.tell(&bob.text());
        opener.wait_for("The glass is broken");
        opener.finish().expect_ok();
        quorum.person("alice").run(&["close"]).expect_ok();
        let run = bob.finish().expect_ok();
        assert_eq!(
            run.stderr.contains("Do you still?"),
            answer.is_some(),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn an_init_that_somebody_ends_or_does_not_confirm_leaves_nothing_behind() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("ended"));
    let server = quorum.table.file("server-ca.crt");
    let holders: Vec<_> = quorum.people.iter().map(Person::holder).collect();
    let identities: Vec<_> = quorum.people.iter().map(Person::named_identity).collect();
    let out = text(&quorum.table.file("second"));
    fs::create_dir(&out).expect("the table is writable");
    let server = text(&server);
    let mut args = vec!["init", "--cluster", "second", "--threshold", "2", "--out", &out];
    args.extend(["--server", "https://localhost:1", "--server-ca", &server]);
    args.extend(holders.iter().flat_map(|holder| ["--holder", holder]));
    args.extend(identities.iter().flat_map(|identity| ["--identity", identity]));
    let init = || {
        let mut init = quorum.table.talking(&args);
        init.wait_for("alice: it opens, and fits the kit. Do you confirm the words");
        init.tell("yes");
        init.wait_for("bob: it opens, and fits the kit. Do you confirm the words");
        init
    };
    let mut stranger = args.clone();
    stranger.extend(["--identity", "zoe=nosuch"]);
    let run = quorum.table.run(&stranger);
    let words = "--identity zoe=…: there is no such holder; there are alice, bob, carol";
    assert!(!run.ok && run.stderr.contains(words), "{}", run.stderr);
    let left = || fs::read_dir(&out).expect("it is there").count();
    let made = || log(&quorum.table).matches(r#""kind":"kitMade""#).count();
    let before = made();
    assert_eq!(before, 1);
    init().kill();
    assert_eq!((left(), made()), (0, before));
    let mut refused = init();
    refused.tell("no");
    let run = refused.finish();
    let words = "bob did not confirm the kit";
    assert!(!run.ok && run.stderr.contains(words), "{}", run.stderr);
    assert!(run.stderr.contains("Nothing was written"), "{}", run.stderr);
    assert_eq!((left(), made()), (0, before));
    // Nor is anything lost that holders confirmed.
    let mut full = init();
    full.wait_for("[yes/no]");
    full.tell("yes");
    full.wait_for("carol: it opens");
    fs::remove_dir(&out).expect("it is empty");
    full.tell("yes");
    full.wait_for("Try again? (With no, what the holders confirmed is lost.) [yes/no]");
    full.tell("no");
    full.wait_for("Nothing was written; this kit is gone.");
    assert!(!full.finish().ok);
    fs::create_dir(&out).expect("the table is writable");
    assert_eq!((left(), made()), (0, before));
    let mut good = init();
    talk(&mut good, &mut [], &[("[yes/no]", "yes")]);
    good.finish().expect_ok();
    // Three share files, the kit and its certificate.
    assert_eq!((left(), made()), (5, before + 1));
}

/// What would move a cursor, clear a screen or turn a line around.
const FOOLING: [&str; 6] = [
    "IdP down\u{1b}[2J\u{1b}[H",
    "IdP \u{202e}nwod",
    "IdP down\r  gives        nothing",
    "IdP down\u{9b}2J",
    // Where a terminal is a hundred characters wide, this looks like a line of its own.
    concat!(
        "IdP\u{2003}",
        "\u{2003}\u{2003}\u{2003}\u{2003}\u{2003}\u{2003}\u{2003}\u{2003}",
        "gives        no access"
    ),
    // So does this, by a character that shows nothing and is no space.
    "IdP down \u{34f} \u{34f} \u{34f} \u{34f} words \u{34f} \u{34f} \u{34f} abandon ability able about above absent",
];

/// Nothing that a terminal would obey has come through.
fn assert_plain(shown: &str) {
    let raw = shown.chars().find(|c| {
        (c.is_control() && *c != '\n')
            || ('\u{202a}'..='\u{202e}').contains(c)
            || ('\u{2066}'..='\u{2069}').contains(c)
            || *c == '\u{34f}'
    });
    assert_eq!(raw, None, "{shown:?}");
}

#[test]
fn a_reason_that_would_fool_a_terminal_is_neither_asked_nor_shown() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("reasons"));
    let alice = quorum.person("alice");
    for reason in FOOLING {
        let run = alice.run(&["open", "--as", "alice", "--reason", reason]);
        assert!(!run.ok && run.stdout.is_empty(), "{reason:?}: {}", run.stdout);
        let words = "a reason is 1 to 500 bytes of text on one line, without control, format or invisible characters, and without gaps; this is not: IdP";
        assert!(run.stderr.contains(words), "{}", run.stderr);
        assert_plain(&run.stderr);
    }
    let mut opener = quorum.open("alice", &[]);
    nobody_here(&mut opener);
    let request = opener.text();
    let mut bob = quorum.approve("bob");
    // A changed program asks all the same, and puts it wherever something could be shown.
    for fooling in FOOLING {
        for (change, refused) in [
            (
                &["request", "ask", "certificate", "reason"][..],
                "a GATEPASS REQUEST cannot be read",
            ),
            (&["request", "by"], "a GATEPASS REQUEST cannot be read"),
            (
                &["request", "ask", "certificate", "key"],
                "its key cannot be read",
            ),
            (
                &["request", "ask", "certificate", "\u{1b}[31m"],
                "a GATEPASS REQUEST cannot be read",
            ),
            (&["request", "kit"], "a GATEPASS REQUEST cannot be read"),
        ] {
            bob.tell(&changed(&request, |text| {
                let (last, path) = change.split_last().expect("a path");
                let inner = path.iter().fold(text, |inner, step| &mut inner[step]);
                inner[*last] = fooling.into();
            }));
            bob.wait_for(refused);
        }
    }
    let label = request.replace("GATEPASS REQUEST", "GATEPASS \u{1b}[2J\u{202e}REQUEST");
    bob.tell(&label);
    bob.wait_for("this is a GATEPASS ");
    bob.wait_for(", where a GATEPASS REQUEST is needed");
    // Heads are anybody's words, and are for the log.
    bob.tell(&changed(&request, |text| {
        text["head"]["machine"] = FOOLING[0].into();
        text["head"]["hash"] = FOOLING[1].into();
    }));
    agree(&mut bob);
    let commitment = bob.text();
    bob.tell(&changed(&commitment, |text| text["holder"] = FOOLING[0].into()));
    bob.wait_for("this is a GATEPASS COMMITMENT, where a GATEPASS SIGNING is needed");
    for (field, value) in [
        ("holder", json!(FOOLING[0])),
        ("commitments", json!(FOOLING[1])),
        ("request", json!(FOOLING[2])),
        (FOOLING[0], json!(FOOLING[0])),
    ] {
        opener.tell(&changed(&commitment, |text| text[field] = value));
        opener.wait_for("This text is of no use: ");
    }
    for said in [gives_up(bob), gives_up(opener)] {
        assert_plain(&said);
    }
    for output in ["text", "json", "yaml"] {
        let report = quorum.person("bob").run(&["report", "-o", output]);
        assert_plain(&report.stdout);
        assert!(report.stdout.contains("IdP"), "the log has it: {}", report.stdout);
    }
}

#[test]
fn a_reason_of_any_length_draws_no_row_of_its_own() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("rows"));
    let forged = "abandon ability able about above absent";
    for fill in [1, 40, 60, 64, 80, 85, 100, 200, 400] {
        let mut bob = quorum.approve("bob");
        let reason = format!("{} words {forged}", "x".repeat(fill));
        let alice = quorum.person("alice");
        let mut opener = alice.talking(&["open", "--as", "alice", "--reason", &reason]);
        nobody_here(&mut opener);
        let request = opener.text();
        bob.tell(&request);
        bob.wait_for("What is asked of you:");
        let rows = bob.wait_for("Call alice");
        let (theirs, ours) = rows
            .split_once("\nThe words of all that, which this program has worked out itself:\n\n")
            .unwrap_or_else(|| panic!("no line before the words:\n{rows}"));
        let why = theirs
            .find("\n  why          \"x")
            .expect("a reason in quotation marks");
        let why: Vec<_> = theirs[why + 1..].lines().collect();
        let end = why.iter().position(|line| line.ends_with("absent\""));
        let end = end.unwrap_or_else(|| panic!("the reason has no end:\n{theirs}"));
        for line in &why[1..=end] {
            assert!(line.starts_with(&" ".repeat(15)), "{line:?}:\n{theirs}");
        }
        // No terminal of 80 columns breaks one, so that its rest would begin where rows do.
        assert!(rows.lines().all(|line| line.len() < 80), "{rows}");
        assert!(
            !theirs.lines().any(|line| line.starts_with("  words")),
            "{theirs}"
        );
        assert_eq!(ours.trim(), format!("words        {}", words(&opener)));
        assert!(!ours.contains(forged), "{ours}");
        gives_up(bob);
        gives_up(opener);
    }
}

#[test]
fn a_kit_that_was_swapped_for_one_with_wider_limits_is_refused() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("kits");
    let quorum = Quorum::with(&dir.join("ours"), &["--longest", "30m"]);
    let bob = quorum.person("bob");
    let refused = |kit: &str, request: &str, words: &str| {
        let own = own_share(bob);
        let own: Vec<_> = own.iter().map(String::as_str).collect();
        let mut approve = bob.talking(&[&["approve", "--kit", kit], &own[..]].concat());
        approve.tell(request);
        let said = gives_up(approve);
        assert!(said.contains(words), "{words}:\n{said}");
    };
    let asked_with = |kit: &str| {
        let mut opener = quorum.open("alice", &["--kit", kit]);
        nobody_here(&mut opener);
        (opener.text(), opener)
    };

    // Edited.
    let edited = fs::read_to_string(&quorum.kit).expect("the kit is there");
    let edited = changed(&edited, |file| {
        let payload = file["payload"].as_str().expect("base64");
        let payload = BASE64_STANDARD.decode(payload).expect("base64");
        let payload = String::from_utf8(payload).expect("text");
        let wider = payload.replace(r#""longestSeconds":1800"#, r#""longestSeconds":3600"#);
        assert_ne!(payload, wider);
        file["payload"] = BASE64_STANDARD.encode(wider).into();
    });
    let path = text(&bob.file("edited.kit"));
    fs::write(&path, &edited).expect("bob's home is writable");
    refused(
        &path,
        "",
        "the kit was changed after its quorum had signed it: the signature of the kit does not fit; use another copy of it, and \
         find out who changed this one",
    );
    let alice = quorum.person("alice");
    let run = alice.run(&["open", "--as", "alice", "--reason", "IdP down", "--kit", &path]);
    assert!(
        !run.ok && run.stderr.contains("the kit was changed after"),
        "{}",
        run.stderr
    );
    let run = alice.run(&["verify", &path]);
    assert!(
        !run.ok && run.stderr.contains("the kit was changed after"),
        "{}",
        run.stderr
    );

    // An older revision, after the newer and narrower one was confirmed.
    let old = text(&bob.file("old.kit"));
    fs::copy(&quorum.kit, &old).expect("bob's home is writable");
    let [share, file, identity, key] = own_share(alice);
    let out = text(&alice.file("next"));
    fs::create_dir(&out).expect("alice's home is writable");
    let mut recertify = alice.talking(&[
        "recertify",
        "--as",
        "alice",
        "--longest",
        "15m",
        "--without",
        "carol",
        "--out",
        &out,
        &share,
        &file,
        &identity,
        &key,
    ]);
    let passed = talk(&mut recertify, &mut [quorum.approve("bob")], AGREE);
    assert_eq!(passed.len(), 4);
    let said = recertify.finish().expect_ok().stderr;
    assert!(
        said.contains("longest life of a certificate: 30 minutes → 15 minutes"),
        "{said}"
    );
    let file_name = quorum.kit.file_name().expect("a name").to_str().expect("text");
    let next = bob.receive(&alice.file("next").join(file_name));
    let [_, file, _, key] = own_share(bob);
    let mut confirm = bob.talking(&[
        "verify",
        &text(&next),
        "--keep",
        "--share",
        &file,
        "--identity",
        &key,
        "--confirm",
    ]);
    confirm.wait_for("do you confirm the words `");
    confirm.tell("yes");
    confirm.finish().expect_ok();
    let (request, opener) = asked_with(&old);
    refused(
        &old,
        &request,
        "this kit is revision 1, and this share was confirmed for revision 2: what the newer one took back would count again; \
         find the newer kit",
    );
    refused(&text(&next), &request, "it was made with another kit (");
    gives_up(opener);
    let run = bob.run(&["verify", &old, "--keep"]);
    assert!(
        !run.ok && run.stderr.contains("this machine keeps revision 2 of this kit"),
        "{}",
        run.stderr
    );

    // Of another authority, with the same names and wider limits.
    let foreign = Quorum::new(&dir.join("theirs"));
    let wide = text(&bob.file("wide.kit"));
    fs::copy(&foreign.kit, &wide).expect("bob's home is writable");
    let (request, opener) = asked_with(&wide);
    refused(
        &wide,
        &request,
        "this share file belongs to another kit; give the kit that it was made with",
    );
    gives_up(opener);
    let signed = log(bob).matches(r#""kind":"signed""#).count();
    assert_eq!(signed, 1, "the next revision, and nothing else: {}", log(bob));
}
