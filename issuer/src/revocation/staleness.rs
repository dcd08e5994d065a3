//! Says when the view has become stale, and when it is well again: once each, not at each request.

use std::sync::Arc;
use std::time::Duration;

use super::{MAX_AGE, Mode, Revocations};
use crate::routes::Clock;

const LOOK: Duration = Duration::from_secs(1);

/// What there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Stale(i64),
    Well,
}

/// Whether the view was stale at the last look.
#[derive(Debug, Default)]
struct Watch {
    stale: bool,
}

impl Watch {
    /// A view that never was is not stale: nothing was ready, and the store says itself why.
    fn look(&mut self, age: Option<i64>) -> Option<Change> {
        let age = age?;
        match (self.stale, age > MAX_AGE) {
            (false, true) => {
                self.stale = true;
                Some(Change::Stale(age))
            }
            (true, false) => {
                self.stale = false;
                Some(Change::Well)
            }
            (false, false) | (true, true) => None,
        }
    }
}

/// Looks again and again, for ever.
pub async fn tell(revocations: Arc<Revocations>, clock: Clock) {
    let mut watch = Watch::default();
    loop {
        match watch.look(revocations.age(clock())) {
            None => {}
            Some(Change::Well) => tracing::info!("the view of revocations is up to date again"),
            Some(Change::Stale(age)) => match revocations.mode() {
                Mode::BestEffort => tracing::error!(
                    age,
                    "the view of revocations is stale: what was revoked since is not known here; \
                     deciding and issuing by what is known; an earlier error says why"
                ),
                Mode::Strict => tracing::error!(
                    age,
                    "the view of revocations is stale: deciding and issuing nothing until it is well again; \
                     an earlier error says why"
                ),
            },
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_said_once() {
        let mut watch = Watch::default();
        let said: Vec<_> = [
            None,
            Some(0),
            Some(10),
            Some(11),
            Some(12),
            Some(60),
            Some(0),
            Some(10),
            Some(11),
        ]
        .into_iter()
        .map(|age| watch.look(age))
        .collect();
        assert_eq!(
            said,
            [
                None,
                None,
                None,
                Some(Change::Stale(11)),
                None,
                None,
                Some(Change::Well),
                None,
                Some(Change::Stale(11)),
            ]
        );
    }
}
