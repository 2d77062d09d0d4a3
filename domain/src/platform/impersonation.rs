//! Staff of the platform who act for a user of an organisation, for a reason and for a time, in that organisation's own
//! log. A caller starts a session in the same unit, which names the impersonation; its gate keeps credentials closed.

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::PlatformEvent;
use crate::aggregate::Aggregate;
use crate::decision::{Decision, Verdict, View};
use crate::error::{CodeDoc, DomainError, ErrorKind, Refusal};
use crate::event::Event;
use crate::ids::{ActorId, ImpersonationId, TenantId, UserId};
use crate::metadata::Label;
use crate::private::Private;
use crate::stream::{Category, StreamId};
use crate::words::Word;

/// Minutes that it lasts at most.
pub const MINUTES_MAX: i64 = 60;

/// Staff began to act for a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImpersonationStarted {
    /// Which.
    pub impersonation_id: ImpersonationId,
    /// Who acts.
    pub staff: ActorId,
    /// For whom.
    pub user_id: UserId,
    /// Why, in words for the user.
    pub reason: Private,
    /// What it is about, as the platform's own books name it.
    pub ticket: Label,
    /// When it ends at the latest.
    pub until: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Staff do not act for that user any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImpersonationEnded {
    /// Which.
    pub impersonation_id: ImpersonationId,
    /// For whom they acted.
    pub user_id: UserId,
    /// Why, such as `done`, `over`, `stopped`.
    pub because: Word,
    /// Who ended it.
    pub by: ActorId,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of an impersonation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Impersonation {
    /// Never begun.
    #[default]
    Absent,
    /// Begun, and not ended before its time.
    Active {
        /// Who acts.
        staff: ActorId,
        /// For whom.
        user_id: UserId,
        /// When it ends at the latest.
        until: DateTime<Utc>,
    },
    /// Ended.
    Ended,
}

/// Checked in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImpersonationError {
    /// An operator's token is nobody whom the user could be told of, and whoever has it is not known to be staff.
    #[error("an operator's token acts for nobody")]
    ByOperator,
    /// It would be over at once, or last too long.
    #[error("an impersonation lasts {MINUTES_MAX} minutes at most")]
    Span,
    /// Nobody acts for the platform's own people.
    #[error("nobody acts for staff of the platform")]
    OfStaff,
    /// The identifier is in use.
    #[error("an impersonation with this id exists")]
    Exists,
    /// There is none.
    #[error("there is no such impersonation")]
    NotFound,
}

/// The reference of this aggregate's refusals.
pub const CODES: &[CodeDoc] = &[
    CodeDoc::new(
        ErrorKind::Forbidden,
        "platform.impersonation-by-operator",
        "an operator's token acts for nobody",
        "sign in as a member of the platform who may",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "platform.impersonation-span",
        "an impersonation would be over at once, or last too long",
        "ask for an end within 60 minutes",
    ),
    CodeDoc::new(
        ErrorKind::Forbidden,
        "platform.impersonation-of-staff",
        "nobody acts for staff of the platform",
        "ask them",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "platform.impersonation-exists",
        "the impersonation's identifier is in use",
        "take a fresh identifier for each",
    ),
    CodeDoc::new(
        ErrorKind::NotFound,
        "platform.impersonation-not-found",
        "there is no such impersonation",
        "check the identifier",
    ),
];

impl DomainError for ImpersonationError {
    fn code(&self) -> &'static str {
        match self {
            Self::ByOperator => "platform.impersonation-by-operator",
            Self::Span => "platform.impersonation-span",
            Self::OfStaff => "platform.impersonation-of-staff",
            Self::Exists => "platform.impersonation-exists",
            Self::NotFound => "platform.impersonation-not-found",
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::ByOperator | Self::OfStaff => ErrorKind::Forbidden,
            Self::Span => ErrorKind::Rejected,
            Self::Exists => ErrorKind::Conflict,
            Self::NotFound => ErrorKind::NotFound,
        }
    }
}

/// The stream of an impersonation.
#[must_use]
pub const fn stream(id: ImpersonationId) -> StreamId {
    StreamId::new(Impersonation::CATEGORY, id.uuid())
}

/// Begins to act for a user of the organisation in whose log it is.
///
/// Refused with [`ImpersonationError::Span`], [`ImpersonationError::OfStaff`] in tenant zero,
/// [`ImpersonationError::Exists`].
#[derive(Debug, Clone)]
pub struct StartImpersonation {
    /// Its identifier, given by the caller.
    pub impersonation_id: ImpersonationId,
    /// Who acts.
    pub staff: ActorId,
    /// For whom.
    pub user_id: UserId,
    /// Why, in words for the user, private to them.
    pub reason: Private,
    /// What it is about, as the platform's own books name it.
    pub ticket: Label,
    /// When it ends at the latest.
    pub until: DateTime<Utc>,
}

impl Decision for StartImpersonation {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.impersonation_id)]
    }

    fn subjects(&self) -> Vec<Uuid> {
        vec![self.user_id.uuid()]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let latest = view.now.checked_add_signed(TimeDelta::minutes(MINUTES_MAX)).unwrap_or(view.now);
        if self.until <= view.now || self.until > latest {
            return Err(ImpersonationError::Span.into());
        }
        if view.tenant == TenantId::PLATFORM {
            return Err(ImpersonationError::OfStaff.into());
        }
        let known = view.find::<Impersonation>(self.impersonation_id.uuid());
        if known.is_some_and(|seen| *seen.state != Impersonation::Absent) {
            return Err(ImpersonationError::Exists.into());
        }
        let event = PlatformEvent::ImpersonationStarted(ImpersonationStarted {
            impersonation_id: self.impersonation_id,
            staff: self.staff,
            user_id: self.user_id,
            reason: self.reason.clone(),
            ticket: self.ticket.clone(),
            until: self.until,
            at: view.now,
        });
        Ok(Verdict::created(stream(self.impersonation_id), event).valid_until(Some(self.until)))
    }
}

/// Ends an impersonation. Already so, if it has ended. A caller ends its session in the same unit.
///
/// Refused with [`ImpersonationError::NotFound`].
#[derive(Debug, Clone)]
pub struct EndImpersonation {
    /// Which.
    pub impersonation_id: ImpersonationId,
    /// Why, such as `done`, `over`, `stopped`.
    pub because: Word,
    /// Who ends it.
    pub by: ActorId,
}

impl Decision for EndImpersonation {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.impersonation_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let known = view.find::<Impersonation>(self.impersonation_id.uuid()).map(|seen| seen.state);
        let user_id = match known {
            Some(Impersonation::Active { user_id, .. }) => *user_id,
            Some(Impersonation::Ended) => return Ok(Verdict::already(stream(self.impersonation_id))),
            Some(Impersonation::Absent) | None => return Err(ImpersonationError::NotFound.into()),
        };
        let event = PlatformEvent::ImpersonationEnded(ImpersonationEnded {
            impersonation_id: self.impersonation_id,
            user_id,
            because: self.because.clone(),
            by: self.by,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.impersonation_id), event))
    }
}

impl Aggregate for Impersonation {
    const CATEGORY: Category = Category { code: 82, name: "platform.impersonation" };

    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let Event::Platform(newest) = newest else { return None };
        match newest {
            PlatformEvent::ImpersonationStarted(it) if it.impersonation_id.uuid() == id => {
                Some(Self::Active { staff: it.staff, user_id: it.user_id, until: it.until })
            }
            PlatformEvent::ImpersonationEnded(it) if it.impersonation_id.uuid() == id => Some(Self::Ended),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
