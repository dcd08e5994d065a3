//! What stands in front of an issuer in a test: a counter of connections, which also spreads them over replicas, or
//! somebody who keeps all that passes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::http::{Http, runtime, tls_provider};
use crate::issuer::Prepared;

/// Hands every connection on, byte for byte, and counts them: "no network request at all" is "no connection".
///
/// Over several replicas it spreads connections in turn, as a Kubernetes Service does. One that refuses is passed over,
/// which a Service does as soon as it has learned that a replica is going; what a replica has accepted is its own.
pub struct Counter {
    /// The port it listens on.
    pub port: u16,
    connections: Arc<AtomicU64>,
    upstreams: Arc<Mutex<Vec<u16>>>,
}

/// Connects to the next replica that listens.
async fn connect(upstreams: &Mutex<Vec<u16>>, turn: &AtomicUsize) -> Option<TcpStream> {
    let upstreams = upstreams
        .lock()
        .expect("no thread panics while it holds this")
        .clone();
    let first = turn.fetch_add(1, Ordering::Relaxed);
    for at in 0..upstreams.len() {
        let port = upstreams[(first + at) % upstreams.len()];
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
            return Some(stream);
        }
    }
    None
}

impl Counter {
    /// Listens on a free port for whoever will listen on `upstream`.
    pub fn start(upstream: u16) -> Self {
        let listener = runtime()
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("loopback has a free port");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let connections = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&connections);
        let upstreams = Arc::new(Mutex::new(vec![upstream]));
        let (known, turn) = (Arc::clone(&upstreams), Arc::new(AtomicUsize::new(0)));
        runtime().spawn(async move {
            while let Ok((mut inward, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (known, turn) = (Arc::clone(&known), Arc::clone(&turn));
                tokio::spawn(async move {
                    // An issuer that is down refuses; the caller then sees its connection close, as through any proxy.
                    let Some(mut outward) = connect(&known, &turn).await else {
                        return;
                    };
                    let _ = tokio::io::copy_bidirectional(&mut inward, &mut outward).await;
                });
            }
        });
        Self {
            port,
            connections,
            upstreams,
        }
    }

    /// Hands connections to whoever listens on `upstream`, too.
    pub fn also(&self, upstream: u16) {
        self.upstreams
            .lock()
            .expect("no thread panics while it holds this")
            .push(upstream);
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

/// What was sent to an issuer, as its operator sees it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Method and path.
    pub line: String,
    /// The `DPoP` header.
    pub proof: Option<String>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

/// What a hostile operator makes of an honest answer, given the request's method and path, the status and the body;
/// `None` leaves whoever asked waiting.
pub type Lie = dyn Fn(&str, u16, Value) -> Option<(u16, Value)> + Send + Sync;

/// A hostile operator's issuer: answers as the real one behind it does unless told to lie, and keeps all it is sent.
pub struct Tap {
    port: u16,
    recorded: Arc<Mutex<Vec<Recorded>>>,
    lie: Arc<Mutex<Option<Arc<Lie>>>>,
}

impl Tap {
    /// Listens on a free port in front of the issuer that was prepared, with its certificate.
    pub fn start(issuer: &Prepared) -> Self {
        let read = |name: &str| std::fs::read(issuer.dir.join(name)).expect("init wrote it");
        let http = Http::trusting(&String::from_utf8_lossy(&read("serving-ca.crt")));
        let upstream = issuer.upstream();
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read("serving.crt"))
            .collect::<Result<_, _>>()
            .expect("certificates");
        let key = PrivateKeyDer::from_pem_slice(&read("serving.key")).expect("a key");
        let config = rustls::ServerConfig::builder_with_provider(tls_provider())
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS")
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .expect("certificate and key fit");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let lie = Arc::new(Mutex::new(None::<Arc<Lie>>));
        let (keep, lies) = (Arc::clone(&recorded), Arc::clone(&lie));
        let router = Router::new().fallback(move |request: axum::extract::Request| {
            let (keep, http, upstream) = (Arc::clone(&keep), http.clone(), upstream.clone());
            let lie = lies.lock().expect("no thread panics while it holds this").clone();
            async move { forward(request, &keep, &http, &upstream, lie.as_deref()).await }
        });
        let listener = runtime()
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("loopback has a free port");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        runtime().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
                tokio::spawn(async move {
                    // Whoever does not finish the handshake has sent nothing worth keeping.
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { port, recorded, lie }
    }

    /// From now on it answers so.
    pub fn lie(&self, lie: impl Fn(&str, u16, Value) -> Option<(u16, Value)> + Send + Sync + 'static) {
        *self.lie.lock().expect("no thread panics while it holds this") = Some(Arc::new(lie));
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Everything it was sent so far.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.recorded
            .lock()
            .expect("no thread panics while it holds this")
            .clone()
    }
}

async fn forward(
    request: axum::extract::Request,
    keep: &Mutex<Vec<Recorded>>,
    http: &Http,
    upstream: &str,
    lie: Option<&Lie>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole request").to_bytes().to_vec();
    let header = |name: &str| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let proof = header(gatepass_api::PROOF_HEADER);
    let line = format!("{} {}", head.method, head.uri.path());
    keep.lock()
        .expect("no thread panics while it holds this")
        .push(Recorded {
            line,
            proof: proof.clone(),
            body: body.clone(),
        });
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(proof.as_deref().map(|proof| (gatepass_api::PROOF_HEADER, proof)));
    let url = format!("{upstream}{}", head.uri.path());
    let mut answer = http
        .send_async(head.method.as_str(), &url, &headers, body)
        .await
        .expect("the issuer answers");
    if let Some(lie) = lie {
        let line = format!("{} {}", head.method, head.uri.path());
        match lie(&line, answer.status, answer.json()) {
            Some((status, body)) => (answer.status, answer.body) = (status, body.to_string().into_bytes()),
            None => std::future::pending().await,
        }
    }
    let mut response = Response::builder().status(answer.status);
    if let Some(kind) = answer.headers.get("content-type") {
        response = response.header("content-type", kind);
    }
    response
        .body(Body::from(answer.body))
        .expect("a response can be made")
}
