//! The platform's first owner, whose address the configuration names (`PLATFORM_OWNER_EMAIL`). They register like anybody, at
//! the platform itself; with the link of their letter they are its owner. That happens once: whoever comes after them is
//! invited.
//!
//! Which address it is, nobody learns by trying: until there is an owner, every registration at the platform is answered
//! the same, and costs the same.

use domain::ids::{TenantId, UserId};
use domain::organisation::{BecomeFirstOwner, FIRST_OWNER, FIRST_OWNER_SCOPE, Policy, Roster, roster};
use domain::{StreamId, View};
use event_store::Unit;
use event_store::access::{Question, look};
use event_store::vault::Request;
use service_kit::permissions::role_table;
use service_kit::problem::Problem;

use super::facts::unknown;
use super::recovery::invalid;
use super::sign_up::{Candidate, REGISTRATION_WAITS, SignUp, registration_of};
use super::{Identity, Origin, unavailable};
use crate::passwords::hash::Hashed;

/// Has the platform an owner?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct OwnerExists;

impl Question for OwnerExists {
    type Answer = bool;

    fn tenant(&self) -> TenantId {
        TenantId::PLATFORM
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![roster::stream(view.tenant)]
    }

    fn answer(&self, view: &View<'_>) -> bool {
        view.find::<Roster>(view.tenant.uuid()).is_some_and(|it| !it.state.owners.is_empty())
    }
}

impl Identity {
    /// Whether somebody may still become the platform's first owner. The command asks again, at its commit.
    pub(super) async fn awaits_first_owner(&self) -> Result<bool, Problem> {
        let parts = self.parts();
        if parts.first_owner.is_none() {
            return Ok(false);
        }
        let taken = parts.vault.claim_holder(TenantId::PLATFORM, FIRST_OWNER_SCOPE, FIRST_OWNER).await;
        if taken.map_err(unavailable)?.is_some() {
            return Ok(false);
        }
        let mut conn = parts.pool.acquire().await.map_err(unavailable)?;
        let exists = look(&mut conn, &OwnerExists).await.map_err(unknown)?;
        Ok(!*exists)
    }

    /// Somebody wants to register at the platform. If it is the one who is awaited, they learn by mail how to go on.
    pub(super) async fn ask_to_be_first_owner(
        &self,
        asked: SignUp,
        hashed: Hashed,
        policy: &Policy,
    ) -> Result<(), Problem> {
        let is_awaited =
            self.parts().first_owner.as_ref().is_some_and(|it| it.normal() == asked.email.normal());
        let registration = registration_of(asked, hashed, policy);
        let request = if is_awaited {
            Request::Register(registration)
        } else {
            // Asks for something that comes to nothing, and takes as long to ask for.
            Request::Resend(registration.asker)
        };
        self.ask(TenantId::PLATFORM, &request, REGISTRATION_WAITS).await
    }

    /// The unit that makes the platform's first owner, if they are still the one whom the configuration names.
    ///
    /// # Errors
    /// `identity.link-invalid`: it names somebody else by now.
    pub(super) fn first_owner(
        &self,
        user: UserId,
        asked: &Candidate,
        hashed: Hashed,
        origin: &Origin,
    ) -> Result<Unit, Problem> {
        let awaited = self.parts().first_owner.as_ref();
        if awaited.is_none_or(|it| it.normal() != asked.email.normal()) {
            return Err(invalid());
        }
        let tenant = TenantId::PLATFORM;
        let become_owner = BecomeFirstOwner { user_id: user, table: role_table(tenant).clone() };
        Ok(self.joining_by(tenant, user, asked, hashed, become_owner, origin))
    }
}
