//! `POST /v1/logout`: the session's key ends its session, and nobody else's does.

use gatepass_api::revocation::{Subject, Target};

use super::*;

const PATH: &str = "/v1/logout";

/// An honest logout of `ask`'s session, with the token over its claims.
fn leaving(mut ask: Ask) -> Ask {
    let token = ask
        .token
        .clone()
        .unwrap_or_else(|| IDP.sign(ask.alg, &ask.claims));
    ask.raw_body
        .get_or_insert_with(|| json!({"token": token}).to_string());
    ask
}

fn with_body(body: Value) -> Ask {
    Ask {
        raw_body: Some(body.to_string()),
        ..Ask::new()
    }
}

fn logged_in_at(login_time: i64) -> Ask {
    let mut ask = Ask::new();
    ask.login = Login::new(login_time.unsigned_abs());
    ask.claims = claims(&ask.login);
    ask.claims["iat"] = json!(login_time);
    ask
}

#[track_caller]
fn is_done(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
}

/// Nobody's session ended.
async fn refused(ask: Ask, status: u16, code: &str) {
    let issuance = Issuance::new();
    issuance
        .ask_at(PATH, &leaving(ask))
        .await
        .is_refused(status, code);
    assert!(issuance.revoked().is_empty(), "{code}");
}

#[tokio::test]
async fn the_session_is_revoked_until_it_would_have_ended() {
    let issuance = Issuance::new();
    let ask = Ask::new();
    let session = issuance.ask(&ask).await.is_issued()["session"]
        .as_str()
        .unwrap()
        .to_owned();
    is_done(&issuance.ask_at(PATH, &leaving(ask)).await);
    let [revocation] = &issuance.revoked()[..] else {
        panic!()
    };
    assert_eq!(revocation.metadata.name, format!("logout-{session}"));
    let spec = &revocation.spec;
    assert_eq!(spec.target, Target::Session(session.clone()));
    assert_eq!(spec.logged_in_before.as_deref(), Some("2026-09-21T14:13:20Z"));
    assert_eq!(spec.expires_at.as_deref(), Some("2026-09-22T02:13:50Z"));
    assert_eq!(
        (spec.block_issuance, spec.reason.as_deref()),
        (false, Some("logged out"))
    );
    // One that is waited for comes after all that were not.
    issuance.ask(&Ask::new()).await.is_issued();
    let record = issuance
        .memory
        .records()
        .into_iter()
        .find(|record| record["event"] == "session.ended")
        .unwrap();
    assert_eq!(
        (&record["session"], &record["subject"]),
        (&json!(session), &json!("subject-1"))
    );
}

#[tokio::test]
async fn a_session_that_was_ended_gets_no_certificate_and_another_does() {
    let issuance = Issuance::new();
    let following = tokio::spawn(Arc::clone(&issuance.app.store).follow(
        Arc::clone(&issuance.app.revocations),
        Arc::clone(&issuance.app.clock),
    ));
    let leave = Ask::new();
    let claims = leave.claims.clone();
    let mut leave = leaving(leave);
    is_done(&issuance.ask_at(PATH, &leave).await);
    let deadline = tokio::time::timeout(Duration::from_secs(20), async {
        while issuance.app.revocations.is_empty() {
            tokio::task::yield_now().await;
        }
    });
    deadline.await.unwrap();
    (leave.raw_body, leave.claims) = (None, claims);
    issuance.ask(&leave).await.is_refused(403, "revoked");
    issuance.ask(&Ask::new()).await.is_issued();
    following.abort();
}

#[tokio::test]
async fn once_more_changes_nothing() {
    let issuance = Issuance::new();
    let ask = leaving(Ask::new());
    is_done(&issuance.ask_at(PATH, &ask).await);
    let first = std::fs::metadata(
        issuance
            .revocations()
            .join(format!("{}.json", issuance.revoked()[0].metadata.name)),
    );
    is_done(&issuance.ask_at(PATH, &ask).await);
    let second = std::fs::metadata(
        issuance
            .revocations()
            .join(format!("{}.json", issuance.revoked()[0].metadata.name)),
    );
    use std::os::unix::fs::MetadataExt;
    assert_eq!(first.unwrap().ino(), second.unwrap().ino());
    assert_eq!(issuance.revoked().len(), 1);
}

#[tokio::test]
async fn a_token_that_has_expired_long_ago_ends_its_session_still() {
    let issuance = Issuance::new();
    let mut ask = logged_in_at(NOW - 3600);
    ask.claims["exp"] = json!(NOW - 3000);
    is_done(&issuance.ask_at(PATH, &leaving(ask)).await);
    assert_eq!(
        issuance.revoked()[0].spec.logged_in_before.as_deref(),
        Some("2026-09-21T13:13:20Z")
    );
}

#[tokio::test]
async fn a_session_that_ended_by_itself_is_not_written_down() {
    let issuance = Issuance::new();
    is_done(
        &issuance
            .ask_at(PATH, &leaving(logged_in_at(NOW - 12 * 3600)))
            .await,
    );
    assert!(issuance.revoked().is_empty());
    is_done(
        &issuance
            .ask_at(PATH, &leaving(logged_in_at(NOW - 12 * 3600 + 1)))
            .await,
    );
    assert_eq!(issuance.revoked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_swept_without_being_asked() {
    let issuance = Issuance::new();
    is_done(&issuance.ask_at(PATH, &leaving(Ask::new())).await);
    let (store, current) = (Arc::clone(&issuance.app.store), Arc::clone(&issuance.app.current));
    let sweeping = tokio::spawn(crate::revocation::sweep::run(
        store,
        current,
        Arc::clone(&issuance.app.clock),
    ));
    let minutes = async |n: u64| tokio::time::sleep(Duration::from_secs(60 * n)).await;
    minutes(3).await;
    assert_eq!(issuance.revoked().len(), 1);
    // The webhook takes a marker for 30 s longer than it says, so what revokes it stands as long.
    issuance.clock.store(NOW + 12 * 3600 + 29, Ordering::Relaxed);
    minutes(3).await;
    assert_eq!(issuance.revoked().len(), 1);
    issuance.clock.store(NOW + 12 * 3600 + 30, Ordering::Relaxed);
    minutes(3).await;
    assert!(issuance.revoked().is_empty());
    sweeping.abort();
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_an_internal_error_that_says_nothing() {
    let issuance = Issuance::new();
    std::fs::remove_dir(issuance.revocations()).unwrap();
    let answer = issuance.ask_at(PATH, &leaving(Ask::new())).await;
    answer.is_refused(500, "internal");
    assert!(
        !answer.body.to_string().contains("revocations"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_stolen_token_with_the_thiefs_key_ends_nothing() {
    let victim = Ask::new();
    let thief = Ask {
        claims: victim.claims,
        ..Ask::new()
    };
    refused(thief, 401, "binding_mismatch").await;
}

#[tokio::test]
async fn a_token_without_nonce_is_refused() {
    refused(Ask::with_claims(json!({"nonce": null})), 401, "binding_missing").await;
}

#[tokio::test]
async fn a_login_time_after_the_token_is_refused() {
    let mut ask = logged_in_at(NOW + 31);
    ask.claims["iat"] = json!(NOW);
    refused(ask, 401, "login_time_invalid").await;
}

#[tokio::test]
async fn the_token_is_checked_like_a_login_token() {
    for (changes, status, code) in [
        (json!({"iss": "https://unknown.test"}), 401, "unknown_idp"),
        (json!({"aud": "another"}), 401, "wrong_audience"),
        (json!({"aud": [CLIENT, "another"]}), 401, "wrong_party"),
        (json!({"events": {}}), 401, "not_an_id_token"),
        (json!({"typ": "Bearer"}), 401, "not_an_id_token"),
        (json!({"iat": NOW + 31}), 401, "token_not_yet_valid"),
        (json!({"sub": null}), 400, "malformed_token"),
        (json!({"nonce": 1}), 400, "malformed_token"),
    ] {
        refused(Ask::with_claims(changes), status, code).await;
    }
    let claims = Ask::new().claims;
    let header = |header: Value| Ask::with_token(IDP.sign_with_header(&header, &claims));
    refused(
        header(json!({"alg": "ES256", "kid": "p256", "typ": "at+jwt"})),
        401,
        "not_an_id_token",
    )
    .await;
    refused(
        header(json!({"alg": "ES256", "kid": "p256", "crit": ["x"]})),
        400,
        "malformed_token",
    )
    .await;
    refused(
        Ask::with_token(fakes::unsigned(&json!({"alg": "none"}), &claims)),
        401,
        "unsupported_algorithm",
    )
    .await;
    refused(
        Ask::with_token(OTHER_IDP.sign("ES256", &claims)),
        401,
        "bad_signature",
    )
    .await;
    refused(Ask::with_token("a.b".into()), 400, "malformed_token").await;
    refused(Ask::with_token("a".repeat(65 * 1024)), 413, "too_large").await;
}

#[tokio::test]
async fn a_key_that_is_not_published_is_unknown_or_cannot_be_asked_for() {
    let header = json!({"alg": "ES256", "kid": "another"});
    let ask = Ask::with_token(IDP.sign_with_header(&header, &Ask::new().claims));
    refused(ask, 401, "unknown_key").await;
}

#[tokio::test]
async fn the_proof_is_checked_for_this_request() {
    for (changes, code) in [
        (json!({"htm": "GET"}), "proof_wrong_url"),
        (
            json!({"htu": format!("{URL}/v1/certificates")}),
            "proof_wrong_url",
        ),
        (json!({"cluster": "another"}), "proof_wrong_cluster"),
        (
            json!({"body": fakes::b64(fakes::sha256("another"))}),
            "proof_wrong_body",
        ),
        (json!({"iat": NOW - 61}), "proof_not_fresh"),
        (json!({"iat": NOW + 61}), "proof_not_fresh"),
    ] {
        refused(Ask::with_proof_claims(changes), 401, code).await;
    }
    let proofs = |proofs: Vec<String>| Ask {
        raw_proofs: Some(proofs),
        ..Ask::new()
    };
    refused(proofs(vec![]), 401, "missing_proof").await;
    refused(proofs(vec!["a".into(), "b".into()]), 400, "malformed_proof").await;
    refused(proofs(vec!["a".into()]), 400, "malformed_proof").await;
    refused(proofs(vec!["a".repeat(8193)]), 413, "too_large").await;
    let forged = Ask {
        proof_header: json!({"jwk": fakes::SessionKey::generate().jwk()}),
        ..Ask::new()
    };
    refused(forged, 401, "bad_proof_signature").await;
}

#[tokio::test]
async fn the_body_is_a_token_and_nothing_else() {
    for body in [
        json!({}),
        json!({"token": null}),
        json!({"token": 1}),
        json!({"token": "a", "reason": "b"}),
        json!([]),
    ] {
        refused(with_body(body), 400, "malformed_request").await;
    }
    let twice = Ask {
        raw_body: Some(r#"{"token": "a", "token": "b"}"#.into()),
        ..Ask::new()
    };
    refused(twice, 400, "malformed_request").await;
}

#[tokio::test]
async fn a_subject_that_the_provider_has_logged_out_may_still_log_out_here() {
    let issuance = Issuance::new();
    let spec = gatepass_api::revocation::RevocationSpec {
        target: Target::Subject(Subject {
            issuer: ISSUER.into(),
            subject: "subject-1".into(),
        }),
        logged_in_before: Some("2026-09-21T14:13:20Z".into()),
        block_issuance: false,
        reason: None,
        expires_at: None,
    };
    issuance
        .app
        .store
        .put("s", &spec, crate::revocation::store::Existing::Leave)
        .await
        .unwrap();
    is_done(&issuance.ask_at(PATH, &leaving(Ask::new())).await);
    // Should somebody take the other away, the session stays ended.
    assert_eq!(issuance.revoked().len(), 2);
}
