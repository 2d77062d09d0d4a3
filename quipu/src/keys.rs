//! `quipu keys`: the keys that sign access tokens. The projector rotates them by itself; this is for whoever wants to look,
//! or has reason not to wait. The master key, which nothing changes by itself, is in [`master`].

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use domain::platform::KeyName;
use domain::words::Word;
use event_store::vault::{KeyState, StoredKey, Vault};
use event_store::{Executor, ExecutorOptions, MasterKey};
use projector::signing_keys::SigningKeys;
use serde_json::json;
use service_kit::config::{DatabaseConfig, KeyConfig};
use service_kit::database::{self, Purpose};
use service_kit::token::PublicKeys;
use sqlx::postgres::PgConnectOptions;

use crate::admin::ADMIN_ROLE;
use crate::console;
use crate::operator::{here, read};
use crate::stack::layout::Layout;
use crate::table::{Table, moment, plain};

mod master;

use master::MasterCommand;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the keys: which one signs, which are believed, which are not.
    List(ListArgs),
    /// Make the next key. It is published now and signs in ten minutes; nobody is signed out.
    Rotate(RotateArgs),
    /// Believe nothing any more that a key signed, from now on and everywhere. Whoever has such a token signs in again.
    Remove(RemoveArgs),
    /// Have another master key take over, and seal anew what the one before sealed.
    #[command(subcommand)]
    Master(MasterCommand),
}

/// Options of `keys list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ring: RingArgs,
}

/// Options of `keys rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Let the new key sign at once. Services that keep the published keys may refuse tokens until they look again.
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    ring: RingArgs,
}

/// Options of `keys remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The key, as `keys list` names it. Behind `--`, if it begins as an option does.
    #[arg(allow_hyphen_values = true)]
    kid: KeyName,
    /// Why, in a word, for the log.
    #[arg(long, default_value = "suspected")]
    because: Word,
    #[command(flatten)]
    ring: RingArgs,
}

/// Which keys; by default those of the stack that runs here.
#[derive(Debug, Args)]
pub struct RingArgs {
    /// File that holds the postgres:// URL of the role `quipu_platform`.
    #[arg(long, env = "PLATFORM_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
    /// Directory of master.key and jwks.json.
    #[arg(long, env = "QUIPU_KEY_DIR")]
    key_dir: Option<PathBuf>,
}

/// The keys of the vault, and the operator's own.
struct Ring {
    keys: SigningKeys,
    of_operator: Vec<String>,
}

impl RingArgs {
    async fn open(&self, layout: &Layout) -> anyhow::Result<Ring> {
        let url = match &self.database_url_file {
            Some(path) => read(path)?,
            None => here(layout, "--database-url-file")?.database_url_of(ADMIN_ROLE)?,
        };
        let files = KeyConfig::at(self.key_dir.clone().unwrap_or_else(|| layout.keys()));
        let master = Arc::new(MasterKey::new(&files.master_key()?)?);
        let of_operator = if files.jwks_json().exists() {
            PublicKeys::load(&files)?.kids().map(str::to_owned).collect()
        } else {
            Vec::new()
        };
        let pool = database::connect_pool(&DatabaseConfig::at(&url), Purpose::Platform).await?;
        let options = PgConnectOptions::from_str(&url)
            .map_err(|_| anyhow!("the database URL is not postgres://user:password@host:port/database"))?;
        let (executor, _task) = Executor::start(ExecutorOptions::new(options, Arc::clone(&master)));
        Ok(Ring { keys: SigningKeys::new(Vault::new(pool), executor, master), of_operator })
    }
}

/// Runs the command.
///
/// # Errors
/// If the database does not answer, or a rule forbids it.
pub async fn run(layout: &Layout, command: KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::List(args) => list(layout, &args).await,
        KeysCommand::Rotate(args) => rotate(layout, &args).await,
        KeysCommand::Remove(args) => remove(layout, args).await,
        KeysCommand::Master(command) => master::run(layout, command).await,
    }
}

async fn list(layout: &Layout, args: &ListArgs) -> anyhow::Result<()> {
    let ring = args.ring.open(layout).await?;
    let stored = ring.keys.list().await?;
    let removed = |kid: &String| stored.iter().any(|it| it.kid == *kid);
    let of_operator = ring.of_operator.iter().filter(|it| !removed(it));
    if args.json {
        for key in &stored {
            console::data(json!({
                "kid": key.kid, "state": key.state.word(), "since": key.changed_at, "use_from": key.use_from,
                "use_until": key.use_until, "believe_until": key.believe_until,
            }));
        }
        for kid in of_operator {
            console::data(json!({ "kid": kid, "state": "operator" }));
        }
        return Ok(());
    }
    let mut table = Table::new(["KEY", "STATE", "SINCE", "NEXT"]);
    for key in &stored {
        let next = next(key).map_or_else(nothing, |(what, at)| format!("{what} {}", moment(at)));
        table.row([plain(&key.kid), key.state.word().to_owned(), moment(key.changed_at), next]);
    }
    for kid in of_operator {
        table.row([plain(kid), "operator".to_owned(), nothing(), nothing()]);
    }
    console::data(table.text());
    Ok(())
}

fn nothing() -> String {
    "-".to_owned()
}

/// What will become of a key, and when.
const fn next(key: &StoredKey) -> Option<(&'static str, DateTime<Utc>)> {
    match (key.state, key.use_from, key.use_until, key.believe_until) {
        (KeyState::Announced, Some(at), _, _) => Some(("signs from", at)),
        (KeyState::Active, _, Some(at), _) => Some(("signs until", at)),
        (KeyState::Retired, _, _, Some(at)) => Some(("believed until", at)),
        _ => None,
    }
}

async fn rotate(layout: &Layout, args: &RotateArgs) -> anyhow::Result<()> {
    let ring = args.ring.open(layout).await?;
    console::data(ring.keys.rotate(args.now).await?);
    let when = if args.now {
        "signs now"
    } else {
        "is published now, and signs in ten minutes while a projector runs"
    };
    console::note(format!("The new key {when}."));
    Ok(())
}

async fn remove(layout: &Layout, args: RemoveArgs) -> anyhow::Result<()> {
    let ring = args.ring.open(layout).await?;
    let kid = args.kid.as_str();
    let stored = ring.keys.list().await?;
    let known = stored.iter().any(|it| it.kid == kid) || ring.of_operator.iter().any(|it| it == kid);
    ensure!(known, "there is no key {kid}: `quipu keys list` names them");
    let next = ring.keys.remove(&args.kid, args.because).await.context("the key stays")?;
    console::note(format!("Within a few seconds no process believes what {kid} signed."));
    if let Some(next) = next {
        console::note(format!("From now on {next} signs."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn a_key_may_begin_with_a_hyphen() {
        let command = RemoveArgs::augment_args(Command::new("remove"));
        for (kid, line) in [
            ("-RpdeQ2X", &["remove", "-RpdeQ2X", "--because", "lost"][..]),
            ("-h", &["remove", "--because", "lost", "--", "-h"]),
        ] {
            let parsed = command.clone().try_get_matches_from(line).unwrap();
            assert_eq!(parsed.get_one::<KeyName>("kid").unwrap().as_str(), kid);
            assert_eq!(parsed.get_one::<Word>("because").unwrap().as_str(), "lost");
        }
    }
}
