//! What the story leaves out: events with as little as they can have, and with what is seldom there.

use std::error::Error;

use chrono::{DateTime, TimeDelta};
use domain::ids::{AccountId, TenantId, TransferId};
use domain::ledger::{
    FreezeAccount, Frozen, HoldRequest, LegRequest, OpenAccount, PostHold, PostTransfer, Side,
};
use domain::metadata::{Label, Metadata};
use domain::money::{Balance, Currency, Limit, Money};
use domain::spec::World;
use domain::{Decision, Event};
use uuid::Uuid;

type Told<T> = Result<T, Box<dyn Error>>;

const fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_a5c4_7c1e_7000_8000_0000_0001_0000 + number)
}

const BANK: AccountId = AccountId::new(id(0xa1));
const SALES: AccountId = AccountId::new(id(0xa2));

fn open(account_id: AccountId, normal_side: Side, min_balance: Limit) -> Told<OpenAccount> {
    Ok(OpenAccount {
        account_id,
        name: Label::parse("B")?,
        currency: Currency::parse("JPY")?,
        normal_side,
        min_balance,
        max_balance: Limit::Unbounded,
        metadata: Metadata::default(),
    })
}

fn transfer(number: u128, hold: Option<HoldRequest>) -> Told<PostTransfer> {
    let amount = Money::parse("1", Currency::parse("JPY")?)?;
    let leg = |account_id, side| LegRequest { account_id, side, amount };
    Ok(PostTransfer {
        transfer_id: TransferId::new(id(number)),
        legs: vec![leg(BANK, Side::Debit), leg(SALES, Side::Credit)],
        hold,
        effective_at: Some(DateTime::UNIX_EPOCH),
        code: None,
        metadata: Metadata::default(),
    })
}

/// Every event of it, in order.
pub(crate) fn told() -> Told<Vec<Event>> {
    let mut world = World::new(TenantId::new(id(1)));
    let held = TransferId::new(id(0xf1));
    let commands: [&dyn Decision; 6] = [
        &open(BANK, Side::Debit, Limit::At(Balance::parse("-1000")?))?,
        &open(SALES, Side::Credit, Limit::Unbounded)?,
        &transfer(0xf0, None)?,
        // It ends by nobody's doing but a command's.
        &transfer(0xf1, Some(HoldRequest { expires_in: None }))?,
        &PostHold { transfer_id: held, amount: None, effective_at: None },
        &FreezeAccount { account_id: SALES, side: Frozen::Both },
    ];
    let mut now = DateTime::UNIX_EPOCH + TimeDelta::seconds(1_788_253_200);
    for command in commands {
        // A part of a second, as moments really are.
        now += TimeDelta::microseconds(1_000_001);
        world.submit(command, now).map_err(|refusal| refusal.message.to_string())?;
    }
    Ok(world.log().to_vec())
}
