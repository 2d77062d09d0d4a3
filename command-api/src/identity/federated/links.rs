//! What rests on the link between a user and who a provider says that they are; and giving one up.

use domain::Decision;
use domain::federation::{CheckLink, IdentityHash, UnlinkIdentity};
use domain::ids::{LinkId, ProviderId, TenantId, UserId};
use domain::linking::WhileOffered;
use event_store::Unit;
use event_store::vault::{FactorChange, VaultChange};
use sabotage::Guard;
use service_kit::problem::Problem;

use crate::identity::Identity;
use crate::identity::second_factor::enrolment::in_person;
use crate::identity::sessions::InSession;

/// What gives a link up: the command, and what changes in the vault with it.
pub struct GivingUp {
    /// The command.
    pub command: Box<dyn Decision>,
    /// What changes in the vault.
    pub vault: Vec<VaultChange>,
}

/// Lets a unit happen only if a provider's word still lets its person in as this user, judged at the commit.
pub(in crate::identity) fn by_link(unit: Unit, user_id: UserId, link: (LinkId, ProviderId)) -> Unit {
    let (tenant, (link_id, provider_id)) = (unit.tenant, link);
    while_offered(unit.and(tenant, CheckLink { link_id, user_id, provider_id }), tenant, provider_id)
}

/// Lets a unit happen only while people may sign in with a provider, judged at the commit: when it was looked at before, the
/// policy may have been another one.
pub(super) fn while_offered(unit: Unit, tenant: TenantId, provider_id: ProviderId) -> Unit {
    if sabotage::stands(Guard::ProviderOffered) {
        return unit.and(tenant, WhileOffered { provider_id });
    }
    unit
}

impl Identity {
    /// What gives a link of somebody's own up, and writes to them. Of one that is not theirs nothing is kept here, and the
    /// command finds none either.
    ///
    /// # Errors
    /// What refuses somebody who has not shown who they are.
    pub async fn giving_up(&self, who: InSession, link_id: LinkId) -> Result<GivingUp, Problem> {
        self.fresh(who).await?;
        let links = self.links(who.tenant, who.user).await?;
        let identity =
            links.iter().find(|(row, _)| row.link == link_id).map_or([0; 32], |(row, _)| row.identity.0);
        let unlink = UnlinkIdentity { link_id, of: who.user, identity: IdentityHash::new(identity) };
        let drop = VaultChange::DropIdentity { tenant: who.tenant, link: link_id };
        let letter = self.factor_letter(who.tenant, who.user, FactorChange::ProviderUnlinked).await?;
        Ok(GivingUp {
            command: Box::new(in_person(who, unlink)),
            vault: [drop].into_iter().chain(letter).collect(),
        })
    }
}
