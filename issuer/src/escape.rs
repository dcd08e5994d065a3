//! Text from outside, made safe to show.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_general_category::{GeneralCategory, get_general_category};

/// Whether a character steers a terminal, a log or the eye instead of showing itself: control and format characters
/// (Unicode Cc and Cf), and the line and paragraph separators.
pub(crate) fn is_unseen(c: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator};
    // Most text is ASCII, and the table costs more than this comparison.
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(
        get_general_category(c),
        Control | Format | LineSeparator | ParagraphSeparator
    )
}

/// `text` with unseen characters and backslashes escaped as in a Rust string, cut after about `limit` bytes.
pub(crate) fn visible(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit && !text.chars().any(|c| is_unseen(c) || c == '\\') {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= limit {
            shown.push('…');
            break;
        }
        match c {
            '\\' => shown.push_str("\\\\"),
            c if is_unseen(c) => write!(shown, "\\u{{{:x}}}", u32::from(c)).expect("a String takes all"),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_text_is_left_alone() {
        assert!(matches!(
            visible("Zoë 漢字 <b>", 99),
            Cow::Borrowed("Zoë 漢字 <b>")
        ));
    }

    #[test]
    fn control_bidi_and_separators_are_escaped_and_the_escape_is_unambiguous() {
        assert_eq!(
            visible("a\n\x1b[0m\u{202e}b\u{2028}\\u{a}\0", 99),
            r"a\u{a}\u{1b}[0m\u{202e}b\u{2028}\\u{a}\u{0}"
        );
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(visible("ééééé", 4), "éé…");
    }
}
