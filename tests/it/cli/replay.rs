//! The whole log once more: through this build, and to NATS.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tests::books::{Books, held, transfer};
use tests::cli::Cli;
use tests::database::{execute, tenant};
use tests::stack::{Stack, nats_url};
use uuid::Uuid;

use super::Test;

async fn busy(stack: &Stack) -> anyhow::Result<()> {
    for n in [1, 2] {
        let books = Books::with_accounts(stack, tenant(n), 3).await?;
        for cents in 1..=20 {
            books.transfer(&transfer(1, 2, &format!("0.{cents:02}"))).await?;
        }
        let hold = books.transfer(&held(2, 3, "5.00", 3600)).await?;
        books.write(&format!("/v1/ledger/transfers/{hold}/void"), &json!({})).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_whether_this_build_understands_every_event() -> Test {
    let stack = Stack::whole().await?;
    busy(&stack).await?;
    let cli = Cli::owner(&stack, tenant(1))?;
    let mut conn = stack.database.superuser().await?;
    let stored: i64 = sqlx::query_scalar("select count(*) from store.events").fetch_one(&mut conn).await?;
    let streams: i64 = sqlx::query_scalar(
        "select count(distinct (tenant_id, category, stream_id)) from store.stream_events",
    )
    .fetch_one(&mut conn)
    .await?;
    let report: Value = serde_json::from_str(&cli.good(&["replay", "--dry-run", "--json"]).await?.out)?;
    let counted: i64 =
        report["types"].as_array().unwrap().iter().filter_map(|it| it["seen"]["events"].as_i64()).sum();
    assert_eq!((&report["sound"], counted, &report["streams"]), (&json!(true), stored, &json!(streams)));
    // Beginning in the middle, states come from the events before.
    let middle = format!("1-{}", stored / 2);
    assert!(
        cli.good(&["replay", "--dry-run", "--from", &middle]).await?.out.contains("understands all of them")
    );

    let newest =
        "where position = (select max(position) from store.events where type = 'ledger.transfer-posted')";
    for (damage, undo, told) in [
        ("schema_version = 9", "schema_version = 1", "newer"),
        (
            "payload = replace(payload::text, 'legs', 'limbs')::json",
            "payload = replace(payload::text, 'limbs', 'legs')::json",
            "malformed",
        ),
        ("version = version + 5", "version = version - 5", "unfolded"),
    ] {
        let change = |what: &str| {
            format!("set session_replication_role = replica; update store.events set {what} {newest}")
        };
        execute(&mut conn, change(damage)).await?;
        let ran = cli.run(&["replay", "--dry-run", "--json"]).await?;
        assert_eq!(ran.code, 1, "{told}: {ran:?}");
        let report: Value = serde_json::from_str(&ran.out)?;
        let found: u64 =
            report["types"].as_array().unwrap().iter().filter_map(|it| it["seen"][told].as_u64()).sum();
        assert!(found >= 1, "{told}: {report}");
        assert!(!report["faults"].as_array().unwrap().is_empty());
        execute(&mut conn, change(undo)).await?;
    }
    assert_eq!(cli.run(&["replay", "--dry-run"]).await?.code, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_fills_a_stream_of_its_own_and_goes_on_where_it_ended() -> Test {
    let stack = Stack::whole().await?;
    busy(&stack).await?;
    let cli = Cli::owner(&stack, tenant(1))?;
    std::fs::write(cli.file("nats"), nats_url()?)?;
    let name = format!("t-{}", Uuid::now_v7().simple());
    let mut conn = stack.database.superuser().await?;
    let wanted: Vec<(String, i64)> = sqlx::query_as(
        "select event_id::text, position from store.events where type = 'ledger.transfer-posted' and tenant_id = $1 order by position",
    )
    .bind(tenant(1).uuid())
    .fetch_all(&mut conn)
    .await?;
    let middle = format!("1-{}", wanted[wanted.len() / 2].1);
    let one = tenant(1).to_string();
    let base = [
        "replay",
        "--to-nats",
        &name,
        "--tenant",
        &one,
        "--subject",
        "quipu.*.ledger.transfer.posted",
        "--json",
    ];
    let first: Value =
        serde_json::from_str(&cli.good(&[&base[..], &["--until", &middle]].concat()).await?.out)?;
    assert_eq!(first["messages"], wanted.len() / 2 + 1);
    let whole: Value = serde_json::from_str(&cli.good(&base).await?.out)?;
    assert_eq!(whole["messages"], wanted.len());
    let again: Value = serde_json::from_str(&cli.good(&base).await?.out)?;
    assert_eq!(again["messages"], wanted.len(), "nothing is sent twice");

    let url = nats_url()?;
    let (login, server) = url.trim_start_matches("nats://").split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let client = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
        .connect(server)
        .await?;
    let context = async_nats::jetstream::new(client);
    let replayed = context.get_stream(format!("quipu-replay-{name}")).await?;
    let consumer = replayed.create_consumer(async_nats::jetstream::consumer::pull::Config::default()).await?;
    let mut messages = consumer.messages().await?.take(wanted.len());
    let mut seen = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message.map_err(anyhow::Error::from)?;
        assert_eq!(message.subject.as_str(), format!("quipu-replay.{name}.{one}.ledger.transfer.posted"));
        seen.push(message.headers.as_ref().and_then(|it| it.get("ce-id")).map(ToString::to_string).unwrap());
    }
    assert_eq!(seen, wanted.iter().map(|it| it.0.clone()).collect::<Vec<_>>());
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
    context.delete_stream(format!("quipu-replay-{name}")).await?;
    Ok(())
}
