//! Whoever may not act any more does not, in any process, within a second; and nothing that is recorded was asked for by
//! somebody who could not ask for it then.

mod race;
mod tail;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::Decision;
use domain::identity::{DeactivateUser, EndSession, EndSessions};
use domain::ids::{ActorId, SessionId, UserId};
use domain::organisation::{AssignRoles, Granter, RemoveMember, RoleRef, TenantStatus};
use domain::words::Word;
use event_store::access::AGE_MAX;
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::json;
use service_kit::permissions::role_table;
use tests::books::Books;
use tests::database::tenant;
use tests::members::Members;
use tests::sse::Reader;
use tests::stack::{Stack, answer};
use tests::until;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const ENDED: (u16, &str) = (401, "auth.session-ended");
const BY: ActorId = ActorId::new(Uuid::from_u128(0xad));

/// A process, and a request to it that changes nothing.
pub(super) struct Door {
    pub(super) url: String,
    pub(super) is_of_commands: bool,
}

impl Door {
    /// What it says to a bearer: a status and a code.
    pub(super) async fn tells(&self, stack: &Stack, token: &str) -> anyhow::Result<(u16, String)> {
        let answer = if self.is_of_commands {
            let request = stack.request(Method::POST, token, &format!("{}/v1/ledger/batches", self.url));
            let request = request.header("Idempotency-Key", Uuid::now_v7().to_string());
            answer(request.json(&json!({ "items": [] }))).await?
        } else {
            answer(stack.request(Method::GET, token, &format!("{}/v1/ledger/accounts", self.url))).await?
        };
        Ok((answer.status.as_u16(), answer.code().to_owned()))
    }

    /// What it says to those whom it lets in.
    fn open(&self) -> (u16, String) {
        if self.is_of_commands { (400, "batch.size".to_owned()) } else { (200, String::new()) }
    }
}

/// Two processes of each kind.
pub(super) async fn doors(stack: &Stack) -> anyhow::Result<Vec<Door>> {
    let door = |url: String, is_of_commands| Door { url, is_of_commands };
    Ok(vec![
        door(stack.command_url.clone(), true),
        door(stack.another_command_api().await?, true),
        door(stack.query_url.clone(), false),
        door(stack.another_query_api().await?, false),
    ])
}

pub(super) async fn all_open<'a>(
    stack: &Stack,
    doors: impl IntoIterator<Item = &'a Door>,
    token: &str,
) -> Test {
    for door in doors {
        assert_eq!(door.tells(stack, token).await?, door.open(), "{}", door.url);
    }
    Ok(())
}

/// Waits until processes tell a bearer this, and fails if one does not within a second.
pub(super) async fn all_tell<'a>(
    stack: &Stack,
    doors: impl IntoIterator<Item = &'a Door>,
    token: &str,
    expected: (u16, &str),
) -> Test {
    let told = doors.into_iter().map(|door| async move {
        until(AGE_MAX, || async {
            let (status, code) = door.tells(stack, token).await?;
            Ok((status, code.as_str()) == expected)
        })
        .await
        .with_context(|| format!("{} does not tell {expected:?}", door.url))
    });
    try_join_all(told).await.map(drop)
}

fn end(session_id: SessionId) -> EndSession {
    EndSession { session_id, of: None, because: Word::of("asked"), by: BY }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_is_refused_by_every_process_within_a_second() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let members = Members::of(&stack, tenant(1))?;
    let member = members.join(&[RoleRef::ADMIN]).await?;
    let other = members.session(member.user).await?;
    books.read("/v1/events").await?;
    for token in [&member.token, &other.token] {
        all_open(&stack, &doors, token).await?;
    }
    let streams = doors.iter().filter(|it| !it.is_of_commands).map(|door| {
        let url = format!("{}/v1/events/stream", door.url);
        Reader::open(stack.request(Method::GET, &member.token, &url))
    });
    let mut streams = try_join_all(streams).await?;
    members.done(end(member.session)).await?;
    let since = Instant::now();
    all_tell(&stack, &doors, &member.token, ENDED).await?;
    for stream in &mut streams {
        let mut last = stream.next().await?.context("a last word")?;
        while last.name.contains('.') {
            last = stream.next().await?.context("a last word")?;
        }
        assert_eq!(last.name, "revoked");
        assert!(since.elapsed() < AGE_MAX, "the stream went on for {:?}", since.elapsed());
        assert_eq!(stream.next().await?, None);
    }
    all_open(&stack, &doors, &other.token).await
}

/// A way to lose access.
struct Loss {
    name: &'static str,
    command: fn(UserId) -> Box<dyn Decision>,
    /// What a command is told then.
    told: (u16, &'static str),
}

fn losses() -> [Loss; 4] {
    fn because() -> Word {
        Word::of("a-test")
    }
    [
        Loss {
            name: "all sessions ended",
            command: |user_id| Box::new(EndSessions { user_id, except: None, because: because(), by: BY }),
            told: ENDED,
        },
        Loss {
            name: "deactivated",
            command: |user_id| Box::new(DeactivateUser { user_id, because: because() }),
            told: ENDED,
        },
        Loss {
            name: "removed",
            command: |user_id| {
                let (by, table) = (Granter::Platform, role_table(tenant(1)).clone());
                Box::new(RemoveMember { user_id, because: because(), by, table })
            },
            told: ENDED,
        },
        Loss {
            name: "made a user, whom nothing of the organisation is open to",
            command: |user_id| {
                let (by, table) = (Granter::Platform, role_table(tenant(1)).clone());
                Box::new(AssignRoles { user_id, roles: vec![RoleRef::USER], by, table })
            },
            told: (403, "auth.permission-missing"),
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_takes_access_away_does_so_everywhere_within_a_second() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let members = Members::of(&stack, tenant(1))?;
    for loss in losses() {
        let member = members.join(&[RoleRef::ADMIN]).await?;
        all_open(&stack, &doors, &member.token).await?;
        members.done_all([(loss.command)(member.user)]).await?;
        all_tell(&stack, &doors, &member.token, loss.told).await.context(loss.name)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_organisation_loses_all_its_callers_lose_and_no_other() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let members = Members::of(&stack, tenant(1))?;
    let (member, operator) = (members.join(&[RoleRef::MANAGER]).await?, stack.owner(tenant(1))?);
    let elsewhere = Members::of(&stack, tenant(2))?.join(&[RoleRef::OWNER]).await?;
    for token in [&member.token, &operator, &elsewhere.token] {
        all_open(&stack, &doors, token).await?;
    }
    for status in [TenantStatus::Suspended, TenantStatus::Pending] {
        members.stand(status).await?;
        for token in [&member.token, &operator] {
            all_tell(&stack, &doors, token, (403, "organisation.not-active")).await?;
        }
        all_open(&stack, &doors, &elsewhere.token).await?;
    }
    members.stand(TenantStatus::Active).await?;
    for door in &doors {
        until(AGE_MAX, || async { Ok(door.tells(&stack, &member.token).await? == door.open()) }).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_means_the_same_everywhere_a_second_after_it_was_redefined() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let members = Members::of(&stack, tenant(1))?;
    let cashier = members.define("Cashier", &["ledger.read-accounts"]).await?;
    let member = members.join(std::slice::from_ref(&cashier)).await?;
    let missing = (403, "auth.permission-missing");
    let of = |commands: bool| doors.iter().filter(move |it| it.is_of_commands == commands);
    all_open(&stack, of(false), &member.token).await?;
    all_tell(&stack, of(true), &member.token, missing).await?;
    members.redefine(&cashier, "Cashier", &["ledger.post-transfer"]).await?;
    all_tell(&stack, of(false), &member.token, missing).await?;
    all_tell(&stack, of(true), &member.token, (400, "batch.size")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_nobodys_but_its_users_and_in_its_own_tenant() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let (here, there) = (Members::of(&stack, tenant(1))?, Members::of(&stack, tenant(2))?);
    let (one, other) = (here.join(&[RoleRef::OWNER]).await?, here.join(&[RoleRef::OWNER]).await?);
    let nobodys = SessionId::new(Uuid::now_v7());
    for token in [
        here.token(other.user, one.session)?,
        there.token(one.user, one.session)?,
        here.token(one.user, nobodys)?,
    ] {
        all_tell(&stack, &doors, &token, ENDED).await?;
    }
    // That it was asked for too early is not remembered.
    here.done(here.start(one.user, nobodys)).await?;
    let token = here.token(one.user, nobodys)?;
    for door in &doors {
        until(AGE_MAX, || async { Ok(door.tells(&stack, &token).await? == door.open()) }).await?;
    }
    Ok(())
}
