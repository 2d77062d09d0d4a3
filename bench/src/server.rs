//! The PostgreSQL server that everything is measured on, and its own load generator.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, PgConnection};
use tokio::process::Command;

use crate::processes;

/// A server, as its superuser.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) options: PgConnectOptions,
    bin: PathBuf,
}

impl Server {
    /// The server that the harness names.
    pub(crate) async fn of_harness() -> anyhow::Result<Self> {
        let url =
            std::env::var("QUIPU_TEST_DATABASE_URL").context("run the measurements with ./dev bench")?;
        Self::at(url.parse()?).await
    }

    /// A server that was started for a measurement.
    pub(crate) async fn at(options: PgConnectOptions) -> anyhow::Result<Self> {
        let mut conn = options.connect().await?;
        let bin: String = sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
            .fetch_one(&mut conn)
            .await?;
        let fsync: String =
            sqlx::query_scalar("select current_setting('fsync')").fetch_one(&mut conn).await?;
        anyhow::ensure!(fsync == "on", "fsync is off: figures would say nothing");
        Ok(Self { options, bin: bin.into() })
    }

    /// A fresh, empty database of this name.
    pub(crate) async fn database(&self, name: &str) -> anyhow::Result<Self> {
        let mut conn = self.options.connect().await?;
        tests::database::execute(&mut conn, format!("drop database if exists {name} with (force)")).await?;
        tests::database::execute(&mut conn, format!("create database {name}")).await?;
        Ok(Self { options: self.options.clone().database(name), bin: self.bin.clone() })
    }

    /// A connection.
    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(self.options.connect().await?)
    }

    /// Runs statements.
    pub(crate) async fn run(&self, statements: &'static str) -> anyhow::Result<()> {
        self.connect().await?.execute(sqlx::raw_sql(statements)).await?;
        Ok(())
    }

    /// What it calls itself.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        Ok(sqlx::query_scalar("select current_setting('server_version')")
            .fetch_one(&mut self.connect().await?)
            .await?)
    }

    /// Processor time that its processes have used so far, and those that have ended; in seconds.
    pub(crate) async fn processor_seconds(&self) -> anyhow::Result<f64> {
        let mut conn = self.connect().await?;
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut conn).await?;
        let postmaster = processes::parent(u32::try_from(backend)?)?;
        processes::processor_seconds_below(postmaster)
    }

    /// Writes everything to disk that waits for it, so that one measurement does not pay for another.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        self.connect().await?.execute("checkpoint").await?;
        Ok(())
    }

    /// Runs a script of pgbench with so many clients; transactions a second.
    pub(crate) async fn pgbench(&self, script: &Path, clients: u32, time: Duration) -> anyhow::Result<f64> {
        let program = self.bin.join("pgbench");
        // What follows the question mark is for our own driver.
        let mut url = self.options.to_url_lossy();
        url.set_query(None);
        let output = Command::new(&program)
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
            .arg(format!("--client={clients}"))
            .arg(format!("--time={}", time.as_secs().max(1)))
            .arg("--file")
            .arg(script)
            .arg(url.as_str())
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        anyhow::ensure!(
            output.status.success(),
            "pgbench: {said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let line = said.lines().find(|line| line.starts_with("tps = ")).context("pgbench said no tps")?;
        let figure = line.trim_start_matches("tps = ").split(' ').next().unwrap_or_default();
        Ok(figure.parse()?)
    }
}
