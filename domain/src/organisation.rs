//! Organisations: which there are and how they stand, what they ask of their people, who is a member, and what roles
//! grant. Who the members are is the identity's to say.

pub mod error;
pub mod grants;
pub mod invitation;
pub mod membership;
pub mod policy;
pub mod profile;
pub mod role;
pub mod roster;
pub mod standing;
pub mod tenant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::private::Private;
use crate::stream::StreamId;
pub use error::OrganisationError;
pub use grants::{Granted, RoleRef, RoleTable};
pub use invitation::{
    DeclineInvitation, ExpireInvitation, INVITATION_SCOPE, Invitation, InvitationAccepted, InvitationClosed,
    InvitationResent, InvitationSent, Invite, PendingInvitation, ResendInvitation, RevokeInvitation,
};
pub use membership::{
    AddMember, AssignRoles, BecomeFirstOwner, FIRST_OWNER, FIRST_OWNER_SCOPE, Granter, MemberAdded,
    MemberRemoved, Membership, OwnershipTransferred, RemoveMember, RolesAssigned, TransferOwnership,
};
pub use policy::{Policy, PolicyChanged, Registration, SecondFactor, SetPolicy};
pub use profile::{Profile, ProfileRenamed, RenameOrganisation};
pub use role::{DefineRole, DeleteRole, RedefineRole, Role, RoleDefined, RoleDeleted, RoleRedefined};
pub use roster::{RoleUse, Roster};
pub use standing::{
    ChangeStanding, SetAllowance, SetSeats, Standing, StandingChanged, TenantStatus, WhileActive,
};
pub use tenant::{
    ApproveTenant, CODES, ChangeTier, CloseTenant, CreateTenant, Dossier, ExistingTenant, PARSE_CODES,
    ReactivateTenant, RejectTenant, RenameTenant, RequestTenant, Slug, SuspendTenant, Tenant, TenantApproved,
    TenantClosed, TenantCreated, TenantError, TenantReactivated, TenantRejected, TenantRenamed,
    TenantRequested, TenantSuspended, TenantTierChanged,
};

/// The names are the contract: a rename breaks stored history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "payload")]
pub enum OrganisationEvent {
    /// A tenant came to be.
    #[serde(rename = "organisation.tenant-created")]
    TenantCreated(TenantCreated),
    /// Somebody asked for an organisation.
    #[serde(rename = "organisation.tenant-requested")]
    TenantRequested(TenantRequested),
    /// An organisation may work.
    #[serde(rename = "organisation.tenant-approved")]
    TenantApproved(TenantApproved),
    /// An organisation will not come to be.
    #[serde(rename = "organisation.tenant-rejected")]
    TenantRejected(TenantRejected),
    /// An organisation may not work for the time being.
    #[serde(rename = "organisation.tenant-suspended")]
    TenantSuspended(TenantSuspended),
    /// An organisation may work again.
    #[serde(rename = "organisation.tenant-reactivated")]
    TenantReactivated(TenantReactivated),
    /// An organisation is gone.
    #[serde(rename = "organisation.tenant-closed")]
    TenantClosed(TenantClosed),
    /// An organisation has another name for people.
    #[serde(rename = "organisation.tenant-renamed")]
    TenantRenamed(TenantRenamed),
    /// An organisation has booked something else.
    #[serde(rename = "organisation.tenant-tier-changed")]
    TenantTierChanged(TenantTierChanged),
    /// An organisation may work, or may not, or has another number of seats, or may have something else.
    #[serde(rename = "organisation.standing-changed")]
    StandingChanged(StandingChanged),
    /// An organisation has another name for people, as its own log tells it.
    #[serde(rename = "organisation.profile-renamed")]
    ProfileRenamed(ProfileRenamed),
    /// An organisation asks for something else.
    #[serde(rename = "organisation.policy-changed")]
    PolicyChanged(PolicyChanged),
    /// Somebody became a member.
    #[serde(rename = "organisation.member-added")]
    MemberAdded(MemberAdded),
    /// A member has other roles.
    #[serde(rename = "organisation.roles-assigned")]
    RolesAssigned(RolesAssigned),
    /// Somebody is no member any more.
    #[serde(rename = "organisation.member-removed")]
    MemberRemoved(MemberRemoved),
    /// An owner made another member owner instead of themselves.
    #[serde(rename = "organisation.ownership-transferred")]
    OwnershipTransferred(OwnershipTransferred),
    /// A role came to be.
    #[serde(rename = "organisation.role-defined")]
    RoleDefined(RoleDefined),
    /// A role has another name or grants something else.
    #[serde(rename = "organisation.role-redefined")]
    RoleRedefined(RoleRedefined),
    /// A role that nobody had is gone.
    #[serde(rename = "organisation.role-deleted")]
    RoleDeleted(RoleDeleted),
    /// Somebody was invited.
    #[serde(rename = "organisation.invitation-sent")]
    InvitationSent(InvitationSent),
    /// An invitation was sent again.
    #[serde(rename = "organisation.invitation-resent")]
    InvitationResent(InvitationResent),
    /// The invited person became a member.
    #[serde(rename = "organisation.invitation-accepted")]
    InvitationAccepted(InvitationAccepted),
    /// The invited person does not want to be a member.
    #[serde(rename = "organisation.invitation-declined")]
    InvitationDeclined(InvitationClosed),
    /// An invitation was taken back.
    #[serde(rename = "organisation.invitation-revoked")]
    InvitationRevoked(InvitationClosed),
    /// Nobody accepted an invitation in time.
    #[serde(rename = "organisation.invitation-expired")]
    InvitationExpired(InvitationClosed),
}

impl OrganisationEvent {
    /// The stored name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TenantCreated(_) => "organisation.tenant-created",
            Self::TenantRequested(_) => "organisation.tenant-requested",
            Self::TenantApproved(_) => "organisation.tenant-approved",
            Self::TenantRejected(_) => "organisation.tenant-rejected",
            Self::TenantSuspended(_) => "organisation.tenant-suspended",
            Self::TenantReactivated(_) => "organisation.tenant-reactivated",
            Self::TenantClosed(_) => "organisation.tenant-closed",
            Self::TenantRenamed(_) => "organisation.tenant-renamed",
            Self::TenantTierChanged(_) => "organisation.tenant-tier-changed",
            Self::StandingChanged(_) => "organisation.standing-changed",
            Self::ProfileRenamed(_) => "organisation.profile-renamed",
            Self::PolicyChanged(_) => "organisation.policy-changed",
            Self::MemberAdded(_) => "organisation.member-added",
            Self::RolesAssigned(_) => "organisation.roles-assigned",
            Self::MemberRemoved(_) => "organisation.member-removed",
            Self::OwnershipTransferred(_) => "organisation.ownership-transferred",
            Self::RoleDefined(_) => "organisation.role-defined",
            Self::RoleRedefined(_) => "organisation.role-redefined",
            Self::RoleDeleted(_) => "organisation.role-deleted",
            Self::InvitationSent(_) => "organisation.invitation-sent",
            Self::InvitationResent(_) => "organisation.invitation-resent",
            Self::InvitationAccepted(_) => "organisation.invitation-accepted",
            Self::InvitationDeclined(_) => "organisation.invitation-declined",
            Self::InvitationRevoked(_) => "organisation.invitation-revoked",
            Self::InvitationExpired(_) => "organisation.invitation-expired",
        }
    }

    /// What is private in it, with the path in the event.
    pub fn privates(&mut self) -> Vec<(&'static str, &mut Private)> {
        let known = match self {
            Self::TenantRejected(it) => it.reason.as_mut().map(|reason| ("payload.reason", reason)),
            Self::TenantSuspended(it) => it.reason.as_mut().map(|reason| ("payload.reason", reason)),
            Self::InvitationSent(it) => Some(("payload.email", &mut it.email)),
            Self::TenantCreated(_)
            | Self::TenantRequested(_)
            | Self::TenantApproved(_)
            | Self::TenantReactivated(_)
            | Self::TenantClosed(_)
            | Self::TenantRenamed(_)
            | Self::TenantTierChanged(_)
            | Self::InvitationResent(_)
            | Self::InvitationAccepted(_)
            | Self::InvitationDeclined(_)
            | Self::InvitationRevoked(_)
            | Self::InvitationExpired(_)
            | Self::StandingChanged(_)
            | Self::ProfileRenamed(_)
            | Self::PolicyChanged(_)
            | Self::MemberAdded(_)
            | Self::RolesAssigned(_)
            | Self::MemberRemoved(_)
            | Self::OwnershipTransferred(_)
            | Self::RoleDefined(_)
            | Self::RoleRedefined(_)
            | Self::RoleDeleted(_) => None,
        };
        known.into_iter().collect()
    }

    /// The streams that it belongs to, its own first. Events that carry the roster belong to its stream too; that has
    /// the identifier of the tenant in whose log they are.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        match self {
            Self::TenantCreated(it) => vec![tenant::stream(it.tenant_id)],
            Self::TenantRequested(it) => vec![tenant::stream(it.tenant_id)],
            Self::TenantApproved(it) => vec![tenant::stream(it.tenant_id)],
            Self::TenantRejected(it) => vec![tenant::stream(it.tenant_id)],
            Self::TenantSuspended(it) => vec![tenant::stream(it.tenant_id)],
            Self::TenantReactivated(it) => vec![tenant::stream(it.tenant_id)],
            Self::TenantClosed(it) => vec![tenant::stream(it.tenant_id)],
            Self::TenantRenamed(it) => vec![tenant::stream(it.tenant_id)],
            Self::TenantTierChanged(it) => vec![tenant::stream(it.tenant_id)],
            Self::StandingChanged(it) => vec![standing::stream(it.tenant_id)],
            Self::ProfileRenamed(it) => vec![profile::stream(it.tenant_id)],
            Self::PolicyChanged(it) => vec![policy::stream(it.tenant_id)],
            Self::MemberAdded(it) => vec![membership::stream(it.user_id), roster::stream(it.tenant_id)],
            Self::RolesAssigned(it) => vec![membership::stream(it.user_id), roster::stream(it.tenant_id)],
            Self::MemberRemoved(it) => vec![membership::stream(it.user_id), roster::stream(it.tenant_id)],
            Self::OwnershipTransferred(it) => {
                vec![membership::stream(it.from), membership::stream(it.to), roster::stream(it.tenant_id)]
            }
            Self::RoleDefined(it) => vec![role::stream(it.role_id), roster::stream(it.tenant_id)],
            Self::RoleRedefined(it) => vec![role::stream(it.role_id)],
            Self::RoleDeleted(it) => vec![role::stream(it.role_id), roster::stream(it.tenant_id)],
            Self::InvitationSent(it) => {
                vec![invitation::stream(it.invitation_id), roster::stream(it.tenant_id)]
            }
            Self::InvitationResent(it) => vec![invitation::stream(it.invitation_id)],
            Self::InvitationAccepted(it) => {
                vec![invitation::stream(it.invitation_id), roster::stream(it.tenant_id)]
            }
            Self::InvitationDeclined(it) | Self::InvitationRevoked(it) | Self::InvitationExpired(it) => {
                vec![invitation::stream(it.invitation_id), roster::stream(it.tenant_id)]
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod sample;
