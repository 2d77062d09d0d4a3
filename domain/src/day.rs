//! Days as identifiers, for streams that begin anew each day.

use chrono::{Datelike as _, NaiveDate};
use uuid::Uuid;

/// The identifier of a day's stream: a UUID of version 8 that shows the date, such as
/// `20260312-0000-8000-8000-000000000000`. The same for every tenant, since a stream is the tenant's by its key.
#[must_use]
pub fn id(date: NaiveDate) -> Uuid {
    let year = u128::from(date.year().unsigned_abs() % 10_000);
    let digits = [
        year / 1_000,
        year / 100 % 10,
        year / 10 % 10,
        year % 10,
        u128::from(date.month() / 10),
        u128::from(date.month() % 10),
        u128::from(date.day() / 10),
        u128::from(date.day() % 10),
    ];
    let shown = digits.iter().fold(0, |shown, digit| shown << 4 | digit);
    Uuid::from_u128(shown << 96 | 0x8000_8000_0000_0000_0000)
}
