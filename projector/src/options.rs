//! How a projector runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use event_store::{MasterKey, Recorded};
use service_kit::metrics::Metrics;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::feed::Decode;
use crate::follower::Follower;
use crate::mail::MailOptions;
use crate::registry;

/// Everything that a projector is told.
#[derive(Clone)]
pub struct ProjectorOptions {
    /// Names this process in leases. Two processes never share one.
    pub instance: String,
    /// The database, as the role `quipu_projector`.
    pub database: PgConnectOptions,
    /// Connections at most.
    pub connections_max: u32,
    /// How stored events are read. Another than this build's is for tests that run two builds side by side.
    pub decode: Decode,
    /// What follows the log.
    pub followers: Vec<Arc<dyn Follower>>,
    /// The process managers, if they run here.
    pub reactor: Option<ReactorOptions>,
    /// Without it there are no messages, no hints and no publisher; everything else works.
    pub nats: Option<async_nats::Client>,
    /// The stream on NATS.
    pub stream: StreamOptions,
    /// Intervals.
    pub timing: Timing,
    /// What the process shows to its monitoring; a projector adds its figures to it.
    pub metrics: Metrics,
    /// Ends everything.
    pub shutdown: CancellationToken,
}

impl ProjectorOptions {
    /// Every read model, no reactors, no NATS.
    #[must_use]
    pub fn new(database: PgConnectOptions, shutdown: CancellationToken) -> Self {
        Self {
            instance: format!("projector-{}", Uuid::now_v7()),
            database,
            connections_max: 20,
            decode: Recorded::decode,
            followers: registry::read_models(),
            reactor: None,
            nats: None,
            stream: StreamOptions::default(),
            timing: Timing::default(),
            metrics: Metrics::of("projector"),
            shutdown,
        }
    }
}

impl fmt::Debug for ProjectorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectorOptions")
            .field("instance", &self.instance)
            .field("followers", &self.followers.iter().map(|it| it.name()).collect::<Vec<_>>())
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

/// What process managers need in order to submit commands.
#[derive(Clone)]
pub struct ReactorOptions {
    /// The log, as the role `quipu_reactor`.
    pub database: PgConnectOptions,
    /// Wraps subject keys, fingerprints requests and opens letters.
    pub master: Arc<MasterKey>,
    /// Where letters go. Without it they wait in the outbox.
    pub mail: Option<MailOptions>,
    /// Whether signing keys are made and rotated here.
    pub signing_keys: bool,
}

impl ReactorOptions {
    /// Reactors that send no letters and leave the signing keys alone.
    #[must_use]
    pub fn new(database: PgConnectOptions, master: Arc<MasterKey>) -> Self {
        Self { database, master, mail: None, signing_keys: false }
    }
}

/// The stream on NATS. Changing these changes an existing stream at the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// How long messages are kept.
    pub max_age: Duration,
    /// How many bytes of messages are kept; the oldest go first.
    pub max_bytes: i64,
    /// Servers of a NATS cluster that hold a copy.
    pub replicas: usize,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(7 * 24 * 3_600), max_bytes: 2 << 30, replicas: 1 }
    }
}

/// Intervals of every task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a lease lasts without renewal, by the database's clock. With `poll` on top of it another process takes
    /// over within ten seconds.
    pub lease: Duration,
    /// How often the log is looked at when nobody calls, and how often a lease that another process has is asked for.
    pub poll: Duration,
    /// How often parked partitions and deadlines are looked at.
    pub tick: Duration,
    /// First wait before a parked partition is tried again; it doubles up to an hour.
    pub retry_min: Duration,
    /// How often a follower that cannot go on looks whether it can.
    pub recheck: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(9),
            poll: Duration::from_millis(250),
            tick: Duration::from_secs(1),
            retry_min: Duration::from_secs(1),
            recheck: Duration::from_secs(5),
        }
    }
}
