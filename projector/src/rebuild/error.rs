//! Why a rebuild, or a repair, was not done.

use crate::run::Fault;

/// Why something was not done, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// This build has no such read model.
    #[error("there is no read model `{model}` in this build; there are {known}")]
    UnknownModel {
        /// What was asked for.
        model: String,
        /// What there is.
        known: String,
    },
    /// An option is out of its range.
    #[error("{0}")]
    Options(&'static str),
    /// Another process works on it.
    #[error("{owner} rebuilds `{model}` at the moment; wait for it, or cancel it")]
    Running {
        /// The model.
        model: String,
        /// The process.
        owner: String,
    },
    /// An unfinished rebuild was begun in another way.
    #[error(
        "an unfinished rebuild of `{model}` stands that was begun for {begun}; go on with that, or cancel it"
    )]
    Unfinished {
        /// The model.
        model: String,
        /// For what.
        begun: String,
    },
    /// There is nothing to compare or to swap.
    #[error("no rebuilt tables of `{model}` are there; rebuild it first")]
    NothingBuilt {
        /// The model.
        model: String,
    },
    /// Nothing was replaced, or it was removed.
    #[error("no previous tables of `{model}` are there; rebuild it instead")]
    NoPrevious {
        /// The model.
        model: String,
    },
    /// The rebuilt model was not found equal to the live one.
    #[error("`{model}` was rebuilt, but {why}; look at the comparison, then swap anyway or cancel")]
    NotVerified {
        /// The model.
        model: String,
        /// In one clause.
        why: String,
    },
    /// Positions of another epoch say nothing in this one.
    #[error("the tables are of epoch {theirs}, the log of epoch {log}; {mend}")]
    OtherEpoch {
        /// Of the tables.
        theirs: i32,
        /// Of the log.
        log: i32,
        /// What to do.
        mend: &'static str,
    },
    /// One tenant's rows cannot be put among rows of another version.
    #[error("version {live} of `{model}` is live and this build has {own}; rebuild the whole model")]
    OtherVersion {
        /// The model.
        model: String,
        /// What is live.
        live: i32,
        /// What this build has.
        own: i32,
    },
    /// A newer build wrote an event.
    #[error("event {position} was written by a newer build; rebuild with that build")]
    Newer {
        /// Where it stands.
        position: i64,
    },
    /// So many partitions fail that it is no single event's fault.
    #[error(
        "{0} partitions cannot take their events; look at the first reasons, this is no single event's fault"
    )]
    TooManyParked(usize),
    /// The log has a hole.
    #[error("{0}; do not rebuild anything, see the operations guide")]
    Hole(String),
    /// It was cancelled or taken over by another process.
    #[error("the rebuild was cancelled, or another process has taken it over")]
    Fenced,
    /// The tables or the live follower were busy all the time.
    #[error("{0}; nothing was changed, try again")]
    Busy(&'static str),
    /// The caller told it to stop.
    #[error("stopped; the next rebuild of this model goes on from here, `cancel` gives it up")]
    Stopped,
    /// The partition is not parked.
    #[error("this partition of `{model}` is not parked")]
    NotParked {
        /// The model.
        model: String,
    },
    /// There is no such reactor.
    #[error("there is no reactor `{0}`")]
    UnknownReactor(String),
    /// The database did not do what it should.
    #[error("the database did not do what it should: {0}")]
    Database(String),
}

impl RebuildError {
    /// A name for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownModel { .. } => "projection.unknown-model",
            Self::Options(_) => "projection.invalid-option",
            Self::Running { .. } => "projection.rebuild-running",
            Self::Unfinished { .. } => "projection.rebuild-unfinished",
            Self::NothingBuilt { .. } => "projection.nothing-built",
            Self::NoPrevious { .. } => "projection.no-previous",
            Self::NotVerified { .. } => "projection.not-verified",
            Self::OtherEpoch { .. } => "projection.other-epoch",
            Self::OtherVersion { .. } => "projection.other-version",
            Self::Newer { .. } => "projection.newer-event",
            Self::TooManyParked(_) => "projection.too-many-parked",
            Self::Hole(_) => "projection.hole-in-the-log",
            Self::Fenced => "projection.rebuild-fenced",
            Self::Busy(_) => "projection.busy",
            Self::Stopped => "projection.stopped",
            Self::NotParked { .. } => "projection.not-parked",
            Self::UnknownReactor(_) => "projection.unknown-reactor",
            Self::Database(_) => "projection.database",
        }
    }
}

impl From<sqlx::Error> for RebuildError {
    fn from(error: sqlx::Error) -> Self {
        Fault::from(error).into()
    }
}

impl From<Fault> for RebuildError {
    fn from(fault: Fault) -> Self {
        Self::Database(fault.causes())
    }
}
