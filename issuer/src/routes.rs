//! HTTP: paths, media types, limits and problem documents. What is decided is decided in [`crate::issue`],
//! [`crate::logout`] and [`crate::authorize`].

mod audit;
mod authorize;
mod backchannel;
mod body;
mod call;
mod certificates;
mod cluster;
mod health;
mod keys;
mod logout;
mod problem;
mod skim;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use axum::Router;
use axum::routing::{get, post};
use gatepass_api::{Code, path};

use crate::active::Current;
use crate::audit::AuditLog;
use crate::detection::Outlet;
use crate::metrics::Metrics;
use crate::revocation::Revocations;
use crate::revocation::store::Store;

pub use health::{ConfigurationStatus, Health, health_router};
pub use problem::{Problem, RequestId};

/// Says what time it is, in Unix seconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the handlers share.
#[derive(Clone)]
pub struct App {
    /// Decides.
    pub current: Current,
    /// What is revoked.
    pub revocations: Arc<Revocations>,
    /// Where revocations are kept.
    pub store: Arc<Store>,
    /// Where records go.
    pub audit: AuditLog,
    /// Where findings go.
    pub outlet: Outlet,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: Clock,
    /// The source of randomness.
    pub random: SystemRandom,
    /// How long a body may take to arrive.
    pub body_deadline: Duration,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

/// The address a request came from, put into its extensions by the server.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub std::net::SocketAddr);

/// The common name of the certificate a client has shown, put into its requests' extensions by the server; only where the
/// listener asks for one.
#[derive(Clone, Debug)]
pub struct ClientName(pub Arc<str>);

/// The routes that clients use.
pub fn router(app: App) -> Router {
    Router::new()
        .route(path::CLUSTER, get(cluster::cluster))
        .route(path::CERTIFICATES, post(certificates::issue))
        .route(path::LOGOUT, post(logout::log_out))
        .route(path::BACKCHANNEL_LOGOUT, post(backchannel::log_out))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(
            app.clone(),
            problem::identify,
        ))
        .with_state(app)
}

/// The routes that API servers use, on a listener of their own: only who is named there gets an answer.
pub fn webhooks_router(app: App) -> Router {
    Router::new()
        .route(path::AUTHORIZE, post(authorize::authorize))
        .route(
            path::AUDIT,
            post(audit::audit).layer(axum::Extension(audit::Turns::default())),
        )
        .fallback(problem::not_found_for_api_servers)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(
            app.clone(),
            authorize::only_api_servers,
        ))
        .layer(axum::middleware::from_fn_with_state(
            app.clone(),
            problem::identify,
        ))
        .with_state(app)
}

/// A refusal that HTTP itself gives reason for.
fn refuse(id: &RequestId, code: Code, detail: &str, now: i64) -> Problem {
    Problem::new(code, detail.to_owned(), id, now)
}

#[cfg(test)]
mod tests;
