//! Fifty kubectl at once.

use e2e::machine::{Machine, Run};
use e2e::parts::{Part, present};
use e2e::world::{Site, World};

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
