//! People who really register and sign in, over HTTP.

use std::time::Duration;

use anyhow::Context as _;
use domain::identity::VerifyEmail;
use domain::ids::{SessionId, TenantId, UserId};
use domain::metadata::Label;
use domain::organisation::{
    AssignRoles, CreateTenant, Granter, Policy, Registration, RoleRef, SetPolicy, Slug,
};
use domain::words::Word;
use event_store::vault::{Letter, Mail};
use event_store::{Executor, MasterKey, Unit};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::config::KeyConfig;
use service_kit::permissions::role_table;
use uuid::Uuid;

use crate::database::cause;
use crate::ledger::accepted;
use crate::stack::{Answer, Stack, answer};

/// A password that is good, but for the person's own words.
pub const PASSWORD: &str = "jade-umpire-quartz-lagoon";

/// An organisation where people register by themselves.
pub struct Organisation<'a> {
    /// What it is all asked of.
    pub stack: &'a Stack,
    /// Which.
    pub tenant: TenantId,
    /// Its name.
    pub slug: String,
    /// Of a process of its own.
    pub executor: Executor,
}

/// Somebody who has registered.
#[derive(Debug, Clone)]
pub struct Person {
    /// Who.
    pub user: UserId,
    /// Their address.
    pub email: String,
}

/// Somebody who has signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Says who acts.
    pub access: String,
    /// Gets the next two tokens.
    pub refresh: String,
    /// The cookie of the device, as it is sent back; nothing after a refresh.
    pub device: String,
}

impl SignedIn {
    /// Of an answer.
    ///
    /// # Errors
    /// If it is none.
    pub fn of(answer: &Answer) -> anyhow::Result<Self> {
        anyhow::ensure!(answer.status == StatusCode::OK, "{} {}", answer.status, answer.text);
        let text = |name: &str| anyhow::Ok(answer.json[name].as_str().context("a token")?.to_owned());
        let device = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        Ok(Self { access: text("access_token")?, refresh: text("refresh_token")?, device })
    }

    /// What the access token says, without asking whether it is right.
    ///
    /// # Errors
    /// If it is no token.
    pub fn claims(&self) -> anyhow::Result<Value> {
        use base64::Engine as _;
        let payload = self.access.split('.').nth(1).context("a payload")?;
        Ok(serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload)?)?)
    }

    /// The session.
    ///
    /// # Errors
    /// If the token names none.
    pub fn session(&self) -> anyhow::Result<SessionId> {
        Ok(self.claims()?["sid"].as_str().context("a session")?.parse()?)
    }
}

impl<'a> Organisation<'a> {
    /// Makes one.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn found(stack: &'a Stack, slug: &str) -> anyhow::Result<Self> {
        let executor = stack.executor()?;
        let tenant = TenantId::new(Uuid::now_v7());
        let create = CreateTenant { tenant_id: tenant, slug: Slug::parse(slug)?, name: Label::parse(slug)? };
        accepted(&executor.submit(Unit::new(TenantId::PLATFORM, cause(), create)).await?)?;
        let founded = Self { stack, tenant, slug: slug.to_owned(), executor };
        founded.ask(|_| {}).await?;
        Ok(founded)
    }

    /// Asks something else of its people, who register by themselves and are told at once if their address is taken, unless
    /// that is what changes.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn ask(&self, change: impl FnOnce(&mut Policy)) -> anyhow::Result<()> {
        let mut policy = Policy { registration: Registration::Explicit, ..Policy::default() };
        change(&mut policy);
        self.done(SetPolicy { policy }).await
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn done(&self, command: impl domain::Decision + 'static) -> anyhow::Result<()> {
        accepted(&self.executor.submit(Unit::new(self.tenant, cause(), command)).await?)
    }

    /// Gives somebody other roles.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn give(&self, person: &Person, roles: &[RoleRef]) -> anyhow::Result<()> {
        let (by, table) = (Granter::Platform, role_table(self.tenant).clone());
        self.done(AssignRoles { user_id: person.user, roles: roles.to_vec(), by, table }).await
    }

    /// Has somebody register, and proves their address.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn join(&self, name: &str) -> anyhow::Result<Person> {
        let person = self.register(name).await?;
        self.done(VerifyEmail { user_id: person.user, email_version: 1, via: Word::of("link") }).await?;
        Ok(person)
    }

    /// Has somebody register.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn register(&self, name: &str) -> anyhow::Result<Person> {
        let email = format!("{name}@example.com");
        let body = json!({ "tenant_slug": self.slug, "email": email, "password": PASSWORD });
        let answer = self.post("", "/v1/auth/register", &body).await?;
        anyhow::ensure!(answer.status == StatusCode::CREATED, "{} {}", answer.status, answer.text);
        Ok(Person { user: answer.json["id"].as_str().context("an id")?.parse()?, email })
    }

    /// Sends something to the command API, with a token if it is not empty.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn post(&self, token: &str, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.stack.command_url);
        answer(self.stack.request(Method::POST, token, &url).json(body)).await
    }

    /// Tries to sign in.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn log_in(&self, email: &str, password: &str) -> anyhow::Result<Answer> {
        self.log_in_at(&self.stack.command_url, email, password, "").await
    }

    /// The same at one process, from a device that kept `cookie`.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn log_in_at(
        &self,
        base: &str,
        email: &str,
        password: &str,
        cookie: &str,
    ) -> anyhow::Result<Answer> {
        let body = json!({ "tenant_slug": self.slug, "email": email, "password": password });
        let request = self.stack.request(Method::POST, "", &format!("{base}/v1/auth/login")).json(&body);
        answer(if cookie.is_empty() { request } else { request.header("cookie", cookie) }).await
    }

    /// Signs somebody in.
    ///
    /// # Errors
    /// If they are refused.
    pub async fn sign_in(&self, person: &Person) -> anyhow::Result<SignedIn> {
        SignedIn::of(&self.log_in(&person.email, PASSWORD).await?)
    }

    /// Shows a refresh token.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn refresh(&self, token: &str) -> anyhow::Result<Answer> {
        self.refresh_at(&self.stack.command_url, token).await
    }

    /// The same to one process.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn refresh_at(&self, base: &str, token: &str) -> anyhow::Result<Answer> {
        let url = format!("{base}/v1/auth/refresh");
        answer(self.stack.request(Method::POST, "", &url).json(&json!({ "refresh_token": token }))).await
    }

    /// The master key of the processes that it is all asked of.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn master(&self) -> anyhow::Result<MasterKey> {
        Ok(MasterKey::new(&KeyConfig::at(self.stack.keys.path()).master_key()?)?)
    }

    /// The letters of a kind that wait to be sent, in the order in which they were queued.
    ///
    /// # Errors
    /// If the database does not answer, or one cannot be opened.
    pub async fn letters(&self, kind: &str) -> anyhow::Result<Vec<Letter>> {
        let master = self.master()?;
        let mut conn = self.stack.database.superuser().await?;
        let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
            "select mail_id, sealed from vault.outbox where tenant_id = $1 and kind = $2 order by queued_at",
        )
        .bind(self.tenant.uuid())
        .bind(kind)
        .fetch_all(&mut conn)
        .await?;
        let open = |(mail, sealed): (Uuid, Vec<u8>)| Letter::open(self.tenant, mail, &sealed, &master);
        Ok(rows.into_iter().map(open).collect::<Result<_, _>>()?)
    }

    /// The secret of the link of the newest letter of a kind, once there are so many.
    ///
    /// # Errors
    /// If it does not come.
    pub async fn link(&self, kind: &str, letters: usize) -> anyhow::Result<String> {
        crate::until(Duration::from_secs(10), async || Ok(self.letters(kind).await?.len() == letters))
            .await?;
        match self.letters(kind).await?.pop().context("a letter")?.mail {
            Mail::VerifyAddress { token, .. }
            | Mail::Reset { token, .. }
            | Mail::AccountMade { token, .. }
            | Mail::Invitation { token, .. } => Ok(token),
            other => anyhow::bail!("{other:?} has no link"),
        }
    }

    /// Whether an access token is still taken: it is shown where everybody may who stands.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn is_taken(&self, access: &str) -> anyhow::Result<bool> {
        // Ending a session that is not there changes nothing, and is looked at behind the gate.
        let url = format!("{}/v1/auth/sessions/{}", self.stack.command_url, Uuid::nil());
        let answer = answer(self.stack.request(Method::DELETE, access, &url)).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(true),
            StatusCode::UNAUTHORIZED => Ok(false),
            other => anyhow::bail!("{other} {}", answer.text),
        }
    }
}
