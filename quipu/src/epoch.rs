//! `quipu epoch`: says, after a restore or a fail-over, whether positions still mean the same. Whoever was erased since the
//! backup is erased again with it: at no moment can anybody read what they took back.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use event_store::MasterKey;
use event_store::erasure_journal::Journal;
use event_store::erasure_journal::standing::{self, ErasureError};
use service_kit::config::KeyConfig;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::admin::AdminArgs;
use crate::console;
use crate::erase::desk::{Desk, JournalArgs};
use crate::erase::{act, replay};
use crate::operator::OperatorArgs;
use crate::stack::layout::Layout;

/// What became of the log.
#[derive(Debug, Subcommand)]
pub enum EpochCommand {
    /// It was restored to an earlier moment: positions handed out before are void.
    Bump(EpochArgs),
    /// A standby took over and nothing was lost: positions mean the same.
    Keep(EpochArgs),
}

/// Which log.
#[derive(Debug, Args)]
pub struct EpochArgs {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    journal: JournalArgs,
}

/// Runs the command.
///
/// # Errors
/// If the log cannot be reached, or people were erased and the journal that says whom is not there.
pub async fn run(layout: &Layout, command: EpochCommand) -> anyhow::Result<()> {
    let (args, bump) = match command {
        EpochCommand::Bump(args) => (args, true),
        EpochCommand::Keep(args) => (args, false),
    };
    let settings = args.admin.settings(layout)?;
    let path = args.journal.path(layout);
    let mut conn = PgConnectOptions::from_str(&settings.database_url)?.connect().await?;
    let mut tx = conn.begin().await?;
    let erased = if path.exists() {
        let master = Arc::new(MasterKey::new(&KeyConfig::at(&settings.key_dir).master_key()?)?);
        forget_again(&mut tx, &path, &master).await?.then_some(master)
    } else {
        let apart = standing::compare(&mut tx, None).await?;
        ensure!(apart.unknown == 0, ErasureError::NotNamed(apart.unknown));
        None
    };
    let epoch = event_store::epoch::accept_timeline(&mut tx, bump).await?;
    tx.commit().await?;
    if let Some(master) = erased {
        let projector = args.operator.connect(layout).await?;
        let desk = Desk::open(&settings.database_url, projector, master, path, None).await?;
        replay::all(&desk)
            .await
            .context("positions are settled, but `quipu erase --replay-journal` is due")?;
    }
    console::data(epoch);
    Ok(())
}

/// Deletes the keys that the backup has brought back. Says whether there were any.
async fn forget_again(conn: &mut PgConnection, path: &Path, master: &MasterKey) -> anyhow::Result<bool> {
    let journal = Journal::read(path, master)?;
    let apart = standing::compare(&mut *conn, Some(&journal)).await?;
    ensure!(apart.unknown == 0, ErasureError::Unknown(apart.unknown));
    if apart.missing == 0 {
        return Ok(false);
    }
    for erasure in journal.erasures() {
        act::erase_keys(&mut *conn, erasure, false).await?;
    }
    Ok(true)
}
