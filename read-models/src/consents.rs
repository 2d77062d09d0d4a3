//! `consents`: what persons allow services, a row a pair of them. Of one that was taken back the row says when, since that
//! ended the sessions which the service had by then.

use chrono::{DateTime, Utc};
use domain::application::{ApplicationEvent, Consent};
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

/// What persons allow services.
#[derive(Debug)]
pub struct Consents;

/// What a person allows a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct ConsentRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) consent_id: Uuid,
    /// Who.
    pub user_id: Uuid,
    /// Whom.
    pub service_id: Uuid,
    /// The name of the service for people.
    #[sqlx(default)]
    #[schema(example = "Shop")]
    pub service_name: Option<String>,
    /// How the service is: `active`, `suspended` or `removed`.
    #[sqlx(default)]
    #[schema(example = "active")]
    pub service_status: Option<String>,
    /// `granted`, or `questioned`: it stands, but the person is asked before the service has its next session, since they
    /// ended one of its by hand.
    #[schema(example = "granted")]
    pub status: String,
    /// What is allowed.
    #[schema(value_type = Vec<String>, example = json!(["email", "openid"]))]
    pub scopes: Json<Vec<String>>,
    /// Since when, without a break.
    pub granted_at: DateTime<Utc>,
    /// When they last decided about it.
    pub changed_at: DateTime<Utc>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) revoked_position: Option<i64>,
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

stream_row!(ConsentRow: consent_id);

fn texts<T: ToString>(names: &[T]) -> Json<Vec<String>> {
    Json(names.iter().map(ToString::to_string).collect())
}

impl RowPerStream for Consents {
    const NAME: &'static str = "consents";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["consents"];
    const CATEGORY: Category = Consent::CATEGORY;

    type Row = ConsentRow;

    fn begin(event: &Event, item: &Item<'_>) -> Result<Option<ConsentRow>, ProjectionError> {
        let Event::Application(ApplicationEvent::ConsentGranted(event)) = event else {
            return Err(item.poisoned("it is about something that was never allowed"));
        };
        let recorded = item.recorded;
        Ok(Some(ConsentRow {
            tenant_id: recorded.tenant.uuid(),
            consent_id: item.partition,
            user_id: event.user_id.uuid(),
            service_id: event.service_id.uuid(),
            service_name: None,
            service_status: None,
            status: "granted".to_owned(),
            scopes: texts(&event.scopes),
            granted_at: event.at,
            changed_at: event.at,
            revoked_at: None,
            revoked_position: None,
            version: 1,
            first_position: recorded.position,
            position: recorded.position,
        }))
    }

    fn change(row: &mut ConsentRow, event: &Event, item: &Item<'_>) {
        let Event::Application(event) = event else { return };
        match event {
            ApplicationEvent::ConsentGranted(event) => {
                if row.status == "revoked" {
                    row.granted_at = event.at;
                }
                "granted".clone_into(&mut row.status);
                (row.scopes, row.changed_at) = (texts(&event.scopes), event.at);
            }
            ApplicationEvent::ConsentQuestioned(event) => {
                "questioned".clone_into(&mut row.status);
                row.changed_at = event.at;
            }
            ApplicationEvent::ConsentRevoked(event) => {
                "revoked".clone_into(&mut row.status);
                (row.scopes, row.changed_at) = (Json(Vec::new()), event.at);
                (row.revoked_at, row.revoked_position) = (Some(event.at), Some(item.recorded.position));
            }
            _ => {}
        }
    }

    async fn load(conn: &mut PgConnection, tenants: &[Uuid], ids: &[Uuid]) -> sqlx::Result<Vec<ConsentRow>> {
        sqlx::query_as!(
            ConsentRow,
            r#"select tenant_id, consent_id, user_id, service_id, null::text as service_name,
                      null::text as service_status, status, scopes as "scopes: Json<Vec<String>>", granted_at,
                      changed_at, revoked_at, revoked_position, version, first_position, position
               from consents where (tenant_id, consent_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
            tenants,
            ids
        )
        .fetch_all(conn)
        .await
    }

    async fn save(conn: &mut PgConnection, rows: &[ConsentRow]) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into consents
             select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::jsonb[],
                                  $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::bigint[], $11::bigint[],
                                  $12::bigint[], $13::bigint[])
             on conflict (tenant_id, consent_id) do update set
                 status = excluded.status, scopes = excluded.scopes, granted_at = excluded.granted_at,
                 changed_at = excluded.changed_at, revoked_at = excluded.revoked_at,
                 revoked_position = excluded.revoked_position, version = excluded.version, position = excluded.position",
            column!(rows, tenant_id),
            column!(rows, consent_id),
            column!(rows, user_id),
            column!(rows, service_id),
            column!(rows, status),
            column!(rows, scopes) as &[Json<Vec<String>>],
            column!(rows, granted_at),
            column!(rows, changed_at),
            column!(rows, revoked_at) as &[Option<DateTime<Utc>>],
            column!(rows, revoked_position) as &[Option<i64>],
            column!(rows, version),
            column!(rows, first_position),
            column!(rows, position)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: &[ConsentRow]) -> sqlx::Result<()> {
        let cells = cells!(
            ConsentRow:
            tenant_id, consent_id, user_id, service_id, status, scopes, granted_at, changed_at, revoked_at,
            revoked_position, version, first_position, position
        );
        copy::rows(conn, "copy consents from stdin", rows, cells).await
    }
}

const LIST: ByPosition = ByPosition { list: "consents", column: "c.first_position" };
const COLUMNS: &str = "select c.tenant_id, c.consent_id, c.user_id, c.service_id, s.name as service_name,
        s.status as service_status, c.status, c.scopes, c.granted_at, c.changed_at, c.revoked_at, c.revoked_position,
        c.version, c.first_position, c.position
    from consents c
    left join services s on s.tenant_id = c.tenant_id and s.service_id = c.service_id
    where c.status <> 'revoked' and c.tenant_id = ";

impl Consents {
    /// A page of what a person allows services, by when they first let each in. Needs `services` too.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        user_id: Uuid,
        asked: &Asked,
    ) -> Result<Page<ConsentRow>, ListError> {
        let mut query = QueryBuilder::<Postgres>::new(COLUMNS);
        query.push_bind(tx.tenant().uuid()).push(" and c.user_id = ").push_bind(user_id);
        LIST.page(tx, query, &user_id, asked, ConsentRow::first_position).await
    }
}

#[cfg(test)]
mod tests;
