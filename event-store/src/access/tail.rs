//! The task that follows the log for streams of access, on a connection of its own: whoever waits for one of the pool's
//! must not make what everybody knows look old.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::TenantId;
use sabotage::Guard;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::memory::StreamKey;
use super::{LOOK_EVERY, Question, Seen, Shared};

/// Rows of one look, but for further streams of the last position.
const ROWS_MAX: i64 = 1_000;

/// A look that takes longer is given up: its connection may be to a server that is gone.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// What one look found.
pub(super) struct Look {
    pub(super) epoch: i32,
    head: i64,
    moves: Vec<(StreamKey, i64)>,
    /// When it was asked for: whatever was committed before is in it, but for how far a standby is behind.
    asked_at: Instant,
    behind: Duration,
}

impl Look {
    /// Since when the log may hold something that was not seen.
    pub(super) fn fresh_at(&self) -> Instant {
        self.asked_at.checked_sub(self.behind).unwrap_or(self.asked_at)
    }

    fn is_full(&self) -> bool {
        self.moves.len() >= usize::try_from(ROWS_MAX).unwrap_or(usize::MAX)
    }
}

/// The task's own memory.
pub(super) struct Tail {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    epoch: i32,
    /// Everything up to here was seen.
    after: i64,
    /// Whom it tells of every move.
    moved: Box<dyn Fn((i16, Uuid)) + Send + Sync>,
}

impl Tail {
    /// Looks for the first time: what moved before does not matter, since nothing was answered yet.
    pub(super) async fn begin(
        options: PgConnectOptions,
        moved: Box<dyn Fn((i16, Uuid)) + Send + Sync>,
    ) -> sqlx::Result<(Self, Look)> {
        let mut tail = Self { options, connection: None, epoch: 0, after: i64::MAX, moved };
        let first = tail.look().await?;
        (tail.epoch, tail.after) = (first.epoch, first.head);
        Ok((tail, first))
    }

    /// Goes on for ever.
    pub(super) async fn follow<Q: Question>(mut self, shared: Arc<Shared<Q>>) {
        let mut failing = false;
        loop {
            let begun = Instant::now();
            let look = timeout(LOOK_TIMEOUT, self.look()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            match look {
                Ok(look) => {
                    if failing {
                        tracing::info!("who may act is known again");
                    }
                    failing = false;
                    let full = look.is_full();
                    self.take(look, &shared);
                    if full {
                        continue;
                    }
                }
                Err(error) => {
                    // Told once: requests that are refused for it say so themselves.
                    if !failing {
                        tracing::warn!(%error, "the log cannot be looked at: soon it is not known who may act");
                    }
                    failing = true;
                    self.connection = None;
                }
            }
            sleep_until(begun + LOOK_EVERY).await;
        }
    }

    fn take<Q: Question>(&mut self, look: Look, shared: &Shared<Q>) {
        let (full, fresh_at) = (look.is_full(), look.fresh_at());
        let last = look.moves.last().map(|(_, position)| *position);
        let restored = look.epoch != self.epoch || look.head < self.after;
        self.after = if full && !restored { last.unwrap_or(look.head) } else { look.head };
        self.epoch = look.epoch;
        look.moves.iter().for_each(|((_, category, id), _)| (self.moved)((*category, *id)));
        let moved = restored || !look.moves.is_empty();
        if moved && sabotage::stands(Guard::AccessTail) {
            let mut memory = shared.memory_mut();
            if restored {
                memory.begin_anew(look.epoch);
            }
            memory.note(look.head, look.moves);
        }
        shared.seen.send_if_modified(|seen| {
            // While more is waiting to be read, what is known does not become fresher.
            let fresh_at = if full { seen.fresh_at } else { fresh_at };
            *seen = Seen { fresh_at, moves: seen.moves + u64::from(moved) };
            moved
        });
    }

    async fn look(&mut self) -> sqlx::Result<Look> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(PgConnection::connect_with(&self.options).await?),
        };
        let asked_at = Instant::now();
        let rows = sqlx::query!(
            r#"select head as "head!", epoch as "epoch!", behind_us as "behind_us!", position, tenant_id, category, stream_id
               from store.access_since($1, $2)"#,
            self.after,
            ROWS_MAX
        )
        .fetch_all(connection)
        .await?;
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let behind = Duration::from_micros(u64::try_from(first.behind_us).unwrap_or(0));
        let moves = rows.iter().filter_map(|row| {
            let stream = (TenantId::new(row.tenant_id?), row.category?, row.stream_id?);
            Some((stream, row.position?))
        });
        Ok(Look { epoch: first.epoch, head: first.head, moves: moves.collect(), asked_at, behind })
    }
}
