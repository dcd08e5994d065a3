use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use gatepass_api::{CertificateResponse, PROOF_HEADER, limit};

use super::{App, Problem, Remote, RequestId, body, refuse};
use crate::active::Active;
use crate::audit::{Record, Trail};
use crate::error::Refusal;
use crate::issue::{Issued, Known, Received};

/// `POST /v1/certificates`.
pub(super) async fn issue(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    let remote = request
        .extensions()
        .get::<Remote>()
        .map_or(String::new(), |remote| remote.0.to_string());
    let (parts, body) = request.into_parts();
    let expected = body::Expected {
        media_type: "application/json",
        limit: limit::BODY,
        deadline: app.body_deadline,
    };
    let body = match body::read(&parts.headers, body, expected).await {
        Ok(body) => body,
        Err(error) => {
            app.metrics.refused(&error.code());
            return refuse(&id, error.code(), &error.to_string(), (app.clock)()).into_response();
        }
    };
    let mut trail = Trail::default();
    // Taken once, when the request is whole: a reload in the middle changes nothing for it.
    let active = app.current.load_full();
    let (now, outcome) = answer(&app, &active, &id, &remote, &parts.headers, &body, &mut trail).await;
    match outcome {
        Ok(answer) => {
            app.metrics.issued();
            (StatusCode::CREATED, Json(answer)).into_response()
        }
        Err(refusal) => {
            let record = Record::new(
                now,
                &id.0,
                &remote,
                &active.issuer.cluster.id,
                &trail,
                Some(&refusal),
            );
            app.audit.note(&record);
            let code = refusal.code();
            app.metrics.refused(&code);
            if code.status() >= 500 {
                tracing::error!(request_id = %id.0, %code, detail = %refusal, "no certificate");
            } else {
                tracing::info!(request_id = %id.0, %code, detail = %refusal, "refused");
            }
            Problem::refusal(&refusal, &id, now).into_response()
        }
    }
}

async fn answer(
    app: &App,
    active: &Active,
    id: &RequestId,
    remote: &str,
    headers: &HeaderMap,
    body: &[u8],
    trail: &mut Trail,
) -> (i64, Result<CertificateResponse, Refusal>) {
    let mut now = (app.clock)();
    let mut outcome = exchange(app, active, headers, body, now, trail);
    // A key that is not known may be a new one. Fetching is cooled down, and tried once.
    if let (Err(refusal), Some(idp)) = (&outcome, trail.idp)
        && refusal.wants_keys()
    {
        let published = active.keys.refresh(idp).await;
        now = (app.clock)();
        *trail = Trail::default();
        outcome = exchange(app, active, headers, body, now, trail);
        if !published && matches!(outcome, Err(Refusal::IdToken(crate::id_token::Error::UnknownKey))) {
            // The provider cannot be asked, so "unknown" would be a guess.
            outcome = Err(crate::id_token::Error::KeysUnavailable.into());
        }
    }
    let issued = match outcome {
        Ok(issued) => issued,
        Err(refusal) => return (now, Err(refusal)),
    };
    let record = Record::new(now, &id.0, remote, &active.issuer.cluster.id, trail, None);
    match app.audit.record(&record).await {
        Ok(receipt) => (now, Ok(issued.recorded(receipt))),
        Err(crate::audit::Unavailable) => (now, Err(Refusal::Audit)),
    }
}

fn exchange(
    app: &App,
    active: &Active,
    headers: &HeaderMap,
    body: &[u8],
    now: i64,
    trail: &mut Trail,
) -> Result<Issued, Refusal> {
    // A value that is not visible ASCII is no compact JWS; the empty text is refused as malformed.
    let proofs: Vec<&str> = headers
        .get_all(PROOF_HEADER)
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    let received = Received {
        proofs: &proofs,
        body,
    };
    let known = Known {
        keys: &active.keys.snapshot(),
        revocations: &app.revocations,
        now,
    };
    active.issuer.exchange(received, known, &app.random, trail)
}
