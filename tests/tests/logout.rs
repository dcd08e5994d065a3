//! Logging out: the refresh token at the identity provider, then what this machine keeps; and what is said where one of the two
//! cannot be done.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::exchange::refresh;
use e2e::idp::{NanoIdp, Provider};
use e2e::issuer::Prepared;
use e2e::machine::{Browser, Context, Machine, Run};
use e2e::parts::{Part, present};
use e2e::process::until;
use e2e::world::{Site, World};
use serde_json::json;

static SITE: Site = Site::new("logout");
const PARTS: &[Part] = &[Part::ControlPlane, Part::IdentityProvider, Part::Keyring];
/// Where oidc-provider revokes tokens.
const REVOCATION: &str = "/token/revocation";

/// A world in which alice has logged in, her machine, and her refresh token.
fn logged_in(name: &'static str) -> (World<'static>, Machine, String) {
    let world = World::new(&SITE, name);
    let alice = world.machine("alice");
    assert_eq!(alice.whoami()["username"], "alice");
    let token = refresh_token(&alice);
    (world, alice, token)
}

/// The refresh token of the only session.
fn refresh_token(machine: &Machine) -> String {
    let kept = machine.kept_sessions();
    assert_eq!(kept.len(), 1, "one session");
    kept[0]["refreshToken"]
        .as_str()
        .expect("a refresh token")
        .to_owned()
}

#[track_caller]
fn assert_nothing_kept(machine: &Machine) {
    assert!(machine.keyring_secrets().is_empty(), "the keyring is empty");
    assert_eq!(machine.kernel_credentials(), 0, "and so is the kernel's");
}

#[track_caller]
fn assert_dead(idp: &Provider, token: &str) {
    assert_eq!(refresh(idp, token)["error"], "invalid_grant");
}

/// It failed, said all of `words` and what to do next, and showed no token.
#[track_caller]
fn assert_incomplete(run: &Run, token: &str, words: &[&str]) {
    assert!(!run.ok, "{}", run.stderr);
    for word in words.iter().chain(&["next: "]) {
        assert!(run.stderr.contains(word), "{word:?} is not in {}", run.stderr);
    }
    assert!(!run.stderr.contains(token));
}

#[test]
fn a_logout_ends_the_refresh_token_at_the_provider_and_leaves_nothing_here() {
    if !present(PARTS) {
        return;
    }
    let (world, alice, token) = logged_in("everything");
    let done = alice.gatepass(&["logout"]).expect_ok();
    assert!(
        done.stderr.contains(&world.idp.issuer) && done.stderr.contains("revoked"),
        "{}",
        done.stderr
    );
    assert_nothing_kept(&alice);
    assert_dead(&world.idp, &token);
    let script = alice.kubectl_without_terminal(&["auth", "whoami"]);
    assert!(
        !script.ok && script.stderr.contains("kubectl-gatepass login"),
        "{}",
        script.stderr
    );

    // Once more does no harm and asks nobody.
    let asked = world.idp.stats().requests(REVOCATION);
    let again = alice.gatepass(&["logout"]).expect_ok();
    assert!(again.stderr.contains("there was no session"), "{}", again.stderr);
    assert_eq!(world.idp.stats().requests(REVOCATION), asked);
}

#[test]
fn without_the_provider_everything_goes_here_and_the_message_says_what_lives_on() {
    if !present(PARTS) {
        return;
    }
    let (world, alice, token) = logged_in("offline");
    let World { idp, .. } = world;
    let url = idp.issuer.clone();
    drop(idp);
    let run = alice.gatepass(&["logout"]);
    let words = [
        url.as_str(),
        "cannot be reached",
        "was not revoked",
        "logged out at",
    ];
    assert_incomplete(&run, &token, &words);
    assert_nothing_kept(&alice);
}

#[test]
fn a_provider_that_is_silent_is_waited_for_no_longer_than_its_deadline() {
    if !present(PARTS) {
        return;
    }
    let (world, alice, token) = logged_in("silent");
    world.idp.set(&json!({"fail": {REVOCATION: "hang"}}));
    let start = Instant::now();
    let run = alice.gatepass(&["logout"]);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_incomplete(&run, &token, &["did not answer within", "was not revoked"]);
    assert_nothing_kept(&alice);
}

#[test]
fn a_status_other_than_success_is_named_and_success_is_success_whatever_the_body_says() {
    if !present(PARTS) {
        return;
    }
    let (world, alice, _) = logged_in("answers");
    for status in [503, 500, 404, 302] {
        let token = refresh_token(&alice);
        world.idp.set(&json!({"fail": {REVOCATION: status}}));
        let run = alice.gatepass(&["logout"]);
        assert_incomplete(&run, &token, &[&status.to_string(), "was not revoked"]);
        assert_nothing_kept(&alice);
        assert_eq!(alice.whoami()["username"], "alice", "after another login");
    }
    // RFC 7009 section 2.2: the status says that the token is of no use, and the body means nothing.
    for status in [200, 204] {
        let token = refresh_token(&alice);
        world.idp.set(&json!({"fail": {REVOCATION: status}}));
        let done = alice.gatepass(&["logout"]).expect_ok();
        assert!(done.stderr.contains("revoked"), "{}", done.stderr);
        assert!(!done.stderr.contains(&token));
        assert_nothing_kept(&alice);
        assert_eq!(alice.whoami()["username"], "alice", "after another login");
    }
}

#[test]
fn a_provider_without_a_revocation_endpoint_is_named_once_and_is_no_failure() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "not-offered");
    world.idp.set(&json!({"revocation": false}));
    let alice = world.machine("alice");
    alice.whoami();
    let done = alice.gatepass(&["logout"]).expect_ok();
    let said = "offers no way to revoke";
    assert_eq!(done.stderr.matches(said).count(), 1, "{}", done.stderr);
    assert_nothing_kept(&alice);
    assert_eq!(
        world.idp.stats().requests(REVOCATION),
        0,
        "no endpoint is guessed"
    );
}

#[test]
fn a_logout_that_is_killed_while_it_asks_the_provider_can_be_repeated() {
    if !present(PARTS) {
        return;
    }
    let (world, alice, token) = logged_in("killed");
    world.idp.set(&json!({"fail": {REVOCATION: "hang"}}));
    let mut logout = alice
        .command("kubectl-gatepass")
        .arg("logout")
        .spawn()
        .expect("it runs");
    until("the provider was asked", Duration::from_secs(20), || {
        (world.idp.stats().requests(REVOCATION) == 1).then_some(())
    });
    logout.kill().expect("it is ours");
    logout.wait().expect("it was killed");
    world.idp.set(&json!({"fail": {}}));
    alice.gatepass(&["logout"]).expect_ok();
    assert_nothing_kept(&alice);
    assert_dead(&world.idp, &token);
}

#[test]
fn a_renewal_under_way_is_waited_for_and_its_rotated_token_is_the_one_that_ends() {
    if !present(&[PARTS, &[Part::Faketime]].concat()) {
        return;
    }
    let world = World::at(&SITE, "renewing", Some(-3600));
    let alice = world.machine("alice");
    alice.get_credential(&world.issuer).expect_ok();
    world.clock.as_ref().expect("a clock").set(0);
    world.idp.set(&json!({"latencyMs": {"/token": 2000}}));
    let before = world.idp.stats().requests("/token");
    // Without a terminal, so that nobody is asked to log in again when the renewal finds its session gone.
    let mut renewal = alice
        .command("kubectl")
        .args(["auth", "whoami"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    until("the renewal has begun", Duration::from_secs(20), || {
        (world.idp.stats().requests("/token") > before).then_some(())
    });
    alice.gatepass(&["logout"]).expect_ok();
    // It may have been in time, or not.
    renewal.wait().expect("a child can be waited for");
    assert_nothing_kept(&alice);
    assert_eq!(world.idp.stats().refreshes(), 1);
    world.idp.set(&json!({"latencyMs": {}}));
    for secret in world.idp.secrets() {
        assert_dead(&world.idp, &secret);
    }
}

#[test]
fn a_keyring_that_hangs_is_named_within_its_deadline_and_the_kernels_credential_is_gone_all_the_same() {
    if !present(PARTS) {
        return;
    }
    let (_world, alice, token) = logged_in("hung-keyring");
    assert_eq!(alice.kernel_credentials(), 1);
    let signal = |name: &str| {
        let runtime_dir = alice.keyring_places().remove(1);
        let pid = runtime_dir.with_file_name("gkd.pid");
        let pid = std::fs::read_to_string(pid).expect("the keyring's pid");
        let sent = Command::new("kill").args(["-s", name, pid.trim()]).status();
        assert!(sent.expect("kill runs").success());
    };
    signal("STOP");
    let start = Instant::now();
    let run = alice.gatepass(&["logout"]);
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    let words = ["did not answer", "deleted on this machine", "log out again"];
    assert_incomplete(&run, &token, &words);
    assert_eq!(alice.kernel_credentials(), 0);
    signal("CONT");
    alice.gatepass(&["logout"]).expect_ok();
    assert_nothing_kept(&alice);
}

#[test]
fn a_session_that_is_not_readable_is_deleted_and_the_message_says_that_nothing_was_revoked() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "unreadable");
    let alice = world.machine("alice");
    alice.configure(|config| config["store"] = json!("file"));
    alice.whoami();
    let files = || -> Vec<_> {
        let files = std::fs::read_dir(alice.dir.join("state/gatepass/secrets")).expect("the plugin made it");
        files.map(|file| file.expect("a file").path()).collect()
    };
    // As a later version would write it.
    let session = files()
        .into_iter()
        .map(|file| (std::fs::read_to_string(&file).expect("our own file"), file))
        .find(|(text, _)| text.contains("loginToken"));
    let (text, file) = session.expect("a session");
    std::fs::write(file, text.replace("\"version\":1", "\"version\":9")).expect("our own file");
    let done = alice.gatepass(&["logout"]).expect_ok();
    assert!(
        done.stderr.contains("no refresh token was revoked"),
        "{}",
        done.stderr
    );
    assert!(files().is_empty());
    assert_eq!(world.idp.stats().requests(REVOCATION), 0);
}

#[test]
fn a_new_login_revokes_nothing() {
    if !present(PARTS) {
        return;
    }
    // Some providers keep one grant per user and client: revoking the old token would end the new one.
    let (world, alice, first) = logged_in("again");
    alice.gatepass(&["login", &world.issuer.url]).expect_ok();
    assert_ne!(refresh_token(&alice), first);
    assert_eq!(world.idp.stats().requests(REVOCATION), 0);
}

#[test]
fn logging_out_at_one_machine_leaves_the_other_machines_session() {
    if !present(&[PARTS, &[Part::Faketime]].concat()) {
        return;
    }
    let world = World::at(&SITE, "two-homes", Some(-3600));
    let (laptop, desk) = (
        world.machine("alice"),
        Machine::with(
            &world.dir.join("desk"),
            "alice",
            &world.idp,
            Browser::Fast,
            world.clock.as_ref(),
        ),
    );
    desk.accept(&world.issuer);
    desk.kubeconfig(&[Context {
        name: "here",
        cluster: world.cluster,
        issuer: &world.issuer,
    }]);
    for machine in [&laptop, &desk] {
        machine.get_credential(&world.issuer).expect_ok();
    }
    world.clock.as_ref().expect("a clock").set(0);
    laptop.whoami();
    let before = desk.whoami();
    let (at_laptop, at_desk) = (refresh_token(&laptop), refresh_token(&desk));
    laptop.gatepass(&["logout", "--all"]).expect_ok();
    assert_nothing_kept(&laptop);
    assert_dead(&world.idp, &at_laptop);
    assert_eq!(desk.whoami()["extra"], before["extra"], "the credential it had");
    assert_eq!(desk.browsed().len(), 1);
    assert!(refresh(&world.idp, &at_desk)["id_token"].is_string(), "alive");
}

#[test]
fn with_all_a_provider_that_is_away_keeps_nobody_from_logging_out_at_the_others() {
    if !present(&[PARTS, &[Part::SecondIdentityProvider]].concat()) {
        return;
    }
    let (world, alice, lost) = logged_in("all");
    let nano = NanoIdp::start(&world.dir.join("nano"));
    let prepared = Prepared::init(&world.dir.join("nano-issuer"), "nano", &nano);
    prepared.edit(|config| {
        config["authentication"]["jwt"][0]["claimMappings"] =
            json!({"username": {"claim": "sub", "prefix": ""}});
    });
    let issuer = prepared.serve();
    alice.knows(&nano);
    alice.accept(&issuer);
    alice.get_credential(&issuer).expect_ok();
    let ended = alice
        .kept_sessions()
        .iter()
        .filter_map(|kept| kept["refreshToken"].as_str().map(str::to_owned))
        .find(|token| *token != lost)
        .expect("a second session");
    let World { idp, .. } = world;
    let away = idp.issuer.clone();
    drop(idp);

    let ambiguous = alice.gatepass(&["logout"]);
    assert!(
        !ambiguous.ok && ambiguous.stderr.contains("several sessions"),
        "{}",
        ambiguous.stderr
    );
    let run = alice.gatepass(&["logout", "--all"]);
    assert_incomplete(&run, &lost, &[&away, "cannot be reached"]);
    assert!(
        run.stderr.contains(&format!(
            "logged out at {} (profile default); its refresh token is revoked",
            nano.issuer
        )),
        "{}",
        run.stderr
    );
    assert_nothing_kept(&alice);
    assert_dead(&nano, &ended);
}
