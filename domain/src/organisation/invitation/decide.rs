//! How an invitation is sent, and how it comes to nothing.
//!
//! The hash of the address is given by the caller with every command that frees it: it opens the address, which the
//! state does not hold.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::super::OrganisationEvent;
use super::super::error::OrganisationError;
use super::super::grants::{RoleRef, RoleTable};
use super::super::membership::{self, Granter, Membership, custom, known_roles};
use super::super::roster::{self, Roster};
use super::super::standing;
use super::{
    DAYS_MAX, INVITATION_SCOPE, Invitation, InvitationClosed, InvitationResent, InvitationSent,
    PendingInvitation, open, stream,
};
use crate::decision::{Decision, Verdict, View};
use crate::email::EmailHash;
use crate::error::Refusal;
use crate::ids::{InvitationId, UserId};
use crate::private::Private;
use crate::stream::StreamId;

/// Whether an invitation may last that long.
fn checked_end(expires_at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), OrganisationError> {
    let latest = now.checked_add_signed(TimeDelta::days(DAYS_MAX)).unwrap_or(now);
    if expires_at > now && expires_at <= latest {
        return Ok(());
    }
    Err(OrganisationError::InvitationSpan { days_max: DAYS_MAX })
}

/// The invitation, if nobody has answered it, whether its time is over or not.
fn pending<'a>(view: &View<'a>, id: InvitationId) -> Result<&'a PendingInvitation, OrganisationError> {
    match view.find::<Invitation>(id.uuid()).map(|seen| seen.state) {
        Some(Invitation::Pending(it)) => Ok(it),
        Some(Invitation::Absent) | None => Err(OrganisationError::InvitationInvalid),
        Some(_) => Err(OrganisationError::InvitationOver),
    }
}

/// The invitation came to nothing: its seat, its roles and its address are free.
fn closed(
    view: &View<'_>,
    id: InvitationId,
    pending: &PendingInvitation,
    email_hash: EmailHash,
    event: fn(InvitationClosed) -> OrganisationEvent,
) -> Verdict {
    let event = event(InvitationClosed {
        tenant_id: view.tenant,
        invitation_id: id,
        roster: Roster::of(view).uninvited(&pending.roles),
        at: view.now,
    });
    Verdict::done(stream(id), event).with_claims([email_hash.release(INVITATION_SCOPE)])
}

/// Invites somebody.
///
/// Refused with [`OrganisationError::InvitationSpan`], [`OrganisationError::RoleCount`],
/// [`OrganisationError::RoleUnknown`], [`OrganisationError::GrantsTooMuch`],
/// [`OrganisationError::InvitationExists`], [`OrganisationError::AlreadyMember`],
/// [`OrganisationError::SeatsUsedUp`], [`OrganisationError::AlreadyInvited`].
#[derive(Debug, Clone)]
pub struct Invite {
    /// Its identifier, given by the caller.
    pub invitation_id: InvitationId,
    /// Whom: their address, private to the invitation.
    pub email: Private,
    /// The address as the claims know it.
    pub email_hash: EmailHash,
    /// The user who has that address in the organisation, if one has.
    pub holder: Option<UserId>,
    /// What they will be.
    pub roles: Vec<RoleRef>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
    /// On whose word.
    pub by: Granter,
    /// What built-in roles mean.
    pub table: RoleTable,
}

impl Decision for Invite {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let own = [stream(self.invitation_id), roster::stream(view.tenant), standing::stream(view.tenant)];
        let holder = self.holder.map(membership::stream);
        own.into_iter().chain(holder).chain(custom(&self.roles)).chain(self.by.needs(view)).collect()
    }

    fn subjects(&self) -> Vec<Uuid> {
        vec![self.invitation_id.uuid()]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        checked_end(self.expires_at, view.now)?;
        let roles = known_roles(&self.roles, view, &self.table)?;
        self.by.grants(&roles, view, &self.table)?;
        let known = view.find::<Invitation>(self.invitation_id.uuid());
        if known.is_some_and(|seen| *seen.state != Invitation::Absent) {
            return Err(OrganisationError::InvitationExists.into());
        }
        let holder = self.holder.and_then(|user| Membership::of(view, user));
        if holder.is_some_and(Membership::is_member) {
            return Err(OrganisationError::AlreadyMember.into());
        }
        let before = Roster::of(view);
        before.has_seat(view)?;
        let inviter = match self.by {
            Granter::Member(user) => Some(user),
            Granter::Platform => None,
        };
        let event = OrganisationEvent::InvitationSent(InvitationSent {
            tenant_id: view.tenant,
            invitation_id: self.invitation_id,
            email: self.email.clone(),
            roster: before.invited(&roles),
            roles,
            inviter,
            expires_at: self.expires_at,
            at: view.now,
        });
        let claim = self.email_hash.take(INVITATION_SCOPE, OrganisationError::AlreadyInvited);
        let verdict = Verdict::created(stream(self.invitation_id), event).with_claims([claim]);
        Ok(verdict.valid_until(Some(self.expires_at)))
    }
}

/// Sends an invitation again, with a new link and a new end.
///
/// Refused with [`OrganisationError::InvitationSpan`], [`OrganisationError::InvitationInvalid`],
/// [`OrganisationError::InvitationOver`].
#[derive(Debug, Clone)]
pub struct ResendInvitation {
    /// Which.
    pub invitation_id: InvitationId,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

impl Decision for ResendInvitation {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.invitation_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        checked_end(self.expires_at, view.now)?;
        let pending = pending(view, self.invitation_id)?;
        let event = OrganisationEvent::InvitationResent(InvitationResent {
            invitation_id: self.invitation_id,
            sendings: pending.sendings.saturating_add(1),
            expires_at: self.expires_at,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.invitation_id), event).valid_until(Some(self.expires_at)))
    }
}

/// Says, with the link, that its person does not want to be a member.
///
/// Refused with [`OrganisationError::InvitationInvalid`].
#[derive(Debug, Clone)]
pub struct DeclineInvitation {
    /// Which.
    pub invitation_id: InvitationId,
    /// Of which sending the link is.
    pub sendings: u32,
    /// The address as the claims know it.
    pub email_hash: EmailHash,
}

impl Decision for DeclineInvitation {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.invitation_id), roster::stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let pending = open(view, self.invitation_id, self.sendings)?;
        let declined = OrganisationEvent::InvitationDeclined;
        let verdict = closed(view, self.invitation_id, pending, self.email_hash, declined);
        Ok(verdict.valid_until(Some(pending.expires_at)))
    }
}

/// Takes an invitation back. Already so, if it was taken back.
///
/// Refused with [`OrganisationError::InvitationInvalid`], [`OrganisationError::InvitationOver`].
#[derive(Debug, Clone)]
pub struct RevokeInvitation {
    /// Which.
    pub invitation_id: InvitationId,
    /// The address as the claims know it.
    pub email_hash: EmailHash,
}

impl Decision for RevokeInvitation {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.invitation_id), roster::stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let known = view.find::<Invitation>(self.invitation_id.uuid());
        if known.is_some_and(|seen| *seen.state == Invitation::Revoked) {
            return Ok(Verdict::already(stream(self.invitation_id)));
        }
        let pending = pending(view, self.invitation_id)?;
        let revoked = OrganisationEvent::InvitationRevoked;
        Ok(closed(view, self.invitation_id, pending, self.email_hash, revoked))
    }
}

/// Ends an invitation whose time is over. Already so, if it has ended in any way, or has time left.
///
/// Refused with [`OrganisationError::InvitationInvalid`].
#[derive(Debug, Clone)]
pub struct ExpireInvitation {
    /// Which.
    pub invitation_id: InvitationId,
    /// The address as the claims know it.
    pub email_hash: EmailHash,
}

impl Decision for ExpireInvitation {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.invitation_id), roster::stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let pending = match pending(view, self.invitation_id) {
            Ok(pending) if pending.expires_at <= view.now => pending,
            Ok(_) | Err(OrganisationError::InvitationOver) => {
                return Ok(Verdict::already(stream(self.invitation_id)));
            }
            Err(error) => return Err(error.into()),
        };
        let expired = OrganisationEvent::InvitationExpired;
        Ok(closed(view, self.invitation_id, pending, self.email_hash, expired))
    }
}
