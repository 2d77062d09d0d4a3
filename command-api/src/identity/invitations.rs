//! Invitations: who is written to, and what whoever has the link can do with it.
//!
//! The link is opaque, made anew for each sending, and nowhere but in its letter; the vault has its hash, and no event, answer
//! or list has either. It proves the address that it was sent to, so a person who comes by it needs no other link.
//!
//! | who comes with the link | what they show | what happens |
//! |---|---|---|
//! | somebody whom the organisation does not know | a password of their choice | they register and are a member |
//! | somebody who was a member once | their password | they are a member again |
//! | somebody in a session of any organisation | that the verified address of that account is the invited one | they are a member, here without a password until they choose one |
//!
//! **Invariant:** a refusal leaves the invitation as it is: whoever is wrong here neither redeems nor consumes it.

mod answering;
mod sending;

use domain::Refusal;
use domain::ids::{InvitationId, TenantId};
use domain::organisation::OrganisationError;
use event_store::vault::{MailTokenKind, VaultChange};
use service_kit::problem::Problem;

pub use answering::{Joined, NewMember};
pub use sending::{Invites, Inviting, Resending};

/// What makes the links of an invitation that came to an end useless.
pub(in crate::identity) fn useless(tenant: TenantId, invitation: InvitationId) -> VaultChange {
    VaultChange::DropMailTokens { tenant, kind: MailTokenKind::Invitation, about: invitation.uuid() }
}

/// There is no such invitation, or its link is not good any more.
pub(in crate::identity) fn gone() -> Problem {
    Refusal::from(OrganisationError::InvitationInvalid).into()
}
