//! The roster of an organisation: its owners, how many members and open invitations it has, and how many have each of
//! its own roles.
//!
//! Every event that changes one of these figures belongs to this stream too and carries the roster whole, as a transfer
//! carries its accounts. So rules over the set (one owner at least, seats, a role that is in use) are judged on one
//! small state that the append guards, and nobody counts rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::OrganisationEvent;
use super::error::OrganisationError;
use super::grants::RoleRef;
use super::standing::Standing;
use crate::aggregate::Aggregate;
use crate::decision::View;
use crate::event::Event;
use crate::ids::{RoleId, TenantId, UserId};
use crate::stream::{Category, StreamId};

/// The most owners of an organisation.
pub const OWNERS_MAX: usize = 50;
/// The most roles that an organisation makes itself.
pub const ROLES_MAX: usize = 100;
/// How many members and open invitations an organisation may have for which the platform has set no other number.
pub const SEATS_DEFAULT: u32 = 10_000;

/// The figures of an organisation's members, as they are after an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Roster {
    /// Who may do everything, in the order of their identifiers.
    pub owners: Vec<UserId>,
    /// How many members there are, owners among them.
    pub members: u32,
    /// How many invitations are open.
    pub invited: u32,
    /// The organisation's own roles, in the order of their identifiers.
    pub roles: Vec<RoleUse>,
}

/// A role of the organisation's own, and how many have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleUse {
    /// Which.
    pub role_id: RoleId,
    /// How many members have it and how many open invitations name it.
    pub holders: u32,
}

/// The stream of an organisation's roster, in its own log.
#[must_use]
pub const fn stream(tenant: TenantId) -> StreamId {
    StreamId::new(Roster::CATEGORY, tenant.uuid())
}

impl Roster {
    /// The roster that a decision sees.
    pub(crate) fn of(view: &View<'_>) -> Self {
        view.find::<Self>(view.tenant.uuid()).map(|seen| seen.state.clone()).unwrap_or_default()
    }

    /// How many have a role of the organisation's own.
    #[must_use]
    pub fn holders(&self, role: RoleId) -> u32 {
        self.roles.iter().find(|it| it.role_id == role).map_or(0, |it| it.holders)
    }

    /// Whether the user is an owner.
    #[must_use]
    pub fn is_owner(&self, user: UserId) -> bool {
        self.owners.binary_search(&user).is_ok()
    }

    pub(crate) fn with_role(mut self, role_id: RoleId) -> Self {
        if let Err(place) = self.roles.binary_search_by_key(&role_id, |it| it.role_id) {
            self.roles.insert(place, RoleUse { role_id, holders: 0 });
        }
        self
    }

    pub(crate) fn without_role(mut self, role_id: RoleId) -> Self {
        self.roles.retain(|it| it.role_id != role_id);
        self
    }

    /// One more member or open invitation needs a seat: there must be one.
    ///
    /// # Errors
    /// [`OrganisationError::SeatsUsedUp`].
    pub(crate) fn has_seat(&self, view: &View<'_>) -> Result<(), OrganisationError> {
        let standing = view.find::<Standing>(view.tenant.uuid());
        let seats = standing.and_then(|seen| seen.state.seats).unwrap_or(SEATS_DEFAULT);
        if self.members.saturating_add(self.invited) >= seats {
            return Err(OrganisationError::SeatsUsedUp { seats });
        }
        Ok(())
    }

    /// A member whose roles were `before` has `after`; nothing before means that they were no member, and the other way
    /// round.
    ///
    /// # Errors
    /// [`OrganisationError::LastOwner`], if nobody is left who may do everything; [`OrganisationError::TooManyOwners`].
    pub(crate) fn moved(
        mut self,
        user: UserId,
        before: &[RoleRef],
        after: &[RoleRef],
    ) -> Result<Self, OrganisationError> {
        if before.is_empty() {
            self.members = self.members.saturating_add(1);
        }
        if after.is_empty() {
            self.members = self.members.saturating_sub(1);
        }
        match (self.owners.binary_search(&user), after.contains(&RoleRef::OWNER)) {
            (Ok(_), false) if self.owners.len() == 1 => return Err(OrganisationError::LastOwner),
            (Ok(place), false) => {
                self.owners.remove(place);
            }
            (Err(_), true) if self.owners.len() >= OWNERS_MAX => {
                return Err(OrganisationError::TooManyOwners { max: OWNERS_MAX });
            }
            (Err(place), true) => self.owners.insert(place, user),
            (Ok(_), true) | (Err(_), false) => {}
        }
        Ok(self.released(before).held(after))
    }

    /// `from` hands everything to `to`. Whoever owns the organisation afterwards, somebody does.
    ///
    /// # Errors
    /// [`OrganisationError::TooManyOwners`].
    pub(crate) fn handed(
        mut self,
        from: (UserId, &[RoleRef], &[RoleRef]),
        to: (UserId, &[RoleRef], &[RoleRef]),
    ) -> Result<Self, OrganisationError> {
        self.owners.retain(|it| *it != from.0);
        Ok(self.moved(to.0, to.1, to.2)?.released(from.1).held(from.2))
    }

    /// One invitation more, which names these roles.
    pub(crate) fn invited(mut self, roles: &[RoleRef]) -> Self {
        self.invited = self.invited.saturating_add(1);
        self.held(roles)
    }

    /// One invitation less.
    pub(crate) fn uninvited(mut self, roles: &[RoleRef]) -> Self {
        self.invited = self.invited.saturating_sub(1);
        self.released(roles)
    }

    fn held(mut self, roles: &[RoleRef]) -> Self {
        for role in roles.iter().filter_map(RoleRef::custom) {
            self = self.with_role(role);
            self.count(role, |it| it.saturating_add(1));
        }
        self
    }

    fn released(mut self, roles: &[RoleRef]) -> Self {
        for role in roles.iter().filter_map(RoleRef::custom) {
            self.count(role, |it| it.saturating_sub(1));
        }
        self
    }

    fn count(&mut self, role: RoleId, change: impl FnOnce(u32) -> u32) {
        if let Some(it) = self.roles.iter_mut().find(|it| it.role_id == role) {
            it.holders = change(it.holders);
        }
    }
}

impl Aggregate for Roster {
    const CATEGORY: Category = Category { code: 43, name: "organisation.roster" };

    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let Event::Organisation(newest) = newest else { return None };
        newest.roster().filter(|(tenant, _)| tenant.uuid() == id).map(|(_, roster)| roster.clone())
    }
}

impl OrganisationEvent {
    /// The roster after it, and whose it is, if it changes one.
    #[must_use]
    pub fn roster(&self) -> Option<(TenantId, &Roster)> {
        match self {
            Self::MemberAdded(it) => Some((it.tenant_id, &it.roster)),
            Self::RolesAssigned(it) => Some((it.tenant_id, &it.roster)),
            Self::MemberRemoved(it) => Some((it.tenant_id, &it.roster)),
            Self::OwnershipTransferred(it) => Some((it.tenant_id, &it.roster)),
            Self::RoleDefined(it) => Some((it.tenant_id, &it.roster)),
            Self::RoleDeleted(it) => Some((it.tenant_id, &it.roster)),
            Self::InvitationSent(it) => Some((it.tenant_id, &it.roster)),
            Self::InvitationAccepted(it) => Some((it.tenant_id, &it.roster)),
            Self::InvitationDeclined(it) | Self::InvitationRevoked(it) | Self::InvitationExpired(it) => {
                Some((it.tenant_id, &it.roster))
            }
            _ => None,
        }
    }
}
