//! A transfer shows what became of it, and the journal of all of them is read by other programs.

use std::collections::BTreeMap;

use anyhow::Context as _;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::books::{Books, account, dated, held, id, leg, transfer};
use tests::database::tenant;
use tests::stack::{Stack, answer};
use tests::{tools, until};

use super::{PATIENCE, Test, figure, text};

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
    let entries = format!("{}/entries?limit=200", account(1));
    let entries = stack.get_at(&books.token, &entries, &position).await?.json;
    let kinds: Vec<[&str; 3]> = entries["items"]
        .as_array()
        .context("items")?
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
    // The first line names the position, which every export moves.
    let entries = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert_eq!(
        (entries(&hledger.text), hledger.header("content-type")),
        (entries(&ledger.text), "text/plain; charset=utf-8")
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
