//! `logout`: ends the session at the issuers that it was shown to and its refresh token at the identity provider, then
//! forgets the session and the credentials it served.

mod error;
mod issuers;

use std::{collections::BTreeSet, time::Duration};

use crate::{
    accepted::{Accepted, AcceptedFile, PinnedIdp},
    cli::Logout,
    clock::Clock,
    credential::Credential,
    error::Error,
    escape::Escaped,
    lock::{Locks, Purpose},
    oidc,
    paths::Paths,
    prompt::Ui,
    session::Session,
    settings::Settings,
    store::{Entry, Store, StoreError},
};

pub use error::LogoutError;
use error::Undone;
use issuers::{Shown, Told};

/// How long to wait for a login or renewal that is under way.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends each chosen session at its issuers, revokes its refresh token (RFC 7009), then deletes what this machine keeps of it.
/// What cannot be done does not stop the rest, and is named at the end.
pub async fn logout(
    command: &Logout,
    settings: &Settings,
    paths: &Paths,
    clock: &dyn Clock,
    ui: &dyn Ui,
) -> Result<(), Error> {
    let store = settings.store(paths)?;
    let accepted = AcceptedFile::new(paths.state_dir());
    let issuers = accepted.all()?;
    let mut undone = Vec::new();
    let stored = match command.all.then(|| store.sessions()) {
        Some(Ok(stored)) => stored,
        Some(Err(error)) => {
            undone.push(Undone::List(error));
            Vec::new()
        }
        None => Vec::new(),
    };
    let mut chosen = choose(command, settings, &issuers)?;
    // Sessions whose issuer was replaced since are known to the keyring alone.
    chosen.extend(
        stored
            .iter()
            .map(|s| (s.idp.as_str(), s.client_id.as_str(), s.profile.as_str())),
    );
    if chosen.is_empty() && undone.is_empty() {
        ui.say("kubectl-gatepass: there is no session on this machine");
    }
    let machine = Machine {
        settings,
        store: &store,
        issuers: &issuers,
        accepted,
        clock,
        locks: Locks::new(paths.lock_dir()),
    };
    for parts @ (idp, _, profile) in chosen {
        let session = format!("{} (profile {})", Escaped(idp), Escaped(profile));
        match machine.end(parts).await {
            Ok(ended) => ended.report(&session, ui, &mut undone),
            Err(error) => undone.push(Undone::Nothing {
                session,
                source: Box::new(error),
            }),
        }
    }
    if undone.is_empty() {
        Ok(())
    } else {
        Err(LogoutError(undone).into())
    }
}

/// What this machine keeps.
struct Machine<'a> {
    settings: &'a Settings,
    store: &'a Store,
    issuers: &'a [Accepted],
    accepted: AcceptedFile,
    clock: &'a dyn Clock,
    locks: Locks,
}

/// What became of a session's refresh token at the identity provider.
enum AtIdp {
    /// It is of no use any more.
    Revoked,
    /// There was none.
    NoToken,
    /// The provider's metadata named no place to revoke it at.
    NotOffered,
    /// What the keyring holds is not readable, and so is no token.
    Unreadable,
    /// The keyring did not give it, so it was not asked.
    NotAsked,
    /// The provider did not do it.
    Failed(Error),
}

struct Ended<'a> {
    at_issuers: Vec<Told>,
    at_idp: AtIdp,
    /// Whether there was an entry; the error if the keyring did not let go of all.
    local: Result<bool, StoreError>,
    clusters: Vec<&'a str>,
}

impl<'a> Machine<'a> {
    async fn end(&self, (idp, client_id, profile): SessionKeyParts<'_>) -> Result<Ended<'a>, Error> {
        let session = Entry::Session {
            idp,
            client_id,
            profile,
        };
        // A program that renews or logs in right now would write back what is deleted here, and a renewal would have the
        // provider exchange the token that is being revoked.
        let _login = self.locks.acquire(&session, Purpose::Login, PATIENCE).await?;
        let _refresh = self.locks.acquire(&session, Purpose::Refresh, PATIENCE).await?;
        let served: Vec<_> = self
            .issuers
            .iter()
            .filter(|accepted| {
                let pinned = &accepted.identity_provider;
                pinned.issuer == idp && pinned.client_id == client_id
            })
            .collect();
        let mut at_issuers = Vec::new();
        // The others first: once the entry is gone, nobody here knows the key and the token any more. Of them the issuers
        // first: what a copy of this session could do at a cluster ends there.
        let (at_idp, mut fault) = match self.store.load(&session) {
            Ok(None) => (AtIdp::NoToken, None),
            Ok(Some(bytes)) => match Session::of_any_age(&bytes) {
                Some(kept) => {
                    let shown = self.shown(&kept, &served, profile);
                    at_issuers = issuers::end(&kept, &shown, self.clock).await;
                    (self.revoke(&client(&served, idp, client_id), &kept).await, None)
                }
                None => (AtIdp::Unreadable, None),
            },
            Err(StoreError::Corrupt { .. }) => (AtIdp::Unreadable, None),
            Err(error) => (AtIdp::NotAsked, Some(error)),
        };
        // Credentials before the session: if the keyring fails in between, the session is still there to log out again.
        for accepted in &served {
            let entry = Entry::Credential {
                issuer: &accepted.url,
                profile,
            };
            fault = self.store.delete(&entry).err().or(fault);
        }
        let local = match (&at_idp, fault) {
            // Whoever logs out again, with the keyring in order, ends the token, too.
            (AtIdp::NotAsked, Some(error)) => Err(error),
            (_, fault) => self
                .store
                .delete(&session)
                .and_then(|had| fault.map_or(Ok(had), Err)),
        };
        Ok(Ended {
            at_issuers,
            at_idp,
            local,
            clusters: served
                .iter()
                .map(|accepted| accepted.cluster_name.as_str())
                .collect(),
        })
    }

    /// The issuers that have seen the session: those where that was noted, and those whose credential is still here. What they
    /// were shown since the command began counts, too.
    fn shown(&self, session: &Session, served: &[&Accepted], profile: &str) -> Vec<Shown> {
        let login = session.fingerprint();
        let accepted = self.accepted.all().unwrap_or_else(|_| self.issuers.to_vec());
        let shown = accepted.into_iter().map(|accepted| {
            let entry = Entry::Credential {
                issuer: &accepted.url,
                profile,
            };
            let kept = self.store.load(&entry).ok().flatten();
            let credential = kept.and_then(|bytes| Credential::read(&bytes));
            Shown { accepted, credential }
        });
        let is_served = |url: &str| served.iter().any(|accepted| accepted.url == url);
        shown
            .filter(|Shown { accepted, credential }| {
                accepted.shown.get(profile) == Some(&login)
                    || credential.is_some() && is_served(&accepted.url)
            })
            .collect()
    }

    async fn revoke(&self, idp: &PinnedIdp, session: &Session) -> AtIdp {
        let Some(refresh_token) = &session.refresh_token else {
            return AtIdp::NoToken;
        };
        let Some(endpoint) = &session.revocation_endpoint else {
            return AtIdp::NotOffered;
        };
        let ca = match self.settings.idp_ca(idp) {
            Ok(ca) => ca,
            Err(error) => return AtIdp::Failed(error.into()),
        };
        match oidc::revoke(idp, ca.as_deref(), endpoint, refresh_token).await {
            Ok(()) => AtIdp::Revoked,
            Err(error) => AtIdp::Failed(error.into()),
        }
    }
}

/// The client to speak for, with the provider's CA where any of the issuers that name it knows one.
fn client(served: &[&Accepted], idp: &str, client_id: &str) -> PinnedIdp {
    let pinned = served.iter().map(|accepted| &accepted.identity_provider);
    pinned
        .max_by_key(|pinned| pinned.certificate_authority.is_some())
        .cloned()
        .unwrap_or_else(|| PinnedIdp::unpinned(idp, client_id))
}

impl Ended<'_> {
    /// Says what was done, and adds what was not.
    fn report(self, session: &str, ui: &dyn Ui, undone: &mut Vec<Undone>) {
        let revoked = matches!(self.at_idp, AtIdp::Revoked);
        match self.local {
            Ok(had) => {
                let done = match self.at_idp {
                    AtIdp::Revoked => "; its refresh token is revoked there",
                    AtIdp::NotOffered => {
                        " on this machine; the identity provider offers no way to revoke a refresh token, so a copy of \
                         it would work until the provider ends it"
                    }
                    AtIdp::Unreadable => {
                        " on this machine; what was kept was not readable, so no refresh token was revoked"
                    }
                    AtIdp::Failed(_) => " on this machine",
                    AtIdp::NoToken | AtIdp::NotAsked => "",
                };
                let what = if had {
                    "logged out at"
                } else {
                    "there was no session at"
                };
                let clusters = Escaped(&self.clusters.join(", ")).to_string();
                ui.say(&format!(
                    "kubectl-gatepass: {what} {session}{done}; clusters: {clusters}"
                ));
            }
            Err(source) => undone.push(Undone::Local {
                session: session.to_owned(),
                revoked,
                source,
            }),
        }
        issuers::report(self.at_issuers, ui, undone);
        if let AtIdp::Failed(error) = self.at_idp {
            undone.push(Undone::AtIdp {
                session: session.to_owned(),
                source: Box::new(error),
            });
        }
    }
}

type SessionKeyParts<'a> = (&'a str, &'a str, &'a str);

fn choose<'a>(
    command: &Logout,
    settings: &'a Settings,
    issuers: &'a [Accepted],
) -> Result<BTreeSet<SessionKeyParts<'a>>, Error> {
    let of = |accepted: &'a Accepted, profile: &'a str| {
        (
            accepted.identity_provider.issuer.as_str(),
            accepted.identity_provider.client_id.as_str(),
            profile,
        )
    };
    if command.all {
        return Ok(issuers
            .iter()
            .flat_map(|a| a.profiles.iter().map(move |profile| of(a, profile)))
            .collect());
    }
    let profile = settings.profile.as_str();
    if let Some(url) = &settings.issuer {
        if issuers.iter().all(|a| a.url != url.as_str()) {
            return Err(Error::NotLoggedOut(url.clone()));
        }
        return Ok(issuers
            .iter()
            .filter(|a| a.url == url.as_str())
            .map(|a| of(a, profile))
            .collect());
    }
    let sessions: BTreeSet<_> = issuers
        .iter()
        .filter(|a| a.profiles.contains(profile))
        .map(|a| of(a, profile))
        .collect();
    if sessions.len() > 1 {
        return Err(Error::WhichSession(
            sessions
                .iter()
                .map(|(idp, client, _)| format!("{idp} ({client})"))
                .collect(),
        ));
    }
    Ok(sessions)
}

#[cfg(test)]
mod tests;
