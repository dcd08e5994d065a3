//! Everything an issuer reads changes while it serves: no restart, no failed request, no half of two configurations.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::BASE32_NOPAD;
use e2e::exchange::{Login, post};
use e2e::http::Http;
use e2e::idp::Idp;
use e2e::issuer::{Issuer, Prepared};
use e2e::machine::{Context, Machine, groups};
use e2e::parts::{Part, present};
use e2e::pki::Authority;
use e2e::process::until;
use e2e::world::{Site, World};
use gatepass_api::Code;
use serde_json::{Value, json};

static SITE: Site = Site::new("rotation");
/// Several looks at the files, on a slow machine.
const SOON: Duration = Duration::from_secs(40);

/// Puts a file with a secret in place in one step, as a careful operator does.
fn put(dir: &Path, name: &str, text: &str) {
    let new = dir.join(format!("{name}.new"));
    std::fs::write(&new, text).expect("the scratch directory is writable");
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).expect("our own file");
    std::fs::rename(&new, dir.join(name)).expect("a file can be renamed within its directory");
}

fn problems(issuer: &Issuer) -> u64 {
    let readiness = issuer.readiness();
    assert_eq!(
        (readiness.status, &readiness.json()["ready"]),
        (200, &json!(true)),
        "nothing that is on disk makes it unready"
    );
    readiness.json()["configuration"]["problems"]
        .as_u64()
        .expect("a number")
}

fn until_problems(issuer: &Issuer, count: u64) {
    until(&format!("it reports {count} problems"), SOON, || {
        (problems(issuer) == count).then_some(())
    });
}

/// Changes the configuration, asks for a reload and waits for it.
fn reload(issuer: &Issuer, change: impl FnOnce(&mut Value)) {
    let reloads = || issuer.log().matches(r#""message":"reloaded""#).count();
    let before = reloads();
    issuer.edit(change);
    issuer.hang_up();
    until("it has reloaded", SOON, || (reloads() > before).then_some(()));
}

/// Makes `change` while certificates are asked for without pause, over kept and over new connections; every one is issued.
/// Gives their number.
fn under_load(issuer: &Issuer, login: &Login, change: impl FnOnce()) -> usize {
    let asked = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Dropped however `change` ends, which ends the threads.
        let _ends = [false, true].map(|fresh| {
            let (go_on, ended) = channel::<()>();
            let asked = &asked;
            scope.spawn(move || {
                while ended.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                    let (proof, body) = login.request(issuer).signed(&login.keys.key);
                    let anew = fresh.then(|| Http::trusting(&issuer.serving_ca));
                    let http = anew.as_ref().unwrap_or(&issuer.http);
                    post(http, &issuer.url, Some(&proof), body).expect_issued();
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
            go_on
        });
        change();
    });
    asked.into_inner()
}

/// What `openssl x509` says of the certificate that a new connection gets.
fn served(issuer: &Issuer) -> String {
    let script = "openssl s_client -connect \"$0\" </dev/null 2>/dev/null | openssl x509";
    let out = Command::new("sh")
        .args(["-c", script, &format!("127.0.0.1:{}", issuer.upstream_port())])
        .output()
        .expect("sh runs");
    String::from_utf8(out.stdout).expect("PEM")
}

fn same(pem: &str, other: &str) -> bool {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<String>();
    lines(pem) == lines(other)
}

#[test]
fn a_new_serving_certificate_is_taken_by_itself_and_no_request_fails() {
    if !present(&[Part::IdentityProvider]) {
        return;
    }
    let dir = SITE.dir("serving");
    let idp = Idp::start(&dir.join("idp"));
    let prepared = Prepared::init(&dir.join("issuer"), "serving", &idp);
    // `init` drops its authority's key: this one goes on signing.
    let authority = Authority::new("serving certificates of the test");
    let (old, new) = (authority.server(), authority.server());
    put(&prepared.dir, "serving-ca.crt", &authority.pem());
    put(&prepared.dir, "serving.crt", &old.certificate);
    put(&prepared.dir, "serving.key", &old.key);
    let issuer = prepared.serve();
    assert!(same(&served(&issuer), &old.certificate));
    let login = Login::new(&idp, "alice");
    let asked = under_load(&issuer, &login, || {
        // Half of a pair, for long enough to be seen; then the other half.
        put(issuer.dir(), "serving.crt", &new.certificate);
        until_problems(&issuer, 1);
        assert!(same(&served(&issuer), &old.certificate));
        put(issuer.dir(), "serving.key", &new.key);
        until("the new certificate is served", SOON, || {
            same(&served(&issuer), &new.certificate).then_some(())
        });
    });
    assert!(asked > 20, "a load, not a trickle: {asked}");
    assert_eq!(issuer.issued(), asked, "each was answered with what was recorded");
    until_problems(&issuer, 0);
    let bob = Machine::without_desktop(&dir.join("bob"), "bob", &idp, None);
    bob.accept(&issuer);
    bob.get_credential(&issuer).expect_ok();
}

/// The machine of a person without a desktop, at this world.
fn person(world: &World<'_>, user: &str) -> Machine {
    let machine = Machine::without_desktop(&world.dir.join(user), user, &world.idp, None);
    machine.accept(&world.issuer);
    machine.kubeconfig(&[Context {
        name: "here",
        cluster: world.cluster,
        issuer: &world.issuer,
    }]);
    machine
}

fn is_signed_by(machine: &Machine, issuer: &Issuer, authority: &Path) -> bool {
    let printed = machine.get_credential(issuer).expect_ok().json();
    let certificate = printed["status"]["clientCertificateData"].as_str();
    let file = machine.dir.join("printed.crt");
    std::fs::write(&file, certificate.expect("a certificate")).expect("the scratch directory is writable");
    let verify = Command::new("openssl")
        .args(["verify", "-purpose", "sslclient", "-CAfile"])
        .args([authority, &file])
        .output();
    verify.expect("openssl runs").status.success()
}

#[test]
fn certificates_of_a_new_authority_are_accepted_beside_the_old_ones_and_nothing_restarts() {
    if !present(&[Part::ControlPlane, Part::IdentityProvider]) {
        return;
    }
    let world = World::new(&SITE, "authority");
    let (alice, bob) = (person(&world, "alice"), person(&world, "bob"));
    assert_eq!(alice.whoami()["username"], "alice");
    let old = world.dir.join("old-ca.crt");
    std::fs::copy(world.issuer.dir().join("ca.crt"), &old).expect("init wrote ca.crt");
    assert!(is_signed_by(&alice, &world.issuer, &old));

    // In the order that the handbook gives: first the API server, then the issuer.
    let next = Prepared::init(&world.dir.join("next"), "authority", &world.idp);
    world.cluster.trust(&next);
    let login = Login::new(&world.idp, "alice");
    under_load(&world.issuer, &login, || {
        for name in ["ca.crt", "ca.key"] {
            let text = std::fs::read_to_string(next.dir.join(name)).expect("init wrote it");
            put(world.issuer.dir(), name, &text);
        }
        reload(&world.issuer, |_| {});
    });
    assert_eq!(bob.whoami()["username"], "bob");
    assert!(is_signed_by(&bob, &world.issuer, &next.dir.join("ca.crt")));
    assert!(!is_signed_by(&bob, &world.issuer, &old));
    assert_eq!(alice.whoami()["username"], "alice");
    assert!(
        is_signed_by(&alice, &world.issuer, &old),
        "hers is still the old one"
    );
    assert_eq!(world.issuer.log().matches(r#""message":"listening""#).count(), 1);
}

#[test]
fn a_broken_configuration_changes_nothing_and_is_named_until_it_is_mended() {
    if !present(&[Part::ControlPlane, Part::IdentityProvider]) {
        return;
    }
    let world = World::new(&SITE, "broken");
    let (alice, bob) = (person(&world, "alice"), person(&world, "bob"));
    world.issuer.edit(|config| {
        config["authentication"]["jwt"][0]["claimMappings"]["groups"]["prefix"] = "new:".into();
        config["certificate"]["ttl"] = "2h".into();
        config["sesion"] = json!({"maxAge": "1h"});
    });
    until_problems(&world.issuer, 2);
    assert_eq!(
        groups(&alice.whoami()),
        ["dev", "ops", "system:authenticated"],
        "not half of what was written is in force"
    );
    let log = world.issuer.log();
    assert!(
        log.contains("certificate.ttl") && log.contains("sesion: unknown key"),
        "{log}"
    );
    world.issuer.edit(|config| {
        config["certificate"]["ttl"] = "10m".into();
        config.as_object_mut().expect("a mapping").remove("sesion");
    });
    until_problems(&world.issuer, 0);
    assert_eq!(groups(&bob.whoami()), ["new:dev", "system:authenticated"]);
    let refusals = world.issuer.log().matches("not reloaded").count();
    assert_eq!(refusals, 1, "one content, one line");
}

#[test]
fn a_provider_that_is_taken_out_ends_at_once_and_one_that_stays_is_not_asked_again() {
    if !present(&[Part::IdentityProvider]) {
        return;
    }
    let dir = SITE.dir("providers");
    let (idp, other) = (Idp::start(&dir.join("idp")), Idp::start(&dir.join("other")));
    let issuer = Prepared::init(&dir.join("issuer"), "providers", &idp).serve();
    let (alice, stranger) = (Login::new(&idp, "alice"), Login::new(&other, "alice"));
    let ask = |login: &Login| login.request(&issuer).send(&login.keys.key, &issuer);
    ask(&alice).expect_issued();
    ask(&stranger).expect_refused(&Code::UnknownIdp);

    reload(&issuer, |config| {
        let providers = config["authentication"]["jwt"].as_array_mut().expect("a list");
        let mut second = providers[0].clone();
        second["issuer"]["url"] = json!(other.issuer);
        second["issuer"]["certificateAuthority"] = json!(other.ca);
        second["claimMappings"]["username"]["prefix"] = "other:".into();
        providers[0]["claimMappings"]["username"]["prefix"] = "first:".into();
        // Before the first, so that positions change.
        providers.insert(0, second);
    });
    // What is known of the first serves on though nobody can ask it.
    idp.set(&json!({"fail": {"*": "reset"}}));
    assert_eq!(ask(&alice).expect_issued()["username"], "first:alice");
    assert_eq!(ask(&stranger).expect_issued()["username"], "other:alice");

    reload(&issuer, |config| {
        config["authentication"]["jwt"]
            .as_array_mut()
            .expect("a list")
            .remove(0);
    });
    ask(&stranger).expect_refused(&Code::UnknownIdp);
    ask(&alice).expect_issued();
}

/// The marker's tag as the protocol computes it: HMAC over fields that are each preceded by their length.
fn tag(key: &str, issued: &Value, cluster: &str, marker: &[&str]) -> String {
    let key = STANDARD.decode(key.trim()).expect("base64");
    let text = |name: &str| issued[name].as_str().expect("a text");
    let mut fields = vec!["gatepass/marker/v1", cluster, text("username"), text("session")];
    fields.extend(&marker[3..5]);
    let mut sorted: Vec<_> = issued["groups"].as_array().expect("a list").iter().collect();
    sorted.sort_by_key(|group| group.as_str());
    fields.extend(sorted.iter().map(|group| group.as_str().expect("a text")));
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    for field in fields {
        context.update(&u32::try_from(field.len()).expect("short").to_be_bytes());
        context.update(field.as_bytes());
    }
    BASE32_NOPAD.encode(&context.sign().as_ref()[..16]).to_lowercase()
}

fn marker_of(issued: &Value, dir: &Path) -> String {
    let file = dir.join("marked.crt");
    std::fs::write(&file, issued["certificate"].as_str().expect("PEM")).expect("the directory is writable");
    let out = Command::new("openssl")
        .args([
            "x509",
            "-noout",
            "-subject",
            "-nameopt",
            "sep_multiline,utf8",
            "-in",
        ])
        .arg(&file)
        .output()
        .expect("openssl runs");
    let subject = String::from_utf8(out.stdout).expect("text");
    let marker = subject
        .lines()
        .find_map(|line| line.trim().strip_prefix("O=gatepass:"));
    format!("gatepass:{}", marker.expect("a marker"))
}

#[test]
fn marker_keys_move_through_the_list_as_the_handbook_says() {
    if !present(&[Part::IdentityProvider]) {
        return;
    }
    let dir = SITE.dir("marker");
    let idp = Idp::start(&dir.join("idp"));
    let issuer = Prepared::init(&dir.join("issuer"), "marker", &idp).serve();
    let login = Login::new(&idp, "alice");
    let old = std::fs::read_to_string(issuer.dir().join("marker.key")).expect("init wrote it");
    let new = STANDARD.encode(digest::digest(&digest::SHA256, old.as_bytes()));
    put(issuer.dir(), "marker-2.key", &new);
    let made_by = |key: &str| {
        let verdict = login.request(&issuer).send(&login.keys.key, &issuer);
        let issued = verdict.expect_issued();
        let marker = marker_of(issued, &dir);
        let parts: Vec<_> = marker.split(':').collect();
        assert_eq!(parts.len(), 6, "{marker}");
        parts[5] == tag(key, issued, &issuer.cluster_id, &parts)
    };
    assert!(made_by(&old));
    let keys = |keys: &[&str]| reload(&issuer, |config| config["marker"]["keys"] = json!(keys));
    keys(&["marker.key", "marker-2.key"]);
    assert!(made_by(&old), "the last only verifies");
    keys(&["marker-2.key", "marker.key"]);
    assert!(made_by(&new), "the first makes");
    keys(&["marker-2.key"]);
    assert!(made_by(&new));
}
