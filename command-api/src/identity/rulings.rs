//! Letters about what was decided about an organisation: to whoever asked for it, and to its owners. They go out with the
//! decision, and once for each.

use domain::ids::{TenantId, UserId};
use domain::organisation::{Roster, Tenant, TenantStatus, roster, tenant};
use domain::{StreamId, View};
use event_store::access::{Question, look};
use event_store::vault::{Mail, Ruling, VaultChange};
use service_kit::problem::Problem;

use super::facts::unknown;
use super::letters::NewLetter;
use super::{Identity, unavailable};

/// What does the platform know of an organisation?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct DossierOf(TenantId);

/// What it knows.
#[derive(Debug, Clone)]
struct Known {
    /// How often something was said of it.
    version: i64,
    name: String,
    founder: Option<UserId>,
    status: TenantStatus,
}

impl Question for DossierOf {
    type Answer = Option<Known>;

    fn tenant(&self) -> TenantId {
        TenantId::PLATFORM
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![tenant::stream(self.0)]
    }

    fn answer(&self, view: &View<'_>) -> Option<Known> {
        let seen = view.find::<Tenant>(self.0.uuid())?;
        let status = match seen.state {
            Tenant::Absent => return None,
            Tenant::Pending(_) => TenantStatus::Pending,
            Tenant::Active(_) => TenantStatus::Active,
            Tenant::Suspended(_) => TenantStatus::Suspended,
            Tenant::Rejected(_) => TenantStatus::Rejected,
            Tenant::Closed(_) => TenantStatus::Closed,
        };
        let dossier = seen.state.dossier()?;
        Some(Known {
            version: seen.version,
            name: dossier.name.to_string(),
            founder: dossier.founder,
            status,
        })
    }
}

/// Who owns an organisation?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct OwnersOf(TenantId);

impl Question for OwnersOf {
    type Answer = Vec<UserId>;

    fn tenant(&self) -> TenantId {
        self.0
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![roster::stream(view.tenant)]
    }

    /// At most [`roster::OWNERS_MAX`].
    fn answer(&self, view: &View<'_>) -> Vec<UserId> {
        let seen = view.find::<Roster>(view.tenant.uuid());
        seen.map(|it| it.state.owners.clone()).unwrap_or_default()
    }
}

/// How an organisation stands after it.
const fn after(ruling: Ruling) -> TenantStatus {
    match ruling {
        Ruling::Approved | Ruling::Reactivated => TenantStatus::Active,
        Ruling::Rejected => TenantStatus::Rejected,
        Ruling::Suspended => TenantStatus::Suspended,
        Ruling::Closed => TenantStatus::Closed,
    }
}

impl Identity {
    /// The letters that tell what is about to be decided: to the founder what the platform said to their request, to all owners
    /// what comes later. None, if it is so already. `reason` is told word for word.
    ///
    /// # Errors
    /// Only if it cannot be looked up to whom.
    pub async fn tells_ruling(
        &self,
        organization: TenantId,
        ruling: Ruling,
        reason: Option<&str>,
    ) -> Result<Vec<VaultChange>, Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let known = look(&mut conn, &DossierOf(organization)).await.map_err(unknown)?;
        let owners = look(&mut conn, &OwnersOf(organization)).await.map_err(unknown)?;
        drop(conn);
        let Some(known) = known.as_ref().as_ref().filter(|it| it.status != after(ruling)) else {
            return Ok(Vec::new());
        };
        let to_founder = matches!(ruling, Ruling::Approved | Ruling::Rejected);
        let founder = known.founder.filter(|_| to_founder || owners.is_empty());
        let readers: Vec<UserId> = match founder {
            Some(founder) => vec![founder],
            None => owners.as_ref().clone(),
        };
        let mut letters = Vec::with_capacity(readers.len());
        for user in readers {
            let Some((registered, email)) = self.person(organization, user).await? else { continue };
            letters.push(self.letter(NewLetter {
                tenant: organization,
                about: user.uuid(),
                to: &email,
                language: &registered.language,
                mail: Mail::OrganisationDecided {
                    organisation: known.name.clone(),
                    decision: ruling,
                    reason: reason.map(str::to_owned),
                },
                // Of two who decide the same at once, one does.
                cause: format!("organisation-decided:{}:{user}", known.version),
            })?);
        }
        Ok(letters)
    }
}
