//! The events of one command and of what followed from it, found by their correlation.

use chrono::{DateTime, Utc};
use domain::StreamId;
use event_schemas::catalog;
use event_schemas::envelope::Meta;
use uuid::Uuid;

use super::EventIndex;
use crate::tenant_tx::TenantTx;

/// The most events that are found at once.
pub const CORRELATED_MAX: usize = 1_000;

/// The envelope of an event, as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrelatedRow {
    /// Where it stands in the log.
    pub position: i64,
    /// Unique for ever.
    pub event_id: Uuid,
    /// `context.noun-verbed`.
    pub event_type: String,
    /// Its own stream: category and id.
    pub stream: String,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    meta: String,
}

impl CorrelatedRow {
    /// Who, because of what; nothing, if it cannot be read.
    #[must_use]
    pub fn meta(&self) -> Option<Meta> {
        serde_json::from_str(&self.meta).ok()
    }
}

impl EventIndex {
    /// The envelope of one event, from the log itself.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn envelope(tx: &mut TenantTx, position: i64) -> sqlx::Result<Option<CorrelatedRow>> {
        Ok(envelopes(tx, &[position]).await?.pop())
    }

    /// The events of a correlation in the order of the log, and whether there are more than [`CORRELATED_MAX`]: then
    /// those nearest to `around` are given.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn correlated(
        tx: &mut TenantTx,
        correlation: Uuid,
        around: i64,
    ) -> sqlx::Result<(Vec<CorrelatedRow>, bool)> {
        let tenant = tx.tenant().uuid();
        let more = i64::try_from(CORRELATED_MAX).unwrap_or(i64::MAX).saturating_add(1);
        let mut upto = sqlx::query_scalar!(
            "select position from event_index where tenant_id = $1 and correlation = $2 and position <= $3
             order by position desc limit $4",
            tenant,
            correlation,
            around,
            more
        )
        .fetch_all(tx.conn())
        .await?;
        let mut behind = sqlx::query_scalar!(
            "select position from event_index where tenant_id = $1 and correlation = $2 and position > $3
             order by position limit $4",
            tenant,
            correlation,
            around,
            more
        )
        .fetch_all(tx.conn())
        .await?;
        let truncated = upto.len() + behind.len() > CORRELATED_MAX;
        upto.truncate((CORRELATED_MAX / 2).max(CORRELATED_MAX.saturating_sub(behind.len())));
        behind.truncate(CORRELATED_MAX - upto.len());
        upto.append(&mut behind);
        Ok((envelopes(tx, &upto).await?, truncated))
    }
}

async fn envelopes(tx: &mut TenantTx, positions: &[i64]) -> sqlx::Result<Vec<CorrelatedRow>> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query!(
        r#"select position, event_id, type, category, stream_id, recorded_at, meta::text as "meta!"
           from store.events where position = any($1) and tenant_id = $2 order by position"#,
        positions,
        tenant
    )
    .fetch_all(tx.conn())
    .await?;
    let stream = |category: i16, id: Uuid| match catalog::category(category) {
        Some(category) => StreamId::new(category, id).to_string(),
        None => format!("unknown/{id}"),
    };
    Ok(rows
        .into_iter()
        .map(|row| CorrelatedRow {
            position: row.position,
            event_id: row.event_id,
            event_type: row.r#type,
            stream: stream(row.category, row.stream_id),
            recorded_at: row.recorded_at,
            meta: row.meta,
        })
        .collect())
}
