//! What `deploy/README.md` leads to from nothing, and one of its pods run here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::http::{Http, free_port};
use e2e::idp::Idp;
use e2e::machine::{Machine, kubeconfig};
use e2e::parts::{binary, control_plane, root};
use e2e::pod::{Image, Pod, find};
use e2e::process::{Farewell, Leashed, until};
use e2e::world::Site;
use serde_json::Value;

pub(super) static SITE: Site = Site::new("deploy");
pub(super) const NAMESPACE: &str = "gatepass";

/// What the README leads to from nothing.
pub(super) struct Installed {
    /// Where its commands ran.
    pub(super) dir: PathBuf,
    pub(super) cluster: &'static Cluster,
    pub(super) idp: Idp,
    pub(super) url: String,
    /// Ports of the manifests by name, and where this machine, whose ports other tests share, has them.
    ports: [(&'static str, u16); 3],
    /// Blocks of commands that have led here.
    pub(super) installation: Vec<String>,
    /// Those that come afterwards.
    pub(super) operation: Vec<String>,
    _controllers: Leashed,
}

/// What kustomize makes of the base.
pub(super) fn base() -> Vec<Value> {
    kustomized("base")
}

/// What it makes of a directory of `deploy/`.
pub(super) fn kustomized(directory: &str) -> Vec<Value> {
    let out = Command::new(control_plane("kubectl"))
        .arg("kustomize")
        .arg(root().join("deploy").join(directory))
        .output()
        .expect("kubectl runs");
    assert!(out.status.success(), "{}", said(&out));
    serde_saphyr::from_multiple(&String::from_utf8_lossy(&out.stdout)).expect("YAML documents")
}

pub(super) fn of_kind(kind: &str) -> Value {
    let mut found: Vec<_> = base()
        .into_iter()
        .filter(|object| object["kind"] == kind)
        .collect();
    assert_eq!(found.len(), 1, "{kind}");
    found.remove(0)
}

/// The one object of that kind and name.
pub(super) fn named(kind: &str, name: &str) -> Value {
    let found = base()
        .into_iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

pub(super) fn container() -> Value {
    of_kind("Deployment")["spec"]["template"]["spec"]["containers"][0].take()
}

pub(super) fn said(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

/// Starts what turns a Deployment into Pods, and says in each namespace whom the API server's certificate is from.
fn controllers(cluster: &Cluster, dir: &Path) -> Leashed {
    let ca = dir.join("api-server-ca.crt");
    fs::write(&ca, &cluster.ca).expect("the scratch directory is writable");
    let mut command = Command::new(control_plane("kube-controller-manager"));
    command
        .arg(format!(
            "--kubeconfig={}",
            cluster.admin_kubeconfig().display()
        ))
        .arg(format!("--root-ca-file={}", ca.display()))
        .args([
            "--leader-elect=false",
            "--secure-port=0",
            "--controllers=deployment-controller,replicaset-controller,disruption-controller,serviceaccount-controller,\
             clusterrole-aggregation-controller,root-ca-certificate-publisher-controller",
        ]);
    let log = dir.join("kube-controller-manager.log");
    Leashed::spawn("kube-controller-manager", &command, &log, None, Farewell::Kill)
}

/// Runs the README up to the first `apply` of what it has written, once for all tests.
pub(super) fn installed() -> &'static Installed {
    static INSTALLED: OnceLock<Installed> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let dir = SITE.dir("checkout");
        let copied = Command::new("cp")
            .arg("-R")
            .arg(root().join("deploy"))
            .arg(&dir)
            .status();
        assert!(copied.expect("cp runs").success());
        let idp = Idp::start(&dir.join("idp"));
        let container = container();
        let ports = ["https", "health", "webhooks"].map(|name| (name, free_port()));
        let url = format!("https://localhost:{}", ports[0].1);
        let mut readme = fs::read_to_string(dir.join("deploy/README.md")).expect("deploy/ has a README");
        let listening = ports.map(|(name, here)| {
            let port = &find(&container["ports"], name)["containerPort"];
            (format!("0.0.0.0:{port}"), format!("0.0.0.0:{here}"))
        });
        let [https, health, webhooks] = listening;
        let places = [
            https,
            health,
            webhooks,
            (
                "--tls-server-name gatepass.example.com".to_owned(),
                "--tls-server-name localhost".to_owned(),
            ),
            ("https://gatepass.example.com".to_owned(), url.clone()),
            ("DNS:gatepass.example.com".to_owned(), "DNS:localhost".to_owned()),
            ("https://idp.example.com".to_owned(), idp.issuer.clone()),
        ];
        for (place, here) in &places {
            assert!(readme.contains(place), "deploy/README.md does not say {place}");
            readme = readme.replace(place, here);
        }
        let blocks = readme.split("```sh\n").skip(1);
        let mut blocks: Vec<_> = blocks
            .map(|block| block.split("```").next().expect("text before a fence").to_owned())
            .collect();
        let last = blocks.iter().position(|block| block.contains("kubectl apply -k"));
        let operation = blocks.split_off(last.expect("the README applies something") + 1);
        let cluster = SITE.cluster();
        let installed = Installed {
            _controllers: controllers(cluster, &dir),
            dir,
            cluster,
            idp,
            url,
            ports,
            installation: blocks,
            operation,
        };
        installed
            .installation
            .iter()
            .for_each(|block| installed.run(block));
        installed
    })
}

impl Installed {
    /// Runs a block of the README as an administrator would, who reads every warning.
    pub(super) fn run(&self, block: &str) {
        let bin = self.dir.join("bin");
        if fs::create_dir(&bin).is_ok() {
            for (name, target) in [
                ("kubectl", control_plane("kubectl")),
                ("gatepass-issuer", binary("gatepass-issuer")),
            ] {
                std::os::unix::fs::symlink(target, bin.join(name)).expect("our own directory");
            }
        }
        let out = Command::new("sh")
            .args(["-euc", block])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("HOME", &self.dir)
            .env("KUBECONFIG", self.cluster.admin_kubeconfig())
            .current_dir(&self.dir)
            .output()
            .expect("sh runs");
        assert!(out.status.success(), "{block}\n{}", said(&out));
        assert!(!said(&out).contains("Warning"), "{block}\n{}", said(&out));
    }

    pub(super) fn get(&self, what: &[&str]) -> Value {
        let mut args = vec!["--namespace", NAMESPACE, "get", "-o", "json"];
        args.extend(what);
        let out = self.cluster.admin(&args);
        assert!(out.status.success(), "{}", said(&out));
        serde_json::from_slice(&out.stdout).expect("kubectl prints JSON")
    }

    /// The Pods that the controllers have made, once there are as many as the Deployment asks for.
    pub(super) fn pods(&self) -> Vec<Value> {
        let wanted = of_kind("Deployment")["spec"]["replicas"]
            .as_u64()
            .expect("a number");
        let labels = named("Service", "gatepass-issuer")["spec"]["selector"].clone();
        let labels = labels.as_object().expect("labels").iter();
        let selector: Vec<_> = labels
            .map(|(name, value)| format!("{name}={}", value.as_str().expect("text")))
            .collect();
        until(
            "there are Pods for the Service (see kube-controller-manager.log)",
            Duration::from_secs(60),
            || {
                let pods = self.get(&["pods", "-l", &selector.join(",")]);
                let pods = pods["items"].as_array().expect("a list").clone();
                (pods.len() as u64 == wanted).then_some(pods)
            },
        )
    }

    /// Runs one of the Pods here, from what the API server holds at this moment, and waits for its startup probe.
    pub(super) fn start(&self) -> (Pod, PathBuf) {
        let dir = self.dir.join("pod");
        let root = dir.join("root");
        let image = Image::read(&self.dir.join("deploy/Containerfile"));
        image.unpack(&root, |file| match file {
            "gatepass-issuer" => binary(file),
            // The provider's own authority stands for those of the machine that builds the image.
            "ca-certificates.crt" => self.idp.ca_file.clone(),
            other => panic!("`make image` puts no {other} where the image is built"),
        });
        let mut pod = Pod::start(self.cluster, &self.pods()[0], &image, &dir, &root);
        let probe = container()["startupProbe"].take();
        until(
            "the startup probe is content (see stderr in the container's directory)",
            Duration::from_secs(60),
            || {
                assert!(!pod.ended(), "it ended: see stderr in {}", dir.display());
                self.probe(&probe).then_some(())
            },
        );
        (pod, dir)
    }

    /// The port of this machine that stands for the one of that name.
    pub(super) fn port(&self, name: &str) -> u16 {
        let found = self.ports.iter().find(|(other, _)| *other == name);
        found.expect("a named port").1
    }

    pub(super) fn probe(&self, probe: &Value) -> bool {
        let (port, path) = (&probe["httpGet"]["port"], &probe["httpGet"]["path"]);
        let here = self.port(port.as_str().expect("a named port"));
        Http::plain().is_ok(&format!(
            "http://127.0.0.1:{here}{}",
            path.as_str().expect("a path")
        ))
    }

    /// A person who logs in at the issuer here, and whom the API server then knows.
    pub(super) fn somebody_logs_in(&self, machine: &Machine) -> Value {
        let ca = self.dir.join("gatepass/serving-ca.crt").display().to_string();
        machine
            .gatepass(&["login", &self.url, "--issuer-ca", &ca])
            .expect_ok();
        let ca = fs::read_to_string(ca).expect("the README made it");
        let entry = self.cluster.entry("prod", &self.url, &ca);
        machine.write_kubeconfig(&kubeconfig(vec![entry]));
        machine.whoami()
    }
}
