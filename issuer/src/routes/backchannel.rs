//! `POST /v1/backchannel-logout`: an identity provider says that a person has logged out there (OpenID Connect Back-Channel
//! Logout 1.0, section 2.5 and following). Who signed the token is who asks; there is no other authentication.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use gatepass_api::limit;
use serde_json::json;

use super::call::Call;
use super::keys::with_keys;
use super::{App, RequestId, body};
use crate::audit::{Event, Trail};
use crate::escape::visible;
use crate::id_token;
use crate::logout_token::Error;
use crate::revocation::store::{Existing, WriteError};

/// How much of a failure is told.
const SHOWN: usize = 256;

/// Why there was no logout.
enum Failure {
    Body(body::Error),
    /// Not exactly one parameter `logout_token`.
    Form,
    Token(Error),
    Store(WriteError),
}

pub(super) async fn log_out(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    let expected = body::Expected {
        media_type: "application/x-www-form-urlencoded",
        limit: limit::BODY,
        deadline: app.body_deadline,
    };
    let call = match Call::read_as(&app, id.clone(), request, expected).await {
        Ok(call) => call,
        Err(error) => {
            tracing::warn!(request_id = %id.0, %error, "a back-channel logout was refused");
            return Failure::Body(error).into_response();
        }
    };
    let mut trail = Trail::default();
    let (now, outcome) = answer(&app, &call, &mut trail).await;
    let Err(failure) = outcome else {
        app.audit.note(&call.record(Event::SubjectLoggedOut, &trail, now));
        return StatusCode::OK.into_response();
    };
    let (status, error, detail) = failure.told();
    let record = call.record(Event::BackchannelLogoutRefused, &trail, now);
    app.audit
        .note(&record.because(Some((error.to_owned(), detail.clone()))));
    if status.is_server_error() {
        tracing::error!(request_id = %call.id.0, error, detail, "no back-channel logout");
    } else {
        tracing::warn!(request_id = %call.id.0, error, detail, "a back-channel logout was refused");
    }
    failure.into_response()
}

async fn answer(app: &App, call: &Call, trail: &mut Trail) -> (i64, Result<(), Failure>) {
    let Some(token) = only_token(&call.body) else {
        return ((app.clock)(), Err(Failure::Form));
    };
    let attempt = |now| {
        *trail = Trail::default();
        let keys = call.active.keys.snapshot();
        let outcome = call.active.issuer.subject_logged_out(&token, &keys, now, trail);
        (trail.idp, outcome)
    };
    let (now, outcome) = with_keys(app, &call.active, attempt).await;
    let kept = match outcome {
        Ok((name, spec)) => app
            .store
            .put(&name, &spec, Existing::Replace)
            .await
            .map_err(Failure::Store),
        Err(error) => Err(Failure::Token(error)),
    };
    (now, kept)
}

/// Other parameters are ignored (section 2.5).
fn only_token(body: &[u8]) -> Option<String> {
    let mut tokens = url::form_urlencoded::parse(body).filter(|(name, _)| name == "logout_token");
    let (_, token) = tokens.next()?;
    tokens.next().is_none().then(|| token.into_owned())
}

impl Failure {
    /// Status, error code and words. What is our fault is a 5xx, so that the provider may try again.
    fn told(&self) -> (StatusCode, &'static str, String) {
        let refused = |detail: &dyn std::fmt::Display| {
            let detail = visible(&detail.to_string(), SHOWN).into_owned();
            (StatusCode::BAD_REQUEST, "invalid_request", detail)
        };
        match self {
            Self::Body(error) => refused(error),
            Self::Form => refused(&"the body must have exactly one parameter `logout_token`"),
            Self::Token(Error::Token(error @ id_token::Error::KeysUnavailable)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                error.to_string(),
            ),
            Self::Token(error) => refused(error),
            Self::Store(error) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                error.to_string(),
            ),
        }
    }
}

impl IntoResponse for Failure {
    /// As section 2.8 says.
    fn into_response(self) -> Response {
        let (status, error, detail) = self.told();
        // A caller learns nothing of what failed in here.
        let detail = if status.is_server_error() {
            "try again later"
        } else {
            detail.as_str()
        };
        (status, Json(json!({"error": error, "error_description": detail}))).into_response()
    }
}
