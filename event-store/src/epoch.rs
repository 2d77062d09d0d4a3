//! Which history this is. A restored database stands on another timeline; nobody may go on before an operator has said
//! whether its positions mean the same as before.

use sabotage::Guard;
use sqlx::PgConnection;

/// Where the log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The newest position; 0 while the log is empty.
    pub position: i64,
    /// Counts restores, from 1.
    pub epoch: i32,
    /// When the newest event was recorded.
    pub recorded_at: chrono::DateTime<chrono::Utc>,
}

/// Why a process must not start on this database.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The database was restored or promoted since.
    #[error(
        "the log was written on timeline {expected}, the database is on {actual}: after a restore run `quipu epoch bump`, after a fail-over that lost nothing `quipu epoch keep`"
    )]
    Timeline {
        /// The timeline in the log's head.
        expected: i64,
        /// The timeline of the server.
        actual: i64,
    },
    /// The database did not answer.
    #[error("the head of the log cannot be read")]
    Database(#[from] sqlx::Error),
}

/// Reads the head, and checks that the database is the one that the log was written on.
///
/// # Errors
/// [`EpochError::Timeline`] after a restore or promotion.
pub async fn check(conn: &mut PgConnection) -> Result<Head, EpochError> {
    let row = sqlx::query!(
        r#"select position as "position!", epoch as "epoch!", recorded_at as "recorded_at!", timeline as "timeline!",
                  store.current_timeline() as "current!"
           from store.log_head"#
    )
    .fetch_one(conn)
    .await?;
    if row.timeline != row.current && sabotage::stands(Guard::Timeline) {
        return Err(EpochError::Timeline { expected: row.timeline, actual: row.current });
    }
    Ok(Head { position: row.position, epoch: row.epoch, recorded_at: row.recorded_at })
}

/// Reads the head.
///
/// # Errors
/// If the database does not answer.
pub async fn head(conn: &mut PgConnection) -> sqlx::Result<Head> {
    sqlx::query_as!(
        Head,
        r#"select position as "position!", epoch as "epoch!", recorded_at as "recorded_at!" from store.log_head"#
    )
    .fetch_one(conn)
    .await
}

/// Accepts the present timeline. With `bump`, positions handed out before are void: every token, checkpoint and cursor
/// of the old epoch is refused from now on. Returns the epoch.
///
/// # Errors
/// If the database does not answer.
pub async fn accept_timeline(conn: &mut PgConnection, bump: bool) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "update store.log_identity set epoch = epoch + $1, timeline = store.current_timeline() where id = 1 returning epoch",
        i32::from(bump)
    )
    .fetch_one(conn)
    .await
}
