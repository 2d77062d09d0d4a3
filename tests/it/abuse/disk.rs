//! A disk that is full: commands are put off, and when there is room again everything goes on by itself, with nothing lost.
//! Reads go on while it is the disk of the data, until PostgreSQL makes a checkpoint. Without room for that, or for its
//! write-ahead log, PostgreSQL itself ends, and comes back when there is room; meanwhile reads are put off too.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tests::books::{Books, transfer};
use tests::database::{Database, tenant};
use tests::stack::{Stack, answer};
use tests::until;
use uuid::Uuid;

use super::restarts::{Writer, reconcile};
use super::{PATIENCE, Test, note};

const WRITERS: u128 = 4;
/// How long a disk stays full.
const FULL: Duration = Duration::from_secs(3);
/// The API answers again so long after there is room.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

/// A PostgreSQL on small disks of its own.
struct Cramped {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Cramped {
    /// Starts one, with the disk that will be filled; nothing, if the machine lets nobody have a disk.
    async fn start(filled: &str) -> anyhow::Result<Option<Self>> {
        let url = std::env::var("QUIPU_TEST_DATABASE_URL").context("run the tests with ./dev test")?;
        let mut server = PgConnectOptions::from_str(&url)?.connect().await?;
        let bin: String = sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
            .fetch_one(&mut server)
            .await?;
        let (folder, port) = (tempfile::tempdir()?, TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let script = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/cramped-postgres.sh"));
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--", "sh"]).arg(script).arg(folder.path());
        command.arg(bin).arg(port.to_string()).arg(filled);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let Ok(child) = command.spawn() else { return Ok(None) };
        let mut this = Self { child, port, folder };
        let deadline = Instant::now() + PATIENCE;
        while this.options().connect().await.is_err() {
            if let Some(status) = this.child.try_wait()? {
                // Without the right to make a namespace `unshare` ends with 1.
                return if matches!(status.code(), Some(1 | 9)) {
                    Ok(None)
                } else {
                    bail!("{status}: {}", this.log())
                };
            }
            ensure!(Instant::now() < deadline, "{}", this.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Some(this))
    }

    fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new().host("127.0.0.1").port(self.port).username("postgres").database("postgres")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) -> Test {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("a process")?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        // It may have ended; there is nobody to tell of anything else.
        drop(self.signal(Signal::TERM));
        drop(self.child.wait());
    }
}

/// How many reads went on and how many were put off.
type Reads = (usize, usize);

async fn full(filled: &str) -> anyhow::Result<Option<Reads>> {
    let Some(postgres) = Cramped::start(filled).await? else {
        note(format_args!("NOT RUN: no disk of its own can be had here (unshare, mount)"))?;
        return Ok(None);
    };
    let stack = Stack::commands_on(Database::on(postgres.options()).await?).await?.with_readers().await?;
    let stack = Arc::new(stack);
    let books = Books::with_accounts(&stack, tenant(1), WRITERS + 1).await?;
    books.read("/v1/ledger/accounts").await?;
    let before = i64::try_from(WRITERS)? + 1;
    let writers = Writer::start(&stack, WRITERS)?;
    let probe = transfer(0, WRITERS + 1, "0.01");
    let ask = |key: String| {
        answer(
            stack.command(&books.token, "/v1/ledger/transfers").header("Idempotency-Key", key).json(&probe),
        )
    };
    let mut done = Vec::new();

    postgres.signal(Signal::USR1)?;
    let deadline = Instant::now() + PATIENCE;
    let (pending, refused) = loop {
        let key = Uuid::now_v7().to_string();
        let told = ask(key.clone()).await?;
        if told.status.as_u16() != 201 {
            break (key, told);
        }
        done.push(told.json["id"].as_str().context("an id")?.to_owned());
        ensure!(Instant::now() < deadline, "the disk is never full");
    };
    ensure!(refused.status.as_u16() == 503 && !refused.header("retry-after").is_empty(), "{}", refused.text);
    let (began, mut reads, mut put_off) = (Instant::now(), (0, 0), String::new());
    while began.elapsed() < FULL {
        let told = stack.get(&books.token, "/v1/ledger/accounts").await?;
        match told.status.as_u16() {
            200 => reads.0 += 1,
            503 if !told.header("retry-after").is_empty() => {
                reads.1 += 1;
                put_off = told.text;
            }
            _ => bail!("{} {}", told.status, told.text),
        }
    }
    if reads.1 > 0 {
        note(format_args!("reads were put off with {put_off}"))?;
    }
    let still = ask(pending.clone()).await?;
    ensure!(still.status.as_u16() == 503, "{} {}", still.status, still.text);

    postgres.signal(Signal::USR2)?;
    let freed = Instant::now();
    let written = until(PATIENCE, || async {
        let told = ask(pending.clone()).await?;
        ensure!(matches!(told.status.as_u16(), 201 | 503), "{} {}", told.status, told.text);
        Ok(told.status.as_u16() == 201)
    });
    written.await.with_context(|| postgres.log())?;
    let after = freed.elapsed();
    let told = ask(pending).await?;
    done.push(told.json["id"].as_str().context("an id")?.to_owned());
    let position = told.header("quipu-position").to_owned();
    let mut journal = writers.end().await?;
    note(format_args!(
        "a full disk of {filled}: {} transfers acknowledged, {} answers put off; meanwhile {} reads answered, {} put \
         off; writing again {after:?} after there was room",
        journal.done.len() + done.len(),
        journal.put_off,
        reads.0,
        reads.1
    ))?;
    ensure!(after < RECOVERY_MAX, "{after:?}");
    journal.done.extend(done);
    reconcile(&stack, &journal, before).await?;
    until(RECOVERY_MAX, || async {
        Ok(stack.get_at(&books.token, "/v1/ledger/accounts", &position).await?.status.as_u16() == 200)
    })
    .await
    .context("the read models did not go on")?;
    Ok(Some(reads))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_puts_commands_off_lets_reads_go_on_and_loses_nothing() -> Test {
    if let Some((read, put_off)) = full("data").await? {
        ensure!(read > put_off, "only {read} of {} reads went on", read + put_off);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_write_ahead_log_ends_the_database_and_loses_nothing() -> Test {
    full("wal").await.map(drop)
}
