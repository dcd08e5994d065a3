use clap::Parser as _;
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use time::macros::datetime;

use super::*;
use crate::cli::{Cli, Command};

const NOW: OffsetDateTime = datetime!(2026-11-22 00:00:00 UTC);

fn typed(args: &[&str]) -> Result<(Targets, Vec<Revocation>), RevocationError> {
    let args = ["kubectl-gatepass", "revoke"].iter().chain(args);
    let Command::Revoke(command) = Cli::try_parse_from(args).expect("it parses").command else {
        panic!("another command")
    };
    let targets = Targets::of(&command.chosen)?;
    let documents = documents(&command, &targets, NOW, [0; 5])?;
    Ok((targets, documents))
}

fn one(args: &[&str]) -> Revocation {
    let (_, mut documents) = typed(args).unwrap();
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn refused(args: &[&str]) -> bool {
    Cli::try_parse_from(["kubectl-gatepass", "revoke"].iter().chain(args)).is_err()
}

fn id() -> String {
    "a".repeat(26)
}

fn session() -> String {
    format!("{0}-{0}", id())
}

/// A PEM file with a certificate that ends on the first of a year, and the directory that holds it.
fn certificate(groups: &[&str], year: i32) -> (tempfile::TempDir, String) {
    let mut params = CertificateParams::default();
    params.not_after = date_time_ymd(year, 1, 1);
    // rcgen keeps one attribute of a type, so that the second is the same type by its number.
    let types = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
    for (name, group) in types.into_iter().zip(groups) {
        params.distinguished_name.push(name, *group);
    }
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leaf.pem");
    std::fs::write(&path, certificate.pem()).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn what_is_typed_becomes_a_document_that_holds_for_thirty_days_from_the_time_of_the_store() {
    let alice = one(&["--user", "alice", "--reason", "laptop"]);
    assert_eq!(alice.spec.target, Target::User("alice".into()));
    assert_eq!(alice.spec.logged_in_before, None, "the store's clock counts");
    assert!(!alice.spec.block_issuance);
    assert_eq!(alice.spec.reason.as_deref(), Some("laptop"));
    assert_eq!(alice.spec.expires_at.as_deref(), Some("2026-12-22T00:00:00Z"));
    let flags = [
        "--uid=-u",
        "--block",
        "--for=1d12h",
        "--name=n",
        "--logged-in-before=2026-11-21T01:00:00+01:00",
    ];
    let uid = one(&flags);
    assert_eq!(uid.metadata.name, "n");
    assert_eq!(uid.spec.target, Target::Uid("-u".into()));
    assert!(uid.spec.block_issuance);
    assert_eq!(uid.spec.logged_in_before.as_deref(), Some("2026-11-21T00:00:00Z"));
    assert_eq!(uid.spec.expires_at.as_deref(), Some("2026-11-23T12:00:00Z"));
    let subject = one(&["--subject", "s", "--subject-issuer", "https://i"]);
    let expected = Subject {
        issuer: "https://i".into(),
        subject: "s".into(),
    };
    assert_eq!(subject.spec.target, Target::Subject(expected));
}

#[test]
fn a_sessions_end_is_left_to_the_issuer_unless_it_is_typed() {
    assert_eq!(one(&["--session", &session()]).spec.expires_at, None);
    let typed = one(&["--session", &session(), "--for", "1h"]);
    assert_eq!(typed.spec.expires_at.as_deref(), Some("2026-11-22T01:00:00Z"));
}

#[test]
fn a_document_for_a_directory_carries_its_time() {
    let document = one(&["--user", "alice", "--dry-run"]);
    assert_eq!(
        document.spec.logged_in_before.as_deref(),
        Some("2026-11-22T00:00:00Z")
    );
}

#[test]
fn a_certificate_goes_with_its_session_unless_only_it_is_meant() {
    let marker = format!("gatepass:session:{}:1790000000:1790000600:{}", session(), id());
    let (_dir, path) = certificate(&["sre", &marker], 2026);
    let (targets, documents) = typed(&["--certificate", &path, "--name", "n"]).unwrap();
    assert_eq!(targets.note, Some(MARKER_UNPROVEN));
    assert!(matches!(&documents[0].spec.target, Target::CredentialId(_)));
    assert_eq!(documents[1].spec.target, Target::Session(session()));
    assert_eq!(
        [&documents[0], &documents[1]].map(|d| d.metadata.name.as_str()),
        ["n", "n-session"]
    );
    let (targets, documents) = typed(&["--certificate", &path, "--only"]).unwrap();
    assert_eq!((documents.len(), targets.note), (1, Some(SESSION_GOES_ON)));
}

#[test]
fn a_certificate_from_elsewhere_is_denied_to_its_end_and_its_lack_of_a_session_is_told() {
    let (_dir, path) = certificate(&["sre"], 2030);
    let (targets, documents) = typed(&["--certificate", &path]).unwrap();
    assert_eq!((documents.len(), targets.note), (1, Some(NO_MARKER)));
    assert_eq!(
        documents[0].spec.expires_at.as_deref(),
        Some("2030-01-01T00:00:00Z")
    );
    let (_dir, path) = certificate(&[], 2020);
    assert_eq!(
        one(&["--certificate", &path]).spec.expires_at.as_deref(),
        Some("2026-12-22T00:00:00Z")
    );
}

#[test]
fn a_bare_credential_id_says_that_its_session_goes_on() {
    let credential = format!("X509SHA256={}", "c".repeat(64));
    let (targets, documents) = typed(&["--credential-id", &credential]).unwrap();
    assert_eq!((documents.len(), targets.note), (1, Some(SESSION_GOES_ON)));
}

#[test]
fn what_means_nothing_is_refused() {
    for flags in [
        &["--user", "a", "--group", "b"] as &[&str],
        &[],
        &["--subject", "s"],
        &["--subject-issuer", "https://i", "--user", "a"],
        &["--user", "a", "--only"],
        &["--session", "s", "--block"],
        &["--credential-id", "c", "--block"],
        &["--certificate", "f", "--block"],
        &["--session", "s", "--logged-in-before", "2026-11-22T00:00:00Z"],
        &["--user", "a", "--for", "0s"],
    ] {
        assert!(refused(flags), "{flags:?}");
    }
}

#[test]
fn what_no_store_takes_is_refused_before_anything_is_written() {
    let long = "x".repeat(MAX_REASON + 1);
    for (flags, error) in [
        (["--user=system:admin", ""], "system:"),
        (["--group=gatepass:break-glass", ""], "system:"),
        (["--session=x", ""], "a session id"),
        (["--credential-id=x", ""], "a credential ID"),
        (["--user=a", "--name=../x"], "no name"),
        (["--user=a", "--for=9000000d"], "9999"),
        (["--certificate=/nonexistent", ""], "cannot be read"),
    ] {
        let flags: Vec<_> = flags.into_iter().filter(|flag| !flag.is_empty()).collect();
        let said = typed(&flags).unwrap_err().to_string();
        assert!(said.contains(error), "{said}");
    }
    assert!(matches!(
        typed(&["--user=a", "--reason", &long]),
        Err(RevocationError::Reason)
    ));
}

#[test]
fn a_made_up_name_tells_the_target_and_is_a_name_whatever_the_target_is() {
    let name = |text: &str| made_up(&Target::User(text.into()), [0; 5]);
    assert_eq!(name("alice"), "user-alice-aaaaaaaa");
    assert_eq!(
        name("idp:Alice.Smith@example.com"),
        "user-idp-alice-smith-example-com-aaaaaaaa"
    );
    assert_eq!(name("--//"), "user-aaaaaaaa");
    for text in ["", "ünï", "-x-", "a\u{202e}", &"z.".repeat(500), "../../etc"] {
        assert!(is_name(&name(text)), "{}", name(text));
    }
    let id = "b".repeat(26);
    let session = made_up(&Target::Session(format!("{id}-{id}")), [255; 5]);
    assert_eq!(session, "session-bbbbbbbb-77777777");
    let certificate = made_up(
        &Target::CredentialId(format!("X509SHA256={}", "c".repeat(64))),
        [0; 5],
    );
    assert_eq!(certificate, "certificate-cccccccccccc-aaaaaaaa");
}
