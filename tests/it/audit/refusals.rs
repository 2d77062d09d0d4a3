//! Counting: what comes often is told once and counted, over processes, floods, stops and kills.

use std::sync::Arc;

use event_store::{leaf::leaf, log};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::*;

/// Sends the same command so many times, some at once, and answers with the statuses.
async fn send(
    url: &str,
    token: &str,
    path: impl Fn(usize) -> String,
    count: usize,
) -> anyhow::Result<Vec<u16>> {
    let client = reqwest::Client::new();
    let sent = stream::iter(0..count).map(|n| {
        let key = Uuid::now_v7().to_string();
        let request = client.post(format!("{url}{}", path(n))).bearer_auth(token);
        let request = request.header("Idempotency-Key", key).json(&json!({}));
        async move { anyhow::Ok(request.send().await?.status().as_u16()) }
    });
    sent.buffer_unordered(32).collect::<Vec<_>>().await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_identical_refusals_are_two_entries() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = stack.owner(tenant(1))?;
    let stop = CancellationToken::new();
    let (url, stopped) = stack.command_api_until(stop.clone()).await?;
    let gone = Uuid::from_u128(0xdead);
    let statuses = send(&url, &owner, |_| format!("/v1/ledger/transfers/{gone}/void"), 1_000).await?;
    assert!(statuses.iter().all(|it| *it == 404));
    let first = told(&stack, 1).await?;
    assert_eq!((first.len(), counted(&first)), (1, 1), "the first is durable, the rest is counted");
    stop.cancel();
    stopped.await??;
    let both = told(&stack, 1).await?;
    assert_eq!((both.len(), counted(&both)), (2, 1_000));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_different_refusals_is_bounded_and_counted() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = stack.owner(tenant(1))?;
    let stop = CancellationToken::new();
    let (url, stopped) = stack.command_api_until(stop.clone()).await?;
    let path = |n: usize| format!("/v1/ledger/transfers/{}/void", Uuid::from_u128(0xdead_0000 + n as u128));
    let statuses = send(&url, &owner, path, 1_000).await?;
    assert!(statuses.iter().all(|it| *it == 404));
    stop.cancel();
    stopped.await??;
    let told = told(&stack, 1).await?;
    assert_eq!((told.len(), counted(&told)), (302, 1_000), "300 exactly, then one of the kind and its count");
    let coarse = told.iter().filter(|(_, it)| it["resource"] == "/v1/ledger/transfers/{id}/void");
    assert_eq!(coarse.count(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_within_a_batch_is_told_too() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let items: Vec<Value> = (0..5).map(|_| json!({ "transfer": transfer(1, 0, "100.01") })).collect();
    let answer =
        stack.post(&books.token, "/v1/ledger/batches", &json!({ "atomic": false, "items": items })).await?;
    assert_eq!(answer.status, StatusCode::OK);
    let all_or_none = json!({ "atomic": true, "items": [
        { "transfer": transfer(1, 0, "1.00") }, { "transfer": transfer(1, 77, "1.00") } ] });
    stack.post(&books.token, "/v1/ledger/batches", &all_or_none).await?;
    let told = told(&stack, 1).await?;
    let told: Vec<_> = told.iter().map(|(_, it)| (it["code"].clone(), it["count"].clone())).collect();
    assert_eq!(
        told,
        [(json!("ledger.insufficient-funds"), json!(5)), (json!("ledger.account-not-found"), json!(1))]
    );
    Ok(())
}

#[test]
fn a_process_that_is_killed_loses_no_first_refusal() -> Test {
    let kept = tokio::runtime::Runtime::new()?;
    let killed = tokio::runtime::Runtime::new()?;
    let stack = Arc::new(kept.block_on(Stack::commands_only())?);
    let owner = stack.owner(tenant(1))?;
    let (url, _) = killed.block_on(stack.command_api_until(CancellationToken::new()))?;
    let path =
        |n: usize| format!("/v1/ledger/transfers/{}/void", Uuid::from_u128(0xdead_0000 + n as u128 % 20));
    let statuses = kept.block_on(send(&url, &owner, path, 200))?;
    assert!(statuses.iter().all(|it| *it == 404));
    // Every task of it ends where it stands.
    killed.shutdown_background();
    let told = kept.block_on(told(&stack, 1))?;
    assert_eq!(told.len(), 20, "one of each kind; the counts died with the process");
    // In another process counting begins anew.
    let (url, _) = kept.block_on(stack.command_api_until(CancellationToken::new()))?;
    kept.block_on(send(&url, &owner, path, 20))?;
    assert_eq!(kept.block_on(self::told(&stack, 1))?.len(), 40);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_append_to_one_day_at_once_without_gaps() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let second = stack.another_command_api().await?;
    let reader = stack.another_query_api().await?;
    let owner = &books.token;
    let void = |from: usize| {
        move |n: usize| format!("/v1/ledger/transfers/{}/void", Uuid::from_u128((from + n) as u128))
    };
    let reads = async {
        let client = reqwest::Client::new();
        let asked = stream::iter(0..120).map(|n| {
            let url = if n % 2 == 0 { &reader } else { &stack.query_url };
            let request = client.get(format!("{url}/v1/events/1-{}", 100_000 + n)).bearer_auth(owner);
            async move { anyhow::Ok(request.send().await?.status().as_u16()) }
        });
        asked.buffer_unordered(16).collect::<Vec<_>>().await.into_iter().collect::<anyhow::Result<Vec<_>>>()
    };
    let moved = transfer(0, 1, "0.01");
    let writes = join_all((0..60).map(|_| books.transfer(&moved)));
    let (one, two, read, written) = tokio::join!(
        send(&stack.command_url, owner, void(1_000), 120),
        send(&second, owner, void(2_000), 120),
        reads,
        writes
    );
    for status in one?.iter().chain(&two?).chain(&read?) {
        assert_eq!(*status, 404);
    }
    assert!(written.into_iter().all(|it| it.is_ok()));
    let mut conn = stack.database.superuser().await?;
    let events = log::after(&mut conn, 0, 5_000).await?;
    let mut version = 0;
    let of_tenant = events.iter().filter(|it| it.tenant == tenant(1));
    for (n, event) in of_tenant.enumerate() {
        assert_eq!(event.tenant_seq, i64::try_from(n)? + 1);
        assert_eq!(event.leaf, leaf(event), "{}", event.event_type);
        if event.stream.category.code == 90 {
            version += 1;
            assert_eq!(event.version, version, "the day has no gap");
        }
    }
    assert_eq!(version, 360);
    assert!(events.windows(2).all(|pair| pair[0].recorded_at <= pair[1].recorded_at));
    // All origins open, whichever process made the key of the person.
    let page = books.all("/v1/events?category=audit.day", 200).await?;
    assert!(page.len() >= 360);
    assert!(page.iter().all(|it| it["meta"]["origin"]["ip"] == "127.0.0.1"));
    Ok(())
}

/// What a refused command costs beside one that succeeds: `cargo test -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn what_a_refusal_costs() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = stack.owner(tenant(1))?;
    let same = |_: usize| format!("/v1/ledger/transfers/{}/void", Uuid::from_u128(1));
    let other = |n: usize| format!("/v1/ledger/transfers/{}/void", Uuid::from_u128(2 + n as u128));
    for (what, count) in [("counted", 20_000), ("first of its kind", 290)] {
        let begun = std::time::Instant::now();
        match what {
            "counted" => send(&stack.command_url, &owner, same, count).await?,
            _ => send(&stack.command_url, &owner, other, count).await?,
        };
        let each = begun.elapsed() / u32::try_from(count)?;
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("{what}: {each:?} each, 32 at once\n"),
        )?;
    }
    Ok(())
}
