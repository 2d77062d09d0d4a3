//! Every event and every aggregate, one line each.

use std::any::Any;
use std::sync::Arc;

use domain::audit::{AttemptRefused, AuditEvent, DataRead, Day, Export, RefusalsCounted, TrailExported};
use domain::identity::{AccessToken, AccessTokenMinted, IdentityEvent};
use domain::ledger::{
    Account, AccountClosed, AccountFrozen, AccountOpened, AccountUnfrozen, Book, HoldExpired, HoldPosted,
    HoldVoided, LedgerEvent, PeriodClosed, Transfer, TransferHeld, TransferPosted, TransferReversed,
};
use domain::organisation::{OrganisationEvent, Tenant, TenantCreated};
use domain::{Aggregate, Category, Event};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// A type of event that the log can hold.
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

/// Every event type, in the order in which they came to be.
pub const EVENTS: &[EventType] = &[
    event::<Tenant, OrganisationEvent, TenantCreated>(
        "organisation.tenant-created",
        "An organisation came to be.",
    ),
    event::<AccessToken, IdentityEvent, AccessTokenMinted>(
        "identity.access-token-minted",
        "An access token was issued by an operator.",
    ),
    event::<Account, LedgerEvent, AccountOpened>(
        "ledger.account-opened",
        "An account was opened with its currency and limits.",
    ),
    event::<Account, LedgerEvent, AccountFrozen>(
        "ledger.account-frozen",
        "An account stopped taking debits, credits or both.",
    ),
    event::<Account, LedgerEvent, AccountUnfrozen>(
        "ledger.account-unfrozen",
        "An account takes postings again.",
    ),
    event::<Account, LedgerEvent, AccountClosed>(
        "ledger.account-closed",
        "An empty account was closed for ever.",
    ),
    event::<Transfer, LedgerEvent, TransferPosted>("ledger.transfer-posted", "Money moved between accounts."),
    event::<Transfer, LedgerEvent, TransferHeld>(
        "ledger.transfer-held",
        "Money was set aside for a later posting.",
    ),
    event::<Transfer, LedgerEvent, HoldPosted>(
        "ledger.hold-posted",
        "A hold was captured, in whole or in part.",
    ),
    event::<Transfer, LedgerEvent, HoldVoided>("ledger.hold-voided", "A hold was given up."),
    event::<Transfer, LedgerEvent, HoldExpired>(
        "ledger.hold-expired",
        "A hold reached its time and was given up.",
    ),
    event::<Transfer, LedgerEvent, TransferReversed>(
        "ledger.transfer-reversed",
        "A posted transfer was undone, in whole or in part, by a new one.",
    ),
    event::<Book, LedgerEvent, PeriodClosed>(
        "ledger.period-closed",
        "The book takes no postings effective up to a moment.",
    ),
    event::<Day, AuditEvent, AttemptRefused>(
        "audit.command-refused",
        "A command was refused, for its form, by a permission or by a rule.",
    ),
    event::<Day, AuditEvent, AttemptRefused>("audit.read-refused", "A sensitive read was refused."),
    event::<Day, AuditEvent, DataRead>(
        "audit.data-read",
        "Sensitive data was asked for by somebody who may read it.",
    ),
    event::<Day, AuditEvent, RefusalsCounted>(
        "audit.refusals-counted",
        "More refusals came within a minute than are told one by one.",
    ),
    event::<Day, AuditEvent, TrailExported>(
        "audit.trail-exported",
        "A part of the audit trail was carried out.",
    ),
];

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

/// Every aggregate.
pub const AGGREGATES: &[AggregateType] = &[
    aggregate::<Tenant>(),
    aggregate::<AccessToken>(),
    aggregate::<Account>(),
    aggregate::<Transfer>(),
    aggregate::<Book>(),
    aggregate::<Day>(),
    aggregate::<Export>(),
];

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
