//! Moving money back.

use crate::event::Event;
use crate::ledger::sample::*;
use crate::ledger::*;
use crate::spec::Given;

/// 60.00 from account 1 to account 2 as transfer 1, effective at second 40.
fn paid() -> Given {
    funded().having(PostTransfer { effective_at: Some(at(40)), ..pay(1, 1, 2, "60") })
}

fn reversed(event: &Event) -> &TransferReversed {
    match event {
        Event::Ledger(LedgerEvent::TransferReversed(event)) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn first_an_amount_of_nothing() {
    paid().when(reverse(9, 1, Some(usd("0")))).then_refused_for(LedgerError::AmountNotPositive);
}

#[test]
fn then_a_used_identifier() {
    let refused = LedgerError::TransferExists { transfer_id: transfer_id(1) };
    paid().when(reverse(9, 1, None)).then_refused_for(refused.clone());
    paid().when(reverse(1, 1, None)).then_refused_for(refused);
}

#[test]
fn then_an_unknown_transfer() {
    paid()
        .when(reverse(9, 5, None))
        .then_refused_for(LedgerError::TransferNotFound { transfer_id: transfer_id(9) });
}

#[test]
fn then_what_cannot_be_reversed() {
    let refusal =
        paid().having(reverse(1, 5, None)).when(reverse(5, 6, None)).then_refused("ledger.not-reversible");
    assert_eq!(refusal.details["state"], "a reversal");
    let held = || paid().having(set_aside(2, 60, 1, 2, "1"));
    held().when(reverse(2, 5, None)).then_refused("ledger.not-reversible");
    held().having(void(2)).when(reverse(2, 5, None)).then_refused("ledger.not-reversible");
}

#[test]
fn then_what_is_reversed_already() {
    let refused = LedgerError::AlreadyReversed { transfer_id: transfer_id(1) };
    paid().having(reverse(1, 5, None)).when(reverse(1, 6, Some(usd("999")))).then_refused_for(refused);
}

#[test]
fn then_one_in_too_many_parts() {
    let mut paid = paid();
    for part in 0..999 {
        paid = paid.having(reverse(1, 1_000 + part, Some(usd("0.01"))));
    }
    paid.when(reverse(1, 5, Some(usd("0.01")))).then_refused("ledger.too-many-reversals");
}

#[test]
fn then_more_than_is_left() {
    let refusal =
        paid().when(reverse(1, 5, Some(usd("60.01")))).then_refused("ledger.reversal-exceeds-transfer");
    assert_eq!((&*refusal.details["required"], &*refusal.details["available"]), ("60.01", "60.00"));
    let part = paid().having(reverse(1, 5, Some(usd("20"))));
    let refusal =
        part.when(reverse(1, 6, Some(usd("40.01")))).then_refused("ledger.reversal-exceeds-transfer");
    assert_eq!(refusal.details["available"], "40.00");
}

#[test]
fn then_another_currency_or_a_future_date() {
    paid().when(reverse(1, 5, Some(money("1", "EUR")))).then_refused("ledger.currency-mismatch");
    let future = ReverseTransfer { effective_at: Some(at(101)), ..reverse(1, 5, None) };
    paid().when(future).then_refused("ledger.effective-in-future");
}

#[test]
fn limits_and_freezes_hold_for_reversals_too() {
    let refusal =
        paid().having(pay(2, 2, 0, "10")).when(reverse(1, 5, None)).then_refused("ledger.insufficient-funds");
    assert_eq!(refusal.details["available"], "50.00");
    let frozen = paid().having(FreezeAccount { account_id: account_id(2), side: Frozen::Debits });
    frozen.when(reverse(1, 5, None)).then_refused("ledger.account-frozen");
}

#[test]
fn a_reversal_is_a_transfer_of_its_own_on_both_streams() {
    let (verdict, world) = paid().when(reverse(1, 5, None)).then_accepted();
    let event = &verdict.events[0];
    assert_eq!(verdict.primary, transfer::stream(transfer_id(5)));
    let (own, original) = (transfer::stream(transfer_id(5)), transfer::stream(transfer_id(1)));
    let accounts = [1, 2].map(|number| account::stream(account_id(number)));
    assert_eq!(event.streams(), [own, original, accounts[0], accounts[1]]);
    let sides: Vec<_> = reversed(event).legs.iter().map(|leg| leg.side).collect();
    assert_eq!(sides, [Side::Credit, Side::Debit]);
    assert_eq!(reversed(event).effective_at, at(40));
    assert_eq!(world.state::<Transfer>(transfer_id(5).uuid()), Transfer::Reversal);
    let Account::Open(live) = world.state::<Account>(account_id(1).uuid()) else { panic!("open") };
    assert_eq!(live.totals.balance(Side::Credit), Ok(balance("100")));
}

#[test]
fn reversals_in_parts_add_up_to_the_transfer_leg_by_leg() {
    let legs =
        [debit(1, usd("0.10")), credit(2, usd("0.03")), credit(3, usd("0.03")), credit(4, usd("0.04"))];
    let mut world = funded().having(open(3)).having(open(4)).having(post(1, &legs)).world();
    let mut back = [0_u128; 3];
    for (number, cents) in [(5, "0.05"), (6, "0.01"), (7, "0.03")] {
        let verdict = world.submit(&reverse(1, number, Some(usd(cents))), at(100)).unwrap();
        for leg in &reversed(&verdict.events[0]).legs {
            if let Some(at) = (2..5).position(|number| account_id(number) == leg.account_id) {
                back[at] += leg.amount.minor();
            }
        }
    }
    let verdict = world.submit(&reverse(1, 8, None), at(100)).unwrap();
    assert_eq!(reversed(&verdict.events[0]).legs.len(), 2, "legs of nothing are left out");
    for leg in &reversed(&verdict.events[0]).legs {
        if let Some(at) = (2..5).position(|number| account_id(number) == leg.account_id) {
            back[at] += leg.amount.minor();
        }
    }
    assert_eq!(back, [3, 3, 4]);
    let refused = world.submit(&reverse(1, 9, None), at(100)).unwrap_err();
    assert_eq!(refused.code, "ledger.already-reversed");
}

#[test]
fn a_posted_hold_can_be_reversed_as_far_as_it_was_posted() {
    let world = || paid().having(set_aside(2, 60, 1, 2, "30")).having(capture(2, Some(usd("10"))));
    world().when(reverse(2, 5, Some(usd("10.01")))).then_refused("ledger.reversal-exceeds-transfer");
    let _ = world().when(reverse(2, 5, None)).then_accepted();
    world().having(reverse(2, 5, None)).when(capture(2, None)).then_refused("ledger.hold-already-posted");
}

#[test]
fn a_reversal_into_a_closed_period_takes_effect_now() {
    let closed = || paid().having(ClosePeriod { through: at(50) });
    let (verdict, _) = closed().when(reverse(1, 5, None)).then_accepted();
    assert_eq!(reversed(&verdict.events[0]).effective_at, at(100));
    let dated = |second| ReverseTransfer { effective_at: Some(at(second)), ..reverse(1, 5, None) };
    let (verdict, _) = closed().when(dated(45)).then_accepted();
    assert_eq!(reversed(&verdict.events[0]).effective_at, at(100));
    let (verdict, _) = closed().when(dated(70)).then_accepted();
    assert_eq!(reversed(&verdict.events[0]).effective_at, at(70));
}

#[test]
fn a_reversal_that_meets_an_expired_hold_records_that_first() {
    let held = paid().having(set_aside(2, 10, 2, 1, "60")).at(at(110));
    let judged = held.when(reverse(1, 5, None));
    assert_eq!(judged.events().len(), 2);
    let _ = judged.then_accepted();
}
