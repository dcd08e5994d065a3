//! Fifty kubectl at once.

use e2e::cluster::Cluster;
use e2e::exchange::refresh;
use e2e::issuer::Issuer;
use e2e::machine::{Context, Machine, Run};
use e2e::parts::{Part, present};
use e2e::world::{Site, World};
use serde_json::json;

static SITE: Site = Site::new("parallel");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::IdentityProvider,
    Part::Keyring,
    Part::Faketime,
];

fn fifty_whoami(machine: &Machine) -> Vec<Run> {
    let running: Vec<_> = (0..50)
        .map(|_| machine.start_kubectl(&["auth", "whoami", "-o", "json"]))
        .collect();
    running
        .into_iter()
        .map(|kubectl| kubectl.finish(machine).expect_ok())
        .collect()
}

fn assert_one_credential(runs: &[Run]) {
    let extra = |run: &Run| run.json()["status"]["userInfo"]["extra"].clone();
    assert!(
        runs.iter().all(|run| extra(run) == extra(&runs[0])),
        "all fifty use the same credential"
    );
}

#[test]
fn fifty_kubectl_from_cold_make_one_login() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "cold");
    let alice = world.machine("alice");
    assert_one_credential(&fifty_whoami(&alice));
    assert_eq!((alice.browsed().len(), world.idp.stats().logins()), (1, 1));
    assert_eq!((world.idp.stats().refreshes(), world.issuer.issued()), (0, 1));
}

#[test]
fn fifty_kubectl_at_expiry_make_one_refresh() {
    if !present(PARTS) {
        return;
    }
    let world = World::at(&SITE, "expiry", Some(-3600));
    let alice = world.machine("alice");
    alice.get_credential(&world.issuer).expect_ok();
    world.clock.as_ref().expect("a clock").set(0);
    assert_one_credential(&fifty_whoami(&alice));
    assert_eq!((alice.browsed().len(), world.idp.stats().logins()), (1, 1));
    assert_eq!((world.idp.stats().refreshes(), world.issuer.issued()), (1, 2));
}

#[test]
fn fifty_kubectl_over_five_clusters_at_expiry_make_one_refresh_and_five_certificates() {
    if !present(PARTS) {
        return;
    }
    let world = World::at(&SITE, "five-clusters", Some(-3600));
    let others: Vec<(&str, Cluster, Issuer)> = std::thread::scope(|scope| {
        let starting = ["second", "third", "fourth", "fifth"].map(|name| {
            let world = &world;
            scope.spawn(move || {
                let cluster = Cluster::start(&world.dir.join(name).join("cluster"));
                let issuer = world.another_issuer(name, &cluster);
                (name, cluster, issuer)
            })
        });
        let started = starting.map(|thread| thread.join().expect("each of them starts"));
        started.into_iter().collect()
    });
    let mut contexts = vec![Context {
        name: "first",
        cluster: world.cluster,
        issuer: &world.issuer,
    }];
    contexts.extend(others.iter().map(|(name, cluster, issuer)| Context {
        name,
        cluster,
        issuer,
    }));
    let alice = world.machine("alice");
    for (_, _, issuer) in &others {
        alice.accept(issuer);
    }
    alice.kubeconfig(&contexts);
    for context in &contexts {
        alice.get_credential(context.issuer).expect_ok();
        assert_eq!(context.issuer.issued(), 1);
    }

    world.clock.as_ref().expect("a clock").set(0);
    // Slow enough that all fifty have come before the first of them has its answer.
    world.idp.set(&json!({"latencyMs": {"/token": 3000}}));
    let options: Vec<_> = contexts
        .iter()
        .map(|context| format!("--context={}", context.name))
        .collect();
    let running: Vec<_> = options
        .iter()
        .cycle()
        .take(50)
        .map(|option| alice.start_kubectl(&[option, "auth", "whoami", "-o", "json"]))
        .collect();
    let runs: Vec<_> = running
        .into_iter()
        .map(|kubectl| kubectl.finish(&alice).expect_ok())
        .collect();
    for number in 0..contexts.len() {
        let of_one: Vec<_> = runs
            .iter()
            .skip(number)
            .step_by(contexts.len())
            .cloned()
            .collect();
        assert_eq!(of_one.len(), 10);
        assert_one_credential(&of_one);
    }
    assert_eq!((alice.browsed().len(), world.idp.stats().logins()), (1, 1));
    assert_eq!(world.idp.stats().refreshes(), 1, "one refresh for all");
    let issued: Vec<_> = contexts.iter().map(|context| context.issuer.issued()).collect();
    assert_eq!(issued, [2; 5], "one new certificate each");

    // The provider rotates: what was kept is the latest token, and nobody has shown a spent one, or this one were dead, too.
    let kept = alice.kept_sessions().remove(0);
    let token = kept["refreshToken"].as_str().expect("a refresh token");
    assert!(refresh(&world.idp, token)["id_token"].is_string());
}
