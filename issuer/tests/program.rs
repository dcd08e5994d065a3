//! The program itself: its commands, its exit codes, and its life from start to signal.

#![expect(clippy::unwrap_used, reason = "a test's functions are tests too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepass-issuer"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = program(arguments).output().unwrap();
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

fn init(dir: &Path) -> String {
    let dir = dir.to_str().unwrap();
    let ports = [
        "--listen",
        "127.0.0.1:0",
        "--health-listen",
        "127.0.0.1:0",
        "--url",
        "https://localhost:8443",
        "--webhook-listen",
        "127.0.0.1:0",
    ];
    let (code, _, stderr) = run(&[&["init", "--dir", dir], &ports[..]].concat());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    format!("{dir}/issuer.yaml")
}

#[test]
fn each_command_says_what_it_does_and_exits_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    let config = init(dir.path());
    let version = format!("gatepass-issuer {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["version"]), (Some(0), version, String::new()));
    let (code, stdout, _) = run(&["completion", "bash"]);
    assert!(code == Some(0) && stdout.contains("gatepass-issuer"));
    let (code, stdout, _) = run(&["check", "--config", &config]);
    assert!(
        code == Some(0) && stdout.contains("is fine: cluster demo-"),
        "{stdout}"
    );
    let (code, stdout, stderr) = run(&["init", "--dir", dir.path().to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("exists, and nothing is overwritten"), "{stderr}");
    assert_eq!(run(&["serve"]).0, Some(2));
    assert_eq!(run(&["nonsense"]).0, Some(2));
}

#[test]
fn nothing_is_bound_for_a_wrong_configuration_and_every_problem_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = init(dir.path());
    let yaml = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        yaml.replace("ttl: 10m", "ttl: 2h")
            .replace("maxAge: 12h", "maxAge: never"),
    )
    .unwrap();
    for command in ["serve", "check"] {
        let (code, stdout, stderr) = run(&[command, "--config", &config]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(
            stderr.contains("certificate.ttl: \"2h\"") && stderr.contains("session.maxAge: \"never\""),
            "{stderr}"
        );
        assert!(!stderr.contains("listening"));
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn signal(name: &str, child: &std::process::Child) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn sighup_reloads_at_once_and_health_says_what_came_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = init(dir.path());
    let mut serve = program(&["serve", "--config", &config]);
    let mut child = serve.stderr(Stdio::piped()).spawn().unwrap();
    let (send, lines) = std::sync::mpsc::channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        stderr
            .lines()
            .map_while(Result::ok)
            .try_for_each(|line| send.send(line))
    });
    let pid = child.id().to_string();
    let until = |message: &str| -> Value {
        loop {
            let Ok(line) = lines.recv_timeout(Duration::from_secs(20)) else {
                drop(Command::new("kill").args(["-KILL", &pid]).status());
                panic!("no line says {message:?}");
            };
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"].as_str().unwrap().starts_with(message) {
                return line;
            }
        }
    };
    let listening = until("listening");
    let health = listening["health"].as_str().unwrap();
    let configuration = |answer: &str| -> Value {
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str::<Value>(body).unwrap()["configuration"].take()
    };
    signal("-HUP", &child);
    until("asked to reload: nothing has changed");

    let yaml = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, yaml.replace("ttl: 10m", "ttl: 2h")).unwrap();
    signal("-HUP", &child);
    let refused = until("not reloaded: what was loaded before stays in force");
    assert!(
        refused["error"]
            .as_str()
            .unwrap()
            .contains("certificate.ttl: \"2h\"")
    );
    assert_eq!(configuration(&get(health, "/readyz"))["problems"], 1);

    let moved = yaml
        .replace("ttl: 10m", "ttl: 5m")
        .replace("file: \"-\"", "file: audit.jsonl");
    std::fs::write(&config, moved).unwrap();
    signal("-HUP", &child);
    until("reloaded");
    assert_eq!(
        until("these keep their value until a restart")["keys"],
        "audit.file"
    );
    let told = configuration(&get(health, "/readyz"));
    assert_eq!(
        (&told["problems"], &told["needsRestart"]),
        (&0.into(), &serde_json::json!(["audit.file"]))
    );
    signal("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_serves_until_it_is_told_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let config = init(dir.path());
    for name in ["-TERM", "-INT"] {
        let mut child = program(&["serve", "--config", &config])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut logged = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
        assert!(
            logged()["message"]
                .as_str()
                .unwrap()
                .contains("no identity provider is configured")
        );
        assert_eq!(
            logged()["keys"],
            "audit.expected.usernames, audit.expected.groups"
        );
        let listening = logged();
        assert_eq!(listening["message"], "listening");
        let health = listening["health"].as_str().unwrap();
        assert!(get(health, "/livez").ends_with("ok\n"));
        // As soon as the revocations were read.
        let begun = Instant::now();
        let ready = loop {
            let ready = get(health, "/readyz");
            if ready.starts_with("HTTP/1.1 200") {
                break ready;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{ready}");
        };
        assert!(ready.contains("\"ready\":true"), "{ready}");
        assert!(get(health, "/metrics").contains("\ngatepass_revocations 0\n"));
        assert!(
            get(health, "/v1/cluster").starts_with("HTTP/1.1 404"),
            "health has a listener of its own"
        );
        // The other listener speaks TLS only.
        let plain = TcpStream::connect(listening["address"].as_str().unwrap()).and_then(|mut stream| {
            stream.write_all(b"GET /v1/cluster HTTP/1.1\r\nHost: h\r\n\r\n")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).map(|_| answer)
        });
        assert!(plain.is_err() || !plain.unwrap().starts_with(b"HTTP"));
        signal(name, &child);
        assert_eq!(logged()["message"], "shutting down: finishing requests in flight");
        assert_eq!(logged()["message"], "ended");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
