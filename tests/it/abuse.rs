//! What strangers, mishaps and too much of everything may do to the servers: broken framing, clients that dawdle, bodies
//! that lie, more load than can be borne, a full disk, a pool that is empty, clocks that are wrong, other
//! names of paths.
//!
//! Every test has a short form of some seconds. The long forms have the full figures and are ignored, since they want the
//! machine for themselves; `docs/reliability.md` says how to run them and what they showed.

mod aliases;
mod bodies;
mod clock;
mod connections;
mod disk;
mod framing;
mod migration;
mod mutation;
mod origins;
mod overload;
mod pool;
mod process;
mod restarts;
mod wire;

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use service_kit::problem::EDGE_CODES;

use wire::Reply;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(30);

/// Prints what was measured, for the record.
fn note(what: std::fmt::Arguments<'_>) -> Test {
    Ok(writeln!(std::io::stderr(), "{what}")?)
}

/// Fails unless a refusal is a problem document with a code of the tables, and one that passes says when to come back.
fn is_decent(reply: &Reply) -> Test {
    if reply.status < 400 {
        return Ok(());
    }
    let shown = || format!("{} {:?} {}", reply.status, reply.headers, reply.text());
    anyhow::ensure!(reply.status < 500 || reply.status == 503, "a fault of ours: {}", shown());
    // What clients of OAuth ask is refused in its own words (RFC 6749 section 5.2).
    if reply.header("content-type") == "application/json" && reply.json()["error"].is_string() {
        return Ok(());
    }
    anyhow::ensure!(reply.header("content-type") == "application/problem+json", "no problem: {}", shown());
    let json = reply.json();
    let code = json["code"].as_str().with_context(shown)?;
    let known = EDGE_CODES.iter().find(|it| it.code == code).map(|it| it.status);
    let known = known
        .or_else(|| domain::codes::find(code).map(|it| service_kit::problem::http_status(it.kind).as_u16()));
    anyhow::ensure!(known == Some(reply.status) || code == domain::batch::SIZE, "unknown: {}", shown());
    anyhow::ensure!(json["trace_id"].as_str() == Some(reply.header("x-request-id")), "no trace: {}", shown());
    let waits = matches!(reply.status, 429 | 503);
    anyhow::ensure!(!waits || reply.header("retry-after").parse::<u64>().is_ok(), "no hint: {}", shown());
    Ok(())
}

/// The largest of the figures that a share of them does not exceed.
fn quantile(figures: &mut [Duration], share: f64) -> Duration {
    figures.sort_unstable();
    let count = u32::try_from(figures.len()).unwrap_or(u32::MAX);
    let rank = Duration::from_secs(count.into()).mul_f64(share).as_secs();
    let last = figures.len().saturating_sub(1);
    figures.get(usize::try_from(rank).unwrap_or(last).min(last)).copied().unwrap_or_default()
}
