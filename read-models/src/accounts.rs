//! `accounts`: one row an account, as it is now. How they are listed stands in `accounts/list.rs`.

mod list;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::ids::{AccountId, TenantId};
use domain::ledger::{AccountAfter, AccountOpened, Frozen, LedgerEvent};
use domain::money::Limit;
use domain::{Aggregate, Event, StreamId};
use event_store::Recorded;
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::{self, column};
use crate::in_epoch;
use crate::read_model::{Item, Key, ProjectionError, ReadModel, in_order};
use crate::tenant_tx::TenantTx;
pub use list::{AccountFilter, AccountOrder};

/// The accounts of the ledger.
#[derive(Debug)]
pub struct Accounts;

/// An account as it is now. Figures have exactly the digits of its currency.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow, ToSchema)]
pub struct AccountRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Which account.
    pub account_id: Uuid,
    /// Its name for people.
    #[schema(example = "Customer 4711")]
    pub name: String,
    /// Its one currency, ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// The side on which its balance grows: `debit` or `credit`.
    #[schema(example = "credit")]
    pub normal_side: String,
    /// How low its balance may go, counting what is on hold; `null` for any depth.
    #[schema(value_type = Option<String>, example = "0.00")]
    pub min_balance: Option<Decimal>,
    /// How high its balance may go, counting what is on hold; `null` for any height.
    #[schema(value_type = Option<String>)]
    pub max_balance: Option<Decimal>,
    /// `open`, `frozen` or `closed`.
    #[schema(example = "open")]
    pub status: String,
    /// Which sides take nothing: `none`, `debits`, `credits` or `both`.
    #[schema(example = "none")]
    pub frozen: String,
    /// Everything ever debited.
    #[schema(value_type = String, example = "20.00")]
    pub debits_posted: Decimal,
    /// Everything ever credited.
    #[schema(value_type = String, example = "120.00")]
    pub credits_posted: Decimal,
    /// Debits on hold.
    #[schema(value_type = String, example = "5.00")]
    pub debits_pending: Decimal,
    /// Credits on hold.
    #[schema(value_type = String, example = "0.00")]
    pub credits_pending: Decimal,
    /// What is posted, in the direction of its normal side.
    #[schema(value_type = String, example = "100.00")]
    pub balance: Decimal,
    /// What may still be taken: the balance, less what is on hold against it, down to the lower bound. `null` if it has
    /// no lower bound.
    #[schema(value_type = Option<String>, example = "95.00")]
    pub available: Option<Decimal>,
    /// Version of its stream.
    #[schema(example = 7)]
    pub version: i64,
    /// Pairs that mean something to the caller.
    #[schema(value_type = BTreeMap<String, String>)]
    pub metadata: Json<BTreeMap<String, String>>,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// When its newest event was recorded.
    pub changed_at: DateTime<Utc>,
    /// Where its newest event stands in the log.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
}

impl AccountRow {
    const fn key(&self) -> Key {
        (self.tenant_id, self.account_id)
    }

    fn opened(event: &AccountOpened, recorded: &Recorded) -> Self {
        let figure = |limit: Limit| limit.figure().map(|it| it.decimal());
        let mut row = Self {
            tenant_id: recorded.tenant.uuid(),
            account_id: event.account_id.uuid(),
            name: event.name.as_str().to_owned(),
            currency: event.currency.code().to_owned(),
            normal_side: event.normal_side.as_str().to_owned(),
            min_balance: figure(event.min_balance),
            max_balance: figure(event.max_balance),
            status: String::new(),
            frozen: String::new(),
            debits_posted: Decimal::ZERO,
            credits_posted: Decimal::ZERO,
            debits_pending: Decimal::ZERO,
            credits_pending: Decimal::ZERO,
            balance: Decimal::ZERO,
            available: None,
            version: 0,
            metadata: Json(event.metadata.entries().clone()),
            opened_at: recorded.recorded_at,
            changed_at: recorded.recorded_at,
            position: 0,
        };
        row.available = row.min_balance.map(|min| -min);
        row.set_frozen(Frozen::None);
        row.touched(recorded.version, recorded);
        row
    }

    fn set(&mut self, after: &AccountAfter, recorded: &Recorded) {
        let figure = |limit: Limit| limit.figure().map(|it| it.decimal());
        let totals = after.totals();
        self.min_balance = figure(after.min_balance);
        self.max_balance = figure(after.max_balance);
        self.debits_posted = totals.debits_posted.decimal();
        self.credits_posted = totals.credits_posted.decimal();
        self.debits_pending = totals.debits_pending.decimal();
        self.credits_pending = totals.credits_pending.decimal();
        self.balance = figures::balance_of(after.normal_side, &totals);
        self.available = figures::available(
            after.normal_side,
            self.balance,
            self.debits_pending,
            self.credits_pending,
            self.min_balance,
        );
        self.set_frozen(after.frozen);
        self.touched(after.version, recorded);
    }

    fn set_frozen(&mut self, frozen: Frozen) {
        let (name, status) = match frozen {
            Frozen::None => ("none", "open"),
            Frozen::Debits => ("debits", "frozen"),
            Frozen::Credits => ("credits", "frozen"),
            Frozen::Both => ("both", "frozen"),
        };
        self.frozen = name.to_owned();
        self.status = status.to_owned();
    }

    fn touched(&mut self, version: i64, recorded: &Recorded) {
        self.version = version;
        self.changed_at = recorded.recorded_at;
        self.position = recorded.position;
    }

    fn shown(mut self) -> Self {
        let figures = [
            &mut self.debits_posted,
            &mut self.credits_posted,
            &mut self.debits_pending,
            &mut self.credits_pending,
            &mut self.balance,
        ];
        let limits = [&mut self.min_balance, &mut self.max_balance, &mut self.available];
        figures::in_currency(&self.currency, figures.into_iter().chain(limits.into_iter().flatten()));
        self
    }
}

/// Refuses an event that cannot be read, and one that changes an account that was never opened.
fn fold(rows: &mut HashMap<Key, AccountRow>, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        let Event::Ledger(event) = item.event()? else { continue };
        let recorded = item.recorded;
        let key = (recorded.tenant.uuid(), item.partition);
        if let LedgerEvent::AccountOpened(event) = event {
            rows.insert(key, AccountRow::opened(event, recorded));
            continue;
        }
        let row = rows.get_mut(&key).ok_or_else(|| ProjectionError::Poisoned {
            position: recorded.position,
            reason: "it changes an account that was never opened".to_owned(),
        })?;
        match event {
            LedgerEvent::AccountFrozen(event) => row.set(&event.after, recorded),
            LedgerEvent::AccountUnfrozen(event) => row.set(&event.after, recorded),
            LedgerEvent::AccountClosed(_) => {
                row.status = "closed".to_owned();
                row.touched(recorded.version, recorded);
            }
            other => {
                let id = AccountId::new(item.partition);
                if let Some(leg) = other.legs().iter().find(|leg| leg.account_id == id) {
                    row.set(&leg.after, recorded);
                }
            }
        }
    }
    Ok(())
}

impl ReadModel for Accounts {
    const NAME: &'static str = "accounts";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["accounts"];

    type Rows = HashMap<Key, AccountRow>;

    fn partition(_: TenantId, stream: &StreamId) -> Option<Uuid> {
        (stream.category == domain::ledger::Account::CATEGORY).then_some(stream.id)
    }

    async fn load(
        conn: &mut PgConnection,
        rows: &mut Self::Rows,
        items: &[Item<'_>],
    ) -> Result<(), ProjectionError> {
        let opened = |item: &Item<'_>| item.recorded.event_type == "ledger.account-opened";
        let known: Vec<Key> = items
            .iter()
            .filter(|item| !opened(item))
            .map(|item| (item.recorded.tenant.uuid(), item.partition))
            .filter(|key| !rows.contains_key(key))
            .collect();
        rows.extend(load(conn, &known).await?);
        Ok(())
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        fold(rows, items)
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        save(conn, &in_order(rows, AccountRow::key)).await
    }

    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let cells = cells!(
            AccountRow:
            tenant_id, account_id, name, currency, normal_side, min_balance, max_balance, status, frozen,
            debits_posted, credits_posted, debits_pending, credits_pending, balance, available, version,
            metadata, opened_at, changed_at, position
        );
        copy::rows(conn, "copy accounts from stdin", &in_order(rows, AccountRow::key), cells).await
    }
}

async fn load(tx: &mut PgConnection, keys: &[Key]) -> sqlx::Result<HashMap<Key, AccountRow>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().copied().unzip();
    let rows = sqlx::query_as!(
        AccountRow,
        r#"select tenant_id, account_id, name, currency, normal_side, min_balance, max_balance, status, frozen,
                  debits_posted, credits_posted, debits_pending, credits_pending, balance, available, version,
                  metadata as "metadata: Json<BTreeMap<String, String>>", opened_at, changed_at, position
           from accounts where (tenant_id, account_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
        &tenants,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.tenant_id, row.account_id), row)).collect())
}

async fn save(tx: &mut PgConnection, rows: &[AccountRow]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into accounts
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::numeric[], $7::numeric[],
                              $8::text[], $9::text[], $10::numeric[], $11::numeric[], $12::numeric[], $13::numeric[],
                              $14::numeric[], $15::numeric[], $16::bigint[], $17::jsonb[], $18::timestamptz[],
                              $19::timestamptz[], $20::bigint[])
         on conflict (tenant_id, account_id) do update set
             min_balance = excluded.min_balance, max_balance = excluded.max_balance, status = excluded.status,
             frozen = excluded.frozen, debits_posted = excluded.debits_posted, credits_posted = excluded.credits_posted,
             debits_pending = excluded.debits_pending, credits_pending = excluded.credits_pending,
             balance = excluded.balance, available = excluded.available, version = excluded.version,
             changed_at = excluded.changed_at, position = excluded.position",
        column!(rows, tenant_id),
        column!(rows, account_id),
        column!(rows, name),
        column!(rows, currency),
        column!(rows, normal_side),
        column!(rows, min_balance) as &[Option<Decimal>],
        column!(rows, max_balance) as &[Option<Decimal>],
        column!(rows, status),
        column!(rows, frozen),
        column!(rows, debits_posted),
        column!(rows, credits_posted),
        column!(rows, debits_pending),
        column!(rows, credits_pending),
        column!(rows, balance),
        column!(rows, available) as &[Option<Decimal>],
        column!(rows, version),
        column!(rows, metadata) as &[Json<BTreeMap<String, String>>],
        column!(rows, opened_at),
        column!(rows, changed_at),
        column!(rows, position)
    )
    .execute(tx)
    .await?;
    Ok(())
}

impl Accounts {
    /// One account.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(tx: &mut TenantTx, id: Uuid) -> sqlx::Result<Option<AccountRow>> {
        let tenant = tx.tenant().uuid();
        Ok(load(tx.conn(), &[(tenant, id)]).await?.into_values().next().map(AccountRow::shown))
    }

    /// The names of accounts.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn names(tx: &mut TenantTx, ids: &[Uuid]) -> sqlx::Result<HashMap<Uuid, String>> {
        let tenant = tx.tenant().uuid();
        sqlx::query!(
            "select account_id, name from accounts where tenant_id = $1 and account_id = any($2)",
            tenant,
            ids
        )
        .map(|row| (row.account_id, row.name))
        .fetch_all(tx.conn())
        .await
        .map(|rows| rows.into_iter().collect())
    }
}
