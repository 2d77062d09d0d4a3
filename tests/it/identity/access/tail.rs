//! What is told while the log is not looked at as it should be, and what makes up for it.

use std::collections::BTreeSet;

use anyhow::Context as _;
use domain::Decision;
use domain::ids::SessionId;
use domain::organisation::RoleRef;
use event_store::access::{AGE_MAX, CATEGORIES};
use sqlx::{Connection as _, Executor as _};
use tests::books::Books;
use tests::database::tenant;
use tests::members::Members;
use tests::sse::Reader;
use tests::stack::Stack;
use tests::until;
use uuid::Uuid;

use super::{Door, ENDED, PATIENCE, Test, all_open, doors, end};

/// Holds the log up for whoever looks at its tail, until it is rolled back.
const HOLD_UP: &str = "lock table run.heartbeat in access exclusive mode";

#[tokio::test(flavor = "multi_thread")]
async fn an_old_tail_answers_503() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let members = Members::of(&stack, tenant(1))?;
    let member = members.join(&[RoleRef::ADMIN]).await?;
    let operator = stack.owner(tenant(1))?;
    for token in [&member.token, &operator] {
        all_open(&stack, &doors, token).await?;
    }
    let live = stack.query(&member.token, "/v1/events/stream");
    let mut live = Reader::open(live.header("Quipu-Position", books.position())).await?;
    let mut blocker = stack.database.superuser().await?;
    let mut tx = blocker.begin().await?;
    tx.execute(HOLD_UP).await?;
    let unknown = (503, "auth.standing-unknown");
    for (door, token) in doors.iter().flat_map(|door| [(door, &member.token), (door, &operator)]) {
        until(PATIENCE, || async {
            let (status, code) = door.tells(&stack, token).await?;
            Ok((status, code.as_str()) == unknown)
        })
        .await
        .with_context(|| format!("{} goes on", door.url))?;
    }
    let refused = stack.get(&operator, "/v1/ledger/accounts").await?;
    assert_eq!((refused.code(), refused.header("retry-after")), ("auth.standing-unknown", "1"));
    // What is recorded meanwhile is not shown to somebody of whom it is not known whether they may see it.
    let moved = tests::ledger::transfer(tests::ledger::account(0), tests::ledger::account(1), "0.01")?;
    let position = members.done(moved).await?.position.to_string();
    assert!(refused.header("quipu-position") < position.as_str());
    tx.rollback().await?;
    for (door, token) in doors.iter().flat_map(|door| [(door, &member.token), (door, &operator)]) {
        until(PATIENCE, || async { Ok(door.tells(&stack, token).await? == door.open()) }).await?;
    }
    // The stream waited, and lost nothing.
    while live.next().await?.context("the stream goes on")?.id != position {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_while_the_tail_was_held_up_is_ended_once_it_goes_on_however_much_it_is() -> Test {
    const SESSIONS: usize = 1_500;
    let stack = Stack::commands_only().await?;
    let door = Door { url: stack.command_url.clone(), is_of_commands: true };
    let members = Members::of(&stack, tenant(1))?;
    let first = members.join(&[RoleRef::ADMIN]).await?;
    let ids: Vec<_> = (0..SESSIONS).map(|_| SessionId::new(Uuid::now_v7())).collect();
    let start = |it: &SessionId| -> Box<dyn Decision> { Box::new(members.start(first.user, *it)) };
    members.done_all(ids.iter().map(start)).await?;
    let tokens: Vec<_> = ids.iter().map(|it| members.token(first.user, *it)).collect::<Result<_, _>>()?;
    for token in &tokens {
        assert_eq!(door.tells(&stack, token).await?, door.open());
    }
    let mut blocker = stack.database.superuser().await?;
    let mut tx = blocker.begin().await?;
    tx.execute(HOLD_UP).await?;
    members.done_all(ids.iter().map(|it| -> Box<dyn Decision> { Box::new(end(*it)) })).await?;
    tx.rollback().await?;
    // Before it has seen all of them it lets nobody in.
    for token in tokens.iter().rev().chain(&tokens) {
        until(PATIENCE, || async {
            let (status, code) = door.tells(&stack, token).await?;
            Ok((status, code.as_str()) == ENDED)
        })
        .await?;
    }
    all_open(&stack, [&door], &first.token).await
}

/// The numbers in the parentheses or braces behind "category" in a definition.
fn categories(definition: &str) -> BTreeSet<i16> {
    let rest = definition.split_once("category").map_or("", |(_, rest)| rest);
    let list = rest.split(['(', '[']).find(|it| it.starts_with(|it: char| it.is_ascii_digit()));
    let numbers = list.unwrap_or_default().split([')', ']']).next().unwrap_or_default().split(',');
    numbers.filter_map(|it| it.trim().split(':').next()?.parse().ok()).collect()
}

#[tokio::test]
async fn the_tail_follows_every_category_that_answers_rest_on() -> Test {
    let stack = Stack::commands_only().await?;
    let mut conn = stack.database.superuser().await?;
    let expected: BTreeSet<i16> = CATEGORIES.into();
    for definition in [
        "select pg_get_indexdef('store.stream_events_access'::regclass)",
        "select pg_get_functiondef('store.access_since'::regproc)",
        "select 'category ' || qual from pg_policies where policyname = 'access_tail'",
    ] {
        let text: String = sqlx::query_scalar(definition).fetch_one(&mut conn).await?;
        assert_eq!(categories(&text), expected, "{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_moves_the_row_by_which_a_standby_knows_its_age() -> Test {
    let stack = Stack::whole().await?;
    let beat = || async {
        let mut conn = stack.database.superuser().await?;
        anyhow::Ok(
            sqlx::query_scalar::<_, chrono::DateTime<chrono::Utc>>("select beat_at from run.heartbeat")
                .fetch_one(&mut conn)
                .await?,
        )
    };
    let first = beat().await?;
    until(PATIENCE, || async { Ok(beat().await? > first) }).await?;
    let second = beat().await?;
    until(AGE_MAX, || async { Ok(beat().await? > second) }).await
}
