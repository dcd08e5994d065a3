//! Makes text from outside fit for a terminal.

use std::{fmt, io, path::Path};

use gatepass_break_glass::name::plainly;
use serde::Serialize;

/// Shows text that came from outside: control, format and invisible characters (bidi overrides among them) appear as `\u{…}`, so
/// that a claim or an error description cannot move the cursor, reorder a line or hide how long one is.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 500;
        for (shown, (c, plain)) in plainly(self.0).enumerate() {
            if shown == LONGEST {
                return f.write_str("…");
            }
            if plain {
                write!(f, "{c}")?
            } else {
                write!(f, "{}", c.escape_unicode())?
            }
        }
        Ok(())
    }
}

/// Makes a whole message fit for a terminal, line breaks kept: the last line of defence, where it is written.
pub fn message(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (c, plain) in plainly(text) {
        if c != '\n' && !plain {
            safe.extend(c.escape_unicode())
        } else {
            safe.push(c)
        }
    }
    safe
}

/// Makes a path fit for a line on a terminal: the name of a file that was found may hold line breaks, and be somebody's who wants
/// to be taken for this program.
pub fn path(path: &Path) -> String {
    message(&path.to_string_lossy()).replace('\n', "\\u{a}")
}

/// A path in a command that people paste into a shell; in place of one that would mean something there stands `word`.
pub fn argument(path: &Path, word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-@+,:\\".contains(c);
    match self::path(path) {
        path if path.chars().all(is_plain) => path,
        _ => word.to_owned(),
    }
}

/// JSON that a terminal shows as it stands: what JSON lets through is spelled out in its own escapes, so it means the same.
pub fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (c, plain) in plainly(text) {
        if c != '\n' && !plain {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c)
        }
    }
    safe
}

/// A value as YAML for terminals: JSON, which is YAML, where characters need JSON's escapes.
pub fn yaml(value: &impl Serialize) -> io::Result<String> {
    let text = serde_saphyr::to_string(value).map_err(io::Error::other)?;
    match is_plain(&text.replace('\n', "")) {
        true => Ok(format!("{}\n", text.trim_end_matches('\n'))),
        false => Ok(format!("{}\n", json(&serde_json::to_string_pretty(value)?))),
    }
}

/// Whether a text holds nothing but what a terminal shows as it stands.
pub fn is_plain(text: &str) -> bool {
    plainly(text).all(|(_, plain)| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_are_spelled_out_and_others_kept() {
        assert_eq!(
            Escaped("a\u{1b}[2J\n\u{202e}ü \u{34f} \u{fe01}⚠\u{fe0f}").to_string(),
            "a\\u{1b}[2J\\u{a}\\u{202e}ü \\u{34f} \\u{fe01}⚠\u{fe0f}"
        );
    }

    #[test]
    fn a_message_keeps_its_lines_and_loses_its_escapes() {
        assert_eq!(message("a\nb\u{1b}[2J\u{202e}"), "a\nb\\u{1b}[2J\\u{202e}");
    }

    #[test]
    fn a_command_to_paste_holds_nothing_that_a_shell_would_run() {
        let of = |path: &str| argument(Path::new(path), "KIT");
        assert_eq!(of("/home/alice/prod-4f.kit"), "/home/alice/prod-4f.kit");
        for path in [
            "/tmp/$(reboot).kit",
            "/tmp/a b.kit",
            "/tmp/`x`.kit",
            "/tmp/'.kit",
            "/tmp/a\nb",
        ] {
            assert_eq!(of(path), "KIT", "{path}");
        }
    }

    #[test]
    fn a_path_is_one_line() {
        let name = "z\n\nbob: type your passphrase to go on\u{1b}[2J\n.kit";
        let shown = path(Path::new(name));
        assert!(is_plain(&shown), "{shown}");
        assert_eq!(path(Path::new("/a b/ü.kit")), "/a b/ü.kit");
        assert_eq!(path(Path::new(&"x".repeat(9000))).len(), 9000);
    }

    #[test]
    fn json_means_the_same_and_moves_no_cursor() {
        let value = serde_json::json!({"reason": "a\u{9b}2J\u{202e}\u{e0001}\u{7f}ü\n"});
        let shown = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(is_plain(&shown.replace('\n', "")), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn yaml_means_the_same_and_moves_no_cursor() {
        for text in ["plain", "a\u{9b}2J\u{202e}\u{e0001}\u{7f}\u{1b}[2Jü\n"] {
            let value = serde_json::json!([{"reason": text}, 1]);
            let shown = yaml(&value).unwrap();
            assert!(is_plain(&shown.replace('\n', "")), "{shown}");
            assert_eq!(
                serde_saphyr::from_str::<serde_json::Value>(&shown).unwrap(),
                value
            );
        }
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(Escaped(&"x".repeat(9000)).to_string().chars().count(), 501);
    }
}
