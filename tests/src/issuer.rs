//! Our issuer: the real binary, configured by its own `init`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::front::Counter;
use crate::http::{Http, free_port};
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
    process: Leashed,
}

impl Prepared {
    /// Runs `init` for a cluster called `name`, whose users come from `idp`.
    pub fn init(dir: &Path, name: &str, idp: &Provider) -> Self {
        Self::init_at(dir, name, idp, None)
    }

    /// The same with a clock of its own.
    pub fn init_at(dir: &Path, name: &str, idp: &Provider, clock: Option<&Clock>) -> Self {
        let (listen, health) = (free_port(), free_port());
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
        let mut command = Command::new(binary("gatepass-issuer"));
        command
            .args(["serve", "--log", "trace", "--config"])
            .arg(self.config_file());
        if let Some(clock) = clock {
            clock.show_to(&mut command);
        }
        let log = self.dir.join("issuer.log");
        let audit = append(&self.audit_file());
        let mut process = Leashed::spawn(
            "gatepass-issuer",
            &command,
            &log,
            Some(audit.into()),
            Farewell::Term,
        );
        let (http, ready) = (Http::plain(), format!("http://127.0.0.1:{}/readyz", self.health));
        until(
            "the issuer is ready (see issuer.log)",
            Duration::from_secs(30),
            || {
                assert!(
                    process.ended().is_none(),
                    "gatepass-issuer ended: see {}",
                    log.display()
                );
                http.is_ok(&ready).then_some(())
            },
        );
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
            process,
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
        let text = std::fs::read_to_string(self.prepared.audit_file()).expect("the audit file is there");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("an audit record is a line of JSON"))
            .collect()
    }

    /// Certificates it has issued so far, by its audit records.
    pub fn issued(&self) -> usize {
        self.audit()
            .iter()
            .filter(|record| record.get("credentialId").is_some_and(|id| !id.is_null()))
            .count()
    }

    /// Ends it and serves again, at the same URL, with a changed configuration.
    pub fn serve_again(mut self, change: impl FnOnce(&mut Value)) -> Self {
        self.process.end();
        self.prepared.edit(change);
        self.prepared.serve()
    }

    /// Asks it to end and waits for that.
    pub fn stop(mut self) -> std::process::ExitStatus {
        self.process.end()
    }
}
