//! The one place that reads the clock; all else gets `now` in Unix seconds as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Now, in Unix seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the edge where the clock is read"
)]
pub fn now() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        // A clock before 1970 makes every token "not yet valid".
        Err(_) => 0,
    }
}

/// Unix seconds as RFC 3339 UTC in whole seconds.
pub(crate) fn rfc3339(unix: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        // Times that get here lie between 1970 and 9999: tokens and certificates with others were refused.
        .unwrap_or_else(|| "9999-12-31T23:59:59Z".into())
}
