//! `roles`: the roles that an organisation made itself.

use domain::organisation::OrganisationEvent;
use domain::words::Permission;
use domain::{Aggregate, Category, Event};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::column;
use crate::in_epoch;
use crate::read_model::{Item, ProjectionError};
use crate::row_per_stream::{RowPerStream, stream_row};
use crate::tenant_tx::TenantTx;

/// The roles of an organisation's own.
#[derive(Debug)]
pub struct Roles;

/// A role as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct RoleRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Which.
    pub role_id: Uuid,
    /// Its name for people.
    #[schema(example = "Bookkeeper")]
    pub name: String,
    /// What it grants.
    #[schema(value_type = Vec<String>, example = json!(["ledger.read-journal"]))]
    pub permissions: Json<Vec<String>>,
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
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) deleted: bool,
}

stream_row!(RoleRow: role_id);

fn names(permissions: &[Permission]) -> Json<Vec<String>> {
    Json(permissions.iter().map(ToString::to_string).collect())
}

impl RowPerStream for Roles {
    const NAME: &'static str = "roles";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["roles"];
    const CATEGORY: Category = domain::organisation::Role::CATEGORY;

    type Row = RoleRow;

    fn begin(event: &Event, item: &Item<'_>) -> Result<Option<RoleRow>, ProjectionError> {
        let Event::Organisation(OrganisationEvent::RoleDefined(event)) = event else {
            return Err(item.poisoned("it is about a role that was never defined"));
        };
        let recorded = item.recorded;
        Ok(Some(RoleRow {
            tenant_id: recorded.tenant.uuid(),
            role_id: item.partition,
            name: event.name.as_str().to_owned(),
            permissions: names(&event.permissions),
            version: 1,
            first_position: recorded.position,
            position: recorded.position,
            deleted: false,
        }))
    }

    fn change(row: &mut RoleRow, event: &Event, _: &Item<'_>) {
        match event {
            Event::Organisation(OrganisationEvent::RoleRedefined(event)) => {
                event.name.as_str().clone_into(&mut row.name);
                row.permissions = names(&event.permissions);
            }
            Event::Organisation(OrganisationEvent::RoleDeleted(_)) => row.deleted = true,
            _ => {}
        }
    }

    async fn load(conn: &mut PgConnection, tenants: &[Uuid], ids: &[Uuid]) -> sqlx::Result<Vec<RoleRow>> {
        sqlx::query_as!(
            RoleRow,
            r#"select tenant_id, role_id, name, permissions as "permissions: Json<Vec<String>>", version, first_position,
                      position, deleted
               from roles where (tenant_id, role_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
            tenants,
            ids
        )
        .fetch_all(conn)
        .await
    }

    async fn save(conn: &mut PgConnection, rows: &[RoleRow]) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into roles
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[], $5::bigint[], $6::bigint[],
                                  $7::bigint[], $8::bool[])
             on conflict (tenant_id, role_id) do update set
                 name = excluded.name, permissions = excluded.permissions, version = excluded.version,
                 position = excluded.position, deleted = excluded.deleted",
            column!(rows, tenant_id),
            column!(rows, role_id),
            column!(rows, name),
            column!(rows, permissions) as &[Json<Vec<String>>],
            column!(rows, version),
            column!(rows, first_position),
            column!(rows, position),
            column!(rows, deleted)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: &[RoleRow]) -> sqlx::Result<()> {
        let cells = cells!(
            RoleRow: tenant_id, role_id, name, permissions, version, first_position, position, deleted
        );
        copy::rows(conn, "copy roles from stdin", rows, cells).await
    }
}

impl Roles {
    /// All that there are now, the oldest first. An organisation has at most
    /// [`domain::organisation::roster::ROLES_MAX`].
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn all(tx: &mut TenantTx) -> sqlx::Result<Vec<RoleRow>> {
        let tenant = tx.tenant().uuid();
        sqlx::query_as!(
            RoleRow,
            r#"select tenant_id, role_id, name, permissions as "permissions: Json<Vec<String>>", version,
                      first_position, position, deleted
               from roles where tenant_id = $1 and not deleted order by first_position"#,
            tenant
        )
        .fetch_all(tx.conn())
        .await
    }
}
