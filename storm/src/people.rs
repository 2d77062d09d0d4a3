//! People in the storm: they sign in, keep and end sessions, change passwords, get other roles, come by invitation, make keys,
//! let devices in, and some are erased in the middle of it. What they are told is kept in [`promises`].
//!
//! They are an organisation of their own, so that nothing of the ledger's clients depends on them. Each thing that can be
//! changed is changed by one worker alone: what it must be in the end is known, but for what was asked for without an answer.
//! Comparing is [`crate::reconcile::doors`] and [`crate::reconcile::identity`].

mod device;
mod erasing;
mod office;
mod person;
pub mod promises;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use domain::Decision;
use domain::identity::VerifyEmail;
use domain::ids::{TenantId, UserId};
use domain::metadata::Label;
use domain::organisation::{
    AssignRoles, CreateTenant, Granter, Policy, Registration, RoleRef, SetPolicy, Slug,
};
use domain::words::Word;
use event_store::{Executor, ExecutorOptions, MasterKey, Unit};
use fastrand::Rng;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use service_kit::config::KeyConfig;
use service_kit::permissions::role_table;
use sqlx::postgres::PgConnectOptions;
use tests::database::cause;
use tests::ledger::accepted;
use tests::person::SignedIn;
use tests::stack::{Answer, answer};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::promises::{Part, Person, Promises, Session, State};
use crate::world::World;
use crate::world::parts::Process;

/// The organisation's name.
const SLUG: &str = "people";
/// How long somebody waits for an answer: hashing a password takes its time.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// How often something is asked again at once, at one command API after the other.
const TRIES: u32 = 4;
/// For how long something that was asked for without an answer may still happen: a process that stands still comes back within
/// seconds, and every request has its time.
const STILL_POSSIBLE: Duration = Duration::from_secs(45);
/// How many there are of each part.
const PARTS: [(Part, usize, &[&str]); 3] =
    [(Part::Keeper, 6, &["admin"]), (Part::Member, 6, &["user"]), (Part::Leaver, 4, &["user"])];

/// Everybody, and whom they ask.
pub struct People {
    /// Their organisation.
    pub tenant: TenantId,
    /// What they were told.
    book: Mutex<Promises>,
    operator: String,
    service: String,
    owner: Option<Person>,
    http: reqwest::Client,
    commands: [String; 2],
    query: String,
    master: MasterKey,
    letters: PgConnectOptions,
    diary: Mutex<File>,
    folder: PathBuf,
}

impl People {
    /// Founds their organisation and registers them, while nothing is broken yet. `folder` is the run's.
    ///
    /// # Errors
    /// If something is refused.
    pub async fn arrive(world: &World, folder: &Path, lasts: Duration) -> anyhow::Result<Self> {
        let keys = KeyConfig::at(folder.join("keys"));
        let master = || anyhow::Ok(MasterKey::new(&keys.master_key()?)?);
        let tenant = TenantId::new(Uuid::now_v7());
        let [first, second] = Process::COMMANDS;
        let database = world.database.options("quipu_command")?;
        let name = database.get_database().context("a database")?;
        let mut people = Self {
            tenant,
            book: Mutex::default(),
            operator: world.token(tenant, lasts)?,
            service: String::new(),
            owner: None,
            http: reqwest::Client::builder().timeout(ANSWER_WITHIN).build()?,
            commands: [world.url(first)?, world.url(second)?],
            query: world.url(Process::Query)?,
            master: master()?,
            letters: world.postgres.options().database(name),
            diary: Mutex::new(File::create_new(folder.join("people.jsonl"))?),
            folder: folder.to_owned(),
        };
        let (executor, _task) = Executor::start(ExecutorOptions::new(database.clone(), Arc::new(master()?)));
        let platform = TenantId::PLATFORM;
        let create =
            CreateTenant { tenant_id: tenant, slug: Slug::parse(SLUG)?, name: Label::parse("People")? };
        done(&executor, platform, create).await?;
        let policy = Policy { registration: Registration::Explicit, ..Policy::default() };
        done(&executor, tenant, SetPolicy { policy }).await?;
        let owner = people.registered(&executor, "owner", RoleRef::OWNER, Part::Keeper).await?;
        for (part, count, roles) in PARTS {
            let role = RoleRef::BuiltIn(Word::of(roles.first().copied().unwrap_or("user")));
            for number in 0..count {
                let name = format!("{part:?}{number}").to_lowercase();
                let person = people.registered(&executor, &name, role.clone(), part).await?;
                people.comes(person).await?;
            }
        }
        people.service = people.device_service(&owner).await?;
        people.owner = Some(owner);
        for (name, url) in [
            ("platform.url", world.database.url("quipu_platform")?),
            ("projector.url", world.database.url("quipu_projector")?),
            ("nats.url", format!("nats://q:q@127.0.0.1:{}", world.nats_port)),
        ] {
            std::fs::write(folder.join(name), url)?;
        }
        Ok(people)
    }

    /// Registers somebody whose address and names are found nowhere else.
    async fn registered(
        &self,
        executor: &Executor,
        name: &str,
        role: RoleRef,
        part: Part,
    ) -> anyhow::Result<Person> {
        let email = format!("{name}.{:08x}@example.com", fastrand::u32(..));
        let password = password();
        let body = json!({
            "tenant_slug": SLUG, "email": email, "password": password,
            "given_name": given_name(&email), "family_name": family_name(&email),
        });
        let made = self.at(0, Method::POST, "", "/v1/auth/register").json(&body);
        let made = answer(made).await?;
        anyhow::ensure!(made.status == StatusCode::CREATED, "{} {}", made.status, made.text);
        let user: UserId =
            made.json.get("id").and_then(serde_json::Value::as_str).context("an id")?.parse()?;
        let verify = VerifyEmail { user_id: user, email_version: 1, via: Word::of("link") };
        done(executor, self.tenant, verify).await?;
        let (table, by) = (role_table(self.tenant).clone(), Granter::Platform);
        let roles = vec![role.clone()];
        if role != RoleRef::USER {
            done(executor, self.tenant, AssignRoles { user_id: user, roles, by, table }).await?;
        }
        let role = role.to_string();
        Ok(Person::new(user, email, part, password, &[role.as_str()]))
    }

    /// Somebody is among us; whoever leaves soon is signed in until then.
    async fn comes(&self, person: Person) -> anyhow::Result<()> {
        let session = if person.part == Part::Leaver {
            let tokens = self.signed_in(&person).await?;
            let id = tokens.session()?.uuid();
            let (access, refresh) = (tokens.access, tokens.refresh);
            Some(Session {
                person: self.book().people.len(),
                id,
                access,
                refresh,
                spent: Vec::new(),
                state: State::Live,
            })
        } else {
            None
        };
        let mut book = self.book();
        book.people.push(person);
        if let Some(session) = session {
            book.fact("identity.session-started", session.id);
            book.sessions.push(session);
        }
        Ok(())
    }

    /// Signs somebody in, while nothing is broken.
    async fn signed_in(&self, person: &Person) -> anyhow::Result<SignedIn> {
        let password = person.passwords.first().context("a password")?;
        let body = json!({ "tenant_slug": SLUG, "email": person.email, "password": password });
        SignedIn::of(&answer(self.at(0, Method::POST, "", "/v1/auth/login").json(&body)).await?)
    }

    /// What they were told so far.
    pub fn book(&self) -> MutexGuard<'_, Promises> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody goes to work, until told to stop. Those who are erased are so within the first `stormy`.
    pub fn work(self: &Arc<Self>, seed: u64, stormy: Duration, stop: &CancellationToken) -> Crew {
        let mut crew = JoinSet::new();
        let everybody: Vec<(usize, Part)> = self.book().people.iter().map(|it| it.part).enumerate().collect();
        for (number, part) in everybody {
            let rng = Rng::with_seed(seed ^ ((number as u64 + 1) << 48));
            if part != Part::Leaver {
                crew.spawn(person::live(Arc::clone(self), number, rng, stop.clone()));
            }
        }
        let rng = |number: u64| Rng::with_seed(seed ^ (number << 56));
        crew.spawn(office::give_roles(Arc::clone(self), rng(1), stop.clone()));
        crew.spawn(office::invite(Arc::clone(self), rng(2), stop.clone()));
        crew.spawn(device::let_in(Arc::clone(self), rng(3), stop.clone()));
        crew.spawn(erasing::erase(Arc::clone(self), stormy));
        crew
    }

    /// A request to one of the command APIs, with a token if it is not empty.
    fn at(&self, api: usize, method: Method, token: &str, path: &str) -> RequestBuilder {
        let base = self.commands.get(api % 2).map(String::as_str).unwrap_or_default();
        self.request(base, method, token, path)
    }

    /// A request to one of the three processes that people ask.
    pub(crate) fn request(&self, base: &str, method: Method, token: &str, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{base}{path}"));
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    /// Where commands are taken, and where it is read.
    pub(crate) const fn bases(&self) -> (&[String; 2], &String) {
        (&self.commands, &self.query)
    }

    /// The name of the organisation.
    pub(crate) const fn slug(&self) -> &'static str {
        SLUG
    }

    /// The token of somebody who runs the organisation, without being a person of it.
    pub(crate) fn operator(&self) -> &str {
        &self.operator
    }

    /// Sends something. Nothing, if the answer was lost or says nothing of what became of it.
    pub(crate) async fn ask(&self, act: &'static str, request: RequestBuilder) -> Option<Answer> {
        let told = answer(request).await;
        let known = told.as_ref().ok().filter(|it| !matches!(it.status.as_u16(), 408 | 429 | 500..));
        let mut book = self.book();
        match (known, &told) {
            (Some(_), _) => {}
            (None, Ok(it)) if !matches!(it.status.as_u16(), 408 | 429 | 503) => {
                book.fault(format!("{act}: {} {}", it.status, it.text));
                book.lost(act);
            }
            (None, _) => book.lost(act),
        }
        drop(book);
        let status = told.as_ref().map_or(0, |it| it.status.as_u16());
        self.note(&json!({ "at": chrono::Utc::now(), "act": act, "status": status }));
        known?;
        told.ok()
    }

    /// The same with a key under which it is safe to ask again, at one command API after the other.
    async fn ask_again(
        &self,
        act: &'static str,
        rng: &mut Rng,
        request: impl Fn(usize) -> RequestBuilder,
    ) -> Option<Answer> {
        let (key, first) = (Uuid::now_v7().to_string(), rng.usize(0..2));
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(rng.u64(50..200) << attempt)).await;
            }
            let request = request(first + attempt as usize).header("Idempotency-Key", &key);
            if let Some(told) = self.ask(act, request).await {
                return Some(told);
            }
        }
        None
    }

    /// A line for whoever looks into it afterwards. It holds no secret.
    fn note(&self, line: &Value) {
        let mut diary = self.diary.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing rests on it.
        let _ = writeln!(diary, "{line}");
    }
}

/// Everybody who works.
pub type Crew = JoinSet<anyhow::Result<()>>;

async fn done(executor: &Executor, tenant: TenantId, command: impl Decision + 'static) -> anyhow::Result<()> {
    accepted(&executor.submit(Unit::new(tenant, cause(), command)).await?)
}

/// A password that nobody else has, without a word of theirs.
fn password() -> String {
    format!("jade-umpire-{:016x}-lagoon", fastrand::u64(..))
}

/// What is nobody's name but theirs.
fn given_name(email: &str) -> String {
    format!("Quill {}", family_name(email))
}

fn family_name(email: &str) -> String {
    let unique = email.split('@').next().and_then(|it| it.rsplit('.').next()).unwrap_or_default();
    format!("Stormborn {unique}")
}

/// Everything that was typed of somebody, as it is looked for in plain text when they are erased.
#[must_use]
pub(crate) fn plain_texts(person: &Person) -> [String; 3] {
    [person.email.clone(), given_name(&person.email), family_name(&person.email)]
}
