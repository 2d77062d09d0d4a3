//! `tenants`: one row a tenant, readable by itself.

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use domain::organisation::{OrganisationEvent, Tenant};
use domain::{Aggregate, Event, StreamId};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

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

/// The rows that items make.
///
/// # Errors
/// For an event that cannot be read.
pub fn fold(items: &[Item<'_>]) -> Result<Vec<TenantRow>, ProjectionError> {
    let mut rows = Vec::new();
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
    Ok(rows)
}

impl ReadModel for Tenants {
    const NAME: &'static str = "tenants";
    const VERSION: i32 = 1;

    fn partition(_: TenantId, stream: &StreamId) -> Option<Uuid> {
        (stream.category == Tenant::CATEGORY).then_some(stream.id)
    }

    async fn apply(tx: &mut PgConnection, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        let rows = fold(items)?;
        sqlx::query!(
            "insert into tenants
             select * from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])",
            column!(rows, tenant_id),
            column!(rows, slug),
            column!(rows, name),
            column!(rows, created_at),
            column!(rows, position)
        )
        .execute(tx)
        .await?;
        Ok(())
    }
}

impl Tenants {
    /// The transaction's own tenant, unless it is the platform.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn own(tx: &mut TenantTx) -> sqlx::Result<Option<TenantRow>> {
        let tenant = tx.tenant().uuid();
        sqlx::query_as!(TenantRow, "select * from tenants where tenant_id = $1", tenant)
            .fetch_optional(tx.conn())
            .await
    }
}
