//! Ended at the identity provider, ended here: the real provider sends its logout token to the real issuer.

use e2e::clock::Clock;
use e2e::exchange::{Login, Verdict};
use e2e::idp::{CLIENT_ID, Idp};
use e2e::issuer::{Issuer, Prepared};
use e2e::parts::{Part, present, unix_time};
use e2e::world::Site;
use fakes::CsrKey;
use gatepass_api::{Code, path};
use serde_json::json;

static SITE: Site = Site::new("backchannel");
const PARTS: &[Part] = &[Part::IdentityProvider, Part::Faketime];
/// Logins up to a minute after a logout count as before it; so all begins in the past.
const BACK: i64 = -100;

fn login(idp: &Idp, user: &str, offset: i64) -> Login {
    Login::with(idp, user, CLIENT_ID, unix_time() + offset)
}

fn renew(login: &Login, issuer: &Issuer, offset: i64) -> Verdict {
    login
        .request(issuer)
        .claim("iat", unix_time() + offset)
        .member("csr", fakes::csr(CsrKey::P256))
        .send(&login.keys.key, issuer)
}

#[test]
fn a_session_that_ends_at_the_provider_ends_here_and_a_login_afterwards_works() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("ended");
    let clock = Clock::new(&dir, BACK);
    let idp = Idp::start_at(&dir.join("idp"), Some(&clock));
    let issuer = Prepared::init_at(&dir.join("issuer"), "ended", &idp, Some(&clock)).serve_at(Some(&clock));
    idp.set(&json!({
        "backchannelUri": format!("{}{}", issuer.url, path::BACKCHANNEL_LOGOUT),
        "backchannelCa": issuer.serving_ca,
    }));
    let (alice, bob) = (login(&idp, "alice", BACK), login(&idp, "bob", BACK));
    renew(&alice, &issuer, BACK).expect_issued();

    idp.back_channel_logout("alice", CLIENT_ID);
    // The answer comes when it is in force.
    let refused = renew(&alice, &issuer, BACK);
    refused.expect_refused(&Code::Revoked);
    let detail = refused.body["detail"].as_str().expect("words");
    assert!(detail.contains("logged out at the identity provider"), "{detail}");
    assert!(refused.body["loginAfter"].is_string(), "{}", refused.body);
    renew(&bob, &issuer, BACK).expect_issued();
    // A login within the leeway counts as before: the clocks of two machines differ.
    renew(&login(&idp, "alice", BACK), &issuer, BACK).expect_refused(&Code::Revoked);

    clock.set(0);
    renew(&alice, &issuer, 0).expect_refused(&Code::Revoked);
    renew(&login(&idp, "alice", 0), &issuer, 0).expect_issued();
    let audit = issuer.audit();
    let ended = audit
        .iter()
        .find(|record| record["event"] == "subject.logged-out");
    assert_eq!(ended.expect("a record")["subject"], "alice");

    // What the provider has really sent, sent again by somebody else in the middle: it changes nothing.
    let replayed = idp.back_channel_logouts();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let url = format!("{}{}", issuer.url, path::BACKCHANNEL_LOGOUT);
    let answer = issuer
        .http
        .send("POST", &url, &headers, replayed[0].clone().into_bytes());
    assert_eq!(answer.expect("the issuer answers").status, 200);
    renew(&login(&idp, "alice", 0), &issuer, 0).expect_issued();
    assert_eq!(
        std::fs::read_dir(issuer.dir().join("revocations"))
            .map(|dir| {
                dir.filter(|entry| {
                    entry
                        .as_ref()
                        .is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".json"))
                })
                .count()
            })
            .expect("the directory is there"),
        1
    );
}
