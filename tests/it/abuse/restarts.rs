//! A database that goes away and comes back while commands and reads run: they are told to come back, and nothing that was
//! acknowledged is lost, nothing is done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tests::books::{Books, transfer};
use tests::database::{Database, tenant};
use tests::postgres::Postgres;
use tests::stack::{Answer, Stack, answer};
use tests::until;
use uuid::Uuid;

use super::{PATIENCE, Test, note};

const WRITERS: u128 = 6;
/// The API answers again so long after the database does.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// What a writer asked for, with its keys; each is asked again until it is final.
pub(super) struct Writer {
    stack: Arc<Stack>,
    token: String,
    account: u128,
    stop: Arc<AtomicBool>,
}

/// What became of it.
#[derive(Default)]
pub(super) struct Journal {
    /// Transfers that were acknowledged.
    pub(super) done: Vec<String>,
    /// Answers that said "not now".
    pub(super) put_off: usize,
}

impl Writer {
    pub(super) fn start(stack: &Arc<Stack>, count: u128) -> anyhow::Result<Writers> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for account in 1..=count {
            let (token, stack, stop) = (stack.owner(tenant(1))?, Arc::clone(stack), Arc::clone(&stop));
            tasks.push(tokio::spawn(Self { stack, token, account, stop }.run()));
        }
        Ok(Writers { stop, tasks })
    }

    async fn run(self) -> anyhow::Result<Journal> {
        let (mut journal, body) = (Journal::default(), transfer(0, self.account, "0.01"));
        while !self.stop.load(Ordering::Relaxed) {
            let key = Uuid::now_v7().to_string();
            let deadline = Instant::now() + PATIENCE * 2;
            loop {
                let told = self.ask(&key, &body).await?;
                if told.status.as_u16() == 201 {
                    journal.done.push(told.json["id"].as_str().context("an id")?.to_owned());
                    break;
                }
                ensure!(told.status.as_u16() == 503, "{} {}", told.status, told.text);
                ensure!(!told.header("retry-after").is_empty(), "no hint: {}", told.text);
                ensure!(Instant::now() < deadline, "never final: {}", told.text);
                journal.put_off += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(journal)
    }

    async fn ask(&self, key: &str, body: &Value) -> anyhow::Result<Answer> {
        let request = self.stack.command(&self.token, "/v1/ledger/transfers").header("Idempotency-Key", key);
        answer(request.json(body)).await
    }
}

/// Writers at work.
pub(super) struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<Journal>>>,
}

impl Writers {
    /// Ends them, once what they have begun is final.
    pub(super) async fn end(self) -> anyhow::Result<Journal> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Journal::default();
        for task in self.tasks {
            let one = task.await??;
            all.done.extend(one.done);
            all.put_off += one.put_off;
        }
        Ok(all)
    }

    /// Fails if one has met what it should not.
    pub(super) fn are_well(&self) -> bool {
        self.tasks.iter().all(|it| !it.is_finished())
    }
}

/// Fails unless the log holds exactly what was acknowledged, and what was there before.
pub(super) async fn reconcile(stack: &Stack, journal: &Journal, before: i64) -> Test {
    let mut conn = stack.database.superuser().await?;
    let count: i64 =
        sqlx::query_scalar("select count(*) from store.events where type = 'ledger.transfer-posted'")
            .fetch_one(&mut conn)
            .await?;
    let ids: Vec<Uuid> = journal.done.iter().map(|it| it.parse()).collect::<Result<_, _>>()?;
    let found: i64 = sqlx::query_scalar(
        "select count(*) from store.events where type = 'ledger.transfer-posted' and stream_id = any($1)",
    )
    .bind(&ids)
    .fetch_one(&mut conn)
    .await?;
    let told = i64::try_from(ids.len())?;
    ensure!(found == told, "{} of {told} acknowledged transfers are lost", told - found);
    ensure!(count == told + before, "{} transfers that nobody was told of", count - told - before);
    Ok(())
}

/// How often the database restarts.
const RESTARTS: usize = 3;
/// The same, if nobody notices.
const RESTARTS_MAX: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_restarts_loses_nothing_and_is_nobody_s_fault() -> Test {
    let postgres = Postgres::start().await?;
    let stack = Stack::commands_on(Database::on(postgres.options()).await?).await?.with_readers().await?;
    let stack = Arc::new(stack);
    let books = Books::with_accounts(&stack, tenant(1), WRITERS).await?;
    books.read("/v1/ledger/accounts").await?;
    let before = i64::try_from(WRITERS)?;
    let writers = Writer::start(&stack, WRITERS)?;
    let met = Arc::new(AtomicBool::new(false));
    let (stop, reads) = (Arc::new(AtomicBool::new(false)), (Arc::clone(&stack), books.token.clone()));
    let reader = tokio::spawn({
        let (stop, met) = (Arc::clone(&stop), Arc::clone(&met));
        async move {
            let mut counts = (0_usize, 0_usize);
            while !stop.load(Ordering::Relaxed) {
                let told = reads.0.get(&reads.1, "/v1/ledger/accounts").await?;
                match told.status.as_u16() {
                    200 => counts.0 += 1,
                    503 if !told.header("retry-after").is_empty() => {
                        counts.1 += 1;
                        met.store(true, Ordering::Relaxed);
                    }
                    _ => anyhow::bail!("{} {}", told.status, told.text),
                }
            }
            anyhow::Ok(counts)
        }
    });
    let mut slowest = Duration::ZERO;
    let mut restarts = 0;
    // Three, and some more until a reader has met one.
    while restarts < RESTARTS || (restarts < RESTARTS_MAX && !met.load(Ordering::Relaxed)) {
        restarts += 1;
        let positions = || async {
            let mut conn = stack.database.superuser().await?;
            let at: i64 =
                sqlx::query_scalar("select position from store.log_head").fetch_one(&mut conn).await?;
            anyhow::Ok(at)
        };
        let from = positions().await?;
        until(PATIENCE, || async { Ok(positions().await? > from + 50) }).await?;
        postgres.stop_at_once().await?;
        postgres.back().await?;
        let (back, from) = (Instant::now(), positions().await?);
        until(PATIENCE, || async { Ok(positions().await? > from) }).await?;
        slowest = slowest.max(back.elapsed());
        ensure!(writers.are_well(), "{:?}", writers.end().await.err());
    }
    let journal = writers.end().await?;
    stop.store(true, Ordering::Relaxed);
    let (read, put_off) = reader.await??;
    note(format_args!(
        "{restarts} restarts of the database: {} transfers acknowledged, {} answers and {put_off} of {read} reads put off; \
         writing again {slowest:?} after the database",
        journal.done.len(),
        journal.put_off
    ))?;
    ensure!(journal.put_off + put_off > 0, "nobody met a restart");
    ensure!(slowest < RECOVERY_MAX, "{slowest:?}");
    reconcile(&stack, &journal, before).await
}
