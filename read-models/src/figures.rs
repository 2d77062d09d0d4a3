//! Figures as SQL keeps them, four digits after the point, and as they are shown: with the digits of their currency.

use domain::ledger::{Side, Totals};
use domain::money::Currency;
use rust_decimal::Decimal;

/// Gives figures exactly the digits of their currency; one that is not known keeps them as they are.
pub(crate) fn in_currency<'a>(currency: &str, figures: impl IntoIterator<Item = &'a mut Decimal>) {
    let Ok(currency) = Currency::parse(currency) else { return };
    for figure in figures {
        figure.rescale(currency.exponent());
    }
}

/// The side named in a row.
pub(crate) fn side(name: &str) -> Side {
    if name == Side::Debit.as_str() { Side::Debit } else { Side::Credit }
}

/// Posted totals as a balance in the direction of the normal side.
pub(crate) fn balance(normal: Side, debits: Decimal, credits: Decimal) -> Decimal {
    match normal {
        Side::Debit => debits - credits,
        Side::Credit => credits - debits,
    }
}

/// What may still be taken: the balance, less what is on hold against it, down to the lower bound; `None` if there is
/// no bound.
pub(crate) fn available(
    normal: Side,
    balance: Decimal,
    debits_pending: Decimal,
    credits_pending: Decimal,
    min_balance: Option<Decimal>,
) -> Option<Decimal> {
    let against = match normal {
        Side::Debit => credits_pending,
        Side::Credit => debits_pending,
    };
    min_balance.map(|min| balance - against - min)
}

/// The balance that totals make.
pub(crate) fn balance_of(normal: Side, totals: &Totals) -> Decimal {
    balance(normal, totals.debits_posted.decimal(), totals.credits_posted.decimal())
}

/// The values of one field of many rows, for `unnest`.
macro_rules! column {
    ($rows:expr, $field:ident) => {
        &$rows.iter().map(|it| it.$field.clone()).collect::<Vec<_>>()
    };
}
pub(crate) use column;
