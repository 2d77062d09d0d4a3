//! Erasing a person: what was private opens for nobody, in no byte of what is kept; and it stays so whatever breaks.

mod addresses;
mod linked;
mod restore;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::application::{IssueApiKey, KeyOwner};
use domain::identity::{EmailHash, Patch, UpdateProfile, VerifyEmail};
use domain::ids::{ApiKeyId, InvitationId, TenantId, UserId};
use domain::metadata::Label;
use domain::organisation::{AssignRoles, Granter, Invite, RoleRef};
use domain::private::Private;
use domain::words::{Permission, Word};
use event_store::MasterKey;
use event_store::erasure_journal::{Journal, NewErasure};
use event_store::keyring::IndexOf;
use projector::rebuild::{Control, Options, Rebuilder};
use projector::{Projector, ProjectorOptions};
use query_api::{LiveConfig, QueryApi};
use quipu::erase::certificate::Signed;
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_kit::config::{ErasureConfig, KeyConfig, NatsConfig};
use service_kit::permissions::role_table;
use service_kit::token::{Claims, Role};
use tests::cli::{Cli, Ran};
use tests::database::Database;
use tests::nats::Nats;
use tests::person::{Organisation, PASSWORD, Person};
use tests::postgres::Postgres;
use tests::stack::{Stack, quick};
use tests::until;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(60);

/// The program, as the platform's operator runs it.
struct Operator {
    cli: Cli,
    keys: PathBuf,
    journal: PathBuf,
    platform_url: String,
}

impl Operator {
    fn of(stack: &Stack) -> anyhow::Result<Self> {
        let cli = Cli::bearing(stack, "")?;
        let platform_url = stack.database.url("quipu_platform")?;
        std::fs::write(cli.file("platform"), &platform_url)?;
        let keys = stack.keys.path().to_owned();
        Ok(Self { cli, keys, journal: stack.erasure_journal(), platform_url })
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.cli.command(arguments)?;
        command
            .env("PLATFORM_DATABASE_URL_FILE", self.cli.file("platform"))
            .env("QUIPU_KEY_DIR", &self.keys)
            .env("QUIPU_ERASURE_JOURNAL", &self.journal);
        Ok(command)
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        ran(self.command(arguments)?.output().await?)
    }

    fn erasing(&self, tenant: TenantId, user: UserId, out: &str) -> anyhow::Result<Command> {
        let (tenant, user, out) = (tenant.to_string(), user.to_string(), self.cli.file(out));
        let mut command = self.command(&["erase", "--json"])?;
        command.args(["--tenant", &tenant, "--user", &user, "--confirm", &user, "--out"]).arg(out);
        Ok(command)
    }

    async fn erase(&self, tenant: TenantId, user: UserId) -> anyhow::Result<Ran> {
        ran(self.erasing(tenant, user, "certificate.json")?.output().await?)
    }

    fn start(&self, tenant: TenantId, user: UserId) -> anyhow::Result<Child> {
        Ok(self.erasing(tenant, user, "certificate.json")?.spawn()?)
    }

    fn journal(&self) -> anyhow::Result<Journal> {
        Ok(Journal::read(&self.journal, &self.master()?)?)
    }

    fn master(&self) -> anyhow::Result<MasterKey> {
        Ok(MasterKey::new(&KeyConfig::at(&self.keys).master_key()?)?)
    }
}

fn ran(output: std::process::Output) -> anyhow::Result<Ran> {
    let code = output.status.code().context("it was killed")?;
    Ok(Ran { code, out: String::from_utf8(output.stdout)?, talk: String::from_utf8(output.stderr)? })
}

/// What a run that went well says.
fn certified(ran: &Ran) -> anyhow::Result<Signed> {
    anyhow::ensure!(ran.code == 0, "{ran:?}");
    Signed::parse(ran.out.trim().as_bytes())
}

impl Operator {
    /// Counts rows that a superuser finds.
    async fn count(&self, stack: &Stack, query: &'static str, subject: Uuid) -> anyhow::Result<i64> {
        let mut conn = stack.database.superuser().await?;
        Ok(sqlx::query_scalar(query).bind(subject).fetch_one(&mut conn).await?)
    }
}

const KEYS: &str = "select count(*) from keys.subject_keys where subject_id = $1";
const TOMBSTONES: &str = "select count(*) from keys.erased_subjects where subject_id = $1 and complete";
const ERASED: &str =
    "select count(*) from store.events where stream_id = $1 and type = 'identity.person-erased'";
const CLAIMS: &str = "select count(*) from store.claims where stream_id = $1";
const PASSWORDS: &str = "select count(*) from vault.passwords where user_id = $1";

/// Somebody of whom everything is known that can be.
async fn known(org: &Organisation<'_>, given: &str, family: &str) -> anyhow::Result<Person> {
    let email = format!("{given}.{family}@example.com").to_lowercase();
    let body = json!({
        "tenant_slug": org.slug, "email": email, "password": PASSWORD, "given_name": given, "family_name": family,
    });
    let answer = org.post("", "/v1/auth/register", &body).await?;
    anyhow::ensure!(answer.status == StatusCode::CREATED, "{}", answer.text);
    let user: UserId = answer.json["id"].as_str().context("an id")?.parse()?;
    org.done(VerifyEmail { user_id: user, email_version: 1, via: Word::of("link") }).await?;
    let private = |text: &str| Some(Patch::Set(Private::new(user.uuid(), text)));
    let (phone, address) = (private("+43 660 7811 7811"), private("7811 Quillfeather Lane"));
    org.done(UpdateProfile {
        user_id: user,
        given_name: None,
        family_name: None,
        phone,
        address,
        language: None,
    })
    .await?;
    let issue = IssueApiKey {
        key_id: ApiKeyId::new(Uuid::now_v7()),
        owner: KeyOwner::User(user),
        name: Label::parse("a key")?,
        permissions: vec![Permission::parse("ledger.read-journal")?],
        expires_at: None,
    };
    org.done(issue).await?;
    Ok(Person { user, email })
}

async fn make_owner(org: &Organisation<'_>, name: &str) -> anyhow::Result<Person> {
    let person = org.join(name).await?;
    let table = role_table(org.tenant).clone();
    let roles = vec![RoleRef::OWNER];
    org.done(AssignRoles { user_id: person.user, roles, by: Granter::Platform, table }).await?;
    Ok(person)
}

async fn projector(
    database: &Database,
    nats: &Nats,
    shutdown: &CancellationToken,
) -> anyhow::Result<Projector> {
    let client = service_kit::nats::connect(&NatsConfig::at(&nats.url()), "test").await?;
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    let options = ProjectorOptions { timing: quick(), connections_max: 12, ..options };
    Ok(Projector::start(ProjectorOptions { nats: Some(client), ..options }))
}

/// The files below a folder that hold these bytes.
fn files_with(folder: &Path, needle: &[u8]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_with(&path, needle)?);
        } else if path.is_file() && std::fs::read(&path)?.windows(needle.len()).any(|it| it == needle) {
            found.push(path);
        }
    }
    Ok(found)
}

/// zitadel#7811: personal data in a history that cannot be changed. Here every byte of the database's folder with its log
/// files and archive, and of the folder of NATS, is searched, not only what a query shows.
#[tokio::test(flavor = "multi_thread")]
async fn zitadel_7811_an_erased_person_is_in_no_byte_we_keep() -> Test {
    let (server, mut nats) = (Postgres::start().await?, Nats::start().await?);
    let mut stack = Stack::commands_on(Database::on(server.options()).await?).await?;
    let shutdown = CancellationToken::new();
    let projector = projector(&stack.database, &nats, &shutdown).await?;
    stack.query_url = stack.another_query_api().await?;
    let org = Organisation::found(&stack, "shop").await?;
    make_owner(&org, "olga").await?;
    let person = known(&org, "Zebedee", "Quillfeather").await?;
    let signed_in = org.sign_in(&person).await?;
    org.sign_in(&person).await?;
    assert_eq!(org.log_in(&person.email, "wrong").await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(org.refresh(&signed_in.refresh).await?.status, StatusCode::OK);
    let staff = stack.owner(org.tenant)?;
    let control = "control needle of 7811";
    let opened =
        stack.post(&staff, "/v1/ledger/accounts", &json!({ "name": control, "currency": "EUR" })).await?;
    assert_eq!(opened.status, StatusCode::CREATED, "{}", opened.text);

    let path = format!("/v1/users/{}", person.user);
    let before = stack.get_at(&staff, &path, opened.header("Quipu-Position")).await?;
    assert_eq!(before.json["email"], person.email.as_str(), "{}", before.text);
    assert_eq!(before.json["given_name"], "Zebedee", "{}", before.text);
    let published = opened.header("Quipu-Position").to_owned();
    let arrived = || async { Ok(nats.messages().await?.iter().any(|it| it.position == published)) };
    until(PATIENCE, arrived).await?;

    let operator = Operator::of(&stack)?;
    std::fs::write(operator.cli.file("nats"), nats.url())?;
    let ran = operator.erase(org.tenant, person.user).await?;
    let signed = certified(&ran)?;
    let certificate = &signed.certificate;
    let searched = &certificate.searched;
    assert!(certificate.is_clean(), "{certificate:?}");
    // Address, names, both together, telephone, where they live, and the key.
    assert!(searched.values >= 7, "{searched:?}");
    assert!(searched.sealed_values >= 5 && searched.messages.is_some_and(|it| it > 10), "{searched:?}");
    assert!(searched.tables.iter().any(|it| it.name == "store.events" && it.rows > 10), "{searched:?}");
    assert!(searched.tables.iter().any(|it| it.name == "vault.families"), "{searched:?}");
    let event = certificate.event.as_ref().context("an event")?;

    // Whoever asks finds a stranger, and what they had is free.
    let after = stack.get_at(&staff, &path, &event.position).await?;
    assert_eq!(after.json["status"], "erased", "{}", after.text);
    for field in ["email", "given_name", "family_name", "phone", "address"] {
        assert!(after.json[field].is_null(), "{field}: {}", after.text);
    }
    let sessions = stack.get_at(&staff, &format!("{path}/sessions"), &event.position).await?;
    let sessions = sessions.json["items"].as_array().cloned().unwrap_or_default();
    assert!(!sessions.is_empty(), "they had some");
    for session in sessions {
        assert_eq!(
            (&session["status"], &session["origin"]),
            (&Value::from("ended"), &Value::Null),
            "{session}"
        );
        assert!(session["ended_at"].is_string() && session["ended_because"].is_string(), "{session}");
    }
    assert_eq!(org.log_in(&person.email, PASSWORD).await?.status, StatusCode::UNAUTHORIZED);
    assert!(!org.is_taken(&signed_in.access).await?);
    for (query, left) in [(KEYS, 0), (TOMBSTONES, 1), (ERASED, 1), (CLAIMS, 0), (PASSWORDS, 0)] {
        assert_eq!(operator.count(&stack, query, person.user.uuid()).await?, left, "{query}");
    }

    // The certificate is checked by whoever has it, and shows any change.
    let file = operator.cli.file("certificate.json").display().to_string();
    assert_eq!(operator.run(&["erase", "--verify", &file]).await?.code, 0);
    let receipt = certificate.receipt.to_string();
    let forged = std::fs::read_to_string(&file)?.replace(&receipt, &Uuid::nil().to_string());
    std::fs::write(&file, forged)?;
    assert_eq!(operator.run(&["erase", "--verify", &file]).await?.code, 1);

    // Read models that are built anew from the log are the live ones.
    let rebuilder = Rebuilder::new(stack.database.options("quipu_projector")?, 2);
    for model in rebuilder.models() {
        rebuilder.rebuild(model, &Options::default(), &Control::default()).await?;
    }
    let rebuilt = stack.get(&staff, &path).await?;
    assert_eq!(rebuilt.json, after.json);

    shutdown.cancel();
    projector.stopped().await;
    nats.kill().await?;
    let messages = nats.copy()?;
    let folder = server.log().parent().context("a folder")?.to_owned();
    assert!(!files_with(&folder, control.as_bytes())?.is_empty(), "the search finds what is there");
    assert!(!files_with(messages.path(), control.as_bytes())?.is_empty(), "the search finds what is there");
    for text in [person.email.as_str(), "Zebedee", "Quillfeather", "+43 660 7811 7811"] {
        for folder in [&folder, messages.path(), stack.keys.path()] {
            assert_eq!(files_with(folder, text.as_bytes())?, Vec::<PathBuf>::new(), "{text}");
        }
    }

    // The address can be used by whoever has it now.
    let again = json!({ "tenant_slug": org.slug, "email": person.email, "password": PASSWORD });
    assert_eq!(org.post("", "/v1/auth/register", &again).await?.status, StatusCode::CREATED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_twice_is_one_erasure() -> Test {
    let stack = Stack::whole().await?;
    let org = Organisation::found(&stack, "twice").await?;
    make_owner(&org, "olga").await?;
    let person = known(&org, "Tamsin", "Underhill").await?;
    let (one, other) = (Operator::of(&stack)?, Operator::of(&stack)?);
    let (first, second) =
        tokio::try_join!(one.erase(org.tenant, person.user), other.erase(org.tenant, person.user))?;
    let third = one.erase(org.tenant, person.user).await?;
    let mut receipts = BTreeSet::new();
    for ran in [&first, &second, &third] {
        let certificate = certified(ran)?.certificate;
        assert!(certificate.is_clean(), "{certificate:?}");
        receipts.insert((certificate.receipt, certificate.event.map(|it| it.event_id)));
    }
    assert_eq!(receipts.len(), 1, "one erasure, one event: {receipts:?}");
    assert_eq!(one.journal()?.erasures().count(), 1);
    assert_eq!(std::fs::read_to_string(&one.journal)?.lines().count(), 1);
    assert_eq!(one.count(&stack, ERASED, person.user.uuid()).await?, 1);
    Ok(())
}

/// Killed at ten moments from the start to the end of what a whole run takes: the next run ends what was begun, and never
/// is anybody half erased.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_killed_anywhere_is_finished_by_the_next() -> Test {
    const MOMENTS: u32 = 10;
    let stack = Stack::whole().await?;
    let org = Organisation::found(&stack, "killed").await?;
    make_owner(&org, "olga").await?;
    let operator = Operator::of(&stack)?;
    let whole = known(&org, "Whole", "Run").await?;
    let begun = Instant::now();
    certified(&operator.erase(org.tenant, whole.user).await?)?;
    let takes = begun.elapsed();
    let (mut killed, mut stages) = (0, BTreeSet::new());
    for n in 0..MOMENTS {
        let person = known(&org, "Moment", &format!("Number{n}")).await?;
        let id = person.user.uuid();
        let mut child = operator.start(org.tenant, person.user)?;
        if tokio::time::timeout(takes * n / MOMENTS, child.wait()).await.is_err() {
            child.kill().await?;
            killed += 1;
        }
        // What a dead process has sent may still be carried out.
        let sessions = "select count(*) from pg_stat_activity
                        where usename = 'quipu_platform' and datname = current_database() and $1 is not null";
        until(PATIENCE, || async { Ok(operator.count(&stack, sessions, id).await? == 0) }).await?;
        let noted = operator.journal()?.of_subject(org.tenant, id).is_some();
        let told = operator.count(&stack, ERASED, id).await?;
        // All of it, or nothing.
        for (query, left) in [(KEYS, 1 - told), (TOMBSTONES, told), (PASSWORDS, 1 - told)] {
            assert_eq!(operator.count(&stack, query, id).await?, left, "{query} at {n}");
        }
        assert!(noted || told == 0, "nothing happens before it is noted");
        stages.insert((noted, told));
        let apart = stack.another_query_api().await;
        assert_eq!(apart.is_err(), noted && told == 0, "whoever starts knows whether it is done");
        let certificate = certified(&operator.erase(org.tenant, person.user).await?)?.certificate;
        assert!(certificate.is_clean(), "{certificate:?}");
        assert_eq!(operator.count(&stack, ERASED, id).await?, 1);
        assert_eq!(operator.count(&stack, KEYS, id).await?, 0);
    }
    assert!(killed >= 5, "{killed} were killed before their end");
    assert!(stages.contains(&(false, 0)) && stages.contains(&(true, 1)), "{stages:?}");

    // The moment between the note and what follows is too short to be hit by chance.
    let person = known(&org, "Noted", "Only").await?;
    let (user, subjects) = (person.user, [person.user.uuid()].into());
    let new = NewErasure { tenant: org.tenant, person: Some(user), subjects };
    let noted = Journal::note(&operator.journal, &operator.master()?, &new)?;
    let refused = stack.another_query_api().await.err().context("nobody starts now")?;
    assert!(format!("{refused:#}").contains("quipu erase --replay-journal"), "{refused:#}");
    let replayed = operator.run(&["erase", "--replay-journal"]).await?;
    assert_eq!(replayed.code, 0, "{replayed:?}");
    stack.another_query_api().await?;
    let certificate = certified(&operator.erase(org.tenant, user).await?)?.certificate;
    assert_eq!((certificate.receipt, certificate.is_clean()), (noted.receipt, true));
    Ok(())
}

/// Two owners are erased at once: one of them stays, and what was noted of them was taken back.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_is_not_erased_and_nothing_of_them_is_noted() -> Test {
    let stack = Stack::whole().await?;
    let org = Organisation::found(&stack, "owners").await?;
    let (olga, otto) = (make_owner(&org, "olga").await?, make_owner(&org, "otto").await?);
    let (one, other) = (Operator::of(&stack)?, Operator::of(&stack)?);
    let (first, second) =
        tokio::try_join!(one.erase(org.tenant, olga.user), other.erase(org.tenant, otto.user))?;
    let (gone, stays, refused) = if first.code == 0 { (olga, otto, second) } else { (otto, olga, first) };
    assert!(refused.code == 1 && refused.talk.contains("organisation.last-owner"), "{refused:?}");
    let again = one.erase(org.tenant, stays.user).await?;
    assert!(again.code == 1 && again.talk.contains("organisation.last-owner"), "{again:?}");
    let journal = one.journal()?;
    assert!(journal.of_subject(org.tenant, gone.user.uuid()).is_some());
    assert!(journal.of_subject(org.tenant, stays.user.uuid()).is_none());
    assert_eq!(one.count(&stack, KEYS, stays.user.uuid()).await?, 1);
    org.sign_in(&stays).await?;
    stack.another_query_api().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_starts_without_the_journal_that_the_database_knows() -> Test {
    let stack = Stack::whole().await?;
    let org = Organisation::found(&stack, "journal").await?;
    make_owner(&org, "olga").await?;
    let operator = Operator::of(&stack)?;
    let (one, other) = (org.join("ann").await?, org.join("ben").await?);
    certified(&operator.erase(org.tenant, one.user).await?)?;
    let older = std::fs::read_to_string(&operator.journal)?;
    certified(&operator.erase(org.tenant, other.user).await?)?;
    let newest = std::fs::read_to_string(&operator.journal)?;
    let start = async |journal: Option<PathBuf>| {
        let erasures = ErasureConfig { erasure_journal: journal };
        let config = query_api::Config { erasures, ..stack.query_config(LiveConfig::default())? };
        QueryApi::connect(config, CancellationToken::new()).await.map(drop).map_err(anyhow::Error::from)
    };
    let path = || Some(operator.journal.clone());
    let refused = |started: anyhow::Result<()>, says: &str| {
        let said = format!("{:#}", started.expect_err(says));
        assert!(said.contains(says), "{said}");
    };
    start(path()).await?;
    refused(start(None).await, "it is not set, but 2 erasures");
    std::fs::write(&operator.journal, &older)?;
    refused(start(path()).await, "does not know 1 erasures");
    refused(stack.another_command_api().await.map(drop), "does not know 1 erasures");
    std::fs::write(&operator.journal, newest.replacen("begun", "begon", 1))?;
    refused(start(path()).await, "line 1 of the journal of erasures is damaged");
    std::fs::remove_file(&operator.journal)?;
    refused(start(path()).await, "there is no journal of erasures");
    std::fs::write(&operator.journal, &newest)?;
    start(path()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_only_invited_is_erased_by_their_address() -> Test {
    let stack = Stack::whole().await?;
    let org = Organisation::found(&stack, "invited").await?;
    make_owner(&org, "olga").await?;
    let operator = Operator::of(&stack)?;
    let email = "perdita.inviteless@example.com";
    let hash = operator.master()?.index(org.tenant, IndexOf::Email, email.as_bytes());
    let invite = |id: Uuid| Invite {
        invitation_id: InvitationId::new(id),
        email: Private::new(id, email),
        email_hash: EmailHash::new(hash.0),
        holder: None,
        roles: vec![RoleRef::USER],
        expires_at: Utc::now() + TimeDelta::days(7),
        by: Granter::Platform,
        table: role_table(org.tenant).clone(),
    };
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    org.done(invite(first)).await?;
    assert_eq!(operator.count(&stack, KEYS, first).await?, 1);
    let (tenant, out) = (org.tenant.to_string(), operator.cli.file("it.json").display().to_string());
    let erase = ["erase", "--tenant", &tenant, "--email", email, "--confirm", email, "--json", "--out", &out];
    let certificate = certified(&operator.run(&erase).await?)?.certificate;
    assert!(certificate.is_clean() && certificate.searched.values > 0, "{certificate:?}");
    assert_eq!(certificate.subjects, [first]);
    for (query, left) in [(KEYS, 0), (TOMBSTONES, 1), (CLAIMS, 0)] {
        assert_eq!(operator.count(&stack, query, first).await?, left, "{query}");
    }
    stack.another_query_api().await?;
    // They can be invited again, and that is another invitation with a key of its own.
    org.done(invite(second)).await?;
    assert_eq!(operator.count(&stack, KEYS, second).await?, 1);
    assert_eq!(operator.run(&["erase", "--tenant", &tenant, "--email", "no@example.com"]).await?.code, 1);
    Ok(())
}

/// A process that had somebody's key in memory drops it when another process erases them.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_memory_is_dropped_within_a_second() -> Test {
    let stack = Stack::whole().await?;
    let org = Organisation::found(&stack, "memory").await?;
    make_owner(&org, "olga").await?;
    let person = org.join("ann").await?;
    // An operator's token in their name asks no session, so it still acts once they are erased.
    let claims = stack.claims(org.tenant, Role::Owner);
    let claims = Claims { sub: person.user.actor(), ..claims };
    let token = stack.signer.mint(&claims)?;
    let origin = async || {
        let body = json!({ "name": "an account", "currency": "EUR" });
        let opened = stack.post(&token, "/v1/ledger/accounts", &body).await?;
        anyhow::ensure!(opened.status == StatusCode::CREATED, "{}", opened.text);
        let mut conn = stack.database.superuser().await?;
        let newest = "select meta->'origin' is not null and meta->>'origin' is not null from store.events
                      where type = 'ledger.account-opened' order by position desc limit 1";
        anyhow::Ok(sqlx::query_scalar::<_, bool>(newest).fetch_one(&mut conn).await?)
    };
    assert!(origin().await?, "their key is known to the process");
    let operator = Operator::of(&stack)?;
    let erasing = operator.erase(org.tenant, person.user);
    tokio::pin!(erasing);
    // Kept busy, so that its key is the one in memory until it hears.
    let mut done = None;
    while done.is_none() {
        tokio::select! {
            ran = &mut erasing => done = Some(ran?),
            sealed = origin() => drop(sealed?),
        }
    }
    certified(&done.context("a run")?)?;
    until(Duration::from_secs(1), || async { Ok(!origin().await?) }).await?;
    assert_eq!(operator.count(&stack, KEYS, person.user.uuid()).await?, 0);
    Ok(())
}
