//! What arrives on NATS, whatever happens to it: every event, in order, once after deduplication.

use std::time::Duration;

use event_store::Unit;
use projector::{Projector, ProjectorOptions};
use service_kit::config::NatsConfig;
use tests::database::{Database, cause, tenant};
use tests::ledger::{accepted, account, set_up, transfer};
use tests::nats::{Message, Nats};
use tests::until;
use tokio_util::sync::CancellationToken;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(30);

async fn start(database: &Database, nats: &Nats, shutdown: &CancellationToken) -> anyhow::Result<Projector> {
    let client = service_kit::nats::connect(&NatsConfig::at(&nats.url()), "test").await?;
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    Ok(Projector::start(ProjectorOptions { nats: Some(client), connections_max: 12, ..options }))
}

async fn post(database: &Database, count: usize) -> Test {
    let executor = database.executor()?;
    let units =
        (0..count).map(|_| Ok(Unit::new(tenant(1), cause(), transfer(account(1), account(2), "0.01")?)));
    for outcome in executor.submit_all(tenant(1), units.collect::<anyhow::Result<_>>()?).await {
        accepted(&outcome?)?;
    }
    Ok(())
}

async fn head(database: &Database) -> anyhow::Result<usize> {
    let mut conn = database.superuser().await?;
    let head: i64 = sqlx::query_scalar("select position from store.log_head").fetch_one(&mut conn).await?;
    Ok(usize::try_from(head)?)
}

/// Waits until the stream ends with the head of the log, then compares all of it.
async fn complete(database: &Database, nats: &Nats) -> anyhow::Result<Vec<Message>> {
    let head = head(database).await?;
    until(PATIENCE, || async {
        let Ok(messages) = nats.messages().await else { return Ok(false) };
        Ok(messages.last().is_some_and(|it| it.position == format!("1-{head}")))
    })
    .await?;
    let messages = nats.messages().await?;
    let positions: Vec<String> = messages.iter().map(|it| it.position.clone()).collect();
    let expected: Vec<String> = (1..=head).map(|n| format!("1-{n}")).collect();
    assert_eq!(positions, expected, "every event, in order, once");
    Ok(messages)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_as_cloud_events_on_their_subjects() -> Test {
    let (database, nats) = (Database::fresh().await?, Nats::start().await?);
    let shutdown = CancellationToken::new();
    let _projector = start(&database, &nats, &shutdown).await?;
    set_up(&database.executor()?, tenant(1), 2, "10.00").await?;
    post(&database, 50).await?;
    let messages = complete(&database, &nats).await?;
    let last = messages.last().expect("messages");
    assert_eq!(last.subject, format!("quipu.{}.ledger.transfer.posted", tenant(1)));
    assert_eq!(last.event_type, "ledger.transfer-posted");
    let mut conn = database.superuser().await?;
    let (id, payload): (uuid::Uuid, String) =
        sqlx::query_as("select event_id, payload::text from store.events order by position desc limit 1")
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(last.id, id.to_string());
    let body: serde_json::Value = serde_json::from_str(&last.payload)?;
    assert_eq!(body, serde_json::from_str::<serde_json::Value>(&payload)?);
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fan_out_goes_on_after_nats_was_killed() -> Test {
    let (database, mut nats) = (Database::fresh().await?, Nats::start().await?);
    set_up(&database.executor()?, tenant(1), 2, "100.00").await?;
    let shutdown = CancellationToken::new();
    let _projector = start(&database, &nats, &shutdown).await?;
    complete(&database, &nats).await?;
    nats.kill().await?;
    post(&database, 500).await?;
    nats.back().await?;
    complete(&database, &nats).await?;
    post(&database, 5).await?;
    complete(&database, &nats).await?;
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_nats_is_filled_again() -> Test {
    let (database, mut nats) = (Database::fresh().await?, Nats::start().await?);
    set_up(&database.executor()?, tenant(1), 2, "100.00").await?;
    post(&database, 300).await?;
    let shutdown = CancellationToken::new();
    let _projector = start(&database, &nats, &shutdown).await?;
    complete(&database, &nats).await?;
    nats.wipe().await?;
    nats.back().await?;
    post(&database, 3).await?;
    complete(&database, &nats).await?;
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_nats_is_completed() -> Test {
    let (database, mut nats) = (Database::fresh().await?, Nats::start().await?);
    set_up(&database.executor()?, tenant(1), 2, "100.00").await?;
    let shutdown = CancellationToken::new();
    let _projector = start(&database, &nats, &shutdown).await?;
    complete(&database, &nats).await?;
    nats.kill().await?;
    let copy = nats.copy()?;
    nats.back().await?;
    post(&database, 200).await?;
    complete(&database, &nats).await?;
    nats.kill().await?;
    nats.put_back(&copy)?;
    nats.back().await?;
    post(&database, 1).await?;
    complete(&database, &nats).await?;
    shutdown.cancel();
    Ok(())
}

/// An older copy of the database is put in its place, and nobody says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_set_back_is_found_and_nothing_is_published_until_the_epoch_is_another() -> Test {
    let (database, nats) = (Database::fresh().await?, Nats::start().await?);
    set_up(&database.executor()?, tenant(1), 2, "100.00").await?;
    let lived = CancellationToken::new();
    let projector = start(&database, &nats, &lived).await?;
    complete(&database, &nats).await?;
    lived.cancel();
    projector.stopped().await;
    let copy = database.copy().await?;
    let common = head(&copy).await?;
    let lived = CancellationToken::new();
    let projector = start(&database, &nats, &lived).await?;
    post(&database, 5).await?;
    let published = complete(&database, &nats).await?.len();
    lived.cancel();
    projector.stopped().await;

    let shutdown = CancellationToken::new();
    let projector = start(&copy, &nats, &shutdown).await?;
    let refusal = || projector.board().refusal("publisher").err();
    until(PATIENCE, async || Ok(refusal().is_some())).await?;
    let said = refusal().unwrap_or_default();
    assert!(said.contains("the log was set back") && said.contains("quipu epoch bump"), "{said}");
    // As many as were lost, so that the newest position is one that NATS has.
    post(&copy, 5).await?;
    assert!(refusal().is_some());
    assert_eq!(
        nats.messages().await?.len(),
        published,
        "nothing is published under a position that was given out"
    );

    let mut conn = copy.superuser().await?;
    event_store::epoch::accept_timeline(&mut conn, true).await?;
    let head = head(&copy).await?;
    until(PATIENCE, async || {
        Ok(nats.messages().await?.last().is_some_and(|it| it.position == format!("2-{head}")))
    })
    .await?;
    assert_eq!(refusal(), None);
    let anew = nats.messages().await?.split_off(published);
    let positions: Vec<String> = anew.iter().map(|it| it.position.clone()).collect();
    let expected: Vec<String> = (common..=head).map(|n| format!("2-{n}")).collect();
    assert_eq!(positions, expected, "the marker, and every event behind what both have");
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_publish_once() -> Test {
    let (database, nats) = (Database::fresh().await?, Nats::start().await?);
    set_up(&database.executor()?, tenant(1), 2, "100.00").await?;
    let shutdown = CancellationToken::new();
    let _a = start(&database, &nats, &shutdown).await?;
    let _b = start(&database, &nats, &shutdown).await?;
    for _ in 0..10 {
        post(&database, 50).await?;
        // Whoever leads is deposed while it publishes.
        let mut conn = database.superuser().await?;
        sqlx::query("update run.publisher set lease_epoch = lease_epoch + 1, lease_until = '-infinity'")
            .execute(&mut conn)
            .await?;
    }
    complete(&database, &nats).await?;
    shutdown.cancel();
    Ok(())
}
