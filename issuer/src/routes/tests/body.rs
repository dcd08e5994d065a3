//! The body, and the certificate request in it.

use fakes::{csr_der, pem};

use super::*;

fn with_body(make: impl FnOnce(String) -> String) -> Ask {
    let ask = Ask::new();
    let body = make(ask.body());
    Ask {
        raw_body: Some(body),
        ..ask
    }
}

async fn malformed(ask: Ask) {
    refused(ask, 400, "malformed_request").await;
}

fn with_csr(csr: impl Into<String>) -> Ask {
    Ask::with_members(json!({"csr": csr.into()}))
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_malformed() {
    for body in ["", "{", "null", "[]", "\"a\"", "{}", "\u{feff}{}"] {
        malformed(with_body(|_| body.to_owned())).await;
    }
}

#[tokio::test]
async fn a_body_as_a_list_of_its_values_is_malformed() {
    malformed(with_body(|body| {
        let members: Value = serde_json::from_str(&body).unwrap();
        json!([members["idToken"], null, members["csr"], null, null, null]).to_string()
    }))
    .await;
}

#[tokio::test]
async fn a_body_with_something_after_it_is_malformed() {
    malformed(with_body(|body| body + "{}")).await;
}

#[tokio::test]
async fn a_body_with_an_unknown_member_is_malformed() {
    malformed(Ask::with_members(json!({"idtoken": "a"}))).await;
    malformed(Ask::with_members(json!({"username": "admin"}))).await;
}

#[tokio::test]
async fn a_body_with_a_duplicate_member_is_malformed() {
    malformed(with_body(|body| body.replacen('{', r#"{"csr":"x","#, 1))).await;
}

#[tokio::test]
async fn a_body_without_token_or_csr_is_malformed() {
    malformed(Ask::with_members(json!({"idToken": null}))).await;
    malformed(Ask::with_members(json!({"csr": null}))).await;
}

#[tokio::test]
async fn a_body_with_a_null_member_is_malformed() {
    malformed(with_body(|body| body.replacen('{', r#"{"loginToken":null,"#, 1))).await;
}

#[tokio::test]
async fn a_body_nested_too_deeply_is_malformed() {
    malformed(with_body(|body| {
        body.replacen(
            '{',
            &format!(r#"{{"groups":{}{},"#, "[".repeat(40), "]".repeat(40)),
            1,
        )
    }))
    .await;
}

#[tokio::test]
async fn a_list_of_groups_above_1000_is_malformed() {
    malformed(Ask::with_members(json!({"groups": vec!["g"; 1001]}))).await;
}

#[tokio::test]
async fn a_ttl_that_is_no_positive_integer_is_malformed() {
    for ttl in [
        json!(0),
        json!(-1),
        json!(1.5),
        json!("600"),
        json!(true),
        json!([600]),
    ] {
        malformed(Ask::with_members(json!({"ttlSeconds": ttl}))).await;
    }
}

#[tokio::test]
async fn a_reason_above_1_kib_is_too_large() {
    refused(
        Ask::with_members(json!({"reason": "r".repeat(1025)})),
        413,
        "too_large",
    )
    .await;
    Issuance::new()
        .ask(&Ask::with_members(json!({"reason": "r".repeat(1024)})))
        .await
        .is_issued();
}

#[tokio::test]
async fn groups_on_request_are_not_permitted_yet() {
    refused(
        Ask::with_members(json!({"groups": ["cluster-admins"]})),
        403,
        "not_permitted",
    )
    .await;
    Issuance::new()
        .ask(&Ask::with_members(json!({"groups": []})))
        .await
        .is_issued();
}

#[tokio::test]
async fn requests_with_keys_of_every_accepted_kind_get_a_certificate() {
    let issuance = Issuance::new();
    for key in [
        CsrKey::P256,
        CsrKey::P384,
        CsrKey::Ed25519,
        CsrKey::Rsa2048,
        CsrKey::Rsa4096,
    ] {
        issuance.ask(&with_csr(fakes::csr(key))).await.is_issued();
    }
}

#[tokio::test]
async fn a_csr_with_a_p521_key_is_weak() {
    refused(with_csr(fakes::csr(CsrKey::P521)), 400, "weak_key").await;
}

#[tokio::test]
async fn a_csr_with_the_session_key_is_weak() {
    let ask = Ask::new();
    let key = rcgen::KeyPair::try_from(ask.login.key.pkcs8()).unwrap();
    let members = json!({"csr": pem(&csr_der(&key))});
    refused(Ask { members, ..ask }, 400, "weak_key").await;
}

#[tokio::test]
async fn a_csr_that_is_not_one_pem_block_is_malformed() {
    let good = fakes::csr(CsrKey::P256);
    for csr in [
        String::new(),
        "CSR".into(),
        good.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
        format!("{good}{good}"),
        good.replace("-----END", "=====END"),
        pem(&[]),
        pem(b"not DER"),
    ] {
        refused(with_csr(csr), 400, "malformed_csr").await;
    }
}

#[tokio::test]
async fn a_csr_with_something_after_it_is_malformed() {
    let mut der = csr_der(&CsrKey::P256.generate());
    der.push(0);
    refused(with_csr(pem(&der)), 400, "malformed_csr").await;
}

#[tokio::test]
async fn a_csr_that_its_key_did_not_sign_is_refused() {
    // The last byte belongs to the signature; the names before it are signed.
    let mut der = csr_der(&CsrKey::P256.generate());
    *der.last_mut().unwrap() ^= 1;
    refused(with_csr(pem(&der)), 400, "bad_csr_signature").await;
    let mut der = csr_der(&CsrKey::Ed25519.generate());
    let at = der
        .windows(12)
        .position(|window| window == b"system:admin")
        .unwrap();
    der[at] = b'S';
    refused(with_csr(pem(&der)), 400, "bad_csr_signature").await;
}
