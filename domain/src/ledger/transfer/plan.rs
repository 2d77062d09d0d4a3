//! From what shall happen on each account to the legs of the event, or the refusal.

use rust_decimal::Decimal;

use crate::decision::View;
use crate::ids::{AccountId, TransferId};
use crate::ledger::LedgerError;
use crate::ledger::account;
use crate::ledger::posting::{Leg, LegRequest, Move, Side, within_limits};
use crate::money::{Balance, Money};

/// What shall happen on one account.
pub(super) struct Planned {
    pub(super) account_id: AccountId,
    pub(super) side: Side,
    pub(super) step: Move,
}

impl Planned {
    pub(super) fn new(leg: &LegRequest, step: Move) -> Self {
        Self { account_id: leg.account_id, side: leg.side, step }
    }
}

/// The legs of an event that does `plan` and opens (or, if negative, resolves) so many expiring holds an account.
///
/// First every account must stand: exist, be open, have the currency, and take this side unless something is freed.
/// Then every figure must hold, account by account.
pub(super) fn legs(view: &View<'_>, plan: &[Planned], more_holds: i32) -> Result<Vec<Leg>, LedgerError> {
    let mut standing = Vec::with_capacity(plan.len());
    for planned in plan {
        let Planned { account_id, side, step } = *planned;
        let (version, live) = account::live(view, account_id)?;
        let given = step.amount().currency();
        if given != live.currency {
            return Err(LedgerError::CurrencyMismatch { account_id, expected: live.currency, given });
        }
        if live.frozen.covers(side) && !matches!(step, Move::Release(_)) {
            return Err(LedgerError::AccountFrozen { account_id });
        }
        standing.push((planned, version, live));
    }
    standing
        .into_iter()
        .map(|(planned, version, live)| {
            let Planned { account_id, side, step } = *planned;
            let totals =
                step.apply(live.totals, side).map_err(|_| LedgerError::BalanceOverflow { account_id })?;
            // What comes from a hold was counted when it was set aside.
            if let Move::Post(amount) | Move::Hold(amount) = step {
                within_limits(account_id, live, side, amount)?;
            }
            let after = live.after(version + 1, totals, more_holds);
            Ok(Leg { account_id, side, amount: step.amount(), after })
        })
        .collect()
}

/// What each of `legs` contributes if `amount` of the whole is taken, or everything if no amount is named. Each side is
/// divided by the method of the largest remainder, so each adds up to the amount.
pub(super) fn parts(
    legs: &[LegRequest],
    transfer_id: TransferId,
    amount: Option<Money>,
    exceeds: impl Fn(Money, Balance) -> LedgerError,
) -> Result<Vec<Money>, LedgerError> {
    let Some(amount) = amount else { return Ok(legs.iter().map(|leg| leg.amount).collect()) };
    let Some(expected) = legs.first().map(|leg| leg.amount.currency()) else {
        return Err(exceeds(amount, Balance::ZERO));
    };
    if legs.iter().any(|leg| leg.amount.currency() != expected) {
        return Err(LedgerError::PartOfCurrencies { transfer_id });
    }
    if amount.currency() != expected {
        return Err(LedgerError::PartCurrency { expected, given: amount.currency() });
    }
    let weights = |side: Side| -> Vec<Decimal> {
        legs.iter().filter(|leg| leg.side == side).map(|leg| leg.amount.amount()).collect()
    };
    let (debits, credits) = (weights(Side::Debit), weights(Side::Credit));
    // In one currency the sides balance, so either is the whole.
    let whole: Decimal = debits.iter().sum();
    let available = Balance::checked(whole).unwrap_or(Balance::ZERO);
    if amount.amount() > whole {
        return Err(exceeds(amount, available));
    }
    let divided = |weights: &[Decimal]| amount.split(weights).map_err(|_| exceeds(amount, available));
    let (mut debits, mut credits) = (divided(&debits)?.into_iter(), divided(&credits)?.into_iter());
    Ok(legs
        .iter()
        .filter_map(|leg| match leg.side {
            Side::Debit => debits.next(),
            Side::Credit => credits.next(),
        })
        .collect())
}
