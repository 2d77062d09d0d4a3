//! Figures that `./dev bench` has no scenario for: run with `./dev test --release -- --ignored --nocapture measure`.

use std::io::Write as _;
use std::time::Instant;

use event_store::{Unit, log};
use sqlx::Executor as _;
use tests::database::{Database, cause, tenant};
use tests::ledger::{accepted, account, set_up, submit, transfer};

type Test = anyhow::Result<()>;

fn say(line: std::fmt::Arguments<'_>) -> Test {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_a_cold_load_after_a_million_postings() -> Test {
    let database = Database::fresh().await?;
    let t = tenant(1);
    let executor = database.executor()?;
    set_up(&executor, t, 2, "1000000.00").await?;
    for _ in 0..1000 {
        let units = (0..1000).map(|_| Ok(Unit::new(t, cause(), transfer(account(1), account(2), "0.01")?)));
        for outcome in executor.submit_all(t, units.collect::<anyhow::Result<_>>()?).await {
            accepted(&outcome?)?;
        }
    }
    database.superuser().await?.execute("vacuum analyze store.stream_events").await?;
    for _ in 0..5 {
        let cold = database.executor()?;
        // The first command also connects; the second one finds account 1 cold.
        drop(submit(&cold, t, transfer(account(9), account(8), "0.01")?).await?);
        let begun = Instant::now();
        accepted(&submit(&cold, t, transfer(account(1), account(2), "0.01")?).await?)?;
        say(format_args!(
            "cold account of a million postings: loaded, judged and committed in {:?}",
            begun.elapsed()
        ))?;
    }
    let mut conn = database.superuser().await?;
    let begun = Instant::now();
    let page = log::after(&mut conn, 500_000, 5_000).await?;
    say(format_args!("a page of {} from the middle: {:?}", page.len(), begun.elapsed()))
}
