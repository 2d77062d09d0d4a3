//! The migrator on a database that is at work: commands wait a moment at most, and none fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use sqlx::Executor as _;
use sqlx::{ConnectOptions as _, PgConnection};
use tests::books::Books;
use tests::database::tenant;
use tests::stack::Stack;

use super::restarts::{Writer, reconcile};
use super::{Test, note};

const WRITERS: u128 = 6;

/// What a next release may bring: a table, a column with a default, and functions that the running build calls, made anew.
const NEXT: &str = "
    create table store.of_the_next_release (id bigint primary key, text text not null);
    alter table store.claims add column of_the_next_release integer not null default 7;
    alter table store.tenant_marks add column of_the_next_release text;
    do $$ begin
        execute (select pg_get_functiondef(oid) from pg_proc
                 where pronamespace = 'store'::regnamespace and proname = 'append' order by pronargs desc limit 1);
        execute pg_get_functiondef('store.stream_tail'::regproc);
    end $$;
    select store.ensure_partitions();
";

async fn migrate_further(owner: &mut PgConnection, folder: &std::path::Path) -> Test {
    sqlx::migrate::Migrator::new(folder).await?.run(owner).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_run_under_load_and_no_command_fails() -> Test {
    let stack = Arc::new(Stack::commands_only().await?);
    Books::with_accounts(&stack, tenant(1), WRITERS).await?;
    let folder = tempfile::tempdir()?;
    let released = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    for entry in std::fs::read_dir(released)? {
        let entry = entry?;
        std::fs::copy(entry.path(), folder.path().join(entry.file_name()))?;
    }
    std::fs::write(folder.path().join("9000_of_the_next_release.sql"), NEXT)?;
    let writers = Writer::start(&stack, WRITERS)?;
    let mut owner = stack.database.options("quipu_owner")?.connect().await?;
    owner.execute("set lock_timeout = '10s'").await?;
    let mut took = Vec::new();
    for round in 0..5 {
        // The released ones again, which changes nothing; then, once, one that is new; and the partitions over and over.
        let begun = Instant::now();
        event_store::migrate(&stack.database.url("quipu_owner")?).await?;
        if round == 2 {
            migrate_further(&mut owner, folder.path()).await?;
            std::fs::remove_file(folder.path().join("9000_of_the_next_release.sql"))?;
            owner.execute("delete from _sqlx_migrations where version = 9000").await?;
        }
        for _ in 0..50 {
            owner.execute("select store.ensure_partitions()").await?;
        }
        took.push(begun.elapsed());
        ensure!(writers.are_well(), "{:?}", writers.end().await.err());
    }
    let journal = writers.end().await?;
    note(format_args!(
        "migrations under load: {took:?}; {} transfers, {} put off",
        journal.done.len(),
        journal.put_off
    ))?;
    ensure!(journal.done.len() > 5 && journal.put_off == 0, "{} put off", journal.put_off);
    ensure!(took.iter().all(|it| *it < Duration::from_secs(10)));
    reconcile(&stack, &journal, i64::try_from(WRITERS)?).await
}
