use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use time::macros::datetime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::*;
use crate::run::wait_for;

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

impl Ca {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn subject(&self) -> Vec<u8> {
        let (_, certificate) = X509Certificate::from_der(&self.der).unwrap();
        certificate.subject().as_raw().to_vec()
    }
}

/// An API server whose client CAs are these (`None`: it asks for no certificate), which gives one answer.
fn api_server(serving: &Ca, client_cas: Option<&[&Ca]>, answer: &'static str) -> String {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match client_cas {
        None => builder.with_no_client_auth(),
        Some(cas) => {
            let mut roots = RootCertStore::empty();
            for ca in cas {
                roots.add(ca.der.clone()).unwrap();
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        }
    };
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    let certificate = params.signed_by(&key, &serving.issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = builder
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut tls = ServerConnection::new(config.into()).unwrap();
        let mut stream = Stream::new(&mut tls, &mut tcp);
        let mut request = [0; 4096];
        // A client that does not trust us says nothing.
        let Ok(length) = stream.read(&mut request) else {
            return;
        };
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        assert!(request.starts_with("GET /version HTTP/1.1\r\n"), "{request}");
        assert!(!request.to_lowercase().contains("authorization"), "{request}");
        stream.write_all(answer.as_bytes()).unwrap();
        stream.conn.send_close_notify();
        let _ = stream.flush();
        let _ = stream.read(&mut [0; 64]);
    });
    url
}

const REFUSED: &str =
    "HTTP/1.1 401 Unauthorized\r\nDate: Sun, 22 Nov 2026 02:03:04 GMT\r\nContent-Length: 0\r\n\r\n";

fn looked(url: &str, ca: &Ca) -> Result<Seen, ServerError> {
    wait_for(async { Ok(look(url, &ca.pem).await) }).unwrap()
}

#[test]
fn the_time_is_that_of_any_answer_and_there_may_be_none() {
    let ca = Ca::new("serving");
    let time = Some(datetime!(2026-11-22 02:03:04 UTC));
    let elsewhere = "HTTP/1.1 302 Found\r\nDate: Sun, 22 Nov 2026 02:03:04 GMT\r\nLocation: https://127.0.0.1:1/\r\n\
                     Content-Length: 0\r\n\r\n";
    let none = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let junk = "HTTP/1.1 200 OK\r\nDate: tomorrow\r\nContent-Length: 0\r\n\r\n";
    for (answer, expected) in [(REFUSED, time), (elsewhere, time), (none, None), (junk, None)] {
        let url = api_server(&ca, None, answer);
        assert_eq!(looked(&url, &ca).unwrap().unproven_time, expected, "{answer}");
    }
}

#[test]
fn the_client_cas_are_those_that_the_server_names() {
    let (serving, kit, other) = (Ca::new("serving"), Ca::new("kit"), Ca::new("other"));
    let trusts = |client_cas: Option<&[&Ca]>| {
        let url = api_server(&serving, client_cas, REFUSED);
        looked(&url, &serving).unwrap().trusts(&kit.subject())
    };
    assert_eq!(trusts(Some(&[&other, &kit])), Trusts::Yes);
    assert_eq!(trusts(Some(&[&other])), Trusts::No);
    assert!(matches!(trusts(None), Trusts::CannotTell(_)));
    let silent = Seen {
        unproven_time: None,
        client_cas: Some(Vec::new()),
    };
    assert!(matches!(silent.trusts(&kit.subject()), Trusts::CannotTell(_)));
}

#[test]
fn a_server_of_another_ca_is_not_believed() {
    let (serving, other) = (Ca::new("serving"), Ca::new("serving"));
    let url = api_server(&serving, None, REFUSED);
    let error = looked(&url, &other).unwrap_err();
    assert!(matches!(error, ServerError::Unreachable { .. }), "{error}");
}

#[test]
fn a_server_that_says_nothing_is_waited_for_until_the_deadline() {
    let ca = Ca::new("serving");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let looked = look_within(&url, &ca.pem, Duration::from_millis(200));
    let error = wait_for(async { Ok(looked.await) }).unwrap().unwrap_err();
    assert!(matches!(error, ServerError::Silent { .. }), "{error}");
}

#[test]
fn what_is_no_server_or_no_ca_is_named() {
    let ca = Ca::new("serving");
    for url in [
        "",
        "http://api",
        "https://a@b",
        "https://a?b",
        "https://a#b",
        "mailto:a",
        "\u{1b}",
    ] {
        let error = looked(url, &ca).unwrap_err();
        assert!(matches!(error, ServerError::Url(_)), "{url:?}");
        assert!(crate::escape::is_plain(&error.to_string()), "{error}");
    }
    let none = wait_for(async { Ok(look("https://127.0.0.1:1", "no PEM").await) }).unwrap();
    assert!(matches!(none, Err(ServerError::Ca(_))));
}

#[test]
fn the_version_is_asked_for_below_the_servers_path() {
    let url = |server| version_url(server).unwrap().to_string();
    assert_eq!(url("https://api:6443"), "https://api:6443/version");
    assert_eq!(url("https://api/k8s/c-1/"), "https://api/k8s/c-1/version");
}
