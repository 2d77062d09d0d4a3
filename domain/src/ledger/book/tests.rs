//! Periods close in one direction, and nothing becomes effective in them.

use super::*;
use crate::ledger::PostTransfer;
use crate::ledger::sample::*;
use crate::spec::{TENANT, given_nothing};

fn close(through: i64) -> ClosePeriod {
    ClosePeriod { through: at(through) }
}

#[test]
fn only_what_is_over_can_be_closed() {
    for through in [100, 101] {
        let refused = LedgerError::PeriodNotOver { through: at(through) };
        given_nothing().at(at(100)).when(close(through)).then_refused_for(refused);
    }
}

#[test]
fn books_have_a_beginning() {
    let first = ClosePeriod { through: EARLIEST };
    let _ = given_nothing().at(at(100)).when(first).then_accepted();
    let moment = EARLIEST - chrono::TimeDelta::microseconds(1);
    let refused = LedgerError::TooEarly { moment, earliest: EARLIEST };
    given_nothing().at(at(100)).when(ClosePeriod { through: moment }).then_refused_for(refused);
    assert_eq!(EARLIEST.to_rfc3339(), "1900-01-01T00:00:00+00:00");
}

#[test]
fn a_closed_period_stays_closed() {
    let refused = LedgerError::PeriodClosedLater { closed_through: at(50) };
    given_nothing().at(at(100)).having(close(50)).when(close(49)).then_refused_for(refused);
}

#[test]
fn the_same_again_is_already_so() {
    given_nothing().at(at(100)).having(close(50)).when(close(50)).then_already();
}

#[test]
fn a_later_period_is_closed_after_an_earlier_one() {
    let closed = LedgerEvent::PeriodClosed(PeriodClosed { tenant_id: TENANT, through: at(60) });
    given_nothing().at(at(100)).having(close(50)).when(close(60)).then([closed]);
}

#[test]
fn a_book_is_restored_from_its_newest_event() {
    let world = given_nothing().at(at(100)).having(close(50)).having(close(60)).world();
    let newest = world.log().last().unwrap();
    assert_eq!(Book::restore(TENANT.uuid(), newest), Some(world.state(TENANT.uuid())));
}

#[test]
fn nothing_becomes_effective_in_a_closed_period() {
    let pay_at = |second| PostTransfer { effective_at: Some(at(second)), ..pay(1, 1, 2, "1") };
    let refused = LedgerError::PeriodClosed { effective_at: at(50), closed_through: at(50) };
    funded().having(close(50)).when(pay_at(50)).then_refused_for(refused);
    let _ = funded().having(close(50)).when(pay_at(51)).then_accepted();
}
