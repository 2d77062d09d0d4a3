//! The figures that a refusal tells beside its code: by name, amounts and moments in the wire form.

use super::*;
use crate::ledger::sample::*;

fn told(error: &LedgerError) -> String {
    let details = error.details();
    details.iter().map(|(name, figure)| format!("{name}={figure}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn amounts_are_told_with_their_currency() {
    use LedgerError as E;
    let (expected, given) = (usd("0").currency(), money("0", "EUR").currency());
    let (account_id, required, available) = (account_id(1), usd("2"), balance("1.50"));
    let compared = "available=1.50 currency=USD required=2.00";
    for (error, figures) in [
        (
            E::UnbalancedLegs { currency: expected, debits: balance("1.00"), credits: balance("2.00") },
            "credits=2.00 currency=USD debits=1.00".to_owned(),
        ),
        (E::PartCurrency { expected, given }, "expected=USD given=EUR".to_owned()),
        (
            E::CurrencyMismatch { account_id, expected, given },
            format!("account_id={account_id} expected=USD given=EUR"),
        ),
        (E::CaptureExceedsHold { required, available }, compared.to_owned()),
        (E::ReversalExceedsTransfer { required, available }, compared.to_owned()),
        (
            E::InsufficientFunds { account_id, required, available },
            format!("account_id={account_id} {compared}"),
        ),
        (E::LimitExceeded { account_id, required, available }, format!("account_id={account_id} {compared}")),
        (
            E::AccountNotEmpty {
                account_id,
                balance: balance("1.00"),
                debits_pending: balance("2.00"),
                credits_pending: balance("3.00"),
                currency: expected,
            },
            format!(
                "account_id={account_id} balance=1.00 credits_pending=3.00 currency=USD debits_pending=2.00"
            ),
        ),
    ] {
        assert_eq!(told(&error), figures, "{error:?}");
    }
}

#[test]
fn moments_are_told_and_said() {
    use LedgerError as E;
    let (early, late) = ("2023-11-14T22:13:20Z", "2023-11-14T22:13:21Z");
    let transfer_id = transfer_id(1);
    for (error, figures) in [
        (
            E::HoldExpired { transfer_id, expired_at: at(0) },
            format!("expired_at={early} transfer_id={transfer_id}"),
        ),
        (E::TooEarly { moment: at(0), earliest: at(1) }, format!("earliest={late} moment={early}")),
        (E::EffectiveInFuture { effective_at: at(0) }, format!("effective_at={early}")),
        (
            E::PeriodClosed { effective_at: at(0), closed_through: at(1) },
            format!("closed_through={late} effective_at={early}"),
        ),
        (E::PeriodNotOver { through: at(0) }, format!("through={early}")),
        (E::PeriodClosedLater { closed_through: at(0) }, format!("closed_through={early}")),
    ] {
        assert_eq!(told(&error), figures, "{error:?}");
        assert!(error.to_string().contains(early), "{error}");
    }
}
