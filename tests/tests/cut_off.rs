//! A replica that cannot reach the store of revocations, beside one that can, each asked by an API server of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::exchange::Login;
use e2e::holder::Holder;
use e2e::issuer::Replica;
use e2e::line::Line;
use e2e::operator::Operator;
use e2e::parts::{Part, present};
use e2e::process::{until, write_atomically};
use e2e::world::{Site, World};
use gatepass_api::Code;
use serde_json::{Value, json};

static SITE: Site = Site::new("cut_off");
const PARTS: &[Part] = &[Part::ControlPlane, Part::IdentityProvider, Part::Keyring];
/// The contract: from the write to the first request that is denied.
const PROMISED: Duration = Duration::from_secs(2);

/// A kubeconfig that reaches the API server through another port.
fn through(kubeconfig: &Path, cluster: &Cluster, port: u16, to: &Path) {
    let text = std::fs::read_to_string(kubeconfig).expect("a kubeconfig");
    write_atomically(
        to,
        &text.replace(&cluster.url, &format!("https://localhost:{port}")),
    );
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o600)).expect("it was just written");
}

#[test]
#[ignore = "more than a minute: `make test` runs it beside the others"]
fn a_replica_cut_off_for_a_minute_delays_no_other_and_what_it_signs_meanwhile_is_denied() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::in_cluster(&SITE, "cut", &cluster);
    let here = world.cluster;
    here.let_group_list_pods("dev");
    let port = here.url.rsplit(':').next().and_then(|port| port.parse().ok());
    let line = Line::to(port.expect("a port"));
    let kubeconfig = world.dir.join("line.kubeconfig");
    through(
        &world.dir.join("cluster/issuer.kubeconfig"),
        here,
        line.port,
        &kubeconfig,
    );
    let far = |mode: &'static str, config: &mut Value| {
        config["revocation"] = json!({"mode": mode, "kubernetes": {"kubeconfig": kubeconfig}});
    };
    let replica = world
        .issuer
        .replica_with("replica", |config| far("best-effort", config));
    let strict = world
        .issuer
        .replica_with("strict", |config| far("strict", config));
    let there = here.another_api_server(&world.dir.join("there"), &replica.api_server_files);
    let guarded = here.another_api_server(&world.dir.join("guarded"), &strict.api_server_files);
    let login = Login::new(&world.idp, "alice");
    let asked = |upstream: &str| login.credential_at(upstream, &world.issuer);
    let alice = Holder::new(asked(&world.issuer.upstream()).expect("issued"), here);
    for cluster in [here, &there, &guarded] {
        alice.at(cluster).until(200, Instant::now());
    }

    line.cut();
    let cut = Instant::now();
    let operator = Operator::new(&world);
    operator
        .run(&["revoke", "--user", "alice", "--reason", "stolen"])
        .expect_ok();
    let (time, _) = alice.until(403, Instant::now());
    assert!(time < PROMISED, "{time:?}");
    assert_eq!(alice.at(&there).list_pods().status, 200, "it cannot know");
    // The renewal that races the revocation, at the replica that has not heard of it.
    let renewed = asked(&replica.upstream).expect("it cannot know");
    let renewed = Holder::new(renewed, here);
    let said = renewed.list_pods();
    assert_eq!(said.status, 403, "denied at once where it is known: {said:?}");
    assert!(said.message.ends_with("access was revoked: stolen"), "{said:?}");
    asked(&world.issuer.upstream())
        .expect_err("refused where it is known")
        .expect_refused(&Code::Revoked);

    let state = |replica: &Replica| replica.readiness().json()["revocation"].clone();
    until("a strict replica gives up", Duration::from_secs(30), || {
        (strict.readiness().status == 503).then_some(())
    });
    asked(&strict.upstream)
        .expect_err("strict")
        .expect_refused(&Code::RevocationViewStale);
    // No answer, so failurePolicy decides: `Deny` is an error.
    assert_eq!(alice.at(&guarded).list_pods().status, 500);
    assert_eq!(
        (replica.readiness().status, &state(&replica)["stale"]),
        (200, &json!(true))
    );
    until("a minute has passed", Duration::from_secs(90), || {
        (cut.elapsed() > Duration::from_secs(60)).then_some(())
    });
    assert!(
        state(&replica)["ageSeconds"].as_i64().expect("a number") > 50,
        "{}",
        state(&replica)
    );
    line.mend();
    let mended = Instant::now();
    for cluster in [&there, &guarded] {
        let (_, said) = alice.at(cluster).until(403, mended);
        assert!(said.message.ends_with("access was revoked: stolen"), "{said:?}");
        assert_eq!(renewed.at(cluster).list_pods().status, 403);
    }
    until("both follow again", Duration::from_secs(20), || {
        (state(&replica)["stale"] == false && strict.readiness().status == 200).then_some(())
    });
}
