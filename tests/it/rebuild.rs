//! Read models are built again beside the live ones: equal to them, unnoticed by readers, whatever breaks on the way.

mod faults;
mod grocery;
mod outcomes;
mod swaps;

use std::sync::Arc;
use std::time::Duration;

use domain::ids::{TenantId, TransferId};
use domain::ledger::{PostHold, ReverseTransfer, VoidHold};
use domain::metadata::Label;
use domain::organisation::{CreateTenant, Slug};
use event_store::{Executor, Unit};
use projector::rebuild::{After, Budget, Control, Options, Phase, RebuildError, Rebuilder};
use projector::{Projector, ProjectorOptions, Timing};
use sqlx::Executor as _;
use tests::database::{Database, cause, tenant};
use tests::ledger::{accepted, account, eur, hold, set_up, submit, transfer};
use tests::members::inhabit;
use tests::stack::quick;
use tests::until;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(90);

fn rebuilder(database: &Database) -> anyhow::Result<Rebuilder> {
    Ok(Rebuilder::new(database.options("quipu_projector")?, 4))
}

/// Several chunks and pages even of a small log, and a lease that is soon over.
fn small() -> Options {
    Options {
        parts: 3,
        budget: Budget { events: 100, bytes: 64 * 1024 },
        lease: Duration::from_millis(600),
        ..Options::default()
    }
}

fn compared_only() -> Options {
    Options { after: After::Drop, ..small() }
}

fn kept() -> Options {
    Options { after: After::Keep, ..small() }
}

fn projector(database: &Database, timing: Timing) -> anyhow::Result<(Projector, CancellationToken)> {
    let shutdown = CancellationToken::new();
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    Ok((Projector::start(ProjectorOptions { timing, connections_max: 12, ..options }), shutdown))
}

/// Everything that a ledger knows, for two tenants, and the tenants themselves.
async fn fill(executor: &Executor, transfers: u128) -> Test {
    for n in 1..=2 {
        let t = tenant(n);
        let slug = Slug::parse(&format!("tenant-{n}"))?;
        let create = CreateTenant { tenant_id: t, slug, name: Label::parse("A tenant \\N")? };
        accepted(&submit(executor, TenantId::PLATFORM, create).await?)?;
        // Enough for writers that write for as long as a rebuild takes, on however slow a machine.
        set_up(executor, t, 5, "1000000.00").await?;
        some(executor, t, transfers).await?;
        inhabit(executor, t).await?;
    }
    Ok(())
}

/// Transfers, and every end that a hold can have but that of its time.
async fn some(executor: &Executor, t: TenantId, transfers: u128) -> Test {
    let units = (0..transfers).map(|n| {
        let (from, to) = (account(1 + n % 5), account((n * 3) % 5 + 1 - u128::from((n * 3) % 5 == n % 5)));
        Ok(Unit::new(t, cause(), transfer(from, to, "0.10")?))
    });
    for outcome in executor.submit_all(t, units.collect::<anyhow::Result<_>>()?).await {
        accepted(&outcome?)?;
    }
    let mut ids: Vec<TransferId> = Vec::new();
    for n in 0..3 {
        let held = hold(account(1), account(2 + n), "5.00", Some(3_600))?;
        ids.push(held.transfer_id);
        accepted(&submit(executor, t, held).await?)?;
    }
    let post = PostHold { transfer_id: ids[0], amount: Some(eur("3.00")?), effective_at: None };
    accepted(&submit(executor, t, post).await?)?;
    accepted(&submit(executor, t, VoidHold { transfer_id: ids[1] }).await?)?;
    let moved = transfer(account(1), account(2), "2.00")?;
    let transfer_id = moved.transfer_id;
    accepted(&submit(executor, t, moved).await?)?;
    let reversal_id = TransferId::new(Uuid::now_v7());
    let back = ReverseTransfer { transfer_id, reversal_id, amount: Some(eur("1.00")?), effective_at: None };
    accepted(&submit(executor, t, back).await?)?;
    Ok(())
}

/// Writes until it is told to stop; tells how many rounds it wrote.
fn writer(executor: Executor, stop: CancellationToken) -> tokio::task::JoinHandle<anyhow::Result<u32>> {
    tokio::spawn(async move {
        let mut rounds = 0;
        while !stop.is_cancelled() {
            some(&executor, tenant(1 + u128::from(rounds % 2)), 20).await?;
            rounds += 1;
        }
        Ok(rounds)
    })
}

async fn caught_up(database: &Database) -> Test {
    let models = i64::try_from(rebuilder(database)?.models().len())?;
    until(PATIENCE, || async {
        let mut conn = database.superuser().await?;
        let behind: Option<i64> = sqlx::query_scalar(
            "select (select position from store.log_head) - min(position) from run.projections
             where epoch = (select epoch from store.log_head) having count(*) >= $1",
        )
        .bind(models)
        .fetch_optional(&mut conn)
        .await?;
        Ok(behind == Some(0))
    })
    .await
}

/// Every row of every read table, as one digest a table.
async fn digests(database: &Database) -> anyhow::Result<Vec<(String, i64, String)>> {
    let mut conn = database.superuser().await?;
    let tables: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'read' order by 1")
            .fetch_all(&mut conn)
            .await?;
    let mut digests = Vec::new();
    for table in tables {
        let sql = format!(
            "select count(*), coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from read.{table} t"
        );
        let (rows, digest) = sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_one(&mut conn).await?;
        digests.push((table, rows, digest));
    }
    Ok(digests)
}

/// What there is beside the live tables: schemas, parts, parked partitions.
async fn beside(database: &Database) -> anyhow::Result<Vec<String>> {
    let mut conn = database.superuser().await?;
    Ok(sqlx::query_scalar(
        "select nspname::text from pg_namespace where nspname like 'read\\_%'
         union all select 'part of ' || model from run.rebuild_parts
         union all select 'parked in ' || model from run.rebuild_parked order by 1",
    )
    .fetch_all(&mut conn)
    .await?)
}

async fn scalar<T>(database: &Database, sql: &'static str) -> anyhow::Result<T>
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    Ok(sqlx::query_scalar(sql).fetch_one(&mut database.superuser().await?).await?)
}

async fn superuser(database: &Database, sql: &'static str) -> Test {
    database.superuser().await?.execute(sql).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_model_is_built_again_as_it_is_live_beside_writers() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    fill(&executor, 400).await?;
    let (_projector, shutdown) = projector(&database, quick())?;
    caught_up(&database).await?;
    let (stop, rebuilder) = (CancellationToken::new(), rebuilder(&database)?);
    let writing = writer(executor, stop.clone());
    for model in rebuilder.models() {
        let outcome = rebuilder.rebuild(model, &small(), &Control::default()).await?;
        let found = outcome.comparison.expect("it was compared");
        assert!(found.is_equal() && found.compared > 0, "{model}: {found:?}");
        assert_eq!((found.left_out.len(), outcome.parked), (0, 0), "{model}");
    }
    stop.cancel();
    assert!(writing.await?? > 0);
    caught_up(&database).await?;
    // And once more, with nobody writing: the digests are made by the server, over every column of every row.
    let before = digests(&database).await?;
    assert!(before.iter().all(|(_, rows, _)| *rows > 0), "{before:?}");
    for model in rebuilder.models() {
        rebuilder.rebuild(model, &Options { verify: false, ..small() }, &Control::default()).await?;
    }
    assert_eq!(digests(&database).await?, before);
    // The followers go on where the rebuilt tables stand.
    some(&database.executor()?, tenant(1), 10).await?;
    caught_up(&database).await?;
    let outcome = rebuilder.rebuild("transfers", &compared_only(), &Control::default()).await?;
    assert!(outcome.comparison.expect("it was compared").is_equal());
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_not_live_have_walls_too() -> Test {
    let database = Database::fresh().await?;
    fill(&database.executor()?, 20).await?;
    let (_projector, shutdown) = projector(&database, quick())?;
    caught_up(&database).await?;
    let rebuilder = rebuilder(&database)?;
    for model in rebuilder.models() {
        rebuilder.rebuild(model, &small(), &Control::default()).await?;
        rebuilder.rebuild(model, &kept(), &Control::default()).await?;
    }
    let mut conn = database.superuser().await?;
    let open: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         join pg_roles r on r.oid = c.relowner
         where n.nspname like 'read%' and c.relkind = 'r'
           and not (c.relrowsecurity and c.relforcerowsecurity and r.rolname = 'quipu_owner')",
    )
    .fetch_all(&mut conn)
    .await?;
    assert_eq!(open, Vec::<String>::new());
    let indexes: Vec<(String, i64)> = sqlx::query_as(
        "select tablename || ' ' || regexp_replace(indexdef, ' ON [^ ]+ ', ' '), count(distinct schemaname)
         from pg_indexes where schemaname like 'read%' group by 1 order by 1",
    )
    .fetch_all(&mut conn)
    .await?;
    assert!(indexes.len() > 20 && indexes.iter().all(|(_, schemas)| *schemas == 3), "{indexes:?}");
    let settings: i64 = sqlx::query_scalar(
        "select count(*) from (select relname, coalesce(reloptions::text, '') o from pg_class c
         join pg_namespace n on n.oid = c.relnamespace where n.nspname like 'read%' and relkind = 'r'
         group by 1, 2) s",
    )
    .fetch_one(&mut conn)
    .await?;
    let tables = i64::try_from(digests(&database).await?.len())?;
    assert_eq!(settings, tables, "fill factors are the same on all sides");
    for schema in ["read_next_accounts", "read_prev_accounts"] {
        let mut query = sqlx::ConnectOptions::connect(&database.options("quipu_query")?).await?;
        let all = format!("select count(*) from {schema}.accounts");
        let refused =
            sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(all.clone())).fetch_one(&mut query).await;
        assert!(refused.is_err(), "readers have no business in {schema}");
        tests::database::execute(&mut conn, format!("grant usage on schema {schema} to quipu_query")).await?;
        let nobody: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(all.clone())).fetch_one(&mut query).await?;
        let one = format!("set app.tenants = '{{{}}}'", tenant(1));
        tests::database::execute(&mut query, one).await?;
        let own: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(all)).fetch_one(&mut query).await?;
        assert_eq!((nobody, own), (0, 6), "even with a key to the door: {schema}");
    }
    shutdown.cancel();
    Ok(())
}

/// Starts a rebuild in a task of its own and waits until it has come to a phase, or past it if that was short.
async fn come_to(
    rebuilder: &Rebuilder,
    model: &'static str,
    options: Options,
    phase: Phase,
) -> anyhow::Result<(tokio::task::JoinHandle<Result<projector::rebuild::Outcome, RebuildError>>, Control)> {
    let (rebuilder, control) = (Arc::new(rebuilder.clone()), Control::default());
    let mut progress = control.progress.subscribe();
    let told = control.clone();
    let task = tokio::spawn(async move { rebuilder.rebuild(model, &options, &told).await });
    tokio::time::timeout(PATIENCE, progress.wait_for(|it| it.phase >= phase && !it.model.is_empty()))
        .await??;
    Ok((task, control))
}
