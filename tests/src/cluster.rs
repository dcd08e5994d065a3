//! A real control plane: etcd and kube-apiserver, without nodes.

mod bundle;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Http, free_port};
use crate::issuer::Prepared;
use crate::parts::{control_plane, root};
use crate::pki::{self, Authority, Identity};
use crate::process::{Farewell, Leashed, until, write_atomically};

/// An API server with its etcd, both ended with this value.
pub struct Cluster {
    dir: PathBuf,
    /// Its URL.
    pub url: String,
    /// The authority of its serving certificate, PEM.
    pub ca: String,
    client_cas: Mutex<String>,
    /// Signs the administrator's certificate, and whatever the cluster's own authority would.
    authority: Authority,
    /// The administrator's certificate.
    pub administrator: Identity,
    etcd_url: String,
    // Dropped in this order: the API server first, so that it does not complain about a lost etcd.
    apiserver: Leashed,
    etcd: Option<Leashed>,
}

impl Cluster {
    /// Starts both in `dir`.
    pub fn start(dir: &Path) -> Self {
        let (etcd, etcd_url) = start_etcd(dir);
        let cas = Authority::new("test administrators");
        Self::start_api_server(dir, Some(etcd), etcd_url, cas, "", None)
    }

    /// The same with an API server that trusts the issuer, asks it who is revoked and reports audit events to it.
    pub fn asking(dir: &Path, issuer: &Prepared) -> Self {
        let (etcd, etcd_url) = start_etcd(dir);
        let cas = Authority::new("test administrators");
        let files = issuer.api_server_files();
        Self::start_api_server(dir, Some(etcd), etcd_url, cas, &issuer.client_ca(), Some(&files))
    }

    /// One more API server of the same cluster, which asks whom `files` name.
    pub fn another_api_server(&self, dir: &Path, files: &Path) -> Self {
        let bundle = self
            .client_cas
            .lock()
            .expect("no thread panics while it holds this")
            .clone();
        let cas = Authority::new("more test administrators");
        Self::start_api_server(dir, None, self.etcd_url.clone(), cas, &bundle, Some(files))
    }

    /// `files` is what `init` makes for API servers.
    fn start_api_server(
        dir: &Path,
        etcd: Option<Leashed>,
        etcd_url: String,
        admin_ca: Authority,
        client_cas: &str,
        files: Option<&Path>,
    ) -> Self {
        std::fs::create_dir_all(dir).expect("the scratch directory is writable");
        let port = free_port();
        let authority = Authority::new("test control plane");
        authority.server().write(dir, "apiserver");
        let ca = authority.pem();
        std::fs::write(dir.join("ca.crt"), &ca).expect("the scratch directory is writable");
        let admin = admin_ca.client("test-admin", "system:masters");
        let (private, public) = pki::key_pair();
        std::fs::write(dir.join("service-accounts.key"), private).expect("the scratch directory is writable");
        std::fs::write(dir.join("service-accounts.pub"), public).expect("the scratch directory is writable");
        let client_cas = format!("{}{client_cas}", admin_ca.pem());
        write_atomically(&dir.join("client-ca.crt"), &client_cas);
        let url = format!("https://localhost:{port}");
        write_kubeconfig(&dir.join("admin.kubeconfig"), &url, &ca, certified(&admin));
        let at = |name: &str| dir.join(name).display().to_string();
        let mut apiserver = Command::new(control_plane("kube-apiserver"));
        apiserver.args([
            format!("--etcd-servers={etcd_url}"),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".into(),
            // An address for documentation: it would look for one of this machine's, and find none where there is no route.
            "--advertise-address=192.0.2.1".into(),
            format!("--cert-dir={}", at("certs")),
            format!("--tls-cert-file={}", at("apiserver.crt")),
            format!("--tls-private-key-file={}", at("apiserver.key")),
            format!("--client-ca-file={}", at("client-ca.crt")),
            "--service-account-issuer=https://test.invalid".into(),
            format!("--service-account-key-file={}", at("service-accounts.pub")),
            format!(
                "--service-account-signing-key-file={}",
                at("service-accounts.key")
            ),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            "--enable-priority-and-fairness=false".into(),
        ]);
        match files {
            None => apiserver.arg("--authorization-mode=RBAC"),
            Some(files) => {
                let at = |name: &str| files.join(name).display().to_string();
                apiserver.args([
                    format!("--authorization-config={}", at("authorization.yaml")),
                    format!("--audit-policy-file={}", at("audit-policy.yaml")),
                    format!("--audit-webhook-config-file={}", at("audit.kubeconfig")),
                    format!("--audit-log-path={}", dir.join("audit.jsonl").display()),
                    // Thirty seconds by default; tests would wait for them.
                    "--audit-webhook-batch-max-wait=1s".into(),
                ])
            }
        };
        let log = dir.join("kube-apiserver.log");
        let mut apiserver = Leashed::spawn("kube-apiserver", &apiserver, &log, None, Farewell::Kill);
        let http = Http::trusting(&ca);
        until(
            "the API server is ready (see kube-apiserver.log)",
            Duration::from_secs(120),
            || {
                assert!(
                    apiserver.ended().is_none(),
                    "kube-apiserver ended: see {}",
                    log.display()
                );
                http.is_ok(&format!("{url}/readyz")).then_some(())
            },
        );
        Self {
            dir: dir.to_owned(),
            url,
            ca,
            client_cas: Mutex::new(client_cas),
            authority: admin_ca,
            administrator: admin,
            etcd_url,
            apiserver,
            etcd,
        }
    }

    /// Sends the API server a signal: `STOP` makes it silent until `CONT`.
    pub fn signal(&self, signal: &str) {
        self.apiserver.signal(signal);
    }

    /// Sends its etcd a signal: an API server goes on without it as far as it gets.
    pub fn signal_etcd(&self, signal: &str) {
        self.etcd.as_ref().expect("it has its own").signal(signal);
    }

    /// The audit events that the API server has written to its own log so far.
    pub fn audit_events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.join("audit.jsonl")).unwrap_or_default();
        // The last line may still be in the making.
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// What the API server has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("kube-apiserver.log")).expect("the log is there")
    }

    /// Defines the kind `Revocation`, and makes the kubeconfig of a service account for an issuer that keeps them here.
    pub fn keep_revocations(&self) -> PathBuf {
        let definition = root().join("deploy/base/crd.yaml").display().to_string();
        let role = "--verb=get,list,watch,create,update,delete,patch";
        for args in [
            &["apply", "-f", &definition][..],
            &[
                "wait",
                "--for=condition=Established",
                "--timeout=30s",
                "crd/revocations.gatepass.dev",
            ],
            &["create", "serviceaccount", "gatepass-issuer"],
            &[
                "create",
                "clusterrole",
                "gatepass-issuer",
                role,
                "--resource=revocations.gatepass.dev",
                "--resource=revocations.gatepass.dev/status",
            ],
            &[
                "create",
                "clusterrolebinding",
                "gatepass-issuer",
                "--clusterrole=gatepass-issuer",
                "--serviceaccount=default:gatepass-issuer",
            ],
        ] {
            self.administer(args);
        }
        let token = self.administer(&["create", "token", "gatepass-issuer"]);
        let user = json!({"token": token.trim()});
        let path = self.dir.join("issuer.kubeconfig");
        write_kubeconfig(&path, &self.url, &self.ca, user);
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, private).expect("it was just written");
        path
    }

    /// Runs kubectl as the administrator; the test fails where that does.
    pub fn administer(&self, args: &[&str]) -> String {
        let out = self.admin(args);
        assert!(
            out.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// A certificate that the cluster's own authority has signed, outside Gatepass.
    pub fn sign_for(&self, name: &str, groups: &[&str]) -> Identity {
        self.authority.client_in(name, groups)
    }

    /// The kubeconfig of somebody with that certificate.
    pub fn kubeconfig_for(&self, identity: &Identity) -> PathBuf {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("person-{number}.kubeconfig"));
        write_kubeconfig(&path, &self.url, &self.ca, certified(identity));
        path
    }

    /// Runs kubectl with a kubeconfig.
    pub fn kubectl(&self, kubeconfig: &Path, args: &[&str]) -> Output {
        Command::new(control_plane("kubectl"))
            .env("KUBECONFIG", kubeconfig)
            .env("HOME", &self.dir)
            .args(args)
            .output()
            .expect("kubectl runs")
    }

    /// Trusts an issuer's authority for client certificates, and waits until the API server has seen the longer bundle.
    pub fn trust(&self, issuer: &Prepared) {
        self.trust_authority(&issuer.client_ca());
    }

    /// Lets a break-glass certificate do everything, as `deploy/break-glass` does, and waits until that is in force.
    pub fn bind_break_glass(&self) {
        // Of two at the same moment who find nothing, one would be told that it exists already.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = root().join("deploy/break-glass").display().to_string();
        self.administer(&["apply", "-k", &directory]);
        drop(alone);
        until("the binding is in force", Duration::from_secs(20), || {
            let question = ["auth", "can-i", "*", "*", "--all-namespaces"];
            let who = ["--as=break-glass:anybody", "--as-group=gatepass:break-glass"];
            let out = self.admin(&[&question[..], &who].concat());
            out.status.success().then_some(())
        });
    }

    /// Its entry in a person's kubeconfig: the API server, and the issuer that gives certificates for it.
    pub fn entry(&self, name: &str, issuer: &str, issuer_ca: &str) -> Value {
        let extension = json!({"issuer": issuer, "certificateAuthorityData": base64(issuer_ca)});
        json!({"name": name, "cluster": {
            "server": self.url,
            "certificate-authority-data": base64(&self.ca),
            "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": extension}],
        }})
    }

    /// The file with the authority of its serving certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// The kubeconfig of the administrator.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// Runs kubectl as the administrator, who exists only in the test's own authority.
    pub fn admin(&self, args: &[&str]) -> Output {
        self.kubectl(&self.admin_kubeconfig(), args)
    }

    /// Lets `group` list pods in the default namespace, and waits until the API server has seen it.
    pub fn let_group_list_pods(&self, group: &str) {
        let name = format!("{group}-may-list-pods");
        // Not the role `view`: a controller fills that one, and there is none here.
        let role = ["create", "role", &name, "--verb=list", "--resource=pods"];
        let binding = ["create", "rolebinding", &name, "--role", &name, "--group", group];
        for args in [&role[..], &binding] {
            let out = self.admin(args);
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        }
        until("the role binding is in force", Duration::from_secs(20), || {
            let out = self.admin(&[
                "auth",
                "can-i",
                "list",
                "pods",
                "--as=anybody",
                "--as-group",
                group,
            ]);
            out.status.success().then_some(())
        });
    }
}

fn start_etcd(dir: &Path) -> (Leashed, String) {
    std::fs::create_dir_all(dir).expect("the scratch directory is writable");
    let url = format!("http://127.0.0.1:{}", free_port());
    let mut etcd = Command::new(control_plane("etcd"));
    etcd.args([
        "--unsafe-no-fsync",
        "--log-level=warn",
        "--listen-peer-urls=http://127.0.0.1:0",
    ])
    .arg(format!("--listen-client-urls={url}"))
    .arg(format!("--advertise-client-urls={url}"))
    .arg(format!("--data-dir={}", dir.join("etcd").display()));
    let mut etcd = Leashed::spawn("etcd", &etcd, &dir.join("etcd.log"), None, Farewell::Kill);
    let http = Http::plain();
    until("etcd is healthy (see etcd.log)", Duration::from_secs(60), || {
        assert!(
            etcd.ended().is_none(),
            "etcd ended: see {}",
            dir.join("etcd.log").display()
        );
        http.is_ok(&format!("{url}/health")).then_some(())
    });
    (etcd, url)
}

fn certified(identity: &Identity) -> Value {
    json!({
        "client-certificate-data": base64(&identity.certificate), "client-key-data": base64(&identity.key),
    })
}

fn write_kubeconfig(path: &Path, url: &str, ca: &str, user: Value) {
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority-data": base64(ca)}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    write_atomically(path, &kubeconfig.to_string());
}

/// Standard base64, as kubeconfig files hold PEM.
pub fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
