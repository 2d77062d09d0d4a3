//! Staff of the platform who act for a user: for a reason and a time, in the open, and never where credentials are.

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::identity::DeactivateUser;
use domain::ids::{ActorId, ImpersonationId, SessionId, TenantId, UserId};
use domain::organisation::{AssignRoles, Granter, RoleRef};
use domain::sign_in::StartSession;
use domain::words::Word;
use event_store::vault::Mail;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::permissions::role_table;
use service_kit::token::{Act, Claims, Role};
use tests::books::{Books, transfer};
use tests::members::{Member, Members};
use tests::person::{Organisation, SignedIn};
use tests::relying::{Relying, shop};
use tests::stack::{Answer, Stack, answer};
use uuid::Uuid;

use super::access::{ENDED, all_open, all_tell, doors};

type Test = anyhow::Result<()>;

const IN_PERSON: &str = "auth.acts-for-another";
const REASON: &str = "You asked us to look at a transfer";

/// An organisation with somebody to act for, and somebody of the platform.
struct Scene<'a> {
    stack: &'a Stack,
    acme: Organisation<'a>,
    user: Member,
    staff: Member,
}

/// Somebody who acts for another.
struct Acting {
    id: Uuid,
    token: String,
}

fn path(tenant: TenantId, user: UserId) -> String {
    format!("/v1/platform/users/{tenant}/{user}/impersonate")
}

fn body(minutes: i64) -> Value {
    json!({ "reason": REASON, "ticket": "HELP-4711", "minutes": minutes })
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

impl<'a> Scene<'a> {
    async fn set(stack: &'a Stack) -> anyhow::Result<Self> {
        let acme = Organisation::found(stack, "acme").await?;
        let user = Members::of(stack, acme.tenant)?.join_at("ada@example.com", &[RoleRef::ADMIN]).await?;
        let staff = Members::of(stack, TenantId::PLATFORM)?.join(&[RoleRef::OWNER]).await?;
        Ok(Self { stack, acme, user, staff })
    }

    async fn ask(&self, token: &str, user: UserId, minutes: i64) -> anyhow::Result<Answer> {
        self.stack.post(token, &path(self.acme.tenant, user), &body(minutes)).await
    }

    async fn act(&self) -> anyhow::Result<Acting> {
        let begun = self.ask(&self.staff.token, self.user.user, 15).await?;
        anyhow::ensure!(begun.status == StatusCode::CREATED, "{} {}", begun.status, begun.text);
        assert_eq!(begun.header("cache-control"), "no-store");
        assert!(begun.json.get("refresh_token").is_none());
        let token = begun.json["access_token"].as_str().context("a token")?.to_owned();
        Ok(Acting { id: begun.json["id"].as_str().context("an id")?.parse()?, token })
    }

    async fn end(&self, token: &str, id: Uuid) -> anyhow::Result<Answer> {
        let path = format!("/v1/platform/impersonations/{}/{id}/end", self.acme.tenant);
        self.stack.post(token, &path, &Value::Null).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impersonator_cannot_touch_credentials_or_platform_owners() -> Test {
    let stack = Stack::whole().await?;
    let scene = Scene::set(&stack).await?;
    let owner = Members::of(&stack, scene.acme.tenant)?.join(&[RoleRef::OWNER]).await?;
    let begun = scene.ask(&scene.staff.token, owner.user, 15).await?;
    let acting = begun.json["access_token"].as_str().context("a token")?.to_owned();
    let session = owner.session;
    let key = json!({ "name": "Mine", "permissions": ["ledger.read-accounts"] });
    for (method, path, body) in [
        (Method::POST, "/v1/auth/password/change".to_owned(), json!({ "current": "a", "new": "b" })),
        (Method::POST, "/v1/auth/step-up".to_owned(), json!({ "password": "anything" })),
        (Method::DELETE, "/v1/auth/sessions".to_owned(), Value::Null),
        (Method::DELETE, format!("/v1/auth/sessions/{session}"), Value::Null),
        (
            Method::POST,
            "/v1/auth/links/external".to_owned(),
            json!({ "provider": "x", "redirect_uri": "https://a.example/", "code_challenge": "x" }),
        ),
        (Method::DELETE, format!("/v1/auth/links/external/{session}"), Value::Null),
        (Method::DELETE, format!("/v1/users/{}/sessions", owner.user), Value::Null),
        (Method::POST, "/v1/api-keys".to_owned(), key),
        (Method::POST, format!("/v1/api-keys/{session}/revoke"), Value::Null),
        // What asks a person for a fresh proof is not open to somebody whose own proof it would be.
        (Method::PUT, "/v1/organization/policy".to_owned(), json!({})),
        (Method::POST, "/v1/organization/close".to_owned(), json!({ "slug": "acme" })),
        (Method::POST, "/v1/organization/transfer-ownership".to_owned(), json!({ "to": Uuid::nil() })),
        (Method::POST, "/v1/providers".to_owned(), json!({})),
    ] {
        let request = stack.request(method.clone(), &acting, &format!("{}{path}", stack.command_url));
        let refused = answer(request.json(&body)).await?;
        assert_eq!(told(&refused), (403, IN_PERSON), "{method} {path}: {}", refused.text);
    }
    // The user's own session has not ended, and neither is there anything to go on with.
    assert!(scene.acme.is_taken(&owner.token).await?);
    let refresh = stack.post("", "/v1/auth/refresh", &json!({ "refresh_token": acting })).await?;
    assert_eq!(told(&refresh), (401, "identity.refresh-invalid"));

    let staff = Members::of(&stack, TenantId::PLATFORM)?;
    let (other, colleague) = (staff.join(&[RoleRef::OWNER]).await?, staff.join(&[RoleRef::USER]).await?);
    for user in [other.user, colleague.user, scene.staff.user] {
        let refused = stack.post(&scene.staff.token, &path(TenantId::PLATFORM, user), &body(15)).await?;
        assert_eq!(told(&refused), (403, "platform.impersonation-of-staff"));
    }
    // Nobody else acts for anybody: an owner at home, staff without the permission, and whoever acts already.
    for token in [&owner.token, &colleague.token, &acting] {
        let refused = scene.ask(token, scene.user.user, 15).await?;
        assert_eq!(told(&refused), (403, "auth.permission-missing"));
    }
    let (now, session_id) = (Utc::now(), SessionId::new(Uuid::now_v7()));
    let auth_time = now - TimeDelta::minutes(11);
    staff.done(StartSession { auth_time, ..staff.start(scene.staff.user, session_id) }).await?;
    let stale = staff.token(scene.staff.user, session_id)?;
    assert_eq!(told(&scene.ask(&stale, scene.user.user, 15).await?), (403, "auth.step-up-required"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_staff_do_for_a_user_is_theirs_and_says_for_whom() -> Test {
    let stack = Stack::whole().await?;
    let scene = Scene::set(&stack).await?;
    let books = Books::with_accounts(&stack, scene.acme.tenant, 2).await?;
    let acting = scene.act().await?;
    let shown = SignedIn { access: acting.token.clone(), refresh: String::new(), device: String::new() };
    let claims = shown.claims()?;
    assert_eq!(claims["sub"], json!(scene.user.user.to_string()));
    assert_eq!(claims["act"], json!({ "sub": scene.staff.user.to_string() }), "RFC 8693, section 4.1");
    assert_eq!(claims["sid"], json!(acting.id.to_string()));
    let life = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(end, begin)| end - begin);
    assert!(life.is_some_and(|it| (890..=900).contains(&it)), "{life:?}");
    let me = stack.get(&acting.token, "/v1/auth/me").await?;
    assert_eq!(me.json["impersonated_by"], json!(scene.staff.user.to_string()), "{}", me.text);
    assert_eq!(me.json["actor_id"], json!(scene.user.user.to_string()));

    let posted = stack.post(&acting.token, "/v1/ledger/transfers", &transfer(0, 1, "1.00")).await?;
    assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.text);
    books.saw(posted.header("quipu-position"));
    // The same is read by the user and by staff for them, one after the other: neither is counted as the other's.
    for token in [&scene.user.token, &acting.token] {
        let read = stack.get_at(token, "/v1/users", &books.position()).await?;
        assert_eq!(read.status, StatusCode::OK, "{}", read.text);
    }
    let refused = stack.request(Method::POST, &acting.token, &format!("{}/v1/api-keys", stack.command_url));
    assert_eq!(told(&answer(refused.json(&json!({}))).await?), (403, IN_PERSON));
    let mut conn = stack.database.superuser().await?;
    let of = |kind: &'static str| {
        sqlx::query_as::<_, (String, Option<String>, Option<String>)>(
            "select meta ->> 'actor', meta ->> 'on_behalf_of', meta ->> 'session' from store.events
             where tenant_id = $1 and type = $2 order by position",
        )
        .bind(scene.acme.tenant.uuid())
        .bind(kind)
    };
    let (staff, user) = (scene.staff.user.to_string(), scene.user.user.to_string());
    let for_user = (staff.clone(), Some(user.clone()), Some(acting.id.to_string()));
    let posted = of("ledger.transfer-posted").fetch_all(&mut conn).await?;
    assert_eq!(posted.last(), Some(&for_user), "behind those of the books");
    let by_user = (user.clone(), None, Some(scene.user.session.to_string()));
    assert_eq!(of("audit.data-read").fetch_all(&mut conn).await?, [by_user, for_user.clone()]);
    assert_eq!(of("audit.command-refused").fetch_all(&mut conn).await?, [for_user]);
    let began = of("platform.impersonation-started").fetch_all(&mut conn).await?;
    assert_eq!(began, [(staff.clone(), None, Some(scene.staff.session.to_string()))]);

    // The organisation's own trail shows it, from the beginning.
    let owner = Members::of(&stack, scene.acme.tenant)?.join(&[RoleRef::OWNER]).await?;
    let trail = stack.get_at(&owner.token, "/v1/audit?limit=200", &owner.position).await?;
    let items = trail.json["items"].as_array().context("entries")?;
    let entry = |action: &str, result: &str| {
        items
            .iter()
            .find(|it| it["action"] == action && it["result"] == result && it["actor"] == json!(staff))
    };
    let transfer = entry("ledger.transfer-posted", "done").context("the transfer")?;
    assert_eq!(
        (&transfer["on_behalf_of"], &transfer["session_id"]),
        (&json!(user), &json!(acting.id.to_string()))
    );
    let read = entry("identity.read-users", "read").context("the read")?;
    assert_eq!(read["on_behalf_of"], json!(user));
    assert!(entry("platform.impersonation-started", "done").is_some(), "{}", trail.text);

    // The user is told why, and nobody who reads the log alone.
    let letters = scene.acme.letters("impersonated").await?;
    let [letter] = &letters[..] else { anyhow::bail!("{} letters", letters.len()) };
    let Mail::Impersonated { reason, ticket, at, until } = &letter.mail else { anyhow::bail!("{letter:?}") };
    assert_eq!(
        (reason.as_str(), ticket.as_str(), letter.to.as_str()),
        (REASON, "HELP-4711", "ada@example.com")
    );
    assert_eq!(*until - *at, TimeDelta::minutes(15));
    let plain: i64 = sqlx::query_scalar("select count(*) from store.events where payload::text like $1")
        .bind(format!("%{REASON}%"))
        .fetch_one(&mut conn)
        .await?;
    assert_eq!(plain, 0, "the reason is private to the user");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impersonation_ends_everywhere_by_staff_and_by_the_user() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let scene = Scene::set(&stack).await?;
    let acting = scene.act().await?;
    all_open(&stack, &doors, &acting.token).await?;
    let ended = scene.end(&scene.staff.token, acting.id).await?;
    assert_eq!(told(&ended), (200, ""), "{}", ended.text);
    all_tell(&stack, &doors, &acting.token, ENDED).await?;
    assert_eq!(scene.end(&scene.staff.token, acting.id).await?.status, StatusCode::OK, "it is so already");
    let unknown = scene.end(&scene.staff.token, Uuid::now_v7()).await?;
    assert_eq!(told(&unknown), (404, "platform.impersonation-not-found"));
    assert_eq!(told(&scene.end(&scene.user.token, acting.id).await?), (403, "auth.permission-missing"));

    let acting = scene.act().await?;
    all_open(&stack, &doors, &acting.token).await?;
    let mine = format!("{}/v1/auth/sessions?keep=current", stack.command_url);
    let ended = answer(stack.request(Method::DELETE, &scene.user.token, &mine)).await?;
    assert_eq!(ended.status, StatusCode::OK, "{}", ended.text);
    all_tell(&stack, &doors, &acting.token, ENDED).await?;
    all_open(&stack, &doors, &scene.user.token).await?;

    // Signing out ends the session that the token is of, and no other.
    let acting = scene.act().await?;
    let out = stack.post(&acting.token, "/v1/auth/logout", &json!({})).await?;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    all_tell(&stack, &doors, &acting.token, ENDED).await?;
    all_open(&stack, &doors, &scene.user.token).await?;
    let mut conn = stack.database.superuser().await?;
    let by: String = sqlx::query_scalar(
        "select meta ->> 'actor' from store.events where type = 'identity.session-ended' order by position desc limit 1",
    )
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(by, scene.staff.user.to_string());
    Ok(())
}

/// Whoever is dismissed, or may not do this any more, acts for nobody from then on, in whatever sessions they began.
#[tokio::test(flavor = "multi_thread")]
async fn staff_who_may_not_any_more_act_for_nobody() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let mut scene = Scene::set(&stack).await?;
    let platform = Members::of(&stack, TenantId::PLATFORM)?;
    platform.join(&[RoleRef::OWNER]).await?;

    let acting = scene.act().await?;
    all_open(&stack, &doors, &acting.token).await?;
    let (user_id, because) = (scene.staff.user, Word::of("dismissed"));
    platform.done(DeactivateUser { user_id, because }).await?;
    all_tell(&stack, &doors, &acting.token, ENDED).await?;
    all_open(&stack, &doors, &scene.user.token).await?;

    scene.staff = platform.join(&[RoleRef::OWNER]).await?;
    let acting = scene.act().await?;
    all_open(&stack, &doors, &acting.token).await?;
    let (user_id, roles, table) =
        (scene.staff.user, vec![RoleRef::USER], role_table(TenantId::PLATFORM).clone());
    platform.done(AssignRoles { user_id, roles, by: Granter::Platform, table }).await?;
    all_tell(&stack, &doors, &acting.token, ENDED).await?;
    Ok(())
}

/// Nobody knows who has an operator's token, and what was begun with one would outlast it: neither does it act for anybody, nor
/// does what such a token began before it could not.
#[tokio::test(flavor = "multi_thread")]
async fn an_operators_token_acts_for_nobody() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let scene = Scene::set(&stack).await?;
    let operator = stack.claims(TenantId::PLATFORM, Role::Owner);
    let in_name_of_staff = Claims { sub: scene.staff.user.actor(), ..operator.clone() };
    for claims in [&operator, &in_name_of_staff] {
        let refused = scene.ask(&stack.signer.mint(claims)?, scene.user.user, 15).await?;
        assert_eq!(told(&refused), (403, "platform.impersonation-by-operator"));
    }
    assert!(scene.acme.letters("impersonated").await?.is_empty(), "what did not happen is told to nobody");

    let (members, session_id) = (Members::of(&stack, scene.acme.tenant)?, SessionId::new(Uuid::now_v7()));
    let impersonation_id = Some(ImpersonationId::new(session_id.uuid()));
    members.done(StartSession { impersonation_id, ..members.start(scene.user.user, session_id) }).await?;
    let begun_by = |staff: ActorId| {
        let of_user = stack.claims(scene.acme.tenant, Role::Owner);
        let (sub, sid) = (scene.user.user.actor(), Some(session_id.uuid()));
        stack.signer.mint(&Claims { sub, sid, act: Some(Act { sub: staff }), ..of_user })
    };
    all_tell(&stack, &doors, &begun_by(operator.sub)?, ENDED).await?;
    all_open(&stack, &doors, &begun_by(scene.staff.user.actor())?).await?;

    // What somebody began an operator can end.
    let acting = scene.act().await?;
    assert_eq!(told(&scene.end(&stack.signer.mint(&operator)?, acting.id).await?), (200, ""));
    all_tell(&stack, &doors, &acting.token, ENDED).await
}

/// RFC 7662, section 2.2: what is told of a token is what holds now; RFC 8693, section 4.1: and who acts.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_about_a_token_learns_who_acts_and_whether_they_still_may() -> Test {
    let stack = Stack::whole().await?;
    let scene = Scene::set(&stack).await?;
    let shop = Relying::register(&scene.acme, &shop()).await?;
    let platform = Members::of(&stack, TenantId::PLATFORM)?;
    platform.join(&[RoleRef::OWNER]).await?;
    let acting = scene.act().await?;
    let facts =
        async || Ok::<_, anyhow::Error>(shop.ask("introspect", &[("token", &acting.token)]).await?.json);
    let told = facts().await?;
    assert_eq!((&told["active"], &told["sub"]), (&json!(true), &json!(scene.user.user)));
    assert_eq!(told["act"], json!({ "sub": scene.staff.user }));
    let own = shop.ask("introspect", &[("token", &scene.user.token)]).await?.json;
    assert_eq!((&own["active"], own.get("act")), (&json!(true), None));
    let (user_id, because) = (scene.staff.user, Word::of("dismissed"));
    platform.done(DeactivateUser { user_id, because }).await?;
    assert_eq!(facts().await?, json!({ "active": false }));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_acted_for_who_could_not_act_and_for_no_longer_than_an_hour() -> Test {
    let stack = Stack::whole().await?;
    let scene = Scene::set(&stack).await?;
    let token = &scene.staff.token;
    for minutes in [0, 61, -1, 70_000] {
        let refused = scene.ask(token, scene.user.user, minutes).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{minutes}: {}", refused.text);
    }
    let nobody = scene.ask(token, UserId::new(Uuid::now_v7()), 60).await?;
    assert_eq!(told(&nobody), (404, "identity.user-not-found"));
    let elsewhere = path(TenantId::new(Uuid::now_v7()), scene.user.user);
    assert_eq!(told(&stack.post(token, &elsewhere, &body(60)).await?), (404, "identity.user-not-found"));
    let members = Members::of(&stack, scene.acme.tenant)?;
    members.done(DeactivateUser { user_id: scene.user.user, because: Word::of("a-test") }).await?;
    let inactive = scene.ask(token, scene.user.user, 60).await?;
    assert_eq!(told(&inactive), (409, "identity.user-inactive"));
    assert!(scene.acme.letters("impersonated").await?.is_empty(), "what did not happen is told to nobody");
    let mut conn = stack.database.superuser().await?;
    let began: i64 =
        sqlx::query_scalar("select count(*) from store.events where type like 'platform.impersonation%'")
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(began, 0);
    Ok(())
}
