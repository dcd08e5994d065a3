//! `status`: what this machine keeps.

use std::io::{self, Write};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    accepted::{Accepted, AcceptedFile},
    cli::Output,
    clock::Clock,
    credential::{Credential, Use},
    error::Error,
    escape::{Escaped, message},
    paths::Paths,
    session::Session,
    settings::Settings,
    store::{Entry, Store},
};

/// One cluster under one profile.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    issuer: String,
    cluster: String,
    cluster_id: String,
    profile: String,
    identity_provider: String,
    client_id: String,
    session: SessionRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionRow {
    /// `present`, `absent` or the reason why nobody can tell.
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    logged_in: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_in: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CredentialRow {
    username: String,
    uid: String,
    groups: Vec<String>,
    credential_id: String,
    session: String,
    session_end: String,
    seconds_left: i64,
    not_after: String,
    stored_in: &'static str,
}

/// Prints the sessions and credentials of every accepted issuer.
pub fn status(
    output: Output,
    settings: &Settings,
    paths: &Paths,
    clock: &dyn Clock,
    out: &mut impl Write,
) -> Result<(), Error> {
    let store = settings.store(paths)?;
    let mut rows = Vec::new();
    for accepted in AcceptedFile::new(paths.state_dir()).all()? {
        for profile in &accepted.profiles {
            rows.push(row(&accepted, profile, &store, clock.now()));
        }
    }
    let written = match output {
        Output::Json => serde_json::to_writer_pretty(&mut *out, &rows)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out)),
        Output::Yaml => serde_saphyr::to_string(&rows)
            .map_err(io::Error::other)
            .and_then(|yaml| write!(out, "{yaml}")),
        Output::Text => text(&rows, out),
    };
    written.map_err(Error::Output)
}

fn row(accepted: &Accepted, profile: &str, store: &Store, now: OffsetDateTime) -> Row {
    let idp = &accepted.identity_provider;
    let session = Entry::Session {
        idp: &idp.issuer,
        client_id: &idp.client_id,
        profile,
    };
    let session = match store.find(&session) {
        Ok(Some(found)) => match Session::read(&found.secret, now) {
            Some(session) => SessionRow {
                state: "present".into(),
                logged_in: i64::try_from(session.salt().login_time()).ok().and_then(rfc3339),
                renewable: Some(session.refresh_token.is_some()),
                stored_in: Some(found.place),
            },
            None => absent("unreadable; the next login replaces it".into()),
        },
        Ok(None) => absent("absent".into()),
        Err(error) => absent(format!("unknown: {error}; next: {}", error.hint())),
    };
    let credential = Entry::Credential {
        issuer: &accepted.url,
        profile,
    };
    let credential = store.find(&credential).ok().flatten().and_then(|found| {
        let credential = Credential::read(&found.secret).filter(|kept| kept.judge(now) != Use::Discard)?;
        Some(CredentialRow {
            seconds_left: credential.left(now).whole_seconds(),
            not_after: rfc3339(credential.not_after)?,
            username: credential.username,
            uid: credential.uid,
            groups: credential.groups,
            credential_id: credential.credential_id,
            session: credential.session,
            session_end: credential.session_end,
            stored_in: found.place,
        })
    });
    Row {
        issuer: accepted.url.clone(),
        cluster: Escaped(&accepted.cluster_name).to_string(),
        cluster_id: Escaped(&accepted.cluster_id).to_string(),
        profile: profile.into(),
        identity_provider: idp.issuer.clone(),
        client_id: idp.client_id.clone(),
        session,
        credential,
    }
}

fn absent(state: String) -> SessionRow {
    SessionRow {
        state,
        logged_in: None,
        renewable: None,
        stored_in: None,
    }
}

fn rfc3339(unix: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(unix)
        .ok()?
        .format(&Rfc3339)
        .ok()
}

fn text(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(
            out,
            "No issuer was accepted yet. Next: kubectl-gatepass login <issuer URL>"
        );
    }
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        let mut line = |name: &str, value: &str| writeln!(out, "  {name:<15}{}", message(value));
        line("cluster", &format!("{} ({})", row.cluster, row.issuer))?;
        line("profile", &row.profile)?;
        line(
            "login at",
            &format!("{} as client {}", row.identity_provider, row.client_id),
        )?;
        let session = &row.session;
        let place = session
            .stored_in
            .map(|place| format!(", kept in {place}"))
            .unwrap_or_default();
        let since = session
            .logged_in
            .as_ref()
            .map(|since| format!(" since {since}"))
            .unwrap_or_default();
        let renewable = if session.renewable == Some(false) {
            ", cannot be renewed without a login"
        } else {
            ""
        };
        line("session", &format!("{}{since}{renewable}{place}", session.state))?;
        match &row.credential {
            None => line("credential", "none; the next kubectl command gets one")?,
            Some(credential) => {
                line("user", &credential.username)?;
                line("groups", &credential.groups.join(", "))?;
                line(
                    "credential",
                    &format!("ends in {} s ({})", credential.seconds_left, credential.not_after),
                )?;
                line("credential ID", &credential.credential_id)?;
                line("session id", &credential.session)?;
                line("session ends", &credential.session_end)?;
                line("kept in", credential.stored_in)?;
            }
        }
    }
    Ok(())
}
