use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::init;

const NOW: i64 = 1_790_000_000;

struct Fixture {
    dir: tempfile::TempDir,
    yaml: String,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let arguments = [
            "gatepass-issuer",
            "init",
            "--dir",
            path,
            "--idp",
            "https://idp.test",
            "--client-id",
            "gatepass",
            "--username-claim",
            "preferred_username",
            "--username-prefix",
            "idp:",
            "--groups-claim",
            "groups",
        ];
        let crate::cli::Command::Init(options) =
            <crate::cli::Cli as clap::Parser>::parse_from(arguments).command
        else {
            panic!()
        };
        init::init(&options, NOW, &aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let yaml = std::fs::read_to_string(dir.path().join("issuer.yaml")).unwrap();
        Self { dir, yaml }
    }

    fn parse(&self, yaml: &str) -> Result<Config, Vec<String>> {
        Config::parse(yaml, self.dir.path(), NOW)
    }

    /// The one problem that replacing `old` by `new` makes.
    #[track_caller]
    fn problem(&self, old: &str, new: &str) -> String {
        assert!(self.yaml.contains(old), "{old:?} is in the file");
        let mut problems = self.parse(&self.yaml.replacen(old, new, 1)).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.remove(0)
    }
}

#[test]
fn what_init_writes_loads() {
    let fixture = Fixture::new();
    let config = fixture.parse(&fixture.yaml).unwrap();
    assert_eq!(config.issuer.cluster.url, "https://localhost:8443");
    assert_eq!(config.fixed.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(config.fixed.listen_health.to_string(), "127.0.0.1:8081");
    assert_eq!(config.fixed.audit, AuditTarget::Stdout);
    let idp = &config.issuer.idps[0];
    assert_eq!(idp.issuer, "https://idp.test");
    assert_eq!(idp.clients[0].scopes, ["openid", "offline_access"]);
    assert_eq!(idp.max_token_age, Duration::from_secs(600));
    assert_eq!(config.issuer.lifetimes.certificate, Duration::from_secs(600));
}

#[test]
fn optional_parts_have_defaults() {
    let fixture = Fixture::new();
    let start = fixture.yaml.rfind("  clients:\n").unwrap();
    let end = fixture.yaml.find("# Signs client").unwrap();
    let mut yaml = fixture.yaml.clone();
    yaml.replace_range(start..end, "\n");
    let start = yaml.find("certificate:\n  ttl").unwrap();
    let end = yaml.find("# Who is locked out").unwrap();
    yaml.replace_range(start..end, "");
    let config = fixture.parse(&yaml).unwrap();
    assert_eq!(config.issuer.idps[0].clients[0].id, "gatepass");
    assert_eq!(config.issuer.lifetimes.session, Duration::from_secs(12 * 3600));
    assert!(config.issuer.lifetimes.cap_at_token_expiry);
}

#[test]
fn every_wrong_value_is_named_with_its_key_and_what_is_allowed() {
    let fixture = Fixture::new();
    for (old, new, expected) in [
        (
            "apiVersion: gatepass.dev/v1alpha1",
            "apiVersion: v1",
            r#"apiVersion: "v1" is not allowed: must be "gatepass.dev/v1alpha1""#,
        ),
        (
            "kind: IssuerConfiguration",
            "kind: [x]",
            r#"kind: ["x"] is not allowed: must be "IssuerConfiguration" (a text; put it in quotes)"#,
        ),
        (
            "  name: \"demo\"",
            "  name: 7",
            "cluster.name: 7 is not allowed: must be 1 to 128 bytes without control or format characters (a text; put it in quotes)",
        ),
        (
            "127.0.0.1:8443",
            "localhost:8443",
            r#"listen.address: "localhost:8443" is not allowed: must be an IP address and port such as 127.0.0.1:8443 or [::]:8443"#,
        ),
        (
            "minVersion: \"1.3\"",
            "minVersion: \"1.1\"",
            r#"listen.tls.minVersion: "1.1" is not allowed: must be "1.3" or "1.2""#,
        ),
        (
            "minVersion: \"1.3\"",
            "minVersion: 1.3",
            r#"listen.tls.minVersion: 1.3 is not allowed: must be "1.3" or "1.2" (a text; put it in quotes)"#,
        ),
        (
            "ttl: 10m",
            "ttl: 2h",
            r#"certificate.ttl: "2h" is not allowed: must be a duration such as 90s, 10m or 1h30m, from 1m to 1h"#,
        ),
        (
            "ttl: 10m",
            "ttl: 600",
            "certificate.ttl: 600 is not allowed: must be a duration such as 90s, 10m or 1h30m, from 1m to 1h",
        ),
        (
            "ttl: 10m",
            "ttl: 59s",
            r#"certificate.ttl: "59s" is not allowed: must be a duration such as 90s, 10m or 1h30m, from 1m to 1h"#,
        ),
        (
            "capAtTokenExpiry: true",
            "capAtTokenExpiry: sure",
            r#"certificate.capAtTokenExpiry: "sure" is not allowed: must be true or false"#,
        ),
        (
            "maxAge: 12h",
            "maxAge: 0s",
            r#"session.maxAge: "0s" is not allowed: must be a duration such as 90s, 10m or 1h30m, from 5m to 720h"#,
        ),
        (
            "maxTokenAge: 10m",
            "maxTokenAge: 25h",
            r#"authentication.jwt[0].maxTokenAge: "25h" is not allowed: must be a duration such as 90s, 10m or 1h30m, from 1m to 24h"#,
        ),
        (
            "serving.crt",
            "none.crt",
            "listen.tls.certificate: none.crt: cannot read it: No such file or directory (os error 2)",
        ),
        (
            "key: ca.key",
            "key: serving.key",
            "signer.file.certificate: the key is not the certificate's",
        ),
        (
            "certificate: ca.crt",
            "certificate: marker.key",
            "signer.file.certificate: the certificate is not PEM with one X.509 certificate or a chain of them",
        ),
        (
            "{certificate: ca.crt, key: ca.key}",
            "{certificate: serving.crt, key: serving.key}",
            "signer.file.certificate: the certificate may not sign client certificates: it must have CA:TRUE and allow keyCertSign and clientAuth where it limits them",
        ),
        (
            "[marker.key]",
            "[ca.crt]",
            "marker.keys: ca.crt: everybody on this machine may read or write it: `chmod o=` it",
        ),
        (
            "[marker.key]",
            "[ca.key]",
            "marker.keys: ca.key: it is not one line of base64 with at least 32 bytes: `openssl rand -base64 32` makes one",
        ),
        (
            "[marker.key]",
            "[marker.key, none]",
            "marker.keys: none: cannot read it: No such file or directory (os error 2)",
        ),
        (
            "[marker.key]",
            "[]",
            "marker.keys: [] is not allowed: must be a list, not empty and without repetition, of paths",
        ),
        ("file: \"-\"", "path: \"-\"", ""),
        (
            "scopes: [\"openid\",",
            "scopes: [\"profile\",",
            "authentication.jwt[0].clients[0].scopes: `openid` is missing: without it there is no ID token",
        ),
        (
            "clientId: \"gatepass\"",
            "clientId: other",
            r#"authentication.jwt[0].clients[0].clientId: "other" is not allowed: must be one of the entry's audiences (gatepass)"#,
        ),
        (
            "audiences: [\"gatepass\"]",
            "audiences: [gatepass, gatepass]",
            r#"authentication.jwt[0].issuer.audiences: ["gatepass","gatepass"] is not allowed: must be a list, not empty and without repetition, of client ids, each a text that is not empty"#,
        ),
        (
            "claim: \"groups\"",
            "claim: \"\"",
            r#"authentication.jwt[0].claimMappings.groups.claim: "" is not allowed: must be the name of a claim at the top of the ID token"#,
        ),
    ] {
        if expected.is_empty() {
            let problems = fixture.parse(&fixture.yaml.replacen(old, new, 1)).unwrap_err();
            assert_eq!(
                problems,
                [
                    "audit.file: is missing: must be \"-\" (standard output) or a path",
                    "audit.path: unknown key: allowed here are allowed, expected, file, findings"
                ]
            );
        } else {
            assert_eq!(fixture.problem(old, new), expected);
        }
    }
}

#[test]
fn urls_of_cluster_and_provider_must_be_https_and_exact() {
    let fixture = Fixture::new();
    for url in [
        "http://localhost:8443",
        "https://localhost:8443/",
        "https://LOCALHOST",
        "https://h:443",
        "https://h/p",
        "https://u@h",
        "https://h?q",
        "h",
        "",
    ] {
        let problem = fixture.problem("url: \"https://localhost:8443\"", &format!("url: \"{url}\""));
        assert!(
            problem.starts_with(&format!(
                "cluster.url: \"{url}\" is not allowed: must be the https URL"
            )),
            "{problem}"
        );
    }
    for url in [
        "http://idp.test",
        "https://idp.test?x",
        "https://idp.test#x",
        "https://u:p@idp.test",
        "idp.test",
        "",
    ] {
        let problem = fixture.problem("url: \"https://idp.test\"", &format!("url: \"{url}\""));
        assert!(
            problem.starts_with(&format!(
                "authentication.jwt[0].issuer.url: \"{url}\" is not allowed: must be the https URL"
            )),
            "{problem}"
        );
    }
}

#[test]
fn what_is_not_carried_yet_is_refused_by_name() {
    let fixture = Fixture::new();
    for (old, new, key) in [
        ("cluster:", "policy: {rules: []}\ncluster:", "policy"),
        (
            "  jwt:",
            "  anonymous: {enabled: true}\n  jwt:",
            "authentication.anonymous",
        ),
        (
            "  claimMappings:",
            "  claimMappings:\n      extra: []",
            "authentication.jwt[0].claimMappings.extra",
        ),
        (
            "  claimMappings:",
            "  claimValidationRules: []\n    claimMappings:",
            "authentication.jwt[0].claimValidationRules",
        ),
        (
            "  claimMappings:",
            "  userValidationRules: []\n    claimMappings:",
            "authentication.jwt[0].userValidationRules",
        ),
        (
            "audiences:",
            "discoveryURL: https://x\n      audiences:",
            "authentication.jwt[0].issuer.discoveryURL",
        ),
        (
            "audiences:",
            "egressSelectorType: cluster\n      audiences:",
            "authentication.jwt[0].issuer.egressSelectorType",
        ),
        (
            "groups: {claim",
            "groups: {expression: claims.groups, claim",
            "authentication.jwt[0].claimMappings.groups.expression",
        ),
        (
            "username: {claim",
            "username: {expression: claims.sub, claim",
            "authentication.jwt[0].claimMappings.username.expression",
        ),
        (
            "flows: [browser]",
            "flows: [browser, device]",
            "authentication.jwt[0].clients[0].flows",
        ),
        (
            "binding: required",
            "binding: \"off\"",
            "authentication.jwt[0].clients[0].binding",
        ),
        (
            "binding: required",
            "binding: off",
            "authentication.jwt[0].clients[0].binding",
        ),
        (
            "  file: {certificate: ca.crt",
            "  pkcs11: {}\n  file: {certificate: ca.crt",
            "signer.pkcs11",
        ),
    ] {
        let problem = fixture.problem(old, new);
        assert!(problem.starts_with(&format!("{key}: ")), "{problem}");
    }
}

#[test]
fn unknown_keys_are_refused_everywhere() {
    let fixture = Fixture::new();
    for (old, new, expected) in [
        (
            "cluster:",
            "clusters: 1\ncluster:",
            "clusters: unknown key: allowed here are apiVersion, audit, authentication, certificate, cluster, kind, limits, listen, marker, revocation, session, signer, webhooks",
        ),
        (
            "  name: \"demo\"",
            "  name: demo\n  nmae: demo",
            "cluster.nmae: unknown key: allowed here are id, name, url",
        ),
        (
            "  maxTokenAge",
            "  maxTokenAges: 1\n    maxTokenAge",
            "authentication.jwt[0].maxTokenAges: unknown key: allowed here are claimMappings, clients, issuer, maxTokenAge",
        ),
    ] {
        assert_eq!(fixture.problem(old, new), expected);
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let fixture = Fixture::new();
    let yaml = fixture
        .yaml
        .replace("ttl: 10m", "ttl: x")
        .replace("maxAge: 12h", "maxAge: y")
        .replace("serving.key", "z")
        .replace("\nkind:", "\nkid:");
    let problems = fixture.parse(&yaml).unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:?}");
}

#[test]
fn prefixes_that_would_make_reserved_names_are_refused() {
    let fixture = Fixture::new();
    for prefix in [
        "system:",
        "system:node:",
        "gatepass:x",
        "break-glass:",
        "kubeadm:",
        " x",
        "x\\u202e",
    ] {
        let problem = fixture.problem("prefix: \"idp:\"", &format!("prefix: \"{prefix}\""));
        assert!(
            problem.starts_with("authentication.jwt[0].claimMappings.username.prefix: "),
            "{problem}"
        );
    }
    let problem = fixture.problem(", prefix: \"idp:\"", "");
    assert!(
        problem.starts_with("authentication.jwt[0].claimMappings.username.prefix: is missing"),
        "{problem}"
    );
}

fn with_second(fixture: &Fixture, url: &str, prefix: &str) -> Result<Config, Vec<String>> {
    let second = format!(
        "  - issuer: {{url: {url}, audiences: [gatepass]}}\n    claimMappings:\n      username: {{claim: sub, prefix: \"{prefix}\"}}\n\n# Signs client"
    );
    fixture.parse(&fixture.yaml.replacen("\n# Signs client", &second, 1))
}

#[test]
fn several_providers_need_distinct_username_prefixes() {
    let fixture = Fixture::new();
    assert_eq!(
        with_second(&fixture, "https://other.test", "other:")
            .unwrap()
            .issuer
            .idps
            .len(),
        2
    );
    for prefix in ["", "idp:", "idp:x", "id", "i"] {
        let problems = with_second(&fixture, "https://other.test", prefix).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with("authentication.jwt[1].claimMappings.username.prefix: "),
            "{problems:?}"
        );
    }
}

#[test]
fn a_provider_or_client_that_stands_there_twice_is_refused() {
    let fixture = Fixture::new();
    let problems = with_second(&fixture, "https://idp.test", "other:").unwrap_err();
    assert!(
        problems[0].starts_with("authentication.jwt[1].issuer.url: \"https://idp.test\" is that of jwt[0]"),
        "{problems:?}"
    );
    let problem = fixture.problem("binding: required", "binding: required\n    - clientId: gatepass");
    assert_eq!(
        problem,
        "authentication.jwt[0].clients[1].clientId: \"gatepass\" stands there twice"
    );
}

#[test]
fn duplicate_keys_and_what_is_no_mapping_are_refused() {
    let fixture = Fixture::new();
    assert!(
        fixture
            .problem("kind: ", "kind: x\nkind: ")
            .contains("it is not YAML")
    );
    for text in ["", "[]", "x", "a: b: c"] {
        assert!(fixture.parse(text).is_err(), "{text}");
    }
}

#[test]
fn expired_certificates_do_not_load() {
    let fixture = Fixture::new();
    let years = |n: i64| NOW + n * 365 * 24 * 3600;
    let problems = Config::parse(&fixture.yaml, fixture.dir.path(), years(2)).unwrap_err();
    assert!(
        problems[0].starts_with("listen.tls.certificate: the certificate expired at "),
        "{problems:?}"
    );
    let problems = Config::parse(&fixture.yaml, fixture.dir.path(), years(11)).unwrap_err();
    assert!(
        problems
            .iter()
            .any(|p| p.starts_with("signer.file.certificate: the certificate has expired")),
        "{problems:?}"
    );
}

#[test]
fn a_secret_that_everybody_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    for name in ["ca.key", "marker.key", "serving.key"] {
        let path = fixture.dir.path().join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).unwrap();
        let problems = fixture.parse(&fixture.yaml).unwrap_err();
        assert!(
            problems[0].contains("everybody on this machine may read"),
            "{problems:?}"
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        fixture.parse(&fixture.yaml).unwrap();
    }
}

#[test]
fn api_servers_have_an_authority_of_their_own_and_names() {
    let fixture = Fixture::new();
    for (old, new, expected) in [
        (
            "ca: webhook-ca.crt",
            "ca: ca.crt",
            "webhooks.clients.ca: this is the authority that signs people's certificates: make another for API servers",
        ),
        (
            "ca: webhook-ca.crt",
            "ca: marker.key",
            "webhooks.clients.ca: the certificate is not PEM with at least one X.509 certificate",
        ),
        (
            "names: [kube-apiserver]",
            "names: []",
            "webhooks.clients.names: [] is not allowed: must be a list, not empty and without repetition, of common names",
        ),
    ] {
        assert_eq!(fixture.problem(old, new), expected);
    }
    let yaml = fixture.yaml.replace(
        "  # tls: {certificate: …, key: …}",
        "  tls: {certificate: serving.crt, key: ca.key} #",
    );
    let problems = fixture.parse(&yaml).unwrap_err();
    assert!(problems[0].starts_with("webhooks.tls: "), "{problems:?}");
}

#[test]
fn without_webhooks_it_loads_and_without_a_store_it_does_not() {
    let fixture = Fixture::new();
    let start = fixture.yaml.find("webhooks:").unwrap();
    let end = fixture.yaml.find("# `jwt` is in the format").unwrap();
    let mut yaml = fixture.yaml.clone();
    yaml.replace_range(start..end, "");
    assert!(fixture.parse(&yaml).unwrap().webhooks.is_none());
    assert_eq!(
        fixture.problem("mode: best-effort", "mode: lax"),
        r#"revocation.mode: "lax" is not allowed: must be "best-effort" or "strict""#
    );
    assert_eq!(
        fixture.problem("  directory: revocations", "  #"),
        "revocation.directory: is missing: must be a path, unless there is `kubernetes`"
    );
}

#[test]
fn revocations_are_kept_in_one_place() {
    let fixture = Fixture::new();
    let directory = "  directory: revocations";
    let store = |yaml: &str| {
        let config = fixture.parse(&fixture.yaml.replacen(directory, yaml, 1));
        config.unwrap().fixed.store
    };
    assert_eq!(
        store(directory),
        StoreConfig::Directory(fixture.dir.path().join("revocations"))
    );
    for yaml in ["  kubernetes: {}", "  kubernetes:"] {
        assert_eq!(store(yaml), StoreConfig::Kubernetes { kubeconfig: None });
    }
    let file = fixture.dir.path().join("api.kubeconfig");
    std::fs::write(&file, "apiVersion: v1\nkind: Config\nclusters: []\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let named = "  kubernetes: {kubeconfig: api.kubeconfig}";
    assert_eq!(
        store(named),
        StoreConfig::Kubernetes {
            kubeconfig: Some(file.clone())
        }
    );
    std::fs::write(fixture.dir.path().join("secret.txt"), "a: [secret").unwrap();
    std::fs::set_permissions(
        fixture.dir.path().join("secret.txt"),
        std::fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    for (new, expected) in [
        (
            "  directory: revocations\n  kubernetes: {}",
            "revocation.kubernetes: there is a `directory`, too: remove one of them",
        ),
        (
            "  kubernetes: yes",
            "revocation.kubernetes: true is not allowed: must be a mapping",
        ),
        (
            "  kubernetes: {kubeconfig: none}",
            "revocation.kubernetes.kubeconfig: none: cannot read it: No such file or directory (os error 2)",
        ),
        (
            "  kubernetes: {kubeconfig: secret.txt}",
            "revocation.kubernetes.kubeconfig: secret.txt: it is not a kubeconfig",
        ),
        (
            "  kubernetes: {context: here}",
            "revocation.kubernetes.context: unknown key: allowed here are kubeconfig",
        ),
        (
            "  dir: revocations\n  kubernetes: {}",
            "revocation.dir: unknown key: allowed here are directory, kubernetes, mode",
        ),
    ] {
        assert_eq!(fixture.problem(directory, new), expected);
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let problem = fixture.problem(directory, named);
    assert!(
        problem.contains("everybody on this machine may read"),
        "{problem}"
    );
}

#[test]
fn what_is_expected_of_certificates_is_read_and_each_problem_is_named() {
    drop(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default());
    let fixture = Fixture::new();
    let after = |more: &str| format!("{}{more}", fixture.yaml);
    let problems = |more: &str| fixture.parse(&after(more)).unwrap_err();
    let open = ["audit.expected.usernames", "audit.expected.groups"];
    assert_eq!(fixture.parse(&fixture.yaml).unwrap().detection.rules.open(), open);

    // What init suggests, without the `#`.
    let suggested = fixture
        .yaml
        .replace("  # expected:", "  expected:")
        .replace("  #   usernames:", "    usernames:")
        .replace("  #   groups:", "    groups:")
        .replace("  # findings:", "  findings:")
        .replace("  #   webhook:", "    webhook:");
    let detection = fixture.parse(&suggested).unwrap().detection;
    assert_eq!(detection.rules.open(), [""; 0]);
    assert!(suggested.contains(r#"usernames: ["idp:.*"]"#));
    let shown = format!("{:?}", detection.webhook.unwrap());
    assert!(
        shown.contains("alerts.example.com") && !shown.contains("/gatepass"),
        "{shown}"
    );

    let found = problems("  expected: {usernames: [\"(\"], groups: [sre, \"a)|(b\"], names: []}\n");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("audit.expected.usernames: \"(\": "),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("audit.expected.groups: \"a)|(b\": "),
        "{found:?}"
    );
    assert_eq!(
        found[2],
        "audit.expected.names: unknown key: allowed here are groups, usernames"
    );

    fixture
        .parse(&after(
            "  allowed:\n  - {username: kube-admin}\n  - {username: x.*, groups: [\"system:masters\"]}\n",
        ))
        .unwrap();
    let found = problems("  allowed:\n  - {groups: [\"[\"]}\n");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("audit.allowed[0].username: is missing"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("audit.allowed[0].groups: \"[\": "),
        "{found:?}"
    );

    for url in [
        "http://127.0.0.1/secret",
        "https://me:secret@h/",
        "https://me@h/secret",
        "https://h/#secret",
        "secret",
    ] {
        let found = problems(&format!("  findings: {{webhook: {{url: \"{url}\"}}}}\n"));
        assert_eq!(
            found,
            ["audit.findings.webhook.url: must be an https URL without user, password and fragment"]
        );
    }
    let found = problems("  findings: {webhook: {url: \"https://h\", certificateAuthority: marker.key}}\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("audit.findings.webhook.certificateAuthority: "),
        "{found:?}"
    );
    let found = problems("  findings: {}\n");
    assert_eq!(found, ["audit.findings.webhook: is missing: must be a mapping"]);
    fixture
        .parse(&after(
            "  findings: {webhook: {url: \"https://h\", certificateAuthority: serving-ca.crt}}\n",
        ))
        .unwrap();
}
