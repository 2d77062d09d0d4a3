//! Readers that hold every connection to the database: the others are told so in time.

use std::time::{Duration, Instant};

use anyhow::ensure;
use query_api::{LiveConfig, QueryApi};
use service_kit::config::DatabaseConfig;
use sqlx::{Connection as _, Executor as _};
use tests::books::Books;
use tests::database::tenant;
use tests::stack::{Stack, answer, listener};
use tests::until;
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, Test, note, quantile};

const CONNECTIONS: u32 = 3;
const ACQUIRE: Duration = Duration::from_millis(300);
/// What an answer takes beside the wait, on a machine that does other things too.
const BESIDE: Duration = Duration::from_millis(700);

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_pool_is_told_in_time_and_is_not_our_fault() -> Test {
    let mut stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    books.read("/v1/ledger/accounts").await?;
    books.read("/v1/ledger/transfers").await?;
    let token = books.token.clone();
    let shutdown = CancellationToken::new();
    let _stops = shutdown.clone().drop_guard();
    let mut config = stack.query_config(LiveConfig::default())?;
    config.database = DatabaseConfig { pool_max: CONNECTIONS, acquire_timeout: ACQUIRE, ..config.database };
    let (listener, address) = listener().await?;
    tokio::spawn(QueryApi::connect(config, shutdown).await?.serve(listener));
    stack.query_url = format!("http://{address}");

    // Whoever reads accounts waits for this, with a connection in hand.
    let mut conn = stack.database.superuser().await?;
    let mut lock = conn.begin().await?;
    lock.execute("lock table read.accounts in access exclusive mode").await?;
    let holders: Vec<_> =
        (0..CONNECTIONS).map(|_| tokio::spawn(answer(stack.query(&token, "/v1/ledger/accounts")))).collect();
    let looker = stack.database.pool("quipu_query")?;
    until(PATIENCE, || async {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database()
             and application_name = 'quipu-query' and wait_event_type = 'Lock'",
        )
        .fetch_one(&looker)
        .await?;
        Ok(waiting >= i64::from(CONNECTIONS))
    })
    .await?;

    let others: Vec<_> = (0..200)
        .map(|_| {
            let request = stack.query(&token, "/v1/ledger/transfers");
            tokio::spawn(async move {
                let asked = Instant::now();
                anyhow::Ok((answer(request).await?, asked.elapsed()))
            })
        })
        .collect();
    let mut waited = Vec::new();
    for other in others {
        let (told, after) = other.await??;
        ensure!((told.status.as_u16(), told.code()) == (503, "store.unavailable"), "{}", told.text);
        ensure!(told.header("retry-after") == "1");
        waited.push(after);
    }
    let (median, slowest) = (quantile(&mut waited, 0.5), quantile(&mut waited, 1.0));
    note(format_args!(
        "200 readers without a connection: told after {median:?}, the last after {slowest:?}"
    ))?;
    ensure!(slowest < ACQUIRE + BESIDE, "{slowest:?}");

    lock.rollback().await?;
    for holder in holders {
        // They may have waited longer than a lock is waited for.
        let held = holder.await??;
        ensure!(matches!(held.status.as_u16(), 200 | 503), "{}", held.text);
    }
    let after = stack.get(&token, "/v1/ledger/transfers").await?;
    ensure!(after.status.as_u16() == 200, "{}", after.text);
    Ok(())
}
