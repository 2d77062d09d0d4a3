//! What an organisation asks of its people: how they register, how good their passwords are, how long sessions last, how
//! many wrong guesses lock. Every change carries the policy whole.
//!
//! The bounds are ours: an organisation may ask for more safety than we do and for less only within them.

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::OrganisationEvent;
use super::error::OrganisationError;
use crate::aggregate::Aggregate;
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::TenantId;
use crate::stream::{Category, StreamId};
use crate::words::{DomainName, Language, Word};

const YEAR_S: u32 = 365 * 24 * 3_600;
/// The most providers, and the most domains, that a policy names.
pub const NAMES_MAX: u32 = 50;

/// How somebody comes to be a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// By themselves; who asks is told whether an address is taken.
    Explicit,
    /// By themselves; nobody is told whether an address is taken.
    Private,
    /// By invitation only.
    Closed,
}

/// Whether a second factor is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecondFactor {
    /// Nobody can enrol one. Who has one already is still asked for it.
    Off,
    /// Of those who have enrolled one.
    Optional,
    /// Of everybody.
    Required,
}

/// How good a password must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordPolicy {
    /// Characters at least, where it is the only factor: 8 to 64. Where there is a second one, 8.
    pub length_min: u16,
    /// The strength that zxcvbn must find, 0 to 4.
    pub score_min: u8,
    /// Whether it must have an upper and a lower case letter, a digit and a sign.
    pub composition: bool,
}

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionPolicy {
    /// Seconds for which an access token is good: 300 to 3,600.
    pub access_s: u32,
    /// Seconds without use after which a session ends: 300 to 31,536,000.
    pub idle_s: u32,
    /// Seconds after which it ends however much it is used: 300 to 31,536,000.
    pub absolute_s: u32,
    /// Seconds in which a refresh token that was just used is taken once more: 0 to 10.
    pub grace_s: u32,
    /// How many live sessions a person may have: 1 to 100. The oldest ends when one more begins.
    pub live_max: u16,
}

/// When wrong guesses lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockoutPolicy {
    /// How many: 3 to 10.
    pub failures: u16,
    /// Within how many seconds: 600 to 86,400.
    pub window_s: u32,
    /// For how many seconds: 60 to 86,400.
    pub lock_s: u32,
}

/// What an organisation asks of its people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// How somebody comes to be a user.
    pub registration: Registration,
    /// How good a password must be.
    pub password: PasswordPolicy,
    /// How long sessions last.
    pub sessions: SessionPolicy,
    /// Whether a second factor is asked for.
    pub second_factor: SecondFactor,
    /// The kinds of providers that people may sign in with, such as `github`; none is named for all that are set up. Sessions
    /// that stand already go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub providers: Option<Vec<Word>>,
    /// The domains that are the organisation's: its providers may vouch for addresses of no others, whatever they are trusted
    /// for themselves; none is named to leave it at that.
    pub domains: Vec<DomainName>,
    /// When wrong guesses lock.
    pub lockout: LockoutPolicy,
    /// The language of its mails and pages for people of whom none is known.
    pub language: Language,
    /// Whether somebody may sign in before their address is shown to be theirs.
    pub sign_in_unverified: bool,
}

impl Default for Policy {
    fn default() -> Self {
        const MONTH_S: u32 = 30 * 24 * 3_600;
        Self {
            // Whoever has an account is nobody's business but theirs.
            registration: Registration::Private,
            password: PasswordPolicy { length_min: 15, score_min: 3, composition: false },
            sessions: SessionPolicy {
                access_s: 3_600,
                idle_s: MONTH_S,
                absolute_s: MONTH_S,
                grace_s: 0,
                live_max: 100,
            },
            second_factor: SecondFactor::Optional,
            providers: None,
            domains: vec![],
            lockout: LockoutPolicy { failures: 5, window_s: 1_800, lock_s: 1_800 },
            language: Language::of("en"),
            sign_in_unverified: false,
        }
    }
}

impl Policy {
    /// The policy of an organisation as a decision sees it.
    pub(crate) fn of<'a>(view: &View<'a>) -> Option<&'a Self> {
        view.find::<Self>(view.tenant.uuid()).map(|seen| seen.state)
    }

    /// How long a session lasts at most.
    #[must_use]
    pub fn session_max(&self) -> TimeDelta {
        TimeDelta::seconds(self.sessions.absolute_s.into())
    }

    /// Whether people may sign in with providers of this kind.
    #[must_use]
    pub fn offers(&self, kind: &Word) -> bool {
        self.providers.as_deref().is_none_or(|kinds| kinds.is_empty() || kinds.contains(kind))
    }

    /// Whether providers may vouch for addresses of this domain, which is given in its ASCII form in lower case. A domain
    /// below one that is named is another domain.
    #[must_use]
    pub fn lets_vouch_for(&self, domain: &str) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|it| it.as_str() == domain)
    }

    /// What each figure is at least and at most, by its place; of a list, how many names it has.
    pub const BOUNDS: &[(&'static str, u32, u32)] = &[
        ("password.length_min", 8, 64),
        ("password.score_min", 0, 4),
        ("sessions.access_s", 300, 3_600),
        ("sessions.idle_s", 300, YEAR_S),
        ("sessions.absolute_s", 300, YEAR_S),
        ("sessions.grace_s", 0, 10),
        ("sessions.live_max", 1, 100),
        ("lockout.failures", 3, 10),
        ("lockout.window_s", 600, 86_400),
        ("lockout.lock_s", 60, 86_400),
        ("providers", 0, NAMES_MAX),
        ("domains", 0, NAMES_MAX),
    ];

    /// Whether every figure is within its bounds.
    ///
    /// # Errors
    /// [`OrganisationError::PolicyOutOfRange`] with the first that is not.
    pub fn check(&self) -> Result<(), OrganisationError> {
        let (sessions, lockout) = (&self.sessions, &self.lockout);
        // In the order of the bounds.
        let figures = [
            self.password.length_min.into(),
            self.password.score_min.into(),
            sessions.access_s,
            sessions.idle_s,
            sessions.absolute_s,
            sessions.grace_s,
            sessions.live_max.into(),
            lockout.failures.into(),
            lockout.window_s,
            lockout.lock_s,
            length(self.providers.as_deref().unwrap_or_default()),
            length(&self.domains),
        ];
        let mut judged = Self::BOUNDS.iter().zip(figures);
        match judged.find(|((_, min, max), value)| !(min..=max).contains(&value)) {
            Some((&(field, min, max), _)) => Err(OrganisationError::PolicyOutOfRange { field, min, max }),
            None => Ok(()),
        }
    }

    /// The names of what differs between two policies.
    fn differences(&self, before: &Self) -> Vec<Word> {
        [
            ("registration", self.registration != before.registration),
            ("password", self.password != before.password),
            ("sessions", self.sessions != before.sessions),
            ("second-factor", self.second_factor != before.second_factor),
            ("providers", self.providers != before.providers),
            ("domains", self.domains != before.domains),
            ("lockout", self.lockout != before.lockout),
            ("language", self.language != before.language),
            ("sign-in-unverified", self.sign_in_unverified != before.sign_in_unverified),
        ]
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| Word::of(name))
        .collect()
    }
}

fn length<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

/// An organisation asks for something else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyChanged {
    /// Which organisation.
    pub tenant_id: TenantId,
    /// What it asks for, whole.
    pub policy: Policy,
    /// The parts that differ from before.
    pub changed: Vec<Word>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The stream of an organisation's policy.
#[must_use]
pub const fn stream(tenant: TenantId) -> StreamId {
    StreamId::new(Policy::CATEGORY, tenant.uuid())
}

/// Sets the policy of the organisation in whose log it is, whole. Already so, if it is this.
///
/// Refused with [`OrganisationError::PolicyOutOfRange`].
#[derive(Debug, Clone)]
pub struct SetPolicy {
    /// What it asks for.
    pub policy: Policy,
}

impl Decision for SetPolicy {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        self.policy.check()?;
        let changed = self.policy.differences(&Policy::of(view).cloned().unwrap_or_default());
        if changed.is_empty() {
            return Ok(Verdict::already(stream(view.tenant)));
        }
        let event = OrganisationEvent::PolicyChanged(PolicyChanged {
            tenant_id: view.tenant,
            policy: self.policy.clone(),
            changed,
            at: view.now,
        });
        Ok(Verdict::done(stream(view.tenant), event))
    }
}

impl Aggregate for Policy {
    const CATEGORY: Category = Category { code: 4, name: "organisation.policy" };

    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let Event::Organisation(OrganisationEvent::PolicyChanged(it)) = newest else { return None };
        (it.tenant_id.uuid() == id).then(|| it.policy.clone())
    }
}

#[cfg(test)]
mod tests;
