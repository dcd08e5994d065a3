//! Thefts acted out: what a thief, a hostile issuer or a hostile client could send, made of real artefacts of the real
//! identity provider, and what the real issuer says to each.
//!
//! Every test changes one thing in a request that would be answered with a certificate, so that deleting the check it
//! is named for turns it red.

use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::routing::post as on_post;
use e2e::exchange::{Login, Request, Verdict, post};
use e2e::front::{Recorded, Tap};
use e2e::http::runtime;
use e2e::idp::{CLIENT_ID, Idp};
use e2e::issuer::{Issuer, Prepared};
use e2e::machine::Machine;
use e2e::parts::{Part, present, unix_time};
use e2e::world::Site;
use fakes::SessionKey;
use gatepass_api::Code;
use serde_json::{Value, json};

static SITE: Site = Site::new("thefts");
const PARTS: &[Part] = &[Part::IdentityProvider];

/// An identity provider that behaves, an issuer, and alice's login at them.
struct Place {
    idp: Idp,
    issuer: Issuer,
    alice: Login,
}

impl Place {
    fn new(name: &'static str) -> Self {
        Self::with(name, |_| {})
    }

    /// One whose issuer is configured otherwise.
    fn with(name: &'static str, configure: impl FnOnce(&mut Value)) -> Self {
        let dir = SITE.dir(name);
        let idp = Idp::start(&dir.join("idp"));
        let prepared = Prepared::init(&dir.join("issuer"), name, &idp);
        prepared.edit(configure);
        let issuer = prepared.serve();
        let alice = Login::new(&idp, "alice");
        Self { idp, issuer, alice }
    }

    /// Sends alice's request with something other in place of her ID token.
    fn send_token(&self, token: impl Into<Value>) -> Verdict {
        self.request()
            .member("idToken", token)
            .send(&self.alice.keys.key, &self.issuer)
    }

    /// Sends alice's request with her ID token changed and signed again by the provider's own key.
    fn send_forged(&self, change: &Value) -> Verdict {
        self.send_token(self.idp.forge(&self.alice.id_token, change))
    }

    fn request(&self) -> Request {
        self.alice.request(&self.issuer)
    }

    fn send(&self, request: &Request) -> Verdict {
        request.send(&self.alice.keys.key, &self.issuer)
    }
}

/// The place of every test that changes nothing at the identity provider.
fn place() -> Option<&'static Place> {
    static PLACE: OnceLock<Place> = OnceLock::new();
    present(PARTS).then(|| PLACE.get_or_init(|| Place::new("shared")))
}

#[test]
fn the_request_that_every_theft_here_begins_with_is_answered_with_a_certificate() {
    let Some(place) = place() else { return };
    let verdict = place.send(&place.request());
    let issued = verdict.expect_issued();
    assert_eq!(
        (&issued["username"], &issued["groups"]),
        (&json!("alice"), &json!(["dev", "ops"]))
    );
    assert_eq!(issued["bound"], true);
    // A token signed again without a change too: what is refused below is refused for its change.
    place.send_forged(&json!({})).expect_issued();
}

// ---- stolen tokens -----------------------------------------------------------------------------

#[test]
fn a_stolen_id_token_is_useless_with_another_key() {
    let Some(place) = place() else { return };
    place
        .request()
        .send(&SessionKey::generate(), &place.issuer)
        .expect_refused(&Code::BindingMismatch);
    // The thief makes up a salt of his own as well.
    let own = fakes::Login::new(unix_time().unsigned_abs());
    let request = place.request().claim("salt", fakes::b64(own.salt));
    request
        .send(&own.key, &place.issuer)
        .expect_refused(&Code::BindingMismatch);
}

#[test]
fn a_stolen_id_and_login_token_are_useless_with_another_key() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("login-token");
    place
        .idp
        .set(&json!({"tamper": {"refresh_token": {"nonce": null}}}));
    let refreshed = place.alice.refresh(&place.idp);
    let without = place.request().member("idToken", refreshed.clone());
    let with = place
        .request()
        .member("idToken", refreshed)
        .member("loginToken", place.alice.id_token.clone());
    place.send(&with).expect_issued();
    with.send(&SessionKey::generate(), &place.issuer)
        .expect_refused(&Code::BindingMismatch);
    place.send(&without).expect_refused(&Code::BindingMissing);
}

#[test]
fn a_login_token_of_another_account_or_key_lends_nothing() {
    let Some(place) = place() else { return };
    let bare = place.idp.forge(&place.alice.id_token, &json!({"nonce": null}));
    let request = || place.request().member("idToken", bare.clone());
    let forged = |change: Value| place.idp.forge(&place.alice.id_token, &change);
    let bobs = forged(json!({"sub": "bob"}));
    place
        .send(&request().member("loginToken", bobs))
        .expect_refused(&Code::LoginTokenInvalid);
    for change in [
        json!({"aud": "another-app"}),
        json!({"iss": "https://elsewhere.example"}),
        json!({"$key": true}),
        json!({"$sig": true}),
        json!({"$hmac": true}),
        json!({"iat": unix_time() + 600}),
    ] {
        let verdict = place.send(&request().member("loginToken", forged(change.clone())));
        assert_eq!(verdict.code, "login_token_invalid", "{change}: {}", verdict.body);
    }
    let nonce = forged(json!({"nonce": "something-else"}));
    place
        .send(&request().member("loginToken", nonce))
        .expect_refused(&Code::BindingMismatch);
    // A login token that has none is refused beside an ID token that has one, too.
    for request in [request(), place.request()] {
        place
            .send(&request.member("loginToken", bare.clone()))
            .expect_refused(&Code::BindingMissing);
    }
    // The login token is the grant: it may be long over, as long as nothing else is wrong with it.
    let over = forged(json!({"exp": unix_time() - 3000, "iat": unix_time()}));
    place.send(&request().member("loginToken", over)).expect_issued();
}

#[test]
fn a_salt_of_another_time_does_not_fit_the_nonce() {
    let Some(place) = place() else { return };
    let mut salt = place.alice.keys.salt;
    salt[7] ^= 1;
    let request = place.request().claim("salt", fakes::b64(salt));
    place.send(&request).expect_refused(&Code::BindingMismatch);
}

#[test]
fn a_login_cannot_be_dated_ahead_of_its_token_nor_outlive_its_session() {
    let Some(place) = place() else { return };
    let at = |seconds: i64| Login::with(&place.idp, "alice", CLIENT_ID, unix_time() + seconds);
    let ahead = at(3600);
    ahead
        .request(&place.issuer)
        .send(&ahead.keys.key, &place.issuer)
        .expect_refused(&Code::LoginTimeInvalid);
    let long_ago = at(-13 * 3600);
    long_ago
        .request(&place.issuer)
        .send(&long_ago.keys.key, &place.issuer)
        .expect_refused(&Code::SessionEnded);
}

// ---- copied and changed requests ---------------------------------------------------------------

/// What the plugin of a real person sent to an issuer whose operator keeps everything.
fn recorded_by_a_hostile_issuer() -> Option<(Idp, Recorded, Issuer)> {
    if !present(&[Part::IdentityProvider, Part::Keyring, Part::ControlPlane]) {
        return None;
    }
    let dir = SITE.dir("hostile");
    let idp = Idp::start(&dir.join("idp"));
    let prepared = Prepared::init(&dir.join("issuer"), "hostile", &idp);
    let tap = Tap::start(&prepared);
    prepared.edit(|config| config["cluster"]["url"] = json!(tap.url()));
    let issuer = prepared.serve();
    let alice = Machine::new(&dir.join("alice"), "alice", &idp);
    alice.accept(&issuer);
    alice.get_credential(&issuer).expect_ok();
    let asked = tap
        .recorded()
        .into_iter()
        .find(|recorded| recorded.line == "POST /v1/certificates");
    Some((idp, asked.expect("the plugin asked for a certificate"), issuer))
}

#[test]
fn a_copied_request_is_useless_at_another_clusters_issuer_and_yields_nothing_new_at_its_own() {
    let Some((idp, copied, hostile)) = recorded_by_a_hostile_issuer() else {
        return;
    };
    let proof = copied.proof.as_deref();

    // Another cluster of the same identity provider and client; one that also claims the first's id; one with its URL.
    let serve = |name: &'static str, change: &dyn Fn(&mut Value)| {
        let prepared = Prepared::init(&SITE.dir(name).join("issuer"), name, &idp);
        prepared.edit(|config| change(&mut config["cluster"]));
        prepared.serve()
    };
    let (id, url) = (hostile.cluster_id.clone(), hostile.url.clone());
    let other = serve("other", &|_| {});
    let same_id = serve("same-id", &|cluster| cluster["id"] = json!(id));
    let same_url = serve("same-url", &|cluster| cluster["url"] = json!(url));
    let at = |issuer: &Issuer| post(&issuer.http, &issuer.upstream(), proof, copied.body.clone());
    let verdict = at(&other);
    assert!(
        ["proof_wrong_url", "proof_wrong_cluster"].contains(&verdict.code.as_str()),
        "{}",
        verdict.body
    );
    at(&same_id).expect_refused(&Code::ProofWrongUrl);
    at(&same_url).expect_refused(&Code::ProofWrongCluster);

    // Replayed where it belongs it mints one more certificate, for the key that the replayer lacks.
    let again = at(&hostile);
    let replayed = again.expect_issued()["certificate"]
        .as_str()
        .expect("PEM")
        .to_owned();
    let csr = serde_json::from_slice::<Value>(&copied.body).expect("JSON")["csr"]
        .as_str()
        .expect("PEM")
        .to_owned();
    assert_eq!(public_key(&["x509"], &replayed), public_key(&["req"], &csr));
}

/// The public key in a certificate or a request, by openssl.
fn public_key(what: &[&str], pem: &str) -> String {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut openssl = Command::new("openssl")
        .args(what)
        .args(["-noout", "-pubkey"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    openssl
        .stdin
        .take()
        .expect("a pipe")
        .write_all(pem.as_bytes())
        .expect("openssl reads");
    let out = openssl.wait_with_output().expect("openssl ends");
    assert!(out.status.success());
    String::from_utf8(out.stdout).expect("PEM")
}

#[test]
fn anything_changed_in_the_body_under_a_valid_proof_is_noticed() {
    let Some(place) = place() else { return };
    let (proof, body) = place.request().signed(&place.alice.keys.key);
    let send = |body: Vec<u8>| post(&place.issuer.http, &place.issuer.url, Some(&proof), body);
    send(body.clone()).expect_issued();
    let original: Value = serde_json::from_slice(&body).expect("JSON");
    let changed = |name: &str, value: Value| {
        let mut changed = original.clone();
        changed[name] = value;
        changed.to_string().into_bytes()
    };
    for body in [
        changed("csr", json!(fakes::csr(fakes::CsrKey::P256))),
        changed(
            "idToken",
            json!(
                place
                    .idp
                    .forge(&place.alice.id_token, &json!({"groups": ["dev"]}))
            ),
        ),
        changed("loginToken", json!(place.alice.id_token)),
        changed("ttlSeconds", json!(60)),
        changed("reason", json!("because")),
        [&body[..], b" "].concat(),
    ] {
        send(body).expect_refused(&Code::ProofWrongBody);
    }
}

#[test]
fn a_proof_for_another_url_method_or_cluster_is_refused() {
    let Some(place) = place() else { return };
    let url = &place.issuer.url;
    for htu in [
        "https://other.example/v1/certificates".to_owned(),
        format!("{url}/v1/cluster"),
        format!("{url}/v1/certificates/"),
        format!("{url}/v1/certificates?x=1"),
        url.replace("https://", "http://") + "/v1/certificates",
        url.to_uppercase() + "/v1/certificates",
    ] {
        place
            .send(&place.request().claim("htu", htu))
            .expect_refused(&Code::ProofWrongUrl);
    }
    place
        .send(&place.request().claim("htm", "GET"))
        .expect_refused(&Code::ProofWrongUrl);
    place
        .send(&place.request().claim("cluster", "another"))
        .expect_refused(&Code::ProofWrongCluster);
}

#[test]
fn an_old_proof_and_one_from_the_future_are_refused() {
    let Some(place) = place() else { return };
    for seconds in [-75, 75] {
        let request = place.request().claim("iat", unix_time() + seconds);
        place.send(&request).expect_refused(&Code::ProofNotFresh);
    }
}

#[test]
fn a_request_without_a_proof_or_with_one_that_its_key_did_not_sign_is_refused() {
    let Some(place) = place() else { return };
    let (proof, body) = place.request().signed(&place.alice.keys.key);
    let send = |proof: Option<&str>| post(&place.issuer.http, &place.issuer.url, proof, body.clone());
    send(None).expect_refused(&Code::MissingProof);
    let (other, _) = place.request().signed(&place.alice.keys.key);
    let (head, _) = proof.rsplit_once('.').expect("three parts");
    let (_, foreign) = other.rsplit_once('.').expect("three parts");
    send(Some(&format!("{head}.{foreign}"))).expect_refused(&Code::BadProofSignature);
}

// ---- tokens that are not what they should be ---------------------------------------------------

#[test]
fn a_token_for_another_audience_is_refused() {
    let Some(place) = place() else { return };
    let login = Login::with(&place.idp, "alice", "another-app", unix_time());
    let verdict = login.request(&place.issuer).send(&login.keys.key, &place.issuer);
    verdict.expect_refused(&Code::WrongAudience);
}

#[test]
fn a_token_that_was_issued_to_another_party_is_refused() {
    let Some(place) = place() else { return };
    place
        .send_forged(&json!({"azp": "another-app"}))
        .expect_refused(&Code::WrongParty);
    // For several audiences only `azp` says whose it is.
    let both = json!([CLIENT_ID, "another-app"]);
    place
        .send_forged(&json!({"aud": both}))
        .expect_refused(&Code::WrongParty);
    place
        .send_forged(&json!({"aud": both, "azp": "another-app"}))
        .expect_refused(&Code::WrongParty);
    place
        .send_forged(&json!({"aud": both, "azp": CLIENT_ID}))
        .expect_issued();
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    let Some(place) = place() else { return };
    place
        .send_forged(&json!({"iss": "https://elsewhere.example"}))
        .expect_refused(&Code::UnknownIdp);
    // A real one, from a provider that this issuer was never told of.
    let elsewhere = Idp::start(&SITE.dir("elsewhere"));
    let login = Login::new(&elsewhere, "alice");
    let verdict = login.request(&place.issuer).send(&login.keys.key, &place.issuer);
    verdict.expect_refused(&Code::UnknownIdp);
    // Its own, in the name of the known one.
    let posing = elsewhere.forge(&login.id_token, &json!({"iss": place.idp.issuer}));
    let request = login.request(&place.issuer).member("idToken", posing);
    request
        .send(&login.keys.key, &place.issuer)
        .expect_refused(&Code::UnknownKey);
}

#[test]
fn an_expired_token_is_refused() {
    if !present(PARTS) {
        return;
    }
    // Where certificates may outlive the token, nothing but the token's own end is left to refuse it.
    let lenient = |config: &mut Value| config["certificate"]["capAtTokenExpiry"] = json!(false);
    let place = Place::with("expiry", lenient);
    let ends_in = |place: &Place, seconds: i64| place.send_forged(&json!({"exp": unix_time() + seconds}));
    ends_in(&place, -45).expect_refused(&Code::TokenExpired);
    ends_in(&place, 45).expect_issued();
}

#[test]
fn a_token_or_session_that_ends_within_a_minute_yields_no_certificate() {
    let Some(place) = place() else { return };
    place
        .send_forged(&json!({"exp": unix_time() + 45}))
        .expect_refused(&Code::TokenExpired);
    let almost = Login::with(&place.idp, "alice", CLIENT_ID, unix_time() - 12 * 3600 + 45);
    let verdict = almost
        .request(&place.issuer)
        .send(&almost.keys.key, &place.issuer);
    verdict.expect_refused(&Code::SessionEnded);
}

#[test]
fn a_token_that_is_not_yet_valid_is_refused() {
    let Some(place) = place() else { return };
    let later = unix_time() + 90;
    place
        .send_forged(&json!({"nbf": later}))
        .expect_refused(&Code::TokenNotYetValid);
    place
        .send_forged(&json!({"iat": later}))
        .expect_refused(&Code::TokenNotYetValid);
}

#[test]
fn a_token_that_is_no_longer_fresh_is_refused() {
    let Some(place) = place() else { return };
    // A login that was as long ago as its token, so that nothing but the token's age is wrong.
    let now = unix_time();
    let login = Login::with(&place.idp, "alice", CLIENT_ID, now - 640);
    let old = |seconds: i64| {
        let token = place
            .idp
            .forge(&login.id_token, &json!({"iat": now - seconds, "exp": now + 600}));
        let request = login.request(&place.issuer).member("idToken", token);
        request.send(&login.keys.key, &place.issuer)
    };
    old(630).expect_refused(&Code::TokenNotFresh);
    old(500).expect_issued();
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let Some(place) = place() else { return };
    for alg in ["none", "None", "NONE"] {
        let token = place
            .idp
            .forge(&place.alice.id_token, &json!({"$hdr": {"alg": "none"}}));
        let (_, rest) = token.split_once('.').expect("three parts");
        let header = json!({"alg": alg, "typ": "JWT"}).to_string();
        let token = format!("{}.{rest}", fakes::b64(header));
        place
            .send_token(token)
            .expect_refused(&Code::UnsupportedAlgorithm);
    }
}

#[test]
fn a_token_signed_with_the_public_key_as_a_shared_secret_is_refused() {
    let Some(place) = place() else { return };
    place
        .send_forged(&json!({"$hmac": true}))
        .expect_refused(&Code::UnsupportedAlgorithm);
}

#[test]
fn a_key_of_another_kind_than_the_algorithm_is_never_used() {
    let Some(place) = place() else { return };
    // Each kind does work under its own name.
    for kind in ["RSA", "P-256", "P-384", "Ed25519"] {
        place.send_forged(&json!({"$kind": kind})).expect_issued();
    }
    for (kind, alg) in [
        ("P-256", "RS256"),
        ("RSA", "ES256"),
        ("P-256", "ES384"),
        ("Ed25519", "ES256"),
        ("P-384", "EdDSA"),
    ] {
        let verdict = place.send_forged(&json!({"$kind": kind, "$hdr": {"alg": alg}}));
        verdict.expect_refused(&Code::UnknownKey);
    }
}

#[test]
fn a_token_signed_by_no_published_key_is_refused() {
    let Some(place) = place() else { return };
    let verdict = place.send_forged(&json!({"$key": true, "$hdr": {"kid": "never-published"}}));
    verdict.expect_refused(&Code::UnknownKey);
    place
        .send_forged(&json!({"$key": true}))
        .expect_refused(&Code::BadSignature);
    place
        .send_forged(&json!({"$sig": true}))
        .expect_refused(&Code::BadSignature);
}

#[test]
fn an_access_token_is_not_an_id_token_though_issuer_and_audience_are_the_same() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("access-token");
    place.idp.set(&json!({"jwtAccessTokens": true}));
    let login = Login::new(&place.idp, "alice");
    let request = |token: String| login.request(&place.issuer).member("idToken", token);
    let send = |request: &Request| request.send(&login.keys.key, &place.issuer);
    send(&login.request(&place.issuer)).expect_issued();
    send(&request(login.access_token.clone())).expect_refused(&Code::NotAnIdToken);
    // Beside the login token that would vouch for it, too.
    let vouched = request(login.access_token.clone()).member("loginToken", login.id_token.clone());
    send(&vouched).expect_refused(&Code::NotAnIdToken);
    // From a provider that does not mark its access tokens: no nonce tells.
    let unmarked = place
        .idp
        .forge(&login.id_token, &json!({"nonce": null, "scope": "openid"}));
    send(&request(unmarked)).expect_refused(&Code::BindingMissing);
}

#[test]
fn a_logout_token_is_not_an_id_token() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("logout-token");
    let logout = real_logout_token(&place.idp);
    place
        .send_token(logout.clone())
        .expect_refused(&Code::NotAnIdToken);
    // In the clothes of an ID token: only what it says of itself is left to tell.
    let dressed = |change: Value| place.idp.forge(&place.alice.id_token, &change);
    let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    for change in [
        json!({"events": events}),
        json!({"$hdr": {"typ": "logout+jwt"}}),
        json!({"typ": "Logout"}),
    ] {
        place
            .send_token(dressed(change))
            .expect_refused(&Code::NotAnIdToken);
    }
    place.send_token(dressed(json!({"typ": "ID"}))).expect_issued();
}

/// The token that the provider sends to a client's back channel when alice logs out.
fn real_logout_token(idp: &Idp) -> String {
    let (send, receive) = mpsc::channel();
    let router = Router::new().route(
        "/logout",
        on_post(move |body: String| async move {
            send.send(body).expect("the test waits");
        }),
    );
    let listener = runtime()
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("loopback has a free port");
    let receiver = format!(
        "http://{}/logout",
        listener.local_addr().expect("a bound listener has an address")
    );
    runtime().spawn(async move { axum::serve(listener, router).await });
    idp.set(&json!({"backchannelUri": receiver}));
    idp.back_channel_logout("alice", CLIENT_ID);
    let form = receive
        .recv_timeout(Duration::from_secs(10))
        .expect("the provider sends a logout token");
    form.strip_prefix("logout_token=").expect("a form").to_owned()
}
