//! Taking a user away without taking the organisation's last owner: judged on the user and on the roster together.

use uuid::Uuid;

use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::identity::{User, user};
use crate::ids::UserId;
use crate::organisation::{OrganisationError, Roster, roster};
use crate::stream::StreamId;

/// A command after which a user can act no more, such as `DeactivateUser` or `ErasePerson`.
pub struct Leaving {
    user_id: UserId,
    successor: Option<UserId>,
    inner: Box<dyn Decision>,
}

impl Leaving {
    /// Runs `inner`, after which `user_id` can act no more, unless nobody would be left who can act and may do everything.
    #[must_use]
    pub fn new(user_id: UserId, inner: Box<dyn Decision>) -> Self {
        Self { user_id, successor: None, inner }
    }

    /// The one whom the command makes an owner in their place.
    #[must_use]
    pub const fn followed_by(mut self, successor: UserId) -> Self {
        self.successor = Some(successor);
        self
    }

    fn other_owners(&self, view: &View<'_>) -> Vec<UserId> {
        let owners = Roster::of(view).owners.into_iter().chain(self.successor);
        owners.filter(|it| *it != self.user_id).collect()
    }
}

impl Decision for Leaving {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = self.inner.needs(view);
        needs.push(roster::stream(view.tenant));
        if Roster::of(view).is_owner(self.user_id) {
            needs.extend(self.other_owners(view).into_iter().map(user::stream));
        }
        needs
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.inner.subjects()
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        self.inner.overdue(view)
    }

    /// Refused with [`OrganisationError::LastOwner`], after everything that the command itself refuses. What is already
    /// so stays so. Who has not shown that their address is theirs can neither sign in nor come by a password.
    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let verdict = self.inner.decide(view)?;
        let acts = |owner: &UserId| {
            let found = view.find::<User>(owner.uuid()).map(|seen| seen.state);
            matches!(found, Some(User::Active(it)) if it.email_verified)
        };
        let is_owner = Roster::of(view).is_owner(self.user_id);
        if is_owner && !verdict.events.is_empty() && !self.other_owners(view).iter().any(acts) {
            return Err(OrganisationError::LastOwner.into());
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::sample::*;
    use crate::identity::{DeactivateUser, ErasePerson, ReactivateUser, VerifyEmail};
    use crate::organisation::sample::add;
    use crate::organisation::{Granter, RoleRef, TransferOwnership};
    use crate::spec::{Given, given_nothing};
    use crate::words::Word;

    fn person(user_id: UserId, email: u8, role: RoleRef, given: Given) -> Given {
        given.having(verified(user_id, email)).having(add(user_id, &[role], Granter::Platform))
    }

    /// Ada, who owns the organisation, and Bob, who has that role in it.
    fn shop(role: RoleRef) -> Given {
        person(BOB, 2, role, person(ADA, 1, RoleRef::OWNER, given_nothing()))
    }

    fn leave(user_id: UserId) -> Leaving {
        Leaving::new(user_id, Box::new(DeactivateUser { user_id, because: Word::of("left") }))
    }

    #[test]
    fn the_last_owner_is_not_deactivated() {
        shop(RoleRef::ADMIN).when(leave(ADA)).then_refused_for(OrganisationError::LastOwner);
        shop(RoleRef::ADMIN).when(leave(BOB)).then_succeeds();
        shop(RoleRef::OWNER).when(leave(ADA)).then_succeeds();
    }

    #[test]
    fn an_owner_who_cannot_act_is_none() {
        let given = || shop(RoleRef::OWNER).having(leave(BOB));
        given().when(leave(ADA)).then_refused_for(OrganisationError::LastOwner);
        given().when(leave(BOB)).then_already();
        given().having(ReactivateUser { user_id: BOB }).when(leave(ADA)).then_succeeds();
    }

    #[test]
    fn an_owner_whose_address_is_not_proven_is_none() {
        let unproven = || {
            let ada = person(ADA, 1, RoleRef::OWNER, given_nothing());
            ada.having(register(BOB, 2)).having(add(BOB, &[RoleRef::OWNER], Granter::Platform))
        };
        unproven().when(leave(ADA)).then_refused_for(OrganisationError::LastOwner);
        let proven = unproven().having(VerifyEmail { user_id: BOB, email_version: 1, via: Word::of("link") });
        proven.when(leave(ADA)).then_succeeds();
    }

    #[test]
    fn ownership_goes_to_somebody_who_can_act() {
        let pass = || {
            let pass = TransferOwnership { from: ADA, to: BOB };
            Leaving::new(ADA, Box::new(pass)).followed_by(BOB)
        };
        let ada = || person(ADA, 1, RoleRef::OWNER, given_nothing());
        let unproven = ada().having(register(BOB, 2)).having(add(BOB, &[RoleRef::USER], Granter::Platform));
        unproven.when(pass()).then_refused_for(OrganisationError::LastOwner);
        person(BOB, 2, RoleRef::USER, ada()).when(pass()).then_succeeds();
    }

    #[test]
    fn the_last_owner_is_not_erased() {
        let email = (1, hash(1));
        let erase = ErasePerson { user_id: ADA, receipt: Uuid::nil(), email, email_pending: None };
        let leaving = || Leaving::new(ADA, Box::new(erase.clone()));
        shop(RoleRef::USER).when(leaving()).then_refused_for(OrganisationError::LastOwner);
        shop(RoleRef::OWNER).when(leaving()).then_succeeds();
    }

    #[test]
    fn what_the_command_refuses_comes_first() {
        given_nothing().when(leave(ADA)).then_refused("identity.user-not-found");
        assert_eq!(leave(ADA).name(), "DeactivateUser");
    }
}
