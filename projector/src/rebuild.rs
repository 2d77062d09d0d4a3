//! Building a read model again beside the live one, and putting it in its place while everybody reads on.
//!
//! | phase | what happens | what it costs others |
//! |---|---|---|
//! | building | pages of the log are folded in memory, by parts at once, and copied into tables without indexes | a share of the machine |
//! | indexing | keys and indexes as the live tables have them | a share of the machine |
//! | catching up | page by page, up to the live model | |
//! | comparing | row by row with the live tables, at one position | the live follower waits for a moment |
//! | swapping | the tables change places in one transaction | readers of the model wait, at most 50 ms a try |
//!
//! **Invariant:** rows of a shadow and the position that they stand for change in one transaction, which also proves
//! that the rebuild is still this process's own. So it may be killed anywhere, and the next one goes on from there.
//!
//! Everything here is a call by an operator, with the role `quipu_projector`, from any process.

mod build;
mod catch_up;
mod compare;
mod error;
mod memory;
mod pace;
mod part;
mod record;
mod repair;
mod report;
mod shadow;
mod swap;
mod tenant;

use std::sync::Arc;
use std::time::Duration;

use domain::ids::TenantId;
use event_store::Recorded;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use compare::DIFFERENCES_MAX;
pub use error::RebuildError;
pub(crate) use memory::memory;
pub use memory::{Memory, Rebuildable, Table};
pub use repair::{Parked, Skipped};
pub use report::{
    Comparison, Difference, Outcome, Phase, PreviousRow, Progress, RebuildRow, RebuildState, RolledBack,
};

use crate::feed::Decode;
use crate::follower::Follower;
use crate::reactors::MEMORIES;
use crate::registry;
use crate::shared;

/// The most parts of one rebuild.
pub const PARTS_MAX: u16 = 16;
/// Connections beside one for each part: reading ahead, the lease, the lock, the snapshot.
const CONNECTIONS_BESIDE: u32 = 6;

/// How a model is to be built.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only this tenant's rows. The whole log is read all the same; what is kept and written is the tenant's.
    pub tenant: Option<TenantId>,
    /// How many parts fold and write at once, 1 to [`PARTS_MAX`].
    pub parts: u16,
    /// The share of the time in which it may work, in percent, 1 to 100. Making an index cannot be throttled.
    pub share: u8,
    /// Whether it is compared with the live model before anything else is done with it.
    pub verify: bool,
    /// What becomes of it then.
    pub after: After,
    /// Whether the replaced tables are kept for [`Rebuilder::rollback`].
    pub keep_previous: bool,
    /// How much a part folds before it writes.
    pub budget: Budget,
    /// For how long other processes leave the rebuild alone after the last sign of life.
    pub lease: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tenant: None,
            parts: 2,
            share: 100,
            verify: true,
            after: After::Swap,
            keep_previous: true,
            budget: Budget::default(),
            lease: Duration::from_secs(10),
        }
    }
}

/// What becomes of a model that was built and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It takes the live one's place, unless they differ.
    Swap,
    /// It stays where it is, for [`Rebuilder::verify`] and [`Rebuilder::swap`].
    Keep,
    /// It is dropped: only the comparison was wanted.
    Drop,
}

/// How much one part keeps in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Events.
    pub events: usize,
    /// Bytes of their payloads.
    pub bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { events: 200_000, bytes: 128 * 1024 * 1024 }
    }
}

/// How it goes and when to stop.
#[derive(Debug, Clone)]
pub struct Control {
    /// Where progress is told.
    pub progress: watch::Sender<Progress>,
    /// Cancelled, it stops at once. What was done stays, and the next rebuild of the model goes on from there.
    pub stop: CancellationToken,
}

impl Default for Control {
    fn default() -> Self {
        Self { progress: watch::Sender::new(Progress::default()), stop: CancellationToken::new() }
    }
}

/// Whether a model may go live that was not found equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Only if the comparison found no difference.
    Compared,
    /// In any case: somebody has looked at the differences.
    Anyway,
}

/// Everything that an operator can do with read models.
#[derive(Clone)]
pub struct Rebuilder {
    pool: PgPool,
    decode: Decode,
    models: Vec<Arc<dyn Follower>>,
    instance: String,
}

impl std::fmt::Debug for Rebuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rebuilder").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Rebuilder {
    /// For the read models of this build, on the database as the role `quipu_projector`, with enough connections for
    /// this many parts. It connects when it must.
    #[must_use]
    pub fn new(database: PgConnectOptions, parts: u16) -> Self {
        let pool = shared::pool(shared::database_options(database), u32::from(parts) + CONNECTIONS_BESIDE);
        let instance = format!("rebuild-{}", Uuid::now_v7());
        Self { pool, decode: Recorded::decode, models: registry::read_models(), instance }
    }

    /// The same, for other models.
    #[must_use]
    pub fn with_models(self, models: Vec<Arc<dyn Follower>>) -> Self {
        Self { models, ..self }
    }

    /// The names of the models, in the order in which all of them are rebuilt.
    #[must_use]
    pub fn models(&self) -> Vec<&'static str> {
        self.models.iter().map(|it| it.name()).collect()
    }

    /// The names of the reactors, for [`Rebuilder::reset_reactor`].
    #[must_use]
    pub fn reactors(&self) -> Vec<&'static str> {
        MEMORIES.iter().map(|(name, _)| *name).collect()
    }

    /// Builds a model anew, or goes on with a rebuild that did not end, and does with it what the options say.
    ///
    /// # Errors
    /// See [`RebuildError`]. After any but [`RebuildError::Fenced`] the next call goes on from where this one ended.
    pub async fn rebuild(
        &self,
        model: &str,
        options: &Options,
        control: &Control,
    ) -> Result<Outcome, RebuildError> {
        if options.parts == 0 || options.parts > PARTS_MAX {
            return Err(RebuildError::Options("a rebuild has 1 to 16 parts"));
        }
        if self.pool.options().get_max_connections() < u32::from(options.parts) + CONNECTIONS_BESIDE {
            return Err(RebuildError::Options("the rebuilder was made for fewer parts"));
        }
        if options.share == 0 || options.share > 100 {
            return Err(RebuildError::Options("a share is 1 to 100 percent"));
        }
        let rebuild = build::Rebuild::begin(self, self.model(model)?, options, control).await?;
        rebuild.run().await
    }

    /// Compares rebuilt tables that were kept with the live ones, after they have caught up.
    ///
    /// # Errors
    /// See [`RebuildError`].
    pub async fn verify(&self, model: &str, control: &Control) -> Result<Outcome, RebuildError> {
        let options = Options { after: After::Keep, ..Options::default() };
        build::Rebuild::kept(self, self.model(model)?, &options, control).await?.run().await
    }

    /// Puts rebuilt tables that were kept in the place of the live ones.
    ///
    /// # Errors
    /// See [`RebuildError`].
    pub async fn swap(&self, model: &str, trust: Trust, control: &Control) -> Result<Outcome, RebuildError> {
        let options = Options { verify: false, ..Options::default() };
        let rebuild = build::Rebuild::kept(self, self.model(model)?, &options, control).await?;
        match rebuild.state() {
            RebuildState::Verified => {}
            _ if trust == Trust::Anyway => {}
            RebuildState::Differs => {
                rebuild.leave().await?;
                return Err(RebuildError::NotVerified {
                    model: model.to_owned(),
                    why: "it differs from the live one".to_owned(),
                });
            }
            _ => {
                rebuild.leave().await?;
                return Err(RebuildError::NotVerified {
                    model: model.to_owned(),
                    why: "it was not compared".to_owned(),
                });
            }
        }
        rebuild.run().await
    }

    /// Puts the previous tables back. If this build wrote them, they are brought up to date before; in any case those
    /// that were live are the previous ones then, so a rollback can itself be rolled back.
    ///
    /// # Errors
    /// See [`RebuildError`].
    pub async fn rollback(&self, model: &str, control: &Control) -> Result<RolledBack, RebuildError> {
        let model = self.model(model)?;
        let work = swap::rollback(self, &model);
        control.stop.run_until_cancelled(work).await.unwrap_or(Err(RebuildError::Stopped))
    }

    /// Drops the previous tables. False if there are none.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn retire(&self, model: &str) -> Result<bool, RebuildError> {
        record::retire(&self.pool, self.model(model)?.name()).await
    }

    /// Gives up an unfinished rebuild, whoever works on it, and drops its tables. False if there is none.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn cancel(&self, model: &str) -> Result<bool, RebuildError> {
        record::cancel(&self.pool, self.model(model)?.name()).await
    }

    /// Every model's newest rebuild.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn list(&self) -> Result<Vec<RebuildRow>, RebuildError> {
        record::list(&self.pool).await
    }

    /// The tables that a rollback could put back.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn previous(&self) -> Result<Vec<PreviousRow>, RebuildError> {
        record::previous(&self.pool).await
    }

    /// The partitions of all followers that wait for repair, those that have waited longest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn parked(&self) -> Result<Vec<Parked>, RebuildError> {
        repair::parked(&self.pool).await
    }

    /// Asks whoever leads a follower to try a parked partition again now.
    ///
    /// # Errors
    /// [`RebuildError::NotParked`], or if the database does not answer.
    pub async fn retry(&self, model: &str, tenant: TenantId, partition: Uuid) -> Result<(), RebuildError> {
        if crate::retry(&self.pool, model, tenant, partition).await? {
            Ok(())
        } else {
            Err(RebuildError::NotParked { model: model.to_owned() })
        }
    }

    /// Leaves the event out that a parked partition waits with, and lets it go on behind it. What the partition shows
    /// is wrong from then on, until the model is rebuilt; so the reason is kept, see [`Rebuilder::skipped`]. Returns
    /// the position that was left out.
    ///
    /// # Errors
    /// [`RebuildError::NotParked`], or if the database does not answer.
    pub async fn skip(
        &self,
        model: &str,
        tenant: TenantId,
        partition: Uuid,
        reason: &str,
    ) -> Result<i64, RebuildError> {
        repair::skip(&self.pool, model, tenant, partition, reason).await
    }

    /// The events that were left out of live models, the newest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn skipped(&self) -> Result<Vec<Skipped>, RebuildError> {
        repair::skipped(&self.pool).await
    }

    /// Lets a reactor forget what it remembers and fold the log again, from the beginning and in the present epoch.
    /// Nothing is done twice by that: what it does is keyed, and judged on the newest state.
    ///
    /// # Errors
    /// [`RebuildError::UnknownReactor`], or if the database does not answer.
    pub async fn reset_reactor(&self, name: &str) -> Result<(), RebuildError> {
        repair::reset_reactor(&self.pool, name).await
    }

    fn model(&self, name: &str) -> Result<Arc<dyn Follower>, RebuildError> {
        self.models.iter().find(|it| it.name() == name).cloned().ok_or_else(|| RebuildError::UnknownModel {
            model: name.to_owned(),
            known: self.models().join(", "),
        })
    }
}
