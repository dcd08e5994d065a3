use std::fmt;
use std::time::Duration;

use url::Url;

use super::Report;
use crate::key_source::with_causes;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("gatepass-issuer/", env!("CARGO_PKG_VERSION"));

/// Where findings are sent: over HTTPS, following no redirect.
#[derive(Clone)]
pub struct Webhook {
    client: reqwest::Client,
    /// May hold a secret, as those of chat services do: it is not shown.
    url: Url,
}

/// The HTTPS client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Without an authority nobody would be trusted, and nobody told.
    #[error("there is no PEM certificate in it")]
    NoAuthority,
    /// The library refused.
    #[error("cannot set up HTTPS: {0}")]
    Client(#[from] reqwest::Error),
}

/// A finding was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The request failed.
    #[error("{0}")]
    Http(String),
    /// Another status than 2xx.
    #[error("it answered {0}")]
    Status(u16),
}

impl Webhook {
    /// One that trusts only `authorities` (PEM) if given, else the system's roots.
    pub fn new(url: Url, authorities: Option<&str>) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(DEADLINE)
            .pool_max_idle_per_host(1)
            .user_agent(USER_AGENT);
        if let Some(pem) = authorities {
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())?;
            if certificates.is_empty() {
                return Err(ClientError::NoAuthority);
            }
            builder = builder.tls_certs_only(certificates);
        }
        Ok(Self {
            client: builder.build()?,
            url,
        })
    }

    pub(super) async fn send(&self, report: &Report) -> Result<(), SendError> {
        let body = serde_json::to_vec(report).expect("a report is texts only");
        let answer = self
            .client
            .post(self.url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .map_err(|error| SendError::Http(with_causes(&error.without_url())))?;
        // The answer's body is not read.
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(SendError::Status(answer.status().as_u16()))
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}
