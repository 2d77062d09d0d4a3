//! Making room for the owner of an address: whoever registered with it and never showed that it is theirs goes, and an
//! invitation of it that is open comes to nothing. And nothing of theirs is left there: they could not set it up. What goes is judged once more with the command that needs the room.

use domain::Decision;
use domain::identity::{EMAIL_SCOPE, EmailHash};
use domain::ids::{InvitationId, TenantId, UserId};
use domain::organisation::invitation::{INVITATION_SCOPE, RevokeInvitation};
use domain::unproven::{AnotherWayIn, DisplaceUnproven};
use event_store::vault::{Digest, VaultChange};
use sabotage::Guard;
use service_kit::problem::Problem;

use super::invitations::useless;
use super::{Identity, unavailable};

/// Lets a command give somebody another way in, unless they never showed that their address is theirs: what they set up would
/// still let them in when its owner has come.
pub(super) fn another_way_in(user: UserId, command: impl Decision + 'static) -> Box<dyn Decision> {
    let command: Box<dyn Decision> = Box::new(command);
    if sabotage::stands(Guard::ProvenWaysIn) { Box::new(AnotherWayIn::new(user, command)) } else { command }
}

/// What goes before the command that gives an address to whom the organisation means.
#[derive(Default)]
pub struct MakingRoom {
    /// In order.
    pub commands: Vec<Box<dyn Decision>>,
    /// What changes in the vault with them.
    pub vault: Vec<VaultChange>,
}

impl Identity {
    /// What takes an address from somebody who registered with it and never showed that it is theirs, if there is somebody.
    pub(super) async fn displacing(
        &self,
        tenant: TenantId,
        index: Digest,
    ) -> Result<Option<DisplaceUnproven>, Problem> {
        let holder = self.parts().vault.claim_holder(tenant, EMAIL_SCOPE, &index.to_string()).await;
        let Some(user_id) = holder.map_err(unavailable)?.map(UserId::new) else { return Ok(None) };
        let state = self.person_in_log(tenant, user_id).await?;
        let waits = state.registered().is_some_and(|it| it.is_unproven() && !it.is_displaced)
            && sabotage::stands(Guard::MakingRoom);
        Ok(waits.then(|| DisplaceUnproven { user_id, email_hash: EmailHash::new(index.0) }))
    }

    /// The same, and what takes back an invitation of the address that is open.
    pub(super) async fn making_room(&self, tenant: TenantId, index: Digest) -> Result<MakingRoom, Problem> {
        let mut room = MakingRoom::default();
        let holder = self.parts().vault.claim_holder(tenant, INVITATION_SCOPE, &index.to_string()).await;
        if let Some(invitation_id) = holder.map_err(unavailable)?.map(InvitationId::new) {
            let email_hash = EmailHash::new(index.0);
            room.commands.push(Box::new(RevokeInvitation { invitation_id, email_hash }));
            room.vault.push(useless(tenant, invitation_id));
        }
        if let Some(displace) = self.displacing(tenant, index).await? {
            room.commands.push(Box::new(displace));
        }
        Ok(room)
    }
}
