//! Logs on stderr.

use std::io;

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, filter::filter_fn, fmt::MakeWriter, layer::SubscriberExt as _, registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// Starts logging.
pub fn start(level: LevelFilter) {
    if level != LevelFilter::OFF {
        // Fails only when a test started it before.
        let _ = tracing_subscriber::registry()
            .with(layer(level, io::stderr))
            .try_init();
    }
}

/// Only this program's own records are shown: those of the HTTP stack hold headers and bodies at high verbosity, and
/// tokens with them.
fn layer<S, W>(level: LevelFilter, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    let ours =
        filter_fn(move |record| record.target().starts_with("kubectl_gatepass") && *record.level() <= level);
    tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false)
        .with_filter(ours)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Shown(Arc<Mutex<Vec<u8>>>);

    impl Write for Shown {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn records_of_other_crates_are_never_shown() {
        let shown = Shown::default();
        let writer = shown.clone();
        let subscriber =
            tracing_subscriber::registry().with(layer(LevelFilter::TRACE, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!("ours");
            tracing::error!(target: "hyper::proto::h1", "theirs");
        });
        let shown = String::from_utf8(shown.0.lock().unwrap().clone()).unwrap();
        assert!(shown.contains("ours") && !shown.contains("theirs"), "{shown}");
    }
}
