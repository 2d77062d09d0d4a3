//! One person with users in several organisations. A caller runs the command once in each organisation, in one unit, after
//! the person has signed in to both; an address alone never links anything.

use uuid::Uuid;

use super::super::IdentityEvent;
use super::super::error::IdentityError;
use super::{IdentitiesLinked, IdentitiesUnlinked, LinkedUser, active, registered, stream};
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::UserId;
use crate::stream::StreamId;

/// The most users of one person.
const USERS_MAX: usize = 50;

/// Says which person a user is, and who else is that person. Already so, if that is known.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::LinkedToAnother`], [`IdentityError::TooManyLinks`].
#[derive(Debug, Clone)]
pub struct LinkIdentities {
    /// Who.
    pub user_id: UserId,
    /// Names the person over all organisations.
    pub person: Uuid,
    /// Who else is that person.
    pub users: Vec<LinkedUser>,
}

impl Decision for LinkIdentities {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user = active(view, self.user_id)?;
        if user.person.is_some_and(|it| it != self.person) {
            return Err(IdentityError::LinkedToAnother.into());
        }
        if self.users.len() >= USERS_MAX {
            return Err(IdentityError::TooManyLinks { max: USERS_MAX }.into());
        }
        if user.person.is_some() && user.linked == self.users {
            return Ok(Verdict::already(stream(self.user_id)));
        }
        let event = IdentityEvent::IdentitiesLinked(IdentitiesLinked {
            user_id: self.user_id,
            person: self.person,
            users: self.users.clone(),
            at: view.now,
        });
        Ok(Verdict::done(stream(self.user_id), event))
    }
}

/// Says that a user is not taken for that person any more. Already so, if they are taken for none.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`].
#[derive(Debug, Clone)]
pub struct UnlinkIdentities {
    /// Who.
    pub user_id: UserId,
}

impl Decision for UnlinkIdentities {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let Some(person) = registered(view, self.user_id)?.person else {
            return Ok(Verdict::already(stream(self.user_id)));
        };
        let event = IdentitiesUnlinked { user_id: self.user_id, person, at: view.now };
        Ok(Verdict::done(stream(self.user_id), IdentityEvent::IdentitiesUnlinked(event)))
    }
}
