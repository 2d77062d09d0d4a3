//! Moving money and setting it aside. Each refusal is tested with every later fault present too.

use crate::aggregate::Aggregate as _;
use crate::error::{DomainError, ErrorKind, Refusal};
use crate::event::Event;
use crate::ledger::sample::*;
use crate::ledger::*;
use crate::money::Limit;
use crate::spec::given_nothing;

/// Every fault that a transfer can have, on accounts that have every fault: each test below takes away the earlier ones.
fn faulty() -> PostTransfer {
    let mut transfer = hold(0, Some(0), &[debit(7, usd("0")), debit(7, usd("0"))]);
    transfer.effective_at = Some(at(101));
    transfer
}

fn figures(refusal: &Refusal, names: [&str; 2]) -> [String; 2] {
    names.map(|name| refusal.details[name].clone())
}

#[test]
fn first_too_few_or_too_many_legs() {
    let one = PostTransfer { legs: vec![debit(7, usd("0"))], ..faulty() };
    funded().when(one).then_refused_for(LedgerError::LegCount { legs: 1, min: 2, max: 100 });
    let many = PostTransfer { legs: vec![debit(7, usd("0")); 101], ..faulty() };
    funded().when(many).then_refused_for(LedgerError::LegCount { legs: 101, min: 2, max: 100 });
}

#[test]
fn then_an_amount_of_nothing() {
    funded().when(faulty()).then_refused_for(LedgerError::AmountNotPositive);
}

#[test]
fn then_an_account_twice() {
    let legs = vec![debit(7, usd("1")), credit(7, usd("2"))];
    let refused = LedgerError::SameAccount { account_id: account_id(7) };
    funded().when(PostTransfer { legs, ..faulty() }).then_refused_for(refused);
}

#[test]
fn then_unbalanced_legs() {
    let legs = vec![debit(7, usd("1")), credit(8, usd("2"))];
    let refusal = funded().when(PostTransfer { legs, ..faulty() }).then_refused("ledger.unbalanced-legs");
    assert_eq!(figures(&refusal, ["debits", "credits"]), ["1.00", "2.00"]);
    let currencies = vec![debit(7, usd("1")), credit(8, money("1", "EUR"))];
    funded().when(PostTransfer { legs: currencies, ..faulty() }).then_refused("ledger.unbalanced-legs");
}

#[test]
fn then_a_hold_without_or_beyond_time() {
    let legs = vec![debit(7, usd("1")), credit(8, usd("1"))];
    let max = 316_224_000;
    for seconds in [0, max + 1, u64::MAX] {
        let hold = Some(HoldRequest { expires_in: Some(seconds) });
        let transfer = PostTransfer { legs: legs.clone(), hold, ..faulty() };
        funded().when(transfer).then_refused_for(LedgerError::HoldDuration { seconds, max });
    }
}

#[test]
fn then_a_used_identifier() {
    let transfer = PostTransfer { effective_at: Some(at(101)), ..pay(0, 7, 8, "1") };
    funded().when(transfer).then_refused_for(LedgerError::TransferExists { transfer_id: transfer_id(0) });
}

#[test]
fn then_a_date_before_all_books() {
    let transfer = PostTransfer { effective_at: Some(at(-10_000_000_000)), ..pay(1, 7, 8, "1") };
    funded().when(transfer).then_refused("ledger.too-early");
}

#[test]
fn then_a_future_date() {
    let transfer = PostTransfer { effective_at: Some(at(101)), ..pay(1, 7, 8, "1") };
    funded().when(transfer).then_refused_for(LedgerError::EffectiveInFuture { effective_at: at(101) });
}

#[test]
fn then_a_closed_period() {
    let transfer = PostTransfer { effective_at: Some(at(40)), ..pay(1, 7, 8, "1") };
    let refused = LedgerError::PeriodClosed { effective_at: at(40), closed_through: at(50) };
    funded().having(ClosePeriod { through: at(50) }).when(transfer).then_refused_for(refused);
}

#[test]
fn then_an_unknown_account_even_behind_one_without_funds() {
    let refused = LedgerError::AccountNotFound { account_id: account_id(8) };
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    funded().when(pay(1, 2, 8, "1")).then_refused_for(refused);
}

#[test]
fn then_a_closed_account() {
    let world = funded().having(CloseAccount { account_id: account_id(2) });
    world.when(pay(1, 2, 1, "1")).then_refused_for(LedgerError::AccountClosed { account_id: account_id(2) });
}

#[test]
fn then_another_currency() {
    let legs = [debit(1, money("500", "EUR")), credit(2, money("500", "EUR"))];
    let refusal = frozen(Frozen::Both).when(post(1, &legs)).then_refused("ledger.currency-mismatch");
    assert_eq!(figures(&refusal, ["expected", "given"]), ["USD", "EUR"]);
}

fn frozen(side: Frozen) -> crate::spec::Given {
    funded().having(FreezeAccount { account_id: account_id(1), side })
}

#[test]
fn then_a_frozen_side() {
    let refused = LedgerError::AccountFrozen { account_id: account_id(1) };
    frozen(Frozen::Debits).when(pay(1, 1, 2, "500")).then_refused_for(refused.clone());
    frozen(Frozen::Both).when(pay(1, 1, 2, "500")).then_refused_for(refused.clone());
    frozen(Frozen::Credits).when(pay(1, 0, 1, "1")).then_refused_for(refused.clone());
    frozen(Frozen::Debits).when(set_aside(1, 60, 1, 2, "1")).then_refused_for(refused);
    let _ = frozen(Frozen::Debits).when(pay(1, 0, 1, "1")).then_accepted();
    let _ = frozen(Frozen::Credits).when(pay(1, 1, 2, "1")).then_accepted();
}

#[test]
fn then_more_than_there_is() {
    let refusal = funded().when(pay(1, 1, 2, "100.01")).then_refused("ledger.insufficient-funds");
    assert_eq!(refusal.kind, ErrorKind::Rejected);
    assert_eq!(figures(&refusal, ["required", "available"]), ["100.01", "100.00"]);
    assert_eq!(figures(&refusal, ["account_id", "currency"]), [account_id(1).to_string(), "USD".to_owned()]);
    let _ = funded().when(pay(1, 1, 2, "100")).then_accepted();
}

#[test]
fn what_is_on_hold_is_not_there() {
    let held = || funded().having(set_aside(1, 60, 1, 2, "70"));
    let refusal = held().when(pay(2, 1, 2, "30.01")).then_refused("ledger.insufficient-funds");
    assert_eq!(refusal.details["available"], "30.00");
    let refusal = held().when(set_aside(2, 60, 1, 2, "30.01")).then_refused("ledger.insufficient-funds");
    assert_eq!(refusal.details["available"], "30.00");
    // What is only promised cannot be spent.
    let refusal = held().when(pay(2, 2, 1, "70")).then_refused("ledger.insufficient-funds");
    assert_eq!(refusal.details["available"], "0.00");
}

#[test]
fn an_overdraft_goes_as_deep_as_agreed() {
    let overdrawn = OpenAccount { min_balance: limit("-20"), ..open(3) };
    let refusal = funded()
        .having(overdrawn.clone())
        .when(pay(1, 3, 2, "20.01"))
        .then_refused("ledger.insufficient-funds");
    assert_eq!(refusal.details["available"], "20.00");
    let _ = funded().having(overdrawn).when(pay(1, 3, 2, "20")).then_accepted();
}

#[test]
fn an_account_of_debits_grows_by_debits() {
    let cash = OpenAccount { normal_side: Side::Debit, max_balance: limit("50"), ..open(3) };
    let world = || funded().having(cash.clone()).having(pay(1, 3, 2, "40"));
    let refusal = world().when(pay(2, 2, 3, "40.01")).then_refused("ledger.insufficient-funds");
    assert_eq!(refusal.details["available"], "40.00");
    let refusal = world().when(pay(2, 3, 2, "10.01")).then_refused("ledger.limit-exceeded");
    assert_eq!(figures(&refusal, ["required", "available"]), ["10.01", "10.00"]);
}

#[test]
fn an_upper_limit_counts_what_is_on_its_way() {
    let capped = OpenAccount { max_balance: limit("50"), ..open(3) };
    let world = funded().having(capped).having(pay(1, 1, 3, "20")).having(set_aside(2, 60, 1, 3, "25"));
    let refusal = world.when(pay(3, 1, 3, "5.01")).then_refused("ledger.limit-exceeded");
    assert_eq!(
        figures(&refusal, ["account_id", "available"]),
        [account_id(3).to_string(), "5.00".to_owned()]
    );
}

#[test]
fn several_currencies_balance_each_by_itself() {
    let world = funded().having(open_unbounded(3, "EUR")).having(open_unbounded(4, "EUR"));
    let legs = [
        debit(1, usd("10")),
        credit(0, usd("10")),
        debit(3, money("9", "EUR")),
        credit(4, money("9", "EUR")),
    ];
    let (verdict, _) = world.when(post(1, &legs)).then_accepted();
    let streams = verdict.events[0].streams();
    let accounts = [1, 0, 3, 4].map(|number| account::stream(account_id(number)));
    assert_eq!(streams[0], transfer::stream(transfer_id(1)));
    assert_eq!(streams[1..], accounts);
}

#[test]
fn a_transfer_carries_its_accounts_whole() {
    let (verdict, _) = funded().when(pay(1, 1, 2, "30")).then_accepted();
    let json = serde_json::to_value(&verdict.events[0]).unwrap();
    let leg = |number: u128, side: &str, after: serde_json::Value| {
        serde_json::json!({
            "account_id": account_id(number), "side": side,
            "amount": {"amount": "30.00", "currency": "USD"}, "after": after,
        })
    };
    let expected = serde_json::json!({"event": "ledger.transfer-posted", "payload": {
        "transfer_id": transfer_id(1),
        "legs": [
            leg(1, "debit", serde_json::json!({"version": 3, "debits_posted": "30.00", "credits_posted": "100.00"})),
            leg(2, "credit", serde_json::json!({"version": 2, "credits_posted": "30.00"})),
        ],
        "effective_at": at(100),
    }});
    assert_eq!(json, expected);
    let read: LedgerEvent = serde_json::from_value(json).unwrap();
    assert_eq!(Event::from(read), verdict.events[0]);
}

#[test]
fn a_hold_with_an_end_claims_its_place_on_each_account() {
    let (_, world) = funded().when(set_aside(1, 60, 1, 2, "30")).then_accepted();
    let claim = account::hold_claim(at(160), transfer_id(1));
    for number in [1, 2] {
        assert_eq!(world.claimed(&account::hold_scope(account_id(number))), std::slice::from_ref(&claim));
    }
    let (_, endless) = funded().when(hold(1, None, &pay(1, 1, 2, "30").legs)).then_accepted();
    assert!(endless.claimed(&account::hold_scope(account_id(1))).is_empty());
}

#[test]
fn a_transfer_that_meets_an_expired_hold_records_that_first() {
    let held = || funded().having(set_aside(1, 60, 1, 2, "100"));
    held().at(at(159)).when(pay(2, 1, 2, "100")).then_refused("ledger.insufficient-funds");
    let judged = held().at(at(160)).when(pay(2, 1, 2, "100"));
    let names: Vec<_> = judged
        .events()
        .iter()
        .map(|event| match event {
            Event::Ledger(event) => event.name(),
            _ => "another context",
        })
        .collect();
    assert_eq!(names, ["ledger.hold-expired", "ledger.transfer-posted"]);
    let (_, world) = judged.then_accepted();
    assert!(world.claimed(&account::hold_scope(account_id(1))).is_empty());
}

#[test]
fn what_was_recorded_as_expired_stays_so_behind_a_refusal() {
    let judged = funded().having(set_aside(1, 60, 1, 2, "50")).at(at(160)).when(pay(2, 1, 2, "101"));
    assert_eq!(judged.events().len(), 1);
    judged.then_refused("ledger.insufficient-funds");
}

#[test]
fn an_event_of_another_transfer_changes_nothing() {
    let world = funded()
        .having(pay(1, 1, 2, "60"))
        .having(reverse(1, 5, None))
        .having(set_aside(2, 60, 1, 2, "5"))
        .having(void(2))
        .having(set_aside(3, 60, 1, 2, "5"))
        .having(capture(3, None))
        .world();
    let id = transfer_id(0).uuid();
    let before: Transfer = world.state(id);
    let mut after = before.clone();
    let own = transfer::stream(transfer_id(0));
    for event in world.log().iter().filter(|event| !event.streams().contains(&own)) {
        after.evolve(id, event);
    }
    assert_eq!(after, before);
}

#[test]
fn a_request_is_read_strictly() {
    let leg = |side: &str| {
        format!(
            r#"{{"account_id":"{}","side":"{side}","amount":{{"amount":"1","currency":"USD"}}}}"#,
            account_id(1)
        )
    };
    let read = |extra: &str| {
        serde_json::from_str::<TransferRequest>(&format!(
            r#"{{"legs":[{},{}]{extra}}}"#,
            leg("debit"),
            leg("credit")
        ))
    };
    assert_eq!(
        read(r#","hold":{"expires_in":60}"#).unwrap().hold,
        Some(HoldRequest { expires_in: Some(60) })
    );
    assert_eq!(read(r#","hold":{}"#).unwrap().hold, Some(HoldRequest { expires_in: None }));
    assert_eq!(read("").unwrap().into_decision(transfer_id(5)).transfer_id, transfer_id(5));
    for wrong in [r#","from":"x""#, r#","hold":{"until":"x"}"#, r#","hold":{"expires_in":-1}"#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_account_without_limits_takes_anything() {
    let world = given_nothing().having(open_unbounded(0, "USD")).having(open_unbounded(1, "USD"));
    let (_, world) = world.when(pay(1, 0, 1, "999999999999999.99")).then_accepted();
    let Account::Open(live) = world.state::<Account>(account_id(0).uuid()) else { panic!("open") };
    assert_eq!(live.totals.balance(live.normal_side), Ok(balance("-999999999999999.99")));
    assert_eq!(live.min_balance, Limit::Unbounded);
}
