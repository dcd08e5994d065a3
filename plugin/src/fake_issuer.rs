//! For tests: an issuer on a loopback port that gives the answers it was told to.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};

/// A request as an issuer sees it: path, `Authorization`, proof and body.
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) proof: Value,
    pub(crate) body: Vec<u8>,
}

/// For [`fake`]: no answer at all.
pub(crate) const SILENCE: (u16, Value) = (0, Value::Null);

/// In an answer: the URL of whoever gives it.
pub(crate) const ITSELF: &str = "https://itself.invalid";

/// An issuer, or an identity provider, that gives these answers in turn, and then hangs up.
pub(crate) struct Fake {
    pub(crate) url: String,
    pub(crate) ca: String,
    pub(crate) asked: mpsc::Receiver<Asked>,
}

impl Fake {
    /// The next request that it got.
    pub(crate) fn next(&self) -> Asked {
        self.asked
            .recv_timeout(Duration::from_secs(10))
            .expect("it was asked")
    }
}

fn claims(proof: &str) -> Value {
    let claims = proof.split('.').nth(1).unwrap_or_default();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// One request, read to the end of its body.
fn read_request(stream: &mut impl std::io::Read) -> Asked {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the request ended early");
        bytes.extend_from_slice(&chunk[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let header = |name: &str| {
            head.lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
        };
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        if bytes.len() - end - 4 == length {
            return Asked {
                path: head.split(' ').nth(1).unwrap().into(),
                authorization: header("authorization"),
                proof: header("dpop").map_or(Value::Null, |proof| claims(&proof)),
                body: bytes.split_off(end + 4),
            };
        }
    }
}

/// Starts one on a port of its own.
pub(crate) fn fake(answers: Vec<(u16, Value)>) -> Fake {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".into()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (tell, asked) = mpsc::channel();
    let config = Arc::new(config);
    let itself = url.clone();
    thread::spawn(move || {
        for (status, body) in answers {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut tls = ServerConnection::new(config.clone()).unwrap();
            let mut stream = Stream::new(&mut tls, &mut tcp);
            let _ = tell.send(read_request(&mut stream));
            if status == SILENCE.0 {
                loop {
                    thread::park();
                }
            }
            let body = if status == 204 {
                String::new()
            } else {
                body.to_string().replace(ITSELF, &itself)
            };
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
            stream.conn.send_close_notify();
            let _ = stream.flush();
            let _ = stream.read(&mut [0; 64]);
        }
    });
    Fake {
        url,
        ca: certificate.pem(),
        asked,
    }
}

/// A refusal.
pub(crate) fn problem(status: u16, code: &str, server_time: &str) -> (u16, Value) {
    let body = json!({
        "type": format!("urn:gatepass:problem:{code}"), "title": "t", "status": status, "code": code, "detail": "d",
        "requestId": "r", "serverTime": server_time,
    });
    (status, body)
}
