//! Holds end once: posted, voided or expired.

use crate::decision::{Decision, View};
use crate::event::Event;
use crate::ledger::sample::*;
use crate::ledger::*;
use crate::money::Limit;
use crate::spec::{Given, TENANT, World};

/// 60.00 from account 1 to account 2, until second 160.
fn held() -> Given {
    funded().having(set_aside(1, 60, 1, 2, "60"))
}

fn totals(world: &World, number: u128) -> [String; 4] {
    let Account::Open(live) = world.state::<Account>(account_id(number).uuid()) else { panic!("open") };
    let Totals { debits_posted, credits_posted, debits_pending, credits_pending } = live.totals;
    [debits_posted, credits_posted, debits_pending, credits_pending].map(|figure| figure.to_string())
}

#[test]
fn first_an_amount_of_nothing() {
    held().when(capture(9, Some(usd("0")))).then_refused_for(LedgerError::AmountNotPositive);
}

#[test]
fn then_an_unknown_transfer() {
    let unknown = LedgerError::TransferNotFound { transfer_id: transfer_id(9) };
    held().when(capture(9, None)).then_refused_for(unknown.clone());
    held().when(void(9)).then_refused_for(unknown.clone());
    held().when(expire(9)).then_refused_for(unknown);
}

#[test]
fn then_a_transfer_that_is_not_a_hold() {
    let refused = LedgerError::NotAHold { transfer_id: transfer_id(0) };
    held().when(capture(0, None)).then_refused_for(refused.clone());
    held().when(void(0)).then_refused_for(refused.clone());
    held().when(expire(0)).then_refused_for(refused);
    let reversed = held().having(reverse(0, 5, Some(usd("1"))));
    reversed.when(void(5)).then_refused_for(LedgerError::NotAHold { transfer_id: transfer_id(5) });
}

#[test]
fn then_a_hold_that_has_ended() {
    let posted = LedgerError::HoldAlreadyPosted { transfer_id: transfer_id(1) };
    held().having(capture(1, None)).when(capture(1, None)).then_refused_for(posted.clone());
    held().having(capture(1, None)).when(void(1)).then_refused_for(posted);
    let voided = LedgerError::HoldAlreadyVoided { transfer_id: transfer_id(1) };
    held().having(void(1)).when(capture(1, None)).then_refused_for(voided.clone());
    held().having(void(1)).when(void(1)).then_refused_for(voided);
    let expired = LedgerError::HoldAlreadyExpired { transfer_id: transfer_id(1) };
    held().at(at(160)).having(expire(1)).when(capture(1, None)).then_refused_for(expired.clone());
    held().at(at(160)).having(expire(1)).when(void(1)).then_refused_for(expired);
}

#[test]
fn a_hold_whose_time_is_over_is_recorded_as_expired_before_it_is_refused() {
    for judged in [held().at(at(160)).when(capture(1, None)), held().at(at(160)).when(void(1))] {
        assert!(matches!(judged.events(), [Event::Ledger(LedgerEvent::HoldExpired(_))]));
        judged.then_refused("ledger.hold-already-expired");
    }
}

#[test]
fn a_hold_whose_time_is_over_is_refused_though_nothing_was_recorded() {
    let world = held().world();
    let refusal = capture(1, None).decide(&View::new(TENANT, at(160), &world)).unwrap_err();
    assert_eq!(refusal, LedgerError::HoldExpired { transfer_id: transfer_id(1), expired_at: at(160) }.into());
    let refusal = void(1).decide(&View::new(TENANT, at(160), &world)).unwrap_err();
    assert_eq!(refusal.code, "ledger.hold-expired");
}

#[test]
fn then_a_part_of_several_currencies() {
    let legs =
        [debit(1, usd("1")), credit(0, usd("1")), debit(3, money("9", "EUR")), credit(4, money("9", "EUR"))];
    let world = || {
        funded()
            .having(open_unbounded(3, "EUR"))
            .having(open_unbounded(4, "EUR"))
            .having(hold(1, None, &legs))
    };
    let refused = LedgerError::PartOfCurrencies { transfer_id: transfer_id(1) };
    world().when(capture(1, Some(money("1", "JPY")))).then_refused_for(refused);
    let _ = world().when(capture(1, None)).then_accepted();
}

#[test]
fn then_a_part_in_another_currency() {
    held().when(capture(1, Some(money("100", "EUR")))).then_refused("ledger.currency-mismatch");
}

#[test]
fn then_more_than_is_on_hold() {
    let refusal = held().when(capture(1, Some(usd("60.01")))).then_refused("ledger.capture-exceeds-hold");
    assert_eq!((&*refusal.details["required"], &*refusal.details["available"]), ("60.01", "60.00"));
}

#[test]
fn then_a_date_in_the_future_or_in_a_closed_period() {
    let dated = |second| PostHold { effective_at: Some(at(second)), ..capture(1, None) };
    held().when(dated(101)).then_refused("ledger.effective-in-future");
    held().having(ClosePeriod { through: at(50) }).when(dated(50)).then_refused("ledger.period-closed");
}

#[test]
fn then_a_frozen_account_but_giving_up_is_always_possible() {
    let frozen = || held().having(FreezeAccount { account_id: account_id(2), side: Frozen::Both });
    frozen()
        .when(capture(1, None))
        .then_refused_for(LedgerError::AccountFrozen { account_id: account_id(2) });
    let _ = frozen().when(void(1)).then_accepted();
    let (verdict, _) = frozen().at(at(160)).when(expire(1)).then_accepted();
    assert_eq!(verdict.events.len(), 1);
}

#[test]
fn a_posted_hold_moves_the_money_and_gives_up_its_claims() {
    let (verdict, world) = held().when(capture(1, None)).then_accepted();
    assert_eq!(verdict.valid_until, Some(at(160)));
    assert_eq!(totals(&world, 1), ["60.00", "100.00", "0.00", "0.00"]);
    assert_eq!(totals(&world, 2), ["0.00", "60.00", "0.00", "0.00"]);
    assert!(world.claimed(&account::hold_scope(account_id(1))).is_empty());
    assert!(world.claimed(&account::hold_scope(account_id(2))).is_empty());
}

#[test]
fn the_whole_of_a_hold_can_be_asked_for_by_its_amount() {
    let (_, world) = held().when(capture(1, Some(usd("60")))).then_accepted();
    assert_eq!(totals(&world, 1), ["60.00", "100.00", "0.00", "0.00"]);
    assert_eq!(totals(&world, 2), ["0.00", "60.00", "0.00", "0.00"]);
}

#[test]
fn a_hold_is_overdue_from_its_end_on_and_not_before() {
    let world = held().world();
    let overdue =
        |decision: &dyn Decision, second| decision.overdue(&View::new(TENANT, at(second), &world)).len();
    for decision in [&capture(1, None) as &dyn Decision, &void(1)] {
        assert_eq!((overdue(decision, 159), overdue(decision, 160)), (0, 1), "{}", decision.name());
    }
}

#[test]
fn whoever_meets_a_hold_past_its_end_asks_for_it_and_for_its_accounts() {
    let world = held().world();
    let close = CloseAccount { account_id: account_id(1) };
    let needs = |second| close.needs(&View::new(TENANT, at(second), &world));
    let own = account::stream(account_id(1));
    assert_eq!(needs(159), [own]);
    let of_hold = [transfer::stream(transfer_id(1)), own, account::stream(account_id(2))];
    assert_eq!(needs(160), [&[own], &of_hold[..]].concat());
}

#[test]
fn a_hold_posted_in_part_frees_the_rest() {
    let (_, world) = held().when(capture(1, Some(usd("25")))).then_accepted();
    assert_eq!(totals(&world, 1), ["25.00", "100.00", "0.00", "0.00"]);
    assert_eq!(totals(&world, 2), ["0.00", "25.00", "0.00", "0.00"]);
}

#[test]
fn a_part_is_divided_over_the_legs_of_each_side() {
    let legs = [debit(1, usd("10")), credit(2, usd("3.33")), credit(3, usd("3.33")), credit(4, usd("3.34"))];
    let world = funded().having(open(3)).having(open(4)).having(hold(1, None, &legs));
    let (verdict, _) = world.when(capture(1, Some(usd("0.02")))).then_accepted();
    let Event::Ledger(event) = &verdict.events[0] else { panic!("ledger") };
    let amounts: Vec<_> = event.legs().iter().map(|leg| leg.amount.amount().to_string()).collect();
    assert_eq!(amounts, ["0.02", "0.01", "0.00", "0.01"]);
    assert!(
        event
            .legs()
            .iter()
            .all(|leg| leg.after.credits_pending.is_zero() && leg.after.debits_pending.is_zero())
    );
}

#[test]
fn a_voided_hold_leaves_everything_as_it_was() {
    let (verdict, world) = held().when(void(1)).then_accepted();
    assert_eq!(verdict.valid_until, Some(at(160)));
    assert_eq!(totals(&world, 1), ["0.00", "100.00", "0.00", "0.00"]);
    assert!(world.claimed(&account::hold_scope(account_id(1))).is_empty());
}

#[test]
fn expiring_does_nothing_before_its_time_or_after_the_end() {
    held().at(at(159)).when(expire(1)).then_already();
    held().having(capture(1, None)).at(at(160)).when(expire(1)).then_already();
    held().having(void(1)).at(at(160)).when(expire(1)).then_already();
    held().at(at(160)).having(expire(1)).when(expire(1)).then_already();
    funded().having(hold(1, None, &pay(1, 1, 2, "1").legs)).at(at(1_000_000)).when(expire(1)).then_already();
}

#[test]
fn a_posted_hold_stays_within_the_limits_that_it_was_counted_for() {
    let tight = OpenAccount { max_balance: Limit::At(balance("60")), ..open(3) };
    let world = funded().having(tight).having(set_aside(1, 60, 1, 3, "60")).having(pay(2, 1, 2, "40"));
    let (_, world) = world.when(capture(1, None)).then_accepted();
    assert_eq!(totals(&world, 1), ["100.00", "100.00", "0.00", "0.00"]);
    assert_eq!(totals(&world, 3), ["0.00", "60.00", "0.00", "0.00"]);
}

#[test]
fn sixty_four_expired_holds_at_a_time_are_recorded_until_none_is_left() {
    let mut world = funded();
    for number in 0..70 {
        world = world.having(set_aside(100 + number, 60, 1, 2, "1"));
    }
    let judged = world.at(at(200)).when(pay(1, 1, 2, "100"));
    assert_eq!(judged.events().len(), 71);
}
