//! The binding: stolen tokens, login time, end of the session.

use fakes::b64;

use super::*;

#[tokio::test]
async fn a_stolen_id_token_with_the_thiefs_key_is_refused() {
    let victim = Ask::new();
    let thief = Ask {
        claims: victim.claims.clone(),
        ..Ask::new()
    };
    refused(thief, 401, "binding_mismatch").await;
}

#[tokio::test]
async fn a_stolen_id_token_with_the_victims_salt_and_the_thiefs_key_is_refused() {
    let victim = Ask::new();
    let mut thief = Ask {
        claims: victim.claims.clone(),
        ..Ask::new()
    };
    thief.login.salt = victim.login.salt;
    refused(thief, 401, "binding_mismatch").await;
}

#[tokio::test]
async fn stolen_id_and_login_tokens_with_the_thiefs_key_are_refused() {
    let victim = Ask::with_login_token(json!({}));
    let thief = Ask {
        claims: victim.claims,
        login_claims: victim.login_claims,
        ..Ask::new()
    };
    refused(thief, 401, "binding_mismatch").await;
}

#[tokio::test]
async fn a_salt_of_another_time_is_refused() {
    let ask = Ask::new();
    let mut salt = ask.login.salt;
    salt[7] = salt[7].wrapping_add(1);
    refused(
        Ask {
            proof_claims: json!({"salt": b64(salt)}),
            ..ask
        },
        401,
        "binding_mismatch",
    )
    .await;
}

#[tokio::test]
async fn a_nonce_of_another_form_is_a_mismatch_and_not_absence() {
    for nonce in ["", "x", "gatepass"] {
        refused(Ask::with_claims(json!({"nonce": nonce})), 401, "binding_mismatch").await;
    }
}

#[tokio::test]
async fn a_token_without_nonce_and_login_token_is_refused() {
    refused(Ask::with_claims(json!({"nonce": null})), 401, "binding_missing").await;
}

#[tokio::test]
async fn a_login_token_without_nonce_is_refused() {
    refused(
        Ask::with_login_token(json!({"nonce": null})),
        401,
        "binding_missing",
    )
    .await;
}

#[tokio::test]
async fn a_login_token_without_nonce_is_refused_beside_a_bound_id_token() {
    let ask = Ask::new();
    let mut login_claims = claims(&ask.login);
    merge(&mut login_claims, &json!({"nonce": null}));
    refused(
        Ask {
            login_claims: Some(login_claims),
            ..ask
        },
        401,
        "binding_missing",
    )
    .await;
}

#[tokio::test]
async fn a_wrong_nonce_in_the_login_token_is_refused_beside_a_bound_id_token() {
    let ask = Ask::new();
    let login_claims = claims(&Login::new(NOW.unsigned_abs()));
    refused(
        Ask {
            login_claims: Some(login_claims),
            ..ask
        },
        401,
        "binding_mismatch",
    )
    .await;
}

#[tokio::test]
async fn a_wrong_nonce_in_the_id_token_is_refused_beside_a_bound_login_token() {
    let mut ask = Ask::with_login_token(json!({}));
    ask.claims["nonce"] = json!(Login::new(NOW.unsigned_abs()).nonce());
    refused(ask, 401, "binding_mismatch").await;
}

/// A login whose salt names `login_time`.
fn logged_in_at(login_time: i64) -> Ask {
    let mut ask = Ask::new();
    ask.login = Login::new(login_time.unsigned_abs());
    ask.claims = claims(&ask.login);
    ask
}

#[tokio::test]
async fn a_login_time_after_the_token_is_refused() {
    refused(logged_in_at(NOW + 31), 401, "login_time_invalid").await;
    Issuance::new().ask(&logged_in_at(NOW + 30)).await.is_issued();
}

#[tokio::test]
async fn a_login_time_beyond_all_times_is_refused() {
    let mut ask = Ask::new();
    ask.login = Login::new(u64::MAX);
    ask.claims = claims(&ask.login);
    refused(ask, 401, "login_time_invalid").await;
}

#[tokio::test]
async fn the_login_time_is_held_against_the_login_token_where_it_has_the_nonce() {
    // The login was an hour ago, the salt says half an hour, and the refreshed token is from now.
    for id_token in [json!({}), json!({"nonce": null})] {
        let mut ask = logged_in_at(NOW - 1800);
        ask.login_claims = Some(ask.claims.clone());
        merge(ask.login_claims.as_mut().unwrap(), &json!({"iat": NOW - 3600}));
        merge(&mut ask.claims, &id_token);
        refused(ask, 401, "login_time_invalid").await;
    }
}

#[tokio::test]
async fn a_session_ends_12_hours_after_the_login_time_without_leeway() {
    let hours = 12 * 3600;
    refused(logged_in_at(NOW - hours), 401, "session_ended").await;
    // Less than a minute left is as good as ended.
    refused(logged_in_at(NOW - hours + 59), 401, "session_ended").await;
    let issuance = Issuance::new();
    let answer = issuance.ask(&logged_in_at(NOW - hours + 60)).await;
    assert_eq!(answer.is_issued()["notAfter"], "2026-09-21T14:14:20Z");
    assert_eq!(answer.body["sessionEnd"], "2026-09-21T14:14:20Z");
}

#[tokio::test]
async fn the_length_of_a_session_is_configured() {
    let issuance = Issuance::configured(|yaml| yaml.replace("maxAge: 12h", "maxAge: 1h"));
    issuance
        .ask(&logged_in_at(NOW - 3600))
        .await
        .is_refused(401, "session_ended");
    issuance.ask(&logged_in_at(NOW - 3000)).await.is_issued();
}
