//! Every event and every aggregate, one line each: a file a context, joined here.

mod application;
mod audit;
mod federation;
mod identity;
mod ledger;
mod organisation;
mod platform;

use std::any::Any;
use std::sync::Arc;

use domain::{Aggregate, Category, Event};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// A type of event that the log can hold.
#[derive(Clone, Copy)]
pub struct EventType {
    /// `context.noun-verbed`, never changed or reused.
    pub name: &'static str,
    /// The category of its own stream.
    pub category: Category,
    /// What it records, for the catalogue of events.
    pub meaning: &'static str,
    /// Reads the tagged form.
    pub decode: fn(&str) -> Result<Event, serde_json::Error>,
    /// The schema of the payload.
    pub schema: fn() -> Schema,
}

const EVENT_PARTS: &[&[EventType]] = &[
    organisation::EVENTS,
    identity::EVENTS,
    federation::EVENTS,
    application::EVENTS,
    platform::EVENTS,
    ledger::EVENTS,
    audit::EVENTS,
];

const AGGREGATE_PARTS: &[&[AggregateType]] = &[
    organisation::AGGREGATES,
    identity::AGGREGATES,
    federation::AGGREGATES,
    application::AGGREGATES,
    platform::AGGREGATES,
    ledger::AGGREGATES,
    audit::AGGREGATES,
];

/// Every event type, context by context.
pub const EVENTS: &[EventType] = &joined::<_, { count(EVENT_PARTS) }>(EVENT_PARTS);

/// Every aggregate.
pub const AGGREGATES: &[AggregateType] = &joined::<_, { count(AGGREGATE_PARTS) }>(AGGREGATE_PARTS);

const fn count<T>(mut parts: &[&[T]]) -> usize {
    let mut count = 0;
    while let Some((part, more)) = parts.split_first() {
        count += part.len();
        parts = more;
    }
    count
}

#[expect(clippy::indexing_slicing, reason = "only constants are made of it: out of bounds does not compile")]
const fn joined<T: Copy, const COUNT: usize>(mut parts: &[&[T]]) -> [T; COUNT] {
    let mut all = [parts[0][0]; COUNT];
    let mut next = 0;
    while let Some((part, more)) = parts.split_first() {
        let mut part = *part;
        while let Some((first, rest)) = part.split_first() {
            all[next] = *first;
            next += 1;
            part = rest;
        }
        parts = more;
    }
    all
}

const fn event<A, E, P>(name: &'static str, meaning: &'static str) -> EventType
where
    A: Aggregate,
    E: DeserializeOwned + Into<Event>,
    P: JsonSchema,
{
    EventType {
        name,
        category: A::CATEGORY,
        meaning,
        decode: |tagged| serde_json::from_str::<E>(tagged).map(Into::into),
        schema: || SchemaGenerator::default().into_root_schema_for::<P>(),
    }
}

/// Finds an event type by its name.
#[must_use]
pub fn event_type(name: &str) -> Option<&'static EventType> {
    EVENTS.iter().find(|it| it.name == name)
}

/// A state with its type erased; which type it has follows from the stream's category.
pub type AnyState = Arc<dyn Any + Send + Sync>;

/// An aggregate, as the store works with it: by functions, not by name.
#[derive(Clone, Copy)]
pub struct AggregateType {
    /// The category of its streams.
    pub category: Category,
    /// Whether its newest event alone gives the whole state.
    pub restorable: bool,
    /// The state of a stream without events.
    pub initial: fn() -> AnyState,
    /// Applies one fact; shared states are copied first.
    pub evolve: fn(&mut AnyState, Uuid, &Event),
    /// See [`Aggregate::restore`].
    pub restore: fn(Uuid, &Event) -> Option<AnyState>,
    /// See [`Aggregate::incomplete`].
    pub incomplete: fn(&AnyState, Uuid) -> Option<String>,
    /// See [`Aggregate::complete`].
    pub complete: fn(&mut AnyState, &[String]),
    /// The state as a person reads it: one JSON object, the same however the state was come by. What is only a memory
    /// of the store, not of history, is left out.
    pub view: fn(&AnyState) -> Result<serde_json::Value, serde_json::Error>,
}

const fn aggregate<A: Aggregate + Serialize>() -> AggregateType {
    AggregateType {
        category: A::CATEGORY,
        restorable: A::RESTORABLE,
        initial: || Arc::new(A::default()),
        evolve: |state, id, event| with::<A>(state, |it| it.evolve(id, event)),
        restore: |id, event| A::restore(id, event).map(|it| Arc::new(it) as AnyState),
        incomplete: |state, id| state.downcast_ref::<A>().and_then(|it| it.incomplete(id)),
        complete: |state, claimed| with::<A>(state, |it| it.complete(claimed)),
        view: |state| match state.downcast_ref::<A>() {
            Some(state) => serde_json::to_value(state),
            None => serde_json::to_value(A::default()),
        },
    }
}

fn with<A: Aggregate>(state: &mut AnyState, change: impl FnOnce(&mut A)) {
    if let Some(owned) = Arc::get_mut(state).and_then(|it| it.downcast_mut::<A>()) {
        change(owned);
    } else {
        let mut copy = state.downcast_ref::<A>().cloned().unwrap_or_default();
        change(&mut copy);
        *state = Arc::new(copy);
    }
}

/// Finds the aggregate of a category by its stored code.
#[must_use]
pub fn aggregate_of(code: i16) -> Option<&'static AggregateType> {
    AGGREGATES.iter().find(|it| it.category.code == code)
}

/// Finds a category by its stored code.
#[must_use]
pub fn category(code: i16) -> Option<Category> {
    aggregate_of(code).map(|it| it.category)
}

/// Finds a category by its name.
#[must_use]
pub fn category_named(name: &str) -> Option<Category> {
    AGGREGATES.iter().map(|it| it.category).find(|it| it.name == name)
}
