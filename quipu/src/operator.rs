//! Database and NATS as an operator of the projector sees them: the whole log, read models, no tenant's walls. By default
//! those of the stack that runs here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use service_kit::config::{DatabaseConfig, NatsConfig};
use service_kit::database::{self, Purpose};
use service_kit::nats;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::stack::connections::{Connections, Given};
use crate::stack::layout::Layout;
use crate::stack::run_file::RunFile;
use crate::stack::secrets::Secrets;

/// The role that follows the log.
const ROLE: &str = "quipu_projector";
const NATS_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Which log to work on.
#[derive(Debug, Clone, Default, Args)]
pub struct OperatorArgs {
    /// File that holds the postgres:// URL of the role `quipu_projector`.
    #[arg(long, env = "PROJECTOR_DATABASE_URL_FILE", value_name = "FILE")]
    database_url_file: Option<PathBuf>,
}

/// Which NATS to work on.
#[derive(Debug, Clone, Args)]
pub struct NatsArgs {
    /// File that holds the nats:// URL.
    #[arg(long, env = "NATS_URL_FILE", value_name = "FILE")]
    nats_url_file: Option<PathBuf>,
}

impl OperatorArgs {
    /// Opens the database.
    ///
    /// # Errors
    /// If nothing runs here and none is named, or it does not answer.
    pub async fn connect(&self, layout: &Layout) -> anyhow::Result<PgPool> {
        Ok(database::connect_pool(&self.config(layout)?, Purpose::Projector).await?)
    }

    /// How the database is reached, for what opens its own connections.
    ///
    /// # Errors
    /// If nothing runs here and none is named.
    pub fn options(&self, layout: &Layout) -> anyhow::Result<PgConnectOptions> {
        Ok(database::connect_options(&self.config(layout)?, Purpose::Projector)?)
    }

    fn config(&self, layout: &Layout) -> anyhow::Result<DatabaseConfig> {
        let url = match &self.database_url_file {
            Some(path) => read(path)?,
            None => here(layout, "--database-url-file")?.database_url_of(ROLE)?,
        };
        Ok(DatabaseConfig::at(&url))
    }
}

impl NatsArgs {
    /// Connects, and checks the server.
    ///
    /// # Errors
    /// If nothing runs here and none is named, or it does not answer.
    pub async fn connect(&self, layout: &Layout) -> anyhow::Result<async_nats::Client> {
        let url = match &self.nats_url_file {
            Some(path) => read(path)?,
            None => here(layout, "--nats-url-file")?.nats_url,
        };
        let client = nats::connect(&NatsConfig::at(&url), "quipu").await?;
        ensure!(nats::verify(&client, NATS_ANSWERS_WITHIN).await?, "NATS does not answer");
        Ok(client)
    }
}

/// The servers of the stack that runs here; `option` is what to give if none does.
pub(crate) fn here(layout: &Layout, option: &str) -> anyhow::Result<Connections> {
    let run = RunFile::read(layout)?
        .with_context(|| format!("nothing runs here: start it with `quipu up`, or give {option}"))?;
    Connections::of(&run, &Given::from_environment(), &Secrets::read(layout)?)
}

/// A file of one secret.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text.trim().to_owned())
}
