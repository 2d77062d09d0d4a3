//! What a platform begins with: its first owner, and the record of what built-in roles grant.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ids::TenantId;
use domain::organisation::RoleRef;
use domain::platform::{RecordPermissions, RoleGrants};
use domain::words::{Permission, Word};
use event_store::vault::Mail;
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use service_kit::permissions::role_table;
use tests::members::Members;
use tests::person::{Organisation, PASSWORD, SignedIn};
use tests::stack::{Answer, Stack, answer};
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);
const CLOSED: (u16, &str) = (403, "identity.registration-closed");

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

/// The platform's own organisation, which is always there.
fn platform(stack: &Stack) -> anyhow::Result<Organisation<'_>> {
    let executor = stack.executor()?;
    Ok(Organisation { stack, tenant: TenantId::PLATFORM, slug: "platform".to_owned(), executor })
}

async fn register(stack: &Stack, base: &str, email: &str) -> anyhow::Result<Answer> {
    let body = json!({ "tenant_slug": "platform", "email": email, "password": PASSWORD });
    answer(stack.request(Method::POST, "", &format!("{base}/v1/auth/register")).json(&body)).await
}

async fn verify(stack: &Stack, base: &str, token: &str) -> anyhow::Result<Answer> {
    let url = format!("{base}/v1/auth/verify-email");
    answer(stack.request(Method::POST, "", &url).json(&json!({ "token": token }))).await
}

/// To whom letters with links went, and the links.
async fn links(platform: &Organisation<'_>, letters: usize) -> anyhow::Result<Vec<(String, String)>> {
    tests::until(PATIENCE, async || Ok(platform.letters("verify-address").await?.len() == letters)).await?;
    let letters = platform.letters("verify-address").await?;
    let links = letters.into_iter().filter_map(|it| match it.mail {
        Mail::VerifyAddress { token, .. } => Some((it.to, token)),
        _ => None,
    });
    Ok(links.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn bootstrap_happens_once_under_twenty_parallel_verifications() -> Test {
    const EACH: usize = 10;
    let stack = Stack::commands_only().await?;
    let _reactors = stack.with_reactors()?;
    let platform = platform(&stack)?;
    // Two processes that were told different owners, as while a setting is changed.
    let (ann, bob) = ("ann@example.com", "bob@example.com");
    let bases = [stack.command_api_awaiting(ann).await?, stack.command_api_awaiting(bob).await?];
    for _ in 0..EACH {
        for (base, email) in bases.iter().zip([ann, bob]) {
            let asked = register(&stack, base, email).await?;
            assert_eq!(said(&asked), (202, ""), "{}", asked.text);
        }
    }
    let links = links(&platform, 2 * EACH).await?;
    let verified = links.iter().map(|(to, token)| {
        let (stack, base) = (&stack, if to == ann { &bases[0] } else { &bases[1] });
        async move { verify(stack, base, token).await }
    });
    let answers = try_join_all(verified).await?;
    let mut counts = BTreeMap::new();
    answers.iter().for_each(|it| *counts.entry(said(it)).or_insert(0) += 1);
    let expected = BTreeMap::from([((204, ""), 1), ((404, "identity.link-invalid"), 2 * EACH - 1)]);
    assert_eq!(counts, expected);
    let won = answers.iter().position(|it| it.status == StatusCode::NO_CONTENT).unwrap_or_default();
    let owner = SignedIn::of(&platform.log_in(&links[won].0, PASSWORD).await?)?;
    assert_eq!(owner.claims()?["roles"], json!(["owner"]));
    // There is one, and nobody else is there.
    let mut conn = stack.database.superuser().await?;
    let added: i64 =
        sqlx::query_scalar("select count(*) from store.events where type = 'organisation.member-added'")
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(added, 1);
    // They may do what only the platform's owner may; and the door is closed for ever.
    let path = format!("{}/v1/platform/organizations/{}/approve", stack.command_url, Uuid::now_v7());
    let approved = answer(stack.request(Method::POST, &owner.access, &path)).await?;
    assert_eq!(approved.status, StatusCode::NOT_FOUND, "{}", approved.text);
    for (base, email) in bases.iter().zip([ann, bob]) {
        assert_eq!(said(&register(&stack, base, email).await?), CLOSED);
    }
    Ok(())
}

#[tokio::test]
async fn who_is_awaited_is_not_told_by_trying() -> Test {
    let stack = Stack::commands_only().await?;
    let _reactors = stack.with_reactors()?;
    let platform = platform(&stack)?;
    assert_eq!(said(&register(&stack, &stack.command_url, "ann@example.com").await?), CLOSED, "nobody is");
    let base = stack.command_api_awaiting("Ann@Example.com").await?;
    let eve = register(&stack, &base, "eve@example.com").await?;
    let ann = register(&stack, &base, "ann@example.com").await?;
    assert_eq!((eve.status, &eve.text), (ann.status, &ann.text));
    assert_eq!(said(&eve), (202, ""));
    let link = links(&platform, 1).await?.remove(0);
    assert_eq!(link.0, "ann@example.com", "nobody else is written to");
    tests::until(PATIENCE, async || {
        let waits = "select count(*) from vault.requests where taken_at is null";
        let mut conn = stack.database.superuser().await?;
        Ok(sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut conn).await? == 0)
    })
    .await?;
    assert_eq!(platform.letters("verify-address").await?.len(), 1);
    // The setting was changed before the link was used.
    let base = stack.command_api_awaiting("bob@example.com").await?;
    assert_eq!(said(&verify(&stack, &base, &link.1).await?), (404, "identity.link-invalid"));
    Ok(())
}

#[tokio::test]
async fn nobody_is_first_where_an_operator_has_added_an_owner() -> Test {
    let stack = Stack::commands_only().await?;
    let _reactors = stack.with_reactors()?;
    let platform = platform(&stack)?;
    let base = stack.command_api_awaiting("ann@example.com").await?;
    assert_eq!(register(&stack, &base, "ann@example.com").await?.status, StatusCode::ACCEPTED);
    let link = links(&platform, 1).await?.remove(0);
    // As `quipu user add --role owner` does.
    Members::of(&stack, TenantId::PLATFORM)?.join(&[RoleRef::OWNER]).await?;
    assert_eq!(said(&register(&stack, &base, "ann@example.com").await?), CLOSED);
    assert_eq!(
        said(&verify(&stack, &base, &link.1).await?),
        (404, "identity.link-invalid"),
        "nor with an old link"
    );
    Ok(())
}

fn recorded(table: &[(&'static str, &'static str)]) -> RecordPermissions {
    let grants = |(role, name): &(&'static str, &'static str)| RoleGrants {
        role: Word::of(role),
        permissions: Permission::parse(name).into_iter().collect(),
    };
    RecordPermissions { roles: table.iter().map(grants).collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_built_in_roles_grant_is_recorded_once_by_however_many_processes_start() -> Test {
    let stack = Stack::commands_only().await?;
    let count = async || {
        let mut conn = stack.database.superuser().await?;
        let of_type = "select count(*) from store.events where type = 'platform.permissions-recorded'";
        anyhow::Ok(sqlx::query_scalar::<_, i64>(of_type).fetch_one(&mut conn).await?)
    };
    assert_eq!(count().await?, 1, "by the process that began the log");
    try_join_all((0..3).map(|_| stack.another_command_api())).await?;
    assert_eq!(count().await?, 1, "it is so already");
    // Another build had another opinion. Now some of this one start at once.
    let platform = platform(&stack)?;
    platform.done(recorded(&[("admin", "ledger.read-accounts")])).await?;
    assert_eq!(count().await?, 2);
    try_join_all((0..6).map(|_| stack.another_command_api())).await?;
    assert_eq!(count().await?, 3);
    let mut conn = stack.database.superuser().await?;
    let payload: serde_json::Value = sqlx::query_scalar(
        "select payload::jsonb from store.events where type = 'platform.permissions-recorded'
         order by position desc limit 1",
    )
    .fetch_one(&mut conn)
    .await?;
    let told: BTreeMap<&str, usize> = payload["roles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| Some((it["role"].as_str()?, it["permissions"].as_array()?.len())))
        .collect();
    let granted: BTreeMap<&str, usize> =
        role_table(TenantId::PLATFORM).rows().map(|(role, names)| (role, names.len())).collect();
    assert_eq!(told, granted);
    Ok(())
}
