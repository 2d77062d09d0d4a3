//! Whether a database stands by what the journal of erasures says. Every process asks when it starts, and serves nobody if
//! not: a database that came back from a backup may know somebody again who was erased.

use std::borrow::Borrow;
use std::path::Path;

use sabotage::Guard;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Journal, JournalError};
use crate::keyring::MasterKey;

/// Why a process must not start.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// People were erased, and nobody says where that is written.
    #[error(
        "QUIPU_ERASURE_JOURNAL: it is not set, but {0} erasures were done in this database; set it to the journal's path"
    )]
    NotNamed(i64),
    /// The database is from before an erasure, or one was interrupted.
    #[error(
        "the database knows {0} keys or persons that the journal of erasures says are erased: run `quipu erase --replay-journal`"
    )]
    Behind(i64),
    /// The journal is shorter than it was, or another one.
    #[error(
        "QUIPU_ERASURE_JOURNAL: it does not know {0} erasures that were done in this database; bring the newest copy of it back"
    )]
    Unknown(i64),
    /// The database did not answer.
    #[error("the erasures cannot be read")]
    Database(#[from] sqlx::Error),
}

/// How far journal and database are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apart {
    /// Subjects of the journal that the database has not, or not completely, erased.
    pub missing: i64,
    /// Tombstones of the database that the journal does not know.
    pub unknown: i64,
}

/// Compares a journal with a database; none counts as empty.
///
/// # Errors
/// If the database does not answer.
pub async fn compare(conn: &mut PgConnection, journal: Option<&Journal>) -> sqlx::Result<Apart> {
    let erasures = || journal.into_iter().flat_map(Journal::erasures);
    let receipts: Vec<Uuid> = erasures().map(|it| it.receipt).collect();
    let pairs = erasures().flat_map(|it| it.subjects.iter().map(|subject| (it.tenant.uuid(), *subject)));
    let (tenants, subjects): (Vec<Uuid>, Vec<Uuid>) = pairs.unzip();
    sqlx::query_as!(
        Apart,
        r#"select missing as "missing!", unknown as "unknown!" from store.erasures_apart($1, $2, $3)"#,
        &tenants,
        &subjects,
        &receipts
    )
    .fetch_one(conn)
    .await
}

/// Refuses a database that has forgotten an erasure, and a journal that has. Without a journal, nobody may have been
/// erased. `master` is asked for only if there is a journal.
///
/// # Errors
/// [`ErasureError`], naming what to do; or what `master` failed with.
pub async fn check<E: From<ErasureError>, M: Borrow<MasterKey>>(
    conn: &mut PgConnection,
    path: Option<&Path>,
    master: impl FnOnce() -> Result<M, E>,
) -> Result<(), E> {
    let journal = match path {
        Some(path) => Some(Journal::read(path, master()?.borrow()).map_err(ErasureError::from)?),
        None => None,
    };
    let apart = compare(conn, journal.as_ref()).await.map_err(ErasureError::from)?;
    if sabotage::stands(Guard::ErasureCheck) {
        refuse(apart, journal.is_some())?;
    }
    Ok(())
}

const fn refuse(apart: Apart, named: bool) -> Result<(), ErasureError> {
    match apart {
        Apart { missing: 0, unknown: 0 } => Ok(()),
        Apart { unknown, .. } if unknown > 0 && !named => Err(ErasureError::NotNamed(unknown)),
        Apart { unknown, .. } if unknown > 0 => Err(ErasureError::Unknown(unknown)),
        Apart { missing, .. } => Err(ErasureError::Behind(missing)),
    }
}
