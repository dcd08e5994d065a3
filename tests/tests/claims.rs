//! Claims that would become names which are never issued: each is refused whole, nothing is trimmed.

use std::sync::OnceLock;

use e2e::exchange::{Login, Verdict};
use e2e::idp::Idp;
use e2e::issuer::{Issuer, Prepared};
use e2e::machine::Machine;
use e2e::parts::{Part, present};
use e2e::world::Site;
use gatepass_api::Code;
use serde_json::{Value, json};

static SITE: Site = Site::new("claims");

/// An issuer that maps claims without prefixes, and a login whose claims the provider will sign changed.
struct Place {
    idp: Idp,
    issuer: Issuer,
    alice: Login,
}

impl Place {
    fn new(name: &'static str) -> Self {
        let dir = SITE.dir(name);
        let idp = Idp::start(&dir.join("idp"));
        let issuer = Prepared::init(&dir.join("issuer"), name, &idp).serve();
        let alice = Login::new(&idp, "alice");
        Self { idp, issuer, alice }
    }

    fn claim(&self, change: &Value) -> Verdict {
        let token = self.idp.forge(&self.alice.id_token, change);
        self.alice
            .request(&self.issuer)
            .member("idToken", token)
            .send(&self.alice.keys.key, &self.issuer)
    }
}

fn place() -> Option<&'static Place> {
    static PLACE: OnceLock<Place> = OnceLock::new();
    present(&[Part::IdentityProvider]).then(|| PLACE.get_or_init(|| Place::new("shared")))
}

/// Never issued, neither as a username nor as a group.
fn forbidden() -> Vec<String> {
    let reserved = [
        "system:masters",
        "system:serviceaccount:x:y",
        "system:node:z",
        "system:",
        "kubeadm:cluster-admins",
        "gatepass:break-glass",
        "gatepass:session:aaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbbbb:1790000000:1790000600:cccccccccccccccccccccccccc",
        "break-glass:alice",
    ];
    let shapes = ["", " ", " alice", "alice ", "\talice", "alice\u{a0}"];
    let characters = [
        "al\0ice",
        "al\nice",
        "al\u{1b}[31mice",
        "al\u{7f}ice",
        "al\u{9b}ice",
    ];
    let formats = [
        "al\u{202e}eci",
        "al\u{2066}ice",
        "al\u{200b}ice",
        "al\u{feff}ice",
        "al\u{ad}ice",
        "al\u{e0041}ice",
    ];
    let names = reserved
        .into_iter()
        .chain(shapes)
        .chain(characters)
        .chain(formats);
    names.map(str::to_owned).chain(["x".repeat(10_240)]).collect()
}

#[test]
fn a_group_claim_with_a_reserved_empty_huge_or_deceptive_name_is_refused_whole() {
    let Some(place) = place() else { return };
    for name in forbidden() {
        let verdict = place.claim(&json!({"groups": ["dev", name]}));
        assert_eq!(
            (verdict.code.as_str(), verdict.status),
            ("forbidden_name", 403),
            "{name:?}: {}",
            verdict.body
        );
        assert!(verdict.body.get("certificate").is_none());
    }
    place
        .claim(&json!({"groups": ["dev", "subsystem:masters", "Größe"]}))
        .expect_issued();
}

#[test]
fn a_username_claim_with_a_reserved_empty_huge_or_deceptive_name_is_refused() {
    let Some(place) = place() else { return };
    for name in forbidden() {
        let verdict = place.claim(&json!({"preferred_username": name}));
        assert_eq!(
            (verdict.code.as_str(), verdict.status),
            ("forbidden_name", 403),
            "{name:?}: {}",
            verdict.body
        );
    }
    place
        .claim(&json!({"preferred_username": "x".repeat(254)}))
        .expect_refused(&Code::ForbiddenName);
    place
        .claim(&json!({"preferred_username": "x".repeat(253)}))
        .expect_issued();
    place
        .claim(&json!({"preferred_username": "Zoë Ångström"}))
        .expect_issued();
}

#[test]
fn a_claim_of_the_wrong_type_is_refused() {
    let Some(place) = place() else { return };
    for claims in [
        json!({"preferred_username": null}),
        json!({"preferred_username": ["alice"]}),
        json!({"groups": {"dev": true}}),
        json!({"groups": ["dev", 7]}),
    ] {
        let verdict = place.claim(&claims);
        assert!((400..404).contains(&verdict.status), "{claims}: {}", verdict.body);
    }
    // No groups at all is no fault: several providers leave an empty claim out.
    assert_eq!(
        place.claim(&json!({"groups": null})).expect_issued()["groups"],
        json!([])
    );
}

#[test]
fn a_person_whose_provider_says_system_masters_is_told_so_and_gets_nothing() {
    if !present(&[Part::IdentityProvider, Part::Keyring, Part::ControlPlane]) {
        return;
    }
    let dir = SITE.dir("masters");
    let idp = Idp::start(&dir.join("idp"));
    idp.user("alice", &json!({"groups": ["dev", "system:masters"]}));
    let issuer = Prepared::init(&dir.join("issuer"), "masters", &idp).serve();
    let alice = Machine::new(&dir.join("alice"), "alice", &idp);
    alice.accept(&issuer);
    let refused = alice.get_credential(&issuer);
    assert!(!refused.ok && refused.stdout.is_empty(), "{refused:?}");
    assert!(
        refused.stderr.contains("forbidden_name") && refused.stderr.contains("next:"),
        "{}",
        refused.stderr
    );
    assert_eq!(issuer.issued(), 0);
}
