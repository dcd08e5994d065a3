//! The HTTP client: TLS by aws-lc-rs, https only, no redirect followed, bounded in time and size.

use std::{error::Error as _, io, time::Duration};

use openidconnect::http;
use reqwest::{Certificate, Client, Response, redirect};

/// Largest answer that is read. A key set or a token response is far below.
const LARGEST: usize = 1024 * 1024;
/// Longest wait for a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest wait for a whole answer.
const WHOLE: Duration = Duration::from_secs(20);

/// A request that got no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The CA given is not PEM.
    #[error("the CA is not a PEM certificate: {0}")]
    Ca(#[source] reqwest::Error),
    /// The client cannot be built.
    #[error("cannot set up TLS: {0}")]
    Tls(#[source] reqwest::Error),
    /// No answer.
    #[error("{}", reason(.0))]
    Request(#[from] reqwest::Error),
    /// More than a megabyte.
    #[error("the answer is too large")]
    TooLarge,
    /// The answer cannot be represented.
    #[error("the answer is not valid HTTP: {0}")]
    Invalid(#[from] http::Error),
}

impl HttpError {
    /// Whether the peer was just not there: it restarts, or closed a connection before it answered. Who lets us wait for
    /// nothing would do so again, and what TLS refuses stays refused.
    pub fn may_pass(&self) -> bool {
        let Self::Request(error) = self else { return false };
        if error.is_timeout() {
            return false;
        }
        let mut source = error.source();
        while let Some(error) = source {
            source = error.source();
            if let Some(error) = error.downcast_ref::<io::Error>() {
                use io::ErrorKind::{
                    BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected,
                    UnexpectedEof,
                };
                if matches!(
                    error.kind(),
                    BrokenPipe
                        | ConnectionAborted
                        | ConnectionRefused
                        | ConnectionReset
                        | NotConnected
                        | UnexpectedEof
                ) {
                    return true;
                }
                // What a socket said during the TLS handshake is wrapped, and what wraps it does not call it its source.
                if let Some(inner) = error.get_ref() {
                    source = Some(inner);
                }
            } else if let Some(error) = error.downcast_ref::<hyper::Error>()
                && (error.is_incomplete_message() || error.is_canceled() || error.is_closed())
            {
                return true;
            }
        }
        false
    }
}

/// The innermost reason, which says more to people than reqwest's outer sentence, and never the URL's query.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut source: &(dyn std::error::Error + 'static) = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    match in_time(source) {
        true => source.to_string(),
        false => format!("{source}; see whether this machine's clock is right"),
    }
}

/// Whether the failure is another one than a certificate that is not valid now, which a wrong local clock makes of any.
fn in_time(error: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    // An input/output error passes over what it wraps when it is asked for its source.
    let mut innermost = error;
    while let Some(wrapped) = innermost
        .downcast_ref::<std::io::Error>()
        .and_then(|error| error.get_ref())
    {
        innermost = wrapped;
    }
    !matches!(
        innermost.downcast_ref(),
        Some(rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
        ))
    )
}

/// A client that trusts only `ca` (PEM) where given, else the system's CAs. Proxy variables are honoured.
pub fn client(ca: Option<&str>) -> Result<Client, HttpError> {
    // Fails only when a provider is set already, which is then this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut builder = Client::builder()
        .https_only(true)
        // A redirect would carry a token or a code to a place that nobody pinned.
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .user_agent(concat!("kubectl-gatepass/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = ca {
        builder =
            builder.tls_certs_only(Certificate::from_pem_bundle(pem.as_bytes()).map_err(HttpError::Ca)?);
    }
    builder.build().map_err(HttpError::Tls)
}

/// Reads an answer's body up to the limit.
pub async fn read(mut response: Response) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LARGEST {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Sends one request for openidconnect.
pub async fn send(
    client: &Client,
    request: http::Request<Vec<u8>>,
) -> Result<http::Response<Vec<u8>>, HttpError> {
    let request = reqwest::Request::try_from(request)?;
    // The path alone: a query may hold what nobody else should see.
    let (method, host, path) = (
        request.method().clone(),
        request.url().authority().to_owned(),
        request.url().path().to_owned(),
    );
    let response = client.execute(request).await?;
    tracing::debug!(%method, host, path, status = response.status().as_u16(), "asked the identity provider");
    let mut answer = http::Response::builder().status(response.status());
    for (name, value) in response.headers() {
        answer = answer.header(name, value);
    }
    Ok(answer.body(read(response).await?)?)
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener};

    use super::*;

    /// What `get` says of a server that does `answer` with its first connection.
    async fn error_of(answer: impl FnOnce(std::net::TcpStream) + Send + 'static) -> HttpError {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || answer(listener.accept().unwrap().0));
        let request = client(None).unwrap().get(format!("https://127.0.0.1:{port}/"));
        let error = request.send().await.unwrap_err().into();
        server.join().unwrap();
        error
    }

    #[tokio::test]
    async fn a_peer_that_hangs_up_may_be_back_and_one_that_speaks_no_tls_stays_what_it_is() {
        let gone = error_of(|stream| {
            // Read first: unread bytes would turn the end into a reset, which is another case.
            io::Read::read(&mut &stream, &mut [0; 4096]).unwrap();
            stream.shutdown(Shutdown::Both).unwrap();
        });
        let gone = gone.await;
        assert!(gone.may_pass(), "{gone}");
        let reset = error_of(drop).await;
        assert!(reset.may_pass(), "{reset}");
        let plain = error_of(|stream| {
            io::Read::read(&mut &stream, &mut [0; 4096]).unwrap();
            io::Write::write_all(&mut &stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        let plain = plain.await;
        assert!(!plain.may_pass(), "{plain}");
    }
}
