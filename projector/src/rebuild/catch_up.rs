//! Tables beside the live ones that follow the log page by page, as the live follower does.

use std::collections::HashSet;
use std::sync::Arc;

use domain::ids::TenantId;
use event_store::Recorded;
use event_store::log::PAGE_MAX;
use sqlx::{PgConnection, PgPool};
use tokio::time::Instant;

use super::RebuildError;
use super::pace::{Meter, Pace};
use super::part::Slice;
use super::record::Hold;
use super::shadow::Side;
use super::swap::LEVEL_MAX;
use crate::feed::{self, Decode, Entry};
use crate::follower::Follower;
use crate::run::fault::{Refusal, Unwritten};
use crate::run::lease::Checkpoint;
use crate::run::park::{self, Key, Park};
use crate::run::write::{Keeping, Writer};

/// Which position moves with the rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// That of one part of a rebuild.
    Part(i16),
    /// That of a rebuild whose parts have all reached its target.
    Whole,
    /// That of the tables that were replaced.
    Previous,
}

/// What keeps the position of tables that are not live.
#[derive(Clone, Copy)]
pub(crate) struct Standing<'s> {
    pub(crate) schema: &'s str,
    pub(crate) model: &'static str,
    pub(crate) lease_epoch: i64,
    pub(crate) place: Place,
}

impl Keeping for Standing<'_> {
    fn schema(&self) -> &str {
        self.schema
    }

    // Invariant: a position moves only from where the writer has left it. Somebody who has lost the rebuild, or who
    // writes a stretch that was written already, changes no row.
    async fn advance(&self, tx: &mut PgConnection, from: Checkpoint, to: Checkpoint) -> sqlx::Result<bool> {
        let advanced = match self.place {
            Place::Part(part) => {
                sqlx::query!(
                    "update run.rebuild_parts set position = $4
                     where model = $1 and part = $2 and position = $3 and lease_epoch = $5
                       and $6 = (select epoch from store.log_head)",
                    self.model,
                    part,
                    from.position,
                    to.position,
                    self.lease_epoch,
                    from.epoch
                )
                .execute(tx)
                .await?
            }
            Place::Whole => {
                sqlx::query!(
                    "update run.rebuilds set position = $3, recorded_at = $4, updated_at = clock_timestamp()
                     where model = $1 and position = $2 and lease_epoch = $5
                       and epoch = (select epoch from store.log_head)",
                    self.model,
                    from.position,
                    to.position,
                    to.recorded_at,
                    self.lease_epoch
                )
                .execute(tx)
                .await?
            }
            Place::Previous => {
                sqlx::query!(
                    "update run.previous_models set position = $3, recorded_at = $4
                     where model = $1 and position = $2 and epoch = (select epoch from store.log_head)",
                    self.model,
                    from.position,
                    to.position,
                    to.recorded_at
                )
                .execute(tx)
                .await?
            }
        };
        Ok(advanced.rows_affected() == 1)
    }

    async fn park(&self, tx: &mut PgConnection, parks: &[Park]) -> sqlx::Result<()> {
        let side = match self.place {
            Place::Part(_) | Place::Whole => Side::Next,
            Place::Previous => Side::Previous,
        };
        for park in parks {
            sqlx::query!(
                "insert into run.rebuild_parked values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
                self.model,
                side.name(),
                park.key.0.uuid(),
                park.key.1,
                park.position,
                park::reason(&park.reason)
            )
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }

    /// A task of its own keeps the lease of a rebuild.
    async fn renew(&self) -> sqlx::Result<bool> {
        Ok(true)
    }
}

/// The parked partitions of tables that are not live.
pub(crate) async fn parked(pool: &PgPool, model: &str, side: Side) -> sqlx::Result<HashSet<Key>> {
    let rows = sqlx::query!(
        "select tenant_id, partition from run.rebuild_parked where model = $1 and side = $2",
        model,
        side.name()
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (TenantId::new(row.tenant_id), row.partition)).collect())
}

/// Complete tables beside the live ones.
pub(crate) struct Shadow {
    pub(crate) pool: PgPool,
    pub(crate) decode: Decode,
    pub(crate) slice: Slice,
    pub(crate) side: Side,
    /// The version whose tables they are.
    pub(crate) version: i32,
    pub(crate) schema: String,
    /// The lease of the rebuild; the previous tables have none.
    pub(crate) hold: Option<Hold>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) parked: HashSet<Key>,
    pub(crate) pace: Pace,
}

impl Shadow {
    /// Follows the log up to a position.
    pub(crate) async fn follow(&mut self, to: i64, meter: Option<&Meter<'_>>) -> Result<(), RebuildError> {
        while self.checkpoint.position < to {
            let began = Instant::now();
            let (page, end) = self.page(to).await?;
            let writer = Writer { follower: &self.slice, pool: &self.pool, keeping: self.keeping() };
            let written = writer.write_to(&page, self.checkpoint, end, &self.parked).await?;
            if let Some(position) = written.held {
                return Err(RebuildError::Newer { position });
            }
            self.checkpoint = written.checkpoint;
            self.parked.extend(written.parks.into_iter().map(|it| it.key));
            if let Some(meter) = meter {
                meter.tell(self.checkpoint.position);
            }
            // Close behind the live model it does not rest: somebody may wait, and it would fall back.
            if to - self.checkpoint.position > LEVEL_MAX {
                self.pace.rest(began.elapsed()).await;
            }
        }
        Ok(())
    }

    /// The next stretch of the log, up to a position, with the checkpoint at its end.
    pub(crate) async fn page(&self, to: i64) -> Result<(Vec<Arc<Entry>>, Checkpoint), RebuildError> {
        let from = self.checkpoint.position;
        let position = from + (to - from).clamp(0, PAGE_MAX);
        let wanted = |it: &Recorded| self.slice.may_want(it);
        let page =
            feed::stretch(&self.pool, self.decode, from, position, wanted).await.map_err(Unwritten::from)?;
        let recorded_at = super::record::recorded_at(&self.pool, position).await?.ok_or_else(|| {
            RebuildError::Hole(Refusal::Hole { expected: position, found: position + 1 }.to_string())
        })?;
        Ok((page, Checkpoint { position, recorded_at, ..self.checkpoint }))
    }

    pub(crate) fn keeping(&self) -> Standing<'_> {
        let (place, lease_epoch) = match self.hold {
            Some(hold) => (Place::Whole, hold.epoch),
            None => (Place::Previous, 0),
        };
        Standing { schema: &self.schema, model: self.slice.name(), lease_epoch, place }
    }
}

impl From<Unwritten> for RebuildError {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::LeaseLost => Self::Fenced,
            Unwritten::Newer { position } => Self::Newer { position },
            Unwritten::Data(reason) => Self::Database(reason),
            Unwritten::Fault(fault) => fault.into(),
            Unwritten::Refused(Refusal::TooManyParked(parked)) => Self::TooManyParked(parked),
            Unwritten::Refused(refusal) => Self::Hole(refusal.to_string()),
        }
    }
}
