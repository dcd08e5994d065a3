//! A kubeconfig is other people's text. What one may not do, acted out: nothing is sent, nothing runs, and the message
//! says what a person would type.

use std::path::Path;

use e2e::cluster::base64;
use e2e::front::Counter;
use e2e::idp::Idp;
use e2e::issuer::{Issuer, Prepared};
use e2e::machine::{Machine, Run};
use e2e::parts::{Part, present};
use e2e::world::Site;
use serde_json::{Value, json};

static SITE: Site = Site::new("kubeconfig_limits");
const PARTS: &[Part] = &[Part::ControlPlane, Part::IdentityProvider, Part::Keyring];

struct Place {
    idp: Idp,
    issuer: Issuer,
    alice: Machine,
}

impl Place {
    /// Alice has accepted the issuer and never logged in: the least that a hostile kubeconfig could abuse.
    fn new(name: &'static str) -> Self {
        let dir = SITE.dir(name);
        let idp = Idp::start(&dir.join("idp"));
        let issuer = Prepared::init(&dir.join("issuer"), name, &idp).serve();
        let alice = Machine::new(&dir.join("alice"), "alice", &idp);
        alice.accept(&issuer);
        Self { idp, issuer, alice }
    }

    /// What alice's kubectl does with a kubeconfig whose exec stanza and extension somebody else wrote.
    fn kubectl_with(&self, change: impl FnOnce(&mut Value, &mut Value)) -> Run {
        self.write(change);
        self.alice.kubectl(&["get", "--raw=/version"])
    }

    fn write(&self, change: impl FnOnce(&mut Value, &mut Value)) {
        let mut exec = Machine::exec_stanza();
        let mut extension =
            json!({"issuer": self.issuer.url, "certificateAuthorityData": base64(&self.issuer.serving_ca)});
        change(&mut exec, &mut extension);
        self.alice.write_kubeconfig(&json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "theirs",
            "contexts": [{"name": "theirs", "context": {"cluster": "theirs", "user": "theirs"}}],
            "users": [{"name": "theirs", "user": {"exec": exec}}],
            "clusters": [{"name": "theirs", "cluster": {
                "server": "https://127.0.0.1:1",
                "insecure-skip-tls-verify": true,
                "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": extension}],
            }}],
        }));
    }

    /// Connections to everybody who could be sent something.
    fn contacts(&self) -> u64 {
        self.issuer.connections() + self.idp.stats().connections()
    }
}

#[test]
fn an_issuer_that_nobody_accepted_is_sent_nothing() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("unknown-issuer");
    let before = place.contacts();
    // A stranger's issuer that would answer, were it asked.
    let stranger = Counter::start(place.issuer.upstream_port());
    let url = format!("https://localhost:{}", stranger.port);
    place.write(|_, extension| extension["issuer"] = json!(url));
    let refused = place.alice.kubectl_without_terminal(&["get", "--raw=/version"]);
    assert!(
        !refused.ok && refused.stderr.contains("issuer_not_accepted"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains(&format!("kubectl-gatepass login {url}")),
        "{}",
        refused.stderr
    );
    assert_eq!((stranger.connections(), place.contacts()), (0, before));
    assert!(place.alice.browsed().is_empty());

    // At a terminal it is asked who it is, as ssh asks a host, and a person who does not say yes has logged in nowhere.
    let declined = place.alice.kubectl(&["get", "--raw=/version"]);
    assert!(!declined.ok, "{declined:?}");
    assert_eq!(
        (stranger.connections(), place.contacts()),
        (1, before),
        "it was asked once, and nobody else was"
    );
    assert!(place.alice.browsed().is_empty());
    assert_eq!((place.idp.stats().logins(), place.issuer.issued()), (0, 0));
}

#[test]
fn a_kubeconfig_sets_nothing_but_the_issuer_its_ca_and_the_profile() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("settings");
    let before = place.contacts();
    let bait = place.alice.dir.join("bait");
    std::fs::write(&bait, "#!/bin/sh\ntouch \"$0-was-taken\"\n").expect("the scratch directory is writable");
    make_executable(&bait);
    let bait = bait.display().to_string();

    let refused = |what: &str, run: &Run| {
        assert!(!run.ok, "{what}: {run:?}");
        assert_eq!(place.contacts(), before, "{what}: nothing is sent");
        assert!(place.alice.browsed().is_empty(), "{what}: no browser");
        assert!(
            !Path::new(&format!("{bait}-was-taken")).exists(),
            "{what}: nothing runs"
        );
    };
    for name in [
        "BROWSER_COMMAND",
        "TOKEN_FILE",
        "ID_TOKEN",
        "STORE",
        "IDP_CA",
        "FLOW",
        "LOG",
        "ANYTHING",
    ] {
        let variable = format!("GATEPASS_{name}");
        let run = place.kubectl_with(|exec, _| exec["env"] = json!([{"name": variable, "value": bait}]));
        refused(&variable, &run);
        assert!(
            run.stderr.contains(&variable),
            "it names what is refused: {}",
            run.stderr
        );
        assert!(
            run.stderr.contains("kubectl-gatepass login"),
            "it says what to type: {}",
            run.stderr
        );
    }
    for key in [
        "browserCommand",
        "tokenFile",
        "store",
        "identityProviders",
        "idpCertificateAuthority",
        "anything",
    ] {
        let run = place.kubectl_with(|_, extension| extension[key] = json!(bait));
        refused(key, &run);
        assert!(
            run.stderr.contains(key),
            "it names what is refused: {}",
            run.stderr
        );
        assert!(
            run.stderr.contains("kubectl-gatepass login"),
            "it says what to type: {}",
            run.stderr
        );
    }
    for argument in [
        "--browser-command",
        "--idp-ca",
        "--idp",
        "--store",
        "--token-file",
        "--accept-change",
        "--config",
    ] {
        let run = place.kubectl_with(|exec, _| exec["args"] = json!(["get-credential", argument, bait]));
        refused(argument, &run);
        assert!(
            run.stderr.contains(argument),
            "it names what is refused: {}",
            run.stderr
        );
    }

    // What it may set, it may.
    let allowed = place.kubectl_with(|exec, extension| {
        exec["env"] = json!([{"name": "GATEPASS_ISSUER", "value": place.issuer.url}, {"name": "GATEPASS_PROFILE", "value": "work"}]);
        extension["profile"] = json!("work");
    });
    assert_eq!(place.issuer.issued(), 1, "{}", allowed.stderr);
}

#[test]
fn the_clusters_ca_and_insecure_skip_tls_verify_say_nothing_about_the_issuer() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("tls");
    // The same issuer, accepted without the CA that would make it trusted; the kubeconfig says to trust anybody.
    place
        .alice
        .configure(|config| config["issuers"] = json!([{"url": place.issuer.url}]));
    let refused = place.kubectl_with(|_, extension| {
        extension
            .as_object_mut()
            .expect("an object")
            .remove("certificateAuthorityData");
    });
    assert!(
        !refused.ok && refused.stderr.contains("certificate"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        (place.idp.stats().connections(), place.issuer.issued()),
        (1, 0),
        "only the issuer asked for keys"
    );
    assert!(place.alice.browsed().is_empty());
}

#[test]
fn interactive_mode_never_and_a_missing_terminal_open_no_browser() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("never");
    let run = place.kubectl_with(|exec, _| exec["interactiveMode"] = json!("Never"));
    assert!(
        !run.ok && run.stderr.contains("kubectl-gatepass login"),
        "{}",
        run.stderr
    );
    let run = place.alice.kubectl_without_terminal(&["get", "--raw=/version"]);
    assert!(
        !run.ok && run.stderr.contains("kubectl-gatepass login"),
        "{}",
        run.stderr
    );
    assert!(place.alice.browsed().is_empty());
}

// ---- issuers that are not what they say --------------------------------------------------------

#[test]
fn an_issuer_that_claims_anothers_url_is_not_used() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("claims-url");
    let prepared = Prepared::init(&place.alice.dir.join("liar"), "liar", &place.idp);
    let asked = prepared.url();
    prepared.edit(|config| config["cluster"]["url"] = json!(place.issuer.url));
    let liar = prepared.serve();
    let ca = liar.serving_ca_file().display().to_string();
    let refused = place.alice.gatepass(&["login", &asked, "--issuer-ca", &ca]);
    assert!(
        !refused.ok && refused.stderr.contains(&place.issuer.url),
        "{}",
        refused.stderr
    );
    assert!(place.alice.browsed().is_empty());
    assert_eq!((place.idp.stats().logins(), liar.issued()), (0, 0));
}

#[test]
fn an_issuer_that_claims_anothers_cluster_id_is_not_used() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("claims-id");
    place.alice.get_credential(&place.issuer).expect_ok();
    let prepared = Prepared::init(&place.alice.dir.join("liar"), "liar", &place.idp);
    prepared.edit(|config| config["cluster"]["id"] = json!(place.issuer.cluster_id));
    let liar = prepared.serve();
    let ca = liar.serving_ca_file().display().to_string();
    let refused = place.alice.gatepass(&["login", &liar.url, "--issuer-ca", &ca]);
    assert!(
        !refused.ok && refused.stderr.contains(&place.issuer.cluster_id),
        "{}",
        refused.stderr
    );
    assert_eq!(
        (
            place.alice.browsed().len(),
            place.idp.stats().logins(),
            liar.issued()
        ),
        (1, 1, 0)
    );
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("our own file");
}
