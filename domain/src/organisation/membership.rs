//! A member of an organisation: which roles they have. Who they are is the user's stream of the same identifier.
//!
//! Nobody grants what they lack, and nobody takes away what they lack; the last owner stays. Whoever is removed holds
//! nothing from that moment on; a caller ends their sessions in the same unit.

mod change;
mod first_owner;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use change::{AddMember, AssignRoles, RemoveMember, TransferOwnership};
pub use first_owner::{BecomeFirstOwner, FIRST_OWNER, FIRST_OWNER_SCOPE};

use super::OrganisationEvent;
use super::error::OrganisationError;
use super::grants::{self, Granted, RoleRef, RoleTable};
use super::role;
use super::roster::Roster;
use crate::aggregate::Aggregate;
use crate::decision::View;
use crate::event::Event;
use crate::ids::{InvitationId, TenantId, UserId};
use crate::stream::{Category, StreamId};
use crate::words::Word;

/// The most roles of a member.
pub const ROLES_HELD_MAX: usize = 20;

/// Somebody became a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberAdded {
    /// In which organisation.
    pub tenant_id: TenantId,
    /// Who.
    pub user_id: UserId,
    /// What they are, in order.
    pub roles: Vec<RoleRef>,
    /// The invitation that they accepted, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation_id: Option<InvitationId>,
    /// The organisation's members after it.
    pub roster: Roster,
    /// When.
    pub at: DateTime<Utc>,
}

/// A member has other roles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolesAssigned {
    /// In which organisation.
    pub tenant_id: TenantId,
    /// Who.
    pub user_id: UserId,
    /// What they were.
    pub before: Vec<RoleRef>,
    /// What they are, in order.
    pub roles: Vec<RoleRef>,
    /// The organisation's members after it.
    pub roster: Roster,
    /// When.
    pub at: DateTime<Utc>,
}

/// Somebody is no member any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRemoved {
    /// In which organisation.
    pub tenant_id: TenantId,
    /// Who.
    pub user_id: UserId,
    /// What they were.
    pub before: Vec<RoleRef>,
    /// Why, such as `removed`, `left`, `erased`.
    pub because: Word,
    /// The organisation's members after it.
    pub roster: Roster,
    /// When.
    pub at: DateTime<Utc>,
}

/// An owner made another member owner instead of themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OwnershipTransferred {
    /// In which organisation.
    pub tenant_id: TenantId,
    /// Who was an owner.
    pub from: UserId,
    /// What they are now.
    pub from_roles: Vec<RoleRef>,
    /// Who is one now.
    pub to: UserId,
    /// What they are now.
    pub to_roles: Vec<RoleRef>,
    /// The organisation's members after it.
    pub roster: Roster,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of a member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Membership {
    /// Never a member.
    #[default]
    Absent,
    /// A member.
    Member {
        /// What they are, in order.
        roles: Vec<RoleRef>,
    },
    /// A member once.
    Removed,
}

/// On whose word something is granted or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granter {
    /// A member's, who holds what their roles grant at that moment.
    Member(UserId),
    /// The platform's or its operator's, who lack nothing.
    Platform,
}

/// The stream of a member.
#[must_use]
pub const fn stream(id: UserId) -> StreamId {
    StreamId::new(Membership::CATEGORY, id.uuid())
}

impl Membership {
    /// What they are; nothing if they are no member.
    #[must_use]
    pub fn roles(&self) -> &[RoleRef] {
        match self {
            Self::Member { roles } => roles,
            Self::Absent | Self::Removed => &[],
        }
    }

    /// Whether they are a member now.
    #[must_use]
    pub const fn is_member(&self) -> bool {
        matches!(self, Self::Member { .. })
    }

    /// The membership that a decision sees.
    pub(crate) fn of<'a>(view: &View<'a>, user: UserId) -> Option<&'a Self> {
        view.find::<Self>(user.uuid()).map(|seen| seen.state)
    }

    /// The streams that say what a member may do: the membership, and the organisation's own roles among theirs.
    pub(crate) fn needs(view: &View<'_>, user: UserId) -> Vec<StreamId> {
        let roles = Self::of(view, user).map(Self::roles).unwrap_or_default();
        std::iter::once(stream(user)).chain(custom(roles)).collect()
    }
}

impl Granter {
    /// The streams that say what they hold.
    #[must_use]
    pub fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        match self {
            Self::Member(user) => Membership::needs(view, *user),
            Self::Platform => vec![],
        }
    }

    /// What they hold now.
    #[must_use]
    pub fn holds(&self, view: &View<'_>, table: &RoleTable) -> Granted {
        match self {
            Self::Member(user) => {
                let roles = Membership::of(view, *user).map(Membership::roles).unwrap_or_default();
                grants::granted(roles, table, grants::seen(view))
            }
            Self::Platform => Granted::All,
        }
    }

    /// Whether they hold all that `roles` grant.
    ///
    /// # Errors
    /// [`OrganisationError::GrantsTooMuch`] with the first permission that they lack.
    pub(crate) fn grants(
        &self,
        roles: &[RoleRef],
        view: &View<'_>,
        table: &RoleTable,
    ) -> Result<(), OrganisationError> {
        let wanted = grants::granted(roles, table, grants::seen(view));
        match self.holds(view, table).first_lacking(&wanted) {
            Some(permission) => Err(OrganisationError::GrantsTooMuch { permission }),
            None => Ok(()),
        }
    }

    /// Whether they may take `roles` from `user`: their own always, another's if they hold what these grant.
    ///
    /// # Errors
    /// [`OrganisationError::Outranked`].
    pub(crate) fn takes(
        &self,
        user: UserId,
        roles: &[RoleRef],
        view: &View<'_>,
        table: &RoleTable,
    ) -> Result<(), OrganisationError> {
        if *self == Self::Member(user) {
            return Ok(());
        }
        self.grants(roles, view, table).map_err(|_| OrganisationError::Outranked)
    }
}

/// The streams of the organisation's own roles among `roles`.
pub(crate) fn custom(roles: &[RoleRef]) -> impl Iterator<Item = StreamId> {
    roles.iter().filter_map(RoleRef::custom).map(role::stream)
}

/// Roles in order, each once, if there are some, not too many, and each is one.
///
/// # Errors
/// [`OrganisationError::RoleCount`], [`OrganisationError::RoleUnknown`].
pub(crate) fn known_roles(
    roles: &[RoleRef],
    view: &View<'_>,
    table: &RoleTable,
) -> Result<Vec<RoleRef>, OrganisationError> {
    let mut sorted = roles.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.is_empty() || sorted.len() > ROLES_HELD_MAX {
        return Err(OrganisationError::RoleCount { count: sorted.len() });
    }
    let find = grants::seen(view);
    let unknown = sorted.iter().find(|role| match role {
        RoleRef::BuiltIn(name) => !table.knows(name),
        RoleRef::Custom(id) => !find(*id).is_some_and(role::Role::is_defined),
    });
    match unknown {
        Some(role) => Err(OrganisationError::RoleUnknown { role: role.to_string() }),
        None => Ok(sorted),
    }
}

impl Aggregate for Membership {
    const CATEGORY: Category = Category { code: 40, name: "organisation.membership" };

    // Each of its events says all of it.
    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let member = |user: UserId, roles: &[RoleRef]| {
            (user.uuid() == id).then(|| Self::Member { roles: roles.to_vec() })
        };
        let Event::Organisation(newest) = newest else { return None };
        match newest {
            OrganisationEvent::MemberAdded(it) => member(it.user_id, &it.roles),
            OrganisationEvent::RolesAssigned(it) => member(it.user_id, &it.roles),
            OrganisationEvent::MemberRemoved(it) => (it.user_id.uuid() == id).then_some(Self::Removed),
            OrganisationEvent::OwnershipTransferred(it) => {
                member(it.from, &it.from_roles).or_else(|| member(it.to, &it.to_roles))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
