//! The use case: a credential for one cluster, from the cheapest source that has one.
//!
//! A kept credential is served by [`crate::get_credential`] before any of this starts. Here a session renews it
//! ([`renew`]), and where there is none a person logs in ([`login`]). Two locks keep fifty programs from doing either
//! twice: `refresh` is held while renewing and never while a person is asked, `login` by the one that asks.

mod accept;
mod failure;
mod login;
mod renew;

use std::time::Duration;

use crate::{
    accepted::{Accepted, AcceptedFile},
    clock::Clock,
    credential::{Credential, Use},
    error::Error,
    lock::{Locks, Purpose},
    paths::Paths,
    prompt::Ui,
    settings::Settings,
    store::{Entry, Store},
};

pub use login::Typed;

/// How long to wait for another program's renewal: two requests with their deadlines.
const REFRESH_PATIENCE: Duration = Duration::from_secs(90);

/// The asynchronous runtime: one thread, and only where the network is needed.
pub fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)
}

/// What one run works with.
pub struct Run<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// Where files lie.
    pub paths: &'a Paths,
    /// The keyring.
    pub store: &'a Store,
    /// The local clock.
    pub clock: &'a dyn Clock,
    /// The person.
    pub ui: &'a dyn Ui,
}

impl Run<'_> {
    /// A credential for the issuer in the settings. `kept` is what the keyring holds, if it should be renewed.
    pub async fn credential(&self, kept: Option<Credential>) -> Result<Credential, Error> {
        let accepted = self.accepted().await?;
        if let Some(kept) = &kept
            && self
                .locks()
                .try_acquire(&self.session_entry(&accepted), Purpose::Refresh)?
                .is_none()
        {
            // Another program renews right now; what we have is good until it is done.
            return Ok(kept.clone());
        }
        let why = match self.renew(&accepted).await {
            Ok(renew::Outcome::Renewed(credential)) => return Ok(*credential),
            Ok(renew::Outcome::LoginNeeded(why)) => why,
            Err(error) => return self.still_good(kept, &error).ok_or(error),
        };
        if !self.ui.interactive() {
            let error = Error::LoginRequired {
                issuer: self.settings.issuer()?.clone(),
                why,
            };
            return self.still_good(kept, &error).ok_or(error);
        }
        self.log_in_once(&accepted, &why).await
    }

    /// One program asks the person; the others wait for what comes of it.
    async fn log_in_once(&self, accepted: &Accepted, why: &str) -> Result<Credential, Error> {
        let started = self.clock.now();
        let session = self.session_entry(accepted);
        let locks = self.locks();
        let _guard = match locks.try_acquire(&session, Purpose::Login)? {
            Some(guard) => guard,
            None => {
                self.ui
                    .say("kubectl-gatepass: waiting for the login that another command began");
                let guard = locks
                    .acquire(&session, Purpose::Login, self.settings.login_timeout())
                    .await?;
                if let renew::Outcome::Renewed(credential) = self.renew(accepted).await? {
                    return Ok(*credential);
                }
                guard
            }
        };
        let failures = self.failures(accepted);
        if let Some(message) = failures.recent(started, self.clock.now()) {
            return Err(Error::LoginFailedBefore(message));
        }
        let issued = self.log_in(accepted, &Typed::default(), why).await;
        if let Err(error) = &issued {
            failures.remember(error, self.clock.now());
        }
        issued
    }

    /// A credential that still lives is better than an error.
    fn still_good(&self, kept: Option<Credential>, error: &Error) -> Option<Credential> {
        let kept = kept.filter(|kept| kept.judge(self.clock.now()) != Use::Discard)?;
        // An outage must not delay every command of the credential's last minutes.
        let kept = kept.postponed(self.clock.now());
        if self.keep(&kept).is_err() {
            tracing::debug!("the renewal was not postponed");
        }
        let left = kept.left(self.clock.now()).whole_seconds();
        self.ui.say(&format!(
            "kubectl-gatepass: the credential could not be renewed and ends in {left} s: {error}"
        ));
        Some(kept)
    }

    fn keep(&self, credential: &Credential) -> Result<(), Error> {
        let left = credential
            .left(self.clock.now())
            .max(time::Duration::ZERO)
            .unsigned_abs();
        if let Err(error) = self
            .store
            .save(&self.credential_entry()?, &credential.write(), Some(left))
        {
            // A login that succeeded is never lost because it could not be stored.
            self.not_kept("credential", &error);
        }
        Ok(())
    }

    fn not_kept(&self, what: &str, error: &crate::store::StoreError) {
        self.ui.say(&format!(
            "kubectl-gatepass: the {what} could not be kept, so the next command asks again: {error}\n  next: {}",
            error.hint()
        ));
    }

    fn credential_entry(&self) -> Result<Entry<'_>, Error> {
        Ok(Entry::Credential {
            issuer: self.settings.issuer()?.as_str(),
            profile: &self.settings.profile,
        })
    }

    fn session_entry<'e>(&'e self, accepted: &'e Accepted) -> Entry<'e> {
        let idp = &accepted.identity_provider;
        Entry::Session {
            idp: &idp.issuer,
            client_id: &idp.client_id,
            profile: &self.settings.profile,
        }
    }

    fn locks(&self) -> Locks {
        Locks::new(self.paths.lock_dir())
    }

    fn accepted_file(&self) -> AcceptedFile {
        AcceptedFile::new(self.paths.state_dir())
    }

    fn failures(&self, accepted: &Accepted) -> failure::Memory {
        failure::Memory::new(
            &self.paths.lock_dir(),
            &accepted.identity_provider,
            &self.settings.profile,
        )
    }
}
