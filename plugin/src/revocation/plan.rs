//! What is to be written, made of what was typed: no clock, no file but the certificate, no network.

use data_encoding::BASE32_NOPAD;
use gatepass_api::revocation::{MAX_REASON, Revocation, RevocationSpec, Subject, Target, is_name};
use time::{Duration, OffsetDateTime};

use super::{certificate::Certificate, error::RevocationError, when::written};
use crate::cli::{By, Chosen, Revoke};

/// How long a revocation holds where nobody says else.
const LASTS: Duration = Duration::days(30);
/// Longest part of a made-up name that tells its target.
const LONGEST_SLUG: usize = 40;

/// The targets that were chosen, and what comes with them.
#[derive(Debug)]
pub(super) struct Targets {
    /// One, or a certificate and its session.
    pub(super) targets: Vec<Target>,
    /// What the operator should know about the choice.
    pub(super) note: Option<&'static str>,
    /// The end of the certificate, where it was a file.
    certificate_end: Option<OffsetDateTime>,
}

const SESSION_GOES_ON: &str = "this denies one certificate; its session goes on and can get another\n  next: find the session in \
     the issuer's audit record of this credential ID and type: kubectl gatepass revoke --session ID; or revoke --certificate \
     FILE, or --user NAME";
const LET_IN: &str = "the certificate has the group system:masters, whose members the API server lets in without asking: this \
     revocation does not stop it\n  next: take the authority that signed it out of the API server's client CA bundle";
const NO_MARKER: &str = "the certificate names no session (it has no Gatepass marker), so it alone is meant: whoever has it may \
     have others";
const MARKER_UNPROVEN: &str = "the session is the one that the certificate's marker names; only the issuer can tell whether the \
     marker is genuine, so compare it where the certificate's origin is in doubt";

impl Targets {
    /// Reads what was typed, and the certificate file where there is one.
    pub(super) fn of(chosen: &Chosen) -> Result<Self, RevocationError> {
        let By {
            user,
            subject,
            uid,
            group,
            session,
            credential_id,
            certificate,
        } = chosen.by.clone();
        let subject = subject.map(|subject| {
            Target::Subject(Subject {
                issuer: chosen.subject_issuer.clone().unwrap_or_default(),
                subject,
            })
        });
        let note = credential_id.as_ref().map(|_| SESSION_GOES_ON);
        let mut all = Self {
            targets: [
                user.map(Target::User),
                subject,
                uid.map(Target::Uid),
                group.map(Target::Group),
                session.map(Target::Session),
                credential_id.map(Target::CredentialId),
            ]
            .into_iter()
            .flatten()
            .collect(),
            note,
            certificate_end: None,
        };
        if let Some(path) = certificate {
            let certificate = Certificate::read(&path)?;
            all.targets.push(Target::CredentialId(certificate.credential_id));
            all.certificate_end = Some(certificate.not_after);
            all.note = match certificate.session {
                Some(_) if chosen.only => Some(SESSION_GOES_ON),
                Some(session) => {
                    all.targets.push(Target::Session(session));
                    Some(MARKER_UNPROVEN)
                }
                None => Some(NO_MARKER),
            };
            if certificate.is_let_in {
                all.note = Some(LET_IN);
            }
        }
        Ok(all)
    }
}

/// The documents to write. `random` makes their names unique.
pub(super) fn documents(
    command: &Revoke,
    targets: &Targets,
    now: OffsetDateTime,
    random: [u8; 5],
) -> Result<Vec<Revocation>, RevocationError> {
    if command
        .reason
        .as_ref()
        .is_some_and(|text| text.len() > MAX_REASON)
    {
        return Err(RevocationError::Reason);
    }
    let end = |lasts: Duration| {
        let end = now.checked_add(lasts).and_then(written);
        end.ok_or(RevocationError::TooLong)
    };
    // A directory's documents carry the time; in a cluster it is the API server's clock that counts.
    let typed = command.logged_in_before.or(command.dry_run.then_some(now));
    let logged_in_before = typed
        .map(|time| written(time).ok_or(RevocationError::TooLong))
        .transpose()?;
    let mut documents = Vec::new();
    for target in &targets.targets {
        target.check()?;
        let expires_at = match (command.lasts, target) {
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
            ) => {
                // A certificate from elsewhere may live for years.
                let certificate = targets.certificate_end.map_or(Duration::ZERO, |end| end - now);
                Some(end(LASTS.max(certificate))?)
            }
        };
        let spec = RevocationSpec {
            target: target.clone(),
            logged_in_before: logged_in_before.clone(),
            block_issuance: command.block,
            reason: command.reason.clone().filter(|reason| !reason.is_empty()),
            expires_at,
        };
        let name = match (&command.name, documents.is_empty()) {
            (None, _) => made_up(target, random),
            (Some(name), true) => name.clone(),
            (Some(name), false) => format!("{name}-session"),
        };
        if !is_name(&name) {
            return Err(RevocationError::Name(name));
        }
        documents.push(Revocation::new(name, spec));
    }
    Ok(documents)
}

/// A name that tells the target to people, and is unique.
fn made_up(target: &Target, random: [u8; 5]) -> String {
    let (kind, text) = match target {
        Target::User(text) => ("user", text.as_str()),
        Target::Subject(subject) => ("subject", subject.subject.as_str()),
        Target::Uid(text) => ("uid", text.as_str()),
        Target::Group(text) => ("group", text.as_str()),
        Target::Session(text) => (
            "session",
            text.split_once('-').map_or("", |(_, login)| &login[..8]),
        ),
        Target::CredentialId(text) => (
            "certificate",
            text.split_once('=').map_or("", |(_, hex)| &hex[..12]),
        ),
    };
    let mut name = String::from(kind);
    for c in text.chars().take(LONGEST_SLUG) {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') if name.len() == kind.len() => name.extend(['-', c]),
            c @ ('a'..='z' | '0'..='9') => name.push(c),
            _ if name.ends_with('-') || name.len() == kind.len() => {}
            _ => name.push('-'),
        }
    }
    let random = BASE32_NOPAD.encode(&random).to_lowercase();
    format!("{}-{random}", name.trim_end_matches('-'))
}

#[cfg(test)]
mod tests;
