//! A person at a terminal, unattended: reads what is shown, waits for a prompt, types.
//!
//! The program gets a terminal of its own as its controlling one, so that it can turn the echo off, ask for a passphrase
//! at `/dev/tty` and be interrupted by Ctrl-C. Standard output can lie apart, as where somebody pipes it on.

use std::fs::File;
use std::io::Write as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::process::{nap, until};
use crate::shown::Shown;

/// How long a person waits for anything to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program at a terminal. It is killed when this value is dropped, and hears SIGHUP when the test ends.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Shown,
    stdout: Option<Shown>,
}

/// What is typed at a prompt.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// A line that everybody may see.
    Line(&'a str),
    /// Something that must not be shown.
    Secret(&'a str),
}

/// How a program at a terminal has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// All that the terminal has shown, with what was typed where that was echoed.
    pub shown: String,
    /// Standard output, where it lay apart.
    pub stdout: String,
}

impl Terminal {
    /// Starts `command`, with its environment and nothing of the test's own, all at the terminal.
    pub fn start(command: &Command) -> Self {
        Self::open(command, false)
    }

    /// The same with standard output apart.
    pub fn start_piped(command: &Command) -> Self {
        Self::open(command, true)
    }

    fn open(program: &Command, piped: bool) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("the kernel has a terminal to give");
        grantpt(&ours).expect("it is ours");
        unlockpt(&ours).expect("it is ours");
        let path = ptsname(&ours, Vec::new()).expect("it has a name");
        let size = Winsize {
            ws_row: 50,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size).expect("a terminal has a size");
        let theirs = || -> Stdio {
            let path = path.to_str().expect("a path in /dev/pts");
            let file = File::options().read(true).write(true).open(path);
            file.expect("the terminal can be opened").into()
        };
        let mut command = Command::new("setsid");
        command
            // Whoever runs the tests in the background has them ignore Ctrl-C, which is inherited.
            .args(["--ctty", "--wait", "env", "--default-signal=INT,QUIT"])
            .arg(program.get_program())
            .args(program.get_args())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm-256color")
            .envs(
                program
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        if let Some(dir) = program.get_current_dir() {
            command.current_dir(dir);
        }
        let mut child = command
            .stdin(theirs())
            .stdout(if piped { Stdio::piped() } else { theirs() })
            .stderr(theirs())
            .spawn()
            .expect("setsid starts");
        // It holds the other end open, and the screen would never end.
        drop(command);
        let keyboard = File::from(ours);
        let screen = keyboard.try_clone().expect("a file can be held twice");
        Self {
            screen: Shown::collect(screen),
            stdout: child.stdout.take().map(Shown::collect),
            child,
            keyboard,
        }
    }

    /// All that the terminal has shown so far.
    pub fn shown(&self) -> String {
        self.screen.so_far().replace("\r\n", "\n")
    }

    /// What has come on standard output, where it lies apart.
    pub fn stdout(&self) -> String {
        self.stdout.as_ref().map(Shown::so_far).unwrap_or_default()
    }

    /// Waits until `text` is shown after all that was waited for before, and gives what stands between.
    pub fn wait_for(&mut self, text: &str) -> String {
        let found = self.next(&[text]);
        let (_, before) = found.unwrap_or_else(|| panic!("it has ended without {text:?}:\n{}", self.shown()));
        before
    }

    /// Waits for whichever of `texts` is shown first: its number, and what stands before it. `None`: the program has ended.
    pub fn next(&mut self, texts: &[&str]) -> Option<(usize, String)> {
        let start = Instant::now();
        loop {
            // Before the look: what a program has shown that has ended is all there will ever be.
            let over = self.screen.is_over();
            if let Some((number, before)) = self.screen.read_to(texts) {
                return Some((number, before.replace("\r\n", "\n")));
            }
            if over {
                return None;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "none of {texts:?} is shown:\n{}",
                self.shown()
            );
            nap();
        }
    }

    /// Types a line that everybody may see.
    pub fn type_line(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Types a secret, once the terminal has stopped to show what is typed.
    pub fn type_secret(&mut self, secret: &str) {
        let keyboard = &self.keyboard;
        until(
            "the terminal does not show any more what is typed",
            PATIENCE,
            || {
                let modes = tcgetattr(keyboard).expect("it is a terminal").local_modes;
                (!modes.contains(LocalModes::ECHO)).then_some(())
            },
        );
        self.press(&format!("{secret}\n"));
    }

    /// Presses keys: `\x03` is Ctrl-C, `\x04` at the beginning of a line the end of what is typed.
    pub fn press(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("the terminal takes it");
    }

    /// Answers each prompt by its rule, in any order and as often as it is shown, until the program has ended. A rule is a
    /// part of a prompt, and what is typed then.
    pub fn answer(mut self, rules: &[(&str, Answer<'_>)]) -> Ended {
        let prompts: Vec<_> = rules.iter().map(|(prompt, _)| *prompt).collect();
        while let Some((number, _)) = self.next(&prompts) {
            match rules[number].1 {
                Answer::Line(line) => self.type_line(line),
                Answer::Secret(secret) => self.type_secret(secret),
            }
        }
        let ended = self.finish();
        for (_, answer) in rules {
            if let Answer::Secret(secret) = answer {
                let shown = &ended.shown;
                assert!(!shown.contains(secret), "a secret is on the screen:\n{shown}");
            }
        }
        ended
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Kills it, as a crash does.
    pub fn kill(mut self) -> Ended {
        self.child.kill().expect("it is ours");
        self.finish()
    }

    /// Waits until it has ended.
    pub fn finish(mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.shown());
            nap();
        };
        until("all it has written is read", PATIENCE, || {
            let over = self.screen.is_over() && self.stdout.as_ref().is_none_or(Shown::is_over);
            over.then_some(())
        });
        Ended {
            status,
            shown: self.shown(),
            stdout: self.stdout(),
        }
    }
}

impl Ended {
    /// Fails the test with everything shown unless the program succeeded.
    pub fn expect_ok(self) -> Self {
        assert!(self.status.success(), "{}:\n{}", self.status, self.shown);
        self
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Whoever did not wait for it has no use for it, and a prompt would wait for ever.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
