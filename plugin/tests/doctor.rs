//! `doctor` as it is typed, with a fake kubectl in PATH.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::{Value, json};

/// Runs it in a home of its own where kubectl shows this of the kubeconfig.
fn doctor(kubeconfig: &str, args: &[&str], exec_info: Option<&str>) -> Output {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    fs::create_dir_all(home.join(".config/gatepass")).unwrap();
    fs::write(home.join(".config/gatepass/config.yaml"), "store: file").unwrap();
    fs::write(home.join("kubeconfig"), kubeconfig).unwrap();
    let kubectl = home.join("kubectl");
    let script = "#!/bin/sh\ncase \"$*\" in\n'config view -o json'*) cat \"${0%/*}/kubeconfig\" ;;\n*) exit 9 ;;\nesac\n";
    fs::write(&kubectl, script).unwrap();
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o700)).unwrap();
    let path = std::env::join_paths([home.into(), PathBuf::from("/usr/bin"), PathBuf::from("/bin")]).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-gatepass"));
    command
        .arg("doctor")
        .args(args)
        .env_clear()
        .env("PATH", path)
        .env("HOME", home);
    if let Some(info) = exec_info {
        command.env("KUBERNETES_EXEC_INFO", info);
    }
    command.output().unwrap()
}

fn kubeconfig(user: Value) -> String {
    json!({"kind": "Config", "users": [{"name": "g", "user": user}], "clusters": null, "contexts": null})
        .to_string()
}

fn well() -> Value {
    json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "kubectl-gatepass", "args": ["get-credential"],
        "interactiveMode": "IfAvailable", "provideClusterInfo": true,
    }})
}

fn states(run: &Output) -> Vec<(String, String)> {
    let lines: Vec<Value> = serde_json::from_slice(&run.stdout).unwrap();
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    lines
        .iter()
        .map(|line| (text(line, "check"), text(line, "state")))
        .collect()
}

#[test]
fn warnings_alone_are_no_failure() {
    let run = doctor(&kubeconfig(well()), &["-o", "json"], None);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let expected = [
        ("keyring", "ok"),
        ("issuer", "warning"),
        ("kubeconfig", "ok"),
        ("policy", "ok"),
    ];
    assert_eq!(
        states(&run),
        expected.map(|(check, state)| (check.to_owned(), state.to_owned()))
    );
    assert!(run.stderr.is_empty(), "{run:?}");
}

#[test]
fn a_failure_is_a_line_with_its_remedy_and_an_exit_code() {
    let mut user = well();
    user["token"] = "REDACTED".into();
    let run = doctor(&kubeconfig(user), &[], None);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let text = String::from_utf8(run.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("FAILED")).unwrap();
    assert!(
        line.contains("user g: it has a token") && line.contains("; next: remove it"),
        "{text}"
    );
    assert!(
        String::from_utf8(run.stderr)
            .unwrap()
            .contains("1 of the checks failed")
    );
}

#[test]
fn what_kubectl_says_that_is_no_kubeconfig_is_not_taken_for_one() {
    let run = doctor("nonsense", &["-o", "json"], None);
    assert!(
        states(&run).contains(&("kubeconfig".into(), "unknown".into())),
        "{run:?}"
    );
}

#[test]
fn a_kubeconfig_may_not_run_it() {
    let info = r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{}}"#;
    let run = doctor(&kubeconfig(well()), &["--send-id-token"], Some(info));
    assert_eq!(run.status.code(), Some(2), "{run:?}");
    assert!(run.stdout.is_empty());
    assert!(
        String::from_utf8(run.stderr)
            .unwrap()
            .contains("only a person may")
    );
}
