//! The loopback listener of a browser login (RFC 8252 section 7.3).
//!
//! It answers one request: `GET` on the callback path, `Host` the literal loopback address and port, and this login's
//! `state`. Everything else gets an empty 404 and changes nothing, so stray and hostile requests cannot end a login.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::constant_time;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};
use url::{Url, form_urlencoded};

use super::Redirect;
use crate::escape::Escaped;

const PATH: &str = "/callback";
/// A browser opens a few connections; for one more than these the oldest is closed, so that whoever opens many and says
/// nothing does not shut the browser out.
const CONNECTIONS: usize = 32;
const READ_HEADERS: Duration = Duration::from_secs(10);
const LONGEST_REQUEST: usize = 32 * 1024;
/// How long to wait for the browser to take the page.
const FINISH: Duration = Duration::from_secs(2);

/// Listens on one port of 127.0.0.1 and, where there is one, of ::1.
pub struct Loopback {
    v4: Option<TcpListener>,
    v6: Option<TcpListener>,
    port: u16,
}

/// The browser, waiting for its page.
pub struct Waiting {
    page: oneshot::Sender<(String, String)>,
    connections: JoinSet<()>,
    answered: oneshot::Receiver<()>,
}

impl Loopback {
    /// Binds `port`, or a free one.
    pub async fn bind(port: Option<u16>) -> io::Result<Self> {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await {
            Ok(v4) => {
                let port = v4.local_addr()?.port();
                let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.ok();
                Ok(Self {
                    v4: Some(v4),
                    v6,
                    port,
                })
            }
            Err(error) if port.is_some() => Err(error),
            Err(_) => {
                let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await?;
                let port = v6.local_addr()?.port();
                Ok(Self {
                    v4: None,
                    v6: Some(v6),
                    port,
                })
            }
        }
    }

    /// The redirect URI: the literal address, because `localhost` may resolve to something else (RFC 8252 section 8.3).
    pub fn redirect_uri(&self) -> Url {
        let host = if self.v4.is_some() { "127.0.0.1" } else { "[::1]" };
        Url::parse(&format!("http://{host}:{}{PATH}", self.port))
            .expect("a literal address and a port make a URL")
    }

    /// Waits for the redirect that carries `state`. Has no deadline of its own.
    pub async fn callback(self, state: &str) -> io::Result<(Redirect, Waiting)> {
        let (found, mut callback) = oneshot::channel();
        let expected = Arc::new(Expected {
            state: state.to_owned(),
            hosts: [format!("127.0.0.1:{}", self.port), format!("[::1]:{}", self.port)],
            found: Mutex::new(Some(found)),
        });
        let mut open: VecDeque<AbortHandle> = VecDeque::new();
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                // First: the connection that brought it must not be closed for another.
                biased;
                found = &mut callback => {
                    let Ok(Found { redirect, page, answered }) = found else {
                        return Err(io::Error::other("the listener ended"));
                    };
                    return Ok((redirect, Waiting { page, connections, answered }));
                }
                Some(_) = connections.join_next() => continue,
                stream = accept(self.v4.as_ref()) => stream,
                stream = accept(self.v6.as_ref()) => stream,
            };
            let stream = match stream {
                Ok(stream) => stream,
                // One connection that broke before it was accepted is no reason to end a login.
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection to the loopback listener");
                    continue;
                }
            };
            open.retain(|connection| !connection.is_finished());
            if open.len() >= CONNECTIONS
                && let Some(oldest) = open.pop_front()
            {
                oldest.abort();
            }
            open.push_back(connections.spawn(serve(stream, Arc::clone(&expected))));
            // Whoever has said something is heard before the next one is let in.
            tokio::task::yield_now().await;
        }
    }
}

impl Waiting {
    /// Answers with a page, whose inline style carries `style_nonce`, and waits a moment for the browser to take it.
    pub async fn answer(mut self, html: String, style_nonce: String) {
        if self.page.send((html, style_nonce)).is_ok() {
            let taken = async {
                // Ends when the connection that carried the page does.
                let _ = self.answered.await;
            };
            let _ = tokio::time::timeout(FINISH, taken).await;
        }
        self.connections.abort_all();
    }
}

struct Expected {
    state: String,
    hosts: [String; 2],
    found: Mutex<Option<oneshot::Sender<Found>>>,
}

struct Found {
    redirect: Redirect,
    page: oneshot::Sender<(String, String)>,
    answered: oneshot::Receiver<()>,
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

async fn serve(stream: TcpStream, expected: Arc<Expected>) {
    // Dropped when this connection ends: then the page, if it was this one's, has been written.
    let ended: Arc<Mutex<Option<oneshot::Sender<()>>>> = Arc::default();
    let service = service_fn(|request| respond(request, Arc::clone(&expected), Arc::clone(&ended)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_HEADERS)
        .max_buf_size(LONGEST_REQUEST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the loopback listener failed");
    }
}

async fn respond(
    request: Request<Incoming>,
    expected: Arc<Expected>,
    ended: Arc<Mutex<Option<oneshot::Sender<()>>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let query = request.uri().query().unwrap_or_default();
    let redirect = (request.method() == Method::GET && request.uri().path() == PATH)
        .then(|| expected.read(host, query))
        .flatten();
    let Some(redirect) = redirect else {
        return Ok(nothing());
    };
    let Some(found) = expected.found.lock().ok().and_then(|mut found| found.take()) else {
        return Ok(nothing());
    };
    let (page, wanted) = oneshot::channel();
    let (end, answered) = oneshot::channel();
    if let Ok(mut ended) = ended.lock() {
        *ended = Some(end);
    }
    if found
        .send(Found {
            redirect,
            page,
            answered,
        })
        .is_err()
    {
        return Ok(nothing());
    }
    Ok(wanted
        .await
        .map_or_else(|_| nothing(), |(html, nonce)| show(html, &nonce)))
}

impl Expected {
    /// The redirect's parameters, if the request is the one this login waits for. A parameter given twice makes it
    /// another (RFC 6749 section 3.1).
    fn read(&self, host: Option<&str>, query: &str) -> Option<Redirect> {
        if !host.is_some_and(|host| self.hosts.iter().any(|expected| expected == host)) {
            return None;
        }
        let parameter = |wanted: &str| {
            let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == wanted);
            match (values.next(), values.next()) {
                (None, _) => Ok(None),
                (Some((_, value)), None) => Ok(Some(value.into_owned())),
                (Some(_), Some(_)) => Err(()),
            }
        };
        let state = parameter("state").ok()??;
        constant_time::verify_slices_are_equal(state.as_bytes(), self.state.as_bytes()).ok()?;
        let (code, error, description) = (
            parameter("code").ok()?,
            parameter("error").ok()?,
            parameter("error_description").ok()?,
        );
        let outcome = match (code, error) {
            (Some(code), None) => Ok(code),
            (None, Some(error)) => {
                let description = description.map(|text| format!(": {text}")).unwrap_or_default();
                Err(Escaped(&format!("{error}{description}")).to_string())
            }
            _ => return None,
        };
        Some(Redirect {
            outcome,
            iss: parameter("iss").ok()?,
        })
    }
}

fn nothing() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn show(html: String, nonce: &str) -> Response<Full<Bytes>> {
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    Response::builder()
        .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONTENT_SECURITY_POLICY, policy)
        .header(header::REFERRER_POLICY, "no-referrer")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body(Full::from(html))
        .unwrap_or_else(|_| nothing())
}

#[cfg(test)]
mod tests;
