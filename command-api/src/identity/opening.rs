//! What stands behind a link of a letter, for its page to say before anything is done with it. It is told to whoever has the
//! link, and looking consumes nothing.

use chrono::Utc;
use domain::ids::InvitationId;
use domain::organisation::invitation::Invitation;
use event_store::vault::MailTokenKind;
use service_kit::problem::Problem;

use super::browser::Called;
use super::invitations::gone;
use super::limits::{Counted, Policy};
use super::recovery::{Link, invalid};
use super::{Identity, Origin};

/// What a link is for, of those with which somebody chooses a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFor {
    /// Another password.
    Reset,
    /// Membership.
    Invitation,
}

/// What stands behind a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The organisation that it is of.
    pub organisation: Option<Called>,
    /// Who invites, if somebody does who is known by a name still.
    pub inviter: Option<String>,
    /// How many characters a password has there at least.
    pub length_min: u16,
}

impl Identity {
    /// What stands behind a link, for whoever comes with it.
    ///
    /// # Errors
    /// `rate.limited`, and as [`Identity::behind_link`].
    pub async fn open_link(&self, text: &str, of: LinkFor, origin: &Origin) -> Result<Opened, Problem> {
        self.limits().check([Counted::address(Policy::Links, origin.ip)]).await?;
        self.behind_link(text, of).await
    }

    /// The same for whoever was counted already.
    ///
    /// # Errors
    /// `identity.link-invalid`, `organisation.invitation-invalid`: it is not good, or not any more.
    pub async fn behind_link(&self, text: &str, of: LinkFor) -> Result<Opened, Problem> {
        let (tenant, inviter) = match of {
            LinkFor::Reset => {
                let link = self.good_link(text, MailTokenKind::Reset).await?.ok_or_else(invalid)?;
                (link.tenant, None)
            }
            LinkFor::Invitation => {
                let link = self.good_link(text, MailTokenKind::Invitation).await?.ok_or_else(gone)?;
                (link.tenant, self.inviter(&link).await?)
            }
        };
        let length_min = self.policy(tenant).await?.password.length_min;
        Ok(Opened { organisation: self.organisation_called(tenant).await?, inviter, length_min })
    }

    /// Who invites, of an invitation that is open still. An erased person has no name any more.
    async fn inviter(&self, link: &Link) -> Result<Option<String>, Problem> {
        let asked = self.invitation(link.tenant, InvitationId::new(link.token.about)).await?;
        let (_, Invitation::Pending(pending)) = asked.as_ref() else { return Err(gone()) };
        if i64::from(pending.sendings) != link.token.version || pending.expires_at <= Utc::now() {
            return Err(gone());
        }
        match pending.inviter {
            Some(user) => Ok(self.profile_of(link.tenant, user).await?.name()),
            None => Ok(None),
        }
    }
}
