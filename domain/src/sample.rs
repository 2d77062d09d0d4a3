//! People and moments for tests of every context.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::email::EmailHash;
use crate::ids::UserId;
use crate::private::Private;

pub(crate) const ADA: UserId = UserId::new(Uuid::from_u128(0xada));
pub(crate) const BOB: UserId = UserId::new(Uuid::from_u128(0xb0b));

/// So many seconds after the beginning of time.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// The address of somebody with a number.
pub(crate) fn hash(number: u8) -> EmailHash {
    EmailHash::new([number; 32])
}

/// A text about somebody.
pub(crate) fn of(user: UserId, text: &str) -> Private {
    Private::new(user.uuid(), text)
}
