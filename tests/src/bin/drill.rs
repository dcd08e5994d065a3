//! `make drill`: identity provider and issuer are gone, and two of three holders let one engineer in; unattended, on the
//! shipped binaries and real parts, step by step on the screen.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use e2e::machine::{Context, Machine, Run};
use e2e::parts::{self, Part};
use e2e::person::{Key, Person};
use e2e::quorum::{Made, YES};
use e2e::stage::{Stage, indented, say, step};
use e2e::terminal::Answer;
use e2e::world::Site;

static SITE: Site = Site::new("drill");

/// The promise: from the first word typed to the first answer of the API server.
const PROMISED: Duration = Duration::from_secs(5 * 60);
/// Of carol's SSH key.
const PASSPHRASE: &str = "correct horse battery";

fn main() -> ExitCode {
    let parts = [
        Part::ControlPlane,
        Part::IdentityProvider,
        Part::Keyring,
        Part::OpenSsh,
        Part::Terminal,
    ];
    let outcome = match parts::missing(&parts) {
        Some(reason) => Err(reason.into()),
        None => drill(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "drill: {error}");
            ExitCode::FAILURE
        }
    }
}

fn drill() -> Result<(), Box<dyn Error>> {
    let dir = SITE.dir("world");
    say(
        "A bad night in two minutes, unattended. Everything runs on this machine, below target/e2e/drill, and ends with it.",
    )?;

    let Stage { issuer, cluster, idp } = Stage::set(&dir, "drill")?;

    step(5, "By day: Alice logs in with her browser, and works as always")?;
    let machine = Machine::new(&dir.join("alice"), "alice", &idp);
    machine.configure(|config| config["log"] = "warn".into());
    machine.accept(&issuer);
    machine.kubeconfig(&[Context {
        name: "drill",
        cluster: &cluster,
        issuer: &issuer,
    }]);
    let alice = Person::on(machine, "alice", Key::X25519);
    say("   $ kubectl auth whoami")?;
    indented(&succeeded(alice.machine.kubectl(&["auth", "whoami"]))?.stdout)?;

    step(
        6,
        "Bob, Carol and Erin become holders, two of them a quorum: a key of age, an SSH key under a passphrase, an old SSH key",
    )?;
    let bob = Person::new(&dir, "bob", Key::X25519);
    let carol = Person::new(&dir, "carol", Key::SshEd25519Locked(PASSPHRASE));
    let erin = Person::new(&dir, "erin", Key::SshRsa);
    say(
        "   $ kubectl gatepass break-glass init --threshold 2 --holder bob=age1… --holder carol='ssh-ed25519 …' --holder erin='ssh-rsa …'",
    )?;
    let secrets = [("passphrase of ", Answer::Secret(PASSPHRASE))];
    let made = Made::side_by_side(&alice, &[&bob, &carol, &erin], &[], &secrets);
    indented(made.shown.trim())?;

    step(
        7,
        "An administrator lets the API server take this authority's clients, beside the issuer's, and binds the group",
    )?;
    say(format!("   $ cat …crt >> {}", cluster.client_ca_file().display()))?;
    cluster.trust_authority(&made.authority());
    say("   $ kubectl apply -k deploy/break-glass")?;
    cluster.bind_break_glass();

    step(
        8,
        "By night: identity provider and issuer are stopped, and Alice's credential has ended",
    )?;
    let gone = issuer.url.clone();
    issuer.stop();
    drop(idp);
    alice.machine.forget_credential();
    say("   $ kubectl auth whoami")?;
    let refused = alice.machine.kubectl(&["auth", "whoami"]);
    indented(&refused.stderr)?;
    if refused.ok || !refused.stderr.contains(&gone) {
        return Err("without identity provider and issuer, kubectl had to fail and to name them".into());
    }

    step(
        9,
        "She calls Bob and Carol, who come to her desk. Each sees what is asked, and opens their own share",
    )?;
    say(
        "   $ kubectl gatepass break-glass open --reason 'IdP down, ticket 4711' --share …bob.share --share …carol.share",
    )?;
    let shares = made.shares(&[&bob, &carol]);
    let mut open = vec!["open", "--reason", "IdP down, ticket 4711"];
    open.extend(shares.iter().map(String::as_str));
    let start = Instant::now();
    let opened = alice.at_terminal(&open).answer(&[YES, secrets[0]]);
    let first = alice.machine.kubectl(&["auth", "whoami"]);
    let time = start.elapsed();
    indented(opened.expect_ok().shown.trim())?;

    step(10, "kubectl works, and says each time by what")?;
    say("   $ kubectl auth whoami")?;
    let first = succeeded(first)?;
    indented(&format!("{}{}", first.stderr, first.stdout))?;
    say(format!(
        "   From the start of `open` to this answer: {} ms, with holders who stood ready. Promised, with people: within five minutes",
        time.as_millis()
    ))?;
    if time > PROMISED {
        return Err("it took longer than five minutes".into());
    }
    say("   $ kubectl get clusterrolebindings gatepass-break-glass")?;
    let bound = alice
        .machine
        .kubectl(&["get", "clusterrolebindings", "gatepass-break-glass"]);
    indented(&succeeded(bound)?.stdout)?;

    step(11, "Who did what, with proof")?;
    say("   $ kubectl gatepass break-glass report")?;
    let report = succeeded(alice.run(&["report"]))?;
    indented(&report.stdout)?;

    step(12, "She is done. The window is closed, and kubectl is refused")?;
    say("   $ kubectl gatepass break-glass close")?;
    indented(&succeeded(alice.run(&["close"]))?.stderr)?;
    say("   $ kubectl auth whoami")?;
    let refused = alice.machine.kubectl(&["auth", "whoami"]);
    indented(&refused.stderr)?;
    if refused.ok || refused.stderr.contains("BREAK-GLASS") {
        return Err("a closed window was used".into());
    }
    Ok(())
}

fn succeeded(run: Run) -> Result<Run, String> {
    if run.ok {
        Ok(run)
    } else {
        Err(format!("a command failed:\n{}{}", run.stdout, run.stderr))
    }
}
