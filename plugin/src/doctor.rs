//! `doctor`: what stands in the way of the next command, each with its remedy.
//!
//! It looks and changes nothing; every look has a deadline. What it cannot see it says so, or leaves out.

mod audience;
mod break_glass;
mod issuers;
mod kubeconfig;
mod policy;

use std::{
    ffi::OsStr,
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;

use crate::{
    accepted::AcceptedFile,
    break_glass::{standing::standings_with_servers, window::Windows},
    cli::{Connection, Doctor, Output},
    clock::Clock,
    error::Error,
    escape::{self, message},
    kubeconfig::Config,
    kubectl::Kubectl,
    paths::Paths,
    settings::{Environment, Settings},
    store::{Entry, Store, StoreError},
};

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Well.
    Ok,
    /// Works, and should be looked at.
    Warning,
    /// Does not work.
    Failed,
    /// Nobody can tell from here.
    Unknown,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What was looked at.
    pub check: &'static str,
    /// How it went.
    pub state: State,
    /// In words.
    pub says: String,
    /// The remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Line {
    fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, State::Ok, says.into(), None)
    }

    fn warning(check: &'static str, says: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(check, State::Warning, says.into(), Some(next.into()))
    }

    fn failed(check: &'static str, says: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(check, State::Failed, says.into(), Some(next.into()))
    }

    fn unknown(check: &'static str, says: impl Into<String>, next: Option<&str>) -> Self {
        Self::new(check, State::Unknown, says.into(), next.map(str::to_owned))
    }

    fn new(check: &'static str, state: State, says: String, next: Option<String>) -> Self {
        Self {
            check,
            state,
            says: message(&says).replace('\n', " "),
            next: next.map(|next| message(&next).replace('\n', " ")),
        }
    }
}

/// Longest wait for one look, kubectl's included.
const DEADLINE: Duration = Duration::from_secs(10);

/// Looks at everything and prints it; an error if something fails.
pub async fn doctor(
    command: &Doctor,
    settings: &Settings,
    env: &Environment,
    paths: &Paths,
    clock: &dyn Clock,
    out: &mut impl Write,
) -> Result<(), Error> {
    let store = settings.store(paths);
    let mut lines = vec![keyring(store.as_ref())];
    let accepted = AcceptedFile::new(paths.state_dir()).all();
    lines.extend(match &accepted {
        Ok(accepted) => issuers::lines(accepted, settings, clock).await,
        Err(error) => vec![Line::failed(
            "issuer",
            error.to_string(),
            error.hint().unwrap_or_default(),
        )],
    });
    let connection = Connection {
        kubeconfig: command.kubeconfig.clone(),
        ..Connection::default()
    };
    let kubectl = Kubectl {
        program: OsStr::new("kubectl"),
        connection: &connection,
        deadline: DEADLINE,
    };
    let config = Config::read(&kubectl).await;
    let standings = standings_with_servers(paths).await;
    let kits = standings
        .iter()
        .flatten()
        .filter_map(|standing| standing.kit.as_ref().ok());
    let without_issuer: Vec<_> = kits
        .filter(|kit| kit.payload().issuer.is_none())
        .map(|kit| kit.payload().server.as_str())
        .collect();
    let (kubeconfig, commands) = kubeconfig::lines(&config, settings.file.issuer.is_some(), &without_issuer);
    lines.extend(kubeconfig);
    lines.push(policy::line(env, &commands));
    let accepted = accepted.unwrap_or_default();
    lines.extend(match (command.send_id_token, store) {
        (true, Ok(store)) => audience::lines(&accepted, &store, &kubectl, clock).await,
        (false, _) if !accepted.is_empty() => vec![audience::not_tried()],
        _ => Vec::new(),
    });
    let windows = Windows::new(paths).find(clock.now());
    match &standings {
        Ok(standings) => lines.extend(break_glass::lines(
            standings,
            &windows,
            config.as_ref().ok(),
            clock.now(),
        )),
        Err(error) => lines.push(Line::failed(
            "break-glass",
            error.to_string(),
            "see that the file is there and can be read",
        )),
    }
    print(&lines, command.output, out).map_err(Error::Output)?;
    match lines.iter().filter(|line| line.state == State::Failed).count() {
        0 => Ok(()),
        failed => Err(Error::Unwell(failed)),
    }
}

/// Keeps something, reads it and deletes it: that a keyring answers does not say that it is unlocked.
fn keyring(store: Result<&Store, &StoreError>) -> Line {
    const CHECK: &str = "keyring";
    let tried = store.map_err(Clone::clone).and_then(|store| {
        let entry = Entry::Trial;
        store.save(&entry, b"trial", None)?;
        let found = store.find(&entry)?;
        store.delete(&entry)?;
        Ok(found.map(|found| (found.secret.as_slice() == b"trial", found.place)))
    });
    match tried {
        Ok(Some((true, place))) => Line::ok(CHECK, format!("sessions are kept in {place}")),
        Ok(_) => Line::failed(
            CHECK,
            "what is stored there does not come back",
            "use another `store:` in the configuration file",
        ),
        Err(error) => Line::failed(CHECK, error.to_string(), error.hint()),
    }
}

fn print(lines: &[Line], output: Output, out: &mut impl Write) -> io::Result<()> {
    match output {
        Output::Json => writeln!(out, "{}", escape::json(&serde_json::to_string_pretty(lines)?)),
        Output::Yaml => write!(out, "{}", escape::yaml(&lines)?),
        Output::Text => {
            for line in lines {
                let state = match line.state {
                    State::Ok => "ok",
                    State::Warning => "WARNING",
                    State::Failed => "FAILED",
                    State::Unknown => "unknown",
                };
                let next = line
                    .next
                    .as_ref()
                    .map(|next| format!("; next: {next}"))
                    .unwrap_or_default();
                writeln!(out, "{state:<9}{:<13}{}{next}", line.check, line.says)?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
