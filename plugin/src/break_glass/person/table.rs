//! Rows of a name and a value. What is longer than a line goes on below the value, so that nothing that somebody else wrote
//! begins where the names of rows do, and looks like a row of its own.

use unicode_width::UnicodeWidthChar as _;

use crate::escape::message;

/// Where values begin.
const INDENT: usize = 15;
/// How many columns a value has. A SHA-256 stands on one line, and 80 columns are what terminals have at least.
const WIDTH: usize = 64;

/// A row.
pub(super) fn row(name: &str, value: &str) -> String {
    let gap = " ".repeat(INDENT);
    // Spelled out first: what is escaped takes more room.
    let lines = message(value).lines().flat_map(wrapped).collect::<Vec<_>>();
    let value = lines.join(&format!("\n{gap}"));
    match name.len() + 3 {
        0..=INDENT => format!("  {name:<12} {value}"),
        _ => format!("  {name}\n{gap}{value}"),
    }
}

/// A line as several: between words where that is possible, and in them where one is too long.
fn wrapped(value: &str) -> Vec<String> {
    let (mut lines, mut line, mut column) = (Vec::new(), String::new(), 0);
    for word in value.split(' ') {
        if column > 0 {
            match column + 1 + columns(word) {
                ..=WIDTH => {
                    line.push(' ');
                    column += 1;
                }
                _ => {
                    lines.push(std::mem::take(&mut line));
                    column = 0;
                }
            }
        }
        for letter in letters(word) {
            if column > 0 && column + columns(letter) > WIDTH {
                lines.push(std::mem::take(&mut line));
                column = 0;
            }
            line.push_str(letter);
            column += columns(letter);
        }
    }
    lines.push(line);
    lines
}

/// The letters of a word, each with its marks.
fn letters(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let mut after = rest.char_indices().skip(1);
        let end = after.find(|(_, c)| c.width() != Some(0));
        let (letter, left) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = left;
        (!letter.is_empty()).then_some(letter)
    })
}

/// How many columns a text takes at most, on whatever terminal: some have one for a mark, and some two for a letter that others
/// have one for.
fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width_cjk().unwrap_or(1).max(1)).sum()
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    /// No terminal of 80 columns breaks a line of it, and only the row's name stands before its values.
    fn fits(row: &str, name: &str) {
        for (number, line) in row.lines().enumerate() {
            let begin = match number {
                0 => format!("  {name}"),
                _ => " ".repeat(INDENT),
            };
            assert!(line.starts_with(&begin), "{line:?} in {row}");
            assert!(line.width_cjk() < 80, "{line:?} in {row}");
        }
    }

    #[test]
    fn a_short_value_stands_beside_its_name() {
        assert_eq!(row("why", "\"IdP down\""), "  why          \"IdP down\"");
        assert_eq!(row("API server", ""), "  API server   ");
    }

    #[test]
    fn a_long_name_has_a_line_of_its_own_and_a_sha_256_too() {
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(
            row("CA of the API server", &format!("SHA-256 {hash}")),
            format!("  CA of the API server\n               SHA-256\n               {hash}")
        );
    }

    #[test]
    fn no_part_of_a_value_looks_like_a_row() {
        // With each length of what stands before it, so that any terminal's edge is met.
        for before in 0..200 {
            for fill in ["x", "x ", "宕", "e\u{301}\u{301}", "🔥", "\u{34f} ", "\n"] {
                let value = format!("\"{}  words        abandon ability\"", fill.repeat(before));
                let row = row("why", &value);
                fits(&row, "why");
                assert!(!row.contains("\n  words"), "{row}");
            }
        }
    }

    #[test]
    fn nothing_is_lost_where_a_line_ends() {
        for value in [
            "one two ".repeat(40),
            "x".repeat(500),
            "宕机🔥e\u{301}".repeat(50),
        ] {
            let shown = row("why", &value).replacen("why", "", 1);
            let squeezed = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(squeezed(&shown), squeezed(&value));
        }
    }

    #[test]
    fn a_letter_keeps_its_marks() {
        let row = row("why", &"e\u{323}\u{302}".repeat(64));
        assert!(!row.contains("\n               \u{323}") && !row.contains("\n               \u{302}"));
        fits(&row, "why");
    }
}
