//! What one login is good for, and what ends it. The login lies in the past: see `e2e::clock`.

use e2e::cluster::Cluster;
use e2e::machine::{Context, Machine, groups};
use e2e::parts::{Part, present};
use e2e::world::{Site, World};
use serde_json::json;

static SITE: Site = Site::new("sessions");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::IdentityProvider,
    Part::Keyring,
    Part::Faketime,
];
const HOUR: i64 = 3600;

/// A world in which alice logged in `hours` ago; with her machine.
fn logged_in_before(name: &'static str, hours: i64) -> (World<'static>, Machine) {
    let world = World::at(&SITE, name, Some(-hours * HOUR));
    let alice = world.machine("alice");
    alice.get_credential(&world.issuer).expect_ok();
    assert_eq!(
        (
            alice.browsed().len(),
            world.idp.stats().refreshes(),
            world.issuer.issued()
        ),
        (1, 0, 1)
    );
    (world, alice)
}

fn now(world: &World<'_>) {
    world.clock.as_ref().expect("this world has a clock").set(0);
}

#[test]
fn after_the_credentials_end_one_refresh_and_one_issuance_without_a_browser_and_a_removed_group_is_gone() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("renewal", 1);
    world.idp.user("alice", &json!({"groups": ["dev"]}));
    now(&world);
    assert_eq!(groups(&alice.whoami()), ["dev", "system:authenticated"]);
    assert_eq!(alice.browsed().len(), 1, "no second browser");
    assert_eq!(world.idp.stats().refreshes(), 1);
    assert_eq!(world.issuer.issued(), 2);
}

#[test]
fn an_identity_provider_that_drops_the_nonce_at_refresh_works_with_the_login_token() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("no-nonce", 3);
    world
        .idp
        .set(&json!({"tamper": {"refresh_token": {"nonce": null}}}));
    // Twice: the second refresh starts from a token that has lost the nonce already.
    world.clock.as_ref().expect("a clock").set(-HOUR);
    alice.get_credential(&world.issuer).expect_ok();
    now(&world);
    assert_eq!(alice.whoami()["username"], "alice");
    assert_eq!(
        (
            alice.browsed().len(),
            world.idp.stats().refreshes(),
            world.issuer.issued()
        ),
        (1, 2, 3)
    );
    assert!(world.issuer.audit().iter().all(|record| record["bound"] == true));
}

#[test]
fn two_clusters_of_one_identity_provider_take_one_login_even_hours_later_and_one_refresh_serves_both() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("two-clusters", 3);
    let other_cluster = Cluster::start(&SITE.dir("other-cluster"));
    let other = world.another_issuer("other-issuer", &other_cluster);
    alice.accept(&other);
    alice.kubeconfig(&[
        Context {
            name: "here",
            cluster: world.cluster,
            issuer: &world.issuer,
        },
        Context {
            name: "there",
            cluster: &other_cluster,
            issuer: &other,
        },
    ]);

    // Straight after the login the second cluster asks nothing and refreshes nothing.
    alice.get_credential(&other).expect_ok();
    assert_eq!(
        (
            alice.browsed().len(),
            world.idp.stats().refreshes(),
            other.issued()
        ),
        (1, 0, 1)
    );

    // Hours later a third one, met for the first time, asks nothing either; and the refresh of the first serves all.
    now(&world);
    let third = world.another_issuer("third-issuer", world.cluster);
    alice.accept(&third);
    assert_eq!(alice.whoami()["username"], "alice");
    let there = alice
        .kubectl(&["--context=there", "auth", "whoami", "-o", "json"])
        .expect_ok();
    assert_eq!(there.json()["status"]["userInfo"]["username"], "alice");
    alice.get_credential(&third).expect_ok();
    assert_eq!(
        (alice.browsed().len(), world.idp.stats().logins()),
        (1, 1),
        "one login"
    );
    assert_eq!(world.idp.stats().refreshes(), 1, "one refresh");
    assert_eq!((world.issuer.issued(), other.issued(), third.issued()), (2, 2, 1));
}

#[test]
fn a_dead_refresh_token_means_a_login_where_a_person_is_and_a_sentence_where_none_is() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("revoked-grant", 1);
    world.idp.revoke("alice");
    now(&world);
    let script = alice.kubectl_without_terminal(&["auth", "whoami"]);
    assert!(
        !script.ok && script.stderr.contains("kubectl-gatepass login"),
        "{}",
        script.stderr
    );
    assert_eq!(alice.browsed().len(), 1, "no browser without a person");
    assert_eq!(alice.whoami()["username"], "alice");
    assert_eq!(alice.browsed().len(), 2);
}

#[test]
fn an_outage_of_the_identity_provider_loses_nothing() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("outage", 1);
    now(&world);
    for failure in [json!(503), json!("reset")] {
        world.idp.set(&json!({"fail": {"/token": failure}}));
        let refused = alice.kubectl(&["auth", "whoami"]);
        assert!(
            !refused.ok && refused.stderr.contains(&world.idp.issuer),
            "it names who is down: {}",
            refused.stderr
        );
    }
    world.idp.set(&json!({"fail": {}}));
    assert_eq!(alice.whoami()["username"], "alice");
    assert_eq!(alice.browsed().len(), 1, "the session outlived the outage");
}

#[test]
fn a_session_ends_twelve_hours_after_its_login_whatever_the_tokens_say() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("session-end", 13);
    now(&world);
    let script = alice.kubectl_without_terminal(&["auth", "whoami"]);
    assert!(
        !script.ok && script.stderr.contains("kubectl-gatepass login"),
        "{}",
        script.stderr
    );
    assert_eq!(world.issuer.issued(), 1, "nothing was issued from the old login");
    assert_eq!(alice.whoami()["username"], "alice");
    assert_eq!(alice.browsed().len(), 2);
}

#[test]
fn a_cluster_that_was_built_anew_gets_a_new_credential_once() {
    if !present(PARTS) {
        return;
    }
    let (world, alice) = logged_in_before("built-anew", 1);
    now(&world);
    assert_eq!(alice.whoami()["username"], "alice");
    assert_eq!(alice.whoami()["username"], "alice");
    assert_eq!(world.issuer.issued(), 2, "one login, one renewal");
    let anew = Cluster::start(&SITE.dir("anew"));
    world.issuer.trusted_by(&anew);
    let context = |cluster| Context {
        name: "here",
        cluster,
        issuer: &world.issuer,
    };
    for cluster in [&anew, world.cluster, &anew] {
        alice.kubeconfig(&[context(cluster)]);
        assert_eq!(alice.whoami()["username"], "alice");
    }
    assert_eq!(
        world.issuer.issued(),
        3,
        "one for the new CA; two names of one cluster would not cost one each time"
    );
    assert_eq!((alice.browsed().len(), world.idp.stats().logins()), (1, 1));
}
