//! Clocks that are wrong: ours beside the database's, and the database's beside its own past.

use anyhow::{Context as _, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tests::books::{Books, held, transfer};
use tests::database::{execute, tenant};
use tests::stack::Stack;
use tokio::process::Command;

use super::process::{Process, program};
use super::{Test, note};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_clock_is_wrong_does_not_start() -> Test {
    let stack = Stack::commands_only().await?;
    for (by, direction) in [("+6s", "ahead"), ("-6s", "behind"), ("+400d", "far ahead")] {
        let mut command = Command::new("faketime");
        command.args(["-f", by]).arg(program("command-api")?);
        if !on_path("faketime") {
            return note(format_args!("NOT RUN: faketime is not installed"));
        }
        let said = Process::refused(&stack, command, &[]).await.context(direction)?;
        ensure!(said.contains("the database's clock differs from ours by"), "{direction}: {said}");
    }
    Ok(())
}

fn on_path(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|it| it.join(name).is_file())
}

/// The times of all events, in the order of the log.
async fn recorded(stack: &Stack) -> anyhow::Result<Vec<DateTime<Utc>>> {
    let mut conn = stack.database.superuser().await?;
    Ok(sqlx::query_scalar("select recorded_at from store.events order by position")
        .fetch_all(&mut conn)
        .await?)
}

/// What the log holds when the database's clock was an hour ahead and has been put right since.
async fn clock_was_ahead(stack: &Stack) -> Test {
    let mut conn = stack.database.superuser().await?;
    execute(
        &mut conn,
        "set session_replication_role = replica;
         update store.log_marks set recorded_at = clock_timestamp() + interval '1 hour'
         where position = (select position from store.log_head)"
            .to_owned(),
    )
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn times_in_the_log_never_go_back_though_the_clock_does() -> Test {
    let stack = Stack::commands_only().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let hold = |seconds| held(1, 0, "1.00", seconds);
    let soon = books.transfer(&hold(600)).await?;
    clock_was_ahead(&stack).await?;
    let ahead = Utc::now() + TimeDelta::minutes(59);

    // In the time of the log this one is over, and is recorded so before anybody can post it.
    let over = stack.post(&books.token, &format!("/v1/ledger/transfers/{soon}/post"), &json!({})).await?;
    ensure!(over.status.as_u16() == 409, "{}", over.text);
    // A hold that is made now lasts as long as it says, from the time that is recorded with it.
    let fresh = books.transfer(&hold(600)).await?;
    books.write("/v1/ledger/transfers", &transfer(0, 1, "1.00")).await?;
    let posted = stack.post(&books.token, &format!("/v1/ledger/transfers/{fresh}/post"), &json!({})).await?;
    ensure!(posted.status.as_u16() == 200, "{}", posted.text);

    let times = recorded(&stack).await?;
    ensure!(times.is_sorted(), "times went back: {times:?}");
    ensure!(times.last().is_some_and(|it| *it > ahead), "{times:?}");
    let mut conn = stack.database.superuser().await?;
    let expired: Vec<String> =
        sqlx::query_scalar("select stream_id::text from store.events where type = 'ledger.hold-expired'")
            .fetch_all(&mut conn)
            .await?;
    ensure!(expired == [soon.clone()], "{expired:?}, not {soon}");
    Ok(())
}
