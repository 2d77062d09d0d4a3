//! What a user's account can be made to do: another profile, another password, no sessions, inactive, erased.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::super::IdentityEvent;
use super::super::error::IdentityError;
use super::{
    EMAIL_WANTED_SCOPE, EmailHash, PasswordChanged, PersonErased, SessionsEnded, User, UserAddressChanged,
    UserDeactivated, UserFamilyNameChanged, UserGivenNameChanged, UserLanguageChanged, UserPhoneChanged,
    UserReactivated, UserRenamed, active, find, registered, release, stream,
};
use crate::decision::{Decision, Outcome, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::{ActorId, SessionId, UserId};
use crate::private::Private;
use crate::stream::StreamId;
use crate::words::{Language, Word};

/// What a person is called, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonNames {
    /// By friends.
    pub given: Option<Private>,
    /// By the family.
    pub family: Option<Private>,
}

/// What becomes of a value that may be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patch {
    /// It is this now.
    Set(Private),
    /// There is none any more.
    Clear,
}

/// Changes what is known of a person; what is not named stays.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`].
#[derive(Debug, Clone)]
pub struct UpdateProfile {
    /// Who.
    pub user_id: UserId,
    /// What they are called by friends.
    pub given_name: Option<Patch>,
    /// What their family is called.
    pub family_name: Option<Patch>,
    /// Their telephone number.
    pub phone: Option<Patch>,
    /// Where they live.
    pub address: Option<Patch>,
    /// The language in which they are written to.
    pub language: Option<Language>,
}

impl Decision for UpdateProfile {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn subjects(&self) -> Vec<Uuid> {
        vec![self.user_id.uuid()]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user = active(view, self.user_id)?;
        let (user_id, at) = (self.user_id, view.now);
        let mut events: Vec<Event> = Vec::new();
        let given = changed(self.given_name.as_ref(), user.has_given_name);
        let family = changed(self.family_name.as_ref(), user.has_family_name);
        events.extend(renamed(user_id, given, family, at).map(Event::from));
        if let Some(phone) = changed(self.phone.as_ref(), user.has_phone) {
            events.push(IdentityEvent::UserPhoneChanged(UserPhoneChanged { user_id, phone, at }).into());
        }
        if let Some(address) = changed(self.address.as_ref(), user.has_address) {
            let event = UserAddressChanged { user_id, address, at };
            events.push(IdentityEvent::UserAddressChanged(event).into());
        }
        if let Some(language) = self.language.clone().filter(|it| *it != user.language) {
            let event = UserLanguageChanged { user_id, language, at };
            events.push(IdentityEvent::UserLanguageChanged(event).into());
        }
        Ok(Verdict { events, ..Verdict::already(stream(user_id)) })
    }
}

/// The event of names that change. A state knows no name, only whether there is one: so a half that stays is not told again.
fn renamed(
    user_id: UserId,
    given: Option<Option<Private>>,
    family: Option<Option<Private>>,
    at: DateTime<Utc>,
) -> Option<IdentityEvent> {
    Some(match (given, family) {
        (None, None) => return None,
        (Some(given_name), None) => {
            IdentityEvent::UserGivenNameChanged(UserGivenNameChanged { user_id, given_name, at })
        }
        (None, Some(family_name)) => {
            IdentityEvent::UserFamilyNameChanged(UserFamilyNameChanged { user_id, family_name, at })
        }
        (Some(given_name), Some(family_name)) => {
            IdentityEvent::UserRenamed(UserRenamed { user_id, given_name, family_name, at })
        }
    })
}

/// What is there afterwards, if anything changes.
fn changed(patch: Option<&Patch>, there: bool) -> Option<Option<Private>> {
    match patch {
        Some(Patch::Set(value)) => Some(Some(value.clone())),
        Some(Patch::Clear) if there => Some(None),
        Some(Patch::Clear) | None => None,
    }
}

/// Which sessions a change ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdraw {
    /// None.
    Nothing,
    /// All of the user's.
    All,
    /// All of the user's but this one.
    Others(SessionId),
}

/// Gives the user another password, which the vault takes with it.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::CredentialChanged`].
#[derive(Debug, Clone)]
pub struct SetPassword {
    /// Whose.
    pub user_id: UserId,
    /// Why, such as `registered`, `change`, `reset`, `invited`.
    pub because: Word,
    /// The number of the password that the request rests on: the one that was checked, or that was good when the link
    /// was mailed; 0 if there was none.
    pub seen: u32,
    /// The sessions that end with it.
    pub withdraw: Withdraw,
    /// Who does it.
    pub by: ActorId,
}

impl Decision for SetPassword {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user = active(view, self.user_id)?;
        if self.seen != user.credential_version {
            return Err(IdentityError::CredentialChanged.into());
        }
        let changed = IdentityEvent::PasswordChanged(PasswordChanged {
            user_id: self.user_id,
            credential_version: user.credential_version.saturating_add(1),
            because: self.because.clone(),
            at: view.now,
        });
        let mut verdict = Verdict::done(stream(self.user_id), changed);
        let except = match self.withdraw {
            Withdraw::Nothing => return Ok(verdict),
            Withdraw::All => None,
            Withdraw::Others(session) => Some(session),
        };
        let ended = IdentityEvent::SessionsEnded(SessionsEnded {
            user_id: self.user_id,
            generation: user.generation.saturating_add(1),
            except,
            because: Word::of("password-changed"),
            by: self.by,
            at: view.now,
        });
        verdict.events.push(ended.into());
        Ok(verdict)
    }
}

/// Ends all sessions of a user, or all but one.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`].
#[derive(Debug, Clone)]
pub struct EndSessions {
    /// Whose.
    pub user_id: UserId,
    /// The one that goes on.
    pub except: Option<SessionId>,
    /// Why, such as `asked`, `deactivated`, `member-removed`.
    pub because: Word,
    /// Who does it.
    pub by: ActorId,
}

impl Decision for EndSessions {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user = registered(view, self.user_id)?;
        let event = IdentityEvent::SessionsEnded(SessionsEnded {
            user_id: self.user_id,
            generation: user.generation.saturating_add(1),
            except: self.except,
            because: self.because.clone(),
            by: self.by,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.user_id), event))
    }
}

/// Forbids a user to act. Already so, if they may not. Their sessions are refused from then on; when they are reactivated,
/// those that have not ended count again, so that a caller ends them too.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`].
#[derive(Debug, Clone)]
pub struct DeactivateUser {
    /// Who.
    pub user_id: UserId,
    /// Why.
    pub because: Word,
}

impl Decision for DeactivateUser {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        registered(view, self.user_id)?;
        if let Some(User::Inactive(_)) = find(view, self.user_id) {
            return Ok(Verdict::already(stream(self.user_id)));
        }
        let event = UserDeactivated {
            user_id: self.user_id,
            because: self.because.clone(),
            frees_address: false,
            at: view.now,
        };
        Ok(Verdict::done(stream(self.user_id), IdentityEvent::UserDeactivated(event)))
    }
}

/// Allows a user to act again. Already so, if they may.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`] if their
/// address was given to others.
#[derive(Debug, Clone)]
pub struct ReactivateUser {
    /// Who.
    pub user_id: UserId,
}

impl Decision for ReactivateUser {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user = registered(view, self.user_id)?;
        if let Some(User::Active(_)) = find(view, self.user_id) {
            return Ok(Verdict::already(stream(self.user_id)));
        }
        if user.is_displaced {
            return Err(IdentityError::UserInactive.into());
        }
        let event = UserReactivated { user_id: self.user_id, at: view.now };
        Ok(Verdict::done(stream(self.user_id), IdentityEvent::UserReactivated(event)))
    }
}

/// Erases a person: nothing more can happen to them, and their addresses are free. Already so, if they were erased.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::EmailChanged`] if an address that is given up, or the
/// one that was asked for, is not the one that was looked at.
#[derive(Debug, Clone)]
pub struct ErasePerson {
    /// Who.
    pub user_id: UserId,
    /// Names the entry in the journal of erasures.
    pub receipt: Uuid,
    /// Their address, with its number.
    pub email: (u32, EmailHash),
    /// The address that they have asked for, with its number.
    pub email_pending: Option<(u32, EmailHash)>,
}

impl Decision for ErasePerson {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let primary = stream(self.user_id);
        if let Some(User::Erased) = find(view, self.user_id) {
            return Ok(Verdict::already(primary));
        }
        let user = registered(view, self.user_id)?;
        let pending = user.email_pending.as_ref().map(|it| it.version);
        if self.email.0 != user.email_version || self.email_pending.map(|it| it.0) != pending {
            return Err(IdentityError::EmailChanged.into());
        }
        let event = PersonErased { user_id: self.user_id, receipt: self.receipt, at: view.now };
        // Who was displaced has no address to give up: it is somebody else's by now, or free.
        let own = (!user.is_displaced).then_some(self.email);
        let own = own.map(|(_, hash)| release(hash));
        let wanted = self.email_pending.map(|(_, hash)| hash.release(EMAIL_WANTED_SCOPE));
        let verdict = Verdict::done(primary, IdentityEvent::PersonErased(event));
        Ok(Verdict { outcome: Outcome::Done, ..verdict.with_claims([own, wanted].into_iter().flatten()) })
    }
}
