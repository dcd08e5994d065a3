//! Revocations in words, as a table, and as a document.

use std::path::Path;

use gatepass_api::revocation::{LOGIN_LEEWAY, Revocation, Target};
use serde::Serialize;

use crate::clock::rfc3339;
use crate::escape::{is_unseen, visible};
use crate::revocation::unix;

/// How much of a text is shown.
const SHOWN: usize = 1024;

/// A target in words.
pub(super) fn words(target: &Target) -> String {
    let shown = |text| visible(text, SHOWN);
    match target {
        Target::User(text) => format!("user {}", shown(text)),
        Target::Subject(subject) => format!(
            "subject {} at {}",
            shown(&subject.subject),
            shown(&subject.issuer)
        ),
        Target::Uid(text) => format!("UID {}", shown(text)),
        Target::Group(text) => format!("group {}", shown(text)),
        Target::Session(text) => format!("session {}", shown(text)),
        Target::CredentialId(text) => format!("certificate {}", shown(text)),
    }
}

/// What a revocation does, for whoever has just written it.
pub(super) fn tell(document: &Revocation, path: &Path) -> String {
    let (name, spec) = (&document.metadata.name, &document.spec);
    let mut text = format!("revoked: {}\n", words(&spec.target));
    let mut line = |name: &str, words: &str| text.push_str(&format!("  {name:<15}{words}\n"));
    line("revocation", name);
    line("file", &path.join(format!("{name}.json")).display().to_string());
    let last = spec
        .logged_in_before
        .as_deref()
        .and_then(unix)
        .map_or(String::new(), |before| {
            rfc3339(before.saturating_add(LOGIN_LEEWAY))
        });
    let (denied, logins) = match (&spec.target, spec.block_issuance) {
        (Target::CredentialId(_), _) => ("this certificate".into(), "work, and so do renewals".into()),
        (Target::Session(_), blocks) => (
            "every certificate of the session, and each renewal".into(),
            if blocks {
                "are refused for this session only"
            } else {
                "work"
            }
            .to_owned(),
        ),
        (Target::User(_) | Target::Subject(_) | Target::Uid(_) | Target::Group(_), true) => (
            "every credential, whenever it was made".into(),
            "are refused, too".into(),
        ),
        (Target::User(_) | Target::Subject(_) | Target::Uid(_) | Target::Group(_), false) => (
            format!("what comes from a login until {last} (a minute more, because clocks differ)"),
            format!("work after {last}; --block would refuse them"),
        ),
    };
    line("denied", &denied);
    line("new logins", &logins);
    line(
        "until",
        spec.expires_at
            .as_deref()
            .unwrap_or("the session has ended anyway"),
    );
    if let Some(reason) = &spec.reason {
        line("they are told", &visible(reason, SHOWN));
    }
    line(
        "in force",
        "within a second, at every issuer that reads this directory",
    );
    line(
        "undo",
        &format!("gatepass-issuer unrevoke {name} --directory {}", path.display()),
    );
    text
}

/// One row; the document of `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row<'a> {
    name: &'a str,
    target: &'a Target,
    #[serde(skip_serializing_if = "Option::is_none")]
    logged_in_before: Option<&'a str>,
    block_issuance: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<&'a str>,
    expired: bool,
}

pub(super) fn row(document: &Revocation, now: i64) -> Row<'_> {
    let spec = &document.spec;
    Row {
        name: &document.metadata.name,
        target: &spec.target,
        logged_in_before: spec.logged_in_before.as_deref(),
        block_issuance: spec.block_issuance,
        reason: spec.reason.as_deref(),
        expires_at: spec.expires_at.as_deref(),
        expired: spec
            .expires_at
            .as_deref()
            .and_then(unix)
            .is_some_and(|end| end <= now),
    }
}

pub(super) fn table(rows: &[Row<'_>]) -> String {
    let head = [
        "NAME",
        "TARGET",
        "LOGGED IN BEFORE",
        "BLOCKS",
        "EXPIRES",
        "REASON",
    ]
    .map(String::from);
    let mut lines = vec![head];
    for row in rows {
        let expires = match (row.expires_at, row.target) {
            (Some(end), _) if row.expired => format!("{end} (expired)"),
            (Some(end), _) => end.to_owned(),
            (None, Target::Session(_)) => "with the session".into(),
            (
                None,
                Target::User(_)
                | Target::Subject(_)
                | Target::Uid(_)
                | Target::Group(_)
                | Target::CredentialId(_),
            ) => "never".into(),
        };
        lines.push([
            row.name.to_owned(),
            words(row.target),
            row.logged_in_before.unwrap_or_default().to_owned(),
            if row.block_issuance { "yes" } else { "no" }.into(),
            expires,
            visible(row.reason.unwrap_or_default(), SHOWN).into_owned(),
        ]);
    }
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// JSON whose texts cannot steer a terminal.
pub(super) fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut shown = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if is_unseen(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(c);
        }
    }
    shown.push('\n');
    shown
}
