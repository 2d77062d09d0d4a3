//! An answer is as new as is demanded or is refused, and is not sent again to whoever has it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::join_all;
use reqwest::StatusCode;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::books::{Books, account, id, transfer};
use tests::database::{execute, tenant};
use tests::stack::{Stack, answer};
use tests::until;

use super::{PATIENCE, Test, number, reads, text};

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
            books.read("/v1/events?limit=1&category=ledger.transfer"),
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
    // Sensitive reads are events themselves, so it has to be beyond those too.
    let beyond = format!("1-{}", number(&books.position()) + 1_000);
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
        let reached = number(refused.header("quipu-position"));
        assert!((number(&books.position())..number(&beyond)).contains(&reached), "{path}: how far it is");
        assert!(took > Duration::from_millis(1_900) && took < Duration::from_secs(5), "{path}: {took:?}");
    }
    // A position in the question is a demand like one in the head, but nobody promised that it is there.
    let at = |position: &str| format!("{}/balance?at_position={position}", account(1));
    assert_eq!(books.ask(&at("2-1")).await?.code(), "read.epoch-changed");
    assert_eq!(books.ask(&at("1")).await?.code(), "read.position-malformed");
    let refused = books.ask(&at(&beyond)).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (404, "read.version-ahead"), "{}", refused.text);
    let newest = number(text(&refused.json["details"], "newest_position"));
    assert!(
        (number(&books.position())..number(&beyond)).contains(&newest),
        "how far it is: {}",
        refused.text
    );
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
    let stood = freeze(&stack, "accounts").await?;
    books.open(3, json!({ "name": "late", "currency": "EUR", "normal_side": "debit" })).await?;
    let balance = stack.get(&books.token, "/v1/ledger/trial-balance").await?;
    assert_eq!(
        number(balance.header("quipu-position")),
        stood,
        "it shows names, so it is no newer than they are"
    );
    thaw(&stack).await?;
    assert_eq!(books.read("/v1/ledger/trial-balance").await?.json["items"][3]["name"], "late");
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
    let events = format!("/v1/events?limit=2&before=1-{}", number(&books.position()) + 1);
    let events = books.read(&events).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_already_is_not_sent_again() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    for path in reads(&books).await? {
        books.settle(&path).await?;
        let first = books.read(&path).await?;
        if path.contains("journal") || path.ends_with("/content") || path.ends_with("/stream") {
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

#[tokio::test(flavor = "multi_thread")]
async fn projections_say_how_far_they_are() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    for path in reads(&books).await? {
        books.read(&path).await?;
    }
    until(PATIENCE, || async {
        let items = books.read("/v1/projections").await?.json["items"].clone();
        Ok(items.as_array().is_some_and(|it| it.len() == 19 && it.iter().all(|it| it["lag_events"] == 0)))
    })
    .await?;
    let stood = freeze(&stack, "accounts").await?;
    books.transfer(&transfer(0, 1, "1.00")).await?;
    books.read("/v1/ledger/transfers").await?;
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
        [
            "account_entries",
            "accounts",
            "api_keys",
            "audit_trail",
            "consents",
            "event_index",
            "factors",
            "invitations",
            "members",
            "organizations",
            "roles",
            "security_feed",
            "services",
            "sessions",
            "sign_ins",
            "tenants",
            "transfers",
            "trial_balance",
            "users"
        ]
    );
    for row in items {
        assert_eq!(
            (&row["active"], &row["epoch"], &row["parked_partitions"]),
            (&json!(true), &json!(1), &json!(0)),
            "{row}"
        );
        assert_eq!(row["head"], books.position());
    }
    let frozen = items.get(1).context("accounts")?;
    assert_eq!(
        (&frozen["position"], &frozen["lag_events"], text(frozen, "lease_owner")),
        (&json!(format!("1-{stood}")), &json!(1), "a stranger")
    );
    assert!(frozen["lag_seconds"].as_f64().is_some_and(|it| it > 0.0), "{frozen}");
    Ok(())
}
