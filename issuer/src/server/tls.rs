use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

/// The oldest TLS version that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2 and 1.3.
    V1_2,
    /// 1.3 only.
    V1_3,
}

/// Why a serving certificate is not usable.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No PEM certificate.
    #[error("the certificate is not PEM with at least one X.509 certificate")]
    Certificate,
    /// No PEM private key.
    #[error("the key is not a private key in PEM")]
    Key,
    /// They do not go together, or rustls cannot use them.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
    /// The clients' authority is no usable trust anchor.
    #[error("the clients' authority cannot be used: {0}")]
    Clients(#[from] VerifierBuilderError),
}

/// Who signs the certificates of clients that must show one.
#[derive(Clone, Debug)]
pub struct ClientAuthority(Vec<CertificateDer<'static>>);

impl ClientAuthority {
    /// All certificates of a PEM text.
    pub fn from_pem(pem: &str) -> Result<Self, TlsError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::Certificate)?;
        if certificates.is_empty() {
            return Err(TlsError::Certificate);
        }
        Ok(Self(certificates))
    }

    /// Whether one of them has this public key (SubjectPublicKeyInfo in DER).
    pub fn has_key(&self, spki: &[u8]) -> bool {
        self.0.iter().any(|certificate| {
            x509_parser::parse_x509_certificate(certificate)
                .is_ok_and(|(_, certificate)| certificate.public_key().raw == spki)
        })
    }
}

/// The last common name of a certificate, in DER.
pub(super) fn common_name(certificate: &[u8]) -> Option<Arc<str>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = certificate.subject().iter_common_name().last()?;
    Some(name.as_str().ok()?.into())
}

/// TLS of a listener, HTTP/1.1 only; with `clients` nobody gets in without a certificate by that authority.
pub fn server_config(
    certificate: &str,
    key: &str,
    min: TlsVersion,
    clients: Option<ClientAuthority>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsError::Key)?;
    let versions: &[&rustls::SupportedProtocolVersion] = match min {
        TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ClientAuthority(certificates)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
