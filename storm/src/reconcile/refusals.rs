//! Refusals against the log: money that was said to be lacking was lacking, on the state of the moment and not on an
//! older one.

use domain::ids::TenantId;

use super::Check;
use super::replay::{Standing, Standings};
use crate::journal::{Ask, Book};

/// The code of a refusal for want of money.
const INSUFFICIENT: &str = "ledger.insufficient-funds";

/// Whoever was refused for want of money asked when there was too little: at some position between the newest that
/// anybody had been told of before, and that of the answer.
#[must_use]
pub fn money_was_lacking(book: &Book, standings: &Standings, tenants: &[TenantId]) -> Check {
    let mut check = Check::new("refusals were right");
    let known = Known::of(book);
    for case in book.cases.values() {
        let [Ask::Transfer(it) | Ask::Hold(it)] = case.asks.as_slice() else { continue };
        let (Some(outcome), Some(tenant)) = (case.outcome(), tenants.get(case.tenant)) else { continue };
        if outcome.told.first().is_none_or(|it| it.code != INSUFFICIENT) {
            continue;
        }
        let (from, to) = (known.before(case.first_sent_us), outcome.position.unwrap_or_default());
        let account = standings.get(&(*tenant, it.from)).map_or(&[][..], Vec::as_slice);
        check.look(was_short_of(i64::from(it.cents), account, from, to), || {
            format!("there was enough from {from} to {to} for key {}: {it:?}", case.key)
        });
    }
    check
}

/// Whether an account that may not go below zero had less than `cents` at some position between these two.
fn was_short_of(cents: i64, standings: &[Standing], from: i64, to: i64) -> bool {
    let first = standings.partition_point(|it| it.position <= from);
    let at_first = first.checked_sub(1).and_then(|it| standings.get(it));
    let later = standings.iter().skip(first).take_while(|it| it.position <= to);
    let is_short = |it: &Standing| {
        let [debits, credits, debits_pending, _] = it.figures;
        credits - debits - debits_pending < cents
    };
    // Before its first movement an account has nothing.
    from <= to && (at_first.is_none_or(is_short) || later.into_iter().any(is_short))
}

/// The newest position that anybody had been told of, by time.
struct Known(Vec<(u64, i64)>);

impl Known {
    fn of(book: &Book) -> Self {
        let outcomes = book.cases.values().flat_map(|it| &it.outcomes);
        let mut told: Vec<(u64, i64)> = outcomes.filter_map(|it| Some((it.at_us, it.position?))).collect();
        told.sort_unstable();
        let mut newest = 0;
        for (_, position) in &mut told {
            newest = newest.max(*position);
            *position = newest;
        }
        Self(told)
    }

    fn before(&self, at_us: u64) -> i64 {
        let count = self.0.partition_point(|(told_at, _)| *told_at < at_us);
        count.checked_sub(1).and_then(|it| self.0.get(it)).map_or(0, |(_, position)| *position)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::journal::Move;
    use crate::reconcile::replay::the_log_adds_up;
    use crate::reconcile::sample::*;

    /// Somebody asks for so much of the shop's money after everything else, and is refused.
    fn refused_for(cents: u32, position: i64) -> Check {
        let it = Move { transfer: Uuid::from_u128(77), from: SHOP, to: BANK, cents };
        let mut lines = lines();
        lines.push(sent(20, Ask::Transfer(it)));
        lines.push(answered(20, 422, Some(position), refused(422, INSUFFICIENT)));
        let (_, standings) = the_log_adds_up(&image());
        money_was_lacking(&book(lines), &standings, &tenants())
    }

    #[test]
    fn only_a_refusal_on_an_older_state_is_wrong() {
        assert!(refused_for(201, 5).holds(), "two euros are there");
        // One euro was there once; but whoever asks later must not be judged on that.
        assert_eq!(refused_for(150, 5).faults, 1);
        assert_eq!(refused_for(201, 4).faults, 1, "judged before what everybody knew of");
    }
}
