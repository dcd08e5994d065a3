use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::key_source::KeySources;
use crate::server::Readiness;

#[derive(Clone)]
struct Health {
    keys: Arc<KeySources>,
    readiness: Readiness,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    ready: bool,
    identity_providers_without_keys: Vec<String>,
}

/// `/livez` and `/readyz`, for a listener of their own.
pub fn health_router(keys: Arc<KeySources>, readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(Health { keys, readiness })
}

/// Ready from the moment the listeners are bound until shutdown begins. A provider that is down does not make the
/// issuer unready: the others' users still get certificates, and taking every replica out helps nobody.
async fn ready(State(health): State<Health>) -> (StatusCode, Json<Ready>) {
    let ready = health.readiness.is_ready();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let without = health
        .keys
        .without_keys()
        .into_iter()
        .map(str::to_owned)
        .collect();
    (
        status,
        Json(Ready {
            ready,
            identity_providers_without_keys: without,
        }),
    )
}
