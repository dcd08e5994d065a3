//! `gatepass-issuer revoke`, `unrevoke` and `revocations`: what operators type where revocations lie in a directory.

#![expect(clippy::unwrap_used, reason = "a test's functions are tests too")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_gatepass-issuer"))
        .args(arguments)
        .output()
        .unwrap();
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

/// Runs a command on a directory.
fn at(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    run(&[arguments, &["--directory", dir.to_str().unwrap()]].concat())
}

#[track_caller]
fn ok((code, stdout, stderr): (Option<i32>, String, String)) -> String {
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    stdout
}

#[track_caller]
fn fails((code, stdout, stderr): (Option<i32>, String, String), status: i32, words: &str) {
    assert_eq!((code, stdout.as_str()), (Some(status), ""), "{stderr}");
    assert!(stderr.contains(words), "{stderr:?} does not say {words:?}");
}

fn documents(dir: &Path) -> Vec<Value> {
    let mut files: Vec<_> = dir
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        .collect()
}

const SESSION: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbbbb";
const CREDENTIAL: &str = "X509SHA256=0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn each_target_becomes_a_document() {
    for (arguments, target) in [
        (&["--user", "alice"][..], json!({"user": "alice"})),
        (
            &["--subject", "s", "--subject-issuer", "https://i"],
            json!({"subject": {"issuer": "https://i", "subject": "s"}}),
        ),
        (&["--uid", "u"], json!({"uid": "u"})),
        (&["--group", "dev"], json!({"group": "dev"})),
        (&["--session", SESSION], json!({"session": SESSION})),
        (
            &["--credential-id", CREDENTIAL],
            json!({"credentialId": CREDENTIAL}),
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let text = ok(at(dir.path(), &[&["revoke"], arguments].concat()));
        let [document] = &documents(dir.path())[..] else {
            panic!()
        };
        assert_eq!(document["apiVersion"], "gatepass.dev/v1alpha1");
        assert_eq!(document["spec"]["target"], target);
        assert!(document["spec"]["loggedInBefore"].is_string());
        assert!(document["spec"].get("blockIssuance").is_none());
        // A session's ends with the session, which the issuer knows.
        assert_eq!(
            document["spec"].get("expiresAt").is_some(),
            target.get("session").is_none()
        );
        let name = document["metadata"]["name"].as_str().unwrap();
        assert!(text.starts_with("revoked: ") && text.contains(name), "{text}");
    }
}

#[test]
fn what_is_typed_is_what_is_written_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let text = ok(at(
        dir.path(),
        &[
            "revoke",
            "--user",
            "alice",
            "--block",
            "--reason",
            "laptop stolen",
            "--name",
            "stolen",
            "--logged-in-before",
            "2026-11-22T02:00:00.5+01:00",
            "--for",
            "1d12h",
        ],
    ));
    let [document] = &documents(dir.path())[..] else {
        panic!()
    };
    let mut spec = document["spec"].clone();
    assert!(spec["expiresAt"].take().is_string());
    let expected = json!({
        "target": {"user": "alice"}, "loggedInBefore": "2026-11-22T01:00:01Z", "blockIssuance": true,
        "reason": "laptop stolen", "expiresAt": null,
    });
    assert_eq!(spec, expected);
    for words in [
        "revoked: user alice\n",
        "revocation     stolen\n",
        "every credential, whenever it was made",
        "are refused, too",
        "they are told  laptop stolen\n",
        "gatepass-issuer unrevoke stolen --directory ",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    let text = ok(at(
        dir.path(),
        &["revoke", "--user", "Bob B@example.com", "-o", "json"],
    ));
    let printed: Value = serde_json::from_str(&text).unwrap();
    assert!(documents(dir.path()).contains(&printed));
    let name = printed["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("user-bob-b-example-com-"), "{name}");
}

#[test]
fn what_revokes_nothing_or_too_much_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let revoke = |arguments: &[&str]| at(dir.path(), &[&["revoke"], arguments].concat());
    fails(
        revoke(&["--user", "system:admin"]),
        1,
        "could close the last way in; nothing was written",
    );
    fails(revoke(&["--user", ""]), 1, "1 to 1024 bytes");
    fails(revoke(&["--session", "x"]), 1, "a session id is");
    fails(
        revoke(&["--credential-id", "X509SHA256=FF"]),
        1,
        "a credential ID is",
    );
    fails(
        revoke(&["--credential-id", CREDENTIAL, "--block"]),
        1,
        "blockIssuance",
    );
    fails(
        revoke(&["--user", "a", "--reason", &"r".repeat(1025)]),
        1,
        "longer than 1 KiB",
    );
    fails(
        revoke(&["--user", "a", "--name", "A b"]),
        1,
        "no name of a revocation",
    );
    fails(
        revoke(&["--user", "a", "--name", "../a"]),
        1,
        "no name of a revocation",
    );
    fails(
        revoke(&["--user", "a", "--for", "9999999d"]),
        1,
        "beyond the year 9999",
    );
    for wrong in [
        &[][..],
        &["--user", "a", "--group", "b"],
        &["--subject", "s"],
        &["--user", "a", "--subject-issuer", "https://i"],
        &["--user", "a", "--for", "1w"],
        &["--user", "a", "--for", "0s"],
        &["--user", "a", "--logged-in-before", "yesterday"],
        &["--session", SESSION, "--logged-in-before", "2026-11-22T02:00:00Z"],
    ] {
        assert_eq!(revoke(wrong).0, Some(2), "{wrong:?}");
    }
    assert_eq!(run(&["revoke", "--user", "a"]).0, Some(2), "no place");
    assert!(documents(dir.path()).is_empty());
    let missing = dir.path().join("missing");
    fails(
        at(&missing, &["revoke", "--user", "a"]),
        1,
        "No such file or directory",
    );
    fails(at(&missing, &["revocations"]), 1, "cannot read");
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let revoke = |user: &str| at(dir.path(), &["revoke", "--user", user, "--name", "one"]);
    ok(revoke("alice"));
    fails(revoke("bob"), 1, "a revocation one exists");
    assert_eq!(documents(dir.path())[0]["spec"]["target"]["user"], "alice");
}

#[test]
fn revocations_are_taken_away_by_name_and_by_target() {
    let dir = tempfile::tempdir().unwrap();
    for (user, name) in [("alice", "a1"), ("alice", "a2"), ("bob", "b")] {
        ok(at(dir.path(), &["revoke", "--user", user, "--name", name]));
    }
    let unrevoke = |arguments: &[&str]| at(dir.path(), &[&["unrevoke"], arguments].concat());
    fails(
        unrevoke(&["b", "c"]),
        1,
        "there is no revocation c; nothing was removed",
    );
    fails(
        unrevoke(&["--user", "carol"]),
        1,
        "no revocation has the target user carol",
    );
    fails(unrevoke(&["../b"]), 1, "no name of a revocation");
    assert_eq!(unrevoke(&["b", "--user", "bob"]).0, Some(2));
    assert_eq!(documents(dir.path()).len(), 3);
    assert!(
        ok(unrevoke(&["--user", "alice"]))
            .starts_with("removed: a1 (user alice)\nremoved: a2 (user alice)\n")
    );
    std::fs::write(dir.path().join("broken.yaml"), "?").unwrap();
    assert!(ok(unrevoke(&["b", "broken"])).contains("removed: broken (a file that could not be read)"));
    assert!(documents(dir.path()).is_empty() && !dir.path().join("broken.yaml").exists());
}

#[test]
fn what_stands_is_listed_and_what_is_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        ok(at(dir.path(), &["revocations"])),
        "There are no revocations.\n"
    );
    let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
    write(
        "old.yaml",
        "apiVersion: gatepass.dev/v1alpha1\nkind: Revocation\nmetadata: {name: old}\nspec:\n  target: {user: alice}\n  \
         loggedInBefore: 2020-01-01T00:00:00Z\n  expiresAt: 2020-02-01T00:00:00Z\n  reason: \"red \\e[31m\"\n",
    );
    ok(at(dir.path(), &["revoke", "--session", SESSION, "--name", "s"]));
    let table = ok(at(dir.path(), &["revocations"]));
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("NAME  TARGET "), "{table}");
    assert!(
        lines[1].contains("2020-02-01T00:00:00Z (expired)") && lines[1].ends_with(r"red \u{1b}[31m"),
        "{table}"
    );
    assert!(lines[2].contains("with the session"), "{table}");
    let json = ok(at(dir.path(), &["revocations", "-o", "json"]));
    assert!(!json.contains('\u{1b}'));
    let rows: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        rows[0],
        json!({
            "name": "old", "target": {"user": "alice"}, "loggedInBefore": "2020-01-01T00:00:00Z", "blockIssuance": false,
            "reason": "red \u{1b}[31m", "expiresAt": "2020-02-01T00:00:00Z", "expired": true,
        })
    );
    write("wrong.yaml", "kind: Revocation");
    let (code, stdout, stderr) = at(dir.path(), &["revocations"]);
    assert_eq!((code, stdout), (Some(1), table));
    assert!(stderr.contains("wrong.yaml: it is not a Revocation"), "{stderr}");
}

#[test]
fn the_configuration_names_the_directory_even_where_it_would_not_load() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("issuer.yaml");
    let config = config.to_str().unwrap();
    ok(run(&["init", "--dir", dir.path().to_str().unwrap()]))
        .contains("Wrote")
        .then_some(())
        .unwrap();
    std::fs::remove_file(dir.path().join("ca.key")).unwrap();
    ok(run(&["revoke", "--config", config, "--user", "alice"]));
    assert_eq!(documents(&dir.path().join("revocations")).len(), 1);
    assert_eq!(
        run(&["revoke", "--config", config, "--directory", "x", "--user", "a"]).0,
        Some(2)
    );
    let text = std::fs::read_to_string(config).unwrap();
    let line = text
        .lines()
        .find(|line| line.trim().starts_with("directory: revocations"))
        .unwrap();
    std::fs::write(config, text.replace(line, "  kubernetes: {}")).unwrap();
    for command in [
        &["revoke", "--user", "a"][..],
        &["unrevoke", "a"],
        &["revocations"],
    ] {
        let words = format!("type `kubectl gatepass {}`", command[0]);
        fails(run(&[command, &["--config", config]].concat()), 1, &words);
    }
    std::fs::write(config, text.replace(line, "")).unwrap();
    fails(
        run(&["revocations", "--config", config]),
        1,
        "revocation.directory: is missing",
    );
}

#[test]
fn what_a_file_is_called_moves_no_cursor() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a\u{1b}[2J\nrevoked: bob\u{202e}.json"), "junk").unwrap();
    let (_, _, stderr) = at(dir.path(), &["revocations"]);
    assert!(
        stderr.contains("a\\u{1b}[2J\\u{a}revoked: bob\\u{202e}.json"),
        "{stderr:?}"
    );
}
