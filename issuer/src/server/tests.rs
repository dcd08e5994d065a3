//! Connections over real sockets on port 0.

use std::time::Instant;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, SupportedProtocolVersion, version};

use super::*;

fn limits() -> Limits {
    let short = Duration::from_millis(300);
    Limits {
        connections: 8,
        handshake: short,
        header: short,
        connection: Duration::from_secs(60),
        shutdown: Duration::from_secs(5),
    }
}

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

async fn run(router: Router, limits: Limits, tls: Option<Arc<ServerConfig>>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let tls = tls.map(|tls| Arc::new(ArcSwap::new(tls)));
    let served = tokio::spawn(serve(listener, tls, router, limits, async {
        let _either = stopped.await;
    }));
    Running {
        address,
        stop,
        served,
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const GET_LAST: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_header_that_does_not_arrive_ends_the_connection() {
    let running = run(hello(), limits(), None).await;
    for begun in ["", "GET / HTTP/1.1\r\nHost:"] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
        end.await.expect("the server hangs up").unwrap();
        assert!(!String::from_utf8(rest).unwrap().contains("200"));
    }
}

#[tokio::test]
async fn a_header_above_32_kib_is_refused() {
    let running = run(hello(), limits(), None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    let answer = ask(&mut stream, &request).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_go_on_ends_the_connection() {
    let (tls, _) = serving(TlsVersion::V1_3);
    let running = run(hello(), limits(), Some(tls)).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let mut byte = [0; 1];
    let end = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut byte));
    assert_eq!(end.await.expect("the server hangs up").unwrap(), 0);
}

#[tokio::test]
async fn connections_above_the_limit_wait() {
    let running = run(
        hello(),
        Limits {
            connections: 1,
            header: Duration::from_secs(60),
            ..limits()
        },
        None,
    )
    .await;
    let first = TcpStream::connect(running.address).await.unwrap();
    let mut second = TcpStream::connect(running.address).await.unwrap();
    second.write_all(GET_LAST.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let waited = tokio::time::timeout(Duration::from_millis(200), second.read_exact(&mut answer)).await;
    assert!(waited.is_err(), "the first connection has the only slot");
    drop(first);
    second.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn a_connections_life_is_limited() {
    let limits = Limits {
        connection: Duration::from_millis(300),
        header: Duration::from_secs(60),
        ..limits()
    };
    let running = run(hello(), limits, None).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let begun = Instant::now();
    ask(&mut stream, GET).await;
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn shutdown_finishes_the_request_in_flight_and_serves_what_was_connected() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
        async move || {
            entered.notify_one();
            release.notified().await;
            "done"
        }
    };
    let router = hello().route("/slow", post(slow));
    let running = run(
        router,
        Limits {
            header: Duration::from_secs(60),
            ..limits()
        },
        None,
    )
    .await;
    let mut in_flight = TcpStream::connect(running.address).await.unwrap();
    in_flight
        .write_all(b"POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    entered.notified().await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(GET.as_bytes()).await.unwrap();
    idle.read_exact(&mut [0; 12]).await.unwrap();
    // Connected, nothing sent yet: its request is on the way when shutdown begins.
    let mut connected = TcpStream::connect(running.address).await.unwrap();

    running.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!running.served.is_finished(), "a request is in flight");
    assert!(
        TcpStream::connect(running.address).await.is_err(),
        "nobody new is let in"
    );
    assert!(ask(&mut connected, GET).await.starts_with("HTTP/1.1 200"));
    release.notify_one();
    let mut answer = String::new();
    in_flight.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
        "{answer}"
    );
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), running.served)
        .await
        .expect("it ends")
        .unwrap();
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let stuck = Router::new().route("/", get(async || std::future::pending::<&'static str>().await));
    let running = run(
        stuck,
        Limits {
            shutdown: Duration::from_millis(200),
            ..limits()
        },
        None,
    )
    .await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running.served)
        .await
        .expect("it ends")
        .unwrap();
}

/// TLS with a certificate for localhost, and the roots that trust it.
fn serving(min: TlsVersion) -> (Arc<ServerConfig>, RootCertStore) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let tls = server_config(&certificate.pem(), &key.serialize_pem(), min, None).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    (tls, roots)
}

async fn connect(
    address: SocketAddr,
    roots: RootCertStore,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_open_ones_go_on() {
    let ((old, old_roots), (new, new_roots)) = (serving(TlsVersion::V1_3), serving(TlsVersion::V1_3));
    let tls = Arc::new(ArcSwap::new(old));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let never = std::future::pending();
    tokio::spawn(serve(listener, Some(Arc::clone(&tls)), hello(), limits(), never));
    let mut open = connect(address, old_roots.clone(), &version::TLS13)
        .await
        .unwrap();
    tls.store(new);
    open.write_all(GET_LAST.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    open.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert!(connect(address, old_roots, &version::TLS13).await.is_err());
    assert!(connect(address, new_roots, &version::TLS13).await.is_ok());
}

async fn handshake(min: TlsVersion, client: &'static SupportedProtocolVersion) -> bool {
    let (tls, roots) = serving(min);
    let running = run(hello(), limits(), Some(tls)).await;
    let Ok(mut stream) = connect(running.address, roots, client).await else {
        return false;
    };
    stream.write_all(GET_LAST.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer.starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn tls_1_3_is_the_least_unless_1_2_is_configured() {
    assert!(handshake(TlsVersion::V1_3, &version::TLS13).await);
    assert!(!handshake(TlsVersion::V1_3, &version::TLS12).await);
    assert!(handshake(TlsVersion::V1_2, &version::TLS13).await);
    assert!(handshake(TlsVersion::V1_2, &version::TLS12).await);
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let (one, other) = (
        rcgen::KeyPair::generate().unwrap(),
        rcgen::KeyPair::generate().unwrap(),
    );
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .self_signed(&one)
        .unwrap();
    let tls = server_config(&certificate.pem(), &other.serialize_pem(), TlsVersion::V1_3, None);
    assert!(matches!(tls, Err(TlsError::Rustls(_))));
    assert!(matches!(
        server_config("", "", TlsVersion::V1_3, None),
        Err(TlsError::Certificate)
    ));
}
