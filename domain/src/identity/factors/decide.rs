//! How factors come and go. Every command is about an active user.

use uuid::Uuid;

use super::super::error::IdentityError;
use super::super::user;
use super::{
    FactorRemoved, Factors, IdentityEvent, PASSKEYS_MAX, PasskeyAdded, PasskeyRegressed, RecoveryCodeUsed,
    RecoveryCodesIssued, TotpEnrolled, stream,
};
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::{FactorId, UserId};
use crate::private::Private;
use crate::stream::StreamId;
use crate::words::Word;

fn needs(user: UserId) -> Vec<StreamId> {
    vec![stream(user), user::stream(user)]
}

/// The factors of an active user. Refused with what `user::active` refuses.
fn factors(view: &View<'_>, user: UserId) -> Result<Factors, IdentityError> {
    user::active(view, user)?;
    Ok(view.find::<Factors>(user.uuid()).map(|seen| seen.state.clone()).unwrap_or_default())
}

/// Enrols an authenticator of time-based codes, of which the user has just shown one.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::FactorExists`] if there is one.
#[derive(Debug, Clone)]
pub struct EnrolTotp {
    /// Whose.
    pub user_id: UserId,
    /// Its identifier, given by the caller.
    pub factor_id: FactorId,
    /// What the person calls it, private to them.
    pub label: Option<Private>,
}

impl Decision for EnrolTotp {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        needs(self.user_id)
    }

    fn subjects(&self) -> Vec<Uuid> {
        vec![self.user_id.uuid()]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if factors(view, self.user_id)?.totp.is_some() {
            return Err(IdentityError::FactorExists.into());
        }
        let event = IdentityEvent::TotpEnrolled(TotpEnrolled {
            user_id: self.user_id,
            factor_id: self.factor_id,
            label: self.label.clone(),
            at: view.now,
        });
        Ok(Verdict::done(stream(self.user_id), event))
    }
}

/// Adds a passkey, of which the user has just shown that they have it. It signs in by itself, so it remembers on whose word it
/// was added; an authenticator is only ever shown beside what tells that.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::FactorExists`] if it was added before, [`IdentityError::TooManyFactors`].
#[derive(Debug, Clone)]
pub struct AddPasskey {
    /// Whose.
    pub user_id: UserId,
    /// Its identifier, given by the caller.
    pub factor_id: FactorId,
    /// What the person calls it, private to them.
    pub label: Option<Private>,
    /// Whether a provider alone vouches for whoever adds it.
    pub vouched: bool,
}

impl Decision for AddPasskey {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        needs(self.user_id)
    }

    fn subjects(&self) -> Vec<Uuid> {
        vec![self.user_id.uuid()]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let known = factors(view, self.user_id)?.passkeys;
        if known.contains(&self.factor_id) {
            return Err(IdentityError::FactorExists.into());
        }
        if known.len() >= PASSKEYS_MAX {
            return Err(IdentityError::TooManyFactors { max: PASSKEYS_MAX }.into());
        }
        let event = IdentityEvent::PasskeyAdded(PasskeyAdded {
            user_id: self.user_id,
            factor_id: self.factor_id,
            label: self.label.clone(),
            vouched: self.vouched,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.user_id), event))
    }
}

/// The event that removes a factor, if the user has it.
fn removal(factors: &Factors, removed: FactorRemoved) -> Option<IdentityEvent> {
    if factors.totp == Some(removed.factor_id) {
        return Some(IdentityEvent::TotpRemoved(removed));
    }
    factors.passkeys.contains(&removed.factor_id).then_some(IdentityEvent::PasskeyRemoved(removed))
}

/// Removes a factor; with the authenticator go the recovery codes.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::FactorNotFound`].
#[derive(Debug, Clone)]
pub struct RemoveFactor {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub factor_id: FactorId,
    /// Why, such as `asked`.
    pub because: Word,
}

impl Decision for RemoveFactor {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        needs(self.user_id)
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let known = factors(view, self.user_id)?;
        let removed = FactorRemoved {
            user_id: self.user_id,
            factor_id: self.factor_id,
            because: self.because.clone(),
            at: view.now,
        };
        let event = removal(&known, removed).ok_or(IdentityError::FactorNotFound)?;
        Ok(Verdict::done(stream(self.user_id), event))
    }
}

/// Removes every factor of somebody who has lost them.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::FactorNotFound`] if there is none and there must be.
#[derive(Debug, Clone)]
pub struct RemoveAllFactors {
    /// Whose.
    pub user_id: UserId,
    /// Why, such as `administrator`.
    pub because: Word,
    /// Whether there must be one, since what happens with it would be untrue else.
    pub must_have: bool,
}

impl Decision for RemoveAllFactors {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        needs(self.user_id)
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let known = factors(view, self.user_id)?;
        if self.must_have && !known.is_some() {
            return Err(IdentityError::FactorNotFound.into());
        }
        let each = known.totp.into_iter().chain(known.passkeys.iter().copied());
        let events = each.filter_map(|factor_id| {
            let (because, at) = (self.because.clone(), view.now);
            removal(&known, FactorRemoved { user_id: self.user_id, factor_id, because, at })
        });
        let events = events.map(Into::into).collect();
        Ok(Verdict { events, ..Verdict::already(stream(self.user_id)) })
    }
}

/// Gives the user new recovery codes in the place of those before.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::FactorNotFound`] if there is no authenticator to recover from.
#[derive(Debug, Clone)]
pub struct IssueRecoveryCodes {
    /// Whose.
    pub user_id: UserId,
    /// How many.
    pub count: u16,
}

impl Decision for IssueRecoveryCodes {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        needs(self.user_id)
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if factors(view, self.user_id)?.totp.is_none() {
            return Err(IdentityError::FactorNotFound.into());
        }
        let (user_id, left) = (self.user_id, self.count);
        let event = RecoveryCodesIssued { user_id, left, at: view.now };
        Ok(Verdict::done(stream(user_id), IdentityEvent::RecoveryCodesIssued(event)))
    }
}

/// Says that a recovery code was used, which the vault takes away with it.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::FactorNotFound`] if none is left.
#[derive(Debug, Clone)]
pub struct UseRecoveryCode {
    /// Whose.
    pub user_id: UserId,
}

impl Decision for UseRecoveryCode {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        needs(self.user_id)
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let known = factors(view, self.user_id)?;
        let left = known.codes_left.checked_sub(1).ok_or(IdentityError::FactorNotFound)?;
        let event = RecoveryCodeUsed { user_id: self.user_id, left, at: view.now };
        Ok(Verdict::done(stream(self.user_id), IdentityEvent::RecoveryCodeUsed(event)))
    }
}

/// Asks that a user has a passkey still, by which they sign in: it goes with the command that starts the session.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::FactorNotFound`].
#[derive(Debug, Clone)]
pub struct CheckPasskey {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub factor_id: FactorId,
}

impl Decision for CheckPasskey {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        needs(self.user_id)
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if !factors(view, self.user_id)?.passkeys.contains(&self.factor_id) {
            return Err(IdentityError::FactorNotFound.into());
        }
        Ok(Verdict::already(stream(self.user_id)))
    }
}

/// Records that a passkey counted backwards.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::FactorNotFound`].
#[derive(Debug, Clone)]
pub struct ReportPasskeyRegression {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub factor_id: FactorId,
}

impl Decision for ReportPasskeyRegression {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        needs(self.user_id)
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if !factors(view, self.user_id)?.passkeys.contains(&self.factor_id) {
            return Err(IdentityError::FactorNotFound.into());
        }
        let event = PasskeyRegressed { user_id: self.user_id, factor_id: self.factor_id, at: view.now };
        Ok(Verdict::done(stream(self.user_id), IdentityEvent::PasskeyRegressed(event)))
    }
}
