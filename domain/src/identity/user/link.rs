//! One person with users in several organisations. Two users that are shown to be one person hold a half of the link each, in
//! the log of their own organisation and under an identifier that no other log has: neither log tells where the other user is.
//!
//! A caller runs the command once in each of the two organisations, in one unit, after the person has proven both; so both
//! halves are there, or none is. An address alone never links anything.

use std::fmt;

use uuid::Uuid;

use super::super::IdentityEvent;
use super::super::error::IdentityError;
use super::{IdentitiesLinked, IdentitiesUnlinked, active, registered, stream};
use crate::decision::{Claim, Decision, Outcome, Verdict, View};
use crate::error::Refusal;
use crate::ids::UserId;
use crate::stream::StreamId;

/// The most users of one person that know of each other: a user has one link less.
pub const USERS_MAX: usize = 20;
/// The scope in which a user has one link to another organisation: `<user>/<hash>`.
pub const LINKED_SCOPE: &str = "identity.linked-organisation";

/// Another organisation as the claims of a user know it: HMAC-SHA-256 with the index key of the user's own organisation, so
/// that claims do not tell where else somebody is. Never in an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ElsewhereHash([u8; 32]);

impl ElsewhereHash {
    /// Wraps what the edge computed of the user and the other organisation.
    #[must_use]
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The value of its claim. Both parts are of a fixed length, so no two pairs have one value.
    fn claim_value(self, user_id: UserId) -> String {
        let hash: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{user_id}/{hash}")
    }
}

impl fmt::Debug for ElsewhereHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ElsewhereHash(..)")
    }
}

/// A user's half of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Half {
    /// Names it; the other half has another name.
    pub link: Uuid,
    /// Where the other user is.
    pub elsewhere: ElsewhereHash,
}

/// Says that a user and one of another organisation are one person: the half of this user. Already so, if it is there.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`], [`IdentityError::UserInactive`],
/// [`IdentityError::TooManyLinks`], [`IdentityError::LinkedToAnother`] if the user is linked to somebody there.
#[derive(Debug, Clone)]
pub struct LinkIdentities {
    /// Who.
    pub user_id: UserId,
    /// Their half.
    pub half: Half,
}

impl Decision for LinkIdentities {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user = active(view, self.user_id)?;
        if user.links.contains(&self.half.link) {
            return Ok(Verdict::already(stream(self.user_id)));
        }
        if user.links.len() + 1 >= USERS_MAX {
            return Err(IdentityError::TooManyLinks { max: USERS_MAX }.into());
        }
        let event = IdentityEvent::IdentitiesLinked(IdentitiesLinked {
            user_id: self.user_id,
            person: self.half.link,
            users: vec![],
            at: view.now,
        });
        let claim = Claim::Take {
            scope: LINKED_SCOPE.to_owned(),
            value: self.half.elsewhere.claim_value(self.user_id),
            taken: IdentityError::LinkedToAnother.into(),
        };
        Ok(Verdict::done(stream(self.user_id), event).with_claims([claim]))
    }
}

/// Takes halves of a user away. Already so, if none of them is there.
///
/// Refused with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`].
#[derive(Debug, Clone)]
pub struct UnlinkIdentities {
    /// Who.
    pub user_id: UserId,
    /// Which.
    pub halves: Vec<Half>,
}

impl Decision for UnlinkIdentities {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user = registered(view, self.user_id)?;
        let (mut events, mut claims) = (Vec::new(), Vec::new());
        for half in self.halves.iter().filter(|it| user.links.contains(&it.link)) {
            let event = IdentitiesUnlinked { user_id: self.user_id, person: half.link, at: view.now };
            events.push(IdentityEvent::IdentitiesUnlinked(event).into());
            let value = half.elsewhere.claim_value(self.user_id);
            claims.push(Claim::Release { scope: LINKED_SCOPE.to_owned(), value });
        }
        let primary = stream(self.user_id);
        Ok(Verdict { primary, outcome: Outcome::Done, events, claims, valid_until: None })
    }
}

/// The user, if they are active and their half of a link is there.
pub(crate) fn linked(view: &View<'_>, user_id: UserId, link: Uuid) -> Result<(), IdentityError> {
    if active(view, user_id)?.links.contains(&link) { Ok(()) } else { Err(IdentityError::NotLinked) }
}
