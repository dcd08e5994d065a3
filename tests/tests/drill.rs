//! `make drill`, with the binaries of this build.

use std::process::Command;

use e2e::parts::{Part, present};

const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::IdentityProvider,
    Part::Keyring,
    Part::OpenSsh,
    Part::Terminal,
];

#[test]
fn the_drill_lets_one_in_without_identity_provider_and_issuer_within_five_minutes() {
    if !present(PARTS) {
        return;
    }
    let out = Command::new(env!("CARGO_BIN_EXE_drill"))
        .output()
        .expect("the drill runs");
    let shown = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success(),
        "{shown}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let mut rest = shown.as_ref();
    // In this order.
    for part in [
        "break-glass init --threshold 2",
        "The kit is made.",
        "identity provider and issuer are stopped",
        "cannot be reached",
        "why          \"IdP down, ticket 4711\"",
        "bob: do you agree",
        "carol: do you agree",
        "The glass is broken: you are break-glass:alice until ",
        "BREAK-GLASS: ",
        "break-glass:alice",
        "gatepass:break-glass",
        "From the start of `open` to this answer: ",
        "bob approved request ",
        "THE GLASS WAS BROKEN",
        "is closed, and its key deleted",
        "cannot be reached",
    ] {
        let found = rest.find(part);
        let at = found.unwrap_or_else(|| panic!("{part} is missing: {shown}"));
        rest = &rest[at + part.len()..];
    }
    assert!(!shown.contains("correct horse"), "{shown}");
}
