//! Rebuilt tables against the live ones, each row of them, at one position.
//!
//! The live checkpoint is locked, the shadow follows to exactly there, a snapshot is taken, the lock goes: from then on
//! the snapshot holds both sides as of one position, and the live follower goes on. Large tables are compared in ranges
//! of their primary key, each in a snapshot that is young, so none is ever old.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _, Transaction};
use tokio::time::Instant;

use super::build::MOMENT_WAIT;
use super::catch_up::Shadow;
use super::pace::Meter;
use super::swap::{self, LEVEL_MAX};
use super::{Comparison, Control, Difference, Phase, RebuildError, Rebuildable, Table, record};
use crate::follower::Follower as _;

/// The most differences that are shown one by one.
pub const DIFFERENCES_MAX: usize = 20;
/// Rows of one range.
const RANGE_ROWS: i64 = 200_000;
/// A snapshot that is older is given up for a new one.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_secs(10);
/// Longest comparison of one range.
const STATEMENT_TIMEOUT: &str = "30s";
const TRIES_MAX: u32 = 300;

/// Compares every table of a model; the shadow follows the live model meanwhile.
pub(crate) async fn compare(
    shadow: &mut Shadow,
    model: &dyn Rebuildable,
    control: &Control,
) -> Result<Comparison, RebuildError> {
    let mut found = Comparison { position: shadow.checkpoint.position, ..Comparison::default() };
    if let Some(reason) = incomparable(shadow).await? {
        found.skipped = Some(reason);
        return Ok(found);
    }
    let meter = Meter::begin(control, shadow.slice.name(), Phase::Comparing, 0, None);
    let mut snapshot: Option<(Transaction<'static, Postgres>, Instant)> = None;
    for table in model.tables() {
        let mut behind: Option<String> = None;
        loop {
            let (mut tx, since) = match snapshot.take() {
                Some((tx, since)) if since.elapsed() < SNAPSHOT_AGE_MAX => (tx, since),
                old => {
                    drop(old);
                    (level(shadow).await?, Instant::now())
                }
            };
            let began = Instant::now();
            let plan = Plan::of(&mut tx, shadow, table, model.expected_differences()).await?;
            let end = plan.end(&mut tx, behind.as_deref()).await?;
            plan.compare(&mut tx, behind.as_deref(), end.as_deref(), &mut found).await?;
            found.position = shadow.checkpoint.position;
            meter.tell(found.compared + found.missing + found.extra);
            // Nobody rests on an open snapshot.
            snapshot = shadow.pace.is_full().then_some((tx, since));
            shadow.pace.rest(began.elapsed()).await;
            behind = end;
            if behind.is_none() {
                break;
            }
        }
    }
    drop(snapshot);
    let mut conn = shadow.pool.acquire().await?;
    if let Some(live) = record::live(&mut conn, shadow.slice.name()).await? {
        found.parked_live = live.parked;
        found.live_version = Some(live.version).filter(|it| *it != shadow.version);
    }
    found.parked_rebuilt = i64::try_from(shadow.parked.len()).unwrap_or(i64::MAX);
    Ok(found)
}

/// Why the live tables say nothing about the rebuilt ones.
async fn incomparable(shadow: &Shadow) -> Result<Option<String>, RebuildError> {
    let mut conn = shadow.pool.acquire().await?;
    let Some(live) = record::live(&mut conn, shadow.slice.name()).await? else {
        return Ok(Some("no projector has ever led this model".to_owned()));
    };
    let epoch = event_store::epoch::head(&mut conn).await?.epoch;
    Ok(if live.checkpoint.epoch != epoch {
        Some(format!("the live tables are of epoch {}, the log of epoch {epoch}", live.checkpoint.epoch))
    } else if live.checkpoint.position < shadow.checkpoint.position {
        Some(format!("the live tables stand before position {}", shadow.checkpoint.position))
    } else {
        None
    })
}

/// A snapshot in which both sides stand at one position.
async fn level(shadow: &mut Shadow) -> Result<Transaction<'static, Postgres>, RebuildError> {
    let model = shadow.slice.name();
    for _ in 0..TRIES_MAX {
        let goal = swap::goal(shadow).await?;
        shadow.follow(goal.position, None).await?;
        let mut lock = shadow.pool.begin().await?;
        let Some(live) = record::live_locked(&mut lock, model).await? else {
            return Err(RebuildError::Busy("the live model is gone"));
        };
        let behind = live.checkpoint.position - shadow.checkpoint.position;
        if (0..=LEVEL_MAX).contains(&behind) {
            shadow.follow(live.checkpoint.position, None).await?;
            let mut tx = shadow.pool.begin_with("begin isolation level repeatable read read only").await?;
            sqlx::query!(
                "select set_config('search_path', 'pg_catalog', true) as path,
                        set_config('statement_timeout', $1, true) as statement",
                STATEMENT_TIMEOUT
            )
            .fetch_one(&mut *tx)
            .await?;
            lock.rollback().await?;
            return Ok(tx);
        }
        lock.rollback().await?;
        tokio::time::sleep(MOMENT_WAIT).await;
    }
    Err(RebuildError::Busy("the live model moved on too fast at every try"))
}

/// How one table is compared. All names come from the catalogue.
struct Plan {
    table: Table,
    live: String,
    rebuilt: String,
    /// Columns of the primary key, with their types.
    key: Vec<(String, String)>,
    /// Columns that must be the same.
    columns: Vec<String>,
    left_out: Vec<String>,
    only: String,
}

impl Plan {
    async fn of(
        conn: &mut PgConnection,
        shadow: &Shadow,
        table: Table,
        expected: &[&str],
    ) -> sqlx::Result<Self> {
        let live = format!("read.{table}");
        let rebuilt = format!("{}.{table}", shadow.schema);
        let key = sqlx::query!(
            r#"select quote_ident(a.attname) as "name!", format_type(a.atttypid, null) as "type!"
               from pg_index i cross join unnest(i.indkey) with ordinality as k (attnum, n)
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
               where i.indrelid = to_regclass($1) and i.indisprimary order by k.n"#,
            rebuilt
        )
        .map(|row| (row.name, row.r#type))
        .fetch_all(&mut *conn)
        .await?;
        let sides = sqlx::query!(
            r#"select quote_ident(attname) as "name!", count(*) as "sides!" from pg_attribute
               where attrelid in (to_regclass($1), to_regclass($2)) and attnum > 0 and not attisdropped
               group by attname order by attname"#,
            live,
            rebuilt
        )
        .fetch_all(conn)
        .await?;
        let mut columns = Vec::new();
        let mut left_out = Vec::new();
        for row in sides {
            if row.sides == 2 && !expected.contains(&row.name.as_str()) {
                columns.push(row.name);
            } else {
                left_out.push(format!("{table}.{}", row.name));
            }
        }
        let only = match shadow.slice.tenant {
            Some(tenant) => format!("tenant_id = '{tenant}'"),
            None => "true".to_owned(),
        };
        Ok(Self { table, live, rebuilt, key, columns, left_out, only })
    }

    /// The key, as columns of an alias.
    fn key_of(&self, alias: &str) -> String {
        let columns: Vec<String> = self.key.iter().map(|(name, _)| format!("{alias}.{name}")).collect();
        columns.join(", ")
    }

    /// The last key of the range that begins behind a key; nothing if the range goes to the end. A key is written as
    /// the values of a row constructor.
    async fn end(&self, conn: &mut PgConnection, behind: Option<&str>) -> sqlx::Result<Option<String>> {
        let literals: Vec<String> =
            self.key.iter().map(|(name, kind)| format!("quote_literal(t.{name}) || '::{kind}'")).collect();
        let statement = format!(
            "select concat_ws(', ', {}) from {} t where {} and {} order by {} offset {} limit 1",
            literals.join(", "),
            self.live,
            self.only,
            self.range("t", behind, None),
            self.key_of("t"),
            RANGE_ROWS - 1
        );
        sqlx::query_scalar(AssertSqlSafe(statement)).fetch_optional(conn).await
    }

    fn range(&self, alias: &str, behind: Option<&str>, end: Option<&str>) -> String {
        let key = self.key_of(alias);
        let behind = behind.map_or_else(|| "true".to_owned(), |it| format!("({key}) > ({it})"));
        let end = end.map_or_else(|| "true".to_owned(), |it| format!("({key}) <= ({it})"));
        format!("{behind} and {end}")
    }

    async fn compare(
        &self,
        conn: &mut PgConnection,
        behind: Option<&str>,
        end: Option<&str>,
        found: &mut Comparison,
    ) -> sqlx::Result<()> {
        for column in &self.left_out {
            if !found.left_out.contains(column) {
                found.left_out.push(column.clone());
            }
        }
        let range = self.range("t", behind, end);
        let on: Vec<String> = self.key.iter().map(|(name, _)| format!("l.{name} = r.{name}")).collect();
        let differs: Vec<String> =
            self.columns.iter().map(|name| format!("l.{name} is distinct from r.{name}")).collect();
        let (on, differs) = (on.join(" and "), differs.join(" or "));
        let sides = format!(
            "(select true as here, t.* from {} t where {} and {range}) l
             full join (select true as here, t.* from {} t where {} and {range}) r on {on}",
            self.live, self.only, self.rebuilt, self.only
        );
        let counts = format!(
            "select count(*) filter (where l.here and r.here), count(*) filter (where r.here is null),
                    count(*) filter (where l.here is null), count(*) filter (where l.here and r.here and ({differs}))
             from {sides}"
        );
        let (both, missing, extra, differing): (i64, i64, i64, i64) =
            sqlx::query_as(AssertSqlSafe(counts)).fetch_one(&mut *conn).await?;
        found.compared += both;
        found.missing += missing;
        found.extra += extra;
        found.differing += differing;
        let room = DIFFERENCES_MAX.saturating_sub(found.differences.len());
        if missing + extra + differing > 0 && room > 0 {
            let statement = format!(
                "select to_jsonb(l) - 'here' as live, to_jsonb(r) - 'here' as rebuilt from {sides}
                 where l.here is null or r.here is null or {differs} order by {}, {} limit {room}",
                self.key_of("l"),
                self.key_of("r")
            );
            for row in sqlx::query(AssertSqlSafe(statement)).fetch_all(conn).await? {
                self.tell(row.try_get("live")?, row.try_get("rebuilt")?, found);
            }
        }
        Ok(())
    }

    /// Adds what one row differs in.
    fn tell(
        &self,
        live: Option<serde_json::Value>,
        rebuilt: Option<serde_json::Value>,
        found: &mut Comparison,
    ) {
        let some = live.as_ref().or(rebuilt.as_ref());
        let part = |(name, _): &(String, String)| {
            let value = some.and_then(|row| row.get(name)).map(text).unwrap_or_default();
            format!("{name}={value}")
        };
        let key = self.key.iter().map(part).collect::<Vec<_>>().join(" ");
        let difference = |column: Option<String>, live: Option<String>, rebuilt: Option<String>| Difference {
            table: self.table.to_owned(),
            key: key.clone(),
            column,
            live,
            rebuilt,
        };
        match (live, rebuilt) {
            (Some(live), Some(rebuilt)) => {
                let values = self.columns.iter().map(|name| (name, live.get(name), rebuilt.get(name)));
                for (name, live, rebuilt) in values.filter(|(_, live, rebuilt)| live != rebuilt) {
                    found.differences.push(difference(Some(name.clone()), live.map(text), rebuilt.map(text)));
                }
            }
            (live, rebuilt) => found.differences.push(difference(
                None,
                live.map(|it| it.to_string()),
                rebuilt.map(|it| it.to_string()),
            )),
        }
        found.differences.truncate(DIFFERENCES_MAX);
    }
}

/// A value as a person reads it.
fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}
