//! What a person accepted holds until a person accepts something else: the pins, and who may change them.

use e2e::front::Counter;
use e2e::idp::Idp;
use e2e::issuer::{Issuer, Prepared};
use e2e::machine::Machine;
use e2e::parts::{Part, present};
use e2e::world::Site;
use serde_json::{Value, json};

static SITE: Site = Site::new("acceptance");
const PARTS: &[Part] = &[Part::IdentityProvider, Part::Keyring];

struct Place {
    idp: Idp,
    issuer: Issuer,
    alice: Machine,
}

impl Place {
    /// An issuer that alice accepted by typing `login` with its URL.
    fn new(name: &'static str) -> Self {
        let dir = SITE.dir(name);
        let idp = Idp::start(&dir.join("idp"));
        let issuer = Prepared::init(&dir.join("issuer"), name, &idp).serve();
        let alice = Machine::new(&dir.join("alice"), "alice", &idp);
        login(&alice, &issuer, &[]).expect_ok();
        Self { idp, issuer, alice }
    }

    fn pins(&self) -> Value {
        let text = std::fs::read_to_string(self.alice.dir.join("state/gatepass/accepted.json"));
        serde_json::from_str(&text.expect("something was accepted")).expect("the pins are JSON")
    }
}

fn login(alice: &Machine, issuer: &Issuer, more: &[&str]) -> e2e::machine::Run {
    let ca = issuer.serving_ca_file().display().to_string();
    alice.gatepass(&[&["login", &issuer.url, "--issuer-ca", &ca], more].concat())
}

#[test]
fn another_cluster_id_is_refused_by_every_login_but_accept_change() {
    if !present(PARTS) {
        return;
    }
    let mut place = Place::new("cluster-id");
    let (pinned, logins) = (place.pins(), place.idp.stats().logins());
    place.issuer = place
        .issuer
        .serve_again(|config| config["cluster"]["id"] = json!("another-cluster"));
    let idp_ca = place.idp.ca_file.display().to_string();
    for more in [
        &[][..],
        &["--idp-ca", &idp_ca],
        &["--profile", "work"],
        &["--replaces", "https://localhost:1"],
    ] {
        let refused = login(&place.alice, &place.issuer, more);
        assert!(!refused.ok, "{more:?}: {refused:?}");
        assert!(
            refused.stderr.contains("another-cluster"),
            "{more:?}: {}",
            refused.stderr
        );
        assert!(
            refused.stderr.contains("--accept-change"),
            "{more:?}: {}",
            refused.stderr
        );
        assert_eq!(
            (place.pins(), place.idp.stats().logins()),
            (pinned.clone(), logins),
            "{more:?}"
        );
    }
    login(&place.alice, &place.issuer, &["--accept-change"]).expect_ok();
    assert_eq!(place.pins()["issuers"][0]["clusterId"], "another-cluster");
}

#[test]
fn fewer_scopes_are_a_change_and_more_stay_unused() {
    if !present(PARTS) {
        return;
    }
    let mut place = Place::new("scopes");
    let pinned = place.pins()["issuers"][0]["identityProvider"]["scopes"].clone();
    let scopes = |config: &mut Value| config["authentication"]["jwt"][0]["clients"][0]["scopes"].take();
    place.issuer = place.issuer.serve_again(|config| {
        let mut more = scopes(config);
        more.as_array_mut().expect("a list").push(json!("email"));
        config["authentication"]["jwt"][0]["clients"][0]["scopes"] = more;
    });
    login(&place.alice, &place.issuer, &[]).expect_ok();
    assert_eq!(place.pins()["issuers"][0]["identityProvider"]["scopes"], pinned);
    place.issuer = place
        .issuer
        .serve_again(|config| config["authentication"]["jwt"][0]["clients"][0]["scopes"] = json!(["openid"]));
    let refused = login(&place.alice, &place.issuer, &[]);
    assert!(
        !refused.ok && refused.stderr.contains("scopes"),
        "{}",
        refused.stderr
    );
}

#[test]
fn an_issuer_that_moved_is_accepted_only_by_naming_the_url_it_replaces() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("moved");
    let prepared = Prepared::init(&place.alice.dir.join("moved"), "moved", &place.idp);
    prepared.edit(|config| config["cluster"]["id"] = json!(place.issuer.cluster_id));
    let moved = prepared.serve();
    for more in [
        &[][..],
        &["--accept-change"],
        &["--replaces", "https://localhost:1"],
    ] {
        let refused = login(&place.alice, &moved, more);
        assert!(
            !refused.ok && refused.stderr.contains("--replaces"),
            "{more:?}: {}",
            refused.stderr
        );
    }
    login(&place.alice, &moved, &["--replaces", &place.issuer.url]).expect_ok();
    let issuers = place.pins()["issuers"].as_array().cloned().expect("a list");
    assert_eq!(issuers.len(), 1);
    assert_eq!(issuers[0]["url"], moved.url);
}

#[test]
fn the_configuration_files_ca_and_cluster_id_hold_against_any_kubeconfig_and_any_time() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("file");
    let idp = Idp::start(&dir.join("idp"));
    let issuer = Prepared::init(&dir.join("issuer"), "file", &idp).serve();
    let stranger = Prepared::init(&dir.join("stranger"), "stranger", &idp).serve();
    let alice = Machine::new(&dir.join("alice"), "alice", &idp);
    alice.accept(&issuer);
    // A kubeconfig that names another CA for the issuer, as if somebody sat in between.
    let mut command = alice.command("kubectl-gatepass");
    command
        .args(["get-credential", "--issuer", &issuer.url, "--issuer-ca"])
        .arg(stranger.serving_ca_file());
    let refused = alice.run(&mut command);
    assert!(
        !refused.ok && refused.stderr.contains("its CA"),
        "{}",
        refused.stderr
    );
    assert_eq!((issuer.connections(), alice.browsed().len()), (0, 0));

    alice.get_credential(&issuer).expect_ok();
    alice.configure(|config| config["issuers"][0]["clusterId"] = json!("expected"));
    let refused = alice.gatepass(&["login", &issuer.url]);
    assert!(
        !refused.ok && refused.stderr.contains("expected"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_kubeconfig_cannot_run_the_commands_of_a_person() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("commands");
    let stranger = Counter::start(place.issuer.upstream_port());
    let url = format!("https://localhost:{}", stranger.port);
    let before = (place.pins(), place.idp.stats().connections());
    for args in [
        &["login", &url, "--accept-change", "--browser-command", "/bin/true"][..],
        &["logout", "--all"],
        &["status"],
        &["doctor"],
    ] {
        let mut command = place.alice.command("kubectl-gatepass");
        command.args(args);
        let info = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#;
        command.env("KUBERNETES_EXEC_INFO", info);
        let refused = place.alice.run(&mut command);
        assert!(
            !refused.ok && refused.stderr.contains("only a person may"),
            "{args:?}: {}",
            refused.stderr
        );
        assert!(refused.stdout.is_empty(), "{args:?}");
    }
    assert_eq!(stranger.connections(), 0);
    assert_eq!((place.pins(), place.idp.stats().connections()), before);
    place.alice.get_credential(&place.issuer).expect_ok();
    assert_eq!(place.alice.browsed().len(), 1, "the session is still there");
}
