//! Letters: from the outbox to a mail server, once if anything lets them, never with what they say lying about
//! afterwards.

mod delivery;
mod links;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::TenantId;
use domain::metadata::Label;
use domain::organisation::{CreateTenant, Slug};
use event_store::vault::{
    Digest, Language, Letter, Mail, MailTokenKind, NewMailToken, Purpose, Slip, VaultChange,
};
use event_store::{MasterKey, Unit};
use projector::mail::{MailOptions, Transport};
use projector::{Projector, ProjectorOptions, ReactorOptions};
use serde_json::Value;
use service_kit::config::KeyConfig;
use service_kit::metrics::Metrics;
use tests::cli::Cli;
use tests::database::{Database, cause, master_key, tenant};
use tests::smtp::RudeServer;
use tests::stack::{Stack, quick};
use tests::until;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);

/// A mailer of its own process, as far as the database can tell. It ends with its test.
struct Mailer {
    _projector: Projector,
    metrics: Metrics,
    _stops: DropGuard,
}

fn options(url: &str, authorities: Option<&Path>) -> anyhow::Result<MailOptions> {
    let transport = Transport::new(&url.parse()?, "Quipu <no-reply@quipu.example>", authorities)?;
    Ok(MailOptions { transport, public_url: "https://id.quipu.example".parse()? })
}

fn mailer(database: &Database, mail: Option<MailOptions>) -> anyhow::Result<Mailer> {
    let shutdown = CancellationToken::new();
    let reactor =
        ReactorOptions { mail, ..ReactorOptions::new(database.options("quipu_reactor")?, master_key()?) };
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    let options = ProjectorOptions {
        followers: Vec::new(),
        reactor: Some(reactor),
        timing: quick(),
        connections_max: 4,
        ..options
    };
    let metrics = options.metrics.clone();
    Ok(Mailer { _projector: Projector::start(options), metrics, _stops: shutdown.drop_guard() })
}

fn plain(port: u16) -> anyhow::Result<Option<MailOptions>> {
    Ok(Some(options(&format!("smtp://127.0.0.1:{port}?tls=off"), None)?))
}

fn in_an_hour() -> DateTime<Utc> {
    Utc::now() + TimeDelta::hours(1)
}

fn reset() -> Letter {
    let mail = Mail::Reset { token: "qm_secret".to_owned(), until: in_an_hour() };
    Letter { to: "ada@example.org".to_owned(), language: Language::En, mail }
}

fn slip(tenant: TenantId) -> Slip {
    let mail = Uuid::now_v7();
    Slip { tenant, mail, user: None, dedupe: mail.to_string() }
}

/// Carries out changes of the vault as a command would, in one transaction.
async fn apply(database: &Database, tenant: TenantId, changes: &[VaultChange]) -> Test {
    let pool = database.pool("quipu_command")?;
    let mut tx = pool.begin().await?;
    sqlx::query("select set_config('app.tenants', $1, true)")
        .bind(format!("{{{tenant}}}"))
        .execute(&mut *tx)
        .await?;
    sqlx::query("select vault.apply($1)").bind(serde_json::to_value(changes)?).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

async fn queue(database: &Database, letter: &Letter) -> anyhow::Result<Uuid> {
    let slip = slip(tenant(1));
    let id = slip.mail;
    apply(database, tenant(1), &[letter.queued(slip, &*master_key()?)?]).await?;
    Ok(id)
}

/// How a letter stands.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    has_content: bool,
    sent: bool,
    dead: bool,
    tries: i32,
    last_error: Option<String>,
    /// Seconds until it is tried again.
    wait: f64,
}

async fn row(database: &Database, mail: Uuid) -> anyhow::Result<Row> {
    let mut conn = database.superuser().await?;
    let sql =
        "select sealed is not null as has_content, sent_at is not null as sent, dead_at is not null as dead,
                      tries, last_error, extract(epoch from due_at - clock_timestamp())::float8 as wait
               from vault.outbox where mail_id = $1";
    Ok(sqlx::query_as(sql).bind(mail).fetch_one(&mut conn).await?)
}

async fn becomes(database: &Database, mail: Uuid, is_so: impl Fn(&Row) -> bool) -> anyhow::Result<Row> {
    let came = until(PATIENCE, || async { Ok(is_so(&row(database, mail).await?)) }).await;
    let row = row(database, mail).await?;
    came.with_context(|| format!("{row:?}"))?;
    Ok(row)
}

/// Lets the time pass for which a letter waits.
async fn make_due(database: &Database) -> Test {
    let mut conn = database.superuser().await?;
    sqlx::query("update vault.outbox set due_at = clock_timestamp()").execute(&mut conn).await?;
    Ok(())
}

/// An invitation by somebody who would rather send something else.
fn hostile() -> Letter {
    let mail = Mail::Invitation {
        organisation: "Müller\r\nBcc: eve@evil.example\r\n\r\n<script>x</script> https://evil.example"
            .to_owned(),
        inviter: Some("Ada\u{202e}\nSubject: won".to_owned()),
        token: "qm_secret".to_owned(),
        until: in_an_hour(),
    };
    Letter { to: "grüße@example.org".to_owned(), language: Language::De, mail }
}

fn counter(metrics: &Metrics, name: &str) -> Option<f64> {
    let text = metrics.text().ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

const ABOUT: Uuid = Uuid::from_u128(0xab);

fn hash(n: u8) -> Digest {
    Digest([n; 32])
}

fn link(n: u8, user: Option<Uuid>, expires_at: DateTime<Utc>) -> VaultChange {
    VaultChange::PutMailToken(NewMailToken {
        tenant: tenant(1),
        token: Uuid::from_u128(u128::from(n)),
        kind: MailTokenKind::Reset,
        hash: hash(n),
        about: ABOUT,
        user,
        address_hash: Some(hash(0)),
        version: i64::from(n),
        expires_at,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_letters_wait_and_the_command_line_opens_them() -> Test {
    let stack = Stack::commands_only().await?;
    let (cli, database) = (Cli::owner(&stack, tenant(1))?, &stack.database);
    std::fs::write(cli.file("platform"), database.url("quipu_platform")?)?;
    let platform = cli.file("platform").display().to_string();
    let outbox = ["--database-url-file", &platform];
    let none = cli.good(&[&["mail", "list"][..], &outbox].concat()).await?;
    assert!(none.out.is_empty() && none.talk.contains("no letter waits"), "{none:?}");

    let mailer = mailer(database, None)?;
    let master = MasterKey::new(&KeyConfig::at(stack.keys.path()).master_key()?)?;
    let first = slip(tenant(1));
    let (id, text) = (first.mail, first.mail.to_string());
    apply(database, tenant(1), &[reset().queued(first, &master)?]).await?;
    let second = slip(tenant(2));
    apply(database, tenant(2), &[hostile().queued(second, &master)?]).await?;
    until(PATIENCE, || async { Ok(counter(&mailer.metrics, "quipu_mail_waiting") == Some(2.0)) }).await?;

    let listed = cli.good(&[&["mail", "list", "--json"][..], &outbox].concat()).await?.json_lines()?;
    assert_eq!(listed.len(), 2, "of every tenant");
    assert_eq!((&listed[1]["mail_id"], &listed[1]["kind"]), (&text.clone().into(), &"reset".into()));
    assert_eq!((&listed[1]["state"], &listed[1]["tries"]), (&"waiting".into(), &0.into()));
    let told = cli.good(&[&["mail", "list"][..], &outbox].concat()).await?;
    assert!(!told.out.contains("ada@") && !told.out.contains("qm_"), "{}", told.out);

    let keys = stack.keys.path().display().to_string();
    let show = |format: &'static [&'static str]| {
        let common = ["mail", "show", &text, "--key-dir", &keys, "--public-url", "https://id.quipu.example"];
        let arguments = [&common[..], &outbox, format].concat();
        cli.command(&arguments)
    };
    let shown = String::from_utf8(show(&[])?.output().await?.stdout)?;
    assert!(shown.contains("To: ada@example.org\nSubject: Choose a new password\n"), "{shown}");
    assert!(shown.contains("https://id.quipu.example/reset#qm_secret"), "{shown}");
    let html = String::from_utf8(show(&["--html"])?.output().await?.stdout)?;
    assert!(html.starts_with("<!doctype html>") && html.contains("/reset#qm_secret"), "{html}");
    let json: Value = serde_json::from_slice(&show(&["--json"])?.output().await?.stdout)?;
    assert_eq!((&json["to"], &json["kind"]), (&"ada@example.org".into(), &"reset".into()));
    assert_eq!(row(database, id).await?.tries, 0, "looking sends nothing");

    service_kit::token::generate_keys(&KeyConfig::at(cli.file("other")))?;
    let other = cli.file("other").display().to_string();
    let refused = cli
        .run(
            &[
                &["mail", "show", &text, "--key-dir", &other, "--public-url", "https://x.example"][..],
                &outbox,
            ]
            .concat(),
        )
        .await?;
    assert!(refused.code == 1 && refused.talk.contains("another master key"), "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_queued_with_its_event_or_not_at_all_and_once_for_one_cause() -> Test {
    let database = Database::fresh().await?;
    let (executor, master) = (database.executor()?, master_key()?);
    let create = |n: u128, dedupe: &str| -> anyhow::Result<Unit> {
        let decision =
            CreateTenant { tenant_id: tenant(n), slug: Slug::parse("shop")?, name: Label::parse("Shop")? };
        let slip = Slip { dedupe: dedupe.to_owned(), ..slip(TenantId::PLATFORM) };
        Ok(Unit::new(TenantId::PLATFORM, cause(), decision).with_vault([reset().queued(slip, &master)?]))
    };
    let done = executor.submit(create(1, "first")?).await?;
    assert!(done.results.iter().all(Result::is_ok), "{done:?}");
    let refused = executor.submit(create(2, "second")?).await?;
    assert!(refused.results.iter().all(Result::is_err), "the name is taken: {refused:?}");
    let repeated = Slip { dedupe: "first".to_owned(), ..slip(TenantId::PLATFORM) };
    apply(&database, TenantId::PLATFORM, &[reset().queued(repeated, &master)?]).await?;
    let mut conn = database.superuser().await?;
    let queued: Vec<String> =
        sqlx::query_scalar("select dedupe from vault.outbox").fetch_all(&mut conn).await?;
    assert_eq!(queued, ["first"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_an_outbox_of_its_own_and_the_erased_have_no_letters() -> Test {
    let database = Database::fresh().await?;
    let master = master_key()?;
    let foreign = apply(&database, tenant(1), &[reset().queued(slip(tenant(2)), &master)?]).await;
    let refused = foreign.err().context("it was let in")?.to_string();
    assert!(refused.contains("row-level security"), "{refused}");

    let user = Uuid::from_u128(0xada);
    let about = Slip { user: Some(user), ..slip(tenant(1)) };
    let last = slip(tenant(1));
    let goodbye = Mail::Erased { at: Utc::now(), receipt: Uuid::now_v7() };
    apply(&database, tenant(1), &[reset().queued(about, &master)?, link(7, Some(user), in_an_hour())])
        .await?;
    let goodbye = Letter { mail: goodbye, ..reset() }.queued(last, &master)?;
    apply(&database, tenant(1), &[VaultChange::ForgetUser { tenant: tenant(1), user }, goodbye]).await?;
    let mut conn = database.superuser().await?;
    let left: Vec<String> = sqlx::query_scalar("select kind from vault.outbox").fetch_all(&mut conn).await?;
    assert_eq!(left, ["erased"], "the last word is not about whom nobody knows any more");
    let links: i64 =
        sqlx::query_scalar("select count(*) from vault.mail_tokens").fetch_one(&mut conn).await?;
    assert_eq!(links, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_nobody_can_open_waits_for_the_right_key() -> Test {
    let (database, server) = (Database::fresh().await?, RudeServer::start([]).await?);
    let slip = slip(tenant(1));
    let mail = slip.mail;
    let other = MasterKey::new(&vec![9_u8; 32].into())?;
    let letter = Letter {
        mail: Mail::VerifyAddress { purpose: Purpose::Account, token: "t".to_owned(), until: in_an_hour() },
        ..reset()
    };
    apply(&database, tenant(1), &[letter.queued(slip, &other)?]).await?;
    let _mailer = mailer(&database, plain(server.port)?)?;
    let failed = becomes(&database, mail, |it| it.last_error.is_some()).await?;
    assert!(failed.has_content && !failed.dead, "{failed:?}");
    assert!(server.commands().is_empty());
    Ok(())
}
