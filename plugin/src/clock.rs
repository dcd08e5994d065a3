//! The clock. Everything else is told the time.

use time::OffsetDateTime;

/// Where the time comes from.
pub trait Clock: Sync {
    /// The local time, which may be wrong.
    fn now(&self) -> OffsetDateTime;
}

/// The system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the edge at which the clock is read")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// A clock that stands still.
#[cfg(test)]
pub(crate) struct At(pub(crate) OffsetDateTime);

#[cfg(test)]
impl Clock for At {
    fn now(&self) -> OffsetDateTime {
        self.0
    }
}
