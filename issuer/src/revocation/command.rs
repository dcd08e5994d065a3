//! What operators type where revocations lie in a directory: `revoke`, `unrevoke` and `revocations`. The words are those of
//! `kubectl gatepass`, which does the same where they are objects of a cluster.

mod words;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SecureRandom;
use gatepass_api::revocation::{Revocation, RevocationSpec, Subject, Target, is_name};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::directory::{Directory, Listing};
use super::store::WriteError;
use super::{Checked, SpecError};
use crate::cli::{By, Output, Place, Revoke, Unrevoke};
use crate::clock::rfc3339;
use crate::config::{Config, ConfigError, StoreConfig};
use crate::escape::visible;
use crate::ids::base32;
use words::{Row, json, row, table, tell, words};

/// How long a revocation holds where nobody says else.
const LASTS: Duration = Duration::days(30);
/// Longest part of a made-up name that tells its target.
const LONGEST_SLUG: usize = 40;
/// How much of a file's name is shown.
const SHOWN: usize = 1024;
/// Last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another command is for that.
    #[error(
        "this issuer's revocations are objects of the cluster: type `kubectl gatepass {0}` with the same options, without \
         --config"
    )]
    Kubernetes(&'static str),
    /// What was typed revokes nothing.
    #[error("{0}; nothing was written")]
    Spec(#[from] SpecError),
    /// Not a name.
    #[error(
        "{0:?} is no name of a revocation: it has lower-case letters, digits, `-` and `.` only, begins and ends with \
         a letter or digit (also around each `.`), and has at most 253 of them"
    )]
    Name(String),
    /// Beyond all calendars.
    #[error("--for reaches beyond the year 9999; nothing was written")]
    TooLong,
    /// There is one of that name.
    #[error(
        "a revocation {0} exists, and nothing is overwritten: choose another --name, or unrevoke it first"
    )]
    Exists(String),
    /// No such revocation.
    #[error("there is no revocation {}; nothing was removed", .0.join(", "))]
    NoSuch(Vec<String>),
    /// No revocation has that target.
    #[error("no revocation has the target {0}; nothing was removed")]
    NothingMatches(String),
    /// The directory.
    #[error("cannot read {0}: {1}")]
    Unreadable(PathBuf, io::Error),
    /// Files in it.
    #[error("not in force, because they cannot be used:{}\ncorrect or remove them", lines(.0))]
    Faulty(Vec<String>),
    /// It does not take a document.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// No randomness for a name.
    #[error("the system gives no randomness")]
    Random,
}

fn lines(faults: &[String]) -> String {
    faults.iter().map(|fault| format!("\n  - {fault}")).collect()
}

/// A duration as in `90s`, `12h` or `1d12h`: Go's, in whole numbers, and with days.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "{text:?} is no duration: write whole numbers with the units d, h, m and s, as in 7d or 1d12h"
        )
    };
    let (mut rest, mut seconds) = (text, 0_i64);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let unit = match behind.bytes().next() {
            Some(b'd') => 86400,
            Some(b'h') => 3600,
            Some(b'm') => 60,
            Some(b's') => 1,
            Some(_) | None => return Err(wrong()),
        };
        let number: i64 = number.parse().map_err(|_| wrong())?;
        let more = number.checked_mul(unit).ok_or_else(wrong)?;
        seconds = seconds.checked_add(more).ok_or_else(wrong)?;
        rest = &behind[1..];
    }
    match seconds {
        0 => Err(wrong()),
        seconds => Ok(Duration::seconds(seconds)),
    }
}

/// A time as RFC 3339 writes it.
pub fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| format!("{text:?} is no time: write it as in 2026-11-22T02:00:00Z"))
}

fn directory(place: &Place, command: &'static str) -> Result<(PathBuf, Directory), CommandError> {
    let path = match (&place.directory, &place.config) {
        (Some(directory), _) => directory.clone(),
        (None, config) => match Config::store(config.as_deref().unwrap_or(Path::new("")))? {
            StoreConfig::Directory(directory) => directory,
            StoreConfig::Kubernetes { .. } => return Err(CommandError::Kubernetes(command)),
        },
    };
    Ok((path.clone(), Directory::new(path)))
}

/// `None` if none was typed.
fn target(by: &By) -> Option<Target> {
    let By {
        user,
        subject,
        subject_issuer,
        uid,
        group,
        session,
        credential_id,
    } = by.clone();
    let subject = subject.map(|subject| {
        let issuer = subject_issuer.unwrap_or_default();
        Target::Subject(Subject { issuer, subject })
    });
    user.map(Target::User)
        .or(subject)
        .or(uid.map(Target::Uid))
        .or(group.map(Target::Group))
        .or(session.map(Target::Session))
        .or(credential_id.map(Target::CredentialId))
}

/// Writes a revocation, and says what it does.
pub async fn revoke(command: &Revoke, now: i64, random: &dyn SecureRandom) -> Result<String, CommandError> {
    let (path, directory) = directory(&command.place, "revoke")?;
    let document = document(command, now, random)?;
    let name = &document.metadata.name;
    if !directory.create(name, &document.spec).await? {
        return Err(CommandError::Exists(name.clone()));
    }
    Ok(match command.output {
        Output::Json => json(&document),
        Output::Text => tell(&document, &path),
    })
}

fn document(command: &Revoke, now: i64, random: &dyn SecureRandom) -> Result<Revocation, CommandError> {
    // clap has seen to it that there is one, and an empty name is refused below.
    let target = target(&command.by).unwrap_or(Target::User(String::new()));
    let end = |lasts: Duration| {
        let end = now
            .checked_add(lasts.whole_seconds())
            .filter(|end| *end <= LAST_SECOND);
        end.map(rfc3339).ok_or(CommandError::TooLong)
    };
    let expires_at = match (command.lasts, &target) {
        (Some(lasts), _) => Some(end(lasts)?),
        // The issuer knows when the session has ended anyway.
        (None, Target::Session(_)) => None,
        (
            None,
            Target::User(_)
            | Target::Subject(_)
            | Target::Uid(_)
            | Target::Group(_)
            | Target::CredentialId(_),
        ) => Some(end(LASTS)?),
    };
    let before = command.logged_in_before.map_or(now, |time| {
        // A fraction of a second later is later.
        time.unix_timestamp() + i64::from(time.nanosecond() > 0)
    });
    let spec = RevocationSpec {
        logged_in_before: Some(rfc3339(before)),
        block_issuance: command.block,
        reason: command.reason.clone(),
        expires_at,
        target,
    };
    Checked::new(&spec, None)?;
    let name = match &command.name {
        Some(name) if is_name(name) => name.clone(),
        Some(wrong) => return Err(CommandError::Name(wrong.clone())),
        None => made_up_name(&spec.target, random)?,
    };
    Ok(Revocation::new(name, spec))
}

/// Such as `user-alice-zs2konbt`.
fn made_up_name(target: &Target, random: &dyn SecureRandom) -> Result<String, CommandError> {
    let mut bytes = [0; 5];
    random.fill(&mut bytes).map_err(|_| CommandError::Random)?;
    let (kind, text) = match target {
        Target::User(text) => ("user", text),
        Target::Subject(subject) => ("subject", &subject.subject),
        Target::Uid(text) => ("uid", text),
        Target::Group(text) => ("group", text),
        Target::Session(text) => ("session", text),
        Target::CredentialId(text) => ("certificate", text),
    };
    let text = text.trim_start_matches(gatepass_api::revocation::CREDENTIAL_ID_PREFIX);
    let slug: String = text.to_ascii_lowercase().chars().take(LONGEST_SLUG).collect();
    let parts = slug
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty());
    let name: Vec<&str> = [kind].into_iter().chain(parts).collect();
    Ok(format!("{}-{}", name.join("-"), base32(&bytes)))
}

/// Removes revocations: those named, or all of one target.
pub async fn unrevoke(command: &Unrevoke) -> Result<String, CommandError> {
    let (path, directory) = directory(&command.place, "unrevoke")?;
    let listing = directory
        .list()
        .map_err(|error| CommandError::Unreadable(path, error))?;
    let names: BTreeSet<String> = match target(&command.by) {
        None => named(&command.names, &listing)?,
        Some(target) => {
            let of_it = listing.documents.iter().filter(|one| one.spec.target == target);
            let names: BTreeSet<String> = of_it.map(|one| one.metadata.name.clone()).collect();
            if names.is_empty() {
                return Err(CommandError::NothingMatches(words(&target)));
            }
            names
        }
    };
    let mut text = String::new();
    for name in names {
        let done = if directory.remove(&name).await? {
            "removed"
        } else {
            "was removed by somebody else"
        };
        let document = listing.documents.iter().find(|one| one.metadata.name == name);
        let what = document.map_or("a file that could not be read".into(), |one| {
            words(&one.spec.target)
        });
        text.push_str(&format!("{done}: {name} ({what})\n"));
    }
    text.push_str("Whoever they denied is served again within a second, unless another revocation stands.\n");
    Ok(text)
}

fn named(names: &[String], listing: &Listing) -> Result<BTreeSet<String>, CommandError> {
    if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
        return Err(CommandError::Name(wrong.clone()));
    }
    let is_there = |name: &&String| {
        let is_it = |file: &OsString| {
            Path::new(file)
                .file_stem()
                .is_some_and(|stem| stem == name.as_str())
        };
        listing.documents.iter().any(|one| one.metadata.name == **name) || listing.faults.keys().any(is_it)
    };
    let missing: Vec<String> = names.iter().filter(|name| !is_there(name)).cloned().collect();
    if missing.is_empty() {
        Ok(names.iter().cloned().collect())
    } else {
        Err(CommandError::NoSuch(missing))
    }
}

/// What stands, and an error where something in the directory means nothing.
pub fn list(
    command: &crate::cli::Revocations,
    now: i64,
) -> Result<(String, Option<CommandError>), CommandError> {
    let (path, directory) = directory(&command.place, "revocations")?;
    let listing = directory
        .list()
        .map_err(|error| CommandError::Unreadable(path.clone(), error))?;
    let rows: Vec<Row<'_>> = listing.documents.iter().map(|one| row(one, now)).collect();
    let text = match command.output {
        Output::Json => json(&rows),
        Output::Text if rows.is_empty() => "There are no revocations.\n".into(),
        Output::Text => table(&rows),
    };
    let faults: Vec<String> = listing
        .faults
        .iter()
        // Whoever may write here chooses what files are called.
        .map(|(file, fault)| {
            let file = path.join(file).display().to_string();
            format!("{}: {fault}", visible(&file, SHOWN))
        })
        .collect();
    Ok((text, (!faults.is_empty()).then_some(CommandError::Faulty(faults))))
}
