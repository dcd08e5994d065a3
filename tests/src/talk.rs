//! People who pass texts to each other through a chat: each is a process of its own, and nothing but armored texts crosses.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::machine::Run;
use crate::process::{nap, until};
use crate::shown::Shown;

const PATIENCE: Duration = Duration::from_secs(60);
const BEGIN: &str = "-----BEGIN GATEPASS ";
const END: &str = "-----END GATEPASS ";

/// A program that reads lines and texts, says what is for people on standard error, and prints texts to pass on.
#[derive(Debug)]
pub struct Party {
    /// Whose program it is.
    pub name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Shown,
    stderr: Shown,
    /// Bytes of standard output that were passed on.
    passed: usize,
}

/// A text that crossed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Whose program printed it.
    pub from: String,
    /// From its BEGIN line to its END line.
    pub text: String,
}

impl Party {
    /// Starts `command` for somebody.
    pub fn start(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self {
            name: name.to_owned(),
            stdin: child.stdin.take(),
            stdout: Shown::collect(child.stdout.take().expect("it was started with a pipe")),
            stderr: Shown::collect(child.stderr.take().expect("it was started with a pipe")),
            child,
            passed: 0,
        }
    }

    /// Gives it a line, or a text of several. One that has ended, or was hung up on, does not mind.
    pub fn tell(&mut self, text: &str) {
        let Some(stdin) = &mut self.stdin else { return };
        let _ = stdin.write_all(text.as_bytes());
        if !text.ends_with('\n') {
            let _ = stdin.write_all(b"\n");
        }
        let _ = stdin.flush();
    }

    /// Nothing more will be said to it.
    pub fn hang_up(&mut self) {
        drop(self.stdin.take());
    }

    /// What it has said to its person so far.
    pub fn said(&self) -> String {
        self.stderr.so_far()
    }

    /// Waits until it says `text` to its person after all that was waited for before, and gives what stands between.
    pub fn wait_for(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let over = self.stderr.is_over();
            if let Some((_, before)) = self.stderr.read_to(&[text]) {
                return before;
            }
            assert!(
                !over && start.elapsed() < PATIENCE,
                "{} does not say {text:?}:\n{}",
                self.name,
                self.said()
            );
            nap();
        }
    }

    /// The next text that it gives to pass on.
    pub fn text(&mut self) -> String {
        let start = Instant::now();
        loop {
            let over = self.stdout.is_over();
            if let Some(text) = self.next_text() {
                return text;
            }
            assert!(
                !over && start.elapsed() < PATIENCE,
                "{} gives no text:\n{}{}",
                self.name,
                self.stdout.so_far(),
                self.said()
            );
            nap();
        }
    }

    /// The next text, where it is complete. Anything else on standard output fails the test: it would be piped on.
    fn next_text(&mut self) -> Option<String> {
        let printed = self.stdout.so_far();
        let new = &printed[self.passed..];
        let end = new.find(END)?;
        let end = end + new[end..].find('\n')? + 1;
        let text = new[..end].trim_start().to_owned();
        let (first, rest) = text.split_once('\n').expect("two lines at least");
        let body = rest.split(END).next().expect("text before END");
        let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=\n".contains(c);
        assert!(
            first.starts_with(BEGIN) && body.chars().all(base64),
            "{} printed something else than an armored text:\n{text}",
            self.name
        );
        self.passed += end;
        Some(text)
    }

    /// Its number among the machine's processes.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as a crash does.
    pub fn kill(mut self) -> Run {
        self.child.kill().expect("it is ours");
        self.finish()
    }

    /// Whether it has ended, and all it has printed was read.
    fn is_over(&mut self) -> bool {
        self.stdout.is_over() && self.stderr.is_over() && self.ended().is_some()
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits until it has ended.
    pub fn finish(mut self) -> Run {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{} does not end:\n{}",
                self.name,
                self.said()
            );
            nap();
        };
        until("all it has written is read", PATIENCE, || {
            (self.stdout.is_over() && self.stderr.is_over()).then_some(())
        });
        Run {
            ok: status.success(),
            stdout: self.stdout.so_far(),
            stderr: self.stderr.so_far(),
        }
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets an opener and approvers talk until all of them have ended: what the opener prints goes to every approver, what an
/// approver prints to the opener, and a prompt that contains a rule's first text is answered with its second. Once the opener
/// has ended, the approvers' input does, too. Gives all that crossed.
pub fn talk(opener: &mut Party, approvers: &mut [Party], rules: &[(&str, &str)]) -> Vec<Passed> {
    talk_through(opener, approvers, rules, |_, text| Some(text.to_owned()))
}

/// The same through somebody who may change or swallow what passes: `chat` is told whose text it is.
pub fn talk_through(
    opener: &mut Party,
    approvers: &mut [Party],
    rules: &[(&str, &str)],
    mut chat: impl FnMut(&str, &str) -> Option<String>,
) -> Vec<Passed> {
    let prompts: Vec<_> = rules.iter().map(|(prompt, _)| *prompt).collect();
    let mut passed = Vec::new();
    let mut last = Instant::now();
    loop {
        let done = opener.is_over();
        let all_over = done && approvers.iter_mut().all(Party::is_over);
        let mut busy = false;
        for party in std::iter::once(&mut *opener).chain(approvers.iter_mut()) {
            while let Some((number, _)) = party.stderr.read_to(&prompts) {
                party.tell(rules[number].1);
                busy = true;
            }
        }
        while let Some(text) = opener.next_text() {
            busy = true;
            if let Some(text) = note(&mut passed, opener, &text, &mut chat) {
                approvers.iter_mut().for_each(|approver| approver.tell(&text));
            }
        }
        for approver in &mut *approvers {
            while let Some(text) = approver.next_text() {
                busy = true;
                if let Some(text) = note(&mut passed, approver, &text, &mut chat) {
                    opener.tell(&text);
                }
            }
        }
        if done {
            approvers.iter_mut().for_each(Party::hang_up);
        }
        if busy {
            last = Instant::now();
        } else if all_over {
            return passed;
        }
        assert!(
            last.elapsed() < PATIENCE,
            "nobody says anything any more:\n{}{}",
            said(opener),
            approvers.iter().map(said).collect::<String>()
        );
        nap();
    }
}

/// Lets people talk among whom everybody's texts go to everybody else, until all of them have ended.
pub fn circle(parties: &mut [Party], rules: &[(&str, &str)]) -> Vec<Passed> {
    let prompts: Vec<_> = rules.iter().map(|(prompt, _)| *prompt).collect();
    let mut passed = Vec::new();
    let mut last = Instant::now();
    loop {
        let over = parties.iter_mut().all(Party::is_over);
        let mut busy = false;
        for at in 0..parties.len() {
            while let Some((number, _)) = parties[at].stderr.read_to(&prompts) {
                parties[at].tell(rules[number].1);
                busy = true;
            }
            while let Some(text) = parties[at].next_text() {
                note(&mut passed, &parties[at], &text, &mut |_, _| None);
                let others = parties.iter_mut().enumerate().filter(|(other, _)| *other != at);
                others.for_each(|(_, other)| other.tell(&text));
                busy = true;
            }
        }
        if busy {
            last = Instant::now();
        } else if over {
            return passed;
        }
        assert!(
            last.elapsed() < PATIENCE,
            "nobody says anything any more:\n{}",
            parties.iter().map(said).collect::<String>()
        );
        nap();
    }
}

fn said(party: &Party) -> String {
    format!("--- {}:\n{}\n", party.name, party.said())
}

fn note(
    passed: &mut Vec<Passed>,
    from: &Party,
    text: &str,
    chat: &mut impl FnMut(&str, &str) -> Option<String>,
) -> Option<String> {
    passed.push(Passed {
        from: from.name.clone(),
        text: text.to_owned(),
    });
    chat(&from.name, text)
}
