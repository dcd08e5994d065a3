//! What a real API server's audit events say of those who use certificates.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::findings::{credential_id, expecting, findings, found};
use e2e::handshake::alert;
use e2e::holder::Holder;
use e2e::http::Http;
use e2e::parts::{Part, present};
use e2e::pki::{Authority, Identity};
use e2e::process::{until, write_atomically};
use e2e::world::{Site, World};
use rustls::AlertDescription;
use serde_json::{Value, json};

static SITE: Site = Site::new("detection");
const PARTS: &[Part] = &[Part::ControlPlane, Part::IdentityProvider, Part::Keyring];

/// Events wait for a second, and may be sent a second time.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn certificates_that_should_not_be_are_found_at_their_first_use() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::asking(&SITE, "found", &cluster, |prepared| prepared.edit(expecting));
    let (cluster, issuer) = (world.cluster, &world.issuer);
    world.idp.user("alice", &json!({"groups": ["dev"]}));
    let alice = world.machine("alice");
    let user = alice.whoami();
    let marker = user["groups"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .find(|group| group.starts_with("gatepass:session:"))
        .expect("a marker");
    let foreign = "foreign-certificate";
    let (name, group) = ("unexpected-username", "unexpected-group");
    for (who, groups, expected) in [
        ("alice", &["dev"][..], &[foreign][..]),
        ("alice", &["dev", "accounting"], &[foreign, group]),
        ("mallory", &["dev"], &[foreign, name]),
        ("system:serviceaccount:kube-system:default", &[], &[foreign, name]),
        // Groups under which a policy that drops them by name would not see anybody.
        ("alice", &["system:serviceaccounts"], &[foreign, group]),
        ("alice", &["system:nodes"], &[foreign, group]),
        ("system:kube-scheduler", &["system:masters"], &[group]),
        (
            "kubernetes-admin",
            &["kubeadm:cluster-admins"],
            &[foreign, group, name],
        ),
        // Alice's marker, under another name, and beside another group.
        ("bob", &["dev", marker], &[foreign]),
        ("alice", &["ops", marker], &[foreign]),
        ("alice", &["system:masters", marker], &[foreign, group]),
        (
            "break-glass:carol",
            &["gatepass:break-glass"],
            &["break-glass-used"],
        ),
    ] {
        let identity = cluster.sign_for(who, groups);
        let id = credential_id(&identity);
        let holder = Holder::new(identity, cluster);
        holder.list_pods();
        until(&format!("{who} {groups:?} is found"), SOON, || {
            (found(issuer, &id) == expected).then_some(())
        });
        // Once, however often it is used.
        holder.list_pods();
    }

    // Hers is no finding until it is revoked by its credential ID.
    cluster.let_group_list_pods("dev");
    let holder = Holder::of(&alice, issuer, cluster);
    holder.until(200, Instant::now());
    let id = credential_id(&holder.identity);
    let revocation = json!({
        "apiVersion": "gatepass.dev/v1alpha1", "kind": "Revocation", "metadata": {"name": "leaked"},
        "spec": {"target": {"credentialId": id}, "loggedInBefore": "2100-01-01T00:00:00Z"},
    });
    assert_eq!(found(issuer, &id), [""; 0]);
    write_atomically(
        &issuer.dir().join("revocations/leaked.json"),
        &revocation.to_string(),
    );
    holder.until(403, Instant::now());
    until("the revoked credential is found", SOON, || {
        (found(issuer, &id) == ["known-bad-credential"]).then_some(())
    });
    let records = findings(issuer);
    let hers = records
        .iter()
        .find(|record| record["credential_id"] == id)
        .expect("it was found");
    assert_eq!(
        (
            &hers["user"],
            &hers["session"],
            &hers["source_ips"],
            &hers["verb"]
        ),
        (
            &json!("alice"),
            &json!(holder.facts().session),
            &json!("127.0.0.1"),
            &json!("list")
        )
    );
    assert!(
        !hers.to_string().contains(marker),
        "the tag of a marker is not logged"
    );
    // Nothing twice.
    let mut all: Vec<_> = records
        .iter()
        .map(|record| (record["finding"].to_string(), record["credential_id"].to_string()))
        .collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "{records:#?}");
    let metrics = issuer.metrics();
    assert!(
        metrics.contains("\ngatepass_findings_total{finding=\"known-bad-credential\"} 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("\ngatepass_audit_events_unreadable_total 0\n"),
        "{metrics}"
    );
}

#[test]
fn only_api_servers_may_report_or_ask() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let own = Authority::new("API servers of the test");
    let world = World::asking(&SITE, "only", &cluster, |prepared| {
        let path = prepared.dir.join("own-ca.crt");
        std::fs::write(&path, own.pem()).expect("it is writable");
        prepared.edit(|config| config["webhooks"]["clients"]["ca"] = json!(path));
    });
    let issuer = &world.issuer;
    let url = format!("https://{}", issuer.webhooks_address());
    let alice = Holder::of(&world.machine("alice"), issuer, world.cluster);
    let ordinary = world.cluster.sign_for("kube-apiserver", &[]);
    let api_server = own.client("kube-apiserver", "x");
    let another = own.client("mallory", "x");
    let events = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": []});
    let review = json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"user": "x"}});
    for (path, body) in [("/v1/audit", &events), ("/v1/authorize", &review)] {
        let send = |http: &Http| {
            let json = [("content-type", "application/json")];
            http.send("POST", &format!("{url}{path}"), &json, body.to_string().into())
                .map(|answer| answer.status)
        };
        let showing =
            |identity: &Identity| Http::showing(&issuer.serving_ca, &identity.certificate, &identity.key);
        assert_eq!(send(&showing(&api_server)), Ok(200), "{path}");
        assert_eq!(send(&showing(&another)), Ok(403), "{path}");
    }
    // Everybody else is turned away before there is a path to ask for.
    let refusal = |identity| alert(&issuer.serving_ca, identity, &issuer.webhooks_address());
    assert_eq!(refusal(Some(&ordinary)), Some(AlertDescription::UnknownCA));
    assert_eq!(refusal(Some(&alice.identity)), Some(AlertDescription::UnknownCA));
    assert_eq!(refusal(None), Some(AlertDescription::CertificateRequired));
}
