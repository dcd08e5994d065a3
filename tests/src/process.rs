//! Child processes that never outlive the test, and waiting for a condition with a deadline.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Runs "$@" until it ends or standard input does, whichever is first. Standard input is a pipe that the test holds, so
/// the kernel closes it however the test ends: a static world is never dropped, and a killed test drops nothing.
/// `$0` is the signal that asks the program to go; one that was stopped hears it only when it goes on.
/// Who holds the leash ignores what is sent to the whole group, as `timeout` does, or a program that is slow to end would stay.
const LEASH: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- & child=$!
( trap '' HUP INT TERM; cat <&3 >/dev/null; kill -s "$0" "$child"; kill -s CONT "$child" ) 2>/dev/null >/dev/null &
wait "$child"
"#;

/// How a program is asked to end.
#[derive(Clone, Copy, Debug)]
pub enum Farewell {
    /// SIGTERM: it may clean up.
    Term,
    /// SIGKILL: nothing it holds is worth a second.
    Kill,
}

/// A running program that ends with this value, or with the test process.
#[derive(Debug)]
pub struct Leashed {
    name: String,
    child: Child,
}

impl Leashed {
    /// Starts `program` with its output appended to `log`; standard output goes to `stdout` instead where given.
    pub fn spawn(
        name: &str,
        program: &Command,
        log: &Path,
        stdout: Option<Stdio>,
        farewell: Farewell,
    ) -> Self {
        let signal = match farewell {
            Farewell::Term => "TERM",
            Farewell::Kill => "KILL",
        };
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", LEASH, signal])
            .arg(program.get_program())
            .args(program.get_args());
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(dir) = program.get_current_dir() {
            command.current_dir(dir);
        }
        let log_file = append(log);
        let stdout = stdout.unwrap_or_else(|| {
            log_file
                .try_clone()
                .expect("a file handle can be duplicated")
                .into()
        });
        let child = command
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(log_file)
            // Ctrl-C at a terminal is for whoever started this, who ends its programs in their order.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name: name.to_owned(),
            child,
        }
    }

    /// Its standard output, where it was started with a pipe for it; once.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Sends a signal to the program: `STOP` makes it silent, with its connections open.
    pub fn signal(&self, signal: &str) {
        let leash = self.child.id();
        let program = std::fs::read_to_string(format!("/proc/{leash}/task/{leash}/children"));
        let program = program.unwrap_or_default();
        let program = program.split_ascii_whitespace().next();
        let mut kill = Command::new("kill");
        kill.args(["-s", signal, program.expect("the program runs")]);
        assert!(kill.status().expect("kill runs").success(), "{} ended", self.name);
    }

    /// What its threads wait for in the kernel, for the log of a program that does not get ready.
    pub fn wait_channels(&self) -> String {
        let read = |path: String| std::fs::read_to_string(path).unwrap_or_default();
        let leash = self.child.id();
        let mut text = String::new();
        for program in read(format!("/proc/{leash}/task/{leash}/children")).split_ascii_whitespace() {
            let threads = std::fs::read_dir(format!("/proc/{program}/task"))
                .into_iter()
                .flatten()
                .flatten();
            for thread in threads {
                let of = |name: &str| read(thread.path().join(name).display().to_string());
                text.push_str(&format!(
                    "{} {} {}\n",
                    of("comm").trim(),
                    of("wchan"),
                    of("syscall").trim()
                ));
            }
        }
        text
    }

    /// Asks it to end and waits for it.
    pub fn end(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        let name = self.name.clone();
        until(&format!("{name} ends"), Duration::from_secs(20), || self.ended())
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            nap();
        }
    }
}

/// Opens `path` for appending, and makes it where it does not exist.
pub fn append(path: &Path) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()))
}

/// Polls `probe` until it yields a value; the test fails with `what` when `within` has passed.
pub fn until<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < within, "waited {within:?} in vain until {what}");
        nap();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two looks at a condition that has a deadline"
)]
pub(crate) fn nap() {
    std::thread::sleep(Duration::from_millis(15));
}

/// Writes `text` to `path`, readable by the owner alone, so that a reader sees the old text or the new one, never half.
pub fn write_atomically(path: &Path, text: &str) {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary).expect("the scratch directory is writable");
    file.write_all(text.as_bytes())
        .expect("the scratch directory has room");
    drop(file);
    std::fs::rename(&temporary, path).expect("a file can be renamed within its directory");
}
