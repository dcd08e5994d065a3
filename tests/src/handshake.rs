//! TLS without HTTP on it: what a server says of a client's certificate, whatever a client above would make of it.

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore, Stream};

use crate::http::tls_provider;
use crate::pki::Identity;

/// The authorities of a PEM bundle.
pub fn roots(bundle: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots
            .add(certificate.expect("the harness writes PEM"))
            .expect("the harness makes certificates");
    }
    roots
}

/// The alert that ends a connection to `address`, `localhost:port`, of a client that shows `identity`, or nothing; `None` if the server
/// ends it without one or waits for a request.
///
/// In TLS 1.3 a client is done before the server has looked at its certificate (RFC 8446, section 4.4.2.4), so the alert
/// comes behind the handshake. Nothing is sent meanwhile: what a server leaves unread resets the connection, and the alert
/// would be lost with it.
pub fn alert(ca: &str, identity: Option<&Identity>, address: &str) -> Option<AlertDescription> {
    let config = ClientConfig::builder_with_provider(tls_provider())
        .with_safe_default_protocol_versions()
        .expect("the provider knows them")
        .with_root_certificates(roots(ca));
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain: Result<_, _> =
                CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect();
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
            config
                .with_client_auth_cert(chain.expect("PEM"), key)
                .expect("a certificate and its key")
        }
    };
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = ClientConnection::new(Arc::new(config), name).expect("a usable configuration");
    let mut tcp = TcpStream::connect(address).expect("the server listens");
    tcp.set_read_timeout(Some(Duration::from_secs(10)))
        .expect("no zero");
    let error = Stream::new(&mut tls, &mut tcp).read(&mut [0]).err()?;
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}
