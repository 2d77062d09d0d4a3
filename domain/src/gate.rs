//! The gate in front of every command: who asks must still stand, and may do this, at the moment of the commit.
//!
//! A request is looked at when it comes, with what its process knows by then. That can be a second old. So the same is
//! judged once more with the command, on states that the append guards: nothing that a session, a role or an
//! organisation no longer allows is ever recorded.
//!
//! [`Bearer::look`] is the one function that says who stands and holds what. Processes ask it on states that they have
//! read for themselves, commands on those of their decision.

mod acting;
mod bearer;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

pub use acting::StillActing;
pub use bearer::{Admission, Bearer};

use self::bearer::Standee;
use crate::application::service;
use crate::decision::{Decision, Verdict, View};
use crate::error::{CodeDoc, DomainError, ErrorKind, Refusal};
use crate::identity::{Factors, IdentityError, LiveSession, assurance, factors};
use crate::ids::ServiceId;
use crate::organisation::{
    Granted, Granter, OrganisationError, Policy, RoleTable, SecondFactor, Standing, TenantStatus,
};
use crate::stream::StreamId;

/// Whether the organisation asks everybody for a second factor, and the session has shown none. Who has none yet can do
/// what is of their own account, enrol one, and show it.
fn lacks_factor(view: &View<'_>, session: &LiveSession) -> bool {
    let required = Policy::of(view).is_some_and(|it| it.second_factor == SecondFactor::Required);
    required && session.impersonation_id.is_none() && !assurance::is_multi_factor(&session.amr)
}

/// Whether the person has a further factor, of whatever kind, and the session has shown none.
fn holds_back_factor(view: &View<'_>, session: &LiveSession) -> bool {
    let has = view.find::<Factors>(session.user_id.uuid()).is_some_and(|it| it.state.is_some());
    has && !assurance::is_multi_factor(&session.amr)
}

/// Of which sessions without a second factor a gate asks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FactorAsked {
    /// If a permission is asked for, of those of an organisation that asks everybody.
    ForPermissions,
    /// Of those of an organisation that asks everybody.
    ByOrganisation,
    /// Of those whose person has one; and none may have come from elsewhere.
    OverWaysIn,
}

/// What a command asks of whoever gives it.
#[derive(Debug, Clone)]
pub struct Gate {
    bearer: Bearer,
    table: RoleTable,
    permission: Option<&'static str>,
    while_pending: bool,
    fresh: Option<TimeDelta>,
    own_hand: bool,
    factor: FactorAsked,
}

impl Gate {
    /// A gate for somebody who does something of their own account, which every session may. `table` is what built-in
    /// roles mean.
    #[must_use]
    pub const fn new(bearer: Bearer, table: RoleTable) -> Self {
        Self {
            bearer,
            table,
            permission: None,
            while_pending: false,
            fresh: None,
            own_hand: false,
            factor: FactorAsked::ForPermissions,
        }
    }

    /// Asks for a permission.
    #[must_use]
    pub const fn asking(mut self, permission: &'static str) -> Self {
        self.permission = Some(permission);
        self
    }

    /// Opens while the organisation waits for its approval, too.
    #[must_use]
    pub const fn while_pending(mut self) -> Self {
        self.while_pending = true;
        self
    }

    /// Asks that a person has shown who they are within the last `span`.
    #[must_use]
    pub const fn fresh_within(mut self, span: TimeDelta) -> Self {
        self.fresh = Some(span);
        self
    }

    /// Closes to staff of the platform who act for somebody else.
    #[must_use]
    pub const fn own_hand(mut self) -> Self {
        self.own_hand = true;
        self
    }

    /// Closes to sessions without the second factor that the organisation asks everybody for. What asks for a permission is
    /// closed to them anyway; this is for what lets others rely on the sign-in.
    #[must_use]
    pub const fn with_every_factor(mut self) -> Self {
        self.factor = FactorAsked::ByOrganisation;
        self
    }

    /// For what changes how somebody signs in. Closes to sessions without a second factor of whoever has one, an authenticator
    /// or a passkey; who has none yet can enrol the first. And to sessions that came by a link: what they set up would outlast
    /// the link, and what they showed, they showed to another organisation.
    #[must_use]
    pub const fn over_ways_in(mut self) -> Self {
        self.factor = FactorAsked::OverWaysIn;
        self
    }

    /// Whether it opens, and until when that can be said.
    ///
    /// # Errors
    /// In this order: [`GateError::SessionEnded`], [`OrganisationError::NotActive`],
    /// [`GateError::PermissionMissing`], [`GateError::SecondFactorMissing`], [`IdentityError::OwnProofRequired`],
    /// [`GateError::ActsForAnother`], [`GateError::StepUpRequired`].
    fn judge(&self, view: &View<'_>) -> Result<Option<DateTime<Utc>>, Refusal> {
        let standee = self.bearer.standee(view)?;
        match Standing::of(view).status {
            TenantStatus::Active => {}
            TenantStatus::Pending if self.while_pending => {}
            status => return Err(OrganisationError::NotActive { status: status.word() }.into()),
        }
        if let Some(permission) = self.permission.filter(|it| !standee.holds(it, view, &self.table)) {
            return Err(GateError::PermissionMissing { permission }.into());
        }
        let Some(session) = standee.session() else { return Ok(self.judge_program(&standee)?) };
        // A service acts for a person where a permission is asked for, and shows no face.
        let of_account = self.permission.is_none() || self.own_hand || self.fresh.is_some();
        if matches!(standee, Standee::Delegate(..)) && of_account {
            return Err(GateError::ActsForAnother.into());
        }
        if self.misses_factor(view, session) {
            return Err(GateError::SecondFactorMissing.into());
        }
        if self.factor == FactorAsked::OverWaysIn && session.came_by.is_some() {
            return Err(IdentityError::OwnProofRequired.into());
        }
        if self.own_hand && session.impersonation_id.is_some() {
            return Err(GateError::ActsForAnother.into());
        }
        let Some(fresh) = self.fresh else { return Ok(standee.until()) };
        let stale_at = session.auth_time.checked_add_signed(fresh).unwrap_or(session.auth_time);
        if stale_at <= view.now {
            return Err(GateError::StepUpRequired { within_s: fresh.num_seconds() }.into());
        }
        Ok(Some(session.expires_at.min(stale_at)))
    }

    fn misses_factor(&self, view: &View<'_>, session: &LiveSession) -> bool {
        let of_all = self.permission.is_some() || self.factor == FactorAsked::ByOrganisation;
        let of_those_who_have_one = self.factor == FactorAsked::OverWaysIn;
        of_all && lacks_factor(view, session) || of_those_who_have_one && holds_back_factor(view, session)
    }

    /// The streams that say whether it opens.
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = self.bearer.needs(view);
        if let (FactorAsked::OverWaysIn, Bearer::Session { user, .. }) = (self.factor, &self.bearer) {
            needs.push(factors::stream(*user));
        }
        needs
    }

    /// A program is nobody's own hand, and shows no face. An operator's token is the operator's own.
    fn judge_program(&self, standee: &Standee<'_>) -> Result<Option<DateTime<Utc>>, GateError> {
        let operator = matches!(standee, Standee::Operator(_));
        match self.fresh {
            _ if self.own_hand && !operator => Err(GateError::ActsForAnother),
            Some(fresh) if !operator => Err(GateError::StepUpRequired { within_s: fresh.num_seconds() }),
            _ => Ok(standee.until()),
        }
    }
}

/// A command behind its gate.
pub struct Gated {
    gate: Gate,
    inner: Box<dyn Decision>,
}

impl Gated {
    /// Puts a command behind a gate.
    #[must_use]
    pub fn new(gate: Gate, inner: Box<dyn Decision>) -> Self {
        Self { gate, inner }
    }
}

impl Decision for Gated {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = self.inner.needs(view);
        needs.extend(self.gate.needs(view));
        needs
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.inner.subjects()
    }

    /// Nothing is recorded on the word of somebody who may not ask for it.
    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        match self.gate.judge(view) {
            Ok(_) => self.inner.overdue(view),
            Err(_) => Vec::new(),
        }
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let until = self.gate.judge(view)?;
        let verdict = self.inner.decide(view)?;
        let first = [until, verdict.valid_until].into_iter().flatten().min();
        Ok(verdict.valid_until(first))
    }
}

/// A command that gives something away, for whoever must hold it: a key with these permissions, a service with these
/// scopes, a secret with which one can be that service.
pub struct Granting {
    by: Granter,
    table: RoleTable,
    given: Given,
    inner: Box<dyn Decision>,
}

/// What is given away.
enum Given {
    /// These permissions.
    These(Granted),
    /// The permissions among the scopes of a service, as they are then.
    ScopesOf(ServiceId),
}

impl Given {
    fn granted(&self, view: &View<'_>) -> Granted {
        match self {
            Self::These(granted) => granted.clone(),
            Self::ScopesOf(service) => {
                let scopes = service::scopes(view, *service).iter().map(ToString::to_string);
                // Other names mean something to others alone.
                Granted::only(scopes.filter(|it| it.contains('.') && !it.contains(':')))
            }
        }
    }
}

impl Granting {
    /// Lets `inner` give `given` away only on the word of one who holds it.
    #[must_use]
    pub fn new(by: Granter, table: RoleTable, given: Granted, inner: Box<dyn Decision>) -> Self {
        Self { by, table, given: Given::These(given), inner }
    }

    /// Lets `inner`, after which somebody could be that service, happen only on the word of one who holds what it may do.
    #[must_use]
    pub fn being(by: Granter, table: RoleTable, service: ServiceId, inner: Box<dyn Decision>) -> Self {
        Self { by, table, given: Given::ScopesOf(service), inner }
    }
}

impl Decision for Granting {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = self.inner.needs(view);
        needs.extend(self.by.needs(view));
        if let Given::ScopesOf(service) = &self.given {
            needs.push(service::stream(*service));
        }
        needs
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.inner.subjects()
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        self.inner.overdue(view)
    }

    /// Refused with [`OrganisationError::GrantsTooMuch`] before anything that the command refuses.
    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        match self.by.holds(view, &self.table).first_lacking(&self.given.granted(view)) {
            Some(permission) => Err(OrganisationError::GrantsTooMuch { permission }.into()),
            None => self.inner.decide(view),
        }
    }
}

/// Checked in this order, the organisation's standing after the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Who asks does not stand any more.
    #[error("the session has ended")]
    SessionEnded,
    /// They lack the permission.
    #[error("the permission {permission} is missing")]
    PermissionMissing {
        /// Which.
        permission: &'static str,
    },
    /// The organisation asks for a second factor, or the person has one, and the session has shown none.
    #[error("a second factor is asked for")]
    SecondFactorMissing,
    /// Staff or a service who act for somebody cannot do this for them.
    #[error("this cannot be done for somebody else")]
    ActsForAnother,
    /// It is too long ago that they showed who they are.
    #[error("the person must have shown who they are within {within_s} s")]
    StepUpRequired {
        /// How long ago it may be, in seconds.
        within_s: i64,
    },
}

/// The codes of [`GateError`] but for `auth.permission-missing`, which the edge gives too and whose table has it.
pub const CODES: &[CodeDoc] = &[
    CodeDoc::new(
        ErrorKind::Unauthenticated,
        "auth.session-ended",
        "the session has ended, or the token was revoked",
        "sign in again",
    ),
    CodeDoc::new(
        ErrorKind::Forbidden,
        "auth.second-factor-missing",
        "a second factor is asked for, and the session has shown none",
        "show one, or enrol the first, then repeat the request",
    ),
    CodeDoc::new(
        ErrorKind::Forbidden,
        "auth.acts-for-another",
        "whoever acts for somebody cannot do this for them",
        "let the person do it",
    ),
    CodeDoc::new(
        ErrorKind::Forbidden,
        "auth.step-up-required",
        "it is too long ago that the person showed who they are",
        "show it again, then repeat the request",
    ),
];

impl DomainError for GateError {
    fn code(&self) -> &'static str {
        match self {
            Self::SessionEnded => "auth.session-ended",
            Self::PermissionMissing { .. } => "auth.permission-missing",
            Self::SecondFactorMissing => "auth.second-factor-missing",
            Self::ActsForAnother => "auth.acts-for-another",
            Self::StepUpRequired { .. } => "auth.step-up-required",
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::SessionEnded => ErrorKind::Unauthenticated,
            Self::PermissionMissing { .. }
            | Self::SecondFactorMissing
            | Self::ActsForAnother
            | Self::StepUpRequired { .. } => ErrorKind::Forbidden,
        }
    }

    fn details(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::PermissionMissing { permission } => {
                BTreeMap::from([("permission", (*permission).to_owned())])
            }
            Self::StepUpRequired { within_s } => BTreeMap::from([("within_s", within_s.to_string())]),
            Self::SessionEnded | Self::SecondFactorMissing | Self::ActsForAnother => BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests;
