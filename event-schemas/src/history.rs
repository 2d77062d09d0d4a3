//! Standing at any version of any stream: a state that is replayed event by event, or taken from one event that carries
//! it whole. Pure; whoever reads the log feeds it.

use domain::{Aggregate, Event, StreamId};
use serde_json::Value;

use crate::catalog::{self, AggregateType, AnyState};

/// A stream's state after one of its versions.
#[derive(Clone)]
pub struct Replay {
    aggregate: &'static AggregateType,
    stream: StreamId,
    version: i64,
    state: AnyState,
}

impl Replay {
    /// Before the first event. `None` if no aggregate of this build has the category.
    #[must_use]
    pub fn begin(stream: StreamId) -> Option<Self> {
        let aggregate = catalog::aggregate_of(stream.category.code)?;
        Some(Self { aggregate, stream, version: 0, state: (aggregate.initial)() })
    }

    /// The same stream after `version`, from that version's event alone. `None` if the event does not carry the state
    /// whole; the stream is then to be replayed from its beginning.
    #[must_use]
    pub fn restored(&self, version: i64, event: &Event) -> Option<Self> {
        if !self.restorable() {
            return None;
        }
        let state = (self.aggregate.restore)(self.stream.id, event)?;
        Some(Self { version, state, ..self.clone() })
    }

    /// Whether its events carry the state whole, so that no event before the one in question has to be read.
    #[must_use]
    pub fn restorable(&self) -> bool {
        self.aggregate.restorable
    }

    /// Applies the event that makes the next version.
    pub fn apply(&mut self, event: &Event) {
        (self.aggregate.evolve)(&mut self.state, self.stream.id, event);
        self.version += 1;
    }

    /// How many events of the stream are in the state.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The state as what it is; `None` if the stream is not one of this aggregate.
    #[must_use]
    pub fn state<A: Aggregate>(&self) -> Option<&A> {
        self.state.downcast_ref()
    }

    /// The state as a person reads it.
    ///
    /// # Errors
    /// If the state cannot be written as JSON, which is a defect of the build.
    pub fn view(&self) -> Result<Value, serde_json::Error> {
        (self.aggregate.view)(&self.state)
    }
}

#[cfg(test)]
mod tests;
