//! What can go wrong, by what helps against it: beginning again, leaving one partition out, or a person.

use event_store::log::ReadError;
use read_models::ProjectionError;

/// Beginning again may help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The database did not answer, or refused for a reason that is not in one event.
    #[error("the database did not do what it should")]
    Database(#[from] sqlx::Error),
    /// NATS did not answer, or refused.
    #[error("NATS did not do what it should: {0}")]
    Nats(String),
    /// NATS holds events of this epoch or of a later one that the log has not, and others that it has: the log is an older copy of itself. What it
    /// gives out from here on bears positions that were given out before.
    #[error(
        "the log was set back: NATS holds an event at position {lost} that it does not have; stop every service, then \
         `quipu epoch bump`"
    )]
    SetBack { lost: i64 },
    /// Something that is not explained by the data.
    #[error("{0}")]
    Odd(String),
}

impl From<async_nats::SubscribeError> for Fault {
    fn from(error: async_nats::SubscribeError) -> Self {
        Self::Nats(error.to_string())
    }
}

impl Fault {
    /// Whether a lock was not to be had in time, or two waited for each other.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        let Self::Database(error) = self else { return false };
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|it| it == "55P03" || it == "40P01")
    }

    /// The error with its causes.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Database(_) => format!("{self}: {}", self.causes()),
            Self::Nats(_) | Self::SetBack { .. } | Self::Odd(_) => self.to_string(),
        }
    }

    /// What lies behind the error; the error itself, if nothing does.
    pub(crate) fn causes(&self) -> String {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        if causes.is_empty() { self.to_string() } else { causes.join(": ") }
    }
}

/// A person must look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the log has a hole: position {expected} is missing, {found} follows")]
    Hole { expected: i64, found: i64 },
    #[error("the checkpoint is of epoch {checkpoint}, the log of epoch {log}: rebuild the follower")]
    OtherEpoch { checkpoint: i32, log: i32 },
    #[error("the checkpoint {checkpoint} is beyond the end of the log at {log}: the log was cut or restored")]
    BeyondHead { checkpoint: i64, log: i64 },
    #[error("{0}")]
    Timeline(String),
    #[error("{0} partitions are parked: this is no single event's fault")]
    TooManyParked(usize),
}

/// Why a page was not written. Nothing of it was, in any case.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The fence: the lease or the epoch is another by now.
    LeaseLost,
    /// A newer build wrote this event.
    Newer { position: i64 },
    /// The data of some event.
    Data(String),
    /// Anything else.
    Fault(Fault),
    /// Nothing may go on.
    Refused(Refusal),
}

impl From<sqlx::Error> for Unwritten {
    fn from(error: sqlx::Error) -> Self {
        if is_of_data(&error) { Self::Data(text(&error)) } else { Self::Fault(error.into()) }
    }
}

impl From<Fault> for Unwritten {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<ProjectionError> for Unwritten {
    fn from(error: ProjectionError) -> Self {
        match error {
            ProjectionError::Newer { position } => Self::Newer { position },
            ProjectionError::Poisoned { .. } => Self::Data(error.to_string()),
            ProjectionError::Database(error) => error.into(),
        }
    }
}

impl From<ReadError> for Unwritten {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Hole { expected, found } => Self::Refused(Refusal::Hole { expected, found }),
            // Reading has no data of its own to blame.
            ReadError::Database(error) => Self::Fault(error.into()),
        }
    }
}

fn text(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(database) => {
            let code = database.code().unwrap_or_default();
            let constraint = database.constraint().map(|it| format!(", constraint {it}")).unwrap_or_default();
            format!("database error {code}{constraint}: {}", database.message())
        }
        None => error.to_string(),
    }
}

/// Whether the cause lies in what was written rather than in the connection, the server or the set-up.
fn is_of_data(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().is_some_and(|code| is_of_data_by_code(&code)),
        sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::RowNotFound => true,
        _ => false,
    }
}

/// Classes of SQLSTATE: cardinality, data exception, integrity, check option, program limit, raised by a function.
fn is_of_data_by_code(code: &str) -> bool {
    ["21", "22", "23", "44", "54", "P0"].iter().any(|class| code.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_data_parks_a_partition() {
        for code in ["22003", "22P02", "23505", "23514", "54000", "P0001"] {
            assert!(is_of_data_by_code(code), "{code}");
        }
        // Connection, admin shutdown, lock and statement time limits, disk full, read-only, missing table, no rights.
        for code in
            ["08006", "57P01", "55P03", "57014", "53100", "25006", "42P01", "42501", "40P01", "XX000", ""]
        {
            assert!(!is_of_data_by_code(code), "{code}");
        }
        assert!(is_of_data(&sqlx::Error::RowNotFound));
        assert!(!is_of_data(&sqlx::Error::PoolTimedOut));
        assert!(!is_of_data(&sqlx::Error::PoolClosed));
    }
}
