//! What is revoked gets no certificate, and what a replica does that cannot know.

use gatepass_api::revocation::{RevocationSpec, Target};

use super::*;
use crate::revocation::Checked;

/// Puts a revocation in as the store would, created at `NOW`.
fn revoke(issuance: &Issuance, spec: &RevocationSpec) {
    let checked = Checked::new(spec, Some(NOW)).unwrap();
    issuance.app.revocations.change(|view| view.put("r", &checked));
}

fn spec(target: Target) -> RevocationSpec {
    RevocationSpec {
        target,
        logged_in_before: None,
        block_issuance: false,
        reason: Some("laptop\nstolen".into()),
        expires_at: None,
    }
}

#[tokio::test]
async fn each_target_refuses_its_own_with_the_reason_and_the_login_time_that_helps() {
    let issued = Issuance::new().ask(&Ask::new()).await;
    let issued = issued.is_issued();
    let text = |name: &str| issued[name].as_str().unwrap().to_owned();
    let subject = gatepass_api::revocation::Subject {
        issuer: ISSUER.into(),
        subject: "subject-1".into(),
    };
    for target in [
        Target::User("idp:alice".into()),
        Target::Uid(text("uid")),
        Target::Group("dev".into()),
        Target::Subject(subject),
    ] {
        let issuance = Issuance::new();
        revoke(&issuance, &spec(target));
        let refused = issuance.ask(&Ask::new()).await;
        refused.is_refused(403, "revoked");
        assert_eq!(refused.body["loginAfter"], "2026-09-21T14:14:20Z");
        assert_eq!(refused.body["detail"], "access was revoked: laptop\\u{a}stolen");
    }
}

#[tokio::test]
async fn a_revoked_session_is_helped_by_any_other_login() {
    let (issuance, ask) = (Issuance::new(), Ask::new());
    let session = issuance.ask(&ask).await.is_issued()["session"].clone();
    revoke(
        &issuance,
        &spec(Target::Session(session.as_str().unwrap().into())),
    );
    let refused = issuance.ask(&ask).await;
    refused.is_refused(403, "revoked");
    assert_eq!(
        refused.body["loginAfter"], "2026-09-21T14:13:20Z",
        "its own login time"
    );
    issuance.ask(&Ask::new()).await.is_issued();
}

#[tokio::test]
async fn a_block_refuses_every_login_and_names_none_that_helps() {
    let issuance = Issuance::new();
    let blocked = RevocationSpec {
        block_issuance: true,
        logged_in_before: Some("2026-01-01T00:00:00Z".into()),
        ..spec(Target::User("idp:alice".into()))
    };
    revoke(&issuance, &blocked);
    let refused = issuance.ask(&Ask::new()).await;
    refused.is_refused(403, "revoked");
    assert!(refused.body.get("loginAfter").is_none(), "{}", refused.body);
}

#[tokio::test]
async fn a_login_after_the_revocation_and_its_leeway_gets_a_certificate() {
    let before = RevocationSpec {
        logged_in_before: Some("2026-09-21T14:12:19Z".into()),
        ..spec(Target::User("idp:alice".into()))
    };
    let issuance = Issuance::new();
    revoke(&issuance, &before);
    issuance.ask(&Ask::new()).await.is_issued();
    let within = RevocationSpec {
        logged_in_before: Some("2026-09-21T14:12:20Z".into()),
        ..before
    };
    revoke(&issuance, &within);
    issuance.ask(&Ask::new()).await.is_refused(403, "revoked");
}

#[tokio::test]
async fn a_view_that_never_was_issues_nothing_and_an_old_one_by_its_mode() {
    for (mode, goes_on) in [("best-effort", true), ("strict", false)] {
        let issuance =
            Issuance::configured(|yaml| yaml.replace("mode: best-effort", &format!("mode: {mode}")));
        issuance.app.revocations.in_contact(NOW - 11);
        let answer = issuance.ask(&Ask::new()).await;
        if goes_on {
            answer.is_issued();
        } else {
            answer.is_refused(503, "revocation_view_stale");
        }
        issuance.app.revocations.in_contact(NOW - 10);
        issuance.ask(&Ask::new()).await.is_issued();
    }
    let mut fresh = Issuance::new();
    fresh.app.revocations = Arc::new(Revocations::new(crate::revocation::Mode::BestEffort));
    fresh
        .ask(&Ask::new())
        .await
        .is_refused(503, "revocation_view_stale");
}
