//! From journal and log to a history that can be checked: when an operation was under way is the journal's, which
//! versions it read and wrote is the log's.

use std::collections::HashMap;

use domain::Event;
use domain::ids::TenantId;
use uuid::Uuid;

use crate::history::{Access, Operation};
use crate::journal::{Book, Case};
use crate::reconcile::image::Image;

/// Who expires holds: the product itself.
const SYSTEM: u32 = 3_000;

/// The operations of a run: every command that made something, every balance that was read, and what the product did by
/// itself.
#[must_use]
pub fn history(book: &Book, image: &Image, tenants: &[TenantId]) -> Vec<Operation> {
    let mut writes: HashMap<i64, Vec<Access>> = HashMap::new();
    for it in &image.links {
        let access = Access { stream: it.stream.as_u128(), version: it.version };
        writes.entry(it.position).or_default().push(access);
    }
    let log = image.by_subject();
    let mut operations = Vec::with_capacity(book.cases.len() + book.reads.len());
    for case in book.cases.values() {
        let Some(tenant) = tenants.get(case.tenant) else { continue };
        let mut written = Vec::new();
        for (ask, _) in case.promised() {
            for entry in log.get(&(*tenant, ask.event_type(), ask.subject())).into_iter().flatten() {
                written.extend(writes.remove(&entry.position).unwrap_or_default());
            }
        }
        if !written.is_empty() {
            operations.push(operation(case, written));
        }
    }
    for entry in &image.entries {
        if let (Event::Ledger(_), Some(writes)) = (&entry.event, writes.remove(&entry.position)) {
            let reads = before(&writes);
            operations.push(Operation { process: SYSTEM, called_us: 0, returned_us: None, reads, writes });
        }
    }
    operations.extend(book.reads.iter().map(|it| Operation {
        process: it.worker,
        called_us: it.called_us,
        returned_us: Some(it.returned_us),
        reads: vec![access(it.account, it.version)],
        writes: Vec::new(),
    }));
    operations
}

fn access(stream: Uuid, version: i64) -> Access {
    Access { stream: stream.as_u128(), version }
}

fn operation(case: &Case, writes: Vec<Access>) -> Operation {
    // Whoever was told first knew; a later answer to the same key says the same again.
    let returned_us = case.outcomes.iter().filter(|it| it.is_success()).map(|it| it.at_us).min();
    Operation {
        process: case.worker,
        called_us: case.first_sent_us,
        returned_us,
        reads: before(&writes),
        writes,
    }
}

/// The versions that these came after, but those among them.
fn before(writes: &[Access]) -> Vec<Access> {
    let before = writes.iter().map(|it| Access { version: it.version - 1, ..*it });
    before.filter(|it| !writes.contains(it)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Kind, check};
    use crate::journal::{BalanceRead, Line};
    use crate::reconcile::sample::{book, image, lines, read, tenants};

    fn kinds(lines: Vec<Line>) -> Vec<Kind> {
        check(&history(&book(lines), &image(), &tenants())).anomalies.into_iter().map(|it| it.kind).collect()
    }

    #[test]
    fn a_good_run_is_a_good_history() {
        let operations = history(&book(lines()), &image(), &tenants());
        assert_eq!(operations.len(), 6, "five commands and a read");
        assert_eq!(check(&operations).anomalies, []);
    }

    #[test]
    fn what_nobody_was_told_of_belongs_to_the_product_itself() {
        let told_less: Vec<Line> = lines().into_iter().take(8).collect();
        let operations = history(&book(told_less), &image(), &tenants());
        let own: Vec<&Operation> = operations.iter().filter(|it| it.process == SYSTEM).collect();
        assert_eq!((operations.len(), own.len()), (5, 1));
        assert_eq!(check(&operations).anomalies, []);
    }

    #[test]
    fn a_balance_that_misses_what_was_acknowledged_is_stale() {
        let mut lines = lines();
        lines.pop();
        let late =
            BalanceRead { called_us: 90, returned_us: 95, version: 2, figures: [0, 100, 0, 0], ..read() };
        lines.push(Line::Read(late));
        assert!(kinds(lines).contains(&Kind::StaleRead));
    }

    #[test]
    fn a_command_that_was_over_before_what_it_builds_on_had_begun_is_found() {
        let mut lines = lines();
        // The hold is said to have been posted before it was asked for.
        if let Line::Sent { at_us, .. } = &mut lines[6] {
            *at_us = 900;
        }
        if let Line::Answered { at_us, .. } = &mut lines[7] {
            *at_us = 905;
        }
        assert!(!kinds(lines).is_empty());
    }
}
