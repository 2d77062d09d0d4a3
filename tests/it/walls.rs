//! The walls between tenants, and between callers and what they may not read: over HTTP, and below it in SQL.

use domain::ids::{ActorId, TenantId};
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_kit::token::Role;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::books::{Books, account, held, id, transfer};
use tests::database::tenant;
use tests::stack::{Answer, FIRST_POSITION, Stack};
use uuid::Uuid;

use crate::matrix::security::{API_KEY, INVITATION, SERVICE};
use crate::matrix::{EXPORT, Row, TRANSFER, books, every_read};

type Test = anyhow::Result<()>;

/// Whether it tells who did what, which members may not read.
fn is_for_owners(read: &Row) -> bool {
    read.template.starts_with("/v1/audit")
}

/// What a problem says, but for the name of the request and the id that was asked for.
fn without_names(answer: &Answer, wanted: &str) -> (StatusCode, Value, Vec<(String, String)>) {
    let mut body = answer.json.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove("trace_id");
    }
    let text = body.to_string().replace(wanted, "<id>");
    // Sensitive reads are events, so the log may have gone on between two of them.
    let varying = ["date", "quipu-position", "x-request-id", "traceparent", "traceresponse", "server-timing"];
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| !varying.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    headers.sort();
    (answer.status, serde_json::from_str(&text).unwrap_or_default(), headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_is_as_little_there_as_what_is_nobodys() -> Test {
    let stack = Stack::whole().await?;
    let books = books(&stack, 1).await?;
    let position = books.position();
    let stranger = stack.owner(tenant(2))?;
    let nobodys = Uuid::from_u128(0xdead).to_string();
    let mut with_ids = 0;
    for read in every_read() {
        let (theirs, nobodys) = match () {
            () if read.template.contains("{account_id}") => (id(1), nobodys.clone()),
            () if read.template.contains("{stream_id}") => (id(1), nobodys.clone()),
            () if read.template.contains("{transfer_id}") => {
                (Uuid::from_u128(TRANSFER).to_string(), nobodys.clone())
            }
            () if read.template.contains("{export_id}") => {
                (Uuid::from_u128(EXPORT).to_string(), nobodys.clone())
            }
            () if read.template.contains("{invitation_id}") => {
                (Uuid::from_u128(INVITATION).to_string(), nobodys.clone())
            }
            () if read.template.contains("{service_id}") => {
                (Uuid::from_u128(SERVICE).to_string(), nobodys.clone())
            }
            () if read.template.contains("{key_id}") => {
                (Uuid::from_u128(API_KEY).to_string(), nobodys.clone())
            }
            () if read.template.contains("{position}") => (FIRST_POSITION.to_owned(), "1-4711".to_owned()),
            () => continue,
        };
        with_ids += 1;
        books.read(&read.path).await?;
        let foreign = stack.get_at(&stranger, &read.path, &position).await?;
        let unknown = stack.get_at(&stranger, &read.path.replace(&theirs, &nobodys), &position).await?;
        assert_eq!((foreign.status.as_u16(), foreign.code()), (404, "request.not-found"), "{}", read.path);
        assert_eq!(without_names(&foreign, &theirs), without_names(&unknown, &nobodys), "{}", read.path);
    }
    assert_eq!(with_ids, 16);
    // Nor is it found through a filter.
    for path in [
        format!("/v1/ledger/transfers?account_id={}", id(1)),
        format!("/v1/events?stream=ledger.account/{}", id(1)),
        // The stranger has the same actor's id, and has read already: those are events of the stranger's tenant.
        format!("/v1/events?category=ledger.transfer&actor={}", Uuid::from_u128(0xac70)),
        "/v1/events?category=ledger.account&after=1-0&before=1-99&order=oldest".to_owned(),
        "/v1/audit?action=ledger.".to_owned(),
        "/v1/ledger/accounts?name_prefix=tenant".to_owned(),
    ] {
        assert_ne!(books.read(&path).await?.json["items"], json!([]), "{path}");
        let foreign = stack.get_at(&stranger, &path, &position).await?;
        assert_eq!((foreign.status, &foreign.json), (StatusCode::OK, &json!({ "items": [] })), "{path}");
    }
    Ok(())
}

/// Every id, name and amount in an answer must be of the tenant.
fn only_of(n: u128, answer: &Answer, path: &str, foreign: &[String]) {
    for other in (1..=2).filter(|it| *it != n) {
        assert!(!answer.text.contains(&format!("tenant-{other}")), "{path} of {n}: {}", answer.text);
        let amount = format!("{other}.5{other}");
        let mut places = answer.text.match_indices(&amount);
        // Seconds of a time may look like it, but they have two digits.
        let before = |place: usize| answer.text.as_bytes().get(place.wrapping_sub(1)).copied();
        let found = places.any(|(place, _)| !before(place).is_some_and(|it| it.is_ascii_digit()));
        assert!(!found, "{path} of {n}: {}", answer.text);
    }
    for id in foreign {
        assert!(!answer.text.contains(id.as_str()), "{path} of {n} has {id}");
    }
}

async fn own_ids(books: &Books<'_>) -> anyhow::Result<Vec<String>> {
    let mut events = books.all("/v1/events", 200).await?;
    events.retain(|it| it["type"].as_str().is_some_and(|it| it.starts_with("ledger.")));
    let transfers = books.all("/v1/ledger/transfers", 200).await?;
    let ids = events.iter().map(|it| &it["event_id"]).chain(transfers.iter().map(|it| &it["transfer_id"]));
    let ids = ids.filter_map(Value::as_str).map(ToOwned::to_owned);
    Ok(ids.filter(|it| *it != Uuid::from_u128(TRANSFER).to_string()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_with_the_same_ids_never_see_each_other() -> Test {
    let stack = Stack::whole().await?;
    let (one, two) = (books(&stack, 1).await?, books(&stack, 2).await?);
    // Woven into each other, so that pages of the log and of the projector hold both.
    for n in 0..12 {
        for (books, amount) in [(&one, "1.51"), (&two, "2.52")] {
            let body = match n % 3 {
                0 => held(0, 1, amount, 3600),
                _ => transfer(n % 2, (n + 1) % 2, amount),
            };
            books.transfer(&body).await?;
        }
    }
    one.read("/v1/projections").await?;
    let ids = [own_ids(&one).await?, own_ids(&two).await?];
    assert_eq!((ids[0].len(), ids[1].len()), (27, 27));
    let soon =
        one.recordings().await?.pop().expect("a time").max(two.recordings().await?.pop().expect("a time"));
    for (n, books, foreign) in [(1, &one, &ids[1]), (2, &two, &ids[0])] {
        let mut paths: Vec<String> = every_read().into_iter().map(|it| it.path).collect();
        // The first event of a tenant is of tenant 1.
        paths.retain(|it| n == 1 || !it.contains(&format!("/{FIRST_POSITION}")));
        paths.extend([
            "/v1/events?limit=200&order=oldest".to_owned(),
            format!("/v1/events?limit=200&stream=ledger.account/{}", id(1)),
            format!("/v1/events?limit=200&actor={}", Uuid::from_u128(0xac70)),
            format!("/v1/ledger/transfers?limit=200&account_id={}", id(1)),
            "/v1/ledger/transfers?limit=200&status=pending".to_owned(),
            format!("{}/statement?from=2020-01-01T00:00:00Z&to={soon}", account(1)),
            format!("{}/statement?from=2020-01-01T00:00:00Z&to={soon}&format=csv", account(1)),
            format!("{}/balance?as_of={soon}", account(1)),
            format!("{}/balance?as_of={soon}&basis=effective", account(1)),
            format!("/v1/ledger/trial-balance?as_of={soon}"),
            "/v1/ledger/journal?format=csv".to_owned(),
        ]);
        for path in paths {
            only_of(n, &books.read(&path).await?, &path, foreign);
        }
        let accounts = books.all("/v1/ledger/accounts?order=name", 1).await?;
        let names: Vec<&Value> = accounts.iter().map(|it| &it["name"]).collect();
        assert_eq!(names, [&json!(format!("tenant-{n} account-0")), &json!(format!("tenant-{n} account-1"))]);
        let events = books.all("/v1/events?order=oldest", 5).await?;
        let seqs: Vec<Option<u64>> = events.iter().map(|it| it["tenant_seq"].as_u64()).collect();
        let dense: Vec<Option<u64>> = (1..).map(Some).take(seqs.len()).collect();
        assert!(seqs.len() > 15 && seqs == dense, "of {n}: without holes");
        for event in &events {
            let position = event["position"].as_str().expect("a position");
            let answers = [
                one.ask(&format!("/v1/events/{position}")).await?,
                two.ask(&format!("/v1/events/{position}")).await?,
            ];
            let found: Vec<bool> = answers.iter().map(|it| it.status == StatusCode::OK).collect();
            assert_eq!(found, [n == 1, n == 2], "{position}");
        }
    }
    // A cursor is a place, not a key to somebody's rows.
    for list in [
        "/v1/ledger/accounts?limit=1",
        "/v1/ledger/transfers?limit=1",
        "/v1/events?limit=1",
        "/v1/ledger/trial-balance?limit=1",
    ] {
        let cursor = one.read(list).await?.json["next_cursor"].as_str().expect("a cursor").to_owned();
        let path = format!("{list}&cursor={cursor}");
        only_of(2, &two.read(&path).await?, &path, &ids[0]);
    }
    Ok(())
}

async fn as_query(stack: &Stack) -> anyhow::Result<PgConnection> {
    Ok(PgConnection::connect_with(&stack.database.options("quipu_query")?).await?)
}

/// Rows of a table that are visible, and those of them that are of another tenant.
async fn visible(conn: &mut PgConnection, table: &str, tenant: TenantId) -> sqlx::Result<(i64, i64)> {
    let sql = format!("select count(*), count(*) filter (where tenant_id <> $1) from {table}");
    sqlx::query_as(AssertSqlSafe(sql)).bind(tenant.uuid()).fetch_one(conn).await
}

#[tokio::test(flavor = "multi_thread")]
async fn below_http_the_role_of_the_query_api_sees_one_tenant_and_changes_nothing() -> Test {
    let stack = Stack::whole().await?;
    for n in 1..=2 {
        let books = books(&stack, n).await?;
        for read in
            every_read().into_iter().filter(|it| n == 1 || !it.path.contains(&format!("/{FIRST_POSITION}")))
        {
            books.read(&read.path).await?;
        }
    }
    let mut superuser = stack.database.superuser().await?;
    // Every table of every schema that holds rows of tenants and that the role may read.
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', c.table_schema, c.table_name) from information_schema.columns c
         join information_schema.tables t using (table_schema, table_name)
         where c.column_name = 'tenant_id' and t.table_type = 'BASE TABLE'
           and has_table_privilege('quipu_query', format('%I.%I', c.table_schema, c.table_name), 'select')
         order by 1",
    )
    .fetch_all(&mut superuser)
    .await?;
    for table in
        ["accounts", "account_entries", "transfers", "trial_balance", "trial_balance_accounts", "event_index"]
    {
        assert!(tables.contains(&format!("read.{table}")), "{table} is not in {tables:?}");
    }
    // What the servers of the test have not filled is filled here, so that nothing is nothing to see.
    for n in 1..=2 {
        sqlx::query("insert into read.tenants values ($1, $2, $2, now(), 1) on conflict do nothing")
            .bind(tenant(n).uuid())
            .bind(format!("tenant-{n}"))
            .execute(&mut superuser)
            .await?;
        for filled in [
            "insert into read.organizations select $1, $1, 'active', 'a', 'A', null, null, now(), null, null, null, null, 1, 1, 1",
            "insert into read.users select $1, $1, 'active', null, 1, true, null, null, null, null, null, 'en', 'form', false, 0,
                 null, now(), 1, 1, 1",
            "insert into read.sessions select $1, $1, $1, null, null, 'password', '[]', now(), 0, null, null, now(), now(), null,
                 null, 1, 1, 1",
            "insert into read.factors select $1, $1, '[]', 0, 1, 1, 1",
            "insert into read.members select $1, $1, 'member', '[]', now(), null, 1, 1, 1",
            "insert into read.roles select $1, $1, 'A', '[]', 1, 1, 1, false",
            "insert into read.consents select $1, $1, $1, $1, 'granted', '[]', now(), now(), null, null, 1, 1, 1",
            "insert into keys.erased_subjects select $1, $1, now(), $1",
        ] {
            sqlx::query(filled).bind(tenant(n).uuid()).execute(&mut superuser).await?;
        }
        sqlx::query("insert into run.parked (model, version, tenant_id, partition, position, reason, retry_at) values ('nothing', 1, $1, $1, 1, 'x', 'infinity')")
            .bind(tenant(n).uuid()).execute(&mut superuser).await?;
        sqlx::query("insert into run.skipped (model, version, tenant_id, partition, position, reason) values ('nothing', 1, $1, $1, 1, 'x')")
            .bind(tenant(n).uuid()).execute(&mut superuser).await?;
    }
    let mut conn = as_query(&stack).await?;
    for table in &tables {
        for n in 1..=2_u128 {
            let mut tx = conn.begin().await?;
            sqlx::query("select set_config('app.tenants', $1, true)")
                .bind(format!("{{{}}}", tenant(n)))
                .execute(&mut *tx)
                .await?;
            let (seen, foreign) = visible(&mut tx, table, tenant(n)).await?;
            assert!(seen > 0, "{table}: tenant {n} sees its own");
            assert_eq!(foreign, 0, "{table}: tenant {n} sees another's");
            tx.rollback().await?;
        }
        // Nobody, somebody who is not there, and nothing at all. The platform has a log of its own.
        for setting in ["{}", "{00000000-0000-0000-0000-00000000dead}", ""] {
            let mut tx = conn.begin().await?;
            sqlx::query("select set_config('app.tenants', $1, true)").bind(setting).execute(&mut *tx).await?;
            // A setting that is none may also be an error; rows it never gives.
            let seen = visible(&mut tx, table, tenant(1)).await.map_or(0, |(seen, _)| seen);
            assert_eq!(seen, 0, "{table} with {setting:?}");
            tx.rollback().await?;
        }
        let seen = visible(&mut conn, table, tenant(1)).await.map_or(0, |(seen, _)| seen);
        assert_eq!(seen, 0, "{table} without a setting");
        for change in [
            format!("delete from {table}"),
            format!("update {table} set tenant_id = tenant_id"),
            format!("insert into {table} select * from {table}"),
            format!("truncate {table}"),
        ] {
            let refused =
                sqlx::query(AssertSqlSafe(change.clone())).execute(&mut conn).await.expect_err(&change);
            let code = refused.as_database_error().and_then(|it| it.code().map(|it| it.into_owned()));
            assert_eq!(code.as_deref(), Some("42501"), "{change}: {refused}");
        }
    }
    // Nor may it become somebody else, or take the wall down.
    for statement in [
        "set role quipu_projector",
        "set role quipu_owner",
        "set session authorization postgres",
        "alter table read.accounts disable row level security",
        "alter table read.accounts no force row level security",
        "drop policy served_tenants on read.accounts",
    ] {
        assert!(sqlx::query(statement).execute(&mut conn).await.is_err(), "{statement}");
    }
    let unwalled: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'read' and c.relkind in ('r', 'p') and not (c.relrowsecurity and c.relforcerowsecurity)",
    )
    .fetch_all(&mut superuser)
    .await?;
    assert_eq!(unwalled, Vec::<String>::new(), "row security is forced on every read table");
    let bypass: bool =
        sqlx::query_scalar("select rolsuper or rolbypassrls from pg_roles where rolname = 'quipu_query'")
            .fetch_one(&mut superuser)
            .await?;
    assert!(!bypass);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_whom_is_in_the_token_and_nowhere_else() -> Test {
    let stack = Stack::whole().await?;
    let books = books(&stack, 1).await?;
    let stranger = stack.owner(tenant(2))?;
    for read in every_read().iter().filter(|it| it.path.contains(&id(1))) {
        for header in ["X-Tenant-Id", "Tenant", "X-Tenant", "Quipu-Tenant"] {
            let request = stack.query(&stranger, &read.path).header(header, tenant(1).to_string());
            let answer = tests::stack::answer(request.header("Quipu-Position", books.position())).await?;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{} {header}", read.path);
        }
    }
    // Two callers of one tenant read the same.
    let mut colleague = stack.claims(tenant(1), Role::Member);
    colleague.sub = ActorId::new(Uuid::from_u128(0xb0b));
    let colleague = stack.signer.mint(&colleague)?;
    for read in every_read().iter().filter(|it| {
        let of_the_caller =
            ["/v1/projections", "/v1/events", "/v1/events/stream", "/v1/security-feed/stream"];
        let is_own = of_the_caller.contains(&it.template) || it.template.starts_with("/v1/auth/");
        !is_own && !is_for_owners(it)
    }) {
        let (own, theirs) =
            (books.read(&read.path).await?, stack.get_at(&colleague, &read.path, &books.position()).await?);
        // The first line of the journal names the position, which every export moves.
        let exported = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
        match read.template {
            "/v1/ledger/journal" => assert_eq!(exported(&own.text), exported(&theirs.text)),
            _ => assert_eq!(own.text, theirs.text, "{}", read.path),
        }
    }
    Ok(())
}
