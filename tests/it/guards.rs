//! Promises that rest on one line each, tested so closely that its removal shows: see `./dev sabotage`.

use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use domain::ids::ActorId;
use event_store::{IdempotencyKey, Unit};
use projector::{Projector, ProjectorOptions, State, Timing};
use rustix::process::{Pid, Signal, kill_process};
use service_kit::config::{DatabaseConfig, NatsConfig};
use service_kit::database::{Purpose, connect_pool};
use sqlx::{Connection as _, Executor as _};
use tests::database::{Database, cause, master_key, tenant};
use tests::ledger::{accepted, account, hold, set_up, submit, transfer};
use tests::nats::Nats;
use tests::stack::quick;
use tests::until;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);

/// A leader that does not touch its lease while the test looks on.
fn follow(database: &Database, shutdown: &CancellationToken) -> anyhow::Result<ProjectorOptions> {
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    Ok(ProjectorOptions { timing: Timing { lease: Duration::from_secs(300), ..quick() }, ..options })
}

/// How far the accounts' checkpoint is, and the version of account 1 among the rows.
async fn accounts(database: &Database) -> anyhow::Result<(i64, Option<i64>)> {
    let mut conn = database.superuser().await?;
    let found = sqlx::query_as(
        "select p.position, (select version from read.accounts where account_id = $1)
         from run.projections p where p.model = 'accounts'",
    )
    .bind(account(1).uuid())
    .fetch_optional(&mut conn)
    .await?;
    Ok(found.unwrap_or_default())
}

async fn head(database: &Database) -> anyhow::Result<i64> {
    let mut conn = database.superuser().await?;
    Ok(sqlx::query_scalar("select position from store.log_head").fetch_one(&mut conn).await?)
}

async fn accounts_caught_up(database: &Database) -> Test {
    let head = head(database).await?;
    until(PATIENCE, || async { Ok(accounts(database).await?.0 == head) }).await
}

/// Waits until somebody on the database waits for a lock.
async fn somebody_waits(database: &Database) -> Test {
    until(PATIENCE, || async {
        let mut conn = database.superuser().await?;
        Ok(sqlx::query_scalar(
            "select exists (select from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock')",
        )
        .fetch_one(&mut conn)
        .await?)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_rows_nor_checkpoint_are_seen_before_the_other() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 2, "10.00").await?;
    let shutdown = CancellationToken::new();
    let projector = Projector::start(follow(&database, &shutdown)?);
    let mut blocker = database.superuser().await?;
    for obstacle in [
        "lock table read.accounts in exclusive mode",
        "select from run.projections where model = 'accounts' for update",
    ] {
        accounts_caught_up(&database).await?;
        let before = accounts(&database).await?;
        assert!(before.1.is_some(), "the account has a row");
        let mut tx = blocker.begin().await?;
        tx.execute(obstacle).await?;
        accepted(&submit(&executor, tenant(1), transfer(account(1), account(2), "0.01")?).await?)?;
        somebody_waits(&database).await?;
        assert_eq!(accounts(&database).await?, before, "{obstacle}");
        tx.rollback().await?;
        accounts_caught_up(&database).await?;
        let after = accounts(&database).await?;
        assert!(after.0 > before.0 && after.1 > before.1, "both have moved: {before:?} {after:?}");
    }
    shutdown.cancel();
    projector.stopped().await;
    Ok(())
}

#[tokio::test]
async fn what_is_answered_is_on_disk() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 2, "10.00").await?;
    let mut conn = database.superuser().await?;
    // The background writer would come by every 200 ms: of many commands at least one is answered before it does.
    for n in 0..100 {
        let begun: i64 = sqlx::query_scalar("select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
            .fetch_one(&mut conn)
            .await?;
        accepted(&submit(&executor, tenant(1), transfer(account(1), account(2), "0.01")?).await?)?;
        let flushed: i64 = sqlx::query_scalar("select (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint")
            .fetch_one(&mut conn)
            .await?;
        assert!(flushed > begun, "answer {n} came before its commit was on disk");
    }
    Ok(())
}

/// Lets others run so many times: a patience finer than any timer.
async fn turns(count: u32) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begin_that_was_given_up_leaves_nothing_to_the_next_borrower() -> Test {
    let database = Database::fresh().await?;
    let config = DatabaseConfig { pool_max: 1, ..DatabaseConfig::at(&database.url("quipu_command")?) };
    let pool = connect_pool(&config, Purpose::Command).await?;
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut given_up, mut inside) = (0, 0);
    for _ in 0..2_000 {
        let patience = rng.u32(..1_500);
        tokio::select! {
            biased;
            begun = pool.begin() => begun?.rollback().await?,
            () = turns(patience) => given_up += 1,
        }
        // In a transaction of its own a simple statement begins when its transaction does.
        let mut conn = pool.acquire().await?;
        let row = conn.fetch_one("select now() <> statement_timestamp()").await?;
        inside += i32::from(sqlx::Row::get::<bool, _>(&row, 0));
    }
    assert!(given_up > 100, "only {given_up} of 2,000 were given up");
    assert_eq!(inside, 0, "borrowers inside somebody else's transaction");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nats_has_not_acknowledged_is_not_noted_as_published() -> Test {
    let (database, nats) = (Database::fresh().await?, Nats::start().await?);
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 2, "10.00").await?;
    let client = service_kit::nats::connect(&NatsConfig::at(&nats.url()), "test").await?;
    let shutdown = CancellationToken::new();
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    let projector = Projector::start(ProjectorOptions { nats: Some(client), ..options });
    let noted = async || -> anyhow::Result<i64> {
        let mut conn = database.superuser().await?;
        let noted = sqlx::query_scalar("select position from run.publisher").fetch_optional(&mut conn);
        Ok(noted.await?.unwrap_or_default())
    };
    let before = head(&database).await?;
    until(PATIENCE, || async { Ok(noted().await? == before) }).await?;
    let server = nats.pid().and_then(|it| Pid::from_raw(i32::try_from(it).ok()?)).context("NATS runs")?;
    kill_process(server, Signal::STOP)?;
    accepted(&submit(&executor, tenant(1), transfer(account(1), account(2), "0.01")?).await?)?;
    until(PATIENCE, || async {
        let status = projector.status();
        Ok(status.iter().any(|it| it.name == "publisher" && it.state == State::Failing))
    })
    .await?;
    let after = noted().await?;
    kill_process(server, Signal::CONT)?;
    assert_eq!(after, before, "nobody has acknowledged it");
    let head = head(&database).await?;
    until(PATIENCE, || async { Ok(noted().await? == head) }).await?;
    let positions: Vec<String> = nats.messages().await?.into_iter().map(|it| it.position).collect();
    assert_eq!(positions, (1..=head).map(|n| format!("1-{n}")).collect::<Vec<_>>(), "in order, once");
    shutdown.cancel();
    Ok(())
}

#[tokio::test]
async fn the_same_key_of_two_actors_is_two_keys() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 2, "10.00").await?;
    for actor in [Uuid::from_u128(1), Uuid::from_u128(2)] {
        let key = IdempotencyKey::new(&*master_key()?, actor, "POST /test", "mine", b"the same request");
        let cause = event_store::Cause { actor: ActorId::new(actor), ..cause() };
        let unit = Unit::new(t, cause, transfer(account(1), account(2), "1.00")?).with_key(key);
        let receipt = executor.submit(unit).await?;
        accepted(&receipt)?;
        assert!(!receipt.replayed, "{actor} got somebody else's answer");
    }
    Ok(())
}

#[tokio::test]
async fn a_process_that_never_saw_a_hold_knows_when_it_ends() -> Test {
    let database = Database::fresh().await?;
    let t = tenant(1);
    let executor = database.executor()?;
    set_up(&executor, t, 2, "10.00").await?;
    accepted(&submit(&executor, t, hold(account(1), account(2), "6.00", Some(1))?).await?)?;
    // The newest event of the account tells that there is such a hold, not which.
    accepted(&submit(&executor, t, transfer(account(1), account(2), "4.00")?).await?)?;
    let due = Utc::now() + chrono::TimeDelta::milliseconds(1_100);
    until(Duration::from_secs(5), || async { Ok(Utc::now() > due) }).await?;
    let other = database.executor()?;
    accepted(&submit(&other, t, transfer(account(1), account(2), "6.00")?).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_lives_through_a_crash_reads_again_what_it_took_back() -> Test {
    let (database, shutdown) = (Database::fresh().await?, CancellationToken::new());
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 2, "10.00").await?;
    let projector = Projector::start(follow(&database, &shutdown)?);
    let mut conn = database.superuser().await?;
    let behind = "select (select position from store.log_head)
                       - coalesce((select position from run.projections where model = 'transfers'), 0)";
    let caught_up = || async {
        let mut conn = database.superuser().await?;
        Ok(sqlx::query_scalar::<_, i64>(behind).fetch_one(&mut conn).await? == 0)
    };
    for _ in 0..5 {
        accepted(&submit(&executor, t, transfer(account(1), account(2), "0.01")?).await?)?;
    }
    until(PATIENCE, caught_up).await?;
    // A crash of the database while pages are not on disk yet: rows and checkpoint are those of a moment ago.
    conn.execute(
        "begin;
         update run.projections set position = position - 3 where model = 'transfers';
         delete from read.transfers where first_position > (select position - 3 from store.log_head);
         commit",
    )
    .await?;
    accepted(&submit(&executor, t, transfer(account(1), account(2), "0.01")?).await?)?;
    until(PATIENCE, caught_up).await?;
    let (rows, posted): (i64, i64) = sqlx::query_as(
        "select (select count(*) from read.transfers),
                (select count(*) from store.events where type = 'ledger.transfer-posted')",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(rows, posted, "transfers that the read model has, and that were posted");
    shutdown.cancel();
    projector.stopped().await;
    Ok(())
}
