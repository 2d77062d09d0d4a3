//! The life of a follower: it waits until its row in `run.projections` is free, leads until the lease is lost or the
//! process ends, and refuses where going on could give wrong answers.
//!
//! | cost while leading | |
//! |---|---|
//! | a page | one read (shared at the end of the log), one transaction |
//! | idle | one look at the log per poll, one renewal per third of the lease |

mod bisect;
pub(crate) mod fault;
mod lead;
pub(crate) mod lease;
pub(crate) mod park;
mod reader;
mod retry;
pub(crate) mod write;

use std::sync::Arc;

use event_store::epoch::{self, Head};

pub(crate) use fault::Fault;
use fault::Refusal;
pub(crate) use lease::holds;
use lease::{Checkpoint, Grant};

use crate::follower::Follower;
use crate::shared::Shared;
use crate::status::State;

/// For how many polls a leader that cannot read the next event leaves the lease to others: every other process asks
/// for it once a poll.
const GIVE_WAY_POLLS: u32 = 4;

/// Why a leader stepped down.
#[derive(Debug)]
enum Ended {
    /// The process ends.
    Stopping,
    /// Somebody else has the lease, or the log's epoch changed.
    LeaseLost,
    /// It stands before an event of a newer build, and gives way to a process of that build.
    Held { position: i64 },
    /// It must not go on; nothing but a look by a person helps.
    Refused(Refusal),
}

/// Runs a follower until the process ends.
///
/// # Errors
/// A fault that beginning again may mend.
pub(crate) async fn run(follower: Arc<dyn Follower>, shared: Arc<Shared>) -> Result<(), Fault> {
    let name = follower.name();
    if shared.board.readiness(name).is_err() {
        shared.board.set(name, State::Starting, None);
    }
    let mut gave_way = None;
    while !shared.shutdown.is_cancelled() {
        let wait = match claim(follower.as_ref(), &shared).await? {
            Claimed::Granted(grant) => {
                tracing::info!(
                    model = name,
                    position = grant.checkpoint.position,
                    lease = grant.lease.epoch,
                    "leading"
                );
                let lease = grant.lease;
                let ended = lead::lead(Arc::clone(&follower), &shared, grant, gave_way).await;
                // Whatever happened, whoever waits need not wait for the lease to run out.
                let released = lease::release(&shared.pool, lease).await;
                match ended? {
                    Ended::Stopping => {
                        released?;
                        shared.timing.poll
                    }
                    Ended::LeaseLost => {
                        tracing::warn!(model = name, lease = lease.epoch, "lease lost");
                        shared.board.set(name, State::Standby, None);
                        shared.timing.poll
                    }
                    Ended::Held { position } => {
                        released?;
                        gave_way = Some(position);
                        shared.timing.poll * GIVE_WAY_POLLS
                    }
                    Ended::Refused(refusal) => return stand_still(name, &shared, &refusal).await,
                }
            }
            Claimed::Taken => {
                shared.board.set(name, State::Standby, None);
                shared.timing.poll
            }
            Claimed::Inactive { active } => {
                let detail = format!("version {active} is active, this build has {}", follower.version());
                if shared.board.set(name, State::Inactive, Some(detail)) {
                    tracing::warn!(
                        model = name,
                        active,
                        own = follower.version(),
                        "another version is active"
                    );
                }
                shared.timing.recheck
            }
            Claimed::Refused(refusal) => {
                note_refusal(name, &shared, &refusal);
                shared.timing.recheck
            }
        };
        tokio::select! {
            () = shared.shutdown.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    Ok(())
}

/// A refusal that only a new process may take back.
async fn stand_still(name: &'static str, shared: &Shared, refusal: &Refusal) -> Result<(), Fault> {
    note_refusal(name, shared, refusal);
    shared.shutdown.cancelled().await;
    Ok(())
}

fn note_refusal(name: &'static str, shared: &Shared, refusal: &Refusal) {
    if shared.board.set(name, State::Stopped, Some(refusal.to_string())) {
        tracing::error!(model = name, reason = %refusal, "refused: this follower stands still");
    }
}

/// The outcome of asking for a lease.
enum Claimed {
    Granted(Grant),
    /// Another process has it.
    Taken,
    /// Another version answers queries.
    Inactive {
        active: i32,
    },
    /// The checkpoint does not fit the log.
    Refused(Refusal),
}

async fn claim(follower: &dyn Follower, shared: &Shared) -> Result<Claimed, Fault> {
    let mut conn = shared.pool.acquire().await?;
    let head = match epoch::check(&mut conn).await {
        Ok(head) => head,
        Err(epoch::EpochError::Database(error)) => return Err(error.into()),
        Err(error @ epoch::EpochError::Timeline { .. }) => {
            return Ok(Claimed::Refused(Refusal::Timeline(error.to_string())));
        }
    };
    let active = lease::active_version(&mut conn, follower.name(), follower.version()).await?;
    if active != follower.version() {
        return Ok(Claimed::Inactive { active });
    }
    let checkpoint = lease::checkpoint(&mut conn, follower, head.epoch).await?;
    // Judged by a head that was read behind it: since the first one, whoever leads may have gone past that.
    if unfit(&checkpoint, &head).is_some()
        && let Some(refusal) = unfit(&checkpoint, &epoch::head(&mut conn).await?)
    {
        return Ok(Claimed::Refused(refusal));
    }
    let granted = lease::acquire(&mut conn, follower, &shared.instance, shared.timing.lease).await?;
    // Judged again: another process may have moved it in between.
    Ok(match granted {
        None => Claimed::Taken,
        Some(grant) => match unfit(&grant.checkpoint, &epoch::head(&mut conn).await?) {
            None => Claimed::Granted(grant),
            Some(refusal) => {
                lease::release(&shared.pool, grant.lease).await?;
                Claimed::Refused(refusal)
            }
        },
    })
}

/// Why a checkpoint cannot be continued from.
fn unfit(checkpoint: &Checkpoint, head: &Head) -> Option<Refusal> {
    if checkpoint.epoch != head.epoch {
        return Some(Refusal::OtherEpoch { checkpoint: checkpoint.epoch, log: head.epoch });
    }
    (checkpoint.position > head.position)
        .then_some(Refusal::BeyondHead { checkpoint: checkpoint.position, log: head.position })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn a_checkpoint_of_another_history_or_of_the_future_is_refused() {
        let at = DateTime::UNIX_EPOCH;
        let refused = |epoch, position| {
            unfit(
                &Checkpoint { epoch, position, recorded_at: at },
                &Head { epoch: 2, position: 10, recorded_at: at },
            )
        };
        assert!(refused(2, 10).is_none() && refused(2, 0).is_none());
        assert!(matches!(refused(2, 11), Some(Refusal::BeyondHead { checkpoint: 11, log: 10 })));
        assert!(matches!(refused(1, 5), Some(Refusal::OtherEpoch { checkpoint: 1, log: 2 })));
        assert!(matches!(refused(3, 11), Some(Refusal::OtherEpoch { .. })));
    }
}
