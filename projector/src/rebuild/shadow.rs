//! Tables beside the live ones: where they stand, and the owner's functions that make, index, place and drop them.

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};

use super::Table;
use super::record::Hold;
use crate::run::fault::Unwritten;

/// Which tables that are not live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Those that are being built.
    Next,
    /// Those that were replaced.
    Previous,
}

impl Side {
    /// Its name in the database.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Previous => "prev",
        }
    }

    /// The schema of a model's tables.
    pub(crate) fn schema(self, model: &str) -> String {
        format!("read_{}_{model}", self.name())
    }
}

/// Names as the functions take them.
pub(crate) fn names(tables: &[Table]) -> Vec<String> {
    tables.iter().map(ToString::to_string).collect()
}

/// Whether tables stand on a side.
pub(crate) async fn stands(conn: &mut PgConnection, side: Side, model: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select to_regnamespace($1) is not null as "stands!""#, side.schema(model))
        .fetch_one(conn)
        .await
}

/// Makes empty tables, as yet without the walls between tenants: see `run.make_shadow`.
pub(crate) async fn make(
    conn: &mut PgConnection,
    model: &str,
    version: i32,
    tables: &[Table],
) -> sqlx::Result<()> {
    sqlx::query!("select run.make_shadow($1, $2, $3)", model, version, &names(tables)).execute(conn).await?;
    Ok(())
}

/// Gives filled tables the walls of the live ones.
pub(crate) async fn wall(conn: &mut PgConnection, model: &str, tables: &[Table]) -> sqlx::Result<()> {
    sqlx::query!("select run.wall_shadow($1, $2)", model, &names(tables)).execute(conn).await?;
    Ok(())
}

/// Drops the tables of a side, if there are any.
pub(crate) async fn drop(conn: &mut PgConnection, side: Side, model: &str) -> sqlx::Result<()> {
    sqlx::query!("select run.drop_shadow($1, $2)", model, side.name()).execute(conn).await?;
    Ok(())
}

/// Which indexes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indexes {
    /// Primary keys: with them rows can be found and written over.
    Keys,
    /// All that the live tables have.
    All,
}

/// Makes the next index that is missing, in a transaction of its own. False if there is none.
pub(crate) async fn index(
    pool: &PgPool,
    hold: Hold,
    version: i32,
    tables: &[Table],
    which: Indexes,
) -> Result<bool, Unwritten> {
    let mut tx = begin(pool, "pg_catalog").await?;
    // Invariant: whoever takes the rebuild over waits until the index is there, and then nobody else makes the next one.
    // The lock lets the lease be renewed meanwhile.
    sqlx::query!(
        "select model from run.rebuilds where model = $1 and lease_epoch = $2 for key share",
        hold.model,
        hold.epoch
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(Unwritten::LeaseLost)?;
    let made = sqlx::query_scalar!(
        "select run.index_shadow($1, $2, $3, $4)",
        hold.model,
        version,
        &names(tables),
        which == Indexes::Keys
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    if let Some(index) = &made {
        tracing::info!(model = hold.model, index, "index made");
    }
    Ok(made.is_some())
}

/// Keeps writers off the live tables until the transaction ends; readers go on. Followers take tables first and their
/// checkpoint then, so this comes before [`super::record::live_locked`].
pub(crate) async fn hold_writers(tx: &mut PgConnection, tables: &[Table]) -> sqlx::Result<()> {
    for table in tables {
        let lock = format!("lock table read.{table} in share row exclusive mode");
        sqlx::query(AssertSqlSafe(lock)).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Lets the planner know what is in the tables.
pub(crate) async fn analyze(pool: &PgPool, model: &str, tables: &[Table]) -> sqlx::Result<()> {
    let mut tx = begin(pool, "pg_catalog").await?;
    sqlx::query!("select run.analyze_shadow($1, $2)", model, &names(tables)).execute(&mut *tx).await?;
    tx.commit().await
}

/// A transaction in which a rebuild writes, with unqualified names in `schema`. It may take its time, and nobody waits
/// for the disk: what a crash of the server loses, it loses together with the position.
pub(crate) async fn begin(pool: &PgPool, schema: &str) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut tx = pool.begin().await?;
    enter(&mut tx, schema).await?;
    Ok(tx)
}

/// Makes such a transaction of one that has begun.
pub(crate) async fn enter(tx: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "select set_config('search_path', $1, true) as path, set_config('synchronous_commit', 'off', true) as commit,
                set_config('statement_timeout', '0', true) as statement, set_config('lock_timeout', '10s', true) as lock",
        schema
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}
