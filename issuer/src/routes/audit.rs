//! `POST /v1/audit`: an API server's audit webhook (audit.k8s.io/v1 EventList).

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gatepass_api::Code;
use tokio::sync::Semaphore;

use super::{App, RequestId, body, refuse};
use crate::detection::{EventListError, Events, Known, examine};

/// Four hundred events with the bodies of requests and answers in them are large, and one that is refused is lost: the API
/// server sends it five times and then no more.
const MAX_EVENTS: usize = 32 * 1024 * 1024;
/// How long the API server waits.
const DEADLINE: Duration = Duration::from_secs(30);
/// How many bodies are held at once: four times the above, twice that while one is read that is not UTF-8.
const AT_ONCE: usize = 4;
/// How long a body waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bounds how many bodies are held at once.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Looks at the events. The answer does not wait for anybody who is told of findings.
pub(super) async fn audit(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    Extension(Turns(turns)): Extension<Turns>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, turns.acquire_owned()).await else {
        tracing::error!(request_id = %id.0, "audit events were refused: too many at once");
        return refuse(
            &id,
            Code::RateLimited,
            "too many at once; try again",
            (app.clock)(),
        )
        .into_response();
    };
    let expected = body::Expected {
        media_type: "application/json",
        limit: MAX_EVENTS,
        deadline: DEADLINE,
    };
    let body = match body::read(&parts.headers, body, expected).await {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(request_id = %id.0, %error, "audit events were refused");
            return refuse(&id, error.code(), &error.to_string(), (app.clock)()).into_response();
        }
    };
    let now = (app.clock)();
    // Apart from the threads that answer whether somebody is revoked.
    let looked = tokio::task::spawn_blocking(move || {
        let outcome = look(&app, &body, now);
        drop(turn);
        outcome
    });
    match looked.await {
        Ok(Ok(())) => StatusCode::OK.into_response(),
        Ok(Err(error)) => {
            tracing::error!(request_id = %id.0, %error, "audit events were refused");
            refuse(&id, Code::MalformedRequest, &error.to_string(), now).into_response()
        }
        Err(_) => {
            tracing::error!(request_id = %id.0, "looking at audit events failed");
            refuse(&id, Code::Internal, "", now).into_response()
        }
    }
}

fn look(app: &App, body: &[u8], now: i64) -> Result<(), EventListError> {
    // The body of a patch is in its event as it came, and need not be text.
    let text = String::from_utf8_lossy(body);
    let events = Events::parse(&text)?;
    let active = app.current.load_full();
    let (issuer, detection) = (&active.issuer, &active.detection);
    let known = Known {
        rules: &detection.rules,
        cluster_id: &issuer.cluster.id,
        markers: &issuer.markers,
        is_revoked: &|credential_id| app.revocations.is_known_bad(credential_id, now),
    };
    let mut unreadable = 0;
    for event in events.iter() {
        let Some(event) = event else {
            unreadable += 1;
            continue;
        };
        if let Some(examined) = examine(&event, &known, now) {
            let send = detection.webhook.is_some();
            app.outlet
                .report(&event, &examined, &issuer.cluster.id, send, now);
        }
    }
    app.metrics.audit_events(events.len(), unreadable);
    if unreadable > 0 {
        tracing::error!(
            unreadable,
            of = events.len(),
            "audit events that cannot be read were left out"
        );
    }
    Ok(())
}
