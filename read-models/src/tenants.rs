//! `tenants`: one row a tenant, readable by itself.

use std::collections::HashMap;

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
use crate::in_epoch;
use crate::read_model::{Item, ProjectionError, ReadModel, in_order};
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
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
}

/// Refuses an event that cannot be read, and a new name of an organisation that is not there.
fn fold(rows: &mut HashMap<Uuid, TenantRow>, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        let Event::Organisation(event) = item.event()? else { continue };
        let (slug, name, at) = match event {
            OrganisationEvent::TenantCreated(it) => (&it.slug, &it.name, it.at),
            OrganisationEvent::TenantRequested(it) => (&it.slug, &it.name, it.at),
            OrganisationEvent::TenantRenamed(it) => {
                let row = rows.get_mut(&item.partition).ok_or_else(|| ProjectionError::Poisoned {
                    position: item.recorded.position,
                    reason: "it names an organisation that is not there".to_owned(),
                })?;
                it.name.as_str().clone_into(&mut row.name);
                row.position = item.recorded.position;
                continue;
            }
            _ => continue,
        };
        let row = TenantRow {
            tenant_id: item.partition,
            slug: slug.as_str().to_owned(),
            name: name.as_str().to_owned(),
            created_at: at,
            position: item.recorded.position,
        };
        rows.insert(item.partition, row);
    }
    Ok(())
}

impl ReadModel for Tenants {
    const NAME: &'static str = "tenants";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["tenants"];

    type Rows = HashMap<Uuid, TenantRow>;

    fn partition(_: TenantId, stream: &StreamId) -> Option<Uuid> {
        (stream.category == Tenant::CATEGORY).then_some(stream.id)
    }

    fn tenant_of(_: TenantId, partition: Uuid) -> TenantId {
        TenantId::new(partition)
    }

    async fn load(
        conn: &mut PgConnection,
        rows: &mut Self::Rows,
        items: &[Item<'_>],
    ) -> Result<(), ProjectionError> {
        let known: Vec<Uuid> = items
            .iter()
            .filter(|item| item.recorded.version > 1)
            .map(|item| item.partition)
            .filter(|key| !rows.contains_key(key))
            .collect();
        if known.is_empty() {
            return Ok(());
        }
        let found = sqlx::query_as!(
            TenantRow,
            "select tenant_id, slug, name, created_at, position from tenants where tenant_id = any($1)",
            &known
        )
        .fetch_all(conn)
        .await?;
        rows.extend(found.into_iter().map(|row| (row.tenant_id, row)));
        Ok(())
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        fold(rows, items)
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let rows = in_order(rows, |row: &TenantRow| row.tenant_id);
        sqlx::query!(
            "insert into tenants
             select * from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
             on conflict (tenant_id) do update set name = excluded.name, position = excluded.position",
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
        copy::rows(conn, "copy tenants from stdin", &in_order(rows, |row: &TenantRow| row.tenant_id), cells)
            .await
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
