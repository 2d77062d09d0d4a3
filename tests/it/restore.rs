//! A database that was brought back from a backup: nobody goes on by mistake, and after an operator has spoken all do.

use std::time::Duration;

use anyhow::Context as _;
use event_store::epoch;
use projector::rebuild::{Control, Options, Rebuilder};
use projector::{Projector, ProjectorOptions, State};
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_kit::config::NatsConfig;
use tests::database::{Database, tenant};
use tests::nats::Nats;
use tests::postgres::Postgres;
use tests::stack::{Answer, Stack, answer, quick};
use tests::until;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(60);

fn account(n: u128) -> Uuid {
    Uuid::from_u128(0x4e57_0000 + n)
}

async fn open(stack: &Stack, owner: &str, n: u128, min_balance: Option<&str>) -> Test {
    let body =
        json!({ "id": account(n), "name": "an account", "currency": "EUR", "min_balance": min_balance });
    let opened = stack.post(owner, "/v1/ledger/accounts", &body).await?;
    anyhow::ensure!(opened.status == StatusCode::CREATED, "{}", opened.text);
    Ok(())
}

fn one_euro() -> Value {
    let leg = |n, side| json!({ "account_id": account(n), "side": side, "amount": { "amount": "1.00", "currency": "EUR" } });
    json!({ "legs": [leg(1, "debit"), leg(2, "credit")] })
}

async fn post(stack: &Stack, owner: &str, key: &str) -> anyhow::Result<Answer> {
    let request = stack.command(owner, "/v1/ledger/transfers").header("Idempotency-Key", key);
    answer(request.json(&one_euro())).await
}

async fn posted(stack: &Stack, owner: &str, key: &str) -> anyhow::Result<String> {
    let done = post(stack, owner, key).await?;
    anyhow::ensure!(done.status == StatusCode::CREATED, "{}", done.text);
    Ok(done.header("Quipu-Position").to_owned())
}

async fn start_projector(
    database: &Database,
    nats: &Nats,
    shutdown: &CancellationToken,
) -> anyhow::Result<Projector> {
    let client = service_kit::nats::connect(&NatsConfig::at(&nats.url()), "test").await?;
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    let options = ProjectorOptions { timing: quick(), connections_max: 12, ..options };
    Ok(Projector::start(ProjectorOptions { nats: Some(client), ..options }))
}

/// Waits until every follower stands still, and answers with what one of them says.
async fn all_stopped(projector: &Projector) -> anyhow::Result<String> {
    until(PATIENCE, || async {
        let followers: Vec<_> = projector.status().into_iter().filter(|it| it.name != "publisher").collect();
        Ok(!followers.is_empty() && followers.iter().all(|it| it.state == State::Stopped))
    })
    .await?;
    let stopped = projector.status().into_iter().find(|it| it.state == State::Stopped);
    Ok(stopped.and_then(|it| it.detail).unwrap_or_default())
}

async fn last_message(nats: &Nats) -> anyhow::Result<String> {
    Ok(nats.messages().await?.pop().map(|it| it.position).unwrap_or_default())
}

async fn published(projector: &Projector, nats: &Nats, position: &str) -> Test {
    let is_last = || async { Ok(last_message(nats).await.is_ok_and(|it| it == position)) };
    let last = until(PATIENCE, is_last).await;
    last.with_context(|| format!("{position} is not the last message: {:?}", projector.status()))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_nobody_goes_on_until_the_epoch_is_bumped() -> Test {
    let (server, nats) = (Postgres::start().await?, Nats::start().await?);
    let stack = Stack::commands_on(Database::on(server.options()).await?).await?;
    let owner = stack.owner(tenant(1))?;
    let before = CancellationToken::new();
    let projector = start_projector(&stack.database, &nats, &before).await?;
    open(&stack, &owner, 1, None).await?;
    open(&stack, &owner, 2, Some("0")).await?;
    posted(&stack, &owner, "first").await?;

    server.back_up().await?;
    let kept = posted(&stack, &owner, "kept").await?;
    server.mark("the middle").await?;
    let lost = posted(&stack, &owner, "lost").await?;
    published(&projector, &nats, &lost).await?;
    before.cancel();
    projector.stopped().await;

    server.restore("the middle").await?;
    // The command API has lived through it. It finds another timeline and will not write on it.
    let refused = post(&stack, &owner, "too early").await?;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text);
    for refused in [stack.another_command_api().await, stack.another_query_api().await] {
        let said = format!("{:#}", refused.expect_err("it must not start"));
        assert!(said.contains("quipu epoch bump"), "{said}");
    }
    let shutdown = CancellationToken::new();
    let projector = start_projector(&stack.database, &nats, &shutdown).await?;
    let said = all_stopped(&projector).await?;
    assert!(said.contains("quipu epoch bump"), "{said}");
    assert_eq!(last_message(&nats).await?, lost, "nothing is published");
    shutdown.cancel();
    projector.stopped().await;

    let mut conn = stack.database.superuser().await?;
    assert_eq!(epoch::accept_timeline(&mut conn, true).await?, 2);

    // Commands go on in the new epoch, once who may act is known again, and remember what the backup and its log remembered.
    until(PATIENCE, || async {
        Ok(post(&stack, &owner, "kept").await?.status != StatusCode::SERVICE_UNAVAILABLE)
    })
    .await?;
    let replayed = post(&stack, &owner, "kept").await?;
    assert_eq!((replayed.status, replayed.header("Idempotent-Replayed")), (StatusCode::CREATED, "true"));
    // What was answered 503 is in doubt until it is asked again under its key: it lands once, sooner or later.
    let early = posted(&stack, &owner, "too early").await?;
    assert_eq!(early, lost.replacen("1-", "2-", 1), "the same place, in another history");
    let anew = posted(&stack, &owner, "lost").await?;
    assert_ne!(anew, early);

    // Tokens of the old epoch are void, even those of what is still there.
    let query_url = stack.another_query_api().await?;
    for old in [&kept, &lost] {
        let read = reqwest::Client::new().get(format!("{query_url}/v1/ledger/accounts")).bearer_auth(&owner);
        let read = answer(read.header("Quipu-Position", old)).await?;
        assert_eq!((read.status, read.code()), (StatusCode::CONFLICT, "read.epoch-changed"), "{old}");
    }

    // The read models' checkpoints are of the old epoch: they refuse, and nothing but a rebuild helps them.
    let shutdown = CancellationToken::new();
    let projector = start_projector(&stack.database, &nats, &shutdown).await?;
    let said = all_stopped(&projector).await?;
    assert!(said.contains("of epoch 1, the log of epoch 2"), "{said}");

    // Consumers are told before anything of the new epoch comes.
    published(&projector, &nats, &anew).await?;
    let messages = nats.messages().await?;
    let marker = messages.iter().position(|it| it.subject.ends_with(".platform.log.epoch-changed"));
    let marker = marker.expect("a marker");
    let body: Value = serde_json::from_str(&messages[marker].payload)?;
    assert_eq!(body["epoch"], 2);
    assert!(messages[..marker].iter().all(|it| it.position.starts_with("1-")));
    assert!(messages[marker..].iter().all(|it| it.position.starts_with("2-")));
    assert_eq!(messages[..marker].last().map(|it| it.position.clone()), Some(lost));
    shutdown.cancel();
    projector.stopped().await;

    // Built anew from what the log holds now, they answer in the new epoch.
    let rebuilder = Rebuilder::new(stack.database.options("quipu_projector")?, 2);
    for model in rebuilder.models() {
        rebuilder.rebuild(model, &Options::default(), &Control::default()).await?;
    }
    let balance = format!("{query_url}/v1/ledger/accounts/{}/balance", account(2));
    let read = reqwest::Client::new().get(balance).bearer_auth(&owner).header("Quipu-Position", &anew);
    let read = answer(read).await?;
    assert_eq!(
        (read.status, read.header("Quipu-Position")),
        (StatusCode::OK, anew.as_str()),
        "{}",
        read.text
    );
    assert_eq!(read.json["balance"], "4.00", "the first, the kept, and the two that were sent again");
    Ok(())
}
