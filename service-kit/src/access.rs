//! Who may do what. A handler names its permission in its signature as [`Allowed<P>`]; there is no other way to a
//! [`Caller`], so a handler that forgot its permission has no tenant to act in.
//!
//! A token says who asks. What that one may do is asked of the state, through [`Access`], at every request.
//!
//! **Invariant:** `Caller` is built here only, from a verified token of somebody who still stands.

mod address;
mod standing;

use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
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
use crate::problem::{Problem, code};
use crate::rate::Limiter;
use crate::telemetry::{self, TraceId};
use crate::token::{Claims, LEEWAY_SECONDS, TokenError, Verified, Verifier};
pub use address::{ClientAddress, PeerAddress, user_agent};
pub use standing::{Access, Who};

/// For how long a person who showed who they are need not do so again, where that is demanded.
pub const STEP_UP_WITHIN: TimeDelta = TimeDelta::minutes(10);

/// An authenticated caller, for whom the work is done and by whom it will have been done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Caller {
    /// The organisation acted in.
    pub tenant: TenantId,
    /// Who acts.
    pub actor: ActorId,
    /// The token shown.
    pub token_id: TokenId,
    /// The session, if a person's.
    pub session: Option<Uuid>,
    /// When the token shown stops being believed, in seconds since 1970: what goes on for long ends then.
    pub believed_until: i64,
    /// What the token says.
    pub claims: Arc<Claims>,
    /// The key that it is signed with.
    pub kid: Arc<str>,
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
        admits(standing, self.tenant, permission, Utc::now()).map_err(Problem::from)
    }

    /// The gate of a command of this caller.
    fn gate(&self, permission: Option<&'static PermissionDoc>) -> Gate {
        let gate = Gate::new(self.who.bearer(), role_table(self.tenant).clone());
        let Some(permission) = permission else { return gate.while_pending() };
        let gate = gate.asking(permission.name);
        let gate = if permission.works_while_pending { gate.while_pending() } else { gate };
        if permission.needs_step_up { gate.fresh_within(STEP_UP_WITHIN) } else { gate }
    }
}

/// Whether somebody who stands may use a permission.
pub(crate) fn admits(
    standing: &Admission,
    tenant: TenantId,
    permission: Option<&'static PermissionDoc>,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    if standing.session.as_ref().is_some_and(|it| it.expires_at <= now) {
        return Err(GateError::SessionEnded.into());
    }
    let while_pending = permission.is_none_or(|it| it.works_while_pending);
    match standing.status {
        TenantStatus::Active => {}
        TenantStatus::Pending if while_pending => {}
        status => return Err(OrganisationError::NotActive { status: status.word() }.into()),
    }
    let Some(permission) = permission else { return Ok(()) };
    let guarded = sabotage::stands(Guard::Permission) || permission.name != permissions::ClosePeriod::NAME;
    if guarded && !(permission.exists_in(tenant) && standing.granted.allows(permission.name)) {
        return Err(GateError::PermissionMissing { permission: permission.name }.into());
    }
    // A token of an operator is no person who could show anything.
    let stale = standing.session.as_ref().is_some_and(|it| now - it.auth_time >= STEP_UP_WITHIN);
    if permission.needs_step_up && stale {
        return Err(GateError::StepUpRequired { within_s: STEP_UP_WITHIN.num_seconds() }.into());
    }
    Ok(())
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
        Box::new(Gated::new(self.caller().gate(permission), command))
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
        if let Some(asked) = parts.extensions.get::<Asked>() {
            asked.note(&caller, P::NAME);
        }
        let checked = caller.check(Some(&Self::PERMISSION));
        if P::SENSITIVE {
            audit::sensitive(parts, &caller, P::NAME, checked.as_ref().err()).await?;
        }
        checked?;
        Ok(Self { caller, permission: PhantomData })
    }
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

/// A caller of any role: for routes that every member may use, such as reading one's own account, also while the
/// organisation waits for its approval.
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

async fn authenticate(parts: &Parts) -> Result<Caller, Problem> {
    let verifier = parts.extensions.get::<Arc<Verifier>>().ok_or_else(|| Problem::fault(&NotVerified))?;
    let access = parts.extensions.get::<Arc<dyn Access>>().ok_or_else(|| Problem::fault(&NotVerified))?;
    let token = bearer(&parts.headers)?;
    let Verified { claims, kid } = verifier.verify_fresh(token).await.map_err(|error| {
        let (doc, text) = match error {
            TokenError::Expired => {
                (&code::TOKEN_EXPIRED, "Bearer error=\"invalid_token\", error_description=\"expired\"")
            }
            TokenError::Invalid => (&code::TOKEN_INVALID, "Bearer error=\"invalid_token\""),
        };
        Problem::new(doc, "").header(header::WWW_AUTHENTICATE, HeaderValue::from_static(text))
    })?;
    telemetry::note_tenant(claims.tenant_id);
    // Before anything is looked up: whoever asks too much costs no more than this.
    if let Some(limiter) = parts.extensions.get::<PrincipalLimiter>() {
        telemetry::note_rate(limiter.check(&(claims.tenant_id, claims.sub))?);
    }
    let who = Who::of(&claims);
    let standing = access.standing(&who).await?;
    let believed_until = claims.exp.saturating_add(LEEWAY_SECONDS);
    let ends_at = standing.session.as_ref().map_or(believed_until, |it| it.expires_at.timestamp());
    Ok(Caller {
        tenant: claims.tenant_id,
        actor: claims.sub,
        token_id: claims.jti,
        session: claims.sid,
        believed_until: ends_at.min(believed_until),
        claims,
        kid,
        who,
        standing,
        ip: parts.extensions.get::<ClientAddress>().map_or(IpAddr::from([0, 0, 0, 0]), |it| it.0),
        user_agent: address::user_agent(&parts.headers),
        trace_id: telemetry::current_trace_id().unwrap_or_else(TraceId::random),
    })
}

#[derive(Debug, thiserror::Error)]
#[error("this router verifies nobody: wrap it in access::verified_by")]
struct NotVerified;

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let one = all.next().ok_or_else(|| Problem::new(&code::TOKEN_MISSING, ""))?;
    if all.next().is_some() {
        return Err(Problem::new(&code::TOKEN_INVALID, "more than one Authorization header"));
    }
    let text = one.to_str().map_err(|_| Problem::new(&code::TOKEN_INVALID, ""))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => Ok(token),
        _ => Err(Problem::new(&code::TOKEN_MISSING, "Authorization is not of the scheme Bearer")),
    }
}

#[cfg(test)]
pub(crate) mod tests;
