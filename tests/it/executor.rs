//! The promises of the write path, each with a race that a missing guard loses.

mod ahead;
mod several_tenants;

use std::time::Duration;

use chrono::Utc;
use domain::ids::TransferId;
use domain::ledger::{PostHold, VoidHold};
use domain::money::Limit;
use event_store::{Linkage, SubmitError, Unit};
use futures_util::future::{join_all, try_join_all};
use sqlx::Executor as _;
use tests::database::{Database, cause, tenant};
use tests::ledger::{accepted, account, code, hold, key, open, set_up, submit, transfer};

type Test = anyhow::Result<()>;

/// The log is dense, versions are dense, the figures in the events agree with each other, nobody is below zero.
async fn check_log(database: &Database) -> Test {
    let mut conn = database.superuser().await?;
    let holes: i64 = sqlx::query_scalar(
        "select count(*) from (select position, row_number() over (order by position) n from store.events) x where position <> n",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(holes, 0, "positions are dense");
    let head: (i64, i64) =
        sqlx::query_as("select position, (select count(*) from store.events) from store.log_head")
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(head.0, head.1, "the head is the number of events");
    let versions: i64 = sqlx::query_scalar(
        "select count(*) from (select version, row_number() over
           (partition by tenant_id, category, stream_id order by version) n from store.stream_events) x where version <> n",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(versions, 0, "versions are dense in each stream");
    let inversions: i64 = sqlx::query_scalar(
        "select count(*) from (select position, lag(position) over
           (partition by tenant_id, category, stream_id order by version) p from store.stream_events) x where position <= p",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(inversions, 0, "a later version stands later in the log");
    let sequences: i64 = sqlx::query_scalar(
        "select count(*) from (select tenant_seq, row_number() over (partition by tenant_id order by position) n
           from store.events) x where tenant_seq <> n",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(sequences, 0, "tenant sequences are dense");
    let times: i64 = sqlx::query_scalar(
        "select count(*) from (select recorded_at, lag(recorded_at) over (order by position) p from store.events) x
         where recorded_at < p",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(times, 0, "times never fall");
    Ok(())
}

/// Every account's credits less debits, recomputed from the amounts of all legs and compared with the newest `after`.
async fn check_money(database: &Database) -> Test {
    let mut conn = database.superuser().await?;
    let wrong: i64 = sqlx::query_scalar(
        r#"with legs as (
             select e.tenant_id, e.position, e.type, l ->> 'account_id' account, l ->> 'side' side,
                    (l -> 'amount' ->> 'amount')::numeric amount, l -> 'after' after
             from store.events e cross join json_array_elements(e.payload -> 'legs') l
             where e.type in ('ledger.transfer-posted', 'ledger.hold-posted', 'ledger.transfer-reversed')),
           sums as (
             select tenant_id, account, sum(amount) filter (where side = 'debit') debits,
                    sum(amount) filter (where side = 'credit') credits, max(position) newest
             from legs group by 1, 2)
           select count(*) from sums s join legs l on l.position = s.newest and l.account = s.account
           where coalesce(s.debits, 0) <> coalesce((l.after ->> 'debits_posted')::numeric, 0)
              or coalesce(s.credits, 0) <> coalesce((l.after ->> 'credits_posted')::numeric, 0)"#,
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(wrong, 0, "the totals in the events are the sums of the legs");
    let unbalanced: i64 = sqlx::query_scalar(
        r#"select count(*) from (
             select e.position, sum(case when l ->> 'side' = 'debit' then 1 else -1 end
                                    * (l -> 'amount' ->> 'amount')::numeric) sum
             from store.events e cross join json_array_elements(e.payload -> 'legs') l group by 1) x where sum <> 0"#,
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(unbalanced, 0, "every posting sums to zero");
    Ok(())
}

async fn count(database: &Database, event_type: &str) -> anyhow::Result<i64> {
    let mut conn = database.superuser().await?;
    Ok(sqlx::query_scalar("select count(*) from store.events where type = $1")
        .bind(event_type)
        .fetch_one(&mut conn)
        .await?)
}

#[tokio::test]
async fn sixty_four_callers_on_one_account_all_succeed_and_the_next_is_refused() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 1, "64.00").await?;
    accepted(&submit(&executor, t, open(account(9), Limit::zero())?).await?)?;
    let calls = (0..64).map(|_| async {
        submit(&executor, t, transfer(account(1), account(9), "1.00")?).await.map_err(Into::into)
    });
    for receipt in join_all(calls).await {
        let receipt: anyhow::Result<_> = receipt;
        accepted(&receipt?)?;
    }
    let last = submit(&executor, t, transfer(account(1), account(9), "0.01")?).await?;
    assert_eq!(code(&last), Some("ledger.insufficient-funds"));
    check_log(&database).await?;
    check_money(&database).await
}

#[tokio::test]
async fn a_thousand_transfers_through_one_hot_account_are_exact() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 10, "1000.00").await?;
    accepted(&submit(&executor, t, open(account(99), Limit::zero())?).await?)?;
    let calls =
        (0..1000_u128).map(|n| {
            let executor = &executor;
            async move {
                anyhow::Ok(submit(executor, t, transfer(account(1 + n % 10), account(99), "0.10")?).await?)
            }
        });
    for receipt in join_all(calls).await {
        accepted(&receipt?)?;
    }
    assert_eq!(count(&database, "ledger.transfer-posted").await?, 1010);
    check_log(&database).await?;
    check_money(&database).await
}

#[tokio::test]
async fn two_processes_on_the_same_accounts_are_strictly_serializable() -> Test {
    let database = Database::fresh().await?;
    let (a, b) = (database.executor()?, database.executor()?);
    let t = tenant(1);
    set_up(&a, t, 4, "50.00").await?;
    // Each account can pay 50 times; both processes try 60 times each from each of four accounts.
    let calls = (0..480_u128).map(|n| {
        let executor = if n % 2 == 0 { &a } else { &b };
        let (from, to) = (account(1 + n % 4), account(0));
        async move { anyhow::Ok(submit(executor, t, transfer(from, to, "1.00")?).await?) }
    });
    let mut posted = 0;
    for receipt in join_all(calls).await {
        let receipt = receipt?;
        match code(&receipt) {
            None => posted += 1,
            Some(code) => assert_eq!(code, "ledger.insufficient-funds", "no caller sees a conflict"),
        }
    }
    assert_eq!(posted, 200, "exactly what was there was paid");
    check_log(&database).await?;
    check_money(&database).await
}

#[tokio::test]
async fn a_refusal_of_one_process_rests_on_what_the_other_committed() -> Test {
    let database = Database::fresh().await?;
    let (a, b) = (database.executor()?, database.executor()?);
    let t = tenant(1);
    set_up(&a, t, 2, "5.00").await?;
    // B learns that account 1 has 5.00, A then fills it up: a stale cache would refuse.
    let poor = submit(&b, t, transfer(account(1), account(2), "6.00")?).await?;
    assert_eq!(code(&poor), Some("ledger.insufficient-funds"));
    accepted(&submit(&a, t, transfer(account(0), account(1), "1.00")?).await?)?;
    accepted(&submit(&b, t, transfer(account(1), account(2), "6.00")?).await?)?;
    // And the other way round: A empties what B remembers as full.
    accepted(&submit(&a, t, transfer(account(2), account(0), "11.00")?).await?)?;
    let empty = submit(&b, t, transfer(account(2), account(1), "1.00")?).await?;
    assert_eq!(code(&empty), Some("ledger.insufficient-funds"));
    check_money(&database).await
}

#[tokio::test]
async fn sixty_four_copies_of_one_request_have_one_effect_and_one_answer() -> Test {
    let database = Database::fresh().await?;
    let (a, b) = (database.executor()?, database.executor()?);
    let t = tenant(1);
    set_up(&a, t, 2, "100.00").await?;
    let calls = (0..64).map(|n| {
        let executor = if n % 2 == 0 { &a } else { &b };
        async move {
            let unit = Unit::new(t, cause(), transfer(account(1), account(2), "7.00")?);
            anyhow::Ok(executor.submit(unit.with_key(key("one", "same")?)).await?)
        }
    });
    let receipts: Vec<_> = join_all(calls).await.into_iter().collect::<Result<_, _>>()?;
    let first = receipts.iter().find(|it| !it.replayed).expect("one of them was the first");
    assert_eq!(receipts.iter().filter(|it| !it.replayed).count(), 1);
    for receipt in &receipts {
        assert_eq!((&receipt.results, receipt.position), (&first.results, first.position));
    }
    assert_eq!(count(&database, "ledger.transfer-posted").await?, 3);
    let other =
        Unit::new(t, cause(), transfer(account(1), account(2), "8.00")?).with_key(key("one", "other")?);
    assert_eq!(a.submit(other).await, Err(SubmitError::KeyReused));
    // The same key in another tenant is another key.
    let stranger = Unit::new(tenant(2), cause(), open(account(1), Limit::zero())?).with_key(key("one", "x")?);
    accepted(&a.submit(stranger).await?)?;
    check_money(&database).await
}

#[tokio::test]
async fn a_stored_refusal_does_not_flip_when_the_money_arrives() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 2, "1.00").await?;
    let request = || {
        anyhow::Ok(Unit::new(t, cause(), transfer(account(1), account(2), "5.00")?).with_key(key("k", "r")?))
    };
    let refused = executor.submit(request()?).await?;
    assert_eq!(code(&refused), Some("ledger.insufficient-funds"));
    accepted(&submit(&executor, t, transfer(account(0), account(1), "100.00")?).await?)?;
    let again = executor.submit(request()?).await?;
    assert!(again.replayed);
    assert_eq!(again.results, refused.results);
    // What was not found is judged anew.
    let missing = || {
        anyhow::Ok(Unit::new(t, cause(), transfer(account(1), account(7), "1.00")?).with_key(key("m", "r")?))
    };
    assert_eq!(code(&executor.submit(missing()?).await?), Some("ledger.account-not-found"));
    accepted(&submit(&executor, t, open(account(7), Limit::zero())?).await?)?;
    accepted(&executor.submit(missing()?).await?)
}

#[tokio::test]
async fn keys_hold_after_a_restart() -> Test {
    let database = Database::fresh().await?;
    let t = tenant(1);
    let request = || {
        anyhow::Ok(Unit::new(t, cause(), transfer(account(1), account(2), "5.00")?).with_key(key("k", "r")?))
    };
    let first = {
        let executor = database.executor()?;
        set_up(&executor, t, 2, "10.00").await?;
        executor.submit(request()?).await?
    };
    let executor = database.executor()?;
    let again = executor.submit(request()?).await?;
    assert!(again.replayed);
    assert_eq!((again.results, again.position), (first.results, first.position));
    Ok(())
}

#[tokio::test]
async fn linked_commands_all_happen_or_none() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 3, "10.00").await?;
    let before = count(&database, "ledger.transfer-posted").await?;
    let decisions = |last: &str| -> anyhow::Result<Vec<Box<dyn domain::Decision>>> {
        Ok(vec![
            Box::new(transfer(account(1), account(2), "10.00")?),
            // Only possible since the one before it was judged first.
            Box::new(transfer(account(2), account(3), "20.00")?),
            Box::new(transfer(account(1), account(3), last)?),
        ])
    };
    let unit = |linkage, last| anyhow::Ok(Unit { linkage, ..Unit::of(t, cause(), decisions(last)?) });
    let refused = executor.submit(unit(Linkage::AllOrNone, "0.01")?).await?;
    let codes: Vec<_> =
        refused.results.iter().map(|it| it.as_ref().err().map(|it| it.code.as_ref())).collect();
    assert_eq!(
        codes,
        [Some("batch.not-applied"), Some("batch.not-applied"), Some("ledger.insufficient-funds")]
    );
    assert_eq!(count(&database, "ledger.transfer-posted").await?, before, "nothing of it happened");
    let each = executor.submit(unit(Linkage::Each, "0.01")?).await?;
    assert_eq!(each.results.iter().filter(|it| it.is_ok()).count(), 2);
    assert_eq!(count(&database, "ledger.transfer-posted").await?, before + 2);
    check_log(&database).await?;
    check_money(&database).await
}

#[tokio::test]
async fn an_expected_version_is_judged_at_the_head() -> Test {
    let database = Database::fresh().await?;
    let (a, b) = (database.executor()?, database.executor()?);
    let t = tenant(1);
    set_up(&a, t, 1, "10.00").await?;
    let freeze =
        domain::ledger::FreezeAccount { account_id: account(1), side: domain::ledger::Frozen::Debits };
    let stream = domain::ledger::account::stream(account(1));
    let stale = Unit::new(t, cause(), freeze).expecting(Some((stream, 1)));
    assert_eq!(code(&b.submit(stale).await?), Some("precondition.version-mismatch"));
    let current = Unit::new(t, cause(), freeze).expecting(Some((stream, 2)));
    accepted(&b.submit(current).await?)
}

#[tokio::test]
async fn a_command_that_meets_a_due_hold_records_its_expiry_first() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 2, "10.00").await?;
    let held = hold(account(1), account(2), "10.00", Some(1))?;
    accepted(&submit(&executor, t, held.clone()).await?)?;
    assert_eq!(
        code(&submit(&executor, t, transfer(account(1), account(2), "1.00")?).await?),
        Some("ledger.insufficient-funds")
    );
    let due = Utc::now() + chrono::TimeDelta::milliseconds(1100);
    tests::until(Duration::from_secs(5), || async { Ok(Utc::now() > due) }).await?;
    accepted(&submit(&executor, t, transfer(account(1), account(2), "10.00")?).await?)?;
    assert_eq!(count(&database, "ledger.hold-expired").await?, 1);
    // Another process, which never saw the hold, agrees.
    let other = database.executor()?;
    let late =
        submit(&other, t, PostHold { transfer_id: held.transfer_id, amount: None, effective_at: None })
            .await?;
    assert_eq!(code(&late), Some("ledger.hold-already-expired"));
    check_money(&database).await
}

#[tokio::test]
async fn a_hold_is_resolved_once_by_many() -> Test {
    let database = Database::fresh().await?;
    let (a, b) = (database.executor()?, database.executor()?);
    let t = tenant(1);
    set_up(&a, t, 2, "10.00").await?;
    let held = hold(account(1), account(2), "10.00", Some(3600))?;
    let transfer_id: TransferId = held.transfer_id;
    accepted(&submit(&a, t, held).await?)?;
    let calls = (0..32).map(|n| {
        let executor = if n % 2 == 0 { &a } else { &b };
        async move {
            if n % 4 < 2 {
                submit(executor, t, PostHold { transfer_id, amount: None, effective_at: None }).await
            } else {
                submit(executor, t, VoidHold { transfer_id }).await
            }
        }
    });
    let receipts: Vec<_> = join_all(calls).await.into_iter().collect::<Result<_, _>>()?;
    assert_eq!(receipts.iter().filter(|it| code(it).is_none()).count(), 1);
    check_log(&database).await?;
    check_money(&database).await
}

#[tokio::test]
async fn a_claimed_value_is_held_by_one() -> Test {
    let database = Database::fresh().await?;
    let (a, b) = (database.executor()?, database.executor()?);
    let calls = (0..16_u128).map(|n| {
        let executor = if n % 2 == 0 { &a } else { &b };
        async move {
            let decision = domain::organisation::CreateTenant {
                tenant_id: tenant(n),
                slug: domain::organisation::Slug::parse("the-shop")?,
                name: domain::metadata::Label::parse("The shop")?,
            };
            anyhow::Ok(submit(executor, domain::ids::TenantId::PLATFORM, decision).await?)
        }
    });
    let receipts: Vec<_> = join_all(calls).await.into_iter().collect::<Result<_, _>>()?;
    assert_eq!(receipts.iter().filter(|it| code(it).is_none()).count(), 1);
    assert_eq!(receipts.iter().filter(|it| code(it) == Some("organisation.slug-taken")).count(), 15);
    check_log(&database).await
}

#[tokio::test]
async fn a_stalled_writer_does_not_stop_the_others() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 2, "10.00").await?;
    // Somebody takes the head as a writer would and then freezes; the server gives up on it after a second.
    let mut frozen =
        sqlx::ConnectOptions::connect(&event_store::connect::writer(database.options("quipu_command")?))
            .await?;
    frozen.execute("begin").await?;
    frozen.execute("select from store.hold_head('{}')").await?;
    let begun = std::time::Instant::now();
    accepted(&submit(&executor, t, transfer(account(1), account(2), "1.00")?).await?)?;
    assert!(begun.elapsed() < Duration::from_secs(4));
    check_log(&database).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_misses_nothing_beside_six_writers_rollbacks_and_a_stalled_transaction() -> Test {
    let database = Database::fresh().await?;
    let t = tenant(1);
    set_up(&database.executor()?, t, 4, "1000.00").await?;
    let writers = (0..6_u128).map(|writer| {
        let executor = database.executor();
        async move {
            let executor = executor?;
            for n in 0..60 {
                let decision = transfer(account(1 + (writer + n) % 4), account(0), "0.01")?;
                accepted(&submit(&executor, t, decision).await?)?;
            }
            anyhow::Ok(())
        }
    });
    let disturbance = async {
        let options = event_store::connect::writer(database.options("quipu_command")?);
        let mut conn = sqlx::ConnectOptions::connect(&options).await?;
        for _ in 0..40 {
            conn.execute("begin").await?;
            conn.execute("select from store.hold_head('{}')").await?;
            conn.execute("insert into store.log_marks select position + 7, recorded_at from store.log_head")
                .await?;
            conn.execute("rollback").await?;
        }
        // And one that stalls with the head in its hands, until the server gives it up.
        conn.execute("begin").await?;
        conn.execute("select from store.hold_head('{}')").await?;
        anyhow::Ok(conn)
    };
    let reader = async {
        let mut conn = sqlx::ConnectOptions::connect(&database.options("quipu_projector")?).await?;
        let (mut read, last) = (Vec::new(), 9 + 360);
        while read.len() < last {
            let position = i64::try_from(read.len())?;
            // A hole in what it sees would be an error.
            read.extend(
                event_store::log::after(&mut conn, position, 50).await?.into_iter().map(|it| it.event_id),
            );
        }
        anyhow::Ok(read)
    };
    // Whoever fails ends it: without all of the events the reader would read on for ever.
    let (_, _stalled, read) = tokio::try_join!(try_join_all(writers), disturbance, reader)?;
    let mut conn = database.superuser().await?;
    let stored: Vec<uuid::Uuid> = sqlx::query_scalar("select event_id from store.events order by position")
        .fetch_all(&mut conn)
        .await?;
    assert_eq!(read, stored, "every event once, in the order of the log");
    check_log(&database).await?;
    check_money(&database).await
}

#[tokio::test]
async fn a_killed_connection_loses_and_doubles_nothing() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 2, "1000.00").await?;
    let kill = async {
        let mut conn = database.superuser().await?;
        for _ in 0..20 {
            conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'quipu-writer'").await?;
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    let calls = join_all((0..400).map(|n| {
        let executor = &executor;
        async move {
            let unit = Unit::new(t, cause(), transfer(account(1), account(2), "1.00")?);
            anyhow::Ok(executor.submit(unit.with_key(key(&n.to_string(), "r")?)).await?)
        }
    }));
    let (killed, receipts) = tokio::join!(kill, calls);
    killed?;
    for receipt in receipts {
        accepted(&receipt?)?;
    }
    assert_eq!(count(&database, "ledger.transfer-posted").await?, 402);
    check_log(&database).await?;
    check_money(&database).await
}

#[tokio::test]
async fn a_full_queue_is_refused_and_not_waited_for() -> Test {
    let database = Database::fresh().await?;
    let options = event_store::ExecutorOptions { queue_max: 4, ..database.executor_options()? };
    let (executor, _task) = event_store::Executor::start(options);
    let t = tenant(1);
    set_up(&executor, t, 2, "1000.00").await?;
    let calls = (0..200)
        .map(|_| async { anyhow::Ok(submit(&executor, t, transfer(account(1), account(2), "1.00")?).await) });
    let outcomes: Vec<_> = join_all(calls).await.into_iter().collect::<Result<_, _>>()?;
    assert!(outcomes.contains(&Err(SubmitError::Overloaded)));
    let posted = outcomes.iter().filter(|it| it.is_ok()).count();
    assert_eq!(count(&database, "ledger.transfer-posted").await?, 2 + i64::try_from(posted)?);
    Ok(())
}

#[tokio::test]
async fn an_account_with_many_postings_loads_cold_from_its_newest_event() -> Test {
    let database = Database::fresh().await?;
    let t = tenant(1);
    {
        let executor = database.executor()?;
        set_up(&executor, t, 2, "1000.00").await?;
        let units = (0..2000).map(|_| Ok(Unit::new(t, cause(), transfer(account(1), account(2), "0.01")?)));
        for outcome in executor.submit_all(t, units.collect::<anyhow::Result<_>>()?).await {
            accepted(&outcome?)?;
        }
    }
    let executor = database.executor()?;
    let refused = submit(&executor, t, transfer(account(1), account(2), "980.01")?).await?;
    let refusal = refused.results.first().and_then(|it| it.as_ref().err()).expect("there is not that much");
    assert_eq!(refusal.details.get("available").map(String::as_str), Some("980.00"));
    accepted(&submit(&executor, t, transfer(account(1), account(2), "980.00")?).await?)
}

#[tokio::test]
async fn a_batch_that_meets_an_unreadable_stream_leaves_nothing_behind() -> Test {
    let database = Database::fresh().await?;
    let t = tenant(1);
    set_up(&database.executor()?, t, 3, "10.00").await?;
    // A newer build wrote to account 3.
    let mut conn = database.superuser().await?;
    conn.execute("set session_replication_role = replica; update store.events set schema_version = 9 where position = (select position from store.log_head)").await?;
    let executor = database.executor()?;
    let decisions: Vec<Box<dyn domain::Decision>> = vec![
        Box::new(transfer(account(1), account(2), "1.00")?),
        Box::new(transfer(account(1), account(3), "1.00")?),
    ];
    let unit = Unit { key: Some(key("b", "r")?), linkage: Linkage::Each, ..Unit::of(t, cause(), decisions) };
    assert_eq!(executor.submit(unit).await, Err(SubmitError::NewerEvent));
    assert_eq!(count(&database, "ledger.transfer-posted").await?, 3, "its first item did not happen either");
    Ok(())
}

#[tokio::test]
async fn a_decision_older_than_the_newest_event_is_judged_again() -> Test {
    let database = Database::fresh().await?;
    let (a, b) = (database.executor()?, database.executor()?);
    let t = tenant(1);
    set_up(&a, t, 2, "10.00").await?;
    accepted(&submit(&b, t, transfer(account(1), account(2), "1.00")?).await?)?;
    // Another process, whose clock is ahead, posts with its own time and answers.
    let mut conn = database.superuser().await?;
    conn.execute("set session_replication_role = replica").await?;
    conn.execute(
        "update store.log_marks set recorded_at = clock_timestamp() + interval '2 seconds'
         where position = (select position from store.log_head)",
    )
    .await?;
    let ahead = database.executor()?;
    let posted = transfer(account(1), account(2), "2.00")?;
    let transfer_id = posted.transfer_id;
    accepted(&submit(&ahead, t, posted).await?)?;
    // Its caller reverses it through a process whose clock is behind.
    let reversal_id = TransferId::new(uuid::Uuid::now_v7());
    let reverse =
        domain::ledger::ReverseTransfer { transfer_id, reversal_id, amount: None, effective_at: None };
    accepted(&submit(&a, t, reverse).await?)?;
    check_log(&database).await
}

#[tokio::test]
async fn two_copies_of_a_key_beside_a_taken_value_get_one_answer() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = domain::ids::TenantId::PLATFORM;
    let create = |n: u128, slug: &str| {
        anyhow::Ok(domain::organisation::CreateTenant {
            tenant_id: tenant(n),
            slug: domain::organisation::Slug::parse(slug)?,
            name: domain::metadata::Label::parse("A shop")?,
        })
    };
    accepted(&submit(&executor, t, create(1, "taken")?).await?)?;
    let unit = |n: u128, slug: &str, name: &str| {
        anyhow::Ok(Unit::new(t, cause(), create(n, slug)?).with_key(key(name, name)?))
    };
    let units = vec![unit(2, "taken", "a")?, unit(3, "free", "b")?, unit(3, "free", "b")?];
    let outcomes: Vec<_> = executor.submit_all(t, units).await.into_iter().collect::<Result<_, _>>()?;
    assert_eq!(code(&outcomes[0]), Some("organisation.slug-taken"));
    assert_eq!(outcomes[1].results, outcomes[2].results);
    assert!(outcomes[2].replayed);
    check_log(&database).await
}
