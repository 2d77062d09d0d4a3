//! What whoever has the link can do with it: become a member, or say that they will not.

use domain::identity::{EMAIL_SCOPE, EmailHash, PersonNames, RegisterUser, SetPassword, VerifyEmail, user};
use domain::ids::{ActorId, InvitationId, TenantId, UserId};
use domain::joining::AcceptInvitation;
use domain::metadata::Label;
use domain::organisation::OrganisationError;
use domain::organisation::invitation::DeclineInvitation;
use domain::private::Private;
use domain::unproven::DisplaceUnproven;
use domain::words::{Language, Word};
use domain::{Decision, Refusal};
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::vault::{Digest, MailTokenKind};
use sabotage::Guard;
use service_kit::email::EmailAddress;
use service_kit::permissions::role_table;
use service_kit::problem::Problem;
use uuid::Uuid;

use super::{gone, useless};
use crate::answer::Nothing;
use crate::identity::limits::{Counted, Policy};
use crate::identity::recovery::{Link, Shown};
use crate::identity::sessions::InSession;
use crate::identity::sign_up::{Candidate, PASSWORD, demands};
use crate::identity::{Identity, Origin, unavailable};
use crate::passwords::Password;

/// How they came, in what is recorded of them.
const INVITATION: Word = Word::of("invitation");

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

impl Identity {
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
        // Whoever registered with the address without its mailbox knows a password, and that is all that they have.
        if let Some(displace) = self.displacing(tenant, invited.address).await? {
            return self.accept_new(&invited, who, Some(displace), origin).await;
        }
        let holder = self.parts().vault.claim_holder(tenant, EMAIL_SCOPE, &invited.address.to_string()).await;
        let Some(user) = holder.map_err(unavailable)? else {
            return self.accept_new(&invited, who, None, origin).await;
        };
        // Whoever used the link at the same moment may be who has the account since. Then it is no link any more, and no
        // password is looked at: wrong ones would lock them out.
        if sabotage::stands(Guard::AnsweredLink) {
            self.good_link(text, MailTokenKind::Invitation).await?.ok_or_else(gone)?;
        }
        self.accept_again(&invited, UserId::new(user), &who.password, origin).await
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
            let told_there = origin.elsewhere().cause(user.actor());
            let mut unit = Unit::of(who.tenant, origin.cause(user.actor()), [gated(Box::new(Nothing))])
                .told_in(tenant, told_there);
            if let Some(displace) = self.displacing(tenant, invited.address).await? {
                unit = unit.and(tenant, displace);
            }
            let unit =
                unit.and(tenant, register).and(tenant, invited.accept(user, 1)).minting(user::stream(user));
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
        displace: Option<DisplaceUnproven>,
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
        let unit = Unit::of(tenant, origin.cause(user.actor()), displace.map(boxed))
            .and(tenant, register)
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
}

fn boxed(command: impl Decision + 'static) -> Box<dyn Decision> {
    Box::new(command)
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

fn for_another() -> Problem {
    Refusal::from(OrganisationError::InvitationForAnother).into()
}
