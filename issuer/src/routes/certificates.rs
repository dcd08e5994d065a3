use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Extension, Json};
use gatepass_api::{CertificateResponse, Code, PROOF_HEADER, limit};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

use super::{App, Problem, Remote, RequestId, refuse};
use crate::active::Active;
use crate::audit::{Record, Trail};
use crate::error::Refusal;
use crate::issue::{Issued, Received};

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
    let body = match read(&app, &id, &parts.headers, body).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let mut trail = Trail::default();
    // Taken once, when the request is whole: a reload in the middle changes nothing for it.
    let active = app.current.load_full();
    let (now, outcome) = answer(&app, &active, &id, &remote, &parts.headers, &body, &mut trail).await;
    match outcome {
        Ok(answer) => (StatusCode::CREATED, Json(answer)).into_response(),
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
    active
        .issuer
        .exchange(received, &active.keys.snapshot(), now, &app.random, trail)
}

async fn read(app: &App, id: &RequestId, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    let refuse = |code, detail| refuse(id, code, detail, (app.clock)());
    if !is_json(headers) {
        return Err(refuse(
            Code::UnsupportedMediaType,
            "`Content-Type` must be application/json",
        ));
    }
    let too_large = || refuse(Code::TooLarge, "the body is longer than 256 KiB");
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit::BODY as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(app.body_deadline, whole(body)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(refuse(Code::MalformedRequest, "the body broke off")),
        Err(_) => Err(refuse(Code::MalformedRequest, "the body did not arrive in time")),
    }
}

/// Reads a body into one piece. Kept as they come, chunks of one byte each would take up thirty times what they hold, and a
/// stranger chooses their size.
async fn whole(body: Body) -> Result<Vec<u8>, BoxError> {
    let mut body = Limited::new(body, limit::BODY);
    // At most the limit: growing step by step would take more than that in the end.
    let longest = body.size_hint().upper().and_then(|upper| upper.try_into().ok());
    let mut bytes = Vec::with_capacity(longest.unwrap_or_default());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| parameter.eq_ignore_ascii_case("charset=utf-8"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use axum::body::Bytes;
    use hyper::body::Frame;

    use super::*;

    const PIECES: usize = 1000;

    /// A body of many chunks, each of which knows how many others are kept.
    struct Pieces {
        left: usize,
        kept: Arc<()>,
        most: Arc<std::sync::Mutex<usize>>,
    }

    struct Piece(#[expect(dead_code, reason = "counted while the piece is kept")] Arc<()>);

    impl AsRef<[u8]> for Piece {
        fn as_ref(&self) -> &[u8] {
            b"x"
        }
    }

    impl hyper::body::Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let mut most = self.most.lock().unwrap();
            *most = (*most).max(Arc::strong_count(&self.kept) - 1);
            drop(most);
            Poll::Ready(self.left.checked_sub(1).map(|left| {
                self.left = left;
                Ok(Frame::data(Bytes::from_owner(Piece(Arc::clone(&self.kept)))))
            }))
        }
    }

    #[tokio::test]
    async fn chunks_of_a_body_are_not_kept_one_by_one() {
        let most = Arc::default();
        let pieces = Pieces {
            left: PIECES,
            kept: Arc::new(()),
            most: Arc::clone(&most),
        };
        assert_eq!(whole(Body::new(pieces)).await.unwrap(), [b'x'; PIECES]);
        assert!(*most.lock().unwrap() <= 1, "{most:?}");
    }
}
