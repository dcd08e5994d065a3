//! `make demo`: the main job, unattended, on the shipped binaries and real parts, step by step on the screen.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode};
use std::time::Instant;

use e2e::holder::Holder;
use e2e::machine::{Context, Machine, Run};
use e2e::operator::Operator;
use e2e::parts::{self, Part};
use e2e::stage::{Stage, indented, say, step};
use e2e::world::Site;

static SITE: Site = Site::new("demo");

fn main() -> ExitCode {
    let missing = parts::missing(&[Part::ControlPlane, Part::IdentityProvider, Part::Keyring]);
    let outcome = match missing {
        Some(reason) => Err(reason.into()),
        None => demo(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<(), Box<dyn Error>> {
    let dir = SITE.dir("world");
    say(
        "Gatepass in two minutes, unattended. Everything runs on this machine, below target/e2e/demo, and ends with it.",
    )?;

    let Stage { issuer, cluster, idp } = Stage::set(&dir, "demo")?;

    step(
        5,
        "Alice's machine: her own home, a gnome-keyring on a private D-Bus, a browser that fills in the forms by itself",
    )?;
    let alice = Machine::new(&dir.join("alice"), "alice", &idp);
    alice.configure(|config| config["log"] = "warn".into());
    alice.kubeconfig(&[Context {
        name: "demo",
        cluster: &cluster,
        issuer: &issuer,
    }]);
    say("   Her kubeconfig has one user entry, which serves every cluster whose entry names its issuer:\n")?;
    indented(&stanza(&alice)?)?;

    step(
        6,
        "She accepts the issuer once, as ssh asks about a new host, and logs in with her browser",
    )?;
    let ca = issuer.serving_ca_file().display().to_string();
    say(format!(
        "   $ kubectl-gatepass login {} --issuer-ca {ca}",
        issuer.url
    ))?;
    indented(&succeeded(alice.gatepass(&["login", &issuer.url, "--issuer-ca", &ca]))?.stderr)?;

    step(
        7,
        "kubectl runs the plugin, which has a credential now: no network request is made for it",
    )?;
    cluster.let_group_list_pods("dev");
    let before = (idp.stats().connections(), issuer.connections());
    say("   $ kubectl get pods")?;
    indented(&succeeded(alice.kubectl(&["get", "pods"]))?.stderr)?;
    say("   $ kubectl auth whoami")?;
    let whoami = succeeded(alice.kubectl(&["auth", "whoami"]))?;
    if (idp.stats().connections(), issuer.connections()) != before {
        return Err(
            "the identity provider or the issuer was asked, though the credential lies in the keyring".into(),
        );
    }
    indented(&whoami.stdout)?;

    step(
        8,
        "The credential ID above is the SHA-256 of the certificate that the plugin gave kubectl",
    )?;
    let printed = succeeded(alice.get_credential(&issuer))?.json();
    let certificate = dir.join("alice.crt");
    std::fs::write(
        &certificate,
        printed["status"]["clientCertificateData"]
            .as_str()
            .ok_or("no certificate")?,
    )?;
    let line = format!(
        "openssl x509 -in {} -outform der | sha256sum",
        certificate.display()
    );
    say(format!("   $ {line}"))?;
    let digest = Command::new("sh").args(["-c", &line]).output()?;
    let digest = String::from_utf8(digest.stdout)?;
    indented(&digest)?;
    let digest = digest
        .split_whitespace()
        .next()
        .ok_or("openssl printed nothing")?;
    if !whoami.stdout.contains(&format!("X509SHA256={digest}")) {
        return Err("the API server saw another certificate than the plugin printed".into());
    }

    step(
        9,
        "Her laptop is stolen. An operator, by their own RBAC, types one line",
    )?;
    let thief = Holder::of(&alice, &issuer, &cluster);
    let session = thief.facts().session;
    let operator = Operator::with(&dir.join("operator"), &idp, cluster.admin_kubeconfig());
    say(format!(
        "   $ kubectl gatepass revoke --session {session} --reason 'laptop stolen, ticket 4711'"
    ))?;
    let reason = "laptop stolen, ticket 4711";
    let start = Instant::now();
    // The thief asks again and again while the operator's command runs.
    let (written, time) = std::thread::scope(|scope| {
        let denied = scope.spawn(|| thief.until(403, start).0);
        let written = operator.run(&["revoke", "--session", &session, "--reason", reason]);
        (written, denied.join())
    });
    let time = time.map_err(|_| "the thief was not denied")?;
    indented(&succeeded(written)?.stdout)?;

    step(10, "What the thief sees")?;
    say("   $ kubectl get pods")?;
    let denied = alice.kubectl(&["get", "pods"]);
    indented(&denied.stderr)?;
    if denied.ok || !denied.stderr.contains(reason) {
        return Err("a revoked session was not refused with the reason".into());
    }
    say(format!(
        "   From Enter to the first answer 403: {} ms, in which kubectl starts, logs the operator in and writes",
        time.as_millis()
    ))?;

    step(
        11,
        "And no new certificate: the issuer asks the same revocations at the same moment",
    )?;
    alice.forget_credential();
    say("   $ kubectl-gatepass get-credential    (as kubectl runs it when the certificate has ended)")?;
    let browsers = alice.browsed().len();
    let renewed = alice.get_credential_unattended(&issuer);
    indented(&renewed.stderr)?;
    if renewed.ok || !renewed.stderr.contains(reason) || alice.browsed().len() != browsers {
        return Err("the renewal of a revoked session was not refused with the reason".into());
    }
    Ok(())
}

/// The parts of a kubeconfig that are Gatepass's, as YAML.
fn stanza(machine: &Machine) -> Result<String, Box<dyn Error>> {
    let mut kubeconfig = machine.read_kubeconfig();
    for cluster in kubeconfig["clusters"].as_array_mut().ok_or("no clusters")? {
        cluster["cluster"]["certificate-authority-data"] = "…".into();
        cluster["cluster"]["extensions"][0]["extension"]["certificateAuthorityData"] = "…".into();
    }
    let shown = serde_json::json!({"clusters": kubeconfig["clusters"], "users": kubeconfig["users"]});
    Ok(serde_saphyr::to_string(&shown)?)
}

fn succeeded(run: Run) -> Result<Run, String> {
    if run.ok {
        Ok(run)
    } else {
        Err(format!("a command failed:\n{}{}", run.stdout, run.stderr))
    }
}
