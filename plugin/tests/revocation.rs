//! `revoke`, `unrevoke` and `revocations` as they are typed, with a fake kubectl in PATH.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

struct Desk {
    dir: tempfile::TempDir,
}

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    fn run(&self, args: &[&str]) -> Run {
        let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake");
        let path = std::env::join_paths([fake, PathBuf::from("/usr/bin"), PathBuf::from("/bin")]).unwrap();
        self.run_with(args, path.to_str().unwrap(), None)
    }

    fn run_with(&self, args: &[&str], path: &str, exec_info: Option<&str>) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-gatepass"));
        command
            .args(args)
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.dir.path())
            .env("FAKE_KUBECTL", self.dir.path());
        if let Some(info) = exec_info {
            command.env("KUBERNETES_EXEC_INFO", info);
        }
        let output = command.output().unwrap();
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What kubectl was called with: one list for each call.
    fn calls(&self) -> Vec<Vec<String>> {
        let arguments = self.read("arguments");
        let calls = arguments.split("\n\n").filter(|call| !call.is_empty());
        calls
            .map(|call| call.lines().map(str::to_owned).collect())
            .collect()
    }

    fn documents(&self) -> Vec<Value> {
        let text = self.read("documents");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn object(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "gatepass.dev/v1alpha1", "kind": "Revocation",
        "metadata": {"name": name, "creationTimestamp": "2026-11-22T00:00:00Z"}, "spec": spec,
        "status": {"conditions": [{"type": "Accepted", "status": "True"}]},
    })
}

fn page(items: &[Value], next: &str) -> String {
    json!({"metadata": {"continue": next}, "items": items}).to_string()
}

#[test]
fn a_document_goes_to_kubectl_and_what_it_does_is_told() {
    let desk = Desk::new();
    let run = desk.run(&[
        "revoke",
        "--user=-alice",
        "--reason=it's $(gone)",
        "--context=--as=root",
        "--as-group=a b",
    ]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let calls = desk.calls();
    assert_eq!(
        calls[0],
        [
            "create",
            "--raw",
            "/apis/gatepass.dev/v1alpha1/revocations?fieldValidation=Strict&fieldManager=kubectl-gatepass",
            "-f",
            "-",
            "--request-timeout=15s",
            "--context=--as=root",
            "--as-group=a b"
        ]
    );
    let document = &desk.documents()[0];
    assert_eq!(document["kind"], "Revocation");
    assert_eq!(document["spec"]["target"], json!({"user": "-alice"}));
    assert_eq!(document["spec"]["reason"], "it's $(gone)");
    let name = document["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("user-alice-"), "{name}");
    let url = format!("/apis/gatepass.dev/v1alpha1/revocations/{name}");
    let look = ["get", "--raw", &url, "--request-timeout=15s"];
    assert_eq!(
        calls[1],
        [&look as &[&str], &["--context=--as=root", "--as-group=a b"]].concat()
    );
    assert_eq!(calls.len(), 2, "an issuer's word is not asked for twice");
    for words in [
        "revoked: user -alice\n",
        "until 2001-01-01T00:01:00Z",
        "they are told  it's $(gone)",
        "open watches",
        &format!("kubectl gatepass unrevoke {name} --context=--as=root '--as-group=a b'\n"),
    ] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    assert!(run.stdout.lines().count() <= 24 && run.stdout.lines().all(|line| line.len() <= 120));
    assert!(
        run.stderr.contains("clock is"),
        "the API server's is another: {}",
        run.stderr
    );
}

#[test]
fn programs_get_documents_and_names() {
    let desk = Desk::new();
    let json = desk.run(&["revoke", "--group=dev", "--name=dev", "-o", "json"]);
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["metadata"]["name"], "dev");
    assert_eq!(document["metadata"]["creationTimestamp"], "2001-01-01T00:00:00Z");
    let name = desk.run(&["revoke", "--group=dev", "--name=dev", "-o", "name"]);
    assert_eq!(name.stdout, "revocation.gatepass.dev/dev\n");
    let yaml = desk.run(&["revoke", "--group=dev", "--name=dev", "-o", "yaml"]);
    assert!(yaml.stdout.contains("kind: Revocation\n"), "{}", yaml.stdout);
}

/// The condition as an issuer that ignores an object writes it.
const REFUSED: &str = r#""status":{"conditions":[{"type":"Accepted","status":"False","reason":"Refused","message":"It is ignored: spec.target: no."}]},"#;

#[test]
fn what_the_issuer_refuses_is_no_success() {
    let desk = Desk::new();
    desk.put("status", REFUSED);
    let run = desk.run(&["revoke", "--user=alice", "--name=n", "--context=x"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stdout.starts_with("not revoked: user alice\n"),
        "{}",
        run.stdout
    );
    for words in [
        "the issuer refuses the revocation n",
        "It is ignored: spec.target: no.",
        "kubectl gatepass unrevoke n --context=x",
    ] {
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    let name = desk.run(&["revoke", "--user=alice", "--name=n", "-o", "name"]);
    assert_eq!(
        (name.code, name.stdout.as_str()),
        (Some(1), "revocation.gatepass.dev/n\n")
    );
    assert!(name.stderr.contains("It is ignored"), "{}", name.stderr);
}

/// This waits as long as people do.
#[test]
fn what_no_issuer_confirms_is_not_called_revoked() {
    let desk = Desk::new();
    desk.put("status", "");
    let run = desk.run(&["revoke", "--user=alice", "--name=n"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let doubt = "no issuer has confirmed it within 4 s, so it may not be in force";
    assert!(
        run.stdout.starts_with("not confirmed: user alice\n") && run.stdout.contains(doubt),
        "{}",
        run.stdout
    );
    for words in [
        doubt,
        "`revocation.kubernetes`",
        "kubectl get revocation n -o yaml",
    ] {
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    assert!(
        desk.calls().len() > 2,
        "an issuer may take a moment: {:?}",
        desk.calls()
    );
}

#[test]
fn who_may_not_look_has_written_it_all_the_same() {
    let desk = Desk::new();
    desk.put(
        "fail-get",
        "Error from server (Forbidden): revocations.gatepass.dev \"n\" is forbidden",
    );
    let run = desk.run(&["revoke", "--user=alice", "--name=n"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stdout.starts_with("not confirmed: user alice\n"),
        "{}",
        run.stdout
    );
    assert!(
        run.stderr.contains("could not be confirmed") && run.stderr.contains("you may not read revocations"),
        "{}",
        run.stderr
    );
    let json = desk.run(&["revoke", "--user=alice", "--name=n", "-o", "json"]);
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &document["metadata"]["name"]), (Some(0), &json!("n")));
    assert!(json.stderr.contains("could not be confirmed"), "{}", json.stderr);
}

#[test]
fn a_dry_run_prints_a_document_for_a_directory_and_runs_nothing() {
    let desk = Desk::new();
    let run = desk.run(&["revoke", "--user=alice", "--dry-run"]);
    assert_eq!(run.code, Some(0));
    assert!(
        run.stdout
            .starts_with("apiVersion: gatepass.dev/v1alpha1\nkind: Revocation\n"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("loggedInBefore:"), "{}", run.stdout);
    assert!(run.stderr.contains("nothing was written"), "{}", run.stderr);
    assert_eq!(desk.calls().len(), 0);
}

#[test]
fn what_kubectl_says_is_passed_on_with_a_sentence_and_a_next_step() {
    for (said, sentence, next) in [
        (
            "Error from server (NotFound): the server could not find the requested resource",
            "the cluster has no revocations",
            "kubectl apply -f deploy/base/crd.yaml",
        ),
        (
            "Error from server (Forbidden): revocations.gatepass.dev is forbidden: User \"x\" cannot create",
            "you may not write the revocation",
            "can-i create revocations.gatepass.dev",
        ),
        (
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
            "the API server cannot be reached; nothing was done",
            "current-context",
        ),
        (
            "Unable to connect to the server: net/http: request canceled (Client.Timeout exceeded)",
            "gave no answer",
            "see whether it was done all the same",
        ),
        ("error: \u{1b}[2Jwhatever", "could not write the revocation", ""),
    ] {
        let desk = Desk::new();
        desk.put("fail-create", said);
        let run = desk.run(&["revoke", "--user=alice"]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
        assert!(
            run.stderr.contains(sentence) && run.stderr.contains(next),
            "{}",
            run.stderr
        );
        let shown = said.replace('\u{1b}', "\\u{1b}");
        assert!(run.stderr.contains(&shown), "{}", run.stderr);
    }
}

#[test]
fn without_kubectl_nothing_works_and_that_is_said() {
    let desk = Desk::new();
    let run = desk.run_with(&["revoke", "--user=alice"], "/nonexistent", None);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("cannot run kubectl") && run.stderr.contains("install kubectl"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_target_that_may_not_be_revoked_reaches_no_kubectl() {
    let desk = Desk::new();
    for target in [
        "--user=system:admin",
        "--group=gatepass:break-glass",
        "--session=x",
        "--credential-id=x",
    ] {
        let run = desk.run(&["revoke", target]);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("nothing was written"), "{}", run.stderr);
    }
    assert_eq!(desk.calls().len(), 0);
}

#[test]
fn a_kubeconfig_cannot_revoke_anybody() {
    let desk = Desk::new();
    let info = r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#;
    let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake");
    let path = format!("{}:/usr/bin:/bin", fake.display());
    for args in [
        &["revoke", "--user=alice"] as &[&str],
        &["unrevoke", "x"],
        &["revocations"],
    ] {
        let run = desk.run_with(args, &path, Some(info));
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("which only a person may"), "{}", run.stderr);
    }
    assert_eq!(desk.calls().len(), 0);
}

#[test]
fn all_of_them_are_listed_page_by_page() {
    let desk = Desk::new();
    let alice = object(
        "alice",
        json!({"target": {"user": "alice\u{202e}"}, "expiresAt": "2001-01-01T00:00:00Z"}),
    );
    let dev = object("dev", json!({"target": {"group": "dev"}, "blockIssuance": true}));
    desk.put("list", &page(&[alice], "a/b"));
    desk.put("list-a%2Fb", &page(&[dev], ""));
    let run = desk.run(&["revocations"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", run.stdout);
    assert!(
        lines[1].contains("user alice\\u{202e}") && lines[1].ends_with("(expired)"),
        "{}",
        run.stdout
    );
    assert!(
        lines[2].contains("group dev") && lines[2].ends_with("never"),
        "{}",
        run.stdout
    );
    let document: Value = serde_json::from_str(&desk.run(&["revocations", "-o", "json"]).stdout).unwrap();
    assert_eq!(document[0]["target"]["user"], "alice\u{202e}");
    assert_eq!(
        (&document[0]["expired"], &document[1]["expired"]),
        (&json!(true), &json!(false))
    );
}

#[test]
fn revocations_are_deleted_by_name_or_by_target_and_shown() {
    let desk = Desk::new();
    let alice = |name: &str| object(name, json!({"target": {"user": "alice"}}));
    let bob = object("c", json!({"target": {"user": "bob"}}));
    // A name that no API server gives must not become a part of a URL.
    let odd = alice("a?x=/../../y");
    desk.put("list", &page(&[alice("a"), alice("b"), bob.clone(), odd], ""));
    for name in ["a", "b", "c"] {
        desk.put(&format!("object-{name}"), &bob.to_string());
    }
    let would = desk.run(&["unrevoke", "--user=alice", "--dry-run"]);
    assert_eq!(
        would.stdout,
        "would be deleted: a (user alice)\nwould be deleted: b (user alice)\n"
    );
    assert_eq!(desk.calls().len(), 1);
    let done = desk.run(&["unrevoke", "--user=alice"]);
    assert!(
        done.stdout
            .starts_with("deleted: a (user alice)\ndeleted: b (user alice)\n"),
        "{}",
        done.stdout
    );
    let deleted = desk.calls().into_iter().filter(|call| call[0] == "delete");
    let deleted: Vec<_> = deleted.map(|call| call[2].clone()).collect();
    assert_eq!(
        deleted,
        ["a", "b"].map(|name| format!("/apis/gatepass.dev/v1alpha1/revocations/{name}"))
    );
    let named = desk.run(&["unrevoke", "c"]);
    assert!(
        named.stdout.starts_with("deleted: c (user bob)\n"),
        "{}",
        named.stdout
    );
}

#[test]
fn what_is_not_there_is_named_and_nothing_else_is_deleted() {
    let desk = Desk::new();
    desk.put("list", &page(&[], ""));
    desk.put(
        "object-a",
        &object("a", json!({"target": {"user": "alice"}})).to_string(),
    );
    let run = desk.run(&["unrevoke", "a", "typo"]);
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("no revocation typo; nothing was deleted")
            && run
                .stderr
                .contains("next: see what there is: kubectl gatepass revocations"),
        "{}",
        run.stderr
    );
    let run = desk.run(&["unrevoke", "--user=alice"]);
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("no revocation has the target user alice"),
        "{}",
        run.stderr
    );
    let run = desk.run(&["unrevoke", "--", "-x"]);
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("is no name of a revocation"),
        "{}",
        run.stderr
    );
    assert!(desk.calls().iter().all(|call| call[0] == "get"));
}
