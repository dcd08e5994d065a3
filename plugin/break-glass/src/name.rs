//! What people write into a ceremony: names and reasons.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a holder, or of who opens: it becomes part of a certificate's subject, a file's name and a line on a
/// terminal, so it is 1 to 64 of `A-Z a-z 0-9 . _ @ -` and begins with a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why one opens the glass: 1 to 500 bytes without control or format characters, so that it cannot move a cursor or reorder
/// a line on the terminal of whoever is asked to agree; and without gaps, by which a line that wraps would look like several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

/// Why a text is no name or no reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a name.
    #[error("a name is 1 to 64 of A-Z a-z 0-9 . _ @ - and begins with a letter or a digit; this is not: {0}")]
    Name(Escaped),
    /// Not a reason.
    #[error(
        "a reason is 1 to 500 bytes of text on one line, without control or format characters, and without gaps; this is not: {0}"
    )]
    Reason(Escaped),
}

/// Text from outside, fit for a terminal: control and format characters appear as `\u{…}`, and it is cut at 200 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escaped(String);

impl Escaped {
    /// Escapes a text.
    pub fn new(text: &str) -> Self {
        const LONGEST: usize = 200;
        let mut shown = String::new();
        for (index, c) in text.chars().enumerate() {
            if index == LONGEST {
                shown.push('…');
                break;
            }
            match is_plain(c) {
                true => shown.push(c),
                false => shown.extend(c.escape_unicode()),
            }
        }
        Self(shown)
    }
}

impl fmt::Display for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Several, as a sentence lists them.
    pub fn list<'a>(names: impl IntoIterator<Item = &'a Self>) -> String {
        let names: Vec<_> = names.into_iter().map(Self::as_str).collect();
        names.join(", ")
    }
}

impl Reason {
    /// The reason.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        let all = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-'));
        match first && all && text.len() <= 64 {
            true => Ok(Self(text)),
            false => Err(NameError::Name(Escaped::new(&text))),
        }
    }
}

impl TryFrom<String> for Reason {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let fits = !text.trim().is_empty() && text.len() <= 500;
        let mut words = text.split(char::is_whitespace);
        let gaps = text.chars().any(is_blank) || words.any(str::is_empty);
        match fits && !gaps && text.chars().all(is_plain) {
            true => Ok(Self(text)),
            false => Err(NameError::Reason(Escaped::new(&text))),
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a terminal shows a character as it stands: neither Unicode Cc nor Cf, nor a line or paragraph separator.
pub fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// Whether a character looks like a space and is none.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_fit_for_a_subject_a_file_and_a_terminal() {
        for good in ["alice", "a", "0", "Alice.B_c@example-1"] {
            assert!(Name::try_from(good.to_owned()).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "",
            "-a",
            ".a",
            "a b",
            "a/b",
            "a:b",
            "a\n",
            "ä",
            "a\u{202e}",
            &long,
        ] {
            assert!(Name::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reason_moves_no_cursor_and_the_refusal_does_not_either() {
        assert!(Reason::try_from("IdP fort, Ticket 4711 – prüfen".to_owned()).is_ok());
        let long = "a".repeat(501);
        for bad in [
            "",
            " ",
            "  ",
            "a\nb",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "a\u{200b}",
            "a  gives        nothing",
            "a \u{2003}b",
            "a ",
            "a\u{2800}\u{2800}b",
            &long,
        ] {
            let refused = Reason::try_from(bad.to_owned()).unwrap_err().to_string();
            assert!(refused.chars().all(is_plain), "{refused:?}");
        }
        let json = serde_json::to_string("a\u{202e}").unwrap();
        assert!(serde_json::from_str::<Reason>(&json).is_err());
    }
}
