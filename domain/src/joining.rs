//! Becoming a member by an invitation: judged on the invitation and on who accepts it together.

use crate::decision::{Decision, Verdict, View};
use crate::email::EmailHash;
use crate::error::Refusal;
use crate::identity::{User, user};
use crate::ids::{InvitationId, UserId};
use crate::organisation::invitation::{self, INVITATION_SCOPE, Invitation, InvitationAccepted};
use crate::organisation::{
    Granter, MemberAdded, Membership, OrganisationError, OrganisationEvent, RoleTable, Roster, membership,
    roster, standing,
};
use crate::stream::StreamId;

/// Accepts an invitation for a user of the organisation whose address is the invited one. A refusal leaves the
/// invitation as it was, so that a wrong account neither redeems nor consumes it.
///
/// Refused, in this order, with [`OrganisationError::InvitationInvalid`], [`OrganisationError::NotActive`], what
/// `user::active` refuses, [`OrganisationError::InvitationForAnother`], [`OrganisationError::AlreadyMember`],
/// [`OrganisationError::InvitationInvalid`] if who invited cannot act at present, [`OrganisationError::GrantsTooMuch`] if they may
/// not grant the roles any more, [`OrganisationError::TooManyOwners`].
#[derive(Debug, Clone)]
pub struct AcceptInvitation {
    /// Which.
    pub invitation_id: InvitationId,
    /// Of which sending the link is.
    pub sendings: u32,
    /// The invited address as the claims know it.
    pub email_hash: EmailHash,
    /// Who accepts.
    pub user_id: UserId,
    /// The number of their address that was compared with the invited one and found to be the same, if it was.
    pub same_email: Option<u32>,
    /// What built-in roles mean.
    pub table: RoleTable,
}

impl AcceptInvitation {
    fn inviter(&self, view: &View<'_>) -> Granter {
        match view.find::<Invitation>(self.invitation_id.uuid()).map(|seen| seen.state) {
            Some(Invitation::Pending(it)) => it.inviter.map_or(Granter::Platform, Granter::Member),
            _ => Granter::Platform,
        }
    }
}

impl Decision for AcceptInvitation {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = vec![
            invitation::stream(self.invitation_id),
            user::stream(self.user_id),
            membership::stream(self.user_id),
            roster::stream(view.tenant),
            standing::stream(view.tenant),
        ];
        if let Some(Invitation::Pending(it)) =
            view.find::<Invitation>(self.invitation_id.uuid()).map(|seen| seen.state)
        {
            needs.extend(membership::custom(&it.roles));
        }
        let inviter = self.inviter(view);
        needs.extend(inviter.needs(view));
        if let Granter::Member(it) = inviter {
            needs.push(user::stream(it));
        }
        needs
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let pending = invitation::open(view, self.invitation_id, self.sendings)?;
        standing::active(view)?;
        let user = user::active(view, self.user_id)?;
        if !user.email_verified || self.same_email != Some(user.email_version) {
            return Err(OrganisationError::InvitationForAnother.into());
        }
        if Membership::of(view, self.user_id).is_some_and(Membership::is_member) {
            return Err(OrganisationError::AlreadyMember.into());
        }
        let inviter = self.inviter(view);
        // The roles of somebody who was deactivated wait for them, and grant nothing meanwhile.
        if let Granter::Member(it) = inviter
            && matches!(view.find::<User>(it.uuid()).map(|seen| seen.state), Some(User::Inactive(_)))
        {
            return Err(OrganisationError::InvitationInvalid.into());
        }
        inviter.grants(&pending.roles, view, &self.table)?;
        let (tenant_id, at) = (view.tenant, view.now);
        let accepted = Roster::of(view).uninvited(&pending.roles);
        let added = OrganisationEvent::MemberAdded(MemberAdded {
            tenant_id,
            user_id: self.user_id,
            roles: pending.roles.clone(),
            invitation_id: Some(self.invitation_id),
            roster: accepted.clone().moved(self.user_id, &[], &pending.roles)?,
            at,
        });
        let accepted = OrganisationEvent::InvitationAccepted(InvitationAccepted {
            tenant_id,
            invitation_id: self.invitation_id,
            user_id: self.user_id,
            roster: accepted,
            at,
        });
        let mut verdict = Verdict::done(invitation::stream(self.invitation_id), accepted);
        verdict.events.push(added.into());
        let claims = [self.email_hash.release(INVITATION_SCOPE)];
        Ok(verdict.with_claims(claims).valid_until(Some(pending.expires_at)))
    }
}

#[cfg(test)]
mod tests;
