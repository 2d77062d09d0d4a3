//! What a comparison finds, and what becomes of a rebuilt model.

use projector::rebuild::{RebuildState, Trust};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_row_of_a_hundred_thousand_is_found() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    let t = tenant(1);
    set_up(&executor, t, 20, "1000.00").await?;
    for _ in 0..50 {
        let units = (0..1_000).map(|n| {
            let (from, to) = (account(1 + n % 20), account(1 + (n + 1) % 20));
            Ok(Unit::new(t, cause(), transfer(from, to, "0.01")?))
        });
        for outcome in executor.submit_all(t, units.collect::<anyhow::Result<_>>()?).await {
            accepted(&outcome?)?;
        }
    }
    let (_projector, shutdown) = projector(&database, quick())?;
    caught_up(&database).await?;
    let options = Options { after: After::Drop, ..Options::default() };
    let rebuilder = rebuilder(&database)?;
    let compare = async || {
        let outcome = rebuilder.rebuild("account_entries", &options, &Control::default()).await?;
        anyhow::Ok((outcome.state, outcome.comparison.expect("it was compared")))
    };
    let (state, found) = compare().await?;
    assert!(state == RebuildState::Compared && found.is_equal(), "{found:?}");
    assert!(found.compared > 100_000, "{found:?}");
    superuser(
        &database,
        "update read.account_entries set balance_after = balance_after + 0.01
         where (tenant_id, account_id, version) =
               (select tenant_id, account_id, version from read.account_entries order by position offset 77777 limit 1)",
    )
    .await?;
    let (_, changed) = compare().await?;
    assert_eq!(
        (changed.compared, changed.differing, changed.missing, changed.extra),
        (found.compared, 1, 0, 0)
    );
    assert_eq!(changed.differences.len(), 1, "{changed:?}");
    let difference = &changed.differences[0];
    assert_eq!(
        (difference.table.as_str(), difference.column.as_deref()),
        ("account_entries", Some("balance_after"))
    );
    assert_ne!(difference.live, difference.rebuilt);
    assert!(difference.key.contains("version="), "{difference:?}");
    superuser(
        &database,
        "delete from read.account_entries where position = 30000;
         insert into read.account_entries select tenant_id, gen_random_uuid(), version, position, transfer_id, kind, side,
             amount, pending_amount, currency, debits_posted, credits_posted, debits_pending, credits_pending,
             balance_after, code, effective_at, recorded_at from read.account_entries where position = 40000",
    )
    .await?;
    let (_, more) = compare().await?;
    assert_eq!((more.differing, more.missing, more.extra), (1, 2, 2), "{more:?}");
    assert_eq!(beside(&database).await?, Vec::<String>::new(), "what was only compared is gone");
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_goes_live_only_when_somebody_says_so_and_comes_back_when_told() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    fill(&executor, 50).await?;
    let (_projector, shutdown) = projector(&database, quick())?;
    caught_up(&database).await?;
    let good = digests(&database).await?;
    superuser(&database, "update read.accounts set name = 'damaged' where tenant_id in (select tenant_id from read.accounts limit 1)").await?;
    let damaged = digests(&database).await?;
    let (rebuilder, control) = (rebuilder(&database)?, Control::default());
    let refused = rebuilder.rebuild("accounts", &small(), &control).await;
    assert!(matches!(refused, Err(RebuildError::NotVerified { .. })), "{refused:?}");
    assert_eq!(digests(&database).await?, damaged, "nothing was swapped");
    assert!(matches!(
        rebuilder.swap("accounts", Trust::Compared, &control).await,
        Err(RebuildError::NotVerified { .. })
    ));
    let row = &rebuilder.list().await?[0];
    assert_eq!((row.model.as_str(), row.state), ("accounts", RebuildState::Differs));
    assert_eq!(row.comparison.as_ref().map(|it| it.differing), Some(6));
    rebuilder.swap("accounts", Trust::Anyway, &control).await?;
    assert_eq!(digests(&database).await?, good);
    // Back, to and fro: each time the other tables are brought up to date first.
    assert_eq!(rebuilder.previous().await?.len(), 1);
    some(&executor, tenant(1), 30).await?;
    let back = rebuilder.rollback("accounts", &control).await?;
    assert!(back.of_this_build);
    caught_up(&database).await?;
    let names: i64 = scalar(&database, "select count(*) from read.accounts where name = 'damaged'").await?;
    assert_eq!(names, 6, "the tables that stood before are live again");
    some(&executor, tenant(2), 30).await?;
    rebuilder.rollback("accounts", &control).await?;
    caught_up(&database).await?;
    let names: i64 = scalar(&database, "select count(*) from read.accounts where name = 'damaged'").await?;
    assert_eq!(names, 0);
    let outcome = rebuilder.rebuild("accounts", &compared_only(), &control).await?;
    assert!(outcome.comparison.expect("it was compared").is_equal());
    assert!(rebuilder.retire("accounts").await? && !rebuilder.retire("accounts").await?);
    assert_eq!(beside(&database).await?, Vec::<String>::new());
    assert!(matches!(rebuilder.rollback("accounts", &control).await, Err(RebuildError::NoPrevious { .. })));
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_is_mended_and_the_others_are_left_alone() -> Test {
    let database = Database::fresh().await?;
    let executor = database.executor()?;
    fill(&executor, 50).await?;
    let (_projector, shutdown) = projector(&database, quick())?;
    caught_up(&database).await?;
    let stop = CancellationToken::new();
    let writing = writer(executor, stop.clone());
    let (rebuilder, control) = (rebuilder(&database)?, Control::default());
    let damaged = "select count(*) from read.accounts where name = 'damaged'";
    superuser(&database, "update read.accounts set name = 'damaged'").await?;
    let options = Options { tenant: Some(tenant(1)), ..small() };
    let refused = rebuilder.rebuild("accounts", &options, &control).await;
    assert!(matches!(refused, Err(RebuildError::NotVerified { .. })), "{refused:?}");
    assert_eq!(
        rebuilder.list().await?[0].comparison.as_ref().map(|it| it.compared),
        Some(6),
        "its rows only"
    );
    let other = rebuilder.rebuild("accounts", &small(), &control).await;
    assert!(matches!(other, Err(RebuildError::Unfinished { .. })), "{other:?}");
    rebuilder.swap("accounts", Trust::Anyway, &control).await?;
    assert_eq!(scalar::<i64>(&database, damaged).await?, 6, "those of the other tenant");
    for model in rebuilder.models() {
        let options = Options { tenant: Some(tenant(2)), verify: false, ..small() };
        rebuilder.rebuild(model, &options, &control).await?;
    }
    assert_eq!(scalar::<i64>(&database, damaged).await?, 0);
    stop.cancel();
    writing.await??;
    caught_up(&database).await?;
    for model in rebuilder.models() {
        let outcome = rebuilder.rebuild(model, &compared_only(), &control).await?;
        assert!(outcome.comparison.as_ref().is_some_and(|it| it.is_equal()), "{outcome:?}");
    }
    assert_eq!(beside(&database).await?, Vec::<String>::new());
    shutdown.cancel();
    Ok(())
}
