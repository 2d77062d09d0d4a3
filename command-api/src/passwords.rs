//! Passwords: what may be one, and what is kept of it. The threads that hash them are fixed in number and reuse their
//! memory, so however many sign in at once, that much memory is used and no more, and the rest is told to come back.
//!
//! | what | where |
//! |---|---|
//! | rules for a new password | [`rules`], [`blocklist`] |
//! | Argon2id, on one thread | [`hash`] |
//! | the threads and their queue | here |
//!
//! It knows no person and no table; what is kept goes to the vault with the event that says so.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use event_store::MasterKey;
use event_store::vault::StoredPassword;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use service_kit::config::HashConfig;
use tokio::sync::oneshot;
use unicode_normalization::UnicodeNormalization;

pub mod blocklist;
pub mod hash;
pub mod rules;

use blocklist::Blocklist;
use hash::{Argon, Checked, Hashed};
use rules::{Demands, Weakness};

/// A password as somebody typed it, in the one form in which it is hashed (NFKC). `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct Password(SecretString);

impl Password {
    /// Takes any text: whether it may be a password is asked of [`rules`], and only of a new one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.nfkc().collect::<String>().into())
    }

    fn text(&self) -> &str {
        self.0.expose_secret()
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = SecretString::from(String::deserialize(deserializer)?);
        Ok(Self::new(text.expose_secret()))
    }
}

/// Why nothing can be said of a password.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// More wait than may.
    #[error("too many passwords wait to be hashed")]
    Overloaded,
    /// What is stored is not what we store, or the library or the machine failed.
    #[error("a password cannot be hashed")]
    Fault,
}

/// What became of a new password.
#[derive(Debug)]
pub enum Accepted {
    /// It is good: this is kept of it.
    Yes(Hashed),
    /// It is too weak, for each of these reasons.
    No(Vec<Weakness>),
}

type Job = Box<dyn FnOnce(&mut Argon) + Send>;

/// The threads that hash, and the only way to them. Clones are the same.
#[derive(Clone)]
pub struct Passwords {
    jobs: SyncSender<Job>,
    blocklist: Arc<Blocklist>,
    figures: Figures,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

#[derive(Debug, Clone)]
struct Figures {
    queue: Gauge,
    seconds: Histogram,
}

impl Passwords {
    /// Starts the threads. They end when the last clone is gone.
    ///
    /// # Errors
    /// If the list of the operator cannot be read, or the machine gives no thread, memory or random bytes.
    pub fn start(config: &HashConfig, master: &MasterKey) -> anyhow::Result<Self> {
        let blocklist = Arc::new(
            Blocklist::with_file(config.password_blocklist.as_deref())
                .map_err(|error| anyhow::anyhow!("QUIPU_PASSWORD_BLOCKLIST: {error}"))?,
        );
        // Its tables are made at the first call, and nobody's first sign-up should wait for that.
        rules::warm();
        let (jobs, queue) = sync_channel(usize::from(config.hash_queue));
        let queue = Arc::new(Mutex::new(queue));
        let first = Argon::new(config, master)?;
        for n in 1..config.threads() {
            spawn(n, first.twin(), Arc::clone(&queue))?;
        }
        spawn(0, first, queue)?;
        let seconds = Histogram::new(exponential_buckets(0.005, 2.0, 12));
        Ok(Self { jobs, blocklist, figures: Figures { queue: Gauge::default(), seconds } })
    }

    /// Makes its figures part of what the process shows.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "quipu_hash_queue",
            "Passwords that wait or are hashed",
            self.figures.queue.clone(),
        );
        registry.register(
            "quipu_hash_seconds",
            "From asking for a hash to having it",
            self.figures.seconds.clone(),
        );
    }

    /// Judges a new password and hashes it if it is good.
    ///
    /// # Errors
    /// [`HashError`]: nothing is said about the password.
    pub async fn accept(&self, password: Password, demands: Demands) -> Result<Accepted, HashError> {
        let blocklist = Arc::clone(&self.blocklist);
        self.run(move |argon| {
            let weaknesses = rules::judge(password.text(), &demands, &blocklist);
            if weaknesses.is_empty() {
                argon.make(password.text()).map(Accepted::Yes)
            } else {
                Ok(Accepted::No(weaknesses))
            }
        })
        .await?
    }

    /// Compares a password with what is kept of one. Without any it does the same work, and the answer is no whatever was
    /// typed; so nobody can tell from the time whether there is somebody.
    ///
    /// # Errors
    /// [`HashError`]: nothing is said about the password.
    pub async fn check(
        &self,
        password: Password,
        stored: Option<StoredPassword>,
    ) -> Result<Checked, HashError> {
        self.run(move |argon| argon.check(password.text(), stored.as_ref())).await?
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Argon) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let (reply, answer) = oneshot::channel();
        let begun = Instant::now();
        let job: Job = Box::new(move |argon| {
            // Who hung up is not worked for.
            if !reply.is_closed() {
                let _gone = reply.send(work(argon));
            }
        });
        let waiting = Waiting::of(&self.figures.queue);
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(HashError::Overloaded),
            Err(TrySendError::Disconnected(_)) => return Err(HashError::Fault),
        }
        let answer = answer.await.map_err(|_| HashError::Fault)?;
        drop(waiting);
        self.figures.seconds.observe(begun.elapsed().as_secs_f64());
        Ok(answer)
    }
}

/// One that is counted as waiting, until it is dropped: at the answer, or when the caller hangs up.
struct Waiting(Gauge);

impl Waiting {
    fn of(queue: &Gauge) -> Self {
        queue.inc();
        Self(queue.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn spawn(n: u16, mut argon: Argon, queue: Arc<Mutex<Receiver<Job>>>) -> std::io::Result<()> {
    std::thread::Builder::new().name(format!("hash-{n}")).spawn(move || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = next else { return };
            // What somebody typed must not end the thread; whoever asked is told of a fault, since its answer is dropped.
            if catch_unwind(AssertUnwindSafe(|| job(&mut argon))).is_err() {
                tracing::error!("a password made its thread panic");
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests;
