//! Members of an organisation and their sessions, made by commands through an executor: nobody signs in.

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::Decision;
use domain::application::{IssueApiKey, KeyOwner};
use domain::identity::{EmailHash, EndSession, EnrolTotp, PersonNames, RegisterUser};
use domain::ids::{ApiKeyId, FactorId, RoleId, SessionId, TenantId, UserId};
use domain::metadata::Label;
use domain::organisation::{
    AddMember, ChangeStanding, DefineRole, Granter, RedefineRole, RemoveMember, RoleRef, TenantStatus,
};
use domain::private::Private;
use domain::sign_in::StartSession;
use domain::words::{Language, Permission, Word};
use event_store::vault::{Digest, KeyHolder, NewApiKey, VaultChange};
use event_store::{Executor, Receipt, Unit};
use secrecy::ExposeSecret as _;
use service_kit::bearer::{Bearer, Kind};
use service_kit::permissions::role_table;
use service_kit::token::Role;
use uuid::Uuid;

use crate::database::cause;
use crate::ledger::accepted;
use crate::programs::{api_key, equip};
use crate::stack::Stack;

/// An organisation whose members a test makes.
pub struct Members<'a> {
    stack: &'a Stack,
    executor: Executor,
    tenant: TenantId,
}

/// Somebody with a session.
#[derive(Debug, Clone)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Their session.
    pub session: SessionId,
    /// Its token. It says that its bearer is an owner, which nobody is to believe.
    pub token: String,
    /// Up to here the log holds all of this.
    pub position: String,
}

/// Gives an organisation people of every sort: with all that can be known of them, with a role of its own, with sessions that
/// stand and that ended, and one who was removed; and what [`equip`] gives it.
///
/// # Errors
/// If it is refused.
pub async fn inhabit(executor: &Executor, tenant: TenantId) -> anyhow::Result<()> {
    let does = async |command: Box<dyn Decision>| {
        accepted(&executor.submit(Unit::of(tenant, cause(), [command])).await?)
    };
    let table = || role_table(tenant).clone();
    let role_id = RoleId::new(Uuid::now_v7());
    does(Box::new(DefineRole {
        role_id,
        name: Label::parse("Book\\keeper")?,
        permissions: vec![Permission::parse("ledger.read-journal")?],
        by: Granter::Platform,
        table: table(),
    }))
    .await?;
    for n in 0..3_u8 {
        let user_id = UserId::new(Uuid::now_v7());
        let private = |text: &str| Private::new(user_id.uuid(), text);
        let mut hash = [n; 32];
        hash[..16].copy_from_slice(user_id.uuid().as_bytes());
        let names = PersonNames { given: Some(private("Ada")), family: (n > 0).then(|| private("Lovelace")) };
        does(Box::new(RegisterUser {
            user_id,
            email: private("ada@example.com"),
            email_hash: EmailHash::new(hash),
            names,
            language: Language::parse("en")?,
            via: Word::of("form"),
            verified: true,
        }))
        .await?;
        let roles = if n == 0 { vec![RoleRef::OWNER] } else { vec![RoleRef::USER, RoleRef::Custom(role_id)] };
        does(Box::new(AddMember { user_id, roles, by: Granter::Platform, table: table() })).await?;
        let session_id = SessionId::new(Uuid::now_v7());
        does(Box::new(start(user_id, session_id))).await?;
        if n == 1 {
            let (because, by) = (Word::of("signed-out"), user_id.actor());
            does(Box::new(EndSession { session_id, of: None, because, by })).await?;
        }
        if n == 1 {
            equip(executor, tenant, user_id).await?;
            let factor_id = FactorId::new(Uuid::now_v7());
            does(Box::new(EnrolTotp { user_id, factor_id, label: Some(private("Phone")) })).await?;
        }
        if n == 2 {
            let because = Word::of("removed");
            does(Box::new(RemoveMember { user_id, because, by: Granter::Platform, table: table() })).await?;
        }
    }
    Ok(())
}

/// What starts a session.
fn start(user_id: UserId, session_id: SessionId) -> StartSession {
    let now = Utc::now();
    StartSession {
        session_id,
        user_id,
        seen: None,
        verified_by_method: false,
        method: Word::of("password"),
        amr: vec![Word::of("pwd")],
        auth_time: now,
        expires_at: now + TimeDelta::days(1),
        service_id: None,
        device: None,
        impersonation_id: None,
    }
}

impl<'a> Members<'a> {
    /// Of a tenant.
    ///
    /// # Errors
    /// If the keys of the stack cannot be read.
    pub fn of(stack: &'a Stack, tenant: TenantId) -> anyhow::Result<Self> {
        Ok(Self { stack, executor: stack.executor()?, tenant })
    }

    /// Whose members they are.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Submits a command, as a process of its own would.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn done(&self, command: impl Decision + 'static) -> anyhow::Result<Receipt> {
        let command: Box<dyn Decision> = Box::new(command);
        self.done_all([command]).await
    }

    /// The same with several commands in one transaction.
    ///
    /// # Errors
    /// If one is refused.
    pub async fn done_all(
        &self,
        commands: impl IntoIterator<Item = Box<dyn Decision>>,
    ) -> anyhow::Result<Receipt> {
        let receipt = self.executor.submit(Unit::of(self.tenant, cause(), commands)).await?;
        accepted(&receipt)?;
        Ok(receipt)
    }

    /// A key of somebody, with its identifier. It may name permissions that are used in person, as no key that is made over the
    /// interface does: what guards those is tested with it.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn key(&self, owner: UserId, names: &[&str]) -> anyhow::Result<(Uuid, String)> {
        let (tenant, key) = (self.tenant, ApiKeyId::new(Uuid::now_v7()));
        let bearer = Bearer::make(Kind::ApiKey, tenant, key.uuid())?;
        let permissions = names.iter().map(|it| Permission::parse(it)).collect::<Result<_, _>>()?;
        let issue = IssueApiKey { permissions, expires_at: None, ..api_key(key, KeyOwner::User(owner))? };
        let kept = NewApiKey { tenant, key, holder: KeyHolder::User(owner), hash: Digest(bearer.hash()) };
        let unit = Unit::new(tenant, cause(), issue).with_vault([VaultChange::PutApiKey(kept)]);
        accepted(&self.executor.submit(unit).await?)?;
        Ok((key.uuid(), bearer.text().expose_secret().to_owned()))
    }

    /// Registers somebody, who becomes a member with these roles and has a session.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn join(&self, roles: &[RoleRef]) -> anyhow::Result<Member> {
        self.join_as(UserId::new(Uuid::now_v7()), roles).await
    }

    /// The same for somebody of whom there is to be known who it is.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn join_as(&self, user_id: UserId, roles: &[RoleRef]) -> anyhow::Result<Member> {
        self.joined(user_id, format!("{user_id}@example.com"), roles).await
    }

    /// The same for somebody with an address of their own.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn join_at(&self, email: &str, roles: &[RoleRef]) -> anyhow::Result<Member> {
        self.joined(UserId::new(Uuid::now_v7()), email.to_owned(), roles).await
    }

    async fn joined(&self, user_id: UserId, email: String, roles: &[RoleRef]) -> anyhow::Result<Member> {
        let mut hash = [0; 32];
        hash[..16].copy_from_slice(user_id.uuid().as_bytes());
        self.done(RegisterUser {
            user_id,
            email: Private::new(user_id.uuid(), email),
            email_hash: EmailHash::new(hash),
            names: PersonNames::default(),
            language: Language::parse("en")?,
            via: Word::of("form"),
            verified: true,
        })
        .await?;
        let table = role_table(self.tenant).clone();
        self.done(AddMember { user_id, roles: roles.to_vec(), by: Granter::Platform, table }).await?;
        self.session(user_id).await
    }

    /// Starts one more session of somebody.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn session(&self, user: UserId) -> anyhow::Result<Member> {
        let session = SessionId::new(Uuid::now_v7());
        let position = self.done(self.start(user, session)).await?.position.to_string();
        Ok(Member { user, session, token: self.token(user, session)?, position })
    }

    /// What starts a session.
    #[must_use]
    pub fn start(&self, user_id: UserId, session_id: SessionId) -> StartSession {
        start(user_id, session_id)
    }

    /// A token of a session.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn token(&self, user: UserId, session: SessionId) -> anyhow::Result<String> {
        let mut claims = self.stack.claims(self.tenant, Role::Owner);
        claims.sub = user.actor();
        claims.sid = Some(session.uuid());
        Ok(self.stack.signer.mint(&claims)?)
    }

    /// Defines a role.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn define(&self, name: &str, permissions: &[&str]) -> anyhow::Result<RoleRef> {
        let role_id = RoleId::new(Uuid::now_v7());
        let permissions = permissions.iter().map(|it| Permission::parse(it)).collect::<Result<_, _>>()?;
        let (by, table) = (Granter::Platform, role_table(self.tenant).clone());
        self.done(DefineRole { role_id, name: Label::parse(name)?, permissions, by, table }).await?;
        Ok(RoleRef::Custom(role_id))
    }

    /// Where the log stands, for reads that must show what was done.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn position(&self) -> anyhow::Result<String> {
        let mut conn = self.stack.database.superuser().await?;
        Ok(sqlx::query_scalar("select epoch || '-' || position from store.log_head")
            .fetch_one(&mut conn)
            .await?)
    }

    /// Gives a role of the organisation other permissions.
    ///
    /// # Errors
    /// If it is refused, or the role is one that every organisation has.
    pub async fn redefine(&self, role: &RoleRef, name: &str, permissions: &[&str]) -> anyhow::Result<()> {
        let role_id = role.custom().context("a role of the organisation's own")?;
        let permissions = permissions.iter().map(|it| Permission::parse(it)).collect::<Result<_, _>>()?;
        let (by, table) = (Granter::Platform, role_table(self.tenant).clone());
        let command = RedefineRole { role_id, name: Label::parse(name)?, permissions, by, table };
        self.done(command).await.map(drop)
    }

    /// Says how the organisation stands from now on.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn stand(&self, to: TenantStatus) -> anyhow::Result<Receipt> {
        self.done(ChangeStanding { to, because: Word::of("a-test") }).await
    }
}
