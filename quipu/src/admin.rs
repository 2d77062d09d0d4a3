//! Tenants and access tokens, for as long as there is no sign-in: through the executor, so that they are events like
//! everything else.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use domain::identity::{MintAccessToken, Role};
use domain::ids::{ActorId, TenantId, TokenId};
use domain::metadata::Label;
use domain::organisation::{CreateTenant, Slug};
use event_store::{Cause, Executor, ExecutorOptions, MasterKey, Receipt, Unit};
use service_kit::config::KeyConfig;
use service_kit::token::{Claims, Signer};
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::stack::connections::{Connections, Given};
use crate::stack::layout::Layout;
use crate::stack::run_file::RunFile;
use crate::stack::secrets::Secrets;
use crate::stack::{AUDIENCE, ISSUER};

/// The role that sets up tenants and mints tokens.
pub const ADMIN_ROLE: &str = "quipu_platform";

/// How long a demo token is good.
const DEMO_TOKEN_DAYS: i64 = 7;

/// What an operator needs to act on a log.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// The log, as a role that may append.
    pub database_url: String,
    /// The directory of the keys.
    pub key_dir: PathBuf,
    /// `iss` of the tokens.
    pub issuer: String,
    /// `aud` of the tokens.
    pub audience: String,
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
    /// `iss` of the tokens.
    #[arg(long, env = "QUIPU_TOKEN_ISSUER", default_value = ISSUER)]
    issuer: String,
    /// `aud` of the tokens.
    #[arg(long, env = "QUIPU_TOKEN_AUDIENCE", default_value = AUDIENCE)]
    audience: String,
}

impl AdminArgs {
    /// The settings; what was not given is taken from the stack that runs here.
    ///
    /// # Errors
    /// If something is missing and no stack runs.
    pub fn settings(&self, layout: &Layout) -> anyhow::Result<AdminSettings> {
        let database_url = match &self.database_url {
            Some(url) => url.clone(),
            None => {
                let run = RunFile::read(layout)?
                    .context("nothing runs here: start it with `up`, or give --database-url")?;
                let given = Given { database_url: None, nats_url: None };
                Connections::of(&run, &given, &Secrets::read(layout)?)?.database_url_of(ADMIN_ROLE)?
            }
        };
        Ok(AdminSettings {
            database_url,
            key_dir: self.key_dir.clone().unwrap_or_else(|| layout.keys()),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
        })
    }
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
}

/// An operator at work on one log.
pub struct Admin {
    executor: Executor,
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
        let (executor, _task) = Executor::start(ExecutorOptions::new(database, master));
        Ok(Self { executor, signer: Signer::load(&keys)?, settings: settings.clone() })
    }

    /// Brings a tenant into being. Repeating it word for word changes nothing.
    ///
    /// # Errors
    /// If the slug or identifier is in use, or the log cannot be reached.
    pub async fn create_tenant(&self, tenant_id: TenantId, slug: Slug, name: Label) -> anyhow::Result<()> {
        let decision = CreateTenant { tenant_id, slug, name };
        let unit = Unit::new(TenantId::PLATFORM, Cause::system(Uuid::now_v7()), decision);
        accepted(self.executor.submit(unit).await?)
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
    ) -> anyhow::Result<String> {
        let token_id = TokenId::new(Uuid::now_v7());
        let decision = MintAccessToken { token_id, subject, roles: vec![role], expires_at };
        let unit = Unit::new(tenant, Cause::system(Uuid::now_v7()), decision);
        accepted(self.executor.submit(unit).await?)?;
        let claims = Claims {
            iss: self.settings.issuer.clone(),
            aud: self.settings.audience.clone(),
            sub: subject,
            tenant_id: tenant,
            jti: token_id,
            roles: vec![role.into()],
            iat: Utc::now().timestamp(),
            exp: expires_at.timestamp(),
            nbf: None,
            sid: None,
        };
        Ok(self.signer.mint(&claims)?)
    }
}

fn accepted(receipt: Receipt) -> anyhow::Result<()> {
    match receipt.results.into_iter().find_map(Result::err) {
        Some(refusal) => bail!("{} ({})", refusal.message, refusal.code),
        None => Ok(()),
    }
}

/// Makes sure that the demo tenants are there, and issues fresh tokens for them.
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
        admin.mint_token(tenant, subject, role, expires_at).await
    };
    Ok(DemoTokens {
        tenant_id: shop,
        owner_token: mint(shop, "owner", Role::Owner).await?,
        member_token: mint(shop, "member", Role::Member).await?,
        other_tenant_owner_token: mint(other, "other-owner", Role::Owner).await?,
    })
}

async fn demo_tenant(admin: &Admin, slug: &str, name: &str) -> anyhow::Result<TenantId> {
    let tenant = TenantId::new(demo_id(slug));
    admin.create_tenant(tenant, Slug::parse(slug)?, Label::parse(name)?).await?;
    Ok(tenant)
}

/// An identifier that is the same in every demo set-up.
fn demo_id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("urn:quipu:demo:{name}").as_bytes())
}
