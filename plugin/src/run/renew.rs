//! Renewal: the session's tokens, refreshed where they are old, for a new certificate. Nobody is asked.

use aws_lc_rs::rand::SystemRandom;
use gatepass_api::{CertificateRequest, CertificateResponse, Code};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{REFRESH_PATIENCE, Run};
use crate::{
    accepted::Accepted,
    credential::{Credential, Issued, Use},
    error::Error,
    escape::Escaped,
    issuer_client::{Ask, IssuerError},
    keys::{CredentialKey, random},
    lock::Purpose,
    oidc::{self, OidcError},
    session::{IdToken, Session},
};

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
        match self.store.load(&entry) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Outcome::LoginNeeded("there is no session on this machine".into())),
            // A keyring that does not answer must not lock out a person who can log in.
            Err(error) if self.ui.interactive() => return Ok(Outcome::LoginNeeded(error.to_string())),
            Err(error) => return Err(error.into()),
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
        let Some(mut session) = self.store.load(&entry)?.and_then(|bytes| Session::read(&bytes)) else {
            return Ok(Outcome::LoginNeeded("there is no session on this machine".into()));
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
            match self.refresh(accepted, session, offset).await {
                Ok(Refreshed::Done) => {}
                // The latest token may do until it is too old; the issuer decides.
                Ok(Refreshed::Dead(why)) if session.is_older(self.clock.now() + offset, max_age) => {
                    return Ok(Outcome::LoginNeeded(why));
                }
                Ok(Refreshed::Dead(why)) => tracing::info!(why, "not refreshed; the ID token is still fresh"),
                Err(error) if session.is_older(self.clock.now() + offset, max_age) => return Err(error),
                Err(error) => tracing::info!(%error, "not refreshed; the ID token is still fresh"),
            }
        }
        loop {
            let error = match self.ask(accepted, session, offset).await {
                Ok(credential) => return Ok(Outcome::Renewed(Box::new(credential))),
                Err(Error::Issuer(error)) => error,
                Err(error) => return Err(error),
            };
            match (remedy(&error), &error) {
                (Remedy::Refresh, _) if may_refresh => {
                    may_refresh = false;
                    if let Refreshed::Dead(why) = self.refresh(accepted, session, offset).await? {
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

    /// One refresh. A rotated refresh token is kept before anything else happens: losing it ends the session.
    async fn refresh(
        &self,
        accepted: &Accepted,
        session: &mut Session,
        offset: Duration,
    ) -> Result<Refreshed, Error> {
        let idp = &accepted.identity_provider;
        let Some(refresh_token) = session.refresh_token.clone() else {
            return Ok(Refreshed::Dead(
                "the identity provider gave no refresh token".into(),
            ));
        };
        let nonce = session.nonce()?;
        let ca = self.idp_ca(accepted)?;
        let now = self.clock.now() + offset;
        let tokens = oidc::refresh(
            idp,
            ca.as_deref(),
            &session.token_endpoint,
            &refresh_token,
            &nonce,
            now,
        )
        .await;
        let tokens = match tokens {
            Ok(tokens) => tokens,
            Err(error @ (OidcError::Refused { .. } | OidcError::Token { .. })) => {
                return Ok(Refreshed::Dead(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let id_token = match tokens.id_token {
            // OpenID Connect Core section 12.2: the same subject.
            Some(id_token) if id_token.subject != session.subject => {
                return Ok(Refreshed::Dead(
                    "the identity provider refreshed another account".into(),
                ));
            }
            Some(id_token) => Some(IdToken {
                token: id_token.token,
                iat: id_token.iat,
                has_nonce: id_token.has_nonce,
            }),
            None => None,
        };
        let lacks_id_token = id_token.is_none();
        session.refreshed(id_token, tokens.refresh_token);
        if let Err(error) = self
            .store
            .save(&self.session_entry(accepted), &session.write(), None)
        {
            self.not_kept("refreshed session", &error);
        }
        if lacks_id_token {
            return Ok(Refreshed::Dead(
                "the identity provider returns no ID token when refreshing".into(),
            ));
        }
        Ok(Refreshed::Done)
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
        let issued = issued(answer).map_err(|problem| IssuerError::Nonsense {
            url: client.url().clone(),
            problem: problem.into(),
        })?;
        let jitter = u16::from_be_bytes(random(&SystemRandom::new())?);
        let credential = Credential::new(issued, key.pem(), self.clock.now(), offset, jitter);
        self.remember_clock(accepted, offset);
        self.keep(&credential)?;
        Ok(credential)
    }

    pub(super) fn load_credential(&self) -> Option<Credential> {
        let bytes = self.store.load(&self.credential_entry().ok()?).ok()??;
        Credential::read(&bytes)
    }

    /// Keeps an issuer's clock correction, for that issuer alone. A few seconds are not worth a write.
    pub(super) fn remember_clock(&self, accepted: &Accepted, offset: Duration) {
        if (offset - accepted.clock_offset()).abs() > Duration::seconds(5) {
            if offset.abs() > Duration::minutes(1) {
                let direction = if offset.is_positive() {
                    "behind"
                } else {
                    "ahead of"
                };
                self.ui.say(&format!(
                    "kubectl-gatepass: this machine's clock is {} s {direction} the issuer's; please set it",
                    offset.whole_seconds().abs()
                ));
            }
            let note = |accepted: &mut Accepted| accepted.clock_offset_seconds = offset.whole_seconds();
            if let Err(error) = self.accepted_file().note(&accepted.url, note) {
                tracing::warn!(%error, "cannot keep the clock correction");
            }
        }
    }
}

fn issued(answer: CertificateResponse) -> Result<Issued, &'static str> {
    let not_after = OffsetDateTime::parse(&answer.not_after, &Rfc3339).map_err(|_| "notAfter is no time")?;
    Ok(Issued {
        certificate: answer.certificate,
        not_after: not_after.unix_timestamp(),
        credential_id: answer.credential_id,
        username: Escaped(&answer.username).to_string(),
        uid: Escaped(&answer.uid).to_string(),
        groups: answer
            .groups
            .iter()
            .map(|group| Escaped(group).to_string())
            .collect(),
        session: answer.session,
        session_end: answer.session_end,
    })
}
