//! The ID token: form, provider, signature, audience, party, times.

use aws_lc_rs::hmac;
use fakes::{SigningKey, b64, compact, unsigned};

use super::*;

fn header(alg: &str) -> Value {
    json!({"alg": alg, "kid": IDP.key(alg).0, "typ": "JWT"})
}

/// An otherwise honest request with a token over its claims, made by `sign`.
fn signed(sign: impl FnOnce(&Value) -> String) -> Ask {
    let ask = Ask::new();
    let token = sign(&ask.claims);
    Ask {
        token: Some(token),
        ..ask
    }
}

#[tokio::test]
async fn a_token_above_64_kib_is_too_large() {
    refused(
        Ask::with_claims(json!({"padding": "a".repeat(50_000)})),
        413,
        "too_large",
    )
    .await;
}

#[tokio::test]
async fn a_token_just_below_64_kib_is_accepted() {
    let ask = Ask::with_claims(json!({"padding": "a".repeat(48_000)}));
    Issuance::new().ask(&ask).await.is_issued();
}

#[tokio::test]
async fn a_token_of_two_parts_is_malformed() {
    refused(Ask::with_token("e30.e30".into()), 400, "malformed_token").await;
}

#[tokio::test]
async fn a_token_of_four_parts_is_malformed() {
    refused(
        signed(|claims| format!("{}.e30", IDP.sign("ES256", claims))),
        400,
        "malformed_token",
    )
    .await;
}

#[tokio::test]
async fn a_token_with_base64_padding_is_malformed() {
    refused(
        signed(|claims| format!("{}==", IDP.sign("ES256", claims))),
        400,
        "malformed_token",
    )
    .await;
}

#[tokio::test]
async fn a_token_with_unused_bits_that_are_not_zero_is_malformed() {
    // 64 bytes of signature leave 4 unused bits in the last character.
    let ask = signed(|claims| {
        let mut token = IDP.sign("ES256", claims);
        let last = token.pop().unwrap();
        token.push(char::from(u8::try_from(last).unwrap() + 1));
        token
    });
    refused(ask, 400, "malformed_token").await;
}

#[tokio::test]
async fn a_token_with_a_duplicate_claim_is_malformed() {
    let ask = signed(|claims| {
        let twice = claims.to_string().replacen('{', r#"{"sub":"subject-2","#, 1);
        IDP.sign_text("ES256", &header("ES256").to_string(), &twice)
    });
    refused(ask, 400, "malformed_token").await;
}

#[tokio::test]
async fn a_token_with_a_duplicate_header_member_is_malformed() {
    let ask = signed(|claims| {
        let twice = header("ES256").to_string().replacen('{', r#"{"alg":"none","#, 1);
        IDP.sign_text("ES256", &twice, &claims.to_string())
    });
    refused(ask, 400, "malformed_token").await;
}

#[tokio::test]
async fn a_token_nested_deeper_than_32_is_malformed() {
    let deep = |levels| (0..levels).fold(json!(1), |value, _| json!([value]));
    refused(
        Ask::with_claims(json!({"deep": deep(32)})),
        400,
        "malformed_token",
    )
    .await;
    Issuance::new()
        .ask(&Ask::with_claims(json!({"deep": deep(31)})))
        .await
        .is_issued();
}

#[tokio::test]
async fn a_token_with_a_list_above_1000_is_malformed() {
    let long = |count| json!({"list": vec![0; count]});
    refused(Ask::with_claims(long(1001)), 400, "malformed_token").await;
    Issuance::new()
        .ask(&Ask::with_claims(long(1000)))
        .await
        .is_issued();
}

#[tokio::test]
async fn a_token_with_crit_is_malformed() {
    let mut header = header("ES256");
    header["crit"] = json!(["exp"]);
    header["exp"] = json!(NOW + 60);
    refused(
        signed(|claims| IDP.sign_with_header(&header, claims)),
        400,
        "malformed_token",
    )
    .await;
}

#[tokio::test]
async fn a_token_with_a_private_key_in_its_header_is_malformed() {
    for private in [
        json!({"jwk": {"kty": "EC", "d": "AA"}}),
        json!({"d": "AA"}),
        json!({"jwk": {"kty": "oct", "k": "AA"}}),
    ] {
        let mut header = header("ES256");
        merge(&mut header, &private);
        refused(
            signed(|claims| IDP.sign_with_header(&header, claims)),
            400,
            "malformed_token",
        )
        .await;
    }
}

#[tokio::test]
async fn unknown_header_members_and_claims_are_ignored() {
    let header = json!({"alg": "ES256", "kid": "p256", "typ": "jwt", "jku": "https://evil.test", "x5c": ["AA"],
        "jwk": SigningKey::p256().public_jwk(), "b64": false});
    let ask = signed(|claims| IDP.sign_with_header(&header, claims));
    Issuance::new().ask(&ask).await.is_issued();
}

#[tokio::test]
async fn a_token_whose_key_is_only_in_its_header_has_a_bad_signature() {
    let key = SigningKey::p256();
    let header = json!({"alg": "ES256", "kid": "p256", "jwk": key.public_jwk()}).to_string();
    let ask = signed(|claims| compact(&header, &claims.to_string(), |message| key.sign("ES256", message)));
    refused(ask, 401, "bad_signature").await;
}

#[tokio::test]
async fn a_token_without_a_required_claim_is_malformed() {
    for claim in ["iss", "sub", "aud", "exp", "iat"] {
        refused(Ask::with_claims(json!({claim: null})), 400, "malformed_token").await;
    }
}

#[tokio::test]
async fn a_token_with_a_claim_of_the_wrong_type_is_malformed() {
    for claims in [
        json!({"iss": 1}),
        json!({"sub": ["subject-1"]}),
        json!({"sub": ""}),
        json!({"aud": 1}),
        json!({"aud": [CLIENT, 1]}),
        json!({"azp": [CLIENT]}),
        json!({"exp": "1790003600"}),
        json!({"exp": 1e300}),
        json!({"iat": -1}),
        json!({"nbf": "now"}),
        json!({"nonce": 1}),
        json!({"nonce": [""]}),
    ] {
        refused(Ask::with_claims(claims), 400, "malformed_token").await;
    }
}

#[tokio::test]
async fn a_null_nonce_is_not_an_absent_one() {
    let mut ask = Ask::with_login_token(json!({}));
    ask.claims["nonce"] = Value::Null;
    refused(ask, 400, "malformed_token").await;
}

#[tokio::test]
async fn a_token_of_an_issuer_that_is_not_configured_is_refused() {
    for issuer in ["https://evil.test", "https://idp.test/", "https://IDP.test", ""] {
        refused(Ask::with_claims(json!({"iss": issuer})), 401, "unknown_idp").await;
    }
}

#[tokio::test]
async fn alg_none_is_unsupported() {
    for alg in ["none", "None", "NONE", ""] {
        refused(
            signed(|claims| unsigned(&header(alg), claims)),
            401,
            "unsupported_algorithm",
        )
        .await;
    }
}

#[tokio::test]
async fn hs256_with_the_public_key_as_secret_is_unsupported() {
    for secret in [
        IDP.key("RS256").1.public_der(),
        IDP.jwks()["keys"][0]["n"].as_str().unwrap().into(),
    ] {
        let ask = signed(|claims| {
            let header = json!({"alg": "HS256", "kid": "rsa"}).to_string();
            compact(&header, &claims.to_string(), |message| {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message)
                    .as_ref()
                    .to_vec()
            })
        });
        refused(ask, 401, "unsupported_algorithm").await;
    }
}

#[tokio::test]
async fn other_algorithms_are_unsupported() {
    for alg in ["HS384", "ES512", "ES256K", "RS1", "rs256", "Ed25519", "RSA-OAEP"] {
        refused(
            signed(|claims| unsigned(&header(alg), claims)),
            401,
            "unsupported_algorithm",
        )
        .await;
    }
}

#[tokio::test]
async fn a_kid_of_a_key_of_another_type_is_an_unknown_key() {
    for (alg, kid) in [
        ("ES256", "rsa"),
        ("RS256", "p256"),
        ("ES384", "p256"),
        ("ES256", "p384"),
        ("EdDSA", "p256"),
    ] {
        let ask = signed(|claims| IDP.sign_with_header(&json!({"alg": alg, "kid": kid}), claims));
        refused(ask, 401, "unknown_key").await;
    }
}

#[tokio::test]
async fn a_token_signed_by_another_key_under_a_published_kid_has_a_bad_signature() {
    for alg in ["RS256", "PS384", "ES256", "ES384", "EdDSA"] {
        let key = SigningKey::for_alg(alg);
        let ask = signed(|claims| {
            compact(&header(alg).to_string(), &claims.to_string(), |message| {
                key.sign(alg, message)
            })
        });
        refused(ask, 401, "bad_signature").await;
    }
}

#[tokio::test]
async fn a_signature_of_another_rsa_algorithm_is_bad() {
    let ask = signed(|claims| IDP.sign_text("PS256", &header("RS256").to_string(), &claims.to_string()));
    refused(ask, 401, "bad_signature").await;
}

#[tokio::test]
async fn changed_claims_have_a_bad_signature() {
    let ask = signed(|claims| {
        let token = IDP.sign("ES256", claims);
        let mut parts: Vec<&str> = token.split('.').collect();
        let changed = b64(claims.to_string().replace("alice", "admin"));
        parts[1] = &changed;
        parts.join(".")
    });
    refused(ask, 401, "bad_signature").await;
}

#[tokio::test]
async fn an_empty_signature_is_bad() {
    refused(
        signed(|claims| unsigned(&header("ES256"), claims)),
        401,
        "bad_signature",
    )
    .await;
}

#[tokio::test]
async fn a_token_without_kid_is_accepted_while_one_published_key_fits() {
    let ask = signed(|claims| IDP.sign_with_header(&json!({"alg": "RS256"}), claims));
    Issuance::new().ask(&ask).await.is_issued();
}

#[tokio::test]
async fn an_access_token_by_its_header_is_not_an_id_token() {
    for typ in ["at+jwt", "application/at+jwt", "logout+jwt", "dpop+jwt", ""] {
        let header = json!({"alg": "ES256", "kid": "p256", "typ": typ});
        refused(
            signed(|claims| IDP.sign_with_header(&header, claims)),
            401,
            "not_an_id_token",
        )
        .await;
    }
}

#[tokio::test]
async fn a_logout_token_is_not_an_id_token() {
    let events = json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
    refused(Ask::with_claims(events), 401, "not_an_id_token").await;
}

#[tokio::test]
async fn a_token_whose_payload_names_another_kind_is_not_an_id_token() {
    for typ in [json!("Bearer"), json!("Refresh"), json!("id"), json!(1)] {
        refused(Ask::with_claims(json!({"typ": typ})), 401, "not_an_id_token").await;
    }
    Issuance::new()
        .ask(&Ask::with_claims(json!({"typ": "ID"})))
        .await
        .is_issued();
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused() {
    for audience in [
        json!("kubernetes"),
        json!(["kubernetes", "other"]),
        json!([]),
        json!("Gatepass"),
        json!(""),
    ] {
        refused(Ask::with_claims(json!({"aud": audience})), 401, "wrong_audience").await;
    }
}

#[tokio::test]
async fn a_token_for_another_audience_is_refused_though_its_azp_is_the_client() {
    refused(
        Ask::with_claims(json!({"aud": "kubernetes", "azp": CLIENT})),
        401,
        "wrong_audience",
    )
    .await;
}

#[tokio::test]
async fn a_token_for_another_party_is_refused() {
    for azp in ["other", "", "Gatepass"] {
        refused(Ask::with_claims(json!({"azp": azp})), 401, "wrong_party").await;
        refused(
            Ask::with_claims(json!({"azp": azp, "aud": [CLIENT, azp]})),
            401,
            "wrong_party",
        )
        .await;
    }
}

#[tokio::test]
async fn a_token_for_several_audiences_without_azp_is_refused() {
    refused(
        Ask::with_claims(json!({"aud": [CLIENT, "other"]})),
        401,
        "wrong_party",
    )
    .await;
    let ask = Ask::with_claims(json!({"aud": [CLIENT, "other"], "azp": CLIENT}));
    Issuance::new().ask(&ask).await.is_issued();
}

#[tokio::test]
async fn an_azp_that_is_another_client_outside_the_audience_is_refused() {
    let issuance = Issuance::configured(|yaml| {
        yaml.replace(r#"audiences: ["gatepass"]"#, "audiences: [gatepass, second]")
            .replace(
                "      binding: required",
                "      binding: required\n    - clientId: second",
            )
    });
    let ask = Ask::with_claims(json!({"azp": "second"}));
    issuance.ask(&ask).await.is_refused(401, "wrong_party");
    issuance
        .ask(&Ask::with_claims(json!({"aud": ["second"]})))
        .await
        .is_issued();
}

#[tokio::test]
async fn an_expired_token_is_refused_after_30_seconds_of_leeway() {
    refused(Ask::with_claims(json!({"exp": NOW - 30})), 401, "token_expired").await;
    // Within the leeway it is not expired; but then less than a minute would remain.
    let uncapped =
        Issuance::configured(|yaml| yaml.replace("capAtTokenExpiry: true", "capAtTokenExpiry: false"));
    uncapped
        .ask(&Ask::with_claims(json!({"exp": NOW - 30})))
        .await
        .is_refused(401, "token_expired");
    uncapped
        .ask(&Ask::with_claims(json!({"exp": NOW - 29})))
        .await
        .is_issued();
}

#[tokio::test]
async fn a_token_with_less_than_a_minute_left_is_refused() {
    refused(Ask::with_claims(json!({"exp": NOW + 59})), 401, "token_expired").await;
    let issuance = Issuance::new();
    let answer = issuance.ask(&Ask::with_claims(json!({"exp": NOW + 60}))).await;
    assert_eq!(answer.is_issued()["notAfter"], "2026-09-21T14:14:20Z");
}

#[tokio::test]
async fn a_token_whose_nbf_lies_ahead_is_refused() {
    refused(
        Ask::with_claims(json!({"nbf": NOW + 31})),
        401,
        "token_not_yet_valid",
    )
    .await;
    Issuance::new()
        .ask(&Ask::with_claims(json!({"nbf": NOW + 30})))
        .await
        .is_issued();
}

#[tokio::test]
async fn a_token_whose_iat_lies_ahead_is_refused() {
    refused(
        Ask::with_claims(json!({"iat": NOW + 31})),
        401,
        "token_not_yet_valid",
    )
    .await;
    // An `nbf` that has come does not help.
    refused(
        Ask::with_claims(json!({"iat": NOW + 31, "nbf": NOW})),
        401,
        "token_not_yet_valid",
    )
    .await;
    Issuance::new()
        .ask(&Ask::with_claims(json!({"iat": NOW + 30})))
        .await
        .is_issued();
}

/// A login an hour ago, and a token issued at `iat`.
fn issued_at(iat: i64) -> Ask {
    let mut ask = Ask::new();
    ask.login = Login::new(NOW.unsigned_abs() - 3600);
    ask.claims = claims(&ask.login);
    ask.claims["iat"] = json!(iat);
    ask
}

#[tokio::test]
async fn a_token_older_than_ten_minutes_is_not_fresh() {
    refused(issued_at(NOW - 601), 401, "token_not_fresh").await;
    Issuance::new().ask(&issued_at(NOW - 600)).await.is_issued();
}

#[tokio::test]
async fn freshness_is_per_provider() {
    let issuance = Issuance::configured(|yaml| yaml.replace("maxTokenAge: 10m", "maxTokenAge: 1m"));
    issuance
        .ask(&issued_at(NOW - 61))
        .await
        .is_refused(401, "token_not_fresh");
    issuance.ask(&issued_at(NOW - 60)).await.is_issued();
}
