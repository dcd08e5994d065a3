use std::fmt;

use url::Url;

use super::Report;
use crate::https::{self, ClientError};

/// Where findings are sent: over HTTPS, following no redirect.
#[derive(Clone)]
pub struct Webhook {
    client: reqwest::Client,
    /// May hold a secret, as those of chat services do: it is not shown.
    url: Url,
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
        let client = https::client(authorities)?;
        Ok(Self { client, url })
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
            .map_err(|error| SendError::Http(https::with_causes(&error.without_url())))?;
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
