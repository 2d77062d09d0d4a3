//! The union of every context's events: what the log can hold.

use serde::Serialize;

use crate::application::ApplicationEvent;
use crate::audit::AuditEvent;
use crate::federation::FederationEvent;
use crate::identity::IdentityEvent;
use crate::ledger::LedgerEvent;
use crate::organisation::OrganisationEvent;
use crate::platform::PlatformEvent;
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
    /// Signing in with others.
    Federation(FederationEvent),
    /// What is the platform's own.
    Platform(PlatformEvent),
    /// Programs and what they may.
    Application(ApplicationEvent),
    /// Accounts, transfers, periods.
    Ledger(LedgerEvent),
    /// Refusals, sensitive reads, exports.
    Audit(AuditEvent),
}

impl Event {
    /// The stored name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Organisation(event) => event.name(),
            Self::Identity(event) => event.name(),
            Self::Federation(event) => event.name(),
            Self::Application(event) => event.name(),
            Self::Platform(event) => event.name(),
            Self::Ledger(event) => event.name(),
            Self::Audit(event) => event.name(),
        }
    }

    /// The streams that the event belongs to: its own first, then every other that it changes.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        match self {
            Self::Organisation(event) => event.streams(),
            Self::Identity(event) => event.streams(),
            Self::Federation(event) => event.streams(),
            Self::Application(event) => event.streams(),
            Self::Platform(event) => event.streams(),
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
            Self::Federation(event) => event.privates(),
            Self::Application(event) => event.privates(),
            Self::Platform(event) => event.privates(),
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

impl From<FederationEvent> for Event {
    fn from(event: FederationEvent) -> Self {
        Self::Federation(event)
    }
}

impl From<PlatformEvent> for Event {
    fn from(event: PlatformEvent) -> Self {
        Self::Platform(event)
    }
}

impl From<ApplicationEvent> for Event {
    fn from(event: ApplicationEvent) -> Self {
        Self::Application(event)
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
