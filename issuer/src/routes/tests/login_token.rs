//! The login token is the grant: checked in full, but for `exp` and freshness.

use fakes::{SigningKey, compact, unsigned};

use super::*;

/// A request with this text as login token.
fn with_text(make: impl FnOnce(&Value) -> String) -> Ask {
    let mut ask = Ask::with_login_token(json!({}));
    ask.login_token = ask.login_claims.as_ref().map(make);
    ask
}

async fn invalid(ask: Ask) {
    refused(ask, 401, "login_token_invalid").await;
}

#[tokio::test]
async fn an_old_expired_login_token_carries_a_fresh_token_without_nonce() {
    let mut ask = Ask::new();
    ask.login = Login::new((NOW - 40_000).unsigned_abs());
    ask.claims = claims(&ask.login);
    let mut login_claims = ask.claims.clone();
    merge(&mut ask.claims, &json!({"nonce": null}));
    merge(
        &mut login_claims,
        &json!({"iat": NOW - 40_000, "exp": NOW - 39_700}),
    );
    ask.login_claims = Some(login_claims);
    let issuance = Issuance::new();
    let answer = issuance.ask(&ask).await;
    assert_eq!(answer.is_issued()["bound"], true);
}

#[tokio::test]
async fn the_login_token_does_not_stand_in_for_a_fresh_id_token() {
    let mut ask = Ask::with_login_token(json!({}));
    merge(&mut ask.claims, &json!({"exp": NOW - 31}));
    refused(ask, 401, "token_expired").await;
}

#[tokio::test]
async fn a_login_token_above_64_kib_is_too_large() {
    refused(
        Ask::with_login_token(json!({"padding": "a".repeat(50_000)})),
        413,
        "too_large",
    )
    .await;
}

#[tokio::test]
async fn a_malformed_login_token_is_invalid() {
    for text in ["", "a.b.c", "e30.e30.e30"] {
        invalid(with_text(|_| text.to_owned())).await;
    }
}

#[tokio::test]
async fn a_login_token_with_a_bad_signature_is_invalid() {
    let key = SigningKey::p256();
    let header = json!({"alg": "ES256", "kid": "p256"}).to_string();
    invalid(with_text(|claims| {
        compact(&header, &claims.to_string(), |message| key.sign("ES256", message))
    }))
    .await;
}

#[tokio::test]
async fn a_login_token_without_signature_is_invalid() {
    invalid(with_text(|claims| unsigned(&json!({"alg": "none"}), claims))).await;
}

#[tokio::test]
async fn a_login_token_whose_key_is_no_longer_published_is_invalid() {
    let key = SigningKey::p256();
    let header = json!({"alg": "ES256", "kid": "withdrawn"}).to_string();
    invalid(with_text(|claims| {
        compact(&header, &claims.to_string(), |message| key.sign("ES256", message))
    }))
    .await;
}

#[tokio::test]
async fn an_access_token_as_login_token_is_invalid() {
    invalid(with_text(|claims| {
        IDP.sign_with_header(&json!({"alg": "ES256", "kid": "p256", "typ": "at+jwt"}), claims)
    }))
    .await;
}

#[tokio::test]
async fn a_logout_token_as_login_token_is_invalid() {
    invalid(Ask::with_login_token(json!({"events": {}}))).await;
}

#[tokio::test]
async fn a_login_token_of_another_audience_or_party_is_invalid() {
    invalid(Ask::with_login_token(json!({"aud": "other"}))).await;
    invalid(Ask::with_login_token(json!({"azp": "other"}))).await;
    invalid(Ask::with_login_token(json!({"aud": [CLIENT, "other"]}))).await;
}

#[tokio::test]
async fn a_login_token_of_another_subject_is_invalid() {
    invalid(Ask::with_login_token(json!({"sub": "subject-2"}))).await;
}

#[tokio::test]
async fn a_login_token_of_another_client_is_invalid() {
    let issuance = Issuance::configured(|yaml| {
        yaml.replace(r#"audiences: ["gatepass"]"#, "audiences: [gatepass, second]")
            .replace(
                "      binding: required",
                "      binding: required\n    - clientId: second",
            )
    });
    let ask = Ask::with_login_token(json!({"aud": "second"}));
    issuance.ask(&ask).await.is_refused(401, "login_token_invalid");
}

#[tokio::test]
async fn a_login_token_of_another_configured_provider_is_invalid() {
    let issuance = super::two_providers();
    let mut ask = Ask::with_login_token(json!({"iss": OTHER_ISSUER}));
    ask.login_token = ask
        .login_claims
        .as_ref()
        .map(|claims| OTHER_IDP.sign("ES256", claims));
    let answer = issuance.ask(&ask).await;
    answer.is_refused(401, "login_token_invalid");
    assert_eq!(
        answer.body["detail"],
        "the login token and the ID token have different `iss`"
    );
}

#[tokio::test]
async fn a_login_token_that_names_an_unknown_provider_is_invalid() {
    invalid(Ask::with_login_token(json!({"iss": "https://evil.test"}))).await;
}

#[tokio::test]
async fn a_login_token_of_another_session_at_the_provider_is_invalid() {
    let mut ask = Ask::with_login_token(json!({"sid": "one"}));
    ask.claims["sid"] = json!("two");
    invalid(ask).await;
}

#[tokio::test]
async fn a_sid_in_one_token_only_or_the_same_in_both_is_accepted() {
    let issuance = Issuance::new();
    issuance
        .ask(&Ask::with_login_token(json!({"sid": "one"})))
        .await
        .is_issued();
    let mut ask = Ask::with_login_token(json!({}));
    ask.claims["sid"] = json!("one");
    issuance.ask(&ask).await.is_issued();
    let mut ask = Ask::with_login_token(json!({"sid": "one"}));
    ask.claims["sid"] = json!("one");
    issuance.ask(&ask).await.is_issued();
}

#[tokio::test]
async fn a_login_token_from_the_future_is_invalid() {
    invalid(Ask::with_login_token(json!({"iat": NOW + 31}))).await;
    invalid(Ask::with_login_token(json!({"nbf": NOW + 31}))).await;
}

#[tokio::test]
async fn a_login_token_is_checked_in_full_beside_a_bound_id_token() {
    let ask = Ask::new();
    let mut login_claims = claims(&ask.login);
    login_claims["aud"] = json!("other");
    invalid(Ask {
        login_claims: Some(login_claims),
        ..ask
    })
    .await;
}
