//! Accounts, identity providers and clusters share nothing on one machine, and logging out of one keeps the others.

use std::collections::BTreeSet;
use std::process::Command;

use e2e::cluster::Cluster;
use e2e::exchange::refresh;
use e2e::idp::{NanoIdp, Provider};
use e2e::issuer::{Issuer, Prepared};
use e2e::machine::{Context, Machine, groups};
use e2e::parts::{Part, control_plane, present};
use e2e::world::{Site, World};
use serde_json::{Value, json};

static SITE: Site = Site::new("separation");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::IdentityProvider,
    Part::SecondIdentityProvider,
    Part::Keyring,
    Part::Faketime,
];

/// The claims of a token, unverified.
fn claims(token: &Value) -> Value {
    let payload = token.as_str().and_then(|token| token.split('.').nth(1));
    serde_json::from_slice(&fakes::unb64(payload.expect("a JWT"))).expect("JSON")
}

/// `userInfo` as the API server of a context sees it.
fn whoami(machine: &Machine, context: &str) -> Value {
    let context = format!("--context={context}");
    let run = machine
        .kubectl(&[&context, "auth", "whoami", "-o", "json"])
        .expect_ok();
    run.json()["status"]["userInfo"].clone()
}

/// The session whose latest tokens say that `claim` is `value`; the test fails unless there is exactly one, and unless all its
/// tokens agree.
fn session(machine: &Machine, claim: &str, value: &str) -> Value {
    let kept = machine.kept_sessions();
    let ours: Vec<_> = kept
        .into_iter()
        .filter(|session| claims(&session["loginToken"])[claim] == value)
        .collect();
    assert_eq!(ours.len(), 1, "one session whose {claim} is {value}");
    assert_eq!(
        claims(&ours[0]["refreshed"]["token"])[claim],
        value,
        "its refreshed token, too"
    );
    ours[0].clone()
}

/// The test fails if two sessions have any secret in common.
#[track_caller]
fn assert_share_nothing(one: &Value, two: &Value) {
    let secrets = |session: &Value| -> BTreeSet<String> {
        let values = ["key", "salt", "loginToken", "refreshToken"].map(|name| session[name].clone());
        let values = values.into_iter().chain([session["refreshed"]["token"].clone()]);
        values
            .map(|value| value.as_str().expect("text").to_owned())
            .collect()
    };
    let (one, two) = (secrets(one), secrets(two));
    assert_eq!((one.len(), two.len()), (5, 5));
    assert!(one.is_disjoint(&two));
}

#[track_caller]
fn assert_dead(session: &Value, idp: &Provider) {
    let said = refresh(idp, session["refreshToken"].as_str().expect("text"));
    assert_eq!(said["error"], "invalid_grant", "{said}");
}

/// Presents the token, which rotates it: the last thing that can be asked of a session.
#[track_caller]
fn assert_alive(session: &Value, idp: &Provider) {
    let said = refresh(idp, session["refreshToken"].as_str().expect("text"));
    assert!(said["id_token"].is_string(), "{said}");
}

/// Usernames and groups of all certificates that an issuer has issued.
fn issued(issuer: &Issuer) -> BTreeSet<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let issued = issuer.audit().into_iter();
    issued
        .filter(|record| record["credentialId"].is_string())
        .map(|record| {
            let groups = record["groups"].as_array().expect("a list").iter().map(text);
            let groups = groups.filter(|group| !group.starts_with("gatepass:")).collect();
            (text(&record["username"]), groups)
        })
        .collect()
}

fn user(name: &str, groups: &[&str]) -> (String, Vec<String>) {
    (
        name.into(),
        groups.iter().map(|group| (*group).to_owned()).collect(),
    )
}

#[test]
fn two_accounts_at_one_provider_share_nothing_and_one_logs_out_alone() {
    if !present(PARTS) {
        return;
    }
    let world = World::at(&SITE, "accounts", Some(-3600));
    let person = world.machine("alice");
    let mut kubeconfig = person.read_kubeconfig();
    let mut exec = Machine::exec_stanza();
    exec["args"] = json!(["get-credential", "--profile", "work"]);
    let add = |list: &mut Value, entry| list.as_array_mut().expect("a list").push(entry);
    add(
        &mut kubeconfig["users"],
        json!({"name": "work", "user": {"exec": exec}}),
    );
    add(
        &mut kubeconfig["contexts"],
        json!({"name": "work", "context": {"cluster": "here", "user": "work"}}),
    );
    person.write_kubeconfig(&kubeconfig);

    person.get_credential(&world.issuer).expect_ok();
    person.log_in_as("bob");
    let mut at_work = person.get_credential_command(&world.issuer);
    person.run(at_work.args(["--profile", "work"])).expect_ok();
    assert_eq!(person.browsed().len(), 2);

    // An hour later each renews with what is its own.
    world.clock.as_ref().expect("a clock").set(0);
    let (home, work) = (whoami(&person, "here"), whoami(&person, "work"));
    assert_eq!(
        (&home["username"], &work["username"]),
        (&json!("alice"), &json!("bob"))
    );
    assert_eq!(groups(&home), ["dev", "ops", "system:authenticated"]);
    assert_eq!(groups(&work), ["dev", "system:authenticated"]);
    assert_ne!(home["uid"], work["uid"]);
    assert_eq!(person.browsed().len(), 2, "nobody was asked again");
    assert_eq!(
        issued(&world.issuer),
        BTreeSet::from([user("alice", &["dev", "ops"]), user("bob", &["dev"])])
    );
    assert_eq!(person.kernel_credentials(), 2);
    let (alice, bob) = (session(&person, "sub", "alice"), session(&person, "sub", "bob"));
    assert_share_nothing(&alice, &bob);

    person.gatepass(&["logout", "--profile", "work"]).expect_ok();
    assert_dead(&bob, &world.idp);
    let script = person.kubectl_without_terminal(&["--context=work", "auth", "whoami"]);
    assert!(
        !script.ok && script.stderr.contains("--profile work"),
        "it names whom to log in, and takes nobody else: {}",
        script.stderr
    );
    assert_eq!(
        whoami(&person, "here")["extra"],
        home["extra"],
        "alice has the credential she had"
    );
    assert_eq!(person.kept_sessions(), std::slice::from_ref(&alice));
    assert_alive(&alice, &world.idp);
}

#[test]
fn one_account_at_two_providers_is_two_people_to_every_cluster() {
    if !present(PARTS) {
        return;
    }
    let world = World::at(&SITE, "providers", Some(-3600));
    let nano = NanoIdp::start_at(&world.dir.join("nano"), world.clock.as_ref());
    let prepared = Prepared::init_at(
        &world.dir.join("nano-issuer"),
        "nano",
        &nano,
        world.clock.as_ref(),
    );
    prepared.edit(|config| {
        config["authentication"]["jwt"][0]["claimMappings"] =
            json!({"username": {"claim": "sub", "prefix": "nano:"}});
    });
    world.cluster.trust(&prepared);
    let nano_issuer = prepared.serve_at(world.clock.as_ref());
    let person = world.machine("alice");
    person.knows(&nano);
    person.accept(&nano_issuer);
    let contexts = [("here", &world.issuer), ("nano", &nano_issuer)].map(|(name, issuer)| Context {
        name,
        cluster: world.cluster,
        issuer,
    });
    person.kubeconfig(&contexts);
    person.get_credential(&world.issuer).expect_ok();
    person.get_credential(&nano_issuer).expect_ok();

    world.clock.as_ref().expect("a clock").set(0);
    let (one, two) = (whoami(&person, "here"), whoami(&person, "nano"));
    assert_eq!(
        (&one["username"], &two["username"]),
        (&json!("alice"), &json!("nano:alice"))
    );
    assert_eq!(groups(&one), ["dev", "ops", "system:authenticated"]);
    assert_eq!(
        groups(&two),
        ["system:authenticated"],
        "no group of the other provider's"
    );
    assert_ne!(
        one["uid"], two["uid"],
        "the same sub is somebody else at another provider"
    );
    assert_eq!(person.browsed().len(), 2, "one login at each");
    assert_eq!(
        issued(&world.issuer),
        BTreeSet::from([user("alice", &["dev", "ops"])])
    );
    assert_eq!(issued(&nano_issuer), BTreeSet::from([user("nano:alice", &[])]));
    let (at_idp, at_nano) = (
        session(&person, "iss", &world.idp.issuer),
        session(&person, "iss", &nano.issuer),
    );
    assert_share_nothing(&at_idp, &at_nano);

    person.gatepass(&["logout", &nano_issuer.url]).expect_ok();
    assert_dead(&at_nano, &nano);
    assert_eq!(whoami(&person, "here")["extra"], one["extra"]);
    assert_eq!(person.kept_sessions(), std::slice::from_ref(&at_idp));
    assert_eq!(person.kernel_credentials(), 1);
    assert_alive(&at_idp, &world.idp);
}

#[test]
fn two_clusters_share_a_session_and_never_a_credential() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "clusters");
    let there = Cluster::start(&SITE.dir("there"));
    let prepared = Prepared::init(&world.dir.join("there"), "there", &world.idp);
    prepared.edit(|config| {
        let mappings = &mut config["authentication"]["jwt"][0]["claimMappings"];
        mappings["username"]["prefix"] = json!("there:");
        mappings["groups"]["prefix"] = json!("there:");
    });
    there.trust(&prepared);
    let issuer_there = prepared.serve();
    let alice = world.machine("alice");
    alice.accept(&issuer_there);
    alice.kubeconfig(&[
        Context {
            name: "here",
            cluster: world.cluster,
            issuer: &world.issuer,
        },
        Context {
            name: "there",
            cluster: &there,
            issuer: &issuer_there,
        },
    ]);
    let (at_one, at_other) = (whoami(&alice, "here"), whoami(&alice, "there"));
    assert_eq!(groups(&at_one), ["dev", "ops", "system:authenticated"]);
    assert_eq!(
        groups(&at_other),
        ["there:dev", "there:ops", "system:authenticated"]
    );
    assert_eq!(at_other["username"], "there:alice");
    assert_ne!(
        at_one["extra"], at_other["extra"],
        "each has a certificate of its own"
    );
    assert_eq!((world.issuer.issued(), issuer_there.issued()), (1, 1));
    assert_eq!(
        (alice.browsed().len(), alice.kept_sessions().len()),
        (1, 1),
        "one login"
    );
    assert_eq!(alice.kernel_credentials(), 2);

    // What the one cluster accepts is nobody at the other.
    let credential = alice.get_credential(&world.issuer).expect_ok().json()["status"].clone();
    let file = |name: &str, what: &str| {
        let path = world.dir.join(name);
        std::fs::write(&path, credential[what].as_str().expect("PEM"))
            .expect("the scratch directory is writable");
        path
    };
    let (certificate, key) = (
        file("here.crt", "clientCertificateData"),
        file("here.key", "clientKeyData"),
    );
    let version_at = |cluster: &Cluster| {
        let ca = world.dir.join("server.crt");
        std::fs::write(&ca, &cluster.ca).expect("the scratch directory is writable");
        Command::new(control_plane("kubectl"))
            .args([
                "--kubeconfig=/dev/null",
                "--server",
                &cluster.url,
                "--certificate-authority",
            ])
            .arg(ca)
            .arg("--client-certificate")
            .arg(&certificate)
            .arg("--client-key")
            .arg(&key)
            .args(["get", "--raw=/version"])
            .env("HOME", &world.dir)
            .output()
            .expect("kubectl runs")
    };
    assert!(version_at(world.cluster).status.success());
    let refused = version_at(&there);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("must be logged in"),
        "{said}"
    );

    // One session, so one logout for both.
    let kept = alice.kept_sessions().remove(0);
    let done = alice.gatepass(&["logout", &issuer_there.url]).expect_ok();
    assert!(
        done.stderr.contains("clusters, there") || done.stderr.contains("there, clusters"),
        "it names both clusters: {}",
        done.stderr
    );
    assert_eq!((alice.kernel_credentials(), alice.kept_sessions().len()), (0, 0));
    assert_dead(&kept, &world.idp);
}
