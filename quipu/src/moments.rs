//! Moments and places as people give them: `1h` ago, a time, a position.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// Reads a time (RFC 3339), or how long ago (`90s`, `15m`, `2h`, `1d`).
///
/// # Errors
/// If it is neither.
pub fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let malformed =
        || "neither a time like 2026-03-01T12:00:00Z nor a span like 90s, 15m, 2h or 1d".to_owned();
    let unit = text.chars().last().ok_or_else(malformed)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(malformed()),
    };
    let count: i64 = text.strip_suffix(unit).unwrap_or_default().parse().map_err(|_| malformed())?;
    let span = count
        .checked_mul(seconds)
        .filter(|it| *it >= 0)
        .and_then(TimeDelta::try_seconds)
        .ok_or_else(malformed)?;
    Utc::now().checked_sub_signed(span).ok_or_else(malformed)
}

/// A moment as the query API reads it.
#[must_use]
pub fn parameter(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans_are_read() {
        assert_eq!(parameter(since("2026-03-01T12:00:00+01:00").unwrap()), "2026-03-01T11:00:00.000000Z");
        let ago = Utc::now() - since("90m").unwrap();
        assert!((5_399..=5_401).contains(&ago.num_seconds()), "{ago}");
        for bad in ["", "h", "1w", "-1h", "99999999999999999999d", "9223372036854775807d", "yesterday"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
