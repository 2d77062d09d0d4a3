//! Who is written to: an invitation goes out, goes out again, or is taken back. Each sending has a link of its own, and makes
//! those before it useless.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::identity::{EMAIL_SCOPE, EmailHash};
use domain::ids::{InvitationId, TenantId, UserId};
use domain::organisation::invitation::{self, Invitation, Invite, ResendInvitation, RevokeInvitation};
use domain::organisation::{Granter, RoleRef};
use domain::private::Private;
use domain::unproven::DisplaceUnproven;
use domain::{StreamId, View};
use event_store::IdempotencyKey;
use event_store::access::{Question, look};
use event_store::vault::{Digest, Mail, MailTokenKind, NewMailToken, VaultChange};
use secrecy::ExposeSecret as _;
use service_kit::access::Caller;
use service_kit::bearer::{Bearer, Kind};
use service_kit::email::EmailAddress;
use service_kit::permissions::role_table;
use service_kit::problem::Problem;
use uuid::Uuid;

use super::{gone, useless};
use crate::identity::facts::unknown;
use crate::identity::letters::NewLetter;
use crate::identity::limits::{Counted, Policy};
use crate::identity::{Identity, PLATFORM_SLUG, unavailable};
use crate::standing::granter;

/// Somebody is to be invited.
#[derive(Debug, Clone)]
pub struct Inviting {
    /// Whom.
    pub email: EmailAddress,
    /// What they will be.
    pub roles: Vec<RoleRef>,
    /// For how long it can be accepted.
    pub lasts: TimeDelta,
}

/// An invitation goes out.
pub struct Invites {
    /// Goes first, if somebody registered with the address and never showed that it is theirs.
    pub displace: Option<DisplaceUnproven>,
    /// The command.
    pub command: Invite,
    /// The link and its letter.
    pub vault: Vec<VaultChange>,
}

/// An invitation goes out again.
pub struct Resending {
    /// The command.
    pub command: ResendInvitation,
    /// The link and its letter; nothing if the command will be refused.
    pub vault: Vec<VaultChange>,
    /// The version of the invitation that the link was made for: of two who do this at once, one does it first.
    pub expected: Option<(StreamId, i64)>,
}

/// How does an invitation stand?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct InvitationAsked {
    tenant: TenantId,
    invitation: InvitationId,
}

impl Question for InvitationAsked {
    type Answer = (i64, Invitation);

    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![invitation::stream(self.invitation)]
    }

    fn answer(&self, view: &View<'_>) -> (i64, Invitation) {
        let seen = view.find::<Invitation>(self.invitation.uuid());
        seen.map(|it| (it.version, it.state.clone())).unwrap_or_default()
    }
}

/// A letter with a link that is about to be made.
struct Sending<'a> {
    tenant: TenantId,
    invitation: InvitationId,
    email: &'a EmailAddress,
    /// How often it was sent with this one.
    sendings: u32,
    inviter: Option<UserId>,
    until: DateTime<Utc>,
}

impl Identity {
    /// The command that invites somebody, what goes before it, and the link and letter that go with it.
    ///
    /// # Errors
    /// `rate.limited`.
    pub async fn inviting(
        &self,
        caller: &Caller,
        asked: Inviting,
        key: Option<&IdempotencyKey>,
    ) -> Result<Invites, Problem> {
        let tenant = caller.tenant;
        self.sends_letters(caller, key).await?;
        let invitation = InvitationId::new(Uuid::now_v7());
        let index = self.email_index(tenant, &asked.email);
        let holder = self.parts().vault.claim_holder(tenant, EMAIL_SCOPE, &index.to_string()).await;
        let (by, until) = (granter(caller), Utc::now() + asked.lasts);
        let inviter = match by {
            Granter::Member(user) => Some(user),
            Granter::Platform => None,
        };
        let sending = Sending { tenant, invitation, email: &asked.email, sendings: 1, inviter, until };
        let vault = self.sending(sending).await?;
        let command = Invite {
            invitation_id: invitation,
            email: Private::new(invitation.uuid(), asked.email.mailbox()),
            email_hash: EmailHash::new(index.0),
            holder: holder.map_err(unavailable)?.map(UserId::new),
            roles: asked.roles,
            expires_at: until,
            by,
            table: role_table(tenant).clone(),
        };
        let displace = self.displacing(tenant, index).await?;
        Ok(Invites { displace, command, vault })
    }

    /// The command that sends an invitation again, and the link and letter that go with it.
    ///
    /// # Errors
    /// `rate.limited`; `organisation.invitation-invalid` if the address is not known any more.
    pub async fn resending(
        &self,
        caller: &Caller,
        invitation: InvitationId,
        lasts: TimeDelta,
        key: Option<&IdempotencyKey>,
    ) -> Result<Resending, Problem> {
        let tenant = caller.tenant;
        self.sends_letters(caller, key).await?;
        let until = Utc::now() + lasts;
        let command = ResendInvitation { invitation_id: invitation, expires_at: until };
        let asked = self.invitation(tenant, invitation).await?;
        let (version, Invitation::Pending(pending)) = asked.as_ref() else {
            return Ok(Resending { command, vault: Vec::new(), expected: None });
        };
        let email = self.address_invited(tenant, invitation).await?.ok_or_else(gone)?;
        let (sendings, inviter) = (pending.sendings.saturating_add(1), pending.inviter);
        let sending = Sending { tenant, invitation, email: &email, sendings, inviter, until };
        let vault = self.sending(sending).await?;
        Ok(Resending { command, vault, expected: Some((invitation::stream(invitation), *version)) })
    }

    /// The command that takes an invitation back, and what makes its links useless.
    ///
    /// # Errors
    /// `organisation.invitation-invalid` if there is none.
    pub async fn revoking(
        &self,
        tenant: TenantId,
        invitation: InvitationId,
    ) -> Result<(RevokeInvitation, VaultChange), Problem> {
        let email = self.address_invited(tenant, invitation).await?.ok_or_else(gone)?;
        let email_hash = EmailHash::new(self.email_index(tenant, &email).0);
        Ok((RevokeInvitation { invitation_id: invitation, email_hash }, useless(tenant, invitation)))
    }

    /// How an invitation stands, and the version at which it does.
    pub(in crate::identity) async fn invitation(
        &self,
        tenant: TenantId,
        invitation: InvitationId,
    ) -> Result<Arc<(i64, Invitation)>, Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        look(&mut conn, &InvitationAsked { tenant, invitation }).await.map_err(unknown)
    }

    /// What an organisation is called, in letters to people who may not know it.
    pub(in crate::identity) async fn organisation_name(&self, tenant: TenantId) -> Result<String, Problem> {
        let called = self.organisation_called(tenant).await?;
        // Organisations of before there were dossiers have none.
        Ok(called.map_or_else(|| PLATFORM_SLUG.to_owned(), |it| it.name))
    }

    /// Counts a letter that somebody causes to an address of their choice. A request that is repeated under its key gets its
    /// answer, and sends none.
    pub(in crate::identity) async fn sends_letters(
        &self,
        caller: &Caller,
        key: Option<&IdempotencyKey>,
    ) -> Result<(), Problem> {
        if let Some(key) = key
            && key.is_answered(&self.parts().pool, caller.tenant).await.map_err(unavailable)?
        {
            return Ok(());
        }
        let member = Counted::id(Policy::InvitationsMember, caller.tenant, caller.actor.uuid());
        self.limits().check([member, Counted::tenant(Policy::Invitations, caller.tenant)]).await
    }

    /// A fresh link to an invitation, in the place of those before, and its letter.
    async fn sending(&self, it: Sending<'_>) -> Result<Vec<VaultChange>, Problem> {
        let secret = Bearer::make(Kind::Mail, it.tenant, Uuid::now_v7())?;
        let token = VaultChange::PutMailToken(NewMailToken {
            tenant: it.tenant,
            token: secret.id,
            kind: MailTokenKind::Invitation,
            hash: Digest(secret.hash()),
            about: it.invitation.uuid(),
            user: None,
            address_hash: Some(self.email_index(it.tenant, it.email)),
            version: it.sendings.into(),
            expires_at: it.until,
        });
        let inviter = match it.inviter {
            Some(user) => self.profile_of(it.tenant, user).await?.name(),
            None => None,
        };
        let mail = Mail::Invitation {
            organisation: self.organisation_name(it.tenant).await?,
            inviter,
            token: secret.text().expose_secret().to_owned(),
            until: it.until,
        };
        let letter = self.letter(NewLetter {
            tenant: it.tenant,
            // Who it is to is nobody here yet: their address is the invitation's.
            about: it.invitation.uuid(),
            to: it.email,
            language: &self.policy(it.tenant).await?.language,
            mail,
            cause: format!("invitation:{}:{}:{}", it.invitation, it.sendings, secret.id),
        })?;
        Ok(vec![token, letter])
    }
}
