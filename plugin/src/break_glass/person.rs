//! The people at this terminal: asks them in turn, and picks ceremony texts out of what they paste.

mod keyboard;
mod table;

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    mem,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use gatepass_break_glass::{
    armor::{Block, Reader},
    identity::Person,
    kit::Kit,
    request::Checked,
};
use zeroize::Zeroizing;

use super::error::BreakGlassError;
use crate::{escape::message, prompt::Ui};

pub use keyboard::Lines;

/// The terminal. Questions go to stderr; answers and texts come in lines from stdin.
///
/// What somebody pastes was written by somebody else, and lines may follow its text that look like answers. So nothing that
/// was there before a question answers it.
pub struct Terminal {
    input: Mutex<Input>,
    home: Option<PathBuf>,
}

struct Input {
    lines: Box<dyn Lines>,
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
    pub fn standard(home: Option<PathBuf>) -> Self {
        Self {
            home,
            ..Self::reading(keyboard::standard())
        }
    }

    /// Answers from elsewhere.
    pub fn reading(lines: Box<dyn Lines>) -> Self {
        Self {
            input: Mutex::new(Input {
                lines,
                reader: Reader::default(),
                waiting: VecDeque::new(),
            }),
            home: None,
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
            self.say(&table::row(name, value));
        }
    }

    /// Shows what a quorum is asked, and below, apart from all that may be somebody else's, the words that are compared by voice.
    pub fn asked(&self, checked: &Checked, kit: &Kit) {
        self.table(&checked.describe(kit));
        self.say("\nThe words of all that, which this program has worked out itself:\n");
        self.table(&[("words", checked.hash().words().to_string())]);
        self.say("");
    }

    /// Asks a question; the answer is a line.
    pub fn ask(&self, question: &str) -> Result<String, BreakGlassError> {
        self.input().settle(self)?;
        self.answer(question)
    }

    fn answer(&self, question: &str) -> Result<String, BreakGlassError> {
        let mut input = self.input();
        let _ = write!(io::stderr(), "{} ", message(question));
        let _ = io::stderr().flush();
        loop {
            match input.line(self)? {
                // Somebody was quicker than the question.
                Line::Text(block) => input.waiting.push_back(block),
                Line::Other(line) => return Ok(line.trim().to_owned()),
            }
        }
    }

    /// Asks for the path of a file; `None` for an empty line. `~` is the home of who runs this, as a shell has it.
    pub fn path(&self, question: &str) -> Result<Option<PathBuf>, BreakGlassError> {
        let answer = self.ask(question)?;
        if answer.is_empty() {
            return Ok(None);
        }
        Ok(Some(match (answer.strip_prefix("~/"), &self.home) {
            (Some(below), Some(home)) => home.join(below),
            _ => answer.into(),
        }))
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
            if let Some(line) = self.step(terminal)? {
                return Ok(line);
            }
        }
    }

    /// Reads one line; `None` if it is a part of a text.
    fn step(&mut self, terminal: &Terminal) -> Result<Option<Line>, BreakGlassError> {
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut self.lines, LONGEST_LINE);
        let read = io::BufRead::read_until(&mut limited, b'\n', &mut line).map_err(BreakGlassError::Input)?;
        if read == 0 {
            return Err(BreakGlassError::InputEnded);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let within = self.reader.is_within();
        Ok(match self.reader.line(&line) {
            Some(Ok(block)) => Some(Line::Text(block)),
            Some(Err(error)) => {
                terminal.say(&format!("this cannot be used: {error}"));
                None
            }
            None if within || self.reader.is_within() => None,
            None => Some(Line::Other(line)),
        })
    }

    /// Takes in what was there before a question: texts are kept for later, and everything else is left out.
    fn settle(&mut self, terminal: &Terminal) -> Result<(), BreakGlassError> {
        let mut left_out = false;
        while self.lines.is_ahead() {
            match self.step(terminal)? {
                Some(Line::Text(block)) => self.waiting.push_back(block),
                Some(Line::Other(line)) => left_out |= !line.trim().is_empty(),
                None => {}
            }
        }
        self.lines.forget();
        if left_out {
            terminal.say(
                "(Lines that stood there before the next question are left out: they do not answer it.)",
            );
        }
        if self.reader.is_within() {
            // It would swallow the answer, and all that follows.
            mem::take(&mut self.reader);
            terminal.say(
                "(A text without its END line is left out; paste it again, whole, when it is asked for.)",
            );
        }
        Ok(())
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
        // What was pasted behind a text is no passphrase; three of its lines would be three wrong ones.
        self.input().settle(self).ok()?;
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
        Terminal::reading(keyboard::piped(io::Cursor::new(text.to_owned())))
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

    #[cfg(unix)]
    #[test]
    fn what_was_pasted_before_a_question_does_not_answer_it() {
        use std::fs::File;

        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let path = ptsname(&ours, Vec::new()).unwrap();
        let theirs = File::options()
            .read(true)
            .write(true)
            .open(path.to_str().unwrap())
            .unwrap();
        let mut hands = File::from(ours);
        let terminal = Terminal::reading(keyboard::of(theirs));
        // A request from the chat, whose writer agrees to it themselves, and a text that never ends, which would swallow every
        // answer.
        let cut = "-----BEGIN GATEPASS SIGNING-----\neyJ";
        let pasted = format!("{}yes\n2026-11-22 03:00\n{}{cut}\nyes", text(), text());
        hands.write_all(pasted.as_bytes()).unwrap();
        assert!(terminal.text().unwrap().is::<Signing>());
        terminal.input().settle(&terminal).unwrap();
        hands.write_all(b"no\n").unwrap();
        assert_eq!(terminal.answer("do you agree?").unwrap(), "no");
        // The second text came before it was asked for, and counts.
        assert!(terminal.text().unwrap().is::<Signing>());
        // A question settles first: of a paste that ends the input, not even the yes before the end is an answer.
        hands.write_all(b"yes\n\x04").unwrap();
        assert!(matches!(terminal.yes("?"), Err(BreakGlassError::InputEnded)));
    }
}
