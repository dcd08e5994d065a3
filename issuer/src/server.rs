//! Listeners, TLS and connections; and the way down that loses no request.

mod connection;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

pub use tls::{ClientAuthority, TlsError, TlsVersion, server_config};

/// Limits of connections; those of requests are in [`gatepass_api::limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; others wait in the kernel's queue.
    pub connections: usize,
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest wait for a request's header, and so for the next request on an idle connection.
    pub header: Duration,
    /// Longest life of a connection; a request on it is finished first.
    pub connection: Duration,
    /// Longest wait for requests in flight at shutdown.
    pub shutdown: Duration,
}

/// Whether requests should be sent here: a latch that shutdown opens.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets the latch.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Reads the latch.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// TLS of a listener: each new connection takes what is there now, and open ones go on with what they took.
pub type ListenerTls = Arc<ArcSwap<ServerConfig>>;

/// Serves `router` on `listener` until `shutdown`, then finishes what was begun: connections in the kernel's queue,
/// handshakes, and requests in flight. `tls: None` is plain HTTP, for health checks.
pub async fn serve(
    listener: TcpListener,
    tls: Option<ListenerTls>,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(false);
    let mut accepting = Accepting {
        tls,
        router,
        limits,
        stopping,
        slots: Arc::new(Semaphore::new(limits.connections)),
        connections: JoinSet::new(),
    };
    tokio::select! {
        () = shutdown => {}
        () = accepting.run(&listener) => {}
    }
    // Whoever the kernel has accepted already would see a reset if the listener just closed.
    while let Ok(Ok((stream, remote))) =
        tokio::time::timeout(Duration::from_millis(1), listener.accept()).await
    {
        let Ok(slot) = Arc::clone(&accepting.slots).try_acquire_owned() else {
            break;
        };
        accepting.start(stream, remote, slot);
    }
    drop(listener);
    stop.send_replace(true);
    let finished = async { while accepting.connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.shutdown, finished).await.is_err() {
        tracing::warn!("requests were still in flight when the shutdown's time was over");
    }
}

struct Accepting {
    tls: Option<ListenerTls>,
    router: Router,
    limits: Limits,
    stopping: watch::Receiver<bool>,
    slots: Arc<Semaphore>,
    connections: JoinSet<()>,
}

impl Accepting {
    async fn run(&mut self, listener: &TcpListener) {
        loop {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, remote)) => self.start(stream, remote, slot),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of file descriptors, most likely: trying again at once would only burn time.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn start(&mut self, stream: TcpStream, remote: SocketAddr, slot: OwnedSemaphorePermit) {
        let tls = self.tls.as_ref().map(|tls| TlsAcceptor::from(tls.load_full()));
        let (router, limits) = (self.router.clone(), self.limits);
        let stopping = self.stopping.clone();
        self.connections.spawn(async move {
            connection::serve(stream, remote, tls, router, limits, stopping).await;
            drop(slot);
        });
        while self.connections.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests;
