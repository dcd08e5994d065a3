//! The authorization webhook with a million revocations in memory, beside the same server answering a constant; and what
//! the million takes of memory. Growth is shown with three sizes.
//!
//! One thread serves, another asks, over mutual TLS and kept connections. Rounds are interleaved; what counts is the ratio.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use axum::Router;
use axum::routing::post;
use data_encoding::{BASE64, HEXLOWER};
use gatepass_api::revocation::{RevocationSpec, Target};
use gatepass_issuer::active::Active;
use gatepass_issuer::audit::AuditLog;
use gatepass_issuer::cli::{Cli, Command};
use gatepass_issuer::config::{Config, Webhooks};
use gatepass_issuer::detection::{Outlet, Pace};
use gatepass_issuer::key_source::KeySources;
use gatepass_issuer::metrics::Metrics;
use gatepass_issuer::revocation::store::Store;
use gatepass_issuer::revocation::{Checked, Mode, Revocations, View};
use gatepass_issuer::routes::{App, webhooks_router};
use gatepass_issuer::server::{self, Limits};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const NOW: i64 = 1_790_000_000;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const MILLION: u32 = 1_000_000;

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn main() {
    let before = resident();
    let mut view = View::default();
    fill(&mut view, 0..MILLION);
    view.shrink();
    println!(
        "{:<62} {:>7.1} MB (goal: 80 MB)",
        "memory for a million revoked certificates",
        (resident() - before) / 1e6
    );
    for size in [1_000, 100_000, MILLION] {
        let mut view = View::default();
        fill(&mut view, 0..size);
        let started = Instant::now();
        for n in 0..MILLION {
            // Half of them are revoked, in an order that no cache foresees.
            let id = credential(n.wrapping_mul(2_654_435_761) % (2 * size));
            std::hint::black_box(view.denies_credential(&id, NOW));
        }
        let each = started.elapsed() / MILLION;
        println!(
            "{:<62} {:>7.0} ns",
            format!("one look among {size}, with the text made"),
            each.as_nanos()
        );
    }

    let dir = tempfile::tempdir().expect("a temporary directory");
    // The task that sends findings needs a runtime; there will be none to send.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (app, webhooks, client) = runtime.block_on(async { issuer(dir.path()) });
    app.revocations.change(|known| *known = view);
    app.revocations.in_contact(NOW);
    let hello = Router::new().route("/v1/authorize", post(async |_body: axum::body::Bytes| "hello"));
    let servers = [
        ("webhook, a million revocations", webhooks_router(app)),
        ("the same server answering a constant", hello),
    ];
    let addresses = servers.map(|(name, router)| (name, serve(router, &webhooks)));
    for connections in [1, 8, 64] {
        let mut seen = addresses.map(|(name, _)| (name, Vec::new(), Vec::new()));
        for round in 0..=ROUNDS {
            for ((_, address), (_, rates, latencies)) in addresses.iter().zip(&mut seen) {
                let (count, times) = load(*address, &client, connections);
                // The first round warms up.
                if round > 0 {
                    rates.push(count);
                    latencies.extend(times);
                }
            }
        }
        let medians = seen.map(|(name, mut rates, mut latencies)| {
            rates.sort_by(f64::total_cmp);
            latencies.sort_unstable();
            let at = |part: usize| latencies[latencies.len() * part / 100].as_secs_f64() * 1e3;
            println!(
                "{:<62} {:>7.0} per second   (p50 {:.2}, p99 {:.2} ms)",
                format!("{name}, {connections} connections"),
                rates[rates.len() / 2],
                at(50),
                at(99)
            );
            rates[rates.len() / 2]
        });
        println!(
            "{connections} connections: {:.0} % of the rate of a constant (goal: 60 %)",
            medians[0] / medians[1] * 100.0
        );
    }
}

fn credential(n: u32) -> String {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&n.to_be_bytes());
    format!("X509SHA256={}", HEXLOWER.encode(&digest))
}

fn fill(view: &mut View, range: std::ops::Range<u32>) {
    for n in range {
        let spec = RevocationSpec {
            target: Target::CredentialId(credential(n)),
            logged_in_before: None,
            block_issuance: false,
            reason: Some("laptop stolen, ticket 4711".into()),
            expires_at: Some("2036-11-22T00:00:00Z".into()),
        };
        let checked = Checked::new(&spec, Some(NOW)).expect("a document");
        view.put(&format!("stolen-{n}"), &checked);
    }
}

/// What of this process lies in memory, in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() * 1024.0
}

struct Client {
    tls: TlsConnector,
    request: Vec<u8>,
}

fn issuer(dir: &std::path::Path) -> (App, Webhooks, Arc<Client>) {
    let path = dir.to_str().expect("a path in UTF-8");
    let arguments = ["gatepass-issuer", "init", "--dir", path];
    let Command::Init(options) = <Cli as clap::Parser>::parse_from(arguments).command else {
        unreachable!()
    };
    gatepass_issuer::init::init(&options, NOW, &SystemRandom::new()).expect("init");
    tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nobody was first");
    let config = Config::load(&dir.join("issuer.yaml"), NOW).expect("a configuration");
    let webhooks = config.webhooks.clone().expect("init configures them");
    let client = Client {
        tls: connector(dir),
        request: request(),
    };
    let keys = KeySources::new(&config.issuer.idps).expect("no provider is configured");
    let current = Arc::new(ArcSwap::from_pointee(Active {
        issuer: Arc::new(config.issuer),
        keys: Arc::new(keys),
        webhook_clients: Arc::clone(&webhooks.names),
        detection: Arc::new(config.detection),
    }));
    let metrics = Arc::new(Metrics::default());
    let (outlet, _sending) = Outlet::start(Arc::clone(&current), Arc::clone(&metrics), Pace::default());
    let record = std::fs::File::create(dir.join("audit.jsonl")).expect("it is writable");
    let app = App {
        current,
        outlet,
        metrics,
        revocations: Arc::new(Revocations::new(Mode::BestEffort)),
        store: Arc::new(Store::new(&config.fixed.store)),
        audit: AuditLog::start(record).expect("a thread").0,
        clock: Arc::new(|| NOW),
        random: SystemRandom::new(),
        body_deadline: Duration::from_secs(10),
    };
    (app, webhooks, Arc::new(client))
}

fn connector(dir: &std::path::Path) -> TlsConnector {
    let text = |name: &str| std::fs::read_to_string(dir.join(name)).expect("init wrote it");
    let kubeconfig: serde_json::Value =
        serde_saphyr::from_str(&text("apiserver/authorize.kubeconfig")).expect("a kubeconfig");
    let decoded = |key: &str| {
        let value = kubeconfig["users"][0]["user"][key].as_str().expect("base64");
        BASE64.decode(value.as_bytes()).expect("base64")
    };
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(text("serving-ca.crt").as_bytes()).expect("a certificate");
    roots.add(authority).expect("a certificate");
    let certificate =
        CertificateDer::from_pem_slice(&decoded("client-certificate-data")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&decoded("client-key-data")).expect("a key");
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .expect("certificate and key fit");
    TlsConnector::from(Arc::new(config))
}

fn request() -> Vec<u8> {
    let review = serde_json::json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {},
        "spec": {
            "resourceAttributes": {"namespace": "default", "verb": "list", "version": "v1", "resource": "pods"},
            "user": "alice@example.com", "uid": "wgpt3ylysjjcwdof44ls52t7nq",
            "groups": ["platform-sre", "engineering", "view-all", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": [credential(u32::MAX)]},
        },
        "status": {"allowed": false},
    });
    let body = review.to_string();
    format!(
        "POST /v1/authorize?timeout=3s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn serve(router: Router, webhooks: &Webhooks) -> std::net::SocketAddr {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let tls = Arc::new(ArcSwap::new(Arc::clone(&webhooks.tls)));
    let limits = Limits {
        connections: 1024,
        handshake: Duration::from_secs(10),
        header: Duration::from_secs(60),
        connection: Duration::from_secs(3600),
        shutdown: Duration::from_secs(1),
    };
    std::thread::spawn(move || {
        runtime.block_on(server::serve(
            listener,
            Some(tls),
            router,
            limits,
            std::future::pending(),
        ));
    });
    address
}

/// Answers in a second, and how long each took.
fn load(address: std::net::SocketAddr, client: &Arc<Client>, connections: usize) -> (f64, Vec<Duration>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut open = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await.expect("it listens");
            stream.set_nodelay(true).expect("loopback has the option");
            let name = ServerName::try_from("localhost").expect("a name");
            open.push(client.tls.connect(name, stream).await.expect("TLS"));
        }
        let started = Instant::now();
        let tasks: Vec<_> = open
            .into_iter()
            .map(|stream| tokio::spawn(ask_until(stream, Arc::clone(client), started + ROUND)))
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.expect("a connection lasts"));
        }
        (times.len() as f64 / started.elapsed().as_secs_f64(), times)
    })
}

async fn ask_until(mut stream: TlsStream<TcpStream>, client: Arc<Client>, end: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut buffer = vec![0; 4096];
    while Instant::now() < end {
        let asked = Instant::now();
        stream.write_all(&client.request).await.expect("it reads");
        let mut filled = 0;
        while !is_whole(&buffer[..filled]) {
            let read = stream.read(&mut buffer[filled..]).await.expect("it answers");
            assert!(read > 0, "it answers");
            filled += read;
        }
        assert!(
            buffer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&buffer[..filled])
        );
        times.push(asked.elapsed());
    }
    times
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())
        .expect("a length");
    answer.len() >= end + 4 + length
}
