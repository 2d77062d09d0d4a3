//! What a shop does with money.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::ids::{AccountId, TransferId};
use domain::ledger::{
    CloseAccount, ClosePeriod, ExpireHold, FreezeAccount, Frozen, HoldRequest, LegRequest, OpenAccount,
    PostHold, PostTransfer, ReverseTransfer, Side, UnfreezeAccount, VoidHold,
};
use domain::metadata::Metadata;
use domain::money::{Balance, Currency, Limit, Money};

use super::{Teller, Told, id, label};

const CASH: AccountId = AccountId::new(id(0xa1));
const REVENUE: AccountId = AccountId::new(id(0xa2));
const CUSTOMER: AccountId = AccountId::new(id(0xa3));
const FEES: AccountId = AccountId::new(id(0xa4));

pub(super) const fn transfer(number: u128) -> TransferId {
    TransferId::new(id(0xf0 + number))
}

pub(super) fn tell(shop: &mut Teller) -> Told<()> {
    shop.tells(open(CASH, "Cash", Side::Debit, &[])?)?;
    shop.tells(open(REVENUE, "Revenue", Side::Credit, &[])?)?;
    let customer = open(CUSTOMER, "Customer 4711", Side::Credit, &[("customer", "4711")])?;
    let max_balance = Limit::At(Balance::parse("5000")?);
    shop.tells_better(OpenAccount { max_balance, ..customer })?;
    shop.tells(open(FEES, "Fees", Side::Credit, &[])?)?;

    let paid_in = vec![
        leg(CASH, Side::Debit, "100.00")?,
        leg(CUSTOMER, Side::Credit, "98.50")?,
        leg(FEES, Side::Credit, "1.50")?,
    ];
    shop.tells(post(0, paid_in, "top-up", &[("receipt", "2026-0001")])?)?;
    shop.tells(hold(1, 3_600)?)?;
    shop.tells(PostHold { transfer_id: transfer(1), amount: Some(money("30.00")?), effective_at: None })?;
    shop.tells(hold(2, 3_600)?)?;
    shop.tells(VoidHold { transfer_id: transfer(2) })?;
    shop.tells(hold(3, 60)?)?;
    shop.now += TimeDelta::minutes(5);
    shop.tells(ExpireHold { transfer_id: transfer(3) })?;
    shop.tells(ReverseTransfer {
        transfer_id: transfer(1),
        reversal_id: transfer(4),
        amount: Some(money("10.00")?),
        effective_at: None,
    })?;

    shop.tells(FreezeAccount { account_id: CUSTOMER, side: Frozen::Debits })?;
    shop.tells(UnfreezeAccount { account_id: CUSTOMER })?;
    let fees_out = vec![leg(FEES, Side::Debit, "1.50")?, leg(REVENUE, Side::Credit, "1.50")?];
    shop.tells(post(5, fees_out, "fees-collected", &[])?)?;
    shop.tells(CloseAccount { account_id: FEES })?;
    let through = shop.now;
    shop.tells(ClosePeriod { through })?;
    Ok(())
}

fn eur() -> Told<Currency> {
    Ok(Currency::parse("EUR")?)
}

fn money(amount: &str) -> Told<Money> {
    Ok(Money::parse(amount, eur()?)?)
}

fn metadata(pairs: &[(&str, &str)]) -> Told<Metadata> {
    let pairs: BTreeMap<_, _> = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Ok(Metadata::parse(pairs)?)
}

fn open(account_id: AccountId, name: &str, normal_side: Side, pairs: &[(&str, &str)]) -> Told<OpenAccount> {
    Ok(OpenAccount {
        account_id,
        name: label(name)?,
        currency: eur()?,
        normal_side,
        min_balance: Limit::ZERO,
        max_balance: Limit::Unbounded,
        metadata: metadata(pairs)?,
    })
}

fn leg(account_id: AccountId, side: Side, amount: &str) -> Told<LegRequest> {
    Ok(LegRequest { account_id, side, amount: money(amount)? })
}

fn post(number: u128, legs: Vec<LegRequest>, code: &str, pairs: &[(&str, &str)]) -> Told<PostTransfer> {
    Ok(PostTransfer {
        transfer_id: transfer(number),
        legs,
        hold: None,
        effective_at: None,
        code: Some(label(code)?),
        metadata: metadata(pairs)?,
    })
}

fn hold(number: u128, expires_in: u64) -> Told<PostTransfer> {
    let legs = vec![leg(CUSTOMER, Side::Debit, "40.00")?, leg(REVENUE, Side::Credit, "40.00")?];
    let hold = Some(HoldRequest { expires_in: Some(expires_in) });
    Ok(PostTransfer { hold, ..post(number, legs, "reservation", &[])? })
}
