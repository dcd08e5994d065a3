//! Refresh: the session's refresh token for a fresh ID token, at the identity provider.

use time::OffsetDateTime;

use super::{
    Attempt, LOG_IN_AGAIN, REFRESH_PATIENCE, Run,
    renew::{Held, NO_SESSION},
};
use crate::{
    accepted::{Accepted, PinnedIdp},
    error::Error,
    escape::Escaped,
    lock::Purpose,
    oidc::{self, CheckedIdToken, OidcError, Tokens},
    session::{IdToken, Session},
};

/// What came of a refresh that did not fail.
pub(super) enum Refreshed {
    /// There is a fresh ID token.
    Done,
    /// The session cannot be refreshed, for this reason.
    Dead(String),
}

impl Run<'_> {
    /// One refresh, under the session's lock. Another program may have done it meanwhile, for this cluster or another.
    pub(super) async fn refresh(
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
}
