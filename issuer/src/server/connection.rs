use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::Limits;
use super::tls::common_name;
use crate::routes::{ClientName, Remote};

/// A request's header, a proof of 8 KiB included.
const MAX_HEADER: usize = 32 * 1024;
const MAX_HEADERS: usize = 64;

pub(super) async fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    stopping: watch::Receiver<bool>,
) {
    let _unsupported = stream.set_nodelay(true);
    match tls {
        None => serve_http(stream, remote, None, router, limits, stopping).await,
        Some(tls) => match tokio::time::timeout(limits.handshake, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let name = shown
                    .and_then(|certificate| common_name(certificate))
                    .map(ClientName);
                serve_http(stream, remote, name, router, limits, stopping).await;
            }
            Ok(Err(error)) => tracing::debug!(%remote, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%remote, "TLS handshake took too long"),
        },
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    remote: SocketAddr,
    client: Option<ClientName>,
    router: Router,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let asked = Arc::new(AtomicBool::new(false));
    let service = {
        let (inner, asked) = (TowerToHyperService::new(router), Arc::clone(&asked));
        service_fn(move |mut request: Request<Incoming>| {
            asked.store(true, Ordering::Release);
            request.extensions_mut().insert(Remote(remote));
            if let Some(name) = &client {
                request.extensions_mut().insert(name.clone());
            }
            inner.call(request)
        })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER)
        .max_buf_size(2 * MAX_HEADER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let end = async {
        tokio::select! {
            () = tokio::time::sleep(limits.connection) => {}
            () = stopped(&mut stopping) => {
                // hyper closes a connection that has read nothing; the request that is on its way would be lost.
                // The header's time limit bounds the wait.
                while !asked.load(Ordering::Acquire) {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            }
        }
    };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = end => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.shutdown, connection).await {
                Ok(result) => result,
                Err(_) => return tracing::debug!(%remote, "a connection did not end in time"),
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%remote, %error, "a connection broke off");
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which happens only when the server itself is.
    let _guard_is_not_kept = stopping.wait_for(|stop| *stop).await.is_ok();
}
