//! One attempt at a batch: on what is known, or holding the head (`core/under_lock.rs`).

mod remembered;
mod subject_keys;
mod under_lock;

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use event_schemas::envelope::LogPosition;
use futures_util::FutureExt as _;
use sqlx::{Executor as _, PgConnection};
use tokio::time::timeout;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::append::{Basis, Guards, Landed};
use super::plan::{Draft, Lookup, Plan, Planned, Trust};
use super::states::{Overlay, StateCache};
use super::{Failure, SubmitError};
use crate::epoch::Head;
use crate::keyring::{KeyCache, MasterKey};
use crate::trace::TRACES;
use crate::unit::{Receipt, Unit};
use subject_keys::store_keys;

/// Longest wait for one answer of the database.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// For how many batches, once another process was met, states that it may have changed are looked at before they are
/// judged on. Two writers of the same accounts meet at almost every batch, and to find out only at the append means to
/// do it all again while everybody waits.
const WARY_BATCHES: u32 = 64;

/// What the units of a batch get told, in order.
pub(crate) type Outcomes = Vec<Result<Receipt, SubmitError>>;

/// An attempt that came to its end.
pub(crate) struct Attempted {
    pub(crate) outcomes: Outcomes,
    pub(crate) base: i64,
    pub(crate) head: i64,
    /// How long it waited for the head.
    pub(crate) waited: Duration,
    /// From sending the batch, or asking for the head, to the commit.
    pub(crate) append: Duration,
}

/// How to find out whether a batch landed whose answer was lost, and what its units get told if it did.
pub(crate) struct InDoubt {
    pub(crate) served: Vec<Uuid>,
    /// The first event. A batch without one had no effect that could be doubled, so it is simply judged again.
    pub(crate) event_id: Option<Uuid>,
    pub(crate) after: i64,
    pub(crate) units: Vec<Planned>,
}

/// An attempt that failed; with what may have landed all the same.
pub(crate) type Attempt = Result<Attempted, (Failure, Option<InDoubt>)>;

/// What is known of the log and its streams.
pub(crate) struct Core {
    pub(crate) cache: StateCache,
    keys: KeyCache,
    /// Subject keys that were made but are not stored yet.
    new_keys: HashMap<(TenantId, Uuid), Vec<u8>>,
    pub(crate) epoch: i32,
    last_recorded: DateTime<Utc>,
    /// Batches that are still judged warily, see [`WARY_BATCHES`].
    wary: u32,
}

impl Core {
    pub(crate) fn new(states_max: usize) -> Self {
        Self {
            cache: StateCache::new(states_max),
            keys: KeyCache::default(),
            new_keys: HashMap::new(),
            epoch: 0,
            last_recorded: DateTime::UNIX_EPOCH,
            wary: 0,
        }
    }

    /// Takes note of where the log stands. Another epoch is another history: nothing known holds.
    pub(crate) fn stand_at(&mut self, head: &Head) {
        if head.epoch != self.epoch {
            self.cache.clear();
            self.forget_keys();
            self.epoch = head.epoch;
            self.last_recorded = head.recorded_at;
        }
        self.last_recorded = self.last_recorded.max(head.recorded_at);
        self.cache.stand_at(head.position);
    }

    /// A draft of a batch, on what is known now.
    pub(crate) fn draft(&mut self) -> Draft {
        let trust = if self.wary > 0 { Trust::Looked } else { Trust::Known };
        self.wary = self.wary.saturating_sub(1);
        Draft::new(self.now(), self.epoch, self.cache.known_to(), trust)
    }

    /// Whether states in memory are believed as they are, so that a batch may be judged before the one before it has
    /// landed.
    pub(crate) fn trusts_memory(&self) -> bool {
        self.wary == 0
    }

    /// Judges further units, with a look into the log for what is not known.
    pub(crate) async fn judge(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        draft: &mut Draft,
        units: &[&Unit],
    ) -> Result<(), Failure> {
        self.ensure_keys(master, conn, units).await?;
        draft.judge_at(self.now());
        let nothing_under_way = Overlay::default();
        let mut plan = Plan::new(draft, &mut self.cache, &nothing_under_way, &self.keys);
        plan_all(&mut plan, &mut Lookup::Database(conn), units).instrument(deciding()).await
    }

    /// Judges one more unit on top of a batch that is on its way, from memory alone. False if that does not suffice; the
    /// unit must be judged later.
    pub(crate) fn judge_ahead(&mut self, draft: &mut Draft, under_way: &Draft, unit: &Unit) -> bool {
        if unit.subjects().any(|(tenant, subject)| self.keys.find(tenant, subject).is_none()) {
            return false;
        }
        draft.judge_at(self.now().max(under_way.now()));
        let mut plan = Plan::new(draft, &mut self.cache, &under_way.overlay, &self.keys);
        let judged = plan_all(&mut plan, &mut Lookup::Nowhere, &[unit]).now_or_never();
        matches!(judged, Some(Ok(())))
    }

    /// What the append of a draft rests on. The subject keys that it uses for the first time are stored with it.
    pub(crate) fn basis(&self, draft: &mut Draft) -> (Basis, Guards) {
        store_keys(draft, &self.new_keys);
        draft.basis(&self.cache)
    }

    /// A batch that was judged without holding the head has landed.
    pub(crate) fn land(&mut self, draft: Draft, landed: Landed, append: Duration) -> Attempted {
        let events = draft.append.events();
        let units = draft.commit(&mut self.cache, landed.base);
        Attempted { append, ..self.landed(landed, events, &units) }
    }

    /// A batch did not land since another process had written what it read: for some time, states are looked at first.
    pub(crate) fn grow_wary(&mut self) {
        self.wary = WARY_BATCHES;
    }

    fn landed(&mut self, landed: Landed, events: i32, units: &[Planned]) -> Attempted {
        self.last_recorded = self.last_recorded.max(landed.recorded_at);
        self.new_keys.clear();
        let outcomes = answers(units, landed.base, self.epoch);
        let head = landed.base + i64::from(events);
        Attempted { outcomes, base: landed.base, head, waited: landed.waited, append: Duration::ZERO }
    }

    /// The time of the next decision.
    fn now(&self) -> DateTime<Utc> {
        // PostgreSQL keeps microseconds; a finer time would differ from what is recorded.
        let now = Utc::now();
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now).max(self.last_recorded)
    }
}

impl InDoubt {
    /// A batch that was sent when the log stood at `after`.
    pub(crate) fn of(served: Vec<Uuid>, draft: &Draft, after: i64) -> Self {
        let first = draft.append.event_ids.first().copied();
        Self { served, event_id: first, after, units: draft.units.clone() }
    }
}

/// The span in which commands are judged.
pub(crate) fn deciding() -> Span {
    tracing::info_span!(target: TRACES, "decide")
}

/// The span in which a batch is appended.
pub(crate) fn appending() -> Span {
    tracing::info_span!(target: TRACES, "append")
}

/// Judges units one after another, with what they need brought up to date for all of them first.
async fn plan_all(plan: &mut Plan<'_>, lookup: &mut Lookup<'_>, units: &[&Unit]) -> Result<(), Failure> {
    in_time(plan.prepare(lookup, units)).await?;
    for unit in units {
        in_time(plan.add(lookup, unit)).await?;
    }
    Ok(())
}

/// What the units of a batch that landed after `base` get told.
pub(crate) fn answers(units: &[Planned], base: i64, epoch: i32) -> Outcomes {
    let mut outcomes: Outcomes = Vec::with_capacity(units.len());
    for unit in units {
        outcomes.push(match unit {
            Planned::Judged { results, last_event } => Ok(Receipt {
                position: LogPosition { epoch, position: base + i64::from(*last_event) },
                replayed: false,
                results: results.clone(),
            }),
            Planned::SameAs { unit } => match outcomes.get(*unit) {
                Some(Ok(first)) => Ok(Receipt { replayed: true, ..first.clone() }),
                _ => Err(SubmitError::Internal),
            },
            Planned::Failed(error) => Err(error.clone()),
            Planned::Settled(outcome) => outcome.clone(),
        });
    }
    outcomes
}

/// The tenants of units, each once.
pub(crate) fn served(units: &[&Unit]) -> Vec<Uuid> {
    let mut tenants: Vec<Uuid> = units.iter().flat_map(|unit| unit.tenants()).map(TenantId::uuid).collect();
    tenants.sort_unstable();
    tenants.dedup();
    tenants
}

pub(crate) async fn execute(conn: &mut PgConnection, statement: &'static str) -> Result<(), Failure> {
    conn.execute(statement).await?;
    Ok(())
}

/// Waits for the database, but not for ever: one that does not answer is treated as lost.
pub(crate) async fn in_time<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(ANSWER_TIMEOUT, work).await.unwrap_or(Err(Failure::Lost))
}
