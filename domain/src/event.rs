//! The union of every context's events: what the log can hold.

use serde::Serialize;

use crate::audit::AuditEvent;
use crate::identity::IdentityEvent;
use crate::ledger::LedgerEvent;
use crate::organisation::OrganisationEvent;
use crate::private::Private;
use crate::stream::StreamId;

/// Something that happened. One variant a context; each context's enum names its own events.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// Tenants.
    Organisation(OrganisationEvent),
    /// Access.
    Identity(IdentityEvent),
    /// Accounts, transfers, periods.
    Ledger(LedgerEvent),
    /// Refusals, sensitive reads, exports.
    Audit(AuditEvent),
}

impl Event {
    /// The streams that the event belongs to: its own first, then every other that it changes.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        match self {
            Self::Organisation(event) => event.streams(),
            Self::Identity(event) => event.streams(),
            Self::Ledger(event) => event.streams(),
            Self::Audit(event) => event.streams(),
        }
    }

    /// What is private in it, with the path in the event: what the store seals before it writes the event. The ledger and
    /// the audit trail say nothing in private.
    pub fn privates(&mut self) -> Vec<(&'static str, &mut Private)> {
        match self {
            Self::Organisation(event) => event.privates(),
            Self::Identity(event) => event.privates(),
            Self::Ledger(_) | Self::Audit(_) => Vec::new(),
        }
    }
}

impl From<OrganisationEvent> for Event {
    fn from(event: OrganisationEvent) -> Self {
        Self::Organisation(event)
    }
}

impl From<IdentityEvent> for Event {
    fn from(event: IdentityEvent) -> Self {
        Self::Identity(event)
    }
}

impl From<LedgerEvent> for Event {
    fn from(event: LedgerEvent) -> Self {
        Self::Ledger(event)
    }
}

impl From<AuditEvent> for Event {
    fn from(event: AuditEvent) -> Self {
        Self::Audit(event)
    }
}
