//! Our issuer: the real binary, configured by its own `init`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::front::Counter;
use crate::http::{Answer, Http, free_port};
use crate::idp::{CLIENT_ID, Provider};
use crate::parts::binary;
use crate::process::{Farewell, Leashed, append, until, write_atomically};

/// What `gatepass-issuer init` has made in a directory, not yet served.
pub struct Prepared {
    /// The directory.
    pub dir: PathBuf,
    /// The command line of `init`.
    pub command: String,
    /// What it printed.
    pub said: String,
    front: Counter,
    listen: u16,
    health: u16,
    webhooks: u16,
}

/// One more process with the configuration and the keys of an issuer, and listeners of its own.
pub struct Replica {
    /// The address it listens on.
    pub upstream: String,
    health: String,
    /// What an API server that asks this replica is started with.
    pub api_server_files: PathBuf,
    serving: Serving,
    audit: PathBuf,
}

/// A `serve` process, ended gracefully with this value.
struct Serving {
    /// Its files, without `.yaml` and `.log`.
    name: PathBuf,
    health: String,
    variables: Vec<(&'static str, String)>,
    process: Leashed,
}

/// A running issuer; ended gracefully with this value.
pub struct Issuer {
    /// The URL in its configuration, on which a counter listens and hands every connection to the issuer.
    pub url: String,
    /// Its cluster's id.
    pub cluster_id: String,
    /// The authority of its serving certificate: PEM.
    pub serving_ca: String,
    /// A client that trusts `serving_ca`.
    pub http: Http,
    prepared: Prepared,
    serving: Serving,
}

impl Prepared {
    /// Runs `init` for a cluster called `name`, whose users come from `idp`.
    pub fn init(dir: &Path, name: &str, idp: &Provider) -> Self {
        Self::init_at(dir, name, idp, None)
    }

    /// The same with a clock of its own.
    pub fn init_at(dir: &Path, name: &str, idp: &Provider, clock: Option<&Clock>) -> Self {
        let (listen, health, webhooks) = (free_port(), free_port(), free_port());
        let front = Counter::start(listen);
        let mut command = Command::new(binary("gatepass-issuer"));
        if let Some(clock) = clock {
            clock.show_to(&mut command);
        }
        let options = [
            ("--cluster", name.to_owned()),
            ("--dir", dir.display().to_string()),
            ("--listen", format!("127.0.0.1:{listen}")),
            ("--health-listen", format!("127.0.0.1:{health}")),
            ("--webhook-listen", format!("127.0.0.1:{webhooks}")),
            ("--url", format!("https://localhost:{}", front.port)),
            ("--idp", idp.issuer.clone()),
            ("--idp-ca", idp.ca_file.display().to_string()),
            ("--client-id", CLIENT_ID.to_owned()),
            ("--username-claim", "preferred_username".to_owned()),
            ("--groups-claim", "groups".to_owned()),
            ("--scope", "profile".to_owned()),
            ("--scope", "groups".to_owned()),
        ];
        command.arg("init");
        let mut line = "gatepass-issuer init".to_owned();
        for (option, value) in options {
            line.push_str(&format!(" {option} {value}"));
            command.args([option, &value]);
        }
        let output = command.output().expect("gatepass-issuer runs");
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "gatepass-issuer init: {said}");
        Self {
            dir: dir.to_owned(),
            command: line,
            said,
            front,
            listen,
            health,
            webhooks,
        }
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("issuer.yaml")
    }

    /// The configuration as values.
    pub fn config(&self) -> Value {
        let text = std::fs::read_to_string(self.config_file()).expect("init wrote a configuration");
        serde_saphyr::from_str(&text).expect("the configuration is YAML")
    }

    /// Changes the configuration.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.config();
        change(&mut config);
        // JSON is YAML.
        write_atomically(&self.config_file(), &format!("{config:#}"));
    }

    /// Keeps revocations as objects of `cluster`.
    pub fn keep_revocations_in(&self, cluster: &Cluster) {
        let kubeconfig = cluster.keep_revocations();
        self.edit(|config| {
            config["revocation"] = json!({"mode": "best-effort", "kubernetes": {"kubeconfig": kubeconfig}});
        });
    }

    /// What an API server that asks this issuer is started with.
    pub fn api_server_files(&self) -> PathBuf {
        self.dir.join("apiserver")
    }

    /// The authority of the client certificates, for the API server's bundle.
    pub fn client_ca(&self) -> String {
        std::fs::read_to_string(self.dir.join("ca.crt")).expect("init wrote ca.crt")
    }

    /// Starts `serve` and waits until it is ready.
    pub fn serve(self) -> Issuer {
        self.serve_at(None)
    }

    /// Starts `serve` with a clock of its own.
    pub fn serve_at(self, clock: Option<&Clock>) -> Issuer {
        let audit = append(&self.audit_file());
        self.serve_into(audit.into(), clock)
    }

    /// Starts `serve` with a standard output, which takes the audit records, of the test's own.
    pub fn serve_into(self, stdout: Stdio, clock: Option<&Clock>) -> Issuer {
        let variables = clock.map(|clock| clock.variables().to_vec()).unwrap_or_default();
        let serving = Serving::start(self.dir.join("issuer"), self.health, variables, stdout);
        let config = self.config();
        let text = |key: &str| {
            config["cluster"][key]
                .as_str()
                .expect("a text in cluster")
                .to_owned()
        };
        let serving_ca =
            std::fs::read_to_string(self.dir.join("serving-ca.crt")).expect("init wrote serving-ca.crt");
        Issuer {
            url: text("url"),
            cluster_id: text("id"),
            http: Http::trusting(&serving_ca),
            serving_ca,
            prepared: self,
            serving,
        }
    }

    /// The address it will really listen on, behind the counter.
    pub fn upstream(&self) -> String {
        format!("https://localhost:{}", self.listen)
    }

    /// The URL it is reached at, through the counter.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.front.port)
    }

    fn audit_file(&self) -> PathBuf {
        self.dir.join("audit.jsonl")
    }
}

impl Serving {
    fn start(name: PathBuf, health: u16, variables: Vec<(&'static str, String)>, stdout: Stdio) -> Self {
        let process = Self::spawn(&name, &variables, stdout);
        let mut serving = Self {
            name,
            health: format!("http://127.0.0.1:{health}/readyz"),
            variables,
            process,
        };
        serving.wait();
        serving
    }

    fn spawn(name: &Path, variables: &[(&'static str, String)], stdout: Stdio) -> Leashed {
        let mut command = Command::new(binary("gatepass-issuer"));
        command
            .args(["serve", "--log", "trace", "--config"])
            .arg(name.with_extension("yaml"))
            .envs(variables.iter().map(|(name, value)| (name, value)));
        let log = name.with_extension("log");
        Leashed::spawn("gatepass-issuer", &command, &log, Some(stdout), Farewell::Term)
    }

    fn wait(&mut self) {
        let http = Http::plain();
        until(
            "the issuer is ready (see its log)",
            Duration::from_secs(30),
            || {
                assert!(
                    self.process.ended().is_none(),
                    "gatepass-issuer ended: see {}.log",
                    self.name.display()
                );
                http.is_ok(&self.health).then_some(())
            },
        );
    }

    /// Ends it gracefully and starts it anew.
    fn restart(&mut self, stdout: Stdio) {
        let status = self.process.end();
        assert!(status.success(), "it ended well: {status}");
        self.process = Self::spawn(&self.name, &self.variables, stdout);
        self.wait();
    }
}

/// Copies the files of a directory, with texts replaced.
fn copy_replacing(from: &Path, to: &Path, changes: &[(String, String)]) {
    std::fs::create_dir_all(to).expect("the scratch directory is writable");
    for entry in std::fs::read_dir(from).expect("init made it") {
        let path = entry.expect("it can be read").path();
        let mut text = std::fs::read_to_string(&path).expect("a text");
        for (old, new) in changes {
            text = text.replace(old, new);
        }
        write_atomically(&to.join(path.file_name().expect("a file")), &text);
    }
}

impl Replica {
    /// Sends it a signal: `STOP` makes it silent until `CONT`.
    pub fn signal(&self, signal: &str) {
        self.serving.process.signal(signal);
    }

    /// What `/readyz` says.
    pub fn readiness(&self) -> Answer {
        let answer = Http::plain().send("GET", &self.health, &[], Vec::new());
        answer.expect("the health listener answers")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.serving.name.with_extension("log")).expect("the log is there")
    }

    /// Ends it gracefully, starts it anew and waits until it is ready.
    pub fn restart(&mut self) {
        self.serving.restart(append(&self.audit).into());
    }

    /// Certificates it has issued so far, by its audit records.
    pub fn issued(&self) -> usize {
        issued(&self.audit)
    }
}

fn records(audit: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(audit).expect("the audit file is there");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("an audit record is a line of JSON"))
        .collect()
}

fn issued(audit: &Path) -> usize {
    let records = records(audit);
    let issued = records.iter().filter(|record| !record["credentialId"].is_null());
    issued.count()
}

impl Issuer {
    /// Makes one more API server trust its client certificates.
    pub fn trusted_by(&self, cluster: &Cluster) {
        cluster.trust(&self.prepared);
    }

    /// The file with the authority of its serving certificate.
    pub fn serving_ca_file(&self) -> PathBuf {
        self.prepared.dir.join("serving-ca.crt")
    }

    /// Connections that were ever opened to it.
    pub fn connections(&self) -> u64 {
        self.prepared.front.connections()
    }

    /// The address it really listens on, behind the counter.
    pub fn upstream(&self) -> String {
        self.prepared.upstream()
    }

    /// The port of that address.
    pub fn upstream_port(&self) -> u16 {
        self.prepared.listen
    }

    /// Its audit records so far.
    pub fn audit(&self) -> Vec<Value> {
        records(&self.prepared.audit_file())
    }

    /// Certificates it has issued so far, by its audit records.
    pub fn issued(&self) -> usize {
        issued(&self.prepared.audit_file())
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.prepared.dir
    }

    /// Changes the configuration file under the running process.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        self.prepared.edit(change);
    }

    /// Asks the running process to reload at once.
    pub fn hang_up(&self) {
        self.serving.process.signal("HUP");
    }

    /// What `/readyz` says.
    pub fn readiness(&self) -> Answer {
        let answer = Http::plain().send("GET", &self.serving.health, &[], Vec::new());
        answer.expect("the health listener answers")
    }

    /// Where it listens for API servers.
    pub fn webhooks_address(&self) -> String {
        format!("localhost:{}", self.prepared.webhooks)
    }

    /// What it tells Prometheus.
    pub fn metrics(&self) -> String {
        let url = self.serving.health.replace("/readyz", "/metrics");
        let answer = Http::plain().send("GET", &url, &[], Vec::new());
        let body = answer.expect("the health listener answers").body;
        String::from_utf8(body).expect("metrics are text")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.prepared.dir.join("issuer.log")).expect("the log is there")
    }

    /// Ends it gracefully and starts it anew at the same address. Other threads may be in the middle of requests.
    pub fn restart(&mut self) {
        let audit = append(&self.prepared.audit_file());
        self.serving.restart(audit.into());
    }

    /// Ends it and leaves its address to nobody.
    pub fn halt(&mut self) {
        self.serving.process.end();
    }

    /// Starts it again after [`Issuer::halt`].
    pub fn resume(&mut self) {
        let audit = append(&self.prepared.audit_file());
        self.serving.process = Serving::spawn(&self.serving.name, &self.serving.variables, audit.into());
        self.serving.wait();
    }

    /// Starts a replica: the same configuration and keys, listeners of its own, behind the same URL.
    pub fn replica(&self, name: &str) -> Replica {
        self.replica_with(name, |_| {})
    }

    /// The same with a configuration that differs.
    pub fn replica_with(&self, name: &str, change: impl FnOnce(&mut Value)) -> Replica {
        let (listen, health, webhooks) = (free_port(), free_port(), free_port());
        let mut config = self.prepared.config();
        config["webhooks"]["address"] = format!("127.0.0.1:{webhooks}").into();
        change(&mut config);
        config["listen"]["address"] = format!("127.0.0.1:{listen}").into();
        config["listen"]["healthAddress"] = format!("127.0.0.1:{health}").into();
        let path = self.prepared.dir.join(name);
        write_atomically(&path.with_extension("yaml"), &format!("{config:#}"));
        let audit = path.with_extension("jsonl");
        let api_server_files = path.with_extension("apiserver");
        copy_replacing(
            &self.prepared.api_server_files(),
            &api_server_files,
            &[
                (
                    format!("127.0.0.1:{}", self.prepared.webhooks),
                    format!("127.0.0.1:{webhooks}"),
                ),
                (
                    self.prepared.api_server_files().display().to_string(),
                    api_server_files.display().to_string(),
                ),
            ],
        );
        let serving = Serving::start(
            path,
            health,
            self.serving.variables.clone(),
            append(&audit).into(),
        );
        self.prepared.front.also(listen);
        let upstream = format!("https://localhost:{listen}");
        Replica {
            upstream,
            health: format!("http://127.0.0.1:{health}/readyz"),
            api_server_files,
            serving,
            audit,
        }
    }

    /// Sends it a signal: `STOP` makes it silent until `CONT`.
    pub fn signal(&self, signal: &str) {
        self.serving.process.signal(signal);
    }

    /// Ends it and serves again, at the same URL, with a changed configuration.
    pub fn serve_again(mut self, change: impl FnOnce(&mut Value)) -> Self {
        self.serving.process.end();
        self.prepared.edit(change);
        self.prepared.serve()
    }

    /// Asks it to end and waits for that.
    pub fn stop(mut self) -> ExitStatus {
        self.serving.process.end()
    }
}
