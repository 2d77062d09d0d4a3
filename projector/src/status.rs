//! Where every follower stands, for readiness and for people.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;

/// What a follower does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has not looked for its lease yet.
    Starting,
    /// It follows the log.
    Leading,
    /// Another process follows the log.
    Standby,
    /// Another version of it answers queries, so this build leaves it alone.
    Inactive,
    /// It waits for a newer build, which wrote the next event.
    Held,
    /// It met a fault and begins again shortly.
    Failing,
    /// It refuses to go on until somebody has looked at it.
    Stopped,
}

/// Where a follower stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FollowerStatus {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub state: State,
    /// The last event that it contains, as far as this process knows.
    pub position: i64,
    /// When that event was recorded.
    pub recorded_at: Option<DateTime<Utc>>,
    /// How many of its partitions wait for repair.
    pub parked: usize,
    /// Why it is in this state, where that is not plain.
    pub detail: Option<String>,
}

/// The status of every follower of a process.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<BTreeMap<&'static str, FollowerStatus>>>);

impl Board {
    /// Every follower, by name.
    #[must_use]
    pub fn all(&self) -> Vec<FollowerStatus> {
        self.lock().values().cloned().collect()
    }

    /// Whether a follower does what it should.
    ///
    /// # Errors
    /// Why it does not, in public words.
    pub fn readiness(&self, name: &str) -> Result<(), String> {
        let board = self.lock();
        let Some(status) = board.get(name) else { return Err("starting".to_owned()) };
        match status.state {
            State::Leading | State::Standby | State::Inactive | State::Held => Ok(()),
            State::Starting => Err("starting".to_owned()),
            State::Failing => Err("failing, see the log".to_owned()),
            State::Stopped => Err(status.detail.clone().unwrap_or_else(|| "stopped".to_owned())),
        }
    }

    /// Whether something waits for a person.
    ///
    /// # Errors
    /// Why it does.
    pub fn refusal(&self, name: &str) -> Result<(), String> {
        match self.lock().get(name) {
            Some(status) if status.state == State::Stopped => {
                Err(status.detail.clone().unwrap_or_else(|| "stopped".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Sets state and reason. True if the state or the reason is another than before.
    pub(crate) fn set(&self, name: &'static str, state: State, detail: Option<String>) -> bool {
        self.change(name, |status| {
            let changed = status.state != state || status.detail != detail;
            (status.state, status.detail) = (state, detail);
            changed
        })
    }

    /// Notes that a follower's task failed; other tasks have no place here.
    pub(crate) fn failed(&self, name: &str, error: String) {
        if let Some(status) = self.lock().get_mut(name) {
            (status.state, status.detail) = (State::Failing, Some(error));
        }
    }

    pub(crate) fn moved(&self, name: &'static str, position: i64, recorded_at: Option<DateTime<Utc>>) {
        self.change(name, |status| (status.position, status.recorded_at) = (position, recorded_at));
    }

    pub(crate) fn parked(&self, name: &'static str, parked: usize) {
        self.change(name, |status| status.parked = parked);
    }

    fn change<T>(&self, name: &'static str, change: impl FnOnce(&mut FollowerStatus) -> T) -> T {
        change(self.lock().entry(name).or_insert(FollowerStatus {
            name,
            state: State::Starting,
            position: 0,
            recorded_at: None,
            parked: 0,
            detail: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, FollowerStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_that_stand_still_are_not_ready() {
        let board = Board::default();
        assert!(board.readiness("it").is_err());
        for state in [State::Leading, State::Standby, State::Inactive, State::Held] {
            assert!(board.set("it", state, None));
            assert_eq!(board.readiness("it"), Ok(()), "{state:?}");
        }
        assert!(board.set("it", State::Stopped, Some("the log has a hole".to_owned())));
        assert!(!board.set("it", State::Stopped, Some("the log has a hole".to_owned())));
        assert_eq!(board.readiness("it"), Err("the log has a hole".to_owned()));
    }
}
