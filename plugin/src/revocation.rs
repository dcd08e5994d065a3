//! `revoke`, `unrevoke` and `revocations`: what operators type to end somebody's access.
//!
//! What was typed becomes documents (`plan`), which are written, read and deleted with the operator's own `kubectl`, so that
//! their kubeconfig, credential and rights are what counts (`kubectl`). What was done is told in words (`words`, `list`).

mod certificate;
mod error;
mod kubectl;
mod list;
mod plan;
mod when;
mod words;

use std::{collections::BTreeSet, ffi::OsStr, io::Write};

use aws_lc_rs::rand::SystemRandom;
use gatepass_api::revocation::{GROUP, KIND, Revocation, is_name};
use serde_json::json;

pub use error::{Doing, Reason, RevocationError};
pub use when::{parse_duration, parse_time};

use crate::{
    cli::{Chosen, Connection, Revocations, Revoke, Unrevoke, Written},
    clock::Clock,
    error::Error,
    keys::random,
    prompt::Ui,
};
use kubectl::{DEADLINE, Kubectl};
use list::{Item, target_words};
use plan::Targets;

fn kubectl<'a>(connection: &'a Connection, ui: &'a dyn Ui) -> Kubectl<'a> {
    Kubectl {
        program: OsStr::new("kubectl"),
        connection,
        deadline: DEADLINE,
        ui,
    }
}

/// Writes revocations, and says what they do.
pub async fn revoke(
    command: &Revoke,
    clock: &dyn Clock,
    ui: &dyn Ui,
    out: &mut impl Write,
) -> Result<(), Error> {
    let targets = Targets::of(&command.chosen)?;
    let random = random(&SystemRandom::new()).map_err(RevocationError::from)?;
    let documents = plan::documents(command, &targets, clock.now(), random)?;
    if let Some(note) = targets.note {
        ui.say(&format!("kubectl-gatepass: {note}"));
    }
    if command.dry_run {
        ui.say("kubectl-gatepass: nothing was written; this is what would be");
        let output = match command.output {
            Written::Text => Written::Yaml,
            output => output,
        };
        return print(&documents, output, &command.connection, out);
    }
    let kubectl = kubectl(&command.connection, ui);
    let mut written = Vec::new();
    let mut failed = None;
    for document in &documents {
        match kubectl.create(document).await {
            Ok(revocation) => {
                if let Some(note) = words::clock_note(&revocation, clock.now()) {
                    ui.say(&format!("kubectl-gatepass: {note}"));
                }
                written.push(revocation);
            }
            Err(error) => failed = Some(error),
        }
    }
    // What was done is told even if not all was.
    if !written.is_empty() {
        print(&written, command.output, &command.connection, out)?;
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn print(
    documents: &[Revocation],
    output: Written,
    connection: &Connection,
    out: &mut impl Write,
) -> Result<(), Error> {
    let text = match output {
        Written::Text => Ok(words::tell(documents, &connection.to_copy())),
        Written::Name => Ok(documents
            .iter()
            .map(|document| format!("{}.{GROUP}/{}\n", KIND.to_lowercase(), document.metadata.name))
            .collect()),
        Written::Json => match documents {
            [one] => list::json(one),
            several => list::json(&json!({"apiVersion": "v1", "kind": "List", "items": several})),
        }
        .map(|json| json + "\n"),
        Written::Yaml => documents
            .iter()
            .map(list::yaml)
            .collect::<Result<Vec<_>, _>>()
            .map(|documents| documents.join("---\n")),
    };
    text.and_then(|text| out.write_all(text.as_bytes()))
        .map_err(Error::Output)
}

/// Deletes revocations: those named, or all of one target.
pub async fn unrevoke(command: &Unrevoke, ui: &dyn Ui, out: &mut impl Write) -> Result<(), Error> {
    let kubectl = kubectl(&command.connection, ui);
    let found = if command.names.is_empty() {
        of_target(&command.chosen, &kubectl).await?
    } else {
        named(&command.names, &kubectl).await?
    };
    for item in found {
        let name = &item.metadata.name;
        let what = item.spec().map_or_else(
            || "what this version does not understand".into(),
            |spec| target_words(&spec.target),
        );
        let done = match command.dry_run {
            true => "would be deleted",
            false if kubectl.delete(name).await? => "deleted",
            false => "was deleted by somebody else",
        };
        writeln!(out, "{done}: {name} ({what})").map_err(Error::Output)?;
    }
    if !command.dry_run {
        let means = "Whoever they denied is served again within seconds, unless another revocation stands.";
        writeln!(out, "{means}").map_err(Error::Output)?;
    }
    Ok(())
}

async fn named(names: &[String], kubectl: &Kubectl<'_>) -> Result<Vec<Item>, RevocationError> {
    let names: BTreeSet<_> = names.iter().collect();
    // A name becomes part of a URL.
    if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
        return Err(RevocationError::Name(wrong.to_string()));
    }
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match kubectl.get(name).await? {
            Some(item) => found.push(item),
            None => missing.push(name.clone()),
        }
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(RevocationError::NoSuch(missing))
    }
}

async fn of_target(chosen: &Chosen, kubectl: &Kubectl<'_>) -> Result<Vec<Item>, RevocationError> {
    let targets = Targets::of(chosen)?.targets;
    let mut found = kubectl.list().await?;
    found.retain(|item| {
        let target = item.target();
        // Names become parts of URLs, and an API server says what it likes.
        is_name(&item.metadata.name) && target.is_some_and(|target| targets.contains(&target))
    });
    if found.is_empty() {
        let words: Vec<_> = targets.iter().map(target_words).collect();
        return Err(RevocationError::NothingMatches(words.join(" or ")));
    }
    Ok(found)
}

/// Lists them.
pub async fn revocations(
    command: &Revocations,
    clock: &dyn Clock,
    ui: &dyn Ui,
    out: &mut impl Write,
) -> Result<(), Error> {
    let items = kubectl(&command.connection, ui).list().await?;
    list::print(&items, command.output, clock.now(), out).map_err(Error::Output)
}
