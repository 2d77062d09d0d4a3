//! What providers publish of themselves, remembered for a while. Public texts only, so whoever asks first asks for all.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ProviderError;

/// Addresses remembered at once; the one that was wanted longest ago goes.
const ENTRIES_MAX: usize = 256;
/// After a failure nobody asks again for so long.
const REST: Duration = Duration::from_secs(5);

/// Documents by their address.
pub(super) struct Known<T> {
    age_max: Duration,
    slots: Mutex<HashMap<String, Slot<T>>>,
}

/// One document, and when it was last wanted. Whoever wants it while it is read waits for that one reading.
struct Slot<T> {
    wanted: Instant,
    state: Arc<tokio::sync::Mutex<State<T>>>,
}

/// What came of the last readings. One that failed takes nothing away from what was read before.
struct State<T> {
    read: Option<(Arc<T>, Instant)>,
    failed: Option<Instant>,
}

impl<T> fmt::Debug for Known<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

impl<T> Known<T> {
    pub(super) fn new(age_max: Duration) -> Self {
        Self { age_max, slots: Mutex::new(HashMap::new()) }
    }

    /// The document, read anew if it is too old.
    pub(super) async fn get<F>(&self, key: &str, read: impl FnOnce() -> F) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>>,
    {
        self.get_newer(key, self.age_max, read).await
    }

    /// The document, read anew if it is older than this.
    pub(super) async fn get_newer<F>(
        &self,
        key: &str,
        age: Duration,
        read: impl FnOnce() -> F,
    ) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>>,
    {
        let state = self.state(key);
        let mut state = state.lock().await;
        match &state.read {
            Some((known, at)) if at.elapsed() < age => return Ok(Arc::clone(known)),
            _ if state.failed.is_some_and(|at| at.elapsed() < REST) => return Err(ProviderError::Resting),
            _ => {}
        }
        let outcome = read().await.map(Arc::new);
        match &outcome {
            Ok(read) => *state = State { read: Some((Arc::clone(read), Instant::now())), failed: None },
            Err(_) => state.failed = Some(Instant::now()),
        }
        outcome
    }

    fn state(&self, key: &str) -> Arc<tokio::sync::Mutex<State<T>>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(key) {
            slot.wanted = Instant::now();
            return Arc::clone(&slot.state);
        }
        if slots.len() >= ENTRIES_MAX {
            let oldest = slots.iter().min_by_key(|(_, slot)| slot.wanted).map(|(key, _)| key.clone());
            oldest.map(|key| slots.remove(&key));
        }
        let state = Arc::new(tokio::sync::Mutex::new(State { read: None, failed: None }));
        slots.insert(key.to_owned(), Slot { wanted: Instant::now(), state: Arc::clone(&state) });
        state
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn of_many_who_want_a_document_one_reads_it() {
        let known = Known::new(Duration::from_secs(60));
        let reads = AtomicUsize::new(0);
        let read = || async {
            tokio::task::yield_now().await;
            Ok(reads.fetch_add(1, Ordering::SeqCst))
        };
        let all = futures_util::future::join_all((0..50).map(|_| known.get("a", read))).await;
        assert!(all.into_iter().all(|it| *it.unwrap() == 0));
        assert_eq!(*known.get_newer("a", Duration::ZERO, read).await.unwrap(), 1);
        assert_eq!(*known.get("a", read).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn after_a_failure_nobody_asks_again_at_once() {
        let known = Known::<()>::new(Duration::from_secs(60));
        let first = known.get("a", || async { Err(ProviderError::Status(500)) }).await;
        assert!(matches!(first, Err(ProviderError::Status(500))));
        let second = known.get("a", || async { Ok(()) }).await;
        assert!(matches!(second, Err(ProviderError::Resting)));
        assert!(known.get("b", || async { Ok(()) }).await.is_ok());
    }

    #[tokio::test]
    async fn a_reading_that_fails_takes_nothing_away() {
        let known = Known::new(Duration::from_secs(60));
        known.get("a", || async { Ok(1) }).await.unwrap();
        let fail = || async { Err(ProviderError::Status(500)) };
        let newer = known.get_newer("a", Duration::ZERO, fail).await;
        assert!(matches!(newer, Err(ProviderError::Status(500))));
        assert_eq!(*known.get("a", fail).await.unwrap(), 1, "it is not too old yet");
        let newer = known.get_newer("a", Duration::ZERO, || async { Ok(2) }).await;
        assert!(matches!(newer, Err(ProviderError::Resting)), "nor is it asked for again at once");
    }

    #[tokio::test]
    async fn only_so_many_are_remembered_and_what_is_wanted_stays() {
        let known = Known::new(Duration::from_secs(60));
        for n in 0..=ENTRIES_MAX {
            known.get(&n.to_string(), || async move { Ok(n) }).await.unwrap();
            known.get("0", || async { Err(ProviderError::Status(500)) }).await.unwrap();
        }
        let slots = known.slots.lock().unwrap();
        assert_eq!(slots.len(), ENTRIES_MAX);
        assert!(slots.contains_key("0") && !slots.contains_key("1"));
        assert!(slots.contains_key(&ENTRIES_MAX.to_string()));
    }
}
