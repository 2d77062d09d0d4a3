//! Tenants and access tokens, for as long as there is no sign-in: through the executor, so that they are events like
//! everything else.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use command_api::identity::PLATFORM_SLUG;
use command_api::oauth::grant;
use command_api::passwords::Password;
use domain::application::{AddSecret, RedirectUri, RegisterService};
use domain::identity::{MintAccessToken, RevokeAccessToken, Role};
use domain::ids::{ActorId, SecretId, ServiceId, TenantId, TokenId, UserId};
use domain::metadata::Label;
use domain::organisation::{CreateTenant, RoleRef, Slug};
use domain::words::{Scope, Word};
use domain::{Decision, ErrorKind, Refusal};
use event_store::unit::NOT_APPLIED;
use event_store::vault::{Digest, NewClientSecret, VaultChange};
use event_store::{Cause, Executor, ExecutorOptions, MasterKey, Unit};
use serde::Serialize;
use service_kit::bearer::{Bearer, ClientId, Kind, base32};
use service_kit::config::{KeyConfig, PublicUrl, TokenConfig};
use service_kit::email::EmailAddress;
use service_kit::token::{Claims, Signer};
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::stack::connections::{Connections, Given};
use crate::stack::layout::Layout;
use crate::stack::run_file::RunFile;
use crate::stack::secrets::Secrets;
use crate::user::NewPerson;

/// The role that sets up tenants and mints tokens.
pub const ADMIN_ROLE: &str = "quipu_platform";

/// What the demo service may ask for.
const DEMO_SCOPES: [&str; 5] =
    ["openid", "profile", "email", "ledger.read-accounts", "ledger.read-transfers"];

/// How long a demo token is good.
const DEMO_TOKEN_DAYS: i64 = 7;

/// What an operator needs to act on a log.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// The log, as a role that may append.
    pub database_url: String,
    /// The directory of the keys.
    pub key_dir: PathBuf,
    /// Who signs tokens, for whom and how.
    pub tokens: TokenConfig,
}

/// Which log to act on; by default the one that `up` runs here.
#[derive(Debug, Clone, Args)]
pub struct AdminArgs {
    /// postgres:// URL of a role that may append.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Directory of the keys.
    #[arg(long, env = "QUIPU_KEY_DIR")]
    key_dir: Option<PathBuf>,
    /// The address that people reach us under: tokens are issued there.
    #[arg(long, env = "QUIPU_PUBLIC_URL")]
    public_url: Option<PublicUrl>,
    #[command(flatten)]
    tokens: TokenConfig,
}

impl AdminArgs {
    /// The settings; what was not given is taken from the stack that runs here.
    ///
    /// # Errors
    /// If something is missing and no stack runs.
    pub fn settings(&self, layout: &Layout) -> anyhow::Result<AdminSettings> {
        let (database_url, here) = match &self.database_url {
            Some(url) => (url.clone(), None),
            None => {
                let run = RunFile::read(layout)?
                    .context("nothing runs here: start it with `up`, or give --database-url")?;
                let given = Given { database_url: None, nats_url: None };
                let connections = Connections::of(&run, &given, &Secrets::read(layout)?)?;
                (connections.database_url_of(ADMIN_ROLE)?, run.public_url)
            }
        };
        let here = here.map(|it| it.parse()).transpose()?;
        Ok(AdminSettings {
            database_url,
            key_dir: self.key_dir.clone().unwrap_or_else(|| layout.keys()),
            tokens: self.tokens.clone().issued_at(self.public_url.as_ref().or(here.as_ref())),
        })
    }
}

/// An access token that was issued just now.
pub struct Minted {
    /// Names it: whoever knows this can revoke it.
    pub token_id: TokenId,
    /// The token itself, which is kept nowhere.
    pub text: String,
}

/// The tenants and tokens of a demo set-up.
#[derive(Debug, Clone)]
pub struct DemoTokens {
    /// The tenant to play with.
    pub tenant_id: TenantId,
    /// May do everything in it.
    pub owner_token: String,
    /// May read in it.
    pub member_token: String,
    /// May do everything in another tenant, to see the wall between them.
    pub other_tenant_owner_token: String,
    /// Persons who can sign in; all have the same password.
    pub people: Vec<DemoPerson>,
    /// Their password, of this set-up alone.
    pub password: String,
    /// A service to which people sign in, and which signs in by itself.
    pub service: DemoService,
}

/// A service of a demo set-up.
#[derive(Debug, Clone, Serialize)]
pub struct DemoService {
    /// What it is called.
    pub name: &'static str,
    /// The organisation's name in addresses.
    pub tenant_slug: &'static str,
    /// Its name, as OAuth takes it.
    pub client_id: String,
    /// Its secret, of this set-up alone.
    pub client_secret: String,
    /// Where people are sent back to.
    pub redirect_uri: &'static str,
}

/// Somebody who can sign in to a demo set-up.
#[derive(Debug, Clone, Serialize)]
pub struct DemoPerson {
    /// The organisation's name in addresses.
    pub tenant_slug: &'static str,
    /// Where they would be written to.
    pub email: &'static str,
    /// What they are.
    pub role: &'static str,
}

/// Slug, address, names and role of those who can sign in.
const DEMO_PEOPLE: &[(&str, &str, &str, &str, &str)] = &[
    ("demo-shop", "olga.owner@shop.example", "Olga", "Owner", "owner"),
    ("demo-shop", "adam.admin@shop.example", "Adam", "Admin", "admin"),
    ("demo-shop", "mia.manager@shop.example", "Mia", "Manager", "manager"),
    ("demo-shop", "uri.user@shop.example", "Uri", "User", "user"),
    ("demo-other", "oscar.owner@other.example", "Oscar", "Owner", "owner"),
    ("platform", "pia.platform@quipu.example", "Pia", "Platform", "owner"),
];

/// An operator at work on one log.
pub struct Admin {
    executor: Executor,
    master: Arc<MasterKey>,
    signer: Signer,
    settings: AdminSettings,
}

impl Admin {
    /// Reads the keys and starts an executor.
    ///
    /// # Errors
    /// If the settings or keys cannot be used.
    pub fn connect(settings: &AdminSettings) -> anyhow::Result<Self> {
        let keys = KeyConfig::at(&settings.key_dir);
        let master = Arc::new(MasterKey::new(&keys.master_key()?)?);
        let database = PgConnectOptions::from_str(&settings.database_url)
            .map_err(|_| anyhow!("the database URL is not postgres://user:password@host:port/database"))?;
        let (executor, _task) = Executor::start(ExecutorOptions::new(database, Arc::clone(&master)));
        Ok(Self {
            executor,
            master,
            signer: Signer::load(&keys, &settings.tokens)?,
            settings: settings.clone(),
        })
    }

    /// Brings a tenant into being. Repeating it word for word changes nothing.
    ///
    /// # Errors
    /// If the slug or identifier is in use, or the log cannot be reached.
    pub async fn create_tenant(&self, tenant_id: TenantId, slug: Slug, name: Label) -> anyhow::Result<()> {
        match self.tenant_created(tenant_id, slug, name).await? {
            Some(refusal) => bail!("{} ({})", refusal.message, refusal.code),
            None => Ok(()),
        }
    }

    /// The same; a refusal is told for what it is.
    async fn tenant_created(
        &self,
        tenant_id: TenantId,
        slug: Slug,
        name: Label,
    ) -> anyhow::Result<Option<Refusal>> {
        let decision = CreateTenant { tenant_id, slug, name };
        self.judged(Unit::new(TenantId::PLATFORM, Cause::system(Uuid::now_v7()), decision)).await
    }

    pub(crate) fn master(&self) -> &MasterKey {
        &self.master
    }

    /// Has a unit carried out.
    ///
    /// # Errors
    /// If it is refused, or the log cannot be reached.
    pub(crate) async fn submit(&self, unit: Unit) -> anyhow::Result<()> {
        match self.judged(unit).await? {
            Some(refusal) => bail!("{} ({})", refusal.message, refusal.code),
            None => Ok(()),
        }
    }

    /// Has a unit judged: why it is refused, if it is.
    ///
    /// # Errors
    /// If the log cannot be reached.
    pub(crate) async fn judged(&self, unit: Unit) -> anyhow::Result<Option<Refusal>> {
        let results = self.executor.submit(unit).await?.results;
        Ok(results.into_iter().filter_map(Result::err).find(|it| it.code != NOT_APPLIED))
    }

    /// Issues an access token and records that it was issued.
    ///
    /// # Errors
    /// If the log cannot be reached or the key cannot sign.
    pub async fn mint_token(
        &self,
        tenant: TenantId,
        subject: ActorId,
        role: Role,
        expires_at: DateTime<Utc>,
    ) -> anyhow::Result<Minted> {
        let token_id = TokenId::new(Uuid::now_v7());
        let decision = MintAccessToken { token_id, subject, roles: vec![role], expires_at };
        self.submit(Unit::new(tenant, Cause::system(Uuid::now_v7()), decision)).await?;
        let (now, until) = (Utc::now().timestamp(), expires_at.timestamp());
        let claims = Claims::new(&self.settings.tokens, tenant, subject, token_id, now, until);
        Ok(Minted { token_id, text: self.signer.mint(&claims.with_role(role.into()))? })
    }

    /// Makes an access token good no more, in every process within a second. Already so, if it is.
    ///
    /// # Errors
    /// If no such token was issued in that tenant, or the log cannot be reached.
    pub async fn revoke_token(&self, tenant: TenantId, token_id: TokenId) -> anyhow::Result<()> {
        let decision = RevokeAccessToken { token_id, by: ActorId::SYSTEM };
        self.submit(Unit::new(tenant, Cause::system(Uuid::now_v7()), decision)).await
    }
}

/// Makes sure that the demo tenants are there, and issues fresh tokens for them. What is there already stays as it is.
///
/// # Errors
/// If the log cannot be reached.
pub async fn ensure_demo(settings: &AdminSettings) -> anyhow::Result<DemoTokens> {
    let admin = Admin::connect(settings)?;
    let shop = demo_tenant(&admin, "demo-shop", "Demo shop").await?;
    let other = demo_tenant(&admin, "demo-other", "Another organisation").await?;
    let expires_at = Utc::now() + TimeDelta::days(DEMO_TOKEN_DAYS);
    let mint = async |tenant, person: &str, role| {
        let subject = ActorId::new(demo_id(person));
        anyhow::Ok(admin.mint_token(tenant, subject, role, expires_at).await?.text)
    };
    let password = demo_password(admin.master());
    let mut people = Vec::with_capacity(DEMO_PEOPLE.len());
    for (slug, email, given, family, role) in DEMO_PEOPLE.iter().copied() {
        let tenant = if slug == PLATFORM_SLUG { TenantId::PLATFORM } else { TenantId::new(demo_id(slug)) };
        demo_person(&admin, tenant, &password, (email, given, family, role)).await?;
        people.push(DemoPerson { tenant_slug: slug, email, role });
    }
    Ok(DemoTokens {
        tenant_id: shop,
        owner_token: mint(shop, "owner", Role::Owner).await?,
        member_token: mint(shop, "member", Role::Member).await?,
        other_tenant_owner_token: mint(other, "other-owner", Role::Owner).await?,
        people,
        password,
        service: demo_service(&admin, shop).await?,
    })
}

/// The service of the shop: a till that people sign in to, that may run on a device, and that reads the books by itself.
async fn demo_service(admin: &Admin, tenant: TenantId) -> anyhow::Result<DemoService> {
    let (name, redirect_uri) = ("Demo till", "http://127.0.0.1:3000/signed-in");
    let (service_id, secret_id) = (ServiceId::new(demo_id("till")), SecretId::new(demo_id("till-secret")));
    let secret = admin.master().fingerprint(b"quipu demo client secret v1");
    let parts = [&tenant.uuid().as_bytes()[..], &secret_id.uuid().as_bytes()[..], &secret[..]].map(base32);
    let client_secret = format!("{}_{}", Kind::ClientSecret.prefix(), parts.join("_"));
    let bearer = Bearer::parse(Kind::ClientSecret, &client_secret)?;
    let register = RegisterService {
        service_id,
        name: Label::parse(name)?,
        confidential: true,
        redirect_uris: vec![RedirectUri::parse(redirect_uri)?],
        grants: grant::ALL.iter().copied().map(Word::parse).collect::<Result<_, _>>()?,
        scopes: DEMO_SCOPES.iter().copied().map(Scope::parse).collect::<Result<_, _>>()?,
        limits: None,
    };
    let put = VaultChange::PutClientSecret(NewClientSecret {
        tenant,
        service: service_id,
        secret: secret_id,
        hash: Digest(bearer.hash()),
        expires_at: None,
    });
    let add = AddSecret { service_id, secret_id, expires_at: None };
    let unit = Unit::of(
        tenant,
        Cause::system(Uuid::now_v7()),
        [Box::new(register) as Box<dyn Decision>, Box::new(add)],
    );
    unless_there(admin.judged(unit.with_vault([put])).await?)?;
    let client_id = ClientId { tenant, service: service_id }.to_string();
    Ok(DemoService { name, tenant_slug: "demo-shop", client_id, client_secret, redirect_uri })
}

/// Another one for each set-up, and the same one whenever it is asked for.
fn demo_password(master: &MasterKey) -> String {
    let digits = master.fingerprint(b"quipu demo password v1").into_iter().take(12);
    digits.fold("demo".to_owned(), |text, byte| format!("{text}-{byte:02x}"))
}

/// Adds somebody, unless they are there.
async fn demo_person(
    admin: &Admin,
    tenant: TenantId,
    password: &str,
    (email, given, family, role): (&str, &str, &str, &str),
) -> anyhow::Result<()> {
    let person = NewPerson {
        user_id: UserId::new(demo_id(email)),
        email: EmailAddress::parse(email)?,
        password: Password::new(password),
        given_name: Some(Label::parse(given)?),
        family_name: Some(Label::parse(family)?),
        roles: vec![RoleRef::parse(role)?],
    };
    unless_there(admin.person_added(tenant, person).await?)
}

/// What the state forbids is there already, from an earlier set-up, and may be another by now: an organisation with another
/// name, a person with another password, a service that was removed. It stays as somebody made it.
fn unless_there(refusal: Option<Refusal>) -> anyhow::Result<()> {
    match refusal {
        Some(refusal) if refusal.kind != ErrorKind::Conflict => {
            bail!("{} ({})", refusal.message, refusal.code)
        }
        _ => Ok(()),
    }
}

async fn demo_tenant(admin: &Admin, slug: &str, name: &str) -> anyhow::Result<TenantId> {
    let tenant = TenantId::new(demo_id(slug));
    unless_there(admin.tenant_created(tenant, Slug::parse(slug)?, Label::parse(name)?).await?)?;
    Ok(tenant)
}

/// An identifier that is the same in every demo set-up.
fn demo_id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("urn:quipu:demo:{name}").as_bytes())
}
