use std::fs;

use serde_json::Value;

use super::*;
use crate::{
    break_glass::{
        outage::tests::{accepted, issuers_answer},
        window::tests::home,
    },
    clock::SystemClock,
    fake_issuer::fake,
    run::wait_for,
    settings::{ConfigFile, StoreChoice},
    store::StoreKind,
};

#[test]
fn a_keyring_is_tried_with_something_that_does_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = || Store::new(StoreKind::File, false, dir.path(), DEADLINE);
    let line = keyring(store().as_ref());
    assert_eq!((line.state, line.next), (State::Ok, None));
    let secrets = dir.path().join("secrets");
    assert_eq!(fs::read_dir(&secrets).unwrap().count(), 0);
    fs::remove_dir(&secrets).unwrap();
    fs::write(&secrets, "").unwrap();
    let line = keyring(store().as_ref());
    assert_eq!(line.state, State::Failed);
    assert!(line.next.is_some(), "{line:?}");
    assert_eq!(keyring(Err(&StoreError::Locked)).state, State::Failed);
}

#[test]
fn each_check_is_one_line_that_moves_no_cursor_and_json_says_the_same() {
    let lines = [
        Line::ok("keyring", "well"),
        Line::failed("issuer", "a\u{1b}[2J\nb", "try\nthat"),
        Line::unknown("clock", "nobody told", None),
    ];
    let mut text = Vec::new();
    print(&lines, Output::Text, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(
        text,
        "ok       keyring      well\nFAILED   issuer       a\\u{1b}[2J b; next: try that\nunknown  clock        nobody told\n"
    );
    let mut json = Vec::new();
    print(&lines, Output::Json, &mut json).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(
        json[0],
        serde_json::json!({"check": "keyring", "state": "ok", "says": "well"})
    );
    assert_eq!(
        (&json[1]["state"], &json[1]["next"]),
        (&"failed".into(), &"try that".into())
    );
}

#[test]
fn an_issuer_that_answers_otherwise_and_a_provider_that_is_down_fail_each_with_its_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _, _) = home(dir.path());
    let (issuer, idp) = (fake(vec![issuers_answer()]), fake(vec![(503, Value::Null)]));
    let settings = accepted(&paths, &issuer, &idp);
    let known = AcceptedFile::new(paths.state_dir()).all().unwrap();
    let lines = wait_for(async { Ok(issuers::lines(&known, &settings, &SystemClock).await) }).unwrap();
    let [issuer, clock, idp] = &lines[..] else {
        panic!("{lines:?}")
    };
    // The fake names no identity provider any more.
    assert_eq!((issuer.check, issuer.state), ("issuer", State::Failed));
    assert!(
        issuer.says.contains("is not as it was accepted") && issuer.next.is_some(),
        "{issuer:?}"
    );
    assert_eq!((clock.check, clock.state), ("clock", State::Ok));
    assert_eq!((idp.check, idp.state), ("idp", State::Failed));
    assert!(idp.next.is_some(), "{idp:?}");
}

#[test]
fn nothing_to_warn_of_is_no_failure_and_a_failure_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _, _) = home(dir.path());
    let file = ConfigFile {
        store: StoreChoice::File,
        ..ConfigFile::default()
    };
    let env = Environment::new([("HOME".into(), dir.path().into())]);
    let settings = Settings::for_person(&crate::cli::Target::default(), &env, file).unwrap();
    let command = Doctor {
        output: Output::Json,
        kubeconfig: Some(dir.path().join("missing")),
        send_id_token: false,
    };
    let mut out = Vec::new();
    let done = wait_for(doctor(&command, &settings, &env, &paths, &SystemClock, &mut out));
    let lines: Vec<Value> = serde_json::from_slice(&out).unwrap();
    let failed = lines.iter().filter(|line| line["state"] == "failed").count();
    match done {
        Ok(()) => assert_eq!(failed, 0, "{lines:?}"),
        Err(Error::Unwell(count)) => assert_eq!((count, failed > 0), (failed, true)),
        Err(other) => panic!("{other}"),
    }
    assert!(
        lines
            .iter()
            .any(|line| line["check"] == "issuer" && line["state"] == "warning")
    );
}
