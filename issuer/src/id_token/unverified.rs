use gatepass_api::limit;

use super::Error;
use crate::jws::UnverifiedJws;

/// A token as it was sent: well-formed, and nothing in it to be believed.
///
/// Only `iss`, `kid` and `alg` may be looked at, and only to pick a configured provider and its published key.
pub struct Unverified<'a> {
    pub(super) jws: UnverifiedJws<'a>,
    issuer: String,
}

impl<'a> Unverified<'a> {
    /// Reads the form of a token.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        if text.len() > limit::TOKEN {
            return Err(Error::TooLarge);
        }
        let jws = UnverifiedJws::parse(text)?;
        let issuer = match jws.payload.get("iss") {
            Some(serde_json::Value::String(issuer)) => issuer.clone(),
            _ => return Err(Error::Claim("iss")),
        };
        Ok(Self { jws, issuer })
    }

    /// The header's `typ`.
    pub(crate) fn typ(&self) -> Option<&str> {
        self.jws.typ.as_deref()
    }

    /// The claimed `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}
