//! Nothing secret shows anywhere, at the highest verbosity: a whole life of a session, then a search for the real values.

use std::collections::BTreeSet;

use e2e::leaks::{ArgumentWatch, in_files, in_text, pieces};
use e2e::machine::Machine;
use e2e::parts::{Part, present};
use e2e::world::{Site, World};
use serde_json::{Value, json};

static SITE: Site = Site::new("secrets");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::IdentityProvider,
    Part::Keyring,
    Part::Faketime,
];

/// Lives through everything that handles a secret; gives the credentials' keys and what the keyring held.
fn live(world: &World<'_>, alice: &Machine) -> Vec<String> {
    let clock = world.clock.as_ref().expect("this world has a clock");
    let mut kept = Vec::new();
    let mut credential = || {
        let printed = alice.get_credential(&world.issuer).expect_ok().json();
        let key = printed["status"]["clientKeyData"]
            .as_str()
            .expect("a key")
            .to_owned();
        assert!(printed["status"].get("token").is_none(), "never a token");
        kept.push(key);
        kept.extend(session_secrets(alice));
    };
    // A login; a renewal; one with the login token; an outage; a dead refresh token; a tampered token; a second login.
    credential();
    clock.set(-4 * 3600);
    credential();
    world
        .idp
        .set(&json!({"tamper": {"refresh_token": {"nonce": null}}}));
    clock.set(-2 * 3600);
    credential();
    world.idp.set(&json!({"tamper": {}, "fail": {"/token": 500}}));
    clock.set(0);
    assert!(!alice.kubectl(&["auth", "whoami", "-v=10"]).ok);
    world
        .idp
        .set(&json!({"fail": {}, "tamper": {"authorization_code": {"nonce": "another"}}}));
    world.idp.revoke("alice");
    assert!(!alice.kubectl(&["auth", "whoami", "-v=10"]).ok);
    world.idp.set(&json!({"tamper": {}}));
    alice.gatepass(&["login", &world.issuer.url]).expect_ok();
    alice.kubectl(&["auth", "whoami", "-v=10"]).expect_ok();
    credential();
    alice.gatepass(&["status"]).expect_ok();
    alice.gatepass(&["status", "-o", "json"]).expect_ok();
    alice.gatepass(&["logout"]).expect_ok();
    kept
}

/// The session key and tokens in alice's keyring.
fn session_secrets(alice: &Machine) -> Vec<String> {
    let sessions = alice.keyring_secrets();
    assert_eq!(sessions.len(), 1, "one session lies in the keyring");
    let session: Value = serde_json::from_str(&sessions[0]).expect("a session is JSON");
    ["key", "loginToken", "refreshToken"]
        .map(|name| session[name].as_str().expect("text").to_owned())
        .into()
}

#[test]
fn nothing_secret_shows_in_output_logs_arguments_or_files_at_the_highest_verbosity() {
    if !present(PARTS) {
        return;
    }
    let world = World::at(&SITE, "life", Some(-6 * 3600));
    let alice = world.machine("alice");
    let watch = ArgumentWatch::start();
    let kept = live(&world, &alice);
    let arguments: BTreeSet<String> = watch.finish();

    let issued = world.idp.secrets();
    assert!(
        kept.iter().filter(|secret| issued.contains(secret)).count() >= 4,
        "both lists name the same tokens"
    );
    assert!(
        issued.len() > 15,
        "codes, verifiers and tokens of four logins and refreshes: {}",
        issued.len()
    );
    let secrets = pieces(kept.into_iter().chain(issued));

    let mut found = Vec::new();
    let mut said = String::new();
    for (line, run) in alice.transcript() {
        said.push_str(&run.stderr);
        found.extend(in_text(
            &format!("standard error of {line}"),
            &run.stderr,
            &secrets,
        ));
        // kubectl is given the credential's key and nothing else.
        let mut stdout = run.stdout;
        if line.ends_with("kubectl-gatepass get-credential")
            && let Ok(mut credential) = serde_json::from_str::<Value>(&stdout)
        {
            credential["status"]["clientKeyData"].take();
            stdout = credential.to_string();
        }
        found.extend(in_text(&format!("standard output of {line}"), &stdout, &secrets));
    }
    let seen = arguments
        .iter()
        .filter(|line| line.contains("kubectl-gatepass"))
        .count();
    assert!(seen > 0, "the watch saw the plugin run");
    for line in arguments.iter().cloned().chain(alice.browsed()) {
        found.extend(in_text("arguments", &line, &secrets));
    }
    // The issuer's log and audit records, the person's home, state and configuration, what kubectl printed.
    found.extend(in_files(&world.dir, &secrets, &|_| false));
    // The keyring's own files, which are encrypted, and sockets' directory.
    for place in alice.keyring_places() {
        found.extend(in_files(&place, &secrets, &|_| false));
    }
    assert!(found.is_empty(), "{found:#?}");

    // The search proves nothing about logs that were never written.
    let log = std::fs::read_to_string(world.dir.join("issuer/issuer.log")).expect("the issuer logs");
    assert!(log.contains(r#""level":"DEBUG""#), "{log}");
    for record in [
        "TRACE asking for a certificate",
        "DEBUG asked the issuer",
        "DEBUG asked the identity provider",
    ] {
        assert!(said.contains(record), "{said}");
    }
}
