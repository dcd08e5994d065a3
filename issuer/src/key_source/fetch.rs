use serde_json::Value;

use crate::https;
use crate::id_token::KeySet;
use crate::id_token::keys::KeySetError;
use crate::strict_json;

/// Far above any real document.
const MAX_DOCUMENT: usize = 512 * 1024;

/// Fetches one provider's keys over HTTPS, following no redirect.
#[derive(Debug)]
pub struct Fetcher {
    client: reqwest::Client,
    issuer: String,
}

/// The HTTPS client of a provider cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{issuer}: {source}")]
pub struct ClientError {
    issuer: String,
    source: https::ClientError,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The request failed.
    #[error("{0}")]
    Http(String),
    /// Another status than 200.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// A document above the limit.
    #[error("{0} is longer than 512 KiB")]
    TooLarge(String),
    /// The metadata is not JSON.
    #[error("the metadata is malformed: {0}")]
    Metadata(strict_json::Error),
    /// The metadata is another issuer's.
    #[error("the metadata's `issuer` is not the configured URL")]
    WrongIssuer,
    /// `jwks_uri` is missing or not https.
    #[error("the metadata's `jwks_uri` is missing or not an https URL")]
    KeysUrl,
    /// The key set is malformed.
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

impl Fetcher {
    /// A client that trusts only `authorities` (PEM) if given, else the system's roots.
    pub fn new(issuer: &str, authorities: Option<&str>) -> Result<Self, ClientError> {
        let client = https::client(authorities).map_err(|source| ClientError {
            issuer: issuer.to_owned(),
            source,
        })?;
        Ok(Self {
            client,
            issuer: issuer.to_owned(),
        })
    }

    pub(super) async fn fetch(&self) -> Result<KeySet, FetchError> {
        // OpenID Connect Discovery section 4: a slash at the end is removed first.
        let base = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        let metadata = self
            .get(&format!("{base}/.well-known/openid-configuration"))
            .await?;
        let metadata = strict_json::object(&metadata).map_err(FetchError::Metadata)?;
        // Section 4.3: else another issuer at the same host could lend its keys.
        if metadata.get("issuer").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(FetchError::WrongIssuer);
        }
        let keys_url = metadata
            .get("jwks_uri")
            .and_then(Value::as_str)
            .filter(|url| url.starts_with("https://"))
            .ok_or(FetchError::KeysUrl)?;
        Ok(KeySet::parse(&self.get(keys_url).await?)?)
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let failed = |error: reqwest::Error| FetchError::Http(https::with_causes(&error));
        let mut answer = self.client.get(url).send().await.map_err(failed)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status {
                url: url.to_owned(),
                status: answer.status().as_u16(),
            });
        }
        let mut document = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if document.len() + chunk.len() > MAX_DOCUMENT {
                return Err(FetchError::TooLarge(url.to_owned()));
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}
