//! The log itself: append-only, walled, hashed, read in order.

use domain::money::Limit;
use event_store::leaf::leaf;
use event_store::{Unit, log};
use sqlx::Executor as _;
use tests::database::{Database, cause, execute, tenant};
use tests::ledger::{accepted, account, open, set_up, submit, transfer};

type Test = anyhow::Result<()>;

async fn filled() -> anyhow::Result<Database> {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 3, "10.00").await?;
    set_up(&executor, tenant(2), 1, "10.00").await?;
    Ok(database)
}

#[tokio::test]
async fn no_role_can_change_or_remove_an_event() -> Test {
    let database = filled().await?;
    for role in
        ["quipu_command", "quipu_projector", "quipu_reactor", "quipu_query", "quipu_platform", "quipu_owner"]
    {
        let mut conn = sqlx::ConnectOptions::connect(&database.options(role)?).await?;
        execute(&mut conn, format!("set app.tenants = '{{{}}}'", tenant(1).uuid())).await?;
        for attempt in [
            "update store.events set type = 'x'",
            "delete from store.events",
            "truncate store.events",
            "update store.stream_events set version = version + 1000",
            "delete from store.stream_events",
        ] {
            let outcome = conn.execute(attempt).await;
            // The owner is walled out by row security: it touches no row.
            let harmless =
                outcome.as_ref().is_ok_and(|done| done.rows_affected() == 0 && role == "quipu_owner");
            assert!(outcome.is_err() || harmless, "{role}: {attempt}");
        }
    }
    let mut superuser = database.superuser().await?;
    for attempt in [
        "update store.events set type = 'x'",
        "delete from store.stream_events",
        "truncate store.events",
        "truncate store.events_000000",
    ] {
        assert!(superuser.execute(attempt).await.is_err(), "the trigger stops even a superuser: {attempt}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stale_version_trips_the_unique_key() -> Test {
    let database = filled().await?;
    let mut conn = database.superuser().await?;
    let attempt = conn
        .execute("insert into store.stream_events select tenant_id, category, stream_id, version, 999 from store.stream_events limit 1")
        .await;
    let error = attempt.expect_err("a version is used once");
    assert_eq!(error.as_database_error().and_then(|it| it.constraint()), Some("stream_events_pkey"));
    Ok(())
}

#[tokio::test]
async fn leaves_are_what_the_standard_says_over_the_stored_text() -> Test {
    let database = filled().await?;
    let mut conn = database.superuser().await?;
    let events = log::after(&mut conn, 0, 1000).await?;
    assert_eq!(events.len(), 10);
    for event in &events {
        assert_eq!(leaf(event).as_slice(), event.leaf.as_slice(), "event {}", event.position);
    }
    // Written a second time, in another language, by whoever looks for a mistake in the first.
    let differing: i64 = sqlx::query_scalar(
        "select count(*) from store.events e
         where e.leaf <> store.leaf(e.tenant_id, e.tenant_seq, e.category, e.stream_id, e.version, e.type,
                                    e.schema_version, e.event_id, e.recorded_at, e.payload::text, e.meta::text)",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(differing, 0);
    Ok(())
}

#[tokio::test]
async fn a_hole_is_an_alarm_and_not_waited_for() -> Test {
    let database = filled().await?;
    let mut conn = database.superuser().await?;
    conn.execute("set session_replication_role = replica").await?;
    conn.execute("delete from store.events where position = 5").await?;
    let error = log::after(&mut conn, 0, 1000).await.expect_err("position 5 is missing");
    assert!(matches!(error, log::ReadError::Hole { expected: 5, found: 6 }));
    Ok(())
}

#[tokio::test]
async fn a_tenant_sees_its_own_events_and_no_others() -> Test {
    let database = filled().await?;
    for role in ["quipu_command", "quipu_query"] {
        let mut conn = sqlx::ConnectOptions::connect(&database.options(role)?).await?;
        let unset: i64 = sqlx::query_scalar("select count(*) from store.events").fetch_one(&mut conn).await?;
        assert_eq!(unset, 0, "nobody is served");
        execute(&mut conn, format!("set app.tenants = '{{{}}}'", tenant(2).uuid())).await?;
        let own: Vec<uuid::Uuid> =
            sqlx::query_scalar("select distinct tenant_id from store.events").fetch_all(&mut conn).await?;
        assert_eq!(own, [tenant(2).uuid()]);
        // A setting that a transaction left behind reads as empty, not as an error.
        conn.execute("set app.tenants = ''").await?;
        let none: i64 = sqlx::query_scalar("select count(*) from store.events").fetch_one(&mut conn).await?;
        assert_eq!(none, 0);
    }
    Ok(())
}

#[tokio::test]
async fn every_table_with_a_tenant_is_walled_for_every_role() -> Test {
    let database = Database::fresh().await?;
    let mut conn = database.superuser().await?;
    let open: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
         join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and n.nspname in ('store', 'keys', 'vault', 'run', 'read')
           and not (c.relrowsecurity and c.relforcerowsecurity)",
    )
    .fetch_all(&mut conn)
    .await?;
    assert_eq!(open, Vec::<String>::new(), "tables without forced row security");
    let powerful: Vec<String> = sqlx::query_scalar(
        "select rolname::text from pg_roles where rolname like 'quipu\\_%' and (rolsuper or rolbypassrls)",
    )
    .fetch_all(&mut conn)
    .await?;
    assert_eq!(powerful, Vec::<String>::new());
    let owned: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_roles r on r.oid = c.relowner
         join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('store', 'keys', 'vault', 'run', 'read') and r.rolname <> 'quipu_owner'",
    )
    .fetch_all(&mut conn)
    .await?;
    assert_eq!(owned, Vec::<String>::new(), "only the owner owns");
    let whole: Vec<String> = sqlx::query_scalar(
        "select schemaname || '.' || tablename || ': ' || policyname || ' to ' || array_to_string(roles, ',')
         from pg_policies where qual = 'true' and not (roles <@ '{quipu_projector,quipu_reactor}') order by 1",
    )
    .fetch_all(&mut conn)
    .await?;
    assert_eq!(
        whole,
        ["keys.erased_subjects: erasure to quipu_owner", "vault.outbox: every_tenant_read to quipu_platform"],
        "only projector and reactor see every tenant, the operator the letters that wait, and functions who was erased"
    );
    Ok(())
}

#[tokio::test]
async fn the_query_and_projector_roles_cannot_see_the_vault() -> Test {
    let database = Database::fresh().await?;
    let mut conn = database.superuser().await?;
    for role in ["quipu_query", "quipu_projector"] {
        let sees: bool = sqlx::query_scalar("select has_schema_privilege($1, 'vault', 'usage')")
            .bind(role)
            .fetch_one(&mut conn)
            .await?;
        assert!(!sees, "{role}");
    }
    let tables: i64 = sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'vault'")
        .fetch_one(&mut conn)
        .await?;
    assert!(tables > 0);
    Ok(())
}

#[tokio::test]
async fn where_a_request_came_from_is_sealed() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 1, "10.00").await?;
    let mut conn = database.superuser().await?;
    let events = log::after(&mut conn, 0, 10).await?;
    let stored = events.iter().map(|it| it.meta.as_str()).collect::<String>();
    assert!(!stored.contains("192.0.2.7") && !stored.contains("a test"));
    assert!(stored.contains("$private"));
    let keys: i64 = sqlx::query_scalar("select count(*) from keys.subject_keys").fetch_one(&mut conn).await?;
    assert_eq!(keys, 1, "one key for one person, however many events");
    let master = tests::database::master_key()?;
    let subject = cause().actor.uuid();
    let wrapped: Vec<u8> =
        sqlx::query_scalar("select wrapped from keys.subject_keys").fetch_one(&mut conn).await?;
    let key = master.unwrap(tenant(1), subject, &wrapped)?;
    let event = events.last().expect("there are events");
    let place = |path| event_store::keyring::Place {
        tenant: event.tenant,
        stream: event.stream,
        event_id: event.event_id,
        path,
    };
    let origin = event.meta()?.origin.expect("the request had an origin");
    let sealed = event_store::keyring::sealed_in(&origin).expect("it is sealed");
    let opened = key.open(&place("meta.origin"), &sealed)?;
    assert_eq!(String::from_utf8(opened)?, r#"{"ip":"192.0.2.7","user_agent":"a test"}"#);
    assert!(key.open(&place("elsewhere"), &sealed).is_err(), "a sealed value cannot be moved");
    assert!(master.unwrap(tenant(2), subject, &wrapped).is_err(), "nor can a key");
    Ok(())
}

#[tokio::test]
async fn no_event_of_an_erased_actor_makes_a_new_key() -> Test {
    let database = Database::fresh().await?;
    set_up(&database.executor()?, tenant(1), 1, "10.00").await?;
    let mut conn = database.superuser().await?;
    conn.execute(
        "insert into keys.erased_subjects select tenant_id, subject_id, now(), gen_random_uuid() from keys.subject_keys;
         delete from keys.subject_keys",
    )
    .await?;
    // A process that knows no key yet, like any other after its caches were dropped.
    set_up(&database.executor()?, tenant(1), 2, "10.00").await.expect_err("account 1 is there");
    let executor = database.executor()?;
    accepted(&submit(&executor, tenant(1), open(account(7), Limit::zero())?).await?)?;
    let events = log::after(&mut conn, 0, 100).await?;
    let newest = events.last().expect("there are events");
    assert_eq!((newest.event_type.as_str(), newest.meta()?.origin), ("ledger.account-opened", None));
    let keys: i64 = sqlx::query_scalar("select count(*) from keys.subject_keys").fetch_one(&mut conn).await?;
    assert_eq!(keys, 0);
    conn.execute(
        "insert into keys.subject_keys select tenant_id, subject_id, 'x', now() from keys.erased_subjects",
    )
    .await
    .expect_err("nobody may bring the key back");
    Ok(())
}

#[tokio::test]
async fn the_log_is_found_by_time_and_by_stream_both_ways() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 2, "10.00").await?;
    let before = submit(&executor, t, transfer(account(1), account(2), "1.00")?).await?;
    let units = (0..20).map(|_| Ok(Unit::new(t, cause(), transfer(account(2), account(1), "0.10")?)));
    for outcome in executor.submit_all(t, units.collect::<anyhow::Result<_>>()?).await {
        accepted(&outcome?)?;
    }
    let mut conn = database.superuser().await?;
    let events = log::after(&mut conn, 0, 1000).await?;
    for event in &events {
        let newest = events.iter().rfind(|it| it.recorded_at <= event.recorded_at).map(|it| it.position);
        assert_eq!(Some(log::position_at(&mut conn, event.recorded_at).await?), newest);
    }
    assert_eq!(log::position_at(&mut conn, chrono::DateTime::UNIX_EPOCH).await?, 0);
    let stream = domain::ledger::account::stream(account(1));
    let forwards = log::stream(&mut conn, t, stream, 0, log::Direction::Forwards, 5).await?;
    let versions: Vec<i64> = forwards.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5]);
    assert_eq!(forwards.get(2).map(|(_, event)| event.position), Some(before.position.position));
    let backwards = log::stream(&mut conn, t, stream, i64::MAX, log::Direction::Backwards, 3).await?;
    let versions: Vec<i64> = backwards.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, [23, 22, 21]);
    Ok(())
}

#[tokio::test]
async fn another_timeline_is_refused_until_an_operator_says_what_it_means() -> Test {
    let database = filled().await?;
    let mut conn = database.superuser().await?;
    conn.execute("update store.log_identity set timeline = 7").await?;
    let error = event_store::epoch::check(&mut conn).await.expect_err("it was restored");
    assert!(error.to_string().contains("quipu epoch bump"));
    assert_eq!(event_store::epoch::accept_timeline(&mut conn, true).await?, 2);
    assert_eq!(event_store::epoch::check(&mut conn).await?.epoch, 2);
    // Writers find out by themselves.
    let executor = database.executor()?;
    let receipt = submit(&executor, tenant(1), transfer(account(1), account(2), "1.00")?).await?;
    assert_eq!(receipt.position.to_string(), "2-11");
    Ok(())
}
