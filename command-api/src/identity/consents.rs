//! What a person allows services, for themselves to see on a page and to take back. Lists of the interface come from `query-api`; a
//! page is of the process that commands, so it asks the log: a stream for each pair of a person and a service says it.

use domain::application::{Consent, Service, consent, service};
use domain::gate::Gated;
use domain::ids::{ServiceId, TenantId, UserId};
use domain::words::Scope;
use domain::{Aggregate as _, StreamId, View};
use event_store::Unit;
use event_store::access::{Question, look};
use event_store::log;
use service_kit::problem::Problem;
use uuid::Uuid;

use super::facts::unknown;
use super::lent::taking_back;
use super::sessions::InSession;
use super::{Identity, Origin, unavailable};

/// Services that are looked through at once. An organisation has fewer, but for those that it removed.
const AT_ONCE: usize = 400;

/// What a person allows a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Which.
    pub service: ServiceId,
    /// Its name for people.
    pub name: String,
    /// What.
    pub scopes: Vec<Scope>,
    /// Whether they are asked before its next session.
    pub questioned: bool,
}

/// Which of these services does a person allow something?
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AllowedAmong {
    tenant: TenantId,
    user: UserId,
    services: Vec<ServiceId>,
}

impl AllowedAmong {
    fn given<'a>(&self, view: &View<'a>) -> impl Iterator<Item = (ServiceId, &'a Consent)> {
        self.services.iter().filter_map(|it| {
            let consent = view.find::<Consent>(consent::id(self.user, *it))?.state;
            (!consent.scopes.is_empty()).then_some((*it, consent))
        })
    }
}

impl Question for AllowedAmong {
    type Answer = Vec<Allowed>;

    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let all = self.services.iter().map(|it| consent::stream(self.user, *it));
        all.chain(self.given(view).map(|(service, _)| service::stream(service))).collect()
    }

    fn answer(&self, view: &View<'_>) -> Vec<Allowed> {
        let named = self.given(view).filter_map(|(service, consent)| {
            match view.find::<Service>(service.uuid())?.state {
                Service::Active(it) | Service::Suspended(it) => Some(Allowed {
                    service,
                    name: it.name.to_string(),
                    scopes: consent.scopes.clone(),
                    questioned: consent.questioned,
                }),
                // Nobody can come in by what it was allowed.
                Service::Absent | Service::Removed => None,
            }
        });
        named.collect()
    }
}

impl Identity {
    /// What somebody who is signed in allows services, by the names of these.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn allowed_by(&self, who: InSession) -> Result<Vec<Allowed>, Problem> {
        let all = self.services_of(who.tenant).await.map_err(unavailable)?;
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let mut found = Vec::new();
        for services in all.chunks(AT_ONCE) {
            let services = services.iter().copied().map(ServiceId::new).collect();
            let asked = AllowedAmong { tenant: who.tenant, user: who.user, services };
            found.extend(look(&mut conn, &asked).await.map_err(unknown)?.iter().cloned());
        }
        found.sort_by(|a, b| (&a.name, a.service.uuid()).cmp(&(&b.name, b.service.uuid())));
        Ok(found)
    }

    /// Every service that an organisation ever registered.
    async fn services_of(&self, tenant: TenantId) -> sqlx::Result<Vec<Uuid>> {
        let mut tx = self.parts().pool.begin().await?;
        sqlx::query!(
            "select set_config('app.tenants', array[$1::uuid]::text, true) as served",
            tenant.uuid()
        )
        .fetch_one(&mut *tx)
        .await?;
        let all = log::streams_in(&mut tx, tenant, Service::CATEGORY).await?;
        tx.rollback().await?;
        Ok(all)
    }

    /// Allows a service nothing any more, by the hand of whoever allowed it. Its sessions of them end at once.
    ///
    /// # Errors
    /// `application.consent-not-found`; what refuses a session.
    pub async fn take_consent_back(
        &self,
        who: InSession,
        service: ServiceId,
        origin: &Origin,
    ) -> Result<(), Problem> {
        let (command, revoke) = taking_back(who.tenant, who.user, service);
        let gated = Gated::new(who.gate().own_hand(), Box::new(command));
        let unit = Unit::new(who.tenant, origin.cause(who.user.actor()), gated).with_vault([revoke]);
        self.submit(unit).await?.map_err(Problem::from)?;
        Ok(())
    }
}
