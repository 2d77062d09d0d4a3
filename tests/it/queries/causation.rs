//! What an event came from and what followed, from real chains: a request, its events, and what a process made of them.

use anyhow::Context as _;
use projector::{Projector, ProjectorOptions, ReactorOptions};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::books::{Books, held, transfer};
use tests::database::{master_key, tenant};
use tests::stack::{FIRST_POSITION, Stack, answer, quick};
use tests::until;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{PATIENCE, Test, number, text};

/// A tree as text: the types of its events, children in brackets.
fn shape(nodes: &Value) -> String {
    let nodes = nodes.as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |it: &Value| {
        let mark = if it["asked_for"] == json!(true) { "*" } else { "" };
        let name = format!("{}{mark}", text(it, "type").trim_start_matches("ledger."));
        match shape(&it["children"]) {
            inner if inner.is_empty() => name,
            inner => format!("{name}({inner})"),
        }
    };
    nodes.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_did_hangs_on_the_event_that_it_followed() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let shutdown = CancellationToken::new();
    let _stops = shutdown.clone().drop_guard();
    let options = ProjectorOptions::new(stack.database.options("quipu_projector")?, shutdown);
    let reactor = ReactorOptions::new(stack.database.options("quipu_reactor")?, master_key()?);
    let _reactor = Projector::start(ProjectorOptions { reactor: Some(reactor), timing: quick(), ..options });
    // One request, three events; two of its holds end by themselves.
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let items = [held(1, 2, "1.00", 1), transfer(0, 1, "5.00"), held(2, 1, "2.00", 1)];
    let items: Vec<Value> = items.iter().map(|it| json!({ "transfer": it })).collect();
    let request = stack
        .command(&books.token, "/v1/ledger/batches")
        .header("Idempotency-Key", "k")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .json(&json!({ "items": items }));
    let made = answer(request).await?;
    assert!(made.status.is_success(), "{}", made.text);
    let last = number(made.header("quipu-position"));
    let correlation = Uuid::parse_str(trace)?;
    let listed = format!("/v1/events?order=oldest&correlation={correlation}");
    until(PATIENCE, || async { Ok(books.all(&listed, 200).await?.len() == 5) }).await?;
    let events = books.all(&listed, 200).await?;
    for (asked, expected) in [
        (last - 2, "transfer-held*(hold-expired) transfer-posted transfer-held(hold-expired)"),
        (last - 1, "transfer-held(hold-expired) transfer-posted* transfer-held(hold-expired)"),
        (number(text(&events[3], "position")), ""),
        (number(text(&events[4], "position")), ""),
    ] {
        let tree = books.read(&format!("/v1/events/1-{asked}/causation")).await?.json;
        assert_eq!(text(&tree, "correlation"), correlation.to_string());
        assert_eq!(tree["truncated"], json!(false));
        let drawn = shape(&tree["events"]);
        if expected.is_empty() {
            assert_eq!(drawn.matches("hold-expired*").count(), 1, "{drawn}");
            assert_eq!(
                drawn.replace('*', ""),
                "transfer-held(hold-expired) transfer-posted transfer-held(hold-expired)"
            );
        } else {
            assert_eq!(drawn, expected);
        }
        assert_eq!(text(&tree, "began_at"), text(&events[0], "recorded_at"));
    }
    let tree = books.read(&format!("/v1/events/1-{last}/causation")).await?.json;
    let hold = &tree["events"][2];
    let expiry = &hold["children"][0];
    assert_eq!(expiry["causation"], hold["event_id"], "the event that it followed");
    assert_eq!(hold.get("causation"), None, "the command itself");
    assert_eq!(text(expiry, "actor"), Uuid::nil().to_string(), "nobody but the process");
    assert_eq!(text(hold, "actor"), Uuid::from_u128(0xac70).to_string());
    assert!(expiry["elapsed_ms"].as_i64().context("a span")? >= 1_000, "{expiry}");
    let stored = events.iter().find(|it| it["event_id"] == expiry["event_id"]).context("the event")?;
    for name in ["position", "type", "stream", "recorded_at"] {
        assert_eq!(stored[name], expiry[name], "{name}");
    }
    // What another command did has another tree.
    let other = books.read(&format!("/v1/events/{FIRST_POSITION}/causation")).await?.json;
    assert_eq!(shape(&other["events"]), "account-opened*");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_of_too_many_events_shows_those_around_the_one_in_question() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let items: Vec<Value> = (0..600).map(|_| json!({ "transfer": transfer(0, 1, "0.01") })).collect();
    let mut newest = String::new();
    for key in ["one", "two"] {
        let request = stack
            .command(&books.token, "/v1/ledger/batches")
            .header("Idempotency-Key", key)
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .json(&json!({ "items": items }));
        let made = answer(request).await?;
        assert!(made.status.is_success(), "{}", made.text);
        made.header("quipu-position").clone_into(&mut newest);
    }
    let (last, first) = (number(&newest), number(&newest) - 1_199);
    for (asked, shown) in
        [(first, first..=first + 999), (last, last - 999..=last), (first + 600, first + 101..=first + 1_100)]
    {
        let answer = stack.get_at(&books.token, &format!("/v1/events/1-{asked}/causation"), &newest).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.json["truncated"], json!(true));
        let events = answer.json["events"].as_array().context("events")?;
        let positions: Vec<i64> = events.iter().map(|it| number(text(it, "position"))).collect();
        assert_eq!(positions, shown.collect::<Vec<_>>(), "around {asked}");
        let marked: Vec<i64> = events
            .iter()
            .filter(|it| it["asked_for"] == json!(true))
            .map(|it| number(text(it, "position")))
            .collect();
        assert_eq!(marked, [asked]);
    }
    Ok(())
}
