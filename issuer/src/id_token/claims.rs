use std::fmt;

use serde_json::{Map, Value};

use super::{Error, LEEWAY, Use};
use crate::idp::IdentityProvider;

/// Last second of the year 9999: later times cannot be written in a certificate or in RFC 3339.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// Claims of an ID token whose signature, audience and party were verified.
pub struct Claims {
    issuer: String,
    subject: String,
    client_id: String,
    expires: i64,
    issued: i64,
    not_before: Option<i64>,
    nonce: Option<String>,
    all: Map<String, Value>,
}

impl Claims {
    /// Reads the claims of a payload whose signature has been verified.
    pub(super) fn from_signed(all: Map<String, Value>, idp: &IdentityProvider) -> Result<Self, Error> {
        // A logout token has `events` (OpenID Connect Back-Channel Logout section 2.4), and no ID token has.
        if all.contains_key("events") {
            return Err(Error::NotAnIdToken("claim `events`"));
        }
        // Some providers put the kind of token ("Bearer", "Refresh") into the payload.
        if all.get("typ").is_some_and(|typ| typ != "ID") {
            return Err(Error::NotAnIdToken("claim `typ`"));
        }
        let audiences = audiences(&all)?;
        let party = text(&all, "azp")?;
        if !audiences.iter().any(|audience| idp.client(audience).is_some()) {
            return Err(Error::WrongAudience);
        }
        let client_id = match (party, audiences.as_slice()) {
            (Some(party), _) => party,
            (None, [only]) => *only,
            (None, _) => return Err(Error::WrongParty),
        };
        if idp.client(client_id).is_none() || !audiences.contains(&client_id) {
            return Err(Error::WrongParty);
        }
        let subject = text(&all, "sub")?
            .filter(|subject| !subject.is_empty())
            .ok_or(Error::Claim("sub"))?;
        Ok(Self {
            issuer: idp.issuer.clone(),
            subject: subject.to_owned(),
            client_id: client_id.to_owned(),
            expires: seconds(&all, "exp", f64::floor)?.ok_or(Error::Claim("exp"))?,
            issued: seconds(&all, "iat", f64::floor)?.ok_or(Error::Claim("iat"))?,
            not_before: seconds(&all, "nbf", f64::ceil)?,
            nonce: text(&all, "nonce")?.map(str::to_owned),
            all,
        })
    }

    pub(super) fn check_times(&self, usage: Use, max_age: u64, now: i64) -> Result<(), Error> {
        if usage == Use::Fresh && now >= self.expires + LEEWAY {
            return Err(Error::Expired(now - self.expires));
        }
        let valid_from = self.not_before.unwrap_or(self.issued).max(self.issued);
        if valid_from > now + LEEWAY {
            return Err(Error::NotYetValid(valid_from - now));
        }
        let age = now - self.issued;
        // No leeway here: it would add to the age at which a group removed at the provider still counts.
        if usage == Use::Fresh && u64::try_from(age).is_ok_and(|age| age > max_age) {
            return Err(Error::NotFresh { age, max: max_age });
        }
        Ok(())
    }

    /// `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The client the token was issued to: `azp`, else the only audience.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// `exp` in Unix seconds.
    pub fn expires(&self) -> i64 {
        self.expires
    }

    /// `iat` in Unix seconds.
    pub fn issued(&self) -> i64 {
        self.issued
    }

    /// `nonce`, if there is one.
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// Any claim, for mapping and the audit record.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.all.get(name)
    }
}

impl fmt::Debug for Claims {
    /// Claims are a person's data: only what names the token shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

pub(crate) fn text<'a>(all: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, Error> {
    match all.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        // A `nonce` or `azp` of another type is never taken for an absent one.
        Some(_) => Err(Error::Claim(name)),
    }
}

pub(crate) fn audiences(all: &Map<String, Value>) -> Result<Vec<&str>, Error> {
    match all.get("aud") {
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(list)) => list
            .iter()
            .map(|audience| audience.as_str().ok_or(Error::Claim("aud")))
            .collect(),
        _ => Err(Error::Claim("aud")),
    }
}

/// A NumericDate (RFC 7519 section 2), which may have a fraction, in the direction that makes the token shorter.
pub(crate) fn seconds(
    all: &Map<String, Value>,
    name: &'static str,
    round: fn(f64) -> f64,
) -> Result<Option<i64>, Error> {
    let Some(value) = all.get(name) else {
        return Ok(None);
    };
    let number = round(value.as_f64().ok_or(Error::Claim(name))?);
    if !(0.0..=LAST_SECOND).contains(&number) {
        return Err(Error::Claim(name));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number within the range checked above"
    )]
    let seconds = number as i64;
    Ok(Some(seconds))
}
