//! `make playground`, with the binaries of this build: what it prints leads through a session, and Ctrl-C ends all of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use e2e::idp::Idp;
use e2e::machine::{Machine, Run};
use e2e::parts::{Part, asset, present, variable};
use e2e::process::until;
use e2e::world::Site;

// The playground's own site is called `playground`.
static SITE: Site = Site::new("playground_test");

const PROGRAMS: [&str; 4] = ["etcd", "kube-apiserver", "node", "gatepass-issuer"];

/// A playground at a terminal of its own.
struct Playground {
    script: Child,
    lines: Receiver<String>,
    shown: Vec<String>,
}

impl Playground {
    /// Starts it in `machine`'s session, where its person's keyring is.
    fn start(machine: &Machine) -> Self {
        let mut command = machine.command("script");
        let line = format!("exec {}", env!("CARGO_BIN_EXE_playground"));
        command
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("PATH", variable("PATH").expect("a PATH"));
        if let Some(assets) = variable("KUBEBUILDER_ASSETS") {
            command.env("KUBEBUILDER_ASSETS", assets);
        }
        let mut script = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script runs");
        let stdout = BufReader::new(script.stdout.take().expect("a pipe"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line.trim_end().to_owned()).is_err() {
                    break;
                }
            }
        });
        Self {
            script,
            lines,
            shown: Vec::new(),
        }
    }

    /// Reads on until a line begins so.
    fn read_until(&mut self, beginning: &str) {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(120));
            let line = line.unwrap_or_else(|_| panic!("no `{beginning}` in {:#?}", self.shown));
            let found = line.starts_with(beginning);
            self.shown.push(line);
            if found {
                return;
            }
        }
    }

    /// What a person is told to type.
    fn commands(&self) -> Vec<String> {
        let ready = self.shown.iter().position(|line| line.starts_with("Ready."));
        let after = &self.shown[ready.expect("it is ready")..];
        after
            .iter()
            .filter_map(|line| line.strip_prefix("   $ "))
            .map(str::to_owned)
            .collect()
    }

    /// Programs that it has started, by themselves or through others: id, start time and name.
    fn programs(&self) -> BTreeMap<(u32, String), String> {
        let mut found = BTreeMap::new();
        let mut parents = vec![self.script.id()];
        let all = processes();
        while let Some(parent) = parents.pop() {
            for process in all.iter().filter(|process| process.parent == parent) {
                parents.push(process.id);
                found.insert((process.id, process.started.clone()), process.name.clone());
            }
        }
        found
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        // A test that fails before Ctrl-C leaves nothing behind either: the terminal goes, and with it the playground.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

struct Process {
    id: u32,
    parent: u32,
    started: String,
    name: String,
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("Linux has /proc").flatten();
    entries
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name stands in parentheses and may hold blanks.
            let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
            let fields: Vec<_> = fields.split_ascii_whitespace().collect();
            Some(Process {
                id,
                parent: fields.get(1)?.parse().ok()?,
                started: (*fields.get(19)?).to_owned(),
                name: name.to_owned(),
            })
        })
        .collect()
}

/// What a person types in another terminal, one shell after the other.
fn type_in(machine: &Machine, lines: &[String], display: Option<&str>) -> Run {
    let mut command = machine.command("sh");
    command.args(["-exc", &lines.join("\n")]);
    if let Some(display) = display {
        command.env("DISPLAY", display);
    }
    machine.run(&mut command)
}

/// A Chromium of which only the command line is real: the page is filled in with what the playground printed.
fn write_chromium(machine: &Machine, user: &str, password: &str, ca: &str) -> PathBuf {
    let (path, log) = (machine.dir.join("bin/chromium"), machine.dir.join("chromium.log"));
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >'{}'\nfor url; do :; done\nexec python3 '{}' --user {user} --password {password} --ca '{ca}' \"$url\"\n",
        log.display(),
        asset("idp/browser-http.py").display(),
    );
    fs::write(&path, script).expect("the scratch directory is writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
    log
}

#[test]
fn what_the_playground_prints_works_and_ctrl_c_ends_all_of_it() {
    if !present(&[Part::ControlPlane, Part::IdentityProvider, Part::Keyring]) {
        return;
    }
    let dir = SITE.dir("person");
    // Only for the person's keyring and session; the playground brings an identity provider of its own.
    let machine = Machine::new(&dir.join("desktop"), "alice", &Idp::start(&dir.join("idp")));
    let mut playground = Playground::start(&machine);
    playground.read_until("Ctrl-C here ends all of it.");
    let all = playground.shown.join("\n");
    let accounts = all.split("knows user ").nth(1).expect("an account");
    let words: Vec<_> = accounts.split([' ', ',', '.']).collect();
    let (user, password) = (words[0], words[3]);

    let typed = playground.commands();
    let settings = all
        .split_ascii_whitespace()
        .find(|word| word.ends_with("config.yaml"));
    let settings = fs::read_to_string(settings.expect("it names its settings")).expect("they are there");
    let ca = settings
        .split("certificateAuthority: \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let log = write_chromium(&machine, user, password, ca.expect("the provider's authority"));
    let run = type_in(&machine, &typed, Some(":7")).expect_ok();
    let named = run.stdout.lines().find_map(|line| line.strip_prefix("Username "));
    assert_eq!(named.map(str::trim), Some(user), "{}", run.stdout);
    assert!(
        run.stderr.contains("No resources found in default namespace."),
        "{}",
        run.stderr
    );
    let arguments = fs::read_to_string(log).expect("Chromium was started");
    assert!(
        arguments.contains("--ignore-certificate-errors-spki-list="),
        "{arguments}"
    );

    // Again, without a display and without the last line, which logs out.
    type_in(&machine, &typed[..typed.len() - 1], None).expect_ok();
    assert!(!machine.keyring_secrets().is_empty(), "a session in the keyring");

    let programs = playground.programs();
    for name in PROGRAMS {
        assert!(
            programs.values().any(|program| program.starts_with(name)),
            "{name} runs: {programs:?}"
        );
    }
    let terminal = playground.script.stdin.as_mut().expect("a pipe");
    terminal.write_all(b"\x03").expect("the terminal takes a key");
    let status = until("the playground ends", Duration::from_secs(60), || {
        playground.script.try_wait().expect("a child can be waited for")
    });
    playground.read_until("Nothing is left running.");
    assert!(status.success(), "{status}: {:#?}", playground.shown);
    let left = || -> Vec<_> {
        processes()
            .into_iter()
            .filter_map(|process| programs.get(&(process.id, process.started)))
            .collect()
    };
    let parts: Vec<_> = left()
        .into_iter()
        .filter(|name| PROGRAMS.iter().any(|part| name.starts_with(part)))
        .collect();
    assert!(parts.is_empty(), "still running: {parts:?}");
    // The shells that held the parts on a leash may need a moment more.
    until("everything has ended", Duration::from_secs(10), || {
        left().is_empty().then_some(())
    });
    assert!(machine.keyring_secrets().is_empty(), "the session is forgotten");
}
