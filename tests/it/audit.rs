//! The audit trail: what is refused and what sensitive is read is in it before anybody is answered, bounded, walled and
//! searchable; exports are what their checksums say.

mod exports;
mod refusals;
mod walls;

use reqwest::StatusCode;
use serde_json::{Value, json};
use service_kit::token::Role;
use sqlx::Row as _;
use tests::books::{Books, account, id, transfer};
use tests::database::tenant;
use tests::stack::{Answer, Stack};
use uuid::Uuid;

type Test = anyhow::Result<()>;

/// The trail's own events of a tenant: type and payload, in the order of the log.
async fn told(stack: &Stack, n: u128) -> anyhow::Result<Vec<(String, Value)>> {
    let mut conn = stack.database.superuser().await?;
    let rows = sqlx::query(
        "select type, payload::jsonb as payload from store.events where tenant_id = $1 and category = 90 order by position",
    )
    .bind(tenant(n).uuid())
    .fetch_all(&mut conn)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("type")?, row.try_get("payload")?))).collect()
}

fn counted(told: &[(String, Value)]) -> u64 {
    told.iter().filter_map(|(_, payload)| payload["count"].as_u64()).sum()
}

/// The newest entry that a path gives, as of the answer's position.
async fn newest(books: &Books<'_>, path: &str, position: &str) -> anyhow::Result<Value> {
    let page = books.stack.get_at(&books.token, path, position).await?;
    anyhow::ensure!(page.status == StatusCode::OK, "{path}: {}", page.text);
    Ok(page.json["items"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_in_the_trail_at_the_position_of_its_answer() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let gone = Uuid::from_u128(0xdead);
    let member = stack.member(tenant(1))?;
    let t = "/v1/ledger/transfers";
    let mut secret = transfer(0, 1, "1.00");
    secret["note"] = json!("Jane Doe's secret");
    let odd = "/v1/ledger/accounts/jane.doe@example.org/freeze";
    let frozen = format!("{}/freeze", account(1));
    type Case<'a> = (&'a str, &'a str, Value, u16, &'a str, &'a str, &'a str);
    let cases: [Case<'_>; 7] = [
        (&books.token, t, secret, 400, "request.unknown-field", "ledger.post-transfer", t),
        (&member, t, transfer(0, 1, "1.00"), 403, "auth.permission-missing", "ledger.post-transfer", t),
        (
            &books.token,
            t,
            transfer(0, 77, "1.00"),
            404,
            "ledger.account-not-found",
            "ledger.post-transfer",
            t,
        ),
        (
            &books.token,
            odd,
            json!({ "side": "both" }),
            404,
            "request.not-found",
            "ledger.freeze-account",
            "/v1/ledger/accounts/{id}/freeze",
        ),
        (
            &books.token,
            "/v1/ledger/accounts",
            json!({ "id": id(1), "name": "x", "currency": "EUR" }),
            409,
            "ledger.account-exists",
            "ledger.open-account",
            "/v1/ledger/accounts",
        ),
        (
            &books.token,
            t,
            transfer(1, 0, "100.01"),
            422,
            "ledger.insufficient-funds",
            "ledger.post-transfer",
            t,
        ),
        (
            &books.token,
            &format!("/v1/ledger/transfers/{gone}/void"),
            json!({}),
            404,
            "ledger.transfer-not-found",
            "ledger.void-hold",
            &format!("/v1/ledger/transfers/{gone}/void"),
        ),
    ];
    for (token, path, body, status, code, action, resource) in cases {
        let refused = stack.post(token, path, &body).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (status, code), "{path}");
        let position = refused.header("quipu-position").to_owned();
        let entry = newest(&books, "/v1/audit?result=refused", &position).await?;
        assert_eq!(entry["position"], json!(position), "{code}");
        assert_eq!((&entry["action"], &entry["code"]), (&json!(action), &json!(code)));
        assert_eq!((&entry["resources"], &entry["count"]), (&json!([resource]), &json!(1)));
        assert_eq!(entry["correlation"], json!(Uuid::parse_str(refused.header("x-request-id"))?));
    }
    let stale = stack.command(&books.token, &frozen).header("If-Match", "\"1\"");
    let stale = tests::stack::answer(stale.json(&json!({ "side": "both" }))).await?;
    let entry = newest(&books, "/v1/audit?result=refused", stale.header("quipu-position")).await?;
    assert_eq!((stale.status.as_u16(), &entry["code"]), (412, &json!("precondition.version-mismatch")));
    // Who is not known is in nobody's trail; and nothing that a caller wrote is in the log.
    assert_eq!(stack.post("nonsense", t, &transfer(1, 0, "1.00")).await?.status, StatusCode::UNAUTHORIZED);
    let told = told(&stack, 1).await?;
    assert_eq!(told.iter().filter(|(name, _)| name == "audit.command-refused").count(), 8);
    assert!(!format!("{told:?}").to_lowercase().contains("jane"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_passes_untouched() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    books.transfer(&transfer(1, 2, "1.00")).await?;
    books.read("/v1/ledger/accounts").await?;
    assert_eq!(told(&stack, 1).await?, []);
    let mut conn = stack.database.superuser().await?;
    let head: i64 = sqlx::query_scalar("select position from store.log_head").fetch_one(&mut conn).await?;
    assert_eq!(format!("1-{head}"), books.position());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensitive_read_is_recorded_before_its_answer_whatever_that_is() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let member = stack.member(tenant(1))?;
    for (token, path, status, told_last) in [
        (
            &books.token,
            "/v1/events/1-4711",
            404,
            ("audit.data-read", "events.read-events", "/v1/events/1-4711"),
        ),
        (
            &member,
            "/v1/events?type=ledger.account-opened&limit=7",
            200,
            ("audit.data-read", "events.read-events", "/v1/events"),
        ),
        (
            &member,
            "/v1/ledger/journal?format=csv",
            200,
            ("audit.data-read", "ledger.read-journal", "/v1/ledger/journal"),
        ),
        (&books.token, "/v1/audit?bad=1", 400, ("audit.data-read", "audit.read-trail", "/v1/audit")),
        (&member, "/v1/audit", 403, ("audit.read-refused", "audit.read-trail", "/v1/audit")),
        (&member, "/v1/audit/1-1", 403, ("audit.read-refused", "audit.read-trail", "/v1/audit/1-1")),
    ] {
        let answer = stack.get(token, path).await?;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
        let told = told(&stack, 1).await?;
        let (name, last) = told.last().expect("it is told");
        let last_told = (name.as_str(), last["action"].as_str(), last["resource"].as_str());
        assert_eq!(last_told, (told_last.0, Some(told_last.1), Some(told_last.2)), "{path}");
    }
    let told = told(&stack, 1).await?;
    assert_eq!(told.len(), 6);
    assert_eq!(told[1].1["filters"], json!({ "type": "ledger.account-opened" }));
    assert_eq!(told[2].1["filters"], json!({ "format": "csv" }));
    // The trial balance needs the same permission as the journal, and is no export.
    stack.get(&member, "/v1/ledger/trial-balance").await?;
    assert_eq!(self::told(&stack, 1).await?.len(), 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_read() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let mut conn = stack.database.superuser().await?;
    tests::database::execute(
        &mut conn,
        "revoke execute on function store.append_audit from quipu_query".to_owned(),
    )
    .await?;
    for path in ["/v1/events", "/v1/audit", "/v1/ledger/journal"] {
        let answer = books.ask(path).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "audit.not-recorded"), "{path}");
        assert!(!answer.header("retry-after").is_empty());
    }
    books.read("/v1/ledger/accounts").await?;
    tests::database::execute(
        &mut conn,
        "grant execute on function store.append_audit to quipu_query".to_owned(),
    )
    .await?;
    books.read("/v1/events").await?;
    // A standby takes no writes.
    let database: String = sqlx::query_scalar("select current_database()").fetch_one(&mut conn).await?;
    let role =
        format!("alter role quipu_query in database {database} set default_transaction_read_only = on");
    tests::database::execute(&mut conn, role).await?;
    let standby = stack.another_query_api().await?;
    let request = reqwest::Client::new().get(format!("{standby}/v1/audit")).bearer_auth(&books.token);
    let answer = tests::stack::answer(request).await?;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "audit.on-standby"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_tells_old_and_new_values_and_from_where() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    books.transfer(&transfer(1, 2, "30.00")).await?;
    let detail = books.read(&format!("/v1/audit/{}", books.position())).await?.json;
    assert_eq!(detail["entry"]["action"], "ledger.transfer-posted");
    assert_eq!(detail["entry"]["result"], "done");
    assert_eq!(detail["origin"]["ip"], "127.0.0.1");
    let changes = detail["changes"].as_array().expect("changes");
    let of = |n: u128| {
        let stream = format!("ledger.account/{}", id(n));
        let change = changes.iter().find(|it| it["stream"] == json!(stream)).expect("the account");
        let found = change["differences"].as_array().expect("differences").clone();
        found.into_iter().map(|it| (it["before"].to_string(), it["after"].to_string())).collect::<Vec<_>>()
    };
    assert!(of(1).iter().any(|(old, new)| old.contains('0') && new.contains("30.00")), "{detail}");
    assert!(of(2).iter().any(|(old, new)| old.contains("100.00") && new.contains("130.00")), "{detail}");
    assert_eq!(changes.len(), 3, "the transfer and both accounts");
    // A refusal changed nothing, but it came from somewhere.
    let refused = stack.post(&books.token, "/v1/ledger/transfers", &transfer(1, 2, "100.00")).await?;
    let position = refused.header("quipu-position").to_owned();
    let detail = stack.get_at(&books.token, &format!("/v1/audit/{position}"), &position).await?.json;
    assert_eq!((&detail["changes"], &detail["origin"]["ip"]), (&json!([]), &json!("127.0.0.1")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_searched_by_actor_action_resource_result_and_time() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let mut colleague = stack.claims(tenant(1), Role::Owner);
    colleague.sub = domain::ids::ActorId::new(Uuid::from_u128(0xb0b));
    let bob = stack.signer.mint(&colleague)?;
    stack.post(&bob, &format!("{}/freeze", account(1)), &json!({ "side": "both" })).await?;
    stack.post(&bob, "/v1/ledger/transfers", &transfer(1, 2, "1.00")).await?;
    let last = stack.post(&bob, &format!("{}/close", account(1)), &json!({})).await?;
    let position = last.header("quipu-position").to_owned();
    let all = |filter: String| {
        let (stack, books, position) = (&stack, &books, position.clone());
        async move {
            let path = format!("/v1/audit?limit=200&{filter}");
            let page = stack.get_at(&books.token, &path, &position).await?;
            anyhow::ensure!(page.status == StatusCode::OK, "{path}: {}", page.text);
            let items = page.json["items"].as_array().cloned().unwrap_or_default();
            anyhow::Ok(
                items
                    .iter()
                    .map(|it| it["action"].as_str().unwrap_or_default().to_owned())
                    .collect::<Vec<_>>(),
            )
        }
    };
    let bobs = ["ledger.close-account", "ledger.post-transfer", "ledger.account-frozen"];
    assert_eq!(all(format!("actor={}", Uuid::from_u128(0xb0b))).await?, bobs);
    assert_eq!(all("action=ledger.account-frozen".to_owned()).await?, ["ledger.account-frozen"]);
    assert_eq!(all("action=ledger.".to_owned()).await?.len(), 8);
    assert_eq!(all("result=refused".to_owned()).await?, ["ledger.close-account", "ledger.post-transfer"]);
    let on_account = format!("resource=ledger.account/{}", id(1));
    let expected = ["ledger.account-frozen", "ledger.transfer-posted", "ledger.account-opened"];
    assert_eq!(all(on_account).await?, expected);
    assert_eq!(all(format!("resource={}", account(1))).await?, ["ledger.close-account"]);
    assert_eq!(all(format!("resource={}&result=done", account(1))).await?, [""; 0]);
    let moment = newest(&books, "/v1/audit?action=ledger.account-frozen", &position).await?;
    let moment = moment["recorded_at"].as_str().expect("a time").to_owned();
    let since = all(format!("action=ledger.&from={moment}")).await?;
    let before = all(format!("action=ledger.&to={moment}")).await?;
    assert_eq!((since.len(), before.len()), (3, 5));
    // Page by page it is the same.
    let whole: Vec<Value> = books.all("/v1/audit?action=ledger.", 200).await?;
    let pages: Vec<Value> = books.all("/v1/audit?action=ledger.", 3).await?;
    assert_eq!(whole, pages);
    for bad in ["action=jane", "resource=jane", "result=unknown", "actor=jane"] {
        let answer: Answer = books.ask(&format!("/v1/audit?{bad}")).await?;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    Ok(())
}
