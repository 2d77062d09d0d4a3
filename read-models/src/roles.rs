//! `roles`: the roles that an organisation made itself.

use std::collections::HashMap;

use domain::ids::TenantId;
use domain::organisation::OrganisationEvent;
use domain::words::Permission;
use domain::{Aggregate, Event, StreamId};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::Key;
use crate::copy::{self, cells};
use crate::figures::column;
use crate::read_model::{Item, ProjectionError, ReadModel};
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
    #[schema(example = 4711)]
    pub first_position: i64,
    /// Where its newest event stands.
    #[schema(example = 4711)]
    pub position: i64,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) deleted: bool,
}

fn names(permissions: &[Permission]) -> Json<Vec<String>> {
    Json(permissions.iter().map(ToString::to_string).collect())
}

/// Refuses an event that cannot be read, and one about a role that was never defined.
fn fold(rows: &mut HashMap<Key, RoleRow>, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        let Event::Organisation(event) = item.event()? else { continue };
        let recorded = item.recorded;
        let key = (recorded.tenant.uuid(), item.partition);
        if let OrganisationEvent::RoleDefined(event) = event {
            rows.insert(
                key,
                RoleRow {
                    tenant_id: key.0,
                    role_id: key.1,
                    name: event.name.as_str().to_owned(),
                    permissions: names(&event.permissions),
                    version: recorded.version,
                    first_position: recorded.position,
                    position: recorded.position,
                    deleted: false,
                },
            );
            continue;
        }
        let row = rows.get_mut(&key).ok_or_else(|| ProjectionError::Poisoned {
            position: recorded.position,
            reason: "it is about a role that was never defined".to_owned(),
        })?;
        match event {
            OrganisationEvent::RoleRedefined(event) => {
                event.name.as_str().clone_into(&mut row.name);
                row.permissions = names(&event.permissions);
            }
            OrganisationEvent::RoleDeleted(_) => row.deleted = true,
            _ => {}
        }
        row.version = recorded.version;
        row.position = recorded.position;
    }
    Ok(())
}

impl ReadModel for Roles {
    const NAME: &'static str = "roles";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["roles"];

    type Rows = HashMap<Key, RoleRow>;

    fn partition(_: TenantId, stream: &StreamId) -> Option<Uuid> {
        (stream.category == domain::organisation::Role::CATEGORY).then_some(stream.id)
    }

    async fn load(
        conn: &mut PgConnection,
        rows: &mut Self::Rows,
        items: &[Item<'_>],
    ) -> Result<(), ProjectionError> {
        let known: Vec<Key> = items
            .iter()
            .filter(|item| item.recorded.version > 1)
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
        save(conn, &in_order(rows)).await
    }

    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let cells = cells!(
            RoleRow: tenant_id, role_id, name, permissions, version, first_position, position, deleted
        );
        copy::rows(conn, "copy roles from stdin", &in_order(rows), cells).await
    }
}

/// One order of locks and of index pages, whatever the page held.
fn in_order(rows: HashMap<Key, RoleRow>) -> Vec<RoleRow> {
    let mut rows: Vec<RoleRow> = rows.into_values().collect();
    rows.sort_unstable_by_key(|row| (row.tenant_id, row.role_id));
    rows
}

async fn load(tx: &mut PgConnection, keys: &[Key]) -> sqlx::Result<HashMap<Key, RoleRow>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().copied().unzip();
    let rows = sqlx::query_as!(
        RoleRow,
        r#"select tenant_id, role_id, name, permissions as "permissions: Json<Vec<String>>", version, first_position,
                  position, deleted
           from roles where (tenant_id, role_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
        &tenants,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.tenant_id, row.role_id), row)).collect())
}

async fn save(tx: &mut PgConnection, rows: &[RoleRow]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
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
    .execute(tx)
    .await?;
    Ok(())
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
