//! A link: a user of the organisation is who a provider says that somebody is.
//!
//! The provider's name for the person never stands in an event. A keyed hash of it is a claim, so that one person of a
//! provider is one user, however many ask at once; the claim goes when the link does.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::FederationEvent;
use super::error::FederationError;
use super::provider;
use crate::aggregate::Aggregate;
use crate::decision::{Claim, Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::{LinkId, ProviderId, UserId};
use crate::private::Private;
use crate::stream::{Category, StreamId};

/// The scope in which people of providers are unique: `<provider>/<hash>`.
pub const IDENTITY_SCOPE: &str = "federation.identity";
/// The scope in which a user has one link to a provider: `<provider>/<user>`.
pub const USER_SCOPE: &str = "federation.user";

/// A provider's name for a person as the claims know it: HMAC-SHA-256 with the organisation's index key. Never in an
/// event.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdentityHash([u8; 32]);

impl IdentityHash {
    /// Wraps what the edge computed.
    #[must_use]
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The value of its claim. Both parts are of a fixed length, so no two pairs have one value.
    fn claim_value(self, provider_id: ProviderId) -> String {
        let hash: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{provider_id}/{hash}")
    }
}

impl fmt::Debug for IdentityHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityHash(..)")
    }
}

/// Lets a user sign in as somebody whom a provider knows. Whether that is right is for `crate::linking` to say.
///
/// Refused with [`FederationError::ProviderNotFound`], [`FederationError::LinkExists`], [`FederationError::IdentityTaken`],
/// [`FederationError::AlreadyLinked`].
#[derive(Debug, Clone)]
pub struct LinkIdentity {
    /// Which link, given by the caller.
    pub link_id: LinkId,
    /// The user.
    pub user_id: UserId,
    /// Who vouches for them.
    pub provider_id: ProviderId,
    /// Who they are to it.
    pub identity: IdentityHash,
    /// How the provider calls them, for their own list of links; private to the user.
    pub label: Option<Private>,
}

/// A user can sign in as somebody whom a provider knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdentityLinked {
    /// Which link.
    pub link_id: LinkId,
    /// The user.
    pub user_id: UserId,
    /// Who vouches for them.
    pub provider_id: ProviderId,
    /// How the provider calls them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Private>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Gives a link up. Already so, if it was given up.
///
/// Refused with [`FederationError::LinkNotFound`].
#[derive(Debug, Clone)]
pub struct UnlinkIdentity {
    /// Which.
    pub link_id: LinkId,
    /// Whose it must be: another person's is not found.
    pub of: UserId,
    /// Who they were to the provider, as the vault has it beside the link.
    pub identity: IdentityHash,
}

/// A user cannot sign in with a link any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdentityUnlinked {
    /// Which link.
    pub link_id: LinkId,
    /// Whose it was.
    pub user_id: UserId,
    /// Who vouched for them.
    pub provider_id: ProviderId,
    /// When.
    pub at: DateTime<Utc>,
}

/// Changes nothing: a sign-in with a provider happens only if its link stands at that moment, is of this user, and people
/// still sign in with the provider.
///
/// Refused with [`FederationError::ProviderNotFound`], [`FederationError::NotLinked`].
#[derive(Debug, Clone)]
pub struct CheckLink {
    /// Which link.
    pub link_id: LinkId,
    /// Whose it must be.
    pub user_id: UserId,
    /// Who must vouch for them.
    pub provider_id: ProviderId,
}

/// What is known of a link.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Link {
    /// Not there.
    #[default]
    Absent,
    /// It stands.
    Linked {
        /// The user.
        user_id: UserId,
        /// Who vouches for them.
        provider_id: ProviderId,
    },
    /// It was given up.
    Unlinked {
        /// Whose it was.
        user_id: UserId,
    },
}

/// The stream of a link.
#[must_use]
pub const fn stream(id: LinkId) -> StreamId {
    StreamId::new(Link::CATEGORY, id.uuid())
}

fn find<'a>(view: &View<'a>, id: LinkId) -> Option<&'a Link> {
    view.find::<Link>(id.uuid()).map(|seen| seen.state)
}

fn user_value(provider_id: ProviderId, user_id: UserId) -> String {
    format!("{provider_id}/{user_id}")
}

impl Decision for LinkIdentity {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.link_id), provider::stream(self.provider_id)]
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.label.iter().map(Private::subject).collect()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        provider::active(view, self.provider_id)?;
        if find(view, self.link_id).is_some_and(|it| *it != Link::Absent) {
            return Err(FederationError::LinkExists.into());
        }
        let event = FederationEvent::IdentityLinked(IdentityLinked {
            link_id: self.link_id,
            user_id: self.user_id,
            provider_id: self.provider_id,
            label: self.label.clone(),
            at: view.now,
        });
        let claims = [
            Claim::Take {
                scope: IDENTITY_SCOPE.to_owned(),
                value: self.identity.claim_value(self.provider_id),
                taken: FederationError::IdentityTaken.into(),
            },
            Claim::Take {
                scope: USER_SCOPE.to_owned(),
                value: user_value(self.provider_id, self.user_id),
                taken: FederationError::AlreadyLinked.into(),
            },
        ];
        Ok(Verdict::created(stream(self.link_id), event).with_claims(claims))
    }
}

impl Decision for UnlinkIdentity {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.link_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let (user_id, provider_id) = match find(view, self.link_id) {
            Some(Link::Linked { user_id, provider_id }) if *user_id == self.of => (*user_id, *provider_id),
            Some(Link::Unlinked { user_id }) if *user_id == self.of => {
                return Ok(Verdict::already(stream(self.link_id)));
            }
            _ => return Err(FederationError::LinkNotFound.into()),
        };
        let event = FederationEvent::IdentityUnlinked(IdentityUnlinked {
            link_id: self.link_id,
            user_id,
            provider_id,
            at: view.now,
        });
        let claims = [
            Claim::Release {
                scope: IDENTITY_SCOPE.to_owned(),
                value: self.identity.claim_value(provider_id),
            },
            Claim::Release { scope: USER_SCOPE.to_owned(), value: user_value(provider_id, user_id) },
        ];
        Ok(Verdict::done(stream(self.link_id), event).with_claims(claims))
    }
}

impl Decision for CheckLink {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.link_id), provider::stream(self.provider_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        provider::active(view, self.provider_id)?;
        let expected = Link::Linked { user_id: self.user_id, provider_id: self.provider_id };
        if find(view, self.link_id) != Some(&expected) {
            return Err(FederationError::NotLinked.into());
        }
        Ok(Verdict::already(stream(self.link_id)))
    }
}

impl Aggregate for Link {
    const CATEGORY: Category = Category { code: 31, name: "federation.link" };
    const RESTORABLE: bool = true;

    fn evolve(&mut self, _id: Uuid, event: &Event) {
        if let Some(state) = told(event) {
            *self = state;
        }
    }

    fn restore(_id: Uuid, newest: &Event) -> Option<Self> {
        told(newest)
    }
}

/// Each event of a link tells all of it.
fn told(event: &Event) -> Option<Link> {
    match event {
        Event::Federation(FederationEvent::IdentityLinked(event)) => {
            Some(Link::Linked { user_id: event.user_id, provider_id: event.provider_id })
        }
        Event::Federation(FederationEvent::IdentityUnlinked(event)) => {
            Some(Link::Unlinked { user_id: event.user_id })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
