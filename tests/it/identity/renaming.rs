//! An organisation gets another name: its own log tells who did it, and of those who come at once nobody overwrites what they have
//! not seen.

use std::collections::BTreeSet;

use domain::ids::TenantId;
use domain::organisation::RoleRef;
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::members::{Member, Members};
use tests::person::Organisation;
use tests::stack::{Answer, Stack, answer};

type Test = anyhow::Result<()>;

const PATH: &str = "/v1/organization";

/// Asks one of the processes for another name, on a condition.
async fn rename_at(
    stack: &Stack,
    base: &str,
    token: &str,
    name: &str,
    if_match: Option<&str>,
) -> anyhow::Result<Answer> {
    let request = stack.request(Method::PATCH, token, &format!("{base}{PATH}"));
    let request = if_match.into_iter().fold(request, |it, version| it.header("If-Match", version));
    answer(request.json(&json!({ "name": name }))).await
}

async fn rename(stack: &Stack, token: &str, name: &str, if_match: Option<&str>) -> anyhow::Result<Answer> {
    rename_at(stack, &stack.command_url, token, name, if_match).await
}

async fn owner(stack: &Stack, tenant: TenantId) -> anyhow::Result<Member> {
    Members::of(stack, tenant)?.join(&[RoleRef::OWNER]).await
}

/// From which name to which, in the order of an organisation's own log, or in the platform's about it.
async fn told(stack: &Stack, log: TenantId, event_type: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut conn = stack.database.superuser().await?;
    let query = "select payload->>'before', payload->>'name' from store.events
                 where tenant_id = $1 and type = $2 order by position";
    Ok(sqlx::query_as(query).bind(log.uuid()).bind(event_type).fetch_all(&mut conn).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn its_owners_see_who_renamed_an_organisation_from_which_name_to_which() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = owner(&stack, acme.tenant).await?;
    let before = stack.get_at(&owner.token, PATH, &owner.position).await?;
    assert_eq!(
        (&before.json["name"], &before.json["version"]),
        (&json!("acme"), &json!(0)),
        "{}",
        before.text
    );

    let done = rename(&stack, &owner.token, "Acme & Sons", None).await?;
    assert_eq!((done.status, done.header("etag")), (StatusCode::OK, "\"1\""), "{}", done.text);
    assert_eq!((&done.json["id"], &done.json["version"]), (&json!(acme.tenant), &json!(1)));
    let position = done.header("quipu-position").to_owned();
    let read = async |path: &str| {
        let answer = stack.get_at(&owner.token, path, &position).await?;
        anyhow::ensure!(answer.status == StatusCode::OK, "{path}: {}", answer.text);
        anyhow::Ok(answer.json)
    };
    let own = read(PATH).await?;
    assert_eq!((&own["name"], &own["version"]), (&json!("Acme & Sons"), &json!(1)));

    let event = read(&format!("/v1/events/{position}")).await?;
    let subject = format!("organisation.profile/{}", acme.tenant);
    assert_eq!(
        (&event["type"], &event["version"]),
        (&json!("organisation.profile-renamed"), &json!(1)),
        "{event}"
    );
    assert_eq!((&event["stream"], &event["meta"]["actor"]), (&json!(subject), &json!(owner.user)));
    assert_eq!(
        (&event["payload"]["before"], &event["payload"]["name"]),
        (&json!("acme"), &json!("Acme & Sons"))
    );

    let feed = read("/v1/security-feed?kind=organisation.profile-renamed").await?;
    let row = &feed["items"][0];
    assert_eq!(feed["items"].as_array().map(Vec::len), Some(1), "{feed}");
    assert_eq!((&row["position"], &row["actor"]), (&json!(position), &json!(owner.user)));
    assert_eq!((&row["subject"], &row["user_id"]), (&json!(subject), &Value::Null));

    let detail = read(&format!("/v1/audit/{position}")).await?;
    let entry = &detail["entry"];
    assert_eq!(
        (&entry["action"], &entry["actor"]),
        (&json!("organisation.profile-renamed"), &json!(owner.user))
    );
    let changes = detail["changes"].to_string();
    assert!(changes.contains("\"acme\"") && changes.contains("\"Acme & Sons\""), "old and new: {detail}");

    // A stream of its own: what the organisation may do is still restored from its newest event.
    let state = read(&format!("/v1/streams/{subject}/state?version=1")).await?;
    assert_eq!(state["state"]["name"], "Acme & Sons", "{state}");
    let same = rename(&stack, &owner.token, "Acme & Sons", Some("\"1\"")).await?;
    assert_eq!((same.status, same.header("etag")), (StatusCode::OK, "\"1\""), "already so: {}", same.text);
    Ok(())
}

#[tokio::test]
async fn a_name_that_somebody_else_has_changed_is_not_overwritten() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = owner(&stack, acme.tenant).await?;
    let first = rename(&stack, &owner.token, "One", Some("\"0\"")).await?;
    assert_eq!((first.status, first.header("etag")), (StatusCode::OK, "\"1\""), "{}", first.text);
    let seen = first.header("etag").to_owned();
    let second = rename(&stack, &owner.token, "Two", Some(&seen)).await?;
    assert_eq!((second.status, second.header("etag")), (StatusCode::OK, "\"2\""), "{}", second.text);
    for stale in ["\"0\"", "\"1\"", "\"3\""] {
        let late = rename(&stack, &owner.token, "Three", Some(stale)).await?;
        assert_eq!((late.status.as_u16(), late.code()), (412, "precondition.version-mismatch"), "{stale}");
    }
    // What is refused for one log changes nothing in the other.
    let expected =
        [("acme", "One"), ("One", "Two")].map(|(before, name)| (before.to_owned(), name.to_owned()));
    assert_eq!(told(&stack, acme.tenant, "organisation.profile-renamed").await?, expected);
    assert_eq!(told(&stack, TenantId::PLATFORM, "organisation.tenant-renamed").await?, expected);
    Ok(())
}

/// Over two processes, of which each looks at the dossier before the other's command is in the log.
#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_rename_at_once_each_is_told_once_and_both_logs_tell_the_same() -> Test {
    const WRITERS: usize = 16;
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = owner(&stack, acme.tenant).await?;
    let urls = [stack.command_url.clone(), stack.another_command_api().await?];
    let race = async |if_match: Option<&'static str>, name: &'static str| {
        let (stack, owner, urls) = (&stack, &owner, &urls);
        let writers = (0..WRITERS).map(|n| async move {
            rename_at(stack, &urls[n % 2], &owner.token, &format!("{name} {n}"), if_match).await
        });
        try_join_all(writers).await
    };
    let first = race(Some("\"0\""), "First").await?;
    let won = first.iter().filter(|it| it.status == StatusCode::OK).count();
    let late = first.iter().filter(|it| it.code() == "precondition.version-mismatch").count();
    assert_eq!((won, late), (1, WRITERS - 1), "{first:?}");

    let free = race(None, "Free").await?;
    assert!(free.iter().all(|it| it.status == StatusCode::OK), "{free:?}");
    let versions: BTreeSet<&str> = free.iter().map(|it| it.header("etag")).collect();
    assert_eq!(versions.len(), WRITERS, "each has a version of its own: {versions:?}");

    let own = told(&stack, acme.tenant, "organisation.profile-renamed").await?;
    assert_eq!(own.len(), WRITERS + 1);
    assert_eq!(own[0].0, "acme");
    assert!(own.windows(2).all(|it| it[0].1 == it[1].0), "from the name before: {own:?}");
    assert_eq!(told(&stack, TenantId::PLATFORM, "organisation.tenant-renamed").await?, own);
    Ok(())
}

#[tokio::test]
async fn who_may_not_rename_an_organisation_leaves_nothing_in_either_log() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let members = Members::of(&stack, acme.tenant)?;
    let user = members.join(&[RoleRef::USER]).await?;
    let refused = rename(&stack, &user.token, "Mine", None).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "auth.permission-missing"));
    let platform = stack.owner(TenantId::PLATFORM)?;
    let nameless = rename(&stack, &platform, "Platform", None).await?;
    assert_eq!(
        (nameless.status.as_u16(), nameless.code()),
        (404, "organisation.not-found"),
        "{}",
        nameless.text
    );
    for (log, event_type) in [
        (acme.tenant, "organisation.profile-renamed"),
        (TenantId::PLATFORM, "organisation.profile-renamed"),
        (TenantId::PLATFORM, "organisation.tenant-renamed"),
    ] {
        assert_eq!(told(&stack, log, event_type).await?, [], "{event_type}");
    }
    Ok(())
}
