//! `api_keys`: the keys with which programs act for a person or a service. Of what a key is made of, nothing is here.

use chrono::{DateTime, NaiveDate, Utc};
use domain::application::{ApiKey, ApplicationEvent, KeyOwner};
use domain::ids::TenantId;
use domain::{Aggregate, Category, Event};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::column;
use crate::in_epoch;
use crate::page::{Asked, ByPosition, ListError, Page};
use crate::read_model::{Item, ProjectionError};
use crate::row_per_stream::{RowPerStream, StreamRow as _, stream_row};
use crate::tenant_tx::TenantTx;

/// The keys of an organisation.
#[derive(Debug)]
pub struct ApiKeys;

/// A key as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct ApiKeyRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Which.
    pub key_id: Uuid,
    /// `live`, `revoked` or `expired`.
    #[schema(example = "live")]
    pub status: String,
    /// Whether it acts for a `user` or a `service`.
    #[schema(example = "user")]
    pub owner_kind: String,
    /// For whom it acts.
    pub owner_id: Uuid,
    /// Its name for people.
    #[schema(example = "Nightly export")]
    pub name: String,
    /// What it allows at most; what its owner does not hold, it does not allow.
    #[schema(value_type = Vec<String>, example = json!(["ledger.read-journal"]))]
    pub permissions: Json<Vec<String>>,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
    /// The day, in UTC, on which it was used last; `null` if it never was, and of one that is revoked.
    #[sqlx(default)]
    pub last_used_on: Option<NaiveDate>,
    /// Until when it is good; `null` for as long as it is not revoked.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// By whom.
    pub revoked_by: Option<Uuid>,
    /// Version of its stream.
    #[schema(example = 1)]
    pub version: i64,
    /// Where its first event stands in the log.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub first_position: i64,
    /// Where its newest event stands.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
}

stream_row!(ApiKeyRow: key_id);

impl RowPerStream for ApiKeys {
    const NAME: &'static str = "api_keys";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["api_keys"];
    const CATEGORY: Category = ApiKey::CATEGORY;

    type Row = ApiKeyRow;

    fn begin(event: &Event, item: &Item<'_>) -> Result<Option<ApiKeyRow>, ProjectionError> {
        let Event::Application(ApplicationEvent::ApiKeyIssued(event)) = event else {
            return Err(item.poisoned("it is about a key that was never issued"));
        };
        let (owner_kind, owner_id) = match event.owner {
            KeyOwner::User(id) => ("user", id.uuid()),
            KeyOwner::Service(id) => ("service", id.uuid()),
        };
        let recorded = item.recorded;
        Ok(Some(ApiKeyRow {
            tenant_id: recorded.tenant.uuid(),
            key_id: item.partition,
            status: "live".to_owned(),
            owner_kind: owner_kind.to_owned(),
            owner_id,
            name: event.name.as_str().to_owned(),
            permissions: Json(event.permissions.iter().map(ToString::to_string).collect()),
            issued_at: event.at,
            last_used_on: None,
            expires_at: event.expires_at,
            revoked_at: None,
            revoked_by: None,
            version: 1,
            first_position: recorded.position,
            position: recorded.position,
        }))
    }

    fn change(row: &mut ApiKeyRow, event: &Event, _: &Item<'_>) {
        if let Event::Application(ApplicationEvent::ApiKeyRevoked(event)) = event {
            "revoked".clone_into(&mut row.status);
            (row.revoked_at, row.revoked_by) = (Some(event.at), Some(event.by.uuid()));
        }
    }

    async fn load(conn: &mut PgConnection, tenants: &[Uuid], ids: &[Uuid]) -> sqlx::Result<Vec<ApiKeyRow>> {
        sqlx::query_as!(
            ApiKeyRow,
            r#"select tenant_id, key_id, status, owner_kind, owner_id, name,
                      permissions as "permissions: Json<Vec<String>>", issued_at,
                      null::date as last_used_on, expires_at, revoked_at, revoked_by,
                      version, first_position, position
               from api_keys where (tenant_id, key_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
            tenants,
            ids
        )
        .fetch_all(conn)
        .await
    }

    async fn save(conn: &mut PgConnection, rows: &[ApiKeyRow]) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into api_keys
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::jsonb[],
                                  $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::uuid[], $12::bigint[],
                                  $13::bigint[], $14::bigint[])
             on conflict (tenant_id, key_id) do update set
                 status = excluded.status, revoked_at = excluded.revoked_at, revoked_by = excluded.revoked_by,
                 version = excluded.version, position = excluded.position",
            column!(rows, tenant_id),
            column!(rows, key_id),
            column!(rows, status),
            column!(rows, owner_kind),
            column!(rows, owner_id),
            column!(rows, name),
            column!(rows, permissions) as &[Json<Vec<String>>],
            column!(rows, issued_at),
            column!(rows, expires_at) as &[Option<DateTime<Utc>>],
            column!(rows, revoked_at) as &[Option<DateTime<Utc>>],
            column!(rows, revoked_by) as &[Option<Uuid>],
            column!(rows, version),
            column!(rows, first_position),
            column!(rows, position)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: &[ApiKeyRow]) -> sqlx::Result<()> {
        let cells = cells!(
            ApiKeyRow:
            tenant_id, key_id, status, owner_kind, owner_id, name, permissions, issued_at, expires_at, revoked_at,
            revoked_by, version, first_position, position
        );
        copy::rows(conn, "copy api_keys from stdin", rows, cells).await
    }
}

/// Which keys are listed.
#[derive(Debug, Clone, Default, Hash)]
pub struct ApiKeyFilter {
    /// Only those that act for this person or service.
    pub owner: Option<Uuid>,
    /// Only those that are good.
    pub live: bool,
}

const LIST: ByPosition = ByPosition { list: "api-keys", column: "k.first_position" };
// Time alone ends a key, and no event says so. Nor does one say that it was used.
const COLUMNS: &str = "select k.tenant_id, k.key_id, stands.status, k.owner_kind, k.owner_id, k.name, k.permissions,
        k.issued_at, u.last_used_on, k.expires_at, k.revoked_at, k.revoked_by, k.version, k.first_position, k.position
    from api_keys k
    cross join lateral (select case
        when k.status = 'live' and k.expires_at <= now() then 'expired' else k.status end as status) stands
    left join store.api_key_uses(";
const OF_TENANT: &str = ") u on u.key_id = k.key_id where k.tenant_id = ";

/// The keys of a tenant.
fn of(tenant: TenantId) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::<Postgres>::new(COLUMNS);
    query.push_bind(tenant.uuid()).push(OF_TENANT).push_bind(tenant.uuid());
    query
}

impl ApiKeys {
    /// One key.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(tx: &mut TenantTx, id: Uuid) -> sqlx::Result<Option<ApiKeyRow>> {
        let mut query = of(tx.tenant());
        query.push(" and k.key_id = ").push_bind(id);
        query.build_query_as().fetch_optional(tx.conn()).await
    }

    /// A page of keys, by when they were issued.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &ApiKeyFilter,
        asked: &Asked,
    ) -> Result<Page<ApiKeyRow>, ListError> {
        let mut query = of(tx.tenant());
        if let Some(owner) = filter.owner {
            query.push(" and k.owner_id = ").push_bind(owner);
        }
        if filter.live {
            query.push(" and stands.status = 'live'");
        }
        LIST.page(tx, query, filter, asked, ApiKeyRow::first_position).await
    }
}

#[cfg(test)]
mod tests;
