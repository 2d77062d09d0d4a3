//! Commands that are under way while what allows them is taken away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::identity::{DeactivateUser, MintAccessToken, RevokeAccessToken, Role};
use domain::ids::{ActorId, TenantId, UserId};
use domain::organisation::RoleRef;
use domain::words::Word;
use reqwest::{Method, StatusCode};
use serde_json::json;
use service_kit::token::{Claims, Role as TokenRole};
use tests::books::{Books, transfer};
use tests::database::tenant;
use tests::members::Members;
use tests::stack::{Stack, answer};
use tests::until;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{PATIENCE, Test, end};

const WRITERS: usize = 8;
const ROUNDS: usize = 5;

/// Many who move money with one token, through two processes, until they are refused.
struct Writers {
    /// Each says whether it was refused at the gate, and not by what its process knew already.
    running: Vec<JoinHandle<anyhow::Result<bool>>>,
    written: Arc<AtomicUsize>,
}

/// Moves a cent again and again. What a process itself refuses was never judged, so it has no position.
async fn write(
    stack: Arc<Stack>,
    url: String,
    token: String,
    written: Arc<AtomicUsize>,
) -> anyhow::Result<bool> {
    loop {
        let request = stack.request(Method::POST, &token, &url);
        let request = request.header("Idempotency-Key", Uuid::now_v7().to_string());
        let answer = answer(request.json(&transfer(0, 1, "0.01"))).await?;
        match answer.status {
            StatusCode::CREATED => written.fetch_add(1, Ordering::SeqCst),
            StatusCode::UNAUTHORIZED => return Ok(!answer.header("quipu-position").is_empty()),
            _ => anyhow::bail!("{}", answer.text),
        };
    }
}

impl Writers {
    /// Begins, and waits until they are well under way.
    async fn under_way(stack: &Arc<Stack>, other: &str, token: &str) -> anyhow::Result<Self> {
        let written = Arc::new(AtomicUsize::new(0));
        let writer = |n: usize| {
            let url = format!(
                "{}/v1/ledger/transfers",
                if n.is_multiple_of(2) { &stack.command_url } else { other }
            );
            tokio::spawn(write(Arc::clone(stack), url, token.to_owned(), Arc::clone(&written)))
        };
        let running = (0..WRITERS).map(writer).collect();
        until(PATIENCE, || async { Ok(written.load(Ordering::SeqCst) > 4 * WRITERS) }).await?;
        Ok(Self { running, written })
    }

    /// Waits until all were refused. What they were told of as written is in the log, and nothing of it from after `ended`. How
    /// many came to the gate too late.
    async fn write_nothing_after(self, stack: &Stack, actor: ActorId, ended: i64) -> anyhow::Result<usize> {
        let mut at_the_gate = 0;
        for writer in self.running {
            let judged = tokio::time::timeout(PATIENCE, writer).await.context("a writer goes on")???;
            at_the_gate += usize::from(judged);
        }
        let mut conn = stack.database.superuser().await?;
        let (before, after): (i64, i64) = sqlx::query_as(
            "select count(*) filter (where position < $2), count(*) filter (where position > $2) from store.events
             where type = 'ledger.transfer-posted' and meta ->> 'actor' = $1",
        )
        .bind(actor.to_string())
        .bind(ended)
        .fetch_one(&mut conn)
        .await?;
        assert_eq!(after, 0, "written after it was not allowed any more");
        assert_eq!(usize::try_from(before)?, self.written.load(Ordering::SeqCst));
        Ok(at_the_gate)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_an_ended_session_never_commits() -> Test {
    let stack = Arc::new(Stack::commands_only().await?);
    let other = stack.another_command_api().await?;
    let _books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let members = Members::of(&stack, tenant(1))?;
    let mut at_the_gate = 0;
    for round in 0..ROUNDS {
        let member = members.join(&[RoleRef::MANAGER]).await?;
        let writers = Writers::under_way(&stack, &other, &member.token).await?;
        let ended = members.done(end(member.session)).await?.position.position;
        let late = writers.write_nothing_after(&stack, member.user.actor(), ended).await;
        at_the_gate += late.with_context(|| format!("round {round}"))?;
    }
    assert!(at_the_gate > 0, "no command came to the gate after the session had ended");
    Ok(())
}

/// What the token allows stands in it, so nothing but its revocation ends it before its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_a_revoked_token_never_commits() -> Test {
    let stack = Arc::new(Stack::commands_only().await?);
    let other = stack.another_command_api().await?;
    let _books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let members = Members::of(&stack, tenant(1))?;
    let mut at_the_gate = 0;
    for round in 0..ROUNDS {
        let subject = ActorId::new(Uuid::now_v7());
        let claims = Claims { sub: subject, ..stack.claims(tenant(1), TokenRole::Owner) };
        let (token_id, expires_at) = (claims.jti, Utc::now() + TimeDelta::hours(1));
        members.done(MintAccessToken { token_id, subject, roles: vec![Role::Owner], expires_at }).await?;
        let writers = Writers::under_way(&stack, &other, &stack.signer.mint(&claims)?).await?;
        let revoked = RevokeAccessToken { token_id, by: ActorId::SYSTEM };
        let ended = members.done(revoked).await?.position.position;
        let late = writers.write_nothing_after(&stack, subject, ended).await;
        at_the_gate += late.with_context(|| format!("round {round}"))?;
    }
    assert!(at_the_gate > 0, "no command came to the gate after the token was revoked");
    Ok(())
}

/// The token of an impersonation that has just begun.
async fn acting(stack: &Stack, staff: &str, user: UserId) -> anyhow::Result<String> {
    let path = format!("/v1/platform/users/{}/{user}/impersonate", tenant(1));
    let body = json!({ "reason": "A test", "ticket": "HELP-4711", "minutes": 15 });
    let begun = stack.post(staff, &path, &body).await?;
    Ok(begun.json["access_token"].as_str().with_context(|| begun.text.clone())?.to_owned())
}

/// They are dismissed in the platform's log, and write in another one, where nothing is said of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_staff_who_were_dismissed_never_commits() -> Test {
    let stack = Arc::new(Stack::commands_only().await?);
    let other = stack.another_command_api().await?;
    let _books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let user = Members::of(&stack, tenant(1))?.join(&[RoleRef::MANAGER]).await?.user;
    let platform = Members::of(&stack, TenantId::PLATFORM)?;
    platform.join(&[RoleRef::OWNER]).await?;
    let mut at_the_gate = 0;
    for round in 0..ROUNDS {
        let staff = platform.join(&[RoleRef::OWNER]).await?;
        let token = acting(&stack, &staff.token, user).await?;
        let writers = Writers::under_way(&stack, &other, &token).await?;
        let dismissed = DeactivateUser { user_id: staff.user, because: Word::of("dismissed") };
        let ended = platform.done(dismissed).await?.position.position;
        let late = writers.write_nothing_after(&stack, staff.user.actor(), ended).await;
        at_the_gate += late.with_context(|| format!("round {round}"))?;
    }
    assert!(at_the_gate > 0, "no command came to the gate after the dismissal");
    Ok(())
}
