//! Logs on stderr.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// Starts logging. Only this program's own records are shown: those of the HTTP stack hold headers and bodies at high
/// verbosity, and tokens with them.
pub fn start(level: LevelFilter) {
    if level == LevelFilter::OFF {
        return;
    }
    let ours =
        filter_fn(move |record| record.target().starts_with("kubectl_gatepass") && *record.level() <= level);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_filter(ours);
    // Fails only when a test started it before.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}
