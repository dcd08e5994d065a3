//! One login in a real browser.

use std::fs;
use std::time::Duration;

use e2e::machine::{Browser, Context, Machine};
use e2e::parts::{Part, present};
use e2e::process::until;
use e2e::world::{Site, World};

static SITE: Site = Site::new("browser");

#[test]
fn a_person_accepts_the_issuer_by_typing_login_and_logs_in_with_chromium() {
    if !present(&[
        Part::ControlPlane,
        Part::IdentityProvider,
        Part::Keyring,
        Part::Chromium,
    ]) {
        return;
    }
    let world = World::new(&SITE, "chromium");
    let alice = Machine::with(
        &world.dir.join("alice"),
        "alice",
        &world.idp,
        Browser::Chromium,
        None,
    );
    let ca = world.issuer.serving_ca_file().display().to_string();
    let login = alice
        .gatepass(&["login", &world.issuer.url, "--issuer-ca", &ca])
        .expect_ok();
    assert!(
        login.stderr.contains(&world.issuer.cluster_id),
        "what is accepted is shown: {}",
        login.stderr
    );

    // The page it ended on, as the browser saw it; the browser says so when it has closed.
    let seen = until("the browser has reported", Duration::from_secs(20), || {
        fs::read_to_string(alice.dir.join("browser.out"))
            .ok()
            .filter(|seen| seen.ends_with("}\n"))
    });
    assert!(
        seen.contains("Logged in") && seen.contains("chromium"),
        "who and where: {seen}"
    );

    alice.kubeconfig(&[Context {
        name: "here",
        cluster: world.cluster,
        issuer: &world.issuer,
    }]);
    assert_eq!(alice.whoami()["username"], "alice");
    assert_eq!(
        (
            alice.browsed().len(),
            world.idp.stats().logins(),
            world.issuer.issued()
        ),
        (1, 1, 1)
    );
}

#[test]
fn consent_refused_in_the_browser_ends_the_login_at_once_with_a_sentence() {
    if !present(&[Part::ControlPlane, Part::IdentityProvider, Part::Keyring]) {
        return;
    }
    let world = World::new(&SITE, "denied");
    let alice = world.machine_with("alice", Browser::Denying);
    let refused = alice.kubectl(&["auth", "whoami"]);
    assert!(
        !refused.ok && refused.stderr.contains("access_denied"),
        "{}",
        refused.stderr
    );
    assert_eq!((alice.browsed().len(), world.issuer.issued()), (1, 0));
}
