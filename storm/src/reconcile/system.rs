//! What the storm may not leave behind: read models that differ, transactions that stay open, memory, panics.

use std::path::{Path, PathBuf};

use projector::rebuild::{After, Control, Options, Rebuilder};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use super::Check;

/// A process may need this much more memory than before the storm, in KiB, beside a tenth.
const MEMORY_MORE_KIB: u64 = 64 * 1024;
/// What the errors say that a broken server or link explains. Whatever else is logged as one counts as a fault.
const EXPLAINED: &[&str] = &[
    "error communicating with database",
    "pool timed out while waiting for an open connection",
    "terminating connection",
    "the database system is ",
    "canceling statement due to ",
    "connection already closed",
    "unexpected response from SSLRequest",
    "NATS did not do what it should",
    // A process or its line stands still while it signs in, for longer than the server waits.
    "nats: Authentication Timeout",
    "the log cannot be written: not in time",
];

/// Every read model is built again from the log and compared with the live one, row by row.
///
/// # Errors
/// If a comparison cannot be made.
pub async fn read_models_are_replay(database: PgConnectOptions) -> anyhow::Result<Check> {
    let mut check = Check::new("read models are replay");
    let options = Options { after: After::Drop, keep_previous: false, ..Options::default() };
    let rebuilder = Rebuilder::new(database, options.parts);
    for model in rebuilder.models() {
        let outcome = rebuilder.rebuild(model, &options, &Control::default()).await?;
        let Some(comparison) = outcome.comparison else {
            check.fault(format!("{model} was not compared"));
            continue;
        };
        check.looked_at += u64::try_from(comparison.compared).unwrap_or_default();
        let parked = comparison.parked_live + comparison.parked_rebuilt;
        if !comparison.is_equal() || parked > 0 {
            check.fault(format!(
                "{model}: {} rows missing, {} more, {} other, {parked} parked, {:?} {:?}",
                comparison.missing,
                comparison.extra,
                comparison.differing,
                comparison.skipped,
                comparison.differences
            ));
        }
    }
    Ok(check)
}

/// No session of the product holds a transaction open when nobody asks for anything.
///
/// # Errors
/// If the database does not answer.
pub async fn no_transaction_is_left(conn: &mut PgConnection) -> anyhow::Result<Check> {
    let mut check = Check::new("no transaction left open");
    let sessions = sqlx::query_as::<_, (String, String, bool)>(
        "select application_name, coalesce(state, ''),
                xact_start < clock_timestamp() - interval '3 seconds' is true
         from pg_stat_activity where usename like 'quipu%'",
    )
    .fetch_all(conn)
    .await?;
    for (application, state, is_old) in sessions {
        check.look(!is_old, || format!("{application} is {state}, in a transaction of more than 3 s"));
    }
    Ok(check)
}

/// Memory of a process early and late, in KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Whose.
    pub process: &'static str,
    /// When it had worked for a while.
    pub early_kib: u64,
    /// After the storm.
    pub late_kib: u64,
}

/// Memory is back within a tenth and 64 MiB.
#[must_use]
pub fn memory_is_back(memory: &[Memory]) -> Check {
    let mut check = Check::new("memory is back");
    for Memory { process, early_kib, late_kib } in memory {
        let limit = early_kib + early_kib / 10 + MEMORY_MORE_KIB;
        check.look(*late_kib <= limit, || format!("{process} had {early_kib} KiB and has {late_kib} KiB"));
    }
    check
}

/// The logs of all processes hold no panic and no error that a fault of the storm does not explain.
///
/// # Errors
/// If a log cannot be read.
pub fn logs_are_clean(logs: &[PathBuf]) -> anyhow::Result<Check> {
    let mut check = Check::new("no panic, no unexplained error");
    for path in logs {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for line in lines(path)? {
            let fault = fault(&line);
            check.look(fault.is_none(), || format!("{name}: {}", fault.unwrap_or_default()));
        }
    }
    Ok(check)
}

fn lines(path: &Path) -> anyhow::Result<Vec<String>> {
    // A process that is killed may leave half a line.
    let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
    Ok(text.lines().map(str::to_owned).collect())
}

fn fault(line: &str) -> Option<String> {
    let shown = || line.chars().take(600).collect();
    if line.contains("panicked at") {
        return Some(shown());
    }
    let parsed: Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| parsed.get(name).and_then(Value::as_str);
    // A server's own record of a panic, which nothing explains.
    if field("message") == Some("panic") {
        return Some(shown());
    }
    let is_error = field("level") == Some("ERROR");
    (is_error && !EXPLAINED.iter().any(|it| line.contains(it))).then(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_does_not_come_back_is_seen() {
        let of = |late_kib| Memory { process: "command-api-0", early_kib: 100_000, late_kib };
        assert!(memory_is_back(&[of(110_000 + 64 * 1024)]).holds());
        assert!(!memory_is_back(&[of(110_001 + 64 * 1024)]).holds());
        assert!(!memory_is_back(&[]).holds(), "nothing looked at is nothing shown");
    }

    #[test]
    fn a_panic_and_an_error_are_seen_whatever_is_around_them() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "{\"level\":\"INFO\"}\n{\"level\":\"WA").unwrap();
        assert!(logs_are_clean(std::slice::from_ref(&log)).unwrap().holds());
        std::fs::write(&log, "thread 'main' panicked at src/main.rs:1:1:\n").unwrap();
        assert_eq!(logs_are_clean(std::slice::from_ref(&log)).unwrap().faults, 1);
        let recorded = "{\"level\":\"ERROR\",\"message\":\"panic\",\"place\":\"the database system is \"}\n";
        std::fs::write(&log, recorded).unwrap();
        assert_eq!(logs_are_clean(std::slice::from_ref(&log)).unwrap().faults, 1);
        let explained = "{\"level\":\"ERROR\",\"error\":\"error communicating with database: reset\"}\n";
        std::fs::write(&log, explained).unwrap();
        assert!(logs_are_clean(std::slice::from_ref(&log)).unwrap().holds());
        std::fs::write(&log, format!("{explained}{{\"level\":\"ERROR\",\"message\":\"strange\"}}\n"))
            .unwrap();
        assert_eq!(logs_are_clean(&[log]).unwrap().faults, 1);
    }
}
