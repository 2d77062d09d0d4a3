//! What query-api's role can write: entries of the trail of the tenant it serves, and nothing else.

use chrono::{NaiveDate, Utc};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tests::database::{Database, execute};

use super::*;

struct Attempt {
    tenant: u128,
    event_type: &'static str,
    day: NaiveDate,
    export: Option<Uuid>,
    payload: &'static str,
}

impl Default for Attempt {
    fn default() -> Self {
        Self {
            tenant: 1,
            event_type: "audit.data-read",
            day: Utc::now().date_naive(),
            export: None,
            payload: "{}",
        }
    }
}

/// Appends as query-api does; the outcome, or the SQLSTATE of the refusal.
async fn attempt(conn: &mut PgConnection, it: Attempt) -> Result<String, String> {
    let done: sqlx::Result<String> = sqlx::query_scalar(
        "select outcome from store.append_audit($1, $2, $3, 1::smallint, gen_random_uuid(), $4, '{}', $5, null, null)",
    )
    .bind(tenant(it.tenant).uuid())
    .bind(it.day)
    .bind(it.event_type)
    .bind(it.payload)
    .bind(it.export)
    .fetch_one(conn)
    .await;
    done.map_err(|error| {
        let code = error.as_database_error().and_then(|it| it.code().map(std::borrow::Cow::into_owned));
        code.unwrap_or_else(|| error.to_string())
    })
}

#[tokio::test]
async fn the_function_appends_to_the_trail_of_the_served_tenant_only() -> Test {
    let database = Database::fresh().await?;
    let mut conn = database.options("quipu_query")?.connect().await?;
    let refused = Err("42501".to_owned());
    assert_eq!(attempt(&mut conn, Attempt::default()).await, refused, "nobody is served");
    execute(&mut conn, format!("set app.tenants = '{{{}}}'", tenant(1).uuid())).await?;
    let today = Utc::now().date_naive();
    let export = Some(Uuid::from_u128(7));
    for (what, it) in [
        ("another tenant", Attempt { tenant: 2, ..Attempt::default() }),
        ("money", Attempt { event_type: "ledger.transfer-posted", ..Attempt::default() }),
        ("a command's refusal", Attempt { event_type: "audit.command-refused", ..Attempt::default() }),
        ("nothing of ours", Attempt { event_type: "audit.made-up", ..Attempt::default() }),
        ("long ago", Attempt { day: today - chrono::Days::new(2), ..Attempt::default() }),
        ("a later day", Attempt { day: today + chrono::Days::new(2), ..Attempt::default() }),
        ("an export without its id", Attempt { event_type: "audit.trail-exported", ..Attempt::default() }),
        ("a read with an export's id", Attempt { export, ..Attempt::default() }),
    ] {
        assert_eq!(attempt(&mut conn, it).await, refused, "{what}");
    }
    let no_json = Attempt { payload: "Jane", ..Attempt::default() };
    assert_eq!(attempt(&mut conn, no_json).await, Err("22P02".to_owned()));
    assert_eq!(attempt(&mut conn, Attempt::default()).await, Ok("appended".to_owned()));
    let exported = || Attempt { event_type: "audit.trail-exported", export, ..Attempt::default() };
    assert_eq!(attempt(&mut conn, exported()).await, Ok("appended".to_owned()));
    assert_eq!(attempt(&mut conn, exported()).await, Ok("exported".to_owned()), "an id is used once");
    let mut superuser = database.superuser().await?;
    let (events, categories): (i64, Vec<i16>) =
        sqlx::query_as("select count(*), array_agg(distinct category) from store.events")
            .fetch_one(&mut superuser)
            .await?;
    assert_eq!((events, categories), (2, vec![90]));
    Ok(())
}

#[tokio::test]
async fn nothing_else_can_be_written_with_the_readers_role() -> Test {
    let database = Database::fresh().await?;
    let mut conn = database.options("quipu_query")?.connect().await?;
    execute(&mut conn, format!("set app.tenants = '{{{}}}'", tenant(1).uuid())).await?;
    assert_eq!(attempt(&mut conn, Attempt::default()).await, Ok("appended".to_owned()));
    for statement in [
        "insert into store.events select * from store.events",
        "update store.events set type = 'audit.data-read'",
        "delete from store.events",
        "insert into store.stream_events select * from store.stream_events",
        "insert into store.log_marks select position + 1, recorded_at from store.log_head",
        "update store.log_identity set epoch = epoch + 1",
        "insert into store.tenant_marks values (gen_random_uuid(), 1)",
        "insert into keys.subject_keys select * from keys.subject_keys",
        "delete from keys.subject_keys",
        "select * from store.hold_head('{}')",
        "select * from store.answers('{}', '{}', '{}')",
        "set role quipu_owner",
    ] {
        let outcome = sqlx::query(AssertSqlSafe(statement)).execute(&mut conn).await;
        let error = outcome.expect_err(statement);
        let code = error.as_database_error().and_then(|it| it.code().map(|it| it.into_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
    }
    // The function's own rights, the owner's, reach no further than the trail.
    let mut owner = database.options("quipu_owner")?.connect().await?;
    execute(&mut owner, format!("set app.tenants = '{{{}}}'", tenant(1).uuid())).await?;
    let values = |tenant_id: Uuid, category: i16| {
        format!(
            "insert into store.events values (9, '{tenant_id}', 9, {category}, gen_random_uuid(), 1, 'x', 1,
             gen_random_uuid(), now(), '{{}}', '{{}}', sha256('x'))"
        )
    };
    for statement in [values(tenant(1).uuid(), 10), values(tenant(2).uuid(), 90)] {
        let refused = execute(&mut owner, statement.clone()).await.expect_err(&statement);
        assert!(refused.to_string().contains("row-level security"), "{refused}");
    }
    for role in ["quipu_command", "quipu_projector", "quipu_reactor", "quipu_platform"] {
        let mut conn = database.options(role)?.connect().await?;
        execute(&mut conn, format!("set app.tenants = '{{{}}}'", tenant(1).uuid())).await?;
        assert_eq!(attempt(&mut conn, Attempt::default()).await, Err("42501".to_owned()), "{role}");
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_that_keeps_the_head_is_cut_off() -> Test {
    let database = Database::fresh().await?;
    let mut conn = database.options("quipu_query")?.connect().await?;
    execute(&mut conn, "begin".to_owned()).await?;
    execute(&mut conn, format!("select set_config('app.tenants', '{{{}}}', true)", tenant(1).uuid())).await?;
    assert_eq!(attempt(&mut conn, Attempt::default()).await, Ok("appended".to_owned()));
    // It holds the head now, and says nothing more.
    let executor = database.executor()?;
    tests::ledger::set_up(&executor, tenant(2), 1, "1.00").await?;
    assert!(execute(&mut conn, "commit".to_owned()).await.is_err(), "its connection is gone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_trail_is_not_there() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let stranger = stack.owner(tenant(2))?;
    let refused = stack.post(&books.token, "/v1/ledger/transfers", &transfer(1, 0, "100.01")).await?;
    let position = refused.header("quipu-position").to_owned();
    for path in ["/v1/audit?action=ledger.", "/v1/audit/exports"] {
        let page = stack.get_at(&stranger, path, &position).await?;
        assert_eq!((page.status, &page.json), (StatusCode::OK, &json!({ "items": [] })), "{path}");
    }
    let entry = stack.get_at(&stranger, &format!("/v1/audit/{position}"), &position).await?;
    assert_eq!(entry.status, StatusCode::NOT_FOUND);
    // What the stranger asked for is in the stranger's own trail.
    let own = told(&stack, 2).await?;
    assert!(own.iter().all(|(name, _)| name == "audit.data-read") && own.len() == 3, "{own:?}");
    Ok(())
}
