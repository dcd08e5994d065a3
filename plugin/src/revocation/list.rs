//! Revocations as a table, and as a stable document.

use std::io::{self, Write};

use gatepass_api::revocation::{Metadata, RevocationSpec, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::{confirm::Verdict, when::parse_time};
use crate::{
    cli::Output,
    escape::{self, Escaped},
};

/// How long an issuer may take to say what becomes of a revocation.
const CONFIRMED_WITHIN: Duration = Duration::MINUTE;

/// A revocation as the API server has it. What a newer version may have written into it is no reason not to list it.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    pub(super) metadata: Metadata,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

impl Item {
    /// What it does, if this version understands it.
    pub(super) fn spec(&self) -> Option<RevocationSpec> {
        serde_json::from_value(self.spec.clone()).ok()
    }

    /// What an issuer says of it, if one has.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        Verdict::of(&self.status)
    }

    /// Whose access it ends, if this version understands that.
    pub(super) fn target(&self) -> Option<Target> {
        serde_json::from_value(self.spec.get("target")?.clone()).ok()
    }
}

/// One row; the document of `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    target: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    logged_in_before: Option<String>,
    block_issuance: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// By this machine's clock.
    expired: bool,
    /// Whether the issuer takes it into account, once it has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<bool>,
}

impl Row {
    fn new(item: &Item, now: OffsetDateTime) -> Self {
        let text = |name: &str| item.spec.get(name).and_then(Value::as_str).map(str::to_owned);
        let expires_at = text("expiresAt");
        let end = expires_at.as_deref().and_then(|end| parse_time(end).ok());
        let created_at = item.metadata.creation_timestamp.clone();
        Self {
            name: item.metadata.name.clone(),
            target: item.spec.get("target").cloned().unwrap_or_default(),
            logged_in_before: text("loggedInBefore").or_else(|| created_at.clone()),
            created_at,
            block_issuance: item
                .spec
                .get("blockIssuance")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
            reason: text("reason"),
            expired: end.is_some_and(|end| end <= now),
            expires_at,
            accepted: item.verdict().map(|verdict| verdict == Verdict::Accepted),
        }
    }

    /// Whether an issuer should have said something by now.
    fn is_overdue(&self, now: OffsetDateTime) -> bool {
        let created = self.created_at.as_deref().and_then(|time| parse_time(time).ok());
        created.is_none_or(|created| now - created > CONFIRMED_WITHIN)
    }
}

/// A target in words.
pub(super) fn target_words(target: &Target) -> String {
    match target {
        Target::User(text) => format!("user {}", Escaped(text)),
        Target::Subject(subject) => {
            format!(
                "subject {} at {}",
                Escaped(&subject.subject),
                Escaped(&subject.issuer)
            )
        }
        Target::Uid(text) => format!("UID {}", Escaped(text)),
        Target::Group(text) => format!("group {}", Escaped(text)),
        Target::Session(text) => format!("session {}", Escaped(text)),
        Target::CredentialId(text) => format!("certificate {}", Escaped(text)),
    }
}

/// Prints them.
pub(super) fn print(
    items: &[Item],
    output: Output,
    now: OffsetDateTime,
    out: &mut impl Write,
) -> io::Result<()> {
    let rows = || items.iter().map(|item| Row::new(item, now)).collect::<Vec<_>>();
    match output {
        Output::Json => writeln!(out, "{}", json(&rows())?),
        Output::Yaml => write!(out, "{}", escape::yaml(&rows())?),
        Output::Text if items.is_empty() => writeln!(out, "There are no revocations."),
        Output::Text => table(items, now, out),
    }
}

/// JSON for terminals.
pub(super) fn json(value: &impl Serialize) -> io::Result<String> {
    Ok(escape::json(&serde_json::to_string_pretty(value)?))
}

const UNCONFIRMED: &str = "not confirmed: no issuer has said that it follows it, so it may not be in force; is one running with \
     `revocation.kubernetes`?";

fn table(items: &[Item], now: OffsetDateTime, out: &mut impl Write) -> io::Result<()> {
    let head = [
        "NAME",
        "TARGET",
        "LOGGED IN BEFORE",
        "BLOCKS",
        "ACCEPTED",
        "EXPIRES",
        "REASON",
    ]
    .map(String::from);
    let (mut lines, mut notes, mut unconfirmed) = (vec![head], Vec::new(), false);
    for item in items {
        let (row, target) = (Row::new(item, now), item.target());
        let accepted = match item.verdict() {
            Some(Verdict::Accepted) => "yes",
            Some(Verdict::Refused(why)) => {
                let (name, why) = (Escaped(&row.name), Escaped(&why));
                notes.push(format!("{name} denies nobody anything; the issuer says: {why}"));
                "no"
            }
            None if row.is_overdue(now) => {
                unconfirmed = true;
                "not confirmed"
            }
            None => "",
        };
        let expires = match (&row.expires_at, &target) {
            (Some(end), _) if row.expired => format!("{} (expired)", Escaped(end)),
            (Some(end), _) => Escaped(end).to_string(),
            (None, Some(Target::Session(_))) => "with the session".into(),
            (None, Some(_) | None) => "never".into(),
        };
        lines.push([
            Escaped(&row.name).to_string(),
            target.map_or_else(
                || format!("? {}", Escaped(&row.target.to_string())),
                |target| target_words(&target),
            ),
            Escaped(&row.logged_in_before.unwrap_or_default()).to_string(),
            if row.block_issuance { "yes" } else { "no" }.into(),
            accepted.into(),
            expires,
            Escaped(&row.reason.unwrap_or_default()).to_string(),
        ]);
    }
    let mut widths = [0; 7];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for line in &lines {
        let cells = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    if unconfirmed {
        notes.push(UNCONFIRMED.into());
    }
    notes.iter().try_for_each(|note| writeln!(out, "{note}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 00:00:00 UTC);

    fn item(name: &str, spec: Value) -> Item {
        let metadata = json!({"name": name, "creationTimestamp": "2026-11-21T00:00:00Z", "uid": "u"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn printed(items: &[Item], output: Output) -> String {
        let mut out = Vec::new();
        print(items, output, NOW, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_shows_what_holds_and_marks_what_does_not() {
        let id = format!("{0}-{0}", "a".repeat(26));
        let items = [
            item(
                "a",
                json!({"target": {"user": "alice"}, "expiresAt": "2026-11-23T00:00:00Z", "reason": "laptop"}),
            ),
            item(
                "old",
                json!({"target": {"group": "dev"}, "expiresAt": "2026-11-22T00:00:00Z", "blockIssuance": true}),
            ),
            item("s", json!({"target": {"session": id}})),
            item(
                "new",
                json!({"target": {"planet": "mars"}, "loggedInBefore": "2026-11-20T00:00:00Z"}),
            ),
        ];
        let table = printed(&items, Output::Text);
        let lines: Vec<_> = table.lines().collect();
        assert!(
            lines[0].starts_with("NAME  TARGET") && lines[0].ends_with("REASON"),
            "{table}"
        );
        assert!(
            lines[1].contains("user alice") && lines[1].ends_with("2026-11-23T00:00:00Z            laptop"),
            "{table}"
        );
        assert!(
            lines[2].contains("group dev") && lines[2].contains("yes") && lines[2].ends_with("(expired)"),
            "{table}"
        );
        assert!(lines[3].ends_with("with the session"), "{table}");
        assert!(
            lines[4].contains("mars") && lines[4].contains("2026-11-20T00:00:00Z"),
            "{table}"
        );
        assert_eq!(printed(&[], Output::Text), "There are no revocations.\n");
        assert_eq!(printed(&[], Output::Json), "[]\n");
    }

    #[test]
    fn what_no_issuer_follows_and_what_it_ignores_is_marked() {
        let with = |name: &str, created: &str, status: Value| -> Item {
            let metadata = json!({"name": name, "creationTimestamp": created});
            let spec = json!({"target": {"user": name}});
            serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
        };
        let condition = |status: &str| json!({"conditions": [{"type": "Accepted", "status": status, "message": "It is ignored: \u{1b}."}]});
        let (old, new) = ("2026-11-21T23:58:59Z", "2026-11-21T23:59:30Z");
        let items = [
            with("good", old, condition("True")),
            with("bad", new, condition("False")),
            with("lost", old, Value::Null),
            with("fresh", new, Value::Null),
        ];
        let table = printed(&items, Output::Text);
        let lines: Vec<_> = table.lines().collect();
        for (line, end) in [
            (1, "  no      yes            never"),
            (2, "  no      no             never"),
            (3, "  no      not confirmed  never"),
            (4, "  no                     never"),
        ] {
            assert!(lines[line].ends_with(end), "{end}: {table}");
        }
        assert_eq!(
            lines[5],
            "bad denies nobody anything; the issuer says: It is ignored: \\u{1b}."
        );
        assert!(lines[6].starts_with("not confirmed: no issuer"), "{table}");
        assert_eq!(lines.len(), 7);
        assert_eq!(printed(&items[..1], Output::Text).lines().count(), 2);
        let document: Value = serde_json::from_str(&printed(&items, Output::Json)).unwrap();
        let accepted = document.as_array().unwrap().iter().map(|row| row.get("accepted"));
        let accepted: Vec<_> = accepted.map(|accepted| accepted.cloned()).collect();
        assert_eq!(accepted, [Some(json!(true)), Some(json!(false)), None, None]);
    }

    #[test]
    fn the_document_is_stable() {
        let spec =
            json!({"target": {"user": "alice"}, "expiresAt": "2026-11-22T00:00:00Z", "reason": "laptop"});
        let document: Value = serde_json::from_str(&printed(&[item("a", spec)], Output::Json)).unwrap();
        assert_eq!(
            document,
            json!([{
                "name": "a", "createdAt": "2026-11-21T00:00:00Z", "target": {"user": "alice"},
                "loggedInBefore": "2026-11-21T00:00:00Z", "blockIssuance": false, "reason": "laptop",
                "expiresAt": "2026-11-22T00:00:00Z", "expired": true,
            }])
        );
    }

    #[test]
    fn whatever_somebody_wrote_into_an_object_moves_no_cursor() {
        let evil = "x\u{1b}[2J\u{9b}\u{202e}";
        let spec =
            json!({"target": {"user": evil}, "reason": evil, "expiresAt": evil, "loggedInBefore": evil});
        let items = [item("a", spec), item("b", json!({"target": {evil: evil}}))];
        for output in [Output::Text, Output::Json, Output::Yaml] {
            let shown = printed(&items, output);
            assert!(escape::is_plain(&shown.replace('\n', "")), "{shown:?}");
        }
        let document: Value = serde_json::from_str(&printed(&items, Output::Json)).unwrap();
        assert_eq!(document[0]["reason"], evil);
    }
}
