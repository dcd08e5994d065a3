//! The proof: form, signature, and that it is about this request.

use fakes::{SessionKey, b64, unb64};

use super::*;

fn with_header(changes: Value) -> Ask {
    Ask {
        proof_header: changes,
        ..Ask::new()
    }
}

/// A request whose proof is what `make` makes of the honest one.
async fn with_proof(make: impl FnOnce(&Ask, String) -> Vec<String>) -> Answer {
    let issuance = Issuance::new();
    let mut ask = Ask::new();
    ask.raw_body = Some(ask.body());
    let honest = ask.proofs(issuance.cluster_id(), &ask.body()).remove(0);
    ask.raw_proofs = Some(make(&ask, honest));
    issuance.ask(&ask).await
}

#[tokio::test]
async fn a_request_without_proof_is_refused() {
    with_proof(|_, _| vec![]).await.is_refused(401, "missing_proof");
}

#[tokio::test]
async fn a_request_with_two_proofs_is_malformed() {
    with_proof(|_, honest| vec![honest.clone(), honest])
        .await
        .is_refused(400, "malformed_proof");
}

#[tokio::test]
async fn a_proof_above_8_kib_is_too_large() {
    refused(
        Ask::with_proof_claims(json!({"padding": "a".repeat(6000)})),
        413,
        "too_large",
    )
    .await;
    Issuance::new()
        .ask(&Ask::with_proof_claims(json!({"padding": "a".repeat(5000)})))
        .await
        .is_issued();
}

#[tokio::test]
async fn a_proof_that_is_no_jws_is_malformed() {
    for proof in ["", "a", "a.b.c", "e30.e30.", "e30.e30.e30.e30", "{}"] {
        with_proof(|_, _| vec![proof.into()])
            .await
            .is_refused(400, "malformed_proof");
    }
}

#[tokio::test]
async fn a_proof_with_base64_padding_is_malformed() {
    with_proof(|_, honest| vec![honest + "=="])
        .await
        .is_refused(400, "malformed_proof");
}

#[tokio::test]
async fn a_proof_with_a_duplicate_claim_is_malformed() {
    let answer = with_proof(|ask, honest| {
        let payload = String::from_utf8(unb64(honest.split('.').nth(1).unwrap())).unwrap();
        let twice = payload.replacen('{', r#"{"cluster":"x","#, 1);
        vec![
            ask.login
                .key
                .proof_text(&ask.login.key.proof_header().to_string(), &twice),
        ]
    });
    answer.await.is_refused(400, "malformed_proof");
}

#[tokio::test]
async fn a_proof_of_another_type_is_malformed() {
    for typ in [
        json!(null),
        json!("JWT"),
        json!("jwt"),
        json!("at+jwt"),
        json!("DPOP+JWT"),
        json!(1),
    ] {
        refused(with_header(json!({"typ": typ})), 400, "malformed_proof").await;
    }
}

#[tokio::test]
async fn a_proof_of_another_algorithm_is_malformed() {
    for alg in [
        json!(null),
        json!("none"),
        json!("HS256"),
        json!("ES384"),
        json!("EdDSA"),
        json!("RS256"),
    ] {
        refused(with_header(json!({"alg": alg})), 400, "malformed_proof").await;
    }
}

#[tokio::test]
async fn a_proof_with_crit_is_malformed() {
    refused(with_header(json!({"crit": ["htm"]})), 400, "malformed_proof").await;
}

#[tokio::test]
async fn a_proof_without_a_p256_key_in_its_header_is_malformed() {
    let x = b64([1; 32]);
    for jwk in [
        json!(null),
        json!("key"),
        json!({}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": x}),
        json!({"kty": "EC", "crv": "P-384", "x": x, "y": x}),
        json!({"kty": "EC", "crv": "P-256", "x": x}),
        json!({"kty": "EC", "crv": "P-256", "x": b64([1; 31]), "y": x}),
        json!({"kty": "EC", "crv": "P-256", "x": b64([1; 33]), "y": x}),
        json!({"kty": "EC", "crv": "P-256", "x": format!("{x}="), "y": x}),
        json!({"kty": "oct", "k": x}),
    ] {
        refused(with_header(json!({"jwk": jwk})), 400, "malformed_proof").await;
    }
}

#[tokio::test]
async fn a_proof_with_a_private_key_in_its_header_is_malformed() {
    let ask = Ask::new();
    let mut jwk = ask.login.key.jwk();
    jwk["d"] = json!(b64([1; 32]));
    refused(
        Ask {
            proof_header: json!({"jwk": jwk}),
            ..ask
        },
        400,
        "malformed_proof",
    )
    .await;
}

#[tokio::test]
async fn a_proof_key_that_is_not_on_the_curve_does_not_verify() {
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64([1; 32]), "y": b64([1; 32])});
    refused(with_header(json!({"jwk": jwk})), 401, "bad_proof_signature").await;
}

#[tokio::test]
async fn other_members_of_the_proofs_key_and_header_are_ignored() {
    let ask = Ask::new();
    let mut jwk = ask.login.key.jwk();
    merge(&mut jwk, &json!({"kid": "x", "use": "sig", "alg": "ES256"}));
    let ask = Ask {
        proof_header: json!({"jwk": jwk, "kid": "y"}),
        proof_claims: json!({"ath": "z"}),
        ..ask
    };
    Issuance::new().ask(&ask).await.is_issued();
}

#[tokio::test]
async fn a_proof_without_a_claim_is_malformed() {
    for claim in ["htm", "htu", "iat", "jti", "cluster", "salt", "body"] {
        refused(
            Ask::with_proof_claims(json!({claim: null})),
            400,
            "malformed_proof",
        )
        .await;
    }
}

#[tokio::test]
async fn a_proof_with_a_claim_of_the_wrong_form_is_malformed() {
    for claims in [
        json!({"htm": 1}),
        json!({"iat": "now"}),
        json!({"iat": 1.5}),
        json!({"jti": ""}),
        json!({"jti": 7}),
        json!({"cluster": ["c"]}),
        json!({"salt": b64([0; 31])}),
        json!({"salt": b64([0; 33])}),
        json!({"salt": format!("{}=", b64([0; 32]))}),
        json!({"body": b64([0; 31])}),
        json!({"body": "not base64!"}),
    ] {
        refused(Ask::with_proof_claims(claims), 400, "malformed_proof").await;
    }
}

#[tokio::test]
async fn a_salt_with_unused_bits_that_are_not_zero_is_malformed() {
    let ask = Ask::new();
    let mut salt = b64(ask.login.salt);
    let last = u8::try_from(salt.pop().unwrap()).unwrap();
    salt.push(char::from(last + 1));
    refused(
        Ask {
            proof_claims: json!({"salt": salt}),
            ..ask
        },
        400,
        "malformed_proof",
    )
    .await;
}

#[tokio::test]
async fn a_jti_above_256_bytes_is_too_large() {
    refused(
        Ask::with_proof_claims(json!({"jti": "j".repeat(257)})),
        413,
        "too_large",
    )
    .await;
    Issuance::new()
        .ask(&Ask::with_proof_claims(json!({"jti": "j".repeat(256)})))
        .await
        .is_issued();
}

#[tokio::test]
async fn a_proof_that_its_key_did_not_sign_is_refused() {
    let thief = SessionKey::generate();
    refused(
        with_header(json!({"jwk": thief.jwk()})),
        401,
        "bad_proof_signature",
    )
    .await;
}

#[tokio::test]
async fn a_proof_with_changed_claims_is_refused() {
    let answer = with_proof(|_, honest| {
        let mut parts: Vec<String> = honest.split('.').map(str::to_owned).collect();
        let payload = String::from_utf8(unb64(&parts[1])).unwrap();
        parts[1] = b64(payload.replace("POST", "post"));
        vec![parts.join(".")]
    });
    answer.await.is_refused(401, "bad_proof_signature");
}

#[tokio::test]
async fn a_proof_for_another_method_is_refused() {
    for method in ["GET", "post", ""] {
        refused(
            Ask::with_proof_claims(json!({"htm": method})),
            401,
            "proof_wrong_url",
        )
        .await;
    }
}

#[tokio::test]
async fn a_proof_for_another_url_is_refused() {
    for url in [
        "https://other.test:8443/v1/certificates",
        "https://gatepass.test/v1/certificates",
        "http://gatepass.test:8443/v1/certificates",
        "https://gatepass.test:8443/v1/certificates/",
        "https://gatepass.test:8443/v1/certificates?x",
        "https://GATEPASS.test:8443/v1/certificates",
        "https://gatepass.test:8443/v1/logout",
        "https://gatepass.test:8443",
        "/v1/certificates",
    ] {
        refused(
            Ask::with_proof_claims(json!({"htu": url})),
            401,
            "proof_wrong_url",
        )
        .await;
    }
}

#[tokio::test]
async fn a_proof_for_another_cluster_is_refused() {
    refused(
        Ask::with_proof_claims(json!({"cluster": "another"})),
        401,
        "proof_wrong_cluster",
    )
    .await;
}

#[tokio::test]
async fn a_proof_over_another_body_is_refused() {
    let issuance = Issuance::new();
    let honest = Ask::new();
    let body = honest.body();
    let proofs = honest.proofs(issuance.cluster_id(), &body);
    // Anything: one blank more, another CSR, a longer life.
    let other_csr = json!({"csr": fakes::csr(CsrKey::P256)});
    let mut changed: Value = serde_json::from_str(&body).unwrap();
    merge(&mut changed, &other_csr);
    for body in [
        format!("{body} "),
        changed.to_string(),
        body.replacen('{', r#"{"ttlSeconds":600,"#, 1),
    ] {
        let ask = Ask {
            login: Login::new(NOW.unsigned_abs()),
            raw_body: Some(body),
            raw_proofs: Some(proofs.clone()),
            ..Ask::new()
        };
        issuance.ask(&ask).await.is_refused(401, "proof_wrong_body");
    }
}

#[tokio::test]
async fn a_proof_more_than_60_seconds_old_is_refused() {
    refused(
        Ask::with_proof_claims(json!({"iat": NOW - 61})),
        401,
        "proof_not_fresh",
    )
    .await;
    Issuance::new()
        .ask(&Ask::with_proof_claims(json!({"iat": NOW - 60})))
        .await
        .is_issued();
}

#[tokio::test]
async fn a_proof_more_than_60_seconds_ahead_is_refused() {
    for iat in [NOW + 61, i64::MAX, i64::MIN] {
        refused(
            Ask::with_proof_claims(json!({"iat": iat})),
            401,
            "proof_not_fresh",
        )
        .await;
    }
    Issuance::new()
        .ask(&Ask::with_proof_claims(json!({"iat": NOW + 60})))
        .await
        .is_issued();
}
