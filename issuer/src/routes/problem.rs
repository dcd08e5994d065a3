use aws_lc_rs::rand::SecureRandom;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use gatepass_api::{Code, PROBLEM_MEDIA_TYPE, PROBLEM_TYPE_PREFIX};

use super::App;
use crate::clock::rfc3339;
use crate::error::Refusal;

/// Names a request in the answer, the log and the audit record. Always ours: a caller's own could imitate another's.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// A problem document (RFC 9457) on its way out.
#[derive(Debug)]
pub struct Problem(gatepass_api::Problem);

impl Problem {
    /// A problem; of failures inside the issuer the caller learns no detail.
    pub(super) fn new(code: Code, detail: String, id: &RequestId, now: i64) -> Self {
        let status = code.status();
        let detail = if status >= 500 {
            format!("{}; try again later", code.title())
        } else {
            detail
        };
        Self(gatepass_api::Problem {
            kind: format!("{PROBLEM_TYPE_PREFIX}{code}"),
            title: code.title().to_owned(),
            status,
            code,
            detail,
            request_id: id.0.clone(),
            server_time: rfc3339(now),
            login_after: None,
        })
    }

    pub(super) fn code(&self) -> &Code {
        &self.0.code
    }

    pub(super) fn refusal(refusal: &Refusal, id: &RequestId, now: i64) -> Self {
        let mut problem = Self::new(refusal.code(), refusal.to_string(), id, now);
        problem.0.login_after = refusal.login_after().map(rfc3339);
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, PROBLEM_MEDIA_TYPE)], body).into_response()
    }
}

/// Gives each request its id, and each answer the headers that all have.
pub(super) async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let mut bytes = [0; 16];
    let id = RequestId(match app.random.fill(&mut bytes) {
        Ok(()) => HEXLOWER.encode(&bytes),
        Err(_) => "unknown".into(),
    });
    request.extensions_mut().insert(id.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    tracing::debug!(
        request_id = %id.0, %method, path = %crate::escape::visible(&path, 128),
        status = response.status().as_u16(), "answered"
    );
    response
}

pub(super) async fn not_found(
    State(app): State<App>,
    axum::Extension(id): axum::Extension<RequestId>,
) -> Problem {
    super::refuse(
        &id,
        Code::NotFound,
        "this issuer serves /v1/cluster, /v1/certificates, /v1/logout and /v1/backchannel-logout",
        (app.clock)(),
    )
}

pub(super) async fn not_found_for_api_servers(
    State(app): State<App>,
    axum::Extension(id): axum::Extension<RequestId>,
) -> Problem {
    super::refuse(
        &id,
        Code::NotFound,
        "this listener serves /v1/authorize and /v1/audit; people's clients use the other one",
        (app.clock)(),
    )
}

pub(super) async fn method_not_allowed(
    State(app): State<App>,
    axum::Extension(id): axum::Extension<RequestId>,
) -> Problem {
    super::refuse(
        &id,
        Code::MethodNotAllowed,
        "the header `Allow` names the methods of this path",
        (app.clock)(),
    )
}
