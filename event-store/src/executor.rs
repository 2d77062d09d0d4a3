//! How commands run: drain what has queued, judge it in order and in memory, append it in one statement and one
//! transaction, answer after the commit. While one batch is on its way to the log, the next one is judged on top of it.
//!
//! **Every outcome is judged at the head.** The append locks the head row first. If it stands where this process wrote
//! last, its states are exact and nothing is compared; if it has moved, the streams that the batch read are compared
//! with their last versions. If one has changed, the batch is judged again while this process holds the head, which
//! cannot fail twice. A refusal is an outcome like any other. So histories are strictly serializable over any number
//! of processes, and no caller sees a conflict that a retry could solve. What was judged on top of a batch that did not
//! land is forgotten and judged anew.
//!
//! | path | round trips |
//! |---|---|
//! | states known | 1 |
//! | states loaded | 2, 3 if they name further streams |
//! | another process interfered, or a key was repeated | 1 + lock, answers, load, append, commit |
//!
//! Secrets, which no event may carry, land through the same door: a unit names the changes of the vault that belong to
//! its events, and they are made by the statement that appends them.

mod append;
mod batch;
mod core;
mod forgotten;
pub(crate) mod load;
mod metrics;
mod plan;
mod queue;
pub(crate) mod states;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use domain::ids::TenantId;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::keyring::MasterKey;
use crate::unit::{Receipt, Unit};
use forgotten::Forgotten;
pub use metrics::ExecutorMetrics;
use queue::{Job, Queue};

/// How an executor runs.
#[derive(Clone)]
pub struct ExecutorOptions {
    /// The log, as a role that may append.
    pub database: PgConnectOptions,
    /// Wraps subject keys.
    pub master: Arc<MasterKey>,
    /// The most submissions that wait; one more is refused.
    pub queue_max: usize,
    /// The most commands of a batch (a single submission may be larger).
    pub batch_max: usize,
    /// How many states the younger of two generations of the cache holds.
    pub states_max: usize,
    /// How long a submission may wait before it is refused unjudged.
    pub wait_max: Duration,
    /// Where it counts what it does.
    pub metrics: ExecutorMetrics,
}

impl ExecutorOptions {
    /// The usual bounds.
    #[must_use]
    pub fn new(database: PgConnectOptions, master: Arc<MasterKey>) -> Self {
        Self {
            database,
            master,
            queue_max: 4_096,
            batch_max: 512,
            states_max: 60_000,
            wait_max: Duration::from_secs(5),
            metrics: ExecutorMetrics::default(),
        }
    }
}

/// Why a unit has no outcome. Nothing of it happened, unless the variant says that this is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too much is waiting already.
    #[error("the queue of commands is full")]
    Overloaded,
    /// The log cannot be reached. The outcome of a unit that was under way is not known: repeat it with the same key.
    #[error("the log cannot be reached; repeat the request with the same idempotency key")]
    Unavailable,
    /// The key stands for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A stream that the unit reads was written by a newer build.
    #[error("a stream was written by a newer build")]
    NewerEvent,
    /// A defect, logged where it was met.
    #[error("the command could not be judged")]
    Internal,
}

/// Why an attempt at a batch failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A stream that was read has moved.
    Stale,
    /// The data of some unit broke a constraint, named here.
    Constraint(String),
    /// The server did not answer or is in no condition to; whether the batch landed is not known.
    Lost,
    /// A state is needed that is not in memory, while the connection is busy.
    NotInMemory,
    /// The database refused for another reason.
    Database(sqlx::Error),
}

/// Without the detail of the database's message, which quotes data.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stale => f.write_str("a stream has moved"),
            Self::Constraint(name) => write!(f, "constraint {name}"),
            Self::Lost => f.write_str("the server did not answer"),
            Self::NotInMemory => f.write_str("a state is not in memory"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else { return Self::Lost };
        match database.code().as_deref() {
            Some("23505") => Self::Constraint(database.constraint().unwrap_or_default().to_owned()),
            Some(code) if is_passing(code) => Self::Lost,
            _ => Self::Database(error),
        }
    }
}

/// Whether an SQLSTATE tells of the server's condition, not of the batch: a connection given up, a shutdown, a time
/// limit, a lock not granted in time, a lack of disk or memory. The same batch may well land a little later.
fn is_passing(code: &str) -> bool {
    ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class))
        || ["25P03", "55P03", "57014"].contains(&code)
}

/// The way to append: hands units to the one task that judges them. Clones share it.
#[derive(Clone)]
pub struct Executor(Arc<Door>);

/// Shared by all clones: a server clones its state several times a request.
struct Door {
    sender: mpsc::Sender<Job>,
    options: Arc<ExecutorOptions>,
    forgotten: Arc<Forgotten>,
}

impl Executor {
    /// Starts the task. It ends, after what was accepted is answered, once every clone is dropped.
    #[must_use]
    pub fn start(options: ExecutorOptions) -> (Self, JoinHandle<()>) {
        Self::start_observed(options, |_| {})
    }

    /// Like [`Executor::start`]; `committed` is called with the new head after every batch that wrote events. It must
    /// return at once.
    #[must_use]
    pub fn start_observed(
        options: ExecutorOptions,
        committed: impl Fn(i64) + Send + Sync + 'static,
    ) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(options.queue_max.max(1));
        let options = Arc::new(options);
        let queue = Queue::new(receiver, options.queue_max);
        let forgotten = Arc::new(Forgotten::default());
        let worker = worker::Worker::new(Arc::clone(&options), Box::new(committed), Arc::clone(&forgotten));
        let task = tokio::spawn(worker.run(queue));
        (Self(Arc::new(Door { sender, options, forgotten })), task)
    }

    /// Whether the task has ended, so that nothing can be submitted any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.sender.is_closed()
    }

    /// Drops the key of a person who may have been erased, at once and also while nothing is submitted. What is said of
    /// them next finds out from the database whether they were.
    pub fn forget_key(&self, subject: Uuid) {
        self.0.forgotten.tell(subject);
    }

    /// Submits a unit and waits for its outcome.
    ///
    /// # Errors
    /// [`SubmitError`]; a refusal by the rules is not an error but an outcome.
    pub async fn submit(&self, unit: Unit) -> Result<Receipt, SubmitError> {
        let mut outcomes = self.submit_all(unit.tenant, vec![unit]).await;
        outcomes.pop().unwrap_or(Err(SubmitError::Internal))
    }

    /// Submits units of one tenant, each by itself, in order and in one batch.
    pub async fn submit_all(&self, tenant: TenantId, units: Vec<Unit>) -> Vec<Result<Receipt, SubmitError>> {
        let (count, metrics) = (units.len(), &self.0.options.metrics);
        let (answer, outcome) = oneshot::channel();
        let job = Job { tenant, units, queued_at: Instant::now(), answer };
        // Counted first: the executor may have taken it out before this goes on.
        metrics.queue_length.inc();
        let (job, error) = match self.0.sender.try_send(job) {
            Ok(()) => {
                return outcome.await.unwrap_or_else(|_| vec![Err(SubmitError::Unavailable); count]);
            }
            Err(mpsc::error::TrySendError::Full(job)) => (job, SubmitError::Overloaded),
            Err(mpsc::error::TrySendError::Closed(job)) => (job, SubmitError::Unavailable),
        };
        metrics.queue_length.dec();
        metrics.unjudged(&job.units, &error);
        vec![Err(error); count]
    }
}
