//! How old shapes become today's. Append-only: a line of [`PRODUCT`] is never edited or removed.
//!
//! The machinery takes its table as a value, so that tests can show a lift on events that the product does not have.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

/// One lift of one event from one version to the next.
#[derive(Debug, Clone, Copy)]
pub struct Upcaster {
    /// The event's type.
    pub event: &'static str,
    /// The version that it reads; it writes the next one.
    pub from: i16,
    /// The change. Total: it takes any JSON and leaves what it does not understand as it is; decoding says what is wrong
    /// with that. A version that only admits more than the one before is lifted by the identity.
    pub lift: fn(Value) -> Value,
}

/// A table of lifts, those of one event in ascending order.
#[derive(Debug, Clone, Copy)]
pub struct Upcasts<'a>(&'a [Upcaster]);

/// Every lift of the product's events.
pub const PRODUCT: Upcasts<'static> = Upcasts::new(&[]);

/// Why a stored payload could not be brought to the current version.
#[derive(Debug, thiserror::Error)]
pub enum Unlifted {
    /// Its version is later than the table's last.
    #[error("the version is of a newer build")]
    Newer,
    /// It is no JSON.
    #[error("the payload is no JSON")]
    Json(#[from] serde_json::Error),
}

impl<'a> Upcasts<'a> {
    /// A table.
    #[must_use]
    pub const fn new(table: &'a [Upcaster]) -> Self {
        Self(table)
    }

    /// The events that the table lifts, once for each lift.
    pub fn events(self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|it| it.event)
    }

    /// The lifts of one event, in the order of the table.
    fn of(self, event: &str) -> impl Iterator<Item = &'a Upcaster> {
        self.0.iter().filter(move |it| it.event == event)
    }

    /// The version that is written today. It is how many times a shape was lifted, plus one, so nothing has to be kept
    /// in step by hand.
    #[must_use]
    pub fn current(self, event: &str) -> i16 {
        self.of(event).fold(1, |version, _| version + 1)
    }

    /// Lifts a payload from `version` to the current one. One that is current, or later, stays as it is.
    #[must_use]
    pub fn lift(self, event: &str, version: i16, payload: Value) -> Value {
        self.of(event).filter(|it| it.from >= version).fold(payload, |payload, it| (it.lift)(payload))
    }

    /// A stored payload in the current version; its text to the letter, if it is current already.
    ///
    /// # Errors
    /// [`Unlifted::Newer`] if the version is later than the current one, [`Unlifted::Json`] if it is earlier and the
    /// text is no JSON.
    pub fn raise<'p>(self, event: &str, version: i16, payload: &'p str) -> Result<Cow<'p, str>, Unlifted> {
        let current = self.current(event);
        if version > current {
            return Err(Unlifted::Newer);
        }
        if version == current {
            return Ok(Cow::Borrowed(payload));
        }
        Ok(Cow::Owned(self.lift(event, version, serde_json::from_str(payload)?).to_string()))
    }

    /// What is wrong with the table, in sentences: a lift that is missing, comes twice or is out of order.
    #[must_use]
    pub fn faults(self) -> Vec<String> {
        let mut reached = BTreeMap::<&str, i16>::new();
        let mut faults = Vec::new();
        for Upcaster { event, from, .. } in self.0 {
            let expected = reached.entry(event).or_insert(1);
            if from == expected {
                *expected += 1;
            } else {
                faults
                    .push(format!("{event}: the next lift must be from v{expected}, but it is from v{from}"));
            }
        }
        faults
    }
}

/// The version of a product's event that today's build writes.
#[must_use]
pub fn current(event: &str) -> i16 {
    PRODUCT.current(event)
}

/// Lifts the payload of a product's event from `version` to the current one.
#[must_use]
pub fn lift(event: &str, version: i16, payload: Value) -> Value {
    PRODUCT.lift(event, version, payload)
}
