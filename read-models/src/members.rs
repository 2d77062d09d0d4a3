//! `members`: who belongs to an organisation, and with which roles.

use chrono::{DateTime, Utc};
use domain::identity::EMAIL_SCOPE;
use domain::ids::UserId;
use domain::organisation::{OrganisationEvent, RoleRef};
use domain::{Aggregate, Category, Event};
use serde::Serialize;
use serde_json::json;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::by_address::AddressHash;
use crate::copy::{self, cells};
use crate::figures::column;
use crate::in_epoch;
use crate::page::{Asked, ByPosition, ListError, Page};
use crate::private_field::{HasPrivate, PrivateField};
use crate::read_model::{Item, ProjectionError};
use crate::row_per_stream::{RowPerStream, StreamRow as _, stream_row};
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
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub first_position: i64,
    /// Where their newest event stands.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
}

stream_row!(MemberRow: user_id);

impl HasPrivate for MemberRow {
    fn private_fields(&mut self) -> Vec<&mut PrivateField> {
        let Self { email, given_name, family_name, .. } = self;
        [email, given_name, family_name].into_iter().flatten().map(|it| &mut it.0).collect()
    }
}

impl MemberRow {
    /// They have these roles from a moment on; without any, they are no member.
    fn set(&mut self, roles: &[RoleRef], at: DateTime<Utc>) {
        if roles.is_empty() {
            "removed".clone_into(&mut self.status);
            self.removed_at = Some(at);
        } else if self.status == "removed" {
            "member".clone_into(&mut self.status);
            self.since = at;
            self.removed_at = None;
        }
        self.roles = Json(roles.iter().map(ToString::to_string).collect());
    }
}

/// What an event says of a member: the roles, or that they are none any more.
fn told(event: &Event, user: UserId) -> Option<&[RoleRef]> {
    let Event::Organisation(event) = event else { return None };
    match event {
        OrganisationEvent::MemberAdded(it) if it.user_id == user => Some(&it.roles),
        OrganisationEvent::RolesAssigned(it) if it.user_id == user => Some(&it.roles),
        OrganisationEvent::MemberRemoved(it) if it.user_id == user => Some(&[]),
        OrganisationEvent::OwnershipTransferred(it) if it.from == user => Some(&it.from_roles),
        OrganisationEvent::OwnershipTransferred(it) if it.to == user => Some(&it.to_roles),
        _ => None,
    }
}

impl RowPerStream for Members {
    const NAME: &'static str = "members";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["members"];
    const CATEGORY: Category = domain::organisation::Membership::CATEGORY;

    type Row = MemberRow;

    fn begin(event: &Event, item: &Item<'_>) -> Result<Option<MemberRow>, ProjectionError> {
        let user = UserId::new(item.partition);
        let Some(roles) = told(event, user) else { return Ok(None) };
        let recorded = item.recorded;
        let mut row = MemberRow {
            tenant_id: recorded.tenant.uuid(),
            user_id: user.uuid(),
            status: "removed".to_owned(),
            roles: Json(Vec::new()),
            email: None,
            given_name: None,
            family_name: None,
            since: recorded.recorded_at,
            removed_at: None,
            version: 1,
            first_position: recorded.position,
            position: recorded.position,
        };
        row.set(roles, recorded.recorded_at);
        Ok(Some(row))
    }

    fn change(row: &mut MemberRow, event: &Event, item: &Item<'_>) {
        if let Some(roles) = told(event, UserId::new(item.partition)) {
            row.set(roles, item.recorded.recorded_at);
        }
    }

    async fn load(conn: &mut PgConnection, tenants: &[Uuid], ids: &[Uuid]) -> sqlx::Result<Vec<MemberRow>> {
        sqlx::query_as(
            "select tenant_id, user_id, status, roles, since, removed_at, version, first_position, position
             from members where (tenant_id, user_id) in (select * from unnest($1::uuid[], $2::uuid[]))",
        )
        .bind(tenants)
        .bind(ids)
        .fetch_all(conn)
        .await
    }

    async fn save(conn: &mut PgConnection, rows: &[MemberRow]) -> sqlx::Result<()> {
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
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: &[MemberRow]) -> sqlx::Result<()> {
        let cells = cells!(
            MemberRow:
            tenant_id, user_id, status, roles, since, removed_at, version, first_position, position
        );
        copy::rows(conn, "copy members from stdin", rows, cells).await
    }
}

/// Which members are listed.
#[derive(Debug, Clone, Default, Hash)]
pub struct MemberFilter {
    /// Only those with this role: a built-in one's name, or the identifier of one of the organisation's own.
    pub role: Option<String>,
    /// Those too who are members no more.
    pub removed: bool,
    /// Only who has this address, or has asked for it.
    pub email: Option<AddressHash>,
}

const LIST: ByPosition = ByPosition { list: "members", column: "m.first_position" };
const COLUMNS: &str =
    "select m.tenant_id, m.user_id, m.status, m.roles, u.email, u.given_name, u.family_name, m.since,
        m.removed_at, m.version, m.first_position, m.position
    from members m left join users u on u.tenant_id = m.tenant_id and u.user_id = m.user_id
    where m.tenant_id = ";

impl Members {
    /// One member.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(tx: &mut TenantTx, id: Uuid) -> sqlx::Result<Option<MemberRow>> {
        let mut query = tx.of_tenant(COLUMNS);
        query.push(" and m.user_id = ").push_bind(id);
        query.build_query_as().fetch_optional(tx.conn()).await
    }

    /// A page of members, by when they came.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &MemberFilter,
        asked: &Asked,
    ) -> Result<Page<MemberRow>, ListError> {
        let mut query = tx.of_tenant(COLUMNS);
        if !filter.removed {
            query.push(" and m.status = 'member'");
        }
        if let Some(role) = &filter.role {
            query.push(" and m.roles @> ").push_bind(Json(json!([role])));
        }
        if let Some(email) = &filter.email {
            email.narrow(&mut query, tx.tenant(), "m.user_id", EMAIL_SCOPE);
        }
        LIST.page(tx, query, filter, asked, MemberRow::first_position).await
    }
}
