//! A user's address: that it is theirs, and how it becomes another one.
//!
//! While a change waits, the new address is only wanted: it keeps nobody from it who shows first that it is theirs, or whom the
//! organisation invites by it. The hashes come from the caller, who can open the addresses; the versions that they are given
//! with show that they are still right.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::super::IdentityEvent;
use super::super::error::IdentityError;
use super::{
    EMAIL_WANTED_SCOPE, EmailChangeExpired, EmailChangeRequested, EmailChanged, EmailHash, EmailVerified,
    active, over, registered, release, stream, take,
};
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::identity::access_token::AccessTokenError;
use crate::ids::UserId;
use crate::private::Private;
use crate::stream::StreamId;
use crate::words::Word;

/// Records that the user has shown that an address is theirs. Already so, if it is known.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::LinkInvalid`] if it is not their address any more.
#[derive(Debug, Clone)]
pub struct VerifyEmail {
    /// Who.
    pub user_id: UserId,
    /// Which of their addresses was shown.
    pub email_version: u32,
    /// How.
    pub via: Word,
}

impl Decision for VerifyEmail {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user = active(view, self.user_id)?;
        if self.email_version != user.email_version {
            return Err(IdentityError::LinkInvalid.into());
        }
        if user.email_verified {
            return Ok(Verdict::already(stream(self.user_id)));
        }
        let event = IdentityEvent::EmailVerified(EmailVerified {
            user_id: self.user_id,
            email_version: self.email_version,
            via: self.via.clone(),
            at: view.now,
        });
        Ok(Verdict::done(stream(self.user_id), event))
    }
}

/// Asks for another address. No other member of the organisation can ask for it until it is confirmed or given up.
///
/// Refused with [`AccessTokenError::ExpiryInPast`], [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`],
/// [`IdentityError::UserInactive`], [`IdentityError::EmailChangePending`] if another request waits than the one that is
/// replaced, [`IdentityError::EmailTaken`] if somebody else has asked for it.
#[derive(Debug, Clone)]
pub struct RequestEmailChange {
    /// Who.
    pub user_id: UserId,
    /// The new address, private to them.
    pub email: Private,
    /// The new address as the claims know it.
    pub email_hash: EmailHash,
    /// Until when it is kept.
    pub expires_at: DateTime<Utc>,
    /// The request that this one takes the place of, with its number.
    pub replaces: Option<(u32, EmailHash)>,
}

impl Decision for RequestEmailChange {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn subjects(&self) -> Vec<Uuid> {
        vec![self.user_id.uuid()]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if over(self.expires_at, view.now) {
            return Err(AccessTokenError::ExpiryInPast.into());
        }
        let user = active(view, self.user_id)?;
        let pending = user.email_pending.as_ref().map(|it| it.version);
        if pending != self.replaces.map(|(version, _)| version) {
            return Err(IdentityError::EmailChangePending.into());
        }
        let event = IdentityEvent::EmailChangeRequested(EmailChangeRequested {
            user_id: self.user_id,
            email_version: user.email_versions.saturating_add(1),
            email: self.email.clone(),
            expires_at: self.expires_at,
            at: view.now,
        });
        let released = self.replaces.map(|(_, hash)| hash.release(EMAIL_WANTED_SCOPE));
        let wanted = self.email_hash.take(EMAIL_WANTED_SCOPE, IdentityError::EmailTaken);
        let claims = released.into_iter().chain([wanted]);
        Ok(Verdict::done(stream(self.user_id), event).with_claims(claims).valid_until(Some(self.expires_at)))
    }
}

/// Makes the address that was asked for the user's.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::LinkInvalid`] if another request or none waits, or its time is over,
/// [`IdentityError::EmailChanged`] if the address that is given up is not theirs any more, [`IdentityError::EmailTaken`] if
/// somebody else has the new one by now.
#[derive(Debug, Clone)]
pub struct ConfirmEmailChange {
    /// Who.
    pub user_id: UserId,
    /// The number of the request.
    pub email_version: u32,
    /// The new address as the claims know it.
    pub email_hash: EmailHash,
    /// The address that is given up, with its number.
    pub gives_up: (u32, EmailHash),
}

impl Decision for ConfirmEmailChange {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user = active(view, self.user_id)?;
        let pending = user.email_pending.as_ref().filter(|it| it.version == self.email_version);
        let Some(pending) = pending.filter(|it| !over(it.expires_at, view.now)) else {
            return Err(IdentityError::LinkInvalid.into());
        };
        let (version, hash) = self.gives_up;
        if version != user.email_version {
            return Err(IdentityError::EmailChanged.into());
        }
        let event = IdentityEvent::EmailChanged(EmailChanged {
            user_id: self.user_id,
            email_version: self.email_version,
            at: view.now,
        });
        let claims = [self.email_hash.release(EMAIL_WANTED_SCOPE), take(self.email_hash), release(hash)];
        let verdict = Verdict::done(stream(self.user_id), event).with_claims(claims);
        Ok(verdict.valid_until(Some(pending.expires_at)))
    }
}

/// Gives up an address that was asked for and not confirmed in time. Already so, if it does not wait any more, or waits
/// with time left.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`].
#[derive(Debug, Clone)]
pub struct ExpireEmailChange {
    /// Who.
    pub user_id: UserId,
    /// The number of the request.
    pub email_version: u32,
    /// The address as the claims know it.
    pub email_hash: EmailHash,
}

impl Decision for ExpireEmailChange {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user = registered(view, self.user_id)?;
        let pending = user.email_pending.as_ref().filter(|it| it.version == self.email_version);
        if !pending.is_some_and(|it| over(it.expires_at, view.now)) {
            return Ok(Verdict::already(stream(self.user_id)));
        }
        let event = IdentityEvent::EmailChangeExpired(EmailChangeExpired {
            user_id: self.user_id,
            email_version: self.email_version,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.user_id), event)
            .with_claims([self.email_hash.release(EMAIL_WANTED_SCOPE)]))
    }
}
