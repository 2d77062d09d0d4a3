//! The query API over HTTP: what it answers is exact for the position that it names, now and as of any moment.

mod balances;
mod causation;
mod events;
mod lists;
mod live;
mod orders;
mod positions;
mod streams;
mod transfers;

use std::time::Duration;

use anyhow::Context as _;
use rust_decimal::Decimal;
use serde_json::Value;
use tests::books::Books;

use crate::matrix::{every_read, furnish};

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn figure(value: &Value, name: &str) -> anyhow::Result<Decimal> {
    let figure = value[name].as_str().with_context(|| format!("{name} of {value}"))?;
    Ok(figure.parse()?)
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
    furnish(books).await?;
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
