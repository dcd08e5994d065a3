//! Revocation at a real API server that asks the issuer about every request.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::holder::Holder;
use e2e::parts::{Part, present};
use e2e::process::write_atomically;
use e2e::world::{Site, World};
use serde_json::{Value, json};

static SITE: Site = Site::new("revocation");
const PARTS: &[Part] = &[Part::ControlPlane, Part::IdentityProvider, Part::Keyring];
/// The contract: from the write to the first request that is denied.
const PROMISED: Duration = Duration::from_secs(2);

fn document(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "gatepass.dev/v1alpha1", "kind": "Revocation", "metadata": {"name": name}, "spec": spec,
    })
}

#[test]
fn a_document_in_the_directory_is_in_force_within_two_seconds_for_each_kind_of_target() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::asking(&SITE, "directory", &cluster, |_| {});
    world.cluster.let_group_list_pods("dev");
    let alice = world.machine("alice");
    let bob = world.machine("bob");
    let thief = Holder::of(&alice, &world.issuer, world.cluster);
    let other = Holder::of(&bob, &world.issuer, world.cluster);
    let facts = thief.facts();
    thief.until(200, Instant::now());
    let file = world.issuer.dir().join("revocations/stolen.json");
    for target in [
        json!({"user": "alice"}),
        json!({"uid": facts.uid}),
        json!({"group": "ops"}),
        json!({"session": facts.session}),
        json!({"credentialId": facts.credential_id}),
        json!({"subject": {"issuer": world.idp.issuer, "subject": "alice"}}),
    ] {
        let spec = json!({
            "target": target, "loggedInBefore": "2100-01-01T00:00:00Z", "reason": "laptop stolen, ticket 4711",
        });
        let start = Instant::now();
        write_atomically(&file, &document("stolen", &spec).to_string());
        let (time, said) = thief.until(403, start);
        assert!(time < PROMISED, "{target}: {time:?}");
        assert!(
            said.message
                .ends_with("Gatepass: access was revoked: laptop stolen, ticket 4711"),
            "{said:?}"
        );
        assert_eq!(
            other.list_pods().status,
            200,
            "{target}: another's access goes on"
        );
        std::fs::remove_file(&file).expect("it is there");
        thief.until(200, Instant::now());
    }
}
