//! Sessions: gone on with once a token, ended by a token that comes back, one by one, or because there are too many.

use std::collections::BTreeMap;
use std::time::Duration;

use event_store::vault::{Digest, ShownToken, Vault};
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use service_kit::bearer::{Bearer, Kind};
use tests::person::{Organisation, SignedIn};
use tests::stack::{Stack, answer};
use uuid::Uuid;

use super::{Test, counted};

#[tokio::test]
async fn cve_2026_1035_of_a_hundred_concurrent_refreshes_one_succeeds() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let tokens = acme.sign_in(&acme.join("ann").await?).await?;
    let processes = [stack.command_url.clone(), stack.another_command_api().await?];
    let presented = (0..100).map(|n: usize| acme.refresh_at(&processes[n % 2], &tokens.refresh));
    let answers = try_join_all(presented).await?;
    // hydra#3604: the losers get one defined answer.
    let expected = [((200, String::new()), 1), ((401, "identity.refresh-reused".to_owned()), 99)];
    assert_eq!(counted(&answers), BTreeMap::from(expected));
    let winner = answers.iter().find(|it| it.status == StatusCode::OK);
    let winner = SignedIn::of(winner.expect("one of them"))?;
    assert_eq!(acme.refresh(&winner.refresh).await?.code(), "identity.refresh-invalid");
    Ok(())
}

#[tokio::test]
async fn a_reuse_within_the_same_second_ends_the_session() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let (first, other) = (acme.sign_in(&ann).await?, acme.sign_in(&ann).await?);
    let second = SignedIn::of(&acme.refresh(&first.refresh).await?)?;
    let reused = acme.refresh(&first.refresh).await?;
    assert_eq!((reused.status, reused.code()), (StatusCode::UNAUTHORIZED, "identity.refresh-reused"));
    // The revocation stands, though the request was refused; and it ends the access tokens too.
    assert_eq!(acme.refresh(&second.refresh).await?.code(), "identity.refresh-invalid");
    tests::until(Duration::from_secs(1), async || {
        Ok(!acme.is_taken(&first.access).await? && !acme.is_taken(&second.access).await?)
    })
    .await?;
    assert!(acme.is_taken(&other.access).await?, "another session of the same person goes on");
    assert!(SignedIn::of(&acme.refresh(&other.refresh).await?).is_ok());
    let mut conn = stack.database.superuser().await?;
    let mails: i64 = sqlx::query_scalar("select count(*) from vault.outbox where kind = 'refresh-reused'")
        .fetch_one(&mut conn)
        .await?;
    assert_eq!(mails, 1, "and the person is told, once");
    Ok(())
}

#[tokio::test]
async fn a_crash_after_the_revocation_still_ends_the_session() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let tokens = acme.sign_in(&acme.join("ann").await?).await?;
    // What a process does before it dies: it exchanges the token, then sees it again, and says nothing of it.
    let vault = Vault::new(stack.database.pool("quipu_command")?);
    let bearer = Bearer::parse(Kind::Refresh, &tokens.refresh)?;
    let shown =
        ShownToken { tenant: bearer.tenant, token: bearer.id, hash: Digest(bearer.hash()), service: None };
    for _ in 0..2 {
        vault.rotate_refresh(&shown, Uuid::now_v7(), Digest([9; 32]), Duration::ZERO).await?;
    }
    assert!(acme.is_taken(&tokens.access).await?, "the log does not know yet");
    let _reactors = stack.with_reactors()?;
    tests::until(Duration::from_secs(10), async || Ok(!acme.is_taken(&tokens.access).await?)).await?;
    let reactor = Vault::new(stack.database.pool("quipu_reactor")?);
    tests::until(Duration::from_secs(10), async || Ok(reactor.untold_sessions(10).await?.is_empty())).await?;
    Ok(())
}

#[tokio::test]
async fn sessions_are_ended_one_by_one_and_all_but_one() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let sessions = [acme.sign_in(&ann).await?, acme.sign_in(&ann).await?, acme.sign_in(&ann).await?];
    let bobs = acme.sign_in(&bob).await?;
    let delete = async |token: &str, path: String| {
        answer(stack.request(Method::DELETE, token, &format!("{}/v1/auth/sessions{path}", stack.command_url)))
            .await
    };
    let theirs = delete(&bobs.access, format!("/{}", sessions[0].session()?)).await?;
    assert_eq!(
        (theirs.status, theirs.code()),
        (StatusCode::NOT_FOUND, "identity.session-not-found"),
        "not one's own"
    );
    let one = delete(&sessions[0].access, format!("/{}", sessions[1].session()?)).await?;
    assert_eq!(one.status, StatusCode::NO_CONTENT);
    assert_eq!(acme.refresh(&sessions[1].refresh).await?.code(), "identity.refresh-invalid");
    let others = delete(&sessions[0].access, "?keep=current".to_owned()).await?;
    assert_eq!((others.status, &others.json["ended"]), (StatusCode::OK, &json!(1)));
    assert_eq!(acme.refresh(&sessions[2].refresh).await?.code(), "identity.refresh-invalid");
    tests::until(Duration::from_secs(1), async || Ok(!acme.is_taken(&sessions[2].access).await?)).await?;
    let kept = SignedIn::of(&acme.refresh(&sessions[0].refresh).await?)?;
    assert_eq!(delete(&kept.access, "?keep=everything".to_owned()).await?.status, StatusCode::BAD_REQUEST);
    let all = delete(&kept.access, String::new()).await?;
    assert_eq!(all.json["ended"], 1, "{}", all.text);
    assert_eq!(acme.refresh(&kept.refresh).await?.code(), "identity.refresh-invalid");
    assert!(acme.is_taken(&bobs.access).await?);
    Ok(())
}

#[tokio::test]
async fn the_oldest_session_ends_when_somebody_has_too_many() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    acme.ask(|it| it.sessions.live_max = 2).await?;
    let ann = acme.join("ann").await?;
    let first = acme.sign_in(&ann).await?;
    let second = acme.sign_in(&ann).await?;
    assert!(acme.is_taken(&first.access).await?);
    let third = acme.sign_in(&ann).await?;
    assert_eq!(acme.refresh(&first.refresh).await?.code(), "identity.refresh-invalid");
    for stays in [&second, &third] {
        assert!(SignedIn::of(&acme.refresh(&stays.refresh).await?).is_ok());
    }
    Ok(())
}
