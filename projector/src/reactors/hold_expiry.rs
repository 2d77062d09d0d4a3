//! Holds whose time is over are recorded as expired. `run.deadlines` remembers when each open hold ends; a timer
//! submits the command for those that are due, and the row goes when the event comes back through the log.
//!
//! Commands that meet a due hold record it themselves, so this is for accounts that nobody touches.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::aggregate::Aggregate;
use domain::ids::{ActorId, TenantId, TransferId};
use domain::ledger::{ExpireHold, LedgerEvent, Transfer};
use domain::{Event, StreamId};
use event_schemas::envelope::Meta;
use event_store::unit::Cause;
use event_store::{IdempotencyKey, SubmitError, Unit};
use futures_util::future::BoxFuture;
use read_models::{Item, ProjectionError};
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::Hands;
use crate::follower::{Follower, Lease};
use crate::run::{Fault, holds};

pub(super) const NAME: &str = "reactor.hold-expiry";
pub(super) const KIND: &str = "hold-expiry";
const BATCH_MAX: i64 = 128;
/// How long the event of a submitted command may take to come back before it is submitted again.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(30);

/// The manager.
pub(super) struct HoldExpiry {
    hands: Hands,
}

impl HoldExpiry {
    pub(super) fn new(hands: Hands) -> Self {
        Self { hands }
    }
}

impl Follower for HoldExpiry {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema(&self) -> &'static str {
        "run"
    }

    fn partition(&self, _tenant: TenantId, stream: &StreamId) -> Option<Uuid> {
        (stream.category == Transfer::CATEGORY).then_some(stream.id)
    }

    fn apply<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        items: &'a [Item<'a>],
    ) -> BoxFuture<'a, Result<(), ProjectionError>> {
        Box::pin(async move { Ok(write(tx, fold(items)?).await?) })
    }

    fn while_leading(&self, lease: Lease) -> Option<BoxFuture<'static, ()>> {
        Some(Box::pin(keep_time(self.hands.clone(), lease)))
    }
}

/// When an open hold ends, and the event that said so; `None` once it is resolved.
type Deadline = Option<(DateTime<Utc>, i64)>;

/// What is left of a page: the last word on each transfer.
fn fold(items: &[Item<'_>]) -> Result<HashMap<(TenantId, TransferId), Deadline>, ProjectionError> {
    let mut last = HashMap::new();
    for item in items {
        let Event::Ledger(event) = item.event()? else { continue };
        let deadline = match event {
            LedgerEvent::TransferHeld(held) => match held.expires_at {
                Some(at) => Some((at, item.recorded.position)),
                None => continue,
            },
            LedgerEvent::HoldPosted(_) | LedgerEvent::HoldVoided(_) | LedgerEvent::HoldExpired(_) => None,
            LedgerEvent::AccountOpened(_)
            | LedgerEvent::AccountFrozen(_)
            | LedgerEvent::AccountUnfrozen(_)
            | LedgerEvent::AccountClosed(_)
            | LedgerEvent::TransferPosted(_)
            | LedgerEvent::TransferReversed(_)
            | LedgerEvent::PeriodClosed(_) => continue,
        };
        if let Some(transfer) = event.transfer_id() {
            last.insert((item.recorded.tenant, transfer), deadline);
        }
    }
    Ok(last)
}

async fn write(
    tx: &mut PgConnection,
    deadlines: HashMap<(TenantId, TransferId), Deadline>,
) -> sqlx::Result<()> {
    let (mut gone_tenants, mut gone) = (Vec::new(), Vec::new());
    let (mut tenants, mut transfers, mut times, mut positions) = (vec![], vec![], vec![], vec![]);
    for ((tenant, transfer), deadline) in deadlines {
        match deadline {
            None => {
                gone_tenants.push(tenant.uuid());
                gone.push(transfer.uuid());
            }
            Some((at, position)) => {
                tenants.push(tenant.uuid());
                transfers.push(transfer.uuid());
                times.push(at);
                positions.push(position);
            }
        }
    }
    if !gone.is_empty() {
        sqlx::query!(
            "delete from run.deadlines d using unnest($1::uuid[], $2::uuid[]) as g (tenant, subject)
             where d.kind = $3 and d.tenant_id = g.tenant and d.subject_id = g.subject",
            &gone_tenants,
            &gone,
            KIND
        )
        .execute(&mut *tx)
        .await?;
    }
    if !transfers.is_empty() {
        sqlx::query!(
            "insert into run.deadlines (tenant_id, kind, subject_id, due_at, position)
             select tenant, $5, subject, due_at, position
             from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bigint[]) as d (tenant, subject, due_at, position)
             on conflict (tenant_id, kind, subject_id) do update set due_at = excluded.due_at, position = excluded.position",
            &tenants,
            &transfers,
            &times,
            &positions,
            KIND
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// A hold whose time is over, and what put it on hold.
struct Due {
    tenant: TenantId,
    transfer: TransferId,
    trigger: Uuid,
    correlation: Uuid,
}

/// How often a command was submitted, and when last.
type Submitted = HashMap<(TenantId, TransferId), (u32, Instant)>;

async fn keep_time(hands: Hands, lease: Lease) {
    let mut submitted = Submitted::new();
    loop {
        tokio::time::sleep(hands.timing.tick).await;
        // What could not be done now is still due at the next tick.
        if let Err(fault) = expire_due(&hands, lease, &mut submitted).await {
            tracing::warn!(manager = NAME, error = fault.text(), "due holds wait");
        }
    }
}

async fn expire_due(hands: &Hands, lease: Lease, submitted: &mut Submitted) -> Result<(), Fault> {
    submitted.retain(|_, (_, at)| at.elapsed() < COMES_BACK_WITHIN * 10);
    let due = due(hands, lease).await?;
    let mut batches: HashMap<TenantId, Vec<(TransferId, Unit)>> = HashMap::new();
    for due in due {
        let attempt = match submitted.get(&(due.tenant, due.transfer)) {
            Some((_, at)) if at.elapsed() < COMES_BACK_WITHIN => continue,
            Some((attempt, _)) => attempt + 1,
            None => 0,
        };
        submitted.insert((due.tenant, due.transfer), (attempt, Instant::now()));
        let unit = unit(hands, &due, attempt);
        batches.entry(due.tenant).or_default().push((due.transfer, unit));
    }
    for (tenant, batch) in batches {
        let (transfers, units): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let outcomes = hands.executor.submit_all(tenant, units).await;
        for (transfer, outcome) in transfers.into_iter().zip(outcomes) {
            match outcome.map(|receipt| receipt.results.into_iter().find_map(Result::err)) {
                Ok(None) => {}
                Ok(Some(refusal)) => {
                    tracing::error!(manager = NAME, %tenant, %transfer, refusal = %refusal.code, "a due hold was not expired");
                }
                // The outcome is not known or there was none: the same key again, at the next tick.
                Err(SubmitError::Overloaded | SubmitError::Unavailable) => {
                    submitted.remove(&(tenant, transfer));
                }
                Err(error) => {
                    tracing::error!(manager = NAME, %tenant, %transfer, %error, "a due hold was not expired");
                }
            }
        }
    }
    Ok(())
}

/// The holds that are over by our clock, which is also the one that the command is judged by.
async fn due(hands: &Hands, lease: Lease) -> Result<Vec<Due>, Fault> {
    let mut conn = hands.pool.acquire().await?;
    if !holds(&mut conn, lease).await? {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"select d.tenant_id, d.subject_id, e.event_id, e.meta::text as "meta!"
           from run.deadlines d join store.events e on e.position = d.position
           where d.kind = $1 and d.due_at <= $2 order by d.due_at limit $3"#,
        KIND,
        Utc::now(),
        BATCH_MAX
    )
    .fetch_all(&mut *conn)
    .await?;
    let due = rows.into_iter().map(|row| Due {
        tenant: TenantId::new(row.tenant_id),
        transfer: TransferId::new(row.subject_id),
        trigger: row.event_id,
        correlation: serde_json::from_str::<Meta>(&row.meta).map_or(row.event_id, |meta| meta.correlation),
    });
    Ok(due.collect())
}

fn unit(hands: &Hands, due: &Due, attempt: u32) -> Unit {
    let mut cause = Cause::system(due.correlation);
    cause.causation = Some(due.trigger);
    let transfer = due.transfer.to_string();
    // A further attempt is made only if the first changed nothing (a clock that was set back): its answer is remembered
    // under its key, so the next one has another. The decision itself expires a hold once.
    let key = if attempt == 0 { transfer.clone() } else { format!("{transfer}#{attempt}") };
    let key = IdempotencyKey::new(&hands.master, ActorId::SYSTEM.uuid(), NAME, &key, transfer.as_bytes());
    Unit::new(due.tenant, cause, ExpireHold { transfer_id: due.transfer }).with_key(key)
}
