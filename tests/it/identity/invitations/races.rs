//! Invitations under concurrency: of seats, addresses and links, each is given once.

use std::collections::BTreeMap;

use domain::organisation::{RoleRef, SetSeats};
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::person::{Organisation, PASSWORD};
use tests::stack::{Stack, answer};

use super::{DONE, INVALID, Test, accept, counted, invite, invited, link, links, member, said};

#[tokio::test]
async fn the_last_seat_is_given_once_to_fifty_at_a_time() -> Test {
    let stack = Stack::commands_only().await?;
    let other = stack.another_command_api().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    acme.done(SetSeats { seats: Some(2) }).await?;
    let processes = [stack.command_url.as_str(), other.as_str()];
    let fifty = (0..50).map(|n| {
        let url = format!("{}/v1/invitations", processes[n % 2]);
        let body = json!({ "email": format!("person-{n}@example.com"), "roles": ["user"] });
        answer(stack.request(Method::POST, &owner.token, &url).json(&body))
    });
    let answers = try_join_all(fifty).await?;
    let expected = [((201, ""), 1), ((422, "organisation.seats-used-up"), 49)];
    assert_eq!(counted(&answers), BTreeMap::from(expected));
    let letters = acme.letters("invitation").await?;
    assert_eq!(letters.len(), 1, "and one letter is written");
    // An invitation has the seat until it comes to an end, and whoever accepts it needs no other one.
    let joined = accept(&acme, &link(&acme, &letters[0].to).await?, PASSWORD).await?;
    assert_eq!(said(&joined), DONE, "{}", joined.text);
    let full = invite(&acme, &owner.token, "late@example.com", json!(["user"])).await?;
    assert_eq!(full.code(), "organisation.seats-used-up");
    Ok(())
}

#[tokio::test]
async fn one_invitation_of_an_address_is_open_however_many_are_sent() -> Test {
    let stack = Stack::commands_only().await?;
    let other = stack.another_command_api().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    let processes = [stack.command_url.as_str(), other.as_str()];
    let spellings = ["Ann@example.com", "ann@example.com", "ANN@EXAMPLE.COM", "ann@Example.com"];
    let sent = (0..20).map(|n| {
        let url = format!("{}/v1/invitations", processes[n % 2]);
        let body = json!({ "email": spellings[n % 4], "roles": ["user"] });
        answer(stack.request(Method::POST, &owner.token, &url).json(&body))
    });
    let answers = try_join_all(sent).await?;
    let expected = [((201, ""), 1), ((409, "organisation.already-invited"), 19)];
    assert_eq!(counted(&answers), BTreeMap::from(expected));
    assert_eq!(acme.letters("invitation").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_link_makes_one_member_however_many_use_it() -> Test {
    let stack = Stack::commands_only().await?;
    let other = stack.another_command_api().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    invited(&acme, &owner.token, "ann@example.com", json!(["user"])).await?;
    let token = link(&acme, "ann@example.com").await?;
    let processes = [stack.command_url.as_str(), other.as_str()];
    let used = (0..8).map(|n| {
        let what = if n == 7 { "decline" } else { "accept" };
        let url = format!("{}/v1/invitations/{what}", processes[n % 2]);
        let mut body = json!({ "token": token });
        if what == "accept" {
            body["password"] = PASSWORD.into();
        }
        answer(stack.request(Method::POST, "", &url).json(&body))
    });
    let answers = try_join_all(used).await?;
    let done = answers.iter().filter(|it| it.status.is_success()).count();
    assert_eq!(done, 1, "{:?}", counted(&answers));
    let known = [
        "",
        "organisation.invitation-invalid",
        "identity.email-taken",
        "identity.invalid-credentials",
        "organisation.already-member",
    ];
    assert!(answers.iter().all(|it| known.contains(&it.code())), "{:?}", counted(&answers));
    let mut conn = stack.database.superuser().await?;
    let sql = "select count(*) from store.events where tenant_id = $1 and type in
               ('organisation.invitation-accepted', 'organisation.invitation-declined')";
    let ends: i64 = sqlx::query_scalar(sql).bind(acme.tenant.uuid()).fetch_one(&mut conn).await?;
    assert_eq!(ends, 1);
    Ok(())
}

/// Whoever has seen the link good finds an account a moment later, which is not theirs. A password that is too weak for a new
/// account is refused at once, so that many such requests are on their way at any moment.
#[tokio::test]
async fn whoever_comes_second_with_a_link_has_no_password_compared() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    for n in 0..5 {
        let email = format!("ann-{n}@example.com");
        invited(&acme, &owner.token, &email, json!(["user"])).await?;
        let token = link(&acme, &email).await?;
        let others = try_join_all((0..8).map(async |_| {
            loop {
                let code = accept(&acme, &token, "weak").await?.code().to_owned();
                if code != "identity.password-weak" {
                    return anyhow::Ok(code);
                }
            }
        }));
        let (joined, others) = tokio::try_join!(accept(&acme, &token, PASSWORD), others)?;
        assert_eq!(said(&joined), DONE, "{}", joined.text);
        assert!(others.iter().all(|it| it == INVALID.1), "{n}: {others:?}");
        let signed_in = acme.log_in(&email, PASSWORD).await?;
        assert_eq!(signed_in.status, StatusCode::OK, "nobody has locked them out: {}", signed_in.text);
    }
    Ok(())
}

#[tokio::test]
async fn of_links_the_newest_is_good_however_many_are_sent_at_once() -> Test {
    let stack = Stack::commands_only().await?;
    let other = stack.another_command_api().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    let id = invited(&acme, &owner.token, "ann@example.com", json!(["user"])).await?;
    let processes = [stack.command_url.as_str(), other.as_str()];
    for _ in 0..5 {
        let again = processes.map(|process| {
            let url = format!("{process}/v1/invitations/{id}/resend");
            answer(stack.request(Method::POST, &owner.token, &url))
        });
        let sent = try_join_all(again).await?;
        assert!(sent.iter().all(|it| it.status == StatusCode::OK), "{:?}", counted(&sent));
    }
    let tokens = links(&acme, "ann@example.com").await?;
    assert_eq!(tokens.len(), 11, "each of them wrote a letter");
    let mut good = 0;
    for token in &tokens {
        // A password that is too weak is told to whoever has a good link, and consumes nothing.
        match said(&accept(&acme, token, "short").await?) {
            INVALID => {}
            (StatusCode::UNPROCESSABLE_ENTITY, _) => good += 1,
            other => anyhow::bail!("{other:?}"),
        }
    }
    assert_eq!(good, 1);
    let joined = try_join_all(tokens.iter().map(|it| accept(&acme, it, PASSWORD))).await?;
    let expected = [((200, ""), 1), ((404, "organisation.invitation-invalid"), 10)];
    assert_eq!(counted(&joined), BTreeMap::from(expected));
    Ok(())
}
