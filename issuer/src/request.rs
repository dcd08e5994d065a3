//! Bodies: bytes → [`CertificateRequest`] or [`LogoutRequest`] within their limits.

use gatepass_api::{CertificateRequest, LogoutRequest, limit};

use crate::strict_json;

/// Why a body is not a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not strict JSON.
    #[error("the body is malformed: {0}")]
    Json(#[from] strict_json::Error),
    /// A member has the value `null`.
    #[error("the body is malformed: a member is `null`; leave it out instead")]
    Null,
    /// A member is unknown, missing or of the wrong type.
    #[error(
        "the body is malformed: it must have texts `idToken` and `csr`, may have `loginToken` and `reason` (texts), \
         `groups` (a list of texts) and `ttlSeconds` (a positive integer), and nothing else"
    )]
    Members,
    /// A member of a request to log out is unknown, missing or of the wrong type.
    #[error("the body is malformed: it must have the text `token`, and nothing else")]
    LogoutMembers,
    /// `reason` is longer than [`limit::REASON`].
    #[error("`reason` is longer than 1 KiB")]
    ReasonTooLarge,
}

/// Parses the body of `POST /v1/logout`, of at most [`limit::BODY`] bytes.
pub fn logout(body: &[u8]) -> Result<LogoutRequest, Error> {
    let members = strict_json::object(body)?;
    serde_json::from_value(serde_json::Value::Object(members)).map_err(|_| Error::LogoutMembers)
}

/// Parses the body of `POST /v1/certificates`, of at most [`limit::BODY`] bytes.
pub fn parse(body: &[u8]) -> Result<CertificateRequest, Error> {
    let members = strict_json::object(body)?;
    // `null` for "absent" would make "a positive integer" and "a text" mean two things.
    if members.values().any(serde_json::Value::is_null) {
        return Err(Error::Null);
    }
    // serde's own message would repeat what was sent, a token in the wrong place included.
    let request: CertificateRequest =
        serde_json::from_value(serde_json::Value::Object(members)).map_err(|_| Error::Members)?;
    if request.ttl_seconds == Some(0) {
        return Err(Error::Members);
    }
    if request
        .reason
        .as_ref()
        .is_some_and(|reason| reason.len() > limit::REASON)
    {
        return Err(Error::ReasonTooLarge);
    }
    Ok(request)
}
