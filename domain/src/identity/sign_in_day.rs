//! The sign-ins of a day that came to nothing: failures, counted, and the locks that they led to.
//!
//! They are not on the stream of a user: whoever guesses must not make that stream long or slow its owner's commands, and
//! a guess for somebody who is not there must look like any other. What was typed is private to the month, so that all
//! of a month's can be forgotten at once.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::IdentityEvent;
use crate::aggregate::Aggregate;
use crate::day;
use crate::decision::{Decision, Outcome, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::{ActorId, TenantId, UserId};
use crate::private::Private;
use crate::stream::{Category, StreamId};
use crate::words::Word;

/// Sign-ins of one kind failed within a minute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SignInFailed {
    /// How it was tried, such as `password`, `totp`.
    pub method: Word,
    /// Why it failed, such as `credentials`, `locked`, `inactive`.
    pub because: Word,
    /// Whom it was tried for, if there is such a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// What was typed, as a keyed hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Private>,
    /// How many of this kind.
    pub count: u64,
    /// When the first of them was.
    pub first_at: DateTime<Utc>,
    /// When the last of them was.
    pub last_at: DateTime<Utc>,
}

/// Too many sign-ins failed: none is looked at for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SignInLocked {
    /// How it was tried last.
    pub method: Word,
    /// Whom it was tried for, if there is such a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// What was typed, as a keyed hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Private>,
    /// How many failed.
    pub failures: u32,
    /// Until when none is looked at.
    pub until: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// An administrator lifted a lock before its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SignInUnlocked {
    /// Whose.
    pub user_id: UserId,
    /// Who lifted it.
    pub by: ActorId,
    /// When.
    pub at: DateTime<Utc>,
}

/// Something that the day tells.
#[derive(Debug, Clone, PartialEq)]
pub enum SignInFact {
    /// Sign-ins failed.
    Failed(SignInFailed),
    /// They led to a lock.
    Locked(SignInLocked),
    /// A lock was lifted.
    Unlocked(SignInUnlocked),
}

/// What is known of a day: how far its events go, which say everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum SignInDay {
    /// Nothing was recorded on it.
    #[default]
    Empty,
    /// Something was.
    Begun {
        /// When the newest of it was.
        newest_at: DateTime<Utc>,
    },
}

/// The stream of a day.
#[must_use]
pub fn stream(date: NaiveDate) -> StreamId {
    StreamId::new(SignInDay::CATEGORY, day::id(date))
}

/// To whom everything is private that was typed in a month: nobody, but the key can be deleted.
#[must_use]
pub fn month_subject(tenant: TenantId, date: NaiveDate) -> Uuid {
    Uuid::new_v5(&tenant.uuid(), format!("sign-ins {}-{:02}", date.year(), date.month()).as_bytes())
}

impl SignInFact {
    fn date(&self) -> NaiveDate {
        match self {
            Self::Failed(it) => it.last_at,
            Self::Locked(it) => it.at,
            Self::Unlocked(it) => it.at,
        }
        .date_naive()
    }

    fn event(&self) -> IdentityEvent {
        match self.clone() {
            Self::Failed(it) => IdentityEvent::SignInFailed(it),
            Self::Locked(it) => IdentityEvent::SignInLocked(it),
            Self::Unlocked(it) => IdentityEvent::SignInUnlocked(it),
        }
    }

    fn identifier(&self) -> Option<&Private> {
        match self {
            Self::Failed(it) => it.identifier.as_ref(),
            Self::Locked(it) => it.identifier.as_ref(),
            Self::Unlocked(_) => None,
        }
    }
}

/// Records what was seen at an edge. It is a fact already, so there is nothing to refuse.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordSignIn(pub SignInFact);

impl Decision for RecordSignIn {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.0.date())]
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.0.identifier().map(Private::subject).into_iter().collect()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let date = self.0.date();
        let begun = view.find::<SignInDay>(day::id(date)).is_some_and(|seen| seen.version > 0);
        let outcome = if begun { Outcome::Done } else { Outcome::Created };
        Ok(Verdict { outcome, ..Verdict::created(stream(date), self.0.event()) })
    }
}

impl Aggregate for SignInDay {
    const CATEGORY: Category = Category { code: 22, name: "identity.sign-in-day" };

    // A bad day has many events; the newest one says how far it goes.
    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let Event::Identity(newest) = newest else { return None };
        let newest_at = match newest {
            IdentityEvent::SignInFailed(it) => it.last_at,
            IdentityEvent::SignInLocked(it) => it.at,
            IdentityEvent::SignInUnlocked(it) => it.at,
            _ => return None,
        };
        (day::id(newest_at.date_naive()) == id).then_some(Self::Begun { newest_at })
    }
}

#[cfg(test)]
mod tests;
