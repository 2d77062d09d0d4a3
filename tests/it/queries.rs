//! The query API over HTTP: what it answers is exact for the position that it names, now and as of any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::ids::ActorId;
use futures_util::future::join_all;
use reqwest::StatusCode;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use service_kit::token::Role;
use tests::books::{Books, account, dated, held, id, leg, page, transfer};
use tests::database::{execute, tenant};
use tests::stack::{Stack, answer};
use tests::{tools, until};
use uuid::Uuid;

use crate::walls::every_read;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn figure(value: &Value, name: &str) -> anyhow::Result<Decimal> {
    let figure = value[name].as_str().with_context(|| format!("{name} of {value}"))?;
    Ok(figure.parse()?)
}

fn ids(items: &[Value], name: &str) -> Vec<String> {
    items.iter().map(|it| it[name].to_string()).collect()
}

/// A moment some microseconds from another one.
fn moved(moment: &str, microseconds: i64) -> anyhow::Result<String> {
    let moment =
        moment.parse::<chrono::DateTime<chrono::Utc>>()? + chrono::TimeDelta::microseconds(microseconds);
    Ok(moment.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}

fn number(position: &str) -> i64 {
    position.split_once('-').and_then(|(_, it)| it.parse().ok()).unwrap_or_default()
}

/// Every path of [`every_read`], with things of [`Books::with_accounts`].
async fn reads(books: &Books<'_>) -> anyhow::Result<Vec<String>> {
    let transfers = books.all("/v1/ledger/transfers", 200).await?;
    let known = text(transfers.first().context("a transfer")?, "transfer_id").to_owned();
    Ok(every_read()
        .into_iter()
        .map(|it| {
            if it.template.contains("{transfer_id}") {
                format!("/v1/ledger/transfers/{known}")
            } else {
                it.path
            }
        })
        .collect())
}

// ---- What was written is read.

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_the_position_of_an_answer_reads_what_was_written() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let second = stack.another_query_api().await?;
    for n in 1..=20 {
        let made = books.transfer(&transfer(1, 2, "0.50")).await?;
        let position = books.position();
        let expected = Decimal::new(10_000 - n * 50, 2).to_string();
        let (row, balance, entries, transfers, one, totals, events, journal) = tokio::try_join!(
            async { books.read(&account(1)).await },
            async { books.read(&format!("{}/balance", account(1))).await },
            async { books.read(&format!("{}/entries?limit=1", account(1))).await },
            books.read("/v1/ledger/transfers?limit=1"),
            async { books.read(&format!("/v1/ledger/transfers/{made}")).await },
            books.read("/v1/ledger/trial-balance"),
            books.read("/v1/events?limit=1"),
            books.read("/v1/ledger/journal"),
        )?;
        for answer in [&row, &balance, &entries, &transfers, &one, &totals, &events, &journal] {
            assert!(
                number(answer.header("quipu-position")) >= number(&position),
                "{}",
                answer.header("quipu-position")
            );
        }
        assert_eq!((text(&row.json, "balance"), text(&row.json, "available")), (&*expected, &*expected));
        assert_eq!(
            (text(&balance.json, "balance"), text(&balance.json, "available")),
            (&*expected, &*expected)
        );
        assert_eq!(text(&entries.json["items"][0], "balance_after"), expected);
        assert_eq!(text(&transfers.json["items"][0], "transfer_id"), made);
        assert_eq!(text(&one.json, "status"), "posted");
        assert_eq!(
            totals.json["totals"][0]["debits_posted"],
            format!("{}", Decimal::new(20_000 + n * 50, 2))
        );
        assert_eq!(text(&events.json["items"][0], "position"), position);
        assert!(journal.text.contains(&made));
        // Another process keeps the promise too.
        let request = reqwest::Client::new().get(format!("{second}{}", account(1))).bearer_auth(&books.token);
        assert_eq!(
            text(&answer(request.header("Quipu-Position", position)).await?.json, "balance"),
            expected
        );
    }
    // A refusal has a position, too.
    let refused = stack.post(&books.token, "/v1/ledger/transfers", &transfer(1, 2, "99.00")).await?;
    assert_eq!(refused.code(), "ledger.insufficient-funds");
    let read = stack.get_at(&books.token, &account(1), refused.header("quipu-position")).await?;
    assert_eq!(text(&read.json, "available"), refused.json["details"]["available"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_waits_is_answered_as_soon_as_the_model_is_there() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    books.read(&account(1)).await?;
    let before = freeze(&stack, "accounts").await?;
    books.transfer(&transfer(1, 2, "5.00")).await?;
    // Without a position, the answer is older than the log, and says so.
    let old = stack.get(&books.token, &account(1)).await?;
    assert_eq!((text(&old.json, "balance"), number(old.header("quipu-position"))), ("100.00", before));
    let path = account(1);
    let (waiting, thawed) = tokio::join!(books.read(&path), async {
        // It is asked again for something else meanwhile, so that the request above waits already.
        books.read("/v1/events?limit=1").await?;
        thaw(&stack).await
    });
    thawed?;
    assert_eq!(text(&waiting?.json, "balance"), "95.00");
    Ok(())
}

/// Gives the lease of a model to a stranger, for ever: it stands. Answers with where.
async fn freeze(stack: &Stack, model: &str) -> anyhow::Result<i64> {
    let mut conn = stack.database.superuser().await?;
    let sql = "update run.projections set lease_epoch = lease_epoch + 1, lease_owner = 'a stranger', lease_until = 'infinity'
               where model = $1 returning position";
    Ok(sqlx::query_scalar(sql).bind(model).fetch_one(&mut conn).await?)
}

async fn thaw(stack: &Stack) -> Test {
    let mut conn = stack.database.superuser().await?;
    execute(&mut conn, "update run.projections set lease_until = '-infinity'".to_owned()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_that_cannot_be_served_are_refused_and_nothing_older_is_answered() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let paths = reads(&books).await?;
    for path in &paths {
        books.read(path).await?;
        for malformed in [
            "",
            "1",
            "1-",
            "-1",
            "1-x",
            "1--1",
            "x-1",
            "1-1-1",
            "+1-1",
            "1-99999999999999999999",
            "99999999999-1",
            "0x1-1",
        ] {
            let refused = stack.get_at(&books.token, path, malformed).await?;
            assert_eq!(
                (refused.status.as_u16(), refused.code()),
                (400, "read.position-malformed"),
                "{path} {malformed:?}"
            );
        }
        let twice =
            stack.query(&books.token, path).header("Quipu-Position", "1-1").header("Quipu-Position", "1-2");
        assert_eq!(answer(twice).await?.code(), "read.position-malformed", "{path}");
        for (epoch, position) in [(0, 1), (2, 1), (2, 9_999)] {
            let refused = stack.get_at(&books.token, path, &format!("{epoch}-{position}")).await?;
            assert_eq!(
                (refused.status.as_u16(), refused.code()),
                (409, "read.epoch-changed"),
                "{path} {epoch}"
            );
        }
    }
    let begun = Instant::now();
    let beyond = format!("1-{}", number(&books.position()) + 1);
    let refused = join_all(paths.iter().map(|path| async {
        let answer = stack.get_at(&books.token, path, &beyond).await;
        (answer, begun.elapsed())
    }));
    for (path, (refused, took)) in paths.iter().zip(refused.await) {
        let refused = refused?;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (503, "read.projection-behind"),
            "{path}: {}",
            refused.text
        );
        assert_eq!(refused.header("retry-after"), "1", "{path}");
        assert_eq!(refused.header("quipu-position"), books.position(), "{path}: how far it is");
        assert!(
            took > Duration::from_millis(1_900) && took < Duration::from_millis(2_600),
            "{path}: {took:?}"
        );
    }
    // A position in the question is a demand like one in the head.
    let at = |position: &str| format!("{}/balance?at_position={position}", account(1));
    assert_eq!(books.ask(&at("2-1")).await?.code(), "read.epoch-changed");
    assert_eq!(books.ask(&at("1")).await?.code(), "read.position-malformed");
    assert_eq!(books.ask(&at(&beyond)).await?.code(), "read.projection-behind");
    assert_eq!(books.ask("/v1/events?after=2-1").await?.code(), "read.epoch-changed");
    assert_eq!(books.ask("/v1/events?before=x").await?.code(), "read.position-malformed");
    assert_eq!(books.ask("/v1/events/2-1").await?.code(), "read.epoch-changed");
    assert_eq!(books.ask("/v1/events/x").await?.code(), "request.not-found");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_model_behind_the_others_makes_no_answer_of_two_times() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    for path in reads(&books).await? {
        books.read(&path).await?;
    }
    let stood = freeze(&stack, "account_entries").await?;
    let moment = {
        books.transfer(&transfer(1, 2, "5.00")).await?;
        let row = books.read(&account(1)).await?;
        assert_eq!(
            (&row.json["version"], text(&row.json, "balance")),
            (&json!(3), "95.00"),
            "this model has it"
        );
        text(&row.json, "changed_at").to_owned()
    };
    let entries = stack.get(&books.token, &format!("{}/entries", account(1))).await?;
    assert_eq!(
        (number(entries.header("quipu-position")), entries.json["items"].as_array().map(Vec::len)),
        (stood, Some(1))
    );
    // The version is known, what it made of the balance is not: rather no answer than that of another version.
    for rest in [
        "at_version=3".to_owned(),
        format!("as_of={moment}"),
        format!("as_of={moment}&basis=effective"),
        format!("at_position={}", books.position()),
    ] {
        let refused = stack.get(&books.token, &format!("{}/balance?{rest}", account(1))).await?;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (503, "read.projection-behind"),
            "{rest}: {}",
            refused.text
        );
    }
    let known = stack.get(&books.token, &format!("{}/balance?at_version=2", account(1))).await?;
    assert_eq!(text(&known.json, "balance"), "100.00");
    let refused = stack.get(&books.token, &format!("/v1/ledger/trial-balance?as_of={moment}")).await?;
    assert_eq!(refused.code(), "read.projection-behind");
    thaw(&stack).await?;
    assert_eq!(
        text(&books.read(&format!("{}/balance?at_version=3", account(1))).await?.json, "balance"),
        "95.00"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_partition_is_refused_and_only_that() -> Test {
    let stack = Stack::commands_only().await?;
    let (sound, damaged) = {
        Books::with_accounts(&stack, tenant(2), 1).await?;
        let books = Books::with_accounts(&stack, tenant(1), 3).await?;
        (books.position(), books.transfer(&transfer(1, 2, "1.00")).await?)
    };
    let mut conn = stack.database.superuser().await?;
    let (position, whole): (i64, String) =
        sqlx::query_as("select position, payload::text from store.events order by position desc limit 1")
            .fetch_one(&mut conn)
            .await?;
    let store = |payload: &str| {
        let payload = payload.replace('\'', "''");
        format!(
            "set session_replication_role = replica; update store.events set payload = '{payload}' where position = {position};
             set session_replication_role = origin"
        )
    };
    execute(&mut conn, store(r#"{"legs": 7}"#)).await?;
    let stack = stack.with_readers().await?;
    let books = Books::of(&stack, tenant(1))?;
    books.transfer(&transfer(3, 0, "1.00")).await?;
    let newest = books.position();
    let statement =
        |n: u128| format!("{}/statement?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z", account(n));
    let parked = [
        account(1),
        account(2),
        format!("{}/balance", account(1)),
        format!("{}/balance?as_of=2020-01-01T00:00:00Z", account(1)),
        format!("{}/entries", account(2)),
        statement(1),
        "/v1/ledger/accounts".to_owned(),
        "/v1/ledger/transfers".to_owned(),
        format!("/v1/ledger/transfers/{damaged}"),
        format!("/v1/ledger/transfers?account_id={}", id(3)),
        "/v1/ledger/trial-balance".to_owned(),
        "/v1/ledger/journal".to_owned(),
    ];
    for path in &parked {
        let begun = Instant::now();
        let refused = stack.get_at(&books.token, path, &newest).await?;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (503, "read.model-parked"),
            "{path}: {}",
            refused.text
        );
        assert!(!refused.header("retry-after").is_empty(), "{path}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{path}: it is not waited for what needs a repair");
        // Of what was before it, and of as much of it as is said, there is an answer.
        let known = stack.get_at(&books.token, path, &sound).await?;
        let timeless = !path.contains("as_of") && !path.contains("statement");
        if timeless && !path.ends_with(&damaged) {
            assert_eq!(
                (known.status, known.header("quipu-position")),
                (StatusCode::OK, &*sound),
                "{path}: {}",
                known.text
            );
        }
    }
    // What is not in the same partition goes on.
    assert_eq!(text(&books.read(&account(3)).await?.json, "balance"), "99.00");
    for path in [format!("{}/entries", account(3)), statement(3), "/v1/projections".to_owned()] {
        books.read(&path).await?;
    }
    let events = books.read("/v1/events?limit=2").await?;
    assert_eq!(events.json["items"][1]["payload"], json!({ "legs": 7 }), "the log is shown as it is");
    let neighbour = stack.owner(tenant(2))?;
    for path in
        ["/v1/ledger/trial-balance", "/v1/ledger/accounts", "/v1/ledger/journal", "/v1/ledger/transfers"]
    {
        assert_eq!(stack.get_at(&neighbour, path, &newest).await?.status, StatusCode::OK, "{path}");
    }
    let own: Vec<Value> =
        books.read("/v1/projections").await?.json["items"].as_array().context("items")?.clone();
    let parked_of = |items: &[Value], model: &str| {
        items.iter().find(|it| it["model"] == model).map(|it| it["parked_partitions"].clone())
    };
    assert_eq!(parked_of(&own, "accounts"), Some(json!(2)));
    let theirs =
        stack.get(&neighbour, "/v1/projections").await?.json["items"].as_array().context("items")?.clone();
    assert_eq!(parked_of(&theirs, "accounts"), Some(json!(0)), "another's trouble is not told");
    // After the repair everything is there.
    execute(&mut conn, store(&whole)).await?;
    for path in &parked {
        until(PATIENCE, || async { Ok(books.ask(path).await?.status == StatusCode::OK) }).await?;
    }
    assert_eq!(text(&books.read(&account(1)).await?.json, "balance"), "99.00");
    Ok(())
}

// ---- Balances and statements, by both times.

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_is_known_as_of_any_moment_version_and_position() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::of(&stack, tenant(1))?;
    books.open(0, json!({ "name": "source", "min_balance": null })).await?;
    books.open(1, json!({ "name": "wallet", "min_balance": "-10.00" })).await?;
    let mut known: Vec<(String, Value)> = Vec::new();
    let path = format!("{}/balance", account(1));
    for body in [
        dated(0, 1, "100.00", "2020-03-01T00:00:00Z"),
        dated(0, 1, "20.00", "2020-01-05T12:00:00Z"),
        held(1, 0, "30.00", 3600),
        dated(1, 0, "7.77", "2020-02-01T00:00:00Z"),
    ] {
        books.transfer(&body).await?;
        known.push((books.position(), books.read(&path).await?.json));
    }
    let now = &known.last().context("an answer")?.1;
    assert_eq!(
        (text(now, "balance"), text(now, "debits_pending"), text(now, "available")),
        ("112.23", "30.00", "92.23")
    );
    assert_eq!((&now["version"], text(now, "basis"), now.get("as_of")), (&json!(5), "recorded", None));
    // By recording: what was known then, at the very microsecond and up to the next recording, by version, by position.
    let recordings = books.recordings().await?;
    assert_eq!(recordings.len(), 6);
    for (n, (position, before)) in known.iter().enumerate() {
        let at = &recordings[n + 2];
        let mut moments = vec![at.clone(), moved(at, 1)?];
        moments.extend(recordings.get(n + 3).map(|next| moved(next, -1)).transpose()?);
        for moment in moments.iter().filter(|it| recordings.get(n + 3).is_none_or(|next| *it < next)) {
            let mut then = books.read(&format!("{path}?as_of={moment}")).await?.json;
            let said = then.as_object_mut().and_then(|it| it.remove("as_of")).context("as of when")?;
            assert_eq!(moved(said.as_str().unwrap_or_default(), 0)?, moved(moment, 0)?);
            assert_eq!(then, *before, "as of {moment}");
        }
        let version = n + 2;
        assert_eq!(books.read(&format!("{path}?at_version={version}")).await?.json, *before, "{version}");
        assert_eq!(books.read(&format!("{path}?at_position={position}")).await?.json, *before, "{position}");
    }
    for nothing in [
        format!("as_of={}", recordings[1]),
        "as_of=1999-12-31T23:59:59Z".to_owned(),
        "at_version=1".to_owned(),
        "at_position=1-2".to_owned(),
        "at_position=1-0".to_owned(),
    ] {
        let then = books.read(&format!("{path}?{nothing}")).await?.json;
        assert_eq!(
            (text(&then, "balance"), text(&then, "available"), then.get("version")),
            ("0.00", "10.00", None),
            "{nothing}"
        );
    }
    // By value date: what is known now about then, however late it was recorded.
    for (moment, balance) in [
        ("2020-01-05T11:59:59.999999Z", "0.00"),
        ("2020-01-05T12:00:00Z", "20.00"),
        ("2020-01-31T23:59:59.999999999Z", "20.00"),
        ("2020-02-01T00:00:00Z", "12.23"),
        ("2020-02-29T23:59:59Z", "12.23"),
        ("2020-03-01T00:00:00Z", "112.23"),
        ("2020-03-01T01:00:00%2B01:00", "112.23"),
    ] {
        let then = books.read(&format!("{path}?as_of={moment}&basis=effective")).await?.json;
        assert_eq!((text(&then, "balance"), text(&then, "basis")), (balance, "effective"), "{moment}");
        assert!(
            then["available"].is_null() && then["debits_pending"].is_null() && then.get("version").is_none(),
            "{then}"
        );
    }
    assert_eq!(text(&books.read(&format!("{path}?basis=effective")).await?.json, "balance"), "112.23");
    // Something dated back changes what is known now about then, and not what was known then.
    books.transfer(&dated(0, 1, "1000.00", "2020-01-10T00:00:00Z")).await?;
    assert_eq!(
        text(
            &books.read(&format!("{path}?as_of=2020-01-31T00:00:00Z&basis=effective")).await?.json,
            "balance"
        ),
        "1020.00"
    );
    let mut then = books.read(&format!("{path}?as_of={}", recordings[5])).await?.json;
    then.as_object_mut().context("a balance")?.remove("as_of");
    assert_eq!(then, *now);
    // What cannot be asked.
    let soon = (chrono::Utc::now() + chrono::TimeDelta::seconds(60))
        .to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    for (rest, status, code) in [
        (format!("as_of={soon}"), 400, "read.time-in-future"),
        (format!("as_of={soon}&basis=effective"), 400, "read.time-in-future"),
        ("as_of=2020-01-01T00:00:00Z&at_version=1".to_owned(), 400, "request.invalid-parameter"),
        ("at_position=1-1&at_version=1".to_owned(), 400, "request.invalid-parameter"),
        ("at_version=1&basis=effective".to_owned(), 400, "request.invalid-parameter"),
        ("at_position=1-1&basis=effective".to_owned(), 400, "request.invalid-parameter"),
        ("at_version=0".to_owned(), 400, "request.invalid-parameter"),
        ("at_version=-1".to_owned(), 400, "request.invalid-parameter"),
        ("at_version=7".to_owned(), 404, "request.not-found"),
        ("at_version=9223372036854775807".to_owned(), 404, "request.not-found"),
        ("as_of=yesterday".to_owned(), 400, "request.invalid-parameter"),
        ("basis=both".to_owned(), 400, "request.invalid-parameter"),
    ] {
        let refused = books.ask(&format!("{path}?{rest}")).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (status, code), "{rest}: {}", refused.text);
    }
    Ok(())
}

/// A statement's lines as both formats show them.
fn lines_of_json(items: &[Value]) -> Vec<Vec<String>> {
    let time = |it: &Value, name: &str| moved(text(it, name), 0).unwrap_or_default();
    let row = |it: &Value| {
        let plain = ["position", "transfer_id", "code", "side", "amount", "balance_after"].map(|name| {
            match &it[name] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            }
        });
        [text(it, "kind").to_owned(), time(it, "recorded_at"), time(it, "effective_at")]
            .into_iter()
            .chain(plain)
            .collect()
    };
    items.iter().map(row).collect()
}

fn lines_of_csv(csv: &str) -> Vec<Vec<String>> {
    csv.split_terminator("\r\n").map(|line| line.split(',').map(ToOwned::to_owned).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_statements_that_meet_one_closes_as_the_next_opens() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let mut first = String::new();
    for n in 0..18_u32 {
        let (day, month) = (1 + n * 7 % 28, 1 + n * 5 % 6);
        let moment = format!("2020-{month:02}-{day:02}T00:00:00Z");
        let (from, to) = if n % 3 == 0 { (2, 1) } else { (1, 2) };
        let mut body = dated(from, to, &format!("1.{n:02}"), &moment);
        body["code"] = json!(format!("n{n}"));
        let made = books.transfer(&body).await?;
        if n == 0 {
            first = made;
        }
    }
    // Several of one date; holds, captured in part, given up, and moved back.
    for _ in 0..3 {
        books.transfer(&dated(1, 2, "0.01", "2020-03-01T00:00:00Z")).await?;
    }
    let captured = books.transfer(&held(1, 2, "9.00", 3600)).await?;
    books
        .write(
            &format!("/v1/ledger/transfers/{captured}/post"),
            &json!({ "amount": { "amount": "4.50", "currency": "EUR" } }),
        )
        .await?;
    let voided = books.transfer(&held(1, 2, "9.00", 3600)).await?;
    let void = stack
        .command(&books.token, &format!("/v1/ledger/transfers/{voided}/void"))
        .header("Idempotency-Key", "void");
    assert_eq!(answer(void).await?.status, StatusCode::OK);
    books.write(&format!("/v1/ledger/transfers/{first}/reverse"), &json!({})).await?;
    let balance = books.read(&format!("{}/balance", account(1))).await?;
    let recordings = books.recordings().await?;
    let end = moved(recordings.last().context("a time")?, 1)?;
    let by_recording: Vec<String> = recordings.iter().step_by(3).cloned().collect();
    let by_effect: Vec<String> = [
        "2020-01-01",
        "2020-02-01",
        "2020-03-01",
        "2020-03-08",
        "2020-04-01",
        "2020-05-01",
        "2020-05-29",
        "2021-01-01",
    ]
    .iter()
    .map(|it| format!("{it}T00:00:00Z"))
    .collect();
    for (basis, cuts) in [("recorded", by_recording), ("effective", by_effect)] {
        let spans: Vec<String> =
            std::iter::once("2000-01-01T00:00:00Z".to_owned()).chain(cuts).chain([end.clone()]).collect();
        let path = |from: &str, to: &str, n: u128| {
            format!("{}/statement?basis={basis}&from={from}&to={to}", account(n))
        };
        for n in [1, 2] {
            let whole = books.read(&(path(&spans[0], &end, n) + "&limit=200")).await?.json;
            let (mut closing, mut together) = (Decimal::ZERO, Vec::new());
            for (from, to) in spans.iter().zip(&spans[1..]) {
                let path = path(from, to, n);
                let it = books.read(&path).await?.json;
                assert_eq!(figure(&it, "opening_balance")?, closing, "{path}");
                let items = it["items"].as_array().context("items")?;
                let time = if basis == "recorded" { "recorded_at" } else { "effective_at" };
                for line in items {
                    let amount = figure(line, "amount")?;
                    closing += if line["side"] == it["normal_side"] { amount } else { -amount };
                    assert_eq!(figure(line, "balance_after")?, closing, "{path}");
                    let at = moved(text(line, time), 0)?;
                    assert!(moved(from, 0)? <= at && at < moved(to, 0)?, "{path}: {at}");
                }
                assert_eq!(figure(&it, "closing_balance")?, closing, "{path}");
                let csv = lines_of_csv(&books.read(&format!("{path}&format=csv")).await?.text);
                assert_eq!(csv[2..csv.len() - 1], lines_of_json(items), "{path}");
                let edge = |n: usize| (csv[n][0].as_str(), csv[n][1].as_str(), csv[n][8].as_str());
                assert_eq!(edge(1), ("opening", &*moved(from, 0)?, text(&it, "opening_balance")));
                assert_eq!(edge(csv.len() - 1), ("closing", &*moved(to, 0)?, text(&it, "closing_balance")));
                for limit in [1, 3] {
                    assert_eq!(books.all(&path, limit).await?, *items, "{path} in pages of {limit}");
                }
                together.extend(items.iter().cloned());
            }
            assert_eq!(json!(together), whole["items"], "{basis}");
            assert_eq!(together.len(), 24, "{basis}");
            if n == 1 {
                assert_eq!(whole["closing_balance"], balance.json["balance"], "{basis}");
            }
            let empty = books.read(&path(&spans[3], &spans[3], n)).await?.json;
            assert_eq!((&empty["items"], &empty["opening_balance"]), (&json!([]), &empty["closing_balance"]));
        }
    }
    let (from, to) = ("2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z");
    for (rest, code) in [
        (format!("from={to}&to={from}"), "request.invalid-parameter"),
        (format!("from={from}"), "request.invalid-parameter"),
        (format!("from={from}&to=2999-01-01T00:00:00Z"), "read.time-in-future"),
        (format!("from={from}&to={to}&format=csv&limit=1"), "request.invalid-parameter"),
        (format!("from={from}&to={to}&format=pdf"), "request.invalid-parameter"),
        (format!("from={from}&to={to}&cursor=x"), "read.cursor-invalid"),
    ] {
        let refused = books.ask(&format!("{}/statement?{rest}", account(1))).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, code), "{rest}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_statement_agree_though_something_is_dated_back_between_them() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    for n in 1..=9 {
        books.transfer(&dated(1, 2, "1.00", &format!("2020-01-{:02}T00:00:00Z", n * 2))).await?;
    }
    let path =
        format!("{}/statement?basis=effective&from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z", account(1));
    let before = books.read(&path).await?.json;
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let it = books.read(&page(&path, 2, cursor.as_deref())).await?.json;
        assert_eq!(
            (&it["opening_balance"], &it["closing_balance"]),
            (&before["opening_balance"], &before["closing_balance"])
        );
        items.extend(it["items"].as_array().context("items")?.iter().cloned());
        books
            .transfer(&dated(1, 2, "0.10", &format!("2020-01-{:02}T00:00:00Z", 1 + items.len() * 2)))
            .await?;
        match it["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(json!(items), before["items"]);
    let after = books.read(&path).await?.json;
    assert_eq!(figure(&after, "closing_balance")?, figure(&before, "closing_balance")? - Decimal::new(50, 2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trial_balance_sums_to_zero_now_and_as_of_every_recording() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 3).await?;
    for n in [7, 8] {
        books.open(n, json!({ "name": format!("yen {n}"), "currency": "JPY", "normal_side": "debit", "min_balance": null })).await?;
    }
    let path = "/v1/ledger/trial-balance";
    let mut known = Vec::new();
    let yen = |account: u128, side: &str, amount: &str| json!({ "account_id": id(account), "side": side, "amount": { "amount": amount, "currency": "JPY" } });
    let mixed = json!({ "legs": [leg(1, "debit", "3.33"), leg(2, "credit", "3.33"), yen(7, "debit", "500"), yen(8, "credit", "500")] });
    for body in [
        transfer(1, 2, "12.50"),
        held(2, 3, "5.00", 3600),
        mixed,
        dated(3, 1, "9.99", "2020-01-01T00:00:00Z"),
    ] {
        books.transfer(&body).await?;
        let mut now = books.read(&format!("{path}?limit=200")).await?.json;
        let (mut debits, mut credits) =
            (BTreeMap::<String, Decimal>::new(), BTreeMap::<String, Decimal>::new());
        for (side, sums) in [("debits", &mut debits), ("credits", &mut credits)] {
            for row in now["items"].as_array().context("items")? {
                *sums.entry(text(row, "currency").to_owned()).or_default() +=
                    figure(row, &format!("{side}_posted"))?;
            }
            for total in now["totals"].as_array().context("totals")? {
                assert_eq!(
                    figure(total, &format!("{side}_posted"))?,
                    sums[text(total, "currency")],
                    "the sums are the sums"
                );
            }
        }
        assert_eq!(debits, credits);
        for total in now["totals"].as_array().context("totals")? {
            assert_eq!(
                (&total["debits_posted"], &total["debits_pending"]),
                (&total["credits_posted"], &total["credits_pending"])
            );
        }
        // As of then, accounts without an entry are not listed.
        let rows = now["items"].as_array_mut().context("items")?;
        rows.retain(|it| {
            figure(it, "debits_posted").unwrap_or_default() + figure(it, "credits_posted").unwrap_or_default()
                != Decimal::ZERO
        });
        now["totals"]
            .as_array_mut()
            .context("totals")?
            .retain(|it| figure(it, "debits_posted").unwrap_or_default() != Decimal::ZERO);
        known.push(now);
    }
    let recordings = books.recordings().await?;
    let newest = &recordings[recordings.len() - known.len()..];
    for (moment, before) in newest.iter().zip(&known) {
        let mut then = books.read(&format!("{path}?limit=200&as_of={moment}")).await?.json;
        let moment = then.as_object_mut().and_then(|it| it.remove("as_of"));
        assert!(moment.is_some());
        assert_eq!(then, *before, "as of {moment:?}");
        let paged = books.all(&format!("{path}?as_of={}", text(&json!({ "at": moment }), "at")), 2).await?;
        assert_eq!(json!(paged), before["items"]);
    }
    assert_eq!(
        books.read(&format!("{path}?as_of=2020-06-01T00:00:00Z")).await?.json["totals"],
        json!([]),
        "it was recorded later"
    );
    assert_eq!(books.ask(&format!("{path}?as_of=2999-01-01T00:00:00Z")).await?.code(), "read.time-in-future");
    let yen = &books.read(path).await?.json["totals"][1];
    assert_eq!(
        (text(yen, "currency"), text(yen, "debits_posted")),
        ("JPY", "500"),
        "with the digits of its currency"
    );
    Ok(())
}

// ---- Transfers.

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_shows_what_became_of_it() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let mut body = held(1, 2, "40.00", 3600);
    body["code"] = json!("order");
    body["metadata"] = json!({ "order": "4711" });
    let captured = books.transfer(&body).await?;
    let path = format!("/v1/ledger/transfers/{captured}");
    let leg = |row: &Value, n: usize| {
        ["amount", "held", "posted", "reversed"].map(|it| text(&row["legs"][n], it).to_owned())
    };
    let pending = books.read(&path).await?.json;
    assert_eq!(
        (text(&pending, "status"), &pending["expired"], text(&pending, "code")),
        ("pending", &json!(false), "order")
    );
    assert_eq!(
        (leg(&pending, 0), &pending["metadata"]),
        (["40.00", "40.00", "0.00", "0.00"].map(ToOwned::to_owned), &json!({ "order": "4711" }))
    );
    books
        .write(&format!("{path}/post"), &json!({ "amount": { "amount": "25.00", "currency": "EUR" } }))
        .await?;
    let posted = books.read(&path).await?.json;
    assert_eq!((text(&posted, "status"), &posted["version"]), ("posted", &json!(2)));
    assert_eq!(leg(&posted, 1), ["40.00", "0.00", "25.00", "0.00"]);
    let part = books
        .write(&format!("{path}/reverse"), &json!({ "amount": { "amount": "5.00", "currency": "EUR" } }))
        .await?;
    let row = books.read(&path).await?.json;
    assert_eq!(
        (leg(&row, 0), &row["reversed"]),
        (["40.00", "0.00", "25.00", "5.00"].map(ToOwned::to_owned), &json!(false))
    );
    let reversal = books.read(part.header("location")).await?.json;
    assert_eq!((text(&reversal, "reverses"), text(&reversal["legs"][0], "side")), (&*captured, "credit"));
    books.write(&format!("{path}/reverse"), &json!({})).await?;
    assert_eq!(books.read(&path).await?.json["reversed"], true);
    let voided = books.transfer(&held(1, 2, "1.00", 3600)).await?;
    let void = stack
        .command(&books.token, &format!("/v1/ledger/transfers/{voided}/void"))
        .header("Idempotency-Key", "v");
    let position = answer(void).await?.header("quipu-position").to_owned();
    let row = stack.get_at(&books.token, &format!("/v1/ledger/transfers/{voided}"), &position).await?.json;
    assert_eq!(
        (text(&row, "status"), leg(&row, 0)),
        ("voided", ["1.00", "0.00", "0.00", "0.00"].map(ToOwned::to_owned))
    );
    // What an account's entries say of it.
    let entries = books.all(&format!("{}/entries", account(1)), 200).await?;
    let kinds: Vec<[&str; 3]> = entries
        .iter()
        .rev()
        .map(|it| [text(it, "kind"), text(it, "amount"), text(it, "pending_amount")])
        .collect();
    assert_eq!(
        kinds,
        [
            ["posted", "100.00", "0.00"],
            ["held", "0.00", "40.00"],
            ["hold-posted", "25.00", "-40.00"],
            ["reversed", "5.00", "0.00"],
            ["reversed", "20.00", "0.00"],
            ["held", "0.00", "1.00"],
            ["hold-voided", "0.00", "-1.00"],
        ]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_past_its_time_is_shown_as_expired_before_that_is_recorded() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let due = books.transfer(&held(1, 2, "30.00", 2)).await?;
    let kept = books.transfer(&held(1, 2, "1.00", 3600)).await?;
    let path = format!("/v1/ledger/transfers/{due}");
    let first = books.read(&path).await?;
    assert_eq!((text(&first.json, "status"), &first.json["expired"]), ("pending", &json!(false)));
    // No process manager runs here, so nobody records it.
    until(PATIENCE, || async { Ok(books.read(&path).await?.json["expired"] == true) }).await?;
    let row = books.read(&path).await?;
    assert_eq!(
        (text(&row.json, "status"), &row.json["version"]),
        ("pending", &json!(1)),
        "as it is recorded"
    );
    assert_ne!(row.header("etag"), first.header("etag"), "what is shown has changed");
    let listed = books.read("/v1/ledger/transfers?status=pending").await?.json;
    let expired: Vec<(String, Value)> = listed["items"]
        .as_array()
        .context("items")?
        .iter()
        .map(|it| (text(it, "transfer_id").to_owned(), it["expired"].clone()))
        .collect();
    assert_eq!(expired, [(kept, json!(false)), (due, json!(true))]);
    let balance = books.read(&format!("{}/balance", account(1))).await?.json;
    assert_eq!(
        (text(&balance, "debits_pending"), text(&balance, "available")),
        ("31.00", "69.00"),
        "balances are what is recorded"
    );
    // Whoever needs the money has the end recorded first.
    books.transfer(&transfer(1, 2, "99.00")).await?;
    let row = books.read(&path).await?.json;
    assert_eq!(
        (text(&row, "status"), &row["expired"], &row["version"]),
        ("expired", &json!(false), &json!(2))
    );
    assert_eq!(text(&books.read(&account(1)).await?.json, "available"), "0.00");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_read_by_other_programs_whatever_things_are_called() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::of(&stack, tenant(1))?;
    let names = [
        "Assets:Bank (x)",
        "=SUM(A1)",
        "Müller & Söhne; 100%",
        "* ! \"quoted\", name",
        "two  spaces ; and more",
        "@cash\\",
        "::",
        "-1",
    ];
    for (n, name) in (0..).zip(names) {
        books.open(n, json!({ "name": name, "min_balance": null })).await?;
    }
    for n in [20, 21] {
        books.open(n, json!({ "name": "yen", "currency": "JPY", "min_balance": null })).await?;
    }
    for (n, code) in (0..7).zip(["=x", "a; b", "(code)", "*", "!", "2020-01-01", "plain"]) {
        let mut body = dated(n, n + 1, "10.01", "2020-02-29T23:59:59Z");
        body["code"] = json!(code);
        books.transfer(&body).await?;
    }
    let yen = |account: u128, side: &str| json!({ "account_id": id(account), "side": side, "amount": { "amount": "500", "currency": "JPY" } });
    let mixed = books.transfer(&json!({ "legs": [leg(0, "debit", "7.77"), leg(1, "credit", "7.77"), yen(20, "debit"), yen(21, "credit")] })).await?;
    let captured = books.transfer(&held(0, 1, "5.00", 3600)).await?;
    books
        .write(
            &format!("/v1/ledger/transfers/{captured}/post"),
            &json!({ "amount": { "amount": "1.00", "currency": "EUR" } }),
        )
        .await?;
    books.write(&format!("/v1/ledger/transfers/{mixed}/reverse"), &json!({})).await?;
    let pending = books.transfer(&held(0, 1, "5.00", 3600)).await?;
    let rows = books.all("/v1/ledger/trial-balance", 200).await?;
    let mut expected = BTreeMap::new();
    for row in &rows {
        let balance = figure(row, "debits_posted")? - figure(row, "credits_posted")?;
        expected.insert(text(row, "account_id").to_owned(), balance.normalize());
    }
    let csv = books.read("/v1/ledger/journal?format=csv").await?;
    assert!(csv.header("content-type").starts_with("text/csv"));
    let mut sums: BTreeMap<String, Decimal> =
        rows.iter().map(|it| (text(it, "account_id").to_owned(), Decimal::ZERO)).collect();
    for line in csv.text.split_terminator("\r\n").skip(1) {
        let account = expected.keys().find(|it| line.contains(it.as_str())).context("an account")?;
        let amount: Decimal = line.rsplit(',').next().context("an amount")?.parse()?;
        *sums.entry(account.clone()).or_default() += amount;
        for cell in line.split(',').filter(|it| it.parse::<Decimal>().is_err()) {
            assert!(!cell.trim_start_matches('"').starts_with(['=', '+', '-', '@']), "{line} has a formula");
        }
    }
    assert_eq!(sums.into_iter().map(|(id, it)| (id, it.normalize())).collect::<BTreeMap<_, _>>(), expected);
    let (hledger, ledger) =
        (books.read("/v1/ledger/journal").await?, books.read("/v1/ledger/journal?format=ledger").await?);
    assert_eq!(
        (hledger.text.clone(), hledger.header("content-type")),
        (ledger.text, "text/plain; charset=utf-8")
    );
    assert_eq!(hledger.header("cache-control"), "no-store");
    assert!(
        hledger.text.contains(&captured) && !hledger.text.contains(&pending),
        "what is only on hold has not moved"
    );
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("journal");
    std::fs::write(&file, &hledger.text)?;
    let file = file.to_str().context("a path")?;
    tools::run("hledger", &["-f", file, "check"]).map_err(|error| error.context(hledger.text.clone()))?;
    for (account, balance) in &expected {
        for program in ["hledger", "ledger"] {
            let Some(said) = tools::run(program, &["-f", file, "balance", "--empty", "--flat", account])?
            else {
                continue;
            };
            let line = said.lines().find(|it| it.contains(account.as_str())).unwrap_or("0");
            let amount: String = line
                .split(account.as_str())
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .find_map(|it| it.parse::<Decimal>().ok())
                .unwrap_or_default()
                .normalize()
                .to_string();
            assert_eq!(amount, balance.to_string(), "{program}: {said}");
        }
    }
    Ok(())
}

// ---- Lists.

/// Lists, what names a row in them, and whether what is new comes behind what is there.
fn lists() -> Vec<(String, &'static str, bool)> {
    let stream = format!("/v1/events?stream=ledger.account/{}", id(1));
    vec![
        ("/v1/ledger/accounts".to_owned(), "account_id", false),
        ("/v1/ledger/accounts?sort=opened_at".to_owned(), "account_id", true),
        ("/v1/ledger/accounts?sort=name".to_owned(), "account_id", true),
        ("/v1/ledger/accounts?sort=-name".to_owned(), "account_id", false),
        ("/v1/ledger/transfers".to_owned(), "transfer_id", false),
        (format!("/v1/ledger/transfers?account_id={}", id(1)), "transfer_id", false),
        (format!("{}/entries", account(1)), "version", false),
        ("/v1/ledger/trial-balance".to_owned(), "account_id", true),
        ("/v1/events".to_owned(), "position", false),
        ("/v1/events?order=oldest".to_owned(), "position", true),
        (stream.clone(), "position", false),
        (format!("{stream}&order=oldest"), "position", true),
        ("/v1/events?category=ledger.transfer".to_owned(), "position", false),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_read_to_its_end_is_whole_and_in_order_while_rows_arrive() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 8).await?;
    for n in 0..10 {
        books.transfer(&transfer(1, 2 + n % 7, "0.10")).await?;
    }
    let mut next = 100_u128;
    for (path, name, grows) in lists() {
        let whole = ids(&books.all(&path, 200).await?, name);
        assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), whole.len(), "{path}: each row once");
        assert!(whole.len() > 8, "{path}");
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        while seen.len() < whole.len() || cursor.is_some() {
            let it = books.read(&page(&path, 4, cursor.as_deref())).await?.json;
            let items = it["items"].as_array().context("items")?;
            assert!(items.len() == 4 || it["next_cursor"].is_null(), "{path}: a page is full, or the last");
            seen.extend(ids(items, name));
            cursor = it["next_cursor"].as_str().map(ToOwned::to_owned);
            if cursor.is_none() {
                break;
            }
            if seen.len() <= whole.len() {
                // Its name is behind those of all that are there, in order of names, and so is its id.
                books.open(next, json!({ "name": format!("later {next}"), "min_balance": "0" })).await?;
                next += 1;
                books.transfer(&transfer(1, 2, "0.01")).await?;
            }
        }
        if grows {
            assert_eq!(seen[..whole.len()], whole, "{path}");
            assert!(seen.len() > whole.len(), "{path}: what came meanwhile comes behind");
            assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "{path}: each row once");
        } else {
            assert_eq!(seen, whole, "{path}: what came meanwhile is before the first page");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_in_the_order_that_is_asked_for() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::of(&stack, tenant(1))?;
    for (n, name) in (0..).zip(["b", "a", "Z", "é", "a", "c%", "c_", "cc"]) {
        books
            .open(
                n,
                json!({ "name": name, "min_balance": null, "currency": if n == 3 { "JPY" } else { "EUR" } }),
            )
            .await?;
    }
    books.write(&format!("{}/freeze", account(0)), &json!({ "side": "both" })).await?;
    let close = stack.command(&books.token, &format!("{}/close", account(2))).header("Idempotency-Key", "c");
    let position = answer(close).await?.header("quipu-position").to_owned();
    stack.get_at(&books.token, "/v1/ledger/accounts", &position).await?;
    let numbers = |items: Vec<Value>| -> Vec<u128> {
        items
            .iter()
            .filter_map(|it| text(it, "account_id").parse::<Uuid>().ok())
            .map(|it| it.as_u128() - 0xacc0_0000)
            .collect()
    };
    for (rest, expected) in [
        ("", vec![7, 6, 5, 4, 3, 2, 1, 0]),
        ("?sort=-opened_at", vec![7, 6, 5, 4, 3, 2, 1, 0]),
        ("?sort=opened_at", vec![0, 1, 2, 3, 4, 5, 6, 7]),
        ("?sort=name", vec![2, 1, 4, 0, 5, 6, 7, 3]),
        ("?sort=-name", vec![3, 7, 6, 5, 0, 4, 1, 2]),
        ("?sort=name&name_prefix=c", vec![5, 6, 7]),
        ("?name_prefix=c%25", vec![5]),
        ("?name_prefix=%C3%A9", vec![3]),
        ("?name_prefix=zz", vec![]),
        ("?sort=opened_at&currency=JPY", vec![3]),
        ("?status=frozen", vec![0]),
        ("?status=closed", vec![2]),
        ("?status=open&sort=opened_at&currency=EUR&name_prefix=a", vec![1, 4]),
    ] {
        for limit in [1, 3, 200] {
            let found = books.all(&format!("/v1/ledger/accounts{rest}"), limit).await?;
            assert_eq!(numbers(found), expected, "{rest} in pages of {limit}");
        }
    }
    // Transfers, by state, account and time.
    let mut made = Vec::new();
    for body in
        [transfer(1, 4, "1.00"), held(4, 5, "1.00", 3600), transfer(5, 6, "1.00"), held(1, 6, "1.00", 3600)]
    {
        made.push(books.transfer(&body).await?);
    }
    let rows = books.all("/v1/ledger/transfers", 200).await?;
    let recorded: Vec<&str> = rows.iter().rev().map(|it| text(it, "recorded_at")).collect();
    for (rest, expected) in [
        (String::new(), vec![3, 2, 1, 0]),
        ("?status=pending".to_owned(), vec![3, 1]),
        ("?status=posted".to_owned(), vec![2, 0]),
        ("?status=voided".to_owned(), vec![]),
        (format!("?account_id={}", id(4)), vec![1, 0]),
        (format!("?account_id={}&status=pending", id(1)), vec![3]),
        (format!("?account_id={}", Uuid::from_u128(7)), vec![]),
        (format!("?from={}", recorded[1]), vec![3, 2, 1]),
        (format!("?to={}", recorded[1]), vec![0]),
        (format!("?from={}&to={}", recorded[1], recorded[3]), vec![2, 1]),
        (format!("?from={}&to={}&account_id={}", recorded[1], recorded[3], id(5)), vec![2, 1]),
        (format!("?from={}", moved(recorded[3], 1)?), vec![]),
    ] {
        let expected: Vec<String> = expected.into_iter().map(|n: usize| made[n].clone()).collect();
        for limit in [1, 200] {
            let found = books.all(&format!("/v1/ledger/transfers{rest}"), limit).await?;
            assert_eq!(
                found.iter().map(|it| text(it, "transfer_id").to_owned()).collect::<Vec<_>>(),
                expected,
                "{rest}"
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_taken_only_by_the_list_that_gave_it() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 3).await?;
    books.transfer(&transfer(1, 2, "1.00")).await?;
    books.transfer(&transfer(1, 2, "1.00")).await?;
    let end = moved(books.recordings().await?.last().context("a time")?, 1)?;
    let mut paths: Vec<String> = lists()
        .into_iter()
        .map(|(path, ..)| path)
        .filter(|it| !it.contains("category") && !it.contains("transfers?"))
        .collect();
    paths.push(format!("{}/entries", account(2)));
    paths.push(format!("/v1/events?stream=ledger.account/{}", id(2)));
    for (n, basis, from) in [
        (1, "recorded", "2020"),
        (1, "effective", "2020"),
        (2, "effective", "2020"),
        (1, "effective", "2021"),
    ] {
        paths.push(format!("{}/statement?basis={basis}&from={from}-01-01T00:00:00Z&to={end}", account(n)));
    }
    let mut cursors = Vec::new();
    for path in &paths {
        let cursor = books.read(&page(path, 1, None)).await?.json["next_cursor"]
            .as_str()
            .with_context(|| path.clone())?
            .to_owned();
        books.read(&page(path, 1, Some(&cursor))).await?;
        for garbage in [
            "x",
            "%25",
            "e30",
            "eyJ2IjoxfQ",
            &"a".repeat(3_000),
            &format!("{cursor}%3D"),
            &cursor[1..],
            &format!("{cursor}A"),
            "%22",
            "AAAA",
        ] {
            let refused = books.ask(&page(path, 1, Some(garbage))).await?;
            assert_eq!(
                (refused.status.as_u16(), refused.code()),
                (400, "read.cursor-invalid"),
                "{path} {garbage}"
            );
        }
        cursors.push(cursor);
    }
    for (n, path) in paths.iter().enumerate() {
        for (m, cursor) in cursors.iter().enumerate().filter(|(m, _)| *m != n) {
            let refused = books.ask(&page(path, 1, Some(cursor))).await?;
            assert_eq!(
                (refused.status.as_u16(), refused.code()),
                (400, "read.cursor-invalid"),
                "{path} takes that of {}",
                paths[m]
            );
        }
    }
    Ok(())
}

// ---- What may be asked.

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_refused_and_never_ignored() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    for path in reads(&books).await? {
        let sign = if path.contains('?') { '&' } else { '?' };
        for unknown in ["nope=1", "Limit=1", "as-of=2020-01-01T00:00:00Z", "tenant_id=1"] {
            let refused = books.ask(&format!("{path}{sign}{unknown}")).await?;
            assert_eq!(
                (refused.status.as_u16(), refused.code()),
                (400, "request.unknown-parameter"),
                "{path} {unknown}"
            );
        }
    }
    let (accounts, entries, balance) = (
        "/v1/ledger/accounts".to_owned(),
        format!("{}/entries", account(1)),
        format!("{}/balance", account(1)),
    );
    let statement = format!("{}/statement", account(1));
    let mut cases: Vec<(String, &str, u16)> = vec![
        (accounts.clone(), "status=gone", 400),
        (accounts.clone(), "currency=XXXX", 400),
        (accounts.clone(), "currency=eur", 400),
        (accounts.clone(), "sort=balance", 400),
        (accounts.clone(), "sort=", 400),
        (accounts.clone(), "name_prefix=%00", 400),
        (accounts.clone(), "name_prefix=a%00b", 400),
        (accounts.clone(), "name_prefix=%F4%8F%BF%BF", 200),
        (accounts.clone(), "limit=1&limit=2", 400),
        ("/v1/ledger/transfers".to_owned(), "account_id=1", 400),
        ("/v1/ledger/transfers".to_owned(), "status=open", 400),
        ("/v1/ledger/journal".to_owned(), "format=xml", 400),
        ("/v1/events".to_owned(), "category=nothing", 400),
        ("/v1/events".to_owned(), "stream=ledger.account", 400),
        ("/v1/events".to_owned(), "stream=ledger.account/1", 400),
        ("/v1/events".to_owned(), "stream=nothing/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e", 400),
        ("/v1/events".to_owned(), "order=random", 400),
        ("/v1/events".to_owned(), "actor=me", 400),
        ("/v1/events".to_owned(), "type=%00", 400),
        ("/v1/events".to_owned(), "type=nothing.happened", 200),
        ("/v1/events".to_owned(), "after=1-9223372036854775807", 200),
        ("/v1/events".to_owned(), "after=1-9223372036854775808", 400),
        ("/v1/events/1-9223372036854775807".to_owned(), "", 404),
        ("/v1/events/0".to_owned(), "", 404),
        (format!("{}/", account(1)), "", 404),
        ("/v1/ledger/accounts/x".to_owned(), "", 404),
        ("/v1/ledger/accounts/%00".to_owned(), "", 404),
        ("/v1/ledger/transfers/%2e%2e".to_owned(), "", 404),
        ("/v1/ledger/nothing".to_owned(), "", 404),
    ];
    for list in [
        &accounts,
        &entries,
        &"/v1/ledger/transfers".to_owned(),
        &"/v1/events".to_owned(),
        &"/v1/ledger/trial-balance".to_owned(),
    ] {
        for (limit, status) in [
            ("0", 400),
            ("-1", 400),
            ("201", 400),
            ("200", 200),
            ("1", 200),
            ("x", 400),
            ("1.5", 400),
            ("99999999999999999999", 400),
            ("", 400),
        ] {
            let limit: &str = Box::leak(format!("limit={limit}").into_boxed_str());
            cases.push((list.clone(), limit, status));
        }
    }
    // Moments that no clock of ours will ever show are moments all the same: before them nothing was.
    for moment in [
        "0001-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "-4800-01-01T00:00:00Z",
        "-262143-01-01T00:00:00Z",
        "%2B262142-12-31T23:59:59Z",
        "9999-12-31T23:59:59Z",
        "2020-01-01T00:00:60Z",
        "2020-02-30T00:00:00Z",
        "2020-01-01",
        "2020-01-01T00:00:00",
        "1577836800",
        "2020-01-01T00:00:00.1234567890123Z",
    ] {
        for (path, parameters) in [
            (&balance, &["as_of=$"] as &[&str]),
            (&balance, &["as_of=$", "basis=effective"]),
            (&statement, &["from=$", "to=2020-01-01T00:00:00Z"]),
            (&statement, &["from=$", "to=$", "basis=effective"]),
            (&"/v1/ledger/transfers".to_owned(), &["from=$"]),
            (&"/v1/ledger/transfers".to_owned(), &["to=$"]),
            (&"/v1/events".to_owned(), &["from=$"]),
            (&"/v1/events".to_owned(), &["to=$"]),
            (&"/v1/ledger/trial-balance".to_owned(), &["as_of=$"]),
        ] {
            let path = format!("{path}?{}", parameters.join("&").replace('$', moment));
            let answer = books.ask(&path).await?;
            assert!(matches!(answer.status.as_u16(), 200 | 400), "{path}: {} {}", answer.status, answer.text);
        }
    }
    for (path, rest, status) in cases {
        let path = if rest.is_empty() { path } else { format!("{path}?{rest}") };
        let answer = books.ask(&path).await?;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
        if status != 200 {
            assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_cursor_finds_nothing_out_and_breaks_nothing() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    for _ in 0..2 {
        books.transfer(&transfer(1, 2, "1.00")).await?;
    }
    let long = "9".repeat(400);
    let keys = [
        "[\"\\u0000\",\"00000000-0000-0000-0000-000000000000\"]".to_owned(),
        "[\"a\",\"00000000-0000-0000-0000-000000000000\"]".to_owned(),
        "[\"-262143-01-01T00:00:00Z\",\"00000000-0000-0000-0000-000000000000\"]".to_owned(),
        "[\"+262142-12-31T23:59:59Z\",\"00000000-0000-0000-0000-000000000000\"]".to_owned(),
        "[[\"-262143-01-01T00:00:00Z\",-9223372036854775808],9223372036854775807]".to_owned(),
        "[[\"+262142-12-31T23:59:59Z\",9223372036854775807],-1]".to_owned(),
        "9223372036854775807".to_owned(),
        "-9223372036854775808".to_owned(),
        "1e5".to_owned(),
        long,
        "null".to_owned(),
    ];
    let end = moved(books.recordings().await?.last().context("a time")?, 1)?;
    let statement = format!("{}/statement?from=2020-01-01T00:00:00Z&to={end}", account(0));
    for path in lists().into_iter().map(|(path, ..)| path).chain([statement]) {
        let cursor = books.read(&page(&path, 1, None)).await?.json["next_cursor"]
            .as_str()
            .with_context(|| path.clone())?
            .to_owned();
        let mut decoded: Value = serde_json::from_slice(&decoded(&cursor)?)?;
        for key in &keys {
            decoded["key"] = json!("$");
            let forged = decoded.to_string().replace("\"$\"", key);
            let answer = books.ask(&page(&path, 1, Some(&encoded(forged.as_bytes())))).await?;
            assert!(
                matches!(answer.status.as_u16(), 200 | 400),
                "{path} {key}: {} {}",
                answer.status,
                answer.text
            );
        }
    }
    Ok(())
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 for URLs without padding, of three bytes and four characters at a time.
fn encoded(bytes: &[u8]) -> String {
    let chunk = |bytes: &[u8]| {
        let bits = (0..3).fold(0_usize, |bits, n| bits << 8 | bytes.get(n).map_or(0, |it| usize::from(*it)));
        let chars =
            [18, 12, 6, 0].map(|shift| char::from(*ALPHABET.get(bits >> shift & 63).unwrap_or(&b'A')));
        chars.into_iter().take(bytes.len() + 1).collect::<String>()
    };
    bytes.chunks(3).map(chunk).collect()
}

fn decoded(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for chunk in text.as_bytes().chunks(4) {
        let place = |n: usize| {
            chunk.get(n).and_then(|it| ALPHABET.iter().position(|of| of == it)).unwrap_or_default()
        };
        let bits = (0..4).fold(0, |bits, n| bits << 6 | place(n));
        let three = [bits >> 16 & 255, bits >> 8 & 255, bits & 255];
        for it in three.iter().take(chunk.len() - 1) {
            bytes.push(u8::try_from(*it)?);
        }
    }
    Ok(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_already_is_not_sent_again() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    for path in reads(&books).await? {
        let first = books.read(&path).await?;
        if path.contains("journal") {
            assert_eq!((first.header("etag"), first.header("cache-control")), ("", "no-store"));
            continue;
        }
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{path}: {tag}");
        assert_eq!(
            (first.header("cache-control"), first.header("vary").contains("authorization")),
            ("private, no-cache", true),
            "{path}"
        );
        if path.contains("projections") {
            continue;
        }
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = answer(stack.query(&books.token, &path).header("If-None-Match", &known)).await?;
            assert_eq!(
                (again.status, again.text.as_str(), again.header("etag")),
                (StatusCode::NOT_MODIFIED, "", &*tag),
                "{path} {known}"
            );
            assert!(!again.header("quipu-position").is_empty(), "{path}");
        }
        let again = answer(stack.query(&books.token, &path).header("If-None-Match", "\"other\"")).await?;
        assert_eq!((again.status, again.text), (StatusCode::OK, first.text), "{path}");
    }
    // A change makes another tag where something changed, and none where nothing did.
    let tags = async |path: String| anyhow::Ok(books.read(&path).await?.header("etag").to_owned());
    let (one, two) = (tags(account(1)).await?, tags(account(2)).await?);
    books.transfer(&transfer(0, 1, "1.00")).await?;
    assert_ne!(tags(account(1)).await?, one);
    assert_eq!(tags(account(2)).await?, two);
    Ok(())
}

// ---- Events.

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
    let all = books.all("/v1/events", 200).await?;
    let positions: Vec<i64> = all.iter().map(|it| number(text(it, "position"))).collect();
    assert_eq!(positions, (1..=15).rev().collect::<Vec<_>>(), "all of them, the newest first");
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
        ("after=1-4".to_owned(), 11, Box::new(|it| number(text(it, "position")) > 4)),
        ("before=1-4".to_owned(), 3, Box::new(|it| number(text(it, "position")) < 4)),
        ("after=1-15".to_owned(), 0, Box::new(|_| false)),
        ("type=nothing.happened".to_owned(), 0, Box::new(|_| false)),
        (format!("actor={}", Uuid::from_u128(1)), 0, Box::new(|_| false)),
        (
            format!(
                "after=1-4&before=1-14&type=ledger.transfer-posted&stream={linked}&actor={actor}&category=ledger.transfer&from={}",
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
                let found = books.all(&format!("/v1/events?order={order}&{filter}"), limit).await?;
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
    let listed = stack.get_at(&books.token, "/v1/events?limit=1", position).await?;
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
    let events = stack.get_at(&small.token, "/v1/events?limit=2", &at).await?;
    assert_eq!(events.header("quipu-position"), at, "exact up to the newest event of anybody");
    let seqs: Vec<&Value> =
        events.json["items"].as_array().context("items")?.iter().map(|it| &it["tenant_seq"]).collect();
    assert_eq!(seqs, [&json!(4), &json!(3)]);
    assert_eq!(text(&events.json["items"][0], "stream"), format!("ledger.transfer/{newest}"));
    let transfers = stack.get_at(&small.token, "/v1/ledger/transfers?limit=1", &at).await?;
    assert_eq!(text(&transfers.json["items"][0], "transfer_id"), newest);
    assert_eq!(small.all("/v1/events?order=oldest", 1).await?.len(), 4);
    assert_eq!(small.all("/v1/ledger/transfers", 1).await?.len(), 2);
    assert_eq!(large.all("/v1/events", 200).await?.len(), 1_405);
    assert_eq!(large.all(&format!("{}/entries", account(2)), 200).await?.len(), 1_401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_say_how_far_they_are() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    for path in reads(&books).await? {
        books.read(&path).await?;
    }
    until(PATIENCE, || async {
        let items = books.read("/v1/projections").await?.json["items"].clone();
        Ok(items.as_array().is_some_and(|it| it.len() == 6 && it.iter().all(|it| it["lag_events"] == 0)))
    })
    .await?;
    let stood = freeze(&stack, "accounts").await?;
    books.transfer(&transfer(0, 1, "1.00")).await?;
    books.read("/v1/events").await?;
    let it = books.read("/v1/projections").await?.json;
    assert_eq!(
        (text(&it, "head"), &it["publisher"]),
        (&*books.position(), &Value::Null),
        "nobody publishes here"
    );
    let items = it["items"].as_array().context("items")?;
    let models: Vec<&str> = items.iter().map(|it| text(it, "model")).collect();
    assert_eq!(
        models,
        ["account_entries", "accounts", "event_index", "tenants", "transfers", "trial_balance"]
    );
    for row in items {
        assert_eq!(
            (&row["active"], &row["epoch"], &row["parked_partitions"]),
            (&json!(true), &json!(1), &json!(0)),
            "{row}"
        );
        assert_eq!(row["head"], json!(number(&books.position())));
    }
    let frozen = items.get(1).context("accounts")?;
    assert_eq!(
        (&frozen["position"], &frozen["lag_events"], text(frozen, "lease_owner")),
        (&json!(stood), &json!(1), "a stranger")
    );
    assert!(frozen["lag_seconds"].as_f64().is_some_and(|it| it > 0.0), "{frozen}");
    Ok(())
}
