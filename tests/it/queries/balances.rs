//! Balances, statements and the trial balance are exact by both times, now and as of any moment.

use std::collections::BTreeMap;

use anyhow::Context as _;
use reqwest::StatusCode;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::books::{Books, account, dated, held, id, leg, page, transfer};
use tests::database::tenant;
use tests::stack::{Stack, answer};

use super::{Test, figure, moved, text};

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
        ("at_version=7".to_owned(), 404, "read.version-ahead"),
        ("at_version=9223372036854775807".to_owned(), 404, "read.version-ahead"),
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
