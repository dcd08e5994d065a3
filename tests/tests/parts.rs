//! The parts themselves, without ours: when these fail, look here first.

use std::process::Command;
use std::time::Duration;

use e2e::alone::{alone, unshare};
use e2e::clock::Clock;
use e2e::cluster::Cluster;
use e2e::exchange::Login;
use e2e::holder::Holder;
use e2e::http::Http;
use e2e::idp::Idp;
use e2e::parts::{Part, present};
use e2e::pki::Authority;
use e2e::process::until;
use e2e::talk::{Party, talk};
use e2e::terminal::{Answer, Terminal};
use e2e::world::Site;
use serde_json::{Value, json};

static SITE: Site = Site::new("parts");

/// The claims of a token, unverified: what the provider wrote, for the test to look at.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&fakes::unb64(payload)).expect("JSON")
}

#[test]
fn the_api_server_answers_its_administrator() {
    if !present(&[Part::ControlPlane]) {
        return;
    }
    let out = SITE
        .cluster()
        .admin(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
    assert_eq!(
        String::from_utf8_lossy(&out.stdout),
        "test-admin",
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

#[test]
fn the_identity_provider_logs_in_refreshes_and_forges() {
    if !present(&[Part::IdentityProvider]) {
        return;
    }
    let idp = Idp::start(&SITE.dir("idp"));
    let login = Login::new(&idp, "alice");
    let token = claims(&login.id_token);
    assert_eq!(token["groups"], json!(["dev", "ops"]));
    assert_eq!(token["nonce"], login.keys.nonce());
    idp.set(&json!({"tamper": {"refresh_token": {"nonce": null}}}));
    let fresh = &login.refresh(&idp);
    assert!(claims(fresh).get("nonce").is_none());
    assert_eq!(claims(&idp.forge(fresh, &json!({"aud": "x"})))["aud"], "x");
    assert_eq!((idp.stats().logins(), idp.stats().refreshes()), (1, 1));
    assert!(idp.secrets().contains(&login.refresh_token));
}

#[test]
fn a_program_can_be_shown_another_time() {
    if !present(&[Part::Faketime, Part::IdentityProvider]) {
        return;
    }
    let dir = SITE.dir("clock");
    let clock = Clock::new(&dir, -10_000);
    let idp = Idp::start_at(&dir, Some(&clock));
    let http = Http::trusting(&idp.ca);
    let shown = || {
        let url = format!("{}/.well-known/openid-configuration", idp.issuer);
        let answer = http.send("GET", &url, &[], Vec::new()).expect("it answers");
        answer.headers["date"].to_str().expect("text").to_owned()
    };
    let past = shown();
    clock.set(0);
    until(
        "the provider lives in the present",
        Duration::from_secs(5),
        || (shown()[..22] != past[..22]).then_some(()),
    );
}

#[test]
fn an_api_server_believes_an_authority_while_it_is_in_the_bundle() {
    if !present(&[Part::ControlPlane]) {
        return;
    }
    let cluster = Cluster::start(&SITE.dir("bundle"));
    let authority = Authority::new("a kit");
    let glass = authority.client("break-glass:carol", "gatepass:break-glass");
    let carol = Holder::new(glass, &cluster);
    assert_eq!(carol.list_pods().status, 401, "nobody knows who that is");
    cluster.trust_authority(&authority.pem());
    assert_eq!(carol.list_pods().status, 403, "nothing is bound to the group");
    cluster.bind_break_glass();
    for path in [
        "/api/v1/nodes",
        "/api/v1/namespaces/kube-system/secrets",
        "/metrics",
    ] {
        assert_eq!(carol.get(path).status, 200, "{path}");
    }
    cluster.distrust_authority(&authority.pem());
    assert_eq!(carol.list_pods().status, 401);
}

#[test]
fn an_api_server_runs_where_there_is_nobody_else() {
    let name = "an_api_server_runs_where_there_is_nobody_else";
    if !present(&[Part::ControlPlane, Part::NetworkNamespace]) || !alone(&SITE.dir("alone"), name) {
        return;
    }
    let cluster = Cluster::start(&SITE.dir("alone-cluster"));
    cluster.administer(&["get", "--raw=/readyz"]);
    // And what is cut off from this, too, does not even reach the API server.
    let address = cluster.url.trim_start_matches("https://localhost:").to_owned();
    let connect = format!("import socket; socket.create_connection(('127.0.0.1', {address}))");
    let reach = |mut command: Command| command.args(["-c", &connect]).output().expect("python3 runs");
    assert!(reach(Command::new("python3")).status.success());
    let mut cut_off = unshare();
    cut_off.arg("python3");
    let said = String::from_utf8(reach(cut_off).stderr).expect("text");
    assert!(said.contains("Network is unreachable"), "{said}");
}

#[test]
fn a_person_at_a_terminal_reads_types_and_is_not_overlooked() {
    if !present(&[Part::Terminal]) {
        return;
    }
    let script = r#"
        printf 'Who? '; read -r who </dev/tty
        stty -echo </dev/tty; printf 'Secret? '; read -r secret; stty echo </dev/tty
        echo "$who" >&2; [ "$secret" = sesame ] && [ ! -t 1 ] && echo printed
        trap 'echo interrupted >&2; exit 3' INT
        echo waiting >&2; while :; do sleep 0.1; done
    "#;
    let mut command = Command::new("sh");
    command.args(["-c", &script.replace("printf '", "printf >&2 '")]);
    let mut terminal = Terminal::start_piped(&command);
    assert_eq!(terminal.next(&["Secret? ", "Who? "]), Some((1, String::new())));
    terminal.type_line("alice");
    terminal.wait_for("Secret? ");
    terminal.type_secret("sesame");
    assert_eq!(terminal.wait_for("waiting"), "alice\n");
    terminal.press("\x03");
    let ended = terminal.finish();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    assert_eq!(ended.stdout, "printed\n");
    assert_eq!(ended.shown, "Who? alice\nSecret? alice\nwaiting\n^Cinterrupted\n");

    let rules = [
        ("Who? ", Answer::Line("bob")),
        ("Secret? ", Answer::Secret("wrong")),
    ];
    let quick = script.replace("while :; do sleep 0.1; done", "");
    let mut command = Command::new("sh");
    command.args(["-c", &quick]);
    let ended = Terminal::start(&command).answer(&rules).expect_ok();
    assert_eq!(ended.shown, "Who? bob\nSecret? bob\nwaiting\n");
}

#[test]
fn people_in_a_chat_pass_armored_texts_and_nothing_else() {
    let armored =
        |label: &str| format!("-----BEGIN GATEPASS {label}-----\nQUJD\n-----END GATEPASS {label}-----\n");
    let sh = |name: &str, script: String| {
        let mut command = Command::new("sh");
        command.args(["-euc", &script]);
        Party::start(name, command)
    };
    // Each text is three lines; what is read is noted on standard error.
    let read = "read -r a; read -r b; read -r c; echo \"$a\" >&2";
    let print = |label: &str| format!("printf -- '{}'", armored(label).replace('\n', "\\n"));
    let mut alice = sh("alice", format!("{}; {read}; {read}", print("REQUEST")));
    let approve = format!("{read}; printf 'Do you agree? ' >&2; read -r yes; [ \"$yes\" = yes ]; ");
    let mut others = [
        sh("bob", format!("{approve}{}", print("COMMITMENT"))),
        sh("carol", format!("{approve}{}; cat", print("COMMITMENT"))),
    ];
    let passed = talk(&mut alice, &mut others, &[("Do you agree? ", "yes")]);
    assert_eq!(
        (passed[0].from.as_str(), passed[0].text.as_str()),
        ("alice", armored("REQUEST").as_str())
    );
    let mut from: Vec<_> = passed[1..].iter().map(|passed| passed.from.as_str()).collect();
    from.sort_unstable();
    assert_eq!(from, ["bob", "carol"]);
    let got = "-----BEGIN GATEPASS COMMITMENT-----\n";
    let ended = alice.finish();
    assert!(ended.ok);
    assert_eq!(ended.stderr, format!("{got}{got}"));
    for other in others {
        assert!(other.finish().ok);
    }
}
