//! Reads that are old, torn or made up are found.

use super::*;
use crate::journal::Line;
use crate::reconcile::replay::the_log_adds_up;
use crate::reconcile::sample::*;

fn check(read: BalanceRead) -> Check {
    let (_, standings) = the_log_adds_up(&image());
    balances_are_true_and_new(&book(vec![Line::Read(read)]), &standings, &tenants())
}

#[test]
fn a_true_and_new_balance_is_not_accused() {
    assert!(check(read()).holds());
    // It may be newer than it says: another of its models was behind.
    assert!(check(BalanceRead { version: 4, figures: [0, 200, 0, 0], ..read() }).holds());
}

#[test]
fn every_other_balance_is() {
    for (wrong, why) in [
        (BalanceRead { figures: [0, 100, 0, 0], ..read() }, "another balance"),
        (BalanceRead { version: 9, ..read() }, "never was"),
        (BalanceRead { account: BANK, ..read() }, "another balance"),
        (BalanceRead { served: 3, ..read() }, "before what was wanted"),
        (BalanceRead { wanted: 5, served: 5, ..read() }, "stale"),
        (BalanceRead { served: 5, ..read() }, "older than it says"),
    ] {
        let check = check(wrong);
        assert_eq!(check.faults, 1, "{why}");
        assert!(check.told[0].contains(why), "{check:?}");
    }
}

#[test]
fn a_live_stream_with_a_gap_a_double_or_another_order_is_found() {
    let check = |live: &[i64]| the_live_stream_is_the_log(live, &image(), TENANT);
    assert!(check(&[1, 2, 3, 4, 5]).holds());
    for live in [&[1, 2, 4, 5][..], &[1, 2, 3, 3, 4, 5], &[1, 3, 2, 4, 5], &[1, 2, 3, 4]] {
        assert_eq!(check(live).faults, 1, "{live:?}");
    }
}
