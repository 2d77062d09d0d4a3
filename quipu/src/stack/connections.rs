//! Where the database and NATS of a stack are reached, and with which login.

use anyhow::Context as _;

use super::database::{DATABASE, with_login};
use super::nats;
use super::postgres::superuser_url;
use super::run_file::RunFile;
use super::secrets::Secrets;

/// Servers that the caller names instead of private ones.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// DATABASE_URL: a login that may create roles and owns the database.
    pub database_url: Option<String>,
    /// NATS_URL.
    pub nats_url: Option<String>,
}

impl Given {
    /// Reads the two variables; an empty one counts as absent.
    pub fn from_environment() -> Self {
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self { database_url: read("DATABASE_URL"), nats_url: read("NATS_URL") }
    }
}

/// URLs with logins.
#[derive(Clone)]
pub struct Connections {
    /// The login that may see and change everything.
    pub admin_database_url: String,
    /// NATS, with user and password.
    pub nats_url: String,
    secrets: Secrets,
}

impl Connections {
    /// For a stack that runs, or is about to.
    pub fn of(run: &RunFile, given: &Given, secrets: &Secrets) -> anyhow::Result<Self> {
        let admin_database_url = match &run.postgres {
            Some(postgres) => superuser_url(secrets, postgres.port, DATABASE),
            None => given
                .database_url
                .clone()
                .context("the stack was started with DATABASE_URL, which is not set here: set it again")?,
        };
        let nats_url = match &run.nats {
            Some(nats) => nats::url(secrets, nats.port),
            None => given
                .nats_url
                .clone()
                .context("the stack was started with NATS_URL, which is not set here: set it again")?,
        };
        Ok(Self { admin_database_url, nats_url, secrets: secrets.clone() })
    }

    /// The database for one of the service roles.
    pub fn database_url_of(&self, role: &str) -> anyhow::Result<String> {
        let password = self.secrets.of_role(role).with_context(|| format!("there is no role {role}"))?;
        with_login(&self.admin_database_url, role, password)
    }
}
