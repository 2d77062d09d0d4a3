//! Switches that take a guard away, so that the tests can show that it is needed. Only in builds made for that.

/// A guard that tests may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The comparison of read streams with their last versions.
    VersionCheck,
    /// The idempotency record in the transaction of the effect.
    IdempotencyRecord,
    /// The answer only after the commit.
    CommitBeforeAnswer,
    /// The lease epoch in the projector's transaction.
    LeaseFence,
    /// The checkpoint in the transaction of the rows.
    CheckpointWithRows,
    /// The refusal to read past a hole in the log.
    Contiguity,
    /// The parking of a partition that met a poisoned event: without it the event is skipped.
    Parking,
    /// The check of what NATS still holds before the publisher goes on.
    Refill,
    /// The expiry of holds before a command that meets their account.
    HoldExpiry,
    /// The lock on the tables of a read before its snapshot: without it a swap of a rebuilt model shows a gap.
    ReaderLock,
}

impl Guard {
    /// The name by which the switch is set.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VersionCheck => "version-check",
            Self::IdempotencyRecord => "idempotency-record",
            Self::CommitBeforeAnswer => "commit-before-answer",
            Self::LeaseFence => "lease-fence",
            Self::CheckpointWithRows => "checkpoint-with-rows",
            Self::Contiguity => "contiguity",
            Self::Parking => "parking",
            Self::Refill => "refill",
            Self::HoldExpiry => "hold-expiry",
            Self::ReaderLock => "reader-lock",
        }
    }
}

/// Whether `guard` stands. Always, but in a build with the feature `enabled` in which `QUIPU_SABOTAGE` names it.
#[cfg(not(feature = "enabled"))]
#[must_use]
pub const fn stands(_guard: Guard) -> bool {
    true
}

/// Whether `guard` stands. Always, but in a build with the feature `enabled` in which `QUIPU_SABOTAGE` names it.
#[cfg(feature = "enabled")]
#[must_use]
pub fn stands(guard: Guard) -> bool {
    use std::sync::OnceLock;
    static REMOVED: OnceLock<Option<String>> = OnceLock::new();
    let removed = REMOVED.get_or_init(|| std::env::var("QUIPU_SABOTAGE").ok());
    removed.as_deref() != Some(guard.name())
}
