//! The audit trail as this process keeps it: how it appends to it, and how it shows and exports it.
//!
//! **Invariant:** `store.append_audit` is the one thing that this process can write with.

pub(crate) mod export;
pub(crate) mod filters;

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use domain::Event;
use domain::audit::{AuditEvent, day};
use domain::ids::{ActorId, SessionId, TenantId};
use domain::private::Private;
use event_schemas::catalog;
use event_schemas::envelope::{LogPosition, Meta, Origin};
use event_store::MasterKey;
use event_store::keyring::{KeyError, ORIGIN_PATH, Place, SubjectKey};
use read_models::TenantTx;
use read_models::audit_trail::TrailRow;
use serde::Serialize;
use service_kit::access::Caller;
use service_kit::audit::{Author, NotWritten, Writer, Writing};
use service_kit::telemetry;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

/// How often another process may be quicker to make the key of a person.
const KEY_RACES_MAX: usize = 3;
/// What PostgreSQL says to a write on a standby.
const READ_ONLY: &str = "25006";

/// Whether a word is one of the product's own, so that it may stand in the trail whoever sent it.
pub(crate) fn is_name(word: &str) -> bool {
    let of_enumerations = ["csv", "ndjson", "hledger", "ledger", "done", "refused", "read", "exported"];
    catalog::event_type(word).is_some()
        || catalog::category_named(word).is_some()
        || filters::is_action(word)
        || of_enumerations.contains(&word)
}

/// One entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct TrailEntry {
    /// Where its event stands in the log, with the log's epoch.
    #[schema(example = "1-4711")]
    pub position: String,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// When it was first seen; before `recorded_at`, if several were counted in one entry.
    pub first_at: DateTime<Utc>,
    /// Who; the nil UUID is the product itself. `null` if that cannot be read.
    pub actor: Option<Uuid>,
    /// With which access token or API key.
    pub token: Option<Uuid>,
    /// What: the type of the event; or of what was refused, read or exported, the permission that it asks for.
    #[schema(example = "ledger.post-transfer")]
    pub action: String,
    /// `done`, `refused`, `read` or `exported`.
    #[schema(example = "refused")]
    pub result: String,
    /// The code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ledger.insufficient-funds")]
    pub code: Option<String>,
    /// How often.
    #[schema(example = 1)]
    pub count: i64,
    /// To what: the streams that were changed, or the path that was asked for.
    #[schema(example = json!(["/v1/ledger/transfers"]))]
    pub resources: Vec<String>,
    /// Ties together everything that follows from one request.
    pub correlation: Option<Uuid>,
    /// The event.
    pub event_id: Uuid,
    /// In which session, if a person did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Uuid>,
    /// In whose place the actor acted, if they are staff of the platform who acted for a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Uuid>,
}

impl TrailEntry {
    pub(crate) fn of(row: TrailRow, epoch: i32) -> Self {
        Self {
            position: LogPosition { epoch, position: row.position }.to_string(),
            recorded_at: row.recorded_at,
            first_at: row.first_at,
            actor: row.actor,
            token: row.token,
            action: row.action,
            result: row.result,
            code: row.code,
            count: row.count,
            resources: row.resources.0,
            correlation: row.correlation,
            event_id: row.event_id,
            session_id: row.session_id,
            on_behalf_of: row.on_behalf_of,
        }
    }
}

/// Appends to the trail through the one function that this process may write with.
pub(crate) struct ThroughFunction {
    pub(crate) pool: PgPool,
    pub(crate) master: Arc<MasterKey>,
}

#[derive(Debug, thiserror::Error)]
enum AppendError {
    #[error("the log does not answer")]
    Database(#[from] sqlx::Error),
    #[error("the origin cannot be sealed")]
    Key(#[from] KeyError),
    #[error("the event cannot be encoded")]
    Encode(#[from] event_schemas::codec::EncodeError),
    #[error("the event cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("the event was not appended: {0}")]
    Refused(String),
}

impl Writer for ThroughFunction {
    fn write<'a>(&'a self, author: &'a Author, event: AuditEvent) -> Writing<'a> {
        Box::pin(async move {
            let appended = self.append(author, event).await;
            appended.map(|it| it.to_string()).map_err(|error| match &error {
                AppendError::Database(sqlx::Error::Database(it))
                    if it.code().as_deref() == Some(READ_ONLY) =>
                {
                    NotWritten::Standby
                }
                AppendError::Database(cause) => NotWritten::Unavailable(format!("{error}: {cause}")),
                _ => NotWritten::Unavailable(error.to_string()),
            })
        })
    }
}

/// The key of a caller, and its wrapped form if it was made just now.
struct Sealer {
    key: SubjectKey,
    made: Option<Vec<u8>>,
}

impl ThroughFunction {
    async fn append(&self, author: &Author, event: AuditEvent) -> Result<LogPosition, AppendError> {
        let event_id = Uuid::now_v7();
        let day = event.at().date_naive();
        let export = match &event {
            AuditEvent::TrailExported(it) => Some(it.export_id.uuid()),
            _ => None,
        };
        let encoded = event_schemas::encode(&Event::Audit(event))?;
        let stream = day::stream(day);
        let mut outcome = String::new();
        for _ in 0..KEY_RACES_MAX {
            let sealer = match &author.caller {
                Some(caller) => self.sealer(author.tenant, acting(caller)).await?,
                None => None,
            };
            let place = Place { tenant: author.tenant, stream, event_id, path: ORIGIN_PATH };
            let meta = serde_json::to_string(&meta(author, sealer.as_ref(), &place)?)?;
            let made = sealer.as_ref().and_then(|it| it.made.as_deref());
            let actor = author.caller.as_ref().map(|it| acting(it).uuid()).filter(|_| made.is_some());
            // One statement is one transaction: the head is free again when it is done, whatever becomes of us. What
            // it serves is set first, since the function is given what that returns.
            let row = sqlx::query!(
                r#"select a.outcome as "outcome!", a.appended_at as "position!", a.epoch as "epoch!"
                   from (select set_config('app.tenants', $1, true) as served offset 0) s
                   cross join lateral store.append_audit(
                       (s.served::uuid[])[1], $2, $3, $4, $5, $6, $7, $8, $9, $10) a"#,
                format!("{{{}}}", author.tenant),
                day,
                encoded.event_type,
                encoded.schema_version,
                event_id,
                encoded.payload,
                meta,
                export,
                actor,
                made
            )
            .fetch_one(&self.pool)
            .await?;
            if row.outcome == "appended" {
                return Ok(LogPosition { epoch: row.epoch, position: row.position });
            }
            outcome = row.outcome;
            if outcome != "key" {
                break;
            }
        }
        Err(AppendError::Refused(outcome))
    }

    /// The key of who acts; none if the person was erased, so that their doings are told without a place.
    async fn sealer(&self, tenant: TenantId, actor: ActorId) -> Result<Option<Sealer>, AppendError> {
        let subject = actor.uuid();
        let mut tx = TenantTx::begin(&self.pool, tenant, &[]).await?;
        let row = sqlx::query!(
            r#"select (select wrapped from keys.subject_keys where tenant_id = $1 and subject_id = $2) as wrapped,
                      exists (select from keys.erased_subjects where tenant_id = $1 and subject_id = $2) as "erased!""#,
            tenant.uuid(),
            subject
        )
        .fetch_one(tx.conn())
        .await?;
        tx.end().await?;
        Ok(match row.wrapped {
            _ if row.erased => None,
            Some(wrapped) => Some(Sealer { key: self.master.unwrap(tenant, subject, &wrapped)?, made: None }),
            None => {
                let (key, wrapped) = self.master.make(tenant, subject)?;
                Some(Sealer { key, made: Some(wrapped) })
            }
        })
    }
}

/// The envelope of an entry, its origin sealed.
fn meta(author: &Author, sealer: Option<&Sealer>, place: &Place<'_>) -> Result<Meta, AppendError> {
    let Some(caller) = &author.caller else {
        return Ok(Meta {
            actor: ActorId::SYSTEM,
            token: None,
            session: None,
            on_behalf_of: None,
            correlation: Uuid::now_v7(),
            causation: None,
            trace: None,
            span: None,
            origin: None,
        });
    };
    let origin = Origin { ip: Some(caller.ip.to_string()), user_agent: caller.user_agent.clone() };
    let sealed = match sealer {
        Some(sealer) => {
            let sealed = sealer.key.seal(place, &serde_json::to_vec(&origin)?)?;
            Some(serde_json::to_value(Private::Sealed(sealed))?)
        }
        None => None,
    };
    Ok(Meta {
        actor: acting(caller),
        token: Some(caller.token_id),
        session: caller.session.map(SessionId::new),
        on_behalf_of: caller.acts.map(|_| caller.actor),
        correlation: caller.trace_id.uuid(),
        causation: None,
        trace: Some(caller.trace_id.to_string()),
        span: telemetry::current_span_id(),
        origin: sealed,
    })
}

/// Who really acts: staff of the platform, if they do so in the caller's place.
fn acting(caller: &Caller) -> ActorId {
    caller.acts.unwrap_or(caller.actor)
}

/// In whose name a caller's own doing is written.
pub(crate) fn author(caller: &Caller) -> Author {
    Author { tenant: caller.tenant, caller: Some(caller.clone()) }
}

/// A time as exports write it.
pub(crate) fn time(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use service_kit::access::permissions;

    use super::*;

    #[test]
    fn words_of_ours_are_known() {
        for word in
            ["ledger.transfer-posted", "ledger.account", "audit.read-trail", "ledger.", "csv", "refused"]
        {
            assert!(is_name(word), "{word}");
        }
        for word in ["jane.doe", "ledger", "ledger.jane", ".", "", "audit.day/"] {
            assert_eq!(is_name(word), word == "ledger", "{word}");
        }
        assert!(permissions::ALL.iter().all(|it| is_name(it.name)));
    }
}
