//! Members, their roles, and what everybody may see of themselves and of others.

use std::time::Duration;

use anyhow::Context as _;
use domain::organisation::RoleRef;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::database::tenant;
use tests::members::Members;
use tests::stack::{Answer, Stack, answer};
use tests::until;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(5);
const ACCOUNT: &str = "/v1/ledger/accounts";

fn cash() -> Value {
    json!({ "name": "cash", "currency": "EUR", "normal_side": "debit" })
}

/// Sends a command of any method, with a fresh key.
async fn send(
    stack: &Stack,
    method: Method,
    token: &str,
    path: &str,
    body: Option<Value>,
) -> anyhow::Result<Answer> {
    send_to(stack, &stack.command_url, method, token, path, body).await
}

async fn send_to(
    stack: &Stack,
    base: &str,
    method: Method,
    token: &str,
    path: &str,
    body: Option<Value>,
) -> anyhow::Result<Answer> {
    let request = stack.request(method, token, &format!("{base}{path}"));
    let request = request.header("Idempotency-Key", Uuid::now_v7().to_string());
    answer(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

fn roles_path(user: domain::ids::UserId) -> String {
    format!("/v1/members/{user}/roles")
}

#[tokio::test]
async fn a_role_given_or_taken_away_holds_at_once_in_every_process() -> Test {
    let stack = Stack::commands_only().await?;
    let other = stack.another_command_api().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let clerk = members.join(&[RoleRef::USER]).await?;
    let open = async || send_to(&stack, &other, Method::POST, &clerk.token, ACCOUNT, Some(cash())).await;
    assert_eq!(open().await?.code(), "auth.permission-missing");

    let manager = json!({ "roles": ["manager"] });
    let given = send(&stack, Method::PUT, &owner.token, &roles_path(clerk.user), Some(manager)).await?;
    assert_eq!(given.status, StatusCode::OK, "{}", given.text);
    // The other process learns of it within a second.
    until(PATIENCE, async || Ok(open().await?.status == StatusCode::CREATED)).await?;

    let user = json!({ "roles": ["user"] });
    let taken = send(&stack, Method::PUT, &owner.token, &roles_path(clerk.user), Some(user)).await?;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.text);
    // What it may do no more is refused at the commit, whatever that process believes.
    assert_eq!(open().await?.code(), "auth.permission-missing");
    Ok(())
}

#[tokio::test]
async fn what_does_not_exist_is_granted_to_nobody() -> Test {
    let stack = Stack::commands_only().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let role = json!({ "name": "Reader", "permissions": ["ledger.read-accounts"] });
    let made = send(&stack, Method::POST, &owner.token, "/v1/roles", Some(role)).await?;
    let role = format!("/v1/roles/{}", made.json["id"].as_str().context("an id")?);
    // A slip of the hand, and a permission that is of the platform alone.
    for (method, path) in [(Method::POST, "/v1/roles"), (Method::PUT, &*role), (Method::POST, "/v1/api-keys")]
    {
        let names = json!(["ledger.read-accounts", "ledger.read-account", "platform.manage-owners"]);
        let body = json!({ "name": "Clerk", "permissions": names });
        let refused = send(&stack, method, &owner.token, path, Some(body)).await?;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::UNPROCESSABLE_ENTITY, "auth.permission-unknown")
        );
        let told: Vec<_> =
            refused.json["errors"].as_array().into_iter().flatten().map(|it| &it["pointer"]).collect();
        assert_eq!(told, ["/permissions/1", "/permissions/2"], "{path} {}", refused.text);
    }
    Ok(())
}

#[tokio::test]
async fn nobody_touches_the_account_of_somebody_above_them() -> Test {
    let stack = Stack::commands_only().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let user = members.join(&[RoleRef::USER]).await?;
    let names = ["identity.update-user", "identity.end-sessions", "identity.deactivate-user"];
    let desk = members.define("Desk", &names).await?;
    let clerk = members.join(&[RoleRef::USER, desk]).await?;
    let rename = json!({ "name": { "given_name": "Nobody" } });
    for (method, path, body) in [
        (Method::PATCH, "", Some(rename)),
        (Method::DELETE, "/sessions", None),
        (Method::POST, "/deactivate", None),
        (Method::POST, "/reactivate", None),
    ] {
        let touch = async |whose: &Uuid| {
            let path = format!("/v1/users/{whose}{path}");
            send(&stack, method.clone(), &clerk.token, &path, body.clone()).await
        };
        let refused = touch(&owner.user.uuid()).await?;
        assert_eq!(refused.code(), "organisation.outranked", "{method} {path} {}", refused.text);
        let done = touch(&user.user.uuid()).await?;
        assert_eq!(done.status, StatusCode::OK, "{method} {path} {}", done.text);
    }
    Ok(())
}

#[tokio::test]
async fn nobody_grants_what_they_lack() -> Test {
    let stack = Stack::commands_only().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let admin = members.join(&[RoleRef::ADMIN]).await?;
    let clerk = members.join(&[RoleRef::USER]).await?;
    let assign = async |token: &str, user, roles: Value| {
        send(&stack, Method::PUT, token, &roles_path(user), Some(json!({ "roles": roles }))).await
    };
    for (token, user, roles, code) in [
        (&admin.token, clerk.user, json!(["owner"]), "organisation.grants-too-much"),
        (&admin.token, admin.user, json!(["owner"]), "organisation.grants-too-much"),
        (&admin.token, owner.user, json!(["user"]), "organisation.outranked"),
        (&clerk.token, clerk.user, json!(["admin"]), "auth.permission-missing"),
        (&owner.token, clerk.user, json!(["emperor"]), "organisation.role-unknown"),
        (&owner.token, clerk.user, json!([]), "organisation.role-count"),
        (&owner.token, owner.user, json!(["admin"]), "organisation.last-owner"),
    ] {
        let refused = assign(token, user, roles.clone()).await?;
        assert_eq!(refused.code(), code, "{roles} {}", refused.text);
    }
    let path = format!("/v1/users/{}/deactivate", owner.user);
    for (token, code) in [(&admin.token, "organisation.outranked"), (&owner.token, "organisation.last-owner")]
    {
        let refused = send(&stack, Method::POST, token, &path, None).await?;
        assert_eq!(refused.code(), code, "{}", refused.text);
    }
    let role = json!({ "name": "Treasurer", "permissions": ["organisation.close-organisation"] });
    let refused = send(&stack, Method::POST, &admin.token, "/v1/roles", Some(role)).await?;
    assert_eq!(refused.code(), "organisation.grants-too-much");
    Ok(())
}

#[tokio::test]
async fn nobody_deletes_a_role_that_grants_more_than_they_hold() -> Test {
    let stack = Stack::commands_only().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let admin = members.join(&[RoleRef::ADMIN]).await?;
    let define = async |name: &str, permission: &str| -> anyhow::Result<String> {
        let role = json!({ "name": name, "permissions": [permission] });
        let made = send(&stack, Method::POST, &owner.token, "/v1/roles", Some(role)).await?;
        Ok(format!("/v1/roles/{}", made.json["id"].as_str().context("an id")?))
    };
    let closer = define("Closer", "organisation.close-organisation").await?;
    let reader = define("Reader", "ledger.read-accounts").await?;
    let delete = async |token: &str, role: &str| send(&stack, Method::DELETE, token, role, None).await;
    let refused = delete(&admin.token, &closer).await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "organisation.grants-too-much"));
    assert_eq!(refused.json["details"]["permission"], "organisation.close-organisation");
    assert_eq!(delete(&admin.token, &reader).await?.status, StatusCode::OK);
    assert_eq!(delete(&owner.token, &closer).await?.status, StatusCode::OK);
    Ok(())
}

/// A role comes to grant more while somebody deletes it who does not hold that, in two processes; many times.
#[tokio::test]
async fn a_role_that_grows_while_it_is_deleted_is_not_deleted_by_somebody_who_holds_less() -> Test {
    let stack = Stack::commands_only().await?;
    let other = stack.another_command_api().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let admin = members.join(&[RoleRef::ADMIN]).await?;
    let body = |name: &str, permission: &str| json!({ "name": name, "permissions": [permission] });
    for n in 0..20 {
        let name = format!("Role {n}");
        let small = Some(body(&name, "ledger.read-accounts"));
        let made = send(&stack, Method::POST, &owner.token, "/v1/roles", small).await?;
        let role = format!("/v1/roles/{}", made.json["id"].as_str().context("an id")?);
        let large = Some(body(&name, "organisation.close-organisation"));
        let (grown, deleted) = tokio::join!(
            send(&stack, Method::PUT, &owner.token, &role, large),
            send_to(&stack, &other, Method::DELETE, &admin.token, &role, None),
        );
        let (grown, deleted) = (grown?, deleted?);
        let told = [(grown.status.as_u16(), grown.code()), (deleted.status.as_u16(), deleted.code())];
        let either = [
            [(200, ""), (403, "organisation.grants-too-much")],
            [(404, "organisation.role-not-found"), (200, "")],
        ];
        assert!(either.contains(&told), "{n}: {told:?}");
    }
    Ok(())
}

/// Two owners, two processes, at the same moment; many times.
#[tokio::test]
async fn two_owners_leaving_at_once_leave_one() -> Test {
    let stack = Stack::commands_only().await?;
    let processes = [stack.command_url.clone(), stack.another_command_api().await?];
    for n in 1..=20 {
        let members = Members::of(&stack, tenant(n))?;
        let owners = [members.join(&[RoleRef::OWNER]).await?, members.join(&[RoleRef::OWNER]).await?];
        let leaving = owners.iter().zip(&processes).map(async |(owner, process)| {
            let path = format!("/v1/members/{}", owner.user);
            send_to(&stack, process, Method::DELETE, &owner.token, &path, None).await
        });
        let answers: Vec<Answer> = join_all(leaving).await.into_iter().collect::<Result<_, _>>()?;
        let mut told: Vec<(u16, &str)> = answers.iter().map(|it| (it.status.as_u16(), it.code())).collect();
        told.sort_unstable();
        assert_eq!(told, [(200, ""), (409, "organisation.last-owner")], "organisation {n}");
    }
    Ok(())
}

#[tokio::test]
async fn who_is_removed_is_out_at_once() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let clerk = members.join(&[RoleRef::MANAGER]).await?;
    let path = format!("/v1/members/{}", clerk.user);
    let removed = send(&stack, Method::DELETE, &owner.token, &path, None).await?;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.text);
    let refused = stack.post(&clerk.token, ACCOUNT, &cash()).await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::UNAUTHORIZED, "auth.session-ended"));

    let position = removed.header("quipu-position");
    let sessions =
        stack.get_at(&owner.token, &format!("/v1/users/{}/sessions", clerk.user), position).await?;
    assert_eq!(sessions.json["items"][0]["status"], "ended", "{}", sessions.text);
    let list = stack.get_at(&owner.token, "/v1/members", position).await?;
    assert_eq!(list.json["items"].as_array().map(Vec::len), Some(1));
    let list = stack.get_at(&owner.token, "/v1/members?removed=true", position).await?;
    assert_eq!(list.json["items"][0]["status"], "removed", "{}", list.text);
    let again = send(&stack, Method::DELETE, &owner.token, &path, None).await?;
    assert_eq!(again.status, StatusCode::OK, "it is so already: {}", again.text);
    let mut conn = stack.database.superuser().await?;
    let ended: i64 =
        sqlx::query_scalar("select count(*) from store.events where type = 'identity.sessions-ended'")
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(ended, 1, "nobody is signed out once more");
    Ok(())
}

#[tokio::test]
async fn who_is_deactivated_already_is_not_signed_out_once_more() -> Test {
    let stack = Stack::commands_only().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let clerk = members.join(&[RoleRef::MANAGER]).await?;
    let path = format!("/v1/users/{}/deactivate", clerk.user);
    let deactivate = async || send(&stack, Method::POST, &owner.token, &path, None).await;
    let (first, again) = (deactivate().await?, deactivate().await?);
    assert_eq!((first.status, again.status), (StatusCode::OK, StatusCode::OK), "{}", again.text);
    assert_eq!(again.json["version"], first.json["version"], "nothing happened: {}", again.text);
    Ok(())
}

#[tokio::test]
async fn a_role_of_the_organisations_own_is_defined_changed_and_deleted() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let clerk = members.join(&[RoleRef::USER]).await?;
    let books =
        json!({ "name": "Bookkeeper", "permissions": ["ledger.read-journal", "ledger.open-account"] });
    let defined = send(&stack, Method::POST, &owner.token, "/v1/roles", Some(books.clone())).await?;
    assert_eq!(defined.status, StatusCode::CREATED, "{}", defined.text);
    let role = defined.json["id"].as_str().expect("an id").to_owned();
    let taken = send(&stack, Method::POST, &owner.token, "/v1/roles", Some(books)).await?;
    assert_eq!(taken.code(), "organisation.role-name-taken");

    let assigned = json!({ "roles": ["user", role] });
    send(&stack, Method::PUT, &owner.token, &roles_path(clerk.user), Some(assigned)).await?;
    until(PATIENCE, async || {
        Ok(stack.post(&clerk.token, ACCOUNT, &cash()).await?.status == StatusCode::CREATED)
    })
    .await?;

    let path = format!("/v1/roles/{role}");
    let held = send(&stack, Method::DELETE, &owner.token, &path, None).await?;
    assert_eq!(held.code(), "organisation.role-in-use");
    let less = json!({ "name": "Bookkeeper", "permissions": ["ledger.read-journal"] });
    let changed = send(&stack, Method::PUT, &owner.token, &path, Some(less)).await?;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    assert_eq!(stack.post(&clerk.token, ACCOUNT, &cash()).await?.code(), "auth.permission-missing");

    let user = json!({ "roles": ["user"] });
    send(&stack, Method::PUT, &owner.token, &roles_path(clerk.user), Some(user)).await?;
    let gone = send(&stack, Method::DELETE, &owner.token, &path, None).await?;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.text);
    let list = stack.get_at(&owner.token, "/v1/roles", gone.header("quipu-position")).await?;
    assert_eq!(list.json["custom"], json!([]));
    assert_eq!(list.json["built_in"].as_array().map(Vec::len), Some(3));
    Ok(())
}

#[tokio::test]
async fn everybody_sees_who_they_are() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let clerk = members.join(&[RoleRef::USER]).await?;
    let me = stack.get_at(&clerk.token, "/v1/auth/me", &members.position().await?).await?;
    assert_eq!(me.json["actor_id"], clerk.user.to_string());
    assert_eq!(me.json["session_id"], clerk.session.to_string());
    assert_eq!(me.json["user"]["email"], format!("{}@example.com", clerk.user), "{}", me.text);
    let may = ["federation.read-provider-token", "organisation.read-organisation"];
    assert_eq!(me.json["permissions"], json!(may));
    let sessions = stack.get(&clerk.token, "/v1/auth/sessions").await?;
    assert_eq!(sessions.json["items"][0]["status"], "live", "{}", sessions.text);
    assert_eq!(sessions.json["items"][0]["origin"]["ip"], "192.0.2.7", "{}", sessions.text);
    assert!(
        stack.get(&clerk.token, "/v1/permissions").await?.json.as_array().is_some_and(|it| it.len() > 20)
    );

    // An operator is no person.
    let operator = stack.get(&stack.owner(tenant(1))?, "/v1/auth/me").await?;
    assert!(operator.json["user"].is_null() && operator.json["session_id"].is_null(), "{}", operator.text);
    Ok(())
}

#[tokio::test]
async fn names_are_shown_as_long_as_the_key_is_there() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let clerk = members.join(&[RoleRef::USER]).await?;
    let path = format!("/v1/users/{}", clerk.user);
    let seen = stack.get_at(&owner.token, &path, &members.position().await?).await?;
    assert_eq!(seen.json["email"], format!("{}@example.com", clerk.user));
    let mut conn = stack.database.superuser().await?;
    sqlx::query("delete from keys.subject_keys where subject_id = $1")
        .bind(clerk.user.uuid())
        .execute(&mut conn)
        .await?;
    assert!(stack.get(&owner.token, &path).await?.json["email"].is_null());
    let list = stack.get(&owner.token, "/v1/users").await?;
    let emails: Vec<bool> =
        list.json["items"].as_array().expect("rows").iter().map(|it| it["email"].is_null()).collect();
    assert_eq!(emails, [true, false], "{}", list.text);
    Ok(())
}

/// CVE-2025-61524, CVE-2026-2366: a path that names somebody of another organisation tells nothing and changes nothing.
#[tokio::test]
async fn cve_2025_61524_the_path_names_no_tenant() -> Test {
    let stack = Stack::whole().await?;
    let (here, there) = (Members::of(&stack, tenant(1))?, Members::of(&stack, tenant(2))?);
    let owner = here.join(&[RoleRef::OWNER]).await?;
    let stranger = there.join(&[RoleRef::USER]).await?;
    let nobody = Uuid::now_v7();
    for (method, path, body) in [
        (Method::PUT, "/v1/members/{}/roles", Some(json!({ "roles": ["admin"] }))),
        (Method::DELETE, "/v1/members/{}", None),
        (Method::POST, "/v1/users/{}/deactivate", None),
        (Method::DELETE, "/v1/users/{}/sessions", None),
    ] {
        let mut told = Vec::new();
        for who in [stranger.user.uuid(), nobody] {
            let path = path.replace("{}", &who.to_string());
            let refused = send(&stack, method.clone(), &owner.token, &path, body.clone()).await?;
            assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path} {}", refused.text);
            told.push(refused.code().to_owned());
        }
        assert_eq!(told[0], told[1], "{path}");
    }
    for path in ["/v1/members/{}", "/v1/users/{}"] {
        let path = path.replace("{}", &stranger.user.to_string());
        assert_eq!(stack.get(&owner.token, &path).await?.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(
        stack.get(&stranger.token, "/v1/auth/me").await?.status,
        StatusCode::OK,
        "nothing happened there"
    );
    Ok(())
}
