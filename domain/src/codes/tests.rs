use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use uuid::Uuid;

use super::*;
use crate::application::ApplicationError;
use crate::error::{DomainError, ErrorKind};
use crate::federation::FederationError;
use crate::gate::GateError;
use crate::identity::{AccessTokenError, IdentityError};
use crate::ids::{AccountId, ProviderId, RoleId, TransferId, UserId};
use crate::ledger::LedgerError;
use crate::metadata::TextError;
use crate::money::{Balance, Currency, Money, MoneyError};
use crate::organisation::tenant::SlugMalformed;
use crate::organisation::{OrganisationError, Slug, TenantError};
use crate::platform::ImpersonationError;
use crate::platform::signing_key::{NameMalformed, SigningKeyError};
use crate::words::{Word, WordError};

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

fn word_errors() -> Vec<WordError> {
    use WordError as E;
    walk(|it| match it {
        None => Some(E::Word),
        Some(E::Word) => Some(E::Permission),
        Some(E::Permission) => Some(E::Scope),
        Some(E::Scope) => Some(E::Language),
        Some(E::Language) => Some(E::DomainName),
        Some(E::DomainName) => None,
    })
}

fn gate_errors() -> Vec<GateError> {
    use GateError as E;
    walk(|it| match it {
        None => Some(E::SessionEnded),
        Some(E::SessionEnded) => Some(E::PermissionMissing { permission: "a.b" }),
        Some(E::PermissionMissing { .. }) => Some(E::SecondFactorMissing),
        Some(E::SecondFactorMissing) => Some(E::ActsForAnother),
        Some(E::ActsForAnother) => Some(E::StepUpRequired { within_s: 1 }),
        Some(E::StepUpRequired { .. }) => None,
    })
}

fn identity_errors() -> Vec<IdentityError> {
    use IdentityError as E;
    walk(|it| {
        Some(match it {
            None => E::UserExists,
            Some(E::UserExists) => E::EmailTaken,
            Some(E::EmailTaken) => E::UserNotFound { user_id: UserId::new(Uuid::nil()) },
            Some(E::UserNotFound { .. }) => E::PersonErased,
            Some(E::PersonErased) => E::UserInactive,
            Some(E::UserInactive) => E::EmailUnverified,
            Some(E::EmailUnverified) => E::LinkInvalid,
            Some(E::LinkInvalid) => E::EmailChangePending,
            Some(E::EmailChangePending) => E::EmailChanged,
            Some(E::EmailChanged) => E::CredentialChanged,
            Some(E::CredentialChanged) => E::SessionExists,
            Some(E::SessionExists) => E::SessionNotFound,
            Some(E::SessionNotFound) => E::SessionOver,
            Some(E::SessionOver) => E::TokenNotFound,
            Some(E::TokenNotFound) => E::FactorExists,
            Some(E::FactorExists) => E::FactorsOff,
            Some(E::FactorsOff) => E::FactorNotFound,
            Some(E::FactorNotFound) => E::TooManyFactors { max: 1 },
            Some(E::TooManyFactors { .. }) => E::SecondFactorRequired,
            Some(E::SecondFactorRequired) => E::LinkedToAnother,
            Some(E::LinkedToAnother) => E::TooManyLinks { max: 1 },
            Some(E::TooManyLinks { .. }) => E::NotLinked,
            Some(E::NotLinked) => E::LinkCodeInvalid,
            Some(E::LinkCodeInvalid) => E::SameOrganisation,
            Some(E::SameOrganisation) => E::OwnProofRequired,
            Some(E::OwnProofRequired) => return None,
        })
    })
}

fn organisation_errors() -> Vec<OrganisationError> {
    use OrganisationError as E;
    let (user_id, role_id) = (UserId::new(Uuid::nil()), RoleId::new(Uuid::nil()));
    let status = || Word::of("suspended");
    walk(|it| {
        Some(match it {
            None => E::NotActive { status: status() },
            Some(E::NotActive { .. }) => E::WrongState { status: status() },
            Some(E::WrongState { .. }) => E::PolicyOutOfRange { field: "domains", min: 0, max: 1 },
            Some(E::PolicyOutOfRange { .. }) => E::RoleCount { count: 0 },
            Some(E::RoleCount { .. }) => E::RoleUnknown { role: "emperor".to_owned() },
            Some(E::RoleUnknown { .. }) => E::GrantsTooMuch { permission: "a.b".to_owned() },
            Some(E::GrantsTooMuch { .. }) => E::Outranked,
            Some(E::Outranked) => E::OwnerExists,
            Some(E::OwnerExists) => E::AlreadyMember,
            Some(E::AlreadyMember) => E::AddressUnproven,
            Some(E::AddressUnproven) => E::MemberNotFound { user_id },
            Some(E::MemberNotFound { .. }) => E::NotAMember,
            Some(E::NotAMember) => E::NotAnOwner,
            Some(E::NotAnOwner) => E::LastOwner,
            Some(E::LastOwner) => E::TooManyOwners { max: 1 },
            Some(E::TooManyOwners { .. }) => E::SeatsUsedUp { seats: 1 },
            Some(E::SeatsUsedUp { .. }) => E::PermissionCount { count: 0 },
            Some(E::PermissionCount { .. }) => E::RoleExists,
            Some(E::RoleExists) => E::RoleNameTaken { name: "Clerk".to_owned() },
            Some(E::RoleNameTaken { .. }) => E::RoleNotFound { role_id },
            Some(E::RoleNotFound { .. }) => E::TooManyRoles { max: 1 },
            Some(E::TooManyRoles { .. }) => E::RoleInUse { holders: 1 },
            Some(E::RoleInUse { .. }) => E::TenantNotFound,
            Some(E::TenantNotFound) => E::SlugReserved,
            Some(E::SlugReserved) => E::ApproverIsRequester,
            Some(E::ApproverIsRequester) => E::InvitationSpan { days_max: 1 },
            Some(E::InvitationSpan { .. }) => E::InvitationExists,
            Some(E::InvitationExists) => E::AlreadyInvited,
            Some(E::AlreadyInvited) => E::InvitationInvalid,
            Some(E::InvitationInvalid) => E::InvitationOver,
            Some(E::InvitationOver) => E::InvitationForAnother,
            Some(E::InvitationForAnother) => return None,
        })
    })
}

fn federation_errors() -> Vec<FederationError> {
    use FederationError as E;
    let (word, provider_id) = (Word::of("corp"), ProviderId::new(Uuid::nil()));
    walk(|it| {
        Some(match it {
            None => E::IssuerMalformed,
            Some(E::IssuerMalformed) => E::ReturnUriMalformed,
            Some(E::ReturnUriMalformed) => E::KindUnknown { kind: word.clone() },
            Some(E::KindUnknown { .. }) => E::NameReserved { name: word.clone() },
            Some(E::NameReserved { .. }) => E::TooManyScopes { max: 20 },
            Some(E::TooManyScopes { .. }) => E::TooManyDomains { max: 100 },
            Some(E::TooManyDomains { .. }) => E::TooManyReturnUris { max: 20 },
            Some(E::TooManyReturnUris { .. }) => E::ProviderNotFound { provider_id },
            Some(E::ProviderNotFound { .. }) => E::ProviderGone,
            Some(E::ProviderGone) => E::ProviderFixed,
            Some(E::ProviderFixed) => E::NameTaken { name: word.clone() },
            Some(E::NameTaken { .. }) => E::LinkExists,
            Some(E::LinkExists) => E::IdentityTaken,
            Some(E::IdentityTaken) => E::AlreadyLinked,
            Some(E::AlreadyLinked) => E::LinkNotFound,
            Some(E::LinkNotFound) => E::NotLinked,
            Some(E::NotLinked) => E::LinkNeedsSignIn,
            Some(E::LinkNeedsSignIn) => E::AddressNotVouched,
            Some(E::AddressNotVouched) => return None,
        })
    })
}

fn application_errors() -> Vec<ApplicationError> {
    use ApplicationError as E;
    walk(|it| {
        Some(match it {
            None => E::UriMalformed,
            Some(E::UriMalformed) => E::LimitReached { what: "x", max: 1 },
            Some(E::LimitReached { .. }) => E::GrantMissing,
            Some(E::GrantMissing) => E::RedirectUriMissing,
            Some(E::RedirectUriMissing) => E::PublicService,
            Some(E::PublicService) => E::ServiceExists,
            Some(E::ServiceExists) => E::ServiceNameTaken { name: "Till".to_owned() },
            Some(E::ServiceNameTaken { .. }) => E::ServiceNotFound,
            Some(E::ServiceNotFound) => E::ServiceSuspended,
            Some(E::ServiceSuspended) => E::ScopeNotRegistered { scope: crate::words::Scope::of("openid") },
            Some(E::ScopeNotRegistered { .. }) => E::SecretExists,
            Some(E::SecretExists) => E::SecretNotFound,
            Some(E::SecretNotFound) => E::ConsentNotFound,
            Some(E::ConsentNotFound) => E::GrantDecided,
            Some(E::GrantDecided) => E::GrantNotFound,
            Some(E::GrantNotFound) => {
                E::GrantRedeemed { session_id: crate::ids::SessionId::new(Uuid::nil()) }
            }
            Some(E::GrantRedeemed { .. }) => E::KeyEmpty,
            Some(E::KeyEmpty) => E::KeyExpired,
            Some(E::KeyExpired) => E::KeyExists,
            Some(E::KeyExists) => E::KeyNotFound,
            Some(E::KeyNotFound) => return None,
        })
    })
}

fn signing_key_errors() -> Vec<SigningKeyError> {
    use SigningKeyError as E;
    let at = DateTime::UNIX_EPOCH;
    walk(|it| match it {
        None => Some(E::Exists),
        Some(E::Exists) => Some(E::NotFound),
        Some(E::NotFound) => Some(E::State { state: "retired" }),
        Some(E::State { .. }) => Some(E::TooEarly { use_from: at }),
        Some(E::TooEarly { .. }) => Some(E::StillBelieved { believe_until: at }),
        Some(E::StillBelieved { .. }) => Some(E::OtherAnnounced),
        Some(E::OtherAnnounced) => Some(E::OtherActive),
        Some(E::OtherActive) => None,
    })
}

fn impersonation_errors() -> Vec<ImpersonationError> {
    use ImpersonationError as E;
    walk(|it| match it {
        None => Some(E::ByOperator),
        Some(E::ByOperator) => Some(E::Span),
        Some(E::Span) => Some(E::OfStaff),
        Some(E::OfStaff) => Some(E::Exists),
        Some(E::Exists) => Some(E::NotFound),
        Some(E::NotFound) => None,
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
    assert_eq!(given(&word_errors()), told(words::CODES));
    assert_eq!(given(&identity_errors()), told(identity::error::CODES));
    assert_eq!(given(&organisation_errors()), told(organisation::error::CODES));
    assert_eq!(given(&application_errors()), told(application::CODES));
    let mut signing_key = given(&signing_key_errors());
    signing_key.append(&mut given(&[NameMalformed]));
    assert_eq!(signing_key, told(platform::signing_key::CODES));
    assert_eq!(given(&impersonation_errors()), told(platform::impersonation::CODES));
    let mut gate = given(&gate_errors());
    assert_eq!(gate.remove("auth.permission-missing"), Some(ErrorKind::Forbidden), "the edge tells it");
    assert_eq!(gate, told(gate::CODES));
    assert_eq!(given(&federation_errors()), told(federation::CODES));
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
    for (code, kind) in [
        money::PARSE_CODES,
        metadata::PARSE_CODES,
        words::PARSE_CODES,
        organisation::PARSE_CODES,
        application::error::PARSE_CODES,
        federation::PARSE_CODES,
        platform::signing_key::PARSE_CODES,
    ]
    .concat()
    {
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
