//! What a logout could not do, and what to do then.

use std::{collections::BTreeSet, fmt};

use crate::{error::Error, store::StoreError};

/// A logout that could not do everything. What it does not name was done.
#[derive(Debug)]
pub struct LogoutError(pub(super) Vec<Undone>);

/// One thing that was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undone {
    /// The keyring does not say which sessions it holds.
    #[error("the keyring does not say which sessions it holds: {0}")]
    List(StoreError),
    /// The session was not touched.
    #[error("not logged out at {session}: {source}")]
    Nothing {
        /// Which session.
        session: String,
        /// Why.
        source: Box<Error>,
    },
    /// The session may go on at an issuer.
    #[error(
        "the session was not ended at the issuer {issuer}: {why}; credentials that it gave work for at most {minutes} min \
         more, and nothing on this machine can renew them"
    )]
    AtIssuer {
        /// Which issuer.
        issuer: String,
        /// What went wrong.
        why: String,
        /// How long what it gave lives.
        minutes: i64,
        /// The session's id, where it is known.
        session: Option<String>,
    },
    /// The refresh token may live on.
    #[error(
        "the refresh token of {session} was not revoked: {source}; a copy of it would work until the provider ends it"
    )]
    AtIdp {
        /// Which session.
        session: String,
        /// Why.
        source: Box<Error>,
    },
    /// The keyring did not let go of everything.
    #[error("not everything of {session} was deleted on this machine{}: {source}", revoked_there(*.revoked))]
    Local {
        /// Which session.
        session: String,
        /// Whether the refresh token is dead all the same.
        revoked: bool,
        /// Why.
        source: StoreError,
    },
}

fn revoked_there(revoked: bool) -> &'static str {
    if revoked {
        ", though its refresh token is revoked"
    } else {
        ""
    }
}

impl Undone {
    fn hint(&self) -> String {
        match self {
            Self::AtIssuer {
                session: Some(id), ..
            } => format!(
                "to end it at once, have whoever runs the cluster type: kubectl gatepass revoke --session {id}"
            ),
            Self::AtIssuer { session: None, .. } => {
                "to end it at once, have whoever runs the cluster revoke it: kubectl gatepass revoke --user NAME".into()
            }
            Self::AtIdp { .. } => {
                "if somebody may have copied the token, end the session at the identity provider itself"
                    .into()
            }
            Self::List(error) | Self::Local { source: error, .. } => {
                format!("{}; then log out again", error.hint())
            }
            Self::Nothing { source, .. } => source.hint().unwrap_or_else(|| "log out again".into()),
        }
    }
}

impl LogoutError {
    /// What to do next: once, where several things failed for one reason.
    pub fn hint(&self) -> String {
        let hints: BTreeSet<_> = self.0.iter().map(Undone::hint).collect();
        hints.into_iter().collect::<Vec<_>>().join("\n  next: ")
    }
}

impl fmt::Display for LogoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\nkubectl-gatepass: "))
    }
}

impl std::error::Error for LogoutError {}
