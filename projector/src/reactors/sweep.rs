//! What of the vault is over goes away, in every tenant: halves of sign-ins, codes, browsers, devices, guesses, counters and
//! families of refresh tokens. Each kind is kept for as long after its end as its meaning needs (table
//! `vault.endings`), and not longer, since it tells of somebody. Letters, links and requests are the mailer's.
//!
//! The role sees no rows of the vault but those that are over, so a sweep that is wrong can take nothing else. Any number
//! of processes sweep side by side: rows that another one works with are skipped. Nothing waits for a sweep; what one
//! leaves over, the next one takes.
//!
//! | cost | |
//! |---|---|
//! | nothing is over | one statement a minute, one step into an index for each of its tables |
//! | a round | at most 1,000 rows of each kind, in one statement and one transaction |

use std::sync::Arc;
use std::time::Duration;

use event_store::vault::Vault;
use prometheus_client::metrics::counter::Counter;
use service_kit::metrics::Metrics;

use crate::run::Fault;
use crate::shared::Shared;

pub(super) const NAME: &str = "reactor.sweep";

const BATCH_MAX: u16 = 1_000;
/// Rounds of one sweep, so that one after a long pause comes to an end.
const ROUNDS_MAX: u32 = 100;
const EVERY: Duration = Duration::from_secs(60);

/// What it works with.
pub(super) struct Sweep {
    /// Over a pool of the role `quipu_reactor`.
    pub(super) vault: Vault,
    pub(super) figures: SweepFigures,
}

/// Its figures, of this process.
pub(super) struct SweepFigures {
    sweeps: Counter,
    rows: Counter,
}

impl SweepFigures {
    /// Begins them, as part of what the process shows.
    pub(super) fn of(metrics: &Metrics) -> Self {
        let this = Self { sweeps: Counter::default(), rows: Counter::default() };
        metrics.register(|registry| {
            registry.register("quipu_vault_sweeps", "Times that the vault was swept", this.sweeps.clone());
            registry.register(
                "quipu_vault_swept",
                "Rows of the vault that were over and went",
                this.rows.clone(),
            );
        });
        this
    }
}

/// Sweeps every minute until the process ends.
///
/// # Errors
/// A fault of the database; beginning again may mend it.
pub(super) async fn run(sweep: Arc<Sweep>, shared: Arc<Shared>) -> Result<(), Fault> {
    while !shared.shutdown.is_cancelled() {
        for _ in 0..ROUNDS_MAX {
            if !sweep.round().await? || shared.shutdown.is_cancelled() {
                break;
            }
        }
        sweep.figures.sweeps.inc();
        tokio::select! {
            () = shared.shutdown.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    Ok(())
}

impl Sweep {
    /// Whether there may be more.
    async fn round(&self) -> Result<bool, Fault> {
        let mut more = false;
        for swept in self.vault.sweep(BATCH_MAX).await? {
            more |= swept.gone >= u64::from(BATCH_MAX);
            self.figures.rows.inc_by(swept.gone);
        }
        Ok(more)
    }
}
