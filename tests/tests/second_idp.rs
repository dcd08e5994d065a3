//! The main job at a second identity provider, whose habits are other than the first one's: see `tests/idp/second-idp.py`.

use e2e::clock::Clock;
use e2e::exchange::refresh;
use e2e::idp::NanoIdp;
use e2e::issuer::Prepared;
use e2e::machine::{Browser, Context, Machine, groups};
use e2e::parts::{Part, present};
use e2e::world::Site;
use serde_json::json;

static SITE: Site = Site::new("second_idp");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::SecondIdentityProvider,
    Part::Keyring,
    Part::Faketime,
];

#[test]
fn a_whole_session_at_another_identity_provider_from_login_by_renewal_without_a_nonce_to_logout() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("session");
    let clock = Clock::new(&dir, -3600);
    let idp = NanoIdp::start_at(&dir.join("idp"), Some(&clock));
    let prepared = Prepared::init_at(&dir.join("issuer"), "second", &idp, Some(&clock));
    // All that this provider's ID tokens say of a person.
    prepared.edit(|config| {
        config["authentication"]["jwt"][0]["claimMappings"] =
            json!({"username": {"claim": "sub", "prefix": "nano:"}});
    });
    SITE.cluster().trust(&prepared);
    let issuer = prepared.serve_at(Some(&clock));
    let alice = Machine::with(&dir.join("alice"), "alice", &idp, Browser::Fast, Some(&clock));
    alice.accept(&issuer);
    alice.kubeconfig(&[Context {
        name: "here",
        cluster: SITE.cluster(),
        issuer: &issuer,
    }]);

    alice.get_credential(&issuer).expect_ok();
    assert_eq!((alice.browsed().len(), issuer.issued()), (1, 1));
    let before = alice.kept_sessions();
    assert_eq!(before.len(), 1, "{before:?}");

    // An hour later the refreshed token lacks the nonce: the login token is the grant.
    clock.set(0);
    let user = alice.whoami();
    assert_eq!(user["username"], "nano:alice");
    assert_eq!(
        groups(&user),
        ["system:authenticated"],
        "its ID tokens hold no groups"
    );
    assert_eq!(
        (alice.browsed().len(), issuer.issued()),
        (1, 2),
        "renewed, and nobody was asked"
    );
    assert!(issuer.audit().iter().all(|record| record["bound"] == true));
    let after = &alice.kept_sessions()[0];
    assert_eq!(after["refreshed"]["hasNonce"], false);
    assert_ne!(after["refreshToken"], before[0]["refreshToken"], "rotated");

    let token = after["refreshToken"].as_str().expect("a refresh token");
    let said = alice.gatepass(&["logout"]).expect_ok();
    assert!(
        said.stderr.contains("refresh token is revoked"),
        "{}",
        said.stderr
    );
    assert!(alice.keyring_secrets().is_empty() && alice.kernel_credentials() == 0);
    assert_eq!(refresh(&idp, token)["error"], "invalid_grant");

    // And another login is as good as the first.
    assert_eq!(alice.whoami()["username"], "nano:alice");
    assert_eq!(alice.browsed().len(), 2);
}
