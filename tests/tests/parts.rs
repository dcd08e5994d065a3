//! The parts themselves, without ours: when these fail, look here first.

use std::time::Duration;

use e2e::clock::Clock;
use e2e::exchange::Login;
use e2e::http::Http;
use e2e::idp::Idp;
use e2e::parts::{Part, present};
use e2e::process::until;
use e2e::world::Site;
use serde_json::{Value, json};

static SITE: Site = Site::new("parts");

/// The claims of a token, unverified: what the provider wrote, for the test to look at.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&fakes::unb64(payload)).expect("JSON")
}

#[test]
fn the_api_server_answers_its_administrator() {
    if !present(&[Part::ControlPlane]) {
        return;
    }
    let out = SITE
        .cluster()
        .admin(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
    assert_eq!(
        String::from_utf8_lossy(&out.stdout),
        "test-admin",
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

#[test]
fn the_identity_provider_logs_in_refreshes_and_forges() {
    if !present(&[Part::IdentityProvider]) {
        return;
    }
    let idp = Idp::start(&SITE.dir("idp"));
    let login = Login::new(&idp, "alice");
    let token = claims(&login.id_token);
    assert_eq!(token["groups"], json!(["dev", "ops"]));
    assert_eq!(token["nonce"], login.keys.nonce());
    idp.set(&json!({"tamper": {"refresh_token": {"nonce": null}}}));
    let fresh = &login.refresh(&idp);
    assert!(claims(fresh).get("nonce").is_none());
    assert_eq!(claims(&idp.forge(fresh, &json!({"aud": "x"})))["aud"], "x");
    assert_eq!((idp.stats().logins(), idp.stats().refreshes()), (1, 1));
    assert!(idp.secrets().contains(&login.refresh_token));
}

#[test]
fn a_program_can_be_shown_another_time() {
    if !present(&[Part::Faketime, Part::IdentityProvider]) {
        return;
    }
    let dir = SITE.dir("clock");
    let clock = Clock::new(&dir, -10_000);
    let idp = Idp::start_at(&dir, Some(&clock));
    let http = Http::trusting(&idp.ca);
    let shown = || {
        let url = format!("{}/.well-known/openid-configuration", idp.issuer);
        let answer = http.send("GET", &url, &[], Vec::new()).expect("it answers");
        answer.headers["date"].to_str().expect("text").to_owned()
    };
    let past = shown();
    clock.set(0);
    until(
        "the provider lives in the present",
        Duration::from_secs(5),
        || (shown()[..22] != past[..22]).then_some(()),
    );
}
