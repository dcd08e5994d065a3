use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};
use tower::ServiceExt as _;

use super::super::tests::{Issuance, NOW};
use super::*;

struct Asked {
    health: Health,
    clock: Arc<AtomicI64>,
    _issuance: Issuance,
}

/// Bound, and nothing read from the store yet.
fn started(mode: Mode) -> Asked {
    let issuance = Issuance::new();
    let clock = Arc::new(AtomicI64::new(NOW));
    let now = Arc::clone(&clock);
    let readiness = Readiness::default();
    readiness.set(true);
    let health = Health {
        current: Arc::clone(&issuance.app.current),
        readiness,
        configuration: Arc::new(ArcSwap::from_pointee(ConfigurationStatus {
            loaded_at: NOW,
            problems: 0,
            needs_restart: Vec::new(),
        })),
        revocations: Arc::new(Revocations::new(mode)),
        store: "directory",
        metrics: Arc::default(),
        clock: Arc::new(move || now.load(Ordering::Relaxed)),
    };
    Asked {
        health,
        clock,
        _issuance: issuance,
    }
}

impl Asked {
    async fn get(&self, path: &str) -> (u16, String, Vec<u8>) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = health_router(self.health.clone()).oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let media_type = parts.headers["content-type"].to_str().unwrap().to_owned();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), media_type, body.to_vec())
    }

    /// Status, and what is said of revocations, so many seconds after the store was followed.
    async fn ready_after(&self, seconds: i64) -> (u16, Value) {
        self.clock.store(NOW + seconds, Ordering::Relaxed);
        let (status, _, body) = self.get("/readyz").await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["ready"], status == 200);
        (status, body["revocation"].clone())
    }
}

#[tokio::test]
async fn nobody_is_sent_here_before_the_revocations_were_read() {
    for (mode, name) in [(Mode::BestEffort, "best-effort"), (Mode::Strict, "strict")] {
        let asked = started(mode);
        let said = json!({"store": "directory", "mode": name, "ageSeconds": null, "count": 0, "ignored": 0, "stale": true});
        assert_eq!(asked.ready_after(0).await, (503, said));
        asked.health.revocations.in_contact(NOW);
        asked.health.revocations.set_problems(1);
        let said = json!({
            "store": "directory", "mode": name, "ageSeconds": 3, "count": 0, "ignored": 1, "stale": false,
        });
        assert_eq!(asked.ready_after(3).await, (200, said));
        asked.health.readiness.set(false);
        assert_eq!(asked.ready_after(3).await.0, 503);
    }
}

#[tokio::test]
async fn a_stale_view_is_told_and_sends_people_away_only_where_it_is_not_used() {
    for (mode, status) in [(Mode::BestEffort, 200), (Mode::Strict, 503)] {
        let asked = started(mode);
        asked.health.revocations.in_contact(NOW);
        assert_eq!(asked.ready_after(10).await.0, 200);
        let (answered, said) = asked.ready_after(11).await;
        assert_eq!(
            (answered, &said["stale"], &said["ageSeconds"]),
            (status, &json!(true), &json!(11))
        );
        asked.health.revocations.in_contact(NOW + 11);
        assert_eq!(asked.ready_after(11).await.0, 200);
    }
}

#[tokio::test]
async fn metrics_are_served_as_openmetrics() {
    let asked = started(Mode::BestEffort);
    asked.health.revocations.in_contact(NOW - 2);
    let (status, media_type, body) = asked.get("/metrics").await;
    assert_eq!((status, media_type.as_str()), (200, metrics::MEDIA_TYPE));
    let text = String::from_utf8(body).unwrap();
    assert!(
        text.contains("\ngatepass_revocation_view_age_seconds 2.0\n"),
        "{text}"
    );
}
