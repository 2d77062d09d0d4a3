//! `sessions`: one row a session. Whether one stands is asked together with `users`, since a person may end all of theirs
//! at once, and with `consents`, since those of a service end when the person takes back what they allowed it.

use chrono::{DateTime, Utc};
use domain::identity::IdentityEvent;
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
use crate::private_field::{self, HasPrivate, PrivateField, RequestOrigin};
use crate::read_model::{Item, ProjectionError};
use crate::row_per_stream::{RowPerStream, StreamRow as _, stream_row};
use crate::tenant_tx::TenantTx;

/// The sessions of persons.
#[derive(Debug)]
pub struct Sessions;

/// A session as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct SessionRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Which.
    pub session_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// The service that they signed in to, if it is not the product itself.
    pub service_id: Option<Uuid>,
    /// Staff of the platform act in it for the person.
    pub impersonation_id: Option<Uuid>,
    /// `live`, `ended` or `expired`.
    #[schema(example = "live")]
    pub status: String,
    /// How they signed in.
    #[schema(example = "password")]
    pub method: String,
    /// What they showed, in the words of RFC 8176.
    #[schema(value_type = Vec<String>, example = json!(["pwd"]))]
    pub amr: Json<Vec<String>>,
    /// When they last showed who they are; the beginning of 1970 if nobody knows it, since the provider that vouches does not say.
    pub auth_time: DateTime<Utc>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) generation: i32,
    /// What they call the device.
    #[schema(value_type = PrivateField)]
    pub device: Option<Json<PrivateField>>,
    /// From where it began; `null` once the person was erased.
    #[serde(serialize_with = "private_field::origin_shown")]
    #[schema(value_type = Option<RequestOrigin>)]
    pub origin: Option<Json<PrivateField>>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// When it ended: by itself, with others of its person, with what they allowed its service, or because they were erased.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why: what whoever ended it said, `consent-revoked` or `erased`.
    #[schema(example = "signed-out")]
    pub ended_because: Option<String>,
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

stream_row!(SessionRow: session_id);

impl HasPrivate for SessionRow {
    fn private_fields(&mut self) -> Vec<&mut PrivateField> {
        let Self { device, origin, .. } = self;
        [device, origin].into_iter().flatten().map(|it| &mut it.0).collect()
    }
}

/// A session begins; before that, nothing can happen to it.
fn begin(event: &Event, item: &Item<'_>) -> Result<Option<SessionRow>, ProjectionError> {
    let Event::Identity(IdentityEvent::SessionStarted(event)) = event else {
        return Err(item.poisoned("it is about a session that never began"));
    };
    let recorded = item.recorded;
    Ok(Some(SessionRow {
        tenant_id: recorded.tenant.uuid(),
        session_id: event.session_id.uuid(),
        user_id: event.user_id.uuid(),
        service_id: event.service_id.map(domain::ids::ServiceId::uuid),
        impersonation_id: event.impersonation_id.map(domain::ids::ImpersonationId::uuid),
        status: "live".to_owned(),
        method: event.method.to_string(),
        amr: Json(event.amr.iter().map(ToString::to_string).collect()),
        auth_time: event.auth_time,
        generation: i32::try_from(event.generation).unwrap_or(i32::MAX),
        device: event.device.as_ref().and_then(|it| PrivateField::of(item, "payload.device", it)),
        origin: PrivateField::origin(item)?,
        started_at: event.at,
        expires_at: event.expires_at,
        ended_at: None,
        ended_because: None,
        version: 1,
        first_position: recorded.position,
        position: recorded.position,
    }))
}

fn change(row: &mut SessionRow, event: &Event) {
    match event {
        Event::Identity(IdentityEvent::SessionStrengthened(event)) => {
            row.amr = Json(event.amr.iter().map(ToString::to_string).collect());
            row.auth_time = event.auth_time;
        }
        Event::Identity(IdentityEvent::SessionEnded(event)) => {
            row.ended_at = Some(event.at);
            row.ended_because = Some(event.because.to_string());
        }
        _ => {}
    }
}

impl RowPerStream for Sessions {
    const NAME: &'static str = "sessions";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["sessions"];
    const CATEGORY: Category = domain::identity::Session::CATEGORY;

    type Row = SessionRow;

    fn begin(event: &Event, item: &Item<'_>) -> Result<Option<SessionRow>, ProjectionError> {
        begin(event, item)
    }

    fn change(row: &mut SessionRow, event: &Event, _: &Item<'_>) {
        change(row, event);
    }

    async fn load(conn: &mut PgConnection, tenants: &[Uuid], ids: &[Uuid]) -> sqlx::Result<Vec<SessionRow>> {
        sqlx::query_as!(
            SessionRow,
            r#"select tenant_id, session_id, user_id, service_id, impersonation_id, 'live' as "status!", method,
                      amr as "amr: Json<Vec<String>>", auth_time, generation, device as "device: Json<PrivateField>",
                      origin as "origin: Json<PrivateField>", started_at, expires_at, ended_at, ended_because, version,
                      first_position, position
               from sessions where (tenant_id, session_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
            tenants,
            ids
        )
        .fetch_all(conn)
        .await
    }

    async fn save(conn: &mut PgConnection, rows: &[SessionRow]) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into sessions
             select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::jsonb[],
                                  $8::timestamptz[], $9::integer[], $10::jsonb[], $11::jsonb[], $12::timestamptz[],
                                  $13::timestamptz[], $14::timestamptz[], $15::text[], $16::bigint[], $17::bigint[],
                                  $18::bigint[])
             on conflict (tenant_id, session_id) do update set
                 amr = excluded.amr, auth_time = excluded.auth_time, ended_at = excluded.ended_at,
                 ended_because = excluded.ended_because, version = excluded.version, position = excluded.position",
            column!(rows, tenant_id),
            column!(rows, session_id),
            column!(rows, user_id),
            column!(rows, service_id) as &[Option<Uuid>],
            column!(rows, impersonation_id) as &[Option<Uuid>],
            column!(rows, method),
            column!(rows, amr) as &[Json<Vec<String>>],
            column!(rows, auth_time),
            column!(rows, generation),
            column!(rows, device) as &[Option<Json<PrivateField>>],
            column!(rows, origin) as &[Option<Json<PrivateField>>],
            column!(rows, started_at),
            column!(rows, expires_at),
            column!(rows, ended_at) as &[Option<DateTime<Utc>>],
            column!(rows, ended_because) as &[Option<String>],
            column!(rows, version),
            column!(rows, first_position),
            column!(rows, position)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: &[SessionRow]) -> sqlx::Result<()> {
        let cells = cells!(
            SessionRow:
            tenant_id, session_id, user_id, service_id, impersonation_id, method, amr, auth_time, generation, device,
            origin, started_at, expires_at, ended_at, ended_because, version, first_position, position
        );
        copy::rows(conn, "copy sessions from stdin", rows, cells).await
    }
}

/// Which sessions of a person are listed.
#[derive(Debug, Clone, Default, Hash)]
pub struct SessionFilter {
    /// Whose.
    pub user_id: Uuid,
    /// Only those that stand.
    pub live: bool,
}

const LIST: ByPosition = ByPosition { list: "sessions", column: "s.first_position" };
// What ended it together with others is on the stream of its person, which is short: the log says when and why, exactly.
const COLUMNS: &str = "select s.tenant_id, s.session_id, s.user_id, s.service_id, s.impersonation_id, s.method, s.amr,
        s.auth_time, s.generation, s.device, s.origin, s.started_at, s.expires_at, coalesce(s.ended_at, e.at) as ended_at,
        coalesce(s.ended_because, e.because) as ended_because, s.version, s.first_position, s.position, stands.status
    from sessions s
    left join users u on u.tenant_id = s.tenant_id and u.user_id = s.user_id
    left join consents c on c.tenant_id = s.tenant_id and c.user_id = s.user_id and c.service_id = s.service_id
    cross join lateral (select case
        when s.ended_at is not null or u.status is distinct from 'active'
            or (s.generation < u.generation and s.session_id is distinct from u.kept_session)
            or s.first_position < c.revoked_position then 'ended'
        when s.expires_at <= now() then 'expired'
        else 'live' end as status) stands
    left join lateral (
        select it.at, it.because from (
            select (e.payload->>'at')::timestamptz as at, coalesce(e.payload->>'because', 'erased') as because
            from store.stream_events l join store.events e on e.position = l.position
            where l.tenant_id = s.tenant_id and l.category = ";
const OF_PERSON: &str = " and l.stream_id = s.user_id and l.position > s.first_position
                and (e.type = 'identity.person-erased'
                    or e.type = 'identity.sessions-ended' and e.payload->>'except' is distinct from s.session_id::text)
            union all select c.revoked_at, 'consent-revoked' where s.first_position < c.revoked_position
        ) it where s.ended_at is null and stands.status = 'ended' order by it.at limit 1
    ) e on true
    where s.tenant_id = ";

/// The sessions of the transaction's tenant.
fn of_tenant(tx: &TenantTx) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(COLUMNS);
    query.push_bind(domain::identity::User::CATEGORY.code).push(OF_PERSON).push_bind(tx.tenant().uuid());
    query
}

impl Sessions {
    /// A page of a person's sessions, by when they began.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &SessionFilter,
        asked: &Asked,
    ) -> Result<Page<SessionRow>, ListError> {
        let mut query = of_tenant(tx);
        query.push(" and s.user_id = ").push_bind(filter.user_id);
        if filter.live {
            query.push(" and stands.status = 'live'");
        }
        LIST.page(tx, query, filter, asked, SessionRow::first_position).await
    }
}
