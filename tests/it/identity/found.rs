//! People found by their address, and what an administrator is shown of them: factors, locks, sessions that are over.

use chrono::{DateTime, TimeDelta, Utc};
use domain::identity::{EmailHash, EndSessions, RequestEmailChange};
use domain::ids::TenantId;
use domain::organisation::RoleRef;
use domain::private::Private;
use domain::words::Word;
use event_store::keyring::IndexOf;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tests::members::Members;
use tests::person::{Organisation, PASSWORD};
use tests::stack::{Answer, Stack};
use uuid::Uuid;

type Test = anyhow::Result<()>;

const WRONG: &str = "not-the-password-of-anybody";

/// Reads no earlier than everything that was done.
async fn read(acme: &Organisation<'_>, token: &str, path: &str) -> anyhow::Result<Answer> {
    let position = Members::of(acme.stack, acme.tenant)?.position().await?;
    let answer = acme.stack.get_at(token, path, &position).await?;
    anyhow::ensure!(answer.status == StatusCode::OK, "{path}: {} {}", answer.status, answer.text);
    Ok(answer)
}

/// The identifiers of a list.
async fn found(acme: &Organisation<'_>, token: &str, path: &str, id: &str) -> anyhow::Result<Vec<Value>> {
    let answer = read(acme, token, path).await?;
    Ok(answer.json["items"].as_array().into_iter().flatten().map(|it| it[id].clone()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_by_their_address_as_it_was_compared_when_they_registered() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let bob = acme.join("bob").await?;
    let elsewhere = Organisation::found(&stack, "elsewhere").await?;
    elsewhere.join("eve").await?;
    let admin = Members::of(&stack, acme.tenant)?.join(&[RoleRef::ADMIN]).await?.token;
    for (list, written, who) in [
        ("users", "ann@example.com", Some(ann.user)),
        ("users", "%20ANN@Example.COM", Some(ann.user)),
        ("users", "bob@example.com", Some(bob.user)),
        ("members", "bob@example.com", Some(bob.user)),
        // Nobody, and somebody of another organisation, are the same.
        ("users", "nobody@example.com", None),
        ("members", "nobody@example.com", None),
        ("users", "eve@example.com", None),
        ("members", "eve@example.com", None),
    ] {
        let users = found(&acme, &admin, &format!("/v1/{list}?email={written}"), "user_id").await?;
        let expected: Vec<Value> = who.iter().map(|it| json!(it)).collect();
        assert_eq!(users, expected, "{list} {written}");
    }
    let both = found(&acme, &admin, "/v1/users?email=ann@example.com&status=inactive", "user_id").await?;
    assert_eq!(both, Vec::<Value>::new(), "filters are combined");

    // Whoever has only asked for another address is not found by it before it is theirs.
    let hash = acme.master()?.index(acme.tenant, IndexOf::Email, b"ann@new.example");
    let email = Private::new(ann.user.uuid(), "ann@new.example");
    acme.done(RequestEmailChange {
        user_id: ann.user,
        email,
        email_hash: EmailHash::new(hash.0),
        expires_at: Utc::now() + TimeDelta::hours(1),
        replaces: None,
    })
    .await?;
    let users = found(&acme, &admin, "/v1/users?email=ann@new.example", "user_id").await?;
    assert_eq!(users, Vec::<Value>::new());

    // A word that is none of those that there are is refused with them.
    let unknown = stack.get(&admin, "/v1/members?role=admn").await?;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (400, "request.invalid-parameter"));
    assert_eq!(unknown.json["detail"], "role is one of admin, manager, owner, user", "{}", unknown.text);
    for list in ["users", "members", "invitations"] {
        let malformed = stack.get(&admin, &format!("/v1/{list}?email=ann")).await?;
        assert_eq!(
            (malformed.status.as_u16(), malformed.code()),
            (400, "identity.email-malformed"),
            "{list}"
        );
        // Who may not list learns nothing of who is there.
        let clerk = acme.sign_in(&bob).await?.access;
        let answers = ["ann", "nobody"].map(|it| format!("/v1/{list}?email={it}@example.com"));
        for path in answers {
            let refused = stack.get(&clerk, &path).await?;
            assert_eq!(refused.code(), "auth.permission-missing", "{path}");
        }
    }
    // No row has an address in the clear, nor the hash under which it is found.
    let mut conn = stack.database.superuser().await?;
    let rows: Vec<String> =
        sqlx::query_scalar("select row_to_json(u)::text from read.users u").fetch_all(&mut conn).await?;
    let hash = acme.master()?.index(acme.tenant, IndexOf::Email, b"ann@example.com");
    assert!(rows.iter().all(|it| !it.contains("example.com") && !it.contains(&hash.to_string())), "{rows:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_found_by_its_address_while_it_is_open_and_when_it_was_accepted() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = Members::of(&stack, acme.tenant)?.join(&[RoleRef::OWNER]).await?.token;
    let mut made = Vec::new();
    for name in ["ann", "bob"] {
        let body = json!({ "email": format!("{name}@example.com"), "roles": ["user"] });
        let sent = acme.post(&owner, "/v1/invitations", &body).await?;
        assert_eq!(sent.status, StatusCode::CREATED, "{}", sent.text);
        made.push(sent.json["id"].clone());
    }
    let of_ann = "/v1/invitations?email=Ann@example.com";
    assert_eq!(found(&acme, &owner, of_ann, "invitation_id").await?, [made[0].clone()]);
    assert_eq!(
        found(&acme, &owner, "/v1/invitations?email=eve@example.com", "invitation_id").await?,
        Vec::<Value>::new()
    );
    let token = acme.link("invitation", 2).await?;
    let accepted =
        acme.post("", "/v1/invitations/accept", &json!({ "token": token, "password": PASSWORD })).await?;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.text);
    let newest = "/v1/invitations?email=bob@example.com&status=accepted";
    assert_eq!(found(&acme, &owner, newest, "invitation_id").await?, [made[1].clone()]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sees_factors_with_their_labels_and_a_lock_until_it_is_lifted() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let admin = Members::of(&stack, acme.tenant)?.join(&[RoleRef::ADMIN]).await?.token;
    let path = format!("/v1/users/{}", ann.user);
    let before = read(&acme, &admin, &path).await?.json;
    let told = |it: &Value| {
        let names = ["second_factor", "factors", "recovery_codes_left", "locked_until"];
        names.map(|name| it[name].clone())
    };
    assert_eq!(told(&before), [json!(false), json!([]), json!(0), Value::Null]);

    let session = acme.sign_in(&ann).await?;
    let enrolled = acme.enrol(&session.access).await?;
    let after = read(&acme, &admin, &path).await?.json;
    let factors = after["factors"].as_array().cloned().unwrap_or_default();
    assert_eq!((&after["second_factor"], factors.len()), (&json!(true), 1), "{after}");
    assert_eq!((&factors[0]["kind"], &factors[0]["label"]), (&json!("totp"), &json!("My phone")));
    assert_eq!(after["recovery_codes_left"], json!(enrolled.recovery_codes.len()));
    let own = read(&acme, &session.access, "/v1/auth/me").await?.json;
    assert_eq!(own["user"]["factors"], after["factors"], "and so do they themselves");

    for _ in 0..6 {
        acme.log_in_at(&stack.command_url, &ann.email, WRONG, &session.device).await?;
    }
    let on_device = read(&acme, &admin, &path).await?.json;
    let until: DateTime<Utc> = serde_json::from_value(on_device["device_locked_until"].clone())?;
    assert!(until > Utc::now() && on_device["locked_until"].is_null(), "{on_device}");
    for _ in 0..6 {
        acme.log_in(&ann.email, WRONG).await?;
    }
    let listed = read(&acme, &admin, "/v1/users?email=ann@example.com").await?.json;
    let until: DateTime<Utc> = serde_json::from_value(listed["items"][0]["locked_until"].clone())?;
    assert!(until > Utc::now(), "{listed}");
    let others = read(&acme, &admin, "/v1/users").await?.json;
    let locked = others["items"].as_array().into_iter().flatten().filter(|it| !it["locked_until"].is_null());
    assert_eq!(locked.count(), 1, "nobody else is");
    let owner = stack.owner(acme.tenant)?;
    let lifted = acme.post(&owner, &format!("{path}/unlock"), &json!({})).await?;
    assert_eq!(lifted.status, StatusCode::NO_CONTENT, "{}", lifted.text);
    let open = read(&acme, &admin, &path).await?.json;
    assert_eq!((&open["locked_until"], &open["device_locked_until"]), (&Value::Null, &Value::Null));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_with_others_says_when_and_why() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, TenantId::new(Uuid::from_u128(1)))?;
    let admin = members.join(&[RoleRef::ADMIN]).await?;
    let ada = members.join(&[RoleRef::USER]).await?;
    let kept = members.session(ada.user).await?;
    let (user_id, by) = (ada.user, ada.user.actor());
    let end = |except, because| EndSessions { user_id, except, because: Word::of(because), by };
    members.done(end(Some(kept.session), "asked")).await?;
    let path = format!("/v1/users/{}/sessions", ada.user);
    let sessions = async || {
        let answer = stack.get_at(&admin.token, &path, &members.position().await?).await?;
        anyhow::ensure!(answer.status == StatusCode::OK, "{}", answer.text);
        let rows = answer.json["items"].as_array().cloned().unwrap_or_default();
        anyhow::Ok(
            rows.into_iter()
                .map(|it| (it["status"].clone(), it["ended_because"].clone(), it["ended_at"].clone())),
        )
    };
    let mut first = sessions().await?;
    assert_eq!(first.next(), Some((json!("live"), Value::Null, Value::Null)), "the newest goes on");
    let (status, because, ended_at) = first.next().unwrap_or_default();
    assert_eq!((status, because), (json!("ended"), json!("asked")));
    assert!(ended_at.is_string(), "{ended_at}");

    members.done(end(None, "password-changed")).await?;
    let both: Vec<_> = sessions().await?.collect();
    assert_eq!((&both[0].0, &both[0].1), (&json!("ended"), &json!("password-changed")));
    assert_eq!((&both[1].1, &both[1].2), (&json!("asked"), &ended_at), "what ended once stays so");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn below_http_an_address_is_looked_up_for_the_served_tenant_alone() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let hash = acme.master()?.index(acme.tenant, IndexOf::Email, b"ann@example.com").0.to_vec();
    let mut conn = sqlx::PgConnection::connect_with(&stack.database.options("quipu_query")?).await?;
    let stranger = Uuid::from_u128(7);
    for (served, asked, scope, is_answered) in [
        (acme.tenant.uuid(), acme.tenant.uuid(), "identity.email", true),
        (stranger, acme.tenant.uuid(), "identity.email", false),
        (acme.tenant.uuid(), acme.tenant.uuid(), "organisation.slug", false),
    ] {
        let mut tx = conn.begin().await?;
        sqlx::query("select set_config('app.tenants', $1, true)")
            .bind(format!("{{{served}}}"))
            .execute(&mut *tx)
            .await?;
        let holder = sqlx::query_scalar::<_, Option<Uuid>>("select store.has_address($1, $2, $3)")
            .bind(asked)
            .bind(scope)
            .bind(&hash)
            .fetch_one(&mut *tx)
            .await;
        match holder {
            Ok(holder) => assert_eq!((holder, is_answered), (Some(ann.user.uuid()), true)),
            Err(error) => assert!(!is_answered, "{served} {scope}: {error}"),
        }
        tx.rollback().await?;
    }
    for (table, of) in [("store.claims", "claims"), ("vault.attempts", "guesses")] {
        let refused =
            sqlx::query(sqlx::AssertSqlSafe(format!("select 1 from {table}"))).execute(&mut conn).await;
        assert!(refused.is_err(), "{of} themselves are not to be seen");
    }
    Ok(())
}
