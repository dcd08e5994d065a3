//! A machine whose clock is wrong, and one whose clock is changed: the plugin alone is shown another time. (kubectl, as all Go
//! programs, stays in the present; so does everything else.)

use std::time::Duration;

use e2e::clock::Clock;
use e2e::machine::{Browser, Context, Machine};
use e2e::parts::{Part, present, unix_time};
use e2e::process::until;
use e2e::world::{Site, World};
use serde_json::{Value, json};

static SITE: Site = Site::new("clock");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::IdentityProvider,
    Part::Keyring,
    Part::Faketime,
];
const TEN_MINUTES: i64 = 600;

/// Issuer and identity provider in the present, with certificates that were made an hour ago. A person's browser with a clock
/// that is ahead drops cookies early, which is between it and the identity provider.
fn world(name: &'static str) -> World<'static> {
    let world = World::at(&SITE, name, Some(-3600));
    world.clock.as_ref().expect("this world has a clock").set(0);
    world.idp.set(&json!({"ttl": {"Interaction": 7200}}));
    world
}

/// Alice, whose clock alone is wrong by `offset` seconds.
fn alice(world: &World<'_>, browser: Browser, offset: i64) -> (Machine, Clock) {
    let dir = world.dir.join("alice");
    std::fs::create_dir_all(&dir).expect("the scratch directory is writable");
    let clock = Clock::new(&dir, offset);
    let alice = Machine::with(&dir, "alice", &world.idp, browser, Some(&clock));
    alice.accept(&world.issuer);
    alice.kubeconfig(&[Context {
        name: "here",
        cluster: world.cluster,
        issuer: &world.issuer,
    }]);
    alice.configure(|config| config["log"] = json!("warn"));
    (alice, clock)
}

/// Calls as kubectl does, with a clock that is wrong by `offset`: what is printed ends ahead of that clock, and is accepted.
/// Gives the certificate and what was said.
fn credential(world: &World<'_>, alice: &Machine, offset: i64) -> (Value, String) {
    let before = unix_time() + offset;
    let run = alice.get_credential(&world.issuer).expect_ok();
    let status = run.json()["status"].clone();
    let end = status["expirationTimestamp"].as_str().expect("a time");
    let end = seconds(alice, end);
    assert!(end > before, "it ends ahead of the local clock: {end}, {before}");
    assert!(
        end <= before + TEN_MINUTES + 60,
        "and not long after the certificate: {end}, {before}"
    );
    (status["clientCertificateData"].clone(), run.stderr)
}

/// Unix seconds of an RFC 3339 time.
fn seconds(alice: &Machine, time: &str) -> i64 {
    let date = alice
        .run(alice.command("date").args(["--date", time, "+%s"]))
        .expect_ok();
    date.stdout.trim().parse().expect("a number")
}

fn wrong_by_ten_minutes(name: &'static str, offset: i64, words: &str) {
    if !present(PARTS) {
        return;
    }
    let world = world(name);
    let (alice, clock) = alice(&world, Browser::Fast, offset);
    let run = alice.kubectl(&["auth", "whoami", "-o", "json"]).expect_ok();
    assert_eq!(run.json()["status"]["userInfo"]["username"], "alice");
    assert!(named(&run.stderr, words), "{}", run.stderr);
    let (first, said) = credential(&world, &alice, offset);
    assert_eq!(said, "", "named once, not at every call");
    assert_eq!(
        alice
            .kubectl(&["auth", "whoami", "-o", "json"])
            .expect_ok()
            .json()["status"]["userInfo"]["username"],
        "alice"
    );
    assert_eq!(world.issuer.issued(), 1, "one credential serves them all");

    // The clock is set right; set wrong the other way; and right again.
    for (offset, words) in [
        (0, ""),
        (-offset, if offset > 0 { "behind" } else { "ahead of" }),
        (0, ""),
    ] {
        clock.set(offset);
        alice.forget_credential();
        let (renewed, said) = credential(&world, &alice, offset);
        assert_ne!(renewed, first);
        if offset != 0 {
            assert!(named(&said, words), "{said}");
        }
        assert_eq!(alice.whoami()["username"], "alice");
    }
    assert_eq!(
        (alice.browsed().len(), world.idp.stats().logins()),
        (1, 1),
        "one login"
    );
}

/// Whether the wrong clock is named, with by how much it is wrong: a second more or less has passed on the way.
fn named(said: &str, direction: &str) -> bool {
    (TEN_MINUTES - 5..=TEN_MINUTES + 5).any(|seconds| {
        said.contains(&format!(
            "this machine's clock is {seconds} s {direction} the issuer's; please set it"
        ))
    })
}

#[test]
fn a_clock_ten_minutes_ahead_is_named_and_works_and_set_right_takes_no_login() {
    wrong_by_ten_minutes("ahead", TEN_MINUTES, "ahead of");
}

#[test]
fn a_clock_ten_minutes_behind_is_named_and_works_and_set_right_takes_no_login() {
    wrong_by_ten_minutes("behind", -TEN_MINUTES, "behind");
}

#[test]
fn a_clock_that_is_changed_between_two_calls_never_serves_a_credential_that_has_ended() {
    if !present(PARTS) {
        return;
    }
    let world = world("between");
    let (alice, clock) = alice(&world, Browser::Fast, 0);
    let mut last = credential(&world, &alice, 0).0;
    for offset in [TEN_MINUTES, 0, -TEN_MINUTES, TEN_MINUTES, -TEN_MINUTES, 0] {
        clock.set(offset);
        // Whether it lives cannot be told by a clock that jumped: kubectl is given one whose end lies ahead of it.
        let (now, _) = credential(&world, &alice, offset);
        assert_ne!(now, last, "{offset}");
        last = now;
    }
    assert_eq!(alice.whoami()["username"], "alice");
    assert_eq!(
        (alice.browsed().len(), world.idp.stats().logins()),
        (1, 1),
        "one login"
    );
}

#[test]
fn a_clock_that_is_changed_while_a_login_waits_does_not_spoil_it() {
    if !present(PARTS) {
        return;
    }
    for (name, offset) in [("login-ahead", TEN_MINUTES), ("login-behind", -TEN_MINUTES)] {
        let world = world(name);
        let (alice, clock) = alice(&world, Browser::Idle, 0);
        let kubectl = alice.start_kubectl(&["auth", "whoami"]);
        let page = until("the browser is opened", Duration::from_secs(30), || {
            alice.browsed().pop()
        });
        clock.set(offset);
        alice.finish_login(&page);
        let run = kubectl.finish(&alice).expect_ok();
        assert!(
            named(&run.stderr, if offset > 0 { "ahead of" } else { "behind" }),
            "{}",
            run.stderr
        );
        credential(&world, &alice, offset);
        clock.set(0);
        credential(&world, &alice, 0);
        assert_eq!(
            (alice.browsed().len(), world.idp.stats().logins()),
            (1, 1),
            "one login"
        );
    }
}

#[test]
fn a_clock_by_which_the_issuers_certificate_is_not_valid_is_what_the_message_speaks_of() {
    if !present(PARTS) {
        return;
    }
    let world = world("certificate");
    let (alice, clock) = alice(&world, Browser::Fast, -7200);
    let refused = alice.kubectl(&["auth", "whoami"]);
    assert!(
        !refused.ok
            && refused
                .stderr
                .contains("see whether this machine's clock is right"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        (alice.browsed().len(), world.issuer.issued()),
        (0, 0),
        "nothing was begun"
    );
    clock.set(0);
    assert_eq!(alice.whoami()["username"], "alice");
}
