//! The two calls that the import needs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Outcome;

/// How often a request is sent again while the server says "later".
const ATTEMPTS_MAX: u32 = 30;

/// First pause before a request is sent again; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

pub(super) struct Client {
    http: reqwest::Client,
    command_url: String,
    query_url: Option<String>,
    token: String,
}

#[derive(Deserialize)]
struct BatchAnswer {
    results: Vec<ItemResult>,
    position: String,
}

#[derive(Deserialize)]
struct ItemResult {
    status: u16,
    problem: Option<Value>,
}

#[derive(Deserialize)]
struct AccountPage {
    items: Vec<AccountRow>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct AccountRow {
    name: String,
    balance: String,
}

impl Client {
    pub(super) fn new(command_url: &str, query_url: Option<&str>, token: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(15)).build()?;
        let (command_url, token) = (command_url.to_owned(), token.to_owned());
        Ok(Self { http, command_url, query_url: query_url.map(ToOwned::to_owned), token })
    }

    /// Sends items, each by itself. Those refused with `there_already` are counted, any other refusal is an error.
    pub(super) async fn batch(
        &self,
        key: &str,
        items: &[Value],
        there_already: &str,
    ) -> anyhow::Result<Outcome> {
        let body = json!({ "items": items });
        let response = self
            .patiently(|| {
                let url = format!("{}/v1/ledger/batches", self.command_url);
                self.http.post(url).header("Idempotency-Key", key).json(&body)
            })
            .await?;
        let replayed = response.headers().contains_key("idempotent-replayed");
        let answer: BatchAnswer = response.json().await?;
        let mut outcome = Outcome { position: answer.position, ..Outcome::default() };
        for result in answer.results {
            match result.problem {
                None if result.status < 300 && replayed => outcome.there_already += 1,
                None if result.status < 300 => outcome.posted += 1,
                Some(problem) if problem.get("code").and_then(Value::as_str) == Some(there_already) => {
                    outcome.there_already += 1;
                }
                problem => bail!("an item was refused: {}", problem.unwrap_or_default()),
            }
        }
        Ok(outcome)
    }

    /// Every account's balance by its name, as of `position` or later.
    pub(super) async fn balances(&self, position: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let base = self.query_url.as_deref().context("no query API was given")?;
        let mut balances = BTreeMap::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut url = Url::parse(&format!("{base}/v1/ledger/accounts"))?;
            url.query_pairs_mut().append_pair("limit", "200");
            if let Some(cursor) = &cursor {
                url.query_pairs_mut().append_pair("cursor", cursor);
            }
            let request = || self.http.get(url.clone()).header("Quipu-Position", position);
            let page: AccountPage = self.patiently(request).await?.json().await?;
            balances.extend(page.items.into_iter().map(|row| (row.name, row.balance)));
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(balances),
            }
        }
    }

    /// Sends a request until it has an answer; it must be safe to repeat.
    async fn patiently(
        &self,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> anyhow::Result<reqwest::Response> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            match request().bearer_auth(&self.token).send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) if attempt == ATTEMPTS_MAX || !is_passing(response.status()) => {
                    bail!("{}: {}", response.status(), response.text().await?)
                }
                Err(error) if attempt == ATTEMPTS_MAX => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        bail!("no answer")
    }
}

fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS
}
