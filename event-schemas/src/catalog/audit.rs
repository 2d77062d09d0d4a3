//! What was refused, read and carried out.

use domain::audit::{AttemptRefused, AuditEvent, DataRead, Day, Export, RefusalsCounted, TrailExported};

use super::{AggregateType, EventType, aggregate, event};

pub(super) const EVENTS: &[EventType] = &[
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

pub(super) const AGGREGATES: &[AggregateType] = &[aggregate::<Day>(), aggregate::<Export>()];
