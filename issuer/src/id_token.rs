//! ID tokens (OpenID Connect Core section 2): text → verified claims.
//!
//! [`Unverified`] is what was sent and may be used only to pick a configured key; [`Claims`] exist only after the
//! signature and every check on the token itself.

pub(crate) mod claims;
pub(crate) mod keys;
mod unverified;

pub use claims::Claims;
pub use keys::{Algorithm, KeySet};
pub use unverified::Unverified;

use serde_json::{Map, Value};

use crate::idp::IdentityProvider;
use crate::jws;

/// Tolerated difference between clocks, for `exp`, `nbf`, `iat` and the salt's time; nowhere else.
pub(crate) const LEEWAY: i64 = 30;

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than [`gatepass_api::limit::TOKEN`].
    #[error("the token is longer than 64 KiB")]
    TooLarge,
    /// Not an acceptable JWS.
    #[error("the token is malformed: {0}")]
    Malformed(#[from] jws::Error),
    /// A claim is missing or has the wrong type.
    #[error("the token is malformed: claim `{0}` is missing or of the wrong type")]
    Claim(&'static str),
    /// `iss` names no configured provider.
    #[error("the token's issuer is not configured at this cluster")]
    UnknownIdp,
    /// The provider's keys were never fetched, or too long ago.
    #[error("the identity provider's keys are not known at the moment")]
    KeysUnavailable,
    /// `alg` is not among those accepted.
    #[error("accepted are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA")]
    UnsupportedAlgorithm,
    /// Not exactly one published key fits `kid` and `alg`.
    #[error("not exactly one published key fits the token's `kid` and `alg`")]
    UnknownKey,
    /// The signature does not verify.
    #[error("the signature does not verify by the published key")]
    BadSignature,
    /// An access token, a logout token or something else.
    #[error("the token's {0} says that it is not an ID token")]
    NotAnIdToken(&'static str),
    /// `aud` names no configured client.
    #[error("the token's `aud` names no client of this cluster")]
    WrongAudience,
    /// `azp` is not a client id, not in `aud`, or missing where there are several audiences.
    #[error("the token's `azp` must name the client, and be there if `aud` has several members")]
    WrongParty,
    /// `exp` has passed.
    #[error("the token expired {0} s ago")]
    Expired(i64),
    /// `nbf` or `iat` lies ahead.
    #[error("the token is valid only in {0} s")]
    NotYetValid(i64),
    /// Older than the provider's `maxTokenAge`.
    #[error("the token was issued {age} s ago; at most {max} s are accepted")]
    NotFresh {
        /// Seconds since `iat`.
        age: i64,
        /// Seconds that are accepted.
        max: u64,
    },
}

/// What a token is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It shows who the user is now: not expired, and fresh.
    Fresh,
    /// It shows which login this is; `exp` and freshness do not matter.
    Grant,
}

/// Checks everything about a token itself; binding and mapping come after.
///
/// `keys` are the provider's published keys; `None` if they are not known.
pub fn verify(
    token: Unverified<'_>,
    idp: &IdentityProvider,
    keys: Option<&KeySet>,
    usage: Use,
    now: i64,
) -> Result<Claims, Error> {
    // `at+jwt` (RFC 9068) and `logout+jwt` are tokens of other kinds by the same issuer and key (RFC 8725, 3.11).
    if token.typ().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(Error::NotAnIdToken("header `typ`"));
    }
    let claims = Claims::from_signed(signed(token, idp, keys)?, idp)?;
    claims.check_times(usage, idp.max_token_age.as_secs(), now)?;
    Ok(claims)
}

/// The payload of a token that this provider has signed, whatever kind of token it is.
pub(crate) fn signed(
    token: Unverified<'_>,
    idp: &IdentityProvider,
    keys: Option<&KeySet>,
) -> Result<Map<String, Value>, Error> {
    if token.issuer() != idp.issuer {
        return Err(Error::UnknownIdp);
    }
    let algorithm = Algorithm::from_name(&token.jws.alg).ok_or(Error::UnsupportedAlgorithm)?;
    let keys = keys.ok_or(Error::KeysUnavailable)?;
    let key = keys
        .find(algorithm, token.jws.kid.as_deref())
        .ok_or(Error::UnknownKey)?;
    if !key.verifies(token.jws.signing_input, &token.jws.signature) {
        return Err(Error::BadSignature);
    }
    Ok(token.jws.payload)
}

#[cfg(test)]
mod tests;
