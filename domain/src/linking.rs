//! When somebody who signs in with a provider is let in as which user: the one rule, and the commands that it needs beside
//! those of its parts.
//!
//! It joins what a provider says with what is known of users, so it belongs to neither. An address alone never decides:
//! whoever may set up a provider, or register an address without proving it, could be anybody then (better-auth#9578, and
//! "nOAuth", where the address in a token of Microsoft's is what its owner's directory says).

use uuid::Uuid;

use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::federation::{FederationError, LinkIdentity, provider};
use crate::identity::User;
use crate::identity::user;
use crate::ids::{ProviderId, UserId};
use crate::organisation::{Policy, policy};
use crate::stream::StreamId;

/// What is known at the moment when a provider has said who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// Whom the provider's person is linked to.
    pub linked_to: Option<UserId>,
    /// Who is signed in and asked for this.
    pub signed_in: Option<UserId>,
    /// Whether the provider says that the person's address is verified.
    pub is_vouched: bool,
    /// Whether the organisation trusts the provider for the domain of that address, by its settings and by the policy.
    pub is_trusted: bool,
    /// Who has that address in the organisation.
    pub holder: Option<Holder>,
}

/// The user who has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The user.
    pub user_id: UserId,
    /// Whether it was shown to us that the address is theirs.
    pub is_verified: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// They are this user.
    SignIn(UserId),
    /// The user who is signed in gets a link.
    Link(UserId),
    /// The user with their address gets a link, and they are that user. By [`LinkByAddress`].
    LinkByAddress(UserId),
    /// They are new: a user comes to be, with the address as verified, and gets a link.
    Register,
}

/// The rule.
///
/// | linked to | signed in | provider's word and our trust | address has | then |
/// |---|---|---|---|---|
/// | A | nobody, or A | - | - | sign in as A |
/// | A | B | - | - | refused: the identity is A's |
/// | nobody | B | - | - | link to B |
/// | nobody | nobody | both | nobody | register |
/// | nobody | nobody | both | A, verified | link to A and sign in as A |
/// | nobody | nobody | both | A, not verified | refused: A may be somebody else |
/// | nobody | nobody | one or none | - | refused: nobody vouches for the address |
///
/// The last one is the same whoever has the address, so that it tells nobody whether somebody does.
///
/// # Errors
/// [`FederationError::IdentityTaken`], [`FederationError::LinkNeedsSignIn`], [`FederationError::AddressNotVouched`].
pub fn rule(it: &Situation) -> Result<Ruling, FederationError> {
    match (it.linked_to, it.signed_in) {
        (Some(linked), Some(signed_in)) if linked != signed_in => Err(FederationError::IdentityTaken),
        (Some(linked), _) => Ok(Ruling::SignIn(linked)),
        (None, Some(signed_in)) => Ok(Ruling::Link(signed_in)),
        (None, None) if it.is_vouched && it.is_trusted => match it.holder {
            None => Ok(Ruling::Register),
            Some(holder) if holder.is_verified => Ok(Ruling::LinkByAddress(holder.user_id)),
            // Whoever registered it has not shown that it is theirs, and may know its password.
            Some(_) => Err(FederationError::LinkNeedsSignIn),
        },
        (None, None) => Err(FederationError::AddressNotVouched),
    }
}

/// Links the user who has the address that the provider vouches for, if the address is still verified and still theirs.
///
/// Refused as [`LinkIdentity`] is, after [`FederationError::LinkNeedsSignIn`] for a user who is not active, or whose
/// address is another one by now or not verified.
#[derive(Debug, Clone)]
pub struct LinkByAddress {
    /// The link.
    pub link: LinkIdentity,
    /// The number of the address that was looked at.
    pub email_version: u32,
}

impl Decision for LinkByAddress {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut streams = self.link.needs(view);
        streams.push(user::stream(self.link.user_id));
        streams
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.link.subjects()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        match view.find::<User>(self.link.user_id.uuid()).map(|seen| seen.state) {
            Some(User::Active(user)) if user.email_verified && user.email_version == self.email_version => {
                self.link.decide(view)
            }
            _ => Err(FederationError::LinkNeedsSignIn.into()),
        }
    }
}

/// Changes nothing, and demands that the policy lets people sign in with providers of this one's kind at that moment: part of
/// each unit that lets somebody in, or links them, by the word of a provider.
///
/// Refused with [`FederationError::ProviderNotFound`]: who asks cannot tell it from one that is not there.
#[derive(Debug, Clone, Copy)]
pub struct WhileOffered {
    /// Which.
    pub provider_id: ProviderId,
}

impl Decision for WhileOffered {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![provider::stream(self.provider_id), policy::stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let kind = &provider::active(view, self.provider_id)?.kind;
        if !Policy::of(view).is_none_or(|it| it.offers(kind)) {
            return Err(FederationError::ProviderNotFound { provider_id: self.provider_id }.into());
        }
        Ok(Verdict::already(provider::stream(self.provider_id)))
    }
}

#[cfg(test)]
mod tests;
