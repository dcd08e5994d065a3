//! How `get-credential` serves an open window.

use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{
    outage::{self, NormalWay},
    server,
    window::{Found, Window, Windows},
};
use crate::{
    clock::Clock,
    error::Error,
    escape::Escaped,
    paths::Paths,
    prompt::Ui,
    settings::Settings,
    store::{Store, StoreError},
};
use gatepass_api::Code;

/// What kubectl is given.
pub struct Answer {
    /// PEM, leaf first.
    pub certificate: String,
    /// PKCS#8, PEM.
    pub key: Zeroizing<String>,
    /// When kubectl is to ask again, by the local clock.
    pub expires: OffsetDateTime,
}

/// A question of kubectl's, as far as windows go.
pub struct Question<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// URL of the API server, where kubectl says it.
    pub server: Option<&'a str>,
    /// The CA of the API server, PEM, where kubectl says it.
    pub server_ca: Option<&'a str>,
    /// Where files lie.
    pub paths: &'a Paths,
    /// The keyring.
    pub store: Result<&'a Store, &'a StoreError>,
    /// The local clock.
    pub clock: &'a dyn Clock,
    /// The person.
    pub ui: &'a dyn Ui,
}

impl Question<'_> {
    /// Answers from an open window or, where there is none for this cluster or none is needed any more, in the normal way.
    ///
    /// While a window is open, nobody is asked to log in: whoever works on an outage must not be kept waiting by a login that
    /// may not work yet. `normal` is told so.
    pub fn answer(
        &self,
        found: Found,
        normal: impl FnOnce(MayAsk) -> Result<Answer, Error>,
    ) -> Result<Answer, Error> {
        let windows = Windows::new(self.paths);
        for note in &found.notes {
            self.say(note);
        }
        for ended in &found.ended {
            if let Err(error) = windows.clear(ended, self.store) {
                tracing::info!(%error, "a break-glass window has ended");
            }
        }
        let Some((window, answer)) = self.choose(&windows, &found.open) else {
            return normal(MayAsk::Yes);
        };
        let way = match window.forced {
            true => NormalWay::Closed,
            false => outage::normal_way(&windows, window, self.settings, self.paths, self.clock),
        };
        match way {
            NormalWay::Closed => {
                self.ui.say(&window.announcement());
                return Ok(answer);
            }
            NormalWay::OpenAgain => {
                self.say(
                    "identity provider and issuer answer again, so the open break-glass window is not used; close it with: \
                     kubectl gatepass break-glass close",
                );
                server::show(window, &answer.key);
            }
            NormalWay::Open => {}
        }
        match normal(MayAsk::No) {
            Err(error) if helps_against(&error) => {
                outage::failed_all_the_same(&windows, window, self.clock.now());
                self.ui.say(&window.announcement());
                let next = error
                    .hint()
                    .map(|hint| format!("\n  next: {hint}"))
                    .unwrap_or_default();
                self.say(&format!(
                    "identity provider and issuer answer, but give no credential: {error}{next}"
                ));
                Ok(answer)
            }
            Err(error) if says_revoked(&error) => {
                self.say(
                    "the open break-glass window is not used: the issuer says that this person's access was revoked. If it must \
                     count all the same, ask a quorum again: kubectl gatepass break-glass open --even-if-they-answer",
                );
                Err(error)
            }
            answered => answered,
        }
    }

    /// The window for this cluster, and what it gives. One that names the issuer comes before one that only has the API
    /// server's CA, which several clusters may share.
    fn choose<'w>(&self, windows: &Windows, open: &'w [Window]) -> Option<(&'w Window, Answer)> {
        let issuer = self.settings.issuer.as_ref();
        let by_issuer = |window: &&Window| issuer.is_some_and(|issuer| window.is_for_issuer(issuer.as_str()));
        // Two clusters with issuers of their own may share a CA: what is for the one must not be given to the other, nor must the
        // one's issuer say anything about the other's outage. An issuer that has moved since the kit was made is still the same
        // API server's.
        let may_be_its = |window: &Window| {
            let same_server = self.server.is_some_and(|server| window.is_for_server(server));
            issuer.is_none() || window.issuer.is_none() || same_server
        };
        let by_ca = |window: &&Window| {
            may_be_its(window) && self.server_ca.is_some_and(|ca| window.is_for_server_ca(ca))
        };
        let matching = open
            .iter()
            .filter(by_issuer)
            .chain(open.iter().filter(|window| !by_issuer(window) && by_ca(window)));
        let now = self.clock.now();
        for window in matching {
            match windows.key(window, self.store) {
                Ok(key) => {
                    let answer = Answer {
                        certificate: window.certificate.clone(),
                        key,
                        expires: window.expires(now),
                    };
                    return Some((window, answer));
                }
                Err(error) => {
                    let next = error
                        .hint()
                        .map(|hint| format!("\n  next: {hint}"))
                        .unwrap_or_default();
                    self.say(&format!(
                        "the break-glass window for {} is open and cannot be used: {error}{next}",
                        Escaped(&window.cluster)
                    ));
                }
            }
        }
        None
    }

    fn say(&self, text: &str) {
        self.ui.say(&format!("kubectl-gatepass: {text}"));
    }
}

/// Whether the normal way may ask a person to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayAsk {
    /// As ever.
    Yes,
    /// Not while a window is open.
    No,
}

/// Whether a window may be used although both answered. What people decided about this person stands, and what is wrong here
/// would be wrong with the window, too.
fn helps_against(error: &Error) -> bool {
    match error {
        Error::Output(_) | Error::ExecInfo(_) => false,
        error => !says_revoked(error),
    }
}

fn says_revoked(error: &Error) -> bool {
    matches!(error, Error::Issuer(error) if error.code() == Some(&Code::Revoked))
}

#[cfg(test)]
mod tests;
