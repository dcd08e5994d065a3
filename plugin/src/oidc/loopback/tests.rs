use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};

use super::*;

const STATE: &str = "right-state";

struct Login {
    address: SocketAddr,
    waiting: JoinHandle<io::Result<(Redirect, Waiting)>>,
}

impl Login {
    async fn start() -> Self {
        let listener = Loopback::bind(None).await.unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.port));
        Self {
            address,
            waiting: tokio::spawn(listener.callback(STATE)),
        }
    }

    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // What is answered at all is answered at once: only the right request waits for its page.
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut answer));
        let _broken_off = read.await.expect("the request was taken for the right one");
        answer
    }

    async fn get(&self, target: &str) -> String {
        self.raw(&format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.address
        ))
        .await
    }

    /// The login goes on after all that came before, and ends with the right request.
    async fn ends_with(self, target: &str) -> (Redirect, String) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        let address = self.address;
        let browser = tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        });
        let (redirect, waiting) = self.waiting.await.unwrap().unwrap();
        waiting.answer("<p>page</p>".into(), "N0nce".into()).await;
        (redirect, browser.await.unwrap())
    }
}

#[tokio::test]
async fn the_right_request_gets_a_page_that_is_not_stored_and_runs_nothing() {
    let login = Login::start().await;
    let (redirect, answer) = login
        .ends_with("/callback?code=c0de&state=right-state&iss=https%3A%2F%2Fidp")
        .await;
    assert_eq!(redirect.outcome.as_deref(), Ok("c0de"));
    assert_eq!(redirect.iss.as_deref(), Some("https://idp"));
    let answer = answer.to_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(answer.contains("cache-control: no-store"));
    assert!(answer.contains("content-security-policy: default-src 'none'; style-src 'nonce-n0nce'"));
    assert!(answer.ends_with("<p>page</p>"));
    assert!(!answer.contains("c0de") && !answer.contains("right-state"));
}

#[tokio::test]
async fn stray_and_hostile_requests_get_an_empty_404_and_the_login_goes_on() {
    let login = Login::start().await;
    let good = "/callback?code=c&state=right-state";
    for target in [
        "/",
        "/favicon.ico",
        "/callback",
        "/callback?code=c",
        "/callback?code=c&state=wrong",
        "/callback?error=access_denied",
        "/callback?error=access_denied&state=wrong",
        "/callback?code=a&code=b&state=right-state",
        "/callback?code=c&state=right-state&state=right-state",
        "/callback?code=c&error=e&state=right-state",
        "/callback?state=right-state",
        "/Callback?code=c&state=right-state",
    ] {
        let answer = login.get(target).await;
        assert!(
            answer.starts_with("HTTP/1.1 404") && answer.ends_with("\r\n\r\n"),
            "{target}: {answer}"
        );
    }
    let port = login.address.port();
    for host in ["localhost", "evil.example", "127.0.0.1", "127.0.0.2"] {
        let with_port = if host == "127.0.0.1" {
            host.to_owned()
        } else {
            format!("{host}:{port}")
        };
        let answer = login
            .raw(&format!("GET {good} HTTP/1.1\r\nHost: {with_port}\r\n\r\n"))
            .await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{host}: {answer}");
    }
    for method in ["POST", "HEAD", "PUT", "OPTIONS"] {
        let answer = login
            .raw(&format!(
                "{method} {good} HTTP/1.1\r\nHost: {}\r\n\r\n",
                login.address
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{method}: {answer}");
    }
    let huge = "x".repeat(100_000);
    login
        .raw(&format!(
            "GET {good} HTTP/1.1\r\nHost: {}\r\nX: {huge}\r\n\r\n",
            login.address
        ))
        .await;
    login.raw("nonsense\r\n\r\n").await;
    let (redirect, _) = login.ends_with(good).await;
    assert_eq!(redirect.outcome.as_deref(), Ok("c"));
}

#[tokio::test]
async fn a_second_code_after_the_first_is_ignored() {
    let login = Login::start().await;
    let address = login.address;
    let (redirect, _) = login.ends_with("/callback?code=first&state=right-state").await;
    assert_eq!(redirect.outcome.as_deref(), Ok("first"));
    assert!(TcpStream::connect(address).await.is_err(), "the listener is gone");
}

#[tokio::test]
async fn an_error_with_the_right_state_is_the_answer_and_is_escaped() {
    let login = Login::start().await;
    let (redirect, _) = login
        .ends_with("/callback?error=access_denied&error_description=no%1b%5B2J&state=right-state")
        .await;
    assert_eq!(redirect.outcome.unwrap_err(), "access_denied: no\\u{1b}[2J");
}

#[tokio::test]
async fn the_redirect_names_the_literal_address() {
    let listener = Loopback::bind(None).await.unwrap();
    assert_eq!(
        listener.redirect_uri().as_str(),
        format!("http://127.0.0.1:{}/callback", listener.port)
    );
}
