//! Invitations: who is written to, and what whoever has the link can do with it.
//!
//! The link is opaque, made anew for each sending, and nowhere but in its letter; the vault has its hash, and no event, answer
//! or list has either. It proves the address that it was sent to, so a person who comes by it needs no other link.
//!
//! | who comes with the link | what they show | what happens |
//! |---|---|---|
//! | somebody whom the organisation does not know | a password of their choice | they register and are a member |
//! | somebody who was a member once | their password | they are a member again |
//! | somebody in a session of any organisation | that the verified address of that account is the invited one | they are a member, here without a password until they choose one |
//!
//! **Invariant:** a refusal leaves the invitation as it is: whoever is wrong here neither redeems nor consumes it.

use chrono::{DateTime, TimeDelta, Utc};
use domain::identity::{EMAIL_SCOPE, EmailHash, PersonNames, RegisterUser, SetPassword, VerifyEmail, user};
use domain::ids::{ActorId, InvitationId, TenantId, UserId};
use domain::joining::AcceptInvitation;
use domain::metadata::Label;
use domain::organisation::invitation::{
    self, DeclineInvitation, Invitation, Invite, ResendInvitation, RevokeInvitation,
};
use domain::organisation::{Granter, OrganisationError, RoleRef};
use domain::private::Private;
use domain::words::{Language, Word};
use domain::{Decision, Refusal, StreamId, View};
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::access::{Question, look};
use event_store::vault::{
    Digest, Language as MailLanguage, Letter, Mail, MailTokenKind, NewMailToken, Slip, VaultChange,
};
use secrecy::ExposeSecret as _;
use service_kit::access::Caller;
use service_kit::bearer::{Bearer, Kind};
use service_kit::email::EmailAddress;
use service_kit::permissions::role_table;
use service_kit::problem::Problem;
use uuid::Uuid;

use super::facts::unknown;
use super::limits::{Counted, Policy};
use super::recovery::{Link, Shown};
use super::sessions::InSession;
use super::sign_up::{Candidate, PASSWORD, demands};
use super::{Identity, Origin, PLATFORM_SLUG, unavailable};
use crate::answer::Nothing;
use crate::passwords::Password;
use crate::standing::granter;

/// How they came, in what is recorded of them.
const INVITATION: Word = Word::of("invitation");

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

/// An invitation goes out again.
pub struct Resending {
    /// The command.
    pub command: ResendInvitation,
    /// The link and its letter; nothing if the command will be refused.
    pub vault: Vec<VaultChange>,
    /// The version of the invitation that the link was made for: of two who do this at once, one does it first.
    pub expected: Option<(StreamId, i64)>,
}

/// Somebody comes by an invitation and says who they are.
#[derive(Debug, Clone)]
pub struct NewMember {
    /// The password of their choice, or the one that they have here already.
    pub password: Password,
    /// What they are called by friends.
    pub given_name: Option<Label>,
    /// What they are called by the family.
    pub family_name: Option<Label>,
    /// The language in which they are written to; the organisation's if none is said.
    pub language: Option<Language>,
}

/// Somebody is a member.
#[derive(Debug, Clone, Copy)]
pub struct Joined {
    /// Of which organisation.
    pub tenant: TenantId,
    /// Who they are there.
    pub user: UserId,
    /// Up to here the log holds it.
    pub position: LogPosition,
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

/// A link that is good, and the invitation that it is of.
struct Invited {
    link: Link,
    invitation: InvitationId,
    sendings: u32,
    address: Digest,
}

impl Invited {
    fn accept(&self, user: UserId, same_email: u32) -> AcceptInvitation {
        AcceptInvitation {
            invitation_id: self.invitation,
            sendings: self.sendings,
            email_hash: EmailHash::new(self.address.0),
            user_id: user,
            same_email: Some(same_email),
            table: role_table(self.link.tenant).clone(),
        }
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
    /// The command that invites somebody, and the link and letter that go with it.
    ///
    /// # Errors
    /// `rate.limited`.
    pub async fn inviting(
        &self,
        caller: &Caller,
        asked: Inviting,
    ) -> Result<(Invite, Vec<VaultChange>), Problem> {
        let tenant = caller.tenant;
        self.sends_letters(caller).await?;
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
        Ok((command, vault))
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
    ) -> Result<Resending, Problem> {
        let tenant = caller.tenant;
        self.sends_letters(caller).await?;
        let until = Utc::now() + lasts;
        let command = ResendInvitation { invitation_id: invitation, expires_at: until };
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let asked = look(&mut conn, &InvitationAsked { tenant, invitation }).await.map_err(unknown)?;
        drop(conn);
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

    /// Makes whoever has the link a member, by a password: of a new account, or of the one that they have here already.
    ///
    /// # Errors
    /// `organisation.invitation-invalid`, `identity.password-weak`, `identity.locked`, `identity.invalid-credentials`,
    /// `overload.hashing`, `organisation.not-active`, `organisation.invitation-for-another`, `organisation.already-member`,
    /// `organisation.grants-too-much`.
    pub async fn accept_with_password(
        &self,
        text: &str,
        who: NewMember,
        origin: &Origin,
    ) -> Result<Joined, Problem> {
        let invited = self.invited(text, origin).await?;
        let tenant = invited.link.tenant;
        let holder = self.parts().vault.claim_holder(tenant, EMAIL_SCOPE, &invited.address.to_string()).await;
        match holder.map_err(unavailable)? {
            Some(user) => self.accept_again(&invited, UserId::new(user), &who.password, origin).await,
            None => self.accept_new(&invited, who, origin).await,
        }
    }

    /// Makes somebody who is signed in a member, if the verified address of their account is the invited one. `gated` puts a
    /// command behind the gate of whoever asks.
    ///
    /// # Errors
    /// `organisation.invitation-invalid`, `organisation.invitation-for-another`, `organisation.not-active`,
    /// `organisation.already-member`, `organisation.grants-too-much`, `identity.email-taken`.
    pub async fn accept_in_session(
        &self,
        text: &str,
        who: InSession,
        gated: impl FnOnce(Box<dyn Decision>) -> Box<dyn Decision>,
        origin: &Origin,
    ) -> Result<Joined, Problem> {
        let invited = self.invited(text, origin).await?;
        let tenant = invited.link.tenant;
        let (registered, email) = self.person(who.tenant, who.user).await?.ok_or_else(for_another)?;
        if !registered.email_verified || self.email_index(tenant, &email) != invited.address {
            return Err(for_another());
        }
        let (user, unit) = if who.tenant == tenant {
            let accept = gated(Box::new(invited.accept(who.user, registered.email_version)));
            (who.user, Unit::of(tenant, origin.cause(who.user.actor()), [accept]))
        } else {
            // Persons belong to one organisation each, so they are somebody new in this one; whom they are elsewhere is judged
            // once more with it.
            let user = UserId::new(Uuid::now_v7());
            let register = newcomer(&invited, user, &email, registered.language.clone());
            let unit = Unit::of(who.tenant, origin.cause(user.actor()), [gated(Box::new(Nothing))])
                .and(tenant, register)
                .and(tenant, invited.accept(user, 1))
                .minting(user::stream(user));
            (user, unit)
        };
        let position = self.submit(unit.with_vault([invited.link.used()])).await?.map_err(Problem::from)?;
        Ok(Joined { tenant, user, position })
    }

    /// Says, with the link alone, that its person does not want to be a member.
    ///
    /// # Errors
    /// `organisation.invitation-invalid`.
    pub async fn decline_invitation(&self, text: &str, origin: &Origin) -> Result<LogPosition, Problem> {
        let invited = self.invited(text, origin).await?;
        let decline = DeclineInvitation {
            invitation_id: invited.invitation,
            sendings: invited.sendings,
            email_hash: EmailHash::new(invited.address.0),
        };
        let tenant = invited.link.tenant;
        // Nobody knows who they are, beyond that the invitation is theirs.
        let cause = origin.cause(ActorId::new(invited.invitation.uuid()));
        let unit = Unit::new(tenant, cause, decline).with_vault([useless(tenant, invited.invitation)]);
        self.submit(unit).await?.map_err(Problem::from)
    }

    /// The invitation that a link is of, if it is good.
    async fn invited(&self, text: &str, origin: &Origin) -> Result<Invited, Problem> {
        self.limits().check([Counted::address(Policy::Links, origin.ip)]).await?;
        let link = self.good_link(text, MailTokenKind::Invitation).await?.ok_or_else(gone)?;
        let (Some(address), Ok(sendings)) = (link.token.address_hash, u32::try_from(link.token.version))
        else {
            return Err(gone());
        };
        let invitation = InvitationId::new(link.token.about);
        Ok(Invited { link, invitation, sendings, address })
    }

    async fn accept_new(
        &self,
        invited: &Invited,
        who: NewMember,
        origin: &Origin,
    ) -> Result<Joined, Problem> {
        let tenant = invited.link.tenant;
        let email = self.address_invited(tenant, invited.invitation).await?.ok_or_else(gone)?;
        let policy = self.policy(tenant).await?;
        let names = [&who.given_name, &who.family_name].into_iter().flatten().map(Label::as_str);
        let demands = demands(&policy, email.words().chain(names));
        let hashed = self.acceptable(who.password.clone(), demands, PASSWORD).await?;
        let user = UserId::new(Uuid::now_v7());
        let candidate = Candidate {
            email,
            given_name: who.given_name,
            family_name: who.family_name,
            language: who.language.unwrap_or_else(|| policy.language.clone()),
            is_verified: true,
        };
        let (register, set_password) = self.new_person(tenant, user, &candidate);
        let register = RegisterUser { via: INVITATION, ..register };
        let set_password = SetPassword { because: Word::of("invited"), ..set_password };
        let unit = Unit::new(tenant, origin.cause(user.actor()), register)
            .and(tenant, set_password)
            .and(tenant, invited.accept(user, 1))
            .minting(user::stream(user))
            .with_vault([hashed.put(tenant, user, 1), invited.link.used()]);
        let position = self.submit(unit).await?.map_err(Problem::from)?;
        Ok(Joined { tenant, user, position })
    }

    /// The link shows that the address is theirs, the password that the account is.
    async fn accept_again(
        &self,
        invited: &Invited,
        user: UserId,
        password: &Password,
        origin: &Origin,
    ) -> Result<Joined, Problem> {
        let tenant = invited.link.tenant;
        let Shown { registered, email, .. } =
            self.shown(tenant, user, password, "invitation", origin).await?;
        if self.email_index(tenant, &email) != invited.address {
            // They asked for the address and have not shown that it is theirs.
            return Err(for_another());
        }
        let version = registered.email_version;
        let verify = VerifyEmail { user_id: user, email_version: version, via: INVITATION };
        let unit = Unit::new(tenant, origin.cause(user.actor()), verify)
            .and(tenant, invited.accept(user, version))
            .with_vault([invited.link.used()]);
        let position = self.submit(unit).await?.map_err(Problem::from)?;
        Ok(Joined { tenant, user, position })
    }

    /// What an organisation is called, in letters to people who may not know it.
    pub(super) async fn organisation_name(&self, tenant: TenantId) -> Result<String, Problem> {
        let called = self.organisation_called(tenant).await?;
        // Organisations of before there were dossiers have none.
        Ok(called.map_or_else(|| PLATFORM_SLUG.to_owned(), |it| it.name))
    }

    /// Counts a letter that somebody causes to an address of their choice.
    pub(super) async fn sends_letters(&self, caller: &Caller) -> Result<(), Problem> {
        let member = Counted::id(Policy::InvitationsMember, caller.tenant, caller.actor.uuid());
        self.limits().check([member, Counted::tenant(Policy::Invitations, caller.tenant)]).await
    }

    /// A fresh link to an invitation, in the place of those before, and its letter.
    async fn sending(&self, it: Sending<'_>) -> Result<Vec<VaultChange>, Problem> {
        let secret = Bearer::make(Kind::Mail, it.tenant, Uuid::now_v7()).map_err(|it| Problem::fault(&it))?;
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
            Some(user) => self.name_of(it.tenant, user).await?,
            None => None,
        };
        let mail = Mail::Invitation {
            organisation: self.organisation_name(it.tenant).await?,
            inviter,
            token: secret.text().expose_secret().to_owned(),
            until: it.until,
        };
        let language = MailLanguage::nearest(self.policy(it.tenant).await?.language.as_str());
        let letter = Letter { to: it.email.mailbox().to_owned(), language, mail };
        let slip = Slip {
            tenant: it.tenant,
            mail: Uuid::now_v7(),
            // Who it is to is nobody here yet: their address is the invitation's.
            user: Some(it.invitation.uuid()),
            dedupe: format!("invitation:{}:{}:{}", it.invitation, it.sendings, secret.id),
        };
        let letter = letter.queued(slip, &self.parts().master).map_err(|it| Problem::fault(&it))?;
        Ok(vec![token, letter])
    }
}

/// What registers somebody without a password, of whom nothing is known but that the address is theirs.
fn newcomer(invited: &Invited, user: UserId, email: &EmailAddress, language: Language) -> RegisterUser {
    RegisterUser {
        user_id: user,
        email: Private::new(user.uuid(), email.mailbox()),
        email_hash: EmailHash::new(invited.address.0),
        names: PersonNames::default(),
        language,
        via: INVITATION,
        verified: true,
    }
}

/// What makes the links of an invitation that came to an end useless.
fn useless(tenant: TenantId, invitation: InvitationId) -> VaultChange {
    VaultChange::DropMailTokens { tenant, kind: MailTokenKind::Invitation, about: invitation.uuid() }
}

fn gone() -> Problem {
    Refusal::from(OrganisationError::InvitationInvalid).into()
}

fn for_another() -> Problem {
    Refusal::from(OrganisationError::InvitationForAnother).into()
}
