//! `members`: who belongs to an organisation, and with which roles.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::ids::{TenantId, UserId};
use domain::organisation::{OrganisationEvent, RoleRef};
use domain::{Aggregate, Event, StreamId};
use serde::Serialize;
use serde_json::json;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::Key;
use crate::copy::{self, cells};
use crate::figures::column;
use crate::page::{self, ListError, Page};
use crate::private_field::{HasPrivate, PrivateField};
use crate::read_model::{Item, ProjectionError, ReadModel};
use crate::tenant_tx::TenantTx;

/// The members of an organisation.
#[derive(Debug)]
pub struct Members;

/// A member as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct MemberRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Who.
    pub user_id: Uuid,
    /// `member` or `removed`.
    #[schema(example = "member")]
    pub status: String,
    /// What they are: names of built-in roles, and identifiers of the organisation's own.
    #[schema(value_type = Vec<String>, example = json!(["admin"]))]
    pub roles: Json<Vec<String>>,
    /// Their address.
    #[sqlx(default)]
    #[schema(value_type = PrivateField, example = "ada@example.com")]
    pub email: Option<Json<PrivateField>>,
    /// What they are called by friends.
    #[sqlx(default)]
    #[schema(value_type = PrivateField, example = "Ada")]
    pub given_name: Option<Json<PrivateField>>,
    /// What their family is called.
    #[sqlx(default)]
    #[schema(value_type = PrivateField, example = "Lovelace")]
    pub family_name: Option<Json<PrivateField>>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When they were removed.
    pub removed_at: Option<DateTime<Utc>>,
    /// Version of their stream.
    #[schema(example = 1)]
    pub version: i64,
    /// Where their first event stands in the log.
    #[schema(example = 4711)]
    pub first_position: i64,
    /// Where their newest event stands.
    #[schema(example = 4711)]
    pub position: i64,
}

impl HasPrivate for MemberRow {
    fn private_fields(&mut self) -> Vec<&mut PrivateField> {
        let Self { email, given_name, family_name, .. } = self;
        [email, given_name, family_name].into_iter().flatten().map(|it| &mut it.0).collect()
    }
}

/// What an event says of a member: the roles, or that they are none any more.
fn told(event: &OrganisationEvent, user: UserId) -> Option<&[RoleRef]> {
    match event {
        OrganisationEvent::MemberAdded(it) if it.user_id == user => Some(&it.roles),
        OrganisationEvent::RolesAssigned(it) if it.user_id == user => Some(&it.roles),
        OrganisationEvent::MemberRemoved(it) if it.user_id == user => Some(&[]),
        OrganisationEvent::OwnershipTransferred(it) if it.from == user => Some(&it.from_roles),
        OrganisationEvent::OwnershipTransferred(it) if it.to == user => Some(&it.to_roles),
        _ => None,
    }
}

/// Refuses an event that cannot be read.
fn fold(rows: &mut HashMap<Key, MemberRow>, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        let Event::Organisation(event) = item.event()? else { continue };
        let user = UserId::new(item.partition);
        let Some(roles) = told(event, user) else { continue };
        let recorded = item.recorded;
        let (at, position) = (recorded.recorded_at, recorded.position);
        let row = rows.entry((recorded.tenant.uuid(), user.uuid())).or_insert_with(|| MemberRow {
            tenant_id: recorded.tenant.uuid(),
            user_id: user.uuid(),
            status: "removed".to_owned(),
            roles: Json(Vec::new()),
            email: None,
            given_name: None,
            family_name: None,
            since: at,
            removed_at: None,
            version: 0,
            first_position: position,
            position,
        });
        if roles.is_empty() {
            "removed".clone_into(&mut row.status);
            row.removed_at = Some(at);
        } else if row.status == "removed" {
            "member".clone_into(&mut row.status);
            row.since = at;
            row.removed_at = None;
        }
        row.roles = Json(roles.iter().map(ToString::to_string).collect());
        row.version += 1;
        row.position = position;
    }
    Ok(())
}

impl ReadModel for Members {
    const NAME: &'static str = "members";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["members"];

    type Rows = HashMap<Key, MemberRow>;

    fn partition(_: TenantId, stream: &StreamId) -> Option<Uuid> {
        (stream.category == domain::organisation::Membership::CATEGORY).then_some(stream.id)
    }

    async fn load(
        conn: &mut PgConnection,
        rows: &mut Self::Rows,
        items: &[Item<'_>],
    ) -> Result<(), ProjectionError> {
        let known: Vec<Key> = items
            .iter()
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
            MemberRow:
            tenant_id, user_id, status, roles, since, removed_at, version, first_position, position
        );
        copy::rows(conn, "copy members from stdin", &in_order(rows), cells).await
    }
}

/// One order of locks and of index pages, whatever the page held.
fn in_order(rows: HashMap<Key, MemberRow>) -> Vec<MemberRow> {
    let mut rows: Vec<MemberRow> = rows.into_values().collect();
    rows.sort_unstable_by_key(|row| (row.tenant_id, row.user_id));
    rows
}

async fn load(tx: &mut PgConnection, keys: &[Key]) -> sqlx::Result<HashMap<Key, MemberRow>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().copied().unzip();
    let rows: Vec<MemberRow> = sqlx::query_as(
        "select tenant_id, user_id, status, roles, since, removed_at, version, first_position, position
         from members where (tenant_id, user_id) in (select * from unnest($1::uuid[], $2::uuid[]))",
    )
    .bind(&tenants)
    .bind(&ids)
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.tenant_id, row.user_id), row)).collect())
}

async fn save(tx: &mut PgConnection, rows: &[MemberRow]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into members
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[], $5::timestamptz[], $6::timestamptz[],
                              $7::bigint[], $8::bigint[], $9::bigint[])
         on conflict (tenant_id, user_id) do update set
             status = excluded.status, roles = excluded.roles, since = excluded.since,
             removed_at = excluded.removed_at, version = excluded.version, position = excluded.position",
        column!(rows, tenant_id),
        column!(rows, user_id),
        column!(rows, status),
        column!(rows, roles) as &[Json<Vec<String>>],
        column!(rows, since),
        column!(rows, removed_at) as &[Option<DateTime<Utc>>],
        column!(rows, version),
        column!(rows, first_position),
        column!(rows, position)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Which members are listed.
#[derive(Debug, Clone, Default)]
pub struct MemberFilter {
    /// Only those with this role: a built-in one's name, or the identifier of one of the organisation's own.
    pub role: Option<String>,
    /// Those too who are members no more.
    pub removed: bool,
}

const LIST: &str = "members";
const COLUMNS: &str =
    "select m.tenant_id, m.user_id, m.status, m.roles, u.email, u.given_name, u.family_name, m.since,
        m.removed_at, m.version, m.first_position, m.position
    from members m left join users u on u.tenant_id = m.tenant_id and u.user_id = m.user_id ";

impl Members {
    /// One member.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(tx: &mut TenantTx, id: Uuid) -> sqlx::Result<Option<MemberRow>> {
        let mut query = QueryBuilder::<Postgres>::new(COLUMNS);
        query
            .push("where m.tenant_id = ")
            .push_bind(tx.tenant().uuid())
            .push(" and m.user_id = ")
            .push_bind(id);
        query.build_query_as().fetch_optional(tx.conn()).await
    }

    /// A page of members, who came last first.
    ///
    /// # Errors
    /// If the cursor is not one of this list, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &MemberFilter,
        cursor: Option<&str>,
        limit: i64,
    ) -> Result<Page<MemberRow>, ListError> {
        let below = cursor.map(|it| page::decode::<i64>(LIST, it)).transpose()?;
        let mut query = QueryBuilder::<Postgres>::new(COLUMNS);
        query.push("where m.tenant_id = ").push_bind(tx.tenant().uuid());
        if !filter.removed {
            query.push(" and m.status = 'member'");
        }
        if let Some(role) = &filter.role {
            query.push(" and m.roles @> ").push_bind(Json(json!([role])));
        }
        if let Some(below) = below {
            query.push(" and m.first_position < ").push_bind(below);
        }
        query.push(" order by m.first_position desc limit ").push_bind(limit + 1);
        let rows = query.build_query_as().fetch_all(tx.conn()).await?;
        Ok(Page::cut(rows, limit, LIST, |row: &MemberRow| row.first_position))
    }
}
