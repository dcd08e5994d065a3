//! What stands in front of an issuer in a test: a counter of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpStream};

use crate::http::runtime;

/// Hands every connection on, byte for byte, and counts them: "no network request at all" is "no connection".
pub struct Counter {
    /// The port it listens on.
    pub port: u16,
    connections: Arc<AtomicU64>,
}

impl Counter {
    /// Listens on a free port for whoever will listen on `upstream`.
    pub fn start(upstream: u16) -> Self {
        let listener = runtime()
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("loopback has a free port");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let connections = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&connections);
        runtime().spawn(async move {
            while let Ok((mut inward, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    // An issuer that is down refuses; the caller then sees its connection close, as through any proxy.
                    let Ok(mut outward) = TcpStream::connect(("127.0.0.1", upstream)).await else {
                        return;
                    };
                    let _ = tokio::io::copy_bidirectional(&mut inward, &mut outward).await;
                });
            }
        });
        Self { port, connections }
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}
