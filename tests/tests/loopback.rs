//! What any program and any web page on the person's machine can send to the listener that waits for a login's answer.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use e2e::machine::{Browser, Machine};
use e2e::parts::{Part, present};
use e2e::process::until;
use e2e::world::{Site, World};
use serde_json::json;
use url::Url;

static SITE: Site = Site::new("loopback");
const PARTS: &[Part] = &[Part::ControlPlane, Part::IdentityProvider, Part::Keyring];
const SOON: Duration = Duration::from_secs(30);

/// A login whose page is open in the browser.
struct Open {
    page: String,
    port: u16,
    state: String,
}

impl Open {
    /// What everybody who sees the browser's command line knows: the port. The state is for who plays the browser.
    fn read(machine: &Machine) -> Self {
        let page = until("the browser is opened", SOON, || machine.browsed().pop());
        let url = Url::parse(&page).expect("the login page is a URL");
        let parameter = |wanted: &str| {
            let found = url.query_pairs().find(|(name, _)| name == wanted);
            found
                .unwrap_or_else(|| panic!("no {wanted} in {url}"))
                .1
                .into_owned()
        };
        let redirect = Url::parse(&parameter("redirect_uri")).expect("the redirect is a URL");
        assert_eq!(
            (redirect.host_str(), redirect.path()),
            (Some("127.0.0.1"), "/callback")
        );
        Self {
            port: redirect.port().expect("the redirect names its port"),
            state: parameter("state"),
            page,
        }
    }

    /// Sends bytes on a connection of their own and gives what comes back until it is closed.
    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the listener is there");
        stream
            .set_read_timeout(Some(SOON))
            .expect("a socket takes a timeout");
        // What is refused early is not read to its end.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("it was kept waiting, as the browser is")
            }
            _ => String::from_utf8_lossy(&answer).into_owned(),
        }
    }

    fn request(&self, method: &str, target: &str, more: &str) -> String {
        self.send(
            format!(
                "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{more}\r\n",
                self.port
            )
            .as_bytes(),
        )
    }
}

fn ignored(what: &str, answer: &str) {
    assert!(
        answer.contains(" 404 Not Found\r\n") && answer.ends_with("\r\n\r\n"),
        "{what}: {answer:?}"
    );
}

/// The one login went well, and the identity provider was shown one code.
fn ended_well(world: &World<'_>, machine: &Machine) {
    let stats = world.idp.stats();
    let counts = (
        stats.logins(),
        stats.requests("grant authorization_code"),
        world.issuer.issued(),
    );
    assert_eq!((machine.browsed().len(), counts), (1, (1, 1, 1)));
}

#[test]
fn stray_and_hostile_requests_are_ignored_and_the_login_ends_well() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "hostile");
    let alice = world.machine_with("alice", Browser::Idle);
    let mut kubectl = alice.start_kubectl(&["auth", "whoami", "-o", "json"]);
    let login = Open::read(&alice);
    let right = format!("/callback?code=stolen&state={}", login.state);

    for target in [
        "/",
        "/favicon.ico",
        "/callback",
        "/callback?code=stolen",
        "/callback?code=stolen&state=",
        "/callback?code=stolen&state=AAAAAAAAAAAAAAAAAAAAAA",
        "/callback?error=access_denied",
        "/callback?error=access_denied&state=AAAAAAAAAAAAAAAAAAAAAA",
        &format!("{right}&state={}", login.state),
        &format!("{right}&code=another"),
        &format!("{right}&error=access_denied"),
        &format!("/callback?state={}", login.state),
        &right.replace("/callback", "/CALLBACK"),
        &right.replace("/callback", "//callback"),
        &right.replace("/callback", "/callback/"),
    ] {
        ignored(target, &login.request("GET", target, ""));
    }
    for method in ["POST", "HEAD", "PUT", "OPTIONS", "TRACE"] {
        ignored(method, &login.request(method, &right, ""));
    }
    let form = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{}",
        right.len() - 10,
        &right[10..]
    );
    ignored("a form post", &login.request("POST", "/callback", &form));
    for host in [
        format!("localhost:{}", login.port),
        format!("rebound.example:{}", login.port),
        "127.0.0.1".into(),
        format!("127.0.0.1:{}@rebound.example", login.port),
        format!("127.0.0.2:{}", login.port),
    ] {
        ignored(
            &host,
            &login.send(format!("GET {right} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()),
        );
    }
    ignored(
        "no host",
        &login.send(format!("GET {right} HTTP/1.0\r\n\r\n").as_bytes()),
    );

    // What no server of HTTP/1.1 takes gets no page either.
    let huge = "x".repeat(1 << 20);
    let never_the_page = [
        login.request("GET", &right, &format!("X: {huge}\r\n")),
        login.request("GET", &format!("{right}&x={huge}"), ""),
        login.request("GET", &right, &"X: y\r\n".repeat(10_000)),
        login.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        login.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"),
        login.send(b"\0\0\0\0\r\n\r\n"),
        login.send(b"GET\r\n\r\n"),
    ];
    for answer in &never_the_page {
        assert!(
            !answer.starts_with("HTTP/1.1 2") && !answer.contains("<"),
            "{answer}"
        );
    }
    assert!(kubectl.ended().is_none(), "it still waits: {}", kubectl.said());
    let stats = world.idp.stats();
    assert_eq!(stats.requests("/token"), 0, "no code was taken from any of them");

    alice.finish_login(&login.page);
    let run = kubectl.finish(&alice).expect_ok();
    assert_eq!(run.json()["status"]["userInfo"]["username"], "alice");
    ended_well(&world, &alice);
}

#[test]
fn connections_that_say_nothing_do_not_shut_the_browser_out() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "silent");
    let alice = world.machine_with("alice", Browser::Idle);
    let kubectl = alice.start_kubectl(&["auth", "whoami"]);
    let login = Open::read(&alice);
    let silent: Vec<_> = (0..200)
        .map(|at| {
            let mut stream = TcpStream::connect(("127.0.0.1", login.port)).expect("the listener is there");
            // Some begin and never end.
            let _ = stream.write_all(if at % 2 == 0 { b"" } else { b"GET /callback?" });
            stream
        })
        .collect();
    alice.finish_login(&login.page);
    kubectl.finish(&alice).expect_ok();
    ended_well(&world, &alice);
    drop(silent);
}

#[test]
fn a_second_code_changes_nothing_even_with_the_right_state() {
    if !present(PARTS) {
        return;
    }
    let world = World::new(&SITE, "second-code");
    // Time for a second code while the first is redeemed.
    world.idp.set(&json!({"latencyMs": {"/token": 3000}}));
    let alice = world.machine_with("alice", Browser::Idle);
    let kubectl = alice.start_kubectl(&["auth", "whoami"]);
    let login = Open::read(&alice);
    // Connected before, so that it need not find the listener.
    let mut early = TcpStream::connect(("127.0.0.1", login.port)).expect("the listener is there");
    std::thread::scope(|scope| {
        let browser = scope.spawn(|| alice.finish_login(&login.page));
        until("the first code is redeemed", SOON, || {
            (world.idp.stats().requests("/token") == 1).then_some(())
        });
        let target = format!("/callback?code=second&state={}", login.state);
        early
            .set_read_timeout(Some(SOON))
            .expect("a socket takes a timeout");
        let _ = early
            .write_all(format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", login.port).as_bytes());
        let mut answer = String::new();
        let _ = early.read_to_string(&mut answer);
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
        assert!(
            TcpStream::connect(("127.0.0.1", login.port)).is_err(),
            "the listener answered and is gone"
        );
        browser.join().expect("the browser gets its page");
    });
    kubectl.finish(&alice).expect_ok();
    ended_well(&world, &alice);
}
