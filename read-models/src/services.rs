//! `services`: the services of an organisation. Of their secrets, which ones are good: nothing of the secrets themselves.

use chrono::{DateTime, Utc};
use domain::application::service::oauth_name;
use domain::application::{ApplicationEvent, Service, ServiceLimits};
use domain::{Aggregate, Category, Event};
use serde::{Deserialize, Serialize, Serializer};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::column;
use crate::in_epoch;
use crate::page::{Asked, ByPosition, ListError, Page};
use crate::read_model::{Item, ProjectionError};
use crate::row_per_stream::{self, RowPerStream, StreamRow as _, stream_row};
use crate::tenant_tx::TenantTx;

/// The services of an organisation.
#[derive(Debug)]
pub struct Services;

/// A service as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct ServiceRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Which.
    pub service_id: Uuid,
    /// `active`, `suspended` or `removed`.
    #[schema(example = "active")]
    pub status: String,
    /// Its name for people.
    #[schema(example = "Shop")]
    pub name: String,
    /// Whether it can keep a secret.
    pub confidential: bool,
    /// Where it may send people back to, to the letter.
    #[schema(value_type = Vec<String>, example = json!(["https://shop.example.com/callback"]))]
    pub redirect_uris: Json<Vec<String>>,
    /// In which ways it gets tokens, by the names of OAuth.
    #[serde(serialize_with = "by_oauth")]
    #[schema(value_type = Vec<String>, example = json!(["authorization_code", "refresh_token"]))]
    pub grants: Json<Vec<String>>,
    /// What it may ask for.
    #[schema(value_type = Vec<String>, example = json!(["openid", "email"]))]
    pub scopes: Json<Vec<String>>,
    /// How often it may ask; `null` if that was not set.
    #[schema(value_type = Option<LimitsOfService>)]
    pub limits: Option<Json<LimitsOfService>>,
    /// Those of its secrets that are not removed, the oldest first.
    #[schema(value_type = Vec<SecretOfService>)]
    pub secrets: Json<Vec<SecretOfService>>,
    /// Why it is suspended, in a word.
    #[schema(example = "leaked")]
    pub because: Option<String>,
    /// When it came to be.
    pub registered_at: DateTime<Utc>,
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

/// How often a service may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitsOfService {
    /// Requests a second, in the long run.
    #[schema(example = 50)]
    pub per_second: u32,
    /// Requests at once.
    #[schema(example = 100)]
    pub burst: u32,
}

impl LimitsOfService {
    const fn of(limits: ServiceLimits) -> Self {
        let ServiceLimits { per_second, burst } = limits;
        Self { per_second, burst }
    }
}

/// A secret of a service, of which nothing is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretOfService {
    /// Names it.
    pub secret_id: Uuid,
    /// When it was made.
    pub added_at: DateTime<Utc>,
    /// Until when it is good; `null` for as long as it is not removed.
    pub expires_at: Option<DateTime<Utc>>,
}

stream_row!(ServiceRow: service_id);

/// Names as a row has them.
/// Rows keep grants as events name them.
fn by_oauth<S: Serializer>(grants: &Json<Vec<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(grants.0.iter().map(|it| oauth_name(it)))
}

fn texts<T: ToString>(names: &[T]) -> Json<Vec<String>> {
    Json(names.iter().map(ToString::to_string).collect())
}

impl RowPerStream for Services {
    const NAME: &'static str = "services";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["services"];
    const CATEGORY: Category = Service::CATEGORY;

    type Row = ServiceRow;

    fn begin(event: &Event, item: &Item<'_>) -> Result<Option<ServiceRow>, ProjectionError> {
        let Event::Application(ApplicationEvent::ServiceRegistered(event)) = event else {
            return Err(item.poisoned("it is about a service that was never registered"));
        };
        let recorded = item.recorded;
        Ok(Some(ServiceRow {
            tenant_id: recorded.tenant.uuid(),
            service_id: item.partition,
            status: "active".to_owned(),
            name: event.name.as_str().to_owned(),
            confidential: event.confidential,
            redirect_uris: texts(&event.redirect_uris),
            grants: texts(&event.grants),
            scopes: texts(&event.scopes),
            limits: event.limits.map(LimitsOfService::of).map(Json),
            secrets: Json(Vec::new()),
            because: None,
            registered_at: event.at,
            version: 1,
            first_position: recorded.position,
            position: recorded.position,
        }))
    }

    fn change(row: &mut ServiceRow, event: &Event, _: &Item<'_>) {
        let Event::Application(event) = event else { return };
        match event {
            ApplicationEvent::ServiceRenamed(it) => it.name.as_str().clone_into(&mut row.name),
            ApplicationEvent::RedirectUrisChanged(it) => row.redirect_uris = texts(&it.redirect_uris),
            ApplicationEvent::GrantsChanged(it) => row.grants = texts(&it.grants),
            ApplicationEvent::ScopesChanged(it) => row.scopes = texts(&it.scopes),
            ApplicationEvent::ServiceLimited(it) => row.limits = Some(Json(LimitsOfService::of(it.limits))),
            ApplicationEvent::ServiceUnlimited(_) => row.limits = None,
            ApplicationEvent::ServiceSuspended(it) => {
                "suspended".clone_into(&mut row.status);
                row.because = Some(it.because.to_string());
            }
            ApplicationEvent::ServiceResumed(_) => {
                "active".clone_into(&mut row.status);
                row.because = None;
            }
            ApplicationEvent::ServiceRemoved(_) => {
                "removed".clone_into(&mut row.status);
                row.secrets.0.clear();
            }
            ApplicationEvent::SecretAdded(it) => row.secrets.0.push(SecretOfService {
                secret_id: it.secret_id.uuid(),
                added_at: it.at,
                expires_at: it.expires_at,
            }),
            ApplicationEvent::SecretRemoved(it) => {
                row.secrets.0.retain(|known| known.secret_id != it.secret_id.uuid());
            }
            _ => {}
        }
    }

    async fn load(conn: &mut PgConnection, tenants: &[Uuid], ids: &[Uuid]) -> sqlx::Result<Vec<ServiceRow>> {
        sqlx::query_as!(
            ServiceRow,
            r#"select tenant_id, service_id, status, name, confidential,
                      redirect_uris as "redirect_uris: Json<Vec<String>>", grants as "grants: Json<Vec<String>>",
                      scopes as "scopes: Json<Vec<String>>", limits as "limits: Json<LimitsOfService>",
                      secrets as "secrets: Json<Vec<SecretOfService>>", because, registered_at, version,
                      first_position, position
               from services where (tenant_id, service_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
            tenants,
            ids
        )
        .fetch_all(conn)
        .await
    }

    async fn save(conn: &mut PgConnection, rows: &[ServiceRow]) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into services
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bool[], $6::jsonb[], $7::jsonb[],
                                  $8::jsonb[], $9::jsonb[], $10::jsonb[], $11::text[], $12::timestamptz[],
                                  $13::bigint[], $14::bigint[], $15::bigint[])
             on conflict (tenant_id, service_id) do update set
                 status = excluded.status, name = excluded.name, redirect_uris = excluded.redirect_uris,
                 grants = excluded.grants, scopes = excluded.scopes, limits = excluded.limits, secrets = excluded.secrets,
                 because = excluded.because,
                 version = excluded.version, position = excluded.position",
            column!(rows, tenant_id),
            column!(rows, service_id),
            column!(rows, status),
            column!(rows, name),
            column!(rows, confidential),
            column!(rows, redirect_uris) as &[Json<Vec<String>>],
            column!(rows, grants) as &[Json<Vec<String>>],
            column!(rows, scopes) as &[Json<Vec<String>>],
            column!(rows, limits) as &[Option<Json<LimitsOfService>>],
            column!(rows, secrets) as &[Json<Vec<SecretOfService>>],
            column!(rows, because) as &[Option<String>],
            column!(rows, registered_at),
            column!(rows, version),
            column!(rows, first_position),
            column!(rows, position)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: &[ServiceRow]) -> sqlx::Result<()> {
        let cells = cells!(
            ServiceRow:
            tenant_id, service_id, status, name, confidential, redirect_uris, grants, scopes, limits, secrets, because,
            registered_at, version, first_position, position
        );
        copy::rows(conn, "copy services from stdin", rows, cells).await
    }
}

const LIST: ByPosition = ByPosition { list: "services", column: "first_position" };
const COLUMNS: &str =
    "select tenant_id, service_id, status, name, confidential, redirect_uris, grants, scopes, limits,
        secrets, because, registered_at, version, first_position, position from services where tenant_id = ";

impl Services {
    /// One service.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(tx: &mut TenantTx, id: Uuid) -> sqlx::Result<Option<ServiceRow>> {
        row_per_stream::one::<Self>(tx, id).await
    }

    /// A page of services, by when they were registered; of one status, if it is named, else all that are not removed.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        status: Option<&str>,
        asked: &Asked,
    ) -> Result<Page<ServiceRow>, ListError> {
        let mut query = tx.of_tenant(COLUMNS);
        match status {
            Some(status) => query.push(" and status = ").push_bind(status),
            None => query.push(" and status <> 'removed'"),
        };
        LIST.page(tx, query, &status, asked, ServiceRow::first_position).await
    }
}

#[cfg(test)]
mod tests;
