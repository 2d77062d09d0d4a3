//! What a container needs from this program: secret files, a migration job, and a health check in an image
//! without a shell.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use service_kit::config::KeyConfig;
use service_kit::token::generate_keys;

use crate::console;
use crate::stack::layout::{Layout, write_private};
use crate::stack::secrets::{Secrets, random_word};
use crate::stack::{http_status, prepare_own};

const DATABASE: &str = "quipu";
const DATABASE_HOST: &str = "postgres:5432";
const NATS_HOST: &str = "nats:4222";

/// Options of `quipu secrets`.
#[derive(Args, Debug)]
pub struct SecretsArgs {
    /// The folder for them; made if it is not there.
    #[arg(long, default_value = "secrets")]
    pub out: PathBuf,
}

/// Options of `quipu migrate`.
#[derive(Args, Debug)]
pub struct MigrateArgs {
    /// The database, as the user that owns it; or, with --secrets, any database of the server as a superuser.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, required_unless_present = "database_url_file")]
    pub database_url: Option<String>,
    /// A file that holds the URL.
    #[arg(long, env = "DATABASE_URL_FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,
    /// Make owner and database too, and let the service roles log in with the passwords of this file.
    #[arg(long, env = "QUIPU_SECRETS_DIR")]
    pub secrets: Option<PathBuf>,
}

/// Options of `quipu healthcheck`.
#[derive(Args, Debug)]
pub struct HealthArgs {
    /// The port of the service on 127.0.0.1.
    #[arg(long)]
    pub port: u16,
}

/// Makes the secrets that compose.yaml mounts; those that are there stay as they are.
pub fn write_secrets(args: &SecretsArgs) -> anyhow::Result<()> {
    let layout = Layout::begin(&args.out)?;
    let secrets = Secrets::obtain(&layout)?;
    let database_url = |role: &str| -> anyhow::Result<String> {
        let password = secrets.of_role(role).with_context(|| format!("there is no role {role}"))?;
        Ok(format!("postgres://{role}:{password}@{DATABASE_HOST}/{DATABASE}"))
    };
    let files = [
        ("postgres_password", secrets.superuser.clone()),
        ("admin_database_url", format!("postgres://postgres:{}@{DATABASE_HOST}/postgres", secrets.superuser)),
        ("command_database_url", database_url("quipu_command")?),
        ("query_database_url", database_url("quipu_query")?),
        ("projector_database_url", database_url("quipu_projector")?),
        ("reactor_database_url", database_url("quipu_reactor")?),
        ("nats_url", format!("nats://quipu:{}@{NATS_HOST}", secrets.nats)),
        ("nats.conf", nats_config(&secrets)),
    ];
    for (name, content) in files {
        write_private(&args.out.join(name), content.as_bytes())?;
    }
    let grafana = args.out.join("grafana_password");
    if !grafana.exists() {
        write_private(&grafana, random_word()?.as_bytes())?;
    }
    generate_keys(&KeyConfig::at(args.out.join("keys"))).context("the signing keys cannot be made")?;
    console::note(format_args!("secrets are in {}", args.out.display()));
    Ok(())
}

/// Migrates, and with secrets sets the roles up first.
pub async fn migrate(args: &MigrateArgs) -> anyhow::Result<()> {
    let url = match (&args.database_url, &args.database_url_file) {
        (Some(url), _) => url.clone(),
        (None, Some(path)) => read_secret(path)?,
        (None, None) => anyhow::bail!("name a database by DATABASE_URL or DATABASE_URL_FILE"),
    };
    match &args.secrets {
        Some(dir) => {
            let path = dir.join("secrets.json");
            let text = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            let secrets: Secrets =
                serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
            prepare_own(&url, DATABASE, &secrets).await?;
        }
        None => {
            event_store::migrate(&url).await.context("the database cannot be migrated")?;
        }
    }
    console::note("the database is at the newest migration");
    Ok(())
}

/// Fails unless the service on the port says that it is ready.
pub async fn healthcheck(args: &HealthArgs) -> anyhow::Result<()> {
    let status = http_status(args.port, "/readyz").await?;
    anyhow::ensure!(status == 200, "/readyz answers {status}");
    Ok(())
}

fn read_secret(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn nats_config(secrets: &Secrets) -> String {
    format!(
        "server_name: {}\nport: 4222\nhttp: \"127.0.0.1:8222\"\njetstream {{ store_dir: \"/data\" }}\n\
         authorization {{ user: quipu, password: \"{}\" }}\n",
        secrets.nats_server_name, secrets.nats
    )
}
