//! A database for one test, made from a migrated template, and the roles of the product on it.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use domain::ids::{ActorId, TenantId};
use event_store::{Cause, Executor, ExecutorOptions, MasterKey};
use sabotage::Guard;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// The password of every role in the test cluster, which nobody else can reach.
const PASSWORD: &str = "for-tests-only";
const TEMPLATE: &str = "quipu_template";
/// Of the names of tests' databases on the harness's server.
const PREFIX: &str = "test_";
const ROLES: [&str; 6] =
    ["quipu_owner", "quipu_command", "quipu_projector", "quipu_reactor", "quipu_query", "quipu_platform"];

/// What takes a guard away that is written in SQL: the same definition without the line.
const UNGUARDED: &[(Guard, &str)] = &[
    (
        Guard::HeadLock,
        "do $$ begin execute replace(pg_get_functiondef('store.lock_head'::regproc), ' for update', ''); end $$",
    ),
    (
        Guard::AuditHeadLock,
        "do $$ begin
             execute replace(pg_get_functiondef('store.append_audit'::regproc), 'head := store.lock_head()',
                             'select * into strict head from store.log_head');
         end $$",
    ),
    (
        Guard::AppendOnly,
        "alter table store.events disable trigger append_only;
         alter table store.events disable trigger append_only_truncate",
    ),
    (
        Guard::KeyOfTenant,
        "alter table store.idempotency drop constraint idempotency_pkey, add primary key (scope)",
    ),
    (
        Guard::RefreshLock,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.rotate_refresh'::regproc), 'for update of f', '');
         end $$",
    ),
    (
        Guard::RefreshReuseMark,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.rotate_refresh'::regproc),
                             'if said = ''reused'' and held.revoked_at is null', 'if false');
         end $$",
    ),
    (Guard::Claim, "alter table store.claims drop constraint claims_pkey"),
    (
        Guard::RecoveryCode,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.take_recovery_code'::regproc),
                             'delete from vault.recovery_codes', 'perform from vault.recovery_codes');
         end $$",
    ),
    (
        Guard::ChallengeOnce,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.take_challenge'::regproc),
                             'delete from vault.webauthn_challenges', 'perform from vault.webauthn_challenges');
         end $$",
    ),
    (
        Guard::PasskeyCounter,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.count_passkey'::regproc),
                             'it.sign_count < counted', 'true');
         end $$",
    ),
    (
        Guard::DeviceOnce,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.do_redeem_device'::regproc),
                             'state = ''redeemed'',', 'state = state,');
         end $$",
    ),
    (
        Guard::ProviderTokenLease,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.lease_provider_tokens'::regproc), ' and it.refresh_at <= now_', '');
         end $$",
    ),
    (
        Guard::StateOfBrowser,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.take_oauth'::regproc), ' and it.browser = shown_browser', '');
         end $$",
    ),
    (
        Guard::Pkce,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.take_code'::regproc),
                             'held.challenge is distinct from answer', 'false');
         end $$",
    ),
    (
        Guard::RedirectExact,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.take_code'::regproc),
                             'held.redirect is distinct from shown_redirect', 'false');
         end $$",
    ),
    (
        Guard::LinkCodeOf,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.take_link_code'::regproc), ' and it.for_email = email', '');
         end $$",
    ),
    (
        Guard::LinkCodeOnce,
        "do $$ begin
             execute replace(replace(pg_get_functiondef('vault.take_link_code'::regproc),
                                     'delete from vault.link_codes it',
                                     'select it.user_id, it.session_id from vault.link_codes it'),
                             'returning it.user_id, it.session_id;', ';');
         end $$",
    ),
    (
        Guard::CodeReplay,
        "do $$ begin
             execute replace(pg_get_functiondef('vault.settle_code'::regproc),
                             'found and was is null', 'found');
         end $$",
    ),
    (Guard::ErasureTombstone, "drop trigger not_erased on keys.subject_keys"),
    (Guard::VaultRowSecurity, "alter table vault.passwords disable row level security"),
    (Guard::RowSecurity, "alter table read.accounts disable row level security"),
];

static TEMPLATE_READY: OnceCell<()> = OnceCell::const_new();

/// Databases that no test needs any more. Whoever makes the next one removes them, so that disk use does not grow with
/// the number of tests.
static DONE_WITH: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A migrated database of its own, removed some time after its test.
pub struct Database {
    server: PgConnectOptions,
    name: String,
}

pub(crate) fn server() -> anyhow::Result<PgConnectOptions> {
    let url = std::env::var("QUIPU_TEST_DATABASE_URL").context("run the tests with ./dev test")?;
    Ok(PgConnectOptions::from_str(&url)?)
}

/// Runs a statement with names in it, which cannot be bound.
///
/// # Errors
/// If the server refuses it.
pub async fn execute(conn: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(conn).await?;
    Ok(())
}

/// Makes a database, its roles, and everything that migrations make.
async fn make(server: &PgConnectOptions, conn: &mut PgConnection, name: &str) -> anyhow::Result<()> {
    conn.execute(
        "do $$ begin if not exists (select from pg_roles where rolname = 'quipu_owner') then
             create role quipu_owner login nosuperuser createrole nobypassrls; end if; end $$",
    )
    .await?;
    execute(conn, format!("alter role quipu_owner password '{PASSWORD}'")).await?;
    execute(conn, format!("drop database if exists {name}")).await?;
    execute(conn, format!("create database {name} owner quipu_owner")).await?;
    let owner = server.clone().database(name).username("quipu_owner").password(PASSWORD);
    event_store::migrate(owner.to_url_lossy().as_str()).await?;
    for role in ROLES {
        execute(conn, format!("alter role {role} password '{PASSWORD}'")).await?;
    }
    Ok(())
}

async fn make_template() -> anyhow::Result<()> {
    let server = server()?;
    let mut conn = server.connect().await?;
    // Test processes may start together; the first one makes the template.
    conn.execute("select pg_advisory_lock(7311)").await?;
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1 and datistemplate)")
            .bind(TEMPLATE)
            .fetch_one(&mut conn)
            .await?;
    if !exists {
        make(&server, &mut conn, TEMPLATE).await?;
        execute(&mut conn, format!("alter database {TEMPLATE} is_template true")).await?;
    }
    conn.close().await?;
    Ok(())
}

impl Database {
    /// Makes one.
    ///
    /// # Errors
    /// If the server of the harness cannot be used.
    pub async fn fresh() -> anyhow::Result<Self> {
        TEMPLATE_READY.get_or_try_init(make_template).await?;
        let name = format!("{PREFIX}{}", Uuid::now_v7().simple());
        let mut conn = server()?.connect().await?;
        let done_with = std::mem::take(&mut *DONE_WITH.lock().unwrap_or_else(PoisonError::into_inner));
        for name in done_with {
            execute(&mut conn, format!("drop database {name} with (force)")).await?;
        }
        // Copying a template tolerates no other copy at the same moment.
        conn.execute("select pg_advisory_lock(7312)").await?;
        execute(&mut conn, format!("create database {name} template {TEMPLATE} owner quipu_owner")).await?;
        conn.close().await?;
        let database = Self { server: server()?, name };
        database.unguard().await?;
        Ok(database)
    }

    /// Removes the guard that a run of the sabotages names, if it is one of the database's. In any other build: nothing.
    async fn unguard(&self) -> sqlx::Result<()> {
        for (_, statement) in UNGUARDED.iter().filter(|(guard, _)| !sabotage::stands(*guard)) {
            let mut conn = self.server.clone().database(&self.name).connect().await?;
            execute(&mut conn, (*statement).to_owned()).await?;
        }
        Ok(())
    }

    /// Makes one without anything in it but its owner, for tests of migrations.
    ///
    /// # Errors
    /// If the server of the harness cannot be used.
    pub async fn empty() -> anyhow::Result<Self> {
        TEMPLATE_READY.get_or_try_init(make_template).await?;
        let name = format!("{PREFIX}{}", Uuid::now_v7().simple());
        let mut conn = server()?.connect().await?;
        execute(&mut conn, format!("create database {name} owner quipu_owner")).await?;
        conn.close().await?;
        Ok(Self { server: server()?, name })
    }

    /// Makes another one as this one is now, on the same timeline: what a snapshot of its disk would be.
    ///
    /// # Errors
    /// If the server of the harness cannot be used.
    pub async fn copy(&self) -> anyhow::Result<Self> {
        let name = format!("{PREFIX}{}", Uuid::now_v7().simple());
        let mut conn = self.server.connect().await?;
        // Nobody may be connected to what is copied.
        sqlx::query("select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = $1")
            .bind(&self.name)
            .execute(&mut conn)
            .await?;
        execute(&mut conn, format!("create database {name} template {} owner quipu_owner", self.name))
            .await?;
        conn.close().await?;
        Ok(Self { server: self.server.clone(), name })
    }

    /// Makes the first one on a server of a test's own.
    ///
    /// # Errors
    /// If the server cannot be used.
    pub async fn on(server: PgConnectOptions) -> anyhow::Result<Self> {
        let name = "quipu".to_owned();
        let mut conn = server.connect().await?;
        make(&server, &mut conn, &name).await?;
        conn.close().await?;
        let database = Self { server, name };
        database.unguard().await?;
        Ok(database)
    }

    /// How to connect as a role of the product.
    ///
    /// # Errors
    /// If the harness has not said where the server is.
    pub fn options(&self, role: &str) -> anyhow::Result<PgConnectOptions> {
        Ok(self.server.clone().database(&self.name).username(role).password(PASSWORD))
    }

    /// The same as a URL.
    ///
    /// # Errors
    /// See [`Database::options`].
    pub fn url(&self, role: &str) -> anyhow::Result<String> {
        Ok(self.options(role)?.to_url_lossy().to_string())
    }

    /// A connection that sees and may do everything, for looking at what was stored.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn superuser(&self) -> anyhow::Result<PgConnection> {
        Ok(self.server.clone().database(&self.name).connect().await?)
    }

    /// A small pool as a role of the product.
    ///
    /// # Errors
    /// See [`Database::options`].
    pub fn pool(&self, role: &str) -> anyhow::Result<PgPool> {
        Ok(PgPoolOptions::new().max_connections(4).connect_lazy_with(self.options(role)?))
    }

    /// An executor on this database, as another process would have one.
    ///
    /// # Errors
    /// See [`Database::options`].
    pub fn executor(&self) -> anyhow::Result<Executor> {
        Ok(Executor::start(self.executor_options()?).0)
    }

    /// The options of [`Database::executor`].
    ///
    /// # Errors
    /// See [`Database::options`].
    pub fn executor_options(&self) -> anyhow::Result<ExecutorOptions> {
        Ok(ExecutorOptions::new(self.options("quipu_command")?, master_key()?))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.name.starts_with(PREFIX) {
            let name = std::mem::take(&mut self.name);
            DONE_WITH.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        }
    }
}

/// The master key of the tests.
///
/// # Errors
/// Never, in truth.
pub fn master_key() -> anyhow::Result<Arc<MasterKey>> {
    Ok(Arc::new(MasterKey::new(&vec![7_u8; 32].into())?))
}

/// A person of a test.
#[must_use]
pub fn cause() -> Cause {
    let origin = event_schemas::envelope::Origin {
        ip: Some("192.0.2.7".to_owned()),
        user_agent: Some("a test".to_owned()),
    };
    Cause {
        actor: ActorId::new(Uuid::from_u128(0xac70)),
        origin: Some(origin),
        ..Cause::system(Uuid::now_v7())
    }
}

/// A tenant of a test.
#[must_use]
pub fn tenant(n: u128) -> TenantId {
    TenantId::new(Uuid::from_u128(0x7e4a_0000 + n))
}
