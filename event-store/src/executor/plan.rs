//! Judging a batch: every command in order, in memory, on the state that those before it left. The batch is a
//! [`Draft`] (`plan/draft.rs`); what units say is added to it by `plan/write.rs`.

mod draft;
mod write;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Utc};
use domain::decision::ROUNDS_MAX;
use domain::identity::IdentityError;
use domain::ids::TenantId;
use domain::{Claim, ErrorKind, Event, Refusal, StreamId, Verdict, View};
use sabotage::Guard;
use sqlx::PgConnection;

use super::load;
use super::states::{Layers, Overlay, StateCache, empty, fold};
use super::{Failure, SubmitError};
use crate::keyring::{KeyCache, Known};
use crate::stream_ref::StreamRef;
use crate::unit::{Cause, Done, Linkage, NOT_APPLIED, Placed, Unit, VERSION_MISMATCH};
pub(crate) use draft::{Draft, Planned, Trust};

/// How often what has fallen due is looked for before one command. Each time a bounded number is recorded; what is left
/// keeps its funds until the process manager comes to it.
const OVERDUE_ROUNDS_MAX: usize = 16;

/// Where a judgement finds states that are not in memory.
pub(crate) enum Lookup<'c> {
    /// There, on a connection that is free.
    Database(&'c mut PgConnection),
    /// Nowhere: the connection is busy with the batch before.
    Nowhere,
}

/// A draft under judgement.
pub(crate) struct Plan<'a> {
    draft: &'a mut Draft,
    cache: &'a mut StateCache,
    /// What the batch before leaves, while it is on its way to the log.
    under_way: &'a Overlay,
    keys: &'a KeyCache,
}

/// An event, in whose log it stands, and its versions in its streams.
type StagedEvent = (TenantId, Event, Vec<(StreamId, i64)>);

/// The states of one unit and what it wants to write.
#[derive(Default)]
struct Staged {
    overlay: Overlay,
    events: Vec<StagedEvent>,
    claims: Vec<(TenantId, Claim, StreamId)>,
    valid_until: Option<DateTime<Utc>>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        draft: &'a mut Draft,
        cache: &'a mut StateCache,
        under_way: &'a Overlay,
        keys: &'a KeyCache,
    ) -> Self {
        Self { draft, cache, under_way, keys }
    }

    /// Brings the streams that the units want up to date, each round with one query for all.
    pub(crate) async fn prepare(&mut self, lookup: &mut Lookup<'_>, units: &[&Unit]) -> Result<(), Failure> {
        for _ in 0..ROUNDS_MAX {
            let mut wanted = Vec::new();
            let mut seen = HashSet::new();
            for unit in units {
                for stream in self.needs(unit, &Overlay::default()) {
                    if !seen.insert(stream) || !self.is_wanted(&stream) {
                        continue;
                    }
                    // Holding the head nothing is taken on trust.
                    if self.draft.trust != Trust::Nothing && unit.minted.contains(&stream.stream) {
                        self.cache.insert(stream, empty(stream.stream, self.draft.exact_at));
                    } else {
                        wanted.push(stream);
                    }
                }
            }
            if wanted.is_empty() {
                break;
            }
            self.load(lookup, &wanted).await?;
        }
        Ok(())
    }

    async fn load(&mut self, lookup: &mut Lookup<'_>, wanted: &[StreamRef]) -> Result<(), Failure> {
        match lookup {
            Lookup::Database(conn) => {
                let Draft { unreadable, exact_at, .. } = &mut *self.draft;
                load::load(conn, self.cache, unreadable, wanted, *exact_at).await
            }
            Lookup::Nowhere => Err(Failure::NotInMemory),
        }
    }

    /// Judges one more unit. If that fails, the draft is as it was, but for what had fallen due.
    pub(crate) async fn add(&mut self, lookup: &mut Lookup<'_>, unit: &Unit) -> Result<(), Failure> {
        if let Some(key) = &unit.key
            && let Some((earlier, fingerprint)) = self.draft.answered.get(&(unit.tenant, key.scope))
        {
            self.draft.units.push(if *fingerprint == key.fingerprint {
                Planned::SameAs { unit: *earlier }
            } else {
                Planned::Failed(SubmitError::KeyReused)
            });
            return Ok(());
        }
        let planned = match self.look_at_proviso(lookup, unit).await? {
            Ok(staged) => self.judge_commands(lookup, unit, staged).await?,
            Err(planned) => planned,
        };
        self.draft.units.push(planned);
        Ok(())
    }

    /// Answers a unit with a refusal that the database gave, as if the rules had.
    pub(crate) fn refuse(&mut self, unit: &Unit, refusal: &Refusal) {
        let planned = self.settle_alike(unit, refusal);
        self.draft.units.push(planned);
    }

    /// Refuses all commands of a unit for one reason.
    fn settle_alike(&mut self, unit: &Unit, refusal: &Refusal) -> Planned {
        self.settle(unit, unit.decisions.iter().map(|_| Err(refusal.clone())).collect())
    }

    /// Whether a unit may be judged at all, and on what its proviso staged; else what becomes of it. Comes before what has
    /// fallen due: nothing is recorded on the word of somebody who may not ask for it.
    async fn look_at_proviso(
        &mut self,
        lookup: &mut Lookup<'_>,
        unit: &Unit,
    ) -> Result<Result<Staged, Planned>, Failure> {
        let mut staged = Staged::default();
        let Some(proviso) = &unit.proviso else { return Ok(Ok(staged)) };
        if !self.ensure(lookup, proviso, &staged.overlay).await? {
            return Ok(Err(Planned::Failed(SubmitError::Internal)));
        }
        Ok(match self.stage(unit, proviso, &mut staged) {
            Ok(Ok(_)) => Ok(staged),
            Ok(Err(refusal)) => Err(self.settle_alike(unit, &refusal)),
            Err(error) => Err(Planned::Failed(error)),
        })
    }

    /// Judges a unit's commands after what has fallen due before them.
    async fn judge_commands(
        &mut self,
        lookup: &mut Lookup<'_>,
        unit: &Unit,
        staged: Staged,
    ) -> Result<Planned, Failure> {
        let mut at_hand = false;
        for placed in &unit.decisions {
            at_hand = self.record_overdue(lookup, unit, placed).await?;
        }
        // Between the last look and the judgement of the first command nothing happens, if there is but one.
        self.judge(lookup, unit, staged, at_hand && unit.decisions.len() == 1).await
    }

    fn layers<'b>(&'b self, tenant: TenantId, unit: &'b Overlay) -> Layers<'b> {
        Layers { tenant, unit, batch: &self.draft.overlay, under_way: self.under_way, cache: self.cache }
    }

    fn needs(&self, unit: &Unit, overlay: &Overlay) -> Vec<StreamRef> {
        let expected = unit.expected.map(|(stream, _)| StreamRef { tenant: unit.tenant, stream });
        unit.judged().flat_map(|it| self.needs_of(it, overlay)).chain(expected).collect()
    }

    fn needs_of(&self, placed: &Placed, overlay: &Overlay) -> Vec<StreamRef> {
        let tenant = placed.tenant;
        let layers = self.layers(tenant, overlay);
        let needs = placed.decision.needs(&View::new(tenant, self.draft.now, &layers));
        needs.into_iter().map(|stream| StreamRef { tenant, stream }).collect()
    }

    fn is_wanted(&self, stream: &StreamRef) -> bool {
        let is_newer = self.draft.overlay.contains_key(stream) || self.under_way.contains_key(stream);
        if is_newer || self.draft.unreadable.contains(stream) {
            return false;
        }
        self.cache
            .find(stream)
            .is_none_or(|entry| self.draft.trust != Trust::Known && !self.cache.is_exact(entry))
    }

    /// Makes sure that a decision sees every stream that it needs now, after what the batch has done so far. `false` if
    /// it keeps naming more: it could not be guarded, so it must not be judged.
    async fn ensure(
        &mut self,
        lookup: &mut Lookup<'_>,
        placed: &Placed,
        unit: &Overlay,
    ) -> Result<bool, Failure> {
        for _ in 0..=ROUNDS_MAX {
            let needs = self.needs_of(placed, unit);
            // To keep one state may mean to forget others, so all are kept before it is seen which are there.
            needs.iter().for_each(|stream| self.cache.touch(stream));
            let wanted: Vec<_> =
                needs.iter().filter(|it| !unit.contains_key(it) && self.is_wanted(it)).copied().collect();
            if wanted.is_empty() {
                needs.into_iter().for_each(|stream| self.note_read(stream));
                return Ok(true);
            }
            self.load(lookup, &wanted).await?;
        }
        Ok(false)
    }

    /// Notes what a stream was read as. The first time counts: were the state loaded again at a later version, the
    /// comparison must fail.
    fn note_read(&mut self, stream: StreamRef) {
        if let Some(entry) = self.under_way.get(&stream).or_else(|| self.cache.find(&stream)) {
            self.draft.read.entry(stream).or_insert((entry.version, entry.exact_at));
        }
    }

    /// Records what has fallen due on the states of a command, each in a unit of its own. Whether everything that the
    /// command needs is at hand afterwards, and noted as read.
    async fn record_overdue(
        &mut self,
        lookup: &mut Lookup<'_>,
        unit: &Unit,
        placed: &Placed,
    ) -> Result<bool, Failure> {
        if !sabotage::stands(Guard::HoldExpiry) {
            return Ok(false);
        }
        let tenant = placed.tenant;
        for _ in 0..OVERDUE_ROUNDS_MAX {
            let at_hand = self.ensure(lookup, placed, &Overlay::default()).await?;
            let due = {
                let nothing = Overlay::default();
                let layers = self.layers(tenant, &nothing);
                placed.decision.overdue(&View::new(tenant, self.draft.now, &layers))
            };
            if due.is_empty() {
                return Ok(at_hand);
            }
            let before = self.draft.append.events();
            for decision in due {
                let mut cause = Cause::system(unit.cause.correlation);
                cause.trace.clone_from(&unit.cause.trace);
                let unit = Unit::of(tenant, cause, [decision]);
                self.judge(lookup, &unit, Staged::default(), false).await?;
            }
            if self.draft.append.events() == before {
                break;
            }
        }
        Ok(false)
    }

    /// Judges a unit's commands and, when the fate of all is known, writes what they say. Until then nothing of the
    /// batch is touched, so that a unit without an outcome leaves nothing behind.
    async fn judge(
        &mut self,
        lookup: &mut Lookup<'_>,
        unit: &Unit,
        mut staged: Staged,
        mut at_hand: bool,
    ) -> Result<Planned, Failure> {
        let mut results: Vec<Result<Done, Refusal>> = Vec::with_capacity(unit.decisions.len());
        for placed in &unit.decisions {
            at_hand = at_hand || self.ensure(lookup, placed, &staged.overlay).await?;
            if !std::mem::take(&mut at_hand) {
                return Ok(Planned::Failed(SubmitError::Internal));
            }
            let result = match self.stage(unit, placed, &mut staged) {
                Ok(result) => result,
                Err(error) => return Ok(Planned::Failed(error)),
            };
            let refused = result.is_err();
            results.push(result);
            if refused && unit.linkage == Linkage::AllOrNone {
                return Ok(self.settle(unit, not_applied(results, unit.decisions.len())));
            }
        }
        if let Some(refusal) = self.draft.append.refusal_of(&staged.claims) {
            return Ok(self.settle_alike(unit, &refusal));
        }
        Ok(match self.write(unit, staged) {
            Some(()) => self.settle(unit, results),
            None => Planned::Failed(SubmitError::Internal),
        })
    }

    /// Judges one command on top of what its unit has staged so far, and stages what it says.
    fn stage(
        &mut self,
        unit: &Unit,
        placed: &Placed,
        staged: &mut Staged,
    ) -> Result<Result<Done, Refusal>, SubmitError> {
        if self.is_unreadable(placed, &staged.overlay) {
            return Err(SubmitError::NewerEvent);
        }
        let known = self.check_expected(unit).and_then(|()| self.check_subjects(placed));
        let verdict = known.and_then(|()| {
            let layers = self.layers(placed.tenant, &staged.overlay);
            let view = View::new(placed.tenant, self.draft.now, &layers);
            // A defect in one rule must not end the one task that writes for everybody.
            match catch_unwind(AssertUnwindSafe(|| placed.decision.decide(&view))) {
                Ok(judged) => judged.map(Some),
                Err(_) => Ok(None),
            }
        });
        match verdict {
            Ok(Some(verdict)) => {
                self.fold_in(placed.tenant, staged, verdict).map(Ok).ok_or(SubmitError::Internal)
            }
            Ok(None) => Err(SubmitError::Internal),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    fn is_unreadable(&self, placed: &Placed, unit: &Overlay) -> bool {
        !self.draft.unreadable.is_empty()
            && self.needs_of(placed, unit).iter().any(|it| self.draft.unreadable.contains(it))
    }

    /// Nothing private can be said about a person who was erased.
    fn check_subjects(&self, placed: &Placed) -> Result<(), Refusal> {
        let erased = |subject| matches!(self.keys.find(placed.tenant, subject), Some(Known::Erased));
        if !placed.decision.subjects().into_iter().any(erased) {
            return Ok(());
        }
        Err(IdentityError::PersonErased.into())
    }

    fn check_expected(&mut self, unit: &Unit) -> Result<(), Refusal> {
        let Some((stream, expected)) = unit.expected else { return Ok(()) };
        self.note_read(StreamRef { tenant: unit.tenant, stream });
        let actual = self.layers(unit.tenant, &self.draft.overlay).entry(stream).map_or(0, |it| it.version);
        if actual == expected {
            return Ok(());
        }
        Err(Refusal {
            code: VERSION_MISMATCH.into(),
            kind: ErrorKind::Conflict,
            message: format!("the version is {actual}, not {expected}"),
            details: [("expected".into(), expected.to_string()), ("actual".into(), actual.to_string())]
                .into(),
        })
    }

    /// Folds the events of a verdict into the unit's states. `None` if an event touches a stream that was not read,
    /// which a decision must never do: its version would be a guess.
    fn fold_in(&self, tenant: TenantId, staged: &mut Staged, verdict: Verdict) -> Option<Done> {
        for event in verdict.events {
            let mut links = Vec::new();
            for stream in event.streams() {
                let mut entry = self.layers(tenant, &staged.overlay).entry(stream)?.clone();
                fold(&mut entry, stream, &event);
                links.push((stream, entry.version));
                staged.overlay.insert(StreamRef { tenant, stream }, entry);
            }
            staged.events.push((tenant, event, links));
        }
        staged.claims.extend(verdict.claims.into_iter().map(|claim| (tenant, claim, verdict.primary)));
        staged.valid_until = earlier(staged.valid_until, verdict.valid_until);
        let version = self.layers(tenant, &staged.overlay).entry(verdict.primary)?.version;
        Some(Done { stream: verdict.primary, version, outcome: verdict.outcome })
    }
}

/// The results of a unit of which one command was refused: that refusal, and for all others that they were not applied.
fn not_applied(results: Vec<Result<Done, Refusal>>, commands: usize) -> Vec<Result<Done, Refusal>> {
    let failed = results.len() - 1;
    let other = Refusal {
        code: NOT_APPLIED.into(),
        kind: ErrorKind::Conflict,
        message: format!("not applied, since item {failed} of the same unit was refused"),
        details: [("item".into(), failed.to_string())].into(),
    };
    let refusal = results.into_iter().next_back();
    (0..commands)
        .map(|n| match &refusal {
            Some(refusal) if n == failed => refusal.clone(),
            _ => Err(other.clone()),
        })
        .collect()
}

/// The earlier of two moments, of which there may be none.
fn earlier(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
