use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Serialize, Serializer};

use super::Clock;
use crate::active::Current;
use crate::clock::rfc3339;
use crate::metrics::{self, Metrics};
use crate::revocation::{MAX_AGE, Mode, Revocations};
use crate::server::Readiness;

/// What health is told from.
#[derive(Clone)]
pub struct Health {
    /// Says whose keys are known.
    pub current: Current,
    /// Whether requests should be sent here.
    pub readiness: Readiness,
    /// How the configuration in force and the one on disk differ.
    pub configuration: Arc<ArcSwap<ConfigurationStatus>>,
    /// What is revoked, and how old that is.
    pub revocations: Arc<Revocations>,
    /// What the store of revocations is called.
    pub store: &'static str,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: Clock,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
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
    revocation: Revocation,
}

/// The view of revocations.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Revocation {
    store: &'static str,
    mode: &'static str,
    /// `null` before the store was first read.
    age_seconds: Option<i64>,
    count: usize,
    /// In the store, and not in force: whoever wrote one of these believes otherwise.
    ignored: usize,
    stale: bool,
}

impl Revocation {
    fn of(health: &Health) -> Self {
        let age = health.revocations.age((health.clock)());
        Self {
            store: health.store,
            mode: match health.revocations.mode() {
                Mode::BestEffort => "best-effort",
                Mode::Strict => "strict",
            },
            age_seconds: age,
            count: health.revocations.len(),
            ignored: health.revocations.problems(),
            stale: age.is_none_or(|age| age > MAX_AGE),
        }
    }

    /// A replica that never read the store would let in whoever was revoked; one that cannot decide sends requests away.
    fn lets_decide(&self) -> bool {
        self.age_seconds.is_some() && !(self.stale && self.mode == "strict")
    }
}

/// `/livez`, `/readyz` and `/metrics`, for a listener of their own.
pub fn health_router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(measured))
        .with_state(health)
}

/// Ready from the moment the listeners are bound and the revocations were read until shutdown begins. A provider that is down does not make the
/// issuer unready: the others' users still get certificates, and taking every replica out helps nobody. Nor does a
/// configuration that was refused: what was loaded before stays in force.
async fn ready(State(health): State<Health>) -> Response {
    let revocation = Revocation::of(&health);
    let ready = health.readiness.is_ready() && revocation.lets_decide();
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
        revocation,
    };
    (status, Json(body)).into_response()
}

async fn measured(State(health): State<Health>) -> Response {
    let text = health.metrics.render(&health.revocations, (health.clock)());
    ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response()
}

#[cfg(test)]
mod tests;
