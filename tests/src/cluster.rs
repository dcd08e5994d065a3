//! A real control plane: etcd and kube-apiserver, without nodes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Http, free_port};
use crate::issuer::Prepared;
use crate::parts::control_plane;
use crate::pki::{self, Authority};
use crate::process::{Farewell, Leashed, until, write_atomically};

/// An API server with its etcd, both ended with this value.
pub struct Cluster {
    dir: PathBuf,
    /// Its URL.
    pub url: String,
    /// The authority of its serving certificate, PEM.
    pub ca: String,
    client_cas: Mutex<String>,
    // Dropped in this order: the API server first, so that it does not complain about a lost etcd.
    _apiserver: Leashed,
    _etcd: Leashed,
}

impl Cluster {
    /// Starts both in `dir`.
    pub fn start(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).expect("the scratch directory is writable");
        let (etcd_port, port) = (free_port(), free_port());
        let etcd_url = format!("http://127.0.0.1:{etcd_port}");
        let mut etcd = Command::new(control_plane("etcd"));
        etcd.args([
            "--unsafe-no-fsync",
            "--log-level=warn",
            "--listen-peer-urls=http://127.0.0.1:0",
        ])
        .arg(format!("--listen-client-urls={etcd_url}"))
        .arg(format!("--advertise-client-urls={etcd_url}"))
        .arg(format!("--data-dir={}", dir.join("etcd").display()));
        let mut etcd = Leashed::spawn("etcd", &etcd, &dir.join("etcd.log"), None, Farewell::Kill);

        let authority = Authority::new("test control plane");
        authority.server().write(dir, "apiserver");
        let ca = authority.pem();
        std::fs::write(dir.join("ca.crt"), &ca).expect("the scratch directory is writable");
        let admin_ca = Authority::new("test administrators");
        let admin = admin_ca.client("test-admin", "system:masters");
        let (private, public) = pki::key_pair();
        std::fs::write(dir.join("service-accounts.key"), private).expect("the scratch directory is writable");
        std::fs::write(dir.join("service-accounts.pub"), public).expect("the scratch directory is writable");
        write_atomically(&dir.join("client-ca.crt"), &admin_ca.pem());
        let url = format!("https://localhost:{port}");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "admin",
            "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority-data": base64(&ca)}}],
            "users": [{"name": "u", "user": {"client-certificate-data": base64(&admin.certificate), "client-key-data": base64(&admin.key)}}],
            "contexts": [{"name": "admin", "context": {"cluster": "c", "user": "u"}}],
        });
        write_atomically(&dir.join("admin.kubeconfig"), &kubeconfig.to_string());

        let http = Http::plain();
        until("etcd is healthy (see etcd.log)", Duration::from_secs(60), || {
            assert!(
                etcd.ended().is_none(),
                "etcd ended: see {}",
                dir.join("etcd.log").display()
            );
            http.is_ok(&format!("{etcd_url}/health")).then_some(())
        });
        let at = |name: &str| dir.join(name).display().to_string();
        let mut apiserver = Command::new(control_plane("kube-apiserver"));
        apiserver.args([
            format!("--etcd-servers={etcd_url}"),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".into(),
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
            "--authorization-mode=RBAC".into(),
            "--enable-priority-and-fairness=false".into(),
        ]);
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
            client_cas: Mutex::new(admin_ca.pem()),
            _apiserver: apiserver,
            _etcd: etcd,
        }
    }

    /// Trusts an issuer's authority for client certificates, and waits until the API server has seen the longer bundle.
    pub fn trust(&self, issuer: &Prepared) {
        self.trust_made_in(&issuer.dir);
    }

    /// The same for what `gatepass-issuer init` has made in `dir`.
    pub fn trust_made_in(&self, dir: &Path) {
        let client_ca = std::fs::read_to_string(dir.join("ca.crt")).expect("init wrote ca.crt");
        {
            let mut bundle = self
                .client_cas
                .lock()
                .expect("no thread panics while it holds this");
            bundle.push_str(&client_ca);
            write_atomically(&self.dir.join("client-ca.crt"), &bundle);
        }
        let at = |name: &str| dir.join(name).display().to_string();
        // The issuer's own key vouches for a stranger who may do nothing; only whether the API server knows it is asked.
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-new",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ])
            .args([
                "-days",
                "1",
                "-subj",
                "/CN=probe",
                "-addext",
                "extendedKeyUsage=clientAuth",
            ])
            .args([
                "-CA",
                &at("ca.crt"),
                "-CAkey",
                &at("ca.key"),
                "-keyout",
                &at("probe.key"),
                "-out",
                &at("probe.crt"),
            ])
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        until(
            "the API server trusts the issuer",
            Duration::from_secs(90),
            || {
                let out = Command::new(control_plane("kubectl"))
                    .env("HOME", &self.dir)
                    .args([
                        "--kubeconfig=/dev/null",
                        "--server",
                        &self.url,
                        "--certificate-authority",
                        &self.ca_file(),
                    ])
                    .args([
                        "--client-certificate",
                        &at("probe.crt"),
                        "--client-key",
                        &at("probe.key"),
                        "get",
                        "--raw=/version",
                    ])
                    .output()
                    .expect("kubectl runs");
                out.status.success().then_some(())
            },
        );
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

    fn ca_file(&self) -> String {
        self.dir.join("ca.crt").display().to_string()
    }

    /// The kubeconfig of the administrator.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// Runs kubectl as the administrator, who exists only in the test's own authority.
    pub fn admin(&self, args: &[&str]) -> Output {
        Command::new(control_plane("kubectl"))
            .env("KUBECONFIG", self.admin_kubeconfig())
            .env("HOME", &self.dir)
            .args(args)
            .output()
            .expect("kubectl runs")
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

/// Standard base64, as kubeconfig files hold PEM.
pub fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
