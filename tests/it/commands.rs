//! The command API over HTTP: what a caller may send, and what comes back.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::database::tenant;
use tests::stack::{Answer, Stack, answer};
use uuid::Uuid;

type Test = anyhow::Result<()>;

fn id(n: u128) -> String {
    Uuid::from_u128(0xacc0_0000 + n).to_string()
}

fn leg(account: u128, side: &str, amount: &str) -> Value {
    json!({ "account_id": id(account), "side": side, "amount": { "amount": amount, "currency": "EUR" } })
}

fn transfer(from: u128, to: u128, amount: &str) -> Value {
    json!({ "legs": [leg(from, "debit", amount), leg(to, "credit", amount)] })
}

/// A tenant with account 0 of any depth and accounts 1 and 2 with a hundred euros each.
async fn shop(stack: &Stack) -> anyhow::Result<String> {
    let owner = stack.owner(tenant(1))?;
    let open = |n: u128, min: Value| json!({ "id": id(n), "name": format!("account {n}"), "currency": "EUR", "min_balance": min });
    for (n, min) in [(0, Value::Null), (1, json!("0")), (2, json!("0"))] {
        let answer = stack.post(&owner, "/v1/ledger/accounts", &open(n, min)).await?;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    }
    for n in [1, 2] {
        let answer = stack.post(&owner, "/v1/ledger/transfers", &transfer(0, n, "100.00")).await?;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    }
    Ok(owner)
}

/// How many events the log has, without those of the audit trail: what is refused changes nothing, but is recorded.
async fn events(stack: &Stack) -> anyhow::Result<i64> {
    let mut conn = stack.database.superuser().await?;
    Ok(sqlx::query_scalar("select count(*) from store.events where category not in (81, 90)")
        .fetch_one(&mut conn)
        .await?)
}

#[tokio::test]
async fn an_answer_carries_id_version_position_and_where_to_look() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = shop(&stack).await?;
    let answer = stack.post(&owner, "/v1/ledger/transfers", &transfer(1, 2, "1.50")).await?;
    assert_eq!(answer.status, StatusCode::CREATED);
    let made = answer.json["id"].as_str().expect("an id");
    assert_eq!(answer.json["version"], 1);
    assert_eq!(answer.json["position"], "1-7");
    assert_eq!(answer.header("quipu-position"), "1-7");
    assert_eq!(answer.header("location"), format!("/v1/ledger/transfers/{made}"));
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("cache-control"), "no-store");
    Ok(())
}

#[tokio::test]
async fn a_refusal_has_its_figures_and_a_position() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = shop(&stack).await?;
    let answer = stack.post(&owner, "/v1/ledger/transfers", &transfer(1, 2, "100.01")).await?;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.code(), "ledger.insufficient-funds");
    assert_eq!(answer.json["details"]["required"], "100.01");
    assert_eq!(answer.json["details"]["available"], "100.00");
    assert_eq!(answer.header("quipu-position"), "1-7", "that it was refused is recorded");
    assert_eq!(answer.json["trace_id"].as_str().map(str::len), Some(32));
    Ok(())
}

#[tokio::test]
async fn bad_input_gets_a_clear_problem_and_changes_nothing() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = shop(&stack).await?;
    let before = events(&stack).await?;
    let stranger = Uuid::now_v7();
    let t = "/v1/ledger/transfers";
    let number = json!({ "legs": [
        { "account_id": id(1), "side": "debit", "amount": { "amount": 1.5, "currency": "EUR" } },
        leg(2, "credit", "1.50") ] });
    let currency = |code: &str, amount: &str| {
        json!({ "legs": [
            { "account_id": id(1), "side": "debit", "amount": { "amount": amount, "currency": code } },
            { "account_id": id(2), "side": "credit", "amount": { "amount": amount, "currency": code } } ] })
    };
    let unbalanced = json!({ "legs": [leg(1, "debit", "1.00"), leg(2, "credit", "1.01")] });
    let with = |name: &str, value: Value| {
        let mut body = transfer(1, 2, "1.00");
        body[name] = value;
        body
    };
    let post_hold = format!("/v1/ledger/transfers/{stranger}/post");
    let cases: Vec<(&str, Value, u16, &str)> = vec![
        (t, number, 400, "money.amount-must-be-string"),
        (t, currency("EUR", "1.005"), 422, "money.amount-precision"),
        (t, currency("JPY", "1.5"), 422, "money.amount-precision"),
        (t, currency("XXX", "1"), 422, "money.currency-unknown"),
        (t, currency("eur", "1.00"), 422, "money.currency-unknown"),
        (t, currency("EUR", "1e3"), 400, "money.amount-malformed"),
        (t, currency("EUR", "1_000"), 400, "money.amount-malformed"),
        (t, currency("EUR", ".5"), 400, "money.amount-malformed"),
        (t, currency("EUR", "+5"), 400, "money.amount-malformed"),
        (t, currency("EUR", "-5.00"), 400, "money.amount-malformed"),
        (t, currency("EUR", "0.00"), 422, "ledger.amount-not-positive"),
        (t, currency("USD", "1.00"), 422, "ledger.currency-mismatch"),
        (t, unbalanced, 422, "ledger.unbalanced-legs"),
        (t, transfer(1, 1, "1.00"), 422, "ledger.same-account"),
        (t, transfer(1, 77, "1.00"), 404, "ledger.account-not-found"),
        (t, json!({ "legs": [leg(1, "debit", "1.00")] }), 422, "ledger.leg-count"),
        (t, json!({ "legs": [] }), 422, "ledger.leg-count"),
        (t, with("note", json!("x")), 400, "request.unknown-field"),
        (t, with("effective_at", json!("2999-01-01T00:00:00Z")), 422, "ledger.effective-in-future"),
        (t, with("hold", json!({ "expires_in": 0 })), 422, "ledger.hold-duration"),
        (t, with("code", json!("a\u{0}b")), 400, "request.nul-character"),
        (t, with("code", json!("a\u{202e}b")), 400, "text.not-allowed"),
        (t, json!([]), 400, "request.invalid-field"),
        (&post_hold, json!({}), 404, "ledger.transfer-not-found"),
        ("/v1/ledger/transfers/not-an-id/post", json!({}), 404, "request.not-found"),
        (
            "/v1/ledger/accounts",
            json!({ "name": "x", "currency": "EUR", "balance": "5" }),
            400,
            "request.unknown-field",
        ),
        ("/v1/ledger/accounts", json!({ "name": "", "currency": "EUR" }), 400, "text.empty"),
        ("/v1/ledger/accounts", json!({ "currency": "EUR" }), 400, "request.missing-field"),
        (
            "/v1/ledger/accounts",
            json!({ "id": id(1), "name": "x", "currency": "EUR" }),
            409,
            "ledger.account-exists",
        ),
        ("/v1/ledger/batches", json!({ "items": [] }), 400, "batch.size"),
        (
            "/v1/ledger/periods/close",
            json!({ "through": "2999-01-01T00:00:00Z" }),
            422,
            "ledger.period-not-over",
        ),
        ("/v1/nothing", json!({}), 404, "request.not-found"),
    ];
    for (path, body, status, code) in cases {
        let answer = stack.post(&owner, path, &body).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path} {body}: {}", answer.text);
        assert!(!answer.json["detail"].as_str().unwrap_or_default().contains("sqlx"));
        assert!(is_in_the_reference(&answer.json), "{}", answer.text);
    }
    assert_eq!(events(&stack).await?, before, "nothing happened");
    Ok(())
}

/// Whether a problem has the status and the title that the reference promises for its code.
fn is_in_the_reference(problem: &Value) -> bool {
    const REFERENCE: &str = include_str!("../../docs/errors.md");
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    REFERENCE.contains(&format!("| `{}` | {} | {} |", text("code"), problem["status"], text("title")))
}

#[tokio::test]
async fn bodies_and_headers_that_are_no_requests_are_refused() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = shop(&stack).await?;
    let send = |body: Vec<u8>, media: &'static str, key: Option<&'static str>| {
        let request = stack.command(&owner, "/v1/ledger/transfers").header("Content-Type", media).body(body);
        answer(key.into_iter().fold(request, |request, key| request.header("Idempotency-Key", key)))
    };
    let good = transfer(1, 2, "1.00").to_string().into_bytes();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes();
    type Case = (Vec<u8>, &'static str, Option<&'static str>, u16, &'static str);
    let cases: Vec<Case> = vec![
        (good.clone(), "application/json", None, 400, "idempotency.key-required"),
        (good.clone(), "application/json", Some(""), 400, "idempotency.key-malformed"),
        (good.clone(), "text/plain", Some("k"), 415, "request.unsupported-media-type"),
        (b"{".to_vec(), "application/json", Some("k"), 400, "request.malformed-json"),
        (b"\xff\xfe".to_vec(), "application/json", Some("k"), 400, "request.malformed-json"),
        (deep, "application/json", Some("k"), 413, "request.body-too-large"),
        (
            format!("{}{}", "[".repeat(20_000), "]".repeat(20_000)).into_bytes(),
            "application/json",
            Some("k"),
            400,
            "request.malformed-json",
        ),
        (br#"{"legs":[],"legs":[]}"#.to_vec(), "application/json", Some("k"), 400, "request.duplicate-field"),
    ];
    for (body, media, key, status, code) in cases {
        let answer = send(body, media, key).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{}", answer.text);
    }
    let long = "k".repeat(256);
    let request = stack.command(&owner, "/v1/ledger/transfers").header("Idempotency-Key", long);
    assert_eq!(answer(request.json(&transfer(1, 2, "1.00"))).await?.code(), "idempotency.key-malformed");
    Ok(())
}

#[tokio::test]
async fn keys_give_the_first_answer_again_in_every_process() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = shop(&stack).await?;
    let second = stack.another_command_api().await?;
    let client = reqwest::Client::new();
    let send = |n: usize, body: Value| {
        let base = if n.is_multiple_of(2) { &stack.command_url } else { &second };
        let request = client.post(format!("{base}/v1/ledger/transfers")).bearer_auth(&owner);
        answer(request.header("Idempotency-Key", "the-one").json(&body))
    };
    let body = transfer(1, 2, "7.00");
    let answers: Vec<Answer> =
        join_all((0..32).map(|n| send(n, body.clone()))).await.into_iter().collect::<Result<_, _>>()?;
    let first = answers.iter().find(|it| it.header("idempotent-replayed").is_empty()).expect("the first");
    for answer in &answers {
        assert_eq!((answer.status, &answer.json), (first.status, &first.json));
        assert_eq!(answer.header("location"), first.header("location"));
    }
    assert_eq!(answers.iter().filter(|it| it.header("idempotent-replayed") == "true").count(), 31);
    assert_eq!(events(&stack).await?, 6);
    // Spaces and the order of fields are not another request; another amount is.
    let reordered =
        format!(r#"{{ "legs" : [ {}, {} ] }}"#, leg(1, "debit", "7.00"), leg(2, "credit", "7.00"));
    let request = stack.command(&owner, "/v1/ledger/transfers").header("Idempotency-Key", "\"the-one\"");
    let again = answer(request.header("Content-Type", "application/json").body(reordered)).await?;
    assert_eq!(again.json, first.json);
    let other = send(0, transfer(1, 2, "7.01")).await?;
    assert_eq!((other.status.as_u16(), other.code()), (422, "idempotency.key-reused"));
    // Another tenant's key of the same name is another key.
    let stranger = stack.owner(tenant(2))?;
    let request = stack.command(&stranger, "/v1/ledger/transfers").header("Idempotency-Key", "the-one");
    assert_eq!(answer(request.json(&body)).await?.code(), "ledger.account-not-found");
    Ok(())
}

#[tokio::test]
async fn holds_are_captured_voided_and_reversed_over_http() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = shop(&stack).await?;
    let mut hold = transfer(1, 2, "40.00");
    hold["hold"] = json!({ "expires_in": 600 });
    let held = stack.post(&owner, "/v1/ledger/transfers", &hold).await?;
    let path = format!("/v1/ledger/transfers/{}", held.json["id"].as_str().unwrap_or_default());
    let eur = |amount: &str| json!({ "amount": { "amount": amount, "currency": "EUR" } });
    let too_much = stack.post(&owner, &format!("{path}/post"), &eur("40.01")).await?;
    assert_eq!(too_much.code(), "ledger.capture-exceeds-hold");
    let posted = stack.post(&owner, &format!("{path}/post"), &eur("25.00")).await?;
    assert_eq!((posted.status.as_u16(), &posted.json["version"]), (200, &json!(2)));
    let twice = stack.post(&owner, &format!("{path}/post"), &eur("1.00")).await?;
    assert_eq!((twice.status.as_u16(), twice.code()), (409, "ledger.hold-already-posted"));
    let void = stack.command(&owner, &format!("{path}/void")).header("Idempotency-Key", "v");
    assert_eq!(answer(void).await?.code(), "ledger.hold-already-posted");
    let back = stack.post(&owner, &format!("{path}/reverse"), &eur("20.00")).await?;
    assert_eq!(back.status, StatusCode::CREATED);
    let over = stack.post(&owner, &format!("{path}/reverse"), &eur("5.01")).await?;
    assert_eq!(over.code(), "ledger.reversal-exceeds-transfer");
    let rest = stack.post(&owner, &format!("{path}/reverse"), &json!({})).await?;
    assert_eq!(rest.status, StatusCode::CREATED);
    let done = stack.post(&owner, &format!("{path}/reverse"), &json!({})).await?;
    assert_eq!((done.status.as_u16(), done.code()), (409, "ledger.already-reversed"));
    Ok(())
}

#[tokio::test]
async fn batches_are_one_transaction_and_one_answer() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = shop(&stack).await?;
    let item = |amount: &str| json!({ "transfer": transfer(1, 2, amount) });
    let body = |atomic: bool, amounts: &[&str]| json!({ "atomic": atomic, "items": amounts.iter().map(|it| item(it)).collect::<Vec<_>>() });
    let none = stack.post(&owner, "/v1/ledger/batches", &body(true, &["60.00", "60.00"])).await?;
    let codes: Vec<&str> = none.json["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|it| it["problem"]["code"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(codes, ["batch.not-applied", "ledger.insufficient-funds"]);
    assert!(is_in_the_reference(&none.json["results"][0]["problem"]), "{}", none.text);
    assert_eq!(events(&stack).await?, 5);
    let send = |body: Value| {
        answer(stack.command(&owner, "/v1/ledger/batches").header("Idempotency-Key", "b").json(&body))
    };
    let each = send(body(false, &["60.00", "60.00", "40.00"])).await?;
    let statuses: Vec<&Value> =
        each.json["results"].as_array().expect("results").iter().map(|it| &it["status"]).collect();
    assert_eq!(statuses, [&json!(201), &json!(422), &json!(201)]);
    assert_eq!(send(body(false, &["60.00", "60.00", "40.00"])).await?.json, each.json);
    // A longer batch under the same key is another request; none of its items happens.
    let longer = send(body(false, &["60.00", "60.00", "40.00", "0.01"])).await?;
    assert_eq!(longer.code(), "idempotency.key-reused");
    assert_eq!(events(&stack).await?, 7);
    let full: Vec<Value> = (0..1000).map(|_| item("0.00")).collect();
    let refused = stack.post(&owner, "/v1/ledger/batches", &json!({ "items": full })).await?;
    assert_eq!(refused.json["results"].as_array().map(Vec::len), Some(1000));
    let too_many: Vec<Value> = (0..1001).map(|_| item("0.01")).collect();
    assert_eq!(
        stack.post(&owner, "/v1/ledger/batches", &json!({ "items": too_many })).await?.code(),
        "batch.size"
    );
    Ok(())
}

/// What cannot be read in an item is pointed at where it stands in the body that was sent.
#[tokio::test]
async fn a_batch_that_cannot_be_read_is_told_where() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = stack.owner(tenant(1))?;
    let id = "0190a5c4-7c1e-7000-8000-000000000001";
    let leg = |amount: &str| json!({ "account_id": id, "side": "debit", "amount": { "amount": amount, "currency": "EUR" } });
    for (item, code, pointer) in [
        (json!({ "transfer": {} }), "request.missing-field", "/transfer/legs"),
        (json!({ "transfer": { "legs": [leg("x")] } }), "money.amount-malformed", "/transfer/legs/0/amount"),
        (
            json!({ "transfer": { "legs": [{ "account_id": id, "side": "up" }] } }),
            "request.invalid-field",
            "/transfer/legs/0/side",
        ),
        (
            json!({ "transfer": { "legs": [{ "account_id": id, "side": "debit", "amount": { "currency": "EUR" } }] } }),
            "request.missing-field",
            "/transfer/legs/0/amount/amount",
        ),
        (json!({ "open_account": { "name": "\u{200b}" } }), "text.not-allowed", "/open_account/name"),
        (json!({ "open_account": { "nam": "x" } }), "request.unknown-field", "/open_account/nam"),
        (json!({ "post": { "transfer_id": id } }), "request.missing-field", "/post/with"),
        (
            json!({ "post": { "transfer_id": id, "with": { "amount": 5 } } }),
            "request.invalid-field",
            "/post/with/amount",
        ),
        (json!({ "void": { "transfer_id": "x" } }), "request.invalid-field", "/void/transfer_id"),
        (
            json!({ "reverse": { "transfer_id": id, "with": { "id": 1 } } }),
            "request.invalid-field",
            "/reverse/with/id",
        ),
        (json!({ "move": {} }), "request.invalid-field", "/move"),
        (json!("void"), "request.invalid-field", ""),
        (json!({}), "request.invalid-field", ""),
        (json!({ "void": { "transfer_id": id }, "with": {} }), "request.invalid-field", ""),
    ] {
        let body = json!({ "items": [{ "void": { "transfer_id": id } }, item] });
        let refused = stack.post(&owner, "/v1/ledger/batches", &body).await?;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::BAD_REQUEST, code),
            "{item} {}",
            refused.text
        );
        let place = refused.json["errors"][0]["pointer"].as_str();
        assert_eq!(place, Some(format!("/items/1{pointer}").as_str()), "{item} {}", refused.text);
    }
    Ok(())
}

#[tokio::test]
async fn if_match_is_judged_with_the_command() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = shop(&stack).await?;
    let freeze = |version: &str| {
        let request = stack
            .command(&owner, &format!("/v1/ledger/accounts/{}/freeze", id(1)))
            .header("If-Match", version);
        answer(request.json(&json!({ "side": "debits" })))
    };
    let stale = freeze("\"1\"").await?;
    assert_eq!((stale.status.as_u16(), stale.code()), (412, "precondition.version-mismatch"));
    assert_eq!(stale.json["details"]["actual"], "2");
    assert_eq!(freeze("W/\"2\"").await?.code(), "precondition.malformed");
    assert_eq!(freeze("two").await?.code(), "precondition.malformed");
    let frozen = freeze("\"2\"").await?;
    assert_eq!((frozen.status.as_u16(), frozen.header("etag")), (200, "\"3\""));
    let refused = stack.post(&owner, "/v1/ledger/transfers", &transfer(1, 2, "1.00")).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "ledger.account-frozen"));
    Ok(())
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_undo_what_was_decided() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = shop(&stack).await?;
    for n in 0..50 {
        let request =
            stack.command(&owner, "/v1/ledger/transfers").header("Idempotency-Key", format!("h{n}"));
        let request = answer(request.json(&transfer(1, 2, "0.01")));
        // Some are dropped before they are sent, some while they are judged, some after.
        drop(tokio::time::timeout(Duration::from_micros(n * 100), request).await);
    }
    for n in 0..50 {
        let request =
            stack.command(&owner, "/v1/ledger/transfers").header("Idempotency-Key", format!("h{n}"));
        assert_eq!(answer(request.json(&transfer(1, 2, "0.01"))).await?.status, StatusCode::CREATED);
    }
    assert_eq!(events(&stack).await?, 55, "each happened once");
    let mut conn = stack.database.superuser().await?;
    let open: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(open, 0, "no transaction is left open");
    Ok(())
}
