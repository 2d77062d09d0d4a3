//! Pools of PostgreSQL connections, and the start-up check that refuses a server on which promises cannot be kept.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sabotage::Guard;
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool, Row};

use crate::config::{ConfigError, DatabaseConfig};

const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_IN_TRANSACTION_MAX: Duration = Duration::from_secs(10);
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(30 * 60);
const STATEMENTS_CACHED_MAX: usize = 256;
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(5);
/// Rolls back whatever is open. A bare ROLLBACK outside a transaction would be a warning in the server's log at every
/// release; in one that has failed already BEGIN is an error, and the connection is closed, which is as good.
const CLEAN: &str = "BEGIN; ROLLBACK";
const SERVER_VERSION_MIN: i32 = 150_000;

/// What a pool is for: its name in `application_name`, and what its role must and must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Migrations and partitions; may own tables, serves nobody.
    Owner,
    /// Appends.
    Command,
    /// Read models and the publisher.
    Projector,
    /// Process managers.
    Reactor,
    /// Reads for tenants.
    Query,
    /// Work of the platform over all tenants.
    Platform,
}

impl Purpose {
    /// Its name, as in `pg_stat_activity`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "quipu-owner",
            Self::Command => "quipu-command",
            Self::Projector => "quipu-projector",
            Self::Reactor => "quipu-reactor",
            Self::Query => "quipu-query",
            Self::Platform => "quipu-platform",
        }
    }

    const fn writes(self) -> bool {
        !matches!(self, Self::Query)
    }
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot be reached or does not answer.
    #[error("cannot use the database: {0}")]
    Unreachable(#[from] sqlx::Error),
    /// It is set up so that it may lose or show what it must not.
    #[error("unsafe database: {}", .0.join("; "))]
    Unsafe(Vec<String>),
}

/// Opens a pool. Every connection has its time limits, and leaves no transaction behind: sqlx 0.9.0 returns a
/// connection inside an open transaction when a `begin()` is cancelled, and the next borrower's work is lost.
pub async fn connect_pool(config: &DatabaseConfig, purpose: Purpose) -> Result<PgPool, DatabaseError> {
    let options = connect_options(config, purpose)?;
    let pool = PgPoolOptions::new()
        .max_connections(config.pool_max)
        .min_connections(config.pool_min.min(config.pool_max))
        .acquire_timeout(config.acquire_timeout)
        .max_lifetime(CONNECTION_AGE_MAX)
        .after_release(|connection, _| {
            Box::pin(async move {
                if sabotage::stands(Guard::CleanRelease) {
                    connection.execute(CLEAN).await?;
                }
                Ok(true)
            })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// The options of a connection outside a pool, such as the writer's own.
pub fn connect_options(config: &DatabaseConfig, purpose: Purpose) -> Result<PgConnectOptions, ConfigError> {
    let url = config.url()?;
    // The cause may quote the URL and with it the password.
    let bad = |_| {
        let mend = "write postgres://user:password@host:5432/database, with %-escapes in the password";
        ConfigError::new("DATABASE_URL", "it is not a PostgreSQL URL", mend)
    };
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(bad)?;
    let milliseconds = |it: Duration| it.as_millis().to_string();
    Ok(options.application_name(purpose.name()).statement_cache_capacity(STATEMENTS_CACHED_MAX).options([
        ("statement_timeout", milliseconds(config.statement_timeout)),
        ("lock_timeout", milliseconds(LOCK_TIMEOUT)),
        ("idle_in_transaction_session_timeout", milliseconds(IDLE_IN_TRANSACTION_MAX)),
        (
            "synchronous_commit",
            if sabotage::stands(Guard::SynchronousCommit) { "on" } else { "off" }.to_owned(),
        ),
        ("timezone", "UTC".to_owned()),
        ("jit", "off".to_owned()),
    ]))
}

/// What the check looks at.
#[derive(Debug, Clone)]
struct Facts {
    server_version: i32,
    settings: Vec<(String, String)>,
    superuser: bool,
    bypasses_row_security: bool,
    in_recovery: bool,
    clock_difference: chrono::TimeDelta,
}

/// Refuses a server or role on which the product's promises cannot be kept, naming each setting; logs what is only
/// unwise. Call it at start-up, before serving.
pub async fn verify(pool: &PgPool, purpose: Purpose) -> Result<(), DatabaseError> {
    let facts = facts(pool).await?;
    for warning in warnings(&facts) {
        tracing::warn!(purpose = purpose.name(), warning, "database");
    }
    let refusals = refusals(&facts, purpose);
    if refusals.is_empty() { Ok(()) } else { Err(DatabaseError::Unsafe(refusals)) }
}

async fn facts(pool: &PgPool) -> Result<Facts, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let settings = sqlx::query_as::<_, (String, String)>(
        "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'zero_damaged_pages', \
         'ignore_checksum_failure', 'synchronous_commit', 'row_security', 'data_checksums', 'wal_level', \
         'archive_mode', 'client_connection_check_interval')",
    )
    .fetch_all(&mut *connection)
    .await?;
    let before = Utc::now();
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int4 AS version, pg_is_in_recovery() AS in_recovery, \
         clock_timestamp() AS clock, r.rolsuper, r.rolbypassrls FROM pg_roles r WHERE r.rolname = current_user",
    )
    .fetch_one(&mut *connection)
    .await?;
    let clock: DateTime<Utc> = row.try_get("clock")?;
    // The database read its clock between the two readings of ours.
    let (early, late) = (before - clock, clock - Utc::now());
    Ok(Facts {
        server_version: row.try_get("version")?,
        settings,
        superuser: row.try_get("rolsuper")?,
        bypasses_row_security: row.try_get("rolbypassrls")?,
        in_recovery: row.try_get("in_recovery")?,
        clock_difference: early.max(late).max(chrono::TimeDelta::zero()),
    })
}

impl Facts {
    fn setting(&self, name: &str) -> &str {
        self.settings.iter().find(|(it, _)| it == name).map_or("unknown", |(_, value)| value)
    }
}

fn refusals(facts: &Facts, purpose: Purpose) -> Vec<String> {
    let mut refusals = Vec::new();
    for (name, wanted, why) in [
        ("fsync", &["on"] as &[&str], "a crash would lose acknowledged events"),
        ("full_page_writes", &["on"], "a crash could leave torn pages"),
        ("zero_damaged_pages", &["off"], "damage would silently become absence"),
        // Only superusers see it on some versions; what cannot be read is not refused.
        ("ignore_checksum_failure", &["off", "unknown"], "damage would be served as truth"),
        (
            "synchronous_commit",
            &["on", "remote_write", "remote_apply", "local"],
            "acknowledged events could be lost",
        ),
        ("row_security", &["on"], "the wall between tenants would be down"),
    ] {
        let found = facts.setting(name);
        if !wanted.contains(&found) {
            let wanted = wanted.first().unwrap_or(&"");
            refusals.push(format!("`{name}` is {found}: set it to {wanted}, for {why}"));
        }
    }
    if facts.server_version < SERVER_VERSION_MIN {
        refusals.push(format!("PostgreSQL {} is too old: use 15 or later", facts.server_version / 10_000));
    }
    if purpose != Purpose::Owner && facts.superuser {
        refusals.push(
            "the role of DATABASE_URL is a superuser, whom row security does not bind: use its own role"
                .into(),
        );
    }
    if purpose != Purpose::Owner && facts.bypasses_row_security {
        refusals.push("the role of DATABASE_URL has BYPASSRLS: take it away".to_owned());
    }
    if purpose.writes() && facts.in_recovery {
        refusals.push("the server is a standby (in recovery): point DATABASE_URL at the primary".to_owned());
    }
    if facts.clock_difference.to_std().unwrap_or_default() > CLOCK_DIFFERENCE_MAX {
        let seconds = facts.clock_difference.num_seconds();
        refusals.push(format!("the database's clock differs from ours by {seconds} s: set both by NTP"));
    }
    refusals
}

fn warnings(facts: &Facts) -> Vec<&'static str> {
    let mut warnings = Vec::new();
    if facts.setting("data_checksums") == "off" {
        warnings.push("data_checksums is off: silent damage of the disk will not be noticed");
    }
    if facts.setting("wal_level") == "minimal" || facts.setting("archive_mode") == "off" {
        warnings.push("archive_mode is off: there is no recovery to a point in time");
    }
    if facts.setting("client_connection_check_interval") == "0" {
        warnings.push("client_connection_check_interval is 0: statements run on for clients that are gone");
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safe() -> Facts {
        let settings = [
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("zero_damaged_pages", "off"),
            ("ignore_checksum_failure", "off"),
            ("synchronous_commit", "on"),
            ("row_security", "on"),
        ];
        Facts {
            server_version: 180_006,
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            superuser: false,
            bypasses_row_security: false,
            in_recovery: false,
            clock_difference: chrono::TimeDelta::milliseconds(3),
        }
    }

    #[track_caller]
    fn refused(purpose: Purpose, name: &str, change: impl FnOnce(&mut Facts)) {
        let mut facts = safe();
        change(&mut facts);
        let all = refusals(&facts, purpose);
        assert!(matches!(all.as_slice(), [one] if one.contains(name)), "{all:?}");
    }

    fn set(name: &str, value: &str) -> impl FnOnce(&mut Facts) {
        move |facts| facts.settings.iter_mut().find(|(it, _)| it == name).unwrap().1 = value.to_owned()
    }

    #[test]
    fn a_safe_server_is_taken() {
        assert!(refusals(&safe(), Purpose::Command).is_empty());
        let owner = Facts { superuser: true, bypasses_row_security: true, ..safe() };
        assert!(refusals(&owner, Purpose::Owner).is_empty());
        assert!(refusals(&Facts { in_recovery: true, ..safe() }, Purpose::Query).is_empty());
    }

    #[test]
    fn each_unsafe_setting_is_refused_by_name() {
        for (name, value) in [
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("zero_damaged_pages", "on"),
            ("ignore_checksum_failure", "on"),
            ("synchronous_commit", "off"),
            ("row_security", "off"),
        ] {
            refused(Purpose::Command, name, set(name, value));
        }
        refused(Purpose::Command, "too old", |it| it.server_version = 140_012);
        refused(Purpose::Query, "superuser", |it| it.superuser = true);
        refused(Purpose::Query, "BYPASSRLS", |it| it.bypasses_row_security = true);
        refused(Purpose::Command, "standby", |it| it.in_recovery = true);
        refused(Purpose::Command, "clock", |it| it.clock_difference = chrono::TimeDelta::seconds(6));
    }

    #[test]
    fn a_bad_url_is_refused_without_quoting_it() {
        let error =
            connect_options(&DatabaseConfig::at("hunter2"), Purpose::Command).unwrap_err().to_string();
        assert!(error.contains("DATABASE_URL") && !error.contains("hunter2"), "{error}");
    }
}
