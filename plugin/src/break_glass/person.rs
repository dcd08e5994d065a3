//! The people at this terminal: asks them in turn, and picks ceremony texts out of what they paste.

use std::{
    collections::VecDeque,
    io::{self, BufRead, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use gatepass_break_glass::{
    armor::{Block, Reader},
    identity::Person,
};
use zeroize::Zeroizing;

use super::error::BreakGlassError;
use crate::{escape::message, prompt::Ui};

/// The terminal. Questions go to stderr; answers and texts come in lines from stdin.
pub struct Terminal {
    input: Mutex<Input>,
}

struct Input {
    lines: Box<dyn BufRead + Send>,
    reader: Reader,
    /// Texts that were pasted before they were asked for.
    waiting: VecDeque<Block>,
}

/// No answer is longer; what is passed on as a text has short lines, too.
const LONGEST_LINE: u64 = 64 * 1024;

enum Line {
    Text(Block),
    Other(String),
}

impl Terminal {
    /// stdin and stderr.
    pub fn standard() -> Self {
        Self::reading(Box::new(io::BufReader::new(io::stdin())))
    }

    /// Answers from elsewhere.
    pub fn reading(lines: Box<dyn BufRead + Send>) -> Self {
        Self {
            input: Mutex::new(Input {
                lines,
                reader: Reader::default(),
                waiting: VecDeque::new(),
            }),
        }
    }

    /// Shows a message.
    pub fn say(&self, text: &str) {
        // A closed stderr must not end a ceremony.
        let _ = writeln!(io::stderr(), "{}", message(text));
    }

    /// Shows lines of a name and a value each.
    pub fn table(&self, lines: &[(&str, String)]) {
        for (name, value) in lines {
            self.say(&format!("  {name:<12} {value}"));
        }
    }

    /// Asks a question; the answer is a line.
    pub fn ask(&self, question: &str) -> Result<String, BreakGlassError> {
        let _ = write!(io::stderr(), "{} ", message(question));
        let _ = io::stderr().flush();
        let mut input = self.input();
        loop {
            match input.line(self)? {
                // Somebody was quicker than the question.
                Line::Text(block) => input.waiting.push_back(block),
                Line::Other(line) => return Ok(line.trim().to_owned()),
            }
        }
    }

    /// Asks for yes or no. Whatever is neither is asked again: a slip must not end a ceremony.
    pub fn yes(&self, question: &str) -> Result<bool, BreakGlassError> {
        loop {
            match self.ask(&format!("{question} [yes/no]"))?.to_lowercase().as_str() {
                "yes" | "y" => return Ok(true),
                "no" | "n" => return Ok(false),
                _ => self.say("please type yes or no"),
            }
        }
    }

    /// The next text that is pasted. Lines around texts are ignored.
    pub fn text(&self) -> Result<Block, BreakGlassError> {
        let mut input = self.input();
        if let Some(block) = input.waiting.pop_front() {
            return Ok(block);
        }
        loop {
            if let Line::Text(block) = input.line(self)? {
                return Ok(block);
            }
        }
    }

    fn input(&self) -> MutexGuard<'_, Input> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Input {
    /// The next line that is no part of a text, or the next text.
    fn line(&mut self, terminal: &Terminal) -> Result<Line, BreakGlassError> {
        loop {
            let mut line = Vec::new();
            let mut limited = io::Read::take(&mut self.lines, LONGEST_LINE);
            let read = limited
                .read_until(b'\n', &mut line)
                .map_err(BreakGlassError::Input)?;
            if read == 0 {
                return Err(BreakGlassError::InputEnded);
            }
            let line = String::from_utf8_lossy(&line).into_owned();
            let within = self.reader.is_within();
            match self.reader.line(&line) {
                Some(Ok(block)) => return Ok(Line::Text(block)),
                Some(Err(error)) => terminal.say(&format!("this cannot be used: {error}")),
                None if within || self.reader.is_within() => {}
                None => return Ok(Line::Other(line)),
            }
        }
    }
}

impl Person for Terminal {
    fn show(&self, message: &str) {
        self.say(message);
    }

    fn confirm(&self, question: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let Some(no) = no else {
            self.ask(&format!("{question} [Enter: {yes}]")).ok()?;
            return Some(true);
        };
        self.yes(&format!("{question} (yes: {yes}; no: {no})")).ok()
    }

    fn ask(&self, question: &str) -> Option<String> {
        Self::ask(self, question).ok()
    }

    fn secret(&self, question: &str) -> Option<Zeroizing<String>> {
        // From the terminal itself, not shown; nobody passes a secret by a pipe.
        let config = rpassword::ConfigBuilder::new().build();
        let prompt = format!("{}: ", message(question));
        let typed = rpassword::prompt_password_with_config(prompt, config);
        typed.ok().map(Zeroizing::new).filter(|typed| !typed.is_empty())
    }
}

/// For what belongs to other commands as well.
impl Ui for Terminal {
    fn say(&self, text: &str) {
        Self::say(self, text);
    }

    fn interactive(&self) -> bool {
        true
    }

    fn confirm(&self, question: &str) -> bool {
        self.yes(question).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use gatepass_break_glass::{approver::Signing, armor::Armored as _, log::Head, request::Request};

    use super::*;

    fn terminal(text: &str) -> Terminal {
        Terminal::reading(Box::new(io::Cursor::new(text.to_owned())))
    }

    fn text() -> String {
        let request = r#"{"kit":"0000000000000000000000000000000000000000000000000000000000000000",
            "by":"alice","ask":{"drill":{"random":""}}}"#;
        let request: Request = serde_json::from_str(request).unwrap();
        let head = Head {
            machine: "m".into(),
            entries: 1,
            hash: "h".into(),
        };
        let signing = Signing {
            request: request.hash(),
            not_before: 0,
            commitments: Default::default(),
            head,
        };
        signing.armor()
    }

    #[test]
    fn answers_and_texts_are_told_apart_in_whatever_order_they_come() {
        let input = format!("{}hello\nbob, 03:12:\n{}yes\n", text(), text());
        let terminal = terminal(&input);
        assert_eq!(Terminal::ask(&terminal, "?").unwrap(), "hello");
        assert!(terminal.text().unwrap().is::<Signing>());
        assert!(terminal.text().unwrap().is::<Signing>());
        assert!(terminal.yes("?").unwrap());
        assert!(matches!(terminal.text(), Err(BreakGlassError::InputEnded)));
    }

    #[test]
    fn only_yes_is_yes_and_a_slip_is_asked_again() {
        assert!(terminal("ja\n\nYES\n").yes("?").unwrap());
        assert!(!terminal("yess\nno\n").yes("?").unwrap());
        assert!(matches!(terminal("").yes("?"), Err(BreakGlassError::InputEnded)));
    }

    #[test]
    fn a_damaged_text_is_said_and_the_next_one_counts() {
        let damaged = text().replacen("ey", "!!", 1);
        assert!(terminal(&format!("{damaged}{}", text())).text().is_ok());
    }
}
