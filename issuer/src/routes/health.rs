use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Serialize, Serializer};

use crate::active::Current;
use crate::clock::rfc3339;
use crate::server::Readiness;

/// What health is told from.
#[derive(Clone, Debug)]
pub struct Health {
    /// Says whose keys are known.
    pub current: Current,
    /// Whether requests should be sent here.
    pub readiness: Readiness,
    /// How the configuration in force and the one on disk differ.
    pub configuration: Arc<ArcSwap<ConfigurationStatus>>,
}

/// The configuration in force beside the one on disk. The problems themselves are in the log: whoever may ask for health
/// need not read what somebody wrote into a file by mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationStatus {
    /// When what is in force was loaded, in Unix seconds.
    #[serde(serialize_with = "as_rfc3339")]
    pub loaded_at: i64,
    /// Problems for which what is on disk was refused.
    pub problems: usize,
    /// Keys whose value on disk waits for a restart.
    pub needs_restart: Vec<&'static str>,
}

fn as_rfc3339<S: Serializer>(time: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    rfc3339(*time).serialize(serializer)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready<'a> {
    ready: bool,
    identity_providers_without_keys: Vec<&'a str>,
    configuration: &'a ConfigurationStatus,
}

/// `/livez` and `/readyz`, for a listener of their own.
pub fn health_router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(health)
}

/// Ready from the moment the listeners are bound until shutdown begins. A provider that is down does not make the
/// issuer unready: the others' users still get certificates, and taking every replica out helps nobody. Nor does a
/// configuration that was refused: what was loaded before stays in force.
async fn ready(State(health): State<Health>) -> Response {
    let ready = health.readiness.is_ready();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let active = health.current.load();
    let body = Ready {
        ready,
        identity_providers_without_keys: active.keys.without_keys(),
        configuration: &health.configuration.load(),
    };
    (status, Json(body)).into_response()
}
