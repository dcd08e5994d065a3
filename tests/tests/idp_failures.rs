//! An identity provider that fails: each ends within its deadline and with its own words, keeps what should be kept, and
//! opens no more browsers than there are people to ask.

use std::time::{Duration, Instant};

use e2e::issuer::Issuer;
use e2e::machine::{Browser, Machine, Run};
use e2e::parts::{Part, present};
use e2e::world::{Site, World};
use serde_json::{Value, json};

static SITE: Site = Site::new("idp_failures");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::IdentityProvider,
    Part::Keyring,
    Part::Faketime,
];
const HOUR: i64 = 3600;

/// The plugin waits 5 s for a connection and 20 s for an answer; twice that is far from waiting for ever.
const DEADLINE: Duration = Duration::from_secs(45);

/// A world in which alice logged in so many seconds ago; with her machine.
fn logged_in_before(name: &'static str, seconds: i64) -> (World<'static>, Machine) {
    let world = World::at(&SITE, name, Some(-seconds));
    let alice = world.machine("alice");
    alice.get_credential(&world.issuer).expect_ok();
    (world, alice)
}

fn at(world: &World<'_>, seconds: i64) {
    world.clock.as_ref().expect("this world has a clock").set(seconds);
}

fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    assert!(begin.elapsed() < DEADLINE, "it took {:?}", begin.elapsed());
    done
}

/// How often the plugin itself spoke in what kubectl showed, its log apart.
fn messages(run: &Run) -> usize {
    run.stderr
        .lines()
        .filter(|line| line.starts_with("kubectl-gatepass: "))
        .count()
}

fn expect_failure(run: Run, words: &[&str]) -> Run {
    assert!(!run.ok, "it should have failed: {}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "{word:?} is not in: {}", run.stderr);
    }
    run
}

fn try_again(alice: &Machine, issuer: &Issuer, browsers: usize, why: &str) {
    alice.get_credential(issuer).expect_ok();
    assert_eq!(alice.browsed().len(), browsers, "{why}");
}

#[test]
fn a_provider_that_stands_still_is_named_once_per_kubectl_and_costs_no_session() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("stopped", HOUR);
    at(&world, 0);
    world.idp.freeze();
    // client-go runs the plugin five times for this; one of them waits.
    let pods = in_time(|| alice.kubectl(&["get", "pods"]));
    world.idp.thaw();
    expect_failure(
        pods.clone(),
        &[
            &world.idp.issuer,
            "no answer in time",
            "what this machine keeps is untouched",
        ],
    );
    assert_eq!(messages(&pods), 1, "one message: {}", pods.stderr);
    try_again(&alice, &world.issuer, 1, "the session outlived it");
    assert_eq!(world.idp.stats().logins(), 1);
}

#[test]
fn commands_that_wait_for_a_provider_that_stands_still_wait_together() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("stopped-together", HOUR);
    at(&world, 0);
    world.idp.freeze();
    let runs: Vec<_> = in_time(|| {
        let running: Vec<_> = (0..20)
            .map(|_| alice.start_kubectl(&["auth", "whoami"]))
            .collect();
        running
            .into_iter()
            .map(|kubectl| kubectl.finish(&alice))
            .collect()
    });
    world.idp.thaw();
    for run in runs {
        let run = expect_failure(run, &[&world.idp.issuer, "no answer in time"]);
        assert_eq!(messages(&run), 1, "{}", run.stderr);
    }
    try_again(&alice, &world.issuer, 1, "and none of them spoilt the session");
}

#[test]
fn a_live_credential_is_served_while_the_provider_stands_still() {
    if !present(PARTS) {
        return;
    }
    // Nine minutes old: a renewal is due, and a minute is left.
    let (world, alice) = logged_in_before("stopped-live", 540);
    at(&world, 0);
    world.idp.freeze();
    let first = in_time(|| alice.get_credential(&world.issuer)).expect_ok();
    assert!(
        first.stderr.contains("could not be renewed and ends in"),
        "{}",
        first.stderr
    );
    // The next command does not wait for the same nothing.
    let begin = Instant::now();
    alice.get_credential(&world.issuer).expect_ok();
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "the renewal was put off, but took {:?}",
        begin.elapsed()
    );
    world.idp.thaw();
}

#[test]
fn a_slow_provider_is_waited_for() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("slow", HOUR);
    at(&world, 0);
    world.idp.set(&json!({"latencyMs": {"/token": 4000}}));
    try_again(&alice, &world.issuer, 1, "a slow answer is an answer");
    assert_eq!(world.idp.stats().refreshes(), 1);
}

#[test]
fn what_is_no_answer_at_refresh_is_an_outage_and_every_4xx_is_the_end_of_the_refresh_token() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("refresh", 20 * HOUR);
    let token = |answer: Value| world.idp.set(&json!({"fail": {"/token": answer}}));
    let html = json!({"content-type": "text/html"});
    let mut now = -20 * HOUR;
    at(&world, now + HOUR);
    for (answer, words) in [
        (json!(500), "answers 500"),
        (json!(429), "answers 429"),
        (json!(408), "answers 408"),
        (json!("reset"), "cannot be reached"),
        (
            json!({"status": 200, "headers": html, "body": "<h1>maintenance</h1>"}),
            "something that is no token response",
        ),
        (
            json!({"status": 200, "body": ""}),
            "something that is no token response",
        ),
        (
            json!({"status": 200, "body": "{\"access_token\": 7}"}),
            "something that is no token response",
        ),
        (
            json!({"status": 302, "headers": {"location": format!("{}/token", world.idp.issuer)}, "body": ""}),
            "something that is no token response",
        ),
    ] {
        token(answer.clone());
        let before = world.idp.stats().requests("/token");
        let run = in_time(|| alice.get_credential(&world.issuer));
        expect_failure(run, &[&world.idp.issuer, words, "untouched"]);
        assert_eq!(
            world.idp.stats().requests("/token"),
            before + 1,
            "{answer}: asked once, no redirect followed"
        );
    }
    token(json!(null));
    try_again(&alice, &world.issuer, 1, "the session outlived all of them");

    let mut browsers = 1;
    for (status, body) in [
        (400, "{\"error\": \"invalid_grant\"}"),
        (400, "{\"error\": \"invalid_request\"}"),
        (400, "{\"error\": \"not_allowed\"}"),
        (
            400,
            "{\"error\": \"kaputt\", \"error_description\": \"\\u001b[2Jgone\"}",
        ),
        (400, ""),
        (401, "{\"error\": \"invalid_client\"}"),
        (403, "<h1>no</h1>"),
        (404, "not found"),
    ] {
        now += 2 * HOUR;
        at(&world, now);
        // Only the refresh: the login that follows redeems its code at the same endpoint.
        world
            .idp
            .set(&json!({"fail": {"/token": {"status": status, "body": body}}, "failTimes": {"/token": 1}}));
        let run = alice.get_credential(&world.issuer).expect_ok();
        browsers += 1;
        assert_eq!(alice.browsed().len(), browsers, "{status} {body}: one login");
        assert!(
            run.stderr.contains("refused") && !run.stderr.contains('\u{1b}'),
            "{status} {body}: why there is a login, escaped: {}",
            run.stderr
        );
    }
}

#[test]
fn a_refused_refresh_token_is_not_shown_twice_where_nobody_can_log_in() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("dead", HOUR);
    world.idp.revoke("alice");
    at(&world, 0);
    for _ in 0..3 {
        let run = alice.kubectl_without_terminal(&["get", "pods"]);
        let run = expect_failure(
            run,
            &["refused", "type: kubectl-gatepass login", &world.issuer.url],
        );
        assert_eq!(messages(&run), 1, "{}", run.stderr);
    }
    assert_eq!(
        world.idp.stats().refreshes(),
        1,
        "to some providers a second look like theft"
    );
    assert_eq!(alice.browsed().len(), 1);
}

#[test]
fn a_login_survives_no_half_answer_and_the_next_one_works() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "login");
    let alice = world.machine("alice");
    let discovery = "/.well-known/openid-configuration";
    let html = json!({"status": 200, "headers": {"content-type": "text/html"}, "body": "<h1>hello</h1>"});
    let location = json!({"location": format!("{}{discovery}", world.idp.issuer)});
    for (path, answer, words, browsers) in [
        (discovery, json!(500), "answers 500", 0),
        (discovery, html.clone(), "something that is no metadata", 0),
        (
            discovery,
            json!({"status": 302, "headers": location, "body": ""}),
            "answers 302",
            0,
        ),
        (discovery, json!("reset"), "cannot be reached", 0),
        ("/jwks", html.clone(), "something that is no metadata", 0),
        ("/token", json!(500), "answers 500", 1),
        ("/token", html, "something that is no token response", 1),
        ("/token", json!("reset"), "cannot be reached", 1),
    ] {
        let opened = alice.browsed().len();
        let asked = world.idp.stats().requests(path);
        world.idp.set(&json!({"fail": {path: answer}}));
        // A typed login: a failure before does not keep a person from trying.
        let run = in_time(|| alice.gatepass(&["login", &world.issuer.url]));
        expect_failure(run, &[words, &world.idp.issuer, "next: "]);
        assert_eq!(
            alice.browsed().len() - opened,
            browsers,
            "{path}: {words}: browsers"
        );
        assert_eq!(
            world.idp.stats().requests(path),
            asked + 1,
            "{path}: {words}: asked once"
        );
        assert!(
            alice.keyring_secrets().is_empty(),
            "{path}: {words}: nothing stored"
        );
    }
    world.idp.set(&json!({"fail": {}}));
    alice.gatepass(&["login", &world.issuer.url]).expect_ok();
    assert_eq!(world.idp.stats().requests("grant authorization_code"), 1);
}

#[test]
fn a_provider_that_never_answers_ends_a_login_at_the_deadline() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "silent");
    for (user, path, browsers) in [
        ("alice", "/.well-known/openid-configuration", 0),
        ("bob", "/token", 1),
    ] {
        let person = world.machine(user);
        world.idp.set(&json!({"fail": {path: "hang"}}));
        let run = in_time(|| person.kubectl(&["get", "pods"]));
        let run = expect_failure(run, &["no answer in time", &world.idp.issuer]);
        let said = run.stderr.matches("no answer in time").count();
        assert_eq!(said, 1, "one message: {}", run.stderr);
        assert_eq!(person.browsed().len(), browsers, "{path}");
    }
}

#[test]
fn metadata_that_names_another_issuer_or_plain_http_is_not_used() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "metadata");
    let alice = world.machine("alice");
    let plain = world.idp.issuer.replace("https", "http");
    for (patch, words) in [
        (json!({"issuer": "https://evil.example"}), "unexpected issuer"),
        (json!({"token_endpoint": format!("{plain}/token")}), "not https"),
        (
            json!({"authorization_endpoint": format!("{plain}/auth")}),
            "not https",
        ),
        (json!({"token_endpoint": null}), "no token endpoint"),
    ] {
        world.idp.set(&json!({"patch": {"discovery": patch}}));
        let run = alice.gatepass(&["login", &world.issuer.url]);
        expect_failure(run, &[words, "ask whoever runs the identity provider"]);
    }
    assert!(alice.browsed().is_empty(), "nobody was sent anywhere");
    assert_eq!(world.idp.stats().requests("/token"), 0, "nothing was sent");
}

#[test]
fn a_disabled_account_ends_on_a_page_that_never_comes_back_and_the_message_says_to_look_there() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("disabled", HOUR);
    alice.configure(|config| config["loginTimeout"] = json!("10s"));
    world.idp.set(&json!({"disabled": ["alice"]}));
    at(&world, 0);
    let pods = in_time(|| alice.kubectl(&["get", "pods"]));
    expect_failure(pods.clone(), &["not finished within 10 s", "look at the browser"]);
    assert_eq!(
        pods.stderr.matches("not finished within").count(),
        1,
        "{}",
        pods.stderr
    );
    assert_eq!(alice.browsed().len(), 2, "one browser for five runs");
    world.idp.set(&json!({"disabled": []}));
    let login = alice.gatepass(&["login", &world.issuer.url]);
    assert!(login.ok, "enabled again: {}", login.stderr);
}

#[test]
fn a_refused_login_of_one_kubectl_get_pods_is_one_browser_and_one_message() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "refused");
    let alice = world.machine_with("alice", Browser::Denying);
    let pods = alice.kubectl(&["get", "pods"]);
    expect_failure(pods.clone(), &["access_denied"]);
    assert_eq!(alice.browsed().len(), 1);
    assert_eq!(pods.stderr.matches("access_denied").count(), 1, "{}", pods.stderr);
    assert_eq!(
        pods.stderr.matches("log in to cluster").count(),
        1,
        "{}",
        pods.stderr
    );
    // Another command a moment later asks nobody either, and says why.
    let again = expect_failure(
        alice.kubectl(&["auth", "whoami"]),
        &["access_denied", "a moment ago"],
    );
    assert_eq!(messages(&again), 1);
    assert_eq!(alice.browsed().len(), 1);
}

#[test]
fn a_provider_without_id_tokens_at_refresh_is_named_once_and_its_token_used_until_it_is_too_old() {
    if !present(PARTS) {
        return;
    }
    let world = World::at(&SITE, "no-id-token", Some(-HOUR));
    world
        .idp
        .set(&json!({"ttl": {"IdToken": 720}, "patch": {"token refresh_token": {"id_token": null}}}));
    let alice = world.machine("alice");
    alice.get_credential(&world.issuer).expect_ok();
    let said = |run: &Run| run.stderr.matches("so a login is needed each time").count();
    // Past 80 % of the greatest age and 85 % of the certificate: worth a refresh, which brings nothing.
    at(&world, -HOUR + 515);
    let first = alice.get_credential(&world.issuer).expect_ok();
    assert_eq!((said(&first), world.issuer.issued()), (1, 2), "{}", first.stderr);
    // Too old for the issuer, while the certificate lives on to the token's end, half a minute from here: nobody is asked
    // while there is a credential to work with.
    at(&world, -HOUR + 692);
    let second = alice.get_credential(&world.issuer).expect_ok();
    assert_eq!(said(&second), 0, "once: {}", second.stderr);
    assert!(
        second.stderr.contains("could not be renewed"),
        "{}",
        second.stderr
    );
    assert_eq!((world.idp.stats().refreshes(), alice.browsed().len()), (1, 1));
    at(&world, 0);
    try_again(&alice, &world.issuer, 2, "too old: a login");
}

#[test]
fn where_a_login_ends_the_one_before_two_machines_of_one_person_do_not_chase_each_other() {
    if !present(PARTS) {
        return;
    }
    let (world, one) = logged_in_before("one-grant", 3 * HOUR);
    world.idp.set(&json!({"oneGrant": true}));
    let two = world.machine_named("alice-two", "alice");
    two.get_credential(&world.issuer).expect_ok();
    at(&world, -2 * HOUR);
    // Dead there: one login, which kills the other's.
    try_again(&one, &world.issuer, 2, "one login for the dead token");
    at(&world, -HOUR);
    try_again(&one, &world.issuer, 2, "its own refresh token lives");
    assert_eq!(two.browsed().len(), 1);
    try_again(&two, &world.issuer, 2, "one login there");
    assert_eq!(world.idp.stats().logins(), 4);
}
