//! A request that brings tokens and a proof, read whole, and how it ends.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::HeaderMap;
use gatepass_api::{PROOF_HEADER, limit};

use super::{App, Problem, Remote, RequestId, body, refuse};
use crate::active::Active;
use crate::audit::{Event, Record, Trail};
use crate::error::Refusal;

pub(super) struct Call {
    pub(super) id: RequestId,
    pub(super) body: Vec<u8>,
    /// Taken once, when the request is whole: a reload in the middle changes nothing for it.
    pub(super) active: Arc<Active>,
    remote: String,
    headers: HeaderMap,
}

impl Call {
    pub(super) async fn read(app: &App, id: RequestId, request: Request) -> Result<Self, Problem> {
        let expected = body::Expected {
            media_type: "application/json",
            limit: limit::BODY,
            deadline: app.body_deadline,
        };
        Self::read_as(app, id.clone(), request, expected)
            .await
            .map_err(|error| refuse(&id, error.code(), &error.to_string(), (app.clock)()))
    }

    pub(super) async fn read_as(
        app: &App,
        id: RequestId,
        request: Request,
        expected: body::Expected,
    ) -> Result<Self, body::Error> {
        let remote = request
            .extensions()
            .get::<Remote>()
            .map_or(String::new(), |remote| remote.0.to_string());
        let (parts, body) = request.into_parts();
        let body = body::read(&parts.headers, body, expected).await?;
        Ok(Self {
            id,
            body,
            active: app.current.load_full(),
            remote,
            headers: parts.headers,
        })
    }

    /// A value that is not visible ASCII is no compact JWS; the empty text is refused as malformed.
    pub(super) fn proofs(&self) -> Vec<&str> {
        self.headers
            .get_all(PROOF_HEADER)
            .iter()
            .map(|value| value.to_str().unwrap_or_default())
            .collect()
    }

    pub(super) fn record<'a>(&'a self, event: Event, trail: &'a Trail, now: i64) -> Record<'a> {
        let cluster = &self.active.issuer.cluster.id;
        Record::of(event, now, &self.id.0, &self.remote, cluster, trail)
    }

    /// Notes and logs a refusal.
    pub(super) fn refuse(
        &self,
        app: &App,
        event: Event,
        trail: &Trail,
        refusal: &Refusal,
        now: i64,
    ) -> Problem {
        let code = refusal.code();
        let why = (code.to_string(), refusal.to_string());
        app.audit.note(&self.record(event, trail, now).because(Some(why)));
        if code.status() >= 500 {
            tracing::error!(request_id = %self.id.0, %code, detail = %refusal, "failed");
        } else {
            tracing::info!(request_id = %self.id.0, %code, detail = %refusal, "refused");
        }
        Problem::refusal(refusal, &self.id, now)
    }
}
