//! Registering. A new person is a member with the least role, whose address nobody has proven yet; the link that does so goes
//! to that address with the transaction that makes the person.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use domain::identity::{EmailHash, PersonNames, RegisterUser, SetPassword, Withdraw, user};
use domain::ids::{TenantId, UserId};
use domain::metadata::Label;
use domain::organisation::{
    AddMember, Granter, OrganisationError, Policy, Registration, RoleRef, WhileActive,
};
use domain::private::Private;
use domain::words::{Language, Word};
use domain::{Decision, Refusal};
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::vault::{
    Asker, Digest, Language as MailLanguage, Mail, MailTokenKind, NewMailToken, NotAsked, Purpose, Request,
    VaultChange,
};
use secrecy::ExposeSecret as _;
use service_kit::bearer::{Bearer, Kind};
use service_kit::email::EmailAddress;
use service_kit::permissions::role_table;
use service_kit::problem::{FieldProblem, Problem, code};
use uuid::Uuid;

use super::letters::NewLetter;
use super::limits::{Counted, Policy as Limit};
use super::{Identity, Origin, not_hashed, unavailable};
use crate::passwords::hash::Hashed;
use crate::passwords::rules::{Demands, Weakness};
use crate::passwords::{Accepted, Password};

/// How long the link that proves an address is good.
pub const LINK_GOOD_FOR: TimeDelta = TimeDelta::hours(24);
/// How long somebody may take to follow the link that completes a registration, and a little for the mail.
pub(super) const REGISTRATION_WAITS: Duration = Duration::from_secs(25 * 3_600);
/// How a unit is refused whose organisation may not work any more.
const NOT_ACTIVE: &str = "organisation.not-active";
/// The kinds of characters of a password, where a policy asks for all.
const KINDS: u8 = 4;
/// Where the password is in a request.
pub(super) const PASSWORD: &str = "/password";

/// Somebody wants to register.
#[derive(Debug, Clone)]
pub struct SignUp {
    /// The name of the organisation.
    pub tenant_slug: String,
    /// Where they are written to.
    pub email: EmailAddress,
    /// What will prove that it is them.
    pub password: Password,
    /// What they are called by friends.
    pub given_name: Option<Label>,
    /// What they are called by the family.
    pub family_name: Option<Label>,
    /// The language in which they are written to; the organisation's if none is said.
    pub language: Option<Language>,
}

/// Somebody who is about to be a person here.
pub(super) struct Candidate {
    pub email: EmailAddress,
    pub given_name: Option<Label>,
    pub family_name: Option<Label>,
    pub language: Language,
    /// Whether they have shown already that the address is theirs.
    pub is_verified: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy)]
pub enum SignedUp {
    /// There is a new person.
    Registered {
        /// Who.
        user: UserId,
        /// Up to here the log holds them.
        position: LogPosition,
    },
    /// Whoever has the address learns by mail how to go on; nobody else learns anything.
    Asked,
}

impl Identity {
    /// Registers a person.
    ///
    /// # Errors
    /// In this order: `rate.limited`, `organisation.not-found`, `identity.registration-closed`,
    /// `identity.password-weak`, `overload.hashing`, `rate.limited` for letters, `identity.email-taken`,
    /// `organisation.seats-used-up`.
    pub async fn sign_up(&self, asked: SignUp, origin: &Origin) -> Result<SignedUp, Problem> {
        // A password costs as much to take as to check.
        self.limits().check([Counted::address(Limit::SignIn, origin.ip)]).await?;
        let tenant = self.tenant(&asked.tenant_slug).await?.ok_or_else(nobodys)?;
        if !self.works(tenant).await? {
            return Err(nobodys());
        }
        let policy = self.policy(tenant).await?;
        let is_platform = tenant == TenantId::PLATFORM;
        // Into the platform's own organisation nobody comes but by invitation, once it has an owner.
        let is_closed = policy.registration == Registration::Closed;
        if is_closed || (is_platform && !self.awaits_first_owner().await?) {
            return Err(Problem::new(&code::REGISTRATION_CLOSED, ""));
        }
        let names = [&asked.given_name, &asked.family_name].into_iter().flatten().map(Label::as_str);
        let words = asked.email.words().chain(names).chain([asked.tenant_slug.as_str()]);
        let demands = demands(&policy, words);
        let hashed = self.acceptable(asked.password.clone(), demands, PASSWORD).await?;
        // Only now: whoever is told that a password is weak tries again.
        self.causes_a_letter(tenant, &asked.email, origin).await?;
        if is_platform {
            self.ask_to_be_first_owner(asked, hashed, &policy).await?;
            return Ok(SignedUp::Asked);
        }
        if policy.registration == Registration::Private {
            self.ask_to_register(tenant, asked, hashed, &policy).await?;
            return Ok(SignedUp::Asked);
        }
        let user = UserId::new(Uuid::now_v7());
        let candidate = Candidate {
            email: asked.email,
            given_name: asked.given_name,
            family_name: asked.family_name,
            language: asked.language.unwrap_or_else(|| policy.language.clone()),
            is_verified: false,
        };
        let link = self.address_link(tenant, user, &candidate)?;
        let unit = self.registration(tenant, user, &candidate, hashed, origin).with_vault(link);
        let refused = |it: Refusal| if it.code == NOT_ACTIVE { nobodys() } else { it.into() };
        let position = self.submit(unit).await?.map_err(refused)?;
        Ok(SignedUp::Registered { user, position })
    }

    /// Remembers what somebody asks for, without looking whether there is such a person: that is told by mail alone.
    async fn ask_to_register(
        &self,
        tenant: TenantId,
        asked: SignUp,
        hashed: Hashed,
        policy: &Policy,
    ) -> Result<(), Problem> {
        let request = Request::Register(registration_of(asked, hashed, policy));
        self.ask(tenant, &request, REGISTRATION_WAITS).await
    }

    /// Has a request answered by mail.
    pub(super) async fn ask(
        &self,
        tenant: TenantId,
        request: &Request,
        lasts: Duration,
    ) -> Result<(), Problem> {
        let parts = self.parts();
        parts.vault.ask(tenant, Uuid::now_v7(), request, lasts, &parts.master).await.map_err(|error| {
            match error {
                NotAsked::Full => Problem::new(&code::OVERLOADED, ""),
                NotAsked::Key(error) => Problem::fault(&error),
                NotAsked::Database(error) => unavailable(error),
            }
        })
    }

    /// What is kept of a new password, if it is good. `pointer` says where it is in the request.
    pub(super) async fn acceptable(
        &self,
        password: Password,
        demands: Demands,
        pointer: &'static str,
    ) -> Result<Hashed, Problem> {
        match self.parts().passwords.accept(password, demands).await.map_err(not_hashed)? {
            Accepted::Yes(hashed) => Ok(hashed),
            Accepted::No(weaknesses) => Err(weak(&weaknesses, pointer)),
        }
    }

    /// The unit that makes a person: registered, with a password, and a member with the least role, of an organisation that
    /// may work.
    pub(super) fn registration(
        &self,
        tenant: TenantId,
        user: UserId,
        asked: &Candidate,
        hashed: Hashed,
        origin: &Origin,
    ) -> Unit {
        let join = AddMember {
            user_id: user,
            roles: vec![RoleRef::USER],
            by: Granter::Platform,
            table: role_table(tenant).clone(),
        };
        let unit = self.joining_by(tenant, user, asked, hashed, join, origin);
        unit.and(tenant, WhileActive::default())
    }

    /// The unit that makes a person who becomes a member by this command.
    pub(super) fn joining_by(
        &self,
        tenant: TenantId,
        user: UserId,
        asked: &Candidate,
        hashed: Hashed,
        join: impl Decision + 'static,
        origin: &Origin,
    ) -> Unit {
        let (register, set_password) = self.new_person(tenant, user, asked);
        Unit::new(tenant, origin.cause(user.actor()), register)
            .and(tenant, set_password)
            .and(tenant, join)
            .minting(user::stream(user))
            .with_vault([hashed.put(tenant, user, 1)])
    }

    /// The commands that make a person with a password.
    pub(super) fn new_person(
        &self,
        tenant: TenantId,
        user: UserId,
        asked: &Candidate,
    ) -> (RegisterUser, SetPassword) {
        let index = self.email_index(tenant, &asked.email);
        let private = |name: &Label| Private::new(user.uuid(), name.as_str());
        let register = RegisterUser {
            user_id: user,
            email: Private::new(user.uuid(), asked.email.mailbox()),
            email_hash: EmailHash::new(index.0),
            names: PersonNames {
                given: asked.given_name.as_ref().map(private),
                family: asked.family_name.as_ref().map(private),
            },
            language: asked.language.clone(),
            via: Word::of("form"),
            verified: asked.is_verified,
        };
        let set_password = SetPassword {
            user_id: user,
            because: Word::of("registered"),
            seen: 0,
            withdraw: Withdraw::Nothing,
            by: user.actor(),
        };
        (register, set_password)
    }

    /// The letter with the link that proves the first address of a person, and what the vault keeps of the link.
    fn address_link(
        &self,
        tenant: TenantId,
        user: UserId,
        asked: &Candidate,
    ) -> Result<[VaultChange; 2], Problem> {
        let secret = Bearer::make(Kind::Mail, tenant, Uuid::now_v7())?;
        let until = Utc::now() + LINK_GOOD_FOR;
        let token = VaultChange::PutMailToken(NewMailToken {
            tenant,
            token: secret.id,
            kind: MailTokenKind::VerifyAddress,
            hash: Digest(secret.hash()),
            about: user.uuid(),
            user: Some(user.uuid()),
            address_hash: Some(self.email_index(tenant, &asked.email)),
            version: 1,
            expires_at: until,
        });
        let token_text = secret.text().expose_secret().to_owned();
        let letter = self.letter(NewLetter {
            tenant,
            about: user.uuid(),
            to: &asked.email,
            language: &asked.language,
            mail: Mail::VerifyAddress { purpose: Purpose::Account, token: token_text, until },
            cause: format!("verify-address:{}", secret.id),
        })?;
        Ok([token, letter])
    }
}

/// What is remembered of somebody until they follow the link of their letter.
pub(super) fn registration_of(
    asked: SignUp,
    hashed: Hashed,
    policy: &Policy,
) -> event_store::vault::Registration {
    let language = asked.language.as_ref().unwrap_or(&policy.language);
    let text = |name: &Label| name.as_str().to_owned();
    event_store::vault::Registration {
        asker: Asker {
            mailbox: asked.email.mailbox().to_owned(),
            normal: asked.email.normal().to_owned(),
            language: MailLanguage::nearest(language.as_str()),
        },
        given_name: asked.given_name.as_ref().map(text),
        family_name: asked.family_name.as_ref().map(text),
        phc: hashed.phc,
        pepper: hashed.pepper,
    }
}

/// What is asked of a password that is the only factor of somebody about whom these words are known.
pub(super) fn demands<'a>(policy: &Policy, words: impl Iterator<Item = &'a str>) -> Demands {
    Demands {
        length_min: policy.password.length_min.into(),
        score_min: policy.password.score_min,
        kinds_min: if policy.password.composition { KINDS } else { 0 },
        words: words.map(str::to_owned).collect(),
    }
}

/// An organisation that takes nobody now is told as one that does not exist: its people know how it stands.
fn nobodys() -> Problem {
    Refusal::from(OrganisationError::TenantNotFound).into()
}

fn weak(weaknesses: &[Weakness], pointer: &'static str) -> Problem {
    weaknesses.iter().fold(Problem::new(&code::PASSWORD_WEAK, ""), |problem, it| {
        let (pointer, code) = (pointer.to_owned(), it.code().to_owned());
        problem.at(FieldProblem { pointer, code, detail: it.detail() })
    })
}
