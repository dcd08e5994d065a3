//! Reading a request's body: its media type, its greatest length, its deadline.

use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use gatepass_api::Code;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

/// What a body must be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) media_type: &'static str,
    /// Greatest length in bytes.
    pub(super) limit: usize,
    /// How long it may take to arrive.
    pub(super) deadline: Duration,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("`Content-Type` must be {0}")]
    MediaType(&'static str),
    #[error("the body is longer than {} KiB", .0 / 1024)]
    TooLarge(usize),
    #[error("the body broke off")]
    Broken,
    #[error("the body did not arrive in time")]
    Late,
}

impl Error {
    pub(super) fn code(self) -> Code {
        match self {
            Self::MediaType(_) => Code::UnsupportedMediaType,
            Self::TooLarge(_) => Code::TooLarge,
            Self::Broken | Self::Late => Code::MalformedRequest,
        }
    }
}

/// Reads a whole body.
pub(super) async fn read(headers: &HeaderMap, body: Body, expected: Expected) -> Result<Vec<u8>, Error> {
    // At most what was announced: growing step by step would take more than that in the end.
    let longest = body.size_hint().exact().and_then(|length| length.try_into().ok());
    let longest: usize = longest
        .filter(|length| *length <= expected.limit)
        .unwrap_or_default();
    let mut bytes = Vec::new();
    let mut take = |part: &[u8]| {
        bytes.reserve_exact(longest.saturating_sub(bytes.len()));
        bytes.extend_from_slice(part);
    };
    read_into(headers, body, expected, &mut take).await?;
    Ok(bytes)
}

/// Hands each part of a body on as it comes.
pub(super) async fn read_into(
    headers: &HeaderMap,
    body: Body,
    expected: Expected,
    take: &mut (impl FnMut(&[u8]) + Send),
) -> Result<(), Error> {
    check_media_type(expected.media_type, headers)?;
    let too_large = Error::TooLarge(expected.limit);
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > expected.limit as u64) {
        return Err(too_large);
    }
    match tokio::time::timeout(expected.deadline, whole(body, expected.limit, take)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large),
        Ok(Err(_)) => Err(Error::Broken),
        Err(_) => Err(Error::Late),
    }
}

/// Reads a body to its end. Kept as they come, chunks of one byte each would take up thirty times what they hold, and a
/// stranger chooses their size.
async fn whole(body: Body, limit: usize, take: &mut impl FnMut(&[u8])) -> Result<(), BoxError> {
    let mut body = Limited::new(body, limit);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            take(&data);
        }
    }
    Ok(())
}

/// Whether a body is what it has to be, by its header.
pub(super) fn check_media_type(media_type: &'static str, headers: &HeaderMap) -> Result<(), Error> {
    if is(media_type, headers) {
        Ok(())
    } else {
        Err(Error::MediaType(media_type))
    }
}

fn is(media_type: &str, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case(media_type)
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

    use gatepass_api::limit;

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
        let mut bytes = Vec::new();
        let mut take = |part: &[u8]| bytes.extend_from_slice(part);
        whole(Body::new(pieces), limit::BODY, &mut take).await.unwrap();
        assert_eq!(bytes, [b'x'; PIECES]);
        assert!(*most.lock().unwrap() <= 1, "{most:?}");
    }
}
