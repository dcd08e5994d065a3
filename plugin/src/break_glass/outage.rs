//! Whether identity provider and issuer answer again, so that an open window is not needed any more.
//!
//! What was found out is noted beside the window: nobody waits for a dead issuer at every command.

use std::{path::Path, time::Duration};

use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    files::{put, read_found},
    window::{Window, Windows},
};
use crate::{
    accepted::{Accepted, AcceptedFile, PinnedIdp},
    clock::Clock,
    http,
    issuer_client::IssuerClient,
    paths::Paths,
    run::wait_for,
    settings::Settings,
};

/// How long both together are waited for.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long an answer counts, in seconds.
const FRESH: i64 = 30;

/// Whether the normal way is worth trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum NormalWay {
    /// No: one of the two is silent, was never accepted here, or failed a moment ago all the same.
    Closed,
    /// Both answer, as they did when they were asked before.
    Open,
    /// Both answer again.
    OpenAgain,
}

/// What is noted beside a window.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// When, Unix seconds by the local clock.
    at: i64,
    /// Whether both answered.
    answered: bool,
    /// Whether no credential came of it.
    #[serde(default)]
    failed: bool,
}

/// No note is longer.
const LONGEST: u64 = 4096;

impl Note {
    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&read_found(path, LONGEST).ok()?).ok()
    }

    /// That it cannot be noted costs the next command the same wait.
    fn write(&self, path: &Path) {
        let note = serde_json::to_vec(self).expect("a note is plain JSON");
        if let Err(error) = put(path, &note, 0o600) {
            tracing::info!(%error, "cannot note whether identity provider and issuer answer");
        }
    }
}

/// Asks both, unless they were asked a moment ago.
pub fn normal_way(
    windows: &Windows,
    window: &Window,
    settings: &Settings,
    paths: &Paths,
    clock: &dyn Clock,
) -> NormalWay {
    remembered(windows, window, clock.now(), || {
        both_answer(settings, paths, clock).unwrap_or(false)
    })
}

fn remembered(
    windows: &Windows,
    window: &Window,
    now: OffsetDateTime,
    ask: impl FnOnce() -> bool,
) -> NormalWay {
    let path = windows.answers_path(window);
    let before = Note::read(&path);
    let now = now.unix_timestamp();
    // One from the future is of a clock that was set back since.
    let fresh = before
        .as_ref()
        .filter(|note| (0..FRESH).contains(&now.saturating_sub(note.at)));
    if let Some(fresh) = fresh {
        return match fresh.answered && !fresh.failed {
            true => NormalWay::Open,
            false => NormalWay::Closed,
        };
    }
    let answered = ask();
    Note {
        at: now,
        answered,
        failed: false,
    }
    .write(&path);
    match (answered, before.is_some_and(|before| before.answered)) {
        (false, _) => NormalWay::Closed,
        (true, true) => NormalWay::Open,
        (true, false) => NormalWay::OpenAgain,
    }
}

/// Notes that both answered and still no credential came of it: that is not tried again for a moment.
pub fn failed_all_the_same(windows: &Windows, window: &Window, now: OffsetDateTime) {
    let note = Note {
        at: now.unix_timestamp(),
        answered: true,
        failed: true,
    };
    note.write(&windows.answers_path(window));
}

/// Whether the issuer in the settings and its identity provider answer, within a second. `None` where the issuer was never
/// accepted here: whom to ask is not known then.
pub fn both_answer(settings: &Settings, paths: &Paths, clock: &dyn Clock) -> Option<bool> {
    let url = settings.issuer.as_ref()?;
    let accepted = AcceptedFile::new(paths.state_dir()).find(url).ok()??;
    let idp_ca = settings.idp_ca(&accepted.identity_provider).ok()?;
    let asked = async {
        let issuer = issuer_answers(&accepted, settings, clock);
        let idp = idp_answers(&accepted.identity_provider, idp_ca.as_deref());
        let both = async { tokio::join!(issuer, idp) };
        Ok(tokio::time::timeout(DEADLINE, both)
            .await
            .is_ok_and(|both| both == (true, true)))
    };
    wait_for(asked).ok()
}

async fn issuer_answers(accepted: &Accepted, settings: &Settings, clock: &dyn Clock) -> bool {
    let Ok(url) = settings.issuer() else { return false };
    let Ok(client) = IssuerClient::new(url, accepted.certificate_authority.as_deref(), clock) else {
        return false;
    };
    let answer = client.cluster().await;
    tracing::debug!(answers = answer.is_ok(), "asked whether the issuer answers");
    answer.is_ok()
}

/// Whether an identity provider gives its metadata (OpenID Connect Discovery section 4). Keys and endpoints are left to
/// those who need them.
async fn idp_answers(idp: &PinnedIdp, ca: Option<&str>) -> bool {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
    }
    let ask = async {
        let url = format!(
            "{}/.well-known/openid-configuration",
            idp.issuer.trim_end_matches('/')
        );
        let response = http::client(ca).ok()?.get(url).send().await.ok()?;
        let status = response.status();
        let body = http::read(response).await.ok()?;
        let metadata: Metadata = serde_json::from_slice(&body).ok()?;
        // A page that stands in for a broken provider may well have status 200.
        (status == StatusCode::OK && metadata.issuer == idp.issuer).then_some(())
    };
    let answers = ask.await.is_some();
    tracing::debug!(answers, "asked whether the identity provider answers");
    answers
}

#[cfg(test)]
pub(crate) mod tests;
