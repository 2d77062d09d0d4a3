//! One attempt at a batch: on what is known, or holding the head.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::Refusal;
use domain::ids::TenantId;
use event_schemas::envelope::LogPosition;
use futures_util::FutureExt as _;
use sqlx::{Executor as _, PgConnection};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::append::{Basis, Guards, Landed};
use super::forgotten::Forget;
use super::plan::{Draft, Lookup, Plan, Planned, Trust};
use super::states::{Overlay, StateCache};
use super::{Failure, SubmitError};
use crate::epoch::Head;
use crate::idempotency::StoredAnswer;
use crate::keyring::{KeyCache, Known, MasterKey};
use crate::trace::TRACES;
use crate::unit::{Receipt, Unit};

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

    /// Judges and appends while holding the head, so that nothing can change in between.
    pub(crate) async fn under_lock(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        units: &[&Unit],
    ) -> Attempt {
        let unsent = |failure| (failure, None);
        let asked = Instant::now();
        in_time(execute(conn, "begin")).await.map_err(unsent)?;
        match self.held(master, conn, units).await {
            Ok((attempted, in_doubt)) => match in_time(execute(conn, "commit")).instrument(appending()).await
            {
                Ok(()) => Ok(Attempted { append: asked.elapsed(), ..attempted }),
                Err(failure) => Err((failure, Some(in_doubt))),
            },
            Err(failure) => {
                self.cache.clear();
                if !matches!(failure, Failure::Lost) {
                    in_time(execute(conn, "rollback")).await.map_err(unsent)?;
                }
                Err((failure, None))
            }
        }
    }

    /// The part of [`Core::under_lock`] between begin and commit.
    async fn held(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        units: &[&Unit],
    ) -> Result<(Attempted, InDoubt), Failure> {
        let served = served(units);
        let asked = Instant::now();
        let head = in_time(hold_head(conn, &served)).await?;
        let waited = asked.elapsed();
        self.stand_at(&head);
        // Keys that were made but not stored may meanwhile exist: what is stored is looked up again.
        self.forget_new_keys();
        let replays = in_time(remembered(conn, &served, units)).await?;
        let fresh: Vec<&Unit> = units
            .iter()
            .zip(&replays)
            .filter(|(_, replay)| replay.is_none())
            .map(|(unit, _)| *unit)
            .collect();
        self.ensure_keys(master, conn, &fresh).await?;
        in_time(execute(conn, "savepoint unit")).await?;
        let (landed, events, planned, mut in_doubt) =
            match self.append_held(conn, &served, &fresh, None).await {
                Ok(done) => done,
                Err(Failure::Constraint(_) | Failure::Database(_)) => {
                    in_time(execute(conn, "rollback to savepoint unit")).await?;
                    self.cache.clear();
                    self.forget_keys();
                    self.singly(master, conn, &served, &fresh).await?
                }
                Err(failure) => return Err(failure),
            };
        let mut attempted = Attempted { waited, ..self.landed(landed, events, &planned) };
        let mut answered = attempted.outcomes.into_iter();
        attempted.outcomes = replays
            .into_iter()
            .map(|replay| {
                replay.map_or_else(
                    || answered.next().unwrap_or(Err(SubmitError::Internal)),
                    |replay| replay.into_outcome(self.epoch),
                )
            })
            .collect();
        in_doubt.units = attempted.outcomes.iter().cloned().map(Planned::Settled).collect();
        Ok((attempted, in_doubt))
    }

    /// Judges units on exact states and appends them as one batch.
    async fn append_held(
        &mut self,
        conn: &mut PgConnection,
        served: &[Uuid],
        units: &[&Unit],
        refusal: Option<&Refusal>,
    ) -> Result<(Landed, i32, Vec<Planned>, InDoubt), Failure> {
        let (now, after) = (self.now(), self.cache.known_to());
        let mut draft = Draft::new(now, self.epoch, after, Trust::Nothing);
        let nothing_under_way = Overlay::default();
        let mut plan = Plan::new(&mut draft, &mut self.cache, &nothing_under_way, &self.keys);
        match refusal {
            Some(refusal) => units.iter().for_each(|unit| plan.refuse(unit, refusal)),
            None => {
                plan_all(&mut plan, &mut Lookup::Database(conn), units).instrument(deciding()).await?;
            }
        }
        let (basis, guards) = self.basis(&mut draft);
        let landed = match in_time(draft.append.execute(conn, served, &basis, &guards)).await {
            Ok(landed) => landed,
            Err(Failure::Constraint(name))
                if name == "claims_pkey" && refusal.is_none() && units.len() == 1 =>
            {
                in_time(execute(conn, "rollback to savepoint unit")).await?;
                let taken = in_time(async { Ok(draft.append.taken(conn).await?) }).await?;
                let Some(taken) = taken else { return Err(Failure::Constraint(name)) };
                return Box::pin(self.append_held(conn, served, units, Some(&taken))).await;
            }
            Err(failure) => return Err(failure),
        };
        let in_doubt = InDoubt::of(served.to_vec(), &draft, after);
        let events = draft.append.events();
        let planned = draft.commit(&mut self.cache, landed.base);
        self.last_recorded = self.last_recorded.max(landed.recorded_at);
        self.new_keys.clear();
        Ok((landed, events, planned, in_doubt))
    }

    /// Appends units one by one, so that one whose data the database refuses does not take the others with it.
    async fn singly(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        served: &[Uuid],
        units: &[&Unit],
    ) -> Result<(Landed, i32, Vec<Planned>, InDoubt), Failure> {
        let base = self.cache.known_to();
        let mut planned: Vec<Planned> = Vec::with_capacity(units.len());
        let mut events = 0;
        let mut in_doubt = InDoubt { served: served.to_vec(), event_id: None, after: base, units: vec![] };
        for unit in units {
            match self.one(master, conn, served, unit).await? {
                Ok((outcomes, more, doubt)) => {
                    events += more;
                    in_doubt.event_id = in_doubt.event_id.or(doubt.and_then(|it| it.event_id));
                    planned.extend(outcomes.into_iter().map(Planned::Settled));
                }
                Err(error) => planned.push(Planned::Settled(Err(error))),
            }
        }
        let landed = Landed { base, recorded_at: self.last_recorded, waited: Duration::ZERO };
        Ok((landed, events, planned, in_doubt))
    }

    /// Judges and appends one unit of several in the same transaction; what the database refuses is undone alone.
    async fn one(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        served: &[Uuid],
        unit: &Unit,
    ) -> Result<Result<(Outcomes, i32, Option<InDoubt>), SubmitError>, Failure> {
        // An earlier unit of the same batch may have taken the key.
        let replay = in_time(remembered(conn, served, &[unit])).await?.pop().flatten();
        if let Some(replay) = replay {
            return Ok(Ok((vec![replay.into_outcome(self.epoch)], 0, None)));
        }
        in_time(execute(conn, "savepoint unit")).await?;
        self.ensure_keys(master, conn, &[unit]).await?;
        match self.append_held(conn, served, &[unit], None).await {
            Ok((landed, more, single, doubt)) => {
                in_time(execute(conn, "release savepoint unit")).await?;
                Ok(Ok((answers(&single, landed.base, self.epoch), more, Some(doubt))))
            }
            Err(Failure::Lost) => Err(Failure::Lost),
            Err(failure) => {
                tracing::error!(error = %failure, "a command cannot be stored");
                in_time(execute(conn, "rollback to savepoint unit")).await?;
                self.cache.clear();
                self.forget_keys();
                Ok(Err(SubmitError::Internal))
            }
        }
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

    /// Forgets the keys that were made for a batch which did not land.
    pub(crate) fn forget_new_keys(&mut self) {
        for ((tenant, subject), _) in self.new_keys.drain() {
            self.keys.remove(tenant, subject);
        }
    }

    /// Drops the keys of persons who may have been erased. A batch that was judged with them may still land; what is
    /// sealed in it opens for nobody.
    pub(crate) fn forget(&mut self, forget: &Forget) {
        match forget {
            Forget::Nobody => {}
            Forget::These(subjects) => self.keys.drop_all_of(subjects),
            Forget::Everybody => self.keys.clear(),
        }
    }

    fn forget_keys(&mut self) {
        self.keys.clear();
        self.new_keys.clear();
    }

    /// Makes sure that it is known of every person whom the units say something private about which key they have, making
    /// those that do not exist.
    async fn ensure_keys(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        units: &[&Unit],
    ) -> Result<(), Failure> {
        let mut wanted: Vec<(TenantId, Uuid)> = units.iter().flat_map(|unit| unit.subjects()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        // Room for all of this batch, so that none of its keys is forgotten before it is used.
        if !self.keys.has_room_for(wanted.len()) {
            self.forget_keys();
        }
        wanted.retain(|(tenant, subject)| self.keys.find(*tenant, *subject).is_none());
        if wanted.is_empty() {
            return Ok(());
        }
        self.load_keys(master, conn, &served(units), &wanted).await?;
        for (tenant, subject) in wanted {
            if self.keys.find(tenant, subject).is_none()
                && let Ok((key, wrapped)) = master.make(tenant, subject)
            {
                self.keys.insert(tenant, subject, Known::Key(key));
                self.new_keys.insert((tenant, subject), wrapped);
            }
        }
        Ok(())
    }

    /// Reads which keys persons have, or that they were erased.
    async fn load_keys(
        &mut self,
        master: &MasterKey,
        conn: &mut PgConnection,
        served: &[Uuid],
        wanted: &[(TenantId, Uuid)],
    ) -> Result<(), Failure> {
        let tenants: Vec<Uuid> = wanted.iter().map(|(tenant, _)| tenant.uuid()).collect();
        let subjects: Vec<Uuid> = wanted.iter().map(|(_, subject)| *subject).collect();
        let rows = in_time(async {
            Ok(sqlx::query!(
                r#"select tenant_id as "tenant_id!", subject_id as "subject_id!", wrapped, erased as "erased!"
                   from store.keys_of($1, $2, $3)"#,
                served,
                &tenants,
                &subjects
            )
            .fetch_all(conn)
            .await?)
        })
        .await?;
        for row in rows {
            let tenant = TenantId::new(row.tenant_id);
            let known = match row.wrapped {
                Some(wrapped) if !row.erased => {
                    master.unwrap(tenant, row.subject_id, &wrapped).map(Known::Key)
                }
                _ => Ok(Known::Erased),
            };
            match known {
                Ok(known) => self.keys.insert(tenant, row.subject_id, known),
                Err(error) => tracing::error!(%error, "a subject key does not open with this master key"),
            }
        }
        Ok(())
    }
}

impl InDoubt {
    pub(crate) fn of(served: Vec<Uuid>, draft: &Draft, after: i64) -> Self {
        let first = draft.append.event_ids.first().copied();
        Self { served, event_id: first, after, units: draft.units.clone() }
    }
}

pub(crate) fn deciding() -> Span {
    tracing::info_span!(target: TRACES, "decide")
}

pub(crate) fn appending() -> Span {
    tracing::info_span!(target: TRACES, "append")
}

async fn plan_all(plan: &mut Plan<'_>, lookup: &mut Lookup<'_>, units: &[&Unit]) -> Result<(), Failure> {
    in_time(plan.prepare(lookup, units)).await?;
    for unit in units {
        in_time(plan.add(lookup, unit)).await?;
    }
    Ok(())
}

fn store_keys(draft: &mut Draft, keys: &HashMap<(TenantId, Uuid), Vec<u8>>) {
    for ((tenant, subject), wrapped) in keys {
        draft.append.subject_key(*tenant, *subject, wrapped.clone());
    }
}

/// Locks the head for the rest of the transaction and serves the tenants in it.
pub(crate) async fn hold_head(conn: &mut PgConnection, served: &[Uuid]) -> Result<Head, Failure> {
    Ok(sqlx::query_as!(
        Head,
        r#"select position as "position!", recorded_at as "recorded_at!", epoch as "epoch!" from store.hold_head($1)"#,
        served
    )
    .fetch_one(conn)
    .await?)
}

/// What is remembered under a unit's key.
enum Remembered {
    Answer(Receipt),
    OtherRequest,
    Newer,
}

impl Remembered {
    fn into_outcome(self, epoch: i32) -> Result<Receipt, SubmitError> {
        match self {
            Self::Answer(mut receipt) => {
                receipt.position.epoch = epoch;
                Ok(receipt)
            }
            Self::OtherRequest => Err(SubmitError::KeyReused),
            Self::Newer => Err(SubmitError::NewerEvent),
        }
    }
}

/// Finds the answers that were given before, one place a unit.
async fn remembered(
    conn: &mut PgConnection,
    served: &[Uuid],
    units: &[&Unit],
) -> Result<Vec<Option<Remembered>>, Failure> {
    let mut found: Vec<Option<Remembered>> = units.iter().map(|_| None).collect();
    let keyed: Vec<(usize, &Unit, _)> =
        units.iter().enumerate().filter_map(|(n, unit)| Some((n, *unit, unit.key?))).collect();
    if keyed.is_empty() {
        return Ok(found);
    }
    let tenants: Vec<Uuid> = keyed.iter().map(|(_, unit, _)| unit.tenant.uuid()).collect();
    let scopes: Vec<Vec<u8>> = keyed.iter().map(|(_, _, key)| key.scope.to_vec()).collect();
    let rows = sqlx::query!(
        r#"select ordinal as "ordinal!", fingerprint as "fingerprint!", body as "body!", position as "position!"
           from store.answers($1, $2, $3)"#,
        served,
        &tenants,
        &scopes
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let ordinal = usize::try_from(row.ordinal - 1).unwrap_or(usize::MAX);
        let Some((n, _, key)) = keyed.get(ordinal) else { continue };
        let Some(place) = found.get_mut(*n) else { continue };
        *place = Some(if row.fingerprint == key.fingerprint {
            let results =
                serde_json::from_str::<StoredAnswer>(&row.body).ok().and_then(StoredAnswer::into_results);
            let position = LogPosition { epoch: 0, position: row.position };
            results.map_or(Remembered::Newer, |results| {
                Remembered::Answer(Receipt { position, replayed: true, results })
            })
        } else {
            Remembered::OtherRequest
        });
    }
    Ok(found)
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
