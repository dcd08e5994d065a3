//! The plugin from end to end on a desktop keyring in every state that one can be in.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::machine::{Browser, Context, Keyring, Machine, Run};
use e2e::parts::{Part, present, variable};
use e2e::process::until;
use e2e::world::{Site, World};
use serde_json::{Value, json};

static SITE: Site = Site::new("keyring");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::IdentityProvider,
    Part::Keyring,
    Part::Faketime,
];
/// Each call to a keyring ends within 3 s, and one that hung is not asked again by the same program. What is beside that
/// is for a busy machine.
const DEADLINE: Duration = Duration::from_secs(12);

/// Another person at the same parts, whose keyring is in a state of its own.
fn person(world: &World<'_>, name: &'static str, keyring: Keyring) -> Machine {
    let machine = Machine::with_keyring(
        &world.dir.join(name),
        "alice",
        &world.idp,
        Browser::Fast,
        world.clock.as_ref(),
        keyring,
    );
    machine.accept(&world.issuer);
    machine.kubeconfig(&[Context {
        name: "here",
        cluster: world.cluster,
        issuer: &world.issuer,
    }]);
    // What people see, not what is logged.
    set(&machine, "log", json!("warn"));
    machine
}

fn set(machine: &Machine, key: &str, value: Value) {
    machine.configure(|config| config[key] = value);
}

/// `kubectl auth whoami` at a terminal, in time.
fn whoami(machine: &Machine) -> Run {
    let began = Instant::now();
    let run = machine.kubectl(&["auth", "whoami", "-o", "json"]).expect_ok();
    assert_eq!(run.json()["status"]["userInfo"]["username"], "alice");
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    run
}

/// The same where nobody can be asked: it fails, in time.
fn refused(machine: &Machine) -> Run {
    let began = Instant::now();
    let run = machine.run(
        machine
            .command("kubectl-gatepass")
            .arg("get-credential")
            .env("KUBERNETES_EXEC_INFO", info(machine, false)),
    );
    assert!(!run.ok, "{run:?}");
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    run
}

fn info(machine: &Machine, interactive: bool) -> String {
    let kubeconfig = machine.read_kubeconfig();
    let cluster = &kubeconfig["clusters"][0]["cluster"];
    // A kubectl of its own each time: the plugin tells the same process the same thing only once.
    let number = machine.transcript().len().to_string();
    json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "metadata": {"name": number},
        "spec": {"interactive": interactive, "cluster": {
            "server": cluster["server"], "config": cluster["extensions"][0]["extension"],
        }},
    })
    .to_string()
}

/// What the kernel keeps of this person's credential ends.
fn forget_credential(machine: &Machine) {
    for (id, _) in machine
        .kernel_keys()
        .into_iter()
        .filter(|(_, line)| line.contains("gatepass:credential:"))
    {
        // A key that was replaced is listed until the kernel collects it.
        machine.run(machine.command("keyctl").args(["unlink", &id, "@u"]));
    }
}

fn once(text: &str, words: &str) {
    assert_eq!(text.matches(words).count(), 1, "{words:?} once in:\n{text}");
}

/// What the plugin calls its session in the Secret Service.
fn session_name(machine: &Machine) -> String {
    let found = machine.run(
        machine
            .command("secret-tool")
            .args(["search", "--all", "service", "gatepass"]),
    );
    let text = format!("{}{}", found.stdout, found.stderr);
    let mut names = text
        .lines()
        .filter_map(|line| line.strip_prefix("attribute.username = "));
    names
        .find(|name| name.starts_with("session:"))
        .expect("a session is kept")
        .to_owned()
}

/// Puts `secret` under the name of the plugin's session, as any program of this person can.
fn overwrite_session(machine: &Machine, collection: &str, secret: &[u8]) {
    let mut store = machine.command("secret-tool");
    store.args([
        "store",
        "--label=theirs",
        collection,
        "service",
        "gatepass",
        "username",
        &session_name(machine),
    ]);
    feed(&mut store, secret);
}

/// Puts `secret` where the plugin keeps its credential, under another program's permissions.
fn overwrite_credential(machine: &Machine, secret: &[u8], permissions: &str) {
    let (_, line) = machine.kernel_keys().pop().expect("a credential is kept");
    let description = line.split_ascii_whitespace().nth(8).expect("a description");
    let description = description.strip_suffix(':').expect("a colon ends it").to_owned();
    forget_credential(machine);
    // Only who possesses a key may set its permissions.
    let script = "keyctl link @u @s && keyctl setperm $(keyctl padd user \"$0\" @u) \"$1\"";
    let mut put = machine.command("keyctl");
    put.args(["session", "-", "sh", "-c", script, &description, permissions]);
    feed(&mut put, secret);
}

fn feed(command: &mut Command, input: &[u8]) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is installed");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input)
        .expect("it reads its input");
    assert!(
        child.wait().expect("a child can be waited for").success(),
        "{command:?}"
    );
}

#[test]
fn a_keyring_that_is_absent_or_denied_is_named_once_with_the_way_out_and_the_login_is_served() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "absent");
    for (name, keyring, words, way_out) in [
        (
            "no-bus",
            Keyring::NoBus,
            "there is no D-Bus session bus",
            "run this inside a login session",
        ),
        (
            "no-service",
            Keyring::NoService,
            "no keyring (Secret Service) runs",
            "start a keyring such as",
        ),
        (
            "no-collection",
            Keyring::NoCollection,
            "the keyring has no default collection",
            "make a default keyring",
        ),
        (
            "denied",
            Keyring::Denied,
            "the Secret Service refused access",
            "use another `store:`",
        ),
    ] {
        let alice = person(&world, name, keyring);
        let first = whoami(&alice);
        once(
            &first.stderr,
            &format!("could not be kept, so you log in again when the credential ends: {words}"),
        );
        once(&first.stderr, way_out);
        let second = whoami(&alice);
        assert_eq!(
            (second.stderr.as_str(), alice.browsed().len()),
            ("", 1),
            "{name}: the kernel keeps the credential"
        );

        // Without the kernel's keyring nothing is kept, and every command still works.
        forget_credential(&alice);
        set(&alice, "kernelKeyring", json!(false));
        let bare = whoami(&alice);
        once(&bare.stderr, way_out);
        assert_eq!(alice.browsed().len(), 2, "{name}");
        let script = refused(&alice);
        assert!(
            script.stderr.contains("kubectl-gatepass login") || script.stderr.contains(way_out),
            "{name}: {}",
            script.stderr
        );

        // The way out, taken.
        for (store, browsers) in [("kernel", 3), ("file", 4)] {
            set(&alice, "store", json!(store));
            assert!(!whoami(&alice).stderr.contains(words), "{name}: {store}");
            assert_eq!(whoami(&alice).stderr, "", "{name}: {store}");
            assert_eq!(alice.browsed().len(), browsers, "{name}: {store}");
        }
    }
}

#[test]
fn a_locked_keyring_is_named_and_once_unlocked_the_old_session_goes_on() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "locked");
    let alice = person(&world, "alice", Keyring::Unlocked);
    whoami(&alice);
    alice.lock_keyring();
    assert_eq!(whoami(&alice).stderr, "", "a live credential needs no session");

    forget_credential(&alice);
    let script = refused(&alice);
    once(&script.stderr, "the keyring is locked");
    once(&script.stderr, "unlock it");
    assert_eq!(alice.browsed().len(), 1, "no browser without a person");
    let status = alice.gatepass(&["status"]).expect_ok();
    assert!(
        status.stdout.contains("the keyring is locked"),
        "{}",
        status.stdout
    );

    let login = whoami(&alice);
    once(
        &login.stderr,
        "could not be kept, so you log in again when the credential ends: the keyring is locked",
    );
    once(&login.stderr, "unlock it");
    assert_eq!(alice.browsed().len(), 2);
    assert_eq!(
        whoami(&alice).stderr,
        "",
        "the login is served until its credential ends"
    );

    unlock(&alice);
    forget_credential(&alice);
    whoami(&alice);
    assert_eq!(
        alice.browsed().len(),
        2,
        "the session in the keyring still renews"
    );
}

/// gnome-keyring starts again, unlocked.
fn unlock(machine: &Machine) {
    machine.signal_keyring("TERM");
    until("the keyring is unlocked", Duration::from_secs(20), || {
        let found = machine.run(
            machine
                .command("secret-tool")
                .args(["search", "service", "gatepass"]),
        );
        found.stdout.contains("secret = ").then_some(())
    });
}

#[test]
fn a_keyring_that_hangs_costs_its_deadline_once_and_never_a_live_credential() {
    if !present(PARTS) {
        return;
    }
    // The login lies as far back as a credential's renewal does not.
    let world = World::at(&SITE, "hung", Some(-530));
    let clock = world.clock.as_ref().expect("this world has a clock");
    let alice = person(&world, "alice", Keyring::Unlocked);
    let credential = |machine: &Machine| {
        let run = machine.run(
            machine
                .command("kubectl-gatepass")
                .arg("get-credential")
                .env("KUBERNETES_EXEC_INFO", info(machine, true)),
        );
        (
            run.clone().expect_ok().json()["status"]["clientCertificateData"].clone(),
            run.stderr,
        )
    };
    let (first, _) = credential(&alice);
    alice.signal_keyring("STOP");
    assert_eq!(
        credential(&alice),
        (first.clone(), String::new()),
        "it is not even asked"
    );

    clock.set(0);
    let (due, said) = credential(&alice);
    assert_eq!(due, first, "due for renewal, and good for another minute");
    once(&said, "could not be renewed");
    once(&said, "the keyring did not answer within");
    assert_eq!(
        alice.browsed().len(),
        1,
        "nobody is asked while the credential is good"
    );

    forget_credential(&alice);
    let script = refused(&alice);
    once(&script.stderr, "the keyring did not answer within");
    once(&script.stderr, "restart the keyring");
    let login = whoami(&alice);
    once(
        &login.stderr,
        "could not be kept, so you log in again when the credential ends: the keyring did not answer",
    );
    once(&login.stderr, "restart the keyring");
    assert_eq!((alice.browsed().len(), whoami(&alice).stderr.as_str()), (2, ""));
    let began = Instant::now();
    let status = alice.gatepass(&["status"]).expect_ok();
    assert!(
        status.stdout.contains("the keyring did not answer") && began.elapsed() < DEADLINE,
        "{status:?}"
    );

    alice.signal_keyring("CONT");
    forget_credential(&alice);
    whoami(&alice);
    assert_eq!(
        alice.browsed().len(),
        2,
        "the session in the keyring still renews"
    );
}

#[test]
fn corrupt_and_foreign_entries_heal_themselves() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "junk");
    let alice = person(&world, "alice", Keyring::Unlocked);
    whoami(&alice);
    let another_version = json!({"version": 2, "certificate": "-", "key": "-"}).to_string();
    let long = "x".repeat(20_000);
    let mut logins = 1;
    for junk in [
        "\0",
        "{",
        another_version.as_str(),
        "\u{fffd}\x1b[2J",
        long.as_str(),
    ] {
        // In the kernel's keyring, where everybody may read it, and where nobody may.
        for permissions in ["0x3f3f0000", "0x3f000000", "0x00010000"] {
            overwrite_credential(&alice, junk.as_bytes(), permissions);
            whoami(&alice);
            assert_eq!(
                alice.browsed().len(),
                logins,
                "the session gives another credential"
            );
            assert_eq!(whoami(&alice).stderr, "", "which is kept");
        }
        // In the Secret Service, so that nothing is left to go on with.
        overwrite_session(&alice, "--collection=login", junk.as_bytes());
        overwrite_credential(&alice, junk.as_bytes(), "0x3f3f0000");
        let script = refused(&alice);
        assert!(
            script.stderr.contains("kubectl-gatepass login") && !script.stderr.contains('\x1b'),
            "{}",
            script.stderr
        );
        logins += 1;
        whoami(&alice);
        forget_credential(&alice);
        whoami(&alice);
        assert_eq!(alice.browsed().len(), logins, "one login, whose session is kept");
    }
}

#[test]
fn another_item_under_the_name_of_our_session_is_gone_with_the_next_login() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "twice");
    let alice = person(&world, "alice", Keyring::Unlocked);
    whoami(&alice);
    let name = session_name(&alice);
    let items = || {
        let found = alice.run(
            alice
                .command("secret-tool")
                .args(["search", "--all", "service", "gatepass", "username", &name]),
        );
        found.stdout.matches("secret = ").count()
    };
    overwrite_session(&alice, "--collection=session", b"junk");
    assert_eq!(items(), 2, "in two collections");
    alice.gatepass(&["login", &world.issuer.url]).expect_ok();
    assert_eq!(items(), 1);
    forget_credential(&alice);
    whoami(&alice);
    assert_eq!(alice.browsed().len(), 2, "what is left is the session");
}

/// Runs `script` around four calls: two while `fill` leaves no room, two after `free` made some. All are served, the first
/// two with `words`, and the last from what the third has kept.
fn without_room(alice: &Machine, mut namespace: Command, fill: &str, free: &str, words: [&str; 2]) {
    let script = format!(
        "set -e; {fill}\n\
         for call in first second; do kubectl-gatepass get-credential >$call.out 2>$call.err; done\n\
         {free}\n\
         for call in third fourth; do kubectl-gatepass get-credential >$call.out 2>$call.err; done\n\
         {free}"
    );
    namespace
        .args(["sh", "-c", &script])
        .env("KUBERNETES_EXEC_INFO", info(alice, true));
    alice.run(&mut namespace).expect_ok();
    let read =
        |name: &str| fs::read_to_string(alice.dir.join("home").join(name)).expect("the script wrote it");
    for call in ["first", "second", "third", "fourth"] {
        let credential: Value = serde_json::from_str(&read(&format!("{call}.out"))).expect("a credential");
        assert!(credential["status"]["clientKeyData"].is_string(), "{call}");
    }
    for call in ["first", "second"] {
        for words in words {
            once(&read(&format!("{call}.err")), words);
        }
    }
    assert_eq!(
        (read("fourth.err").as_str(), alice.browsed().len()),
        ("", 3),
        "with room it is kept"
    );
}

#[test]
fn a_full_disk_under_the_file_store_is_named_and_the_login_is_served() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "disk-full");
    let alice = person(&world, "alice", Keyring::NoBus);
    set(&alice, "store", json!("file"));
    let secrets = alice.dir.join("state/gatepass/secrets");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&secrets)
        .expect("the scratch directory is writable");
    // A small file system over the store, in a namespace of mounts that ends with the script.
    let mut namespace = alice.command("unshare");
    namespace
        .args(["--user", "--map-root-user", "--mount"])
        .env("SECRETS", secrets);
    let fill = "mount -t tmpfs -o size=64k,mode=700 none \"$SECRETS\"; ! head -c 1M /dev/zero 2>/dev/null >\"$SECRETS/other\"";
    without_room(
        &alice,
        namespace,
        fill,
        "rm -f \"$SECRETS/other\"",
        ["no storage space", "has room"],
    );
}

#[test]
fn a_full_kernel_keyring_is_named_and_the_login_is_served() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "quota");
    let alice = person(&world, "alice", Keyring::NoBus);
    set(&alice, "store", json!("kernel"));
    // The quota belongs to a user; everybody else's tests are ours. Root becomes somebody who has none.
    let uid = alice.run(alice.command("id").arg("-u")).expect_ok().stdout;
    if uid.trim() != "0" {
        assert!(
            variable("CI").is_none(),
            "in CI nothing is skipped: run the tests as root"
        );
        eprintln!("SKIPPED: only root can become a user whose quota may be used up");
        return;
    }
    let mut namespace = alice.command("setpriv");
    namespace.args([
        "--reuid=54321",
        "--clear-groups",
        "--inh-caps=-all,+dac_override",
        "--ambient-caps=+dac_override",
    ]);
    let fill = "keyctl clear @u; i=0; for size in 1000 100 1; do \
                while head -c $size /dev/zero | keyctl padd user filler-$i @u; do i=$((i+1)); done; done >fill.log 2>&1";
    let words = [
        "the kernel keyring is full: this user's quota is used up",
        "log out of what is not needed",
    ];
    without_room(&alice, namespace, fill, "keyctl clear @u", words);
}
