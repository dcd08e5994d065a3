use super::*;

#[tokio::test]
async fn an_honest_request_gets_a_certificate() {
    let issuance = Issuance::new();
    let answer = issuance.ask(&Ask::new()).await;
    let body = answer.is_issued();
    assert_eq!(body["username"], "idp:alice");
    assert_eq!(body["groups"], json!(["sre", "dev"]));
    assert_eq!(body["bound"], true);
    assert_eq!(body["notBefore"], "2026-09-21T14:11:20Z");
    assert_eq!(body["notAfter"], "2026-09-21T14:23:20Z");
    assert_eq!(body["sessionEnd"], "2026-09-22T02:13:20Z");
    assert_eq!(body["serverTime"], "2026-09-21T14:13:20Z");
}

#[tokio::test]
async fn a_token_of_every_accepted_algorithm_gets_a_certificate() {
    let issuance = Issuance::new();
    for alg in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
    ] {
        issuance.ask(&Ask { alg, ..Ask::new() }).await.is_issued();
    }
}
