//! A person's machine: home, keyring, browser, kubeconfig and the plugin, apart from every other.

mod desktop;
mod terminal;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::cluster::{Cluster, base64};
use crate::idp::Provider;
use crate::issuer::Issuer;
use crate::parts::{binary, control_plane, program};
use crate::process::write_atomically;

use desktop::{BROWSER_CAS, BROWSER_USER, Desktop, write_blind_browser, write_browser};
pub use desktop::{Browser, Keyring};
pub use terminal::Started;

/// One person at one machine. Its keyring ends with this value.
pub struct Machine {
    /// Where everything of this person lies.
    pub dir: PathBuf,
    environment: BTreeMap<String, String>,
    runs: AtomicUsize,
    transcript: Mutex<Vec<(String, Run)>>,
    desktop: Option<Desktop>,
}

/// What a command printed.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whether it succeeded.
    pub ok: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A context of a kubeconfig.
pub struct Context<'a> {
    /// Its name, also the cluster's.
    pub name: &'a str,
    /// The API server.
    pub cluster: &'a Cluster,
    /// The issuer that the cluster's extension names.
    pub issuer: &'a Issuer,
}

impl Machine {
    /// A machine in `dir` whose person logs in as `user` at `idp`.
    pub fn new(dir: &Path, user: &str, idp: &Provider) -> Self {
        Self::with(dir, user, idp, Browser::Fast, None)
    }

    /// The same with another browser, and a clock of its own.
    pub fn with(dir: &Path, user: &str, idp: &Provider, browser: Browser, clock: Option<&Clock>) -> Self {
        Self::with_keyring(dir, user, idp, browser, clock, Keyring::Unlocked)
    }

    /// The same with a keyring in another state.
    pub fn with_keyring(
        dir: &Path,
        user: &str,
        idp: &Provider,
        browser: Browser,
        clock: Option<&Clock>,
        keyring: Keyring,
    ) -> Self {
        fs::create_dir_all(dir).expect("the scratch directory is writable");
        let desktop = Desktop::start(dir, keyring);
        Self::around(dir, Some((user, idp, browser)), clock, Some(desktop))
    }

    /// A machine without a desktop, whose person keeps secrets in files: light enough to have fifty of them. (The kernel
    /// gives a user who is not root room for a few credentials only.)
    pub fn without_desktop(dir: &Path, user: &str, idp: &Provider, clock: Option<&Clock>) -> Self {
        let machine = Self::around(dir, Some((user, idp, Browser::Fast)), clock, None);
        machine.configure(|config| config["store"] = "file".into());
        machine
    }

    /// A machine whose person has no identity provider, and a browser that opens nothing; without a desktop's keyring secrets
    /// are kept in files.
    pub fn without_idp(dir: &Path, clock: Option<&Clock>, keyring: Option<Keyring>) -> Self {
        fs::create_dir_all(dir).expect("the scratch directory is writable");
        let desktop = keyring.map(|keyring| Desktop::start(dir, keyring));
        let in_files = desktop.is_none();
        let machine = Self::around(dir, None, clock, desktop);
        if in_files {
            machine.configure(|config| config["store"] = "file".into());
        }
        machine
    }

    fn around(
        dir: &Path,
        login: Option<(&str, &Provider, Browser)>,
        clock: Option<&Clock>,
        desktop: Option<Desktop>,
    ) -> Self {
        for part in ["bin", "home", "config/gatepass", "state", "cache", "runs"] {
            fs::create_dir_all(dir.join(part)).expect("the scratch directory is writable");
        }
        let links = [
            ("kubectl", control_plane("kubectl")),
            ("kubectl-gatepass", binary("kubectl-gatepass")),
        ];
        for (name, target) in links {
            std::os::unix::fs::symlink(target, dir.join("bin").join(name))
                .expect("the scratch directory is new");
        }
        let providers = match login {
            Some((user, idp, browser)) => {
                write_browser(dir, user, idp, browser);
                vec![json!({"issuer": idp.issuer, "certificateAuthority": idp.ca_file})]
            }
            None => {
                write_blind_browser(dir);
                Vec::new()
            }
        };
        let mut environment = desktop
            .as_ref()
            .map(|desktop| desktop.environment.clone())
            .unwrap_or_default();
        let at = |name: &str| dir.join(name).display().to_string();
        environment.extend([
            ("PATH".into(), format!("{}:/usr/bin:/bin", at("bin"))),
            ("HOME".into(), at("home")),
            ("XDG_CONFIG_HOME".into(), at("config")),
            ("XDG_STATE_HOME".into(), at("state")),
            ("XDG_CACHE_HOME".into(), at("cache")),
            ("KUBECONFIG".into(), at("kubeconfig")),
        ]);
        if let Some(clock) = clock {
            environment.extend(clock.variables().map(|(name, value)| (name.into(), value)));
        }
        let machine = Self {
            dir: dir.to_owned(),
            environment,
            runs: AtomicUsize::new(0),
            transcript: Mutex::new(Vec::new()),
            desktop,
        };
        machine.configure(|config| {
            *config = json!({
                // Tests may run as root, for whom the kernel keyring is used only where this says so.
                "kernelKeyring": true,
                "browserCommand": [at("bin/browser")],
                "identityProviders": providers,
                "log": "trace",
            });
        });
        machine
    }

    /// Changes the plugin's configuration file.
    pub fn configure(&self, change: impl FnOnce(&mut Value)) {
        let path = self.dir.join("config/gatepass/config.yaml");
        let text = fs::read_to_string(&path).unwrap_or_else(|_| "null".into());
        let mut config = serde_json::from_str(&text).expect("this function wrote it");
        change(&mut config);
        // JSON is YAML.
        write_atomically(&path, &format!("{config:#}"));
    }

    /// Accepts an issuer as a person would who writes the configuration file.
    pub fn accept(&self, issuer: &Issuer) {
        self.configure(|config| {
            let mut accepted = config["issuers"].as_array().cloned().unwrap_or_default();
            accepted.push(json!({"url": issuer.url, "certificateAuthority": issuer.serving_ca_file()}));
            config["issuers"] = json!(accepted);
        });
    }

    /// Lets this person log in at one more identity provider.
    pub fn knows(&self, idp: &Provider) {
        self.configure(|config| {
            let known = config["identityProviders"].as_array_mut().expect("a list");
            known.push(json!({"issuer": idp.issuer, "certificateAuthority": idp.ca_file}));
        });
        let file = self.dir.join(BROWSER_CAS);
        let bundle = fs::read_to_string(&file).expect("the browser has one") + &idp.ca;
        write_atomically(&file, &bundle);
    }

    /// Which account this person logs in with from now on.
    pub fn log_in_as(&self, user: &str) {
        write_atomically(&self.dir.join(BROWSER_USER), user);
    }

    /// The exec stanza that every test and the demo use: one user entry for every cluster.
    pub fn exec_stanza() -> Value {
        json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "kubectl-gatepass",
            "args": ["get-credential"],
            "interactiveMode": "IfAvailable",
            "provideClusterInfo": true,
        })
    }

    /// Writes the kubeconfig; the first context is the current one.
    pub fn kubeconfig(&self, contexts: &[Context<'_>]) {
        let clusters = contexts
            .iter()
            .map(|at| at.cluster.entry(at.name, &at.issuer.url, &at.issuer.serving_ca));
        self.write_kubeconfig(&kubeconfig(clusters.collect()));
    }

    /// Writes any kubeconfig.
    pub fn write_kubeconfig(&self, kubeconfig: &Value) {
        write_atomically(&self.dir.join("kubeconfig"), &format!("{kubeconfig:#}"));
    }

    /// Reads the kubeconfig back.
    pub fn read_kubeconfig(&self) -> Value {
        let text = fs::read_to_string(self.dir.join("kubeconfig")).expect("a kubeconfig was written");
        serde_json::from_str(&text).expect("this harness writes kubeconfigs as JSON")
    }

    /// A command of this person's, with this person's environment and nothing of the test's own.
    pub fn command(&self, name: &str) -> Command {
        // Rust looks a bare name up in the parent's PATH where the child's was cleared first.
        let mut command = Command::new(self.which(name));
        command
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.dir.join("home"))
            .stdin(Stdio::null());
        command
    }

    fn which(&self, name: &str) -> PathBuf {
        let own = self.dir.join("bin").join(name);
        if own.exists() {
            own
        } else {
            program(name).unwrap_or_else(|| panic!("{name} is not installed"))
        }
    }

    /// Runs kubectl as a person at a terminal does.
    pub fn kubectl(&self, args: &[&str]) -> Run {
        self.start_kubectl(args).finish(self)
    }

    /// Who the API server says this person is: `userInfo` of `kubectl auth whoami`.
    pub fn whoami(&self) -> Value {
        let run = self.kubectl(&["auth", "whoami", "-o", "json"]).expect_ok();
        run.json()["status"]["userInfo"].clone()
    }

    /// Runs kubectl as a program does that has no terminal.
    pub fn kubectl_without_terminal(&self, args: &[&str]) -> Run {
        self.run(self.command("kubectl").args(args))
    }

    /// Runs the plugin as a typed command.
    pub fn gatepass(&self, args: &[&str]) -> Run {
        self.run(self.command("kubectl-gatepass").args(args))
    }

    /// Runs `get-credential` as kubectl would, with a person at the terminal, and gives what it printed.
    pub fn get_credential(&self, issuer: &Issuer) -> Run {
        self.run(&mut self.get_credential_command(issuer))
    }

    /// The same where nobody can be asked.
    pub fn get_credential_unattended(&self, issuer: &Issuer) -> Run {
        let mut command = self.get_credential_command(issuer);
        let info = command
            .get_envs()
            .find(|(name, _)| *name == "KUBERNETES_EXEC_INFO")
            .and_then(|(_, value)| value?.to_str())
            .expect("it was just set")
            .replace(r#""interactive":true"#, r#""interactive":false"#);
        self.run(command.env("KUBERNETES_EXEC_INFO", info))
    }

    /// What the kernel keeps of the credential ends.
    pub fn forget_credential(&self) {
        for (id, _) in self.kernel_keys() {
            self.run(self.command("keyctl").args(["unlink", &id, "@u"]));
        }
    }

    /// The command that kubectl would run.
    pub fn get_credential_command(&self, issuer: &Issuer) -> Command {
        let config = json!({"issuer": issuer.url, "certificateAuthorityData": base64(&issuer.serving_ca)});
        // Each stands for a kubectl of its own: the plugin tells the same process the same thing only once.
        let number = self.runs.fetch_add(1, Ordering::SeqCst);
        let info = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "metadata": {"name": number.to_string()},
            "spec": {"interactive": true, "cluster": {"server": "https://localhost", "config": config}},
        });
        let mut command = self.command("kubectl-gatepass");
        command
            .arg("get-credential")
            .env("KUBERNETES_EXEC_INFO", info.to_string());
        command
    }

    /// Runs a command and writes all it prints into the transcript.
    pub fn run(&self, command: &mut Command) -> Run {
        let output = command_output(command);
        let words: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        let line = format!("{} {}", command.get_program().display(), words.join(" "));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.note(
            &line,
            Run {
                ok: output.status.success(),
                stdout: text(&output.stdout),
                stderr: text(&output.stderr),
            },
        )
    }

    fn note(&self, line: &str, run: Run) -> Run {
        let mut transcript = self.transcript.lock().expect("no test panics while it writes");
        transcript.push((line.to_owned(), run.clone()));
        run
    }

    /// Every command so far with what it printed.
    pub fn transcript(&self) -> Vec<(String, Run)> {
        self.transcript
            .lock()
            .expect("no test panics while it writes")
            .clone()
    }

    /// URLs that the browser was opened with.
    pub fn browsed(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join("browser.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Everything secret that lies in this person's keyring for the plugin, as any program of the same user can read it.
    pub fn keyring_secrets(&self) -> Vec<String> {
        let found = command_output(
            self.command("secret-tool")
                .args(["search", "--all", "--unlock", "service", SERVICE]),
        );
        let text = String::from_utf8_lossy(&found.stdout).into_owned();
        text.lines()
            .filter_map(|line| line.strip_prefix("secret = "))
            .map(str::to_owned)
            .collect()
    }

    /// The sessions in this person's keyring, as the plugin wrote them.
    pub fn kept_sessions(&self) -> Vec<Value> {
        let secrets = self.keyring_secrets().into_iter();
        secrets
            .filter_map(|secret| serde_json::from_str::<Value>(&secret).ok())
            .filter(|kept| kept.get("loginToken").is_some())
            .collect()
    }

    /// Locks the desktop's keyring, as a screen saver may.
    pub fn lock_keyring(&self) {
        let lock = "--session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets \
                    org.freedesktop.Secret.Service.Lock array:objpath:/org/freedesktop/secrets/collection/login";
        let locked = command_output(self.command("dbus-send").args(lock.split_ascii_whitespace()));
        assert!(locked.status.success(), "{locked:?}");
    }

    /// Sends a signal to the desktop's keyring. One that ends is started again, unlocked.
    pub fn signal_keyring(&self, signal: &str) {
        let desktop = self.desktop.as_ref().expect("this machine has a desktop");
        desktop.signal(signal);
    }

    /// Opens `url` as the person of [`Browser::Idle`] who comes back to the browser, and logs in.
    pub fn finish_login(&self, url: &str) {
        self.run(self.command("person").arg(url)).expect_ok();
    }

    /// Directories of the keyring itself.
    pub fn keyring_places(&self) -> Vec<PathBuf> {
        ["XDG_DATA_HOME", "XDG_RUNTIME_DIR"]
            .iter()
            .map(|name| PathBuf::from(&self.environment[*name]))
            .collect()
    }

    /// How many credentials this person's plugin can find in the kernel's user keyring.
    pub fn kernel_credentials(&self) -> usize {
        let linked = command_output(self.command("keyctl").args(["rlist", "@u"]));
        let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
        let linked: Vec<u32> = linked
            .split_ascii_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect();
        // A key that was unlinked stays listed until the kernel collects it.
        let ours = self.kernel_keys().into_iter();
        ours.filter_map(|(id, _)| u32::from_str_radix(id.strip_prefix("0x")?, 16).ok())
            .filter(|id| linked.contains(id))
            .count()
    }

    /// The plugin's entries for this person in the kernel's user keyring: id, and the line of /proc/keys.
    pub fn kernel_keys(&self) -> Vec<(String, String)> {
        let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
        let state = self.dir.join("state").display().to_string();
        keys.lines()
            .filter(|line| line.contains(&format!(" {SERVICE}:")) && line.contains(&state))
            .filter_map(|line| {
                let id = line.split_ascii_whitespace().next()?;
                Some((format!("0x{id}"), line.to_owned()))
            })
            .collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The kernel's keyring belongs to the user who runs the tests, and outlives them.
        for (id, _) in self.kernel_keys() {
            let _ = command_output(self.command("keyctl").args(["unlink", &id, "@u"]));
        }
        let runs = self
            .transcript()
            .into_iter()
            .map(|(line, run)| format!("$ {line}\n{}{}", run.stdout, run.stderr));
        let _ = fs::write(self.dir.join("transcript.txt"), runs.collect::<String>());
    }
}

impl Run {
    /// Fails the test with everything printed unless the command succeeded.
    pub fn expect_ok(self) -> Self {
        assert!(self.ok, "it failed:\n{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}) in {:?}", self.stdout))
    }
}

/// A kubeconfig with one user entry for all these clusters; the first is the current one.
pub fn kubeconfig(clusters: Vec<Value>) -> Value {
    let names = clusters.iter().map(|cluster| &cluster["name"]);
    let contexts: Vec<_> = names
        .map(|name| json!({"name": name, "context": {"cluster": name, "user": "gatepass"}}))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": contexts[0]["name"],
        "clusters": clusters, "contexts": contexts,
        "users": [{"name": "gatepass", "user": {"exec": Machine::exec_stanza()}}],
    })
}

/// The groups of a `userInfo`, without Gatepass's marker.
pub fn groups(user: &Value) -> Vec<&str> {
    let groups = user["groups"]
        .as_array()
        .expect("a list of groups")
        .iter()
        .filter_map(Value::as_str);
    groups.filter(|group| !group.starts_with("gatepass:")).collect()
}

/// The plugin's name in every keyring.
const SERVICE: &str = "gatepass";

fn command_output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not run: {error}"))
}
