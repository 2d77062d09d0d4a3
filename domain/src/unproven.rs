//! People who chose a password before they had shown that their address is theirs: anybody can register with the address of
//! somebody else, and wait until its owner is given something.
//!
//! So they are given nothing ([`ToProven`]), set no other way in up, which would be left to them when the owner of the address
//! chooses another password ([`AnotherWayIn`]), and make room as soon as the organisation itself asks for the owner of the
//! address ([`DisplaceUnproven`]): whoever waits there goes, and nothing of theirs is the newcomer's.
//!
//! Who was added by an administrator and has not come yet is none of them: nobody but the owner of the mailbox can choose
//! their password.

use uuid::Uuid;

use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::identity::{
    EMAIL_SCOPE, EmailHash, IdentityError, IdentityEvent, Registered, User, UserDeactivated, user,
};
use crate::ids::UserId;
use crate::organisation::{
    MemberRemoved, Membership, OrganisationError, OrganisationEvent, RoleRef, Roster, membership, roster,
};
use crate::stream::StreamId;
use crate::words::Word;

/// What the events say of why.
const DISPLACED: Word = Word::of("displaced");

fn find<'a>(view: &View<'a>, user: UserId) -> Option<&'a Registered> {
    view.find::<User>(user.uuid()).and_then(|seen| seen.state.registered())
}

/// A command that gives a member roles, for whoever is no stranger with a borrowed address.
pub struct ToProven {
    user_id: UserId,
    roles: Vec<RoleRef>,
    inner: Box<dyn Decision>,
}

impl ToProven {
    /// Lets `inner` give `roles` to `user_id`. What they have already, and the role `user`, everybody can be given.
    #[must_use]
    pub const fn new(user_id: UserId, roles: Vec<RoleRef>, inner: Box<dyn Decision>) -> Self {
        Self { user_id, roles, inner }
    }
}

impl Decision for ToProven {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let own = [user::stream(self.user_id), membership::stream(self.user_id)];
        self.inner.needs(view).into_iter().chain(own).collect()
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.inner.subjects()
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        self.inner.overdue(view)
    }

    /// Refused with [`OrganisationError::AddressUnproven`], after everything that the command itself refuses.
    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let verdict = self.inner.decide(view)?;
        let found = view.find::<Membership>(self.user_id.uuid()).map(|seen| seen.state.roles());
        let held = found.unwrap_or_default();
        let more = self.roles.iter().any(|it| *it != RoleRef::USER && !held.contains(it));
        if more && find(view, self.user_id).is_some_and(Registered::is_unproven) {
            return Err(OrganisationError::AddressUnproven.into());
        }
        Ok(verdict)
    }
}

/// A command that gives somebody another way in beside their password, such as a factor or a link to a provider, for whoever is
/// no stranger with a borrowed address.
pub struct AnotherWayIn {
    user_id: UserId,
    inner: Box<dyn Decision>,
}

impl AnotherWayIn {
    /// Lets `inner` give `user_id` a way in.
    #[must_use]
    pub const fn new(user_id: UserId, inner: Box<dyn Decision>) -> Self {
        Self { user_id, inner }
    }
}

impl Decision for AnotherWayIn {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        self.inner.needs(view).into_iter().chain([user::stream(self.user_id)]).collect()
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.inner.subjects()
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        self.inner.overdue(view)
    }

    /// Refused with [`IdentityError::EmailUnverified`], after everything that the command itself refuses.
    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let verdict = self.inner.decide(view)?;
        let unproven = find(view, self.user_id).is_some_and(Registered::is_unproven);
        if unproven { Err(IdentityError::EmailUnverified.into()) } else { Ok(verdict) }
    }
}

/// Takes the address from somebody who registered with it and never showed that it is theirs: they are out for good, and
/// the address and their seat are free. Part of a unit that gives the address to whoever the organisation means.
///
/// Already so, if they are none of those: they have shown it, have no password, are more than
/// `user`, or went before.
#[derive(Debug, Clone, Copy)]
pub struct DisplaceUnproven {
    /// Who has the address.
    pub user_id: UserId,
    /// The address as the claims know it.
    pub email_hash: EmailHash,
}

impl Decision for DisplaceUnproven {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![user::stream(self.user_id), membership::stream(self.user_id), roster::stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let (user_id, tenant_id, at) = (self.user_id, view.tenant, view.now);
        let primary = user::stream(user_id);
        let waits = |it: &Registered| it.is_unproven() && !it.is_displaced;
        let member = view.find::<Membership>(user_id.uuid()).map(|seen| seen.state);
        let roles = member.map(Membership::roles).unwrap_or_default();
        if !find(view, user_id).is_some_and(waits) || roles.iter().any(|it| *it != RoleRef::USER) {
            return Ok(Verdict::already(primary));
        }
        let gone = UserDeactivated { user_id, because: DISPLACED, frees_address: true, at };
        let mut verdict = Verdict::done(primary, IdentityEvent::UserDeactivated(gone));
        if !roles.is_empty() {
            let removed = OrganisationEvent::MemberRemoved(MemberRemoved {
                tenant_id,
                user_id,
                before: roles.to_vec(),
                because: DISPLACED,
                roster: Roster::of(view).moved(user_id, roles, &[])?,
                at,
            });
            verdict.events.push(removed.into());
        }
        Ok(verdict.with_claims([self.email_hash.release(EMAIL_SCOPE)]))
    }
}

#[cfg(test)]
mod tests;
