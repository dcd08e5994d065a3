//! Ctrl-C at every wait, and kill -9 at any moment: the next call works.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::machine::{Browser, Context, Machine, Started};
use e2e::parts::{Part, present};
use e2e::process::until;
use e2e::world::{Site, World};
use serde_json::json;

static SITE: Site = Site::new("interruption");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::IdentityProvider,
    Part::Keyring,
    Part::Faketime,
];
const SOON: Duration = Duration::from_secs(30);
const WHOAMI: [&str; 2] = ["auth", "whoami"];

/// Presses Ctrl-C: it ends at once, and by that, not because its wait was over.
fn interrupt(machine: &Machine, mut started: Started) {
    assert!(
        started.ended().is_none(),
        "it ended by itself: {}",
        started.said()
    );
    started.press("\x03");
    let status = until("Ctrl-C ends it", Duration::from_secs(5), || started.ended());
    let run = started.finish(machine);
    assert_eq!(status.code(), Some(130), "{run:?}");
    until("the plugin has ended, too", Duration::from_secs(5), || {
        plugins(machine).is_empty().then_some(())
    });
}

/// The plugin's processes on this machine.
fn plugins(machine: &Machine) -> Vec<String> {
    let home = format!("HOME={}\0", machine.dir.join("home").display());
    let read = |process: &str, file: &str| fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
    let processes = fs::read_dir("/proc").expect("procfs is there").flatten();
    processes
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|process| read(process, "comm") == b"kubectl-gatepas\n")
        .filter(|process| String::from_utf8_lossy(&read(process, "environ")).contains(&home))
        .collect()
}

/// Waits until a plugin of this machine has a thread of this name: one for each wait in the kernel.
fn until_thread(machine: &Machine, name: &str) {
    until(&format!("the plugin waits in its thread {name}"), SOON, || {
        plugins(machine).iter().find_map(|process| {
            let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten();
            threads
                .filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok())
                .find(|comm| comm.trim() == name)
        })
    });
}

/// The next call takes the lock at once, and works.
fn next_call_works(machine: &Machine, browsers: usize) {
    let began = Instant::now();
    assert_eq!(machine.whoami()["username"], "alice");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(machine.browsed().len(), browsers);
}

fn forget_credential(machine: &Machine) {
    for (id, line) in machine.kernel_keys() {
        if line.contains("gatepass:credential:") {
            machine.run(machine.command("keyctl").args(["unlink", &id, "@u"]));
        }
    }
}

#[test]
fn ctrl_c_while_the_browser_or_another_login_is_waited_for() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "browser");
    let alice = world.machine_with("alice", Browser::Idle);
    let browsers = |count| {
        until("the browser is opened", SOON, || {
            (alice.browsed().len() == count).then_some(())
        })
    };

    let mut first = alice.start_kubectl(&WHOAMI);
    browsers(1);
    let second = alice.start_kubectl(&WHOAMI);
    until("the second waits for the first", SOON, || {
        second.said().contains("waiting for the login").then_some(())
    });
    let pressed = {
        let mut second = second;
        second.press("\x03");
        until("Ctrl-C ends it", Duration::from_secs(5), || second.ended())
    };
    assert_eq!(pressed.code(), Some(130));
    assert!(first.ended().is_none(), "the login goes on: {}", first.said());
    interrupt(&alice, first);

    // The lock is free: the next one asks at once, typed or not, and a login can be finished.
    let typed = alice.start("kubectl-gatepass", &["login", &world.issuer.url]);
    browsers(2);
    interrupt(&alice, typed);
    let third = alice.start_kubectl(&WHOAMI);
    browsers(3);
    alice.finish_login(&alice.browsed()[2]);
    third.finish(&alice).expect_ok();
    next_call_works(&alice, 3);
}

#[test]
fn a_browser_that_the_login_has_started_outlives_ctrl_c() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "own-browser");
    let alice = world.machine_with("alice", Browser::Idle);
    let pid_file = alice.dir.join("browser.pid");
    let script = format!("#!/bin/sh\necho $$ >'{}'\nexec sleep 60\n", pid_file.display());
    fs::write(alice.dir.join("bin/browser"), script).expect("our own file");
    let kubectl = alice.start_kubectl(&WHOAMI);
    let pid = until("the browser is opened", SOON, || {
        fs::read_to_string(&pid_file)
            .ok()
            .filter(|pid| pid.ends_with('\n'))
    });
    interrupt(&alice, kubectl);
    // One that has ended and that nobody waits for has no command line any more.
    let browser = fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&browser), "sleep\x0060\0");
    alice.run(alice.command("kill").arg(pid.trim())).expect_ok();
}

#[test]
fn ctrl_c_while_the_identity_provider_is_silent() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "silent-idp");
    let alice = world.machine("alice");
    for path in ["/.well-known/openid-configuration", "/token"] {
        world.idp.set(&json!({"fail": {path: "hang"}}));
        let before = world.idp.stats().requests(path);
        let kubectl = alice.start_kubectl(&WHOAMI);
        until("it was asked", SOON, || {
            (world.idp.stats().requests(path) > before).then_some(())
        });
        interrupt(&alice, kubectl);
        world.idp.set(&json!({"fail": {}}));
    }
    // The first never came to a browser; the second had its code, which was never redeemed.
    next_call_works(&alice, 2);
}

#[test]
fn ctrl_c_while_a_refresh_is_silent_or_waited_for() {
    if !present(PARTS) {
        return;
    }
    let world = World::at(&SITE, "silent-refresh", Some(-3600));
    let alice = world.machine("alice");
    alice.get_credential(&world.issuer).expect_ok();
    world.clock.as_ref().expect("this world has a clock").set(0);
    world.idp.set(&json!({"fail": {"/token": "hang"}}));
    let before = world.idp.stats().requests("/token");
    let mut first = alice.start_kubectl(&WHOAMI);
    until("it was asked", SOON, || {
        (world.idp.stats().requests("/token") > before).then_some(())
    });
    let mut second = alice.start_kubectl(&WHOAMI);
    until_thread(&alice, "lock");
    second.press("\x03");
    let status = until("Ctrl-C ends it", Duration::from_secs(5), || second.ended());
    assert_eq!(status.code(), Some(130), "{}", second.said());
    assert!(first.ended().is_none(), "the refresh goes on: {}", first.said());
    interrupt(&alice, first);
    world.idp.set(&json!({"fail": {}}));
    next_call_works(&alice, 1);
}

#[test]
fn ctrl_c_while_the_issuer_is_silent() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "silent-issuer");
    let alice = world.machine_with("alice", Browser::Idle);
    // Where a login is asked for that should not be, nobody finishes it.
    alice.configure(|config| config["loginTimeout"] = json!("30s"));
    let silent = |start: &dyn Fn() -> Started| {
        let before = world.issuer.connections();
        world.issuer.signal("STOP");
        let started = start();
        until("it was asked", SOON, || {
            (world.issuer.connections() > before).then_some(())
        });
        interrupt(&alice, started);
        world.issuer.signal("CONT");
    };
    silent(&|| alice.start_kubectl(&WHOAMI));
    assert!(
        alice.browsed().is_empty(),
        "it was asked who it is, before anybody is asked to log in"
    );

    // Silent when it is asked for the certificate: the login is kept.
    let kubectl = alice.start_kubectl(&WHOAMI);
    let page = until("the browser is opened", SOON, || alice.browsed().pop());
    let before = world.issuer.connections();
    world.issuer.signal("STOP");
    let mut browser = alice.command("person");
    let mut browser = browser.arg(&page).spawn().expect("the browser starts");
    until("it was asked", SOON, || {
        (world.issuer.connections() > before).then_some(())
    });
    interrupt(&alice, kubectl);
    world.issuer.signal("CONT");
    browser.wait().expect("the browser ends with its connection");
    next_call_works(&alice, 1);
    // And when it renews.
    forget_credential(&alice);
    silent(&|| alice.start_kubectl(&WHOAMI));
    next_call_works(&alice, 1);
}

#[test]
fn ctrl_c_while_the_keyring_hangs() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "hung-keyring");
    let alice = world.machine("alice");
    alice.kubectl(&WHOAMI).expect_ok();
    forget_credential(&alice);
    alice.signal_keyring("STOP");
    let kubectl = alice.start_kubectl(&WHOAMI);
    until_thread(&alice, "keyring");
    interrupt(&alice, kubectl);
    alice.signal_keyring("CONT");
    next_call_works(&alice, 1);
}

#[test]
fn ctrl_c_at_the_question_whether_to_accept_accepts_nothing() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "question");
    let alice = Machine::new(&world.dir.join("alice"), "alice", &world.idp);
    alice.kubeconfig(&[Context {
        name: "here",
        cluster: world.cluster,
        issuer: &world.issuer,
    }]);
    let ask = || {
        let kubectl = alice.start_kubectl(&WHOAMI);
        until("it asks", SOON, || {
            kubectl.said().contains("Accept this issuer?").then_some(())
        });
        kubectl
    };
    interrupt(&alice, ask());
    assert!(!alice.dir.join("state/gatepass/accepted.json").exists());
    assert!(alice.browsed().is_empty());
    let mut kubectl = ask();
    kubectl.press("yes\n");
    kubectl.finish(&alice).expect_ok();
    next_call_works(&alice, 1);
}

/// Starts what kubectl would, for killing it.
fn start(machine: &Machine, world: &World<'_>) -> Child {
    let mut command: Command = machine.get_credential_command(&world.issuer);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the plugin starts")
}

fn kill(mut child: Child) {
    child.kill().expect("it is a child");
    child.wait().expect("a child can be waited for");
}

/// Kills renewals at moments spread over all of one, refresh, exchange and both writes; gives how often a browser was opened.
fn killed_while_renewing(name: &'static str, store: &str, rotate: bool) -> usize {
    const KILLS: u32 = 12;
    let world = World::at(&SITE, name, Some(-6 * 3600));
    let clock = world.clock.as_ref().expect("this world has a clock");
    world.idp.set(&json!({"rotate": rotate}));
    let alice = world.machine("alice");
    alice.configure(|config| config["store"] = json!(store));
    alice.get_credential(&world.issuer).expect_ok();
    // By the clock both the credential and the ID token are over, and a renewal is both requests.
    let mut ago = -6 * 3600;
    let mut renewal_is_due = || {
        ago += 700;
        clock.set(ago);
    };
    renewal_is_due();
    let began = Instant::now();
    alice.get_credential(&world.issuer).expect_ok();
    let whole = began.elapsed();
    assert_eq!(
        (alice.browsed().len(), world.idp.stats().refreshes()),
        (1, 1),
        "that was a renewal"
    );
    for moment in 1..=KILLS {
        renewal_is_due();
        let mut child = start(&alice, &world);
        let began = Instant::now();
        until("the moment has come", SOON, || {
            let ended = child.try_wait().expect("a child can be waited for").is_some();
            (ended || began.elapsed() >= whole * moment / KILLS).then_some(())
        });
        kill(child);
        let next = Instant::now();
        alice.get_credential(&world.issuer).expect_ok();
        assert!(next.elapsed() < SOON, "{:?}", next.elapsed());
        // What it got is kept: the call after it asks nobody.
        let asked = world.issuer.connections();
        alice.get_credential(&world.issuer).expect_ok();
        assert_eq!(world.issuer.connections(), asked);
    }
    alice.browsed().len()
}

#[test]
fn kill_9_in_the_middle_of_a_renewal_loses_nothing() {
    if !present(PARTS) {
        return;
    }
    for (name, store) in [
        ("killed-keyring", "keyring"),
        ("killed-file", "file"),
        ("killed-kernel", "kernel"),
    ] {
        assert_eq!(
            killed_while_renewing(name, store, false),
            1,
            "{store}: no second login"
        );
    }
}

/// A provider that has answered with another refresh token, and then is shown the old one, sees a thief. So a process that is
/// killed between that answer and its write costs the session, and nothing else: the next call logs in.
#[test]
fn kill_9_between_a_rotation_and_its_write_costs_a_login_at_most() {
    if !present(PARTS) {
        return;
    }
    let browsers = killed_while_renewing("killed-rotating", "keyring", true);
    assert!(browsers <= 13, "at most one for each kill: {browsers}");
}

#[test]
fn kill_9_in_the_middle_of_a_login_or_a_silent_request_loses_that_step_alone() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "killed-login");
    let alice = world.machine_with("alice", Browser::Idle);
    // Where a login is asked for that should not be, nobody finishes it.
    alice.configure(|config| config["loginTimeout"] = json!("30s"));
    let opened = |count| {
        until("the browser is opened", SOON, || {
            alice.browsed().get(count).cloned()
        })
    };

    let login = start(&alice, &world);
    opened(0);
    kill(login);
    // While the code is redeemed.
    world.idp.set(&json!({"fail": {"/token": "hang"}}));
    let login = start(&alice, &world);
    let page = opened(1);
    let mut browser = alice
        .command("person")
        .arg(&page)
        .spawn()
        .expect("the browser starts");
    until("it was asked", SOON, || {
        (world.idp.stats().requests("/token") == 1).then_some(())
    });
    kill(login);
    browser.wait().expect("the browser ends with its connection");
    world.idp.set(&json!({"fail": {}}));
    // While the issuer is asked for the certificate.
    let login = start(&alice, &world);
    let page = opened(2);
    let before = world.issuer.connections();
    world.issuer.signal("STOP");
    let mut browser = alice
        .command("person")
        .arg(&page)
        .spawn()
        .expect("the browser starts");
    until("it was asked", SOON, || {
        (world.issuer.connections() > before).then_some(())
    });
    kill(login);
    browser.wait().expect("the browser ends with its connection");
    world.issuer.signal("CONT");
    // The login itself was whole.
    next_call_works(&alice, 3);
}
