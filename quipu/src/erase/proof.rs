//! After an erasure: waits until every read model has it, counts what is left, has everything searched, and says so in a
//! certificate.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use domain::Event;
use domain::identity::{IdentityEvent, user};
use domain::ids::{TenantId, UserId};
use event_schemas::envelope::LogPosition;
use event_store::epoch;
use event_store::erasure_journal::Erasure;
use event_store::log::{self, Direction};
use tokio::time::{Instant, sleep};

use super::certificate::{Certificate, ErasureEvent, hex};
use super::desk::Desk;
use super::found::Found;
use super::search;
use crate::log_status::readers;

/// How long the read models may take to follow, and how often they are looked at.
const FOLLOW_WAIT: Duration = Duration::from_secs(60);
const FOLLOW_LOOK: Duration = Duration::from_millis(50);

/// Events of a person that are read at once, the newest first: the one that erases them is the last.
const PAGE: i64 = 20;

/// Proves an erasure that was carried out.
///
/// # Errors
/// If the read models do not follow, or something cannot be read.
pub async fn certificate(
    desk: &Desk,
    erasure: &Erasure,
    found: &Found,
    scan: &[PathBuf],
) -> anyhow::Result<Certificate> {
    let read_models_at = followed(desk).await?;
    let event = match erasure.person {
        Some(person) => event(desk, erasure.tenant, person).await?,
        None => None,
    };
    let searched = search::everything(desk, erasure, found, scan).await?;
    Ok(Certificate {
        receipt: erasure.receipt,
        tenant_id: erasure.tenant,
        user_id: erasure.person,
        subjects: erasure.subjects.iter().copied().collect(),
        noted_at: erasure.at,
        journal_line: erasure.line,
        journal_line_sha256: erasure.line_hash.to_string(),
        event,
        keys_left: keys_left(desk, erasure).await?,
        vault_rows_left: vault_rows_left(desk, erasure).await?,
        read_models_at: read_models_at.to_string(),
        searched,
        backups_expire_on: None,
        issued_at: micros(Utc::now()),
    })
}

/// PostgreSQL keeps microseconds, and so does whoever reads a certificate.
fn micros(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

/// Waits until every read model that answers queries has the log as it is now.
async fn followed(desk: &Desk) -> anyhow::Result<LogPosition> {
    let head = epoch::head(&mut *desk.projector.acquire().await?).await?;
    let asked = Instant::now();
    loop {
        let behind: Vec<String> = readers(&desk.projector)
            .await?
            .into_iter()
            .filter(|it| it.active && (it.epoch != head.epoch || it.position < head.position))
            .map(|it| it.model)
            .collect();
        if behind.is_empty() {
            return Ok(LogPosition { epoch: head.epoch, position: head.position });
        }
        ensure!(
            asked.elapsed() < FOLLOW_WAIT,
            "they are erased, but these read models have not followed: {}; let the projector run, and give the command again",
            behind.join(", ")
        );
        sleep(FOLLOW_LOOK).await;
    }
}

/// The event that says that they were erased.
async fn event(desk: &Desk, tenant: TenantId, person: UserId) -> anyhow::Result<Option<ErasureEvent>> {
    let mut conn = desk.projector.acquire().await?;
    let epoch = epoch::head(&mut conn).await?.epoch;
    let stream = user::stream(person);
    let newest = log::stream(&mut conn, tenant, stream, i64::MAX, Direction::Backwards, PAGE).await?;
    let told = newest.into_iter().find_map(|(_, it)| match it.decode() {
        Ok(Event::Identity(IdentityEvent::PersonErased(_))) => Some(it),
        _ => None,
    });
    Ok(told.map(|it| ErasureEvent {
        position: LogPosition { epoch, position: it.position }.to_string(),
        event_id: it.event_id,
        recorded_at: it.recorded_at,
        leaf: hex(&it.leaf),
    }))
}

/// Keys of the subjects that are left: of the person in any organisation, of invitations in theirs.
async fn keys_left(desk: &Desk, erasure: &Erasure) -> anyhow::Result<i64> {
    let mut left = 0;
    for subject in &erasure.subjects {
        let mut tx = desk.serving(&[erasure.tenant]).await?;
        left += if erasure.is_person(*subject) {
            sqlx::query_scalar!(r#"select keys.keys_left($1) as "left!""#, subject)
                .fetch_one(&mut *tx)
                .await?
        } else {
            sqlx::query_scalar!(
                r#"select count(*) as "left!" from keys.subject_keys where tenant_id = $1 and subject_id = $2"#,
                erasure.tenant.uuid(),
                subject
            )
            .fetch_one(&mut *tx)
            .await?
        };
        tx.rollback().await?;
    }
    Ok(left)
}

/// Rows of the vault about the person, in every table that has a column for that.
async fn vault_rows_left(desk: &Desk, erasure: &Erasure) -> anyhow::Result<i64> {
    let Some(person) = erasure.person else { return Ok(0) };
    let mut tx = desk.serving(&[erasure.tenant]).await?;
    let tables = sqlx::query_scalar!(
        r#"select c.oid::regclass::text as "name!" from pg_catalog.pg_class c
           join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id' and not a.attisdropped
           where c.relnamespace = 'vault'::regnamespace and c.relkind in ('r', 'p') order by 1"#
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut left = 0;
    for table in tables {
        let count = format!("select count(*) from {table} where tenant_id = $1 and user_id = $2");
        left += sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(count))
            .bind(erasure.tenant.uuid())
            .bind(person.uuid())
            .fetch_one(&mut *tx)
            .await
            .with_context(|| table)?;
    }
    tx.rollback().await?;
    Ok(left)
}
