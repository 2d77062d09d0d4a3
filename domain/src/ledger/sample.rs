//! Short names for the ledger's tests.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::*;
use crate::metadata::{Label, Metadata};
use crate::money::{Balance, Currency, Limit, Money};
use crate::spec::{Given, given_nothing};

pub(super) fn account_id(number: u128) -> AccountId {
    AccountId::new(Uuid::from_u128(0xacc0 + number))
}

pub(super) fn transfer_id(number: u128) -> TransferId {
    TransferId::new(Uuid::from_u128(0x7f00 + number))
}

pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

pub(super) fn money(amount: &str, currency: &str) -> Money {
    Money::parse(amount, Currency::parse(currency).unwrap()).unwrap()
}

pub(super) fn usd(amount: &str) -> Money {
    money(amount, "USD")
}

pub(super) fn balance(text: &str) -> Balance {
    Balance::parse(text).unwrap()
}

pub(super) fn limit(text: &str) -> Limit {
    Limit::At(balance(text))
}

/// An account in dollars that may be emptied and no more.
pub(super) fn open(number: u128) -> OpenAccount {
    OpenAccount {
        account_id: account_id(number),
        name: Label::parse("wallet").unwrap(),
        currency: Currency::parse("USD").unwrap(),
        normal_side: Side::Credit,
        min_balance: Limit::ZERO,
        max_balance: Limit::Unbounded,
        metadata: Metadata::default(),
    }
}

/// An account in `currency` without limits.
pub(super) fn open_unbounded(number: u128, currency: &str) -> OpenAccount {
    let currency = Currency::parse(currency).unwrap();
    OpenAccount { currency, min_balance: Limit::Unbounded, ..open(number) }
}

pub(super) fn debit(number: u128, amount: Money) -> LegRequest {
    LegRequest { account_id: account_id(number), side: Side::Debit, amount }
}

pub(super) fn credit(number: u128, amount: Money) -> LegRequest {
    LegRequest { account_id: account_id(number), side: Side::Credit, amount }
}

pub(super) fn post(number: u128, legs: &[LegRequest]) -> PostTransfer {
    PostTransfer {
        transfer_id: transfer_id(number),
        legs: legs.to_vec(),
        hold: None,
        effective_at: None,
        code: None,
        metadata: Metadata::default(),
    }
}

pub(super) fn hold(number: u128, expires_in: Option<u64>, legs: &[LegRequest]) -> PostTransfer {
    PostTransfer { hold: Some(HoldRequest { expires_in }), ..post(number, legs) }
}

/// From one account of dollars to another.
pub(super) fn pay(number: u128, from: u128, to: u128, amount: &str) -> PostTransfer {
    post(number, &[debit(from, usd(amount)), credit(to, usd(amount))])
}

pub(super) fn set_aside(number: u128, expires_in: u64, from: u128, to: u128, amount: &str) -> PostTransfer {
    hold(number, Some(expires_in), &[debit(from, usd(amount)), credit(to, usd(amount))])
}

pub(super) fn capture(number: u128, amount: Option<Money>) -> PostHold {
    PostHold { transfer_id: transfer_id(number), amount, effective_at: None }
}

pub(super) fn void(number: u128) -> VoidHold {
    VoidHold { transfer_id: transfer_id(number) }
}

pub(super) fn expire(number: u128) -> ExpireHold {
    ExpireHold { transfer_id: transfer_id(number) }
}

pub(super) fn reverse(number: u128, reversal: u128, amount: Option<Money>) -> ReverseTransfer {
    ReverseTransfer {
        transfer_id: transfer_id(number),
        reversal_id: transfer_id(reversal),
        amount,
        effective_at: None,
    }
}

/// At second 100: account 0 without limits, accounts 1 and 2 as usual, and 100.00 paid from 0 to 1 as transfer 0.
pub(super) fn funded() -> Given {
    given_nothing()
        .at(at(100))
        .having(open_unbounded(0, "USD"))
        .having(open(1))
        .having(open(2))
        .having(pay(0, 0, 1, "100"))
}
