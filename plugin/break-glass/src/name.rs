//! What people write into a ceremony: names and reasons.

use std::fmt;

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, Emoji, GeneralCategory, NoncharacterCodePoint},
};
use serde::{Deserialize, Serialize};

/// The name of a holder, or of who opens: it becomes part of a certificate's subject, a file's name and a line on a
/// terminal, so it is 1 to 64 of `A-Z a-z 0-9 . _ @ -` and begins with a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why one opens the glass: 1 to 500 bytes of what [`plainly`] shows, so that it cannot move a cursor or reorder a line on the
/// terminal of whoever is asked to agree; and without gaps, by which a line that wraps would look like several.
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
        "a reason is 1 to 500 bytes of text on one line, without control, format or invisible characters, and without gaps; \
         this is not: {0}"
    )]
    Reason(Escaped),
}

/// Text from outside, fit for a terminal: what is not shown [`plainly`] appears as `\u{…}`, and it is cut at 200 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escaped(String);

impl Escaped {
    /// Escapes a text.
    pub fn new(text: &str) -> Self {
        const LONGEST: usize = 200;
        let mut shown = String::new();
        for (index, (c, plain)) in plainly(text).enumerate() {
            if index == LONGEST {
                shown.push('…');
                break;
            }
            match plain {
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
        match text.len() <= 500 && is_one_line(&text) {
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

/// How many marks one letter bears in any language that people write reasons in. More of them reach into the lines around it.
const MOST_MARKS: usize = 4;

/// The characters of a text, and of each whether a terminal shows it as it stands: it [`is_plain`], and a mark stands on a letter
/// that bears few others. (On a space it would be a gap with specks in it.)
pub fn plainly(text: &str) -> impl Iterator<Item = (char, bool)> {
    let (mut before, mut marks) = (None, 0);
    text.chars().map(move |c| {
        let plain = match general_category(c) {
            GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark => {
                marks += 1;
                let on_a_letter = before.is_some_and(|before: char| !before.is_whitespace());
                // By this one people ask for ⚠️ in colour; it shows nothing itself, so it stands only where that is to be seen.
                let in_colour =
                    c == '\u{fe0f}' && before.is_some_and(|c| CodePointSetData::new::<Emoji>().contains(c));
                on_a_letter && marks <= MOST_MARKS && (in_colour || is_plain(c))
            }
            _ => {
                marks = 0;
                is_plain(c)
            }
        };
        before = Some(c);
        (c, plain)
    })
}

/// Whether a text is one line on any terminal that has room for it, and looks like one on those that have not: something is to be
/// seen wherever something is.
pub(crate) fn is_one_line(text: &str) -> bool {
    plainly(text).all(|(_, plain)| plain) && !text.split(char::is_whitespace).any(str::is_empty)
}

/// Whether a terminal shows a character as it stands: neither of Unicode's general categories Cc and Cf, nor a line or paragraph
/// separator; nor anything that shows nothing (Default_Ignorable_Code_Point, and what is drawn blank), nor what each font draws
/// as it likes.
pub fn is_plain(c: char) -> bool {
    let category = !matches!(
        general_category(c),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
    );
    category
        && !is_blank(c)
        && !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        && !CodePointSetData::new::<NoncharacterCodePoint>().contains(c)
}

fn general_category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

/// Whether a character is drawn as a space and has no property of Unicode 17 that says so: the blank pattern of Braille, blank
/// Egyptian hieroglyphs, the filler of the Khitan small script, the null notehead.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{2800}' | '\u{13441}' | '\u{13442}' | '\u{16fe4}' | '\u{1d159}'
    )
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
        for good in [
            "IdP fort, Ticket 4711 – prüfen",
            "pru\u{308}fen, đa\u{323}\u{302}t hàng",
            "身份提供商宕机，工单　4711",
            "ผู้ให้บริการล่ม",
            "शब्द, מִלָּה, كَلِمَة",
            "\u{26a0}\u{fe0f} IdP down 🔥, 1\u{fe0f}\u{20e3}",
        ] {
            let reason = Reason::try_from(good.to_owned()).unwrap();
            assert_eq!(reason.as_str(), good);
            assert_eq!(Escaped::new(good).to_string(), good);
        }
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
            // The tail of a stack reaches into other lines; a mark on a space is nearly one.
            "a\u{301}\u{301}\u{301}\u{301}\u{301}b",
            "a \u{323} \u{323} b",
            "\u{301}a",
            // Asks for colour where there is nothing to colour.
            "a\u{fe0f}b",
            "\u{26a0}\u{fe0f}\u{fe0f}",
            &long,
        ] {
            let refused = Reason::try_from(bad.to_owned()).unwrap_err().to_string();
            assert!(plainly(&refused).all(|(_, plain)| plain), "{refused:?}");
        }
        let json = serde_json::to_string("a\u{202e}").unwrap();
        assert!(serde_json::from_str::<Reason>(&json).is_err());
    }

    #[test]
    fn nothing_that_is_not_seen_fills_a_line() {
        let unseen = [
            // Default_Ignorable_Code_Point
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{17b5}',
            '\u{180b}',
            '\u{180f}',
            '\u{200b}',
            '\u{200d}',
            '\u{2065}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff0}',
            '\u{1bca0}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{e01ef}',
            '\u{e0fff}',
            // Cc, Cf, Zl, Zp
            '\0',
            '\u{7f}',
            '\u{9b}',
            '\u{600}',
            '\u{6dd}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{fff9}',
            '\u{110bd}',
            '\u{13430}',
            // blank, and whatever a font makes of it
            '\u{2800}',
            '\u{13441}',
            '\u{13442}',
            '\u{16fe4}',
            '\u{1d159}',
            '\u{e0a0}',
            '\u{f0000}',
            '\u{fdd0}',
            '\u{ffff}',
        ];
        for c in unseen {
            let shown = format!("\\u{{{:x}}}", u32::from(c));
            assert!(!is_plain(c), "{shown}");
            let gap = format!("IdP down {c} {c} {c} words abandon");
            assert!(Reason::try_from(gap).is_err(), "{shown}");
            assert!(Reason::try_from(format!("a{c}b")).is_err(), "{shown}");
            assert_eq!(Escaped::new(&format!("a{c}b")).to_string(), format!("a{shown}b"));
        }
    }
}
