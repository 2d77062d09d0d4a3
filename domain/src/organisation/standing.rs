//! Whether an organisation may work, in its own log, where its commands can see it. Why it may or may not is in the
//! dossier that the platform keeps of it (`tenant.rs`); both change in one unit.
//!
//! An organisation of which this says nothing is active: those that were made before there was a standing.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::OrganisationEvent;
use super::error::OrganisationError;
use crate::aggregate::Aggregate;
use crate::allowance::Allowance;
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::TenantId;
use crate::stream::{Category, StreamId};
use crate::words::Word;

/// Whether an organisation may work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// Not yet: nobody has approved it.
    Pending,
    /// It may.
    #[default]
    Active,
    /// Not for the time being.
    Suspended,
    /// It will not, since it was not approved.
    Rejected,
    /// Never again.
    Closed,
    /// In a way that this build does not know: so it may not.
    Unknown,
}

impl TenantStatus {
    /// The word that stands in events.
    #[must_use]
    pub const fn word(self) -> Word {
        match self {
            Self::Pending => Word::of("pending"),
            Self::Active => Word::of("active"),
            Self::Suspended => Word::of("suspended"),
            Self::Rejected => Word::of("rejected"),
            Self::Closed => Word::of("closed"),
            Self::Unknown => Word::of("unknown"),
        }
    }

    fn of(word: &Word) -> Self {
        match word.as_str() {
            "pending" => Self::Pending,
            "active" => Self::Active,
            "suspended" => Self::Suspended,
            "rejected" => Self::Rejected,
            "closed" => Self::Closed,
            _ => Self::Unknown,
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Rejected | Self::Closed)
    }
}

/// An organisation may work, or may not, or has another number of seats, or may have something else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StandingChanged {
    /// Which organisation.
    pub tenant_id: TenantId,
    /// How it stands: `pending`, `active`, `suspended`, `rejected`, `closed`.
    pub status: Word,
    /// Why, such as `requested`, `approved`, `unpaid`.
    pub because: Word,
    /// How many members and open invitations it may have, if the platform has set a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seats: Option<u32>,
    /// What it may have, if the platform has set what it has booked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
    /// Sessions that began before this moment are over, if it has been suspended: when it was last activated again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions_from: Option<DateTime<Utc>>,
    /// When.
    pub at: DateTime<Utc>,
}

/// How an organisation stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Whether it may work.
    pub status: TenantStatus,
    /// How many members and open invitations it may have, if the platform has set a number.
    pub seats: Option<u32>,
    /// What it may have, if the platform has set what it has booked.
    pub allowance: Option<Allowance>,
    /// Sessions that began before this moment are over.
    pub sessions_from: Option<DateTime<Utc>>,
}

/// The stream of an organisation's standing, in its own log.
#[must_use]
pub const fn stream(tenant: TenantId) -> StreamId {
    StreamId::new(Standing::CATEGORY, tenant.uuid())
}

impl Standing {
    /// The standing that a decision sees.
    pub(crate) fn of<'a>(view: &View<'a>) -> &'a Self {
        const UNTOLD: &Standing =
            &Standing { status: TenantStatus::Active, seats: None, allowance: None, sessions_from: None };
        view.find::<Self>(view.tenant.uuid()).map_or(UNTOLD, |seen| seen.state)
    }
}

/// Refuses unless the organisation is active.
///
/// # Errors
/// [`OrganisationError::NotActive`].
pub(crate) fn active(view: &View<'_>) -> Result<(), OrganisationError> {
    match Standing::of(view).status {
        TenantStatus::Active => Ok(()),
        status => Err(OrganisationError::NotActive { status: status.word() }),
    }
}

/// Changes nothing, and demands that the organisation in whose log it is may work at that moment: part of a unit of which
/// nothing else asks that.
///
/// Refused with [`OrganisationError::NotActive`].
#[derive(Debug, Clone, Copy, Default)]
pub struct WhileActive {
    /// Whether one that waits for its approval will do.
    pub or_pending: bool,
}

impl Decision for WhileActive {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let waits = Standing::of(view).status == TenantStatus::Pending;
        if !(waits && self.or_pending) {
            active(view)?;
        }
        Ok(Verdict::already(stream(view.tenant)))
    }
}

/// Says how the organisation in whose log it is stands from now on. Already so, if it stands that way. When one that was
/// suspended is active again, no session of before is: whoever was out stays out until they sign in.
///
/// Refused with [`OrganisationError::WrongState`] if nothing comes after how it stands.
#[derive(Debug, Clone)]
pub struct ChangeStanding {
    /// How.
    pub to: TenantStatus,
    /// Why.
    pub because: Word,
}

impl Decision for ChangeStanding {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let primary = stream(view.tenant);
        let known = view.find::<Standing>(view.tenant.uuid());
        let before = Standing::of(view);
        let told = known.is_some_and(|seen| seen.version > 0);
        if told && before.status == self.to {
            return Ok(Verdict::already(primary));
        }
        if before.status.is_final() {
            return Err(OrganisationError::WrongState { status: before.status.word() }.into());
        }
        let comes_back = before.status == TenantStatus::Suspended && self.to == TenantStatus::Active;
        let sessions_from = if comes_back { Some(view.now) } else { before.sessions_from };
        let after = Standing { status: self.to, sessions_from, ..before.clone() };
        Ok(Verdict::done(primary, changed(view, after, &self.because)))
    }
}

/// Says how many members and open invitations the organisation in whose log it is may have. Those that are there stay.
/// Already so, if it may.
///
/// Refused with [`OrganisationError::WrongState`] if nothing comes after how it stands.
#[derive(Debug, Clone)]
pub struct SetSeats {
    /// How many; nothing for as many as every organisation may have.
    pub seats: Option<u32>,
}

impl Decision for SetSeats {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let before = Standing::of(view);
        if before.seats == self.seats {
            return Ok(Verdict::already(stream(view.tenant)));
        }
        if before.status.is_final() {
            return Err(OrganisationError::WrongState { status: before.status.word() }.into());
        }
        let after = Standing { seats: self.seats, ..before.clone() };
        let event = changed(view, after, &Word::of("seats"));
        Ok(Verdict::done(stream(view.tenant), event))
    }
}

/// Says what the organisation in whose log it is may have. What is there stays, also if it is more. Already so, if it may.
///
/// Refused with [`OrganisationError::WrongState`] if nothing comes after how it stands.
#[derive(Debug, Clone)]
pub struct SetAllowance {
    /// What.
    pub allowance: Allowance,
}

impl Decision for SetAllowance {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let before = Standing::of(view);
        if before.allowance.as_ref() == Some(&self.allowance) {
            return Ok(Verdict::already(stream(view.tenant)));
        }
        if before.status.is_final() {
            return Err(OrganisationError::WrongState { status: before.status.word() }.into());
        }
        let after = Standing { allowance: Some(self.allowance.clone()), ..before.clone() };
        let event = changed(view, after, &Word::of("tier"));
        Ok(Verdict::done(stream(view.tenant), event))
    }
}

fn changed(view: &View<'_>, after: Standing, because: &Word) -> OrganisationEvent {
    OrganisationEvent::StandingChanged(StandingChanged {
        tenant_id: view.tenant,
        status: after.status.word(),
        because: because.clone(),
        seats: after.seats,
        allowance: after.allowance,
        sessions_from: after.sessions_from,
        at: view.now,
    })
}

impl Aggregate for Standing {
    const CATEGORY: Category = Category { code: 3, name: "organisation.standing" };

    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let Event::Organisation(OrganisationEvent::StandingChanged(it)) = newest else { return None };
        (it.tenant_id.uuid() == id).then(|| Self {
            status: TenantStatus::of(&it.status),
            seats: it.seats,
            allowance: it.allowance.clone(),
            sessions_from: it.sessions_from,
        })
    }
}

#[cfg(test)]
mod tests;
