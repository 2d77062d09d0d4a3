//! `transfers`: one row a transfer, as it is now. Transfers are listed, and the journal is written, from it.

mod fold;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use domain::{Aggregate, StreamId};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::column;
use crate::in_epoch;
use crate::page::{Asked, ByPosition, ListError, Page};
use crate::read_model::{Item, Key, ProjectionError, ReadModel, in_order};
use crate::tenant_tx::TenantTx;

/// The transfers of the ledger: posted, on hold, given up, and those that moved others back.
#[derive(Debug)]
pub struct Transfers;

/// One account's side of a transfer. Figures have the digits of the currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferLeg {
    /// Whose account.
    pub account_id: Uuid,
    /// On which side: `debit` or `credit`.
    #[schema(example = "debit")]
    pub side: String,
    /// Its currency.
    #[schema(example = "EUR")]
    pub currency: String,
    /// What was asked for: moved at once, or set aside.
    #[schema(value_type = String, example = "12.34")]
    pub amount: Decimal,
    /// What is on hold now.
    #[schema(value_type = String, example = "0.00")]
    pub held: Decimal,
    /// What moved.
    #[schema(value_type = String, example = "12.34")]
    pub posted: Decimal,
    /// Of that, what moved back.
    #[schema(value_type = String, example = "0.00")]
    pub reversed: Decimal,
}

/// A transfer as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow, ToSchema)]
pub struct TransferRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Which transfer.
    pub transfer_id: Uuid,
    /// `posted`, `pending`, `voided` or `expired`, as recorded.
    #[schema(example = "posted")]
    pub status: String,
    /// Whether it is a hold whose time is over, though its end is not recorded yet.
    pub expired: bool,
    /// Whether all of it moved back.
    pub reversed: bool,
    /// The transfer that it moves back, if it does.
    pub reverses: Option<Uuid>,
    /// What sort of transfer it is, in the caller's terms.
    #[schema(example = "payout")]
    pub code: Option<String>,
    /// Pairs that mean something to the caller.
    #[schema(value_type = BTreeMap<String, String>)]
    pub metadata: Json<BTreeMap<String, String>>,
    /// What is where.
    #[schema(value_type = Vec<TransferLeg>)]
    pub legs: Json<Vec<TransferLeg>>,
    /// The moment that it counts from.
    pub effective_at: DateTime<Utc>,
    /// When it was first recorded.
    pub recorded_at: DateTime<Utc>,
    /// When the hold ends or would have ended by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// Version of its stream.
    #[schema(example = 1)]
    pub version: i64,
    /// Where its first event stands in the log.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub first_position: i64,
    /// Where the event stands that moved its money, if any did.
    #[serde(serialize_with = "in_epoch::position_if_any")]
    #[schema(value_type = Option<String>, example = "1-4711")]
    pub posted_position: Option<i64>,
    /// Where its newest event stands.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
}

impl TransferRow {
    const fn key(&self) -> Key {
        (self.tenant_id, self.transfer_id)
    }
}

impl ReadModel for Transfers {
    const NAME: &'static str = "transfers";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["transfers"];

    type Rows = HashMap<Key, TransferRow>;

    fn partition(_: TenantId, stream: &StreamId) -> Option<Uuid> {
        (stream.category == domain::ledger::Transfer::CATEGORY).then_some(stream.id)
    }

    async fn load(
        conn: &mut PgConnection,
        rows: &mut Self::Rows,
        items: &[Item<'_>],
    ) -> Result<(), ProjectionError> {
        let begins = |item: &Item<'_>| {
            let recorded = item.recorded;
            recorded.version == 1 && recorded.stream.id == item.partition
        };
        let known: Vec<Key> = items
            .iter()
            .filter(|item| !begins(item))
            .map(|item| (item.recorded.tenant.uuid(), item.partition))
            .filter(|key| !rows.contains_key(key))
            .collect();
        rows.extend(load(conn, &known).await?);
        Ok(())
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        fold::fold(rows, items)
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        save(conn, &in_order(rows, TransferRow::key)).await
    }

    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let cells = cells!(
            TransferRow:
            tenant_id, transfer_id, status, reversed, reverses, code, metadata, legs, effective_at,
            recorded_at, expires_at, version, first_position, posted_position, position
        );
        copy::rows(conn, "copy transfers from stdin", &in_order(rows, TransferRow::key), cells).await
    }
}

async fn load(tx: &mut PgConnection, keys: &[Key]) -> sqlx::Result<HashMap<Key, TransferRow>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().copied().unzip();
    let rows = sqlx::query_as!(
        TransferRow,
        r#"select tenant_id, transfer_id, status, coalesce(status = 'pending' and expires_at <= now(), false) as "expired!",
                  reversed, reverses, code, metadata as "metadata: Json<BTreeMap<String, String>>",
                  legs as "legs: Json<Vec<TransferLeg>>", effective_at, recorded_at, expires_at, version, first_position,
                  posted_position, position
           from transfers where (tenant_id, transfer_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
        &tenants,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.tenant_id, row.transfer_id), row)).collect())
}

async fn save(tx: &mut PgConnection, rows: &[TransferRow]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into transfers
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bool[], $5::uuid[], $6::text[], $7::jsonb[],
                              $8::jsonb[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::bigint[],
                              $13::bigint[], $14::bigint[], $15::bigint[])
         on conflict (tenant_id, transfer_id) do update set
             status = excluded.status, reversed = excluded.reversed, legs = excluded.legs,
             effective_at = excluded.effective_at, version = excluded.version,
             posted_position = excluded.posted_position, position = excluded.position",
        column!(rows, tenant_id),
        column!(rows, transfer_id),
        column!(rows, status),
        column!(rows, reversed),
        column!(rows, reverses) as &[Option<Uuid>],
        column!(rows, code) as &[Option<String>],
        column!(rows, metadata) as &[Json<BTreeMap<String, String>>],
        column!(rows, legs) as &[Json<Vec<TransferLeg>>],
        column!(rows, effective_at),
        column!(rows, recorded_at),
        column!(rows, expires_at) as &[Option<DateTime<Utc>>],
        column!(rows, version),
        column!(rows, first_position),
        column!(rows, posted_position) as &[Option<i64>],
        column!(rows, position)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Which transfers are listed.
#[derive(Debug, Clone, Default, Hash)]
pub struct TransferFilter {
    /// One that has a leg on this account.
    pub account_id: Option<Uuid>,
    /// `posted`, `pending`, `voided` or `expired`.
    pub status: Option<String>,
    /// First recorded at or after this moment.
    pub from: Option<DateTime<Utc>>,
    /// First recorded before this moment.
    pub to: Option<DateTime<Utc>>,
}

const LIST: &str = "transfers";
const COLUMNS: &str =
    "select t.tenant_id, t.transfer_id, t.status, t.reversed, t.reverses, t.code, t.metadata, t.legs, t.effective_at,
            t.recorded_at, t.expires_at, t.version, t.first_position, t.posted_position, t.position,
            coalesce(t.status = 'pending' and t.expires_at <= now(), false) as expired ";

impl Transfers {
    /// One transfer.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(tx: &mut TenantTx, id: Uuid) -> sqlx::Result<Option<TransferRow>> {
        let tenant = tx.tenant().uuid();
        Ok(load(tx.conn(), &[(tenant, id)]).await?.into_values().next())
    }

    /// A page of transfers, by when they were first recorded. By account it is found through the account's entries.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &TransferFilter,
        asked: &Asked,
    ) -> Result<Page<TransferRow>, ListError> {
        // First positions and times grow together, so times become places: a short walk wherever they lie.
        let (first, last) = places(tx, filter.from, filter.to).await?;
        let tenant = tx.tenant().uuid();
        let mut query = QueryBuilder::<Postgres>::new(COLUMNS);
        let column = if let Some(account) = filter.account_id {
            query.push("from account_entries e join transfers t on t.tenant_id = e.tenant_id and t.transfer_id = e.transfer_id");
            query
                .push(" where e.kind in ('posted', 'held', 'reversed') and e.account_id = ")
                .push_bind(account);
            query.push(" and e.tenant_id = ").push_bind(tenant);
            "e.position"
        } else {
            query.push("from transfers t where t.tenant_id = ").push_bind(tenant);
            "t.first_position"
        };
        if let Some(status) = &filter.status {
            query.push(" and t.status = ").push_bind(status.clone());
        }
        for (than, bound) in [(" >= ", first), (" <= ", last)] {
            if let Some(bound) = bound {
                query.push(" and ").push(column).push(than).push_bind(bound);
            }
        }
        let by_position = ByPosition { list: LIST, column };
        by_position.page(tx, query, filter, asked, |it: &TransferRow| it.first_position).await
    }

    /// The transfers that moved money behind a position and up to another, in order of position, at most `limit`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn posted(
        tx: &mut TenantTx,
        behind: i64,
        known_to: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<TransferRow>> {
        let tenant = tx.tenant().uuid();
        sqlx::query_as!(
            TransferRow,
            r#"select tenant_id, transfer_id, status, false as "expired!", reversed, reverses, code,
                      metadata as "metadata: Json<BTreeMap<String, String>>", legs as "legs: Json<Vec<TransferLeg>>",
                      effective_at, recorded_at, expires_at, version, first_position, posted_position, position
               from transfers
               where tenant_id = $1 and posted_position is not null and posted_position > $2 and posted_position <= $3
               order by posted_position limit $4"#,
            tenant,
            behind,
            known_to,
            limit
        )
        .fetch_all(tx.conn())
        .await
    }
}

/// The first place at or behind `from` and the last one before `to`; a bound that nothing meets shuts everything out.
async fn places(
    tx: &mut TenantTx,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> sqlx::Result<(Option<i64>, Option<i64>)> {
    let tenant = tx.tenant().uuid();
    let (mut first, mut last) = (None, None);
    if let Some(from) = from {
        let found = sqlx::query_scalar!(
            "select first_position from transfers where tenant_id = $1 and recorded_at >= $2
             order by recorded_at, first_position limit 1",
            tenant,
            from
        );
        first = Some(found.fetch_optional(tx.conn()).await?.unwrap_or(i64::MAX));
    }
    if let Some(to) = to {
        let found = sqlx::query_scalar!(
            "select first_position from transfers where tenant_id = $1 and recorded_at < $2
             order by recorded_at desc, first_position desc limit 1",
            tenant,
            to
        );
        last = Some(found.fetch_optional(tx.conn()).await?.unwrap_or(0));
    }
    Ok((first, last))
}
