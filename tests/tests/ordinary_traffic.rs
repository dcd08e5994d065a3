//! Minutes of what a control plane and a person do all day, in which nothing is to be found.

use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::findings::{credential_id, expecting, findings, found};
use e2e::holder::Holder;
use e2e::issuer::Issuer;
use e2e::parts::{Part, control_plane, present, variable};
use e2e::process::{Farewell, Leashed, until};
use e2e::world::{Site, World};

static SITE: Site = Site::new("ordinary_traffic");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::Controllers,
    Part::IdentityProvider,
    Part::Keyring,
];
const SOON: Duration = Duration::from_secs(30);

fn events(issuer: &Issuer) -> u64 {
    let metrics = issuer.metrics();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("gatepass_audit_events_total "));
    line.and_then(|count| count.parse().ok()).expect("a counter")
}

/// The real one, with a certificate as kubeadm makes it.
fn controller_manager(world: &World<'_>) -> Leashed {
    let identity = world.cluster.sign_for("system:kube-controller-manager", &[]);
    let mut command = Command::new(control_plane("kube-controller-manager"));
    command
        .arg(format!(
            "--kubeconfig={}",
            world.cluster.kubeconfig_for(&identity).display()
        ))
        .args(["--leader-elect=true", "--secure-port=0"]);
    let log = world.dir.join("kube-controller-manager.log");
    Leashed::spawn("kube-controller-manager", &command, &log, None, Farewell::Kill)
}

/// Two minutes, or as many seconds as `GATEPASS_TRAFFIC_SECONDS` says.
fn duration() -> Duration {
    let seconds = variable("GATEPASS_TRAFFIC_SECONDS").map(|text| {
        let text = text.into_string().expect("GATEPASS_TRAFFIC_SECONDS is a number");
        text.parse().expect("GATEPASS_TRAFFIC_SECONDS is a number")
    });
    Duration::from_secs(seconds.unwrap_or(120))
}

#[test]
#[ignore = "two minutes: `make test` runs it beside the others, `make bench` ten minutes of it"]
fn two_minutes_of_ordinary_traffic_are_no_finding() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::asking(&SITE, "ordinary", &cluster, |prepared| prepared.edit(expecting));
    let (cluster, issuer) = (world.cluster, &world.issuer);
    cluster.let_group_list_pods("dev");
    let alice = Holder::of(&world.machine("alice"), issuer, cluster);
    let signed = |name: &str, groups: &[&str]| Holder::new(cluster.sign_for(name, groups), cluster);
    let ordinary = [
        (alice, "/api/v1/namespaces/default/pods"),
        (signed("system:kube-scheduler", &[]), "/api/v1/pods"),
        (
            signed("system:node:worker-1.example", &["system:nodes"]),
            "/api/v1/nodes/worker-1.example",
        ),
        (
            signed("system:kube-proxy", &["system:node-proxier"]),
            "/api/v1/services",
        ),
    ];
    let controllers = controller_manager(&world);
    let begun = Instant::now();
    let before = events(issuer);
    until(
        "the time has passed",
        duration() + Duration::from_secs(60),
        || {
            for (holder, path) in &ordinary {
                holder.get(path);
            }
            (begun.elapsed() >= duration()).then_some(())
        },
    );
    let log = std::fs::read_to_string(world.dir.join("kube-controller-manager.log")).expect("it logs");
    assert!(
        log.contains("Started controller")
            || log.contains("Starting controller")
            || log.contains("Caches are synced"),
        "the controllers were at work: {log}"
    );
    drop(controllers);
    // What comes last is found: all before it was looked at.
    let stranger = signed("mallory", &["dev"]);
    stranger.list_pods();
    let id = credential_id(&stranger.identity);
    until("the stranger is found", SOON, || {
        (found(issuer, &id).len() == 2).then_some(())
    });
    let others: Vec<_> = findings(issuer)
        .into_iter()
        .filter(|record| record["credential_id"] != id)
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    let looked_at = events(issuer) - before;
    assert!(looked_at > 1000, "{looked_at} events");
}
