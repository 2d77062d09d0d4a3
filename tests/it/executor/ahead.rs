//! Batches that are judged on top of one that is still on its way to the log.

use std::pin::pin;
use std::time::Duration;

use chrono::Utc;
use domain::ledger::PostTransfer;
use domain::ledger::transfer::stream;
use event_store::{Executor, ExecutorMetrics, ExecutorOptions, Receipt, Unit};
use futures_util::future::{join_all, try_join_all};
use futures_util::poll;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use sqlx::Executor as _;
use tests::database::{Database, cause, tenant};
use tests::ledger::{accepted, account, key, set_up, submit, transfer};
use tests::until;

use super::{Test, check_log, check_money, count};

const PATIENCE: Duration = Duration::from_secs(3);
const QUEUE: &str = "quipu_executor_queue_length";

const CALLERS: usize = 48;
const ROUNDS: usize = 30;

/// A transfer with an id that was made for it, as the API makes them: nobody looks for it in the log.
fn one_euro(from: u128, to: u128, name: &str) -> anyhow::Result<Unit> {
    let command = transfer(account(from), account(to), "1.00")?;
    let minted = stream(command.transfer_id);
    Ok(Unit::new(tenant(1), cause(), command).minting(minted).with_key(key(name, name)?))
}

fn metric(metrics: &ExecutorMetrics, name: &str) -> anyhow::Result<u64> {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.map_or(Ok(0), str::parse)?)
}

/// Sends transfers, and after every third of them sends it again: the database finds the key, so that the batch fails
/// after the next one was judged on top of what it would have done.
async fn call_and_repeat(executor: &Executor, caller: usize) -> anyhow::Result<Vec<Receipt>> {
    let mut receipts = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let (from, to) = (1 + ((caller + round) % 3) as u128, 1 + ((caller + round + 1) % 3) as u128);
        let name = format!("{caller}-{round}");
        let receipt = executor.submit(one_euro(from, to, &name)?).await?;
        accepted(&receipt)?;
        if round % 3 == 0 {
            let again = executor.submit(one_euro(from, to, &name)?).await?;
            anyhow::ensure!(again.replayed, "the key is known");
            anyhow::ensure!((again.position, &again.results) == (receipt.position, &receipt.results));
        }
        receipts.push(receipt);
    }
    Ok(receipts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_judged_on_top_of_a_batch_that_failed_is_judged_anew() -> Test {
    let database = Database::fresh().await?;
    let metrics = ExecutorMetrics::default();
    let options = ExecutorOptions { metrics: metrics.clone(), ..database.executor_options()? };
    let executor = Executor::start(options).0;
    set_up(&executor, tenant(1), 3, "1000.00").await?;
    let posted = count(&database, "ledger.transfer-posted").await?;
    let calls = (0..CALLERS).map(|caller| {
        let executor = executor.clone();
        tokio::spawn(async move { call_and_repeat(&executor, caller).await })
    });
    for receipts in try_join_all(calls).await? {
        assert_eq!(receipts?.len(), ROUNDS);
    }
    assert_eq!(count(&database, "ledger.transfer-posted").await? - posted, (CALLERS * ROUNDS) as i64);
    check_log(&database).await?;
    check_money(&database).await?;
    let (ahead, failed) = (
        metric(&metrics, "quipu_executor_units_judged_ahead_total")?,
        metric(&metrics, "quipu_append_outcomes_total{outcome=\"constraint\"}")?,
    );
    assert!(ahead > 10 && failed > 10, "{ahead} units judged ahead, {failed} batches failed");
    assert_eq!(metric(&metrics, QUEUE)?, 0, "nothing waits any more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_joins_a_batch_later_is_judged_at_a_later_time() -> Test {
    let database = Database::fresh().await?;
    let metrics = ExecutorMetrics::default();
    let options = ExecutorOptions { metrics: metrics.clone(), ..database.executor_options()? };
    let executor = Executor::start(options).0;
    set_up(&executor, tenant(1), 2, "100.00").await?;
    let mut holder = database.superuser().await?;
    holder.execute("begin; select store.lock_head()").await?;
    let taken = || until(PATIENCE, || async { Ok(metric(&metrics, QUEUE)? == 0) });
    // A submission is in the queue once it was asked for the first time.
    let mut on_its_way = pin!(executor.submit(one_euro(1, 2, "on its way")?));
    assert!(poll!(&mut on_its_way).is_pending());
    taken().await?;
    let mut first_of_the_next = pin!(executor.submit(one_euro(1, 2, "first of the next")?));
    assert!(poll!(&mut first_of_the_next).is_pending());
    taken().await?;
    let command =
        PostTransfer { effective_at: Some(Utc::now()), ..transfer(account(1), account(2), "1.00")? };
    let minted = stream(command.transfer_id);
    let mut joined = pin!(executor.submit(Unit::new(tenant(1), cause(), command).minting(minted)));
    assert!(poll!(&mut joined).is_pending());
    taken().await?;
    holder.execute("commit").await?;
    for receipt in [on_its_way.await, first_of_the_next.await, joined.await] {
        accepted(&receipt?)?;
    }
    assert_eq!(metric(&metrics, "quipu_executor_units_judged_ahead_total")?, 2);
    check_log(&database).await
}

#[tokio::test]
async fn a_memory_that_is_too_small_costs_time_and_nothing_else() -> Test {
    let database = Database::fresh().await?;
    // As many as one transfer needs.
    let executor = Executor::start(ExecutorOptions { states_max: 3, ..database.executor_options()? }).0;
    set_up(&executor, tenant(1), 6, "100.00").await?;
    for n in 0..60 {
        let (from, to) = (1 + n * 5 % 6, 1 + (n * 5 + 1 + n % 5) % 6);
        accepted(&submit(&executor, tenant(1), transfer(account(from), account(to), "0.10")?).await?)?;
    }
    check_log(&database).await?;
    check_money(&database).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn funds_that_a_batch_on_its_way_spends_are_not_there_for_the_next() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 2, "500.00").await?;
    let calls = (0..2_000).map(|n| {
        let executor = executor.clone();
        tokio::spawn(async move { anyhow::Ok(executor.submit(one_euro(1, 2, &n.to_string())?).await?) })
    });
    let mut done = 0;
    for receipt in join_all(calls).await {
        let receipt = receipt??;
        match tests::ledger::code(&receipt) {
            None => done += 1,
            Some(code) => assert_eq!(code, "ledger.insufficient-funds"),
        }
    }
    assert_eq!(done, 500, "what was there, and no more");
    check_log(&database).await?;
    check_money(&database).await
}
