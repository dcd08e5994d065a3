//! An issuer that follows the revocations of a cluster as its own service account, and whoever asks it as an API server does.

use std::path::Path;
use std::process::Output;
use std::sync::OnceLock;
use std::time::Duration;

use e2e::cluster::{Cluster, base64};
use e2e::http::{Answer, Http};
use e2e::idp::Idp;
use e2e::issuer::{Issuer, Prepared, Replica};
use e2e::parts::root;
use e2e::process::{until, write_atomically};
use e2e::world::Site;
use gatepass_api::path;
use serde_json::{Value, json};

pub(super) static SITE: Site = Site::new("store");
/// From the write to the first denial.
pub(super) const PROMISED: Duration = Duration::from_secs(2);

/// The cluster of those tests that need none of their own, which knows what a revocation is.
pub(super) fn definition() -> &'static Cluster {
    static DEFINED: OnceLock<&'static Cluster> = OnceLock::new();
    DEFINED.get_or_init(|| {
        let cluster = SITE.cluster();
        define(cluster);
        cluster
    })
}

/// Applies what `deploy/base` has for revocations.
pub(super) fn define(cluster: &Cluster) {
    for file in ["namespace.yaml", "crd.yaml", "rbac.yaml"] {
        let file = root().join("deploy/base").join(file).display().to_string();
        let out = cluster.admin(&["apply", "-f", &file]);
        assert!(out.status.success(), "{}", said(&out));
        assert_eq!(
            String::from_utf8_lossy(&out.stderr),
            "",
            "not a word of warning about {file}"
        );
    }
    let account = root()
        .join("deploy/base/service-account.yaml")
        .display()
        .to_string();
    let out = cluster.admin(&["--namespace=gatepass", "apply", "-f", &account]);
    assert!(out.status.success(), "{}", said(&out));
    let out = cluster.admin(&[
        "wait",
        "--for=condition=Established",
        "crd/revocations.gatepass.dev",
        "--timeout=30s",
    ]);
    assert!(out.status.success(), "{}", said(&out));
}

fn said(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

pub(super) fn rfc3339(unix: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(unix).expect("a time");
    time.format(&time::format_description::well_known::Rfc3339)
        .expect("it can be written")
}

pub(super) fn try_apply(cluster: &Cluster, name: &str, spec: &Value) -> Output {
    let object = json!({
        "apiVersion": "gatepass.dev/v1alpha1", "kind": "Revocation", "metadata": {"name": name}, "spec": spec,
    });
    let file = cluster.admin_kubeconfig().with_file_name(format!("{name}.json"));
    write_atomically(&file, &object.to_string());
    cluster.admin(&["apply", "-f", &file.display().to_string()])
}

pub(super) fn apply(cluster: &Cluster, name: &str, spec: &Value) {
    let out = try_apply(cluster, name, spec);
    assert!(out.status.success(), "{name}: {}", said(&out));
}

/// What is said to one who is refused.
pub(super) fn refused(cluster: &Cluster, name: &str, spec: &Value) -> String {
    let out = try_apply(cluster, name, spec);
    assert!(!out.status.success(), "{name} was taken: {}", said(&out));
    said(&out)
}

pub(super) fn delete(cluster: &Cluster, name: &str) {
    let out = cluster.admin(&["delete", "revocation", name]);
    assert!(out.status.success(), "{name}: {}", said(&out));
}

pub(super) fn revocation(cluster: &Cluster, name: &str) -> Value {
    let out = cluster.admin(&["get", "revocation", name, "-o", "json"]);
    assert!(out.status.success(), "{name}: {}", said(&out));
    serde_json::from_slice(&out.stdout).expect("kubectl prints JSON")
}

/// Where an issuer is asked who is revoked, by one who may.
pub(super) struct Webhook {
    http: Http,
    url: String,
}

pub(super) struct Stand {
    pub(super) cluster: &'static Cluster,
    pub(super) issuer: Issuer,
    pub(super) webhook: Webhook,
    replicas: std::sync::Mutex<Vec<Replica>>,
    _idp: Idp,
}

impl Stand {
    /// `port` is where the issuer finds the API server, if not at its own.
    pub(super) fn new(
        name: &'static str,
        cluster: &'static Cluster,
        port: Option<u16>,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let dir = SITE.dir(name);
        let idp = Idp::start(&dir.join("idp"));
        let prepared = Prepared::init(&dir.join("issuer"), name, &idp);
        let url = port.map_or_else(|| cluster.url.clone(), |port| format!("https://localhost:{port}"));
        write_service_account(&prepared.dir, cluster, &url);
        prepared.edit(|config| {
            config["revocation"] = json!({"kubernetes": {"kubeconfig": "api-server.kubeconfig"}});
            change(config);
        });
        let files = prepared.api_server_files();
        let issuer = prepared.serve();
        let webhook = Webhook::of(&files, &issuer.serving_ca);
        until("the store was read", Duration::from_secs(20), || {
            (webhook.ask("nobody", "", "", "").status == 200).then_some(())
        });
        Self {
            cluster,
            issuer,
            webhook,
            replicas: std::sync::Mutex::default(),
            _idp: idp,
        }
    }

    /// One more issuer with the same configuration.
    pub(super) fn replica(&self, name: &str) -> Webhook {
        let replica = self.issuer.replica(name);
        let webhook = Webhook::of(&replica.api_server_files, &self.issuer.serving_ca);
        self.replicas
            .lock()
            .expect("no thread panics while it holds this")
            .push(replica);
        until("the store was read", Duration::from_secs(20), || {
            (webhook.ask("nobody", "", "", "").status == 200).then_some(())
        });
        webhook
    }

    /// Waits until the status of a revocation says whether it was accepted.
    pub(super) fn until_accepted(&self, name: &str, status: &str) {
        until(
            "its status says whether it counts",
            Duration::from_secs(10),
            || {
                let object = revocation(self.cluster, name);
                let condition = &object["status"]["conditions"][0];
                (condition["type"] == "Accepted" && condition["status"] == status).then_some(())
            },
        );
    }
}

/// A kubeconfig of the account that pods run as, with no more rights than `deploy/base` gives it.
fn write_service_account(dir: &Path, cluster: &Cluster, url: &str) {
    let token = ["create", "token", "gatepass-issuer", "--namespace=gatepass"];
    let out = cluster.admin(&token);
    assert!(out.status.success(), "{}", said(&out));
    write_atomically(
        &dir.join("api-server.token"),
        String::from_utf8_lossy(&out.stdout).trim(),
    );
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority-data": base64(&cluster.ca)}}],
        "users": [{"name": "u", "user": {"tokenFile": "api-server.token"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    let file = dir.join("api-server.kubeconfig");
    write_atomically(&file, &kubeconfig.to_string());
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("our own file");
}

impl Webhook {
    /// As the kubeconfig that `init` makes for API servers says.
    fn of(files: &Path, serving_ca: &str) -> Self {
        let text = std::fs::read_to_string(files.join("authorize.kubeconfig")).expect("init wrote it");
        let kubeconfig: Value = serde_saphyr::from_str(&text).expect("YAML");
        let pem = |name: &str| {
            use base64::Engine as _;
            let data = kubeconfig["users"][0]["user"][name].as_str().expect("base64");
            let bytes = base64::engine::general_purpose::STANDARD.decode(data);
            String::from_utf8(bytes.expect("base64")).expect("PEM")
        };
        let url = kubeconfig["clusters"][0]["cluster"]["server"]
            .as_str()
            .expect("a URL");
        assert!(url.ends_with(path::AUTHORIZE), "{url}");
        Self {
            http: Http::showing(
                serving_ca,
                &pem("client-certificate-data"),
                &pem("client-key-data"),
            ),
            url: url.to_owned(),
        }
    }

    /// Asks about a request, as an API server does.
    pub(super) fn ask(&self, user: &str, uid: &str, group: &str, credential_id: &str) -> Answer {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
            "spec": {
                "user": user, "uid": uid, "groups": [group, "system:authenticated"],
                "extra": {"authentication.kubernetes.io/credential-id": [credential_id]},
                "resourceAttributes": {"namespace": "default", "verb": "list", "version": "v1", "resource": "pods"},
            },
            "status": {"allowed": false},
        });
        let headers = [("content-type", "application/json")];
        self.http
            .send("POST", &self.url, &headers, review.to_string().into_bytes())
            .expect("the issuer answers")
    }

    /// The reason of a denial, if it is one.
    pub(super) fn denied(&self, user: &str, uid: &str, group: &str, credential_id: &str) -> Option<String> {
        let answer = self.ask(user, uid, group, credential_id);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let status = answer.json()["status"].take();
        (status["denied"] == true).then(|| status["reason"].as_str().expect("a reason").to_owned())
    }

    /// Waits until it denies.
    pub(super) fn until_denied(&self, user: &str, uid: &str, group: &str, credential_id: &str) -> String {
        until("it is denied", Duration::from_secs(10), || {
            self.denied(user, uid, group, credential_id)
        })
    }
}
