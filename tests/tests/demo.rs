//! `make demo`, with the binaries of this build.

use std::process::Command;

use e2e::parts::{Part, present};

#[test]
fn the_demo_shows_who_came_in_proves_the_credential_id_and_ends_a_stolen_session() {
    if !present(&[Part::ControlPlane, Part::IdentityProvider, Part::Keyring]) {
        return;
    }
    let out = Command::new(env!("CARGO_BIN_EXE_demo"))
        .output()
        .expect("the demo runs");
    let shown = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success(),
        "{shown}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    for part in [
        "provideClusterInfo: true",
        "Username  ",
        "Groups  ",
        "openssl x509",
        "kubectl gatepass revoke --session",
        "Error from server (Forbidden): pods is forbidden",
        "Gatepass: access was revoked: laptop stolen, ticket 4711",
        "From Enter to the first answer 403: ",
        "a login is needed",
    ] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    let digest = shown
        .lines()
        .skip_while(|line| !line.contains("$ openssl x509"))
        .nth(1)
        .and_then(|line| line.split_whitespace().next())
        .expect("a digest");
    assert!(shown.contains(&format!("X509SHA256={digest}")), "{shown}");
}
