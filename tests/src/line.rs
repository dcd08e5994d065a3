//! A line to a server that can be cut: nothing passes any more, and nobody is told, as when a cable is pulled.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::http::runtime;

/// Hands bytes on, both ways, while it is whole.
pub struct Line {
    /// The port it listens on.
    pub port: u16,
    whole: watch::Sender<bool>,
}

impl Line {
    /// Listens on a free port for whoever listens on `upstream`.
    pub fn to(upstream: u16) -> Self {
        let listener = runtime()
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("loopback has a free port");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let (whole, is_whole) = watch::channel(true);
        runtime().spawn(async move {
            while let Ok((inward, _)) = listener.accept().await {
                let is_whole = is_whole.clone();
                tokio::spawn(async move {
                    let Ok(outward) = TcpStream::connect(("127.0.0.1", upstream)).await else {
                        return;
                    };
                    let ((mut here, mut to_here), (mut there, mut to_there)) =
                        (inward.into_split(), outward.into_split());
                    tokio::select! {
                        () = pass(&mut here, &mut to_there, is_whole.clone()) => {}
                        () = pass(&mut there, &mut to_here, is_whole) => {}
                    }
                });
            }
        });
        Self { port, whole }
    }

    /// From now on nothing passes.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// What was sent meanwhile arrives, and all that comes.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut is_whole: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if is_whole.wait_for(|is_whole| *is_whole).await.is_err()
            || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
    }
    // The end does not pass either.
    let _ = is_whole.wait_for(|is_whole| *is_whole).await;
}
