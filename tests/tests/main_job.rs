//! The main job: log in, get a minutes-long certificate, use it.

use std::process::Command;

use aws_lc_rs::digest;
use data_encoding::BASE32_NOPAD;
use e2e::issuer::Issuer;
use e2e::machine::{Machine, groups};
use e2e::parts::{Part, present};
use e2e::world::{Site, World};
use serde_json::{Value, json};

static SITE: Site = Site::new("main_job");
const PARTS: &[Part] = &[Part::ControlPlane, Part::IdentityProvider, Part::Keyring];

/// Base32 of the first 16 bytes of SHA-256 over the fields, each preceded by its length.
fn id(fields: &[&str]) -> String {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend(u32::try_from(field.len()).expect("short").to_be_bytes());
        bytes.extend(field.as_bytes());
    }
    BASE32_NOPAD
        .encode(&digest::digest(&digest::SHA256, &bytes).as_ref()[..16])
        .to_lowercase()
}

/// What `openssl x509 -outform der | sha256sum` says of the certificate that the plugin prints.
fn credential_id_by_openssl(machine: &Machine, issuer: &Issuer) -> String {
    let printed = machine.get_credential(issuer).expect_ok().json();
    let certificate = printed["status"]["clientCertificateData"]
        .as_str()
        .expect("a certificate");
    let file = machine.dir.join("printed.crt");
    std::fs::write(&file, certificate).expect("the scratch directory is writable");
    let script = "openssl x509 -in \"$0\" -outform der | sha256sum | cut -d' ' -f1";
    let out = Command::new("sh")
        .args(["-c", script])
        .arg(&file)
        .output()
        .expect("sh runs");
    String::from_utf8(out.stdout).expect("hex").trim().to_owned()
}

#[test]
fn the_first_whoami_is_one_login_and_names_whom_the_identity_provider_named() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "first");
    let alice = world.machine("alice");
    let user = alice.whoami();

    assert_eq!(alice.browsed().len(), 1, "one browser");
    assert_eq!(world.idp.stats().logins(), 1, "one login");
    assert_eq!(world.issuer.issued(), 1, "one certificate");
    assert_eq!(user["username"], "alice");
    assert_eq!(user["uid"], id(&[&world.idp.issuer, "alice"]));
    assert_eq!(groups(&user), ["dev", "ops", "system:authenticated"]);
    let all = user["groups"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str);
    let markers: Vec<_> = all.filter(|group| group.starts_with("gatepass:")).collect();
    assert_eq!(markers.len(), 1, "{markers:?}");
    let marker: Vec<_> = markers[0].split(':').collect();
    assert_eq!(marker.len(), 6, "{marker:?}");
    assert_eq!(marker[1], "session");
    assert!(
        marker[2].starts_with(&format!("{}-", id(&[&world.idp.issuer, "alice"]))),
        "{marker:?}"
    );

    let openssl = credential_id_by_openssl(&alice, &world.issuer);
    assert_eq!(openssl.len(), 64);
    assert_eq!(
        user["extra"],
        json!({"authentication.kubernetes.io/credential-id": [format!("X509SHA256={openssl}")]})
    );
    let record = world.issuer.audit().pop().expect("an audit record");
    assert_eq!(
        record["credentialId"],
        format!("X509SHA256={openssl}"),
        "{record}"
    );
}

#[test]
fn the_second_call_makes_no_network_request_at_all() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "second");
    let alice = world.machine("alice");
    let first = alice.whoami();
    let before = (world.issuer.connections(), world.idp.stats().connections());
    let second = alice.whoami();
    assert_eq!(first, second, "the same credential");
    assert_eq!(
        before,
        (world.issuer.connections(), world.idp.stats().connections())
    );
}

#[test]
fn a_role_bound_to_a_mapped_group_works_for_its_members_only() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "rbac");
    world
        .idp
        .user("alice", &json!({"groups": ["dev", "pod-readers"]}));
    world.cluster.let_group_list_pods("pod-readers");
    let (alice, bob) = (world.machine("alice"), world.machine("bob"));
    alice.kubectl(&["get", "pods"]).expect_ok();
    let refused = bob.kubectl(&["get", "pods"]);
    assert!(
        !refused.ok
            && refused
                .stderr
                .contains(r#"User "bob" cannot list resource "pods""#),
        "{}",
        refused.stderr
    );
    assert_eq!(
        bob.browsed().len(),
        1,
        "being refused by RBAC is no reason to log in again"
    );
}
