//! What was read against the log: a balance is what its version was, and no older than what its reader knew of.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use domain::ids::TenantId;

use super::Check;
use super::image::Image;
use super::replay::{Standing, Standings};
use crate::journal::{BalanceRead, Book};
use crate::load::readers::Seen;

/// Every balance that was read is the one of its version, and includes everything that anybody had been told before.
#[must_use]
pub fn balances_are_true_and_new(book: &Book, standings: &Standings, tenants: &[TenantId]) -> Check {
    let mut check = Check::new("balances read");
    for read in &book.reads {
        let account = tenants.get(read.tenant).and_then(|tenant| standings.get(&(*tenant, read.account)));
        let fault = fault(read, account.map_or(&[], Vec::as_slice));
        check.look(fault.is_none(), || format!("{}: {read:?}", fault.unwrap_or_default()));
    }
    check
}

fn fault(read: &BalanceRead, standings: &[Standing]) -> Option<&'static str> {
    let Some(seen) = standings.iter().find(|it| it.version == read.version) else {
        return Some("a version that never was");
    };
    let until = |position: i64| {
        let count = standings.partition_point(|it| it.position <= position);
        count.checked_sub(1).and_then(|it| standings.get(it)).map_or(0, |it| it.version)
    };
    if seen.figures != read.figures {
        Some("another balance than that of its version")
    } else if read.served < read.wanted {
        Some("served from before what was wanted")
    } else if read.version < until(read.wanted) {
        Some("stale: somebody had been told more")
    } else if read.version < until(read.served) {
        Some("older than it says")
    } else {
        None
    }
}

/// What answers themselves showed to be wrong: sums, doubles, statuses.
#[must_use]
pub fn answers_were_consistent(seen: &Seen) -> Check {
    let mut check = Check::new("trial balances and lists");
    check.looked_at = seen.trial_balances.load(Ordering::Relaxed) + seen.lists.load(Ordering::Relaxed);
    let faults = seen.faults.lock().unwrap_or_else(PoisonError::into_inner);
    faults.iter().for_each(|it| check.fault(it.clone()));
    check
}

/// A live stream that was resumed again and again gave every event of its tenant once, in order.
#[must_use]
pub fn the_live_stream_is_the_log(live: &[i64], image: &Image, tenant: TenantId) -> Check {
    let mut check = Check::new("live stream is the log");
    let log: Vec<i64> = image.entries.iter().filter(|it| it.tenant == tenant).map(|it| it.position).collect();
    check.looked_at = log.len() as u64;
    if let Some((at, (live, log))) = live.iter().zip(&log).enumerate().find(|(_, (live, log))| live != log) {
        check.fault(format!("event {} of the tenant is {log}, the stream gave {live}", at + 1));
    } else if live.len() != log.len() {
        check.fault(format!("the stream gave {} events of {}", live.len(), log.len()));
    }
    check
}

#[cfg(test)]
mod tests;
