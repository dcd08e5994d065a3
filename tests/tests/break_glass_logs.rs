//! What logs prove afterwards, and who hears of a window when the issuer is back.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use e2e::apart::{AGREE, Quorum, log, text, windows};
use e2e::cluster::Cluster;
use e2e::findings::found;
use e2e::holder::Holder;
use e2e::machine::Run;
use e2e::operator::Operator;
use e2e::parts::{Part, present};
use e2e::person::{Key, Person};
use e2e::process::until;
use e2e::talk::talk;
use e2e::world::{Site, World};
use serde_json::{Value, json};

static SITE: Site = Site::new("break_glass_logs");
const PARTS: &[Part] = &[Part::ControlPlane];

/// A log that somebody has rewritten with care: each entry holds the hash of the one before.
fn rewritten(log: &str, change: impl Fn(&mut Vec<Value>)) -> String {
    let mut entries: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("an entry"))
        .collect();
    change(&mut entries);
    let (mut written, mut previous) = (String::new(), Value::Null);
    for (at, entry) in entries.iter_mut().enumerate() {
        entry["seq"] = (at + 1).into();
        entry["previous"] = previous;
        let line = entry.to_string();
        previous = data_encoding::HEXLOWER.encode(&fakes::sha256(&line)).into();
        written.push_str(&line);
        written.push('\n');
    }
    written
}

/// The entries of one kind.
fn of_kind<'a>(entries: &'a mut [Value], kind: &'a str) -> impl Iterator<Item = &'a mut Value> {
    entries
        .iter_mut()
        .filter(move |entry| entry["event"]["kind"] == kind)
}

/// What was left of a ceremony, in the hands of somebody who took no part.
struct Evidence {
    auditor: Person,
}

impl Evidence {
    /// Alice opens; bob and carol approve.
    fn gather(quorum: &Quorum, auditor: Person) -> Self {
        let mut opener = quorum.open("alice", &[]);
        let mut approvers = ["bob", "carol"].map(|name| quorum.approve(name));
        let passed = talk(&mut opener, &mut approvers, AGREE);
        opener.finish().expect_ok();
        for approver in approvers {
            approver.finish().expect_ok();
        }
        let texts: String = passed.iter().map(|passed| passed.text.as_str()).collect();
        fs::write(auditor.file("texts"), texts).expect("the auditor's home is writable");
        for person in &quorum.people {
            fs::write(auditor.file(&person.name), log(person)).expect("the auditor's home is writable");
        }
        let kit = auditor.receive(&quorum.kit);
        auditor.run(&["verify", &text(&kit), "--keep"]).expect_ok();
        Self { auditor }
    }

    /// Writes a log as somebody gives it to the auditor.
    fn give(&self, name: &str, log: &str) -> PathBuf {
        let path = self.auditor.file(name);
        fs::write(&path, log).expect("the auditor's home is writable");
        path
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.auditor.file(name)).expect("it was gathered")
    }

    /// Reports as words and as JSON, which agree on whether there is a finding.
    fn report(&self, args: &[&str]) -> (Run, Value) {
        let words = self.auditor.run(&[&["report"], args].concat());
        let json = self.auditor.run(&[&["report", "-o", "json"], args].concat());
        assert_eq!(words.ok, json.ok, "{args:?}");
        let report = json.json();
        assert_eq!(report["findings"] == json!([]), json.ok, "{report:#}");
        if !words.ok {
            assert!(
                words.stderr.contains("the logs do not hold: see the findings"),
                "{}",
                words.stderr
            );
        }
        (words, report)
    }

    /// The only finding is of this kind, and says this.
    fn found(&self, args: &[&str], kind: &str, words: &str) {
        let (run, report) = self.report(args);
        assert!(!run.ok, "{args:?}: {}", run.stdout);
        assert_eq!(report["findings"][0]["kind"], kind, "{args:?}: {report:#}");
        assert!(
            run.stdout.starts_with("SOMEBODY HAS TO EXPLAIN:\n! ") && run.stdout.contains(words),
            "{args:?}: {words}\n{}",
            run.stdout
        );
    }

    /// Nothing is found, and this is noted.
    fn noted(&self, args: &[&str], words: &str) {
        let (run, _) = self.report(args);
        assert!(run.ok, "{args:?}: {}", run.stdout);
        assert!(run.stdout.contains(words), "{args:?}: {words}\n{}", run.stdout);
    }
}

/// The exit code of a report, which scripts ask for.
fn code(person: &Person, args: &[&str]) -> Option<i32> {
    let mut command = person.command(&[&["report"], args].concat());
    command.output().expect("it runs").status.code()
}

#[test]
fn what_was_edited_cut_or_replaced_is_found_when_others_logs_or_texts_are_at_hand() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("report");
    let quorum = Quorum::new(&dir);
    let evidence = Evidence::gather(&quorum, Person::new(&dir, "auditor", Key::X25519));
    let file = |name: &str| text(&evidence.auditor.file(name));
    let (alice, bob, carol, texts) = (file("alice"), file("bob"), file("carol"), file("texts"));

    // As it was: who approved is proven by what nobody else could have made.
    let (run, report) = evidence.report(&[&alice, &bob, &carol, "--text", &texts]);
    assert!(run.ok, "{}", run.stdout);
    assert!(
        run.stdout
            .starts_with("Nothing was found that somebody has to explain.")
    );
    for name in ["bob", "carol"] {
        let words = format!("- {name} approved request ");
        let line = run.stdout.lines().find(|line| line.starts_with(&words));
        let line = line.unwrap_or_else(|| panic!("{words}: {}", run.stdout));
        assert!(line.ends_with(": proven by the signature share"), "{line}");
    }
    assert!(!run.stdout.contains("alice approved"), "{}", run.stdout);
    let approvals = report["approvals"].as_array().expect("a list");
    assert!(
        approvals
            .iter()
            .all(|approval| approval["outcome"]["kind"] == "proven"),
        "{report:#}"
    );
    assert_eq!(code(&evidence.auditor, &[&alice, &bob]), Some(0));

    // Without care: it shows by itself.
    let careless = evidence.log("bob").replacen("IdP down", "a drill!", 1);
    let careless = text(&evidence.give("careless", &careless));
    evidence.found(&[&careless], "broken", "one of the two was changed");
    assert_eq!(code(&evidence.auditor, &[&careless]), Some(1));

    // Too long to be a log: it is known all the same as the one that was put aside, by as much of it as anybody reads.
    let long = "\n".repeat(17 * 1024 * 1024);
    let aside = fakes::sha256(&long[..=16 * 1024 * 1024]);
    let begun = rewritten(&evidence.log("alice"), |entries| {
        entries.truncate(1);
        let aside = data_encoding::HEXLOWER.encode(&aside);
        entries[0]["event"] = json!({ "kind": "setAside", "log": aside, "why": "it is too long" });
    });
    let [long, begun] =
        [("long", &long), ("begun", &begun)].map(|(name, log)| text(&evidence.give(name, log)));
    evidence.found(&[&begun, &long], "broken", "the log is longer than 16 MiB");
    let (_, report) = evidence.report(&[&begun, &long]);
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(1), "{report:#}");

    // With care, in what was signed: bob's own signature share tells.
    let lied = rewritten(&evidence.log("bob"), |entries| {
        for entry in of_kind(entries, "shown") {
            entry["event"]["reason"] = "a drill".into();
        }
    });
    let lied = text(&evidence.give("lied", &lied));
    let words = "the log does not tell of the request that was signed";
    evidence.found(&[&lied], "unproven", words);

    // With care, in what was not: not by itself, but against whatever others have.
    let careful = rewritten(&evidence.log("bob"), |entries| {
        for entry in of_kind(entries, "agreed") {
            entry["time"] = "2020-01-01T00:00:00Z".into();
        }
    });
    let careful = text(&evidence.give("careful", &careful));
    evidence.noted(&[&careful], "nobody else's log or text is here that tells of ");
    for witness in [&[&*alice][..], &["--text", &texts], &[&carol, &alice]] {
        let words = format!("of {careful} was changed after ");
        evidence.found(&[&[&*careful], witness].concat(), "changed", &words);
    }
    assert_eq!(code(&evidence.auditor, &[&careful, "--text", &texts]), Some(1));
    // Two copies of one log.
    evidence.found(
        &[&bob, &careful],
        "twoLogs",
        "claim to be of one machine, and differ from entry ",
    );

    // A tail that was cut: bob was asked, and says that no more came of it.
    let whole = evidence.log("bob");
    let lines = whole.split_inclusive('\n');
    let cut: String = lines
        .take_while(|line| !line.contains(r#""kind":"agreed""#))
        .collect();
    let cut = text(&evidence.give("cut", &cut));
    evidence.noted(&[&cut], "nobody else's log or text is here that tells of ");
    for witness in [&[&*alice][..], &["--text", &texts]] {
        let words = format!("the tail of {cut} is missing: ");
        evidence.found(&[&[&*cut], witness].concat(), "tailMissing", &words);
    }
    evidence.noted(&[&bob, &cut], "is the beginning of ");

    // A whole log that was replaced, under the machine's name and under another.
    let machine = |log: &str| {
        let first: Value = serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
        first["machine"].clone()
    };
    let replaced = |name: Value| {
        rewritten(&evidence.log("carol"), |entries| {
            for entry in entries.iter_mut() {
                entry["machine"] = name.clone();
            }
        })
    };
    let same = text(&evidence.give("same", &replaced(machine(&whole))));
    evidence.found(&[&same, &alice], "changed", "was changed after ");
    evidence.found(&[&same, "--text", &texts], "changed", "was changed after ");
    let new = text(&evidence.give("new", &replaced(json!("0".repeat(32)))));
    let missing = ", which said to be bob: ";
    for witness in [&[&*alice][..], &["--text", &texts]] {
        let args = [&[&*new], witness].concat();
        evidence.noted(&args, missing);
        let (run, _) = evidence.report(&args);
        let headline = "Nothing was found that somebody has to explain in what is at hand. Not at hand:\n- the log of the machine ";
        assert!(run.stdout.starts_with(headline), "{}", run.stdout);
    }

    // An approval that was put into somebody's mouth.
    let swapped = rewritten(&evidence.log("alice"), |entries| {
        let mut signed = of_kind(entries, "signed");
        let (one, two) = (signed.next().expect("bob's"), signed.next().expect("carol's"));
        std::mem::swap(&mut one["event"]["share"], &mut two["event"]["share"]);
    });
    let swapped = text(&evidence.give("swapped", &swapped));
    evidence.found(&[&swapped], "unproven", "is not: it does not fit the kit");
    // Approvals that nobody gave, without the round two that they would have to fit.
    let forged = rewritten(&evidence.log("alice"), |entries| {
        entries.retain(|entry| entry["event"]["kind"] != "signing");
        for entry in of_kind(entries, "signed") {
            entry["event"]["share"] = "0".repeat(64).into();
        }
    });
    let forged = text(&evidence.give("forged", &forged));
    let unfixed = "is not: no round two of this request stands before it in the log";
    evidence.found(&[&forged], "unproven", unfixed);
    let never = "the log does not hold a round two of it with the signature shares of a quorum";
    evidence.found(&[&forged], "unproven", never);
    // Another certificate than the one that they give.
    let relabelled = rewritten(&evidence.log("alice"), |entries| {
        for entry in of_kind(entries, "opened") {
            entry["event"]["credentialId"] = ("X509SHA256=".to_owned() + &"0".repeat(64)).into();
        }
    });
    let relabelled = text(&evidence.give("relabelled", &relabelled));
    evidence.found(&[&relabelled], "notGranted", "they give something else");
    // Who has no kit is told what could not be found out.
    let stranger = Person::new(&dir, "stranger", Key::X25519);
    let run = stranger.run(&[
        "report",
        &text(&stranger.receive(&evidence.auditor.file("alice"))),
    ]);
    assert!(run.ok, "{}", run.stderr);
    let unknown = run.stdout.lines().find(|line| {
        line.starts_with("- what would prove that a quorum granted the certificate X509SHA256=")
    });
    assert!(
        unknown.is_some_and(|line| line.ends_with(" says: the kit is not here")),
        "{}",
        run.stdout
    );
    // And a request that is not the one that was approved.
    let other = rewritten(&evidence.log("alice"), |entries| {
        for entry in of_kind(entries, "requested") {
            entry["event"]["reason"] = "a drill".into();
            entry["event"]["content"]["ask"]["certificate"]["reason"] = "a drill".into();
        }
    });
    let other = text(&evidence.give("other", &other));
    evidence.found(&[&other], "unproven", words);
}

/// Opens with alice's share here and bob's elsewhere; the credential ID.
fn opened(quorum: &Quorum, more: &[&str]) -> String {
    let mut opener = quorum.open_with_share("alice", more);
    let mut bob = [quorum.approve("bob")];
    talk(&mut opener, &mut bob, AGREE);
    opener.finish().expect_ok();
    let windows = windows(quorum.person("alice"));
    assert_eq!(windows.len(), 1, "{windows:?}");
    windows[0]["credentialId"].as_str().expect("text").to_owned()
}

/// The API server sends a batch again and again for eighty seconds.
const SOON: Duration = Duration::from_secs(100);

#[test]
fn the_audit_sink_hears_of_a_window_once_the_issuer_is_back_and_revoke_ends_it_within_two_seconds() {
    if !present(&[Part::ControlPlane, Part::IdentityProvider, Part::Keyring]) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let mut world = World::in_cluster(&SITE, "alert", &cluster);
    let cluster = world.cluster;
    let alice = Person::on(world.machine("alice"), "alice", Key::X25519);
    let people = [alice].into_iter();
    let people = people.chain(Quorum::people_but(&world.dir, "alice")).collect();
    let issuer = ["--issuer", &world.issuer.url];
    let quorum = Quorum::made(&world.dir, people, &cluster.url, &cluster.ca, &issuer);
    let alice = quorum.person("alice");
    cluster.trust_authority(&quorum.kit().certificate_pem());
    cluster.bind_break_glass();
    // Who has never logged in does not know whom to ask whether all is well.
    alice.machine.whoami();
    let heard = |world: &World<'_>, id: &str| {
        until("the audit sink has heard of it", SOON, || {
            (found(&world.issuer, id) == ["break-glass-used"]).then_some(())
        });
    };

    // A short outage: the API server reports again what it could not.
    world.issuer.halt();
    let id = opened(&quorum, &[]);
    let used = alice.kubectl_through_window(&["auth", "whoami", "-o", "json"]);
    assert_eq!(used.json()["status"]["userInfo"]["username"], "break-glass:alice");
    world.issuer.resume();
    heard(&world, &id);
    let log = world.issuer.log();
    assert!(log.contains("break-glass:alice"), "{log}");
    alice.run(&["close"]).expect_ok();

    // A long one, after which the API server has given up: closing the window shows its certificate once more.
    world.issuer.halt();
    let id = opened(&quorum, &[]);
    world.issuer.resume();
    assert_eq!(found(&world.issuer, &id), [""; 0]);
    alice.run(&["close"]).expect_ok();
    heard(&world, &id);

    // Or kubectl does, when it goes back to the normal way by itself.
    world.issuer.halt();
    let id = opened(&quorum, &[]);
    world.issuer.resume();
    let back = alice
        .machine
        .kubectl(&["auth", "whoami", "-o", "json"])
        .expect_ok();
    assert_eq!(back.json()["status"]["userInfo"]["username"], "alice");
    assert!(
        back.stderr.contains("identity provider and issuer answer again"),
        "{}",
        back.stderr
    );
    heard(&world, &id);
    alice.run(&["close"]).expect_ok();

    // A window that is used although all is well, and whose key was copied.
    let refused = quorum.open("alice", &[]).finish();
    assert!(
        !refused.ok
            && refused
                .stderr
                .contains("identity provider answer: the glass need not be broken"),
        "{}",
        refused.stderr
    );
    let id = opened(&quorum, &["--even-if-they-answer"]);
    let thief = Holder::of(&alice.machine, &world.issuer, cluster);
    assert_eq!(thief.get("/api/v1/nodes").status, 200);
    let operator = Operator::new(&world);
    let revoke = ["revoke", "--credential-id", &id, "--reason", "key copied"];
    operator.run(&revoke).expect_ok();
    let (time, said) = thief.until(403, Instant::now());
    assert!(time < Duration::from_secs(2), "{time:?}");
    assert!(
        said.message.ends_with("Gatepass: access was revoked: key copied"),
        "{said:?}"
    );
    let late = alice.machine.kubectl(&["get", "nodes"]);
    assert!(!late.ok && late.stderr.contains("Forbidden"), "{}", late.stderr);
}
