//! Followers of the log: they see every event once, in order, whoever else is there and whatever breaks.

use std::time::Duration;

use chrono::Utc;
use domain::ledger::PostHold;
use event_store::{MasterKey, Unit};
use projector::{Projector, ProjectorOptions, ReactorOptions, Timing};
use sqlx::Executor as _;
use tests::database::{Database, cause, execute, master_key, tenant};
use tests::ledger::{accepted, account, code, hold, set_up, submit, transfer};
use tests::until;
use tokio_util::sync::CancellationToken;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);

fn quick() -> Timing {
    Timing {
        lease: Duration::from_millis(800),
        poll: Duration::from_millis(20),
        tick: Duration::from_millis(50),
        retry_min: Duration::from_millis(100),
        recheck: Duration::from_millis(100),
    }
}

fn options(database: &Database, shutdown: &CancellationToken) -> anyhow::Result<ProjectorOptions> {
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    Ok(ProjectorOptions { timing: quick(), connections_max: 12, ..options })
}

fn with_reactor(options: ProjectorOptions, database: &Database) -> anyhow::Result<ProjectorOptions> {
    let master: std::sync::Arc<MasterKey> = master_key()?;
    let reactor = ReactorOptions::new(database.options("quipu_reactor")?, master);
    Ok(ProjectorOptions { reactor: Some(reactor), ..options })
}

async fn caught_up(database: &Database) -> Test {
    until(PATIENCE, || async {
        let mut conn = database.superuser().await?;
        let behind: Option<i64> = sqlx::query_scalar(
            "select (select position from store.log_head) - min(position) from run.projections having count(*) >= 6",
        )
        .fetch_optional(&mut conn)
        .await?;
        Ok(behind == Some(0))
    })
    .await
}

/// The read models against the log: figures of every account, entries, transfers and totals.
pub(crate) async fn agrees(database: &Database) -> Test {
    let mut conn = database.superuser().await?;
    let accounts: i64 = sqlx::query_scalar(
        r#"with newest as (
             select distinct on (e.tenant_id, l ->> 'account_id') e.tenant_id, (l ->> 'account_id')::uuid account_id, l -> 'after' after
             from store.events e cross join json_array_elements(e.payload -> 'legs') l
             order by e.tenant_id, l ->> 'account_id', e.position desc)
           select count(*) from newest n left join read.accounts a using (tenant_id, account_id)
           where a.account_id is null
              or a.debits_posted <> coalesce((n.after ->> 'debits_posted')::numeric, 0)
              or a.credits_posted <> coalesce((n.after ->> 'credits_posted')::numeric, 0)
              or a.debits_pending <> coalesce((n.after ->> 'debits_pending')::numeric, 0)
              or a.credits_pending <> coalesce((n.after ->> 'credits_pending')::numeric, 0)
              or a.version <> (n.after ->> 'version')::bigint"#,
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(accounts, 0, "accounts are what the newest events say");
    let entries: (i64, i64) = sqlx::query_as(
        "select (select count(*) from read.account_entries),
                (select count(*) from store.events e cross join json_array_elements(e.payload -> 'legs') l)",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(entries.0, entries.1, "one entry a leg");
    let totals: i64 = sqlx::query_scalar(
        "with sums as (select tenant_id, currency, sum(debits_posted) d, sum(credits_posted) c from read.accounts group by 1, 2)
         select count(*) from sums s left join read.trial_balance t using (tenant_id, currency)
         where t.debits_posted is distinct from s.d or t.credits_posted is distinct from s.c",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(totals, 0, "totals are the sums of the accounts");
    let index: (i64, i64) =
        sqlx::query_as("select (select count(*) from read.event_index), (select count(*) from store.events)")
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(index.0, index.1, "every event is indexed once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_follow_the_log_while_it_grows() -> Test {
    let database = Database::fresh().await?;
    let shutdown = CancellationToken::new();
    let projector = Projector::start(options(&database, &shutdown)?);
    let executor = database.executor()?;
    for n in 1..=2 {
        set_up(&executor, tenant(n), 4, "100.00").await?;
        let units = (0..300_u128)
            .map(|i| Ok(Unit::new(tenant(n), cause(), transfer(account(1 + i % 4), account(0), "0.10")?)));
        for outcome in executor.submit_all(tenant(n), units.collect::<anyhow::Result<_>>()?).await {
            accepted(&outcome?)?;
        }
        let held = hold(account(1), account(2), "5.00", Some(600))?;
        let transfer_id = held.transfer_id;
        accepted(&submit(&executor, tenant(n), held).await?)?;
        let capture = PostHold { transfer_id, amount: Some(tests::ledger::eur("3.00")?), effective_at: None };
        accepted(&submit(&executor, tenant(n), capture).await?)?;
    }
    caught_up(&database).await?;
    agrees(&database).await?;
    shutdown.cancel();
    projector.stopped().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_projectors_share_the_work_and_a_frozen_one_writes_nothing() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 2, "1000.00").await?;
    let shutdowns: Vec<CancellationToken> = (0..3).map(|_| CancellationToken::new()).collect();
    let _projectors: Vec<Projector> = shutdowns
        .iter()
        .map(|it| Ok(Projector::start(options(&database, it)?)))
        .collect::<anyhow::Result<_>>()?;
    caught_up(&database).await?;
    // Somebody who led before and was frozen past its lease: its epoch is not the row's any more.
    let mut conn = database.superuser().await?;
    for round in 0..5 {
        conn.execute("update run.projections set lease_epoch = lease_epoch + 1, lease_owner = 'a stranger', lease_until = '-infinity'").await?;
        let units =
            (0..100).map(|_| Ok(Unit::new(tenant(1), cause(), transfer(account(1), account(2), "0.01")?)));
        for outcome in executor.submit_all(tenant(1), units.collect::<anyhow::Result<_>>()?).await {
            accepted(&outcome?)?;
        }
        caught_up(&database).await?;
        agrees(&database).await.map_err(|error| error.context(format!("round {round}")))?;
    }
    // One that ends without a word is replaced.
    shutdowns[0].cancel();
    accepted(&submit(&executor, tenant(1), transfer(account(1), account(2), "0.01")?).await?)?;
    caught_up(&database).await?;
    agrees(&database).await?;
    shutdowns.iter().for_each(CancellationToken::cancel);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_event_parks_its_partition_and_nothing_else() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 3, "10.00").await?;
    accepted(&submit(&executor, t, transfer(account(1), account(2), "1.00")?).await?)?;
    // Damage below the product: the newest transfer does not fit its schema any more.
    let mut conn = database.superuser().await?;
    let whole: String =
        sqlx::query_scalar("select payload::text from store.events order by position desc limit 1")
            .fetch_one(&mut conn)
            .await?;
    let damage = |payload: &str| {
        format!(
            "set session_replication_role = replica; update store.events set payload = '{payload}'
         where position = (select position from store.log_head)"
        )
    };
    execute(&mut conn, damage(r#"{"legs": 7}"#)).await?;
    let shutdown = CancellationToken::new();
    let _projector = Projector::start(options(&database, &shutdown)?);
    caught_up(&database).await?;
    let parked: Vec<(String, uuid::Uuid)> =
        sqlx::query_as("select model, partition from run.parked order by 1, 2").fetch_all(&mut conn).await?;
    assert!(parked.contains(&("accounts".to_owned(), account(1).uuid())), "{parked:?}");
    assert!(parked.contains(&("accounts".to_owned(), account(2).uuid())), "{parked:?}");
    assert!(!parked.iter().any(|(_, partition)| *partition == account(3).uuid()), "others flow");
    // Later events of a parked partition queue behind it; other partitions go on.
    let executor = database.executor()?;
    let position: i64 =
        sqlx::query_scalar("select position from store.log_head").fetch_one(&mut conn).await?;
    accepted(&submit(&executor, t, transfer(account(3), account(0), "1.00")?).await?)?;
    caught_up(&database).await?;
    let three: rust_decimal::Decimal =
        sqlx::query_scalar("select balance from read.accounts where account_id = $1")
            .bind(account(3).uuid())
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(three.to_string(), "9.0000");
    // After the repair each partition catches up by itself.
    let repair = format!(
        "set session_replication_role = replica; update store.events set payload = '{}' where position = {position}",
        whole.replace('\'', "''")
    );
    execute(&mut conn, repair).await?;
    until(PATIENCE, || async {
        let mut conn = database.superuser().await?;
        let left: i64 = sqlx::query_scalar("select count(*) from run.parked").fetch_one(&mut conn).await?;
        Ok(left == 0)
    })
    .await?;
    agrees(&database).await?;
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_newer_build_is_held_and_not_skipped() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 2, "10.00").await?;
    accepted(&submit(&executor, t, transfer(account(1), account(2), "1.00")?).await?)?;
    let mut conn = database.superuser().await?;
    let newest = "where position = (select position from store.log_head)";
    execute(
        &mut conn,
        format!(
            "set session_replication_role = replica; update store.events set schema_version = 9 {newest}"
        ),
    )
    .await?;
    let shutdown = CancellationToken::new();
    let projector = Projector::start(options(&database, &shutdown)?);
    until(PATIENCE, || async {
        Ok(projector.status().iter().any(|it| it.name == "accounts" && it.state == projector::State::Held))
    })
    .await
    .map_err(|error| error.context(format!("{:?}", projector.status())))?;
    let fresh = database.executor()?;
    assert_eq!(
        submit(&fresh, t, transfer(account(1), account(2), "1.00")?).await,
        Err(event_store::SubmitError::NewerEvent),
        "commands refuse, too"
    );
    shutdown.cancel();
    projector.stopped().await;
    // The newer build comes; to it the event is of today.
    execute(&mut conn, format!("update store.events set schema_version = 1 {newest}")).await?;
    let shutdown = CancellationToken::new();
    let _newer = Projector::start(options(&database, &shutdown)?);
    caught_up(&database).await?;
    agrees(&database).await?;
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn due_holds_expire_without_anybody_asking() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 2, "10.00").await?;
    for _ in 0..5 {
        accepted(&submit(&executor, t, hold(account(1), account(2), "2.00", Some(1))?).await?)?;
    }
    let kept = hold(account(2), account(1), "1.00", Some(3600))?;
    accepted(&submit(&executor, t, kept).await?)?;
    let shutdown = CancellationToken::new();
    let first = Projector::start(with_reactor(options(&database, &shutdown)?, &database)?);
    let _second = Projector::start(with_reactor(options(&database, &shutdown)?, &database)?);
    until(PATIENCE, || async {
        let mut conn = database.superuser().await?;
        let expired: i64 =
            sqlx::query_scalar("select count(*) from store.events where type = 'ledger.hold-expired'")
                .fetch_one(&mut conn)
                .await?;
        Ok(expired == 5)
    })
    .await?;
    caught_up(&database).await?;
    let mut conn = database.superuser().await?;
    let left: i64 = sqlx::query_scalar("select count(*) from run.deadlines").fetch_one(&mut conn).await?;
    assert_eq!(left, 1, "the hold that is not due");
    let (pending, at): (rust_decimal::Decimal, chrono::DateTime<Utc>) =
        sqlx::query_as("select debits_pending, changed_at from read.accounts where account_id = $1")
            .bind(account(1).uuid())
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(pending.normalize().to_string(), "0", "free again at {at}");
    accepted(&submit(&executor, t, transfer(account(1), account(2), "10.00")?).await?)?;
    caught_up(&database).await?;
    agrees(&database).await?;
    shutdown.cancel();
    first.stopped().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_another_history_is_refused() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 1, "10.00").await?;
    let shutdown = CancellationToken::new();
    let first = Projector::start(options(&database, &shutdown)?);
    caught_up(&database).await?;
    shutdown.cancel();
    first.stopped().await;
    let mut conn = database.superuser().await?;
    event_store::epoch::accept_timeline(&mut conn, true).await?;
    let shutdown = CancellationToken::new();
    let projector = Projector::start(options(&database, &shutdown)?);
    until(PATIENCE, || async {
        Ok(projector.status().iter().any(|it| it.name == "accounts" && it.state == projector::State::Stopped))
    })
    .await?;
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_elsewhere_hides_nothing_and_stops_nobody() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 2, "10.00").await?;
    let shutdown = CancellationToken::new();
    let _projector = Projector::start(options(&database, &shutdown)?);
    // A transaction that has an id and stays open, and writers that roll back between the others.
    let mut idle = database.superuser().await?;
    idle.execute("begin").await?;
    idle.execute("select txid_current()").await?;
    for n in 0..20 {
        accepted(&submit(&executor, t, transfer(account(1), account(2), "0.01")?).await?)?;
        let mut conn = sqlx::ConnectOptions::connect(&database.options("quipu_command")?).await?;
        conn.execute("begin").await?;
        conn.execute("insert into store.log_marks select position + 1, recorded_at from store.log_head")
            .await?;
        conn.execute("rollback").await?;
        assert_eq!(
            code(&submit(&executor, t, transfer(account(1), account(2), "99.00")?).await?),
            Some("ledger.insufficient-funds"),
            "{n}"
        );
    }
    caught_up(&database).await?;
    agrees(&database).await?;
    shutdown.cancel();
    Ok(())
}
