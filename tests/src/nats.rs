//! A NATS server of a test's own, to be killed, wiped and brought back.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::stream::Stream;
use futures_util::TryStreamExt as _;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// One server on one port, with its storage in a folder that goes with the test.
pub struct Nats {
    port: u16,
    store: TempDir,
    server: Option<Child>,
}

impl Nats {
    /// Starts one.
    ///
    /// # Errors
    /// If the harness has not said where the program is, or it does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut nats = Self { port, store: tempfile::tempdir()?, server: None };
        nats.back().await?;
        Ok(nats)
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://q:q@127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().and_then(Child::id)
    }

    /// Kills it, as a power failure would.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill().await?;
        }
        Ok(())
    }

    /// Kills it and removes what it stored.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn wipe(&mut self) -> anyhow::Result<()> {
        self.kill().await?;
        std::fs::remove_dir_all(self.folder())?;
        Ok(())
    }

    /// Copies what it stored; it must have been killed.
    ///
    /// # Errors
    /// If the copy fails.
    pub fn copy(&self) -> anyhow::Result<TempDir> {
        let copy = tempfile::tempdir()?;
        copy_folder(&self.folder(), copy.path())?;
        Ok(copy)
    }

    /// Puts a copy in the place of what it stored; it must have been killed.
    ///
    /// # Errors
    /// If the copy fails.
    pub fn put_back(&self, copy: &TempDir) -> anyhow::Result<()> {
        std::fs::remove_dir_all(self.folder())?;
        copy_folder(copy.path(), &self.folder())
    }

    /// Starts it again on the same port and storage.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn back(&mut self) -> anyhow::Result<()> {
        let program = std::env::var("QUIPU_TEST_NATS_BIN").context("run the tests with ./dev test")?;
        let config = self.store.path().join("nats.conf");
        std::fs::write(&config, self.config())?;
        let mut command = Command::new(program);
        command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        self.server = Some(command.spawn()?);
        crate::until(Duration::from_secs(10), || async { Ok(self.client().await.is_ok()) }).await
    }

    /// A client of it.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn client(&self) -> anyhow::Result<async_nats::Client> {
        let options = async_nats::ConnectOptions::with_user_and_password("q".to_owned(), "q".to_owned());
        Ok(options.connect(format!("127.0.0.1:{}", self.port)).await?)
    }

    /// Every message that the stream holds, in order: subject, position and event id.
    ///
    /// # Errors
    /// If the stream is not there.
    pub async fn messages(&self) -> anyhow::Result<Vec<Message>> {
        let context = async_nats::jetstream::new(self.client().await?);
        let mut stream: Stream = context.get_stream("quipu").await?;
        let state = stream.info().await?.state.clone();
        let numbers = state.first_sequence..=state.last_sequence;
        let stream = &stream;
        futures_util::stream::iter(numbers.map(anyhow::Ok))
            .and_then(|n| async move {
                let message = stream.get_raw_message(n).await?;
                let header =
                    |name: &str| message.headers.get(name).map(ToString::to_string).unwrap_or_default();
                Ok(Message {
                    subject: message.subject.to_string(),
                    position: header("Quipu-Position"),
                    id: header("Nats-Msg-Id"),
                    event_type: header("ce-type"),
                    payload: String::from_utf8_lossy(&message.payload).into_owned(),
                })
            })
            .try_collect()
            .await
    }

    /// The limit of storage is there because without it a server takes three quarters of what is free on the disk, and
    /// then refuses our stream where little is.
    fn config(&self) -> String {
        format!(
            "listen: \"127.0.0.1:{}\"\nauthorization {{ user: q, password: q }}\n\
             jetstream {{ store_dir: {:?}, max_file_store: 4GB }}\n",
            self.port,
            self.folder()
        )
    }

    fn folder(&self) -> std::path::PathBuf {
        self.store.path().join("jetstream")
    }
}

/// A message, as far as the tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its subject.
    pub subject: String,
    /// The header `Quipu-Position`.
    pub position: String,
    /// The header `Nats-Msg-Id`.
    pub id: String,
    /// The header `ce-type`.
    pub event_type: String,
    /// Its body.
    pub payload: String,
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
