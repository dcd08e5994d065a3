//! A failed login is remembered for a moment: client-go runs a failing plugin five times per command.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{accepted::PinnedIdp, error::Error, keys::sha256_base64url, settings::IssuerUrl};

/// How long a failure spares the person another browser tab.
const MOMENT: Duration = Duration::seconds(10);

/// The memory of one session's failed logins.
pub(super) struct Memory {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Failure {
    at: i64,
    message: String,
    hint: Option<String>,
    /// Set where the failure is this issuer's alone, which says nothing about other clusters of the session.
    issuer: Option<String>,
}

impl Memory {
    pub(super) fn new(dir: &Path, idp: &PinnedIdp, profile: &str) -> Self {
        // Neither URLs nor profiles hold a NUL, so the parts cannot run into each other.
        let name = sha256_base64url([&idp.issuer, &idp.client_id, profile].join("\0").as_bytes());
        Self {
            path: dir.join(format!("{name}.failed")),
        }
    }

    /// What failed after `started`, while this program waited, or a moment before `now`.
    pub(super) fn recent(
        &self,
        issuer: &IssuerUrl,
        started: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Option<Error> {
        let failure: Failure = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        let at = OffsetDateTime::from_unix_timestamp(failure.at).ok()?;
        if failure.issuer.is_some_and(|of| of != issuer.as_str()) {
            return None;
        }
        // One from the future is of a clock that was wrong, and would block logins until then.
        let fresh = at <= now && (at >= started.replace_nanosecond(0).ok()? || now - at < MOMENT);
        fresh.then_some(Error::LoginFailedBefore {
            message: failure.message,
            hint: failure.hint,
        })
    }

    /// Remembers a failure; that it cannot is no reason to fail differently.
    pub(super) fn remember(&self, error: &Error, issuer: Option<&IssuerUrl>, now: OffsetDateTime) {
        let issuer = issuer.map(ToString::to_string);
        let failure = Failure {
            at: now.unix_timestamp(),
            message: error.to_string(),
            hint: error.hint(),
            issuer,
        };
        if let Ok(bytes) = serde_json::to_vec(&failure) {
            let _ = fs::write(&self.path, bytes);
        }
    }

    /// A typed login or a successful one starts afresh.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_failure_is_remembered_for_a_moment_or_while_somebody_waited() {
        let dir = tempfile::tempdir().unwrap();
        let idp = PinnedIdp {
            issuer: "https://idp".into(),
            client_id: "c".into(),
            scopes: vec![],
            certificate_authority: None,
            max_token_age_seconds: 1,
        };
        let memory = Memory::new(dir.path(), &idp, "default");
        let (a, b) = (
            IssuerUrl::parse("https://a").unwrap(),
            IssuerUrl::parse("https://b").unwrap(),
        );
        let at = datetime!(2026-11-22 00:00:10 UTC);
        let seconds = Duration::seconds;
        assert!(memory.recent(&a, at, at).is_none());
        memory.remember(&Error::LoginTimeout { seconds: 5 }, None, at);
        assert!(memory.recent(&a, at + seconds(1), at + seconds(9)).is_some());
        assert!(memory.recent(&b, at + seconds(1), at + seconds(9)).is_some());
        assert!(memory.recent(&a, at + seconds(11), at + seconds(11)).is_none());
        assert!(memory.recent(&a, at - seconds(60), at + seconds(60)).is_some());
        assert!(
            memory.recent(&a, at - seconds(60), at - seconds(60)).is_none(),
            "from the future"
        );
        assert!(
            Memory::new(dir.path(), &idp, "other")
                .recent(&a, at, at)
                .is_none()
        );
        memory.remember(&Error::LoginTimeout { seconds: 5 }, Some(&a), at);
        assert!(memory.recent(&a, at, at).is_some() && memory.recent(&b, at, at).is_none());
        memory.forget();
        assert!(memory.recent(&a, at, at).is_none());
    }
}
