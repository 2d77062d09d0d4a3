//! Accounts, transfers and periods.

use domain::ledger::{
    Account, AccountClosed, AccountFrozen, AccountOpened, AccountUnfrozen, Book, HoldExpired, HoldPosted,
    HoldVoided, LedgerEvent, PeriodClosed, Transfer, TransferHeld, TransferPosted, TransferReversed,
};

use super::{AggregateType, EventType, aggregate, event};

pub(super) const EVENTS: &[EventType] = &[
    event::<Account, LedgerEvent, AccountOpened>(
        "ledger.account-opened",
        "An account was opened with its currency and limits.",
    ),
    event::<Account, LedgerEvent, AccountFrozen>(
        "ledger.account-frozen",
        "An account stopped taking debits, credits or both.",
    ),
    event::<Account, LedgerEvent, AccountUnfrozen>(
        "ledger.account-unfrozen",
        "An account takes postings again.",
    ),
    event::<Account, LedgerEvent, AccountClosed>(
        "ledger.account-closed",
        "An empty account was closed for ever.",
    ),
    event::<Transfer, LedgerEvent, TransferPosted>("ledger.transfer-posted", "Money moved between accounts."),
    event::<Transfer, LedgerEvent, TransferHeld>(
        "ledger.transfer-held",
        "Money was set aside for a later posting.",
    ),
    event::<Transfer, LedgerEvent, HoldPosted>(
        "ledger.hold-posted",
        "A hold was captured, in whole or in part.",
    ),
    event::<Transfer, LedgerEvent, HoldVoided>("ledger.hold-voided", "A hold was given up."),
    event::<Transfer, LedgerEvent, HoldExpired>(
        "ledger.hold-expired",
        "A hold reached its time and was given up.",
    ),
    event::<Transfer, LedgerEvent, TransferReversed>(
        "ledger.transfer-reversed",
        "A posted transfer was undone, in whole or in part, by a new one.",
    ),
    event::<Book, LedgerEvent, PeriodClosed>(
        "ledger.period-closed",
        "The book takes no postings effective up to a moment.",
    ),
];

pub(super) const AGGREGATES: &[AggregateType] =
    &[aggregate::<Account>(), aggregate::<Transfer>(), aggregate::<Book>()];
