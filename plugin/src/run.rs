//! The use case: a credential for one cluster, from the cheapest source that has one.
//!
//! A kept credential is served by [`crate::get_credential`] before any of this starts. Here a session renews it
//! (`renew`), and where there is none a person logs in (`login`). Locks keep fifty programs from doing either twice:
//! `issue` is held by the one that gets this cluster's certificate, `refresh` by the one that refreshes the session, which
//! other clusters share, and `login` by the one that asks the person.

mod accept;
mod failure;
mod latest;
mod login;
mod refresh;
mod renew;

use std::time::Duration;

use gatepass_api::Salt;

use crate::{
    accepted::{Accepted, AcceptedFile},
    clock::Clock,
    credential::{Credential, Use},
    error::Error,
    lock::{Guard, Locks, Purpose},
    paths::Paths,
    prompt::Ui,
    session::Session,
    settings::Settings,
    store::{Entry, Store, StoreError},
};

use failure::Attempt;
use latest::Latest;
pub use login::Typed;

/// How long to wait for another program's refresh: one request and a few looks into the keyring.
const REFRESH_PATIENCE: Duration = Duration::from_secs(45);

/// How long to wait for another program that gets this cluster's certificate: a refresh, and two requests to the issuer
/// with their further tries.
const ISSUE_PATIENCE: Duration = Duration::from_secs(120);

/// How long the requests of a login may take, beside the person.
const REQUESTS_OF_A_LOGIN: Duration = Duration::from_secs(180);

/// What comes of a session that could not be kept.
const LOG_IN_AGAIN: &str = "you log in again when the credential ends";

/// The asynchronous runtime: one thread, and only where the network is needed.
pub fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)
}

/// Does asynchronous work. A thread that still asks for a name ends with the program: whoever gave up waiting for it must not
/// wait for the resolver's own deadline after all.
pub fn wait_for<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
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
    /// Digest of the CA of the API server that the credential is for, where kubectl says it.
    pub cluster_ca: Option<&'a str>,
}

impl Run<'_> {
    /// A credential for the issuer in the settings. `kept` is what the keyring holds, if it should be renewed.
    pub async fn credential(&self, kept: Option<Credential>) -> Result<Credential, Error> {
        let accepted = self.accepted().await?;
        let issuing = self
            .locks()
            .try_acquire(&self.credential_entry()?, Purpose::Issue);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.fits(self.cluster_ca))
            && matches!(issuing, Ok(None))
        {
            // Another program renews right now; what we have is good until it is done.
            return Ok(kept.clone());
        }
        drop(issuing);
        let before = self.session_salt(&accepted);
        let why = match self.renew(&accepted).await {
            Ok(renew::Outcome::Renewed(credential)) => return Ok(*credential),
            Ok(renew::Outcome::LoginNeeded { why, .. }) => why,
            Err(error) => match (self.still_good(&accepted, kept.clone(), &error), error) {
                (Some(credential), _) => return Ok(credential),
                // A keyring that does not answer must not lock out a person who can log in.
                (None, Error::Store(error)) if self.ui.interactive() => error.to_string(),
                (None, error) => return Err(error),
            },
        };
        let required = Error::LoginRequired {
            issuer: self.settings.issuer()?.clone(),
            profile: self.settings.profile.clone(),
            why: why.clone(),
        };
        // Nobody is interrupted while there is a credential to work with.
        match self.still_good(&accepted, kept, &required) {
            Some(kept) => Ok(kept),
            None if self.ui.interactive() => self.log_in_once(&accepted, &why, before).await,
            None => Err(required),
        }
    }

    /// One program asks the person; the others wait for what comes of it. `before` is the session that was of no use.
    async fn log_in_once(
        &self,
        accepted: &Accepted,
        why: &str,
        before: Option<Salt>,
    ) -> Result<Credential, Error> {
        let started = self.clock.now();
        let _guard = self.login_lock(accepted).await?;
        // A keyring that was too slow for this program need not be so for the one that renews right now.
        let issuing = self.credential_entry()?;
        drop(
            self.locks()
                .acquire(&issuing, Purpose::Issue, ISSUE_PATIENCE)
                .await?,
        );
        // Somebody may have logged in since, for this cluster or for another that the session serves.
        if let Some(credential) = self.load_servable() {
            return Ok(credential);
        }
        if self.session_salt(accepted) != before
            && let renew::Outcome::Renewed(credential) = self.renew(accepted).await?
        {
            return Ok(*credential);
        }
        let issuer = self.settings.issuer()?;
        let recent = self
            .failures(accepted)
            .recent(Attempt::Login, issuer, started, self.clock.now());
        // Whoever had the lock may not even have got as far as asking.
        match recent.or(self.failed_meanwhile(accepted, started)?) {
            Some(error) => Err(error),
            None => self.log_in(accepted, &Typed::default(), why).await,
        }
    }

    async fn login_lock(&self, accepted: &Accepted) -> Result<Guard, Error> {
        let session = self.session_entry(accepted);
        let locks = self.locks();
        if let Some(guard) = locks.try_acquire(&session, Purpose::Login)? {
            return Ok(guard);
        }
        self.ui
            .say("kubectl-gatepass: waiting for the login that another command began");
        let patience = self.settings.login_timeout() + REQUESTS_OF_A_LOGIN;
        Ok(locks.acquire(&session, Purpose::Login, patience).await?)
    }

    /// A credential that still lives is better than an error, unless it was taken away: by a logout, by another login, or
    /// because access was revoked.
    fn still_good(&self, accepted: &Accepted, kept: Option<Credential>, error: &Error) -> Option<Credential> {
        let kept = kept.filter(|kept| kept.judge(self.clock.now()) != Use::Discard)?;
        let stored = self.load_credential()?;
        if stored.credential_id != kept.credential_id {
            return Some(stored).filter(|stored| stored.judge(self.clock.now()) == Use::Serve);
        }
        // An outage must not delay every command of the credential's last minutes. Only who holds the locks may write: a
        // renewal holds the one, a logout or a login that deletes the credential the other.
        let locks = self.locks();
        let issue = locks.try_acquire(&self.credential_entry().ok()?, Purpose::Issue);
        let refresh = locks.try_acquire(&self.session_entry(accepted), Purpose::Refresh);
        let may_write = matches!((&issue, &refresh), (Ok(Some(_)), Ok(Some(_))));
        if may_write && self.load_credential()?.credential_id == kept.credential_id {
            let postponed = kept.clone().postponed(self.clock.now());
            let _said_already = self.keep(&postponed.obtained_for(self.cluster_ca, None));
        }
        let left = kept.left(self.clock.now()).whole_seconds();
        let next = error
            .hint()
            .map(|hint| format!("\n  next: {hint}"))
            .unwrap_or_default();
        self.ui.say(&format!(
            "kubectl-gatepass: the credential could not be renewed and ends in {left} s: {error}{next}"
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
            self.not_kept("credential", "the next command gets another", &error);
        }
        Ok(())
    }

    /// Says what could not be kept and what comes of it. One keyring refuses session and credential for one reason: that
    /// is named once, with the way out.
    fn not_kept(&self, what: &str, so: &str, error: &StoreError) {
        let text = match self.store.told(error) {
            false => format!(
                "the {what} could not be kept, so {so}: {error}\n  next: {}",
                error.hint()
            ),
            true => format!("the {what} could not be kept either, so {so}"),
        };
        self.ui.say(&format!("kubectl-gatepass: {text}"));
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

    /// Tells one session of this account from another.
    fn session_salt(&self, accepted: &Accepted) -> Option<Salt> {
        self.load_session(accepted)
            .ok()
            .flatten()
            .map(|session| session.salt())
    }

    fn load_session(&self, accepted: &Accepted) -> Result<Option<Session>, StoreError> {
        let entry = self.session_entry(accepted);
        let bytes = self.store.load(&entry)?;
        let session = bytes.and_then(|bytes| Session::read(&bytes, self.clock.now()));
        Ok(session.filter(|session| !self.latest(&entry).is_another_accounts(session)))
    }

    /// A credential that needs no renewal, which another program may just have obtained.
    fn load_servable(&self) -> Option<Credential> {
        self.load_credential()
            .filter(|kept| kept.judge(self.clock.now()) == Use::Serve && kept.fits(self.cluster_ca))
    }

    fn load_credential(&self) -> Option<Credential> {
        let bytes = self.store.load(&self.credential_entry().ok()?).ok()??;
        Credential::read(&bytes)
    }

    fn locks(&self) -> Locks {
        Locks::new(self.paths.lock_dir())
    }

    fn latest(&self, session: &Entry<'_>) -> Latest {
        Latest::new(self.paths, session)
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

#[cfg(test)]
mod tests;
