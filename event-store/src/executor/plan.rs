//! Judging a batch: every command in order, in memory, on the state that those before it left.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Utc};
use domain::decision::ROUNDS_MAX;
use domain::identity::IdentityError;
use domain::ids::TenantId;
use domain::private::Private;
use domain::{Claim, ErrorKind, Event, Outcome, Refusal, StreamId, Verdict, View};
use event_schemas::envelope::Meta;
use sabotage::Guard;
use sqlx::PgConnection;
use uuid::Uuid;

use super::append::{Append, Basis, Guards};
use super::load::{self, Unreadable};
use super::states::{Entry, Layers, Overlay, StateCache, empty, fold};
use super::{Failure, SubmitError};
use crate::idempotency::{IdempotencyKey, StoredAnswer};
use crate::keyring::{KeyCache, Known, ORIGIN_PATH, Place};
use crate::stream_ref::StreamRef;
use crate::unit::{Cause, Done, Linkage, NOT_APPLIED, Placed, Receipt, Unit, VERSION_MISMATCH};

/// How often what has fallen due is looked for before one command. Each time a bounded number is recorded; what is left
/// keeps its funds until the process manager comes to it.
const OVERDUE_ROUNDS_MAX: usize = 16;

/// What became of a unit in the plan.
#[derive(Debug, Clone)]
pub(crate) enum Planned {
    /// Judged: its results hold once the batch has landed; up to the event with this ordinal.
    Judged { results: Vec<Result<Done, Refusal>>, last_event: i32 },
    /// The same key earlier in the batch: its answer is given again.
    SameAs { unit: usize },
    /// Not judged.
    Failed(SubmitError),
    /// Fixed already, whatever the batch does.
    Settled(Result<Receipt, SubmitError>),
}

/// How far states in memory are believed that another process may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// As they are: the append compares their versions.
    Known,
    /// They are looked at once more first, so that the append seldom finds another version.
    Looked,
    /// Not at all, nor is anything else taken for granted: the head is held, and nothing can change any more.
    Nothing,
}

/// A batch as far as it has been judged. Everything in it is speculative until [`Draft::commit`].
pub(crate) struct Draft {
    /// The time at which units are judged; later for those that joined later.
    now: DateTime<Utc>,
    /// The oldest time that a judgement rests on: what others recorded after it may have to be known first.
    decided_at: DateTime<Utc>,
    /// The history that it belongs to.
    epoch: i32,
    /// Where the log stood when the states were brought up to date. If it was begun while the batch before was on its
    /// way: where it stood before that.
    exact_at: i64,
    /// Whether states that are not exact there are brought up to date first.
    trust: Trust,
    pub(crate) overlay: Overlay,
    /// The streams that were read, each with its version and where that was known, before this batch.
    read: HashMap<StreamRef, (i64, i64)>,
    unreadable: Unreadable,
    answered: HashMap<(TenantId, [u8; 32]), (usize, [u8; 32])>,
    valid_until: Option<DateTime<Utc>>,
    pub(crate) append: Append,
    pub(crate) units: Vec<Planned>,
}

impl Draft {
    pub(crate) fn new(now: DateTime<Utc>, epoch: i32, exact_at: i64, trust: Trust) -> Self {
        Self {
            now,
            decided_at: now,
            epoch,
            exact_at,
            trust,
            overlay: Overlay::default(),
            read: HashMap::new(),
            unreadable: Unreadable::new(),
            answered: HashMap::new(),
            valid_until: None,
            append: Append::default(),
            units: Vec::new(),
        }
    }

    /// The time of what is judged from here on. It never falls.
    pub(crate) fn judge_at(&mut self, now: DateTime<Utc>) {
        self.now = self.now.max(now);
        if self.units.is_empty() && self.append.events() == 0 {
            self.decided_at = self.now;
        }
    }

    /// The time at which units are judged.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// The batch on top of which this one was judged has landed: everything up to it was known.
    pub(crate) fn knows_up_to(&mut self, recorded_at: DateTime<Utc>) {
        self.decided_at = self.decided_at.max(recorded_at);
        self.now = self.now.max(recorded_at);
    }

    /// On what the append rests.
    pub(crate) fn basis(&self, cache: &StateCache) -> (Basis, Guards) {
        let mut guards = Guards::default();
        for (stream, (version, _)) in &self.read {
            guards.push(stream, *version);
        }
        let exact = self.read.iter().map(|(stream, (version, exact_at))| match cache.find(stream) {
            Some(entry) if entry.version == *version => entry.exact_at.max(*exact_at),
            _ => *exact_at,
        });
        let read_to = if self.trust == Trust::Nothing { self.exact_at } else { cache.read_to(exact) };
        let Self { epoch, decided_at, valid_until, .. } = *self;
        (Basis { read_to, epoch, decided_at, valid_until }, guards)
    }

    /// The batch has landed: what was speculative is so.
    pub(crate) fn commit(self, cache: &mut StateCache, base: i64) -> Vec<Planned> {
        let last = base + i64::from(self.append.events());
        let untouched = self.read.into_keys().filter(|it| !self.overlay.contains_key(it));
        for stream in untouched {
            if let Some(entry) = cache.find(&stream).cloned() {
                cache.insert(stream, Entry { exact_at: last, ..entry });
            }
        }
        for (stream, entry) in self.overlay {
            cache.insert(stream, Entry { exact_at: last, ..entry });
        }
        cache.wrote(base, last);
        self.units
    }
}

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
        let mut at_hand = false;
        for placed in &unit.decisions {
            at_hand = self.record_overdue(lookup, unit, placed).await?;
        }
        // Between the last look and the judgement of the first command nothing happens, if there is but one.
        let planned = self.judge(lookup, unit, at_hand && unit.decisions.len() == 1).await?;
        self.draft.units.push(planned);
        Ok(())
    }

    /// Answers a unit with a refusal that the database gave, as if the rules had.
    pub(crate) fn refuse(&mut self, unit: &Unit, refusal: &Refusal) {
        let results = unit.decisions.iter().map(|_| Err(refusal.clone())).collect();
        let planned = self.settle(unit, results);
        self.draft.units.push(planned);
    }

    fn layers<'b>(&'b self, tenant: TenantId, unit: &'b Overlay) -> Layers<'b> {
        Layers { tenant, unit, batch: &self.draft.overlay, under_way: self.under_way, cache: self.cache }
    }

    fn needs(&self, unit: &Unit, overlay: &Overlay) -> Vec<StreamRef> {
        let expected = unit.expected.map(|(stream, _)| StreamRef { tenant: unit.tenant, stream });
        unit.decisions.iter().flat_map(|it| self.needs_of(it, overlay)).chain(expected).collect()
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
                self.judge(lookup, &unit, false).await?;
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
        mut at_hand: bool,
    ) -> Result<Planned, Failure> {
        let mut staged = Staged::default();
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
            let results = unit.decisions.iter().map(|_| Err(refusal.clone())).collect();
            return Ok(self.settle(unit, results));
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

    /// Adds what the unit says to the batch: all of it, or `None` if an event cannot be written, which is a defect of
    /// the build.
    fn write(&mut self, unit: &Unit, staged: Staged) -> Option<()> {
        let mut written = Vec::with_capacity(staged.events.len());
        for (tenant, mut event, links) in staged.events {
            let (own, _) = links.first()?;
            let place = Place { tenant, stream: *own, event_id: Uuid::now_v7(), path: ORIGIN_PATH };
            self.seal(&mut event, &place)?;
            let encoded = event_schemas::encode(&event)
                .inspect_err(|error| tracing::error!(%error, "an event cannot be encoded"))
                .ok()?;
            written.push((tenant, place.event_id, encoded, self.meta(unit, &place)?, links));
        }
        if !written.is_empty() {
            self.draft.append.change_vault(&unit.vault);
        }
        for (tenant, event_id, encoded, meta, links) in written {
            self.draft.append.event(tenant, event_id, encoded, meta, &links);
        }
        for (tenant, claim, stream) in staged.claims {
            self.draft.append.claim(tenant, claim, stream);
        }
        self.draft.overlay.extend(staged.overlay);
        self.draft.valid_until = earlier(self.draft.valid_until, staged.valid_until);
        Some(())
    }

    /// Seals what an event says in private. `None` if it cannot be: its subject is not among those that its command
    /// named, or the text is not in the clear.
    fn seal(&self, event: &mut Event, place: &Place<'_>) -> Option<()> {
        for (path, private) in event.privates() {
            let key = match self.keys.find(place.tenant, private.subject()) {
                Some(Known::Key(key)) => key,
                Some(Known::Erased) | None => {
                    tracing::error!(path, "a private field has no key");
                    return None;
                }
            };
            let sealed = key.seal(&Place { path, ..*place }, private.reveal()?.as_bytes()).ok()?;
            *private = Private::Sealed(sealed);
        }
        Some(())
    }

    /// Who, from where and why. What an erased person does is said without a place.
    fn meta(&self, unit: &Unit, place: &Place<'_>) -> Option<String> {
        let cause = &unit.cause;
        let origin = match (&cause.origin, self.keys.find(place.tenant, cause.actor.uuid())) {
            (None, _) | (Some(_), Some(Known::Erased)) => None,
            (Some(origin), Some(Known::Key(key))) => {
                let sealed = key.seal(place, &serde_json::to_vec(origin).ok()?).ok()?;
                Some(serde_json::to_value(Private::Sealed(sealed)).ok()?)
            }
            (Some(_), None) => return None,
        };
        let meta = Meta {
            actor: cause.actor,
            token: cause.token,
            session: cause.session,
            on_behalf_of: cause.on_behalf_of,
            correlation: cause.correlation,
            causation: cause.causation,
            trace: cause.trace.clone(),
            span: cause.span.clone(),
            origin,
        };
        serde_json::to_string(&meta).ok()
    }

    /// Fixes a unit's results and remembers them under its key, if they are an answer that a retry must get again.
    fn settle(&mut self, unit: &Unit, results: Vec<Result<Done, Refusal>>) -> Planned {
        if let Some(key) = &unit.key
            && (is_final(&results) || results.iter().any(Result::is_ok))
            && let Ok(body) = serde_json::to_string(&StoredAnswer::new(&results))
        {
            self.draft.append.answer(unit.tenant, key, body);
            self.remember(unit.tenant, key);
        }
        Planned::Judged { results, last_event: self.draft.append.events() }
    }

    fn remember(&mut self, tenant: TenantId, key: &IdempotencyKey) {
        self.draft.answered.insert((tenant, key.scope), (self.draft.units.len(), key.fingerprint));
    }
}

/// Whether a repeated request must get these results again: what was carried out, and what a rule refused. What made
/// no sense or was not found is judged anew.
fn is_final(results: &[Result<Done, Refusal>]) -> bool {
    results.iter().all(|result| match result {
        Ok(_) => true,
        Err(refusal) => {
            matches!(refusal.kind, ErrorKind::Conflict | ErrorKind::Rejected)
                && refusal.code != VERSION_MISMATCH
        }
    })
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

fn earlier(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl Done {
    /// Whether the stream began with it.
    #[must_use]
    pub fn is_created(&self) -> bool {
        self.outcome == Outcome::Created
    }
}
