//! The reference of the ledger's refusals, in the order in which they are checked.

use crate::error::{CodeDoc, ErrorKind};

/// Every code of [`super::LedgerError`]; a limit that does not fit has the codes of money.
pub const CODES: &[CodeDoc] = &[
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.leg-count",
        "a transfer has too few or too many legs",
        "send 2 to 100 legs; split a larger transfer, and link the parts in an atomic batch",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.amount-not-positive",
        "an amount is nothing",
        "send more than nothing, and turn the direction round by the side of the leg",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.same-account",
        "an account appears in two legs of one transfer",
        "sum up its legs, or make two transfers",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.unbalanced-legs",
        "debits and credits differ in a currency",
        "compare `debits` and `credits` in `details`; they must be equal in every currency",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.hold-duration",
        "a hold would end at once or too late",
        "ask for 1 second to ten years, or leave `expires_in` out for a hold without an end",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.limits-exclude-zero",
        "a new account would be outside its own limits",
        "give a `min_balance` of zero or less and a `max_balance` of zero or more",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.account-exists",
        "the account's identifier is in use",
        "take a fresh identifier; an identifier is never used twice, not even after the account was closed",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.transfer-exists",
        "the transfer's identifier is in use",
        "take a fresh identifier; to repeat a request, send the same idempotency key",
    ),
    CodeDoc::new(
        ErrorKind::NotFound,
        "ledger.transfer-not-found",
        "there is no such transfer",
        "check the identifier, and that the token is of the right organisation",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.not-a-hold",
        "the transfer was not a hold",
        "reverse a posted transfer instead",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.hold-already-posted",
        "the hold was posted before",
        "read the transfer; reverse it to move the money back",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.hold-already-voided",
        "the hold was voided before",
        "make a new hold if the money is still to move",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.hold-already-expired",
        "the hold is over and recorded as such",
        "make a new hold if the money is still to move",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.hold-expired",
        "the hold's time is over",
        "make a new hold if the money is still to move",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.not-reversible",
        "the transfer is not posted, or is a reversal itself",
        "void a hold; undo a reversal by a transfer of its own",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.already-reversed",
        "nothing of the transfer is left to reverse",
        "read the transfer to see what reversed it",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.part-of-currencies",
        "a transfer of several currencies has no parts",
        "leave `amount` out: it is posted or reversed as a whole",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.currency-mismatch",
        "an amount is in another currency than what it is for",
        "see `expected` and `given` in `details`; an account has one currency for ever",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.capture-exceeds-hold",
        "more would be posted than is on hold",
        "post at most what `available` says",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.reversal-exceeds-transfer",
        "more would be reversed than is left",
        "reverse at most what `available` says",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.effective-in-future",
        "a transfer would become effective later than now",
        "send it when its time has come, or leave `effective_at` out",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.period-closed",
        "a transfer would become effective in a closed period",
        "choose a later `effective_at` than `closed_through`, or leave it out",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.period-not-over",
        "only a past period can be closed",
        "name a moment that has passed",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.period-closed-later",
        "the book is closed up to a later moment already",
        "nothing is to be done: closed periods stay closed",
    ),
    CodeDoc::new(
        ErrorKind::NotFound,
        "ledger.account-not-found",
        "there is no such account",
        "check the identifier, and that the token is of the right organisation",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.account-closed",
        "the account is closed for good",
        "open another account",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.account-frozen",
        "the account takes nothing on this side",
        "unfreeze the account first",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "ledger.account-not-empty",
        "money is on the account or on hold there",
        "move the balance away and resolve the holds first",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.balance-overflow",
        "a figure would leave the range of balances",
        "split the amount, or use another account",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.insufficient-funds",
        "the account has less available than is required",
        "see `required` and `available` in `details`; what is on hold is not available",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "ledger.limit-exceeded",
        "the account has less room than is required",
        "see `required` and `available` in `details`",
    ),
];
