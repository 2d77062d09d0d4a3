//! Reading all the while tables change places.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use projector::rebuild::Trust;
use read_models::progress::Touch;
use read_models::{Accounts, Item, ProjectionError, ReadModel, TenantTx};
use serde_json::Value;
use sqlx::PgConnection;
use tests::books::{Books, account, held, transfer};
use tests::stack::Stack;
use tokio::time::Instant;

use super::*;

const ACCOUNTS: u128 = 6;

/// Every list of a read model, each row of its own, and the streamed exports.
fn paths(transfer: &str) -> Vec<String> {
    vec![
        "/v1/ledger/accounts?limit=200".to_owned(),
        account(1),
        format!("{}/balance", account(1)),
        format!("{}/balance?at_version=2", account(1)),
        format!("{}/entries?limit=50", account(2)),
        format!("{}/statement?from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z", account(2)),
        "/v1/ledger/transfers?limit=50".to_owned(),
        format!("/v1/ledger/transfers/{transfer}"),
        "/v1/ledger/trial-balance?limit=200".to_owned(),
        "/v1/ledger/journal?format=csv".to_owned(),
        "/v1/events?limit=50".to_owned(),
    ]
}

fn position(answer: &tests::stack::Answer) -> i64 {
    answer.header("quipu-position").split_once('-').and_then(|(_, it)| it.parse().ok()).unwrap_or_default()
}

/// What must be so in any answer, whatever the writers do meanwhile.
fn is_whole(path: &str, json: &Value, text: &str) -> bool {
    let rows = json["items"].as_array().map_or(0, Vec::len);
    match path.split('?').next().unwrap_or_default() {
        "/v1/ledger/accounts" => rows == usize::try_from(ACCOUNTS + 1).unwrap_or_default(),
        "/v1/ledger/trial-balance" => {
            let sums = &json["totals"][0];
            rows == usize::try_from(ACCOUNTS + 1).unwrap_or_default()
                && sums["debits_posted"] == sums["credits_posted"]
                && sums["debits_pending"] == sums["credits_pending"]
                && json["items"].as_array().is_some_and(|it| it.iter().all(|row| row["name"].is_string()))
        }
        "/v1/ledger/transfers" | "/v1/events" => rows > 0,
        "/v1/ledger/journal" => text.lines().count() > 12,
        _ => !text.is_empty(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_no_gap_no_error_and_no_step_back() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), ACCOUNTS).await?;
    let first = books.transfer(&transfer(1, 2, "1.00")).await?;
    let paths = paths(&first);
    for path in &paths {
        books.read(path).await?;
    }
    let stop = CancellationToken::new();
    let longest = AtomicU64::new(0);
    let answers = AtomicU64::new(0);
    let read = async |path: &String| {
        let mut seen = 0;
        while !stop.is_cancelled() {
            let asked = Instant::now();
            let answer = stack.get(&books.token, path).await?;
            longest.fetch_max(u64::try_from(asked.elapsed().as_millis())?, Ordering::Relaxed);
            anyhow::ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text);
            anyhow::ensure!(is_whole(path, &answer.json, &answer.text), "a gap in {path}: {}", answer.text);
            anyhow::ensure!(position(&answer) >= seen, "{path}: {} after {seen}", position(&answer));
            seen = position(&answer);
            answers.fetch_add(1, Ordering::Relaxed);
        }
        anyhow::Ok(())
    };
    let write = async {
        let mut n = 0;
        while !stop.is_cancelled() {
            let body = if n % 5 == 0 { held(1, 2, "0.01", 3_600) } else { transfer(2, 1, "0.01") };
            books.write("/v1/ledger/transfers", &body).await?;
            // What was written is read at once, also from a model that was swapped a moment ago.
            books.read(&account(1)).await?;
            n += 1;
        }
        anyhow::Ok(())
    };
    let swaps = async {
        let rebuilder = rebuilder(&stack.database)?;
        let mut pause = Duration::ZERO;
        for _ in 0..3 {
            for model in rebuilder.models() {
                let outcome = rebuilder.rebuild(model, &small(), &Control::default()).await?;
                pause = pause.max(outcome.pause.unwrap_or_default());
                pause = pause.max(rebuilder.rollback(model, &Control::default()).await?.pause);
            }
        }
        stop.cancel();
        anyhow::Ok(pause)
    };
    let readers = futures_util::future::try_join_all(paths.iter().map(read));
    let guard = stop.clone().drop_guard();
    let (_, (), pause) = tokio::try_join!(readers, write, swaps)?;
    drop(guard);
    assert!(answers.load(Ordering::Relaxed) > 100, "there were readers");
    writeln!(
        std::io::stderr(),
        "{} answers beside {} swaps: the slowest took {} ms, tables were locked for at most {} ms",
        answers.load(Ordering::Relaxed),
        rebuilder(&stack.database)?.models().len() * 6,
        longest.load(Ordering::Relaxed),
        pause.as_millis()
    )?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_from_before_a_swap_never_reads_what_came_with_it() -> Test {
    let database = Database::fresh().await?;
    fill(&database.executor()?, 20).await?;
    let (_projector, shutdown) = projector(&database, quick())?;
    caught_up(&database).await?;
    let pool = database.pool("quipu_query")?;
    let id = tests::ledger::account(1).uuid();
    let rebuilder = rebuilder(&database)?;
    for _ in 0..3 {
        let mut reader = TenantTx::begin(&pool, tenant(1), &[Touch::one::<Accounts>(id)]).await?;
        // To the reader's snapshot none of these rows exists.
        rebuilder.rebuild("accounts", &kept(), &Control::default()).await?;
        let control = Control::default();
        let mut swap = std::pin::pin!(rebuilder.swap("accounts", Trust::Anyway, &control));
        // It cannot come between the reader's snapshot and its statement, however often it tries meanwhile.
        let early = tokio::time::timeout(Duration::from_millis(300), &mut swap).await;
        assert!(Accounts::find(&mut reader, id).await?.is_some(), "a gap");
        assert!(early.is_err(), "the swap waits for the reader: {early:?}");
        reader.end().await?;
        swap.await?;
        let mut reader = TenantTx::begin(&pool, tenant(1), &[Touch::one::<Accounts>(id)]).await?;
        assert!(Accounts::find(&mut reader, id).await?.is_some(), "nor behind it");
    }
    shutdown.cancel();
    Ok(())
}

/// Accounts as a later build might have them: one more column.
struct LaterAccounts;

impl ReadModel for LaterAccounts {
    const NAME: &'static str = "accounts";
    const VERSION: i32 = 2;
    const TABLES: &'static [&'static str] = Accounts::TABLES;

    type Rows = <Accounts as ReadModel>::Rows;

    fn partition(tenant: TenantId, stream: &domain::StreamId) -> Option<Uuid> {
        Accounts::partition(tenant, stream)
    }

    async fn load(
        conn: &mut PgConnection,
        rows: &mut Self::Rows,
        items: &[Item<'_>],
    ) -> Result<(), ProjectionError> {
        Accounts::load(conn, rows, items).await
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        Accounts::fold(rows, items)
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        Accounts::write(conn, rows).await?;
        sqlx::query("update accounts set extra = 'new' where extra is null").execute(conn).await?;
        Ok(())
    }

    // Its lines lack a cell, which the table refuses: everything is then written page by page.
    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        Accounts::copy(conn, rows).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_another_shape_goes_live_and_back_while_an_older_build_reads() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), ACCOUNTS).await?;
    let shape = "create schema read_shape_accounts_2 authorization quipu_owner; set role quipu_owner;
                 create table read_shape_accounts_2.accounts (like read.accounts including all, extra text)";
    superuser(&stack.database, shape).await?;
    // Every connection of the reader has its statements prepared.
    let lists = async || {
        for path in [&account(1), "/v1/ledger/accounts?limit=200", "/v1/ledger/trial-balance"] {
            let all = (0..30).map(|_| stack.get(&books.token, path));
            for answer in futures_util::future::try_join_all(all).await? {
                anyhow::ensure!(answer.status == 200, "{path}: {}", answer.text);
            }
        }
        anyhow::Ok(())
    };
    books.transfer(&transfer(1, 2, "1.00")).await?;
    books.read(&account(1)).await?;
    lists().await?;
    let later = rebuilder(&stack.database)?.with_models(vec![projector::read_model::<LaterAccounts>()]);
    let outcome = later.rebuild("accounts", &small(), &Control::default()).await?;
    let found = outcome.comparison.expect("it was compared");
    assert!(found.is_equal() && found.compared == 7, "{found:?}");
    assert_eq!(
        (found.live_version, found.left_out.as_slice()),
        (Some(1), &["accounts.extra".to_owned()][..])
    );
    lists().await?;
    let new: i64 = scalar(&stack.database, "select count(*) from read.accounts where extra = 'new'").await?;
    assert_eq!(new, 7);
    // The older build leaves the model alone; a later one would follow.
    stack.post(&books.token, "/v1/ledger/transfers", &transfer(1, 2, "1.00")).await?;
    let stands: i64 = scalar(
        &stack.database,
        "select position from run.projections where model = 'accounts' and version = 2 and lease_owner is null",
    )
    .await?;
    assert_eq!(stands, outcome.position);
    let back = later.rollback("accounts", &Control::default()).await?;
    assert!(back.version == 1 && !back.of_this_build && back.position <= stands, "{back:?}");
    // The older build's projector goes on by itself.
    books.transfer(&transfer(1, 2, "1.00")).await?;
    books.read(&account(1)).await?;
    lists().await?;
    let outcome =
        rebuilder(&stack.database)?.rebuild("accounts", &compared_only(), &Control::default()).await?;
    assert!(outcome.comparison.expect("it was compared").is_equal());
    Ok(())
}
