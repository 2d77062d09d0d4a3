//! Guesses at passwords: counted, stopped after some, and told nothing by; whoever has signed in before is not shut out by them.

use std::collections::BTreeMap;

use domain::identity::DeactivateUser;
use domain::words::Word;
use futures_util::future::try_join_all;
use reqwest::StatusCode;
use serde_json::json;
use tests::person::{Organisation, PASSWORD};
use tests::stack::Stack;
use uuid::Uuid;

use super::{Test, WRONG, counted, said};

#[tokio::test]
async fn who_is_not_there_and_who_may_not_come_are_told_what_a_wrong_password_is_told() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let nowhere = Organisation { slug: "nowhere".to_owned(), ..Organisation::found(&stack, "other").await? };
    let ann = acme.join("ann").await?;
    let gone = acme.join("gone").await?;
    acme.done(DeactivateUser { user_id: gone.user, because: Word::of("left") }).await?;
    let wrong = said(&acme.log_in(&ann.email, WRONG).await?);
    assert_eq!(wrong.0, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.1["code"], "identity.invalid-credentials");
    for (who, answer) in [
        ("nobody", acme.log_in("nobody@example.com", PASSWORD).await?),
        ("deactivated", acme.log_in(&gone.email, PASSWORD).await?),
        ("deactivated, wrong", acme.log_in(&gone.email, WRONG).await?),
        ("no organisation", nowhere.log_in(&ann.email, PASSWORD).await?),
    ] {
        assert_eq!(said(&answer), wrong, "{who}");
    }
    // And so is the lock.
    let mut locked = Vec::new();
    for (organisation, email) in
        [(&acme, &*ann.email), (&acme, "nobody@example.com"), (&nowhere, &*ann.email)]
    {
        for _ in 0..4 {
            organisation.log_in(email, WRONG).await?;
        }
        locked.push(said(&organisation.log_in(email, PASSWORD).await?));
    }
    assert_eq!(locked[0].0, StatusCode::TOO_MANY_REQUESTS);
    assert!(locked.iter().all(|it| *it == locked[0]), "{locked:?}");
    Ok(())
}

#[tokio::test]
async fn however_a_name_is_typed_what_is_counted_does_not_tell_whether_an_organisation_has_it() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let typed = async |slug: &str| {
        let body = json!({ "tenant_slug": slug, "email": "nobody@example.com", "password": WRONG });
        Ok::<_, anyhow::Error>(said(&acme.post("", "/v1/auth/login", &body).await?))
    };
    let mut told = Vec::new();
    for spellings in [["acme", "ACME", " Acme "], ["nowhere", "NOWHERE", " Nowhere "]] {
        for _ in 0..5 {
            assert_eq!(typed(spellings[0]).await?.0, StatusCode::UNAUTHORIZED);
        }
        told.push([typed(spellings[1]).await?, typed(spellings[2]).await?]);
    }
    assert_eq!(told[0][0].0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(told[0], told[1]);
    Ok(())
}

#[tokio::test]
async fn cve_2023_47111_of_a_hundred_parallel_guesses_five_are_looked_at() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let processes = [stack.command_url.clone(), stack.another_command_api().await?];
    let guesses = (0..100).map(|n: usize| acme.log_in_at(&processes[n % 2], &ann.email, WRONG, ""));
    let counts = counted(&try_join_all(guesses).await?);
    let expected =
        [((401, "identity.invalid-credentials".to_owned()), 5), ((429, "identity.locked".to_owned()), 95)];
    assert_eq!(counts, BTreeMap::from(expected));
    let right = acme.log_in(&ann.email, PASSWORD).await?;
    assert_eq!(right.code(), "identity.locked", "the right password is not looked at either");
    let wait: u64 = right.header("retry-after").parse()?;
    assert!((1700..=1801).contains(&wait), "{wait}");
    Ok(())
}

#[tokio::test]
async fn zitadel_8546_success_clears_the_counter() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(acme.log_in(&ann.email, WRONG).await?.status, StatusCode::UNAUTHORIZED);
        }
        acme.sign_in(&ann).await?;
    }
    // A right password that is refused for another reason is no success.
    let bob = acme.register("bob").await?;
    for _ in 0..5 {
        assert_eq!(acme.log_in(&bob.email, PASSWORD).await?.code(), "identity.email-unverified");
    }
    assert_eq!(acme.log_in(&bob.email, PASSWORD).await?.code(), "identity.locked");
    Ok(())
}

#[tokio::test]
async fn a_known_device_is_not_locked_out_by_strangers() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let cookie = acme.sign_in(&ann).await?.device;
    let others = acme.sign_in(&bob).await?.device;
    assert!(cookie.starts_with("__Host-quipu-device="), "{cookie}");
    for _ in 0..6 {
        acme.log_in(&ann.email, WRONG).await?;
    }
    let from = async |cookie: &str, password: &str| {
        acme.log_in_at(&stack.command_url, &ann.email, password, cookie).await
    };
    assert_eq!(from("", PASSWORD).await?.code(), "identity.locked");
    assert_eq!(from(&others, PASSWORD).await?.code(), "identity.locked", "the device of somebody else");
    assert_eq!(from(&format!("other=1; {cookie}"), PASSWORD).await?.status, StatusCode::OK);
    assert_eq!(from("", PASSWORD).await?.code(), "identity.locked", "the strangers are still locked");
    // The device has a counter of its own, which locks as well.
    for _ in 0..5 {
        assert_eq!(from(&cookie, WRONG).await?.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(from(&cookie, PASSWORD).await?.code(), "identity.locked");
    // Whoever opens the lock of a person opens those of their devices, and of nobody else's.
    for _ in 0..5 {
        let wrong = acme.log_in_at(&stack.command_url, &bob.email, WRONG, &others).await?;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    }
    let owner = stack.owner(acme.tenant)?;
    let opened = acme.post(&owner, &format!("/v1/users/{}/unlock", ann.user), &json!({})).await?;
    assert_eq!(opened.status, StatusCode::NO_CONTENT, "{}", opened.text);
    assert_eq!(from(&cookie, PASSWORD).await?.status, StatusCode::OK);
    assert_eq!(from("", PASSWORD).await?.status, StatusCode::OK);
    let other = acme.log_in_at(&stack.command_url, &bob.email, PASSWORD, &others).await?;
    assert_eq!(other.code(), "identity.locked");
    Ok(())
}

#[tokio::test]
async fn failed_sign_ins_and_the_lock_are_recorded_alike_for_everybody() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    for email in [&*ann.email, "nobody@example.com"] {
        for _ in 0..6 {
            acme.log_in(email, WRONG).await?;
        }
    }
    let mut conn = stack.database.superuser().await?;
    let told: Vec<(String, String)> = sqlx::query_as(
        "select type, payload::text from store.events where tenant_id = $1 and type like 'identity.sign-in-%' order by position",
    )
    .bind(acme.tenant.uuid())
    .fetch_all(&mut conn)
    .await?;
    let types: Vec<_> = told.iter().map(|(it, _)| it.trim_start_matches("identity.sign-in-")).collect();
    // The first of a kind at once, the rest is counted; the lock; and what came while it was locked.
    assert_eq!(types, ["failed", "locked", "failed", "failed", "locked", "failed"]);
    assert!(told[1].1.contains(&ann.user.to_string()) && !told[4].1.contains("user_id"));
    assert!(told.iter().all(|(_, it)| !it.contains("example.com") && it.contains("$private")));
    assert_eq!(acme.letters("locked").await?.len(), 1, "who is there is told");
    // An administrator lets them try again.
    let owner = stack.owner(acme.tenant)?;
    let unlock = async |user: &str| acme.post(&owner, &format!("/v1/users/{user}/unlock"), &json!({})).await;
    assert_eq!(unlock(&Uuid::nil().to_string()).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(acme.log_in(&ann.email, PASSWORD).await?.code(), "identity.locked");
    assert_eq!(unlock(&ann.user.to_string()).await?.status, StatusCode::NO_CONTENT);
    acme.sign_in(&ann).await?;
    Ok(())
}
