//! What keeps a quorum able to act: drills, proofs of holders, and what `status` and `doctor` say of both.

use std::fs;

use e2e::apart::{AGREE, Quorum, SHARE, approve, log_file, own_share, text, windows};
use e2e::clock::Clock;
use e2e::machine::Machine;
use e2e::parts::{Part, present};
use e2e::person::{Key, Person};
use e2e::quorum::{Made, YES};
use e2e::talk::talk;
use e2e::world::Site;
use serde_json::Value;

static SITE: Site = Site::new("break_glass_upkeep");
const DAY: i64 = 24 * 60 * 60;

/// The lines of `doctor` about break-glass: state, and what it says.
fn doctor(person: &Person) -> Vec<(String, String)> {
    let run = person.machine.gatepass(&["doctor", "-o", "json"]);
    let lines = run.json();
    let lines = lines.as_array().expect("a list").iter();
    let field = |line: &Value, name: &str| line[name].as_str().expect("text").to_owned();
    lines
        .filter(|line| line["check"] == "break-glass")
        .map(|line| {
            assert!(
                line["state"] == "ok" || line["next"].is_string(),
                "no remedy: {line}"
            );
            (field(line, "state"), field(line, "says"))
        })
        .collect()
}

/// Whether there is a line of this state that says this.
fn has(lines: &[(String, String)], state: &str, says: &str) -> bool {
    lines.iter().any(|(of, said)| of == state && said.contains(says))
}

/// What `status` says of the only kit.
fn status(person: &Person) -> Value {
    let status = person.json(&["status", "-o", "json"]);
    let [kit] = status["kits"].as_array().expect("a list").as_slice() else {
        panic!("not one kit: {status}");
    };
    kit.clone()
}

/// Whether it is said of a kit that something is not as it should be.
fn warned(kit: &Value, of: &str) -> bool {
    let mut faults = kit["faults"].as_array().expect("a list").iter();
    faults.any(|fault| {
        let is_said = fault["says"].as_str().is_some_and(|says| says.contains(of));
        is_said && fault["severity"].is_string() && fault["remedy"].is_string()
    })
}

#[test]
fn a_drill_apart_gives_no_access_tells_what_is_missing_and_is_noted_as_the_last() {
    if !present(&[Part::ControlPlane]) {
        return;
    }
    let cluster = SITE.cluster();
    let quorum = Quorum::at(&SITE.dir("drill"), cluster, &[]);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| quorum.person(name));
    // Who may look at bindings.
    let kubeconfig = fs::read_to_string(cluster.admin_kubeconfig()).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_json::from_str(&kubeconfig).expect("JSON");
    alice.machine.write_kubeconfig(&kubeconfig);

    let before = status(alice);
    assert!(
        before["lastDrill"].is_null() && warned(&before, "no drill"),
        "{before}"
    );
    assert!(warned(&before, "does not take its certificates"), "{before}");
    let lines = doctor(alice);
    assert!(has(&lines, "warning", "no drill"), "{lines:?}");
    assert!(
        has(&lines, "failed", "does not take its certificates"),
        "{lines:?}"
    );

    let drill = || {
        let mut opener = alice.talking(&["drill"]);
        let mut approvers = [approve(bob, &[]), approve(carol, &[])];
        let passed = talk(&mut opener, &mut approvers, AGREE);
        for approver in approvers {
            let said = approver.finish().expect_ok().stderr;
            assert!(
                said.contains("DRILL") && said.contains("gives no access"),
                "{said}"
            );
        }
        assert_eq!(passed.len(), 6, "two of alice, two of each: {passed:#?}");
        let said = opener.finish().expect_ok().stderr;
        assert!(said.contains("DRILL: it went well, with bob, carol"), "{said}");
        said
    };
    let said = drill();
    for missing in [
        "does not name this kit's authority among those whose clients it takes",
        "no ClusterRoleBinding in the cluster of kubectl's current context names the group",
        "no context of the kubeconfig runs kubectl-gatepass for https://",
    ] {
        assert!(said.contains(missing), "{missing}: {said}");
    }
    cluster.trust_authority(&quorum.kit().certificate_pem());
    cluster.bind_break_glass();
    let mut ours = e2e::machine::kubeconfig(vec![cluster.entry("here", "https://localhost:1", &cluster.ca)]);
    for list in ["clusters", "contexts", "users"] {
        let all = kubeconfig[list].as_array_mut().expect("a list");
        all.append(ours[list].as_array_mut().expect("a list"));
    }
    alice.machine.write_kubeconfig(&kubeconfig);
    let said = drill();
    assert!(
        said.contains("by gatepass-break-glass") && !said.contains("WARNING"),
        "{said}"
    );

    for person in [alice, bob, carol] {
        assert_eq!(windows(person), Vec::<Value>::new(), "{}", person.name);
    }
    for approver in [bob, carol] {
        let theirs = status(approver);
        assert!(
            theirs["lastDrill"].is_string() && !warned(&theirs, "drill"),
            "{theirs}"
        );
    }
    let after = status(alice);
    assert!(after["lastDrill"].is_string(), "{after}");
    assert_eq!(after["faults"].as_array().map(Vec::len), Some(0), "{after}");
    let ok = ("ok".to_owned(), "the kit of prod is in order".to_owned());
    assert_eq!(doctor(alice), [ok]);
    let logs = [bob, carol].map(|person| text(&log_file(person)));
    let report = alice.run(&["report", &logs[0], &logs[1]]).expect_ok().stdout;
    assert!(!report.contains("THE GLASS WAS BROKEN"), "{report}");
    let proven = |of: &str| {
        let lines = report.lines().filter(|line| line.starts_with(of));
        lines
            .filter(|line| line.ends_with(": proven by the signature share"))
            .count()
    };
    for of in ["- bob approved request ", "- carol approved request "] {
        assert_eq!(
            proven(of),
            4,
            "two drills, in alice's log and in their own: {report}"
        );
    }

    // Another cluster's binding says nothing of this one's.
    kubeconfig["clusters"][0]["cluster"]["server"] = "https://localhost:1".into();
    alice.machine.write_kubeconfig(&kubeconfig);
    let said = drill();
    assert!(
        said.contains("kubectl's current context names another API server (https://localhost:1)"),
        "{said}"
    );
}

#[test]
fn a_kit_that_holders_signed_is_not_lost_because_it_cannot_be_written() {
    if !present(&[Part::ControlPlane]) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("full"));
    let alice = quorum.person("alice");
    let out = alice.file("out");
    let shares: Vec<_> = quorum.people.iter().flat_map(own_share).collect();
    let dir = text(&out);
    let mut args = vec!["recertify", "--as", "alice", "--out", &dir];
    args.extend(shares.iter().map(String::as_str));
    // Nobody agrees to what will not be written.
    let refused = alice.run(&args);
    assert!(
        !refused.ok && refused.stderr.contains(&dir) && !refused.stderr.contains("do you agree"),
        "{}",
        refused.stderr
    );
    fs::create_dir(&out).expect("her home is writable");
    let mut recertify = alice.talking(&args);
    for _ in 0..3 {
        recertify.wait_for("do you agree to sign this with your share? [yes/no]");
        // As when a disk fills up meanwhile.
        let _ = fs::remove_dir(&out);
        recertify.tell("yes");
    }
    recertify.wait_for("Try again? (With no, what the quorum signed is lost.) [yes/no]");
    fs::create_dir(&out).expect("her home is writable");
    recertify.tell("yes");
    recertify.wait_for("This is revision 2 of the kit now");
    recertify.finish().expect_ok();
    assert_eq!(fs::read_dir(&out).expect("it is there").count(), 1);
}

#[test]
fn holders_prove_their_shares_again_and_take_no_older_kit_afterwards() {
    if !present(&[Part::ControlPlane, Part::Terminal, Part::Faketime]) {
        return;
    }
    let dir = SITE.dir("recertify");
    let cluster = SITE.cluster();
    let clock = Clock::new(&dir, 0);
    let machine = Machine::without_idp(&dir.join("alice"), Some(&clock), None);
    let alice = Person::on(machine, "alice", Key::X25519);
    let [bob, carol] = ["bob", "carol"].map(|name| Person::new(&dir, name, Key::X25519));
    alice.uses(cluster, "https://localhost:1");
    let made = Made::side_by_side(&alice, &[&alice, &bob, &carol], &[], &[]);
    cluster.trust_authority(&made.authority());
    made.hand_to(&bob);
    made.hand_to(&carol);
    let old = alice.file("old");
    fs::copy(made.kit(), &old).expect("init wrote it");
    let first = text(&old);

    assert!(!warned(&status(&alice), "proven"));
    clock.set(181 * DAY);
    let stale = status(&alice);
    assert!(
        warned(&stale, "fewer than a quorum have proven") && warned(&stale, "alice, bob, carol"),
        "{stale}"
    );
    let lines = doctor(&alice);
    assert!(
        has(&lines, "warning", "fewer than a quorum have proven"),
        "{lines:?}"
    );

    // Side by side, without carol.
    let shares = made.shares(&[&alice, &bob]);
    let mut recertify = vec!["recertify", "--without", "carol"];
    recertify.extend(shares.iter().map(String::as_str));
    let shown = alice.at_terminal(&recertify).answer(&[YES]).expect_ok().shown;
    for part in [
        "NEW KIT      gives no access",
        "change       alice proves today",
        "change       bob proves today",
        "This is revision 2 of the kit now",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("carol proves"), "{shown}");
    let fresh = status(&alice);
    assert_eq!(fresh["revision"], 2, "{fresh}");
    assert!(warned(&fresh, "due for recertification: carol"), "{fresh}");
    clock.set(0);

    // Each on their own machine, as the last lines say.
    let kit = text(&bob.receive(&made.kit()));
    let own = text(&bob.receive(&made.share("bob")));
    let key = text(&bob.identity());
    let theirs = ["--share", &own, "--identity", &key];
    let look = bob.run(&[&["verify", &kit][..], &theirs].concat()).expect_ok();
    assert!(
        look.stderr
            .contains("belongs to revision 1 of this kit; this is revision 2"),
        "{}",
        look.stderr
    );
    let confirm = [&["verify", &kit, "--keep", "--confirm"][..], &theirs].concat();
    let shown = bob.at_terminal(&confirm).answer(&[YES]).expect_ok().shown;
    assert!(shown.contains("belongs to this revision now"), "{shown}");
    let old = text(&bob.receive(&old));
    let refused = bob.run(&[&["verify", &old][..], &theirs].concat());
    assert!(
        !refused.ok && refused.stderr.contains("revision 2"),
        "{}",
        refused.stderr
    );
    let refused = bob.run(&["verify", &old, "--keep"]);
    assert!(
        !refused.ok && refused.stderr.contains("keeps revision 2 of this kit"),
        "{}",
        refused.stderr
    );

    // Whoever did not come yet still can: their share fits, and they are told.
    fs::copy(made.share("carol"), carol.file(SHARE)).expect("init wrote it");
    let kit = text(&carol.receive(&made.kit()));
    carol.run(&["verify", &kit, "--keep"]).expect_ok();
    fs::copy(&own, bob.file(SHARE)).expect("it was just confirmed");
    let mut opener = alice.talking(&["open", "--reason", "IdP down"]);
    let mut approvers = [approve(&bob, &[]), approve(&carol, &[])];
    talk(&mut opener, &mut approvers, AGREE);
    opener.finish().expect_ok();
    // The next revision and the certificate are what the signature shares in the logs give.
    let logs = [&bob, &carol].map(|person| text(&log_file(person)));
    let report = alice.run(&["report", &logs[0], &logs[1]]).expect_ok().stdout;
    assert!(
        report.starts_with("Nothing was found that somebody has to explain.\n")
            && report.contains("recertified: kit ")
            && report.contains("THE GLASS WAS BROKEN"),
        "{report}"
    );
    let [bob, carol] = approvers.map(|approver| approver.finish().expect_ok().stderr);
    let told = "you confirmed revision 1 of this kit, and this is revision 2";
    assert!(!bob.contains(told) && carol.contains(told), "{bob}{carol}");
    let whoami = alice.kubectl_through_window(&["auth", "whoami"]);
    assert!(
        whoami.stdout.contains("break-glass:alice"),
        "the authority is the same: {}",
        whoami.stdout
    );

    // While it is open, whoever looks is told.
    let lines = doctor(&alice);
    assert!(has(&lines, "warning", "as break-glass:alice until "), "{lines:?}");
    assert_eq!(windows(&alice)[0]["who"], "alice");

    // It is closed by either revision's kit, with a clock that hides it, and with a log that nobody can write.
    clock.set(-DAY);
    assert_eq!(windows(&alice), Vec::<Value>::new());
    let note = alice.run(&["status"]).expect_ok().stdout;
    assert!(
        note.contains("close the window: kubectl gatepass break-glass close"),
        "{note}"
    );
    fs::rename(log_file(&alice), alice.file("log")).expect("it is there");
    fs::create_dir(log_file(&alice)).expect("nothing is there");
    let closed = alice.run(&["close", "--kit", &first]).expect_ok().stderr;
    for part in [
        "is closed, and its key deleted",
        "This was not written into the log",
    ] {
        assert!(closed.contains(part), "{part}: {closed}");
    }
    clock.set(0);
    let whoami = alice.machine.kubectl(&["auth", "whoami"]);
    assert!(
        !whoami.ok && !whoami.stderr.contains("BREAK-GLASS"),
        "{}",
        whoami.stderr
    );
    let again = alice.run(&["close", "--kit", &first]);
    assert!(
        !again.ok && again.stderr.contains("no break-glass window of this kit is open"),
        "{}",
        again.stderr
    );
}

#[test]
fn a_name_or_a_pipe_among_kits_and_windows_stops_no_command_and_begins_no_line() {
    if !present(&[Part::ControlPlane]) {
        return;
    }
    let alice = Person::new(&SITE.dir("pipe"), "alice", Key::X25519);
    let kits = alice.machine.dir.join("config/gatepass/break-glass");
    let windows = alice.machine.dir.join("state/gatepass/break-glass");
    let name = "z\nbob: type your passphrase to go on\n";
    for (dir, file) in [
        (&kits, format!("{name}.kit")),
        (&windows, format!("window-{name}.json")),
    ] {
        let mut mode = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut mode, 0o700);
        mode.recursive(true)
            .create(dir)
            .expect("the scratch directory is writable");
        alice
            .machine
            .run(alice.machine.command("mkfifo").arg(dir.join(file)))
            .expect_ok();
    }
    let status = alice.run(&["status"]).expect_ok().stdout;
    assert_eq!(
        status.matches(": it is a pipe, and no file").count(),
        2,
        "{status}"
    );
    let doctor = alice.machine.gatepass(&["doctor"]).stdout;
    assert!(doctor.contains(": it is a pipe, and no file"), "{doctor}");
    let mut kubectls = alice.machine.command("kubectl-gatepass");
    kubectls.arg("get-credential").env(
        "KUBERNETES_EXEC_INFO",
        r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#,
    );
    let served = alice.machine.run(&mut kubectls);
    assert!(
        !served.ok && served.stderr.contains(": it is a pipe, and no file"),
        "{}",
        served.stderr
    );
    for said in [status, doctor, served.stderr] {
        assert!(!said.lines().any(|line| line.starts_with("bob: ")), "{said}");
    }
}
