//! `POST /v1/audit`: an API server's audit webhook (audit.k8s.io/v1 EventList).

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gatepass_api::Code;
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use super::{App, RequestId, body, refuse};
use crate::detection::{EventListError, Known, examine, read_events};

/// Longest event. An API server takes a header of 1 MiB, of which each byte may come back as six; policies that put bodies
/// into events make longer ones. What is longer, and what comes after it in its batch, is not looked at.
const MAX_EVENT: usize = 32 * 1024 * 1024;
/// How long the API server waits.
const DEADLINE: Duration = Duration::from_secs(30);
/// How many bodies are read at once: of each, one event is held.
const AT_ONCE: usize = 4;
/// Parts of a body that wait to be read.
const PARTS: usize = 8;
/// How long a body waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bounds how many bodies are read at once.
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
    if let Err(error) = body::check_media_type("application/json", &parts.headers) {
        return refuse(&id, error.code(), &error.to_string(), (app.clock)()).into_response();
    }
    let now = (app.clock)();
    let refused = |problem: String| {
        tracing::error!(request_id = %id.0, problem, "audit events were refused, or some of them");
        refuse(&id, Code::MalformedRequest, &problem, now).into_response()
    };
    let end = Instant::now() + DEADLINE;
    // A thread is taken when there is something to read.
    let mut body = body;
    let first = match timeout_at(end, next_part(&mut body)).await {
        Ok(Ok(part)) => part.unwrap_or_default(),
        Ok(Err(_)) => return refused("the body broke off".into()),
        Err(_) => return refused("the body did not arrive in time".into()),
    };
    let (parts, arriving) = mpsc::channel(PARTS);
    // Apart from the threads that answer whether somebody is revoked.
    let looking = tokio::task::spawn_blocking(move || {
        let outcome = look(&app, Arriving::new(arriving), now);
        drop(turn);
        outcome
    });
    let arrived = timeout_at(end, hand_on(first, body, parts)).await;
    match (arrived, looking.await) {
        (_, Err(_)) => {
            tracing::error!(request_id = %id.0, "looking at audit events failed");
            refuse(&id, Code::Internal, "", now).into_response()
        }
        (Ok(Ok(())), Ok(Ok(()))) => StatusCode::OK.into_response(),
        (Err(_), _) => refused("the body did not arrive in time".into()),
        (Ok(Err(_)), _) => refused("the body broke off".into()),
        (Ok(Ok(())), Ok(Err(error))) => refused(error.to_string()),
    }
}

async fn next_part(body: &mut Body) -> Result<Option<Bytes>, axum::Error> {
    while let Some(frame) = body.frame().await {
        if let Ok(part) = frame?.into_data() {
            return Ok(Some(part));
        }
    }
    Ok(None)
}

/// Hands a body on in parts; whoever reads them may have seen enough.
async fn hand_on(first: Bytes, mut body: Body, parts: mpsc::Sender<Bytes>) -> Result<(), axum::Error> {
    let mut next = Some(first);
    while let Some(part) = next {
        if parts.send(part).await.is_err() {
            break;
        }
        next = next_part(&mut body).await?;
    }
    Ok(())
}

/// A body on its way, to be read by a thread that may wait. The body of a patch is in its event as it came and need not be
/// text: what is none is replaced.
struct Arriving {
    parts: mpsc::Receiver<Bytes>,
    /// Text that was not read yet, from `at` on.
    text: Vec<u8>,
    at: usize,
    /// The beginning of a character whose end is in the next part.
    cut: Vec<u8>,
    /// Bytes since the last event.
    since: Arc<AtomicUsize>,
}

impl Arriving {
    fn new(parts: mpsc::Receiver<Bytes>) -> Self {
        Self {
            parts,
            text: Vec::new(),
            at: 0,
            cut: Vec::new(),
            since: Arc::default(),
        }
    }

    fn take(&mut self, part: &[u8]) {
        self.text.clear();
        self.at = 0;
        let bytes = [&std::mem::take(&mut self.cut), part].concat();
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.text.extend_from_slice(chunk.valid().as_bytes());
            let invalid = chunk.invalid();
            // The last one may be a character that goes on.
            let goes_on = chunks.peek().is_none()
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if goes_on {
                self.cut = invalid.to_vec();
            } else if !invalid.is_empty() {
                self.text.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text.len() {
            let Some(part) = self.parts.blocking_recv() else {
                return Ok(0);
            };
            self.take(&part);
        }
        let count = buffer.len().min(self.text.len() - self.at);
        buffer[..count].copy_from_slice(&self.text[self.at..self.at + count]);
        self.at += count;
        if self.since.fetch_add(count, Ordering::Relaxed) > MAX_EVENT {
            return Err(io::Error::other("an event is too long"));
        }
        Ok(count)
    }
}

fn look(app: &App, body: Arriving, now: i64) -> Result<(), EventListError> {
    let active = app.current.load_full();
    let (issuer, detection) = (&active.issuer, &active.detection);
    let known = Known {
        rules: &detection.rules,
        cluster_id: &issuer.cluster.id,
        markers: &issuer.markers,
        is_revoked: &|credential_id| app.revocations.is_known_bad(credential_id, now),
    };
    let (mut count, mut unreadable) = (0, 0);
    let since = Arc::clone(&body.since);
    let outcome = read_events(body, &mut |event| {
        since.store(0, Ordering::Relaxed);
        count += 1;
        let Some(event) = event else {
            unreadable += 1;
            return;
        };
        if let Some(examined) = examine(&event, &known, now) {
            let send = detection.webhook.is_some();
            app.outlet
                .report(&event, &examined, &issuer.cluster.id, send, now);
        }
    });
    app.metrics.audit_events(count, unreadable);
    if unreadable > 0 {
        tracing::error!(
            unreadable,
            of = count,
            "audit events that cannot be read were left out"
        );
    }
    outcome.map(|_| ())
}
