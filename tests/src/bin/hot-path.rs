//! Part of `make bench`: the hot path, `get-credential` with a credential in the kernel keyring, beside `/bin/true`.
//!
//! Whole processes, started in turn, so that noise on the machine meets both alike. What counts is the ratio.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use e2e::idp::Idp;
use e2e::issuer::Prepared;
use e2e::machine::Machine;
use e2e::parts::{self, Part};
use e2e::world::Site;

static SITE: Site = Site::new("hot-path");
const ROUNDS: usize = 400;

fn main() -> ExitCode {
    let outcome = match parts::missing(&[Part::ControlPlane, Part::IdentityProvider, Part::Keyring]) {
        Some(reason) => Err(reason.into()),
        None => measure(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "hot-path: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Box<dyn Error>> {
    let dir = SITE.dir("world");
    let idp = Idp::start(&dir.join("idp"));
    let issuer = Prepared::init(&dir.join("issuer"), "bench", &idp).serve();
    let alice = Machine::new(&dir.join("alice"), "alice", &idp);
    alice.configure(|config| config["log"] = "warn".into());
    alice.accept(&issuer);
    if !alice.get_credential(&issuer).ok {
        return Err("the login failed".into());
    }
    let before = (idp.stats().connections(), issuer.connections());
    let mut variants = [
        ("/bin/true", alice.command("true"), Vec::with_capacity(ROUNDS)),
        (
            "kubectl-gatepass version",
            alice.command("kubectl-gatepass"),
            Vec::with_capacity(ROUNDS),
        ),
        (
            "get-credential",
            alice.get_credential_command(&issuer),
            Vec::with_capacity(ROUNDS),
        ),
    ];
    variants[1].1.arg("version");
    for _ in 0..ROUNDS {
        for (_, command, times) in &mut variants {
            times.push(time(command)?);
        }
    }
    if (idp.stats().connections(), issuer.connections()) != before {
        return Err("the network was used: this was not the hot path".into());
    }
    let mut out = io::stdout();
    writeln!(
        out,
        "{:<28}{:>10}{:>10}{:>10}{:>14}",
        "whole process, ms", "p10", "median", "p90", "x /bin/true"
    )?;
    let mut base = None;
    for (name, _, times) in &mut variants {
        times.sort_unstable();
        let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
        let base = *base.get_or_insert(at(50));
        writeln!(
            out,
            "{name:<28}{:>10.2}{:>10.2}{:>10.2}{:>14.2}",
            at(10),
            at(50),
            at(90),
            at(50) / base
        )?;
    }
    Ok(())
}

fn time(command: &mut Command) -> io::Result<Duration> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let took = start.elapsed();
    if status.success() {
        Ok(took)
    } else {
        Err(io::Error::other(format!("{command:?} failed")))
    }
}
