//! Ledger commands in the fewest words.

use domain::ids::{AccountId, TenantId, TransferId};
use domain::ledger::{HoldRequest, LegRequest, OpenAccount, PostTransfer, Side};
use domain::metadata::{Label, Metadata};
use domain::money::{Currency, Limit, Money};
use event_store::{Executor, IdempotencyKey, Receipt, SubmitError, Unit};
use uuid::Uuid;

use crate::database::{cause, master_key};

/// The account with this number.
#[must_use]
pub fn account(n: u128) -> AccountId {
    AccountId::new(Uuid::from_u128(0xacc0_0000 + n))
}

/// Opens an account in euro; `unbounded` lets it go below zero.
///
/// # Errors
/// Never, in truth.
pub fn open(account_id: AccountId, min_balance: Limit) -> anyhow::Result<OpenAccount> {
    Ok(OpenAccount {
        account_id,
        name: Label::parse("an account")?,
        currency: Currency::parse("EUR")?,
        normal_side: Side::Credit,
        min_balance,
        max_balance: Limit::unbounded(),
        metadata: Metadata::default(),
    })
}

/// An amount in euro.
///
/// # Errors
/// If the text is not one.
pub fn eur(text: &str) -> anyhow::Result<Money> {
    Ok(Money::parse(text, Currency::parse("EUR")?)?)
}

/// Moves euros from one account to another, under a fresh id.
///
/// # Errors
/// If the amount is not one.
pub fn transfer(from: AccountId, to: AccountId, amount: &str) -> anyhow::Result<PostTransfer> {
    let leg = |account_id, side| anyhow::Ok(LegRequest { account_id, side, amount: eur(amount)? });
    Ok(PostTransfer {
        transfer_id: TransferId::new(Uuid::now_v7()),
        legs: vec![leg(from, Side::Debit)?, leg(to, Side::Credit)?],
        hold: None,
        effective_at: None,
        code: None,
        metadata: Metadata::default(),
    })
}

/// Sets euros aside, for ever or for some seconds.
///
/// # Errors
/// If the amount is not one.
pub fn hold(
    from: AccountId,
    to: AccountId,
    amount: &str,
    seconds: Option<u64>,
) -> anyhow::Result<PostTransfer> {
    Ok(PostTransfer { hold: Some(HoldRequest { expires_in: seconds }), ..transfer(from, to, amount)? })
}

/// A key as the edge would make it.
///
/// # Errors
/// Never, in truth.
pub fn key(name: &str, request: &str) -> anyhow::Result<IdempotencyKey> {
    Ok(IdempotencyKey::new(&*master_key()?, Uuid::from_u128(1), "POST /test", name, request.as_bytes()))
}

/// Submits one command.
///
/// # Errors
/// If there is no outcome.
pub async fn submit(
    executor: &Executor,
    tenant: TenantId,
    decision: impl domain::Decision + 'static,
) -> Result<Receipt, SubmitError> {
    executor.submit(Unit::new(tenant, cause(), decision)).await
}

/// Opens a source without a lower limit (number 0) and `count` further accounts, each with `balance` euros.
///
/// # Errors
/// If something is refused.
pub async fn set_up(executor: &Executor, tenant: TenantId, count: u128, balance: &str) -> anyhow::Result<()> {
    accepted(&submit(executor, tenant, open(account(0), Limit::unbounded())?).await?)?;
    for n in 1..=count {
        accepted(&submit(executor, tenant, open(account(n), Limit::zero())?).await?)?;
        accepted(&submit(executor, tenant, transfer(account(0), account(n), balance)?).await?)?;
    }
    Ok(())
}

/// Fails with the refusal if there is one.
///
/// # Errors
/// The refusal.
pub fn accepted(receipt: &Receipt) -> anyhow::Result<()> {
    for result in &receipt.results {
        if let Err(refusal) = result {
            anyhow::bail!("{}: {}", refusal.code, refusal.message);
        }
    }
    Ok(())
}

/// The code of the first refusal, if any.
#[must_use]
pub fn code(receipt: &Receipt) -> Option<&str> {
    receipt.results.iter().find_map(|result| result.as_ref().err().map(|refusal| refusal.code.as_ref()))
}
