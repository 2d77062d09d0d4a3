use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::identity::{MintAccessToken, Role};
use domain::ids::{AccountId, ActorId, TenantId, TokenId, TransferId};
use domain::ledger::{
    CloseAccount, ClosePeriod, ExpireHold, FreezeAccount, Frozen, HoldRequest, LegRequest, OpenAccount,
    PostHold, PostTransfer, ReverseTransfer, Side, UnfreezeAccount,
};
use domain::metadata::{Label, Metadata};
use domain::money::{Currency, Limit, Money};
use domain::organisation::{CreateTenant, Slug};
use domain::spec::World;
use domain::{Decision, StreamId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::catalog::AGGREGATES;

const TENANT: TenantId = TenantId::new(Uuid::from_u128(1));
const CASH: AccountId = AccountId::new(Uuid::from_u128(0xa1));
const WALLET: AccountId = AccountId::new(Uuid::from_u128(0xa2));

const fn transfer(n: u128) -> TransferId {
    TransferId::new(Uuid::from_u128(0xf0 + n))
}

fn eur(amount: &str) -> Money {
    Money::parse(amount, Currency::parse("EUR").unwrap()).unwrap()
}

fn open(account_id: AccountId, min_balance: Limit) -> OpenAccount {
    OpenAccount {
        account_id,
        name: Label::parse("an account").unwrap(),
        currency: Currency::parse("EUR").unwrap(),
        normal_side: Side::Credit,
        min_balance,
        max_balance: Limit::Unbounded,
        metadata: Metadata::default(),
    }
}

fn post(n: u128, amount: &str, hold_seconds: Option<u64>) -> PostTransfer {
    let leg = |account_id, side| LegRequest { account_id, side, amount: eur(amount) };
    PostTransfer {
        transfer_id: transfer(n),
        legs: vec![leg(CASH, Side::Debit), leg(WALLET, Side::Credit)],
        hold: hold_seconds.map(|it| HoldRequest { expires_in: Some(it) }),
        effective_at: None,
        code: None,
        metadata: Metadata::default(),
    }
}

/// Something of every aggregate, two minutes apart.
fn world() -> World {
    let mut now = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000);
    let mut world = World::new(TENANT);
    let token_id = TokenId::new(Uuid::from_u128(3));
    let commands: Vec<Box<dyn Decision>> = vec![
        Box::new(CreateTenant {
            tenant_id: TENANT,
            slug: Slug::parse("corner-shop").unwrap(),
            name: Label::parse("Corner shop").unwrap(),
        }),
        Box::new(MintAccessToken {
            token_id,
            subject: ActorId::new(Uuid::from_u128(4)),
            roles: vec![Role::Owner, Role::Member],
            expires_at: now + TimeDelta::days(1),
        }),
        Box::new(open(CASH, Limit::Unbounded)),
        Box::new(open(WALLET, Limit::ZERO)),
        Box::new(post(0, "98.50", None)),
        Box::new(post(1, "40.00", Some(3600))),
        Box::new(post(2, "1.00", Some(60))),
        Box::new(PostHold { transfer_id: transfer(1), amount: Some(eur("30.00")), effective_at: None }),
        Box::new(ExpireHold { transfer_id: transfer(2) }),
        Box::new(ReverseTransfer {
            transfer_id: transfer(1),
            reversal_id: transfer(3),
            amount: Some(eur("10.00")),
            effective_at: None,
        }),
        Box::new(FreezeAccount { account_id: WALLET, side: Frozen::Debits }),
        Box::new(UnfreezeAccount { account_id: WALLET }),
        Box::new(ClosePeriod { through: now - TimeDelta::days(1) }),
        Box::new(post(4, "3.00", Some(3600))),
    ];
    for command in &commands {
        world.submit(command.as_ref(), now).unwrap();
        now += TimeDelta::minutes(2);
    }
    let refused = world.submit(&CloseAccount { account_id: WALLET }, now);
    assert!(refused.is_err(), "it is not empty");
    world
}

fn streams(world: &World) -> Vec<StreamId> {
    let all = world.log().iter().flat_map(domain::Event::streams);
    all.map(|it| (it.to_string(), it)).collect::<BTreeMap<_, _>>().into_values().collect()
}

fn newest(world: &World, stream: StreamId) -> Replay {
    let mut replay = Replay::begin(stream).unwrap();
    world.history(stream).for_each(|event| replay.apply(event));
    replay
}

/// Every value within another.
fn within(value: &Value) -> Vec<&Value> {
    let inner: Vec<&Value> = match value {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => vec![],
    };
    std::iter::once(value).chain(inner.into_iter().flat_map(within)).collect()
}

#[test]
fn every_aggregate_is_seen_as_an_object_without_floats_and_of_names_in_one_form() {
    let world = world();
    for aggregate in AGGREGATES {
        let empty = (aggregate.view)(&(aggregate.initial)()).unwrap();
        assert!(empty.is_object(), "{}: {empty}", aggregate.category.name);
    }
    for stream in streams(&world) {
        let view = newest(&world, stream).view().unwrap();
        let fields = view.as_object().unwrap();
        assert!(!fields.is_empty(), "{stream}");
        for value in within(&view) {
            assert!(!value.is_f64(), "{stream}: {view}");
            let names = value.as_object().into_iter().flat_map(|it| it.keys());
            for name in names {
                assert!(name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_'), "{stream}: {name}");
            }
        }
        // `null` is a word of its own in limits, "none"; everything else that does not apply is left out.
        let nulls: Vec<_> = fields.iter().filter(|(_, it)| it.is_null()).map(|(name, _)| name).collect();
        assert!(nulls.iter().all(|it| it.ends_with("_balance")), "{stream}: {nulls:?}");
    }
}

#[test]
fn states_are_seen_as_people_write_them() {
    let world = world();
    let view = |category: &str, id: Uuid| {
        let category = catalog::category_named(category).unwrap();
        newest(&world, StreamId::new(category, id)).view().unwrap()
    };
    assert_eq!(
        view("ledger.account", WALLET.uuid()),
        json!({
            "status": "open", "currency": "EUR", "normal_side": "credit", "min_balance": "0.00",
            "max_balance": null, "frozen": "none", "open_expiring_holds": 1,
            "totals": {
                "debits_posted": "10.00", "credits_posted": "128.50", "debits_pending": "0.00", "credits_pending": "3.00"
            }
        })
    );
    let left = |side: &str, account: AccountId| json!({ "account_id": account, "side": side, "amount": { "amount": "20.00", "currency": "EUR" } });
    let posted = view("ledger.transfer", transfer(1).uuid());
    assert_eq!(
        (&posted["status"], &posted["was_hold"], &posted["left"]),
        (&json!("posted"), &json!(true), &json!([left("debit", CASH), left("credit", WALLET)]))
    );
    assert_eq!(view("ledger.transfer", transfer(2).uuid()), json!({ "status": "expired" }));
    assert_eq!(view("ledger.book", TENANT.uuid()), json!({ "closed_through": "2024-10-03T00:00:00Z" }));
    assert_eq!(
        view("organisation.tenant", TENANT.uuid()),
        json!({ "status": "active", "slug": "corner-shop", "name": "Corner shop" })
    );
    let token = view("identity.access-token", Uuid::from_u128(3));
    assert_eq!((&token["status"], &token["roles"]), (&json!("minted"), &json!(["owner", "member"])));
}

#[test]
fn a_restored_state_looks_at_every_version_like_the_replayed_one() {
    let world = world();
    let mut restored = 0;
    for stream in streams(&world) {
        let beginning = Replay::begin(stream).unwrap();
        let mut replayed = beginning.clone();
        for event in world.history(stream) {
            replayed.apply(event);
            if let Some(it) = beginning.restored(replayed.version(), event) {
                assert_eq!(it.view().unwrap(), replayed.view().unwrap(), "{stream} v{}", it.version());
                restored += 1;
            }
        }
        assert_eq!(replayed.version(), world.version(stream), "{stream}");
    }
    assert!(restored > 10, "{restored}");
}

#[test]
fn a_category_of_a_newer_build_has_no_replay() {
    let category = domain::Category { code: i16::MAX, name: "unknown" };
    assert!(Replay::begin(StreamId::new(category, Uuid::nil())).is_none());
}
