//! A day in the life of a shop, told by real decisions: one event of every type in the catalogue.

use std::collections::BTreeMap;
use std::error::Error;

use chrono::{DateTime, TimeDelta, Utc};
use domain::audit::{
    AttemptRefused, AuditEvent, DataRead, ExportFormat, RecordAudit, RefusalsCounted, TrailExported,
};
use domain::identity::{MintAccessToken, Role};
use domain::ids::{AccountId, ActorId, ExportId, TenantId, TokenId, TransferId};
use domain::ledger::{
    CloseAccount, ClosePeriod, ExpireHold, FreezeAccount, Frozen, HoldRequest, LegRequest, OpenAccount,
    PostHold, PostTransfer, ReverseTransfer, Side, UnfreezeAccount, VoidHold,
};
use domain::metadata::{Label, Metadata};
use domain::money::{Balance, Currency, Limit, Money};
use domain::organisation::{CreateTenant, Slug};
use domain::spec::World;
use domain::{Decision, Event};
use uuid::Uuid;

const SHOP: TenantId = TenantId::new(id(0x01));
const OWNER: ActorId = ActorId::new(id(0x02));
const CASH: AccountId = AccountId::new(id(0xa1));
const REVENUE: AccountId = AccountId::new(id(0xa2));
const CUSTOMER: AccountId = AccountId::new(id(0xa3));
const FEES: AccountId = AccountId::new(id(0xa4));

/// The story is told by code that can fail like any other, since an example runs it too.
type Told<T> = Result<T, Box<dyn Error>>;

/// An identifier of version 7 that reads well.
const fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_a5c4_7c1e_7000_8000_0000_0000_0000 + number)
}

const fn transfer(number: u128) -> TransferId {
    TransferId::new(id(0xf0 + number))
}

struct Teller {
    world: World,
    now: DateTime<Utc>,
    told: Vec<Event>,
}

impl Teller {
    /// Runs a command a minute later; `told` takes the newest event if it is the first of its type.
    fn tells(&mut self, decision: impl Decision) -> Told<()> {
        for event in self.runs(decision)? {
            if self.told.iter().all(|known| name(known) != name(&event)) {
                self.told.push(event);
            }
        }
        Ok(())
    }

    /// Runs a command whose events show more than those of their types before.
    fn tells_better(&mut self, decision: impl Decision) -> Told<()> {
        for event in self.runs(decision)? {
            self.told.retain(|known| name(known) != name(&event));
            self.told.push(event);
        }
        Ok(())
    }

    fn runs(&mut self, decision: impl Decision) -> Told<Vec<Event>> {
        self.now += TimeDelta::minutes(1);
        let before = self.world.log().len();
        match self.world.submit(&decision, self.now) {
            Ok(_) => Ok(self.world.log().get(before..).unwrap_or_default().to_vec()),
            Err(refusal) => Err(format!("the story stops at {}: {}", self.now, refusal.message).into()),
        }
    }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Organisation(event) => event.name(),
        Event::Identity(event) => event.name(),
        Event::Ledger(event) => event.name(),
        Event::Audit(event) => event.name(),
    }
}

fn eur() -> Told<Currency> {
    Ok(Currency::parse("EUR")?)
}

fn money(amount: &str) -> Told<Money> {
    Ok(Money::parse(amount, eur()?)?)
}

fn label(text: &str) -> Told<Label> {
    Ok(Label::parse(text)?)
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

/// The story: the first event of each type, or a later one that shows more.
pub(crate) fn told() -> Told<Vec<Event>> {
    let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(1_788_253_200);
    let mut shop = Teller { world: World::new(SHOP), now, told: Vec::new() };

    shop.tells(CreateTenant {
        tenant_id: SHOP,
        slug: Slug::parse("corner-shop")?,
        name: label("Corner shop")?,
    })?;
    shop.tells(MintAccessToken {
        token_id: TokenId::new(id(0x03)),
        subject: OWNER,
        roles: vec![Role::Owner],
        expires_at: now + TimeDelta::hours(8),
    })?;

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
    for event in audited(shop.now) {
        shop.tells(RecordAudit(event))?;
    }
    Ok(shop.told)
}

/// What an auditor finds of the minute before `now`.
fn audited(now: DateTime<Utc>) -> [AuditEvent; 5] {
    let (first_at, last_at) = (now - TimeDelta::seconds(42), now);
    let refused = |action: &str, resource: String, code: &str, status| AttemptRefused {
        action: action.to_owned(),
        resource,
        code: code.to_owned(),
        status,
        count: 3,
        first_at,
        last_at,
    };
    let void = format!("/v1/ledger/transfers/{}/void", transfer(1));
    let filters = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    [
        AuditEvent::CommandRefused(refused("ledger.void-hold", void, "ledger.hold-already-posted", 409)),
        AuditEvent::ReadRefused(refused(
            "audit.read-trail",
            "/v1/audit".to_owned(),
            "auth.permission-missing",
            403,
        )),
        AuditEvent::DataRead(DataRead {
            action: "events.read-events".to_owned(),
            resource: "/v1/events".to_owned(),
            filters: filters(&[("type", "ledger.transfer-posted"), ("actor", &OWNER.to_string())]),
            count: 2,
            first_at,
            last_at,
        }),
        AuditEvent::RefusalsCounted(RefusalsCounted { count: 1_200, first_at, last_at }),
        AuditEvent::TrailExported(TrailExported {
            export_id: ExportId::new(id(0xe0)),
            format: ExportFormat::Csv,
            filters: filters(&[("result", "refused")]),
            up_to: "1-4711".to_owned(),
            rows: 2,
            size: 412,
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            at: now,
        }),
    ]
}
