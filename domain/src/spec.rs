//! Given, when, then: specifications of the rules, here and in whole-system tests, on a [`World`], a log in memory.

mod world;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::decision::{Decision, Verdict};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::TenantId;
pub use world::World;

/// The tenant of a specification that names none.
pub const TENANT: TenantId = TenantId::new(Uuid::from_u128(0xa11ce));

/// Begins a specification with what happened.
#[must_use]
pub fn given<E: Into<Event>>(events: impl IntoIterator<Item = E>) -> Given {
    let mut given = given_nothing();
    for event in events {
        given.world.record(event);
    }
    given
}

/// Begins a specification in an empty world.
#[must_use]
pub fn given_nothing() -> Given {
    Given { world: World::new(TENANT), now: DateTime::UNIX_EPOCH }
}

/// What is so before the command.
pub struct Given {
    world: World,
    now: DateTime<Utc>,
}

impl Given {
    /// Sets the clock.
    #[must_use]
    pub fn at(mut self, now: DateTime<Utc>) -> Self {
        self.now = now;
        self
    }

    /// Runs a command that must succeed.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn having(mut self, decision: impl Decision) -> Self {
        let judged = self.world.submit(&decision, self.now);
        assert!(judged.is_ok(), "given: {:?}", judged.err());
        self
    }

    /// Appends what happened, as it is.
    #[must_use]
    pub fn having_event(mut self, event: impl Into<Event>) -> Self {
        self.world.record(event);
        self
    }

    /// The world as it is.
    #[must_use]
    pub fn world(self) -> World {
        self.world
    }

    /// Runs the command that the specification is about.
    #[must_use]
    pub fn when(mut self, decision: impl Decision) -> Judged {
        let before = self.world.log().len();
        let result = self.world.submit(&decision, self.now);
        Judged { before, result, world: self.world }
    }
}

/// What came of the command.
pub struct Judged {
    before: usize,
    result: Result<Verdict, Refusal>,
    world: World,
}

impl Judged {
    /// It succeeded with these events, those that were overdue among them.
    ///
    /// # Panics
    /// If it did not.
    pub fn then<E: Into<Event>>(self, events: impl IntoIterator<Item = E>) {
        assert!(self.result.is_ok(), "refused: {:?}", self.result.as_ref().err());
        let expected: Vec<Event> = events.into_iter().map(Into::into).collect();
        assert_eq!(self.events(), expected);
    }

    /// It succeeded without any event.
    ///
    /// # Panics
    /// If it did not.
    pub fn then_already(self) {
        self.then::<Event>([]);
    }

    /// It succeeded, with whatever events.
    ///
    /// # Panics
    /// If it did not.
    pub fn then_succeeds(self) {
        assert!(self.result.is_ok(), "refused: {:?}", self.result.as_ref().err());
    }

    /// It was refused with this code; the refusal is given for a closer look.
    ///
    /// # Panics
    /// If it was not.
    pub fn then_refused(self, code: &str) -> Refusal {
        match self.result {
            Err(refusal) => {
                assert_eq!(refusal.code, code, "{refusal:?}");
                refusal
            }
            Ok(verdict) => unreachable!("expected {code}, but it succeeded: {:?}", verdict.events),
        }
    }

    /// It was refused for exactly this.
    ///
    /// # Panics
    /// If it was not.
    pub fn then_refused_for(self, expected: impl Into<Refusal>) {
        let verdict = self.result.map(|verdict| verdict.events);
        assert_eq!(verdict, Err(expected.into()));
    }

    /// It succeeded; the verdict and the world after it are given for a closer look.
    ///
    /// # Panics
    /// If it did not.
    #[must_use]
    pub fn then_accepted(self) -> (Verdict, World) {
        match self.result {
            Ok(verdict) => (verdict, self.world),
            Err(refusal) => unreachable!("refused: {refusal:?}"),
        }
    }

    /// What was recorded, even before a refusal.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        self.world.log().get(self.before..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
