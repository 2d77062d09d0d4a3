//! Random commands of two tenants against the deciders and against a reference that knows only lists and sums.
//!
//! After every command: the same answer, the same figures, debits equal credits in every currency, no account outside
//! its limits, and every account is whole again from its newest event and its claims.

mod reference;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use self::reference::{ACCOUNTS, Reference};
use super::sample::*;
use super::*;
use crate::aggregate::Aggregate;
use crate::decision::Decision;
use crate::event::Event;
use crate::ids::TenantId;
use crate::money::{Currency, Limit, Money};
use crate::spec::World;

/// Amounts are in cents. `which` is taken modulo the number of transfers so far, and may name one that is not there.
#[derive(Debug, Clone)]
enum Command {
    Pay { from: usize, to: usize, also: Option<(usize, u128)>, cents: u128, ago: i64 },
    Hold { from: usize, to: usize, also: Option<(usize, u128)>, cents: u128, expires_in: Option<u64> },
    Capture { which: u128, cents: Option<u128> },
    Void { which: u128 },
    Expire { which: u128 },
    Reverse { which: u128, cents: Option<u128> },
    Freeze { account: usize, side: Frozen },
    Unfreeze { account: usize },
    Close { account: usize },
    ClosePeriod { ago: i64 },
    Wait { seconds: i64 },
}

fn command() -> impl Strategy<Value = Command> {
    use Command::*;
    let account = || 0..ACCOUNTS.len();
    let also = || proptest::option::weighted(0.3, (account(), 1..400_u128));
    let part = || proptest::option::of(0..1500_u128);
    let side = prop_oneof![Just(Frozen::Debits), Just(Frozen::Credits), Just(Frozen::Both)];
    let expires_in = proptest::option::weighted(0.8, 0..40_u64);
    prop_oneof![
        8 => (account(), account(), also(), 0..3000_u128, -2..60_i64)
            .prop_map(|(from, to, also, cents, ago)| Pay { from, to, also, cents, ago }),
        8 => (account(), account(), also(), 1..2000_u128, expires_in)
            .prop_map(|(from, to, also, cents, expires_in)| Hold { from, to, also, cents, expires_in }),
        5 => (any::<u8>(), part()).prop_map(|(which, cents)| Capture { which: which.into(), cents }),
        3 => any::<u8>().prop_map(|which| Void { which: which.into() }),
        2 => any::<u8>().prop_map(|which| Expire { which: which.into() }),
        5 => (any::<u8>(), part()).prop_map(|(which, cents)| Reverse { which: which.into(), cents }),
        1 => (account(), side).prop_map(|(account, side)| Freeze { account, side }),
        2 => account().prop_map(|account| Unfreeze { account }),
        1 => account().prop_map(|account| Close { account }),
        1 => (-1..60_i64).prop_map(|ago| ClosePeriod { ago }),
        4 => (1..30_i64).prop_map(|seconds| Wait { seconds }),
    ]
}

/// One tenant: the real thing and the reference side by side.
struct Pair {
    tenant: TenantId,
    real: World,
    reference: Reference,
    now: i64,
    transfers: u128,
}

fn cents(amount: u128, currency: &str) -> Money {
    Money::from_minor(amount, Currency::parse(currency).unwrap()).unwrap()
}

fn legs(from: usize, to: usize, also: Option<(usize, u128)>, amount: u128) -> Vec<LegRequest> {
    let currency = ACCOUNTS[from].currency;
    let index = |account: usize| u128::try_from(account).unwrap();
    let mut legs = vec![debit(index(from), cents(amount, currency))];
    match also {
        Some((other, extra)) => {
            let extra = extra.min(amount / 2);
            legs.push(credit(index(to), cents(amount - extra, currency)));
            legs.push(credit(index(other), cents(extra, currency)));
        }
        None => legs.push(credit(index(to), cents(amount, currency))),
    }
    legs
}

impl Pair {
    fn new(tenant: u128) -> Self {
        let tenant = TenantId::new(uuid::Uuid::from_u128(tenant));
        let mut real = World::new(tenant);
        for (number, account) in ACCOUNTS.iter().enumerate() {
            let limit = |cents: Option<i128>| match cents {
                Some(cents) => Limit::At(balance(&format!("{cents}"))),
                None => Limit::Unbounded,
            };
            let opened = OpenAccount {
                currency: Currency::parse(account.currency).unwrap(),
                normal_side: account.normal_side,
                min_balance: limit(account.min),
                max_balance: limit(account.max),
                ..open(u128::try_from(number).unwrap())
            };
            real.submit(&opened, at(0)).unwrap();
        }
        Self { tenant, real, reference: Reference::default(), now: 100, transfers: 0 }
    }

    fn now(&self) -> DateTime<Utc> {
        at(self.now)
    }

    /// Runs the command on both and compares the answers.
    fn run(&mut self, command: &Command) {
        let which = |which: u128, known: u128| which % (known + 1);
        let currency_of = |pair: &Self, number: u128| pair.reference.currency(number).unwrap_or("USD");
        let (decision, expected): (Box<dyn Decision>, _) = match *command {
            Command::Wait { seconds } => {
                self.now += seconds;
                return;
            }
            Command::Pay { from, to, also, cents, ago } => {
                let number = self.transfers;
                self.transfers += 1;
                let (legs, effective) = (legs(from, to, also, cents), self.now - ago);
                let expected = self.reference.pay(number, &legs, None, effective, self.now);
                (
                    Box::new(PostTransfer { effective_at: Some(at(effective)), ..post(number, &legs) }),
                    expected,
                )
            }
            Command::Hold { from, to, also, cents, expires_in } => {
                let number = self.transfers;
                self.transfers += 1;
                let legs = legs(from, to, also, cents);
                let expected = self.reference.pay(number, &legs, Some(expires_in), self.now, self.now);
                (Box::new(hold(number, expires_in, &legs)), expected)
            }
            Command::Capture { which: it, cents: part } => {
                let number = which(it, self.transfers);
                let amount = part.map(|part| cents(part, currency_of(self, number)));
                let expected = self.reference.capture(number, part, self.now);
                (Box::new(capture(number, amount)), expected)
            }
            Command::Void { which: it } => {
                let number = which(it, self.transfers);
                (Box::new(void(number)), self.reference.void(number, self.now))
            }
            Command::Expire { which: it } => {
                let number = which(it, self.transfers);
                (Box::new(expire(number)), self.reference.expire(number, self.now))
            }
            Command::Reverse { which: it, cents: part } => {
                let (number, reversal) = (which(it, self.transfers), self.transfers);
                self.transfers += 1;
                let amount = part.map(|part| cents(part, currency_of(self, number)));
                let expected = self.reference.reverse(number, reversal, part, self.now);
                (Box::new(reverse(number, reversal, amount)), expected)
            }
            Command::Freeze { account, side } => {
                let account_id = account_id(u128::try_from(account).unwrap());
                (Box::new(FreezeAccount { account_id, side }), self.reference.freeze(account, side))
            }
            Command::Unfreeze { account } => {
                let account_id = account_id(u128::try_from(account).unwrap());
                (Box::new(UnfreezeAccount { account_id }), self.reference.unfreeze(account))
            }
            Command::Close { account } => {
                let account_id = account_id(u128::try_from(account).unwrap());
                (Box::new(CloseAccount { account_id }), self.reference.close(account, self.now))
            }
            Command::ClosePeriod { ago } => {
                let through = self.now - ago;
                let expected = self.reference.close_period(through, self.now);
                (Box::new(ClosePeriod { through: at(through) }), expected)
            }
        };
        let answer = self.real.submit(&*decision, self.now());
        let answer = answer.map(|_| ()).map_err(|refusal| refusal.code.into_owned());
        assert_eq!(answer, expected.map_err(str::to_owned), "{command:?} at {}", self.now);
    }

    fn check(&self) {
        let mut sums = BTreeMap::<&str, [i128; 4]>::new();
        for (number, account) in ACCOUNTS.iter().enumerate() {
            let id = account_id(u128::try_from(number).unwrap());
            let state = self.real.state::<Account>(id.uuid());
            self.check_restored(id, &state);
            let figures = self.reference.figures(number);
            if let Account::Open(live) = &state {
                let Totals { debits_posted, credits_posted, debits_pending, credits_pending } = live.totals;
                let real = [debits_posted, credits_posted, debits_pending, credits_pending];
                assert_eq!(real.map(|it| it.decimal().mantissa()), figures, "account {number}");
                let growing = if account.normal_side == Side::Credit { [1, 0, 3, 2] } else { [0, 1, 2, 3] };
                let [more, less, more_pending, less_pending] = growing.map(|at| figures[at]);
                assert!(account.min.is_none_or(|min| more - less - less_pending >= min * 100));
                assert!(account.max.is_none_or(|max| more - less + more_pending <= max * 100));
            }
            let sum = sums.entry(account.currency).or_default();
            for (sum, figure) in sum.iter_mut().zip(figures) {
                *sum += figure;
            }
        }
        for (currency, [debits, credits, debits_pending, credits_pending]) in sums {
            assert_eq!((debits, debits_pending), (credits, credits_pending), "{currency} is conserved");
        }
    }

    fn check_restored(&self, id: AccountId, state: &Account) {
        let newest = self.real.history(account::stream(id)).last().unwrap();
        let mut restored = Account::restore(id.uuid(), newest).unwrap();
        if let Some(scope) = restored.incomplete(id.uuid()) {
            restored.complete(&self.real.claimed(&scope));
        }
        assert_eq!(&restored, state);
        assert_eq!(restored.incomplete(id.uuid()), None);
    }

    /// The log alone, read back from its JSON, gives every state again; versions are dense; holds end once.
    fn check_log(&self) {
        let mut again = World::new(self.tenant);
        let mut ends = BTreeMap::<TransferId, u32>::new();
        for event in self.real.log() {
            let json = serde_json::to_string(event).unwrap();
            let read: LedgerEvent = serde_json::from_str(&json).unwrap();
            assert_eq!(&Event::from(read.clone()), event);
            if let LedgerEvent::HoldPosted(_) | LedgerEvent::HoldVoided(_) | LedgerEvent::HoldExpired(_) =
                &read
            {
                *ends.entry(read.transfer_id().unwrap()).or_default() += 1;
            }
            again.record(read.clone());
            for leg in read.legs() {
                assert_eq!(leg.after.version, again.version(account::stream(leg.account_id)));
                assert_eq!(leg.amount.amount().scale(), leg.amount.currency().exponent());
            }
        }
        assert!(ends.values().all(|times| *times == 1));
        for number in 0..ACCOUNTS.len() {
            let id = account_id(u128::try_from(number).unwrap()).uuid();
            assert_eq!(again.state::<Account>(id), self.real.state::<Account>(id));
        }
        for number in 0..self.transfers {
            let id = transfer_id(number).uuid();
            assert_eq!(again.state::<Transfer>(id), self.real.state::<Transfer>(id));
        }
    }
}

fn commands(most: usize) -> impl Strategy<Value = Vec<(bool, Command)>> {
    proptest::collection::vec((any::<bool>(), command()), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_deciders_agree_with_lists_and_sums(commands in commands(120)) {
        let (mut one, mut other) = (Pair::new(1), Pair::new(2));
        for (first, command) in &commands {
            let (acting, idle) = if *first { (&mut one, &other) } else { (&mut other, &one) };
            let untouched = idle.real.log().len();
            acting.run(command);
            acting.check();
            prop_assert_eq!(idle.real.log().len(), untouched);
        }
        for pair in [&one, &other] {
            pair.check();
            pair.check_log();
        }
    }

    #[test]
    fn no_order_of_events_brings_a_fold_or_a_command_down(
        (log, later) in commands(60).prop_flat_map(|commands| {
            let mut pair = Pair::new(1);
            for (_, command) in &commands {
                pair.run(command);
            }
            let log = pair.real.log().to_vec();
            (Just(log).prop_shuffle(), proptest::collection::vec(command(), 1..10))
        }),
    ) {
        let mut pair = Pair::new(1);
        for event in log {
            pair.real.record(event);
        }
        for command in later {
            let decision: Box<dyn Decision> = match command {
                Command::Capture { which, .. } => Box::new(capture(which % 60, None)),
                Command::Reverse { which, .. } => Box::new(reverse(which % 60, 999, None)),
                Command::Void { which } | Command::Expire { which } => Box::new(void(which % 60)),
                Command::Hold { from, to, also, cents, expires_in } => {
                    Box::new(hold(998, expires_in, &legs(from, to, also, cents)))
                }
                _ => Box::new(pay(997, 0, 1, "1")),
            };
            // Nonsense may be refused or not; it must not panic.
            let _ = pair.real.submit(&*decision, at(1_000));
        }
    }
}
