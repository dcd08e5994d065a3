//! What failed is remembered for a moment, for those who would only find it out again: a login, because nobody wants
//! another browser tab, and a renewal, for the programs that waited for it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{accepted::PinnedIdp, error::Error, keys::sha256_base64url, settings::IssuerUrl};

/// How long a failure spares the person another browser tab.
const MOMENT: Duration = Duration::seconds(10);

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// A person was asked.
    Login,
    /// Identity provider or issuer gave no answer that helps.
    Renewal,
}

/// The memory of one session's failures.
pub(super) struct Memory {
    dir: PathBuf,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Failure {
    /// Unix time in milliseconds: seconds would not tell before from after.
    at: i64,
    message: String,
    hint: Option<String>,
}

impl Memory {
    pub(super) fn new(dir: &Path, idp: &PinnedIdp, profile: &str) -> Self {
        // Neither URLs nor profiles hold a NUL, so the parts cannot run into each other.
        let name = sha256_base64url([&idp.issuer, &idp.client_id, profile].join("\0").as_bytes());
        Self {
            dir: dir.to_owned(),
            name,
        }
    }

    /// `issuer` where the failure is that issuer's alone, which says nothing about other clusters of the session. It has a
    /// file of its own: two issuers that fail side by side must not make each other's failures forgotten.
    fn path(&self, attempt: Attempt, issuer: Option<&IssuerUrl>) -> PathBuf {
        let kind = match attempt {
            Attempt::Login => "login",
            Attempt::Renewal => "renewal",
        };
        let name = match issuer {
            Some(issuer) => sha256_base64url([&self.name, issuer.as_str()].join("\0").as_bytes()),
            None => self.name.clone(),
        };
        self.dir.join(format!("{name}.{kind}-failed"))
    }

    /// What failed after `started`, while this program waited; a login also a moment before `now`. A renewal that failed
    /// before may go well again, and trying costs no person anything.
    pub(super) fn recent(
        &self,
        attempt: Attempt,
        issuer: &IssuerUrl,
        started: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Option<Error> {
        let of = |issuer| self.recent_of(attempt, issuer, started, now);
        of(None).or_else(|| of(Some(issuer)))
    }

    fn recent_of(
        &self,
        attempt: Attempt,
        issuer: Option<&IssuerUrl>,
        started: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Option<Error> {
        let failure: Failure = serde_json::from_slice(&fs::read(self.path(attempt, issuer)).ok()?).ok()?;
        let at = OffsetDateTime::UNIX_EPOCH.checked_add(Duration::milliseconds(failure.at))?;
        // One from the future is of a clock that was wrong, and would block logins until then.
        let meanwhile = at >= started;
        let fresh = at <= now && (meanwhile || attempt == Attempt::Login && now - at < MOMENT);
        fresh.then_some(Error::FailedBefore {
            message: failure.message,
            hint: failure.hint,
        })
    }

    /// Remembers a failure; that it cannot is no reason to fail differently.
    pub(super) fn remember(
        &self,
        attempt: Attempt,
        error: &Error,
        issuer: Option<&IssuerUrl>,
        now: OffsetDateTime,
    ) {
        // Who was told has found out nothing new.
        if matches!(error, Error::FailedBefore { .. }) {
            return;
        }
        let failure = Failure {
            at: (now - OffsetDateTime::UNIX_EPOCH)
                .whole_milliseconds()
                .try_into()
                .unwrap_or_default(),
            message: error.to_string(),
            hint: error.hint(),
        };
        if let Ok(bytes) = serde_json::to_vec(&failure) {
            let _ = fs::write(self.path(attempt, issuer), bytes);
        }
    }

    /// A login that went well, up to a certificate of this issuer, starts afresh.
    pub(super) fn forget(&self, issuer: &IssuerUrl) {
        for attempt in [Attempt::Login, Attempt::Renewal] {
            for issuer in [None, Some(issuer)] {
                let _ = fs::remove_file(self.path(attempt, issuer));
            }
        }
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
        let login = |issuer: &IssuerUrl, started, now| memory.recent(Attempt::Login, issuer, started, now);
        assert!(login(&a, at, at).is_none());
        memory.remember(Attempt::Login, &Error::LoginTimeout { seconds: 5 }, None, at);
        assert!(login(&a, at + seconds(1), at + seconds(9)).is_some());
        assert!(login(&b, at + seconds(1), at + seconds(9)).is_some());
        assert!(login(&a, at + seconds(11), at + seconds(11)).is_none());
        assert!(login(&a, at - seconds(60), at + seconds(60)).is_some());
        assert!(
            login(&a, at - seconds(60), at - seconds(60)).is_none(),
            "from the future"
        );
        let other = Memory::new(dir.path(), &idp, "other");
        assert!(other.recent(Attempt::Login, &a, at, at).is_none());
        memory.forget(&a);
        memory.remember(Attempt::Login, &Error::LoginTimeout { seconds: 5 }, Some(&a), at);
        assert!(login(&a, at, at).is_some() && login(&b, at, at).is_none());

        let renewal = |started, now| memory.recent(Attempt::Renewal, &a, started, now);
        assert!(renewal(at, at).is_none(), "a login is no renewal");
        memory.remember(Attempt::Renewal, &Error::LoginTimeout { seconds: 5 }, None, at);
        assert!(renewal(at - seconds(20), at).is_some(), "who waited is told");
        assert!(renewal(at + Duration::milliseconds(1), at + seconds(1)).is_none());
        assert!(
            renewal(at + seconds(1), at + seconds(1)).is_none(),
            "who comes later tries"
        );
        memory.forget(&a);
        assert!(login(&a, at, at).is_none() && renewal(at, at).is_none());

        for issuer in [Some(&a), Some(&b), None] {
            memory.remember(Attempt::Renewal, &Error::ToldBefore, issuer, at);
        }
        memory.forget(&b);
        assert!(
            renewal(at, at).is_some(),
            "what became of another issuer since says nothing about this one"
        );
        assert!(memory.recent(Attempt::Renewal, &b, at, at).is_none());
    }
}
