//! The authorities that an API server believes about clients: its bundle, and what it says of it in every handshake.

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, SignatureScheme};

use super::Cluster;
use crate::handshake::roots;
use crate::http::tls_provider;
use crate::process::{until, write_atomically};

/// Has no certificate, and keeps the names that the server would take one of.
#[derive(Debug, Default)]
struct Listener {
    subjects: Mutex<Vec<Vec<u8>>>,
}

impl ResolvesClientCert for Listener {
    fn resolve(&self, subjects: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let mut kept = self
            .subjects
            .lock()
            .expect("no thread panics while it holds this");
        *kept = subjects.iter().map(|subject| subject.to_vec()).collect();
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Cluster {
    /// Believes one more authority about clients, and waits until the API server has read the longer bundle.
    pub fn trust_authority(&self, pem: &str) {
        self.change_bundle(|bundle| bundle.push_str(pem));
    }

    /// Takes one out of the bundle again.
    pub fn distrust_authority(&self, pem: &str) {
        self.change_bundle(|bundle| {
            assert!(bundle.contains(pem), "it is not in the bundle");
            *bundle = bundle.replace(pem, "");
        });
    }

    /// The file that `--client-ca-file` names.
    pub fn client_ca_file(&self) -> PathBuf {
        self.dir.join("client-ca.crt")
    }

    fn change_bundle(&self, change: impl FnOnce(&mut String)) {
        {
            let mut bundle = self
                .client_cas
                .lock()
                .expect("no thread panics while it holds this");
            change(&mut bundle);
            write_atomically(&self.client_ca_file(), &bundle);
        }
        until(
            "the API server has read the bundle of client authorities",
            Duration::from_secs(90),
            || {
                // Other tests may go on changing it meanwhile.
                let bundle = self
                    .client_cas
                    .lock()
                    .expect("no thread panics while it holds this")
                    .clone();
                (self.listed_authorities() == subjects(&bundle)).then_some(())
            },
        );
    }

    /// The names of client authorities in the API server's handshake. It verifies by the bundle first and lists it here
    /// afterwards, so what is listed is believed.
    fn listed_authorities(&self) -> Vec<Vec<u8>> {
        let listener = Arc::new(Listener::default());
        let config = ClientConfig::builder_with_provider(tls_provider())
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_root_certificates(roots(&self.ca))
            .with_client_cert_resolver(Arc::clone(&listener) as Arc<dyn ResolvesClientCert>);
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::new(config), name).expect("a usable configuration");
        let address = self.url.trim_start_matches("https://");
        let mut tcp = TcpStream::connect(address).expect("the API server listens");
        tls.complete_io(&mut tcp)
            .expect("a handshake without a certificate succeeds");
        let mut listed = listener
            .subjects
            .lock()
            .expect("no thread panics while it holds this")
            .clone();
        listed.sort();
        listed
    }
}

fn subjects(bundle: &str) -> Vec<Vec<u8>> {
    let mut subjects: Vec<_> = roots(bundle)
        .subjects()
        .into_iter()
        .map(|name| name.as_ref().to_vec())
        .collect();
    subjects.sort();
    subjects
}
