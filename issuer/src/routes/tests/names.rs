//! Names: what claims may become, and what never.

use super::*;

async fn forbidden(claims: Value) {
    refused(Ask::with_claims(claims), 403, "forbidden_name").await;
}

/// An issuer whose names have no prefix.
fn bare() -> Issuance {
    Issuance::configured(|yaml| yaml.replace(r#"prefix: "idp:""#, r#"prefix: """#))
}

const NEVER: [&str; 12] = [
    "system:masters",
    "system:serviceaccount:x:y",
    "system:node:z",
    "kubeadm:cluster-admins",
    "gatepass:session:a:1:2:b",
    "break-glass:alice",
    "",
    " alice",
    "alice\u{a0}",
    "al\nice",
    "al\0ice",
    "al\u{202e}ice",
];

#[tokio::test]
async fn usernames_that_are_never_issued() {
    let issuance = bare();
    for name in NEVER {
        let ask = Ask::with_claims(json!({"preferred_username": name}));
        issuance.ask(&ask).await.is_refused(403, "forbidden_name");
    }
}

#[tokio::test]
async fn groups_that_are_never_issued_refuse_the_request_whole() {
    for name in NEVER {
        forbidden(json!({"groups": ["sre", name]})).await;
        forbidden(json!({"groups": name})).await;
    }
}

#[tokio::test]
async fn uids_that_are_never_issued() {
    let issuance = Issuance::configured(|yaml| {
        yaml.replace(
            "      groups: {claim",
            "      uid: {claim: oid}\n      groups: {claim",
        )
    });
    for name in NEVER {
        let ask = Ask::with_claims(json!({"oid": name}));
        issuance.ask(&ask).await.is_refused(403, "forbidden_name");
    }
    let answer = issuance.ask(&Ask::with_claims(json!({"oid": "0a1b"}))).await;
    assert_eq!(answer.is_issued()["uid"], "0a1b");
}

#[tokio::test]
async fn an_empty_name_under_a_prefix_is_refused() {
    forbidden(json!({"preferred_username": ""})).await;
    let issuance = Issuance::configured(|yaml| {
        yaml.replace(
            r#"claim: "groups", prefix: """#,
            r#"claim: "groups", prefix: "g:""#,
        )
    });
    issuance
        .ask(&Ask::with_claims(json!({"groups": ["", "x"]})))
        .await
        .is_refused(403, "forbidden_name");
    let answer = issuance
        .ask(&Ask::with_claims(json!({"groups": ["system:masters"]})))
        .await;
    assert_eq!(answer.is_issued()["groups"], json!(["g:system:masters"]));
}

#[tokio::test]
async fn a_reserved_name_under_a_prefix_is_another_name() {
    let issuance = Issuance::new();
    let answer = issuance
        .ask(&Ask::with_claims(json!({"preferred_username": "system:admin"})))
        .await;
    assert_eq!(answer.is_issued()["username"], "idp:system:admin");
}

#[tokio::test]
async fn a_username_above_253_bytes_is_refused() {
    forbidden(json!({"preferred_username": "a".repeat(250)})).await;
    forbidden(json!({"preferred_username": "a".repeat(10_000)})).await;
    Issuance::new()
        .ask(&Ask::with_claims(json!({"preferred_username": "a".repeat(249)})))
        .await
        .is_issued();
}

#[tokio::test]
async fn a_group_of_10_kb_is_refused() {
    forbidden(json!({"groups": ["a".repeat(10_000)]})).await;
}

#[tokio::test]
async fn a_missing_username_or_one_of_another_type_fails_the_claim_rules() {
    for name in [json!(null), json!(1), json!(["alice"]), json!({})] {
        refused(
            Ask::with_claims(json!({"preferred_username": name})),
            403,
            "claim_rule_failed",
        )
        .await;
    }
}

#[tokio::test]
async fn groups_of_another_type_fail_the_claim_rules() {
    for groups in [
        json!(1),
        json!([1]),
        json!({}),
        json!([["sre"]]),
        json!(["sre", null]),
    ] {
        refused(
            Ask::with_claims(json!({"groups": groups})),
            403,
            "claim_rule_failed",
        )
        .await;
    }
}

#[tokio::test]
async fn groups_may_be_absent_or_a_single_text_and_repeated_ones_count_once() {
    let issuance = Issuance::new();
    for (claims, groups) in [
        (json!({"groups": null}), json!([])),
        (json!({"groups": []}), json!([])),
        (json!({"groups": "sre"}), json!(["sre"])),
        (json!({"groups": ["b", "a", "b", "a"]}), json!(["b", "a"])),
    ] {
        let answer = issuance.ask(&Ask::with_claims(claims)).await;
        assert_eq!(answer.is_issued()["groups"], groups);
    }
}

#[tokio::test]
async fn an_email_that_is_not_verified_is_nobodys_name() {
    let issuance = Issuance::configured(|yaml| yaml.replace(r#""preferred_username""#, "email"));
    for verified in [json!(false), json!("true"), json!(1)] {
        let ask = Ask::with_claims(json!({"email": "a@example.com", "email_verified": verified}));
        issuance.ask(&ask).await.is_refused(403, "claim_rule_failed");
    }
    for claims in [
        json!({"email": "a@example.com"}),
        json!({"email": "a@example.com", "email_verified": true}),
    ] {
        let answer = issuance.ask(&Ask::with_claims(claims)).await;
        assert_eq!(answer.is_issued()["username"], "idp:a@example.com");
    }
}

#[tokio::test]
async fn two_providers_with_the_same_subject_are_two_people() {
    let issuance = two_providers();
    let one = issuance.ask(&Ask::new()).await;
    let mut ask = Ask::with_claims(json!({"iss": OTHER_ISSUER}));
    ask.token = Some(OTHER_IDP.sign("ES256", &ask.claims));
    let other = issuance.ask(&ask).await;
    assert_eq!(one.is_issued()["username"], "idp:alice");
    assert_eq!(other.is_issued()["username"], "other:alice");
    assert_ne!(one.body["uid"], other.body["uid"]);
}

#[tokio::test]
async fn a_providers_key_does_not_sign_for_another_provider() {
    let issuance = two_providers();
    let mut ask = Ask::with_claims(json!({"iss": OTHER_ISSUER}));
    ask.token = Some(IDP.sign("ES256", &ask.claims));
    issuance.ask(&ask).await.is_refused(401, "bad_signature");
}
