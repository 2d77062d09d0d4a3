//! Events are found by every part of their envelope, by their own tenant only, and shown to the letter.

use std::collections::BTreeSet;

use anyhow::Context as _;
use domain::ids::ActorId;
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_kit::token::Role;
use tests::books::{Books, account, dated, held, id, transfer};
use tests::database::{execute, tenant};
use tests::stack::{Stack, answer};
use uuid::Uuid;

use super::{Test, number, text};

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_every_part_of_their_envelope() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 3).await?;
    let mut colleague = stack.claims(tenant(1), Role::Owner);
    colleague.sub = ActorId::new(Uuid::from_u128(0xb0b));
    let colleague = stack.signer.mint(&colleague)?;
    for n in 1..=3 {
        stack.post(&colleague, "/v1/ledger/transfers", &transfer(n, 0, "1.00")).await?;
    }
    let items: Vec<Value> = (1..=3).map(|n| json!({ "transfer": transfer(0, n, "2.00") })).collect();
    books.write("/v1/ledger/batches", &json!({ "items": items })).await?;
    books.transfer(&held(1, 2, "1.00", 3600)).await?;
    books.write(&format!("{}/freeze", account(3)), &json!({ "side": "both" })).await?;
    // Each of these reads is an event itself.
    let all = books.all("/v1/events?before=1-17", 200).await?;
    let positions: Vec<i64> = all.iter().map(|it| number(text(it, "position"))).collect();
    assert_eq!(positions, (2..=16).rev().collect::<Vec<_>>(), "all of them, the newest first");
    let meta = |it: &Value, name: &str| text(&it["meta"], name).to_owned();
    let legs = |it: &Value, account: u128| {
        it["payload"]["legs"]
            .as_array()
            .is_some_and(|legs| legs.iter().any(|leg| leg["account_id"] == id(account)))
    };
    let (middle, later) = (text(&all[9], "recorded_at").to_owned(), text(&all[3], "recorded_at").to_owned());
    let correlations: BTreeSet<String> = all.iter().map(|it| meta(it, "correlation")).collect();
    assert!(correlations.len() >= 10, "each request has its own: {correlations:?}");
    let batch = meta(&all[3], "correlation");
    let actor = Uuid::from_u128(0xb0b).to_string();
    let own_stream = text(&all[1], "stream").to_owned();
    let linked = format!("ledger.account/{}", id(1));
    type Wanted<'a> = Box<dyn Fn(&Value) -> bool + 'a>;
    let filters: Vec<(String, usize, Wanted<'_>)> = vec![
        (
            "type=ledger.account-opened".to_owned(),
            4,
            Box::new(|it| text(it, "type") == "ledger.account-opened"),
        ),
        (
            "type=ledger.transfer-posted".to_owned(),
            9,
            Box::new(|it| text(it, "type") == "ledger.transfer-posted"),
        ),
        (
            "category=ledger.transfer".to_owned(),
            10,
            Box::new(|it| text(it, "stream").starts_with("ledger.transfer/")),
        ),
        (
            "category=ledger.account".to_owned(),
            5,
            Box::new(|it| text(it, "stream").starts_with("ledger.account/")),
        ),
        (format!("stream={own_stream}"), 1, Box::new(|it| text(it, "stream") == own_stream)),
        (format!("stream={linked}"), 5, Box::new(|it| text(it, "stream") == linked || legs(it, 1))),
        (format!("actor={actor}"), 3, Box::new(|it| meta(it, "actor") == actor)),
        (format!("correlation={batch}"), 3, Box::new(|it| meta(it, "correlation") == batch)),
        (format!("from={middle}"), 10, Box::new(|it| text(it, "recorded_at") >= middle.as_str())),
        (format!("to={middle}"), 5, Box::new(|it| text(it, "recorded_at") < middle.as_str())),
        (
            format!("from={middle}&to={later}"),
            5,
            Box::new(|it| (middle.as_str()..later.as_str()).contains(&text(it, "recorded_at"))),
        ),
        ("after=1-5".to_owned(), 11, Box::new(|it| number(text(it, "position")) > 5)),
        ("before=1-5".to_owned(), 3, Box::new(|it| number(text(it, "position")) < 5)),
        ("after=1-16".to_owned(), 0, Box::new(|_| false)),
        ("type=ledger.period-closed".to_owned(), 0, Box::new(|_| false)),
        (format!("actor={}", Uuid::from_u128(1)), 0, Box::new(|_| false)),
        (
            format!(
                "after=1-5&before=1-15&type=ledger.transfer-posted&stream={linked}&actor={actor}&category=ledger.transfer&from={}",
                text(&all[14], "recorded_at")
            ),
            1,
            Box::new(|it| meta(it, "actor") == actor && legs(it, 1)),
        ),
    ];
    for (filter, count, wanted) in &filters {
        let mut expected: Vec<&Value> = all.iter().filter(|it| wanted(it)).collect();
        assert_eq!(expected.len(), *count, "{filter}: what the test itself expects");
        for order in ["newest", "oldest"] {
            for limit in [1, 4, 200] {
                let until = if filter.contains("before=") { "" } else { "&before=1-17" };
                let found = books.all(&format!("/v1/events?order={order}{until}&{filter}"), limit).await?;
                assert_eq!(
                    found.iter().collect::<Vec<_>>(),
                    expected,
                    "{filter} {order} in pages of {limit}"
                );
            }
            expected.reverse();
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_shown_whole_and_to_the_letter() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let mut body = dated(0, 1, "1.10", "2020-01-05T12:00:00.123456Z");
    body["metadata"] = json!({ "b": "\u{e9}\"\\ </script>", "a": "1.0" });
    let request = stack
        .command(&books.token, "/v1/ledger/transfers")
        .header("Idempotency-Key", "k")
        .header("User-Agent", "a till/1.0")
        .json(&body);
    let made = answer(request).await?;
    let position = made.header("quipu-position");
    let path = format!("/v1/events/{position}");
    // It is read from the log itself: it is there at once.
    let shown = stack.get(&books.token, &path).await?;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    let mut conn = stack.database.superuser().await?;
    let (payload, event_id, meta): (String, Uuid, String) =
        sqlx::query_as("select payload::text, event_id, meta::text from store.events where position = $1")
            .bind(number(position))
            .fetch_one(&mut conn)
            .await?;
    assert!(shown.text.contains(&format!("\"payload\":{payload}")), "{} has not {payload}", shown.text);
    let event = &shown.json;
    let fields: Vec<&str> = event.as_object().context("an event")?.keys().map(String::as_str).collect();
    let mut expected = [
        "position",
        "tenant_seq",
        "type",
        "schema_version",
        "stream",
        "version",
        "event_id",
        "recorded_at",
        "payload",
        "meta",
    ];
    expected.sort_unstable();
    assert_eq!(fields.into_iter().collect::<BTreeSet<_>>(), expected.into_iter().collect());
    assert_eq!(
        (text(event, "position"), &event["tenant_seq"], text(event, "type")),
        (position, &json!(4), "ledger.transfer-posted")
    );
    assert_eq!((&event["schema_version"], &event["version"]), (&json!(1), &json!(1)));
    assert_eq!(text(event, "stream"), format!("ledger.transfer/{}", text(&made.json, "id")));
    assert_eq!(text(event, "event_id"), event_id.to_string());
    assert_eq!(text(&event["payload"], "effective_at"), "2020-01-05T12:00:00.123456Z");
    assert_eq!(event["payload"]["metadata"], body["metadata"]);
    assert_eq!(text(&event["meta"], "actor"), Uuid::from_u128(0xac70).to_string());
    assert!(!text(&event["meta"], "correlation").is_empty());
    assert_eq!(event["meta"]["origin"], json!({ "ip": "127.0.0.1", "user_agent": "a till/1.0" }), "opened");
    assert!(
        !meta.contains("127.0.0.1") && !meta.contains("a till") && meta.contains("$private"),
        "sealed in the log: {meta}"
    );
    let listed = format!("/v1/events?limit=1&before=1-{}", number(position) + 1);
    let listed = stack.get_at(&books.token, &listed, position).await?;
    assert_eq!(listed.json["items"][0], *event);
    // Whoever is erased is erased at once.
    execute(&mut conn, "set session_replication_role = replica; delete from keys.subject_keys".to_owned())
        .await?;
    let erased = stack.get(&books.token, &path).await?.json;
    assert!(erased["meta"]["origin"].is_null(), "{erased}");
    assert_eq!(erased["payload"], event["payload"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_page_of_a_small_tenant_in_a_large_log_is_its_own() -> Test {
    let stack = Stack::whole().await?;
    let (small, large) = (
        Books::with_accounts(&stack, tenant(1), 1).await?,
        Books::with_accounts(&stack, tenant(2), 2).await?,
    );
    let batch = json!({ "items": (0..700).map(|_| json!({ "transfer": transfer(1, 2, "0.01") })).collect::<Vec<_>>() });
    large.write("/v1/ledger/batches", &batch).await?;
    let newest = small.transfer(&transfer(0, 1, "1.00")).await?;
    large.write("/v1/ledger/batches", &batch).await?;
    let at = large.position();
    let until = format!("before=1-{}", number(&at) + 1);
    let events = stack.get_at(&small.token, &format!("/v1/events?limit=2&{until}"), &at).await?;
    let exact_to = number(events.header("quipu-position"));
    assert!(exact_to >= number(&at), "exact up to the newest event of anybody");
    let seqs: Vec<&Value> =
        events.json["items"].as_array().context("items")?.iter().map(|it| &it["tenant_seq"]).collect();
    assert_eq!(seqs, [&json!(4), &json!(3)]);
    assert_eq!(text(&events.json["items"][0], "stream"), format!("ledger.transfer/{newest}"));
    let transfers = stack.get_at(&small.token, "/v1/ledger/transfers?limit=1", &at).await?;
    assert_eq!(text(&transfers.json["items"][0], "transfer_id"), newest);
    assert_eq!(small.all(&format!("/v1/events?order=oldest&{until}"), 1).await?.len(), 4);
    assert_eq!(small.all("/v1/ledger/transfers", 1).await?.len(), 2);
    assert_eq!(large.all(&format!("/v1/events?{until}"), 200).await?.len(), 1_405);
    assert_eq!(large.all(&format!("{}/entries", account(2)), 200).await?.len(), 1_401);
    Ok(())
}
