use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use uuid::Uuid;

use super::*;
use crate::error::{DomainError, ErrorKind};
use crate::identity::AccessTokenError;
use crate::ids::{AccountId, TransferId};
use crate::ledger::LedgerError;
use crate::metadata::TextError;
use crate::money::{Balance, Currency, Money, MoneyError};
use crate::organisation::tenant::SlugMalformed;
use crate::organisation::{Slug, TenantError};

/// Walks over all variants. Each names the next, so a new one does not compile until it has its place.
fn walk<E>(next: impl Fn(Option<&E>) -> Option<E>) -> Vec<E> {
    let mut all: Vec<E> = Vec::new();
    while let Some(error) = next(all.last()) {
        all.push(error);
        assert!(all.len() < 1_000, "the variants name each other in a circle");
    }
    all
}

/// The codes and kinds that errors give, each once.
fn given<E: DomainError>(errors: &[E]) -> BTreeMap<&'static str, ErrorKind> {
    let mut given = BTreeMap::new();
    for error in errors {
        let kind = given.insert(error.code(), error.kind());
        assert!(kind.is_none_or(|kind| kind == error.kind()), "{} is of two kinds", error.code());
    }
    given
}

fn told(table: &[CodeDoc]) -> BTreeMap<&'static str, ErrorKind> {
    table.iter().map(|it| (it.code, it.kind)).collect()
}

fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

fn money_errors() -> Vec<MoneyError> {
    use MoneyError as E;
    let currency = eur();
    walk(|it| match it {
        None => Some(E::MustBeString),
        Some(E::MustBeString) => Some(E::Malformed),
        Some(E::Malformed) => Some(E::Precision { digits: 3, currency }),
        Some(E::Precision { .. }) => Some(E::OutOfRange),
        Some(E::OutOfRange) => Some(E::CurrencyUnknown),
        Some(E::CurrencyUnknown) => Some(E::CurrencyMismatch { left: currency, right: currency }),
        Some(E::CurrencyMismatch { .. }) => Some(E::CannotSplit),
        Some(E::CannotSplit) => None,
    })
}

fn text_errors() -> Vec<TextError> {
    use TextError as E;
    walk(|it| match it {
        None => Some(E::Empty),
        Some(E::Empty) => Some(E::TooLong { chars: 201, max: 200 }),
        Some(E::TooLong { .. }) => Some(E::NotAllowed { at: 0 }),
        Some(E::NotAllowed { .. }) => Some(E::TooMany { entries: 21 }),
        Some(E::TooMany { .. }) => Some(E::KeyMalformed),
        Some(E::KeyMalformed) => None,
    })
}

fn tenant_errors() -> Vec<TenantError> {
    use TenantError as E;
    walk(|it| match it {
        None => Some(E::Exists),
        Some(E::Exists) => Some(E::SlugTaken { slug: Slug::parse("shop").unwrap() }),
        Some(E::SlugTaken { .. }) => None,
    })
}

fn token_errors() -> Vec<AccessTokenError> {
    use AccessTokenError as E;
    walk(|it| match it {
        None => Some(E::RolesEmpty),
        Some(E::RolesEmpty) => Some(E::ExpiryInPast),
        Some(E::ExpiryInPast) => Some(E::Exists),
        Some(E::Exists) => None,
    })
}

fn ledger_errors() -> Vec<LedgerError> {
    use LedgerError as E;
    let (account_id, transfer_id) = (AccountId::new(Uuid::nil()), TransferId::new(Uuid::nil()));
    let (currency, at) = (eur(), DateTime::UNIX_EPOCH);
    let (expected, given) = (currency, currency);
    let (required, available) = (Money::zero(currency), Balance::ZERO);
    walk(|it| {
        Some(match it {
            None => E::LegCount { legs: 1, min: 2, max: 100 },
            Some(E::LegCount { .. }) => E::AmountNotPositive,
            Some(E::AmountNotPositive) => E::SameAccount { account_id },
            Some(E::SameAccount { .. }) => {
                E::UnbalancedLegs { currency, debits: available, credits: available }
            }
            Some(E::UnbalancedLegs { .. }) => E::HoldDuration { seconds: 0, max: 1 },
            Some(E::HoldDuration { .. }) => E::LimitMalformed(MoneyError::OutOfRange),
            Some(E::LimitMalformed(_)) => E::LimitsExcludeZero,
            Some(E::LimitsExcludeZero) => E::AccountExists { account_id },
            Some(E::AccountExists { .. }) => E::TransferExists { transfer_id },
            Some(E::TransferExists { .. }) => E::TransferNotFound { transfer_id },
            Some(E::TransferNotFound { .. }) => E::NotAHold { transfer_id },
            Some(E::NotAHold { .. }) => E::HoldAlreadyPosted { transfer_id },
            Some(E::HoldAlreadyPosted { .. }) => E::HoldAlreadyVoided { transfer_id },
            Some(E::HoldAlreadyVoided { .. }) => E::HoldAlreadyExpired { transfer_id },
            Some(E::HoldAlreadyExpired { .. }) => E::HoldExpired { transfer_id, expired_at: at },
            Some(E::HoldExpired { .. }) => E::NotReversible { transfer_id, state: "held" },
            Some(E::NotReversible { .. }) => E::AlreadyReversed { transfer_id },
            Some(E::AlreadyReversed { .. }) => E::TooManyReversals { transfer_id, max: 1 },
            Some(E::TooManyReversals { .. }) => E::PartOfCurrencies { transfer_id },
            Some(E::PartOfCurrencies { .. }) => E::PartCurrency { expected, given },
            Some(E::PartCurrency { .. }) => E::CaptureExceedsHold { required, available },
            Some(E::CaptureExceedsHold { .. }) => E::ReversalExceedsTransfer { required, available },
            Some(E::ReversalExceedsTransfer { .. }) => E::TooEarly { moment: at, earliest: at },
            Some(E::TooEarly { .. }) => E::EffectiveInFuture { effective_at: at },
            Some(E::EffectiveInFuture { .. }) => E::PeriodClosed { effective_at: at, closed_through: at },
            Some(E::PeriodClosed { .. }) => E::PeriodNotOver { through: at },
            Some(E::PeriodNotOver { .. }) => E::PeriodClosedLater { closed_through: at },
            Some(E::PeriodClosedLater { .. }) => E::AccountNotFound { account_id },
            Some(E::AccountNotFound { .. }) => E::AccountClosed { account_id },
            Some(E::AccountClosed { .. }) => E::CurrencyMismatch { account_id, expected, given },
            Some(E::CurrencyMismatch { .. }) => E::AccountFrozen { account_id },
            Some(E::AccountFrozen { .. }) => E::AccountNotEmpty {
                account_id,
                balance: available,
                debits_pending: available,
                credits_pending: available,
                currency,
            },
            Some(E::AccountNotEmpty { .. }) => E::BalanceOverflow { account_id },
            Some(E::BalanceOverflow { .. }) => E::InsufficientFunds { account_id, required, available },
            Some(E::InsufficientFunds { .. }) => E::LimitExceeded { account_id, required, available },
            Some(E::LimitExceeded { .. }) => return None,
        })
    })
}

#[test]
fn every_refusal_is_in_its_table_and_the_tables_have_nothing_else() {
    assert_eq!(given(&money_errors()), told(money::CODES));
    assert_eq!(given(&text_errors()), told(metadata::CODES));
    let mut organisation = given(&tenant_errors());
    organisation.append(&mut given(&[SlugMalformed]));
    assert_eq!(organisation, told(organisation::CODES));
    assert_eq!(given(&token_errors()), told(identity::CODES));
    let mut ledger = given(&ledger_errors());
    // A limit that does not fit says why in the words of money.
    assert_eq!(ledger.remove("money.amount-out-of-range"), Some(ErrorKind::Rejected));
    assert_eq!(ledger, told(ledger::error::CODES));
}

#[test]
fn the_ledgers_table_is_in_the_order_of_its_checks() {
    let mut seen = BTreeSet::new();
    let checked: Vec<_> = ledger_errors()
        .iter()
        .map(DomainError::code)
        .filter(|code| code.starts_with("ledger.") && seen.insert(*code))
        .collect();
    let told: Vec<_> = ledger::error::CODES.iter().map(|it| it.code).collect();
    assert_eq!(checked, told);
}

#[test]
fn parse_codes_are_in_the_tables_with_the_same_kinds() {
    for (code, kind) in [money::PARSE_CODES, metadata::PARSE_CODES, organisation::PARSE_CODES].concat() {
        assert_eq!(find(code).map(|it| it.kind), Some(kind), "{code}");
    }
}

#[test]
fn codes_are_unique_and_texts_are_fragments() {
    let codes: BTreeSet<_> = all().map(|it| it.code).collect();
    assert_eq!(codes.len(), all().count());
    for CodeDoc { code, title, hint, .. } in all() {
        let (context, what) = code.split_once('.').unwrap();
        assert!(context.bytes().all(|it| it.is_ascii_lowercase()), "{code}");
        assert!(what.bytes().all(|it| it.is_ascii_lowercase() || it == b'-'), "{code}");
        for text in [title, hint] {
            assert!(text.starts_with(char::is_lowercase) && !text.ends_with('.'), "{code}: {text}");
        }
    }
}
