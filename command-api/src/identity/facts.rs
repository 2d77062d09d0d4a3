//! What the log says at this moment: the policy of an organisation, and how a session stands. A command judges the same once
//! more at its commit; here it says what to ask and what to write into a token.

use chrono::{DateTime, Utc};
use domain::gate::Bearer;
use domain::identity::{LiveSession, Session};
use domain::ids::{SessionId, TenantId, UserId};
use domain::organisation::{self, Granted, Membership, Policy, TenantStatus, policy, standing};
use domain::{StreamId, View};
use event_store::access::{Question, Unknown, look};
use service_kit::permissions::role_table;
use service_kit::problem::Problem;
use std::sync::Arc;

use super::{Identity, unavailable};

/// What does an organisation ask of its people?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PolicyOf(TenantId);

impl Question for PolicyOf {
    type Answer = Policy;

    fn tenant(&self) -> TenantId {
        self.0
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![policy::stream(view.tenant)]
    }

    fn answer(&self, view: &View<'_>) -> Policy {
        policy_in(view)
    }
}

fn policy_in(view: &View<'_>) -> Policy {
    view.find::<Policy>(view.tenant.uuid()).map(|it| it.state.clone()).unwrap_or_default()
}

/// How does a session stand?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Standing {
    tenant: TenantId,
    session: SessionId,
    user: UserId,
}

/// A session that stands.
#[derive(Debug, Clone)]
pub(super) struct Stands {
    /// The session.
    pub session: LiveSession,
    /// The names of the roles of its person.
    pub roles: Vec<String>,
    /// What the organisation asks.
    pub policy: Policy,
    /// Whether that is a second factor, and it was not shown.
    pub lacks_factor: bool,
}

impl Stands {
    /// How long it lasts at most, from now.
    pub(super) fn remains(&self, now: DateTime<Utc>) -> std::time::Duration {
        (self.session.expires_at - now).to_std().unwrap_or_default()
    }
}

impl Standing {
    /// A session that a service was let have is one of the service; what it may do with it is not asked here.
    fn bearer(&self, view: &View<'_>) -> Bearer {
        let (session, user) = (self.session, self.user);
        match view.find::<Session>(session.uuid()).map(|it| it.state) {
            Some(Session::Live(it)) if it.service_id.is_some() => {
                Bearer::Delegated { session, user, granted: Granted::nothing() }
            }
            _ => Bearer::Session { session, user },
        }
    }
}

impl Question for Standing {
    type Answer = Option<Stands>;

    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = self.bearer(view).needs(view);
        needs.push(policy::stream(view.tenant));
        needs
    }

    fn answer(&self, view: &View<'_>) -> Option<Stands> {
        let admission = self.bearer(view).look(view, role_table(self.tenant)).ok()?;
        if !matches!(admission.status, TenantStatus::Active | TenantStatus::Pending) {
            return None;
        }
        let membership = view.find::<Membership>(self.user.uuid()).map(|it| it.state);
        let roles = membership.map(Membership::roles).unwrap_or_default();
        Some(Stands {
            session: admission.session?,
            roles: roles.iter().map(ToString::to_string).collect(),
            policy: policy_in(view),
            lacks_factor: admission.lacks_factor,
        })
    }
}

/// How does an organisation stand?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct StatusOf(TenantId);

impl Question for StatusOf {
    type Answer = TenantStatus;

    fn tenant(&self) -> TenantId {
        self.0
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![standing::stream(view.tenant)]
    }

    fn answer(&self, view: &View<'_>) -> TenantStatus {
        let seen = view.find::<organisation::Standing>(view.tenant.uuid());
        seen.map(|it| it.state.status).unwrap_or_default()
    }
}

impl Identity {
    /// Whether an organisation may work.
    pub(super) async fn works(&self, tenant: TenantId) -> Result<bool, Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let status = look(&mut conn, &StatusOf(tenant)).await.map_err(unknown)?;
        Ok(*status == TenantStatus::Active)
    }

    /// What an organisation asks of its people; of one that does not exist, what all ask who never said anything.
    pub(super) async fn policy(&self, tenant: TenantId) -> Result<Arc<Policy>, Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        look(&mut conn, &PolicyOf(tenant)).await.map_err(unknown)
    }

    /// The session, its roles and the policy, if it stands.
    pub(super) async fn standing(
        &self,
        tenant: TenantId,
        session: SessionId,
        user: UserId,
    ) -> Result<Arc<Option<Stands>>, Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        look(&mut conn, &Standing { tenant, session, user }).await.map_err(unknown)
    }
}

pub(super) fn unknown(error: Unknown) -> Problem {
    match error {
        Unknown::NewerEvent => Problem::new(&service_kit::problem::code::NEWER_EVENT, ""),
        other => Problem::store_unavailable(&other),
    }
}
