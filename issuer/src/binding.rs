//! Whether the tokens commit to the session key, and when the login was.

use std::time::Duration;

use crate::id_token::{Claims, LEEWAY};
use crate::proof::Proof;

/// Why tokens and proof do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither token has a nonce, or a login token was sent that has none.
    #[error("{0} carries no `nonce`")]
    Missing(&'static str),
    /// A nonce commits to another key or salt.
    #[error("the `nonce` of {0} does not commit to the proof's key and salt")]
    Mismatch(&'static str),
    /// The salt's time lies after the token that commits to it.
    #[error("the salt's time lies after the token that commits to it: the login used another clock")]
    LoginTime,
    /// The session is over.
    #[error("the session ended {0} s ago")]
    SessionEnded(i64),
}

/// Tokens, key and login time that belong together.
#[derive(Debug)]
pub struct Binding {
    nonce: String,
    login_time: i64,
    session_end: i64,
}

/// Checks the nonce of every token that has one, the login time, and that the session goes on.
pub fn bind(
    id_token: &Claims,
    login_token: Option<&Claims>,
    proof: &Proof,
    session_max: Duration,
    now: i64,
) -> Result<Binding, Error> {
    let binding = bind_whenever(id_token, login_token, proof, session_max)?;
    if now >= binding.session_end {
        return Err(Error::SessionEnded(now - binding.session_end));
    }
    Ok(binding)
}

/// The same for a session that may have ended.
pub fn bind_whenever(
    id_token: &Claims,
    login_token: Option<&Claims>,
    proof: &Proof,
    session_max: Duration,
) -> Result<Binding, Error> {
    let commitment = proof.commitment();
    // The earliest `iat` of a token that carries the nonce: a login cannot have begun after what it returned.
    let mut earliest = None;
    for (name, token) in [("the ID token", Some(id_token)), ("the login token", login_token)] {
        let Some(token) = token else { continue };
        let Some(nonce) = token.nonce() else { continue };
        // A wrong nonce is a stolen token, never an unbound one, whatever the other token says.
        if nonce != commitment {
            return Err(Error::Mismatch(name));
        }
        earliest = Some(earliest.map_or(token.issued(), |other: i64| other.min(token.issued())));
    }
    if login_token.is_some_and(|token| token.nonce().is_none()) {
        return Err(Error::Missing("the login token"));
    }
    let earliest = earliest.ok_or(Error::Missing("the ID token, without a login token beside it,"))?;
    let login_time = i64::try_from(proof.login_time())
        .ok()
        .filter(|time| *time <= earliest + LEEWAY)
        .ok_or(Error::LoginTime)?;
    let session_max = i64::try_from(session_max.as_secs()).unwrap_or(i64::MAX);
    Ok(Binding {
        nonce: commitment,
        login_time,
        session_end: login_time.saturating_add(session_max),
    })
}

impl Binding {
    /// The nonce, as it stands in the token.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// When the login began, in Unix seconds.
    pub fn login_time(&self) -> i64 {
        self.login_time
    }

    /// When the session ends, whatever the tokens say, in Unix seconds.
    pub fn session_end(&self) -> i64 {
        self.session_end
    }
}

#[cfg(test)]
mod tests;
