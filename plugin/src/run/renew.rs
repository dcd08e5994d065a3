//! Renewal: the session's tokens, refreshed where they are old, for a new certificate. Nobody is asked.

use aws_lc_rs::rand::SystemRandom;
use gatepass_api::{CertificateRequest, Code};
use time::Duration;

use super::{LOG_IN_AGAIN, REFRESH_PATIENCE, Run};
use crate::{
    accepted::Accepted,
    certificate,
    credential::{Credential, Use},
    error::Error,
    issuer_client::{Ask, IssuerError},
    keys::{CredentialKey, random},
    lock::Purpose,
    oidc::{self, CheckedIdToken, OidcError},
    session::{IdToken, Session},
};

const NO_SESSION: &str = "there is no session on this machine";

/// What came of a renewal that did not fail.
pub(super) enum Outcome {
    /// A new credential, or one that another program obtained meanwhile.
    Renewed(Box<Credential>),
    /// Only a person can help; the reason is for them.
    LoginNeeded(String),
}

/// What helps against a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    Refresh,
    CorrectClock,
    Login,
    Nothing,
}

fn remedy(error: &IssuerError) -> Remedy {
    let IssuerError::Refused(refusal) = error else {
        return Remedy::Nothing;
    };
    match &refusal.problem.code {
        Code::TokenNotFresh | Code::TokenExpired | Code::UnknownKey | Code::BadSignature => Remedy::Refresh,
        Code::ProofNotFresh => Remedy::CorrectClock,
        Code::BindingMismatch | Code::LoginTokenInvalid | Code::SessionEnded => Remedy::Login,
        Code::Revoked if refusal.problem.login_after.is_some() => Remedy::Login,
        _ => Remedy::Nothing,
    }
}

/// What came of a refresh that did not fail.
enum Refreshed {
    Done,
    Dead(String),
}

impl Run<'_> {
    /// Renews under the `refresh` lock.
    pub(super) async fn renew(&self, accepted: &Accepted) -> Result<Outcome, Error> {
        let entry = self.session_entry(accepted);
        if self.load_session(accepted)?.is_none() {
            return Ok(Outcome::LoginNeeded(NO_SESSION.into()));
        }
        let _guard = self
            .locks()
            .acquire(&entry, Purpose::Refresh, REFRESH_PATIENCE)
            .await?;
        // Whoever held the lock before may have done the work, or replaced the session.
        if let Some(credential) = self.load_credential()
            && credential.judge(self.clock.now()) == Use::Serve
        {
            return Ok(Outcome::Renewed(Box::new(credential)));
        }
        let Some(mut session) = self.load_session(accepted)? else {
            return Ok(Outcome::LoginNeeded(NO_SESSION.into()));
        };
        self.exchange(accepted, &mut session).await
    }

    /// Gets a certificate for a session whose `refresh` lock is held.
    pub(super) async fn exchange(
        &self,
        accepted: &Accepted,
        session: &mut Session,
    ) -> Result<Outcome, Error> {
        let mut offset = accepted.clock_offset();
        let mut may_refresh = true;
        let mut may_correct = true;
        let max_age = Duration::seconds(
            accepted
                .identity_provider
                .max_token_age_seconds
                .try_into()
                .unwrap_or(i64::MAX),
        );
        if session.wants_refresh(self.clock.now() + offset, max_age) {
            may_refresh = false;
            let refreshed = self.refresh(accepted, session).await;
            if !matches!(refreshed, Ok(Refreshed::Done)) {
                if session.is_older(self.clock.now() + offset, max_age) {
                    // A correction learned from a wrong clock must not end a session: ask for the time anew.
                    offset = self.contact(accepted).await?.clock_offset();
                }
                let too_old = session.is_older(self.clock.now() + offset, max_age);
                match refreshed {
                    Ok(Refreshed::Dead(why)) if too_old => return Ok(Outcome::LoginNeeded(why)),
                    Err(error) if too_old => return Err(error),
                    _ => tracing::info!("not refreshed; the ID token is still fresh"),
                }
            }
        }
        loop {
            tracing::trace!(login_token = session.login_token_to_send().is_some(), %offset, "asking for a certificate");
            let error = match self.ask(accepted, session, offset).await {
                Ok(credential) => return Ok(Outcome::Renewed(Box::new(credential))),
                Err(Error::Issuer(error)) => error,
                Err(error) => return Err(error),
            };
            if error.code() == Some(&Code::Revoked) {
                // Whatever a login may bring, this credential is over.
                self.store.delete(&self.credential_entry()?)?;
            }
            match (remedy(&error), &error) {
                (Remedy::Refresh, _) if may_refresh => {
                    may_refresh = false;
                    if let Refreshed::Dead(why) = self.refresh(accepted, session).await? {
                        return Ok(Outcome::LoginNeeded(why));
                    }
                }
                (Remedy::CorrectClock, IssuerError::Refused(refusal)) if may_correct => {
                    may_correct = false;
                    let Some(corrected) = refusal.offset else {
                        return Err(error.into());
                    };
                    offset = corrected;
                    self.remember_clock(accepted, offset);
                }
                (Remedy::Refresh | Remedy::Login, _) => return Ok(Outcome::LoginNeeded(error.to_string())),
                _ => return Err(error.into()),
            }
        }
    }

    /// One refresh. A rotated refresh token is kept whatever else was returned: losing it ends the session.
    async fn refresh(&self, accepted: &Accepted, session: &mut Session) -> Result<Refreshed, Error> {
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
        let tokens = match tokens {
            Ok(tokens) => tokens,
            Err(error @ OidcError::Refused { .. }) => return Ok(Refreshed::Dead(error.to_string())),
            Err(error) => return Err(error.into()),
        };
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
            None => (
                None,
                Refreshed::Dead("the identity provider returns no ID token when refreshing".into()),
            ),
        };
        tracing::debug!(
            rotated = tokens.refresh_token.is_some(),
            id_token = id_token.is_some(),
            "refreshed"
        );
        session.refreshed(id_token, tokens.refresh_token);
        let left = session.left(self.clock.now());
        if let Err(error) = self
            .store
            .save(&self.session_entry(accepted), &session.write(), Some(left))
        {
            self.not_kept("refreshed session", LOG_IN_AGAIN, &error);
        }
        Ok(outcome)
    }

    /// One request to the issuer, with a key made for it; keeps the credential.
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
        let credential = Credential::new(issued, key.pem(), self.clock.now(), offset, jitter);
        self.remember_clock(accepted, offset);
        self.keep(&credential)?;
        Ok(credential)
    }
}
