//! Brings a database to the schema of this build.

use sqlx::{Connection, PgConnection};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Runs what is missing, as the database's owner. Running it again changes nothing; two at once wait for each other.
///
/// # Errors
/// If the database cannot be reached or a statement fails; what a failed migration did is undone.
pub async fn migrate(owner_url: &str) -> Result<(), sqlx::migrate::MigrateError> {
    let mut conn = PgConnection::connect(owner_url).await?;
    sqlx::query("set lock_timeout = '10s'").execute(&mut conn).await?;
    MIGRATIONS.run(&mut conn).await?;
    conn.close().await?;
    Ok(())
}

/// The newest migration that this build knows.
#[must_use]
pub fn latest_version() -> i64 {
    MIGRATIONS.iter().map(|it| it.version).max().unwrap_or_default()
}
