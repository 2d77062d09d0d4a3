//! Organisations: which there are, what they ask for, who is a member and what roles grant.

use domain::organisation::{
    Invitation, InvitationAccepted, InvitationClosed, InvitationResent, InvitationSent, MemberAdded,
    MemberRemoved, Membership, OrganisationEvent, OwnershipTransferred, Policy, PolicyChanged, Profile,
    ProfileRenamed, Role, RoleDefined, RoleDeleted, RoleRedefined, RolesAssigned, Roster, Standing,
    StandingChanged, Tenant, TenantApproved, TenantClosed, TenantCreated, TenantReactivated, TenantRejected,
    TenantRenamed, TenantRequested, TenantSuspended, TenantTierChanged,
};

use super::{AggregateType, EventType, aggregate, event};

pub(super) const EVENTS: &[EventType] = &[
    event::<Tenant, OrganisationEvent, TenantCreated>(
        "organisation.tenant-created",
        "An organisation came to be.",
    ),
    event::<Tenant, OrganisationEvent, TenantRequested>(
        "organisation.tenant-requested",
        "Somebody asked for an organisation.",
    ),
    event::<Tenant, OrganisationEvent, TenantApproved>(
        "organisation.tenant-approved",
        "An organisation may work.",
    ),
    event::<Tenant, OrganisationEvent, TenantRejected>(
        "organisation.tenant-rejected",
        "An organisation will not come to be.",
    ),
    event::<Tenant, OrganisationEvent, TenantSuspended>(
        "organisation.tenant-suspended",
        "An organisation may not work for the time being.",
    ),
    event::<Tenant, OrganisationEvent, TenantReactivated>(
        "organisation.tenant-reactivated",
        "An organisation may work again.",
    ),
    event::<Tenant, OrganisationEvent, TenantClosed>(
        "organisation.tenant-closed",
        "An organisation is gone.",
    ),
    event::<Tenant, OrganisationEvent, TenantRenamed>(
        "organisation.tenant-renamed",
        "An organisation has another name for people.",
    ),
    event::<Tenant, OrganisationEvent, TenantTierChanged>(
        "organisation.tenant-tier-changed",
        "An organisation has booked something else.",
    ),
    event::<Standing, OrganisationEvent, StandingChanged>(
        "organisation.standing-changed",
        "An organisation may work, or may not, or has another number of seats.",
    ),
    event::<Profile, OrganisationEvent, ProfileRenamed>(
        "organisation.profile-renamed",
        "An organisation has another name for people, as its own log tells it.",
    ),
    event::<Policy, OrganisationEvent, PolicyChanged>(
        "organisation.policy-changed",
        "An organisation asks something else of its people.",
    ),
    event::<Membership, OrganisationEvent, MemberAdded>(
        "organisation.member-added",
        "Somebody became a member.",
    ),
    event::<Membership, OrganisationEvent, RolesAssigned>(
        "organisation.roles-assigned",
        "A member has other roles.",
    ),
    event::<Membership, OrganisationEvent, MemberRemoved>(
        "organisation.member-removed",
        "Somebody is no member any more.",
    ),
    event::<Membership, OrganisationEvent, OwnershipTransferred>(
        "organisation.ownership-transferred",
        "An owner made another member owner instead of themselves.",
    ),
    event::<Role, OrganisationEvent, RoleDefined>(
        "organisation.role-defined",
        "A role of the organisation's own came to be.",
    ),
    event::<Role, OrganisationEvent, RoleRedefined>(
        "organisation.role-redefined",
        "A role has another name or grants something else, for all who have it.",
    ),
    event::<Role, OrganisationEvent, RoleDeleted>(
        "organisation.role-deleted",
        "A role that nobody had is gone.",
    ),
    event::<Invitation, OrganisationEvent, InvitationSent>(
        "organisation.invitation-sent",
        "Somebody was invited.",
    ),
    event::<Invitation, OrganisationEvent, InvitationResent>(
        "organisation.invitation-resent",
        "An invitation was sent again.",
    ),
    event::<Invitation, OrganisationEvent, InvitationAccepted>(
        "organisation.invitation-accepted",
        "The invited person became a member.",
    ),
    event::<Invitation, OrganisationEvent, InvitationClosed>(
        "organisation.invitation-declined",
        "The invited person does not want to be a member.",
    ),
    event::<Invitation, OrganisationEvent, InvitationClosed>(
        "organisation.invitation-revoked",
        "An invitation was taken back.",
    ),
    event::<Invitation, OrganisationEvent, InvitationClosed>(
        "organisation.invitation-expired",
        "Nobody accepted an invitation in time.",
    ),
];

pub(super) const AGGREGATES: &[AggregateType] = &[
    aggregate::<Tenant>(),
    aggregate::<Standing>(),
    aggregate::<Profile>(),
    aggregate::<Policy>(),
    aggregate::<Membership>(),
    aggregate::<Role>(),
    aggregate::<Roster>(),
    aggregate::<Invitation>(),
];
