//! The person at the terminal. Everything for people goes to stderr: stdout belongs to kubectl.

use std::io::{self, BufRead as _, Write as _};

use crate::escape::message;

/// Says and asks.
pub trait Ui: Sync {
    /// Shows one message.
    fn say(&self, text: &str);
    /// Whether a person can be asked and a browser opened.
    fn interactive(&self) -> bool;
    /// Asks for yes or no; `false` where nobody answers.
    fn confirm(&self, question: &str) -> bool;
}

/// stderr and stdin.
pub struct Terminal {
    /// What kubectl said, or true for a typed command.
    pub interactive: bool,
}

impl Ui for Terminal {
    fn say(&self, text: &str) {
        // A closed stderr must not end a login.
        let _ = writeln!(io::stderr(), "{}", message(text));
    }

    fn interactive(&self) -> bool {
        self.interactive
    }

    fn confirm(&self, question: &str) -> bool {
        if !self.interactive {
            return false;
        }
        let _ = write!(io::stderr(), "{question} [yes/no] ");
        let _ = io::stderr().flush();
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).is_ok()
            && matches!(answer.trim(), "yes" | "y" | "Yes" | "Y")
    }
}
