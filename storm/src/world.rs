//! The system under the storm: servers and processes of its own, and a link of its own between any two of them.

pub mod parts;
pub mod supervised;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use domain::ids::{ActorId, TenantId, TokenId};
use event_store::erasure_journal::Journal;
use service_kit::config::{KeyConfig, TokenConfig};
use service_kit::token::{Claims, Role, Signer, generate_keys};
use sqlx::ConnectOptions as _;
use tempfile::TempDir;
use tests::database::Database;
use tests::nats::Nats;
use tests::postgres::Postgres;
use tests::stack::PUBLIC_URL;
use tests::until;
use tokio::sync::Mutex;
use uuid::Uuid;

use self::parts::{LinkName, Peer, Process};
use self::supervised::{Spec, Supervised};
use crate::proxy::Link;

/// Connections that were lost half-open stay until the server notices, so there is room for many. An archive would only
/// take time: no storm restores.
const POSTGRES_SETTINGS: &str = "max_connections = 250\narchive_mode = off\nmax_wal_size = '2GB'\n";
/// How long everything may take to come up the first time.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// The journal of erasures, in the folder of a run.
pub const ERASURES: &str = "erasures.jsonl";
/// Limits of how often may be tried. People of the storm come from one address and try a lot.
const RATES: [&str; 13] = [
    "QUIPU_RATE_SIGN_IN",
    "QUIPU_RATE_SIGN_IN_TENANT",
    "QUIPU_RATE_RECOVER",
    "QUIPU_RATE_RECOVER_PERSON",
    "QUIPU_RATE_LINKS",
    "QUIPU_RATE_TOKEN_FAILURES",
    "QUIPU_RATE_USER_CODES",
    "QUIPU_RATE_INVITATIONS",
    "QUIPU_RATE_INVITATIONS_MEMBER",
    "QUIPU_RATE_LETTERS_MEMBER",
    "QUIPU_RATE_REFRESH",
    "QUIPU_RATE_DEVICE_CODES",
    "QUIPU_RATE_DEVICE_CODES_ALL",
];
/// A switch of builds that are made to be caught: see the crate `sabotage`.
const SABOTAGE: &str = "QUIPU_SABOTAGE";

/// Everything that runs.
pub struct World {
    processes: BTreeMap<Process, Supervised>,
    links: BTreeMap<LinkName, Link>,
    ports: BTreeMap<Process, u16>,
    /// The database of the product, reached past all links.
    pub database: Database,
    /// Its server.
    pub postgres: Postgres,
    /// NATS, and an older copy of its storage, once one was taken.
    pub nats: Mutex<(Nats, Option<TempDir>)>,
    /// Where NATS listens, past all links.
    pub nats_port: u16,
    signer: Signer,
    folder: PathBuf,
}

impl World {
    /// Starts everything, with logs and keys below `folder`, and waits until it works.
    ///
    /// # Errors
    /// If something does not come up.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let postgres = Postgres::start_with(POSTGRES_SETTINGS).await?;
        let database = Database::on(postgres.options()).await?;
        let nats = Nats::start().await?;
        let nats_port = nats.port();
        let keys = folder.join("keys");
        std::fs::create_dir_all(&keys)?;
        generate_keys(&KeyConfig::at(&keys))?;
        Journal::create(&folder.join(ERASURES))?;
        let mut ports = BTreeMap::new();
        for process in Process::ALL {
            ports.insert(process, TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        }
        let mut links = BTreeMap::new();
        for name in LinkName::all() {
            let port = match name.peer {
                Peer::Postgres => postgres.port(),
                Peer::Nats => nats_port,
                Peer::Clients => *ports.get(&name.process).context("a port")?,
            };
            links.insert(name, Link::open(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?);
        }
        let mut world = Self {
            processes: BTreeMap::new(),
            links,
            ports,
            database,
            postgres,
            nats: Mutex::new((nats, None)),
            nats_port,
            signer: Signer::load(&KeyConfig::at(&keys), &TokenConfig::default())?,
            folder: folder.to_owned(),
        };
        for process in Process::ALL {
            let spec = world.spec(process)?;
            world.processes.insert(process, Supervised::start(spec));
        }
        world.ready().await?;
        Ok(world)
    }

    /// Waits until every process says that it can work.
    ///
    /// # Errors
    /// If one does not in time.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?;
        for (process, port) in &self.ports {
            let url = format!("http://127.0.0.1:{port}/readyz");
            until(READY_WITHIN, || async {
                Ok(http.get(&url).send().await.is_ok_and(|it| it.status().is_success()))
            })
            .await
            .with_context(|| format!("{} is not ready", process.name()))?;
        }
        Ok(())
    }

    /// A process.
    ///
    /// # Errors
    /// If it was stopped for good.
    pub fn process(&self, process: Process) -> anyhow::Result<&Supervised> {
        self.processes.get(&process).with_context(|| format!("{} was stopped", process.name()))
    }

    /// Ends a process for good, in an orderly way.
    ///
    /// # Errors
    /// If it does not end, or says that it failed.
    pub async fn stop(&mut self, process: Process) -> anyhow::Result<()> {
        let supervised = self.processes.remove(&process).context("it was stopped before")?;
        let status = supervised.stop().await?;
        anyhow::ensure!(status.success(), "{} ended with {status}", process.name());
        Ok(())
    }

    /// A link.
    ///
    /// # Errors
    /// If the process has no such peer.
    pub fn link(&self, process: Process, peer: Peer) -> anyhow::Result<&Link> {
        let name = LinkName { process, peer };
        self.links.get(&name).with_context(|| format!("there is no link {name}"))
    }

    /// Every link.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Where clients reach a process, through its link.
    ///
    /// # Errors
    /// If it has no clients.
    pub fn url(&self, process: Process) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.link(process, Peer::Clients)?.address()))
    }

    /// Where a process logs.
    #[must_use]
    pub fn log(&self, process: Process) -> PathBuf {
        self.folder.join(format!("{}.log", process.name()))
    }

    /// A token for an owner of a tenant that outlives the run.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn token(&self, tenant: TenantId, lasts: Duration) -> anyhow::Result<String> {
        let now = Utc::now().timestamp();
        let (subject, token) = (ActorId::new(Uuid::from_u128(0x5707_0000)), TokenId::new(Uuid::now_v7()));
        let until = now.saturating_add_unsigned(lasts.as_secs());
        let config = TokenConfig::default().issued_at(Some(&PUBLIC_URL.parse()?));
        let claims = Claims::new(&config, tenant, subject, token, now, until);
        Ok(self.signer.mint(&claims.with_role(Role::Owner))?)
    }

    fn spec(&self, process: Process) -> anyhow::Result<Spec> {
        let port = self.ports.get(&process).context("a port")?;
        let database = |role: &str| -> anyhow::Result<String> {
            let link = self.link(process, Peer::Postgres)?.address();
            Ok(self.database.options(role)?.port(link.port()).to_url_lossy().to_string())
        };
        let nats = || -> anyhow::Result<String> {
            Ok(format!("nats://q:q@{}", self.link(process, Peer::Nats)?.address()))
        };
        let mut environment = vec![
            ("QUIPU_LISTEN", format!("127.0.0.1:{port}")),
            ("QUIPU_KEY_DIR", self.folder.join("keys").display().to_string()),
            ("QUIPU_LOG", "info".to_owned()),
            ("QUIPU_LOG_FORMAT", "json".to_owned()),
            ("QUIPU_RATE_PER_ADDRESS", "0".to_owned()),
            ("QUIPU_RATE_PER_PRINCIPAL", "0".to_owned()),
            ("QUIPU_RATE_PER_API_KEY", "0".to_owned()),
            ("QUIPU_ERASURE_JOURNAL", self.folder.join(ERASURES).display().to_string()),
            ("QUIPU_PUBLIC_URL", PUBLIC_URL.to_owned()),
        ];
        environment.extend(RATES.map(|it| (it, "0".to_owned())));
        environment.extend(match process {
            Process::Command0 | Process::Command1 => {
                vec![("DATABASE_URL", database("quipu_command")?), ("NATS_URL", nats()?)]
            }
            Process::Projector0 | Process::Projector1 => vec![
                ("DATABASE_URL", database("quipu_projector")?),
                ("REACTOR_DATABASE_URL", database("quipu_reactor")?),
                ("NATS_URL", nats()?),
            ],
            Process::Query => vec![
                ("DATABASE_URL", database("quipu_query")?),
                // So that the follower of a live stream soon notices that a link is dead.
                ("QUIPU_STREAM_KEEP_ALIVE", "1s".to_owned()),
            ],
        });
        if let Ok(guard) = std::env::var(SABOTAGE) {
            environment.push((SABOTAGE, guard));
        }
        let own = std::env::current_exe()?;
        let program = own.parent().context("a folder of programs")?.join(process.program());
        Ok(Spec { program, environment, log: self.log(process), folder: self.folder.clone() })
    }
}
