//! `revoke`, `unrevoke` and `revocations`: what operators type to end somebody's access.
//!
//! What was typed becomes documents (`plan`), which are written, read and deleted with the operator's own `kubectl`, so that
//! their kubeconfig, credential and rights are what counts (`kubectl`). Whether an issuer follows them is asked (`confirm`), and
//! what was done is told in words (`words`, `list`).

mod certificate;
mod confirm;
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
    escape,
    keys::random,
    prompt::Ui,
};
use confirm::{Found, PATIENCE, Verdict, confirm};
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

/// Writes revocations, and says what they do, and whether an issuer follows them.
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
        return print(&documents, &[], output, &command.connection, out);
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
    let found = confirmed(&written, &kubectl).await;
    let flags = command.connection.to_copy();
    for (revocation, found) in written.iter().zip(&found) {
        let name = &revocation.metadata.name;
        if let Some(warning) = found.warning(name, &flags, PATIENCE) {
            ui.say(&format!("kubectl-gatepass: {warning}"));
        }
    }
    // What was done is told even if not all was.
    if !written.is_empty() {
        print(&written, &found, command.output, &command.connection, out)?;
    }
    let refused = refused(&written, &found, flags);
    match (failed, refused) {
        (Some(failed), Some(refused)) => {
            ui.say(&format!("kubectl-gatepass: {refused}"));
            Err(failed.into())
        }
        (Some(error), None) | (None, Some(error)) => Err(error.into()),
        (None, None) => Ok(()),
    }
}

/// What an issuer says of each.
async fn confirmed(written: &[Revocation], kubectl: &Kubectl<'_>) -> Vec<Found> {
    let names: Vec<_> = written.iter().map(|one| one.metadata.name.clone()).collect();
    // What kubectl warns of was shown when it wrote; once for each look would be too often.
    let kubectl = Kubectl {
        ui: &Silent,
        ..*kubectl
    };
    confirm(&names, PATIENCE, async |name| kubectl.get(name).await).await
}

/// The error for those that an issuer ignores.
fn refused(written: &[Revocation], found: &[Found], flags: String) -> Option<RevocationError> {
    let refused: Vec<_> = written
        .iter()
        .zip(found)
        .filter_map(|(revocation, found)| match found {
            Found::Said(Verdict::Refused(why)) => Some((revocation.metadata.name.clone(), why.clone())),
            Found::Said(Verdict::Accepted)
            | Found::Nothing
            | Found::Forbidden
            | Found::Gone
            | Found::Unseen(_) => None,
        })
        .collect();
    (!refused.is_empty()).then_some(RevocationError::Ignored { refused, flags })
}

/// Shows nothing, asks nobody.
struct Silent;

impl Ui for Silent {
    fn say(&self, _text: &str) {}

    fn interactive(&self) -> bool {
        false
    }

    fn confirm(&self, _question: &str) -> bool {
        false
    }
}

fn print(
    documents: &[Revocation],
    found: &[Found],
    output: Written,
    connection: &Connection,
    out: &mut impl Write,
) -> Result<(), Error> {
    let text = match output {
        Written::Text => Ok(words::tell(documents, found, &connection.to_copy())),
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
            .map(escape::yaml)
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
