//! Renewal: the session's tokens, refreshed where they are old, for a new certificate. Nobody is asked.

use aws_lc_rs::rand::SystemRandom;
use gatepass_api::{CertificateRequest, Code};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Attempt, ISSUE_PATIENCE, LOG_IN_AGAIN, REFRESH_PATIENCE, Run};
use crate::{
    accepted::{Accepted, PinnedIdp},
    certificate,
    credential::Credential,
    error::Error,
    escape::Escaped,
    issuer_client::{Ask, IssuerError},
    keys::{CredentialKey, random},
    lock::Purpose,
    oidc::{self, CheckedIdToken, OidcError, Tokens},
    session::{IdToken, Session},
};

const NO_SESSION: &str = "there is no session on this machine";

/// What came of a renewal that did not fail.
pub(super) enum Outcome {
    /// A new credential, or one that another program obtained meanwhile.
    Renewed(Box<Credential>),
    /// Only a person can help.
    LoginNeeded {
        /// The reason, for them.
        why: String,
        /// Whether it is the issuer that refuses the login there is.
        refused: bool,
    },
}

/// A session at work.
pub(super) struct Held {
    /// The session.
    pub(super) session: Session,
    /// Whether the keyring keeps it, where other programs find and change it.
    pub(super) is_kept: bool,
}

/// What helps against a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    Refresh,
    CorrectClock,
    Login,
    Nothing,
}

/// `login_time` is the session's, `now` is by the issuer's clock; both in Unix seconds.
fn remedy(error: &IssuerError, login_time: u64, now: i64) -> Remedy {
    let IssuerError::Refused(refusal) = error else {
        return Remedy::Nothing;
    };
    match &refusal.problem.code {
        Code::TokenNotFresh | Code::TokenExpired | Code::UnknownKey | Code::BadSignature => Remedy::Refresh,
        Code::ProofNotFresh => Remedy::CorrectClock,
        Code::BindingMismatch | Code::LoginTokenInvalid | Code::SessionEnded => Remedy::Login,
        Code::Revoked => {
            let after = refusal
                .login_after()
                .and_then(|after| OffsetDateTime::parse(after, &Rfc3339).ok());
            // A login helps if this one was too early and one made now is not.
            match after.map(OffsetDateTime::unix_timestamp) {
                Some(after) if i64::try_from(login_time).is_ok_and(|at| at <= after) && after < now => {
                    Remedy::Login
                }
                _ => Remedy::Nothing,
            }
        }
        _ => Remedy::Nothing,
    }
}

fn login_needed(why: impl Into<String>) -> Outcome {
    Outcome::LoginNeeded {
        why: why.into(),
        refused: false,
    }
}

/// What came of a refresh that did not fail.
enum Refreshed {
    Done,
    Dead(String),
}

impl Run<'_> {
    /// Renews, as the only program that does so for this cluster.
    pub(super) async fn renew(&self, accepted: &Accepted) -> Result<Outcome, Error> {
        let started = self.clock.now();
        if self.load_session(accepted)?.is_none() {
            return Ok(login_needed(NO_SESSION));
        }
        let (locks, issuing) = (self.locks(), self.credential_entry()?);
        let _issuing = locks.acquire(&issuing, Purpose::Issue, ISSUE_PATIENCE).await?;
        // Whoever held the lock before may have done the work, replaced the session, or found out that nobody answers.
        if let Some(credential) = self.load_servable() {
            return Ok(Outcome::Renewed(Box::new(credential)));
        }
        if let Some(error) = self.failed_meanwhile(accepted, started)? {
            return Err(error);
        }
        let Some(session) = self.load_session(accepted)? else {
            return Ok(login_needed(NO_SESSION));
        };
        let mut held = Held {
            session,
            is_kept: true,
        };
        match self.exchange(accepted, &mut held, started).await? {
            // That login was of no use here from the start: another would ask the person for nothing.
            Outcome::LoginNeeded { why, refused: true } if self.is_spent(accepted, &held.session) => {
                Err(Error::LoginOfNoUse(why))
            }
            outcome => Ok(outcome),
        }
    }

    /// Gets a certificate for a session, by whoever holds the `issue` lock. `started` is when this program began to wait.
    pub(super) async fn exchange(
        &self,
        accepted: &Accepted,
        held: &mut Held,
        started: OffsetDateTime,
    ) -> Result<Outcome, Error> {
        let mut offset = accepted.clock_offset();
        let mut may_refresh = true;
        let mut may_correct = true;
        let mut may_be_replaced = true;
        let max_age = Duration::seconds(
            accepted
                .identity_provider
                .max_token_age_seconds
                .try_into()
                .unwrap_or(i64::MAX),
        );
        if held.session.wants_refresh(self.clock.now() + offset, max_age) {
            may_refresh = false;
            let refreshed = self.refresh(accepted, held, started).await;
            if !matches!(refreshed, Ok(Refreshed::Done)) {
                if held.session.is_older(self.clock.now() + offset, max_age) {
                    // A correction learned from a wrong clock must not end a session: ask for the time anew.
                    offset = self.contact(accepted).await?.clock_offset();
                }
                let too_old = held.session.is_older(self.clock.now() + offset, max_age);
                match refreshed {
                    Ok(Refreshed::Dead(why)) if too_old => return Ok(login_needed(why)),
                    Err(error) if too_old => return Err(error),
                    _ => tracing::info!("not refreshed; the ID token is still fresh"),
                }
            }
        }
        loop {
            let session = &held.session;
            tracing::trace!(login_token = session.login_token_to_send().is_some(), %offset, "asking for a certificate");
            let error = match self.ask(accepted, session, offset).await {
                Ok(credential) => {
                    if self.keep_unless_replaced(accepted, held, &credential).await? {
                        return Ok(Outcome::Renewed(Box::new(credential)));
                    }
                    match self.load_session(accepted)? {
                        // Another account's credential must not be served under this name.
                        Some(session) if may_be_replaced => held.session = session,
                        Some(_) => return Ok(login_needed("the session was replaced meanwhile")),
                        // This command began before the logout; nobody who has just logged out is asked to log in.
                        None => return Ok(Outcome::Renewed(Box::new(credential))),
                    }
                    may_be_replaced = false;
                    continue;
                }
                Err(Error::Issuer(error)) => error,
                Err(error) => return Err(error),
            };
            if error.code() == Some(&Code::Revoked) {
                // Whatever a login may bring, this credential is over.
                if let Err(error) = self.store.delete(&self.credential_entry()?) {
                    tracing::warn!(%error, "cannot delete a revoked credential");
                }
            }
            let refusal = match &error {
                IssuerError::Refused(refusal) => Some(refusal),
                _ => None,
            };
            let corrected = refusal.and_then(|refusal| refusal.offset);
            let now = self.clock.now() + corrected.unwrap_or(offset);
            match (
                remedy(&error, session.salt().login_time(), now.unix_timestamp()),
                corrected,
            ) {
                (Remedy::Refresh, _) if may_refresh => {
                    may_refresh = false;
                    if let Refreshed::Dead(why) = self.refresh(accepted, held, started).await? {
                        return Ok(login_needed(why));
                    }
                }
                (Remedy::CorrectClock, Some(corrected)) if may_correct => {
                    may_correct = false;
                    offset = corrected;
                    self.remember_clock(accepted, offset);
                }
                (Remedy::Refresh | Remedy::Login, _) => {
                    return Ok(Outcome::LoginNeeded {
                        why: error.to_string(),
                        refused: true,
                    });
                }
                _ => {
                    let error = error.into();
                    let issuer = Some(self.settings.issuer()?);
                    self.failures(accepted)
                        .remember(Attempt::Renewal, &error, issuer, self.clock.now());
                    return Err(error);
                }
            }
        }
    }

    fn is_spent(&self, accepted: &Accepted, session: &Session) -> bool {
        let spent = accepted.spent.get(&self.settings.profile);
        spent.is_some_and(|spent| spent.holds(&session.fingerprint(), self.clock.now()))
    }

    pub(super) fn failed_meanwhile(
        &self,
        accepted: &Accepted,
        started: OffsetDateTime,
    ) -> Result<Option<Error>, Error> {
        let issuer = self.settings.issuer()?;
        Ok(self
            .failures(accepted)
            .recent(Attempt::Renewal, issuer, started, self.clock.now()))
    }

    /// One refresh, under the session's lock. Another program may have done it meanwhile, for this cluster or another.
    async fn refresh(
        &self,
        accepted: &Accepted,
        held: &mut Held,
        started: OffsetDateTime,
    ) -> Result<Refreshed, Error> {
        if let Some(why) = &held.session.cannot_refresh {
            return Ok(Refreshed::Dead(why.clone()));
        }
        let _refreshing = self
            .locks()
            .acquire(&self.session_entry(accepted), Purpose::Refresh, REFRESH_PATIENCE)
            .await?;
        if held.is_kept {
            let Some(stored) = self.load_session(accepted)? else {
                return Ok(Refreshed::Dead(NO_SESSION.into()));
            };
            let is_new = !stored.is_same_login(&held.session) || !stored.has_same_token(&held.session);
            held.session = stored;
            if is_new {
                return Ok(Refreshed::Done);
            }
        }
        if let Some(error) = self.failed_meanwhile(accepted, started)? {
            return Err(error);
        }
        let refreshed = self.ask_identity_provider(accepted, held).await;
        refreshed.inspect_err(|error| {
            self.failures(accepted)
                .remember(Attempt::Renewal, error, None, self.clock.now());
        })
    }

    /// A rotated refresh token is kept whatever else was returned: losing it ends the session.
    async fn ask_identity_provider(&self, accepted: &Accepted, held: &mut Held) -> Result<Refreshed, Error> {
        let session = &mut held.session;
        if let Some(why) = &session.cannot_refresh {
            return Ok(Refreshed::Dead(why.clone()));
        }
        let Some(refresh_token) = session.refresh_token.clone() else {
            return Ok(Refreshed::Dead(
                "the identity provider gave no refresh token".into(),
            ));
        };
        let (idp, ca, nonce) = (
            &accepted.identity_provider,
            self.idp_ca(accepted)?,
            session.nonce()?,
        );
        let tokens = oidc::refresh(
            idp,
            ca.as_deref(),
            &session.token_endpoint,
            &refresh_token,
            &nonce,
        )
        .await;
        let outcome = match tokens {
            Ok(tokens) => self.take_in(idp, session, tokens),
            Err(error @ OidcError::Refused { .. }) => {
                // Shown again, it would be refused again, and to some providers that looks like theft.
                session.cannot_refresh = Some(error.to_string());
                Refreshed::Dead(error.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        let left = held.session.left(self.clock.now());
        let entry = self.session_entry(accepted);
        if held.is_kept
            && let Err(error) = self.store.save(&entry, &held.session.write(), Some(left))
        {
            self.not_kept("refreshed session", LOG_IN_AGAIN, &error);
            let is_spent = held
                .session
                .refresh_token
                .as_ref()
                .is_some_and(|new| new.expose() != refresh_token.expose());
            if is_spent && self.store.delete(&entry).is_err() {
                tracing::warn!("a spent refresh token stays in the keyring");
            }
        }
        Ok(outcome)
    }

    fn take_in(&self, idp: &PinnedIdp, session: &mut Session, tokens: Tokens) -> Refreshed {
        let (id_token, outcome) = match tokens.id_token {
            // OpenID Connect Core section 12.2: the same subject.
            Some(Ok(id_token)) if id_token.subject != session.subject => (
                None,
                Refreshed::Dead("the identity provider refreshed another account".into()),
            ),
            Some(Ok(CheckedIdToken {
                token,
                iat,
                has_nonce,
                ..
            })) => (
                Some(IdToken {
                    token,
                    iat,
                    has_nonce,
                }),
                Refreshed::Done,
            ),
            Some(Err(error)) => (None, Refreshed::Dead(error.to_string())),
            None => {
                let why = "the identity provider returns no ID token when refreshing";
                // Said once: this login is not refreshed again.
                self.ui.say(&format!(
                    "kubectl-gatepass: {} returns no ID token when refreshing, so a login is needed each time the ID \
                     token is too old (after {} min here); whoever runs the provider or the issuer (maxTokenAge) can \
                     change that",
                    Escaped(&idp.issuer),
                    idp.max_token_age_seconds / 60
                ));
                session.cannot_refresh = Some(why.into());
                (None, Refreshed::Dead(why.into()))
            }
        };
        tracing::debug!(
            rotated = tokens.refresh_token.is_some(),
            id_token = id_token.is_some(),
            "refreshed"
        );
        session.refreshed(id_token, tokens.refresh_token);
        outcome
    }

    /// Keeps a credential, unless the session it comes from was replaced or ended while the issuer was asked; false then.
    pub(super) async fn keep_unless_replaced(
        &self,
        accepted: &Accepted,
        held: &Held,
        credential: &Credential,
    ) -> Result<bool, Error> {
        let entry = self.session_entry(accepted);
        let _refreshing = self
            .locks()
            .acquire(&entry, Purpose::Refresh, REFRESH_PATIENCE)
            .await?;
        if held.is_kept {
            match self.load_session(accepted) {
                Ok(Some(stored)) if stored.is_same_login(&held.session) => {}
                Ok(_) => return Ok(false),
                // What cannot be read now is no reason to lose what was just issued.
                Err(error) => tracing::warn!(%error, "cannot tell whether the session is still there"),
            }
        }
        self.keep(credential)?;
        Ok(true)
    }

    /// One request to the issuer, with a key made for it.
    async fn ask(
        &self,
        accepted: &Accepted,
        session: &Session,
        offset: Duration,
    ) -> Result<Credential, Error> {
        let key = CredentialKey::generate()?;
        let request = CertificateRequest {
            id_token: session.id_token().clone(),
            login_token: session.login_token_to_send().cloned(),
            csr: key.csr()?,
            groups: None,
            reason: None,
            ttl_seconds: None,
        };
        let ask = Ask {
            cluster: &accepted.cluster_id,
            key: &session.key()?,
            salt: &session.salt(),
            offset,
            request: &request,
        };
        let client = self.client(accepted.certificate_authority.as_deref())?;
        let (answer, offset) = client.certificate(&ask).await?;
        let issued = certificate::check(answer, &key).map_err(|problem| IssuerError::Nonsense {
            url: client.url().clone(),
            problem: problem.to_string(),
        })?;
        let jitter = u16::from_be_bytes(random(&SystemRandom::new())?);
        let credential = Credential::new(issued, key.pem(), self.clock.now(), offset, jitter)
            .obtained_for(self.cluster_ca, self.load_credential().as_ref());
        self.remember_clock(accepted, offset);
        if accepted.spent.contains_key(&self.settings.profile) {
            let note = |accepted: &mut Accepted| drop(accepted.spent.remove(&self.settings.profile));
            // No reason to lose what was just issued.
            if let Err(error) = self.accepted_file().note(&accepted.url, note) {
                tracing::warn!(%error, "cannot note that the login is of use again");
            }
        }
        Ok(credential)
    }
}
