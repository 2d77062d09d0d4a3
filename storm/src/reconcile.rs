//! What is left is compared with what clients were told: one function and one verdict a promise. The comparisons are
//! pure, so that each is tested on faults that were planted; but for `doors`, which asks the processes, and `system`.

pub mod doors;
pub mod fan_out;
pub mod identity;
pub mod image;
pub mod journal;
pub mod reads;
pub mod refusals;
pub mod replay;
pub mod system;

use serde::Serialize;

/// Faults of one check that are told in words.
const TOLD_MAX: usize = 10;

/// The outcome of one comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Which promise.
    pub name: &'static str,
    /// How many things were looked at.
    pub looked_at: u64,
    /// How many of them were not as they should be.
    pub faults: u64,
    /// The first faults in words.
    pub told: Vec<String>,
}

impl Check {
    /// Nothing was looked at yet.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, looked_at: 0, faults: 0, told: Vec::new() }
    }

    /// Looks at one more thing; what is said of it if it is not as it should be.
    pub fn look(&mut self, is_right: bool, otherwise: impl FnOnce() -> String) {
        self.looked_at += 1;
        if !is_right {
            self.fault(otherwise());
        }
    }

    /// Notes a fault of something that was looked at.
    pub fn fault(&mut self, what: String) {
        self.faults += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(what);
        }
    }

    /// Whether everything was right, and there was something to look at.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.faults == 0 && self.looked_at > 0
    }
}

#[cfg(test)]
pub(crate) mod sample;
