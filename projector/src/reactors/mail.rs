//! The mailer: letters of the outbox that are due go out, each at least once and mostly once.
//!
//! Any number of processes may do this side by side: a batch is leased row by row. Who takes a letter moves `due_at` past
//! the time that the batch can take at most, so a mailer that dies holds its letters up no longer than that, and they go
//! out again under the same `Message-ID`. What a letter says is deleted with the note that it was sent.
//!
//! | cost | |
//! |---|---|
//! | nothing is due | one look at an index per tick |
//! | a batch of at most 32 letters | one statement to take them, one for each, eight connections to the server |

mod figures;
mod outbox;

use std::sync::Arc;
use std::time::Duration;

use event_store::MasterKey;
use event_store::vault::Letter;
use futures_util::StreamExt as _;
use futures_util::stream;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(super) use figures::MailFigures;
use outbox::{Failed, Waiting};

use crate::backoff;
use crate::mail::{MailOptions, Refusal, SEND_TIME_MAX, called, render};
use crate::run::Fault;
use crate::shared::Shared;

pub(super) const NAME: &str = "reactor.mail";

const AT_ONCE_MAX: usize = 8;
/// How often so many fit into a batch, one after the other.
const ROUNDS: u32 = 4;
const BATCH_MAX: usize = AT_ONCE_MAX * ROUNDS as usize;
/// Longer, by a round, than a batch takes if the server keeps every letter waiting.
const LEASE: Duration = SEND_TIME_MAX.saturating_mul(ROUNDS + 1);
const WAIT_MIN: Duration = Duration::from_secs(60);
const WAIT_MAX: Duration = Duration::from_secs(6 * 3_600);
/// How often the outbox is counted, and how often what is old is removed, in ticks.
const LOOK_EVERY: u32 = 10;
const TIDY_EVERY: u32 = 60;

/// What it works with.
pub(super) struct Mailer {
    /// Of the role `quipu_reactor`.
    pub(super) pool: PgPool,
    pub(super) master: Arc<MasterKey>,
    /// Without it nothing is sent: letters wait for it, or for `quipu mail`.
    pub(super) options: Option<MailOptions>,
    pub(super) figures: MailFigures,
}

/// Sends letters until the process ends.
///
/// # Errors
/// A fault of the database; beginning again may mend it.
pub(super) async fn run(mailer: Arc<Mailer>, shared: Arc<Shared>) -> Result<(), Fault> {
    let (mut tidied, mut looked) = (None::<Instant>, None::<Instant>);
    while !shared.shutdown.is_cancelled() {
        if is_time(&mut looked, shared.timing.tick * LOOK_EVERY) {
            mailer.figures.waiting(outbox::standing(&mailer.pool).await?);
        }
        if is_time(&mut tidied, shared.timing.tick * TIDY_EVERY) {
            outbox::tidy(&mailer.pool).await?;
        }
        let sent = match &mailer.options {
            Some(options) => mailer.batch(options, &shared.shutdown).await?,
            None => 0,
        };
        // A full batch means that there may be more.
        if sent < BATCH_MAX {
            tokio::select! {
                () = shared.shutdown.cancelled() => {}
                () = tokio::time::sleep(shared.timing.tick) => {}
            }
        }
    }
    Ok(())
}

fn is_time(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|it| it.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

impl Mailer {
    /// Takes what is due and tries each once. Says how many there were.
    async fn batch(&self, options: &MailOptions, shutdown: &CancellationToken) -> Result<usize, Fault> {
        let expired = outbox::expire(&self.pool).await?;
        self.figures.expired(expired);
        let lease = Uuid::now_v7();
        let taken = outbox::take(&self.pool, lease, BATCH_MAX, LEASE).await?;
        let count = taken.len();
        let mut tries = stream::iter(taken)
            .map(|it| async move {
                // What was not begun before the stop is left to whoever comes next.
                if shutdown.is_cancelled() { Ok(()) } else { self.try_once(options, lease, it).await }
            })
            .buffer_unordered(AT_ONCE_MAX);
        let mut noted = Ok(());
        while let Some(result) = tries.next().await {
            // One note that fails must not cut the sends beside it: they would go out twice.
            noted = noted.and(result);
        }
        drop(tries);
        if shutdown.is_cancelled() {
            outbox::give_back(&self.pool, lease).await?;
        }
        noted.map(|()| count)
    }

    async fn try_once(&self, options: &MailOptions, lease: Uuid, it: Waiting) -> Result<(), Fault> {
        match self.send(options, &it).await {
            Ok(()) => {
                self.figures.sent();
                outbox::sent(&self.pool, &it).await?;
            }
            Err(refusal) => {
                let (failed, why, text) = match refusal {
                    Refusal::Passing(text) => {
                        (Failed::Again(backoff::wait(it.tries, WAIT_MIN, WAIT_MAX)), "passing", text)
                    }
                    Refusal::Final(text) => (Failed::ForGood, "final", text),
                };
                self.figures.failed(why);
                tracing::warn!(letter = %it.mail, tenant = %it.tenant, attempts = it.tries, why, error = text,
                    "a letter was not taken");
                outbox::failed(&self.pool, &it, lease, failed, &text).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, options: &MailOptions, it: &Waiting) -> Result<(), Refusal> {
        // A newer build may have written it, or the key is not the one that sealed it: both can be mended.
        let letter = Letter::open(it.tenant, it.mail, &it.sealed, &self.master)
            .map_err(|_| Refusal::Passing("the letter cannot be opened by this build and key".to_owned()))?;
        let unknown =
            |error: &dyn std::fmt::Display| Refusal::Passing(format!("of whom the letter speaks: {error}"));
        let mut conn = self.pool.acquire().await.map_err(|error| unknown(&error))?;
        let about = called(&mut conn, it.tenant).await.map_err(|error| unknown(&error))?;
        drop(conn);
        let page = render(&letter, &options.public_url, about.as_ref())
            .map_err(|_| Refusal::Final("the letter cannot be written".to_owned()))?;
        options.transport.send(it.mail, it.queued_at, &letter.to, page).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_a_minute_to_six_hours_and_fill_a_day() {
        let waits: Vec<u64> =
            (1..=12).map(|tries| backoff::wait(tries, WAIT_MIN, WAIT_MAX).as_secs() / 60).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]);
    }
}
