//! Standing at any version of any stream, and what happened between two of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::StreamId;
use domain::identity::{MintAccessToken, Role as TokenRole};
use domain::ids::{ActorId, TokenId};
use domain::ledger::ClosePeriod;
use domain::metadata::Label;
use domain::organisation::{CreateTenant, Slug};
use event_schemas::catalog;
use event_schemas::history::Replay;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::books::{Books, account, held, id, transfer};
use tests::database::{execute, tenant};
use tests::ledger::{accepted, submit};
use tests::stack::Stack;
use tests::until;
use uuid::Uuid;

use super::{PATIENCE, Test, number, text};

/// Numbers in no order, the same ones each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Commands of every kind, some of them refused.
async fn busy(books: &Books<'_>, commands: u64) -> Test {
    let mut dice = Dice(0x5eed);
    let mut transfers: Vec<String> = vec![];
    for _ in 0..commands {
        let (from, to) = (u128::from(dice.roll(4)), u128::from(dice.roll(4)));
        let amount = format!("{}.{:02}", dice.roll(30), dice.roll(99) + 1);
        let known = usize::try_from(dice.roll(transfers.len().max(1) as u64))?;
        let known = transfers.get(known).cloned().unwrap_or_default();
        let (path, body) = match dice.roll(13) {
            0..4 => ("/v1/ledger/transfers".to_owned(), transfer(from, to, &amount)),
            4 | 5 => ("/v1/ledger/transfers".to_owned(), held(from, to, &amount, 3600)),
            6 => (format!("/v1/ledger/transfers/{known}/post"), json!({})),
            7 => (format!("/v1/ledger/transfers/{known}/void"), json!({})),
            8 => (
                format!("/v1/ledger/transfers/{known}/reverse"),
                json!({ "amount": { "amount": "0.10", "currency": "EUR" } }),
            ),
            9 => (
                format!("{}/freeze", account(from)),
                json!({ "side": if to > 1 { "debits" } else { "credits" } }),
            ),
            _ => (format!("{}/unfreeze", account(to)), json!({})),
        };
        let answer = books.stack.post(&books.token, &path, &body).await?;
        anyhow::ensure!(
            !answer.status.is_server_error() && answer.status != StatusCode::BAD_REQUEST,
            "{path}: {}",
            answer.text
        );
        if let (true, Some(made)) = (answer.status.is_success(), answer.json["id"].as_str()) {
            transfers.push(made.to_owned());
        }
    }
    Ok(())
}

/// Every stream of the tenant, with its events as they are stored: version, position, time, type, version of the type, payload.
type Stored = (i64, i64, chrono::DateTime<Utc>, String, i16, String);

async fn stored(stack: &Stack) -> anyhow::Result<BTreeMap<String, (StreamId, Vec<Stored>)>> {
    let mut conn = stack.database.superuser().await?;
    type Row = (i16, Uuid, i64, i64, chrono::DateTime<Utc>, String, i16, String);
    let rows: Vec<Row> = sqlx::query_as(
        "select s.category, s.stream_id, s.version, e.position, e.recorded_at, e.type, e.schema_version, e.payload::text
         from store.stream_events s join store.events e on e.position = s.position
         where s.tenant_id = $1 order by s.category, s.stream_id, s.version",
    )
    .bind(tenant(1).uuid())
    .fetch_all(&mut conn)
    .await?;
    let mut streams = BTreeMap::new();
    for (category, id, version, position, at, event_type, schema_version, payload) in rows {
        let stream = StreamId::new(catalog::category(category).context("a category")?, id);
        let (_, events) = streams.entry(stream.to_string()).or_insert((stream, vec![]));
        events.push((version, position, at, event_type, schema_version, payload));
    }
    Ok(streams)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_at_every_version_of_every_stream_is_the_fold() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 3).await?;
    busy(&books, 300).await?;
    let executor = stack.executor()?;
    let minted = MintAccessToken {
        token_id: TokenId::new(Uuid::from_u128(0x70)),
        subject: ActorId::new(Uuid::from_u128(0xac70)),
        roles: vec![TokenRole::Owner],
        expires_at: Utc::now() + TimeDelta::days(1),
    };
    accepted(&submit(&executor, tenant(1), minted).await?)?;
    let created =
        CreateTenant { tenant_id: tenant(9), slug: Slug::parse("nine")?, name: Label::parse("Nine")? };
    accepted(&submit(&executor, tenant(1), created).await?)?;
    let through = Utc::now() - TimeDelta::days(2);
    accepted(&submit(&executor, tenant(1), ClosePeriod { through }).await?)?;
    accepted(&submit(&executor, tenant(1), ClosePeriod { through: through + TimeDelta::days(1) }).await?)?;
    let streams = stored(&stack).await?;
    let categories: BTreeSet<&str> = streams.values().map(|(stream, _)| stream.category.name).collect();
    for aggregate in
        ["identity.access-token", "ledger.account", "ledger.book", "ledger.transfer", "organisation.tenant"]
    {
        assert!(categories.contains(aggregate), "{aggregate}");
    }
    let mut versions = 0;
    for (name, (stream, events)) in &streams {
        let mut replay = Replay::begin(*stream).context("an aggregate")?;
        let path = |rest: String| format!("/v1/streams/{name}/state?{rest}");
        let before = books.read(&path("version=0".to_owned())).await?;
        assert_eq!(before.json, json!({ "stream": name, "version": 0, "state": replay.view()? }));
        for (version, position, at, event_type, schema_version, payload) in events {
            replay.apply(&event_schemas::decode(event_type, *schema_version, payload)?);
            let view = replay.view()?;
            let mut points = vec![format!("version={version}"), format!("position=1-{position}")];
            // Events of one batch share their time.
            if events.iter().filter(|it| it.2 == *at).count() == 1 {
                points.push(format!("as_of={}", at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)));
            }
            for point in points {
                let shown = books.read(&path(point.clone())).await?;
                assert_eq!(
                    (&shown.json["state"], &shown.json["version"], text(&shown.json, "position")),
                    (&view, &json!(version), &*format!("1-{position}")),
                    "{name} {point}"
                );
            }
            versions += 1;
        }
        // The record of who read what grows with every read of it.
        if !name.starts_with("audit.") {
            let now = books.read(&format!("/v1/streams/{name}/state")).await?;
            assert_eq!(now.json["state"], replay.view()?, "{name}");
        }
        // Between any two versions, what differs carried out on one gives the other.
        let compared = books.read(&path(format!("version={}&compare_to=0", events.len()))).await?;
        let whole: BTreeSet<&str> = compared.json["differences"]
            .as_array()
            .context("differences")?
            .iter()
            .map(|it| text(it, "path"))
            .collect();
        assert!(!whole.is_empty() && whole.iter().all(|it| it.starts_with('/')), "{name}: {whole:?}");
        assert_eq!(compared.json["state"], replay.view()?, "{name}");
    }
    assert!(versions > 200, "{versions}");
    Ok(())
}

/// Paths, what stood there, what stands there, and the version of the event that it came with.
fn told(answer: &Value) -> Vec<(&str, &Value, &Value, i64)> {
    let differences = answer["differences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let version = |it: &Value| it["event"]["stream_version"].as_i64().unwrap_or_default();
    differences.iter().map(|it| (text(it, "path"), &it["before"], &it["after"], version(it))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_difference_names_the_event_that_it_came_with() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::of(&stack, tenant(1))?;
    books.open(0, json!({ "name": "account 0", "min_balance": null })).await?;
    books.open(1, json!({ "name": "account 1", "min_balance": "0", "max_balance": "5000" })).await?; // v1
    books.transfer(&transfer(0, 1, "100.00")).await?; // v2
    books.transfer(&transfer(1, 0, "30.00")).await?; // v3
    books.write(&format!("{}/freeze", account(1)), &json!({ "side": "debits" })).await?; // v4
    books.write(&format!("{}/unfreeze", account(1)), &json!({})).await?; // v5
    let kept = books.transfer(&held(1, 0, "5.00", 3600)).await?; // v6
    let due = books.transfer(&held(1, 0, "7.00", 1)).await?; // v7
    let shown = format!("/v1/ledger/transfers/{due}");
    until(PATIENCE, || async { Ok(books.read(&shown).await?.json["expired"] == true) }).await?;
    // A command that meets the account records what is due first: v8, then itself, v9.
    books.transfer(&transfer(0, 1, "1.00")).await?;
    let base = format!("/v1/streams/ledger.account/{}", id(1));
    let compared = async |rest: &str| anyhow::Ok(books.read(&format!("{base}/state?{rest}")).await?.json);
    let events = books.all(&format!("{base}?order=oldest"), 200).await?;
    let types: Vec<&str> = events.iter().map(|it| text(it, "type")).collect();
    assert_eq!(
        types,
        [
            "ledger.account-opened",
            "ledger.transfer-posted",
            "ledger.transfer-posted",
            "ledger.account-frozen",
            "ledger.account-unfrozen",
            "ledger.transfer-held",
            "ledger.transfer-held",
            "ledger.hold-expired",
            "ledger.transfer-posted",
        ]
    );
    let (before, after) = (json!("0.00"), |text: &str| json!(text));
    assert_eq!(
        told(&compared("version=3&compare_to=1").await?),
        [
            ("/totals/credits_posted", &before, &after("100.00"), 2),
            ("/totals/debits_posted", &before, &after("30.00"), 3),
        ],
        "figures look the same wherever they come from, so nothing else differs"
    );
    assert_eq!(
        told(&compared("version=4&compare_to=3").await?),
        [("/frozen", &json!("none"), &json!("debits"), 4)]
    );
    assert_eq!(told(&compared("version=5&compare_to=3").await?), [], "there and back again");
    assert_eq!(
        told(&compared("version=7&compare_to=5").await?),
        [
            ("/open_expiring_holds", &json!(0), &json!(2), 7),
            ("/totals/debits_pending", &before, &after("12.00"), 7),
        ]
    );
    let now = compared("compare_to=7").await?;
    assert_eq!(
        told(&now),
        [
            ("/open_expiring_holds", &json!(2), &json!(1), 8),
            ("/totals/credits_posted", &after("100.00"), &after("101.00"), 9),
            ("/totals/debits_pending", &after("12.00"), &after("5.00"), 8),
        ]
    );
    assert_eq!((&now["version"], &now["compared_to"]["version"]), (&json!(9), &json!(7)));
    assert_eq!(now["compared_to"], {
        let mut then = compared("version=7").await?;
        then.as_object_mut().context("a state")?.remove("stream");
        then
    });
    // The event is told with all that leads to it.
    let expired = &now["differences"][0]["event"];
    let listed = &events[7];
    for name in ["position", "type", "stream_version", "event_id", "recorded_at"] {
        assert_eq!(expired[name], listed[name], "{name}");
    }
    assert_eq!(expired["actor"], listed["meta"]["actor"]);
    // The other way round the differences are the same, from the earlier to the later.
    let swapped = compared("version=7&compare_to=9").await?;
    assert_eq!(swapped["differences"], now["differences"]);
    assert_eq!((&swapped["version"], &swapped["compared_to"]["version"]), (&json!(7), &json!(9)));
    // Points of all kinds are the same points.
    let at = |n: usize, name: &str| text(&events[n - 1], name).to_owned();
    for rest in [
        format!("version=9&compare_to={}", at(7, "position")),
        format!("version=9&compare_to={}", at(7, "recorded_at")),
        format!("position={}&compare_to=7", at(9, "position")),
        format!("as_of={}&compare_to=7", at(9, "recorded_at")),
        format!("as_of={}&compare_to={}", at(7, "recorded_at"), at(9, "position")),
    ] {
        assert_eq!(compared(&rest).await?["differences"], now["differences"], "{rest}");
    }
    let born = compared("version=1&compare_to=0").await?;
    assert!(told(&born).iter().all(|it| it.3 == 1), "{born}");
    assert_eq!(told(&born)[0], ("/status", &json!("absent"), &json!("open"), 1));
    assert_eq!(
        (&born["differences"][1]["path"], born["differences"][1].get("before")),
        (&json!("/currency"), None)
    );
    // The hold itself: its own stream has the expiry too.
    let hold =
        books.read(&format!("/v1/streams/ledger.transfer/{due}/state?version=1&compare_to=2")).await?.json;
    let status = told(&hold).into_iter().find(|it| it.0 == "/status").context("a status")?;
    assert_eq!(status, ("/status", &json!("held"), &json!("expired"), 2));
    books.write(&format!("/v1/ledger/transfers/{kept}/void"), &json!({})).await?;
    let hold = books.read(&format!("/v1/streams/ledger.transfer/{kept}/state")).await?.json;
    assert_eq!(hold["state"], json!({ "status": "voided" }));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_listed_in_both_orders_with_the_time_between_its_events() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    busy(&books, 30).await?;
    for path in
        [format!("/v1/streams/ledger.account/{}", id(1)), format!("/v1/streams/ledger.account/{}", id(0))]
    {
        let mut whole = books.all(&format!("{path}?order=oldest"), 200).await?;
        assert!(whole.len() > 3, "{path}");
        let mut before: Option<chrono::DateTime<Utc>> = None;
        for (n, event) in whole.iter().enumerate() {
            assert_eq!(event["stream_version"], json!(n + 1), "{path}");
            let at = text(event, "recorded_at").parse::<chrono::DateTime<Utc>>()?;
            let elapsed = before.map(|it| (at - it).num_milliseconds());
            assert_eq!(event.get("elapsed_ms").and_then(Value::as_i64), elapsed, "{path} {n}");
            before = Some(at);
            let mut plain = event.clone();
            for name in ["stream_version", "elapsed_ms"] {
                plain.as_object_mut().context("an event")?.remove(name);
            }
            let position = text(event, "position");
            assert_eq!(plain, books.read(&format!("/v1/events/{position}")).await?.json, "{path} {n}");
        }
        for limit in [1, 2, 3] {
            assert_eq!(books.all(&format!("{path}?order=oldest"), limit).await?, whole, "{path} {limit}");
        }
        whole.reverse();
        for limit in [1, 2, 3, 200] {
            assert_eq!(books.all(&path, limit).await?, whole, "{path} {limit}");
        }
        // A cursor is of its own stream and order.
        let cursor = books.read(&format!("{path}?limit=1")).await?.json["next_cursor"].clone();
        let cursor = cursor.as_str().context("a cursor")?;
        let other = books.ask(&format!("{path}?order=oldest&cursor={cursor}")).await?;
        assert_eq!(other.code(), "read.cursor-invalid");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn points_and_streams_that_are_none_are_refused_with_what_is_there() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let state = format!("/v1/streams/ledger.account/{}/state", id(1));
    let beyond = format!("1-{}", number(&books.position()) + 1_000);
    let future = (Utc::now() + TimeDelta::hours(1)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    for (path, status, code) in [
        (format!("{state}?version=3"), 404, "read.version-ahead"),
        (format!("{state}?version=2&compare_to=3"), 404, "read.version-ahead"),
        (format!("{state}?version=-1"), 400, "request.invalid-parameter"),
        (format!("{state}?version=1&position=1-1"), 400, "request.invalid-parameter"),
        (format!("{state}?version=1&as_of=2020-01-01T00:00:00Z"), 400, "request.invalid-parameter"),
        (format!("{state}?position=1"), 400, "read.position-malformed"),
        (format!("{state}?position=2-1"), 409, "read.epoch-changed"),
        (format!("{state}?compare_to=2-1"), 409, "read.epoch-changed"),
        (format!("{state}?position={beyond}"), 404, "read.version-ahead"),
        (format!("{state}?compare_to={beyond}"), 404, "read.version-ahead"),
        (format!("{state}?as_of={future}"), 400, "read.time-in-future"),
        (format!("{state}?compare_to={future}"), 400, "read.time-in-future"),
        (format!("{state}?compare_to=yesterday"), 400, "request.invalid-parameter"),
        (format!("{state}?compare_to="), 400, "request.invalid-parameter"),
        (format!("{state}?compare_to=99999999999999999999"), 400, "request.invalid-parameter"),
        (format!("/v1/streams/ledger.account/{}", Uuid::from_u128(7)), 404, "request.not-found"),
        (
            format!("/v1/streams/ledger.account/{}/state?version=0", Uuid::from_u128(7)),
            404,
            "request.not-found",
        ),
        ("/v1/streams/ledger.account/x".to_owned(), 404, "request.not-found"),
        (format!("/v1/streams/ledger.nothing/{}", id(1)), 404, "read.category-unknown"),
        (format!("/v1/streams/ledger.nothing/{}/state", id(1)), 404, "read.category-unknown"),
    ] {
        let refused = books.ask(&path).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (status, code), "{path}: {}", refused.text);
    }
    let ahead = books.ask(&format!("{state}?version=3")).await?.json;
    assert_eq!(ahead["details"]["newest_version"], "2");
    let unknown = books.ask(&format!("/v1/streams/x/{}", id(1))).await?.json;
    for aggregate in catalog::AGGREGATES {
        assert!(text(&unknown["details"], "categories").contains(aggregate.category.name), "{unknown}");
    }
    // Before its first event it was nothing, which is an answer.
    let early = books.read(&format!("{state}?as_of=2020-01-01T00:00:00Z")).await?.json;
    assert_eq!((&early["version"], &early["state"]), (&json!(0), &json!({ "status": "absent" })));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_account_answers_from_the_one_event_in_question() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let items: Vec<Value> = (0..1_000).map(|_| json!({ "transfer": transfer(0, 1, "0.01") })).collect();
    for _ in 0..11 {
        books.write("/v1/ledger/batches", &json!({ "items": items })).await?;
    }
    let state = format!("/v1/streams/ledger.account/{}/state", id(1));
    let compared = books.read(&format!("{state}?version=11002&compare_to=1002")).await?.json;
    assert_eq!(told(&compared), [("/totals/credits_posted", &json!("110.00"), &json!("210.00"), 11_002)]);
    let refused = books.ask(&format!("{state}?version=11002&compare_to=1001")).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (422, "read.history-too-long"));
    assert_eq!(refused.json["details"], json!({ "versions": "10001", "versions_max": "10000" }));
    // Whatever lies before is not read: not even when it cannot be.
    let mut conn = stack.database.superuser().await?;
    execute(
        &mut conn,
        format!(
            "set session_replication_role = replica;
             update store.events set payload = '7' where position in (
                 select position from store.stream_events where stream_id = '{}' and version <> 7777)",
            id(1)
        ),
    )
    .await?;
    for point in ["version=7777", "version=7777&compare_to=7777"] {
        let shown = books.read(&format!("{state}?{point}")).await?.json;
        assert_eq!(shown["state"]["totals"]["credits_posted"], json!("177.75"), "{point}");
    }
    let position = {
        let row: (i64,) = sqlx::query_as(
            "select position from store.stream_events where stream_id = $1::uuid and version = 7777",
        )
        .bind(id(1))
        .fetch_one(&mut conn)
        .await?;
        row.0
    };
    let shown = books.read(&format!("{state}?position=1-{position}")).await?.json;
    assert_eq!(shown["version"], json!(7_777));
    assert_eq!(
        books.ask(&format!("{state}?version=7776")).await?.code(),
        "internal.fault",
        "the damage is there"
    );
    Ok(())
}
