//! Login: a person in a browser, then the first certificate.

use std::path::PathBuf;

use aws_lc_rs::rand::SystemRandom;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gatepass_api::Salt;

use super::{
    Attempt, ISSUE_PATIENCE, LOG_IN_AGAIN, REFRESH_PATIENCE, Run,
    renew::{Because, Held, Outcome},
};
use crate::{
    accepted::{Accepted, Spent},
    credential::Credential,
    error::Error,
    escape::Escaped,
    keys::{SessionKey, random},
    lock::Purpose,
    oidc::{
        OidcError, Provider, browser,
        loopback::{Loopback, Waiting},
        page::{Page, html},
    },
    session::{IdToken, Session},
    settings::IssuerUrl,
    store::Entry,
};

/// Clock leeway between issuer and identity provider.
const LEEWAY: i64 = 30;

/// What a person typed beside the issuer.
#[derive(Default)]
pub struct Typed {
    /// `--idp`
    pub idp: Option<String>,
    /// `--idp-ca`
    pub idp_ca: Option<PathBuf>,
    /// `--browser-command`
    pub browser_command: Option<String>,
    /// `--accept-change`
    pub accept_change: bool,
    /// `--replaces`
    pub replaces: Option<String>,
    /// Whether the issuer's URL was typed.
    pub url: bool,
}

impl Run<'_> {
    /// The typed command: accepts what is new and always asks the person.
    pub async fn login(&self, typed: &Typed) -> Result<Credential, Error> {
        let accepted = self.accept_typed(typed).await?;
        let _guard = self.login_lock(&accepted).await?;
        self.log_in(&accepted, typed, "you asked for it").await
    }

    /// One login, for whoever holds the `login` lock, and the certificate that comes of it.
    pub(super) async fn log_in(
        &self,
        accepted: &Accepted,
        typed: &Typed,
        why: &str,
    ) -> Result<Credential, Error> {
        let accepted = self.contact(accepted).await?;
        let failures = self.failures(&accepted);
        // Whoever asks a person remembers how it went, or kubectl's next try would ask again.
        let asked = self.ask_person(&accepted, typed, why).await;
        let (browser, outcome) =
            asked.inspect_err(|error| failures.remember(Attempt::Login, error, None, self.clock.now()))?;
        let result = match outcome {
            Ok((session, who)) => {
                let begun = self.begin(&accepted, session).await;
                let issuer = self.settings.issuer()?;
                begun
                    .inspect_err(|error| {
                        failures.remember(Attempt::Login, error, Some(issuer), self.clock.now())
                    })
                    .map(|credential| (credential, who))
            }
            Err(error) => {
                failures.remember(Attempt::Login, &error, None, self.clock.now());
                Err(error)
            }
        };
        let message = result.as_ref().err().map(on_page);
        let page = match (&result, &message) {
            (Ok((_, who)), _) => Page::Success {
                who,
                cluster: &accepted.cluster_name,
                idp: &accepted.identity_provider.issuer,
            },
            (_, message) => Page::Failure {
                problem: message.as_deref().unwrap_or_default(),
            },
        };
        let style_nonce = URL_SAFE_NO_PAD.encode(random::<16>(&SystemRandom::new())?);
        browser.answer(html(&page, &style_nonce), style_nonce).await;
        let (credential, _) = result?;
        failures.forget(self.settings.issuer()?);
        Ok(credential)
    }

    /// Sends the person to the identity provider and redeems what comes back. The browser still waits for its page.
    async fn ask_person(
        &self,
        accepted: &Accepted,
        typed: &Typed,
        why: &str,
    ) -> Result<(Waiting, Result<(Session, String), Error>), Error> {
        let timeout = self.settings.login_timeout();
        let offset = accepted.clock_offset();
        let idp = &accepted.identity_provider;
        let provider = Provider::discover(idp, self.idp_ca(accepted)?.as_deref()).await?;
        let port = self
            .settings
            .file
            .identity_provider(&idp.issuer)
            .and_then(|settings| settings.redirect_port);
        let named = port.map(|port| format!(" port {port}")).unwrap_or_default();
        let listener = Loopback::bind(port).await.map_err(|source| Error::Listen {
            port: named.clone(),
            source,
        })?;

        let (key, pkcs8) = SessionKey::generate()?;
        tracing::debug!(redirect = %listener.redirect_uri(), "waiting for the browser");
        let login_time = (self.clock.now() + offset).unix_timestamp();
        let salt = Salt::new(
            login_time.try_into().unwrap_or_default(),
            random(&SystemRandom::new())?,
        );
        let authorization = provider.authorize(&listener.redirect_uri(), key.commitment(&salt));

        self.ui.say(&format!(
            "kubectl-gatepass: log in to cluster {} with your browser ({why}). If no page opens, open this one:\n  {}",
            Escaped(&accepted.cluster_name),
            authorization.url
        ));
        let typed_command = typed
            .browser_command
            .as_ref()
            .map(|command| vec![command.clone()]);
        let command = typed_command
            .as_ref()
            .or(self.settings.file.browser_command.as_ref());
        if let Err(error) = browser::open(command.map(Vec::as_slice), &authorization.url) {
            self.ui
                .say(&format!("kubectl-gatepass: no browser could be opened: {error}"));
        }
        let state = authorization.state.clone();
        let (redirect, browser) = match tokio::time::timeout(timeout, listener.callback(&state)).await {
            Ok(callback) => callback.map_err(|source| Error::Listen { port: named, source })?,
            Err(_) => {
                return Err(Error::LoginTimeout {
                    seconds: timeout.as_secs(),
                });
            }
        };
        let redeemed = provider
            .redeem(authorization, redirect)
            .await
            .map_err(Error::from);
        let outcome = redeemed.and_then(|(id_token, refresh_token)| {
            let deadline = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
            check_login_time(self.settings.issuer()?, login_time, id_token.iat, deadline)?;
            let login = IdToken {
                token: id_token.token,
                iat: id_token.iat,
                has_nonce: true,
            };
            let session = Session::new(
                id_token.subject,
                &pkcs8,
                &salt,
                login,
                refresh_token,
                provider.token_endpoint().to_owned(),
                provider.revocation_endpoint().map(str::to_owned),
            );
            Ok((session, id_token.display_name))
        });
        Ok((browser, outcome))
    }

    /// Replaces the session of this account, for all clusters, and gets the first certificate.
    async fn begin(&self, accepted: &Accepted, session: Session) -> Result<Credential, Error> {
        let started = self.clock.now();
        let (locks, issuing) = (self.locks(), self.credential_entry()?);
        let _issuing = locks.acquire(&issuing, Purpose::Issue, ISSUE_PATIENCE).await?;
        let mut held = self.replace(accepted, session).await?;
        let (error, login_after) = match self.exchange(accepted, &mut held, started).await {
            Ok(Outcome::Renewed(credential)) => {
                self.remember_profile(accepted);
                return Ok(*credential);
            }
            // The person took longer than the clocks may differ, or the revocation came meanwhile.
            Ok(Outcome::LoginNeeded {
                why,
                because: Because::Revoked(after),
            }) => (Error::LoginTooEarly(why), Some(after)),
            Ok(Outcome::LoginNeeded { why, .. }) => (Error::LoginOfNoUse(why), None),
            // What passes by itself says nothing about this login.
            Err(Error::Issuer(error)) if error.is_verdict() => {
                let after = error.login_after();
                (error.into(), after)
            }
            Err(error) => return Err(error),
        };
        // Or every command from now on might ask the person, for nothing.
        let spent = Spent {
            login: held.session.fingerprint(),
            at: self.clock.now().unix_timestamp(),
            login_after,
        };
        let profile = self.settings.profile.clone();
        let note = |accepted: &mut Accepted| drop(accepted.spent.insert(profile, spent));
        if let Err(error) = self.accepted_file().note(&accepted.url, note) {
            tracing::warn!(%error, "cannot note that this login is of no use");
        }
        Err(error)
    }

    /// Puts the new session into the old one's place. The refresh token of the one before is forgotten, not revoked: some
    /// providers keep one grant per user and client, and revoking the old token would end the new one with it.
    async fn replace(&self, accepted: &Accepted, session: Session) -> Result<Held, Error> {
        let entry = self.session_entry(accepted);
        // A program that refreshes the old session must not write it back over the new one.
        let _refreshing = self
            .locks()
            .acquire(&entry, Purpose::Refresh, REFRESH_PATIENCE)
            .await?;
        let left = session.left(self.clock.now());
        let saved = self.store.save(&entry, &session.write(), Some(left));
        match &saved {
            Ok(()) => self.latest(&entry).is_kept(),
            Err(error) => {
                self.not_kept("session", LOG_IN_AGAIN, error);
                // The session before this one may be another account's; it must not renew what comes now.
                if self.store.delete(&entry).is_err() {
                    self.latest(&entry).was(&session);
                }
            }
        }
        self.forget_credentials(accepted)?;
        Ok(Held {
            session,
            is_kept: saved.is_ok(),
        })
    }

    /// Credentials of the session before this one, at every cluster that it served.
    fn forget_credentials(&self, accepted: &Accepted) -> Result<(), Error> {
        for other in self.accepted_file().all()? {
            if other
                .identity_provider
                .serves_same_session(&accepted.identity_provider)
            {
                let entry = Entry::Credential {
                    issuer: &other.url,
                    profile: &self.settings.profile,
                };
                if let Err(error) = self.store.delete(&entry) {
                    // Mostly there is none. One that the keyring hides now and shows later has ended by then.
                    tracing::info!(%error, issuer = other.url, "cannot delete an old credential");
                }
            }
        }
        Ok(())
    }

    fn remember_profile(&self, accepted: &Accepted) {
        if !accepted.profiles.contains(&self.settings.profile) {
            let note = |accepted: &mut Accepted| {
                accepted.profiles.insert(self.settings.profile.clone());
            };
            if let Err(error) = self.accepted_file().note(&accepted.url, note) {
                tracing::warn!(%error, "cannot note the profile");
            }
        }
    }
}

/// What the page says of an error. The identity provider's words came in the request, and a page echoes nothing of it.
fn on_page(error: &Error) -> String {
    match error {
        Error::Oidc(OidcError::Refused { .. }) => {
            "The identity provider refused. The terminal says more.".into()
        }
        error => error.to_string(),
    }
}

/// The salt's time against the token that commits to it: at most 30 s after, and no further before than a login takes.
/// Else the issuer's clock is wrong, or somebody waited to show the token.
fn check_login_time(issuer: &IssuerUrl, login_time: i64, iat: i64, deadline: i64) -> Result<(), Error> {
    let ahead = login_time - iat;
    if ahead > LEEWAY {
        Err(Error::IssuerClock {
            issuer: issuer.clone(),
            seconds: ahead.unsigned_abs(),
            direction: "ahead of",
        })
    } else if -ahead > deadline + LEEWAY {
        Err(Error::IssuerClock {
            issuer: issuer.clone(),
            seconds: ahead.unsigned_abs(),
            direction: "behind",
        })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_time_far_from_the_token_names_the_issuers_clock() {
        let issuer = IssuerUrl::parse("https://i").unwrap();
        let check = |login_time| check_login_time(&issuer, login_time, 10_000, 180);
        assert!(check(10_000).is_ok() && check(10_030).is_ok() && check(9_790).is_ok());
        assert!(matches!(
            check(10_031),
            Err(Error::IssuerClock {
                direction: "ahead of",
                ..
            })
        ));
        assert!(matches!(
            check(9_789),
            Err(Error::IssuerClock {
                direction: "behind",
                ..
            })
        ));
    }
}
