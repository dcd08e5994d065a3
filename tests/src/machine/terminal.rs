//! Programs that a person starts at a terminal.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::Ordering;

use super::desktop::{quote, quote_path};
use super::{Machine, Run};

impl Machine {
    /// Starts kubectl at a terminal of its own. kubectl hands a plugin its standard input, and says that a person is
    /// there, only where that is a terminal; what is printed goes to files, as nobody wants it mixed.
    pub fn start_kubectl(&self, args: &[&str]) -> Started {
        self.start("kubectl", args)
    }

    /// Starts any program of this person's in the same way.
    pub fn start(&self, program: &str, args: &[&str]) -> Started {
        let number = self.runs.fetch_add(1, Ordering::SeqCst);
        let file = |kind: &str| self.dir.join("runs").join(format!("{number}.{kind}"));
        let (out, err) = (file("out"), file("err"));
        let words: Vec<_> = [program].iter().chain(args).map(|word| quote(word)).collect();
        // As at a terminal of a person's: whoever runs the tests in the background has them ignore Ctrl-C, which is inherited.
        let line = format!(
            "exec env --default-signal=INT,QUIT {} >{} 2>{}",
            words.join(" "),
            quote_path(&out),
            quote_path(&err)
        );
        let mut command = self.command("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("script starts");
        Started {
            line,
            child,
            out,
            err,
        }
    }
}

/// A program that is running at a terminal.
pub struct Started {
    line: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Started {
    /// Presses keys at its terminal; `\x03` is Ctrl-C.
    pub fn press(&mut self, keys: &str) {
        let keyboard = self.child.stdin.as_mut().expect("nobody waits for it yet");
        let pressed = keyboard
            .write_all(keys.as_bytes())
            .and_then(|()| keyboard.flush());
        pressed.expect("the terminal is there while the program is");
    }

    /// What it has printed on standard error so far.
    pub fn said(&self) -> String {
        read(&self.err)
    }

    /// How it ended, if it has: as a shell would say it, so 130 for Ctrl-C.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for it, with nobody at the keyboard any more.
    pub fn finish(mut self, machine: &Machine) -> Run {
        let ok = self.child.wait().expect("a child can be waited for").success();
        machine.note(
            &self.line,
            Run {
                ok,
                stdout: read(&self.out),
                stderr: read(&self.err),
            },
        )
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
