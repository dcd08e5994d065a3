//! `make demo`, with the binaries of this build.

use std::process::Command;

use e2e::parts::{Part, present};

#[test]
fn the_demo_ends_with_the_whoami_table_and_the_line_that_proves_the_credential_id() {
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
    ] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    let digest = shown
        .lines()
        .last()
        .and_then(|line| line.split_whitespace().next())
        .expect("a last line");
    assert!(shown.contains(&format!("X509SHA256={digest}")), "{shown}");
}
