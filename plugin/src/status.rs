//! `status`: what this machine keeps.

use std::io::{self, Write};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    accepted::{Accepted, AcceptedFile},
    break_glass::{
        standing::standings,
        window::{State, Window, Windows},
    },
    cli::Output,
    clock::Clock,
    credential::{Credential, Use},
    error::Error,
    escape::{self, Escaped, message},
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
    #[serde(skip_serializing_if = "Option::is_none")]
    break_glass: Option<WindowRow>,
}

/// An open break-glass window.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WindowRow {
    cluster: String,
    username: String,
    credential_id: String,
    seconds_left: i64,
    not_after: String,
    forced: bool,
    #[serde(skip)]
    announcement: String,
}

/// One cluster under one profile, or a window of a cluster that is not among those.
#[derive(Serialize)]
#[serde(untagged)]
enum Entries {
    Cluster(Box<Row>),
    #[serde(rename_all = "camelCase")]
    Window {
        break_glass: WindowRow,
    },
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
    let now = clock.now();
    let found = Windows::new(paths).find(now);
    for note in &found.notes {
        tracing::warn!("{note}");
    }
    let mut rows = Vec::new();
    let accepted = AcceptedFile::new(paths.state_dir()).all()?;
    for accepted in &accepted {
        for profile in &accepted.profiles {
            let window = found
                .open
                .iter()
                .find(|window| window.is_for_issuer(&accepted.url));
            let row = Row {
                break_glass: window.and_then(|window| window_row(window, now)),
                ..row(accepted, profile, &store, now)
            };
            rows.push(Entries::Cluster(Box::new(row)));
        }
    }
    let others = found.open.iter().filter(|window| {
        !accepted
            .iter()
            .any(|accepted| !accepted.profiles.is_empty() && window.is_for_issuer(&accepted.url))
    });
    let others = others.filter_map(|window| window_row(window, now));
    rows.extend(others.map(|break_glass| Entries::Window { break_glass }));
    let written = match output {
        Output::Json => serde_json::to_string_pretty(&rows)
            .map_err(io::Error::from)
            .and_then(|json| writeln!(out, "{}", escape::json(&json))),
        Output::Yaml => escape::yaml(&rows).and_then(|yaml| write!(out, "{yaml}")),
        Output::Text => text(&rows, out).and_then(|()| warnings(paths, now, out)),
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
        break_glass: None,
    }
}

fn window_row(window: &Window, now: OffsetDateTime) -> Option<WindowRow> {
    let State::Open(left) = window.state(now) else {
        return None;
    };
    Some(WindowRow {
        cluster: Escaped(&window.cluster).to_string(),
        username: format!("break-glass:{}", Escaped(&window.who)),
        credential_id: window.credential_id.clone(),
        seconds_left: left.whole_seconds(),
        not_after: rfc3339(window.not_after)?,
        forced: window.forced,
        announcement: window.announcement(),
    })
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

/// What is due of break-glass, as far as this machine knows by itself.
fn warnings(paths: &Paths, now: OffsetDateTime, out: &mut impl Write) -> io::Result<()> {
    for standing in standings(paths).unwrap_or_default() {
        for fault in standing.faults(now) {
            let word = fault.severity.word();
            writeln!(
                out,
                "  {word:<15}break-glass: {}\n  next           {}",
                message(&fault.says),
                fault.remedy
            )?;
        }
    }
    Ok(())
}

fn text(rows: &[Entries], out: &mut impl Write) -> io::Result<()> {
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
        let row = match row {
            Entries::Cluster(row) => row,
            Entries::Window { break_glass } => {
                writeln!(out, "  {}", message(&break_glass.announcement))?;
                continue;
            }
        };
        if let Some(window) = &row.break_glass {
            writeln!(out, "  {}", message(&window.announcement))?;
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

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use time::Duration;

    use super::*;
    use crate::{
        break_glass::{
            kits::Kits,
            standing,
            window::tests::{NOW, home, opened, pair, signed},
        },
        cli::Target,
        clock::At,
        settings::{ConfigFile, Environment, StoreChoice},
    };

    #[test]
    fn what_is_due_of_a_kit_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, _, _) = home(dir.path());
        let shown = || {
            let mut out = Vec::new();
            warnings(&paths, NOW, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(), "");
        Kits::new(&paths).keep(&standing::tests::kit()).unwrap();
        assert!(
            shown().contains("no drill of it") && shown().contains("next "),
            "{}",
            shown()
        );
    }

    #[test]
    fn an_open_window_is_shown_even_of_a_cluster_whose_issuer_was_never_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let (paths, windows, store) = home(dir.path());
        let (certificate, key) = pair(NOW);
        let window = opened(&windows, &store, &signed(&certificate), &key);
        let file = ConfigFile {
            store: StoreChoice::File,
            ..ConfigFile::default()
        };
        let settings = Settings::for_person(&Target::default(), &Environment::default(), file).unwrap();
        let shown = |output, at| {
            let mut out = Vec::new();
            status(output, &settings, &paths, &At(at), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(shown(Output::Text, NOW).contains(&window.announcement()));
        let json: Value = serde_json::from_str(&shown(Output::Json, NOW)).unwrap();
        let row = &json[0]["breakGlass"];
        assert_eq!(
            (&row["username"], &row["secondsLeft"]),
            (&"break-glass:alice".into(), &3600.into())
        );
        assert_eq!(row["credentialId"], window.credential_id.as_str());
        assert_eq!(shown(Output::Json, NOW + Duration::hours(2)).trim(), "[]");
    }
}
