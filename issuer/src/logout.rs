//! The use cases that end sessions: a person says so, with the session's key, or an identity provider does.

use gatepass_api::path;
use gatepass_api::revocation::{LOGIN_LEEWAY, RevocationSpec, Subject, Target};

use crate::audit::Trail;
use crate::authorize::LEEWAY;
use crate::binding;
use crate::clock::rfc3339;
use crate::error::Refusal;
use crate::id_token::{self, Unverified, Use};
use crate::ids;
use crate::issue::{Issuer, KeySets, Received};
use crate::logout_token::{self, LogoutToken};
use crate::proof::{self, UnverifiedProof};
use crate::request;

/// What a logout leads to.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum LoggedOut {
    /// The session ended by itself.
    Over,
    /// It must be revoked.
    Revoke {
        /// What the revocation is called: one for each session.
        name: String,
        /// What it says.
        spec: RevocationSpec,
    },
}

impl Issuer {
    /// Ends the session of a token with a nonce, for whoever has its key. The token is checked as a login token is; it may
    /// have expired, and the session have ended.
    pub fn log_out(
        &self,
        received: Received<'_>,
        keys: &KeySets,
        now: i64,
        trail: &mut Trail,
    ) -> Result<LoggedOut, Refusal> {
        let proof = UnverifiedProof::only(received.proofs)?;
        let request = request::logout(received.body)?;
        let token = Unverified::parse(request.token.expose())?;
        let (_, idp, keys) = self.provider(&token, keys, trail)?;
        let token = id_token::verify(token, idp, keys, Use::Grant, now)?;
        trail.token(&token);
        let proof = proof.verify(&proof::Expected {
            method: "POST",
            url: &format!("{}{}", self.cluster.url, path::LOGOUT),
            cluster_id: &self.cluster.id,
            body: received.body,
            now,
        })?;
        trail.proof(&proof);
        let binding = binding::bind_whenever(&token, None, &proof, self.lifetimes.session)?;
        trail.login_time = Some(binding.login_time());
        let (issuer, subject) = (token.issuer(), token.subject());
        let session = ids::session_id(
            &ids::subject_id(issuer, subject),
            &ids::login_id(&self.cluster.id, issuer, subject, binding.nonce()),
        );
        trail.ended = Some(session.clone());
        if now >= binding.session_end() {
            return Ok(LoggedOut::Over);
        }
        Ok(LoggedOut::Revoke {
            name: format!("logout-{session}"),
            spec: RevocationSpec {
                target: Target::Session(session),
                logged_in_before: Some(rfc3339(binding.login_time())),
                block_issuance: false,
                reason: Some("logged out".into()),
                // An API server whose clock is slow takes the session's last certificate a little longer.
                expires_at: Some(rfc3339(binding.session_end().saturating_add(LEEWAY))),
            },
        })
    }

    /// Ends all sessions of a logout token's subject that began before it: the revocation's name, and what it says.
    ///
    /// There is one for each subject, and it is written over: a provider that says it again, or somebody who repeats what it
    /// said, changes nothing, because logins after the token's time stay allowed. So at most as many are there as the
    /// provider has subjects that it logged out within the life of a session.
    pub fn subject_logged_out(
        &self,
        token: &str,
        keys: &KeySets,
        now: i64,
        trail: &mut Trail,
    ) -> Result<(String, RevocationSpec), logout_token::Error> {
        let token = Unverified::parse(token)?;
        let (_, idp, keys) = self.provider(&token, keys, trail)?;
        let token = LogoutToken::verify(token, idp, keys, now)?;
        trail.logout_token(&token);
        let issuer = idp.issuer.clone();
        let name = format!("backchannel-{}", ids::subject_id(&issuer, token.subject()));
        let session_max = i64::try_from(self.lifetimes.session.as_secs()).unwrap_or(i64::MAX);
        // When the last session that it denies has ended, by the slowest clock.
        let end = (token.issued() + LOGIN_LEEWAY + LEEWAY).saturating_add(session_max);
        let spec = RevocationSpec {
            target: Target::Subject(Subject {
                issuer,
                subject: token.subject().to_owned(),
            }),
            logged_in_before: Some(rfc3339(token.issued())),
            block_issuance: false,
            reason: Some("logged out at the identity provider".into()),
            expires_at: Some(rfc3339(end)),
        };
        Ok((name, spec))
    }
}
