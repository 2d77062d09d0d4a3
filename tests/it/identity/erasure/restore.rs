//! A database that comes back from a backup brings the keys of the erased back with it. Nobody is served before they are
//! erased again.

use std::process::Stdio;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_of_an_older_backup_stays_erased() -> Test {
    let server = Postgres::start().await?;
    let stack = Stack::commands_on(Database::on(server.options()).await?).await?;
    let org = Organisation::found(&stack, "restored").await?;
    let owner = make_owner(&org, "olga").await?;
    let operator = Operator::of(&stack)?;
    let person = known(&org, "Lazarus", "Bethany").await?;
    server.back_up().await?;
    let kept = org.join("kept").await?;
    server.mark("before").await?;
    let late = org.join("late").await?;
    let first = certified(&operator.erase(org.tenant, person.user).await?)?.certificate;
    certified(&operator.erase(org.tenant, late.user).await?)?;
    assert_eq!(operator.count(&stack, KEYS, person.user.uuid()).await?, 0);

    server.restore("before").await?;
    let id = person.user.uuid();
    assert_eq!(operator.count(&stack, KEYS, id).await?, 1, "the backup has brought it back");
    // Even if somebody settles what positions mean by hand, nobody starts.
    event_store::epoch::accept_timeline(&mut stack.database.superuser().await?, true).await?;
    for refused in [stack.another_command_api().await, stack.another_query_api().await] {
        let said = format!("{:#}", refused.expect_err("it must not start"));
        assert!(said.contains("quipu erase --replay-journal"), "{said}");
    }
    // Nor with the journal left behind.
    let journal = std::fs::read(&operator.journal)?;
    std::fs::remove_file(&operator.journal)?;
    assert!(stack.another_query_api().await.is_err());
    std::fs::write(&operator.journal, journal)?;

    // The way that the manual names does both.
    let mut bump = operator.command(&["epoch", "bump"])?;
    let bumped = bump.env("DATABASE_URL", &operator.platform_url).stderr(Stdio::piped()).output().await?;
    let bumped = ran(bumped)?;
    assert_eq!(bumped.code, 0, "{bumped:?}");
    for (query, left) in [(KEYS, 0), (TOMBSTONES, 1), (ERASED, 1), (CLAIMS, 0), (PASSWORDS, 0)] {
        assert_eq!(operator.count(&stack, query, id).await?, left, "{query}");
    }
    // Of whom the backup knows nothing there is a tombstone all the same, and no event.
    assert_eq!(operator.count(&stack, TOMBSTONES, late.user.uuid()).await?, 1);
    assert_eq!(operator.count(&stack, ERASED, late.user.uuid()).await?, 0);

    let url = stack.another_command_api().await?;
    let query_url = stack.another_query_api().await?;
    assert!(!query_url.is_empty());
    let log_in = async |person: &Person| org.log_in_at(&url, &person.email, PASSWORD, "").await;
    assert_eq!(log_in(&person).await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&kept).await?.status, StatusCode::OK);
    assert_eq!(log_in(&owner).await?.status, StatusCode::OK);
    let again = certified(&operator.erase(org.tenant, person.user).await?)?.certificate;
    assert_eq!((again.receipt, again.is_clean()), (first.receipt, true));
    let events = (first.event.context("an event")?, again.event.context("an event")?);
    assert_ne!(events.0.event_id, events.1.event_id, "it is told anew in the log that went on");
    Ok(())
}

/// The backup may be from when the person was the only owner. They stay erased, and somebody has to take their place.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_the_last_owner_at_the_backup_stays_erased() -> Test {
    let server = Postgres::start().await?;
    let stack = Stack::commands_on(Database::on(server.options()).await?).await?;
    let org = Organisation::found(&stack, "founder").await?;
    let founder = make_owner(&org, "olga").await?;
    server.back_up().await?;
    server.mark("alone").await?;
    make_owner(&org, "otto").await?;
    let operator = Operator::of(&stack)?;
    certified(&operator.erase(org.tenant, founder.user).await?)?;
    server.restore("alone").await?;
    let mut bump = operator.command(&["epoch", "bump"])?;
    let bumped = ran(bump.env("DATABASE_URL", &operator.platform_url).output().await?)?;
    assert_eq!(bumped.code, 0, "{bumped:?}");
    assert!(bumped.talk.contains("no owner any more"), "{bumped:?}");
    for (query, left) in [(KEYS, 0), (TOMBSTONES, 1), (ERASED, 1)] {
        assert_eq!(operator.count(&stack, query, founder.user.uuid()).await?, left, "{query}");
    }
    stack.another_command_api().await?;
    Ok(())
}
