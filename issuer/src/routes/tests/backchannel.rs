//! `POST /v1/backchannel-logout`: only the provider ends sessions, and only by a logout token.

use gatepass_api::revocation::{Subject, Target};
use serde_json::json;

use super::*;

const PATH: &str = "/v1/backchannel-logout";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "subject-1", "iat": NOW, "exp": NOW + 120, "jti": "j-1", "sid": "s-1",
        "events": {EVENT: {}},
    })
}

fn changed(changes: &Value) -> Value {
    let mut claims = claims();
    merge(&mut claims, changes);
    claims
}

fn signed(claims: &Value) -> String {
    IDP.sign_with_header(
        &json!({"alg": "ES256", "kid": "p256", "typ": "logout+jwt"}),
        claims,
    )
}

async fn post_form(issuance: &Issuance, body: String) -> (u16, Value) {
    let request = Request::post(PATH).header("Content-Type", "application/x-www-form-urlencoded");
    let response = issuance.send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn post(issuance: &Issuance, token: &str) -> (u16, Value) {
    post_form(issuance, format!("logout_token={token}")).await
}

/// It was refused with these words, and nobody's sessions ended.
#[track_caller]
fn assert_refused(issuance: &Issuance, (status, body): &(u16, Value), words: &str) {
    assert_eq!(
        (*status, &body["error"]),
        (400, &json!("invalid_request")),
        "{body}"
    );
    let description = body["error_description"].as_str().unwrap();
    assert!(
        description.contains(words),
        "{description:?} does not say {words:?}"
    );
    assert!(issuance.revoked().is_empty());
}

async fn refused(token: &str, words: &str) {
    let issuance = Issuance::new();
    let answer = post(&issuance, token).await;
    assert_refused(&issuance, &answer, words);
}

async fn refused_claims(changes: Value, words: &str) {
    refused(&signed(&changed(&changes)), words).await;
}

async fn accepted(token: &str) -> Revocation {
    let issuance = Issuance::new();
    assert_eq!(post(&issuance, token).await.0, 200);
    issuance.revoked().remove(0)
}

#[tokio::test]
async fn a_logout_revokes_the_subjects_sessions_until_they_would_have_ended() {
    let issuance = Issuance::new();
    let uid = issuance.ask(&Ask::new()).await.is_issued()["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(post(&issuance, &signed(&claims())).await, (200, Value::Null));
    let [revocation] = &issuance.revoked()[..] else {
        panic!()
    };
    assert_eq!(revocation.metadata.name, format!("backchannel-{uid}"));
    let spec = &revocation.spec;
    let subject = Subject {
        issuer: ISSUER.into(),
        subject: "subject-1".into(),
    };
    assert_eq!(spec.target, Target::Subject(subject));
    assert_eq!(spec.logged_in_before.as_deref(), Some("2026-09-21T14:13:20Z"));
    assert_eq!(spec.expires_at.as_deref(), Some("2026-09-22T02:14:50Z"));
    assert!(!spec.block_issuance);
}

#[tokio::test]
async fn a_later_logout_moves_the_time_on_and_an_earlier_one_not_back() {
    let issuance = Issuance::new();
    for (iat, before) in [
        (NOW - 100, "14:11:40"),
        (NOW, "14:13:20"),
        (NOW - 200, "14:13:20"),
        (NOW, "14:13:20"),
    ] {
        assert_eq!(
            post(&issuance, &signed(&changed(&json!({"iat": iat})))).await.0,
            200
        );
        let [revocation] = &issuance.revoked()[..] else {
            panic!()
        };
        let expected = format!("2026-09-21T{before}Z");
        assert_eq!(revocation.spec.logged_in_before, Some(expected));
    }
}

#[tokio::test]
async fn other_parameters_and_claims_are_ignored() {
    let issuance = Issuance::new();
    let token = signed(&changed(&json!({"typ": "Logout", "acr": "x"})));
    assert_eq!(
        post_form(&issuance, format!("a=b&logout_token={token}&c=d"))
            .await
            .0,
        200
    );
    assert_eq!(issuance.revoked().len(), 1);
}

#[tokio::test]
async fn what_providers_differ_in_is_accepted() {
    accepted(&signed(&changed(&json!({"exp": null})))).await;
    accepted(&signed(&changed(&json!({"sid": null})))).await;
    accepted(&signed(&changed(&json!({"aud": ["another", CLIENT]})))).await;
    accepted(&IDP.sign("RS256", &claims())).await;
    accepted(&IDP.sign_with_header(&json!({"alg": "EdDSA", "kid": "ed25519"}), &claims())).await;
}

#[tokio::test]
async fn a_body_without_exactly_one_token_is_refused() {
    let token = signed(&claims());
    for body in [
        String::new(),
        "token=a".into(),
        format!("logout_token={token}&logout_token={token}"),
        json!({"logout_token": token}).to_string(),
    ] {
        let issuance = Issuance::new();
        let answer = post_form(&issuance, body).await;
        assert_refused(&issuance, &answer, "exactly one parameter");
    }
}

#[tokio::test]
async fn a_body_of_another_type_or_too_long_is_refused() {
    let issuance = Issuance::new();
    let body = format!("logout_token={}", signed(&claims()));
    let request = Request::post(PATH).header("Content-Type", "application/json");
    let response = issuance.send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let answer = post(&issuance, &"a".repeat(257 * 1024)).await;
    assert_refused(&issuance, &answer, "longer than 256 KiB");
    let answer = post(&issuance, &"a".repeat(65 * 1024)).await;
    assert_refused(&issuance, &answer, "longer than 64 KiB");
}

#[tokio::test]
async fn a_token_that_is_no_jws_or_ambiguous_is_refused() {
    for token in ["", "a", "a.b.c", "e30.e30."] {
        refused(token, "malformed").await;
    }
    let header = r#"{"alg":"ES256","kid":"p256"}"#;
    let twice = claims().to_string().replacen('{', r#"{"sub":"another","#, 1);
    refused(&IDP.sign_text("ES256", header, &twice), "occurs twice").await;
    let twice = r#"{"alg":"ES256","kid":"p256","kid":"p256"}"#;
    refused(
        &IDP.sign_text("ES256", twice, &claims().to_string()),
        "occurs twice",
    )
    .await;
}

#[tokio::test]
async fn a_token_that_must_be_understood_further_is_refused() {
    let header = json!({"alg": "ES256", "kid": "p256", "crit": ["exp"]});
    refused(&IDP.sign_with_header(&header, &claims()), "`crit`").await;
}

#[tokio::test]
async fn a_token_of_another_type_is_refused() {
    for typ in ["at+jwt", "dpop+jwt", "secevent+jwt", ""] {
        let header = json!({"alg": "ES256", "kid": "p256", "typ": typ});
        refused(&IDP.sign_with_header(&header, &claims()), "`typ`").await;
    }
}

#[tokio::test]
async fn a_token_of_another_provider_is_refused() {
    refused_claims(json!({"iss": "https://unknown.test"}), "not configured").await;
    refused_claims(json!({"iss": null}), "`iss`").await;
}

#[tokio::test]
async fn a_token_that_the_provider_did_not_sign_is_refused() {
    refused(&OTHER_IDP.sign("ES256", &claims()), "signature").await;
    refused(
        &fakes::unsigned(&json!({"alg": "none"}), &claims()),
        "accepted are",
    )
    .await;
    let mut token = signed(&claims());
    token.truncate(token.rfind('.').unwrap() + 1);
    refused(&token, "signature").await;
    let public = IDP.key("ES256").1.public_der();
    let header = json!({"alg": "HS256", "kid": "p256"}).to_string();
    let hmac = fakes::compact(&header, &claims().to_string(), |_| public);
    refused(&hmac, "accepted are").await;
    let header = json!({"alg": "ES256", "kid": "another"});
    refused(
        &IDP.sign_with_header(&header, &claims()),
        "not exactly one published key",
    )
    .await;
}

#[tokio::test]
async fn a_token_for_another_client_is_refused() {
    refused_claims(json!({"aud": "another"}), "`aud`").await;
    refused_claims(json!({"aud": []}), "`aud`").await;
    refused_claims(json!({"aud": null}), "`aud`").await;
    refused_claims(json!({"aud": [CLIENT, 1]}), "`aud`").await;
}

#[tokio::test]
async fn a_token_from_the_future_or_too_old_is_refused() {
    refused_claims(json!({"iat": NOW + 31}), "valid only in 31 s").await;
    accepted(&signed(&changed(&json!({"iat": NOW + 30})))).await;
    refused_claims(json!({"iat": NOW - 301}), "301 s ago").await;
    accepted(&signed(&changed(&json!({"iat": NOW - 300})))).await;
    refused_claims(json!({"iat": null}), "`iat`").await;
    refused_claims(json!({"iat": "now"}), "`iat`").await;
}

#[tokio::test]
async fn a_token_that_has_expired_is_refused() {
    refused_claims(json!({"exp": NOW - 30}), "expired").await;
    accepted(&signed(&changed(&json!({"exp": NOW - 29})))).await;
    refused_claims(json!({"exp": "never"}), "`exp`").await;
}

#[tokio::test]
async fn a_token_without_its_id_is_refused() {
    for id in [json!(null), json!(""), json!(1)] {
        refused_claims(json!({"jti": id}), "`jti`").await;
    }
}

#[tokio::test]
async fn a_token_without_the_event_is_refused() {
    for events in [
        json!(null),
        json!({}),
        json!([EVENT]),
        json!({EVENT: true}),
        json!({EVENT: null}),
        json!({"http://schemas.openid.net/event/another": {}}),
    ] {
        refused_claims(json!({"events": events}), "`events`").await;
    }
}

#[tokio::test]
async fn an_id_token_is_no_logout_token() {
    let ask = Ask::new();
    refused(&IDP.sign("ES256", &ask.claims), "`events`").await;
    refused_claims(json!({"nonce": "n"}), "`nonce`").await;
}

#[tokio::test]
async fn a_session_at_the_provider_alone_names_nobody() {
    refused_claims(json!({"sub": null}), "a `sid` alone ends nothing").await;
    refused_claims(json!({"sub": ""}), "no subject").await;
    refused_claims(json!({"sub": "s".repeat(1025)}), "no subject").await;
}

#[tokio::test]
async fn a_provider_whose_keys_are_not_known_is_asked_to_try_again() {
    let issuance = Issuance::new();
    let active = issuance.app.current.load_full();
    let keys = KeySources::with_keys(&active.issuer.idps, |_| None);
    issuance.app.current.store(Arc::new(Active {
        keys: Arc::new(keys),
        ..Active::clone(&active)
    }));
    let (status, body) = post(&issuance, &signed(&claims())).await;
    assert_eq!((status, &body["error"]), (503, &json!("temporarily_unavailable")));
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_our_fault_and_says_nothing() {
    let issuance = Issuance::new();
    std::fs::remove_dir(issuance.revocations()).unwrap();
    let (status, body) = post(&issuance, &signed(&claims())).await;
    assert_eq!((status, &body["error"]), (500, &json!("server_error")));
    assert!(!body.to_string().contains("revocations/"), "{body}");
}

#[tokio::test]
async fn both_ends_are_recorded() {
    let issuance = Issuance::new();
    post(&issuance, &signed(&claims())).await;
    post(&issuance, &signed(&changed(&json!({"nonce": "n"})))).await;
    // One that is waited for comes after all that were not.
    issuance.ask(&Ask::new()).await.is_issued();
    let records = issuance.memory.records();
    assert_eq!(records[0]["event"], "subject.logged-out");
    assert_eq!(
        (&records[0]["subject"], &records[0]["tokenId"]),
        (&json!("subject-1"), &json!("j-1"))
    );
    assert_eq!(records[1]["event"], "backchannel-logout.refused");
    assert_eq!(records[1]["identityProvider"], ISSUER);
}
