//! `logout`: forgets a session and the credentials it served.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    accepted::{Accepted, AcceptedFile},
    cli::Logout,
    error::Error,
    lock::{Locks, Purpose},
    paths::Paths,
    prompt::Ui,
    settings::Settings,
    store::Entry,
};

/// How long to wait for a login or renewal that is under way.
const PATIENCE: Duration = Duration::from_secs(20);

/// Deletes what this machine keeps of the session. Nothing is sent: certificates that were handed out end by themselves.
pub async fn logout(command: &Logout, settings: &Settings, paths: &Paths, ui: &dyn Ui) -> Result<(), Error> {
    let store = settings.store(paths)?;
    let issuers = AcceptedFile::new(paths.state_dir()).all()?;
    let stored = if command.all {
        store.sessions()?
    } else {
        Vec::new()
    };
    let mut chosen = choose(command, settings, &issuers)?;
    // Sessions whose issuer was replaced since are known to the keyring alone.
    chosen.extend(
        stored
            .iter()
            .map(|s| (s.idp.as_str(), s.client_id.as_str(), s.profile.as_str())),
    );
    if chosen.is_empty() {
        ui.say("kubectl-gatepass: there is no session on this machine");
        return Ok(());
    }
    let locks = Locks::new(paths.lock_dir());
    for (idp, client_id, profile) in &chosen {
        let session = Entry::Session {
            idp,
            client_id,
            profile,
        };
        // A program that renews or logs in right now would write back what is deleted here.
        let _login = locks.acquire(&session, Purpose::Login, PATIENCE).await?;
        let _refresh = locks.acquire(&session, Purpose::Refresh, PATIENCE).await?;
        let mut clusters = Vec::new();
        // Credentials first: if the keyring fails in between, the session is still there to log out again.
        for accepted in &issuers {
            let pinned = &accepted.identity_provider;
            if pinned.issuer == *idp && pinned.client_id == *client_id {
                store.delete(&Entry::Credential {
                    issuer: &accepted.url,
                    profile,
                })?;
                clusters.push(accepted.cluster_name.as_str());
            }
        }
        let had = store.delete(&session)?;
        let what = if had { "logged out" } else { "there was no session" };
        ui.say(&format!(
            "kubectl-gatepass: {what} at {idp} (profile {profile}); clusters: {}",
            crate::escape::Escaped(&clusters.join(", "))
        ));
    }
    Ok(())
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
