use std::os::unix::fs::PermissionsExt;

use aws_lc_rs::rand::SystemRandom;

use super::*;
use crate::cli::{Cli, Command};

const NOW: i64 = 1_790_000_000;

fn run(dir: &Path, more: &[&str]) -> Result<String, InitError> {
    let arguments = ["gatepass-issuer", "init", "--dir", dir.to_str().unwrap()];
    let arguments = arguments.into_iter().chain(more.iter().copied());
    let Command::Init(options) = <Cli as clap::Parser>::try_parse_from(arguments).unwrap().command else {
        panic!()
    };
    init(&options, NOW, &SystemRandom::new())
}

#[test]
fn everything_is_written_with_its_permissions_and_next_steps_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new/issuer");
    let next = run(&dir, &["--listen", "127.0.0.1:9443"]).unwrap();
    for (name, mode) in [
        ("issuer.yaml", 0o644),
        ("ca.crt", 0o644),
        ("ca.key", 0o600),
        ("marker.key", 0o600),
        ("serving-ca.crt", 0o644),
        ("serving.crt", 0o644),
        ("serving.key", 0o600),
    ] {
        let permissions = fs::metadata(dir.join(name)).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{name}");
    }
    for said in [
        "--client-ca-file=",
        "gatepass-issuer serve --config",
        "login https://localhost:9443",
        "authentication.jwt",
        "audience",
    ] {
        assert!(next.contains(said), "{said}");
    }
    assert!(
        Config::load(&dir.join("issuer.yaml"), NOW)
            .unwrap()
            .issuer
            .idps
            .is_empty()
    );
}

#[test]
fn the_store_of_revocations_is_chosen() {
    use crate::config::StoreConfig;
    for (more, store) in [
        (&[][..], None),
        (&["--store", "directory"], None),
        (
            &["--store", "kubernetes"],
            Some(StoreConfig::Kubernetes { kubeconfig: None }),
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("issuer");
        run(&dir, more).unwrap();
        let directory = dir.join("revocations");
        assert_eq!(directory.exists(), store.is_none(), "{more:?}");
        let config = Config::load(&dir.join("issuer.yaml"), NOW).unwrap();
        let expected = store.unwrap_or(StoreConfig::Directory(directory));
        assert_eq!(config.fixed.store, expected, "{more:?}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("marker.key"), "mine").unwrap();
    assert!(matches!(run(dir.path(), &[]), Err(InitError::Exists(path)) if path.ends_with("marker.key")));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    fs::remove_file(dir.path().join("marker.key")).unwrap();
    run(dir.path(), &[]).unwrap();
    let before = fs::read(dir.path().join("ca.key")).unwrap();
    assert!(matches!(run(dir.path(), &[]), Err(InitError::Exists(_))));
    assert_eq!(fs::read(dir.path().join("ca.key")).unwrap(), before);
}

#[test]
fn options_that_make_no_configuration_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(dir.path(), &["--url", "http://x"]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cluster.url: \"http://x\" is not allowed"),
        "{error}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_provider_with_its_authority_and_hostile_texts_stays_one_configuration() {
    let dir = tempfile::tempdir().unwrap();
    run(&dir.path().join("a"), &[]).unwrap();
    let ca = dir.path().join("a/serving-ca.crt");
    let id = "x\"}\n- clientId: y # '";
    let more = [
        "--idp",
        "https://idp.test/realms/a",
        "--client-id",
        id,
        "--idp-ca",
        ca.to_str().unwrap(),
        "--username-claim",
        "email",
        "--username-prefix",
        "a\"b:",
        "--scope",
        "groups",
        "--scope",
        "openid",
    ];
    run(&dir.path().join("b"), &more).unwrap();
    let config = Config::load(&dir.path().join("b/issuer.yaml"), NOW).unwrap();
    let idp = &config.issuer.idps[0];
    assert_eq!(idp.clients.len(), 1);
    assert_eq!(idp.clients[0].id, id);
    assert_eq!(idp.clients[0].scopes, ["openid", "offline_access", "groups"]);
    assert_eq!(idp.mapping.username.prefix, "a\"b:");
    assert_eq!(
        idp.certificate_authority.as_deref().map(str::trim),
        Some(fs::read_to_string(ca).unwrap().trim())
    );
}

#[test]
fn two_clusters_of_one_name_have_different_ids() {
    let dir = tempfile::tempdir().unwrap();
    let id = |name: &str| {
        run(&dir.path().join(name), &["--cluster", "prod"]).unwrap();
        Config::load(&dir.path().join(name).join("issuer.yaml"), NOW)
            .unwrap()
            .issuer
            .cluster
            .id
    };
    let (one, two) = (id("one"), id("two"));
    assert!(one.starts_with("prod-") && two.starts_with("prod-"));
    assert_ne!(one, two);
}

#[test]
fn mixes_of_options_that_mean_nothing_are_refused() {
    for more in [
        &["--client-id", "x"][..],
        &["--idp", "https://i"],
        &["--idp-ca", "f"],
        &["--groups-claim", "g"],
    ] {
        let arguments = ["gatepass-issuer", "init", "--dir", "d"]
            .into_iter()
            .chain(more.iter().copied());
        assert!(
            <Cli as clap::Parser>::try_parse_from(arguments).is_err(),
            "{more:?}"
        );
    }
}

/// A rule that leaves out a group or a name leaves out every certificate that has it.
#[test]
fn the_audit_policy_leaves_nobody_out() {
    let policy = include_str!("../../../deploy/apiserver/audit-policy.yaml");
    let policy: serde_json::Value = serde_saphyr::from_str(policy).unwrap();
    assert_eq!(policy["rules"], serde_json::json!([{"level": "Metadata"}]));
}
