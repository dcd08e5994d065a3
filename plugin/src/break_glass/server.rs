//! What the API server says before anybody is known to it: its time, and whose client certificates it asks for.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::header;
use rustls::{
    ClientConfig, RootCertStore, SignatureScheme,
    client::{ResolvesClientCert, WantsClientCert},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};
use url::Url;

use super::window::Window;
use crate::{escape::Escaped, http::HttpError, run::wait_for};

/// How long the API server is waited for, its name's address included.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why an API server says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Not the URL of an API server.
    #[error("{:?} is no https URL of an API server", Escaped(.0).to_string())]
    Url(String),
    /// A CA that cannot be used.
    #[error("the API server's CA cannot be used: {0}")]
    Ca(String),
    /// No answer.
    #[error("the API server {url} cannot be reached: {source}")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// Why.
        source: HttpError,
    },
    /// No answer in time.
    #[error("the API server {url} gave no answer in time")]
    Silent {
        /// Who was asked.
        url: String,
    },
}

impl ServerError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Url(_) | Self::Ca(_) => {
                "check the kit's server and CA: kubectl gatepass break-glass verify"
            }
            Self::Unreachable { .. } | Self::Silent { .. } => {
                "check the network, the proxy variables and this machine's clock"
            }
        }
    }
}

/// What an API server said.
#[derive(Debug)]
pub struct Seen {
    /// Its `Date`. Whoever answers under the API server's certificate can put any time there.
    pub unproven_time: Option<OffsetDateTime>,
    /// DER of the subjects of the CAs whose client certificates it takes; `None` where it asked for none.
    client_cas: Option<Vec<Vec<u8>>>,
}

/// Whether an API server takes client certificates of a CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Trusts {
    /// It names the CA's subject. Another CA may have the same.
    Yes,
    /// It names others.
    No,
    /// It does not say.
    CannotTell(&'static str),
}

impl Seen {
    /// Whether client certificates of the CA with that subject (DER) are taken.
    pub fn trusts(&self, subject: &[u8]) -> Trusts {
        match &self.client_cas {
            None => Trusts::CannotTell(
                "it asks for no client certificate, as a load balancer does that ends TLS before the API server",
            ),
            Some(none) if none.is_empty() => {
                Trusts::CannotTell("it does not say whose client certificates it takes")
            }
            Some(named) if named.iter().any(|name| name == subject) => Trusts::Yes,
            Some(_) => Trusts::No,
        }
    }
}

/// Asks `<server>/version` without any credential, trusting `ca` (PEM) alone. Whatever the status, the answer will do.
pub async fn look(server: &str, ca: &str) -> Result<Seen, ServerError> {
    look_within(server, ca, DEADLINE).await
}

async fn look_within(server: &str, ca: &str, deadline: Duration) -> Result<Seen, ServerError> {
    let url = version_url(server).ok_or_else(|| ServerError::Url(server.into()))?;
    let recorder = Arc::new(Recorder::default());
    let client = client(tls(ca)?.with_client_cert_resolver(recorder.clone()))?;
    let answer = tokio::time::timeout(deadline, client.get(url).send()).await;
    let url = || Escaped(server).to_string();
    let response = answer
        .map_err(|_| ServerError::Silent { url: url() })?
        .map_err(|error| ServerError::Unreachable {
            url: url(),
            source: error.into(),
        })?;
    let date = response.headers().get(header::DATE);
    let unproven_time = date.and_then(|date| parse_date(date.to_str().ok()?));
    let named = recorder.named.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Seen {
        unproven_time,
        client_cas: named.clone(),
    })
}

/// Uses a window's certificate once, for nothing but to be seen. An API server drops what it could not tell the issuer's audit
/// sink within some 80 s, so that the sink would never hear of a window that was used during a longer outage alone.
pub fn show(window: &Window, key: &str) {
    let shown = wait_for(async {
        let Some(url) = version_url(&window.server) else {
            return Ok(false);
        };
        let pem = |text: &str| pem::parse_many(text).unwrap_or_default().into_iter();
        let chain = pem(&window.certificate).map(|block| CertificateDer::from(block.into_contents()));
        let keys = pem(key).map(|block| PrivateKeyDer::from(PrivatePkcs8KeyDer::from(block.into_contents())));
        let Some(key) = { keys }.next() else {
            return Ok(false);
        };
        let Ok(tls) = tls(&window.server_ca) else {
            return Ok(false);
        };
        let Ok(tls) = tls.with_client_auth_cert(chain.collect(), key) else {
            return Ok(false);
        };
        let Ok(client) = client(tls) else { return Ok(false) };
        let answer = tokio::time::timeout(DEADLINE, client.get(url).send()).await;
        Ok(matches!(answer, Ok(Ok(_))))
    });
    if !matches!(shown, Ok(true)) {
        tracing::info!("the audit sink may not have heard of the break-glass window");
    }
}

fn version_url(server: &str) -> Option<Url> {
    let mut url = Url::parse(server).ok()?;
    let plain = url.scheme() == "https" && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    // The API server may lie below a path, behind a gateway.
    url.path_segments_mut().ok()?.pop_if_empty().push("version");
    (plain && nobody).then_some(url)
}

/// TLS to a server whose certificate is of `ca` (PEM) and nobody else's.
fn tls(ca: &str) -> Result<rustls::ConfigBuilder<ClientConfig, WantsClientCert>, ServerError> {
    let wrong = |problem: String| ServerError::Ca(Escaped(&problem).to_string());
    let mut roots = RootCertStore::empty();
    for block in pem::parse_many(ca).map_err(|error| wrong(error.to_string()))? {
        if block.tag() == "CERTIFICATE" {
            let certificate = CertificateDer::from(block.into_contents());
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
    }
    if roots.is_empty() {
        return Err(wrong("it holds no PEM certificate".into()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| wrong(error.to_string()))?;
    Ok(versions.with_root_certificates(roots))
}

fn client(config: ClientConfig) -> Result<reqwest::Client, ServerError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("kubectl-gatepass/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| ServerError::Ca(HttpError::from(error).to_string()))
}

/// RFC 9110 section 5.6.7, in the one form that servers write.
fn parse_date(text: &str) -> Option<OffsetDateTime> {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    Some(PrimitiveDateTime::parse(text, form).ok()?.assume_utc())
}

/// Gives no certificate, and remembers whose was asked for.
#[derive(Debug, Default)]
struct Recorder {
    named: Mutex<Option<Vec<Vec<u8>>>>,
}

impl ResolvesClientCert for Recorder {
    fn resolve(&self, root_hint_subjects: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let named = root_hint_subjects.iter().map(|name| name.to_vec()).collect();
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = Some(named);
        None
    }

    /// Said to have some, or it would not be asked.
    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
