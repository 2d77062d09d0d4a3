//! Lists are whole and in order, page by page; cursors and parameters that are not understood are refused.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::books::{Books, account, held, id, page, transfer};
use tests::database::tenant;
use tests::stack::{Stack, answer};
use uuid::Uuid;

use super::{Test, moved, reads, text};

fn ids(items: &[Value], name: &str) -> Vec<String> {
    items.iter().map(|it| it[name].to_string()).collect()
}

/// Lists, what names a row in them, and whether what is new comes behind what is there.
fn lists() -> Vec<(String, &'static str, bool)> {
    let stream = format!("/v1/events?stream=ledger.account/{}", id(1));
    vec![
        ("/v1/ledger/accounts".to_owned(), "account_id", false),
        ("/v1/ledger/accounts?order=oldest".to_owned(), "account_id", true),
        ("/v1/ledger/accounts?order=name".to_owned(), "account_id", true),
        ("/v1/ledger/accounts?order=-name".to_owned(), "account_id", false),
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
        books.settle(&path).await?;
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
        ("?order=newest", vec![7, 6, 5, 4, 3, 2, 1, 0]),
        ("?order=oldest", vec![0, 1, 2, 3, 4, 5, 6, 7]),
        ("?order=name", vec![2, 1, 4, 0, 5, 6, 7, 3]),
        ("?order=-name", vec![3, 7, 6, 5, 0, 4, 1, 2]),
        ("?order=name&name_prefix=c", vec![5, 6, 7]),
        ("?name_prefix=c%25", vec![5]),
        ("?name_prefix=%C3%A9", vec![3]),
        ("?name_prefix=zz", vec![]),
        ("?order=oldest&currency=JPY", vec![3]),
        ("?status=frozen", vec![0]),
        ("?status=closed", vec![2]),
        ("?status=open&order=oldest&currency=EUR&name_prefix=a", vec![1, 4]),
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
    let mut paths: Vec<String> = lists().into_iter().map(|(path, ..)| path).collect();
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
        (accounts.clone(), "currency=XXXX", 422),
        (accounts.clone(), "currency=eur", 422),
        (accounts.clone(), "order=balance", 400),
        (accounts.clone(), "order=", 400),
        (accounts.clone(), "name_prefix=%00", 400),
        (accounts.clone(), "name_prefix=a%00b", 400),
        (accounts.clone(), "name_prefix=%F4%8F%BF%BF", 200),
        (accounts.clone(), "name_prefix=a%E2%80%8Bb", 400),
        (accounts.clone(), "name_prefix=%EF%BB%BFa", 400),
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
        ("/v1/events".to_owned(), "type=nothing.happened", 400),
        ("/v1/events".to_owned(), "type=ledger.transfer-posted%E2%80%8B", 400),
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
    let stream = format!("/v1/streams/ledger.account/{}", id(0));
    let more = [statement, stream.clone(), format!("{stream}?order=oldest")];
    for path in lists().into_iter().map(|(path, ..)| path).chain(more) {
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
