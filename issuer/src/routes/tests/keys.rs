//! The exchange beside a provider that comes and goes and changes its keys, over real TLS.

use fakes::SigningKey;

use super::*;
use crate::key_source::tests::{METADATA, Provider, wait};

/// An issuer that trusts this provider and has asked it nothing yet.
fn trusting(provider: &Provider) -> Issuance {
    let issuance = Issuance::configured(|yaml| {
        let ca: String = provider
            .ca
            .lines()
            .map(|line| format!("        {line}\n"))
            .collect();
        let ca = format!(
            "\"{}\"\n      certificateAuthority: |\n{ca}",
            provider.idp.issuer()
        );
        yaml.replacen(&format!("\"{ISSUER}\"\n"), &ca, 1)
    });
    let issuer = Arc::clone(&issuance.app.current.load().issuer);
    let keys = Arc::new(KeySources::new(&issuer.idps).unwrap());
    issuance.app.current.store(Arc::new(Active {
        issuer,
        keys,
        webhook_clients: [].into(),
        detection: Arc::default(),
    }));
    issuance
}

fn from(provider: &Provider) -> Ask {
    let mut ask = Ask::with_claims(json!({"iss": provider.idp.issuer()}));
    ask.token = Some(provider.idp.sign("ES256", &ask.claims));
    ask
}

/// A token by a key that was not published at first.
fn by_new_key(provider: &Provider, key: &SigningKey) -> Ask {
    let mut ask = Ask::with_claims(json!({"iss": provider.idp.issuer()}));
    let header = json!({"alg": "ES256", "kid": "new"}).to_string();
    let token = fakes::compact(&header, &ask.claims.to_string(), |message| {
        key.sign("ES256", message)
    });
    ask.token = Some(token);
    ask
}

#[tokio::test]
async fn a_provider_that_was_down_at_start_is_unavailable_until_it_works() {
    let provider = Provider::start().await;
    provider.answer_with(METADATA, 503, None, "");
    let issuance = trusting(&provider);
    issuance
        .ask(&from(&provider))
        .await
        .is_refused(503, "idp_unavailable");
    let metadata = provider.idp.metadata(&format!("{}/jwks", provider.idp.issuer()));
    provider.answer(METADATA, &metadata.to_string());
    wait(Duration::from_secs(11)).await;
    issuance.ask(&from(&provider)).await.is_issued();
}

#[tokio::test]
async fn a_request_goes_on_with_the_configuration_it_began_with() {
    let provider = Provider::start().await;
    let mut issuance = trusting(&provider);
    let current = Arc::clone(&issuance.app.current);
    let without_the_provider = Issuance::new().app.current.load_full();
    // The first look at the clock, in the middle of the request, is the moment of a reload; then keys are waited for.
    issuance.app.clock = Arc::new(move || {
        current.store(Arc::clone(&without_the_provider));
        NOW
    });
    issuance.ask(&from(&provider)).await.is_issued();
    issuance
        .ask(&from(&provider))
        .await
        .is_refused(401, "unknown_idp");
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let provider = Provider::start().await;
    let issuance = trusting(&provider);
    issuance.ask(&from(&provider)).await.is_issued();
    let key = SigningKey::p256();
    issuance
        .ask(&by_new_key(&provider, &key))
        .await
        .is_refused(401, "unknown_key");
    let mut keys = provider.idp.jwks();
    let mut jwk = key.public_jwk();
    jwk["kid"] = json!("new");
    keys["keys"].as_array_mut().unwrap().push(jwk);
    provider.answer("/jwks", &keys.to_string());
    issuance
        .ask(&by_new_key(&provider, &key))
        .await
        .is_refused(401, "unknown_key");
    assert_eq!(provider.times_asked(), 1, "it is left alone for 10 s");
    wait(Duration::from_secs(11)).await;
    issuance.ask(&by_new_key(&provider, &key)).await.is_issued();
    assert_eq!(provider.times_asked(), 2);
}

#[tokio::test]
async fn keys_are_fetched_for_logouts_too() {
    let provider = Provider::start().await;
    let mut ask = from(&provider);
    ask.raw_body = Some(json!({"token": ask.token}).to_string());
    let answer = trusting(&provider).ask_at("/v1/logout", &ask).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);

    let claims = json!({
        "iss": provider.idp.issuer(), "aud": CLIENT, "sub": "subject-1", "iat": NOW, "jti": "j-1",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let request =
        Request::post("/v1/backchannel-logout").header("Content-Type", "application/x-www-form-urlencoded");
    let body = format!("logout_token={}", provider.idp.sign("ES256", &claims));
    let answer = trusting(&provider)
        .send(request.body(Body::from(body)).unwrap())
        .await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn known_keys_serve_through_an_outage_and_unknown_ones_are_not_guessed_about() {
    let provider = Provider::start().await;
    let issuance = trusting(&provider);
    issuance.ask(&from(&provider)).await.is_issued();
    provider.answer_with(METADATA, 503, None, "");
    wait(Duration::from_secs(11)).await;
    issuance.ask(&from(&provider)).await.is_issued();
    let key = SigningKey::p256();
    issuance
        .ask(&by_new_key(&provider, &key))
        .await
        .is_refused(503, "idp_unavailable");
}
