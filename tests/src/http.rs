//! A small blocking HTTP client for the harness itself: readiness, the identity provider's control API, raw requests.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Certificate, Identity, Method, Response, StatusCode, header::HeaderMap, redirect};
use tokio::runtime::Runtime;

/// One answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status line's code.
    pub status: u16,
    /// All header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}) in {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A client that trusts one authority, follows no redirect and uses no proxy.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
}

/// The runtime that every blocking call of the harness runs on.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime starts")
    })
}

/// The TLS provider of everything in the harness.
pub fn tls_provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Http {
    /// A client that trusts the authorities in `ca`, PEM, and nothing else.
    pub fn trusting(ca: &str) -> Self {
        // The first call decides; every later one finds the same provider in place.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let roots = Certificate::from_pem_bundle(ca.as_bytes()).expect("a PEM bundle");
        let client = reqwest::Client::builder()
            .tls_certs_only(roots)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a client can be made");
        Self { client }
    }

    /// A client that shows a certificate, PEM.
    pub fn showing(ca: &str, certificate: &str, key: &str) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let roots = Certificate::from_pem_bundle(ca.as_bytes()).expect("a PEM bundle");
        let identity = Identity::from_pem(format!("{certificate}\n{key}").as_bytes())
            .expect("a certificate and its key");
        let client = reqwest::Client::builder()
            .tls_certs_only(roots)
            .identity(identity)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a client can be made");
        Self { client }
    }

    /// A client for plain HTTP on loopback.
    pub fn plain() -> Self {
        Self::trusting("")
    }

    /// Sends one request; the error is the transport's, in words.
    pub fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        runtime().block_on(self.send_async(method, url, headers, body))
    }

    /// The same from within the runtime.
    pub async fn send_async(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer: Response = request.send().await.map_err(|error| format!("{error:?}"))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer
            .bytes()
            .await
            .map_err(|error| format!("{error:?}"))?
            .to_vec();
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// Whether `GET url` answers 200.
    pub fn is_ok(&self, url: &str) -> bool {
        self.send("GET", url, &[], Vec::new())
            .is_ok_and(|answer| answer.status == StatusCode::OK.as_u16())
    }

    /// POSTs JSON and reads JSON; anything but 200 fails the test.
    pub fn call(&self, url: &str, body: &serde_json::Value) -> serde_json::Value {
        let answer = self
            .send(
                "POST",
                url,
                &[("content-type", "application/json")],
                body.to_string().into_bytes(),
            )
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(
            answer.status,
            200,
            "{url}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        answer.json()
    }
}

/// A port that nothing listens on, and that nobody is given by chance before its program binds it: it lies below the
/// kernel's range for connections and for port 0, and no two calls return the same.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).expect("below COUNT");
        let port = FIRST + (start + step % COUNT) % COUNT;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
