//! `organizations`: one row an organisation, for the platform, which approves and suspends them. What an organisation
//! sees of itself is in `tenants`.

use chrono::{DateTime, Utc};
use domain::ids::ActorId;
use domain::organisation::{OrganisationEvent, Tenant};
use domain::private::Private;
use domain::{Aggregate, Category, Event};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::column;
use crate::in_epoch;
use crate::page::{Asked, ByPosition, ListError, Page};
use crate::private_field::{HasPrivate, PrivateField};
use crate::read_model::{Item, ProjectionError};
use crate::row_per_stream::{self, RowPerStream, StreamRow as _, stream_row};
use crate::tenant_tx::TenantTx;

/// The organisations of the platform.
#[derive(Debug)]
pub struct Organizations;

/// An organisation as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct OrganizationRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Which.
    pub organization_id: Uuid,
    /// `pending`, `active`, `suspended`, `rejected` or `closed`.
    #[schema(example = "pending")]
    pub status: String,
    /// Its name in addresses.
    #[schema(example = "acme")]
    pub slug: String,
    /// Its name for people.
    #[schema(example = "Acme Ltd")]
    pub name: String,
    /// The person, of its own, who asked for it.
    pub founder: Option<Uuid>,
    /// What it has booked.
    #[schema(example = "standard")]
    pub tier: Option<String>,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When its status was set last.
    pub decided_at: Option<DateTime<Utc>>,
    /// By whom.
    pub decided_by: Option<Uuid>,
    /// Why, in a word.
    #[schema(example = "unpaid")]
    pub because: Option<String>,
    /// Why, in words for the founder.
    #[schema(value_type = PrivateField)]
    pub reason: Option<Json<PrivateField>>,
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

stream_row!(OrganizationRow: organization_id);

impl HasPrivate for OrganizationRow {
    fn private_fields(&mut self) -> Vec<&mut PrivateField> {
        self.reason.iter_mut().map(|it| &mut it.0).collect()
    }
}

/// Somebody asks for it; before that, nothing can happen to it.
fn begin(event: &Event, item: &Item<'_>) -> Result<Option<OrganizationRow>, ProjectionError> {
    let (status, slug, name, founder, at) = match event {
        Event::Organisation(OrganisationEvent::TenantCreated(it)) => {
            ("active", &it.slug, &it.name, None, it.at)
        }
        Event::Organisation(OrganisationEvent::TenantRequested(it)) => {
            ("pending", &it.slug, &it.name, Some(it.founder), it.at)
        }
        _ => return Err(item.poisoned("it is about an organisation that nobody asked for")),
    };
    let recorded = item.recorded;
    Ok(Some(OrganizationRow {
        tenant_id: recorded.tenant.uuid(),
        organization_id: item.partition,
        status: status.to_owned(),
        slug: slug.as_str().to_owned(),
        name: name.as_str().to_owned(),
        founder: founder.map(domain::ids::UserId::uuid),
        tier: None,
        requested_at: at,
        decided_at: None,
        decided_by: None,
        because: None,
        reason: None,
        version: 1,
        first_position: recorded.position,
        position: recorded.position,
    }))
}

fn change(row: &mut OrganizationRow, event: &Event, item: &Item<'_>) {
    let Event::Organisation(event) = event else { return };
    let why = |reason: &Option<Private>| {
        reason.as_ref().and_then(|it| PrivateField::of(item, "payload.reason", it))
    };
    match event {
        OrganisationEvent::TenantApproved(it) => decided(row, "active", it.by, it.at),
        OrganisationEvent::TenantReactivated(it) => decided(row, "active", it.by, it.at),
        OrganisationEvent::TenantRejected(it) => {
            decided(row, "rejected", it.by, it.at);
            row.reason = why(&it.reason);
        }
        OrganisationEvent::TenantSuspended(it) => {
            decided(row, "suspended", it.by, it.at);
            row.because = Some(it.because.to_string());
            row.reason = why(&it.reason);
        }
        OrganisationEvent::TenantClosed(it) => {
            decided(row, "closed", it.by, it.at);
            row.because = Some(it.because.to_string());
        }
        OrganisationEvent::TenantRenamed(it) => it.name.as_str().clone_into(&mut row.name),
        OrganisationEvent::TenantTierChanged(it) => row.tier = Some(it.tier.to_string()),
        _ => {}
    }
}

/// Nothing of an earlier decision stays.
fn decided(row: &mut OrganizationRow, status: &str, by: ActorId, at: DateTime<Utc>) {
    status.clone_into(&mut row.status);
    (row.decided_at, row.decided_by) = (Some(at), Some(by.uuid()));
    (row.because, row.reason) = (None, None);
}

impl RowPerStream for Organizations {
    const NAME: &'static str = "organizations";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["organizations"];
    const CATEGORY: Category = Tenant::CATEGORY;

    type Row = OrganizationRow;

    fn begin(event: &Event, item: &Item<'_>) -> Result<Option<OrganizationRow>, ProjectionError> {
        begin(event, item)
    }

    fn change(row: &mut OrganizationRow, event: &Event, item: &Item<'_>) {
        change(row, event, item);
    }

    async fn load(
        conn: &mut PgConnection,
        tenants: &[Uuid],
        ids: &[Uuid],
    ) -> sqlx::Result<Vec<OrganizationRow>> {
        sqlx::query_as!(
            OrganizationRow,
            r#"select tenant_id, organization_id, status, slug, name, founder, tier, requested_at, decided_at, decided_by,
                      because, reason as "reason: Json<PrivateField>", version, first_position, position
               from organizations where (tenant_id, organization_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
            tenants,
            ids
        )
        .fetch_all(conn)
        .await
    }

    async fn save(conn: &mut PgConnection, rows: &[OrganizationRow]) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into organizations
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[],
                                  $8::timestamptz[], $9::timestamptz[], $10::uuid[], $11::text[], $12::jsonb[],
                                  $13::bigint[], $14::bigint[], $15::bigint[])
             on conflict (tenant_id, organization_id) do update set
                 status = excluded.status, name = excluded.name, tier = excluded.tier, decided_at = excluded.decided_at,
                 decided_by = excluded.decided_by, because = excluded.because, reason = excluded.reason,
                 version = excluded.version, position = excluded.position",
            column!(rows, tenant_id),
            column!(rows, organization_id),
            column!(rows, status),
            column!(rows, slug),
            column!(rows, name),
            column!(rows, founder) as &[Option<Uuid>],
            column!(rows, tier) as &[Option<String>],
            column!(rows, requested_at),
            column!(rows, decided_at) as &[Option<DateTime<Utc>>],
            column!(rows, decided_by) as &[Option<Uuid>],
            column!(rows, because) as &[Option<String>],
            column!(rows, reason) as &[Option<Json<PrivateField>>],
            column!(rows, version),
            column!(rows, first_position),
            column!(rows, position)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: &[OrganizationRow]) -> sqlx::Result<()> {
        let cells = cells!(
            OrganizationRow:
            tenant_id, organization_id, status, slug, name, founder, tier, requested_at, decided_at, decided_by,
            because, reason, version, first_position, position
        );
        copy::rows(conn, "copy organizations from stdin", rows, cells).await
    }
}

/// Which organisations are listed.
#[derive(Debug, Clone, Default, Hash)]
pub struct OrganizationFilter {
    /// As the row shows it.
    pub status: Option<String>,
    /// Only the one that is called so in addresses, and those that were before it.
    pub slug: Option<String>,
}

const LIST: ByPosition = ByPosition { list: "organizations", column: "first_position" };
const COLUMNS: &str =
    "select tenant_id, organization_id, status, slug, name, founder, tier, requested_at, decided_at,
        decided_by, because, reason, version, first_position, position from organizations where tenant_id = ";

impl Organizations {
    /// One organisation.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(tx: &mut TenantTx, id: Uuid) -> sqlx::Result<Option<OrganizationRow>> {
        row_per_stream::one::<Self>(tx, id).await
    }

    /// A page of organisations, by when they were asked for.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &OrganizationFilter,
        asked: &Asked,
    ) -> Result<Page<OrganizationRow>, ListError> {
        let mut query = tx.of_tenant(COLUMNS);
        if let Some(status) = &filter.status {
            query.push(" and status = ").push_bind(status);
        }
        if let Some(slug) = &filter.slug {
            query.push(" and slug = ").push_bind(slug);
        }
        LIST.page(tx, query, filter, asked, OrganizationRow::first_position).await
    }
}
