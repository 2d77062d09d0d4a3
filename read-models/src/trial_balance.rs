//! `trial_balance`: the totals of every account and their sums a currency, which agree at every position.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use domain::ledger::{LedgerEvent, Totals};
use domain::{Aggregate, Event, StreamId};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, Line};
use crate::figures;
use crate::page::{self, ListError, Page, Text};
use crate::read_model::{Item, ProjectionError, ReadModel};
use crate::tenant_tx::TenantTx;

/// The trial balance of each tenant.
#[derive(Debug)]
pub struct TrialBalance;

/// What all accounts of one currency add up to. Posted debits equal posted credits, and so do those on hold.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow, ToSchema)]
pub struct CurrencyTotals {
    /// Which currency.
    #[schema(example = "EUR")]
    pub currency: String,
    /// Everything ever debited.
    #[schema(value_type = String, example = "1000.00")]
    pub debits_posted: Decimal,
    /// Everything ever credited.
    #[schema(value_type = String, example = "1000.00")]
    pub credits_posted: Decimal,
    /// Debits on hold.
    #[schema(value_type = String, example = "5.00")]
    pub debits_pending: Decimal,
    /// Credits on hold.
    #[schema(value_type = String, example = "5.00")]
    pub credits_pending: Decimal,
}

/// One account in a trial balance.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow, ToSchema)]
pub struct TrialBalanceRow {
    /// Which account.
    pub account_id: Uuid,
    /// Its name for people.
    #[schema(example = "Customer 4711")]
    pub name: Option<String>,
    /// Its currency.
    #[schema(example = "EUR")]
    pub currency: String,
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
}

/// Debits and credits posted, then debits and credits pending.
type Figures = [Decimal; 4];
/// Tenant, currency, account.
type AccountKey = (Uuid, String, Uuid);
/// Tenant, currency.
type SumKey = (Uuid, String);

/// What items change.
#[derive(Debug, Default)]
pub struct Change {
    /// Totals of the accounts that were touched.
    accounts: HashMap<AccountKey, Figures>,
    /// By how much the sums change, and the last position that changes them.
    sums: HashMap<SumKey, (Figures, i64)>,
}

fn figures_of(totals: &Totals) -> Figures {
    [totals.debits_posted, totals.credits_posted, totals.debits_pending, totals.credits_pending]
        .map(|it| it.decimal())
}

/// The accounts that an event touches, with their totals after it.
fn touched(event: &LedgerEvent) -> Vec<(&'static str, Uuid, Figures)> {
    if let LedgerEvent::AccountOpened(event) = event {
        return vec![(event.currency.code(), event.account_id.uuid(), Figures::default())];
    }
    let leg = |it: &domain::ledger::Leg| {
        (it.amount.currency().code(), it.account_id.uuid(), figures_of(&it.after.totals()))
    };
    event.legs().iter().map(leg).collect()
}

/// Folds items onto the accounts' totals before them. Refuses an event that cannot be read.
fn fold(change: &mut Change, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        let Event::Ledger(event) = item.event()? else { continue };
        let tenant = item.recorded.tenant.uuid();
        for (currency, account, after) in touched(event) {
            let known = change.accounts.entry((tenant, currency.to_owned(), account)).or_default();
            let (sum, position) = change.sums.entry((tenant, currency.to_owned())).or_default();
            for ((sum, known), after) in sum.iter_mut().zip(known.iter_mut()).zip(after) {
                *sum += after - *known;
                *known = after;
            }
            *position = item.recorded.position;
        }
    }
    Ok(())
}

impl ReadModel for TrialBalance {
    const NAME: &'static str = "trial_balance";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["trial_balance", "trial_balance_accounts"];

    type Rows = Change;

    fn partition(tenant: TenantId, stream: &StreamId) -> Option<Uuid> {
        (stream.category == domain::ledger::Account::CATEGORY).then_some(tenant.uuid())
    }

    async fn load(
        conn: &mut PgConnection,
        rows: &mut Self::Rows,
        items: &[Item<'_>],
    ) -> Result<(), ProjectionError> {
        let mut keys = HashSet::new();
        for item in items {
            // The fold says what is wrong with an event that cannot be read.
            if let Ok(Event::Ledger(event)) = item.event() {
                let tenant = item.recorded.tenant.uuid();
                let touched = touched(event).into_iter().map(|(name, id, _)| (tenant, name.to_owned(), id));
                keys.extend(touched.filter(|key| !rows.accounts.contains_key(key)));
            }
        }
        rows.accounts.extend(load(conn, keys).await?);
        Ok(())
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        fold(rows, items)
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        save_accounts(conn, in_order(rows.accounts)).await?;
        save_sums(conn, in_order(rows.sums)).await
    }

    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let account = |((tenant, currency, account), figures): &(AccountKey, Figures), line: &mut Line| {
            line.cell(tenant).cell(currency).cell(account);
            figures.iter().for_each(|figure| _ = line.cell(figure));
        };
        let sum = |((tenant, currency), (figures, position)): &(SumKey, (Figures, i64)), line: &mut Line| {
            line.cell(tenant).cell(currency);
            figures.iter().for_each(|figure| _ = line.cell(figure));
            line.cell(position);
        };
        let accounts = in_order(rows.accounts);
        copy::rows(&mut *conn, "copy trial_balance_accounts from stdin", &accounts, account).await?;
        copy::rows(conn, "copy trial_balance from stdin", &in_order(rows.sums), sum).await
    }
}

/// One order of locks and of index pages, whatever the page held.
fn in_order<K: Ord, V>(rows: HashMap<K, V>) -> Vec<(K, V)> {
    let mut rows: Vec<(K, V)> = rows.into_iter().collect();
    rows.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    rows
}

async fn load(
    tx: &mut PgConnection,
    keys: HashSet<AccountKey>,
) -> sqlx::Result<HashMap<AccountKey, Figures>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (mut tenants, mut currencies, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant, currency, id) in keys {
        tenants.push(tenant);
        currencies.push(currency);
        ids.push(id);
    }
    let rows = sqlx::query!(
        "select * from trial_balance_accounts
         where (tenant_id, currency, account_id) in (select * from unnest($1::uuid[], $2::text[], $3::uuid[]))",
        &tenants,
        &currencies,
        &ids
    )
    .map(|row| {
        let figures = [row.debits_posted, row.credits_posted, row.debits_pending, row.credits_pending];
        ((row.tenant_id, row.currency, row.account_id), figures)
    })
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().collect())
}

/// One figure of many rows, for `unnest`.
fn figure<K>(rows: &[(K, Figures)], figure: impl Fn(&Figures) -> Decimal) -> Vec<Decimal> {
    rows.iter().map(|(_, it)| figure(it)).collect()
}

async fn save_accounts(tx: &mut PgConnection, rows: Vec<(AccountKey, Figures)>) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let tenants: Vec<Uuid> = rows.iter().map(|(key, _)| key.0).collect();
    let currencies: Vec<String> = rows.iter().map(|(key, _)| key.1.clone()).collect();
    let ids: Vec<Uuid> = rows.iter().map(|(key, _)| key.2).collect();
    sqlx::query!(
        "insert into trial_balance_accounts
         select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::numeric[], $5::numeric[], $6::numeric[],
                              $7::numeric[])
         on conflict (tenant_id, currency, account_id) do update set
             debits_posted = excluded.debits_posted, credits_posted = excluded.credits_posted,
             debits_pending = excluded.debits_pending, credits_pending = excluded.credits_pending",
        &tenants,
        &currencies,
        &ids,
        &figure(&rows, |[it, ..]| *it),
        &figure(&rows, |[_, it, ..]| *it),
        &figure(&rows, |[_, _, it, _]| *it),
        &figure(&rows, |[.., it]| *it)
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn save_sums(tx: &mut PgConnection, rows: Vec<(SumKey, (Figures, i64))>) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> =
        rows.into_iter().map(|(key, (figures, position))| ((key, position), figures)).collect();
    let tenants: Vec<Uuid> = rows.iter().map(|(((tenant, _), _), _)| *tenant).collect();
    let currencies: Vec<String> = rows.iter().map(|(((_, currency), _), _)| currency.clone()).collect();
    let positions: Vec<i64> = rows.iter().map(|((_, position), _)| *position).collect();
    sqlx::query!(
        "insert into trial_balance as t
         select * from unnest($1::uuid[], $2::text[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[],
                              $7::bigint[])
         on conflict (tenant_id, currency) do update set
             debits_posted = t.debits_posted + excluded.debits_posted,
             credits_posted = t.credits_posted + excluded.credits_posted,
             debits_pending = t.debits_pending + excluded.debits_pending,
             credits_pending = t.credits_pending + excluded.credits_pending,
             position = excluded.position",
        &tenants,
        &currencies,
        &figure(&rows, |[it, ..]| *it),
        &figure(&rows, |[_, it, ..]| *it),
        &figure(&rows, |[_, _, it, _]| *it),
        &figure(&rows, |[.., it]| *it),
        &positions
    )
    .execute(tx)
    .await?;
    Ok(())
}

const LIST: &str = "trial-balance";

impl TrialBalance {
    /// The sums of each currency; as of a moment of recording they are added up from all accounts' entries.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn totals(
        tx: &mut TenantTx,
        as_of: Option<DateTime<Utc>>,
    ) -> sqlx::Result<Vec<CurrencyTotals>> {
        let tenant = tx.tenant().uuid();
        let mut rows = match as_of {
            None => {
                sqlx::query_as!(
                    CurrencyTotals,
                    "select currency, debits_posted, credits_posted, debits_pending, credits_pending
                     from trial_balance where tenant_id = $1 order by currency",
                    tenant
                )
                .fetch_all(tx.conn())
                .await?
            }
            Some(as_of) => {
                sqlx::query_as!(
                    CurrencyTotals,
                    r#"select a.currency, sum(e.debits_posted) as "debits_posted!", sum(e.credits_posted) as "credits_posted!",
                              sum(e.debits_pending) as "debits_pending!", sum(e.credits_pending) as "credits_pending!"
                       from trial_balance_accounts a
                       cross join lateral (
                           select x.* from account_entries x
                           where x.tenant_id = $1 and x.account_id = a.account_id and x.recorded_at <= $2
                           order by x.recorded_at desc, x.version desc limit 1
                       ) e
                       where a.tenant_id = $1 group by a.currency order by a.currency"#,
                    tenant,
                    as_of
                )
                .fetch_all(tx.conn())
                .await?
            }
        };
        for row in &mut rows {
            let CurrencyTotals { currency, debits_posted, credits_posted, debits_pending, credits_pending } =
                row;
            figures::in_currency(currency, [debits_posted, credits_posted, debits_pending, credits_pending]);
        }
        Ok(rows)
    }

    /// A page of accounts by currency and id, now or as of a moment of recording.
    ///
    /// # Errors
    /// If the cursor is not one of this list, or the database does not answer.
    pub async fn accounts(
        tx: &mut TenantTx,
        as_of: Option<DateTime<Utc>>,
        cursor: Option<&str>,
        limit: i64,
    ) -> Result<Page<TrialBalanceRow>, ListError> {
        let list = page::narrowed(LIST, &as_of);
        let behind = cursor.map(|it| page::decode::<(Text, Uuid)>(&list, it)).transpose()?;
        let (Text(currency), id) = behind.unwrap_or_default();
        let tenant = tx.tenant().uuid();
        let mut rows =
            match as_of {
                None => sqlx::query_as!(
                    TrialBalanceRow,
                    r#"select a.account_id, n.name as "name?", a.currency, a.debits_posted, a.credits_posted,
                              a.debits_pending, a.credits_pending
                       from trial_balance_accounts a
                       left join accounts n on n.tenant_id = $1 and n.account_id = a.account_id
                       where a.tenant_id = $1 and (a.currency, a.account_id) > ($2, $3)
                       order by a.currency, a.account_id limit $4"#,
                    tenant,
                    currency,
                    id,
                    limit + 1
                )
                .fetch_all(tx.conn())
                .await?,
                Some(as_of) => sqlx::query_as!(
                    TrialBalanceRow,
                    r#"select a.account_id, n.name as "name?", a.currency, e.debits_posted, e.credits_posted,
                              e.debits_pending, e.credits_pending
                       from trial_balance_accounts a
                       left join accounts n on n.tenant_id = $1 and n.account_id = a.account_id
                       cross join lateral (
                           select x.* from account_entries x
                           where x.tenant_id = $1 and x.account_id = a.account_id and x.recorded_at <= $5
                           order by x.recorded_at desc, x.version desc limit 1
                       ) e
                       where a.tenant_id = $1 and (a.currency, a.account_id) > ($2, $3)
                       order by a.currency, a.account_id limit $4"#,
                    tenant,
                    currency,
                    id,
                    limit + 1,
                    as_of
                )
                .fetch_all(tx.conn())
                .await?,
            };
        for row in &mut rows {
            let TrialBalanceRow {
                currency,
                debits_posted,
                credits_posted,
                debits_pending,
                credits_pending,
                ..
            } = row;
            figures::in_currency(currency, [debits_posted, credits_posted, debits_pending, credits_pending]);
        }
        Ok(Page::cut(rows, limit, &list, |it| (it.currency.clone(), it.account_id)))
    }
}
