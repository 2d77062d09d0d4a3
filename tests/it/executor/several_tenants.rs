//! Units that touch several tenants, and secrets that land with the events that tell of them.

use domain::ids::AccountId;
use domain::ledger::account::stream as account_stream;
use domain::ledger::{Account, CloseAccount, LedgerError};
use domain::money::Limit;
use domain::{Decision, Refusal, StreamId, Verdict, View};
use event_store::vault::{SecretText, VaultChange};
use event_store::{Executor, Linkage, Unit};
use futures_util::future::join_all;
use tests::database::{Database, cause, tenant};
use tests::ledger::{accepted, account, code, key, open, set_up, submit, transfer};
use uuid::Uuid;

use super::{Test, check_log, check_money, count};

const PERSON: Uuid = Uuid::from_u128(0x9e50);

/// Opens an account in each of two tenants.
fn in_both(n: u128) -> anyhow::Result<Unit> {
    let unit = Unit::new(tenant(1), cause(), open(account(n), Limit::zero())?);
    Ok(unit.and(tenant(2), open(account(n), Limit::zero())?))
}

fn password(version: i32, phc: &str) -> VaultChange {
    let phc = SecretText::new(phc.to_owned());
    VaultChange::PutPassword { tenant: tenant(1), user: PERSON, version, phc, pepper: 1 }
}

async fn passwords(database: &Database) -> anyhow::Result<Vec<(i32, String)>> {
    let mut conn = database.superuser().await?;
    Ok(sqlx::query_as("select version, phc from vault.passwords").fetch_all(&mut conn).await?)
}

/// A euro from account 1 to account 2 of tenant 1, and a password with it.
fn transfer_and_password(amount: &str, version: i32) -> anyhow::Result<Unit> {
    let unit = Unit::new(tenant(1), cause(), transfer(account(1), account(2), amount)?);
    Ok(unit.with_vault([password(version, &format!("phc-{version}"))]))
}

#[tokio::test]
async fn a_unit_over_two_tenants_happens_in_both_or_in_neither() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let receipt = executor.submit(in_both(1)?).await?;
    assert!(receipt.results.iter().all(Result::is_ok), "{receipt:?}");

    // Taken in the second tenant alone: what the first would do is undone.
    accepted(&submit(&executor, tenant(2), open(account(2), Limit::zero())?).await?)?;
    let receipt = executor.submit(in_both(2)?).await?;
    assert_eq!(code(&receipt), Some("batch.not-applied"));
    assert_eq!(count(&database, "ledger.account-opened").await?, 3);
    accepted(&submit(&executor, tenant(1), open(account(2), Limit::zero())?).await?)?;
    check_log(&database).await
}

#[tokio::test]
async fn each_tenant_sees_its_own_half() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    executor.submit(in_both(1)?).await?;
    let pool = database.pool("quipu_query")?;
    for t in [tenant(1), tenant(2)] {
        let mut tx = pool.begin().await?;
        sqlx::query("select set_config('app.tenants', $1, true)")
            .bind(format!("{{{t}}}"))
            .execute(&mut *tx)
            .await?;
        let seen: Vec<(Uuid, i64)> =
            sqlx::query_as("select tenant_id, tenant_seq from store.events").fetch_all(&mut *tx).await?;
        assert_eq!(seen, [(t.uuid(), 1)]);
        tx.rollback().await?;
    }
    Ok(())
}

/// That an account is in use. It says nothing.
struct InUse(AccountId);

impl Decision for InUse {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![account_stream(self.0)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        match view.find::<Account>(self.0.uuid()).map(|it| it.state) {
            Some(Account::Open(_)) => Ok(Verdict::already(account_stream(self.0))),
            _ => Err(LedgerError::AccountNotFound { account_id: self.0 }.into()),
        }
    }
}

/// The process that judges it has the account in memory as it was, and another one closes it.
#[tokio::test]
async fn a_proviso_in_another_log_holds_for_all_commands_however_they_stand_to_each_other() -> Test {
    let database = Database::fresh().await?;
    let (executor, other) = (database.executor()?, database.executor()?);
    accepted(&submit(&executor, tenant(2), open(account(9), Limit::zero())?).await?)?;
    let both = |n: u128, linkage: Linkage| {
        let unit = Unit::new(tenant(1), cause(), open(account(n), Limit::zero())?);
        let unit = unit.and(tenant(1), open(account(n + 1), Limit::zero())?);
        anyhow::Ok(Unit { linkage, ..unit.provided(tenant(2), InUse(account(9))) })
    };
    let receipt = executor.submit(both(1, Linkage::AllOrNone)?).await?;
    assert_eq!(receipt.results.len(), 2, "it has no result of its own");
    accepted(&receipt)?;
    accepted(&submit(&other, tenant(2), CloseAccount { account_id: account(9) }).await?)?;
    for linkage in [Linkage::Each, Linkage::AllOrNone] {
        let refused = executor.submit(both(3, linkage)?).await?.results;
        let codes: Vec<_> = refused.iter().map(|it| it.as_ref().err().map(|it| it.code.as_ref())).collect();
        assert_eq!(codes, [Some("ledger.account-not-found"); 2], "{linkage:?}");
    }
    assert_eq!(count(&database, "ledger.account-opened").await?, 3);
    check_log(&database).await
}

/// Two processes; each unit reads an account in either tenant, so a judgement on an old state in the second tenant must
/// be found as surely as in the first.
#[tokio::test]
async fn units_over_two_tenants_race_without_a_lost_update() -> Test {
    const CALLERS: u32 = 40;
    let database = Database::fresh().await?;
    let executors = [database.executor()?, database.executor()?];
    for t in [tenant(1), tenant(2)] {
        set_up(&executors[0], t, 1, &format!("{CALLERS}.00")).await?;
        accepted(&submit(&executors[0], t, open(account(9), Limit::zero())?).await?)?;
    }
    let move_both = async |executor: &Executor| {
        let unit = Unit::new(tenant(1), cause(), transfer(account(1), account(9), "1.00")?);
        let unit = unit.and(tenant(2), transfer(account(1), account(9), "1.00")?);
        anyhow::Ok(executor.submit(unit).await?)
    };
    // One more than there is money for, in each of the processes.
    let calls = (0..=CALLERS).flat_map(|_| executors.iter().map(&move_both));
    let mut done = 0;
    for receipt in join_all(calls).await {
        done += u32::from(receipt?.results.iter().all(Result::is_ok));
    }
    assert_eq!(done, CALLERS, "every euro of both tenants moved once");
    check_log(&database).await?;
    check_money(&database).await
}

#[tokio::test]
async fn a_secret_lands_with_its_events_or_not_at_all() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 2, "10.00").await?;
    accepted(&executor.submit(transfer_and_password("4.00", 1)?).await?)?;
    let refused = executor.submit(transfer_and_password("400.00", 2)?).await?;
    assert_eq!(code(&refused), Some("ledger.insufficient-funds"));
    assert_eq!(passwords(&database).await?, [(1, "phc-1".to_owned())]);
    check_log(&database).await?;
    check_money(&database).await
}

#[tokio::test]
async fn a_repeated_key_changes_no_secret() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 2, "10.00").await?;
    for version in [1, 2] {
        let unit = transfer_and_password("4.00", version)?.with_key(key("a", "a")?);
        assert_eq!(executor.submit(unit).await?.replayed, version == 2);
    }
    assert_eq!(passwords(&database).await?, [(1, "phc-1".to_owned())]);
    Ok(())
}

/// What the vault refuses fails its own unit and no other of the batch.
#[tokio::test]
async fn a_secret_that_the_vault_refuses_takes_only_its_unit_with_it() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 2, "10.00").await?;
    let units = vec![transfer_and_password("1.00", 1)?, transfer_and_password("1.00", -1)?, {
        Unit::new(tenant(1), cause(), transfer(account(1), account(2), "1.00")?)
    }];
    let outcomes = executor.submit_all(tenant(1), units).await;
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(passwords(&database).await?, [(1, "phc-1".to_owned())]);
    check_log(&database).await?;
    check_money(&database).await
}

/// The change names another tenant than its unit serves: row security refuses it.
#[tokio::test]
async fn a_unit_changes_no_secret_of_a_tenant_that_it_does_not_serve() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(2), 2, "10.00").await?;
    let unit = Unit::new(tenant(2), cause(), transfer(account(1), account(2), "1.00")?);
    assert!(executor.submit(unit.with_vault([password(1, "phc")])).await.is_err());
    assert!(passwords(&database).await?.is_empty());
    Ok(())
}

/// Repeated keys make batches fail after the next one was judged on top of them; secrets must follow their units.
#[tokio::test]
async fn secrets_follow_their_units_through_batches_that_fail() -> Test {
    const UNITS: i32 = 60;
    let database = Database::fresh().await?;
    let executors = [database.executor()?, database.executor()?];
    set_up(&executors[0], tenant(1), 2, "100.00").await?;
    let calls = (1..=UNITS).map(|n| {
        let executor = &executors[usize::from(n % 2 == 0)];
        async move {
            let name = n.to_string();
            let unit = |version: i32| {
                let unit = Unit::new(tenant(1), cause(), transfer(account(1), account(2), "1.00")?);
                let user = Uuid::from_u128(u128::try_from(n)?);
                let phc = SecretText::new(format!("phc-{version}"));
                let change = VaultChange::PutPassword { tenant: tenant(1), user, version, phc, pepper: 1 };
                anyhow::Ok(unit.with_vault([change]).with_key(key(&name, &name)?))
            };
            accepted(&executor.submit(unit(1)?).await?)?;
            anyhow::ensure!(executor.submit(unit(2)?).await?.replayed);
            anyhow::Ok(())
        }
    });
    join_all(calls).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let versions = passwords(&database).await?;
    assert_eq!(versions.len(), 60);
    assert!(versions.iter().all(|(version, _)| *version == 1), "{versions:?}");
    check_log(&database).await
}
