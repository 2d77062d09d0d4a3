//! How long a caller waits (gRPC over HTTP/2, "Timeout"), and how long anything may go on that has no end by itself.

use std::time::Duration;

use axum::http::HeaderMap;
use tokio::time::Instant;

/// How long a stream goes on at most; whoever wants more opens another.
const STREAM_TIME_MAX: Duration = Duration::from_secs(600);
/// Digits of the figure at most.
const DIGITS_MAX: usize = 8;

/// When the caller of a method stops to wait, if it said so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

/// The end of a stream whose caller waits until `asked`.
pub(super) fn of_stream(asked: Option<Instant>) -> Instant {
    let latest = Instant::now() + STREAM_TIME_MAX;
    asked.map_or(latest, |it| it.min(latest))
}

/// What a caller says. One that writes it wrongly is one that says nothing: it watches the time itself too.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (figure, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if figure.is_empty() || figure.len() > DIGITS_MAX || !figure.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let figure: u64 = figure.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(figure.saturating_mul(3_600)),
        "M" => Duration::from_secs(figure.saturating_mul(60)),
        "S" => Duration::from_secs(figure),
        "m" => Duration::from_millis(figure),
        "u" => Duration::from_micros(figure),
        "n" => Duration::from_nanos(figure),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        asked(&headers)
    }

    #[test]
    fn every_unit_means_what_the_protocol_says() {
        for (text, nanos) in [
            ("1H", 3_600_000_000_000),
            ("2M", 120_000_000_000),
            ("3S", 3_000_000_000),
            ("10m", 10_000_000),
            ("99999999u", 99_999_999_000),
            ("0n", 0),
        ] {
            assert_eq!(of(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_not_taken() {
        for text in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "1 S", "123456789S", "1SS"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
