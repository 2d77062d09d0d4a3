//! Accounts are opened once, frozen, thawed, and closed when empty.

use super::*;
use crate::ledger::sample::*;
use crate::ledger::{PostTransfer, Transfer, TransferHeld};
use crate::money::{Balance, MoneyError};
use crate::spec::{World, given, given_nothing};

fn freeze(number: u128, side: Frozen) -> FreezeAccount {
    FreezeAccount { account_id: account_id(number), side }
}

fn unfreeze(number: u128) -> UnfreezeAccount {
    UnfreezeAccount { account_id: account_id(number) }
}

fn close(number: u128) -> CloseAccount {
    CloseAccount { account_id: account_id(number) }
}

fn live_of(world: &World, number: u128) -> LiveAccount {
    match world.state::<Account>(account_id(number).uuid()) {
        Account::Open(live) => live,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_limit_beyond_the_currency_is_refused_first() {
    let precision = MoneyError::Precision { digits: 3, currency: open(1).currency };
    let wrong = OpenAccount { min_balance: limit("1.005"), ..open(1) };
    given_nothing().having(open(1)).when(wrong).then_refused_for(LedgerError::LimitMalformed(precision));
}

#[test]
fn limits_that_a_new_account_would_break_are_refused_second() {
    for wrong in [
        OpenAccount { min_balance: limit("0.01"), ..open(1) },
        OpenAccount { max_balance: limit("-0.01"), ..open(1) },
    ] {
        given_nothing().having(open(1)).when(wrong).then_refused_for(LedgerError::LimitsExcludeZero);
    }
    let nothing = OpenAccount { min_balance: limit("0"), max_balance: limit("0"), ..open(1) };
    let _ = given_nothing().when(nothing).then_accepted();
}

#[test]
fn an_identifier_is_refused_when_it_was_used() {
    let exists = LedgerError::AccountExists { account_id: account_id(1) };
    given_nothing().having(open(1)).when(open(1)).then_refused_for(exists.clone());
    given_nothing().having(open(1)).having(close(1)).when(open(1)).then_refused_for(exists);
}

#[test]
fn an_account_is_opened_as_asked() {
    let asked = OpenAccount { min_balance: limit("-5"), max_balance: limit("7.5"), ..open(1) };
    let (verdict, world) = given_nothing().when(asked).then_accepted();
    assert_eq!(verdict.primary, stream(account_id(1)));
    let live = live_of(&world, 1);
    assert_eq!((live.min_balance, live.max_balance), (limit("-5.00"), limit("7.50")));
    let json = serde_json::to_value(&world.log()[0]).unwrap();
    assert_eq!(
        (&json["payload"]["min_balance"], &json["payload"]["max_balance"]),
        (&"-5.00".into(), &"7.50".into())
    );
}

#[test]
fn what_is_usual_is_left_out_of_the_event() {
    let (_, world) = given_nothing().when(open(1)).then_accepted();
    let json = serde_json::to_string(&world.log()[0]).unwrap();
    let id = account_id(1);
    let payload = format!(r#"{{"account_id":"{id}","name":"wallet","currency":"USD"}}"#);
    assert_eq!(json, format!(r#"{{"event":"ledger.account-opened","payload":{payload}}}"#));
}

#[test]
fn a_request_says_null_for_no_limit_and_nothing_for_the_usual_one() {
    let read = |json: &str| serde_json::from_str::<OpenAccountRequest>(json);
    let usual = read(r#"{"name":"a","currency":"USD"}"#).unwrap();
    assert_eq!((usual.min_balance, usual.max_balance), (Limit::ZERO, Limit::Unbounded));
    let null = read(r#"{"name":"a","currency":"USD","min_balance":null,"normal_side":"debit"}"#).unwrap();
    assert_eq!((null.min_balance, null.normal_side), (Limit::Unbounded, Side::Debit));
    assert!(read(r#"{"name":"a","currency":"USD","overdraft":"1"}"#).is_err());
    assert_eq!(usual.into_decision(account_id(3)).account_id, account_id(3));
}

#[test]
fn an_unknown_account_cannot_be_frozen_thawed_or_closed() {
    let unknown = LedgerError::AccountNotFound { account_id: account_id(1) };
    given_nothing().when(freeze(1, Frozen::Both)).then_refused_for(unknown.clone());
    given_nothing().when(unfreeze(1)).then_refused_for(unknown.clone());
    given_nothing().when(close(1)).then_refused_for(unknown);
}

#[test]
fn a_closed_account_cannot_be_frozen_or_thawed() {
    let closed = LedgerError::AccountClosed { account_id: account_id(1) };
    let world = || given_nothing().having(open(1)).having(close(1));
    world().when(freeze(1, Frozen::Both)).then_refused_for(closed.clone());
    world().when(unfreeze(1)).then_refused_for(closed);
}

#[test]
fn freezes_add_up_until_they_are_lifted() {
    let world = || given_nothing().having(open(1)).having(freeze(1, Frozen::Debits));
    world().when(freeze(1, Frozen::Debits)).then_already();
    world().when(freeze(1, Frozen::None)).then_already();
    let (_, both) = world().when(freeze(1, Frozen::Credits)).then_accepted();
    assert_eq!(live_of(&both, 1).frozen, Frozen::Both);
    world().having(freeze(1, Frozen::Both)).when(freeze(1, Frozen::Debits)).then_already();
    let (_, thawed) = world().when(unfreeze(1)).then_accepted();
    assert_eq!(live_of(&thawed, 1).frozen, Frozen::None);
    world().having(unfreeze(1)).when(unfreeze(1)).then_already();
}

#[test]
fn freezes_and_thaws_carry_the_account_whole() {
    let (verdict, world) = funded().when(freeze(1, Frozen::Debits)).then_accepted();
    let [Event::Ledger(LedgerEvent::AccountFrozen(AccountFrozen { after, .. }))] = &verdict.events[..] else {
        panic!("{:?}", verdict.events)
    };
    assert_eq!((after.version, after.frozen), (3, Frozen::Debits));
    assert_eq!(world.version(stream(account_id(1))), 3);
    let (verdict, _) = funded().having(freeze(1, Frozen::Both)).when(unfreeze(1)).then_accepted();
    let [Event::Ledger(LedgerEvent::AccountUnfrozen(AccountUnfrozen { after, .. }))] = &verdict.events[..]
    else {
        panic!("{:?}", verdict.events)
    };
    assert_eq!((after.version, after.frozen), (4, Frozen::None));
}

#[test]
fn sides_are_called_the_same_in_rows_and_in_json() {
    for side in [Side::Debit, Side::Credit] {
        assert_eq!(serde_json::to_value(side).unwrap(), side.as_str());
    }
}

#[test]
fn an_account_with_money_on_it_cannot_be_closed() {
    let refusal = funded().when(close(1)).then_refused("ledger.account-not-empty");
    assert_eq!(refusal.details["balance"], "100.00");
    assert_eq!(refusal.details["debits_pending"], "0.00");
    assert_eq!(refusal.details["currency"], "USD");
}

#[test]
fn an_account_with_a_hold_on_it_cannot_be_closed() {
    let refusal =
        funded().having(set_aside(1, 60, 1, 2, "5")).when(close(2)).then_refused("ledger.account-not-empty");
    assert_eq!((&*refusal.details["balance"], &*refusal.details["credits_pending"]), ("0.00", "5.00"));
}

#[test]
fn an_account_whose_holds_are_over_can_be_closed() {
    let held = funded().having(set_aside(1, 60, 1, 2, "5")).at(at(160));
    let (_, world) = held.when(close(2)).then_accepted();
    assert_eq!(world.state::<Transfer>(transfer_id(1).uuid()), Transfer::Expired);
    assert_eq!(world.state::<Account>(account_id(2).uuid()), Account::Closed);
}

#[test]
fn an_empty_account_is_closed_once() {
    funded().having(pay(1, 1, 0, "100")).having(close(1)).when(close(1)).then_already();
}

#[test]
fn claims_of_holds_are_in_order_of_expiry_and_read_back() {
    let (early, late) = (at(0), at(0) + chrono::TimeDelta::microseconds(1));
    let claims = [hold_claim(late, transfer_id(1)), hold_claim(early, transfer_id(2))];
    assert_eq!(claims[1], format!("2023-11-14T22:13:20.000000Z/{}", transfer_id(2)));
    assert!(claims[1] < claims[0]);
    assert_eq!(parse_hold_claim(&claims[0]), Some((late, transfer_id(1))));
    for wrong in ["", "/", "2023-11-14T22:13:20.000000Z/x", "x/7f01"] {
        assert_eq!(parse_hold_claim(wrong), None, "{wrong}");
    }
}

#[test]
fn an_account_restored_from_its_newest_event_lacks_only_its_holds() {
    let world = funded()
        .having(set_aside(1, 60, 1, 2, "5"))
        .having(set_aside(2, 30, 1, 2, "6"))
        .having(freeze(2, Frozen::Debits))
        .world();
    let id = account_id(2).uuid();
    let newest = world.history(stream(account_id(2))).last().unwrap();
    let mut restored = Account::restore(id, newest).unwrap();
    let scope = restored.incomplete(id).unwrap();
    assert_eq!(scope, hold_scope(account_id(2)));
    assert_ne!(restored, world.state(id));
    restored.complete(&world.claimed(&scope));
    assert_eq!(restored, world.state(id));
    assert_eq!(restored.incomplete(id), None);
}

#[test]
fn an_event_of_another_account_changes_nothing() {
    let world = funded()
        .having(set_aside(1, 60, 1, 2, "5"))
        .having(freeze(2, Frozen::Debits))
        .having(unfreeze(2))
        .having(open(3))
        .having(close(3))
        .world();
    let mut account = Account::Absent;
    for event in world.log() {
        account.evolve(account_id(9).uuid(), event);
    }
    assert_eq!(account, Account::Absent);
}

#[test]
fn a_figure_beyond_the_range_of_balances_is_refused() {
    let most = Balance::checked(Balance::MAX).unwrap();
    let mut events = funded().having(set_aside(1, 60, 1, 0, "1")).world().log().to_vec();
    for event in &mut events {
        if let Event::Ledger(LedgerEvent::TransferHeld(TransferHeld { legs, .. })) = event {
            legs[1].after.credits_posted = most;
        }
    }
    let pay: PostTransfer = pay(2, 1, 0, "0.01");
    given(events)
        .at(at(100))
        .when(pay)
        .then_refused_for(LedgerError::BalanceOverflow { account_id: account_id(0) });
}
