//! `POST /v1/authorize`: an API server's webhook authorizer (SubjectAccessReview v1).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use gatepass_api::Code;
use serde::{Deserialize, Serialize};

use super::skim::Skimmed;
use super::{App, ClientName, RequestId, body, refuse};
use crate::authorize::{Asker, Verdict, Why, judge};
use crate::detection::CREDENTIAL_ID;
use crate::escape::visible;
use crate::metrics::Decision;

const API_VERSION: &str = "authorization.k8s.io/v1";
const KIND: &str = "SubjectAccessReview";
/// Above all that an API server can be made to send: selectors of a request's URL (1 MiB of header) come back in the review,
/// each byte of them escaped. A smaller limit would be a way out: who is refused an answer here is judged by
/// `failurePolicy`, and may choose the length of their own URL. Nor is what they choose held, see [`super::skim`].
const MAX_REVIEW: usize = 32 * 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(10);
/// How much of a reason is told.
const SHOWN: usize = 1024;

/// What is read of a review; whatever else newer API servers say is ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    spec: Spec<'a>,
}

#[derive(Debug, Deserialize)]
struct Spec<'a> {
    #[serde(borrow, default)]
    user: Cow<'a, str>,
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(borrow, default)]
    groups: Texts<'a>,
    #[serde(borrow, default)]
    extra: Option<HashMap<Cow<'a, str>, Texts<'a>>>,
}

/// `null` is how Go writes a list or a map that was never made.
type Texts<'a> = Option<Vec<Cow<'a, str>>>;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    api_version: &'static str,
    kind: &'static str,
    status: Status,
}

/// Never `allowed`. A reason only with `denied`: that of "no opinion" would stand in every ordinary refusal by RBAC.
#[derive(Debug, Serialize)]
struct Status {
    allowed: bool,
    denied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Refuses whoever is not an API server by the configuration. A certificate of the listener's authority is not enough: it
/// may sign others, too.
pub(super) async fn only_api_servers(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
    next: Next,
) -> Response {
    let name = request.extensions().get::<ClientName>().cloned();
    let active = app.current.load_full();
    let is_named = |name: &ClientName| active.webhook_clients.iter().any(|known| **known == *name.0);
    if name.as_ref().is_some_and(is_named) {
        return next.run(request).await;
    }
    let shown = name.map_or(String::new(), |name| visible(&name.0, SHOWN).into_owned());
    tracing::warn!(request_id = %id.0, name = shown, "a client that is not among webhooks.clients.names was refused");
    refuse(
        &id,
        Code::NotPermitted,
        "the client certificate's common name is not among webhooks.clients.names",
        (app.clock)(),
    )
    .into_response()
}

/// Denies, or has no opinion.
pub(super) async fn authorize(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let expected = body::Expected {
        media_type: "application/json",
        limit: MAX_REVIEW,
        deadline: DEADLINE,
    };
    let now = (app.clock)();
    let mut skimmed = Skimmed::default();
    let mut take = |part: &[u8]| skimmed.take(part);
    if let Err(error) = body::read_into(&parts.headers, body, expected, &mut take).await {
        app.metrics.decided(Decision::Error);
        return refuse(&id, error.code(), &error.to_string(), now).into_response();
    }
    let body = skimmed.into_kept();
    let malformed = |detail| {
        app.metrics.decided(Decision::Error);
        refuse(&id, Code::MalformedRequest, detail, now).into_response()
    };
    let Ok(review) = serde_json::from_slice::<Review<'_>>(&body) else {
        return malformed("the body is not a SubjectAccessReview");
    };
    if review.api_version != API_VERSION || review.kind != KIND {
        return malformed("this is not a SubjectAccessReview of authorization.k8s.io/v1");
    }
    let spec = &review.spec;
    let groups: Vec<&str> = spec.groups.iter().flatten().map(|group| &**group).collect();
    let ids = spec
        .extra
        .as_ref()
        .and_then(|extra| extra.get(CREDENTIAL_ID)?.as_ref());
    let credential_ids: Vec<&str> = ids.into_iter().flatten().map(|id| &**id).collect();
    let asker = Asker {
        user: &spec.user,
        uid: &spec.uid,
        groups: &groups,
        credential_ids: &credential_ids,
    };
    let active = app.current.load_full();
    let issuer = &active.issuer;
    let verdict = app.revocations.ask(now, |view| {
        judge(&asker, &issuer.cluster.id, &issuer.markers, view, now)
    });
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(stale) => {
            tracing::error!(request_id = %id.0, %stale, "not answered: failurePolicy decides");
            app.metrics.decided(Decision::Error);
            return refuse(&id, Code::RevocationViewStale, &stale.to_string(), now).into_response();
        }
    };
    app.metrics.decided(match &verdict {
        Verdict::Deny(_) => Decision::Deny,
        Verdict::NoOpinion => Decision::NoOpinion,
    });
    if let Verdict::Deny(why) = &verdict {
        tracing::info!(
            request_id = %id.0, user = %visible(&spec.user, SHOWN),
            credential_id = %credential_ids.first().map_or("".into(), |id| visible(id, 128)),
            revoked = revoked(why), why = reason(why), "denied"
        );
    }
    Json(answer(&verdict)).into_response()
}

fn answer(verdict: &Verdict) -> Answer {
    let reason = match verdict {
        Verdict::NoOpinion => None,
        Verdict::Deny(why) => Some(reason(why)),
    };
    Answer {
        api_version: API_VERSION,
        kind: KIND,
        status: Status {
            allowed: false,
            denied: reason.is_some(),
            reason,
        },
    }
}

/// By which kind of target, so that an operator knows which revocation to look for.
fn revoked(why: &Why) -> Option<&'static str> {
    match why {
        Why::Revoked { target, .. } => Some(target),
        Why::Forged | Why::Ended(_) => None,
    }
}

/// One line that kubectl shows: what an operator has written is escaped.
fn reason(why: &Why) -> String {
    let because = |reason: &Arc<String>| format!(": {}", visible(reason, SHOWN));
    match why {
        Why::Forged => "Gatepass: this certificate's marker is not valid for its name and groups".into(),
        Why::Ended(seconds) => format!("Gatepass: this certificate ended {seconds} s ago"),
        Why::Revoked { reason, .. } => format!(
            "Gatepass: access was revoked{}",
            reason.as_ref().map(because).unwrap_or_default()
        ),
    }
}
