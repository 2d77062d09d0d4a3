//! The reference of the codes by which this context says no: one of each refusal of [`OrganisationError`].

use crate::error::{CodeDoc, ErrorKind};
#[cfg(doc)]
use crate::organisation::OrganisationError;

pub(super) const NOT_ACTIVE: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.not-active",
    "the organisation may not work now",
    "see `status` in `details`; an owner can ask the platform",
);
pub(super) const WRONG_STATE: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.wrong-state",
    "the organisation stands in a way in which this cannot be done",
    "see `status` in `details`",
);
pub(super) const POLICY_OUT_OF_RANGE: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.policy-out-of-range",
    "a figure of the policy is out of its bounds",
    "keep `field` between `min` and `max` of `details`",
);
pub(super) const ROLE_COUNT: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.role-count",
    "a member would have no role, or too many",
    "name 1 to 20 roles",
);
pub(super) const ROLE_UNKNOWN: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.role-unknown",
    "there is no such role, or not any more",
    "take a built-in role, or one of the list of roles",
);
pub(super) const GRANTS_TOO_MUCH: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.grants-too-much",
    "nobody grants a permission that they lack",
    "ask somebody who has the `permission` of `details`",
);
pub(super) const OUTRANKED: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.outranked",
    "nobody takes away a permission that they lack",
    "ask somebody who may do at least what the member may",
);
pub(super) const OWNER_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.owner-exists",
    "the platform has its first owner, who comes once and never again",
    "ask an owner of the platform for an invitation",
);
pub(super) const ALREADY_MEMBER: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.already-member",
    "the user is a member already",
    "assign other roles instead",
);
pub(super) const ADDRESS_UNPROVEN: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.address-unproven",
    "the member registered by themselves, and has not shown that their address is theirs",
    "invite the address: whoever has its mailbox comes in the place of whoever registered with it",
);
pub(super) const MEMBER_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "organisation.member-not-found",
    "there is no such member",
    "check the identifier against the list of members",
);
pub(super) const NOT_A_MEMBER: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.not-a-member",
    "who signs in is not a member of the organisation, or not any more",
    "ask an owner of the organisation for an invitation",
);
pub(super) const NOT_AN_OWNER: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.not-an-owner",
    "only an owner hands ownership over",
    "ask an owner",
);
pub(super) const LAST_OWNER: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.last-owner",
    "nobody would be left who may do everything, is active and has a proven address",
    "make another member owner first, whose address is proven",
);
pub(super) const TOO_MANY_OWNERS: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.too-many-owners",
    "there are as many owners as there may be",
    "make the member an administrator instead",
);
pub(super) const SEATS_USED_UP: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.seats-used-up",
    "members and open invitations take all seats",
    "remove a member or revoke an invitation, or ask the platform for more seats",
);
pub(super) const PERMISSION_COUNT: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.permission-count",
    "a role would grant nothing, or too much to look through",
    "name 1 to 200 permissions",
);
pub(super) const ROLE_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.role-exists",
    "the role's identifier is in use",
    "take a fresh identifier for each role",
);
pub(super) const ROLE_NAME_TAKEN: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.role-name-taken",
    "another role has the name",
    "choose another name; upper and lower case are the same",
);
pub(super) const ROLE_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "organisation.role-not-found",
    "there is no such role",
    "check the identifier against the list of roles",
);
pub(super) const TOO_MANY_ROLES: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.too-many-roles",
    "the organisation has as many roles as it may have",
    "delete one that nobody needs",
);
pub(super) const ROLE_IN_USE: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.role-in-use",
    "members have the role, or open invitations name it",
    "assign them other roles first",
);
pub(super) const TENANT_NOT_FOUND: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "organisation.not-found",
    "there is no such organisation",
    "check the identifier or the slug",
);
pub(super) const SLUG_RESERVED: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.slug-reserved",
    "the slug is kept for the platform",
    "choose another slug",
);
pub(super) const APPROVER_IS_REQUESTER: CodeDoc = CodeDoc::new(
    ErrorKind::Forbidden,
    "organisation.approver-is-requester",
    "whoever asked for the organisation does not decide about it",
    "let somebody else of the platform decide",
);
pub(super) const INVITATION_SPAN: CodeDoc = CodeDoc::new(
    ErrorKind::Rejected,
    "organisation.invitation-span",
    "an invitation would last too long, or be over at once",
    "ask for an end within 30 days",
);
pub(super) const INVITATION_EXISTS: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.invitation-exists",
    "the invitation's identifier is in use",
    "take a fresh identifier for each invitation",
);
pub(super) const ALREADY_INVITED: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.already-invited",
    "an invitation of this address is open",
    "send that one again, or revoke it first",
);
pub(super) const INVITATION_INVALID: CodeDoc = CodeDoc::new(
    ErrorKind::NotFound,
    "organisation.invitation-invalid",
    "there is no such invitation, or its link is not good any more",
    "ask who invited for another one",
);
pub(super) const INVITATION_OVER: CodeDoc = CodeDoc::new(
    ErrorKind::Conflict,
    "organisation.invitation-over",
    "the invitation was answered, taken back, or its time was over",
    "invite anew",
);
pub(super) const INVITATION_FOR_ANOTHER: CodeDoc = CodeDoc::new(
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
    ADDRESS_UNPROVEN,
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
