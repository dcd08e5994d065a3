//! Compact JWS (RFC 7515 section 7.1), read strictly and not yet verified.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use crate::strict_json;

/// Why text is not an acceptable compact JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not three parts between dots.
    #[error("it does not have three parts")]
    Parts,
    /// Base64url with padding, a foreign character, or unused bits that are not zero.
    #[error("a part is not base64url without padding")]
    Base64,
    /// The header is not strict JSON.
    #[error("its header: {0}")]
    Header(strict_json::Error),
    /// The payload is not strict JSON.
    #[error("its payload: {0}")]
    Payload(strict_json::Error),
    /// A header member has the wrong type, or `alg` is missing.
    #[error("its header's `{0}` is missing or not a string")]
    Member(&'static str),
    /// The header has `crit`: an extension that must be understood, and none is.
    #[error("its header has `crit`")]
    Critical,
    /// The header carries a private key.
    #[error("its header carries a private key")]
    PrivateKey,
}

/// Members that only a private or symmetric JWK has (RFC 7518 section 6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Whether `jwk` has a member that belongs to a private or symmetric key.
pub(crate) fn is_private(jwk: &Map<String, Value>) -> bool {
    PRIVATE_MEMBERS.iter().any(|name| jwk.contains_key(*name))
}

/// Decodes base64url without padding; unused bits must be zero, so that each value has one text.
pub(crate) fn base64url(text: &str) -> Result<Vec<u8>, Error> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| Error::Base64)
}

/// A compact JWS whose signature has not been looked at.
pub(crate) struct UnverifiedJws<'a> {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
    /// The header's `jwk`, if it is an object.
    pub(crate) jwk: Option<Map<String, Value>>,
    pub(crate) payload: Map<String, Value>,
    pub(crate) signing_input: &'a [u8],
    pub(crate) signature: Vec<u8>,
}

impl<'a> UnverifiedJws<'a> {
    /// Splits and decodes; the caller has checked the size.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Error> {
        let (signing_input, signature) = text.rsplit_once('.').ok_or(Error::Parts)?;
        let (header, payload) = signing_input.split_once('.').ok_or(Error::Parts)?;
        if payload.contains('.') {
            return Err(Error::Parts);
        }
        let mut header = strict_json::object(&base64url(header)?).map_err(Error::Header)?;
        if header.contains_key("crit") {
            return Err(Error::Critical);
        }
        let jwk = match header.remove("jwk") {
            Some(Value::Object(jwk)) => Some(jwk),
            _ => None,
        };
        if is_private(&header) || jwk.as_ref().is_some_and(is_private) {
            return Err(Error::PrivateKey);
        }
        Ok(Self {
            alg: optional_text(&mut header, "alg")?.ok_or(Error::Member("alg"))?,
            kid: optional_text(&mut header, "kid")?,
            typ: optional_text(&mut header, "typ")?,
            jwk,
            payload: strict_json::object(&base64url(payload)?).map_err(Error::Payload)?,
            signing_input: signing_input.as_bytes(),
            signature: base64url(signature)?,
        })
    }
}

fn optional_text(header: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>, Error> {
    match header.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::Member(name)),
    }
}

#[cfg(test)]
mod tests;
