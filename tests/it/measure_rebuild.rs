//! How fast read models are built again, beside a plain copy of the events. Run with
//! `./dev test --release -- --ignored --nocapture measure_rebuild`.

use std::io::Write as _;
use std::time::{Duration, Instant};

use event_store::Unit;
use futures_util::TryStreamExt as _;
use projector::rebuild::{Control, Options, Rebuilder};
use projector::{Projector, ProjectorOptions};
use tests::database::{Database, cause, tenant};
use tests::ledger::{accepted, account, set_up, transfer};
use tests::until;
use tokio_util::sync::CancellationToken;

type Test = anyhow::Result<()>;

const EVENTS: i64 = 300_000;
const ACCOUNTS: u128 = 1_000;

fn say(line: std::fmt::Arguments<'_>) -> Test {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_rebuild_beside_a_copy_of_the_events() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    for n in 1..=2 {
        set_up(&executor, tenant(n), ACCOUNTS, "1000.00").await?;
    }
    let mut conn = database.superuser().await?;
    let mut head = 0;
    while head < EVENTS {
        for n in 1..=2 {
            let units = (0..1_000_u128).map(|i| {
                let (from, to) = (account(1 + i * 7 % ACCOUNTS), account(1 + (i * 13 + 1) % ACCOUNTS));
                let to = if from == to { account(0) } else { to };
                Ok(Unit::new(tenant(n), cause(), transfer(from, to, "0.01")?))
            });
            for outcome in executor.submit_all(tenant(n), units.collect::<anyhow::Result<_>>()?).await {
                accepted(&outcome?)?;
            }
        }
        head = sqlx::query_scalar("select position from store.log_head").fetch_one(&mut conn).await?;
    }
    let shutdown = CancellationToken::new();
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    let _projector = Projector::start(options);
    let begun = Instant::now();
    until(Duration::from_secs(900), || async {
        let mut conn = database.superuser().await?;
        let behind: Option<i64> = sqlx::query_scalar(
            "select (select position from store.log_head) - min(position) from run.projections having count(*) >= 6",
        )
        .fetch_optional(&mut conn)
        .await?;
        Ok(behind == Some(0))
    })
    .await?;
    say(format_args!("{head} events; all models at once, page by page: {:?}", begun.elapsed()))?;
    let mut copied = 0;
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        let mut rows = conn.copy_out_raw("copy (select * from store.events) to stdout").await?;
        copied = 0;
        while let Some(part) = rows.try_next().await? {
            copied += part.len();
        }
        fastest = fastest.min(begun.elapsed());
    }
    let rate = |took: Duration| u128::from(head.unsigned_abs()) * 1_000 / took.as_millis().max(1);
    say(format_args!("COPY of the events: {} MB, {} events/s", copied / 1_000_000, rate(fastest)))?;
    let rebuilder = Rebuilder::new(database.options("quipu_projector")?, 2);
    let mut whole = Duration::ZERO;
    for model in rebuilder.models() {
        let built = Options { verify: false, ..Options::default() };
        let outcome = rebuilder.rebuild(model, &built, &Control::default()).await?;
        whole += outcome.took;
        say(format_args!(
            "{model}: {} events/s, {} percent of COPY; tables were locked for {:?}",
            rate(outcome.took),
            rate(outcome.took) * 100 / rate(fastest).max(1),
            outcome.pause.unwrap_or_default()
        ))?;
    }
    say(format_args!("all models one after the other: {whole:?}"))?;
    for model in rebuilder.models() {
        let outcome = rebuilder.rebuild(model, &Options::default(), &Control::default()).await?;
        let found = outcome.comparison.unwrap_or_default();
        anyhow::ensure!(found.is_equal(), "{model}: {found:?}");
        say(format_args!("{model}: {} rows, built and compared in {:?}", found.compared, outcome.took))?;
    }
    shutdown.cancel();
    Ok(())
}
