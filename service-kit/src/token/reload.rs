//! Following the keys as they come and go: the vault says which there are, and every process looks there every few
//! seconds, or at once when it is told to, or when somebody shows a token of a key that it does not know.
//!
//! Where the keys lie is the process' business: it gives a function that reads them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::keys::PublicKeys;
use super::sign::{Signer, SigningKey};
use super::verify::Verifier;

/// How often the keys are looked up. A key that is removed is believed this much longer at most.
pub const RELOAD_EVERY: Duration = Duration::from_secs(2);
/// How long a look may take.
const LOAD_WITHIN: Duration = Duration::from_secs(2);
/// The least time between two looks for the sake of unknown keys: strangers can name as many as they like.
const LOOKS_APART: Duration = Duration::from_millis(100);
/// Requests that may wait for such a look at once; what a further one shows is refused.
const WAITING_MAX: usize = 32;

/// The keys as they are at a moment.
#[derive(Debug, Default)]
pub struct KeySet {
    /// Public halves that are believed, beside the operator's.
    pub believed: PublicKeys,
    /// The `kid` of keys that are believed no more, the operator's among them.
    pub removed: Vec<String>,
    /// What signs; `None` where this process signs nothing, or while there is no such key.
    pub signing: Option<SigningKey>,
}

/// Why the keys could not be looked up.
pub type LoadError = Box<dyn std::error::Error + Send + Sync>;

/// Reads the keys.
pub type Load = Box<dyn Fn() -> BoxFuture<'static, Result<KeySet, LoadError>> + Send + Sync>;

/// The keys of a process: who believes and who signs are kept up to date.
pub struct Keys {
    load: Load,
    verifier: Arc<Verifier>,
    signer: Option<Arc<Signer>>,
    /// When the last look began that went well; held while one goes on.
    looked_at: Mutex<Option<Instant>>,
    waiting: Semaphore,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of a process; `load` reads them.
    #[must_use]
    pub fn new(verifier: Arc<Verifier>, signer: Option<Arc<Signer>>, load: Load) -> Arc<Self> {
        let waiting = Semaphore::new(WAITING_MAX);
        let keys = Arc::new(Self { load, verifier, signer, looked_at: Mutex::new(None), waiting });
        keys.verifier.follow(Arc::downgrade(&keys));
        keys
    }

    /// Looks the keys up now. A call that waited for another's look is content with that if it began later than the call.
    ///
    /// # Errors
    /// If they cannot be had; what was known goes on.
    pub async fn reload(&self) -> Result<(), LoadError> {
        self.look_since(Instant::now()).await
    }

    /// Looks, unless somebody did who began after `asked_at`.
    async fn look_since(&self, asked_at: Instant) -> Result<(), LoadError> {
        let mut looked_at = self.looked_at.lock().await;
        if looked_at.is_some_and(|it| it >= asked_at) {
            return Ok(());
        }
        let began_at = Instant::now();
        let set = tokio::time::timeout(LOAD_WITHIN, (self.load)()).await??;
        self.verifier.believe(&set.believed, &set.removed)?;
        if let Some(signer) = &self.signer {
            signer.use_key(set.signing, &set.removed);
        }
        *looked_at = Some(began_at);
        Ok(())
    }

    /// As [`Keys::reload`], for a token of a key that is not known.
    pub(super) async fn look_again(&self) {
        let Ok(_place) = self.waiting.try_acquire() else { return };
        let asked_at = Instant::now();
        let last = *self.looked_at.lock().await;
        if let Some(last) = last {
            tokio::time::sleep_until(last + LOOKS_APART).await;
        }
        // All who waited meanwhile are content with one look.
        if let Err(error) = self.look_since(asked_at).await {
            tracing::warn!(error = %error, "the signing keys could not be looked up");
        }
    }

    /// Looks the keys up every [`RELOAD_EVERY`] until told to stop.
    pub async fn keep(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            let look = async {
                tokio::time::sleep(RELOAD_EVERY).await;
                self.reload().await
            };
            match shutdown.run_until_cancelled(look).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::warn!(error = %error, "the signing keys could not be looked up");
                }
            }
        }
    }
}
