//! A small run that is right in every respect, for tests that then plant a fault in it.

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::{AccountId, TenantId, TransferId};
use domain::ledger::{
    AccountAfter, AccountOpened, HoldPosted, LedgerEvent, Leg, Side, TransferHeld, TransferPosted,
};
use domain::metadata::{Label, Metadata};
use domain::money::{Balance, Currency, Limit, Money};
use domain::{Category, Event, StreamId};
use uuid::Uuid;

use super::image::{Entry, Image, Link};
use super::replay::{Figures, cents};
use crate::journal::{Ask, BalanceRead, Book, Line, Move, Told};

pub(crate) const TENANT: TenantId = TenantId::new(Uuid::from_u128(7));
pub(crate) const PEOPLE: TenantId = TenantId::new(Uuid::from_u128(8));
pub(crate) const BANK: Uuid = Uuid::from_u128(0xb0);
pub(crate) const SHOP: Uuid = Uuid::from_u128(0x50);
pub(crate) const PAID: Uuid = Uuid::from_u128(1);
pub(crate) const HELD: Uuid = Uuid::from_u128(2);

const ACCOUNT: Category = Category { code: 10, name: "ledger.account" };
const TRANSFER: Category = Category { code: 11, name: "ledger.transfer" };

pub(crate) fn tenants() -> Vec<TenantId> {
    vec![TENANT]
}

/// Two accounts are opened (1, 2), a euro is paid (3), one is held and its hold posted (4, 5).
pub(crate) fn image() -> Image {
    let mut image = Image::default();
    let mut versions = std::collections::HashMap::<Uuid, i64>::new();
    let mut add = |category: Category, stream: Uuid, event: LedgerEvent| {
        let position = image.entries.len() as i64 + 1;
        let mut streams = vec![(category.code, stream)];
        streams.extend(event.legs().iter().map(|leg| (ACCOUNT.code, leg.account_id.uuid())));
        let mut own = 0;
        for (at, (category, stream)) in streams.into_iter().enumerate() {
            let version = versions.entry(stream).or_default();
            *version += 1;
            if at == 0 {
                own = *version;
            }
            image.links.push(Link { tenant: TENANT, category, stream, version: *version, position });
        }
        image.entries.push(Entry {
            position,
            tenant: TENANT,
            tenant_seq: position,
            stream: StreamId::new(category, stream),
            version: own,
            event_type: event.name().to_owned(),
            event_id: Uuid::from_u128(0xe000 + position as u128),
            recorded_at: moment(position),
            event: Event::Ledger(event),
        });
    };
    add(ACCOUNT, BANK, opened(BANK, Limit::Unbounded));
    add(ACCOUNT, SHOP, opened(SHOP, Limit::zero()));
    let paid = legs([(2, [100, 0, 0, 0]), (2, [0, 100, 0, 0])]);
    add(TRANSFER, PAID, posted(PAID, paid));
    let held = legs([(3, [100, 0, 100, 0]), (3, [0, 100, 0, 100])]);
    add(
        TRANSFER,
        HELD,
        LedgerEvent::TransferHeld(TransferHeld {
            transfer_id: TransferId::new(HELD),
            legs: held,
            expires_at: None,
            effective_at: moment(0),
            code: None,
            metadata: Metadata::default(),
        }),
    );
    let captured = legs([(4, [200, 0, 0, 0]), (4, [0, 200, 0, 0])]);
    add(
        TRANSFER,
        HELD,
        LedgerEvent::HoldPosted(HoldPosted {
            transfer_id: TransferId::new(HELD),
            legs: captured,
            effective_at: moment(0),
            expires_at: None,
        }),
    );
    image.head = image.entries.len() as i64;
    image.links.sort_by_key(|it| (it.category, it.stream, it.version));
    image
}

fn moment(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
}

fn opened(account: Uuid, min_balance: Limit) -> LedgerEvent {
    LedgerEvent::AccountOpened(AccountOpened {
        account_id: AccountId::new(account),
        name: Label::parse("an account").unwrap(),
        currency: Currency::parse("EUR").unwrap(),
        normal_side: Side::Credit,
        min_balance,
        max_balance: Limit::Unbounded,
        metadata: Metadata::default(),
    })
}

pub(crate) fn posted(transfer: Uuid, legs: Vec<Leg>) -> LedgerEvent {
    LedgerEvent::TransferPosted(TransferPosted {
        transfer_id: TransferId::new(transfer),
        legs,
        effective_at: moment(0),
        code: None,
        metadata: Metadata::default(),
    })
}

/// A euro from the bank to the shop, with the versions and figures of both afterwards.
fn legs([bank, shop]: [(i64, Figures); 2]) -> Vec<Leg> {
    let leg = |account: Uuid, side: Side, (version, figures): (i64, Figures), min_balance: Limit| Leg {
        account_id: AccountId::new(account),
        side,
        amount: Money::from_minor(100, Currency::parse("EUR").unwrap()).unwrap(),
        after: after(version, figures, min_balance),
    };
    vec![leg(BANK, Side::Debit, bank, Limit::Unbounded), leg(SHOP, Side::Credit, shop, Limit::zero())]
}

fn after(version: i64, figures: Figures, min_balance: Limit) -> AccountAfter {
    let [debits_posted, credits_posted, debits_pending, credits_pending] =
        figures.map(|it| Balance::parse(&format!("{}.{:02}", it / 100, it % 100)).unwrap());
    AccountAfter {
        version,
        normal_side: Side::Credit,
        debits_posted,
        credits_posted,
        debits_pending,
        credits_pending,
        min_balance,
        max_balance: Limit::Unbounded,
        frozen: domain::ledger::Frozen::None,
        open_expiring_holds: 0,
    }
}

/// What clients asked for and were told, in the order of the log. Call and key have the number of the position.
pub(crate) fn lines() -> Vec<Line> {
    let paid = Move { transfer: PAID, from: BANK, to: SHOP, cents: 100 };
    let held = Move { transfer: HELD, ..paid };
    let asked = [
        (Ask::Open { account: BANK }, BANK, 1, 201),
        (Ask::Open { account: SHOP }, SHOP, 1, 201),
        (Ask::Transfer(paid), PAID, 1, 201),
        (Ask::Hold(held), HELD, 1, 201),
        (Ask::Capture { transfer: HELD }, HELD, 2, 200),
    ];
    let mut lines = Vec::new();
    for (position, (ask, id, version, status)) in (1..).zip(asked) {
        lines.push(sent(position, ask));
        lines.push(answered(position, status, Some(position.cast_signed()), told(status, id, version)));
    }
    lines.push(Line::Read(read()));
    lines
}

pub(crate) fn sent(call: u64, ask: Ask) -> Line {
    let key = Uuid::from_u128(u128::from(call));
    Line::Sent { call, at_us: call * 10, worker: 0, api: 0, tenant: 0, key, hash: 1, asks: vec![ask] }
}

pub(crate) fn answered(call: u64, status: u16, position: Option<i64>, told: Told) -> Line {
    Line::Answered { call, at_us: call * 10 + 5, status, position, replayed: false, told: vec![told] }
}

pub(crate) fn told(status: u16, id: Uuid, version: i64) -> Told {
    Told { status, id: Some(id), version: Some(version), code: String::new() }
}

pub(crate) fn refused(status: u16, code: &str) -> Told {
    Told { status, id: None, version: None, code: code.to_owned() }
}

/// The shop after the hold was taken.
pub(crate) fn read() -> BalanceRead {
    BalanceRead {
        worker: 9,
        tenant: 0,
        account: SHOP,
        called_us: 46,
        returned_us: 48,
        wanted: 4,
        served: 4,
        version: 3,
        figures: [0, 100, 0, 100],
    }
}

pub(crate) fn book(lines: Vec<Line>) -> Book {
    Book::of(lines.into_iter().map(Ok)).unwrap()
}

#[test]
fn figures_are_read_in_cents() {
    let parse = |text: &str| cents(Balance::parse(text).unwrap());
    assert_eq!([parse("0"), parse("1.5"), parse("12.34"), parse("-0.01")], [0, 150, 1_234, -1]);
}

/// A log of an organisation without a ledger, each event on its own stream, in this order.
pub(crate) fn of_people(events: impl IntoIterator<Item = Event>) -> Image {
    let entries = (1..).zip(events).map(|(position, event)| Entry {
        position,
        tenant: TENANT,
        tenant_seq: position,
        stream: event.streams().first().copied().unwrap(),
        version: 1,
        event_type: event.name().to_owned(),
        event_id: Uuid::from_u128(0xe000 + position as u128),
        recorded_at: moment(position),
        event,
    });
    let entries: Vec<Entry> = entries.collect();
    Image { head: entries.len() as i64, entries, links: Vec::new() }
}
