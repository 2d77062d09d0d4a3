//! What a process knows of who may act: answers that rest on streams of the log, kept until one of these streams moves.
//!
//! A task follows the log for the categories that [`CATEGORIES`] lists, ten times a second. What it sees moving makes the
//! answers that rest on it void, and they are made anew from the log when somebody asks. While the task has not looked for
//! longer than [`AGE_MAX`], there is no answer at all: nobody acts for longer than that on what is not so any more.
//! This is for all that a process answers without appending; what it appends is judged at the head, by the executor.
//!
//! | what | statements |
//! |---|---|
//! | an answer that is known | 0 |
//! | one that is not | 1 for the head, 1 a round of streams |
//! | the tail | 1 every 100 ms, a scan of an index that holds these categories alone |
//!
//! It knows no aggregate: which streams a question needs, and what they answer, the [`Question`] says. All of them must be of
//! [`CATEGORIES`].
//!
//! **Invariant:** an answer is given only if no stream that it rests on has moved since, as far as the tail has seen, and
//! the tail has seen all that was committed [`AGE_MAX`] ago.

mod answering;
mod memory;
mod tail;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

pub use domain::Question;
use domain::StreamId;
use sabotage::Guard;
use sqlx::PgConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::connect;
use answering::Use;
use memory::Memory;
use tail::Tail;

/// The categories of streams that an answer may rest on. The index and the function of the tail name the same.
pub const CATEGORIES: [i16; 14] = [2, 3, 4, 20, 21, 23, 40, 41, 50, 51, 53, 80, 81, 82];

/// How long ago the log was looked at, at most, when an answer is given.
pub const AGE_MAX: Duration = Duration::from_secs(1);

/// How often the log is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Answers kept in each of two generations.
const ANSWERS_MAX: usize = 50_000;

/// Streams whose last move is remembered, before all answers are forgotten instead.
const MOVES_MAX: usize = 100_000;

/// Connections for answers that are not known.
const CONNECTIONS_MAX: u32 = 4;

/// How long whoever asks waits for a connection.
const ACQUIRE_MAX: Duration = Duration::from_secs(2);

/// A connection that nobody needed for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How often an answer is made anew at once, if a stream moves while it is made.
const ATTEMPTS_MAX: usize = 3;

/// Why there is no answer now.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The tail has not looked for too long, or what it looks at is a copy that is too old.
    #[error("the log has not been looked at for {} ms", .0.as_millis())]
    TooOld(Duration),
    /// The streams move faster than they are read.
    #[error("the streams move while they are read")]
    Moving,
    /// A stream was written by a newer build.
    #[error("a stream was written by a newer build")]
    NewerEvent,
    /// A defect: the question names a stream that the tail does not follow.
    #[error("no answer can rest on {0}, whose category is not followed")]
    NotFollowed(StreamId),
    /// The server does not answer.
    #[error("the log cannot be reached")]
    Lost,
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Database(#[from] sqlx::Error),
}

/// The answer as the log stands now, read for this one time: for what is asked seldom, and what a command judges once more
/// where it matters.
///
/// # Errors
/// [`Unknown`], but for what only an answer can be that is kept.
pub async fn look<Q: Question>(conn: &mut PgConnection, question: &Q) -> Result<Arc<Q::Answer>, Unknown> {
    Ok(answering::make(conn, question, Use::Told).await?.answer)
}

/// The answers of a process to questions of one kind. Clones are the same.
pub struct Standings<Q: Question>(Arc<Shared<Q>>);

impl<Q: Question> Clone for Standings<Q> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q: Question> std::fmt::Debug for Standings<Q> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standings").field("age", &self.age()).finish_non_exhaustive()
    }
}

struct Shared<Q: Question> {
    pool: PgPool,
    memory: RwLock<Memory<Q, Q::Answer>>,
    /// When the log was last known to hold nothing newer than what the memory has seen; told whenever something moved.
    seen: watch::Sender<Seen>,
}

/// What the tail tells.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The log is known as it was then.
    fresh_at: Instant,
    /// Counts looks that found something moved.
    moves: u64,
}

impl<Q: Question> Standings<Q> {
    /// Looks at the log for the first time, and begins to follow it, until the token is cancelled. `database` is that of
    /// a role that may ask for the tail.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn start(database: PgConnectOptions, shutdown: CancellationToken) -> sqlx::Result<Self> {
        Self::start_observed(database, shutdown, |_| {}).await
    }

    /// Like [`Standings::start`]; `moved` is called for every stream of [`CATEGORIES`] that is seen moving, with its
    /// category and id. It must return at once.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub async fn start_observed(
        database: PgConnectOptions,
        shutdown: CancellationToken,
        moved: impl Fn((i16, Uuid)) + Send + Sync + 'static,
    ) -> sqlx::Result<Self> {
        let options = connect::common(database, "quipu-access");
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_MAX)
            .idle_timeout(IDLE_MAX)
            .connect_lazy_with(options.clone());
        let (tail, first) = Tail::begin(options, Box::new(moved)).await?;
        let seen = watch::Sender::new(Seen { fresh_at: first.fresh_at(), moves: 0 });
        let memory = RwLock::new(Memory::new(first.epoch, ANSWERS_MAX, MOVES_MAX));
        let shared = Arc::new(Shared { pool, memory, seen });
        tokio::spawn(shutdown.run_until_cancelled_owned(tail.follow(Arc::clone(&shared))));
        Ok(Self(shared))
    }

    /// The answer to a question, without waiting if it is known.
    ///
    /// # Errors
    /// [`Unknown`].
    pub async fn ask(&self, question: &Q) -> Result<Arc<Q::Answer>, Unknown> {
        self.check_age()?;
        let known = self.0.memory().recall(question);
        match known {
            Some((answer, false)) => Ok(answer),
            Some((answer, true)) => {
                self.0.memory_mut().touch(question);
                Ok(answer)
            }
            None => self.make(question).await,
        }
    }

    /// How long ago the log was looked at.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.0.seen.borrow().fresh_at.elapsed()
    }

    /// How many answers are known, whether they still hold or not.
    #[must_use]
    pub fn known(&self) -> usize {
        self.0.memory().len()
    }

    /// Waits until some stream has moved since `seen`, and says since what to wait next; 0 is since the beginning.
    pub async fn moved(&self, seen: u64) -> u64 {
        let mut moves = self.0.seen.subscribe();
        // The sender is in `self`, so this does not end before.
        moves.wait_for(|it| it.moves != seen).await.map_or(seen, |it| it.moves)
    }

    fn check_age(&self) -> Result<(), Unknown> {
        let age = self.age();
        if age > AGE_MAX && sabotage::stands(Guard::StandingAge) { Err(Unknown::TooOld(age)) } else { Ok(()) }
    }

    async fn make(&self, question: &Q) -> Result<Arc<Q::Answer>, Unknown> {
        let mut conn = self.0.pool.acquire().await?;
        for _ in 0..ATTEMPTS_MAX {
            // Whoever came first may have asked the same.
            if let Some((answer, _)) = self.0.memory().recall(question) {
                return Ok(answer);
            }
            let made = answering::make(&mut conn, question, Use::Kept).await.inspect_err(|error| {
                tracing::warn!(error = error as &dyn std::error::Error, "it cannot be read who may act");
            })?;
            let answer = Arc::clone(&made.answer);
            if self.0.memory_mut().remember(question, made) {
                self.check_age()?;
                return Ok(answer);
            }
        }
        Err(Unknown::Moving)
    }
}

impl<Q: Question> Shared<Q> {
    fn memory(&self) -> RwLockReadGuard<'_, Memory<Q, Q::Answer>> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory_mut(&self) -> RwLockWriteGuard<'_, Memory<Q, Q::Answer>> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }
}
