//! Persons whose keys an executor must drop: they were erased, and what it has in memory of them is the last copy. Whoever
//! hears of it tells; the task that appends hears it at once, also while there is nothing to append.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sabotage::Guard;
use tokio::sync::Notify;
use uuid::Uuid;

/// Persons of whom was told and not yet heard, before all keys are dropped instead.
const TOLD_MAX: usize = 10_000;

/// What there is to forget.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Forget {
    /// Nobody.
    #[default]
    Nobody,
    /// These.
    These(HashSet<Uuid>),
    /// Everybody: there were too many to name.
    Everybody,
}

/// Where it is told.
#[derive(Debug, Default)]
pub(crate) struct Forgotten {
    told: Mutex<Forget>,
    news: Notify,
}

impl Forgotten {
    /// Tells of one, and returns at once.
    pub(crate) fn tell(&self, subject: Uuid) {
        if !sabotage::stands(Guard::ForgottenKey) {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *told {
            Forget::Everybody => {}
            Forget::These(subjects) if subjects.len() >= TOLD_MAX => *told = Forget::Everybody,
            Forget::These(subjects) => drop(subjects.insert(subject)),
            Forget::Nobody => *told = Forget::These(HashSet::from([subject])),
        }
        drop(told);
        self.news.notify_one();
    }

    /// Waits until there is something to forget, and takes it. Nothing is lost if the wait is given up.
    pub(crate) async fn heard(&self) -> Forget {
        loop {
            let told = self.take();
            if told != Forget::Nobody {
                return told;
            }
            self.news.notified().await;
        }
    }

    /// Takes what there is to forget.
    pub(crate) fn take(&self) -> Forget {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn what_is_told_is_heard_once() {
        let forgotten = Forgotten::default();
        assert_eq!(forgotten.heard().now_or_never(), None);
        forgotten.tell(Uuid::from_u128(1));
        forgotten.tell(Uuid::from_u128(2));
        let both = HashSet::from([1, 2].map(Uuid::from_u128));
        assert_eq!(forgotten.heard().now_or_never(), Some(Forget::These(both)));
        assert_eq!(forgotten.heard().now_or_never(), None);
    }

    #[test]
    fn too_many_to_name_are_everybody() {
        let forgotten = Forgotten::default();
        (0..=TOLD_MAX as u128).for_each(|n| forgotten.tell(Uuid::from_u128(n)));
        assert_eq!(forgotten.take(), Forget::Everybody);
        assert_eq!(forgotten.take(), Forget::Nobody);
    }
}
