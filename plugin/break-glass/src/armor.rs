//! Texts that pass through any chat: a few lines between BEGIN and END (RFC 7468), JSON in base64 within.

use pem::{EncodeConfig, LineEnding, Pem};
use serde::{Serialize, de::DeserializeOwned};

use crate::name::Escaped;

/// Something that is passed on as a text.
pub trait Armored: Serialize + DeserializeOwned {
    /// What stands after BEGIN and END.
    const LABEL: &'static str;

    /// The text, with a line break at its end.
    fn armor(&self) -> String {
        let json = serde_json::to_vec(self).expect("a ceremony's text is plain JSON");
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        pem::encode_config(&Pem::new(Self::LABEL, json), config)
    }
}

/// A text that was read, of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    label: String,
    json: Vec<u8>,
}

/// Why a text cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArmorError {
    /// Lines between BEGIN and END that are not base64.
    #[error("a text is damaged between its BEGIN and END lines; copy it again, whole")]
    Damaged,
    /// Longer than any ceremony's text.
    #[error(
        "a text is longer than any that a ceremony has; copy it again, from its BEGIN line to its END line"
    )]
    TooLong,
    /// Not what its label says.
    #[error("a {label} cannot be read ({why}); was it made by another version of this program?")]
    Content {
        /// The label.
        label: Escaped,
        /// What is wrong; it can quote the text.
        why: Escaped,
    },
    /// Something else than what is needed here.
    #[error("this is a {found}, where a {wanted} is needed")]
    AnotherKind {
        /// What was given.
        found: Escaped,
        /// What is needed.
        wanted: &'static str,
    },
    /// No text at all.
    #[error("there is no {wanted} in it")]
    Nothing {
        /// What is needed.
        wanted: &'static str,
    },
}

const BEGIN: &str = "-----BEGIN GATEPASS ";
const END: &str = "-----END GATEPASS ";

/// Above the largest text: what fifteen holders' machines say to each other at an init.
const LONGEST: usize = 256 * 1024;

/// Picks texts out of lines as they come: what stands around them is ignored, and so is how a chat quotes and indents.
#[derive(Debug, Default)]
pub struct Reader {
    /// From the BEGIN line on, if there was one.
    open: Option<String>,
}

impl Reader {
    /// Takes one line; gives a text when its END line has come.
    pub fn line(&mut self, line: &str) -> Option<Result<Block, ArmorError>> {
        let line = line
            .trim_start_matches(|c: char| c == '>' || c.is_whitespace())
            .trim_end();
        if line.starts_with(BEGIN) {
            self.open = Some(String::new());
        }
        let open = self.open.as_mut()?;
        if open.len() + line.len() > LONGEST {
            self.open = None;
            return Some(Err(ArmorError::TooLong));
        }
        open.push_str(line);
        open.push('\n');
        if !line.starts_with(END) {
            return None;
        }
        let text = self.open.take()?;
        Some(match pem::parse(text) {
            Ok(pem) => Ok(Block {
                label: pem.tag().to_owned(),
                json: pem.into_contents(),
            }),
            Err(_) => Err(ArmorError::Damaged),
        })
    }

    /// Whether a text has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.open.is_some()
    }
}

impl Block {
    /// What stands after BEGIN.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether it says that it is one.
    pub fn is<T: Armored>(&self) -> bool {
        self.label == T::LABEL
    }

    /// Reads it.
    pub fn read<T: Armored>(&self) -> Result<T, ArmorError> {
        let label = || Escaped::new(&self.label);
        if !self.is::<T>() {
            return Err(ArmorError::AnotherKind {
                found: label(),
                wanted: T::LABEL,
            });
        }
        serde_json::from_slice(&self.json).map_err(|error| ArmorError::Content {
            label: label(),
            why: Escaped::new(&error.to_string()),
        })
    }
}

/// All texts in a file, in their order.
pub fn blocks(text: &str) -> Result<Vec<Block>, ArmorError> {
    let mut reader = Reader::default();
    let blocks: Result<Vec<_>, _> = text.lines().filter_map(|line| reader.line(line)).collect();
    match reader.is_within() {
        true => Err(ArmorError::Damaged),
        false => blocks,
    }
}

/// The only text in a file.
pub fn read<T: Armored>(text: &str) -> Result<T, ArmorError> {
    match blocks(text)?.as_slice() {
        [] => Err(ArmorError::Nothing { wanted: T::LABEL }),
        [one] => one.read(),
        several => several
            .iter()
            .find(|block| block.is::<T>())
            .ok_or(ArmorError::Nothing { wanted: T::LABEL })?
            .read(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note(String);

    impl Armored for Note {
        const LABEL: &'static str = "GATEPASS NOTE";
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Other;

    impl Armored for Other {
        const LABEL: &'static str = "GATEPASS OTHER";
    }

    #[test]
    fn a_text_survives_what_chats_do_to_it() {
        let note = Note("x".repeat(100));
        let text = note.armor();
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
        assert_eq!(read::<Note>(&text).unwrap(), note);
        let quoted: String = text.lines().map(|line| format!("> {line} \r\n")).collect();
        let around = format!("alice, 03:12\nhere:\n\n{quoted}\nthanks\n");
        assert_eq!(read::<Note>(&around).unwrap(), note);
        let two = format!("{text}{around}");
        assert_eq!(blocks(&two).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_such_text_is_named() {
        let text = Note("x".repeat(100)).armor();
        assert!(matches!(read::<Note>("hello"), Err(ArmorError::Nothing { .. })));
        assert!(matches!(
            read::<Other>(&text),
            Err(ArmorError::AnotherKind { .. })
        ));
        let cut: String = text.lines().take(2).collect::<Vec<_>>().join("\n");
        assert!(matches!(read::<Note>(&cut), Err(ArmorError::Damaged)));
        let changed = text.replacen("eHh4", "!!!!", 1);
        assert!(matches!(read::<Note>(&changed), Err(ArmorError::Damaged)));
        let endless = format!("-----BEGIN GATEPASS NOTE-----\n{}", "AAAA\n".repeat(LONGEST / 4));
        assert!(matches!(read::<Note>(&endless), Err(ArmorError::TooLong)));
    }

    #[test]
    fn what_a_text_says_makes_no_lines_of_its_own() {
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Strict {}

        impl Armored for Strict {
            const LABEL: &'static str = "GATEPASS STRICT";
        }

        let forged = format!("{{\"\\n\\nalice: type your passphrase:{}\":1}}", "x".repeat(9000));
        let text = pem::encode(&Pem::new(Strict::LABEL, forged));
        let said = read::<Strict>(&text).unwrap_err().to_string();
        assert!(!said.contains('\n') && said.len() < 600, "{said}");
    }
}
