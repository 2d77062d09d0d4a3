//! Who may do what. A handler names its permission in its signature as [`Allowed<P>`]; there is no other way to a
//! [`Caller`], so a handler that forgot its permission has no tenant to act in.
//!
//! A token says who asks. What that one may do is asked of the state, through [`Access`], at every request.
//!
//! **Invariant:** `Caller` is built in `access/shown.rs` only, from a verified token or a known key of somebody who still stands.

mod address;
mod own;
mod shown;
mod standing;

use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::{Extension, Router};
use chrono::{DateTime, TimeDelta, Utc};
use domain::gate::{Admission, Gate, GateError, Gated};
use domain::ids::{ActorId, TenantId, TokenId};
use domain::organisation::{OrganisationError, TenantStatus};
use domain::{Decision, Refusal};
use sabotage::Guard;
use uuid::Uuid;

use crate::audit;
pub use crate::permissions::{self, Audited, Permission};
use crate::permissions::{PermissionDoc, role_table};
use crate::problem::Problem;
use crate::rate::Limiter;
use crate::telemetry::TraceId;
use crate::token::Verifier;
pub use address::{ClientAddress, PeerAddress, user_agent};
pub use own::Own;
use shown::authenticate;
pub use standing::{Access, Who, readiness, register, still_acting};

/// For how long a person who showed who they are need not do so again, where that is demanded.
pub const STEP_UP_WITHIN: TimeDelta = TimeDelta::minutes(10);

/// An authenticated caller, for whom the work is done and by whom it will have been done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Caller {
    /// The organisation acted in.
    pub tenant: TenantId,
    /// Who acts: a person, a service or an operator.
    pub actor: ActorId,
    /// Staff of the platform who act in the person's place, for a while.
    pub acts: Option<ActorId>,
    /// The token shown, or the API key.
    pub token_id: TokenId,
    /// The session, if a person's.
    pub session: Option<Uuid>,
    /// When what was shown stops being believed, in seconds since 1970: what goes on for long ends then.
    pub believed_until: i64,
    /// The key that the token is signed with; none of an API key.
    pub kid: Option<Arc<str>>,
    /// Whose standing it is.
    pub who: Who,
    /// How the caller stands, as the log had it a second ago at most.
    pub standing: Arc<Admission>,
    /// From where.
    pub ip: IpAddr,
    /// With what, cut and without control characters.
    pub user_agent: Option<String>,
    /// Names the request.
    pub trace_id: TraceId,
}

impl Caller {
    /// Whether the caller may use a permission, or what everybody may who stands: what the gate of a command asks at the
    /// commit, asked of what is known now, and in the same order.
    ///
    /// # Errors
    /// 403: the organisation is not active, the permission is missing, or the person must step up first.
    pub fn check(&self, permission: Option<&'static PermissionDoc>) -> Result<(), Problem> {
        self.check_as(&self.standing, permission)
    }

    /// The same, as the caller stands by now: for what goes on for long.
    ///
    /// # Errors
    /// 401 if the session is over; else as [`Caller::check`].
    pub fn check_as(
        &self,
        standing: &Admission,
        permission: Option<&'static PermissionDoc>,
    ) -> Result<(), Problem> {
        admits(standing, &self.who, permission, Utc::now()).map_err(Problem::from)
    }

    /// Whether it is the person who acts, or an operator: not a program, nor staff in the person's session.
    ///
    /// # Errors
    /// 403 otherwise.
    pub fn check_in_person(&self) -> Result<(), Problem> {
        if self.who.acts_for_another(&self.standing) {
            return Err(Refusal::from(GateError::ActsForAnother).into());
        }
        Ok(())
    }

    /// A command of this caller that makes a way in which lasts when their session is over: for sessions that may change how
    /// their own person signs in.
    #[must_use]
    pub fn making_a_way_in(&self, command: Box<dyn Decision>) -> Gated {
        let gate = Gate::new(self.who.bearer(), role_table(self.tenant).clone());
        Gated::new(gate.while_pending().over_ways_in(), command)
    }

    /// The gate of a command of this caller.
    fn gate(&self, permission: Option<&'static PermissionDoc>, in_person: bool) -> Gate {
        let gate = Gate::new(self.who.bearer(), role_table(self.tenant).clone());
        let in_person = in_person || permission.is_some_and(|it| it.only_in_person);
        let gate = if in_person { gate.own_hand() } else { gate };
        let Some(permission) = permission else { return gate.while_pending() };
        let gate = gate.asking(permission.name);
        let gate = if permission.works_while_pending { gate.while_pending() } else { gate };
        if permission.needs_step_up { gate.fresh_within(STEP_UP_WITHIN) } else { gate }
    }
}

/// How somebody stands by now. Staff who act in their place must still be staff who may.
///
/// # Errors
/// 401 if either does not stand any more; 503 if that cannot be said.
pub async fn standing_of(
    access: &dyn Access,
    who: &Who,
    acts: Option<ActorId>,
) -> Result<Arc<Admission>, Problem> {
    if let Some(staff) = acts {
        let at_home = access.standing(&Who::staff(staff)).await?;
        if !at_home.granted.allows(permissions::Impersonate::NAME) {
            return Err(Refusal::from(GateError::SessionEnded).into());
        }
    }
    access.standing(who).await
}

/// Whether somebody who stands may use a permission.
pub(crate) fn admits(
    standing: &Admission,
    who: &Who,
    permission: Option<&'static PermissionDoc>,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    stands(standing, permission, now)?;
    let Some(permission) = permission else {
        return if who.is_delegate() { Err(GateError::ActsForAnother.into()) } else { Ok(()) };
    };
    let guarded = sabotage::stands(Guard::Permission) || permission.name != permissions::ClosePeriod::NAME;
    if guarded && !(permission.exists_in(who.tenant()) && standing.granted.allows(permission.name)) {
        return Err(GateError::PermissionMissing { permission: permission.name }.into());
    }
    if standing.lacks_factor {
        return Err(GateError::SecondFactorMissing.into());
    }
    if permission.only_in_person && who.acts_for_another(standing) {
        return Err(GateError::ActsForAnother.into());
    }
    // A token of an operator is no person who could show anything.
    let stale = standing.session.as_ref().is_some_and(|it| now - it.auth_time >= STEP_UP_WITHIN);
    if permission.needs_step_up && stale {
        return Err(GateError::StepUpRequired { within_s: STEP_UP_WITHIN.num_seconds() }.into());
    }
    Ok(())
}

/// Whether what somebody came by is good still, and their organisation may work.
fn stands(
    standing: &Admission,
    permission: Option<&'static PermissionDoc>,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    if standing.until.is_some_and(|it| it <= now) {
        return Err(GateError::SessionEnded.into());
    }
    let while_pending = permission.is_none_or(|it| it.works_while_pending);
    match standing.status {
        TenantStatus::Active => Ok(()),
        TenantStatus::Pending if while_pending => Ok(()),
        status => Err(OrganisationError::NotActive { status: status.word() }.into()),
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Somebody who came past the door: the only way to have a command judged, and to hold a live stream.
///
/// Sealed: it is made here only.
pub trait Admitted: sealed::Sealed + Send + Sync {
    /// Who.
    fn caller(&self) -> &Caller;
    /// With which permission; none, where everybody may who stands.
    fn permission(&self) -> Option<&'static PermissionDoc>;

    /// Whether it is open to the person alone, whatever the permission.
    fn in_person(&self) -> bool {
        false
    }

    /// A command of the caller, behind the gate that asks once more, at the commit, whether the caller may.
    fn gated(&self, command: Box<dyn Decision>) -> Box<dyn Decision> {
        self.gated_by(self.permission(), command)
    }

    /// The same with another permission, for what is one of several commands in a request.
    fn gated_by(
        &self,
        permission: Option<&'static PermissionDoc>,
        command: Box<dyn Decision>,
    ) -> Box<dyn Decision> {
        if !sabotage::stands(Guard::Gate) {
            return command;
        }
        Box::new(Gated::new(self.caller().gate(permission, self.in_person()), command))
    }
}

/// A caller that holds the permission `P`.
#[derive(Debug, Clone)]
pub struct Allowed<P> {
    caller: Caller,
    permission: PhantomData<fn() -> P>,
}

impl<P: Permission> Allowed<P> {
    const PERMISSION: PermissionDoc = P::DOC;

    /// The caller.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The caller, owned.
    #[must_use]
    pub fn into_caller(self) -> Caller {
        self.caller
    }

    /// The name of the permission, for API descriptions.
    #[must_use]
    pub const fn permission() -> &'static str {
        P::NAME
    }
}

impl<P> sealed::Sealed for Allowed<P> {}

impl<P: Permission> Admitted for Allowed<P> {
    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn permission(&self) -> Option<&'static PermissionDoc> {
        Some(&Self::PERMISSION)
    }
}

impl<S: Send + Sync, P: Permission> FromRequestParts<S> for Allowed<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = authenticate(parts).await?;
        admit(parts, caller).await
    }
}

/// Lets a caller who is known in with a permission; a use of a sensitive one is recorded first.
async fn admit<P: Permission>(parts: &Parts, caller: Caller) -> Result<Allowed<P>, Problem> {
    if let Some(asked) = parts.extensions.get::<Asked>() {
        asked.note(&caller, P::NAME);
    }
    let checked = caller.check(Some(&Allowed::<P>::PERMISSION));
    if P::SENSITIVE {
        audit::sensitive(parts, &caller, P::NAME, checked.as_ref().err()).await?;
    }
    checked?;
    Ok(Allowed { caller, permission: PhantomData })
}

/// Who asked for what, as far as that became known. A layer puts an empty one into a request and looks at it again when
/// the answer is there.
#[derive(Debug, Clone, Default)]
pub struct Asked(Arc<OnceLock<(Caller, &'static str)>>);

impl Asked {
    fn note(&self, caller: &Caller, permission: &'static str) {
        // A handler names one permission; if it named several, the first is the operation's own.
        let _known = self.0.set((caller.clone(), permission));
    }

    /// The verified caller, and the permission that the operation asks for.
    #[must_use]
    pub fn known(&self) -> Option<(&Caller, &'static str)> {
        self.0.get().map(|(caller, permission)| (caller, *permission))
    }
}

/// A caller of any role: for routes that every member may use, also while the organisation waits for its approval. For what
/// is about a person, there is [`Own`].
#[derive(Debug, Clone)]
pub struct Authenticated(Caller);

impl Authenticated {
    /// The caller.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.0
    }
}

impl sealed::Sealed for Authenticated {}

impl Admitted for Authenticated {
    fn caller(&self) -> &Caller {
        &self.0
    }

    fn permission(&self) -> Option<&'static PermissionDoc> {
        None
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = authenticate(parts).await?;
        caller.check(None)?;
        Ok(Self(caller))
    }
}

/// Whoever stands, in whatever way they came: for telling somebody who that is. Nothing can be done in their name with it.
#[derive(Debug, Clone)]
pub struct Recognised(Caller);

impl Recognised {
    /// The caller.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Recognised {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = authenticate(parts).await?;
        stands(&caller.standing, None, Utc::now())?;
        Ok(Self(caller))
    }
}

/// A person, or an operator, for what touches the credentials of the own account: neither a program with a key of theirs may,
/// nor staff of the platform in their session.
#[derive(Debug, Clone)]
pub struct InPerson(Caller);

impl InPerson {
    /// The caller.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.0
    }
}

impl sealed::Sealed for InPerson {}

impl Admitted for InPerson {
    fn caller(&self) -> &Caller {
        &self.0
    }

    fn permission(&self) -> Option<&'static PermissionDoc> {
        None
    }

    fn in_person(&self) -> bool {
        true
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InPerson {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        caller.check_in_person()?;
        Ok(Self(caller))
    }
}

/// Lets a router's handlers take [`Allowed`]. Before [`crate::layers::harden`].
pub fn verified_by<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    verifier: Arc<Verifier>,
    access: Arc<dyn Access>,
) -> Router<S> {
    router.layer(Extension(verifier)).layer(Extension(access))
}

/// Limits per principal; [`crate::layers::harden`] puts it into every request.
pub(crate) type PrincipalLimiter = Arc<Limiter<(TenantId, ActorId)>>;

#[cfg(test)]
pub(crate) mod tests;
