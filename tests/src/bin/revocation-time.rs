//! Part of `make bench`: from the moment that a revocation is sent to the API server to the first request that it denies, a hundred times,
//! each kind of target in turn.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::holder::Holder;
use e2e::parts::{self, Part};
use e2e::world::{Site, World};
use serde_json::json;

static SITE: Site = Site::new("revocation-time");
const ROUNDS: usize = 100;
const OBJECTS: &str = "/apis/gatepass.dev/v1alpha1/revocations";

fn main() -> ExitCode {
    let outcome = match parts::missing(&[Part::ControlPlane, Part::IdentityProvider, Part::Keyring]) {
        Some(reason) => Err(reason.into()),
        None => measure(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "revocation-time: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Box<dyn Error>> {
    let cluster = OnceLock::<Cluster>::new();
    let world = World::in_cluster(&SITE, "world", &cluster);
    world.cluster.let_group_list_pods("dev");
    let alice = Holder::of(&world.machine("alice"), &world.issuer, world.cluster);
    let facts = alice.facts();
    let targets = [
        json!({"user": "alice"}),
        json!({"uid": facts.uid}),
        json!({"group": "ops"}),
        json!({"session": facts.session}),
        json!({"credentialId": facts.credential_id}),
        json!({"subject": {"issuer": world.idp.issuer, "subject": "alice"}}),
    ];
    // No kubectl: its own time is more than all that is measured here.
    let operator = Holder::new(world.cluster.administrator.clone(), world.cluster);
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        alice.until(200, Instant::now());
        let document = json!({
            "apiVersion": "gatepass.dev/v1alpha1", "kind": "Revocation", "metadata": {"name": "bench"},
            "spec": {"target": targets[round % targets.len()], "reason": "bench"},
        });
        let start = Instant::now();
        let written = operator.send("POST", OBJECTS, document.to_string().into_bytes());
        if written.status != 201 {
            return Err(format!("{written:?}").into());
        }
        times.push(alice.until(403, start).0);
        operator.send("DELETE", &format!("{OBJECTS}/bench"), Vec::new());
    }
    times.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    writeln!(
        io::stdout(),
        "{:<62} median {:.1} ms, worst {:.1} ms of {ROUNDS} (goal: median < 500 ms, worst < 2000 ms)",
        "revocation sent → first request denied",
        milliseconds(times[ROUNDS / 2]),
        milliseconds(times[ROUNDS - 1]),
    )?;
    Ok(())
}
