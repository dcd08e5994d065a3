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
    let mut said = None;
    loop {
        tokio::time::sleep(PERIOD).await;
        let session_max = current.load().issuer.lifetimes.session.as_secs();
        let session_max = i64::try_from(session_max).unwrap_or(i64::MAX);
        match store.sweep(clock(), session_max).await {
            Ok(swept) => {
                said = None;
                if swept > 0 {
                    tracing::info!(revocations = swept, "removed what had ended");
                }
            }
            // Once for each cause: a directory may be mounted for reading only.
            Err(error) if said.as_ref() == Some(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "what has ended cannot be removed; it denies nothing any more");
                said = Some(error);
            }
        }
    }
}
