//! What a person has on the desktop: a keyring and a browser.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::idp::Provider;
use crate::parts::{asset, node_modules, variable};
use crate::process::{Farewell, Leashed, append, write_atomically};

/// Which browser a person uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Browser {
    /// The unattended one: forms and redirects over HTTP, a quarter of a second for a login.
    Fast,
    /// Debian's Chromium, headless.
    Chromium,
    /// The unattended one, of a person who refuses consent.
    Denying,
    /// A page opens and nobody does anything; [`super::Machine::finish_login`] is the person who comes back to it.
    Idle,
}

/// What a person has for a desktop keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyring {
    /// gnome-keyring, unlocked as by a login to the desktop. [`super::Machine`] can lock and stop it.
    Unlocked,
    /// gnome-keyring of somebody who never set it up.
    NoCollection,
    /// A bus that lets nobody speak to the keyring.
    Denied,
    /// A bus and no keyring.
    NoService,
    /// Not even a bus.
    NoBus,
}

/// The file with the account that is typed into login pages.
pub(super) const BROWSER_USER: &str = "browser.user";
/// The file with the authorities that the browser trusts.
pub(super) const BROWSER_CAS: &str = "browser.ca";

/// A running desktop keyring.
pub(super) struct Desktop {
    pub(super) environment: BTreeMap<String, String>,
    pid_file: PathBuf,
    _process: Leashed,
}

impl Desktop {
    /// Starts a private D-Bus and a keyring in the given state.
    pub(super) fn start(dir: &Path, keyring: Keyring) -> Self {
        let mode = match keyring {
            Keyring::Unlocked => "--unlocked",
            Keyring::NoCollection => "--no-login",
            Keyring::Denied => "--denied",
            Keyring::NoService => "--no-service",
            Keyring::NoBus => "--no-bus",
        };
        // The program under the keyring prints the environment and stays until its leash is cut.
        let mut command = Command::new("bash");
        command.arg(asset("keyring/headless-keyring.sh")).args([
            mode,
            "--",
            "sh",
            "-c",
            "env; echo; exec sleep infinity",
        ]);
        let log = dir.join("keyring.log");
        let mut process = Leashed::spawn(
            "the keyring",
            &command,
            &log,
            Some(Stdio::piped()),
            Farewell::Term,
        );
        let stdout = process.take_stdout().expect("it was started with a pipe");
        let lines = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty());
        let mut said: BTreeMap<_, _> = lines
            .filter_map(|line| {
                line.split_once('=')
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
            })
            .collect();
        let pid_file = said.remove("KEYRING_PID_FILE");
        let bus = (keyring != Keyring::NoBus).then_some("DBUS_SESSION_BUS_ADDRESS");
        let environment: BTreeMap<_, _> = ["XDG_RUNTIME_DIR", "XDG_DATA_HOME"]
            .into_iter()
            .chain(bus)
            .filter_map(|name| Some((name.to_owned(), said.remove(name)?)))
            .collect();
        assert!(
            pid_file.is_some() && environment.len() == 2 + bus.iter().len(),
            "the keyring did not start: see {}",
            log.display()
        );
        Self {
            environment,
            pid_file: pid_file.expect("it was just looked at").into(),
            _process: process,
        }
    }

    /// Sends a signal to gnome-keyring. The script starts one that ends again, unlocked.
    pub(super) fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(&self.pid_file).expect("this keyring runs a daemon");
        let mut kill = Command::new("kill");
        kill.args(["-s", signal, pid.trim()]);
        assert!(kill.status().expect("kill runs").success());
    }
}

/// Writes `bin/browser`, which notes each URL, and `bin/person`, who opens it in the chosen browser and logs in.
pub(super) fn write_browser(dir: &Path, user: &str, idp: &Provider, browser: Browser) {
    let path = variable("PATH").unwrap_or_default();
    let open = match browser {
        Browser::Fast => format!("python3 {}", quote_path(&asset("idp/browser-http.py"))),
        Browser::Chromium => format!("node {}", quote_path(&asset("idp/browser-chromium.mjs"))),
        Browser::Denying => format!("python3 {} --deny", quote_path(&asset("idp/browser-http.py"))),
        Browser::Idle => format!("python3 {}", quote_path(&asset("idp/browser-http.py"))),
    };
    let person = format!(
        "#!/bin/sh\nPATH={path} IDP_USER=$(cat {user}) IDP_CA={ca} IDP_SPKI={pin} IDP_MODULES={modules} \\\n  exec {open} \"$@\" >> {out} 2>&1\n",
        path = quote(&path.to_string_lossy()),
        user = quote_path(&dir.join(BROWSER_USER)),
        ca = quote_path(&dir.join(BROWSER_CAS)),
        pin = quote_path(&idp.pin_file),
        modules = quote_path(&node_modules()),
        out = quote_path(&dir.join("browser.out")),
    );
    write_atomically(&dir.join(BROWSER_USER), user);
    write_atomically(&dir.join(BROWSER_CAS), &idp.ca);
    write_script(dir, "person", &person);
    let then = match browser {
        Browser::Idle => String::new(),
        _ => format!("exec {} \"$@\"\n", quote_path(&dir.join("bin/person"))),
    };
    write_noting_browser(dir, &then);
}

/// Writes `bin/browser` for somebody who has nowhere to log in: it notes each URL and opens none.
pub(super) fn write_blind_browser(dir: &Path) {
    write_noting_browser(dir, "");
}

fn write_noting_browser(dir: &Path, then: &str) {
    let log = dir.join("browser.log");
    let browser = format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >> {}\n{then}", quote_path(&log));
    write_script(dir, "browser", &browser);
    drop(append(&log));
}

fn write_script(dir: &Path, name: &str, script: &str) {
    let path = dir.join("bin").join(name);
    fs::write(&path, script).expect("the scratch directory is writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
}

/// One word for a POSIX shell.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

pub(super) fn quote_path(path: &Path) -> String {
    quote(&path.display().to_string())
}
