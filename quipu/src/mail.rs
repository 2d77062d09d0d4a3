//! `quipu mail`: the outbox, for whoever runs Quipu without a mail server, and for whoever asks where a letter is.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use domain::ids::TenantId;
use event_store::MasterKey;
use event_store::vault::Letter;
use projector::mail::{called, render};
use serde_json::json;
use service_kit::config::{DatabaseConfig, KeyConfig, PublicUrl};
use service_kit::database::{self, Purpose};
use sqlx::PgPool;
use uuid::Uuid;

use crate::admin::ADMIN_ROLE;
use crate::console;
use crate::operator::{here, read};
use crate::stack::layout::Layout;
use crate::stack::run_file::RunFile;
use crate::table::{FAINT, Table, moment, plain, styled};

/// What to do with letters.
#[derive(Debug, Subcommand)]
pub enum MailCommand {
    /// List letters, the newest first; of what they say, nothing.
    List(ListArgs),
    /// Open a letter that waits. Its link can be used by whoever reads it.
    Show(ShowArgs),
}

/// Options of `mail list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Those that were sent or given up, too.
    #[arg(long)]
    all: bool,
    /// Letters at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1_000))]
    limit: i64,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    outbox: OutboxArgs,
}

/// Options of `mail show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The letter, as `mail list` names it.
    id: Uuid,
    /// Print its HTML alone.
    #[arg(long, conflicts_with = "json")]
    html: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Directory of the keys; by default that of the stack that runs here.
    #[arg(long, env = "QUIPU_KEY_DIR")]
    key_dir: Option<PathBuf>,
    /// What links begin with; by default as the services that run here were told.
    #[arg(long, env = "QUIPU_PUBLIC_URL")]
    public_url: Option<PublicUrl>,
    #[command(flatten)]
    outbox: OutboxArgs,
}

/// Which outbox; by default that of the stack that runs here.
#[derive(Debug, Args)]
pub struct OutboxArgs {
    /// File that holds the postgres:// URL of the role `quipu_platform`.
    #[arg(long, env = "PLATFORM_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

impl OutboxArgs {
    async fn connect(&self, layout: &Layout) -> anyhow::Result<PgPool> {
        let url = match &self.database_url_file {
            Some(path) => read(path)?,
            None => here(layout, "--database-url-file")?.database_url_of(ADMIN_ROLE)?,
        };
        Ok(database::connect_pool(&DatabaseConfig::at(&url), Purpose::Platform).await?)
    }
}

/// Runs the command.
///
/// # Errors
/// If the database does not answer, there is no such letter, or it cannot be opened.
pub async fn run(layout: &Layout, command: MailCommand) -> anyhow::Result<()> {
    match command {
        MailCommand::List(args) => list(layout, &args).await,
        MailCommand::Show(args) => show(layout, &args).await,
    }
}

async fn list(layout: &Layout, args: &ListArgs) -> anyhow::Result<()> {
    let pool = args.outbox.connect(layout).await?;
    let rows = sqlx::query!(
        "select mail_id, tenant_id, kind, language, queued_at, due_at, tries, sent_at, dead_at, last_error
         from vault.outbox where $1 or (sent_at is null and dead_at is null)
         order by queued_at desc, mail_id desc limit $2",
        args.all,
        args.limit
    )
    .fetch_all(&pool)
    .await?;
    let mut table = Table::new(["LETTER", "TENANT", "KIND", "LANGUAGE", "QUEUED", "TRIES", "STATE"]);
    let none = rows.is_empty();
    for row in rows {
        let state = State::of(row.sent_at, row.dead_at);
        if args.json {
            console::data(json!({
                "mail_id": row.mail_id, "tenant_id": row.tenant_id, "kind": row.kind, "language": row.language,
                "queued_at": row.queued_at, "due_at": row.due_at, "tries": row.tries, "state": state.word(),
                "sent_at": row.sent_at, "dead_at": row.dead_at, "last_error": row.last_error,
            }));
            continue;
        }
        let why = row.last_error.map(|it| format!(": {it}")).unwrap_or_default();
        table.row([
            row.mail_id.to_string(),
            row.tenant_id.to_string(),
            row.kind,
            row.language,
            moment(row.queued_at),
            row.tries.to_string(),
            format!("{}{why}", state.word()),
        ]);
    }
    if !args.json {
        if none {
            console::note(if args.all { "no letters" } else { "no letter waits; --all shows the others" });
        } else {
            console::data(table.text());
        }
    }
    Ok(())
}

async fn show(layout: &Layout, args: &ShowArgs) -> anyhow::Result<()> {
    let pool = args.outbox.connect(layout).await?;
    let row = sqlx::query!(
        "select tenant_id, sealed, queued_at, sent_at, dead_at from vault.outbox where mail_id = $1 limit 1",
        args.id
    )
    .fetch_optional(&pool)
    .await?
    .context("there is no such letter")?;
    let state = State::of(row.sent_at, row.dead_at);
    let Some(sealed) = row.sealed else {
        bail!("the letter is {}: what it said was deleted with that", state.word());
    };
    let keys = KeyConfig::at(args.key_dir.clone().unwrap_or_else(|| layout.keys()));
    let master = MasterKey::new(&keys.master_key()?)?;
    let letter = Letter::open(TenantId::new(row.tenant_id), args.id, &sealed, &master)
        .context("the letter was sealed with another master key, or written by a newer build")?;
    let public_url = match &args.public_url {
        Some(url) => url.clone(),
        None => address_here(layout)?,
    };
    let mut conn = pool.acquire().await?;
    let about = called(&mut conn, TenantId::new(row.tenant_id)).await?;
    drop(conn);
    let page = render(&letter, &public_url, about.as_ref())?;
    if args.json {
        console::data(json!({
            "mail_id": args.id, "kind": letter.mail.kind(), "language": letter.language, "to": letter.to,
            "subject": page.subject, "text": page.text, "html": page.html,
        }));
    } else if args.html {
        console::data(page.html);
    } else {
        for (name, value) in [("To", &letter.to), ("Subject", &page.subject)] {
            console::data(format_args!("{} {}", styled(FAINT, format_args!("{name}:")), plain(value)));
        }
        console::data(format_args!("{} {}", styled(FAINT, "Date:"), moment(row.queued_at)));
        console::data("");
        page.text.lines().for_each(|line| console::data(plain(line)));
    }
    Ok(())
}

/// Where the stack that runs here is reached by a browser.
fn address_here(layout: &Layout) -> anyhow::Result<PublicUrl> {
    let run = RunFile::read(layout)?.context("nothing runs here: give --public-url")?;
    Ok(run.public_url.context("no service runs here: give --public-url")?.parse()?)
}

#[derive(Clone, Copy)]
enum State {
    Waiting,
    Sent,
    Dead,
}

impl State {
    const fn of(sent_at: Option<DateTime<Utc>>, dead_at: Option<DateTime<Utc>>) -> Self {
        match (sent_at, dead_at) {
            (Some(_), _) => Self::Sent,
            (None, Some(_)) => Self::Dead,
            (None, None) => Self::Waiting,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Dead => "dead",
        }
    }
}
