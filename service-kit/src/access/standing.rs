//! What a caller is now: not what the token said when it was signed, but what the log says since.
//!
//! How a process knows the log is its own: see [`Access`]. What the log has to say for somebody to stand is the domain's:
//! see [`domain::gate`].

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::application::KeyOwner;
use domain::gate::{Admission, Bearer, GateError, StillActing};
use domain::ids::{ActorId, ApiKeyId, SecretId, ServiceId, SessionId, TenantId, TokenId, UserId};
use domain::organisation::Granted;
use domain::{Question, StreamId, View};
use futures_util::future::BoxFuture;
use sabotage::Guard;

use crate::bearer;
use crate::metrics::Metrics;
use crate::permissions::{self, ALL, Permission as _, role_table};
use crate::problem::Problem;
use crate::token::{Claims, Role};

/// How a process knows who may act.
pub trait Access: Send + Sync + 'static {
    /// How somebody stands, as the log had it at most a second ago. Without waiting, if that is known.
    ///
    /// # Errors
    /// 401 if the session has ended or the token was revoked, 503 if it is not known for sure.
    fn standing<'a>(&'a self, who: &'a Who) -> BoxFuture<'a, Result<Arc<Admission>, Problem>>;

    /// Whose API key it is that somebody shows; nobody's, if there is none with this secret. It says nothing of whether the key
    /// is still good: that is its standing.
    ///
    /// # Errors
    /// 503 if it cannot be looked up.
    fn owner_of_key<'a>(
        &'a self,
        shown: &'a bearer::Bearer,
    ) -> BoxFuture<'a, Result<Option<KeyOwner>, Problem>>;

    /// Waits until somebody's standing may have changed since `seen`, and says since what to wait next. 0 is since the
    /// beginning.
    fn moved(&self, seen: u64) -> BoxFuture<'_, u64>;
}

/// Whether a process that looked at the log so long ago may say who may act, as it tells its health.
///
/// # Errors
/// If it is longer than it may be.
pub fn readiness(age: Duration, age_max: Duration) -> Result<(), String> {
    if age <= age_max { Ok(()) } else { Err(format!("last looked at {} ms ago", age.as_millis())) }
}

/// Adds what a process tells its monitoring of how it knows who may act: how long ago it looked at the log, and of how many
/// callers it keeps the standing.
pub fn register(
    metrics: &Metrics,
    age: impl Fn() -> Duration + Send + Sync + 'static,
    kept: impl Fn() -> usize + Send + Sync + 'static,
) {
    let help = "How long ago the log was looked at for who may act";
    metrics.gauge("quipu_access_tail_age_milliseconds", help, move || {
        i64::try_from(age().as_millis()).unwrap_or(i64::MAX)
    });
    metrics.gauge("quipu_standings_cached", "Callers whose standing is kept", move || {
        i64::try_from(kept()).unwrap_or(i64::MAX)
    });
}

/// Somebody whose standing can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Who {
    tenant: TenantId,
    subject: Subject,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    /// A person, by a session.
    Session { session: SessionId, user: UserId },
    /// A service that a person let act for them, within what its token names.
    Delegated { session: SessionId, user: UserId, scope: Arc<str> },
    /// Whoever has an operator's token, which says by itself what it allows.
    Operator { token: TokenId, role: Option<Role> },
    /// A program, by a key of somebody.
    ApiKey { key: ApiKeyId },
    /// A service that acts for itself, within what its token names, while it has the secret for which it got that.
    Service { service: ServiceId, secret: SecretId, token: TokenId, scope: Arc<str> },
    /// Staff of the platform, who act in somebody's place elsewhere.
    Staff { user: UserId },
}

impl Who {
    /// Whom claims speak of.
    #[must_use]
    pub fn of(claims: &Claims) -> Self {
        let scope = || Arc::from(claims.scope.as_deref().unwrap_or_default());
        let subject = match (claims.sid, service_of(claims)) {
            (Some(session), _) => {
                let (session, user) = (SessionId::new(session), UserId::new(claims.sub.uuid()));
                match claims.client_id {
                    Some(_) => Subject::Delegated { session, user, scope: scope() },
                    None => Subject::Session { session, user },
                }
            }
            (None, Some(service)) => {
                // Nobody has a secret of no name, so a token that names none is good for nothing.
                let secret = SecretId::new(claims.secret_id.unwrap_or_default());
                Subject::Service { service, secret, token: claims.jti, scope: scope() }
            }
            (None, None) => {
                let has = |role: &Role| claims.roles.iter().any(|it| it == role.name());
                let role = [Role::Owner, Role::Member].into_iter().find(has);
                Subject::Operator { token: claims.jti, role }
            }
        };
        Self { tenant: claims.tenant_id, subject }
    }

    /// Whoever has a key of an organisation.
    #[must_use]
    pub const fn with_key(tenant: TenantId, key: ApiKeyId) -> Self {
        Self { tenant, subject: Subject::ApiKey { key } }
    }

    /// Staff of the platform who act in somebody's place elsewhere, as they stand at home.
    #[must_use]
    pub const fn staff(who: ActorId) -> Self {
        Self { tenant: TenantId::PLATFORM, subject: Subject::Staff { user: UserId::new(who.uuid()) } }
    }

    /// Whether it is not the person who acts, but a program, or staff of the platform in the person's session.
    #[must_use]
    pub fn acts_for_another(&self, standing: &Admission) -> bool {
        if !sabotage::stands(Guard::InPerson) {
            return false;
        }
        match self.subject {
            Subject::Session { .. } => {
                standing.session.as_ref().is_some_and(|it| it.impersonation_id.is_some())
            }
            Subject::Operator { .. } => false,
            Subject::Delegated { .. }
            | Subject::ApiKey { .. }
            | Subject::Service { .. }
            | Subject::Staff { .. } => true,
        }
    }

    /// Whether it is a service to which a person lent what they may do, but not their account.
    pub(super) const fn is_delegate(&self) -> bool {
        matches!(self.subject, Subject::Delegated { .. })
    }

    /// Whether they came by an operator's token.
    #[must_use]
    pub const fn is_operator(&self) -> bool {
        matches!(self.subject, Subject::Operator { .. })
    }

    /// In which organisation.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    pub(super) fn bearer(&self) -> Bearer {
        match self.subject {
            Subject::Session { session, user } => Bearer::Session { session, user },
            Subject::Operator { token, role } => Bearer::Operator { token, granted: granted(role) },
            Subject::ApiKey { key } => Bearer::ApiKey { key },
            Subject::Delegated { session, user, ref scope } => {
                Bearer::Delegated { session, user, granted: named(scope) }
            }
            Subject::Service { service, secret, token, ref scope } => {
                Bearer::Service { service, secret, token, granted: named(scope) }
            }
            Subject::Staff { user } => Bearer::Staff { user },
        }
    }
}

/// What commands rest on that staff give in somebody's place: that they still may at the commit, by the platform's log.
#[must_use]
pub fn still_acting(staff: ActorId) -> StillActing {
    let table = role_table(TenantId::PLATFORM).clone();
    StillActing::new(UserId::new(staff.uuid()), permissions::Impersonate::NAME, table)
}

/// How somebody stands, or why they do not.
impl Question for Who {
    type Answer = Result<Arc<Admission>, GateError>;

    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        self.bearer().needs(view)
    }

    fn answer(&self, view: &View<'_>) -> Self::Answer {
        self.bearer().look(view, role_table(self.tenant)).map(Arc::new)
    }
}

/// What names parted by spaces grant; one that is no permission grants nothing.
fn named(scope: &str) -> Granted {
    Granted::only(scope.split_ascii_whitespace().map(str::to_owned))
}

/// The service that a token without a session speaks of: it was given to it for itself (RFC 9068, section 2.2).
fn service_of(claims: &Claims) -> Option<ServiceId> {
    let bearer::ClientId { tenant, service } = bearer::ClientId::parse(claims.client_id.as_deref()?)?;
    (tenant == claims.tenant_id && service.actor() == claims.sub).then_some(service)
}

/// What the role of an operator's token grants: an owner everything, a member what changes nothing, but not what was done
/// by whom.
fn granted(role: Option<Role>) -> Granted {
    static READS: OnceLock<Granted> = OnceLock::new();
    let reads = |name: &&str| {
        name.split_once('.').is_some_and(|(context, what)| what.starts_with("read-") && context != "audit")
    };
    match role {
        Some(Role::Owner) => Granted::All,
        Some(Role::Member) => {
            READS.get_or_init(|| Granted::only(ALL.iter().map(|it| it.name).filter(reads))).clone()
        }
        None => Granted::nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tests::claims;

    #[test]
    fn operators_tokens_mean_what_they_always_meant() {
        for doc in ALL {
            let (context, what) = doc.name.split_once('.').unwrap();
            let reads = what.starts_with("read-") && context != "audit";
            assert_eq!(granted(Some(Role::Member)).allows(doc.name), reads, "{}", doc.name);
            assert!(granted(Some(Role::Owner)).allows(doc.name) && !granted(None).allows(doc.name));
        }
    }

    #[test]
    fn a_session_is_asked_for_by_its_user_and_never_by_what_its_token_says_of_roles() {
        let session = claims(Role::Owner);
        let Bearer::Session { session: id, user } = Who::of(&session).bearer() else { panic!("a session") };
        assert_eq!((Some(id.uuid()), user.uuid()), (session.sid, session.sub.uuid()));
        assert_eq!(Who::of(&session), Who::of(&Claims { roles: vec![], ..session.clone() }));
        let operator = Claims { sid: None, roles: vec!["auditor".to_owned()], ..session };
        let Bearer::Operator { token, granted } = Who::of(&operator).bearer() else { panic!("a token") };
        assert_eq!((token, granted), (operator.jti, Granted::nothing()));
    }
}
