//! The issuer between a provider that comes and goes and an audit sink that may refuse.

use std::path::Path;
use std::time::Duration;

use e2e::exchange::{Login, Verdict};
use e2e::idp::Idp;
use e2e::issuer::{Issuer, Prepared};
use e2e::parts::{Part, present};
use e2e::process::until;
use e2e::world::Site;
use gatepass_api::Code;
use serde_json::json;

static SITE: Site = Site::new("issuer");
const PARTS: &[Part] = &[Part::IdentityProvider];

fn ask(login: &Login, issuer: &Issuer) -> Verdict {
    login.request(issuer).send(&login.keys.key, issuer)
}

#[test]
fn new_signing_keys_of_the_provider_are_learned_from_the_first_token_and_old_ones_end() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("rotation");
    let idp = Idp::start(&dir.join("idp"));
    let issuer = Prepared::init(&dir.join("issuer"), "rotation", &idp).serve();
    let before = Login::new(&idp, "alice");
    ask(&before, &issuer).expect_issued();
    idp.rotate_keys(true);
    let after = Login::new(&idp, "alice");
    // Keys are fetched at most once in ten seconds, so this may be refused for as long.
    until("the new key is known", Duration::from_secs(20), || {
        (ask(&after, &issuer).status == 201).then_some(())
    });
    ask(&before, &issuer).expect_issued();
    let fetches = idp.stats().requests("/jwks");
    assert_eq!(fetches, 2, "once at the start, once for the unknown key");

    idp.rotate_keys(false);
    let newest = Login::new(&idp, "alice");
    until("the newest key is known", Duration::from_secs(20), || {
        (ask(&newest, &issuer).status == 201).then_some(())
    });
    ask(&before, &issuer).expect_refused(&Code::UnknownKey);
}

#[test]
fn known_keys_outlive_an_outage_of_the_provider() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("outage");
    let idp = Idp::start(&dir.join("idp"));
    let issuer = Prepared::init(&dir.join("issuer"), "outage", &idp).serve();
    let alice = Login::new(&idp, "alice");
    ask(&alice, &issuer).expect_issued();
    for failure in [json!(503), json!("reset"), json!("hang")] {
        idp.set(&json!({"fail": {"*": failure}}));
        ask(&alice, &issuer).expect_issued();
    }
}

#[test]
fn a_provider_that_is_down_does_not_keep_the_issuer_from_starting() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("down");
    let idp = Idp::start(&dir.join("idp"));
    let alice = Login::new(&idp, "alice");
    idp.set(&json!({"fail": {"*": 503}}));
    let issuer = Prepared::init(&dir.join("issuer"), "down", &idp).serve();
    ask(&alice, &issuer).expect_refused(&Code::IdpUnavailable);
    idp.set(&json!({"fail": {}}));
    until("the provider is asked again", Duration::from_secs(30), || {
        (ask(&alice, &issuer).status == 201).then_some(())
    });
}

#[test]
fn no_record_no_certificate() {
    if !present(PARTS) || !Path::new("/dev/full").exists() {
        return;
    }
    let dir = SITE.dir("audit");
    let idp = Idp::start(&dir.join("idp"));
    let prepared = Prepared::init(&dir.join("issuer"), "audit", &idp);
    prepared.edit(|config| config["audit"]["file"] = json!("/dev/full"));
    let issuer = prepared.serve();
    ask(&Login::new(&idp, "alice"), &issuer).expect_refused(&Code::AuditUnavailable);
}

#[test]
fn asked_to_end_it_ends_well() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("end");
    let idp = Idp::start(&dir.join("idp"));
    let issuer = Prepared::init(&dir.join("issuer"), "end", &idp).serve();
    ask(&Login::new(&idp, "alice"), &issuer).expect_issued();
    assert!(issuer.stop().success());
}
