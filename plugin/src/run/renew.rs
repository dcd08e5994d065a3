//! Renewal: the session's tokens, refreshed where they are old (`refresh`), for a new certificate. Nobody is asked.

use aws_lc_rs::rand::SystemRandom;
use gatepass_api::{CertificateRequest, Code};
use time::{Duration, OffsetDateTime};

use super::{Attempt, ISSUE_PATIENCE, REFRESH_PATIENCE, Run, refresh::Refreshed};
use crate::{
    accepted::Accepted,
    certificate,
    credential::Credential,
    error::Error,
    issuer_client::{Ask, IssuerError},
    keys::{CredentialKey, random},
    lock::Purpose,
    session::Session,
};

pub(super) const NO_SESSION: &str = "there is no session on this machine";

/// What came of a renewal that did not fail.
pub(super) enum Outcome {
    /// A new credential, or one that another program obtained meanwhile.
    Renewed(Box<Credential>),
    /// Only a person can help.
    LoginNeeded {
        /// The reason, for them.
        why: String,
        /// What is wrong with the login there is.
        because: Because,
    },
}

/// Why a session is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    /// There is none, or it cannot be refreshed.
    NoTokens,
    /// The issuer refuses it.
    Refused,
    /// It was revoked, and the issuer says that a login after this time helps, in Unix seconds; it has passed.
    Revoked(i64),
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
            // A login helps if this one was too early and one made now is not.
            match error.login_after() {
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
        because: Because::NoTokens,
    }
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
            Outcome::LoginNeeded { why, because } if self.is_spent(accepted, &held.session, because) => {
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
                        because: error.login_after().map_or(Because::Refused, Because::Revoked),
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

    /// Notes that the issuer sees this login, before it does: a logout must find it also if the answer gets lost.
    fn note_shown(&self, accepted: &Accepted, session: &Session) {
        let (profile, login) = (&self.settings.profile, session.fingerprint());
        if accepted.shown.get(profile) == Some(&login) {
            return;
        }
        let note = |accepted: &mut Accepted| drop(accepted.shown.insert(profile.clone(), login));
        // A credential that is kept tells a logout the same, while it lives.
        if let Err(error) = self.accepted_file().note(&accepted.url, note) {
            tracing::warn!(%error, "cannot note that the session is shown to the issuer");
        }
    }

    fn is_spent(&self, accepted: &Accepted, session: &Session, because: Because) -> bool {
        let Some(spent) = accepted.spent.get(&self.settings.profile) else {
            return false;
        };
        // A login that was made a moment too early does not stand in the way of the next, once the time has come that was
        // named then. An issuer that names a later one each time gets no more of them.
        let is_due =
            matches!((because, spent.login_after), (Because::Revoked(now), Some(then)) if now <= then);
        !is_due && spent.holds(&session.fingerprint(), self.clock.now())
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
        self.note_shown(accepted, session);
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
