use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

fn idp() -> PinnedIdp {
    PinnedIdp {
        issuer: "https://idp".into(),
        client_id: "k".into(),
        scopes: vec![],
        certificate_authority: None,
        max_token_age_seconds: 600,
    }
}

/// What a refresh whose ID token has `change`d claims yields.
fn refreshed(change: Value) -> Tokens {
    let mut claims =
        json!({"iss": "https://idp", "aud": "k", "sub": "s", "iat": 1000, "exp": 1060, "nonce": "n"});
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let id_token = format!(
        "{}.{}.{}",
        part(&json!({"alg": "RS256"})),
        part(&claims),
        URL_SAFE_NO_PAD.encode("sig")
    );
    let response = json!({"access_token": "a", "token_type": "Bearer", "refresh_token": "ROTATED", "id_token": id_token});
    let response: CoreTokenResponse = serde_json::from_value(response).unwrap();
    let issuer = IssuerUrl::new("https://idp".into()).unwrap();
    let client = CoreClient::new(ClientId::new("k".into()), issuer, CoreJsonWebKeySet::default());
    check(
        &idp(),
        &response,
        client
            .id_token_verifier()
            .allow_any_alg()
            .insecure_disable_signature_check(),
        "n",
    )
}

#[test]
fn the_rotated_refresh_token_is_returned_whatever_is_wrong_with_the_id_token() {
    for wrong in [
        json!({"iss": "https://other"}),
        json!({"aud": "other"}),
        json!({"nonce": "of another login"}),
    ] {
        let tokens = refreshed(wrong.clone());
        assert!(
            matches!(tokens.id_token, Some(Err(OidcError::Token { .. }))),
            "{wrong}"
        );
        assert_eq!(tokens.refresh_token.unwrap().expose(), "ROTATED");
    }
}

#[test]
fn when_a_token_ends_is_the_issuers_business_with_its_own_clock() {
    assert!(refreshed(json!({"exp": 1001})).id_token.unwrap().is_ok());
}

#[test]
fn a_missing_nonce_is_reported_and_a_further_audience_is_left_to_the_issuer() {
    let checked = refreshed(json!({"aud": ["k", "other"], "nonce": null}))
        .id_token
        .unwrap()
        .ok()
        .unwrap();
    assert!(!checked.has_nonce);
    assert_eq!((checked.subject.as_str(), checked.iat), ("s", 1000));
}

/// A provider with this metadata beyond what every provider has.
fn provider(idp: PinnedIdp, names_itself: bool) -> Provider {
    let metadata = json!({
        "issuer": "https://idp", "authorization_endpoint": "https://idp/auth", "token_endpoint": "https://idp/token",
        "jwks_uri": "https://idp/jwks", "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"], "authorization_response_iss_parameter_supported": names_itself
    });
    let metadata: Metadata = serde_json::from_value(metadata).unwrap();
    Provider {
        idp,
        http: http::client(None).unwrap(),
        token_endpoint: "https://idp/token".into(),
        revocation_endpoint: None,
        names_itself: metadata
            .additional_metadata()
            .authorization_response_iss_parameter_supported,
        client: CoreClient::from_provider_metadata(metadata, ClientId::new("k".into()), None),
    }
}

fn loopback() -> Url {
    Url::parse("http://127.0.0.1:1/callback").unwrap()
}

#[tokio::test]
async fn a_redirect_from_another_provider_is_refused_before_the_code_is_used() {
    let (naming, silent) = (provider(idp(), true), provider(idp(), false));
    for (provider, iss) in [
        (&naming, None),
        (&naming, Some("https://evil")),
        (&naming, Some("https://idp/")),
        (&silent, Some("https://evil")),
    ] {
        let authorization = provider.authorize(&loopback(), "n".into());
        let redirect = Redirect {
            outcome: Ok("code".into()),
            iss: iss.map(str::to_owned),
        };
        let refused = provider.redeem(authorization, redirect).await;
        assert!(matches!(refused, Err(OidcError::MixUp { .. })), "{iss:?}");
    }
}

#[tokio::test]
async fn an_authorization_asks_for_a_code_with_pkce_state_nonce_and_consent_for_offline_access() {
    let scopes = vec!["openid".into(), "offline_access".into()];
    let provider = provider(PinnedIdp { scopes, ..idp() }, true);
    let authorization = provider.authorize(&loopback(), "n0nce".into());
    let query: std::collections::HashMap<_, _> = authorization.url.query_pairs().into_owned().collect();
    let expected = [
        ("response_type", "code"),
        ("client_id", "k"),
        ("redirect_uri", loopback().as_str()),
        ("scope", "openid offline_access"),
        ("nonce", "n0nce"),
        ("code_challenge_method", "S256"),
        ("prompt", "consent"),
        ("state", &authorization.state),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    for (name, value) in expected {
        assert_eq!(query.get(name), Some(&value), "{name}");
    }
    assert!(authorization.state.len() >= 22 && query["code_challenge"].len() == 43);
}

#[test]
fn a_revocation_endpoint_that_no_token_may_be_sent_to_is_as_good_as_none() {
    let usable = |endpoint| revoke::usable(Some(endpoint));
    assert_eq!(
        usable("https://idp/revoke").as_deref(),
        Some("https://idp/revoke")
    );
    assert_eq!(
        (
            usable("http://idp/revoke"),
            usable("not a URL"),
            revoke::usable(None)
        ),
        (None, None, None)
    );
}

#[tokio::test]
async fn a_refresh_token_is_never_sent_without_tls() {
    let refused = revoke(&idp(), None, "http://127.0.0.1:1/revoke", &Token::new("t".into())).await;
    assert!(matches!(refused, Err(OidcError::Metadata { .. })), "{refused:?}");
}
