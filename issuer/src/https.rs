//! How the issuer speaks to others: over HTTPS, following no redirect, with deadlines.

use std::time::Duration;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("gatepass-issuer/", env!("CARGO_PKG_VERSION"));

/// The HTTPS client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody would be trusted.
    #[error("there is no PEM certificate in it")]
    NoAuthority,
    /// The library refused.
    #[error("cannot set up HTTPS: {0}")]
    Client(#[from] reqwest::Error),
}

/// A client that trusts only `authorities` (PEM) if given, else the system's roots.
pub(crate) fn client(authorities: Option<&str>) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_DEADLINE)
        .timeout(DEADLINE)
        .pool_max_idle_per_host(1)
        .user_agent(USER_AGENT);
    if let Some(pem) = authorities {
        // Of a text without any it makes an empty list.
        let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())?;
        if certificates.is_empty() {
            return Err(ClientError::NoAuthority);
        }
        builder = builder.tls_certs_only(certificates);
    }
    Ok(builder.build()?)
}

/// reqwest's own message ends before the reason ("error sending request").
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
