//! Amounts of money: exact, of one currency, never rounded on the way in, never through floating point.
//!
//! Three types: [`Money`] (an amount and its currency, never negative), [`Balance`] (a signed figure whose currency its
//! owner knows) and [`Currency`]. Nothing here knows accounts, prices or taxes.

mod amount;
mod balance;
mod currency;
mod error;
mod rounding;

pub use amount::Money;
pub use balance::{Balance, Limit};
pub use currency::Currency;
pub use error::{CODES, MoneyError, PARSE_CODES};
pub use rounding::RoundingPolicy;

#[cfg(test)]
mod tests;
