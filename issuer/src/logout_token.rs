//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.4): text → who was logged out, and when.
//!
//! They are read as strictly as ID tokens, by the same keys, and cannot be taken for each other: an ID token has no
//! `events`, and what has is refused there; a logout token has no `nonce`, and what has is refused here.

use serde_json::{Map, Value};

use crate::id_token::claims::{audiences, seconds, text};
use crate::id_token::{self, KeySet, LEEWAY, Unverified};
use crate::idp::IdentityProvider;

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How far `iat` may lie back, in seconds: long enough for a provider that tries again, short enough for nobody to keep one.
const MAX_AGE: i64 = 300;
/// Greatest length of a subject; a revocation holds no more.
const MAX_SUBJECT: usize = gatepass_api::revocation::MAX_TARGET;

/// Why a token is no logout token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What is checked of every token.
    #[error(transparent)]
    Token(#[from] id_token::Error),
    /// The header says that it is something else.
    #[error("the token's header `typ` is neither `logout+jwt` nor `JWT`")]
    Type,
    /// It is about something else.
    #[error(
        "the token's `events` must be an object with an object \"http://schemas.openid.net/event/backchannel-logout\""
    )]
    Event,
    /// An ID token has one.
    #[error("the token has a `nonce`, which a logout token must not have")]
    Nonce,
    /// No subject, or one that no revocation can name.
    #[error(
        "the token names no subject of 1 to 1024 bytes: sessions are kept by `sub` here, so a `sid` alone ends nothing; let \
         the identity provider send `sub`"
    )]
    Subject,
    /// Too old.
    #[error("the token was issued {0} s ago; at most 300 s are accepted")]
    Old(i64),
}

/// A logout token that was verified.
#[derive(Debug)]
pub struct LogoutToken {
    client_id: String,
    subject: String,
    id: String,
    issued: i64,
}

impl LogoutToken {
    /// Checks everything (section 2.6).
    ///
    /// `exp` may be absent: drafts of the standard did not have it, and providers live that leave it out; what it would
    /// bound is bounded by `iat`. `jti` is not compared with earlier ones, because a replay changes nothing.
    pub fn verify(
        token: Unverified<'_>,
        idp: &IdentityProvider,
        keys: Option<&KeySet>,
        now: i64,
    ) -> Result<Self, Error> {
        let is_allowed = |typ: &str| {
            ["logout+jwt", "JWT"]
                .iter()
                .any(|one| typ.eq_ignore_ascii_case(one))
        };
        if !token.typ().is_none_or(is_allowed) {
            return Err(Error::Type);
        }
        let claims = id_token::signed(token, idp, keys)?;
        if !is_logout(&claims) {
            return Err(Error::Event);
        }
        if claims.contains_key("nonce") {
            return Err(Error::Nonce);
        }
        let client_id = audiences(&claims)?
            .into_iter()
            .find(|audience| idp.client(audience).is_some())
            .ok_or(id_token::Error::WrongAudience)?
            .to_owned();
        let issued = seconds(&claims, "iat", f64::floor)?.ok_or(id_token::Error::Claim("iat"))?;
        if issued > now + LEEWAY {
            return Err(id_token::Error::NotYetValid(issued - now).into());
        }
        if now - issued > MAX_AGE {
            return Err(Error::Old(now - issued));
        }
        if let Some(expires) = seconds(&claims, "exp", f64::floor)?
            && now >= expires + LEEWAY
        {
            return Err(id_token::Error::Expired(now - expires).into());
        }
        let id = text(&claims, "jti")?
            .filter(|id| !id.is_empty())
            .ok_or(id_token::Error::Claim("jti"))?;
        let subject = text(&claims, "sub")?
            .filter(|subject| (1..=MAX_SUBJECT).contains(&subject.len()))
            .ok_or(Error::Subject)?;
        Ok(Self {
            client_id,
            subject: subject.to_owned(),
            id: id.to_owned(),
            issued,
        })
    }

    /// Which of our clients it was sent to.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// `sub`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// `jti`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `iat` in Unix seconds.
    pub fn issued(&self) -> i64 {
        self.issued
    }
}

fn is_logout(claims: &Map<String, Value>) -> bool {
    claims
        .get("events")
        .and_then(Value::as_object)
        .and_then(|events| events.get(EVENT))
        .is_some_and(Value::is_object)
}
