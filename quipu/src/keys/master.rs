//! `quipu keys master`: another master key takes over. The file changes in three steps, between which every process is
//! started anew; what is sealed comes under the new key while they run.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use event_store::MasterKey;
use event_store::keyring::{KeyTag, MasterFile};
use event_store::vault::{SealedColumn, Stand, Vault};
use serde_json::json;
use service_kit::config::{DatabaseConfig, KeyConfig};
use service_kit::database::{self, Purpose};

use crate::admin::ADMIN_ROLE;
use crate::console;
use crate::operator::{here, read};
use crate::stack::layout::Layout;
use crate::table::{Table, plain};

/// How often a table is walked over, if others work with its rows meanwhile.
const WALKS_MAX: usize = 5;

/// What to do with the master key.
#[derive(Debug, Subcommand)]
pub enum MasterCommand {
    /// Count what each key has sealed, table by table.
    List(MasterListArgs),
    /// Make the next key. It opens and seals nothing yet: give the file to every process, and start them anew.
    Add(FileArgs),
    /// Seal with the next key from now on. Give the file to every process, and start them anew.
    Use(FileArgs),
    /// Seal anew, under the key that seals, whatever another one sealed. Can be interrupted and begun again.
    Reseal(MasterArgs),
    /// Take the keys out of the file that sealed before. Refused while anything is sealed under them.
    Drop(MasterArgs),
}

/// Options of `keys master list`.
#[derive(Debug, Args)]
pub struct MasterListArgs {
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    master: MasterArgs,
}

/// Which file.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// Directory of master.key.
    #[arg(long, env = "QUIPU_KEY_DIR")]
    key_dir: Option<PathBuf>,
}

/// Which file and which database; by default those of the stack that runs here.
#[derive(Debug, Args)]
pub struct MasterArgs {
    /// File that holds the postgres:// URL of the role `quipu_platform`.
    #[arg(long, env = "PLATFORM_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
    #[command(flatten)]
    file: FileArgs,
}

impl FileArgs {
    fn config(&self, layout: &Layout) -> KeyConfig {
        KeyConfig::at(self.key_dir.clone().unwrap_or_else(|| layout.keys()))
    }

    /// Changes the file by one step.
    fn step(
        &self,
        layout: &Layout,
        step: impl FnOnce(MasterFile) -> anyhow::Result<MasterFile>,
    ) -> anyhow::Result<()> {
        let config = self.config(layout);
        let file = step(MasterFile::read(&config.master_key()?)?)?;
        let path = config.master_key_file();
        config
            .replace_master_key(&file.text())
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// The master key, and what it sealed.
struct Desk {
    vault: Vault,
    columns: Vec<SealedColumn>,
    master: MasterKey,
}

/// A row of `keys master list`.
struct Counted<'a> {
    table: &'a str,
    key: Option<KeyTag>,
    count: u64,
}

impl MasterArgs {
    async fn open(&self, layout: &Layout) -> anyhow::Result<Desk> {
        let url = match &self.database_url_file {
            Some(path) => read(path)?,
            None => here(layout, "--database-url-file")?.database_url_of(ADMIN_ROLE)?,
        };
        let master = MasterKey::new(&self.file.config(layout).master_key()?)?;
        let vault = Vault::new(database::connect_pool(&DatabaseConfig::at(&url), Purpose::Platform).await?);
        Ok(Desk { columns: vault.sealed_columns().await?, vault, master })
    }
}

impl Desk {
    async fn counted(&self) -> anyhow::Result<Vec<Counted<'_>>> {
        let mut all = Vec::new();
        for column in &self.columns {
            let by = self.vault.sealed_by(column).await?;
            let table = column.target.as_str();
            all.extend(by.into_iter().map(|it| Counted { table, key: it.key, count: it.count }));
        }
        Ok(all)
    }

    /// What stands next to a key in the list.
    fn state(&self, key: Option<KeyTag>) -> &'static str {
        match key {
            key if key == self.master.seals_as() => "seals",
            Some(tag) if !self.master.holds(tag) => "lacking",
            _ => "opens",
        }
    }

    /// Fails, with a line a table, while something is not under the key that seals.
    async fn ensure_nothing_is_left(&self) -> anyhow::Result<()> {
        let mut left = 0;
        for it in self.counted().await? {
            if it.key != self.master.seals_as() {
                left += it.count;
                console::note(format!("{}: {} under {}", it.table, it.count, name_of(it.key)));
            }
        }
        ensure!(left == 0, "{left} values are not sealed under the new key: the old ones have to stay");
        Ok(())
    }

    /// Walks over a table until nobody works with what is left of it.
    async fn reseal(&self, column: &SealedColumn) -> anyhow::Result<()> {
        let table = &column.target;
        let mut anew = 0;
        for _ in 0..WALKS_MAX {
            let (mut busy, mut stuck, mut because) = (0, 0, None);
            let mut from = Some(Stand::START);
            while let Some(at) = from {
                let batch = self.vault.reseal(column, &self.master, at).await?;
                anew += batch.anew;
                busy += batch.busy;
                stuck += batch.stuck;
                because = because.or(batch.because);
                from = batch.next;
                if batch.anew > 0 {
                    console::note(format!("{table}: {anew} sealed anew"));
                }
            }
            if let Some(because) = because {
                console::note(format!("{table}: {stuck} stay as they are: {because}"));
            }
            if busy == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn name_of(key: Option<KeyTag>) -> String {
    key.map_or_else(|| "first".to_owned(), |it| it.to_string())
}

/// Runs the command.
///
/// # Errors
/// If file or database cannot be used, or a value is left that the key does not seal.
pub(super) async fn run(layout: &Layout, command: MasterCommand) -> anyhow::Result<()> {
    match command {
        MasterCommand::List(args) => list(layout, &args).await,
        MasterCommand::Add(args) => {
            args.step(layout, |it| it.with_next().context("no key was made"))?;
            console::note(
                "Give master.key to every process and start each anew; then `quipu keys master use`.",
            );
            console::note("Keep a copy of the file where the copy of the last one is: not with the backups.");
            Ok(())
        }
        MasterCommand::Use(args) => {
            args.step(layout, |it| it.taken_over().context("`quipu keys master add` makes the next key"))?;
            console::note(
                "Give master.key to every process and start each anew; then `quipu keys master reseal`.",
            );
            Ok(())
        }
        MasterCommand::Reseal(args) => reseal(layout, &args).await,
        MasterCommand::Drop(args) => drop_older(layout, &args).await,
    }
}

async fn list(layout: &Layout, args: &MasterListArgs) -> anyhow::Result<()> {
    let desk = args.master.open(layout).await?;
    let counted = desk.counted().await?;
    if args.json {
        for it in counted {
            let (key, state) = (name_of(it.key), desk.state(it.key));
            console::data(json!({ "table": it.table, "key": key, "state": state, "values": it.count }));
        }
        return Ok(());
    }
    let mut table = Table::new(["TABLE", "KEY", "STATE", "VALUES"]);
    for it in counted {
        table.row([plain(it.table), name_of(it.key), desk.state(it.key).to_owned(), it.count.to_string()]);
    }
    console::data(table.text());
    Ok(())
}

async fn reseal(layout: &Layout, args: &MasterArgs) -> anyhow::Result<()> {
    let desk = args.open(layout).await?;
    ensure!(
        desk.master.seals_as().is_some(),
        "there is one master key: `quipu keys master add` makes another"
    );
    for column in &desk.columns {
        desk.reseal(column).await?;
    }
    desk.ensure_nothing_is_left().await?;
    console::note(
        "Nothing is left under another key; when every process has this file, `quipu keys master drop`.",
    );
    Ok(())
}

async fn drop_older(layout: &Layout, args: &MasterArgs) -> anyhow::Result<()> {
    args.open(layout).await?.ensure_nothing_is_left().await?;
    args.file.step(layout, |file| match file.older() {
        0 => bail!("there is no key that sealed before"),
        _ => Ok(file.without_older()),
    })?;
    console::note(
        "Give master.key to every process and start each anew. Backups from before need the key that went.",
    );
    Ok(())
}
