//! A person in one organisation: that they registered, which of their addresses is verified, how often their password
//! changed, since when their sessions count, and whether they are active.
//!
//! What they are called and where they are reached is private in the events and not in the state: no rule depends on it,
//! so an erasure changes no decision. Passwords are elsewhere; here is only how many there have been.

mod account;
mod email;
mod event;
mod link;
mod state;

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use account::{
    DeactivateUser, EndSessions, ErasePerson, Patch, PersonNames, ReactivateUser, SetPassword, UpdateProfile,
    Withdraw,
};
pub use email::{ConfirmEmailChange, ExpireEmailChange, RequestEmailChange, VerifyEmail};
pub use event::{
    EmailChangeExpired, EmailChangeRequested, EmailChanged, EmailVerified, IdentitiesLinked,
    IdentitiesUnlinked, LinkedUser, PasswordChanged, PersonErased, SessionsEnded, UserAddressChanged,
    UserDeactivated, UserFamilyNameChanged, UserGivenNameChanged, UserLanguageChanged, UserPhoneChanged,
    UserReactivated, UserRegistered, UserRenamed,
};
pub(crate) use link::linked;
pub use link::{ElsewhereHash, Half, LINKED_SCOPE, LinkIdentities, USERS_MAX, UnlinkIdentities};
pub use state::{EmailPending, Registered, User};

use super::IdentityEvent;
use super::error::IdentityError;
use crate::aggregate::Aggregate;
use crate::decision::{Claim, Decision, Verdict, View};
pub use crate::email::EmailHash;
use crate::error::Refusal;
use crate::ids::UserId;
use crate::private::Private;
use crate::stream::StreamId;
use crate::words::{Language, Word};

/// The scope in which addresses are unique within an organisation.
pub const EMAIL_SCOPE: &str = "identity.email";
/// The scope of addresses that members have asked for and not shown to be theirs: one member waits for each. It keeps nobody
/// else from the address.
pub const EMAIL_WANTED_SCOPE: &str = "identity.email-wanted";

fn take(hash: EmailHash) -> Claim {
    hash.take(EMAIL_SCOPE, IdentityError::EmailTaken)
}

fn release(hash: EmailHash) -> Claim {
    hash.release(EMAIL_SCOPE)
}

/// The stream of a user.
#[must_use]
pub const fn stream(id: UserId) -> StreamId {
    StreamId::new(User::CATEGORY, id.uuid())
}

/// Registers a person.
///
/// Refused with [`IdentityError::UserExists`], [`IdentityError::EmailTaken`].
#[derive(Debug, Clone)]
pub struct RegisterUser {
    /// Their identifier, given by the caller.
    pub user_id: UserId,
    /// The address, private to them.
    pub email: Private,
    /// The address as the claims know it.
    pub email_hash: EmailHash,
    /// What they are called, if it is known.
    pub names: PersonNames,
    /// The language in which they are written to.
    pub language: Language,
    /// How they came, such as `form`, `invitation`, `github`.
    pub via: Word,
    /// Whether it is shown already that the address is theirs. Never what a client says of itself.
    pub verified: bool,
}

impl Decision for RegisterUser {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn subjects(&self) -> Vec<Uuid> {
        vec![self.user_id.uuid()]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if find(view, self.user_id).is_some_and(|user| *user != User::Absent) {
            return Err(IdentityError::UserExists.into());
        }
        let event = IdentityEvent::UserRegistered(UserRegistered {
            user_id: self.user_id,
            email: self.email.clone(),
            given_name: self.names.given.clone(),
            family_name: self.names.family.clone(),
            language: self.language.clone(),
            via: self.via.clone(),
            verified: self.verified,
            at: view.now,
        });
        Ok(Verdict::created(stream(self.user_id), event).with_claims([take(self.email_hash)]))
    }
}

fn find<'a>(view: &View<'a>, id: UserId) -> Option<&'a User> {
    view.find::<User>(id.uuid()).map(|seen| seen.state)
}

/// The user, whether active or not.
fn registered<'a>(view: &View<'a>, id: UserId) -> Result<&'a Registered, IdentityError> {
    match find(view, id) {
        Some(User::Active(user) | User::Inactive(user)) => Ok(user),
        Some(User::Erased) => Err(IdentityError::PersonErased),
        Some(User::Absent) | None => Err(IdentityError::UserNotFound { user_id: id }),
    }
}

/// The user, if active. Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`],
/// [`IdentityError::UserInactive`].
pub(crate) fn active<'a>(view: &View<'a>, id: UserId) -> Result<&'a Registered, IdentityError> {
    match find(view, id) {
        Some(User::Inactive(_)) => Err(IdentityError::UserInactive),
        _ => registered(view, id),
    }
}

/// The moment at which something that ends then is over.
fn over(ends: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    ends <= now
}

#[cfg(test)]
mod tests;
