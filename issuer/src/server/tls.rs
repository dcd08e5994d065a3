use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

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
}

/// TLS for the issuer's listener: no client certificates, HTTP/1.1 only.
pub fn server_config(certificate: &[u8], key: &[u8], min: TlsVersion) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
    let versions: &[&rustls::SupportedProtocolVersion] = match min {
        TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
