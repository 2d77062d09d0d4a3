//! A rebuild from its begin, or from where it was left, to its end.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::Recorded;
use event_store::epoch;
use event_store::log::{PAGE_MAX, ReadError};
use futures_util::{StreamExt as _, stream};
use sabotage::Guard;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::catch_up::{self, Shadow};
use super::pace::{Meter, Pace};
use super::part::{Common, Page, Part, Slice};
use super::record::{self, Claim, Wanted};
use super::shadow::{self, Indexes, Side};
use super::{
    After, Comparison, Control, Options, Outcome, Phase, RebuildError, RebuildState, Rebuildable, Rebuilder,
    compare, swap, tenant,
};
use crate::feed;
use crate::follower::Follower;
use crate::run::fault::{Refusal, Unwritten};
use crate::run::lease::Checkpoint;

/// Pages that are read and decoded ahead of the parts, and that wait before each part.
const AHEAD: usize = 2;

/// A rebuild that this process works on.
pub(crate) struct Rebuild<'r> {
    rebuilder: &'r Rebuilder,
    follower: Arc<dyn Follower>,
    options: &'r Options,
    control: &'r Control,
    claim: Claim,
    began: Instant,
    /// Cancelled when the rebuild is somebody else's, or nobody's.
    lost: CancellationToken,
    _alive: AbortOnDropHandle<()>,
}

impl<'r> Rebuild<'r> {
    /// Takes one that did not end, or begins.
    pub(crate) async fn begin(
        rebuilder: &'r Rebuilder,
        follower: Arc<dyn Follower>,
        options: &'r Options,
        control: &'r Control,
    ) -> Result<Self, RebuildError> {
        let begin = Some((options.tenant, options.parts));
        Self::take(rebuilder, follower, options, control, begin).await
    }

    /// Takes one whose tables were kept.
    pub(crate) async fn kept(
        rebuilder: &'r Rebuilder,
        follower: Arc<dyn Follower>,
        options: &'r Options,
        control: &'r Control,
    ) -> Result<Self, RebuildError> {
        Self::take(rebuilder, follower, options, control, None).await
    }

    async fn take(
        rebuilder: &'r Rebuilder,
        follower: Arc<dyn Follower>,
        options: &'r Options,
        control: &'r Control,
        begin: Option<(Option<domain::ids::TenantId>, u16)>,
    ) -> Result<Self, RebuildError> {
        let wanted = Wanted {
            follower: follower.as_ref(),
            tables: rebuildable(follower.as_ref())?.tables(),
            instance: &rebuilder.instance,
            lease: options.lease,
            begin,
        };
        let claim = record::claim(&rebuilder.pool, &wanted).await?;
        let lost = CancellationToken::new();
        let alive = record::keep_alive(rebuilder.pool.clone(), claim.hold, options.lease, lost.clone());
        tracing::info!(
            model = follower.name(),
            state = claim.state.name(),
            target = claim.target,
            "rebuild taken"
        );
        let began = Instant::now();
        Ok(Self { rebuilder, follower, options, control, claim, began, lost, _alive: alive })
    }

    /// Where it stood when it was taken.
    pub(crate) fn state(&self) -> RebuildState {
        self.claim.state
    }

    /// Leaves it as it is, for others.
    pub(crate) async fn leave(self) -> Result<(), RebuildError> {
        Ok(record::release(&self.rebuilder.pool, self.claim.hold, None).await?)
    }

    /// Does what is left to do.
    pub(crate) async fn run(self) -> Result<Outcome, RebuildError> {
        let (pool, hold) = (&self.rebuilder.pool, self.claim.hold);
        let done = tokio::select! {
            biased;
            () = self.control.stop.cancelled() => Err(RebuildError::Stopped),
            () = self.lost.cancelled() => Err(RebuildError::Fenced),
            done = self.work() => done,
        };
        match done {
            Ok(outcome) => {
                record::release(pool, hold, None).await?;
                Ok(outcome)
            }
            Err(RebuildError::Stopped) => {
                record::release(pool, hold, None).await?;
                Err(RebuildError::Stopped)
            }
            // Somebody else's tables are gone or changed under it: whatever went wrong, that is why.
            Err(_) if !record::is_held(pool, hold).await? => Err(RebuildError::Fenced),
            Err(error) => {
                let error = self.explained(error).await?;
                let for_good = matches!(
                    error,
                    RebuildError::Newer { .. } | RebuildError::TooManyParked(_) | RebuildError::Hole(_)
                );
                record::release(pool, hold, Some((&error.to_string(), for_good))).await?;
                Err(error)
            }
        }
    }

    /// Nothing moves on, also if the log was restored meanwhile.
    async fn explained(&self, error: RebuildError) -> Result<RebuildError, RebuildError> {
        let log = epoch::head(&mut *self.rebuilder.pool.acquire().await?).await?.epoch;
        let theirs = self.claim.epoch;
        let restored = matches!(error, RebuildError::Fenced) && theirs != log;
        let mend = "cancel the rebuild and begin again";
        Ok(if restored { RebuildError::OtherEpoch { theirs, log, mend } } else { error })
    }

    async fn work(&self) -> Result<Outcome, RebuildError> {
        let (pool, hold) = (&self.rebuilder.pool, self.claim.hold);
        if self.claim.tenant.is_some() && self.options.after == After::Swap {
            tenant::check(pool, hold.model, self.follower.version()).await?;
        }
        let checkpoint = match self.claim.checkpoint {
            Some(checkpoint) => checkpoint,
            None => self.build().await?,
        };
        self.index().await?;
        if self.claim.state != RebuildState::Verified || self.options.verify {
            record::set_state(pool, hold, RebuildState::CatchingUp).await?;
        }
        let mut shadow = self.shadow(checkpoint).await?;
        self.catch_up(&mut shadow).await?;
        let mut state = RebuildState::CatchingUp;
        let mut comparison = None;
        if self.options.verify {
            let found = compare::compare(&mut shadow, self.tables()?, self.control).await?;
            state = if found.is_equal() || !sabotage::stands(Guard::RebuildCompare) {
                RebuildState::Verified
            } else {
                RebuildState::Differs
            };
            if found.skipped.is_some() {
                state = RebuildState::CatchingUp;
            }
            record::compared(pool, hold, state, &found).await?;
            comparison = Some(found);
        }
        let mut pause = None;
        match self.options.after {
            After::Swap => {
                self.may_swap(state, comparison.as_ref())?;
                let _meter =
                    Meter::begin(self.control, hold.model, Phase::Swapping, shadow.checkpoint.position, None);
                if let Some(tenant) = self.claim.tenant {
                    tenant::replace(&mut shadow, tenant, self.tables()?.tables()).await?;
                } else {
                    pause = Some(swap::put_in_place(&mut shadow, self.tables()?.tables()).await?);
                    if !self.options.keep_previous {
                        record::retire(pool, hold.model).await?;
                    }
                }
                state = RebuildState::Swapped;
            }
            After::Keep => {}
            After::Drop => {
                record::drop_compared(pool, hold).await?;
                state = RebuildState::Compared;
            }
        }
        Ok(Outcome {
            model: hold.model.to_owned(),
            version: self.follower.version(),
            state,
            position: shadow.checkpoint.position,
            comparison,
            parked: shadow.parked.len(),
            took: self.began.elapsed(),
            pause,
        })
    }

    fn tables(&self) -> Result<&dyn Rebuildable, RebuildError> {
        rebuildable(self.follower.as_ref())
    }

    /// A model that differs does not go live by itself. One that could not be compared does: there is no other way out
    /// of an epoch that has ended.
    fn may_swap(&self, state: RebuildState, comparison: Option<&Comparison>) -> Result<(), RebuildError> {
        match (state, comparison) {
            (RebuildState::Differs, Some(found)) => Err(RebuildError::NotVerified {
                model: self.claim.hold.model.to_owned(),
                why: format!(
                    "{} rows are missing from it, {} are more and {} differ",
                    found.missing, found.extra, found.differing
                ),
            }),
            _ => Ok(()),
        }
    }

    fn slice(&self, part: Option<(i16, usize)>) -> Slice {
        Slice { whole: Arc::clone(&self.follower), tenant: self.claim.tenant, part }
    }

    /// Folds the log up to the target, all parts at once.
    async fn build(&self) -> Result<Checkpoint, RebuildError> {
        let Claim { hold, target, epoch, parts, .. } = &self.claim;
        let tables = self.tables()?;
        let pool = &self.rebuilder.pool;
        let common = Arc::new(Common {
            pool: pool.clone(),
            decode: self.rebuilder.decode,
            schema: Side::Next.schema(hold.model),
            tables: tables.tables(),
            appends_only: tables.appends_only(),
            hold: *hold,
            epoch: *epoch,
            budget: self.options.budget,
            pace: Pace::new(self.options.share),
            keyed: Mutex::new(false),
        });
        let parked = catch_up::parked(pool, hold.model, Side::Next).await?;
        let mut senders = Vec::with_capacity(parts.len());
        let mut work: JoinSet<Result<(), RebuildError>> = JoinSet::new();
        for (part, position) in parts {
            let (sender, pages) = mpsc::channel(AHEAD);
            senders.push(sender);
            let part = Part {
                common: Arc::clone(&common),
                slice: self.slice(Some((*part, parts.len()))),
                part: *part,
                memory: tables.memory(),
                from: *position,
                at: *position,
                parked: parked.clone(),
                parks: Vec::new(),
                events: 0,
                bytes: 0,
            };
            work.spawn(part.run(pages));
        }
        let from = parts.iter().map(|(_, position)| *position).min().unwrap_or(*target);
        self.read(from, *target, senders).await?;
        while let Some(done) = work.join_next().await {
            done.map_err(|error| RebuildError::Database(format!("a part ended: {error}")))??;
        }
        let recorded_at = match record::recorded_at(pool, *target).await? {
            Some(at) => at,
            None if *target == 0 => DateTime::<Utc>::UNIX_EPOCH,
            None => return Err(hole(*target)),
        };
        let checkpoint = Checkpoint { epoch: *epoch, position: *target, recorded_at };
        record::built(pool, *hold, tables.tables(), checkpoint).await?;
        Ok(checkpoint)
    }

    /// Reads pages, a few ahead, and gives each to all parts. A part that has ended has failed, and says why itself.
    async fn read(
        &self,
        from: i64,
        target: i64,
        parts: Vec<mpsc::Sender<Arc<Page>>>,
    ) -> Result<(), RebuildError> {
        let meter = Meter::begin(self.control, self.claim.hold.model, Phase::Building, from, Some(target));
        let starts = (from..target).step_by(usize::try_from(PAGE_MAX).unwrap_or(usize::MAX));
        let (pool, decode) = (self.rebuilder.pool.clone(), self.rebuilder.decode);
        let slice = self.slice(None);
        let mut pages = stream::iter(starts)
            .map(|start| {
                let (pool, slice, to) = (pool.clone(), slice.clone(), target.min(start + PAGE_MAX));
                AbortOnDropHandle::new(tokio::spawn(async move {
                    let wanted = |it: &Recorded| slice.may_want(it);
                    let entries = feed::stretch(&pool, decode, start, to, wanted).await?;
                    Ok::<Page, ReadError>(Page { to, entries })
                }))
            })
            .buffered(AHEAD);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| RebuildError::Database(format!("a reader ended: {error}")))?;
            let page = Arc::new(page.map_err(Unwritten::from)?);
            for part in &parts {
                if part.send(Arc::clone(&page)).await.is_err() {
                    return Ok(());
                }
            }
            meter.tell(page.to);
        }
        Ok(())
    }

    async fn index(&self) -> Result<(), RebuildError> {
        let (pool, hold, version) = (&self.rebuilder.pool, self.claim.hold, self.follower.version());
        let tables = self.tables()?.tables();
        let meter = Meter::begin(self.control, hold.model, Phase::Indexing, 0, None);
        let mut made = 0;
        while shadow::index(pool, hold, version, tables, Indexes::All).await? {
            made += 1;
            meter.tell(made);
        }
        if made > 0 {
            shadow::analyze(pool, hold.model, tables).await?;
        }
        Ok(())
    }

    async fn shadow(&self, checkpoint: Checkpoint) -> Result<Shadow, RebuildError> {
        let model = self.follower.name();
        Ok(Shadow {
            pool: self.rebuilder.pool.clone(),
            decode: self.rebuilder.decode,
            slice: self.slice(None),
            side: Side::Next,
            version: self.follower.version(),
            schema: Side::Next.schema(model),
            hold: Some(self.claim.hold),
            checkpoint,
            parked: catch_up::parked(&self.rebuilder.pool, model, Side::Next).await?,
            pace: Pace::new(self.options.share),
        })
    }

    /// Follows the live model until it is close behind it.
    async fn catch_up(&self, shadow: &mut Shadow) -> Result<(), RebuildError> {
        let from = shadow.checkpoint.position;
        let mut meter = Meter::begin(self.control, shadow.slice.name(), Phase::CatchingUp, from, None);
        loop {
            let goal = swap::goal(shadow).await?.position;
            meter.aim(goal);
            let behind = goal - shadow.checkpoint.position;
            shadow.follow(goal, Some(&meter)).await?;
            if behind <= swap::LEVEL_MAX {
                return Ok(());
            }
        }
    }
}

fn rebuildable(follower: &dyn Follower) -> Result<&dyn Rebuildable, RebuildError> {
    follower.rebuildable().ok_or_else(|| RebuildError::UnknownModel {
        model: follower.name().to_owned(),
        known: "read models only".to_owned(),
    })
}

fn hole(position: i64) -> RebuildError {
    RebuildError::Hole(Refusal::Hole { expected: position, found: position + 1 }.to_string())
}

/// How long a caller may wait for a moment in which nobody is in the way.
pub(crate) const MOMENT_WAIT: Duration = Duration::from_millis(100);
