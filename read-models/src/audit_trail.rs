//! `audit_trail`: who did what, to what, and with which result: one entry an event. What was done is the event itself;
//! what was refused, read or exported are the events of the context `audit`.
//!
//! What an entry changed, and from where it was done, is not kept here: the log has both, and only there the latter can
//! be erased.

use chrono::{DateTime, Utc};
use domain::audit::AuditEvent;
use domain::ids::TenantId;
use domain::{Event, StreamId};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::column;
use crate::page::{Asked, ByPosition, ListError, Page};
use crate::read_model::{Item, ProjectionError, ReadModel};
use crate::tenant_tx::TenantTx;

/// The trail of all tenants.
#[derive(Debug)]
pub struct AuditTrail;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct TrailRow {
    tenant_id: Uuid,
    /// Where its event stands in the log.
    pub position: i64,
    /// Its event.
    pub event_id: Uuid,
    /// Who; the nil UUID is the product itself.
    pub actor: Option<Uuid>,
    /// With which access token.
    pub token: Option<Uuid>,
    /// Ties together everything that follows from one request.
    pub correlation: Option<Uuid>,
    context: String,
    /// What: the type of the event, or the permission of what was refused, read or exported.
    pub action: String,
    /// `done`, `refused`, `read` or `exported`.
    pub result: String,
    /// The code of a refusal.
    pub code: Option<String>,
    /// How often, from `first_at` on.
    pub count: i64,
    path: Option<String>,
    /// To what: the streams that the event belongs to, or the path that was asked for.
    pub resources: Json<Vec<String>>,
    /// When it was first seen.
    pub first_at: DateTime<Utc>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// In which session.
    pub session_id: Option<Uuid>,
    /// In whose place the actor acted, if not in their own.
    pub on_behalf_of: Option<Uuid>,
}

/// What an event tells beyond its envelope.
struct Told {
    action: String,
    result: &'static str,
    code: Option<String>,
    count: u64,
    path: Option<String>,
    resources: Vec<String>,
    first_at: DateTime<Utc>,
}

/// The action of an export.
const EXPORT: &str = "audit.export-trail";

fn told(item: &Item<'_>) -> Result<Told, ProjectionError> {
    let recorded = item.recorded;
    let event = match item.event() {
        Ok(event) => Some(event),
        // That it happened is told even if what it says cannot be read.
        Err(ProjectionError::Poisoned { .. }) => None,
        Err(error) => return Err(error),
    };
    let of_path = |action: &str, result, code: Option<&str>, count, path: String, first_at| Told {
        action: action.to_owned(),
        result,
        code: code.map(ToOwned::to_owned),
        count,
        resources: vec![path.clone()],
        path: Some(path),
        first_at,
    };
    Ok(match event {
        Some(Event::Audit(AuditEvent::CommandRefused(it) | AuditEvent::ReadRefused(it))) => {
            of_path(&it.action, "refused", Some(&it.code), it.count, it.resource.clone(), it.first_at)
        }
        Some(Event::Audit(AuditEvent::DataRead(it))) => {
            of_path(&it.action, "read", None, it.count, it.resource.clone(), it.first_at)
        }
        Some(Event::Audit(AuditEvent::TrailExported(it))) => {
            of_path(EXPORT, "exported", None, 1, format!("/v1/audit/exports/{}", it.export_id), it.at)
        }
        Some(Event::Audit(AuditEvent::RefusalsCounted(it))) => Told {
            action: recorded.event_type.clone(),
            result: "refused",
            code: None,
            count: it.count,
            path: None,
            resources: Vec::new(),
            first_at: it.first_at,
        },
        event => {
            let streams = event.map_or_else(|| vec![recorded.stream], Event::streams);
            Told {
                action: recorded.event_type.clone(),
                result: "done",
                code: None,
                count: 1,
                path: None,
                resources: streams.iter().map(ToString::to_string).collect(),
                first_at: recorded.recorded_at,
            }
        }
    })
}

/// Refuses only events of a newer build, whose result it cannot know.
fn fold(rows: &mut Vec<TrailRow>, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        let recorded = item.recorded;
        // Its streams all lead to the tenant's one partition.
        if rows.last().is_some_and(|row| row.position == recorded.position) {
            continue;
        }
        let told = told(item)?;
        let meta = item.meta().ok();
        let context = told.action.split_once('.').map_or("", |(context, _)| context).to_owned();
        rows.push(TrailRow {
            tenant_id: recorded.tenant.uuid(),
            position: recorded.position,
            event_id: recorded.event_id,
            actor: meta.as_ref().map(|it| it.actor.uuid()),
            token: meta.as_ref().and_then(|it| it.token).map(|it| it.uuid()),
            correlation: meta.as_ref().map(|it| it.correlation),
            context,
            action: told.action,
            result: told.result.to_owned(),
            code: told.code,
            count: i64::try_from(told.count).unwrap_or(i64::MAX),
            path: told.path,
            resources: Json(told.resources),
            first_at: told.first_at,
            recorded_at: recorded.recorded_at,
            session_id: meta.as_ref().and_then(|it| it.session).map(|it| it.uuid()),
            on_behalf_of: meta.as_ref().and_then(|it| it.on_behalf_of).map(|it| it.uuid()),
        });
    }
    Ok(())
}

impl ReadModel for AuditTrail {
    const NAME: &'static str = "audit_trail";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["audit_trail"];
    const APPENDS_ONLY: bool = true;

    type Rows = Vec<TrailRow>;

    fn partition(tenant: TenantId, _: &StreamId) -> Option<Uuid> {
        Some(tenant.uuid())
    }

    async fn load(_: &mut PgConnection, _: &mut Self::Rows, _: &[Item<'_>]) -> Result<(), ProjectionError> {
        Ok(())
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        fold(rows, items)
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into audit_trail
             select * from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[],
                                  $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::jsonb[],
                                  $14::timestamptz[], $15::timestamptz[], $16::uuid[], $17::uuid[])",
            column!(rows, tenant_id),
            column!(rows, position),
            column!(rows, event_id),
            column!(rows, actor) as &[Option<Uuid>],
            column!(rows, token) as &[Option<Uuid>],
            column!(rows, correlation) as &[Option<Uuid>],
            column!(rows, context),
            column!(rows, action),
            column!(rows, result),
            column!(rows, code) as &[Option<String>],
            column!(rows, count),
            column!(rows, path) as &[Option<String>],
            column!(rows, resources) as &[Json<Vec<String>>],
            column!(rows, first_at),
            column!(rows, recorded_at),
            column!(rows, session_id) as &[Option<Uuid>],
            column!(rows, on_behalf_of) as &[Option<Uuid>]
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let cells = cells!(
            TrailRow:
            tenant_id, position, event_id, actor, token, correlation, context, action, result, code, count, path,
            resources, first_at, recorded_at, session_id, on_behalf_of
        );
        copy::rows(conn, "copy audit_trail from stdin", &rows, cells).await
    }
}

/// Which actions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ActionFilter {
    /// This one.
    Exactly(String),
    /// All of a context.
    Context(String),
}

/// About what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResourceFilter {
    /// Done on a stream, its own or linked.
    Stream(StreamId),
    /// Asked for at a path, or at one below it.
    Path(String),
}

/// Which entries: those that fit everything that is given.
#[derive(Debug, Clone, Default, Hash)]
pub struct TrailFilter {
    /// By this actor.
    pub actor: Option<Uuid>,
    /// Of these actions.
    pub action: Option<ActionFilter>,
    /// About this.
    pub resource: Option<ResourceFilter>,
    /// With this result.
    pub result: Option<String>,
    /// Of one request and what followed from it.
    pub correlation: Option<Uuid>,
    /// Recorded at or after this moment.
    pub from: Option<DateTime<Utc>>,
    /// Recorded before this moment.
    pub to: Option<DateTime<Utc>>,
}

const LIST: ByPosition = ByPosition { list: "audit", column: "i.position" };

impl AuditTrail {
    /// A page of entries, by when they were recorded.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &TrailFilter,
        asked: &Asked,
    ) -> Result<Page<TrailRow>, ListError> {
        let query = selected(tx, filter);
        LIST.page(tx, query, filter, asked, |it: &TrailRow| it.position).await
    }

    /// Entries behind one position up to another, in the order of the log.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn between(
        tx: &mut TenantTx,
        filter: &TrailFilter,
        after: i64,
        up_to: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<TrailRow>> {
        let mut query = selected(tx, filter);
        query.push(" and i.position > ").push_bind(after).push(" and i.position <= ").push_bind(up_to);
        query.push(" order by i.position limit ").push_bind(limit);
        query.build_query_as::<TrailRow>().fetch_all(tx.conn()).await
    }

    /// The entry at a position.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(tx: &mut TenantTx, position: i64) -> sqlx::Result<Option<TrailRow>> {
        let mut query = selected(tx, &TrailFilter::default());
        query.push(" and i.position = ").push_bind(position);
        query.build_query_as::<TrailRow>().fetch_optional(tx.conn()).await
    }
}

fn selected(tx: &TenantTx, filter: &TrailFilter) -> QueryBuilder<Postgres> {
    let tenant = tx.tenant().uuid();
    let mut query = QueryBuilder::<Postgres>::new("select i.* from audit_trail i");
    if let Some(ResourceFilter::Stream(stream)) = &filter.resource {
        query.push(" join store.stream_events s on s.tenant_id = i.tenant_id and s.position = i.position");
        query.push(" and s.category = ").push_bind(stream.category.code);
        query.push(" and s.stream_id = ").push_bind(stream.id);
    }
    query.push(" where i.tenant_id = ").push_bind(tenant);
    if let Some(ResourceFilter::Path(path)) = &filter.resource {
        // What lies below a path sorts between `path/` and `path0`, the next character.
        let path = path.trim_end_matches('/');
        query.push(" and (i.path = ").push_bind(path.to_owned());
        query.push(" or i.path >= ").push_bind(format!("{path}/"));
        query.push(" and i.path < ").push_bind(format!("{path}0")).push(")");
    }
    match &filter.action {
        Some(ActionFilter::Exactly(action)) => {
            query.push(" and i.action = ").push_bind(action.clone());
        }
        Some(ActionFilter::Context(context)) => {
            query.push(" and i.context = ").push_bind(context.clone());
        }
        None => {}
    }
    for (column, id) in [(" and i.actor = ", filter.actor), (" and i.correlation = ", filter.correlation)] {
        if let Some(id) = id {
            query.push(column).push_bind(id);
        }
    }
    if let Some(result) = &filter.result {
        query.push(" and i.result = ").push_bind(result.clone());
    }
    // Times never fall along the log, so the places of the first and the last entry say it all.
    if let Some(from) = filter.from {
        query.push(" and i.position >= coalesce((select f.position from audit_trail f where f.tenant_id = ");
        query.push_bind(tenant).push(" and f.recorded_at >= ").push_bind(from);
        query.push(" order by f.recorded_at, f.position limit 1), 9223372036854775807)");
    }
    if let Some(to) = filter.to {
        query.push(" and i.position <= coalesce((select f.position from audit_trail f where f.tenant_id = ");
        query.push_bind(tenant).push(" and f.recorded_at < ").push_bind(to);
        query.push(" order by f.recorded_at desc, f.position desc limit 1), 0)");
    }
    query
}
