//! What is known of a person, as they or an administrator change it; and persons whom an administrator makes, who choose their
//! password themselves by a link.

use chrono::{TimeDelta, Utc};
use domain::Refusal;
use domain::identity::{EmailHash, IdentityError, Patch, PersonNames, RegisterUser, UpdateProfile, User};
use domain::ids::{ActorId, TenantId, UserId};
use domain::metadata::Label;
use domain::organisation::{AddMember, RoleRef};
use domain::private::Private;
use domain::words::{Language, Word};
use event_store::IdempotencyKey;
use event_store::vault::{
    Asker, Digest, Language as MailLanguage, Mail, MailTokenKind, NewMailToken, Request, VaultChange,
};
use secrecy::ExposeSecret as _;
use service_kit::access::Caller;
use service_kit::bearer::{Bearer, Kind};
use service_kit::contact::{Phone, PostalAddress};
use service_kit::email::EmailAddress;
use service_kit::permissions::role_table;
use service_kit::problem::Problem;
use uuid::Uuid;

use super::Identity;
use super::displacing::MakingRoom;
use super::letters::NewLetter;
use super::recovery::ASKED_FOR;
use crate::standing::granter;

/// How long somebody for whom an account was made may take to choose a password. Later they ask for a link as if they had
/// forgotten it.
pub const FIRST_PASSWORD_WITHIN: TimeDelta = TimeDelta::days(3);

/// What a person is called; a half that is not named stays.
#[derive(Debug, Clone, Default)]
pub struct Name {
    /// By friends, or that it is not known.
    pub given: Option<Option<Label>>,
    /// By the family, or that it is not known.
    pub family: Option<Option<Label>>,
}

impl Name {
    /// That of somebody of whom none is known yet.
    fn of(self, user: UserId) -> PersonNames {
        let private = |name: Label| Private::new(user.uuid(), name.as_str());
        PersonNames { given: self.given.flatten().map(private), family: self.family.flatten().map(private) }
    }
}

/// What changes of a person; what is not named stays.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// What they are called.
    pub name: Name,
    /// Their telephone number, or that there is none.
    pub phone: Option<Option<Phone>>,
    /// Where they live, or that it is not known.
    pub address: Option<Option<PostalAddress>>,
    /// The language in which they are written to.
    pub language: Option<Language>,
}

impl Profile {
    /// The command that changes it.
    #[must_use]
    pub fn of(self, user: UserId) -> UpdateProfile {
        let patch = |text: Option<&str>| {
            text.map_or(Patch::Clear, |text| Patch::Set(Private::new(user.uuid(), text)))
        };
        UpdateProfile {
            user_id: user,
            given_name: self.name.given.map(|it| patch(it.as_ref().map(Label::as_str))),
            family_name: self.name.family.map(|it| patch(it.as_ref().map(Label::as_str))),
            phone: self.phone.map(|it| patch(it.as_ref().map(Phone::as_str))),
            address: self.address.map(|it| patch(it.as_ref().map(PostalAddress::as_str))),
            language: self.language,
        }
    }
}

/// An administrator makes an account.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// Where its owner is written to.
    pub email: EmailAddress,
    /// What they are called.
    pub name: Name,
    /// What they will be.
    pub roles: Vec<RoleRef>,
    /// The language in which they are written to; the organisation's if none is said.
    pub language: Option<Language>,
}

/// What makes an account.
pub struct Making {
    /// Goes first: whoever registered with the address and never showed that it is theirs, and an open invitation of it.
    pub room: MakingRoom,
    /// Makes the person.
    pub register: RegisterUser,
    /// Makes them a member.
    pub join: AddMember,
    /// The link with which they choose a password, and its letter.
    pub vault: Vec<VaultChange>,
}

impl Identity {
    /// What makes an account, whose owner chooses its password by a link and shows with that that the address is theirs.
    ///
    /// # Errors
    /// `rate.limited`.
    pub async fn making(
        &self,
        caller: &Caller,
        asked: NewPerson,
        key: Option<&IdempotencyKey>,
    ) -> Result<Making, Problem> {
        let (tenant, user) = (caller.tenant, UserId::new(Uuid::now_v7()));
        self.sends_letters(caller, key).await?;
        let index = self.email_index(tenant, &asked.email);
        let language = match asked.language {
            Some(language) => language,
            None => self.policy(tenant).await?.language.clone(),
        };
        let secret = Bearer::make(Kind::Mail, tenant, Uuid::now_v7())?;
        let until = Utc::now() + FIRST_PASSWORD_WITHIN;
        let token = VaultChange::PutMailToken(NewMailToken {
            tenant,
            token: secret.id,
            kind: MailTokenKind::Reset,
            hash: Digest(secret.hash()),
            about: user.uuid(),
            user: Some(user.uuid()),
            address_hash: Some(index),
            // There is no password yet that it could take the place of.
            version: 0,
            expires_at: until,
        });
        let mail = Mail::AccountMade {
            organisation: self.organisation_name(tenant).await?,
            token: secret.text().expose_secret().to_owned(),
            until,
        };
        let letter = self.letter(NewLetter {
            tenant,
            about: user.uuid(),
            to: &asked.email,
            language: &language,
            mail,
            cause: format!("account-made:{user}"),
        })?;
        let register = RegisterUser {
            user_id: user,
            email: Private::new(user.uuid(), asked.email.mailbox()),
            email_hash: EmailHash::new(index.0),
            names: asked.name.of(user),
            language,
            via: Word::of("administrator"),
            verified: false,
        };
        let table = role_table(tenant).clone();
        let join = AddMember { user_id: user, roles: asked.roles, by: granter(caller), table };
        let room = self.making_room(tenant, index).await?;
        Ok(Making { room, register, join, vault: vec![token, letter] })
    }

    /// Has the link sent with which a person chooses another password, to their address. Whoever asks never sees it.
    ///
    /// # Errors
    /// `identity.user-not-found`, `identity.user-inactive`, `identity.person-erased`; `rate.limited`.
    pub async fn ask_for_reset(&self, tenant: TenantId, user: UserId, by: ActorId) -> Result<(), Problem> {
        let Some((registered, email)) = self.person(tenant, user).await? else {
            let refused = match self.person_in_log(tenant, user).await?.as_ref() {
                User::Inactive(_) => IdentityError::UserInactive,
                User::Erased => IdentityError::PersonErased,
                User::Active(_) | User::Absent => IdentityError::UserNotFound { user_id: user },
            };
            return Err(Refusal::from(refused).into());
        };
        self.has_a_letter_sent(tenant, &email, by.uuid()).await?;
        let asker = Asker {
            mailbox: email.mailbox().to_owned(),
            normal: email.normal().to_owned(),
            language: MailLanguage::nearest(registered.language.as_str()),
        };
        self.ask(tenant, &Request::Reset(asker), ASKED_FOR).await
    }
}
