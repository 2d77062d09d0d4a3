//! A month of a real shop, through the whole system, against the sums of its file and against two programs of others.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::read::GzDecoder;
use rust_decimal::Decimal;
use serde_json::Value;
use tests::books::Books;
use tests::database::tenant;
use tests::stack::Stack;
use tests::tools;

type Test = anyhow::Result<()>;

fn january() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/grocery/baskets-2017-01.csv.gz")
}

/// What the file says, read with nothing of the product: cents by kind of account, and baskets.
struct File {
    cents: BTreeMap<&'static str, i64>,
    baskets: usize,
    without_legs: usize,
}

fn file() -> anyhow::Result<File> {
    let lines = BufReader::new(GzDecoder::new(std::fs::File::open(january())?)).lines();
    let mut file = File { cents: BTreeMap::new(), baskets: 0, without_legs: 0 };
    for line in lines.skip(1) {
        let line = line?;
        let figures: Vec<i64> = line.split(',').skip(5).take(2).map(str::parse).collect::<Result<_, _>>()?;
        let [sales, discount] = <[i64; 2]>::try_from(figures).ok().context("two figures")?;
        file.baskets += 1;
        file.without_legs += usize::from(sales + discount == 0);
        for (kind, cents) in [("cash", sales), ("discounts", discount), ("revenue", sales + discount)] {
            *file.cents.entry(kind).or_default() += cents;
        }
    }
    Ok(file)
}

/// The log's newest position and how many transfers there are, asked of the database itself.
async fn log(stack: &Stack) -> anyhow::Result<(i64, i64)> {
    let mut conn = stack.database.superuser().await?;
    let sql = "select (select position from store.log_head),
                      (select count(*) from store.events where type = 'ledger.transfer-posted')";
    Ok(sqlx::query_as(sql).fetch_one(&mut conn).await?)
}

/// Balances of the trial balance by kind of account, debits positive.
async fn trial_balance(books: &Books<'_>) -> anyhow::Result<BTreeMap<String, Decimal>> {
    let mut sums = BTreeMap::new();
    for row in books.all("/v1/ledger/trial-balance", 200).await? {
        let figure =
            |name: &str| -> anyhow::Result<Decimal> { Ok(row[name].as_str().context("a figure")?.parse()?) };
        let kind = row["name"].as_str().and_then(|it| it.split(':').next()).context("a name")?.to_owned();
        *sums.entry(kind).or_default() += figure("debits_posted")? - figure("credits_posted")?;
    }
    Ok(sums)
}

/// The last amount that a program printed.
fn amount(text: &str) -> anyhow::Result<Decimal> {
    let last = text.lines().rev().find(|it| it.contains("USD")).context("an amount")?;
    let figure: String = last.chars().filter(|it| it.is_ascii_digit() || matches!(it, '.' | '-')).collect();
    Ok(figure.parse()?)
}

fn figure(answer: &Value, name: &str) -> anyhow::Result<Decimal> {
    Ok(answer[name].as_str().context("a figure")?.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn january_is_posted_once_and_agrees_with_its_file_and_with_other_programs() -> Test {
    let file = file()?;
    assert_eq!((file.baskets, file.without_legs, file.cents["cash"]), (12_721, 43, 37_088_693));
    let stack = Stack::whole().await?;
    let books = Books::of(&stack, tenant(1))?;
    let january = january();
    let import = || quipu::demo::grocery(&january, &stack.command_url, Some(&stack.query_url), &books.token);
    import().await?;
    let first = log(&stack).await?;
    assert_eq!(usize::try_from(first.1)?, file.baskets - file.without_legs);
    import().await?;
    assert_eq!(log(&stack).await?, first, "the second time nothing happens");

    // The books against the file.
    let position = format!("1-{}", first.0);
    let ask = |path: &'static str| stack.get_at(&books.token, path, &position);
    let sums = trial_balance(&books).await?;
    let cents = |kind: &str| Decimal::new(file.cents[kind], 2);
    assert_eq!(cents("cash").to_string(), "370886.93");
    let expected = BTreeMap::from([
        ("cash".to_owned(), cents("cash")),
        ("discounts".to_owned(), cents("discounts")),
        ("revenue".to_owned(), -cents("revenue")),
    ]);
    assert_eq!(sums, expected);
    let totals = ask("/v1/ledger/trial-balance").await?.json["totals"][0].clone();
    assert_eq!(figure(&totals, "debits_posted")?, cents("revenue"));
    assert_eq!(figure(&totals, "credits_posted")?, cents("revenue"));

    // The journal against the books, by other programs.
    let folder = tempfile::tempdir()?;
    for (program, check) in [("hledger", Some("check")), ("ledger", None)] {
        let path = if program == "hledger" {
            "/v1/ledger/journal?format=hledger"
        } else {
            "/v1/ledger/journal?format=ledger"
        };
        let journal = ask(path).await?;
        let at = journal.header("quipu-position");
        assert!(at.len() >= position.len() && *at >= *position, "{at}: the export is an event itself");
        assert_eq!(journal.text.matches("    ; transfer: ").count(), file.baskets - file.without_legs);
        let file = folder.path().join(program);
        std::fs::write(&file, &journal.text)?;
        let file = file.to_str().context("a path")?;
        if let Some(check) = check {
            tools::run(program, &["-f", file, check])?;
        }
        for (kind, balance) in &sums {
            let pattern = format!("^{kind}");
            let arguments: &[&str] = &["-f", file, "balance", "--depth", "1", &pattern];
            if let Some(said) = tools::run(program, arguments)? {
                assert_eq!(amount(&said)?, *balance, "{program}: {kind}\n{said}");
            }
        }
    }

    // And as a table: every row once, and each account's amounts add up.
    let table = ask("/v1/ledger/journal?format=csv").await?;
    let mut by_kind: BTreeMap<String, Decimal> = BTreeMap::new();
    for row in table.text.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let (name, amount) = (cells.get(6).context("a name")?, cells.get(8).context("an amount")?);
        *by_kind.entry(name.split(':').next().context("a kind")?.to_owned()).or_default() +=
            amount.parse::<Decimal>()?;
    }
    assert_eq!(by_kind, sums);
    Ok(())
}
