//! Balances as of a moment and statements between two, in both bases of time.
//!
//! | question | cost |
//! |---|---|
//! | as of a recording, version or position | one step in an index |
//! | as of a value date | a sum over the account's index up to that date |
//! | a page of a statement | its lines, and by value date the sum up to its first line |

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account_entries::AccountEntries;
use crate::accounts::AccountRow;
use crate::figures;
use crate::in_epoch;
use crate::tenant_tx::TenantTx;

/// By which of an entry's two times it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// When it was recorded: what was known then.
    #[default]
    Recorded,
    /// From when it counts: what is known now about then.
    Effective,
}

/// Until where entries count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All of them.
    Now,
    /// Recorded at or before a moment.
    Recorded(DateTime<Utc>),
    /// Counting from a moment at or before this one.
    Effective(DateTime<Utc>),
    /// Up to a version of the account's stream.
    Version(i64),
    /// Up to a position of the log.
    Position(i64),
}

/// An account's balance as of some moment.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BalanceRow {
    /// Which account.
    pub account_id: Uuid,
    /// Its currency.
    #[schema(example = "EUR")]
    pub currency: String,
    /// The side on which its balance grows.
    #[schema(example = "credit")]
    pub normal_side: String,
    /// By which time entries counted.
    pub basis: Basis,
    /// The moment asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<DateTime<Utc>>,
    /// The version of the newest entry that counted; absent if none did, and by value date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Everything debited until then.
    #[schema(value_type = String, example = "20.00")]
    pub debits_posted: Decimal,
    /// Everything credited until then.
    #[schema(value_type = String, example = "120.00")]
    pub credits_posted: Decimal,
    /// Debits on hold; `null` by value date, because a hold frees its money when that is recorded.
    #[schema(value_type = Option<String>, example = "5.00")]
    pub debits_pending: Option<Decimal>,
    /// Credits on hold; `null` by value date.
    #[schema(value_type = Option<String>, example = "0.00")]
    pub credits_pending: Option<Decimal>,
    /// What was posted, in the direction of the normal side.
    #[schema(value_type = String, example = "100.00")]
    pub balance: Decimal,
    /// What could still be taken; `null` by value date, and for accounts without a lower bound.
    #[schema(value_type = Option<String>, example = "95.00")]
    pub available: Option<Decimal>,
}

/// Totals after the newest entry that counts.
#[derive(Debug, Default)]
struct Newest {
    version: i64,
    debits_posted: Decimal,
    credits_posted: Decimal,
    debits_pending: Decimal,
    credits_pending: Decimal,
}

/// One posting of a statement.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow, ToSchema)]
pub struct StatementLine {
    /// The version of the account's stream that it made.
    pub version: i64,
    /// Where it stands in the log.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
    /// The transfer that it belongs to.
    pub transfer_id: Uuid,
    /// `posted`, `hold-posted` or `reversed`.
    #[schema(example = "posted")]
    pub kind: String,
    /// `debit` or `credit`.
    #[schema(example = "credit")]
    pub side: String,
    /// How much.
    #[schema(value_type = String, example = "12.34")]
    pub amount: Decimal,
    /// The balance after it, in the order of the statement.
    #[schema(value_type = String, example = "112.34")]
    pub balance_after: Decimal,
    /// What sort of transfer it is, in the caller's terms.
    pub code: Option<String>,
    /// The moment that it counts from.
    pub effective_at: DateTime<Utc>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// Which lines a statement has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// By which time.
    pub basis: Basis,
    /// The first moment within it.
    pub from: DateTime<Utc>,
    /// The first moment behind it.
    pub to: DateTime<Utc>,
    /// Nothing recorded behind this position counts, so that pages read one after the other agree.
    pub known_to: i64,
}

/// The place of a line in a statement: its time and version.
pub type LineKey = (DateTime<Utc>, i64);

impl Span {
    /// The place before the first line.
    #[must_use]
    pub fn start(&self) -> LineKey {
        behind_all_before(self.from)
    }

    /// The place behind the last line.
    #[must_use]
    pub fn end(&self) -> LineKey {
        behind_all_before(self.to)
    }

    /// The place of a line.
    #[must_use]
    pub fn key(&self, line: &StatementLine) -> LineKey {
        match self.basis {
            Basis::Recorded => (line.recorded_at, line.version),
            Basis::Effective => (line.effective_at, line.version),
        }
    }
}

/// Times are kept in microseconds, so nothing lies between a moment and the microsecond before it.
fn behind_all_before(time: DateTime<Utc>) -> LineKey {
    (time.checked_sub_signed(TimeDelta::microseconds(1)).unwrap_or(time), i64::MAX)
}

impl AccountEntries {
    /// An account's balance until some moment. By value date, entries recorded so far count, however late.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn balance(tx: &mut TenantTx, account: &AccountRow, until: Until) -> sqlx::Result<BalanceRow> {
        let normal = figures::side(&account.normal_side);
        let (basis, as_of) = match until {
            Until::Effective(at) => (Basis::Effective, Some(at)),
            Until::Recorded(at) => (Basis::Recorded, Some(at)),
            Until::Now | Until::Version(_) | Until::Position(_) => (Basis::Recorded, None),
        };
        let newest = match until {
            Until::Effective(at) => {
                let (debits_posted, credits_posted) =
                    effective_totals(tx, account.account_id, (at, i64::MAX), i64::MAX).await?;
                Some(Newest { debits_posted, credits_posted, ..Newest::default() })
            }
            other => newest(tx, account.account_id, other).await?,
        };
        let version = newest.as_ref().map(|it| it.version).filter(|_| basis == Basis::Recorded);
        let mut it = newest.unwrap_or_default();
        let mut balance = figures::balance(normal, it.debits_posted, it.credits_posted);
        let mut available =
            figures::available(normal, balance, it.debits_pending, it.credits_pending, account.min_balance);
        let shown = [
            &mut it.debits_posted,
            &mut it.credits_posted,
            &mut it.debits_pending,
            &mut it.credits_pending,
            &mut balance,
        ];
        figures::in_currency(&account.currency, shown.into_iter().chain(&mut available));
        let held = basis == Basis::Recorded;
        Ok(BalanceRow {
            account_id: account.account_id,
            currency: account.currency.clone(),
            normal_side: account.normal_side.clone(),
            basis,
            as_of,
            version,
            debits_posted: it.debits_posted,
            credits_posted: it.credits_posted,
            debits_pending: held.then_some(it.debits_pending),
            credits_pending: held.then_some(it.credits_pending),
            balance,
            available: available.filter(|_| held),
        })
    }

    /// The balance at a place of a statement: of its start or end, it is the opening or closing balance.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn balance_at(
        tx: &mut TenantTx,
        account: &AccountRow,
        span: &Span,
        key: LineKey,
    ) -> sqlx::Result<Decimal> {
        let (debits, credits) = match span.basis {
            Basis::Effective => effective_totals(tx, account.account_id, key, span.known_to).await?,
            Basis::Recorded => recorded_totals(tx, account.account_id, key, span.known_to).await?,
        };
        let mut balance = figures::balance(figures::side(&account.normal_side), debits, credits);
        figures::in_currency(&account.currency, [&mut balance]);
        Ok(balance)
    }

    /// The lines of a statement behind a place, at most `limit`, with the balance after each; `balance` is the one at
    /// that place.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn lines(
        tx: &mut TenantTx,
        account: &AccountRow,
        span: &Span,
        behind: LineKey,
        mut balance: Decimal,
        limit: i64,
    ) -> sqlx::Result<Vec<StatementLine>> {
        let mut lines = match span.basis {
            Basis::Recorded => recorded_lines(tx, account.account_id, span, behind, limit).await?,
            Basis::Effective => effective_lines(tx, account.account_id, span, behind, limit).await?,
        };
        for line in &mut lines {
            let grows = line.side == account.normal_side;
            balance = if grows { balance + line.amount } else { balance - line.amount };
            line.balance_after = balance;
            figures::in_currency(&account.currency, [&mut line.amount, &mut line.balance_after]);
        }
        Ok(lines)
    }
}

async fn newest(tx: &mut TenantTx, account: Uuid, until: Until) -> sqlx::Result<Option<Newest>> {
    let tenant = tx.tenant().uuid();
    let conn = tx.conn();
    match until {
        Until::Recorded(at) | Until::Effective(at) => {
            sqlx::query_as!(
                Newest,
                "select version, debits_posted, credits_posted, debits_pending, credits_pending from account_entries
                 where tenant_id = $1 and account_id = $2 and recorded_at <= $3
                 order by recorded_at desc, version desc limit 1",
                tenant,
                account,
                at
            )
            .fetch_optional(conn)
            .await
        }
        Until::Position(position) => {
            sqlx::query_as!(
                Newest,
                "select version, debits_posted, credits_posted, debits_pending, credits_pending from account_entries
                 where tenant_id = $1 and account_id = $2 and position <= $3 order by position desc limit 1",
                tenant,
                account,
                position
            )
            .fetch_optional(conn)
            .await
        }
        Until::Now | Until::Version(_) => {
            let version = if let Until::Version(version) = until { version } else { i64::MAX };
            sqlx::query_as!(
                Newest,
                "select version, debits_posted, credits_posted, debits_pending, credits_pending from account_entries
                 where tenant_id = $1 and account_id = $2 and version <= $3 order by version desc limit 1",
                tenant,
                account,
                version
            )
            .fetch_optional(conn)
            .await
        }
    }
}

/// What was debited and credited up to and including a place in the order of recording.
async fn recorded_totals(
    tx: &mut TenantTx,
    account: Uuid,
    key: LineKey,
    known_to: i64,
) -> sqlx::Result<(Decimal, Decimal)> {
    let tenant = tx.tenant().uuid();
    let newest = sqlx::query!(
        "select debits_posted, credits_posted from account_entries
         where tenant_id = $1 and account_id = $2 and (recorded_at, version) <= ($3, $4) and position <= $5
         order by recorded_at desc, version desc limit 1",
        tenant,
        account,
        key.0,
        key.1,
        known_to
    )
    .map(|row| (row.debits_posted, row.credits_posted))
    .fetch_optional(tx.conn())
    .await?;
    Ok(newest.unwrap_or_default())
}

/// What was debited and credited up to and including a place in the order of value dates.
async fn effective_totals(
    tx: &mut TenantTx,
    account: Uuid,
    key: LineKey,
    known_to: i64,
) -> sqlx::Result<(Decimal, Decimal)> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        r#"select coalesce(sum(amount) filter (where side = 'debit'), 0) as "debits!",
                  coalesce(sum(amount) filter (where side = 'credit'), 0) as "credits!"
           from account_entries
           where tenant_id = $1 and account_id = $2 and (effective_at, version) <= ($3, $4) and position <= $5"#,
        tenant,
        account,
        key.0,
        key.1,
        known_to
    )
    .map(|row| (row.debits, row.credits))
    .fetch_one(tx.conn())
    .await
}

async fn recorded_lines(
    tx: &mut TenantTx,
    account: Uuid,
    span: &Span,
    behind: LineKey,
    limit: i64,
) -> sqlx::Result<Vec<StatementLine>> {
    let tenant = tx.tenant().uuid();
    sqlx::query_as!(
        StatementLine,
        "select version, position, transfer_id, kind, side, amount, balance_after, code, effective_at, recorded_at
         from account_entries
         where tenant_id = $1 and account_id = $2 and (recorded_at, version) > ($3, $4) and recorded_at < $5
           and position <= $6 and amount <> 0
         order by recorded_at, version limit $7",
        tenant,
        account,
        behind.0,
        behind.1,
        span.to,
        span.known_to,
        limit
    )
    .fetch_all(tx.conn())
    .await
}

async fn effective_lines(
    tx: &mut TenantTx,
    account: Uuid,
    span: &Span,
    behind: LineKey,
    limit: i64,
) -> sqlx::Result<Vec<StatementLine>> {
    let tenant = tx.tenant().uuid();
    sqlx::query_as!(
        StatementLine,
        "select version, position, transfer_id, kind, side, amount, balance_after, code, effective_at, recorded_at
         from account_entries
         where tenant_id = $1 and account_id = $2 and (effective_at, version) > ($3, $4) and effective_at < $5
           and position <= $6 and amount <> 0
         order by effective_at, version limit $7",
        tenant,
        account,
        behind.0,
        behind.1,
        span.to,
        span.known_to,
        limit
    )
    .fetch_all(tx.conn())
    .await
}
