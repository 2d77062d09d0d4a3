//! A rebuild that is killed, cancelled, raced for, restored under, or that meets events which it cannot take.

use projector::rebuild::RebuildState;
use projector::{ReactorOptions, State};
use tests::database::{execute, master_key};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_in_any_phase_is_gone_on_with() -> Test {
    let database = Database::fresh().await?;
    fill(&database.executor()?, 1_500).await?;
    let (_projector, shutdown) = projector(&database, quick())?;
    caught_up(&database).await?;
    let before = digests(&database).await?;
    let rebuilder = rebuilder(&database)?;
    for model in ["transfers", "account_entries", "trial_balance", "event_index"] {
        for phase in [Phase::Building, Phase::Building, Phase::Indexing, Phase::CatchingUp, Phase::Comparing]
        {
            let (task, _) = come_to(&rebuilder, model, small(), phase).await?;
            task.abort();
            // If it was quicker than the blow, it has done its work; else its lease is still there, and runs out.
            drop(task.await);
            until(PATIENCE, || async {
                let row = rebuilder.list().await?.into_iter().find(|it| it.model == model);
                Ok(row.is_some_and(|it| it.lease_owner.is_none()))
            })
            .await?;
        }
        // In the middle of the swap: a reader holds it up.
        let mut conn = database.superuser().await?;
        execute(&mut conn, "begin".to_owned()).await?;
        execute(&mut conn, format!("lock table read.{model} in access share mode")).await?;
        let (task, _) = come_to(&rebuilder, model, small(), Phase::Swapping).await?;
        task.abort();
        drop(task.await);
        execute(&mut conn, "rollback".to_owned()).await?;
        let outcome = loop {
            match rebuilder.rebuild(model, &small(), &Control::default()).await {
                Err(RebuildError::Running { .. }) => tokio::task::yield_now().await,
                other => break other?,
            }
        };
        assert_eq!(outcome.state, RebuildState::Swapped, "{model}");
        assert!(outcome.comparison.expect("it was compared").is_equal(), "{model}");
    }
    assert_eq!(digests(&database).await?, before);
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_connections_are_cut_is_gone_on_with() -> Test {
    let database = Database::fresh().await?;
    fill(&database.executor()?, 1_500).await?;
    let (_projector, shutdown) = projector(&database, quick())?;
    caught_up(&database).await?;
    let before = digests(&database).await?;
    let rebuilder = rebuilder(&database)?;
    let (stop, name) = (CancellationToken::new(), database.options("quipu_projector")?);
    let name = name.get_database().unwrap_or_default().to_owned();
    let cutting = tokio::spawn({
        let (stop, mut conn) = (stop.clone(), database.superuser().await?);
        async move {
            let mut cut = 0;
            while !stop.is_cancelled() {
                let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                           where datname = $1 and usename = 'quipu_projector' and state <> 'idle'";
                cut += sqlx::query_scalar::<_, i64>(sql).bind(&name).fetch_one(&mut conn).await?;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            anyhow::Ok(cut)
        }
    });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let mut failed = 0;
    while tokio::time::Instant::now() < deadline {
        match rebuilder.rebuild("transfers", &small(), &Control::default()).await {
            Ok(_) => {}
            Err(RebuildError::Database(_) | RebuildError::Running { .. } | RebuildError::Fenced) => {
                failed += 1
            }
            Err(other) => return Err(other.into()),
        }
    }
    stop.cancel();
    assert!(cutting.await?? > 0 && failed > 0, "something was cut");
    until(PATIENCE, || async {
        match rebuilder.rebuild("transfers", &small(), &Control::default()).await {
            Ok(outcome) => Ok(outcome.comparison.is_some_and(|it| it.is_equal())),
            Err(RebuildError::Running { .. } | RebuildError::Database(_)) => Ok(false),
            Err(other) => Err(other.into()),
        }
    })
    .await?;
    caught_up(&database).await?;
    assert_eq!(digests(&database).await?, before);
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_one_works_and_a_cancel_leaves_nothing_of_it() -> Test {
    let database = Database::fresh().await?;
    fill(&database.executor()?, 1_500).await?;
    let (_projector, shutdown) = projector(&database, quick())?;
    caught_up(&database).await?;
    let before = digests(&database).await?;
    let (one, other) = (rebuilder(&database)?, rebuilder(&database)?);
    // So slow that it is certainly still at work.
    let slow = Options { share: 1, ..small() };
    let (task, _) = come_to(&one, "transfers", slow.clone(), Phase::Building).await?;
    let refused = other.rebuild("transfers", &small(), &Control::default()).await;
    assert!(matches!(refused, Err(RebuildError::Running { .. })), "{refused:?}");
    // Whoever is told to stop leaves it to be gone on with.
    let (stopped, control) = come_to(&other, "account_entries", slow, Phase::Building).await?;
    control.stop.cancel();
    assert!(matches!(stopped.await?, Err(RebuildError::Stopped)));
    assert!(beside(&database).await?.contains(&"read_next_account_entries".to_owned()));
    assert!(other.cancel("transfers").await? && other.cancel("account_entries").await?);
    assert_eq!(beside(&database).await?, Vec::<String>::new());
    let fenced = task.await?;
    assert!(matches!(fenced, Err(RebuildError::Fenced)), "{fenced:?}");
    assert_eq!(beside(&database).await?, Vec::<String>::new(), "and nothing comes after it");
    assert!(!other.cancel("transfers").await?);
    assert!(other.list().await?.iter().all(|it| it.state == RebuildState::Cancelled));
    // Many at once: each model is swapped as often as somebody had it, and never by two.
    let racers = (0..4).map(|_| {
        let database = &database;
        async move {
            rebuilder(database)?
                .rebuild("tenants", &small(), &Control::default())
                .await
                .map_err(anyhow::Error::from)
        }
    });
    let ends = futures_util::future::join_all(racers).await;
    assert!(ends.iter().any(Result::is_ok), "{ends:?}");
    for error in ends.iter().filter_map(|it| it.as_ref().err()) {
        assert!(matches!(error.downcast_ref(), Some(RebuildError::Running { .. })), "{error:?}");
    }
    assert_eq!(digests(&database).await?, before);
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_frozen_past_its_lease_writes_nothing_more() -> Test {
    let database = Database::fresh().await?;
    fill(&database.executor()?, 1_500).await?;
    let (_projector, shutdown) = projector(&database, quick())?;
    caught_up(&database).await?;
    let before = digests(&database).await?;
    // It does not look at its lease while the test lasts: only its writes find out.
    let blind = Options { lease: Duration::from_secs(300), ..small() };
    for round in 0..6 {
        let (one, other) = (rebuilder(&database)?, rebuilder(&database)?);
        let (frozen, _) = come_to(&one, "transfers", blind.clone(), Phase::Building).await?;
        superuser(&database, "update run.rebuilds set lease_until = '-infinity'").await?;
        let outcome = other.rebuild("transfers", &small(), &Control::default()).await;
        let ended = frozen.await?;
        assert!(matches!(ended, Ok(_) | Err(RebuildError::Fenced)), "round {round}: {ended:?}");
        let equal = outcome.as_ref().is_ok_and(|it| it.comparison.as_ref().is_some_and(|it| it.is_equal()));
        assert!(equal, "round {round}: {outcome:?}");
        assert_eq!(digests(&database).await?, before, "round {round}");
    }
    shutdown.cancel();
    Ok(())
}

/// Damage below the product: the payload of the newest event does not fit its schema any more.
async fn damage(database: &Database) -> anyhow::Result<(i64, String)> {
    let mut conn = database.superuser().await?;
    let whole =
        sqlx::query_as("select position, payload::text from store.events order by position desc limit 1")
            .fetch_one(&mut conn)
            .await?;
    let sql = "set session_replication_role = replica;
               update store.events set payload = '{\"legs\": 7}' where position = (select position from store.log_head)";
    execute(&mut conn, sql.to_owned()).await?;
    Ok(whole)
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_partitions_come_along_and_what_was_skipped_is_told() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    fill(&executor, 50).await?;
    accepted(&submit(&executor, tenant(1), transfer(account(1), account(2), "1.00")?).await?)?;
    let (position, whole) = damage(&database).await?;
    let executor = database.executor()?;
    accepted(&submit(&executor, tenant(1), transfer(account(3), account(4), "1.00")?).await?)?;
    let (_projector, shutdown) = projector(&database, quick())?;
    caught_up(&database).await?;
    let rebuilder = rebuilder(&database)?;
    let parked = async || {
        let rows = rebuilder.parked().await?;
        let mut keys: Vec<_> = rows.into_iter().map(|it| (it.model, it.partition, it.position)).collect();
        keys.sort();
        anyhow::Ok(keys)
    };
    let live = parked().await?;
    assert!(live.contains(&("accounts".to_owned(), account(1).uuid(), position)), "{live:?}");
    for model in rebuilder.models() {
        let outcome = rebuilder.rebuild(model, &small(), &Control::default()).await?;
        let found = outcome.comparison.expect("it was compared");
        assert!(found.is_equal() && found.parked_live == found.parked_rebuilt, "{model}: {found:?}");
        assert_eq!(parked().await?, live, "{model}");
    }
    // Left out, the partition goes on; it is known to be wrong.
    let (t, partition) = (tenant(1), account(1).uuid());
    assert_eq!(rebuilder.skip("accounts", t, partition, "the file is lost").await?, position);
    until(PATIENCE, || async {
        Ok(!parked().await?.iter().any(|it| it.0 == "accounts" && it.1 == partition))
    })
    .await?;
    let skipped = rebuilder.skipped().await?;
    assert_eq!((skipped[0].position, skipped[0].reason.as_str()), (position, "the file is lost"));
    assert!(matches!(
        rebuilder.skip("accounts", t, partition, "").await,
        Err(RebuildError::NotParked { .. })
    ));
    // After the repair a rebuild finds what was left out, and mends it.
    let repair = format!(
        "set session_replication_role = replica; update store.events set payload = '{}' where position = {position}",
        whole.replace('\'', "''")
    );
    execute(&mut database.superuser().await?, repair).await?;
    until(PATIENCE, || async { Ok(parked().await?.is_empty()) }).await?;
    let refused = rebuilder.rebuild("accounts", &small(), &Control::default()).await;
    assert!(matches!(refused, Err(RebuildError::NotVerified { .. })), "{refused:?}");
    rebuilder.swap("accounts", projector::rebuild::Trust::Anyway, &Control::default()).await?;
    assert_eq!(rebuilder.skipped().await?, []);
    let outcome = rebuilder.rebuild("accounts", &compared_only(), &Control::default()).await?;
    assert!(outcome.comparison.expect("it was compared").is_equal());
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_newer_build_ends_it_with_the_sentence_that_mends() -> Test {
    let database = Database::fresh().await?;
    fill(&database.executor()?, 20).await?;
    superuser(
        &database,
        "set session_replication_role = replica;
         update store.events set schema_version = 9 where position = (select max(position) from store.events where type = 'ledger.transfer-reversed')",
    )
    .await?;
    let rebuilder = rebuilder(&database)?;
    let refused =
        rebuilder.rebuild("accounts", &small(), &Control::default()).await.expect_err("it is newer");
    assert!(
        matches!(refused, RebuildError::Newer { .. })
            && refused.to_string().contains("rebuild with that build")
    );
    assert_eq!(rebuilder.list().await?[0].state, RebuildState::Failed);
    superuser(
        &database,
        "set session_replication_role = replica;
         update store.events set schema_version = 1 where position = (select max(position) from store.events where type = 'ledger.transfer-reversed')",
    )
    .await?;
    let outcome = rebuilder.rebuild("accounts", &small(), &Control::default()).await?;
    assert_eq!(outcome.state, RebuildState::Swapped, "without a projector there is nothing to compare with");
    assert!(outcome.comparison.is_some_and(|it| it.skipped.is_some()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_everything_serves_again_and_nothing_is_done_twice() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    fill(&executor, 50).await?;
    let t = tenant(1);
    for _ in 0..4 {
        accepted(&submit(&executor, t, hold(account(1), account(2), "1.00", Some(1))?).await?)?;
    }
    let shutdown = CancellationToken::new();
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    let reactor = ReactorOptions::new(database.options("quipu_reactor")?, master_key()?);
    let options =
        ProjectorOptions { timing: quick(), connections_max: 14, reactor: Some(reactor), ..options };
    let projector = Projector::start(options);
    let expired = "select count(*) from store.events where type = 'ledger.hold-expired'";
    until(PATIENCE, || async { Ok(scalar::<i64>(&database, expired).await? == 4) }).await?;
    caught_up(&database).await?;
    // One more, which ends while nobody follows.
    accepted(&submit(&executor, t, hold(account(2), account(1), "1.00", Some(1))?).await?)?;
    event_store::epoch::accept_timeline(&mut database.superuser().await?, true).await?;
    let all = |state: State| projector.status().iter().filter(|it| it.state == state).count();
    let rebuilder = rebuilder(&database)?;
    let followers = rebuilder.models().len() + rebuilder.reactors().len();
    until(PATIENCE, || async { Ok(all(State::Stopped) == followers) }).await?;
    for model in rebuilder.models() {
        let outcome = rebuilder.rebuild(model, &small(), &Control::default()).await?;
        let found = outcome.comparison.expect("it was asked for");
        assert!(found.skipped.is_some_and(|it| it.contains("epoch")), "{model}");
        assert!(matches!(
            rebuilder.rollback(model, &Control::default()).await,
            Err(RebuildError::OtherEpoch { .. })
        ));
    }
    for name in rebuilder.reactors() {
        rebuilder.reset_reactor(name).await?;
    }
    assert!(matches!(rebuilder.reset_reactor("accounts").await, Err(RebuildError::UnknownReactor(_))));
    until(PATIENCE, || async { Ok(all(State::Leading) == followers) }).await?;
    until(PATIENCE, || async { Ok(scalar::<i64>(&database, expired).await? == 5) }).await?;
    some(&database.executor()?, t, 20).await?;
    caught_up(&database).await?;
    for model in rebuilder.models() {
        let outcome = rebuilder.rebuild(model, &compared_only(), &Control::default()).await?;
        assert!(outcome.comparison.expect("it was compared").is_equal(), "{model}");
    }
    assert_eq!(scalar::<i64>(&database, expired).await?, 5, "each hold ended once");
    shutdown.cancel();
    Ok(())
}
