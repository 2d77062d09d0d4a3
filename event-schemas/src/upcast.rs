//! How old shapes become today's. Append-only: a line here is never edited or removed.

use serde_json::Value;

/// One lift of one event from one version to the next.
pub struct Upcaster {
    /// The event's type.
    pub event: &'static str,
    /// The version that it reads; it writes the next one.
    pub from: i16,
    /// The change.
    pub lift: fn(Value) -> Value,
}

/// Every lift, those of one event in ascending order.
pub const UPCASTERS: &[Upcaster] = &[];

/// The version that today's build writes. It is how many times a shape was lifted, plus one, so nothing has to be kept
/// in step by hand.
#[must_use]
pub fn current(event: &str) -> i16 {
    UPCASTERS.iter().filter(|it| it.event == event).fold(1, |version, _| version + 1)
}

/// Lifts a payload from `version` to the current one.
#[must_use]
pub fn lift(event: &str, version: i16, payload: Value) -> Value {
    UPCASTERS
        .iter()
        .filter(|it| it.event == event && it.from >= version)
        .fold(payload, |payload, upcaster| (upcaster.lift)(payload))
}
