//! Durations and times, as they are typed and as they are written.

use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// A duration as in `90s`, `12h` or `1d12h`: Go's, in whole numbers, and with days.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "{text:?} is no duration: write whole numbers with the units d, h, m and s, as in 7d or 1d12h"
        )
    };
    let (mut rest, mut seconds) = (text, 0_i64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let unit = match behind.bytes().next() {
            Some(b'd') => 86400,
            Some(b'h') => 3600,
            Some(b'm') => 60,
            Some(b's') => 1,
            Some(_) | None => return Err(wrong()),
        };
        let number: i64 = number.parse().map_err(|_| wrong())?;
        seconds = number
            .checked_mul(unit)
            .and_then(|more| seconds.checked_add(more))
            .ok_or_else(wrong)?;
        rest = &behind[1..];
    }
    match seconds {
        0 => Err(format!("{text:?} is no time at all")),
        seconds => Ok(Duration::seconds(seconds)),
    }
}

/// A time as RFC 3339 writes it.
pub fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| format!("{text:?} is no time: write it as in 2026-11-22T02:00:00Z"))
}

/// A time as documents have it: UTC, whole seconds, rounded up. `None` beyond the year 9999.
pub(super) fn written(time: OffsetDateTime) -> Option<String> {
    let fraction = time.nanosecond();
    let whole = time
        .replace_nanosecond(0)
        .ok()?
        .checked_to_offset(UtcOffset::UTC)?;
    let whole = whole.checked_add(Duration::seconds(i64::from(fraction > 0)))?;
    whole.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn durations_are_gos_with_days() {
        for (text, seconds) in [
            ("90s", 90),
            ("3m", 180),
            ("1h30m", 5400),
            ("7d", 604_800),
            ("1d12h", 129_600),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::seconds(seconds)), "{text}");
        }
        for text in [
            "",
            "7",
            "d",
            "1.5h",
            "-3m",
            "+3m",
            "3 m",
            "1w",
            "0s",
            "9999999999999999999s",
            "9223372036854775807d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_written_in_utc_and_whole_seconds() {
        let time = parse_time("2026-11-22T02:00:00.25+02:00").unwrap();
        assert_eq!(written(time).unwrap(), "2026-11-22T00:00:01Z");
        assert!(parse_time("2026-11-22").is_err() && parse_time("yesterday").is_err());
        assert_eq!(written(datetime!(9999-12-31 23:59:59.5 UTC)), None);
    }
}
