//! What a person has on the desktop: a keyring and a browser.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
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
}

/// A private D-Bus with an unlocked gnome-keyring; gives the environment that leads there.
pub(super) fn start_keyring(dir: &Path) -> (Leashed, BTreeMap<String, String>) {
    // The program under the keyring prints the environment and stays until its leash is cut.
    let mut command = Command::new("bash");
    command.arg(asset("keyring/headless-keyring.sh")).args([
        "--unlocked",
        "--",
        "sh",
        "-c",
        "env; echo; sleep infinity",
    ]);
    let log = dir.join("keyring.log");
    let mut keyring = Leashed::spawn(
        "the keyring",
        &command,
        &log,
        Some(Stdio::piped()),
        Farewell::Term,
    );
    let stdout = keyring.take_stdout().expect("it was started with a pipe");
    let lines = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    let wanted = ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "XDG_DATA_HOME"];
    let environment: BTreeMap<_, _> = lines
        .filter_map(|line| {
            line.split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        })
        .filter(|(name, _)| wanted.contains(&name.as_str()))
        .collect();
    assert_eq!(
        environment.len(),
        wanted.len(),
        "the keyring did not start: see {}",
        log.display()
    );
    (keyring, environment)
}

/// The file with the account that is typed into login pages.
pub(super) const BROWSER_USER: &str = "browser.user";
/// The file with the authorities that the browser trusts.
pub(super) const BROWSER_CAS: &str = "browser.ca";

/// Writes `bin/browser`, which notes each URL and opens it in the chosen browser.
pub(super) fn write_browser(dir: &Path, user: &str, idp: &Provider, browser: Browser) {
    let path = variable("PATH").unwrap_or_default();
    let open = match browser {
        Browser::Fast => format!("python3 {}", quote_path(&asset("idp/browser-http.py"))),
        Browser::Chromium => format!("node {}", quote_path(&asset("idp/browser-chromium.mjs"))),
        Browser::Denying => format!("python3 {} --deny", quote_path(&asset("idp/browser-http.py"))),
    };
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$*\" >> {log}\nPATH={path} IDP_USER=$(cat {user}) IDP_CA={ca} IDP_SPKI={pin} IDP_MODULES={modules} \\\n  exec {open} \"$@\" >> {out} 2>&1\n",
        log = quote_path(&dir.join("browser.log")),
        path = quote(&path.to_string_lossy()),
        user = quote_path(&dir.join(BROWSER_USER)),
        ca = quote_path(&dir.join(BROWSER_CAS)),
        pin = quote_path(&idp.pin_file),
        modules = quote_path(&node_modules()),
        out = quote_path(&dir.join("browser.out")),
    );
    write_atomically(&dir.join(BROWSER_USER), user);
    write_atomically(&dir.join(BROWSER_CAS), &idp.ca);
    let path = dir.join("bin/browser");
    fs::write(&path, script).expect("the scratch directory is writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
    drop(append(&dir.join("browser.log")));
}

/// One word for a POSIX shell.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

pub(super) fn quote_path(path: &Path) -> String {
    quote(&path.display().to_string())
}
