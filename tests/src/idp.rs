//! Real OpenID Providers: [`Idp`] is `tests/idp/idp.mjs`, the certified oidc-provider package, and misbehaves on demand;
//! [`NanoIdp`] is `tests/idp/second-idp.py`, a second one of other habits.

mod nano;

use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::http::Http;
use crate::parts::{asset, node_modules, program};
use crate::pki::Authority;
use crate::process::{Farewell, Leashed, append};

pub use nano::NanoIdp;

/// Gatepass's own client at the provider.
pub const CLIENT_ID: &str = "gatepass";
/// What the client asks for; the provider gives groups and a refresh token only with these.
pub const SCOPES: [&str; 4] = ["openid", "offline_access", "profile", "groups"];

/// What others need to know of a running provider, whichever program it is.
pub struct Provider {
    /// Its issuer identifier.
    pub issuer: String,
    /// The authority of its serving certificate: PEM, and the file that holds it.
    pub ca: String,
    /// The file that holds `ca`.
    pub ca_file: PathBuf,
    /// The file with the pin by which Chromium trusts the serving certificate.
    pub pin_file: PathBuf,
}

/// A running oidc-provider, with its control API.
pub struct Idp {
    provider: Provider,
    control: String,
    http: Http,
    process: Leashed,
}

impl Deref for Idp {
    type Target = Provider;

    fn deref(&self) -> &Provider {
        &self.provider
    }
}

impl Provider {
    /// Makes a serving certificate in `dir` and starts `command` there, which prints a ready line. Gives that line, too.
    fn start(dir: &Path, command: &Command) -> (Self, Leashed, Value) {
        std::fs::create_dir_all(dir).expect("the scratch directory is writable");
        let authority = Authority::new("test identity provider");
        let identity = authority.server();
        identity.write(dir, "tls");
        let (ca_file, pin_file) = (dir.join("ca.crt"), dir.join("tls.spki"));
        std::fs::write(&ca_file, authority.pem()).expect("the scratch directory is writable");
        std::fs::write(&pin_file, &identity.pin).expect("the scratch directory is writable");
        // One start in a thousand stands still for ever, and a busy machine makes others slow: a few tries, each more patient.
        let (process, ready) = [10, 20, 40, 80]
            .into_iter()
            .find_map(|seconds| start(command, &dir.join("idp.log"), Duration::from_secs(seconds)))
            .unwrap_or_else(|| {
                panic!(
                    "the identity provider is not ready: see idp.log in {}",
                    dir.display()
                )
            });
        let provider = Self {
            issuer: text(&ready, "issuer"),
            ca: authority.pem(),
            ca_file,
            pin_file,
        };
        (provider, process, ready)
    }
}

fn text(ready: &Value, key: &str) -> String {
    ready[key]
        .as_str()
        .expect("a string in the ready line")
        .to_owned()
}

impl Idp {
    /// Starts one in `dir`.
    pub fn start(dir: &Path) -> Self {
        Self::start_at(dir, None)
    }

    /// Starts one that believes `clock`.
    pub fn start_at(dir: &Path, clock: Option<&Clock>) -> Self {
        let mut node = Command::new(program("node").expect("node is installed"));
        // Without V8's helper threads: in one of a hundred starts on a busy machine node waited for one of them for ever.
        node.arg("--single-threaded")
            .arg(asset("idp/idp.mjs"))
            .env("UV_THREADPOOL_SIZE", "1")
            .env("IDP_MODULES", node_modules())
            .env("IDP_PKI", dir);
        if let Some(clock) = clock {
            clock.show_to(&mut node);
        }
        let (provider, process, ready) = Provider::start(dir, &node);
        Self {
            provider,
            control: text(&ready, "control"),
            http: Http::plain(),
            process,
        }
    }

    fn op(&self, op: &str, body: &Value) -> Value {
        self.http.call(&format!("{}/{op}", self.control), body)
    }

    /// What it has answered so far.
    pub fn stats(&self) -> IdpStats {
        IdpStats(self.op("stats", &json!({})))
    }

    /// Changes how it behaves: lifetimes, failures, latency, tampering; see `ctl` in idp.mjs.
    pub fn set(&self, changes: &Value) {
        self.op("set", changes);
    }

    /// Changes or adds an account: `groups`, `username`, `password`, `emailVerified`.
    pub fn user(&self, sub: &str, changes: &Value) {
        let mut body = changes.clone();
        body["sub"] = json!(sub);
        self.op("user", &body);
    }

    /// New signing keys; the old ones leave at once, or stay published beside them.
    pub fn rotate_keys(&self, keep_old: bool) {
        self.op(
            "rotate",
            &json!({"mode": if keep_old { "overlap" } else { "hard" }}),
        );
    }

    /// Stops it as it stands (SIGSTOP): connections are still accepted, by the kernel, and nothing answers.
    pub fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.signal("CONT");
    }

    /// Ends every grant of an account: its refresh tokens are dead.
    pub fn revoke(&self, sub: &str) {
        self.op("revoke", &json!({"sub": sub}));
    }

    /// Sends a back-channel logout token for the account to the configured receiver.
    pub fn back_channel_logout(&self, sub: &str, client_id: &str) {
        self.op("logout", &json!({"sub": sub, "client_id": client_id}));
    }

    /// The bodies of back-channel logouts that were sent so far, where `backchannelCa` is set.
    pub fn back_channel_logouts(&self) -> Vec<String> {
        let IdpStats(stats) = self.stats();
        let log = stats["log"].as_array().expect("a list");
        log.iter()
            .filter_map(|entry| Some(entry["backchannel"]["form"].as_str()?.to_owned()))
            .collect()
    }

    /// Signs a copy of `token` with other claims by the provider's own key; see `forge` in idp.mjs.
    pub fn forge(&self, token: &str, change: &Value) -> String {
        let answer = self.op("forge", &json!({"token": token, "change": change}));
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// Every token, code and verifier it has seen or issued.
    pub fn secrets(&self) -> Vec<String> {
        let answer = self.op("secrets", &json!({}));
        let values = answer["secrets"].as_array().expect("a list");
        values
            .iter()
            .map(|value| value.as_str().expect("text").to_owned())
            .collect()
    }
}

/// Starts the provider and reads its ready line; `None`, and why in the log, where that does not come.
fn start(node: &Command, log: &Path, patience: Duration) -> Option<(Leashed, Value)> {
    let mut process = Leashed::spawn(
        "the identity provider",
        node,
        log,
        Some(Stdio::piped()),
        Farewell::Kill,
    );
    let stdout = process.take_stdout().expect("it was started with a pipe");
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // A provider that prints nothing more keeps this thread waiting until it ends.
        let mut stdout = BufReader::new(stdout);
        while stdout.read_line(&mut line).is_ok_and(|read| read > 0) {
            if send.send(std::mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    match receive.recv_timeout(patience) {
        Ok(line) => Some((
            process,
            serde_json::from_str(&line).expect("a ready line in JSON"),
        )),
        Err(error) => {
            let why = format!(
                "not ready: {error}; its threads wait in:\n{}",
                process.wait_channels()
            );
            append(log)
                .write_all(why.as_bytes())
                .expect("the log can be written");
            None
        }
    }
}

/// Counters of the provider at one moment.
#[derive(Clone, Debug)]
pub struct IdpStats(Value);

impl IdpStats {
    /// All connections ever opened to it.
    pub fn connections(&self) -> u64 {
        self.0["connections"].as_u64().expect("a number")
    }

    /// Requests to one path, or one of the counters that idp.mjs keeps beside them.
    pub fn requests(&self, path: &str) -> u64 {
        self.0["counts"][path].as_u64().unwrap_or(0)
    }

    /// Times a person signed in.
    pub fn logins(&self) -> u64 {
        self.requests("login")
    }

    /// Refresh tokens that were presented.
    pub fn refreshes(&self) -> u64 {
        self.requests("grant refresh_token")
    }
}
