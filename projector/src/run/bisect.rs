//! Which of many items is the first that fails, by trying prefixes.

/// The search. Prefixes up to `good` apply, those of `bad` items and more do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bisect {
    good: usize,
    bad: usize,
}

impl Bisect {
    /// Begins with a list that failed as a whole.
    pub(crate) fn new(length: usize) -> Self {
        Self { good: 0, bad: length }
    }

    /// How many items to try next; `None` once the first that fails is known.
    pub(crate) fn next(&self) -> Option<usize> {
        (self.bad.saturating_sub(self.good) > 1).then(|| self.good + (self.bad - self.good) / 2)
    }

    /// Notes how a trial of the first `length` items went.
    pub(crate) fn tell(&mut self, length: usize, applied: bool) {
        if applied {
            self.good = self.good.max(length);
        } else {
            self.bad = self.bad.min(length);
        }
    }

    /// The index of the first item that fails.
    pub(crate) fn culprit(&self) -> usize {
        self.bad.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_of_any_failing_items_in_few_trials() {
        for length in [1, 2, 3, 7, 64, 5_000] {
            for first in [0, length / 3, length / 2, length - 1] {
                let mut search = Bisect::new(length);
                let mut trials = 0;
                while let Some(next) = search.next() {
                    assert!(next > 0 && next < length);
                    search.tell(next, next <= first);
                    trials += 1;
                }
                assert_eq!(search.culprit(), first, "of {length}");
                assert!(trials <= 13, "{trials} trials for {length}");
            }
        }
    }
}
