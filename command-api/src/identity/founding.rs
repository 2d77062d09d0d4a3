//! Founding an organisation. Until the link of the letter is used, nothing of it is anywhere but in a sealed request: no name
//! is taken and nobody is registered, so that nobody can squat on either with an address that is not theirs.

use domain::ids::{TenantId, UserId};
use domain::metadata::Label;
use domain::organisation::tenant::{self, RequestTenant};
use domain::organisation::{
    AddMember, ChangeStanding, Granter, OrganisationError, Policy, RoleRef, Slug, Tenant, TenantError,
    TenantStatus,
};
use domain::words::{Language, Word};
use domain::{Refusal, StreamId, View};
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::access::{Question, look};
use event_store::vault::{
    Asker, Founding, Language as MailLanguage, MailTokenKind, Registration, Request, VaultChange,
};
use service_kit::access::Caller;
use service_kit::email::EmailAddress;
use service_kit::permissions::role_table;
use service_kit::problem::Problem;
use uuid::Uuid;

use super::facts::unknown;
use super::limits::{Counted, Policy as Limit};
use super::recovery::invalid;
use super::sign_up::{Candidate, REGISTRATION_WAITS, demands};
use super::{Identity, Origin, unavailable};
use crate::passwords::Password;
use crate::passwords::hash::Hashed;

/// Where the password is in a request.
const OWNERS_PASSWORD: &str = "/owner/password";

/// Somebody wants an organisation.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name in addresses.
    pub slug: Slug,
    /// Its name for people.
    pub name: Label,
    /// Where its first owner is written to.
    pub email: EmailAddress,
    /// What will prove that it is them.
    pub password: Password,
    /// What they are called by friends.
    pub given_name: Option<Label>,
    /// What they are called by the family.
    pub family_name: Option<Label>,
    /// The language in which they are written to.
    pub language: Option<Language>,
}

/// Who asked for an organisation?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FounderOf(TenantId);

impl Question for FounderOf {
    type Answer = Option<UserId>;

    fn tenant(&self) -> TenantId {
        TenantId::PLATFORM
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![tenant::stream(self.0)]
    }

    fn answer(&self, view: &View<'_>) -> Option<UserId> {
        view.find::<Tenant>(self.0.uuid())?.state.dossier()?.founder
    }
}

/// An organisation that waits for the platform's approval.
#[derive(Debug, Clone, Copy)]
pub struct Founded {
    /// Which.
    pub tenant: TenantId,
    /// Its owner.
    pub owner: UserId,
    /// Up to here the log holds both.
    pub position: LogPosition,
}

impl Identity {
    /// Has a link sent that founds an organisation.
    ///
    /// # Errors
    /// `rate.limited`, `organisation.slug-reserved`, `organisation.slug-taken`, `identity.password-weak`,
    /// `overload.hashing`.
    pub async fn ask_to_found(&self, asked: Found, origin: &Origin) -> Result<(), Problem> {
        self.limits().check([Counted::address(Limit::SignIn, origin.ip)]).await?;
        self.free(&asked.slug).await?;
        let policy = Policy::default();
        let names = [&asked.given_name, &asked.family_name].into_iter().flatten().map(Label::as_str);
        let words = asked.email.words().chain(names).chain([asked.slug.as_str(), asked.name.as_str()]);
        let hashed =
            self.acceptable(asked.password.clone(), demands(&policy, words), OWNERS_PASSWORD).await?;
        self.causes_a_letter(TenantId::PLATFORM, &asked.email, origin).await?;
        let language = asked.language.as_ref().unwrap_or(&policy.language);
        let text = |name: &Label| name.as_str().to_owned();
        let owner = Registration {
            asker: Asker {
                mailbox: asked.email.mailbox().to_owned(),
                normal: asked.email.normal().to_owned(),
                language: MailLanguage::nearest(language.as_str()),
            },
            given_name: asked.given_name.as_ref().map(text),
            family_name: asked.family_name.as_ref().map(text),
            phc: hashed.phc,
            pepper: hashed.pepper,
        };
        let founding = Founding { slug: asked.slug.to_string(), name: asked.name.as_str().to_owned(), owner };
        self.ask(TenantId::PLATFORM, &Request::Found(founding), REGISTRATION_WAITS).await
    }

    /// Founds the organisation that a link is about: it waits for the platform, its owner can sign in. `slug` takes the place
    /// of the one that was asked for, if that was taken meanwhile; the link stays good until it worked. `chosen` is the password
    /// of the request, where whoever follows the link was asked for it: so nobody becomes an owner whose password somebody else
    /// chose.
    ///
    /// # Errors
    /// `rate.limited`, `identity.link-invalid`, `identity.invalid-credentials`, `overload.hashing`, `organisation.slug-taken`.
    pub async fn found(
        &self,
        text: &str,
        slug: Option<Slug>,
        chosen: Option<&Password>,
        origin: &Origin,
    ) -> Result<Founded, Problem> {
        self.limits().check([Counted::address(Limit::Links, origin.ip)]).await?;
        let link = self.good_link(text, MailTokenKind::Found).await?.ok_or_else(invalid)?;
        let parts = self.parts();
        let request = parts.vault.asked(link.tenant, link.token.about, &parts.master).await;
        let Ok(Some(Request::Found(asked))) = request else { return Err(invalid()) };
        self.check_chosen(chosen, &asked.owner).await?;
        let (tenant, owner) = (TenantId::new(Uuid::now_v7()), UserId::new(Uuid::now_v7()));
        let slug = slug.map_or_else(|| Slug::parse(&asked.slug), Ok).map_err(|_| invalid())?;
        let name = Label::parse(&asked.name).map_err(|_| invalid())?;
        let Registration { asker, given_name, family_name, phc, pepper } = asked.owner;
        let label = |it: Option<String>| it.and_then(|it| Label::parse(&it).ok());
        let candidate = Candidate {
            email: EmailAddress::parse(&asker.mailbox).map_err(|_| invalid())?,
            given_name: label(given_name),
            family_name: label(family_name),
            language: Language::parse(asker.language.tag()).map_err(|_| invalid())?,
            is_verified: true,
        };
        let stand = ChangeStanding { to: TenantStatus::Pending, because: Word::of("requested") };
        let join = AddMember {
            user_id: owner,
            roles: vec![RoleRef::OWNER],
            by: Granter::Platform,
            table: role_table(tenant).clone(),
        };
        let (register, set_password) = self.new_person(tenant, owner, &candidate);
        let done = VaultChange::DropRequest { tenant: link.tenant, request: link.token.about };
        let unit = Unit::new(
            TenantId::PLATFORM,
            origin.cause(owner.actor()),
            RequestTenant { tenant_id: tenant, slug, name, founder: owner },
        )
        .and(tenant, stand)
        .and(tenant, register)
        .and(tenant, set_password)
        .and(tenant, join)
        .minting(tenant::stream(tenant))
        .with_vault([Hashed { phc, pepper }.put(tenant, owner, 1), link.used(), done]);
        let position = self.submit(unit).await?.map_err(Problem::from)?;
        Ok(Founded { tenant, owner, position })
    }

    /// Who asked for an organisation.
    ///
    /// # Errors
    /// Only if it cannot be looked up.
    pub async fn founder_of(&self, organization: TenantId) -> Result<Option<UserId>, Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let founder = look(&mut conn, &FounderOf(organization)).await.map_err(unknown)?;
        Ok(*founder)
    }

    /// The users in an organisation who are the same person as a caller: by a link, or by the same address.
    ///
    /// # Errors
    /// Only if it cannot be looked up.
    pub async fn same_person_in(
        &self,
        organization: TenantId,
        caller: &Caller,
    ) -> Result<Vec<UserId>, Problem> {
        let user = UserId::new(caller.actor.uuid());
        if caller.session.is_none() {
            return Ok(Vec::new());
        }
        let links = self.links_elsewhere(caller.tenant, user).await?;
        let mut same: Vec<_> =
            links.into_iter().filter(|it| it.other_tenant == organization).map(|it| it.other_user).collect();
        if let Some(email) = self.address_of(caller.tenant, user).await? {
            let index = self.email_index(organization, &email);
            let row = self.parts().vault.sign_in_row(organization, index).await.map_err(unavailable)?;
            same.extend(row.map(|it| UserId::new(it.user)));
        }
        Ok(same)
    }

    /// Whether a slug could be taken at this moment.
    async fn free(&self, slug: &Slug) -> Result<(), Problem> {
        if tenant::SLUGS_RESERVED.contains(&slug.as_str()) {
            return Err(Refusal::from(OrganisationError::SlugReserved).into());
        }
        match self.tenant(slug.as_str()).await? {
            Some(_) => Err(Refusal::from(TenantError::SlugTaken { slug: slug.clone() }).into()),
            None => Ok(()),
        }
    }
}
