//! How members come, change and go.

use super::super::OrganisationEvent;
use super::super::error::OrganisationError;
use super::super::grants::{RoleRef, RoleTable};
use super::super::roster::{self, Roster};
use super::super::standing;
use super::{
    Granter, MemberAdded, MemberRemoved, Membership, OwnershipTransferred, RolesAssigned, custom,
    known_roles, stream,
};
use crate::decision::{Decision, Outcome, Verdict, View};
use crate::error::Refusal;
use crate::ids::UserId;
use crate::stream::StreamId;
use crate::words::Word;

/// Makes somebody a member. Whoever was one before can become one again.
///
/// Refused with [`OrganisationError::RoleCount`], [`OrganisationError::RoleUnknown`],
/// [`OrganisationError::GrantsTooMuch`], [`OrganisationError::AlreadyMember`], [`OrganisationError::SeatsUsedUp`],
/// [`OrganisationError::TooManyOwners`].
#[derive(Debug, Clone)]
pub struct AddMember {
    /// Who.
    pub user_id: UserId,
    /// What they will be.
    pub roles: Vec<RoleRef>,
    /// On whose word.
    pub by: Granter,
    /// What built-in roles mean.
    pub table: RoleTable,
}

impl Decision for AddMember {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let own = [stream(self.user_id), roster::stream(view.tenant), standing::stream(view.tenant)];
        own.into_iter().chain(custom(&self.roles)).chain(self.by.needs(view)).collect()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let roles = known_roles(&self.roles, view, &self.table)?;
        self.by.grants(&roles, view, &self.table)?;
        if Membership::of(view, self.user_id).is_some_and(Membership::is_member) {
            return Err(OrganisationError::AlreadyMember.into());
        }
        let before = Roster::of(view);
        before.has_seat(view)?;
        let event = OrganisationEvent::MemberAdded(MemberAdded {
            tenant_id: view.tenant,
            user_id: self.user_id,
            roster: before.moved(self.user_id, &[], &roles)?,
            roles,
            invitation_id: None,
            at: view.now,
        });
        let was_here = Membership::of(view, self.user_id).is_some_and(|it| *it == Membership::Removed);
        let outcome = if was_here { Outcome::Done } else { Outcome::Created };
        Ok(Verdict { outcome, ..Verdict::created(stream(self.user_id), event) })
    }
}

/// Gives a member other roles. Already so, if they have them.
///
/// Refused with [`OrganisationError::MemberNotFound`], [`OrganisationError::RoleCount`],
/// [`OrganisationError::RoleUnknown`], [`OrganisationError::GrantsTooMuch`] for what comes,
/// [`OrganisationError::Outranked`] for what goes, [`OrganisationError::LastOwner`],
/// [`OrganisationError::TooManyOwners`].
#[derive(Debug, Clone)]
pub struct AssignRoles {
    /// Who.
    pub user_id: UserId,
    /// What they will be.
    pub roles: Vec<RoleRef>,
    /// On whose word.
    pub by: Granter,
    /// What built-in roles mean.
    pub table: RoleTable,
}

impl Decision for AssignRoles {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let member = Membership::needs(view, self.user_id);
        let own = member.into_iter().chain([roster::stream(view.tenant)]);
        own.chain(custom(&self.roles)).chain(self.by.needs(view)).collect()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let Some(Membership::Member { roles: before }) = Membership::of(view, self.user_id) else {
            return Err(OrganisationError::MemberNotFound { user_id: self.user_id }.into());
        };
        let roles = known_roles(&self.roles, view, &self.table)?;
        self.by.grants(&without(&roles, before), view, &self.table)?;
        self.by.takes(self.user_id, &without(before, &roles), view, &self.table)?;
        if roles == *before {
            return Ok(Verdict::already(stream(self.user_id)));
        }
        let event = OrganisationEvent::RolesAssigned(RolesAssigned {
            tenant_id: view.tenant,
            user_id: self.user_id,
            before: before.clone(),
            roster: Roster::of(view).moved(self.user_id, before, &roles)?,
            roles,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.user_id), event))
    }
}

/// Those of `roles` that are not among `others`.
fn without(roles: &[RoleRef], others: &[RoleRef]) -> Vec<RoleRef> {
    roles.iter().filter(|it| !others.contains(it)).cloned().collect()
}

/// Ends a membership; leaving is removing oneself. Already so, if somebody was removed before.
///
/// Refused with [`OrganisationError::MemberNotFound`], [`OrganisationError::Outranked`],
/// [`OrganisationError::LastOwner`].
#[derive(Debug, Clone)]
pub struct RemoveMember {
    /// Who.
    pub user_id: UserId,
    /// Why, such as `removed`, `left`, `erased`.
    pub because: Word,
    /// On whose word.
    pub by: Granter,
    /// What built-in roles mean.
    pub table: RoleTable,
}

impl Decision for RemoveMember {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let member = Membership::needs(view, self.user_id);
        member.into_iter().chain([roster::stream(view.tenant)]).chain(self.by.needs(view)).collect()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let before = match Membership::of(view, self.user_id) {
            Some(Membership::Member { roles }) => roles,
            Some(Membership::Removed) => return Ok(Verdict::already(stream(self.user_id))),
            Some(Membership::Absent) | None => {
                return Err(OrganisationError::MemberNotFound { user_id: self.user_id }.into());
            }
        };
        self.by.takes(self.user_id, before, view, &self.table)?;
        let event = OrganisationEvent::MemberRemoved(MemberRemoved {
            tenant_id: view.tenant,
            user_id: self.user_id,
            before: before.clone(),
            because: self.because.clone(),
            roster: Roster::of(view).moved(self.user_id, before, &[])?,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.user_id), event))
    }
}

/// Makes another member owner instead of oneself, in one step: there is no moment without an owner. Who handed it over
/// keeps their other roles, or becomes an administrator.
///
/// Refused with [`OrganisationError::NotAnOwner`], [`OrganisationError::MemberNotFound`].
#[derive(Debug, Clone)]
pub struct TransferOwnership {
    /// Who hands it over.
    pub from: UserId,
    /// To whom.
    pub to: UserId,
}

impl Decision for TransferOwnership {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.from), stream(self.to), roster::stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let roles = |user| Membership::of(view, user).map(Membership::roles).unwrap_or_default();
        let (from_before, to_before) = (roles(self.from), roles(self.to));
        if !from_before.contains(&RoleRef::OWNER) {
            return Err(OrganisationError::NotAnOwner.into());
        }
        if to_before.is_empty() {
            return Err(OrganisationError::MemberNotFound { user_id: self.to }.into());
        }
        if self.from == self.to {
            return Ok(Verdict::already(stream(self.from)));
        }
        let mut from_roles = without(from_before, &[RoleRef::OWNER]);
        if from_roles.is_empty() {
            from_roles.push(RoleRef::ADMIN);
        }
        let mut to_roles = to_before.to_vec();
        if !to_roles.contains(&RoleRef::OWNER) {
            to_roles.push(RoleRef::OWNER);
            to_roles.sort_unstable();
        }
        let roster = Roster::of(view)
            .handed((self.from, from_before, &from_roles), (self.to, to_before, &to_roles))?;
        let event = OrganisationEvent::OwnershipTransferred(OwnershipTransferred {
            tenant_id: view.tenant,
            from: self.from,
            from_roles,
            to: self.to,
            to_roles,
            roster,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.from), event))
    }
}
