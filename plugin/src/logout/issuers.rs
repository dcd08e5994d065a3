//! The end of a session at the issuers that it was shown to.

use std::time::Duration;

use futures_util::future::join_all;
use gatepass_api::{Code, LogoutRequest, revocation::is_session_id};

use super::error::Undone;
use crate::{
    accepted::Accepted,
    clock::Clock,
    credential::Credential,
    error::Error,
    escape::Escaped,
    issuer_client::{Ask, IssuerClient, IssuerError},
    prompt::Ui,
    session::Session,
    settings::{IssuerUrl, SettingsError},
};

/// How long to wait for all of them together.
const DEADLINE: Duration = Duration::from_secs(10);
/// No certificate lives longer: what is said where nobody knows better.
const LONGEST_LIFE_MINUTES: i64 = 60;

/// An issuer that a session was shown to.
pub(super) struct Shown {
    /// Its pins.
    pub(super) accepted: Accepted,
    /// What it gave last, where that is still kept.
    pub(super) credential: Option<Credential>,
}

/// What became of the session at one of them.
pub(super) struct Told {
    cluster: String,
    url: String,
    outcome: Outcome,
}

enum Outcome {
    /// It is over.
    Ended,
    /// This issuer has no way to end it.
    NotOffered,
    /// It may go on.
    Failed(Undone),
}

/// Asks each issuer to end the session, all at once: one that hangs keeps nobody else's waiting.
pub(super) async fn end(session: &Session, shown: &[Shown], clock: &dyn Clock) -> Vec<Told> {
    join_all(shown.iter().map(async |shown| {
        let asked = tokio::time::timeout(DEADLINE, end_at(session, &shown.accepted, clock)).await;
        let outcome = match asked {
            Ok(Ok(())) => Outcome::Ended,
            Ok(Err(Error::Issuer(IssuerError::NoLogout(_)))) => Outcome::NotOffered,
            Ok(Err(error)) => Outcome::Failed(shown.goes_on(error.to_string(), clock)),
            Err(_) => {
                let silent = format!("it did not answer within {} s", DEADLINE.as_secs());
                Outcome::Failed(shown.goes_on(silent, clock))
            }
        };
        Told {
            cluster: shown.accepted.cluster_name.clone(),
            url: shown.accepted.url.clone(),
            outcome,
        }
    }))
    .await
}

async fn end_at(session: &Session, accepted: &Accepted, clock: &dyn Clock) -> Result<(), Error> {
    let url = IssuerUrl::parse(&accepted.url).map_err(|problem| SettingsError::Wrong {
        place: "accepted.json",
        name: "url".into(),
        problem,
    })?;
    let client = IssuerClient::new(&url, accepted.certificate_authority.as_deref(), clock)?;
    // The token that carries the nonce, whatever later ones carry.
    let request = LogoutRequest {
        token: session.login_token.clone(),
    };
    let mut ask = Ask {
        cluster: &accepted.cluster_id,
        key: &session.key()?,
        salt: &session.salt(),
        offset: accepted.clock_offset(),
        request: &request,
    };
    match client.logout(&ask).await {
        Err(IssuerError::Refused(refusal)) if refusal.problem.code == Code::ProofNotFresh => {
            let Some(corrected) = refusal.offset else {
                return Err(IssuerError::Refused(refusal).into());
            };
            ask.offset = corrected;
            Ok(client.logout(&ask).await?)
        }
        outcome => Ok(outcome?),
    }
}

impl Shown {
    fn goes_on(&self, why: String, clock: &dyn Clock) -> Undone {
        let kept = self.credential.as_ref();
        let left = kept.map(|kept| kept.left(clock.now()).whole_seconds());
        Undone::AtIssuer {
            issuer: self.accepted.url.clone(),
            why,
            minutes: left.map_or(LONGEST_LIFE_MINUTES, |seconds| (seconds.max(0) + 59) / 60),
            session: kept
                .map(|kept| kept.session.clone())
                .filter(|session| is_session_id(session)),
        }
    }
}

/// Says where the session ended, and adds where it may go on.
pub(super) fn report(told: Vec<Told>, ui: &dyn Ui, undone: &mut Vec<Undone>) {
    let mut ended = Vec::new();
    for told in told {
        match told.outcome {
            Outcome::Ended => ended.push(told.cluster),
            Outcome::NotOffered => ui.say(&format!(
                "kubectl-gatepass: the issuer {} does not support logout, so credentials that it gave work until they \
                 end, in minutes; nothing on this machine can renew them",
                Escaped(&told.url)
            )),
            Outcome::Failed(failed) => undone.push(failed),
        }
    }
    if !ended.is_empty() {
        ui.say(&format!(
            "kubectl-gatepass: the session is revoked at the issuers of: {}",
            Escaped(&ended.join(", "))
        ));
    }
}
