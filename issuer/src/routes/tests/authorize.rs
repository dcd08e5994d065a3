//! `/v1/authorize` as an API server asks, and as others do.

use gatepass_api::revocation::{RevocationSpec, Target};

use super::*;
use crate::revocation::Checked;
use futures_util::StreamExt as _;

const CREDENTIAL: &str = "X509SHA256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn review() -> Value {
    json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {},
        "spec": {
            "resourceAttributes": {"namespace": "default", "verb": "list", "version": "v1", "resource": "pods"},
            "user": "mallory", "groups": ["dev", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": [CREDENTIAL]}, "uid": "u-1",
        },
        "status": {"allowed": false},
    })
}

async fn ask(issuance: &Issuance, name: Option<&str>, body: impl Into<Body>) -> Answer {
    let mut request = Request::post("/v1/authorize?timeout=3s")
        .header("Content-Type", "application/json")
        .body(body.into())
        .unwrap();
    if let Some(name) = name {
        request.extensions_mut().insert(ClientName(name.into()));
    }
    let router = webhooks_router(issuance.app.clone());
    Answer::read(router.oneshot(request).await.unwrap()).await
}

async fn asked(issuance: &Issuance, review: &Value) -> Answer {
    ask(issuance, Some("kube-apiserver"), review.to_string()).await
}

fn revoke(issuance: &Issuance, target: Target) {
    let spec = RevocationSpec {
        target,
        logged_in_before: None,
        block_issuance: false,
        reason: Some("stolen\u{202e}".into()),
        expires_at: None,
    };
    let checked = Checked::new(&spec, Some(NOW)).unwrap();
    issuance.app.revocations.change(|view| view.put("r", &checked));
}

#[tokio::test]
async fn no_opinion_has_no_reason_and_a_denial_has_an_escaped_one() {
    let issuance = Issuance::new();
    let answer = asked(&issuance, &review()).await;
    assert_eq!(
        answer.body,
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "status": {"allowed": false, "denied": false},
        })
    );
    for target in [
        Target::User("mallory".into()),
        Target::Uid("u-1".into()),
        Target::CredentialId(CREDENTIAL.into()),
    ] {
        let issuance = Issuance::new();
        revoke(&issuance, target);
        let answer = asked(&issuance, &review()).await;
        assert_eq!(
            answer.body["status"],
            json!({
                "allowed": false, "denied": true, "reason": "Gatepass: access was revoked: stolen\\u{202e}",
            })
        );
    }
}

#[tokio::test]
async fn what_newer_api_servers_add_is_ignored_and_what_is_missing_is_empty() {
    let issuance = Issuance::new();
    revoke(&issuance, Target::User("mallory".into()));
    let mut review = review();
    review["spec"]["conditionsMode"] = json!({"new": [1, 2, {"deep": null}]});
    review["future"] = json!("x");
    assert_eq!(asked(&issuance, &review).await.body["status"]["denied"], true);
    review["spec"] = json!({"user": "mallory", "nonResourceAttributes": {"path": "/version", "verb": "get"}});
    assert_eq!(asked(&issuance, &review).await.body["status"]["denied"], true);
}

#[tokio::test]
async fn another_kind_or_version_is_an_error_and_never_no_opinion() {
    let issuance = Issuance::new();
    for (member, value) in [
        ("kind", json!("TokenReview")),
        ("apiVersion", json!("authorization.k8s.io/v1beta1")),
        ("spec", json!(null)),
        ("spec", json!({"user": 7})),
    ] {
        let mut review = review();
        review[member] = value;
        asked(&issuance, &review)
            .await
            .is_refused(400, "malformed_request");
    }
    for body in ["", "{}", "[]", "not json"] {
        ask(&issuance, Some("kube-apiserver"), body)
            .await
            .is_refused(400, "malformed_request");
    }
}

#[tokio::test]
async fn only_clients_that_are_named_are_answered() {
    let issuance = Issuance::new();
    for name in [
        None,
        Some(""),
        Some("alice"),
        Some("kube-apiserver2"),
        Some("Kube-apiserver"),
    ] {
        ask(&issuance, name, review().to_string())
            .await
            .is_refused(403, "not_permitted");
    }
    let unknown = Request::get("/v1/certificates").body(Body::empty()).unwrap();
    let router = webhooks_router(issuance.app.clone());
    Answer::read(router.oneshot(unknown).await.unwrap())
        .await
        .is_refused(403, "not_permitted");
}

#[tokio::test]
async fn people_cannot_ask_where_they_ask_for_certificates() {
    let issuance = Issuance::new();
    let mut request = Request::post("/v1/authorize")
        .body(Body::from(review().to_string()))
        .unwrap();
    request
        .extensions_mut()
        .insert(ClientName("kube-apiserver".into()));
    Answer::read(issuance.send(request).await)
        .await
        .is_refused(404, "not_found");
}

#[tokio::test]
async fn a_replica_that_cannot_know_does_not_say_no_opinion() {
    let strict = Issuance::configured(|yaml| yaml.replace("mode: best-effort", "mode: strict"));
    strict.app.revocations.in_contact(NOW - 11);
    asked(&strict, &review())
        .await
        .is_refused(503, "revocation_view_stale");
    let mut fresh = Issuance::new();
    fresh.app.revocations = Arc::new(Revocations::new(crate::revocation::Mode::BestEffort));
    asked(&fresh, &review())
        .await
        .is_refused(503, "revocation_view_stale");
}

#[tokio::test]
async fn what_go_writes_for_an_empty_list_is_one() {
    let issuance = Issuance::new();
    revoke(&issuance, Target::User("mallory".into()));
    for (groups, extra) in [
        (json!(null), json!(null)),
        (json!([]), json!({"a": null, CREDENTIAL.split_at(3).0: []})),
        (
            json!([]),
            json!({"authentication.kubernetes.io/credential-id": null}),
        ),
    ] {
        let mut review = review();
        review["spec"]["groups"] = groups;
        review["spec"]["extra"] = extra;
        assert_eq!(asked(&issuance, &review).await.body["status"]["denied"], true);
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Whoever is denied can ask for as much, as often as the API server lets them.
#[tokio::test]
async fn long_requests_by_somebody_who_is_revoked_take_up_no_memory() {
    const AT_ONCE: usize = 8;
    const SELECTORS: usize = 16 * 1024 * 1024;
    let _alone = MEMORY.lock().await;
    let issuance = Issuance::new();
    revoke(&issuance, Target::User("mallory".into()));
    let mut review = review();
    review["spec"]["resourceAttributes"]["labelSelector"] = json!({"requirements": ["SELECTORS"]});
    let text = review.to_string();
    let (before, after) = text.split_once("SELECTORS").unwrap();
    let before_all = resident();
    let (arrived, mut arriving) = tokio::sync::mpsc::unbounded_channel();
    let (go, gone) = tokio::sync::watch::channel(false);
    let answers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (before, after) = (before.to_owned(), after.to_owned());
            let (arrived, mut gone) = (arrived.clone(), gone.clone());
            let piece: &'static [u8] = &[b'x'; 16 * 1024];
            let pieces = (0..SELECTORS / piece.len()).map(move |_| piece.into());
            let first = std::iter::once(before.into()).chain(pieces);
            let last = async move {
                arrived.send(()).unwrap();
                gone.wait_for(|gone| *gone).await.unwrap();
                after.into()
            };
            let body = futures_util::stream::iter(first)
                .chain(futures_util::stream::once(last))
                .map(Ok::<axum::body::Bytes, std::convert::Infallible>);
            ask(&issuance, Some("kube-apiserver"), Body::from_stream(body))
        })
        .collect();
    let watched = async {
        for _ in 0..AT_ONCE {
            arriving.recv().await.unwrap();
        }
        let held = resident().saturating_sub(before_all);
        go.send_replace(true);
        held
    };
    let (answers, held) = tokio::join!(futures_util::future::join_all(answers), watched);
    assert!(
        answers
            .iter()
            .all(|answer| answer.body["status"]["denied"] == true)
    );
    // Other tests run meanwhile.
    assert!(held < AT_ONCE * SELECTORS / 2, "{held} bytes");
}
