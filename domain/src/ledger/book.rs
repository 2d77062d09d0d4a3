//! A tenant's book: up to when nothing can become effective any more. One stream a tenant; every posting reads it.

use std::cmp::Ordering;

use chrono::{DateTime, SubsecRound, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{LedgerError, LedgerEvent};
use crate::aggregate::Aggregate;
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::TenantId;
use crate::stream::{Category, StreamId};

/// What a caller says to close a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClosePeriodRequest {
    /// The last moment of the period.
    pub through: DateTime<Utc>,
}

/// Closes the tenant's book up to and including a past moment. Repeating it changes nothing; there is no way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosePeriod {
    /// The last moment of the period; before now, so that now itself is always open.
    pub through: DateTime<Utc>,
}

/// Nothing can become effective any more up to and including a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeriodClosed {
    /// Whose book.
    pub tenant_id: TenantId,
    /// The last moment of the period.
    pub through: DateTime<Utc>,
}

/// A tenant's book.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Book {
    /// Up to and including when nothing can become effective.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_through: Option<DateTime<Utc>>,
}

/// The stream of a tenant's book.
#[must_use]
pub const fn stream(tenant: TenantId) -> StreamId {
    StreamId::new(Book::CATEGORY, tenant.uuid())
}

/// The first moment that anything can be effective at: long before any record that is worth keeping, and within what
/// every database and calendar can express.
pub const EARLIEST: DateTime<Utc> = match DateTime::from_timestamp(-2_208_988_800, 0) {
    Some(moment) => moment,
    None => DateTime::UNIX_EPOCH,
};

fn refuse_early(moment: DateTime<Utc>) -> Result<(), LedgerError> {
    if moment < EARLIEST { Err(LedgerError::TooEarly { moment, earliest: EARLIEST }) } else { Ok(()) }
}

/// The book of the view's tenant; open while it has no events.
fn seen(view: &View<'_>) -> Option<DateTime<Utc>> {
    view.find::<Book>(view.tenant.uuid()).and_then(|seen| seen.state.closed_through)
}

/// When something takes effect that asks for `effective_at`: now, if it does not say.
pub(super) fn effective(
    view: &View<'_>,
    effective_at: Option<DateTime<Utc>>,
) -> Result<DateTime<Utc>, LedgerError> {
    let effective_at = effective_at.unwrap_or(view.now).trunc_subsecs(6);
    refuse_early(effective_at)?;
    if effective_at > view.now {
        return Err(LedgerError::EffectiveInFuture { effective_at });
    }
    match seen(view) {
        Some(closed_through) if effective_at <= closed_through => {
            Err(LedgerError::PeriodClosed { effective_at, closed_through })
        }
        _ => Ok(effective_at),
    }
}

/// As [`effective`], but what would fall into a closed period takes effect now.
pub(super) fn effective_or_now(
    view: &View<'_>,
    effective_at: DateTime<Utc>,
) -> Result<DateTime<Utc>, LedgerError> {
    match effective(view, Some(effective_at)) {
        Err(LedgerError::PeriodClosed { .. }) => Ok(view.now.trunc_subsecs(6)),
        other => other,
    }
}

impl Decision for ClosePeriod {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let through = self.through.trunc_subsecs(6);
        refuse_early(through)?;
        if through >= view.now.trunc_subsecs(6) {
            return Err(LedgerError::PeriodNotOver { through }.into());
        }
        if let Some(closed_through) = seen(view) {
            match closed_through.cmp(&through) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Verdict::already(stream(view.tenant))),
                Ordering::Greater => return Err(LedgerError::PeriodClosedLater { closed_through }.into()),
            }
        }
        let event = LedgerEvent::PeriodClosed(PeriodClosed { tenant_id: view.tenant, through });
        Ok(Verdict::done(stream(view.tenant), event))
    }
}

impl Aggregate for Book {
    const CATEGORY: Category = Category { code: 12, name: "ledger.book" };
    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Event::Ledger(LedgerEvent::PeriodClosed(event)) = event
            && event.tenant_id.uuid() == id
        {
            self.closed_through = Some(event.through);
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let mut book = Self::default();
        book.evolve(id, newest);
        Some(book)
    }
}

#[cfg(test)]
mod tests;
