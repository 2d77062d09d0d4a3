//! How this context says no: each refusal, its code and its figures. What the codes mean to a client stands in `error/codes.rs`;
//! making a tenant has refusals of its own in `tenant.rs`.

mod codes;

use std::collections::BTreeMap;

use crate::error::{CodeDoc, DomainError, ErrorKind};
use crate::ids::{RoleId, UserId};
use crate::words::Word;
pub use codes::CODES;

/// Each command names those that it gives, in the order in which it looks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrganisationError {
    /// It may not work, or not yet.
    #[error("the organisation is {status}")]
    NotActive {
        /// How it stands.
        status: Word,
    },
    /// It stands in a way in which this cannot be done.
    #[error("the organisation is {status}")]
    WrongState {
        /// How it stands.
        status: Word,
    },
    /// A figure of a policy is out of bounds.
    #[error("{field} must be {min} to {max}")]
    PolicyOutOfRange {
        /// Which.
        field: &'static str,
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// A member without a role, or with too many.
    #[error("a member has 1 to 20 roles, not {count}")]
    RoleCount {
        /// How many.
        count: usize,
    },
    /// A role that is not there, or not any more.
    #[error("there is no role {role}")]
    RoleUnknown {
        /// Which.
        role: String,
    },
    /// More than whoever grants it holds.
    #[error("nobody can grant {permission} without having it")]
    GrantsTooMuch {
        /// The first permission that is lacking.
        permission: String,
    },
    /// It takes away more than whoever takes it holds.
    #[error("the member holds more than who asks")]
    Outranked,
    /// Somebody may do everything already, or was the first who could.
    #[error("the organisation has an owner, or had a first one")]
    OwnerExists,
    /// They are one.
    #[error("the user is a member already")]
    AlreadyMember,
    /// They chose a password, and have not shown that their address is theirs.
    #[error("the address of the user is not proven")]
    AddressUnproven,
    /// They are none.
    #[error("the user {user_id} is not a member")]
    MemberNotFound {
        /// Who.
        user_id: UserId,
    },
    /// Who signs in is no member.
    #[error("the user is not a member")]
    NotAMember,
    /// Who hands ownership over has none.
    #[error("the user is not an owner")]
    NotAnOwner,
    /// Nobody would be left who may do everything.
    #[error("the last owner stays")]
    LastOwner,
    /// More owners than anybody needs.
    #[error("there are {max} owners; there cannot be more")]
    TooManyOwners {
        /// How many there may be.
        max: usize,
    },
    /// No seat is left for one more.
    #[error("all {seats} seats are taken")]
    SeatsUsedUp {
        /// How many there are.
        seats: u32,
    },
    /// A role without a permission, or with too many.
    #[error("a role has 1 to 200 permissions, not {count}")]
    PermissionCount {
        /// How many.
        count: usize,
    },
    /// The identifier is in use.
    #[error("a role with this id exists or existed")]
    RoleExists,
    /// Another role has the name.
    #[error("a role is called {name} already")]
    RoleNameTaken {
        /// Which name.
        name: String,
    },
    /// There is no such role.
    #[error("there is no role {role_id}")]
    RoleNotFound {
        /// Which.
        role_id: RoleId,
    },
    /// More roles than anybody keeps in mind.
    #[error("there are {max} roles; there cannot be more")]
    TooManyRoles {
        /// How many there may be.
        max: usize,
    },
    /// Somebody has it, or is invited to it.
    #[error("{holders} have the role")]
    RoleInUse {
        /// How many.
        holders: u32,
    },
    /// There is none.
    #[error("there is no such organisation")]
    TenantNotFound,
    /// The slug would pass for the platform's own.
    #[error("the slug is reserved")]
    SlugReserved,
    /// Who decides is who asked.
    #[error("whoever asked for it does not decide about it")]
    ApproverIsRequester,
    /// It would be over at once, or last too long.
    #[error("an invitation lasts {days_max} days at most")]
    InvitationSpan {
        /// Days that it may last.
        days_max: i64,
    },
    /// The identifier is in use.
    #[error("an invitation with this id exists")]
    InvitationExists,
    /// Another invitation of the address is open.
    #[error("an invitation of this address is open")]
    AlreadyInvited,
    /// There is none, or its link is not the newest, or its time is over.
    #[error("the invitation is not good, or not any more")]
    InvitationInvalid,
    /// It is not open any more.
    #[error("the invitation was answered or taken back")]
    InvitationOver,
    /// Who accepts is not who was invited.
    #[error("the invitation is for another address")]
    InvitationForAnother,
}

impl OrganisationError {
    const fn doc(&self) -> CodeDoc {
        match self {
            Self::NotActive { .. } => codes::NOT_ACTIVE,
            Self::WrongState { .. } => codes::WRONG_STATE,
            Self::PolicyOutOfRange { .. } => codes::POLICY_OUT_OF_RANGE,
            Self::RoleCount { .. } => codes::ROLE_COUNT,
            Self::RoleUnknown { .. } => codes::ROLE_UNKNOWN,
            Self::GrantsTooMuch { .. } => codes::GRANTS_TOO_MUCH,
            Self::Outranked => codes::OUTRANKED,
            Self::OwnerExists => codes::OWNER_EXISTS,
            Self::AlreadyMember => codes::ALREADY_MEMBER,
            Self::AddressUnproven => codes::ADDRESS_UNPROVEN,
            Self::MemberNotFound { .. } => codes::MEMBER_NOT_FOUND,
            Self::NotAMember => codes::NOT_A_MEMBER,
            Self::NotAnOwner => codes::NOT_AN_OWNER,
            Self::LastOwner => codes::LAST_OWNER,
            Self::TooManyOwners { .. } => codes::TOO_MANY_OWNERS,
            Self::SeatsUsedUp { .. } => codes::SEATS_USED_UP,
            Self::PermissionCount { .. } => codes::PERMISSION_COUNT,
            Self::RoleExists => codes::ROLE_EXISTS,
            Self::RoleNameTaken { .. } => codes::ROLE_NAME_TAKEN,
            Self::RoleNotFound { .. } => codes::ROLE_NOT_FOUND,
            Self::TooManyRoles { .. } => codes::TOO_MANY_ROLES,
            Self::RoleInUse { .. } => codes::ROLE_IN_USE,
            Self::TenantNotFound => codes::TENANT_NOT_FOUND,
            Self::SlugReserved => codes::SLUG_RESERVED,
            Self::ApproverIsRequester => codes::APPROVER_IS_REQUESTER,
            Self::InvitationSpan { .. } => codes::INVITATION_SPAN,
            Self::InvitationExists => codes::INVITATION_EXISTS,
            Self::AlreadyInvited => codes::ALREADY_INVITED,
            Self::InvitationInvalid => codes::INVITATION_INVALID,
            Self::InvitationOver => codes::INVITATION_OVER,
            Self::InvitationForAnother => codes::INVITATION_FOR_ANOTHER,
        }
    }
}

impl DomainError for OrganisationError {
    fn code(&self) -> &'static str {
        self.doc().code
    }

    fn kind(&self) -> ErrorKind {
        self.doc().kind
    }

    fn details(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::NotActive { status } | Self::WrongState { status } => {
                BTreeMap::from([("status", status.to_string())])
            }
            Self::PolicyOutOfRange { field, min, max } => BTreeMap::from([
                ("field", (*field).to_owned()),
                ("min", min.to_string()),
                ("max", max.to_string()),
            ]),
            Self::RoleCount { count } | Self::PermissionCount { count } => {
                BTreeMap::from([("count", count.to_string())])
            }
            Self::RoleUnknown { role } => BTreeMap::from([("role", role.clone())]),
            Self::GrantsTooMuch { permission } => BTreeMap::from([("permission", permission.clone())]),
            Self::MemberNotFound { user_id } => BTreeMap::from([("user_id", user_id.to_string())]),
            Self::TooManyOwners { max } | Self::TooManyRoles { max } => {
                BTreeMap::from([("max", max.to_string())])
            }
            Self::SeatsUsedUp { seats } => BTreeMap::from([("seats", seats.to_string())]),
            Self::RoleNameTaken { name } => BTreeMap::from([("name", name.clone())]),
            Self::RoleNotFound { role_id } => BTreeMap::from([("role_id", role_id.to_string())]),
            Self::RoleInUse { holders } => BTreeMap::from([("holders", holders.to_string())]),
            Self::InvitationSpan { days_max } => BTreeMap::from([("days_max", days_max.to_string())]),
            Self::Outranked
            | Self::TenantNotFound
            | Self::SlugReserved
            | Self::ApproverIsRequester
            | Self::InvitationExists
            | Self::AlreadyInvited
            | Self::InvitationInvalid
            | Self::InvitationOver
            | Self::InvitationForAnother
            | Self::OwnerExists
            | Self::AlreadyMember
            | Self::AddressUnproven
            | Self::NotAMember
            | Self::NotAnOwner
            | Self::LastOwner
            | Self::RoleExists => BTreeMap::new(),
        }
    }
}
