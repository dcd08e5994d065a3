use serde_json::json;

use super::*;

fn env(vars: &[(&str, &str)]) -> Environment {
    Environment::new(vars.iter().map(|(name, value)| (name.into(), value.into())))
}

fn file(text: &str) -> Result<ConfigFile, SettingsError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    fs::write(&path, text).unwrap();
    ConfigFile::read(&path)
}

fn issuer(target: &Target, vars: &[(&str, &str)], extension: Option<Value>, config: &str) -> String {
    let settings =
        Settings::for_kubectl(target, &env(vars), extension.as_ref(), file(config).unwrap()).unwrap();
    settings.issuer().unwrap().to_string()
}

#[test]
fn flags_win_over_environment_over_extension_over_file() {
    let flag = Target {
        issuer: Some("https://flag".into()),
        ..Target::default()
    };
    let none = Target::default();
    let vars = [("GATEPASS_ISSUER", "https://env")];
    let extension = || Some(json!({"issuer": "https://ext/"}));
    let config = "issuer: https://file";
    assert_eq!(issuer(&flag, &vars, extension(), config), "https://flag");
    assert_eq!(issuer(&none, &vars, extension(), config), "https://env");
    assert_eq!(issuer(&none, &[], extension(), config), "https://ext");
    assert_eq!(issuer(&none, &[], None, config), "https://file");
}

#[test]
fn a_kubeconfig_may_set_nothing_else() {
    for name in [
        "GATEPASS_BROWSER",
        "GATEPASS_TOKEN_FILE",
        "GATEPASS_STORE",
        "GATEPASS_IDP_CA",
        "GATEPASS_CONFIG",
    ] {
        let error = Settings::for_kubectl(
            &Target::default(),
            &env(&[(name, "x")]),
            None,
            ConfigFile::default(),
        )
        .unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.hint().unwrap().contains("kubectl-gatepass login"));
    }
    for key in [
        "browserCommand",
        "store",
        "flow",
        "identityProviders",
        "tokenFile",
    ] {
        let extension = json!({"issuer": "https://i", key: "x"});
        let error = Settings::for_kubectl(
            &Target::default(),
            &env(&[]),
            Some(&extension),
            ConfigFile::default(),
        )
        .unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[test]
fn an_issuer_url_has_one_spelling() {
    for good in [
        "https://a.example",
        "https://a.example/",
        "https://a.example:8443/base",
    ] {
        assert!(IssuerUrl::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "http://a",
        "https://u@a",
        "https://a?x",
        "https://a#x",
        "https://A.example",
        "a",
        "https://a:443",
        "https://a/b/../c",
    ] {
        assert!(IssuerUrl::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_configuration_file_names_what_is_wrong() {
    for (text, word) in [
        ("browser: x", "browser"),
        ("store: cloud", "cloud"),
        ("log: loud", "loud"),
        ("loginTimeout: 1h", "1h"),
        ("issuers: [{url: 'http://x'}]", "https"),
    ] {
        let error = file(text).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_missing_file_is_an_empty_one() {
    let config = ConfigFile::read(std::path::Path::new("/nonexistent/gatepass/config.yaml")).unwrap();
    assert_eq!(config.store, StoreChoice::Keyring);
}

#[test]
fn a_profile_is_a_plain_word() {
    let bad = Target {
        profile: Some("a/b".into()),
        ..Target::default()
    };
    assert!(Settings::for_person(&bad, &env(&[]), ConfigFile::default()).is_err());
}

#[test]
fn a_ca_file_is_small_regular_and_yields_its_certificates_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default()
        .self_signed(&key)
        .unwrap()
        .pem();
    let both = format!("# ours\n{}{certificate}", key.serialize_pem());
    fs::write(&path, &both).unwrap();
    let read = read_pem(path.clone()).unwrap();
    assert!(
        read.contains("CERTIFICATE") && !read.contains("PRIVATE"),
        "what is pinned holds no key"
    );

    let refused = |path: PathBuf| read_pem(path).unwrap_err().to_string();
    fs::write(&path, both + &"\n".repeat(1024 * 1024)).unwrap();
    assert!(refused(path.clone()).contains("1 MiB"));
    assert!(refused("/dev/null".into()).contains("regular file"));
    fs::write(&path, key.serialize_pem()).unwrap();
    assert!(refused(path).contains("no PEM certificate"));
}
