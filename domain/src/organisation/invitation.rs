//! An invitation to an organisation: to an address, for roles, for a time. The link that is mailed is elsewhere; here is
//! only how often one was sent, so that the newest alone is good.
//!
//! The address is private to the invitation, since whoever has it may not be known yet. One invitation of an address is
//! open at a time, by a claim. Accepting it is in `crate::joining`, since it depends on who accepts.

mod decide;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use decide::{DeclineInvitation, ExpireInvitation, Invite, ResendInvitation, RevokeInvitation};

use super::OrganisationEvent;
use super::error::OrganisationError;
use super::grants::RoleRef;
use super::roster::Roster;
use crate::aggregate::Aggregate;
use crate::decision::View;
use crate::event::Event;
use crate::ids::{InvitationId, TenantId, UserId};
use crate::private::Private;
use crate::stream::{Category, StreamId};

/// The scope in which one invitation of an address is open at a time.
pub const INVITATION_SCOPE: &str = "organisation.invitation";

/// Days after which an invitation is over at the latest.
pub const DAYS_MAX: i64 = 30;

/// Somebody was invited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InvitationSent {
    /// To which organisation.
    pub tenant_id: TenantId,
    /// Which invitation.
    pub invitation_id: InvitationId,
    /// Whom: their address, private to the invitation.
    pub email: Private,
    /// What they will be, in order.
    pub roles: Vec<RoleRef>,
    /// Who invites, if a member does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inviter: Option<UserId>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
    /// The organisation's members after it.
    pub roster: Roster,
    /// When.
    pub at: DateTime<Utc>,
}

/// The invitation was sent again, with a link in the place of the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InvitationResent {
    /// Which.
    pub invitation_id: InvitationId,
    /// How often it was sent by now.
    pub sendings: u32,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The invited person became a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InvitationAccepted {
    /// In which organisation.
    pub tenant_id: TenantId,
    /// Which invitation.
    pub invitation_id: InvitationId,
    /// Who they are.
    pub user_id: UserId,
    /// The organisation's members after it, before the new one is counted.
    pub roster: Roster,
    /// When.
    pub at: DateTime<Utc>,
}

/// The invitation came to nothing: it was declined, revoked, or its time was over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InvitationClosed {
    /// Of which organisation.
    pub tenant_id: TenantId,
    /// Which invitation.
    pub invitation_id: InvitationId,
    /// The organisation's members after it.
    pub roster: Roster,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of an invitation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Invitation {
    /// Never sent.
    #[default]
    Absent,
    /// Open, if its time is not over.
    Pending(PendingInvitation),
    /// Its person is a member.
    Accepted,
    /// Its person does not want to be one.
    Declined,
    /// The organisation does not want it any more.
    Revoked,
    /// Nobody accepted it in time.
    Expired,
}

/// An invitation that nobody has answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingInvitation {
    /// What its person will be.
    pub roles: Vec<RoleRef>,
    /// Who invites.
    pub inviter: Option<UserId>,
    /// How often it was sent: the newest link alone is good.
    pub sendings: u32,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

/// The stream of an invitation.
#[must_use]
pub const fn stream(id: InvitationId) -> StreamId {
    StreamId::new(Invitation::CATEGORY, id.uuid())
}

/// The invitation, if the link of this sending is good now.
///
/// # Errors
/// [`OrganisationError::InvitationInvalid`].
pub(crate) fn open<'a>(
    view: &View<'a>,
    id: InvitationId,
    sendings: u32,
) -> Result<&'a PendingInvitation, OrganisationError> {
    match view.find::<Invitation>(id.uuid()).map(|seen| seen.state) {
        Some(Invitation::Pending(it)) if it.sendings == sendings && it.expires_at > view.now => Ok(it),
        _ => Err(OrganisationError::InvitationInvalid),
    }
}

impl Aggregate for Invitation {
    const CATEGORY: Category = Category { code: 42, name: "organisation.invitation" };

    fn evolve(&mut self, id: Uuid, event: &Event) {
        let Event::Organisation(event) = event else { return };
        match event {
            OrganisationEvent::InvitationSent(it) if it.invitation_id.uuid() == id => {
                *self = Self::Pending(PendingInvitation {
                    roles: it.roles.clone(),
                    inviter: it.inviter,
                    sendings: 1,
                    expires_at: it.expires_at,
                });
            }
            OrganisationEvent::InvitationResent(it) => {
                if let Self::Pending(pending) = self {
                    pending.sendings = it.sendings;
                    pending.expires_at = it.expires_at;
                }
            }
            OrganisationEvent::InvitationAccepted(_) => *self = Self::Accepted,
            OrganisationEvent::InvitationDeclined(_) => *self = Self::Declined,
            OrganisationEvent::InvitationRevoked(_) => *self = Self::Revoked,
            OrganisationEvent::InvitationExpired(_) => *self = Self::Expired,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
