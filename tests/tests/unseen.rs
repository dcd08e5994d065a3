//! What somebody with a certificate of another authority does so that nobody hears of it.

use std::sync::OnceLock;
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::holder::Holder;
use e2e::parts::{Part, present};
use e2e::process::until;
use e2e::world::{Site, World};

static SITE: Site = Site::new("unseen");
const PARTS: &[Part] = &[Part::ControlPlane, Part::IdentityProvider];

fn is_reported(world: &World<'_>, name: &str) {
    until(&format!("{name} is reported"), Duration::from_secs(20), || {
        let log = world.issuer.log();
        let found = |line: &str| line.contains("foreign-certificate") && line.contains(name);
        log.lines().any(found).then_some(())
    });
}

#[test]
fn a_group_of_service_accounts_hides_no_certificate() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::asking(&SITE, "world", &cluster, |_| {});
    let disguised = world
        .cluster
        .sign_for("disguised", &["system:serviceaccounts", "dev"]);
    Holder::new(disguised, world.cluster).list_pods();
    is_reported(&world, "disguised");
}
