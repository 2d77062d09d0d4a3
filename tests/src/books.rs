//! A tenant's books, kept and read over HTTP by its owner.

use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use domain::ids::TenantId;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stack::{Answer, Stack};

/// The id of the account with this number, the same in every tenant.
#[must_use]
pub fn id(n: u128) -> String {
    Uuid::from_u128(0xacc0_0000 + n).to_string()
}

/// The path of the account with this number.
#[must_use]
pub fn account(n: u128) -> String {
    format!("/v1/ledger/accounts/{}", id(n))
}

/// One leg in euro.
#[must_use]
pub fn leg(account: u128, side: &str, amount: &str) -> Value {
    json!({ "account_id": id(account), "side": side, "amount": { "amount": amount, "currency": "EUR" } })
}

/// The request that moves euros.
#[must_use]
pub fn transfer(from: u128, to: u128, amount: &str) -> Value {
    json!({ "legs": [leg(from, "debit", amount), leg(to, "credit", amount)] })
}

/// The same, with a date.
#[must_use]
pub fn dated(from: u128, to: u128, amount: &str, effective_at: &str) -> Value {
    let mut body = transfer(from, to, amount);
    body["effective_at"] = json!(effective_at);
    body
}

/// The same, set aside, for some seconds.
#[must_use]
pub fn held(from: u128, to: u128, amount: &str, seconds: u64) -> Value {
    let mut body = transfer(from, to, amount);
    body["hold"] = json!({ "expires_in": seconds });
    body
}

/// An owner with a pen. What it reads is never older than what it wrote last.
pub struct Books<'a> {
    /// Where they are kept.
    pub stack: &'a Stack,
    /// Whose they are.
    pub tenant: TenantId,
    /// The owner's token.
    pub token: String,
    position: Mutex<String>,
}

impl<'a> Books<'a> {
    /// Empty books.
    ///
    /// # Errors
    /// If no token can be signed.
    pub fn of(stack: &'a Stack, tenant: TenantId) -> anyhow::Result<Self> {
        Ok(Self { stack, tenant, token: stack.owner(tenant)?, position: Mutex::default() })
    }

    /// Books with account 0, which may go to any depth, and `count` others with a hundred euros each, which may not go
    /// below zero.
    ///
    /// # Errors
    /// If something is refused.
    pub async fn with_accounts(stack: &'a Stack, tenant: TenantId, count: u128) -> anyhow::Result<Self> {
        let books = Self::of(stack, tenant)?;
        books.open(0, json!({ "name": "account 0", "min_balance": null })).await?;
        for n in 1..=count {
            books.open(n, json!({ "name": format!("account {n}"), "min_balance": "0" })).await?;
            books.write("/v1/ledger/transfers", &transfer(0, n, "100.00")).await?;
        }
        Ok(books)
    }

    /// Opens an account, in euro if nothing is said.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn open(&self, n: u128, rest: Value) -> anyhow::Result<Answer> {
        let mut body = json!({ "id": id(n), "currency": "EUR" });
        let rest = rest.as_object().cloned().unwrap_or_default();
        body.as_object_mut().context("a body")?.extend(rest);
        self.write("/v1/ledger/accounts", &body).await
    }

    /// Posts a transfer, and answers with its id.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn transfer(&self, body: &Value) -> anyhow::Result<String> {
        let answer = self.write("/v1/ledger/transfers", body).await?;
        Ok(answer.json["id"].as_str().context("an id")?.to_owned())
    }

    /// Sends a command that has to be accepted.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn write(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let answer = self.stack.post(&self.token, path, body).await?;
        anyhow::ensure!(answer.status.is_success(), "{path} {body}: {}", answer.text);
        self.saw(answer.header("quipu-position"));
        Ok(answer)
    }

    /// What is read from now on is as new as this position.
    pub fn saw(&self, position: &str) {
        position.clone_into(&mut self.position.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Where the newest command left the log.
    #[must_use]
    pub fn position(&self) -> String {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for something, as of the newest command.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn ask(&self, path: &str) -> anyhow::Result<Answer> {
        let position = self.position();
        if position.is_empty() {
            return self.stack.get(&self.token, path).await;
        }
        self.stack.get_at(&self.token, path, &position).await
    }

    /// Reads something that has to be there, as of the newest command.
    ///
    /// # Errors
    /// If it is not.
    pub async fn read(&self, path: &str) -> anyhow::Result<Answer> {
        let answer = self.ask(path).await?;
        anyhow::ensure!(answer.status == StatusCode::OK, "{path}: {} {}", answer.status, answer.text);
        Ok(answer)
    }

    /// Waits until reading something leaves no further trace: a sensitive read is an event itself, the first time in a
    /// minute.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn settle(&self, path: &str) -> anyhow::Result<()> {
        self.read(path).await?;
        let mut conn = self.stack.database.superuser().await?;
        let head: i64 =
            sqlx::query_scalar("select position from store.log_head").fetch_one(&mut conn).await?;
        self.stack.get_at(&self.token, path, &format!("1-{head}")).await?;
        Ok(())
    }

    /// Reads a list to its end, in pages of this size.
    ///
    /// # Errors
    /// If a page is refused.
    pub async fn all(&self, path: &str, limit: usize) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.read(&page(path, limit, cursor.as_deref())).await?;
            items.extend(page.json["items"].as_array().context("items")?.iter().cloned());
            cursor = page.json["next_cursor"].as_str().map(ToOwned::to_owned);
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }

    /// When the events of the ledger were recorded, the oldest first. That somebody looks is an event too, of the audit.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn recordings(&self) -> anyhow::Result<Vec<String>> {
        let events = self.all("/v1/events?order=oldest", 200).await?;
        let of_ledger =
            events.iter().filter(|it| it["type"].as_str().is_some_and(|it| it.starts_with("ledger.")));
        Ok(of_ledger.filter_map(|it| it["recorded_at"].as_str()).map(ToOwned::to_owned).collect())
    }
}

/// The path of a page.
#[must_use]
pub fn page(path: &str, limit: usize, cursor: Option<&str>) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    let cursor = cursor.map(|it| format!("&cursor={it}")).unwrap_or_default();
    format!("{path}{sign}limit={limit}{cursor}")
}
