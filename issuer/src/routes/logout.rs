use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::call::Call;
use super::keys::with_keys;
use super::{App, RequestId};
use crate::audit::{Event, Trail};
use crate::error::Refusal;
use crate::issue::Received;
use crate::logout::LoggedOut;
use crate::revocation::store::Existing;

/// `POST /v1/logout`: a person ends their session.
pub(super) async fn log_out(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    let call = match Call::read(&app, id, request).await {
        Ok(call) => call,
        Err(problem) => return problem.into_response(),
    };
    let mut trail = Trail::default();
    let attempt = |now| {
        trail = Trail::default();
        let received = Received {
            proofs: &call.proofs(),
            body: &call.body,
        };
        let keys = call.active.keys.snapshot();
        let outcome = call.active.issuer.log_out(received, &keys, now, &mut trail);
        (trail.idp, outcome)
    };
    let (now, outcome) = with_keys(&app, &call.active, attempt).await;
    match end(&app, outcome).await {
        Ok(()) => {
            app.audit.note(&call.record(Event::SessionEnded, &trail, now));
            StatusCode::NO_CONTENT.into_response()
        }
        Err(refusal) => call
            .refuse(&app, Event::LogoutRefused, &trail, &refusal, now)
            .into_response(),
    }
}

async fn end(app: &App, outcome: Result<LoggedOut, Refusal>) -> Result<(), Refusal> {
    match outcome? {
        // Nothing to be denied is left.
        LoggedOut::Over => Ok(()),
        LoggedOut::Revoke { name, spec } => Ok(app.store.put(&name, &spec, Existing::Leave).await?),
    }
}
