use std::{fs, path::Path};

use serde_json::{Value, json};
use time::{Duration, format_description::well_known::Rfc3339};

use super::{
    super::window::tests::{NOW, home, opened, pair, signed},
    *,
};
use crate::{
    cli::Target,
    clock::SystemClock,
    fake_issuer::{Fake, ITSELF, SILENCE, fake},
    settings::{ConfigFile, Environment, IssuerUrl},
};

pub(crate) fn issuers_answer() -> (u16, Value) {
    let now = SystemClock.now().format(&Rfc3339).unwrap();
    let body = json!({
        "clusterId": "c", "name": "prod", "url": ITSELF, "serverTime": now, "identityProviders": [],
        "certificate": {"maxTtlSeconds": 600}, "session": {"maxSeconds": 43200},
    });
    (200, body)
}

pub(crate) fn idps_answer() -> (u16, Value) {
    (200, json!({"issuer": ITSELF, "more": true}))
}

/// Settings that name an issuer which was accepted together with its identity provider.
pub(crate) fn accepted(paths: &Paths, issuer: &Fake, idp: &Fake) -> Settings {
    let settings = naming(&issuer.url);
    let accepted = json!({
        "url": issuer.url, "certificateAuthority": issuer.ca, "clusterId": "c", "clusterName": "prod",
        "identityProvider": {
            "issuer": idp.url, "clientId": "k", "scopes": [], "certificateAuthority": idp.ca, "maxTokenAgeSeconds": 600,
        },
    });
    let accepted = serde_json::from_value(accepted).unwrap();
    let url = IssuerUrl::parse(&issuer.url).unwrap();
    AcceptedFile::new(paths.state_dir())
        .keep(accepted, &url, None)
        .unwrap();
    settings
}

fn naming(issuer: &str) -> Settings {
    let target = Target {
        issuer: Some(issuer.into()),
        ..Target::default()
    };
    Settings::for_person(&target, &Environment::default(), ConfigFile::default()).unwrap()
}

fn asks(dir: &Path, issuer: (u16, Value), idp: (u16, Value)) -> Option<bool> {
    let (paths, _, _) = home(dir);
    let (issuer, idp) = (fake(vec![issuer]), fake(vec![idp]));
    let settings = accepted(&paths, &issuer, &idp);
    both_answer(&settings, &paths, &SystemClock)
}

#[test]
fn both_must_answer_as_what_they_are() {
    let outage = || (503, json!({"status": "down"}));
    let page = || (200, json!({"title": "we are working on it"}));
    let other = || (200, json!({"issuer": "https://elsewhere"}));
    let cases = [
        (issuers_answer(), idps_answer(), true),
        (outage(), idps_answer(), false),
        (page(), idps_answer(), false),
        (issuers_answer(), outage(), false),
        (issuers_answer(), (503, idps_answer().1), false),
        (issuers_answer(), page(), false),
        (issuers_answer(), other(), false),
    ];
    for (issuer, idp, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let words = format!("{issuer:?} {idp:?}");
        assert_eq!(asks(dir.path(), issuer, idp), Some(expected), "{words}");
    }
}

#[test]
fn who_is_silent_is_waited_for_until_the_deadline_and_no_longer() {
    for (issuer, idp) in [(SILENCE, idps_answer()), (issuers_answer(), SILENCE)] {
        let dir = tempfile::tempdir().unwrap();
        let begin = std::time::Instant::now();
        assert_eq!(asks(dir.path(), issuer, idp), Some(false));
        assert!(begin.elapsed() < std::time::Duration::from_secs(10));
    }
}

#[test]
fn an_issuer_that_was_never_accepted_here_is_not_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _, _) = home(dir.path());
    let issuer = fake(vec![issuers_answer()]);
    let settings = naming(&issuer.url);
    assert_eq!(both_answer(&settings, &paths, &SystemClock), None);
    assert!(issuer.asked.try_recv().is_err());
}

#[test]
fn an_answer_counts_for_half_a_minute_and_only_a_change_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (_, windows, store) = home(dir.path());
    let (certificate, key) = pair(NOW);
    let window = opened(&windows, &store, &signed(&certificate), &key);
    let at = |seconds, ask: Option<bool>| {
        let now = NOW + Duration::seconds(seconds);
        remembered(&windows, &window, now, || ask.expect("it is asked now"))
    };
    assert_eq!(at(0, Some(false)), NormalWay::Closed);
    assert_eq!(at(29, None), NormalWay::Closed);
    assert_eq!(at(30, Some(true)), NormalWay::OpenAgain);
    assert_eq!(at(31, None), NormalWay::Open);
    assert_eq!(at(60, Some(true)), NormalWay::Open);
    assert_eq!(at(90, Some(false)), NormalWay::Closed);
    assert_eq!(at(120, Some(true)), NormalWay::OpenAgain);
    // A clock that was set back.
    assert_eq!(at(0, Some(true)), NormalWay::Open);

    failed_all_the_same(&windows, &window, NOW + Duration::seconds(200));
    assert_eq!(at(229, None), NormalWay::Closed);
    assert_eq!(at(230, Some(true)), NormalWay::Open);

    for junk in ["", "{}", "\u{0}", "{\"at\":\"x\"}"] {
        fs::write(windows.answers_path(&window), junk).unwrap();
        assert_eq!(at(231, Some(true)), NormalWay::OpenAgain, "{junk:?}");
    }
}
