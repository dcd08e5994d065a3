use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use gatepass_api::CertificateResponse;

use super::call::Call;
use super::keys::with_keys;
use super::{App, RequestId};
use crate::audit::{Event, Trail, Unavailable};
use crate::error::Refusal;
use crate::issue::{Issued, Known, Received};

/// `POST /v1/certificates`.
pub(super) async fn issue(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    let call = match Call::read(&app, id, request).await {
        Ok(call) => call,
        Err(problem) => {
            app.metrics.refused(problem.code());
            return problem.into_response();
        }
    };
    let mut trail = Trail::default();
    let (now, outcome) = answer(&app, &call, &mut trail).await;
    match outcome {
        Ok(answer) => {
            app.metrics.issued();
            (StatusCode::CREATED, Json(answer)).into_response()
        }
        Err(refusal) => {
            app.metrics.refused(&refusal.code());
            call.refuse(&app, Event::CertificateRefused, &trail, &refusal, now)
                .into_response()
        }
    }
}

async fn answer(app: &App, call: &Call, trail: &mut Trail) -> (i64, Result<CertificateResponse, Refusal>) {
    let attempt = |now| {
        *trail = Trail::default();
        let outcome = exchange(app, call, now, trail);
        (trail.idp, outcome)
    };
    let (now, outcome) = with_keys(app, &call.active, attempt).await;
    let issued = match outcome {
        Ok(issued) => issued,
        Err(refusal) => return (now, Err(refusal)),
    };
    let record = call.record(Event::CertificateIssued, trail, now);
    match app.audit.record(&record).await {
        Ok(receipt) => (now, Ok(issued.recorded(receipt))),
        Err(Unavailable) => (now, Err(Refusal::Audit)),
    }
}

fn exchange(app: &App, call: &Call, now: i64, trail: &mut Trail) -> Result<Issued, Refusal> {
    let received = Received {
        proofs: &call.proofs(),
        body: &call.body,
    };
    let known = Known {
        keys: &call.active.keys.snapshot(),
        revocations: &app.revocations,
        now,
    };
    call.active.issuer.exchange(received, known, &app.random, trail)
}
