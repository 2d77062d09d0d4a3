//! How this context says no, and the reference of it. Making a tenant has refusals of its own in `tenant.rs`.

use std::collections::BTreeMap;

use crate::error::{CodeDoc, DomainError, ErrorKind};
use crate::ids::{RoleId, UserId};
use crate::words::Word;

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

const NOT_ACTIVE: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.not-active",
    "the organisation may not work now",
    "see `status` in `details`; an owner can ask the platform",
);
const WRONG_STATE: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.wrong-state",
    "the organisation stands in a way in which this cannot be done",
    "see `status` in `details`",
);
const POLICY_OUT_OF_RANGE: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.policy-out-of-range",
    "a figure of the policy is out of its bounds",
    "keep `field` between `min` and `max` of `details`",
);
const ROLE_COUNT: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.role-count",
    "a member would have no role, or too many",
    "name 1 to 20 roles",
);
const ROLE_UNKNOWN: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.role-unknown",
    "there is no such role, or not any more",
    "take a built-in role, or one of the list of roles",
);
const GRANTS_TOO_MUCH: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.grants-too-much",
    "nobody grants a permission that they lack",
    "ask somebody who has the `permission` of `details`",
);
const OUTRANKED: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.outranked",
    "nobody takes away a permission that they lack",
    "ask somebody who may do at least what the member may",
);
const OWNER_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.owner-exists",
    "the platform has its first owner, who comes once and never again",
    "ask an owner of the platform for an invitation",
);
const ALREADY_MEMBER: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.already-member",
    "the user is a member already",
    "assign other roles instead",
);
const MEMBER_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "organisation.member-not-found",
    "there is no such member",
    "check the identifier against the list of members",
);
const NOT_A_MEMBER: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.not-a-member",
    "who signs in is not a member of the organisation, or not any more",
    "ask an owner of the organisation for an invitation",
);
const NOT_AN_OWNER: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.not-an-owner",
    "only an owner hands ownership over",
    "ask an owner",
);
const LAST_OWNER: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.last-owner",
    "nobody would be left who may do everything",
    "make another member owner first",
);
const TOO_MANY_OWNERS: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.too-many-owners",
    "there are as many owners as there may be",
    "make the member an administrator instead",
);
const SEATS_USED_UP: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.seats-used-up",
    "members and open invitations take all seats",
    "remove a member or revoke an invitation, or ask the platform for more seats",
);
const PERMISSION_COUNT: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.permission-count",
    "a role would grant nothing, or too much to look through",
    "name 1 to 200 permissions",
);
const ROLE_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.role-exists",
    "the role's identifier is in use",
    "take a fresh identifier for each role",
);
const ROLE_NAME_TAKEN: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.role-name-taken",
    "another role has the name",
    "choose another name; upper and lower case are the same",
);
const ROLE_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "organisation.role-not-found",
    "there is no such role",
    "check the identifier against the list of roles",
);
const TOO_MANY_ROLES: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.too-many-roles",
    "the organisation has as many roles as it may have",
    "delete one that nobody needs",
);
const ROLE_IN_USE: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.role-in-use",
    "members have the role, or open invitations name it",
    "assign them other roles first",
);
const TENANT_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "organisation.not-found",
    "there is no such organisation",
    "check the identifier or the slug",
);
const SLUG_RESERVED: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.slug-reserved",
    "the slug is kept for the platform",
    "choose another slug",
);
const APPROVER_IS_REQUESTER: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.approver-is-requester",
    "whoever asked for the organisation does not decide about it",
    "let somebody else of the platform decide",
);
const INVITATION_SPAN: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.invitation-span",
    "an invitation would last too long, or be over at once",
    "ask for an end within 30 days",
);
const INVITATION_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.invitation-exists",
    "the invitation's identifier is in use",
    "take a fresh identifier for each invitation",
);
const ALREADY_INVITED: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.already-invited",
    "an invitation of this address is open",
    "send that one again, or revoke it first",
);
const INVITATION_INVALID: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "organisation.invitation-invalid",
    "there is no such invitation, or its link is not good any more",
    "ask who invited for another one",
);
const INVITATION_OVER: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.invitation-over",
    "the invitation was answered, taken back, or its time was over",
    "invite anew",
);
const INVITATION_FOR_ANOTHER: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.invitation-for-another",
    "the invitation is for another address than the verified one of who accepts",
    "sign in with the account of the address that was invited; the invitation stays open",
);

/// Every code of [`OrganisationError`].
pub const CODES: &[CodeDoc] = &[
    NOT_ACTIVE,
    WRONG_STATE,
    POLICY_OUT_OF_RANGE,
    ROLE_COUNT,
    ROLE_UNKNOWN,
    GRANTS_TOO_MUCH,
    OUTRANKED,
    OWNER_EXISTS,
    ALREADY_MEMBER,
    MEMBER_NOT_FOUND,
    NOT_A_MEMBER,
    NOT_AN_OWNER,
    LAST_OWNER,
    TOO_MANY_OWNERS,
    SEATS_USED_UP,
    PERMISSION_COUNT,
    ROLE_EXISTS,
    ROLE_NAME_TAKEN,
    ROLE_NOT_FOUND,
    TOO_MANY_ROLES,
    ROLE_IN_USE,
    TENANT_NOT_FOUND,
    SLUG_RESERVED,
    APPROVER_IS_REQUESTER,
    INVITATION_SPAN,
    INVITATION_EXISTS,
    ALREADY_INVITED,
    INVITATION_INVALID,
    INVITATION_OVER,
    INVITATION_FOR_ANOTHER,
];

impl OrganisationError {
    const fn doc(&self) -> CodeDoc {
        match self {
            Self::NotActive { .. } => NOT_ACTIVE,
            Self::WrongState { .. } => WRONG_STATE,
            Self::PolicyOutOfRange { .. } => POLICY_OUT_OF_RANGE,
            Self::RoleCount { .. } => ROLE_COUNT,
            Self::RoleUnknown { .. } => ROLE_UNKNOWN,
            Self::GrantsTooMuch { .. } => GRANTS_TOO_MUCH,
            Self::Outranked => OUTRANKED,
            Self::OwnerExists => OWNER_EXISTS,
            Self::AlreadyMember => ALREADY_MEMBER,
            Self::MemberNotFound { .. } => MEMBER_NOT_FOUND,
            Self::NotAMember => NOT_A_MEMBER,
            Self::NotAnOwner => NOT_AN_OWNER,
            Self::LastOwner => LAST_OWNER,
            Self::TooManyOwners { .. } => TOO_MANY_OWNERS,
            Self::SeatsUsedUp { .. } => SEATS_USED_UP,
            Self::PermissionCount { .. } => PERMISSION_COUNT,
            Self::RoleExists => ROLE_EXISTS,
            Self::RoleNameTaken { .. } => ROLE_NAME_TAKEN,
            Self::RoleNotFound { .. } => ROLE_NOT_FOUND,
            Self::TooManyRoles { .. } => TOO_MANY_ROLES,
            Self::RoleInUse { .. } => ROLE_IN_USE,
            Self::TenantNotFound => TENANT_NOT_FOUND,
            Self::SlugReserved => SLUG_RESERVED,
            Self::ApproverIsRequester => APPROVER_IS_REQUESTER,
            Self::InvitationSpan { .. } => INVITATION_SPAN,
            Self::InvitationExists => INVITATION_EXISTS,
            Self::AlreadyInvited => ALREADY_INVITED,
            Self::InvitationInvalid => INVITATION_INVALID,
            Self::InvitationOver => INVITATION_OVER,
            Self::InvitationForAnother => INVITATION_FOR_ANOTHER,
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
            | Self::NotAMember
            | Self::NotAnOwner
            | Self::LastOwner
            | Self::RoleExists => BTreeMap::new(),
        }
    }
}
