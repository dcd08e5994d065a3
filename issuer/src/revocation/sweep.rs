//! Taking away revocations that have ended, then and not before.

use std::sync::Arc;
use std::time::Duration;

use super::store::Store;
use crate::active::Current;
use crate::routes::Clock;

/// How often. Nothing depends on it: what has ended denies nothing any more.
const PERIOD: Duration = Duration::from_secs(60);

/// Sweeps again and again, for ever; may be dropped at any moment.
pub async fn run(store: Arc<Store>, current: Current, clock: Clock) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let session_max = current.load().issuer.lifetimes.session.as_secs();
        match store
            .sweep(clock(), i64::try_from(session_max).unwrap_or(i64::MAX))
            .await
        {
            Ok(0) => {}
            Ok(revocations) => tracing::info!(revocations, "removed what had ended"),
            Err(error) => {
                tracing::warn!(%error, "what has ended cannot be removed; it denies nothing any more")
            }
        }
    }
}
