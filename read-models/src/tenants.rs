//! `tenants`: one row a tenant, readable by itself.

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use domain::organisation::{OrganisationEvent, Tenant};
use domain::{Aggregate, Event, StreamId};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::column;
use crate::read_model::{Item, ProjectionError, ReadModel};
use crate::tenant_tx::TenantTx;

/// The organisations. Their events belong to the platform, tenant zero; each row belongs to the tenant that it is about.
#[derive(Debug)]
pub struct Tenants;

/// An organisation as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct TenantRow {
    /// Which tenant.
    pub tenant_id: Uuid,
    /// Its name in addresses.
    #[schema(example = "acme")]
    pub slug: String,
    /// Its name for people.
    #[schema(example = "Acme Ltd")]
    pub name: String,
    /// When it came to be.
    pub created_at: DateTime<Utc>,
    /// Where that stands in the log.
    pub position: i64,
}

/// Refuses an event that cannot be read.
fn fold(rows: &mut Vec<TenantRow>, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        if let Event::Organisation(OrganisationEvent::TenantCreated(event)) = item.event()? {
            rows.push(TenantRow {
                tenant_id: event.tenant_id.uuid(),
                slug: event.slug.as_str().to_owned(),
                name: event.name.as_str().to_owned(),
                created_at: event.at,
                position: item.recorded.position,
            });
        }
    }
    Ok(())
}

impl ReadModel for Tenants {
    const NAME: &'static str = "tenants";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["tenants"];
    const APPENDS_ONLY: bool = true;

    type Rows = Vec<TenantRow>;

    fn partition(_: TenantId, stream: &StreamId) -> Option<Uuid> {
        (stream.category == Tenant::CATEGORY).then_some(stream.id)
    }

    fn tenant_of(_: TenantId, partition: Uuid) -> TenantId {
        TenantId::new(partition)
    }

    async fn load(_: &mut PgConnection, _: &mut Self::Rows, _: &[Item<'_>]) -> Result<(), ProjectionError> {
        Ok(())
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        fold(rows, items)
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into tenants
             select * from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])",
            column!(rows, tenant_id),
            column!(rows, slug),
            column!(rows, name),
            column!(rows, created_at),
            column!(rows, position)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let cells = cells!(TenantRow: tenant_id, slug, name, created_at, position);
        copy::rows(conn, "copy tenants from stdin", &rows, cells).await
    }
}

impl Tenants {
    /// The transaction's own tenant, unless it is the platform.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn own(tx: &mut TenantTx) -> sqlx::Result<Option<TenantRow>> {
        let tenant = tx.tenant().uuid();
        sqlx::query_as!(
            TenantRow,
            "select tenant_id, slug, name, created_at, position from tenants where tenant_id = $1",
            tenant
        )
        .fetch_optional(tx.conn())
        .await
    }
}
