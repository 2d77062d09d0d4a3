//! Keys with which programs act: each is its maker's or a service's, is shown once, allows what it says within what its owner
//! holds, and is refused everywhere once it is revoked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::application::{RegisterService, SuspendService};
use domain::identity::DeactivateUser;
use domain::ids::{RoleId, ServiceId, TenantId};
use domain::metadata::Label;
use domain::organisation::{AssignRoles, DefineRole, Granter, RoleRef};
use domain::words::{Permission, Scope, Word};
use event_store::access::AGE_MAX;
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::permissions::role_table;
use tests::books::{Books, transfer};
use tests::database::tenant;
use tests::members::Members;
use tests::sse::Reader;
use tests::stack::{Answer, Stack, answer};
use tests::until;
use uuid::Uuid;

use super::access::{ENDED, all_open, all_tell, doors};

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);
const KEYS: &str = "/v1/api-keys";
const IN_PERSON: &str = "auth.acts-for-another";

/// A key as it was shown.
struct Made {
    id: Uuid,
    text: String,
}

fn body(permissions: &[&str]) -> Value {
    json!({ "name": "Nightly", "permissions": permissions })
}

async fn make(stack: &Stack, token: &str, body: &Value) -> anyhow::Result<Made> {
    let made = stack.post(token, KEYS, body).await?;
    anyhow::ensure!(made.status == StatusCode::CREATED, "{} {}", made.status, made.text);
    Ok(Made {
        id: made.json["id"].as_str().context("an id")?.parse()?,
        text: made.json["key"].as_str().context("a key")?.to_owned(),
    })
}

async fn revoke(stack: &Stack, token: &str, key: Uuid) -> anyhow::Result<Answer> {
    stack.post(token, &format!("{KEYS}/{key}/revoke"), &Value::Null).await
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

async fn registered(members: &Members<'_>, scopes: &[&'static str]) -> anyhow::Result<ServiceId> {
    let service_id = ServiceId::new(Uuid::now_v7());
    members
        .done(RegisterService {
            service_id,
            name: Label::parse("Till")?,
            confidential: true,
            redirect_uris: vec![],
            grants: vec![Word::of("client-credentials")],
            scopes: scopes.iter().map(|it| Scope::parse(it)).collect::<Result<_, _>>()?,
            limits: None,
        })
        .await?;
    Ok(service_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2025_61928_a_key_is_for_its_maker() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let (maker, other) = (members.join(&[RoleRef::ADMIN]).await?, members.join(&[RoleRef::OWNER]).await?);
    for field in ["user_id", "owner", "actor_id", "userId", "key_id"] {
        let mut asked = body(&["ledger.read-accounts"]);
        asked[field] = json!(other.user.to_string());
        let refused = stack.post(&maker.token, KEYS, &asked).await?;
        assert_eq!(told(&refused), (400, "request.unknown-field"), "{field}: {}", refused.text);
    }
    // A person named as a service is none.
    let mut asked = body(&["ledger.read-accounts"]);
    asked["service_id"] = json!(other.user.to_string());
    assert_eq!(told(&stack.post(&maker.token, KEYS, &asked).await?), (404, "application.service-not-found"));
    let key = make(&stack, &maker.token, &body(&["ledger.read-accounts"])).await?;
    let me = stack.get(&key.text, "/v1/auth/me").await?;
    assert_eq!(me.json["actor_id"], json!(maker.user.to_string()), "{}", me.text);
    assert_eq!(me.json["permissions"], json!(["ledger.read-accounts"]));
    assert_eq!(
        (&me.json["session_id"], &me.json["tenant_id"]),
        (&Value::Null, &json!(tenant(1).to_string()))
    );
    // An operator is no person, so there is nobody for whom the key could act.
    let operator = stack.owner(tenant(1))?;
    let refused = stack.post(&operator, KEYS, &body(&["ledger.read-accounts"])).await?;
    assert_eq!(told(&refused), (400, "request.missing-field"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_kept_nowhere() -> Test {
    let stack = Stack::whole().await?;
    let maker = Members::of(&stack, tenant(1))?.join(&[RoleRef::ADMIN]).await?;
    let asks = async || {
        let url = format!("{}{KEYS}", stack.command_url);
        let request = stack.request(Method::POST, &maker.token, &url).header("Idempotency-Key", "once");
        answer(request.json(&body(&["ledger.read-accounts"]))).await
    };
    // Two at once, and one more later: one key comes to be, and one answer shows it.
    let mut answers = try_join_all([asks(), asks()]).await?;
    answers.push(asks().await?);
    for it in &answers {
        assert_eq!(it.status, StatusCode::CREATED, "{}", it.text);
        assert_eq!(it.header("cache-control"), "no-store");
        assert_eq!(it.json["id"], answers[0].json["id"]);
        assert_eq!(it.json["key"].is_null(), it.header("idempotent-replayed") == "true", "{}", it.text);
    }
    let shown: Vec<&str> = answers.iter().filter_map(|it| it.json["key"].as_str()).collect();
    let [key] = shown[..] else { anyhow::bail!("it is shown {} times", shown.len()) };
    assert_eq!(stack.get(key, "/v1/ledger/accounts").await?.status, StatusCode::OK);
    let secret = key.rsplit('_').next().context("a secret")?;
    let mut conn = stack.database.superuser().await?;
    let kept: Vec<String> = sqlx::query_scalar(
        "select payload::text || meta::text from store.events
         union all select body::text from store.idempotency
         union all select to_jsonb(k)::text from vault.api_keys k",
    )
    .fetch_all(&mut conn)
    .await?;
    assert!(!kept.is_empty() && kept.iter().all(|it| !it.contains(secret)));
    let hash: Vec<u8> = sqlx::query_scalar("select hash from vault.api_keys").fetch_one(&mut conn).await?;
    let hex: String = hash.iter().map(|it| format!("{it:02x}")).collect();
    let events: Vec<String> =
        sqlx::query_scalar("select payload::text from store.events").fetch_all(&mut conn).await?;
    assert!(events.iter().all(|it| !it.contains(&hex)), "no event holds the hash of a secret");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_allows_what_it_says_within_what_its_owner_holds() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let members = Members::of(&stack, tenant(1))?;
    let maker = members.join(&[RoleRef::ADMIN]).await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let role_id = RoleId::new(Uuid::now_v7());
    let makes_keys = DefineRole {
        role_id,
        name: Label::parse("Locksmith")?,
        permissions: vec![Permission::parse("application.manage-api-keys")?],
        by: Granter::Platform,
        table: role_table(tenant(1)).clone(),
    };
    members.done(makes_keys).await?;
    let locksmith = members.join(&[RoleRef::Custom(role_id)]).await?;
    let refused = stack.post(&locksmith.token, KEYS, &body(&["ledger.read-accounts"])).await?;
    assert_eq!(told(&refused), (403, "organisation.grants-too-much"), "{}", refused.text);
    let all = make(&stack, &maker.token, &body(&["ledger.read-accounts", "ledger.post-transfer"])).await?;
    let reads = make(&stack, &maker.token, &body(&["ledger.read-accounts"])).await?;
    all_open(&stack, &doors, &all.text).await?;
    assert_eq!(
        stack.get_at(&reads.text, "/v1/ledger/accounts", &books.position()).await?.status,
        StatusCode::OK
    );
    for (method, path, body) in [
        (Method::POST, "/v1/ledger/transfers", transfer(0, 1, "1.00")),
        (Method::POST, "/v1/roles", json!({ "name": "Key", "permissions": ["ledger.read-accounts"] })),
    ] {
        let request = stack.request(method, &reads.text, &format!("{}{path}", stack.command_url));
        let refused =
            answer(request.header("Idempotency-Key", Uuid::now_v7().to_string()).json(&body)).await?;
        assert_eq!(told(&refused), (403, "auth.permission-missing"), "{path}");
    }
    let posted = stack.post(&all.text, "/v1/ledger/transfers", &transfer(0, 1, "1.00")).await?;
    assert_eq!(posted.status, StatusCode::CREATED, "{}", posted.text);
    // Its owner loses a permission, and so does the key; then its owner is gone.
    let (by, table) = (Granter::Platform, role_table(tenant(1)).clone());
    members.done(AssignRoles { user_id: maker.user, roles: vec![RoleRef::USER], by, table }).await?;
    all_tell(&stack, &doors, &all.text, (403, "auth.permission-missing")).await?;
    members.done(DeactivateUser { user_id: maker.user, because: Word::of("a-test") }).await?;
    all_tell(&stack, &doors, &all.text, ENDED).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_no_key_and_touches_no_credentials() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let maker = members.join(&[RoleRef::OWNER]).await?;
    let everything = [
        "application.manage-api-keys",
        "organisation.set-policy",
        "organisation.read-policy",
        "organisation.invite-member",
        "organisation.assign-roles",
        "organisation.define-role",
        "identity.create-user",
    ];
    // Nobody makes such a key: each name that it could never use is told. There are some of before, and they can no more.
    let refused = stack.post(&maker.token, KEYS, &body(&everything)).await?;
    assert_eq!(told(&refused), (422, "auth.permission-in-person"), "{}", refused.text);
    let errors = refused.json["errors"].as_array().context("errors")?;
    let places: Vec<&str> = errors.iter().filter_map(|it| it["pointer"].as_str()).collect();
    assert_eq!(places, [0, 1, 3, 4, 5, 6].map(|it| format!("/permissions/{it}")));
    let (id, text) = members.key(maker.user, &everything).await?;
    let key = Made { id, text };
    let session = maker.session;
    for (method, path, body) in [
        (Method::POST, KEYS.to_owned(), body(&["organisation.read-policy"])),
        (Method::POST, format!("{KEYS}/{}/revoke", key.id), Value::Null),
        (Method::PUT, "/v1/organization/policy".to_owned(), json!({})),
        (Method::DELETE, "/v1/auth/sessions".to_owned(), Value::Null),
        (Method::DELETE, format!("/v1/auth/sessions/{session}"), Value::Null),
        (Method::POST, "/v1/auth/step-up".to_owned(), json!({ "password": "anything" })),
        (Method::POST, "/v1/auth/password/change".to_owned(), json!({ "current": "a", "new": "b" })),
        (
            Method::POST,
            "/v1/auth/links/external".to_owned(),
            json!({ "provider": "x", "redirect_uri": "https://a.example/", "code_challenge": "x" }),
        ),
        (Method::DELETE, format!("/v1/auth/links/external/{session}"), Value::Null),
        // Nor does it make anybody what its owner is.
        (Method::POST, "/v1/invitations".to_owned(), json!({ "email": "a@example.com", "roles": ["owner"] })),
        (Method::POST, "/v1/users".to_owned(), json!({ "email": "a@example.com", "roles": ["owner"] })),
        (Method::PUT, format!("/v1/members/{}/roles", maker.user), json!({ "roles": ["owner"] })),
        (Method::POST, "/v1/roles".to_owned(), json!({ "name": "All", "permissions": everything })),
    ] {
        let request = stack.request(method.clone(), &key.text, &format!("{}{path}", stack.command_url));
        let refused = answer(request.json(&body)).await?;
        assert_eq!(told(&refused), (403, IN_PERSON), "{method} {path}: {}", refused.text);
    }
    assert_eq!(stack.get(&key.text, "/v1/organization/policy").await?.status, StatusCode::OK);
    assert_eq!(stack.get(&maker.token, "/v1/organization/policy").await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_or_lengthened_key_is_none() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let maker = members.join(&[RoleRef::ADMIN]).await?;
    let stranger = Members::of(&stack, tenant(2))?.join(&[RoleRef::ADMIN]).await?;
    let key = make(&stack, &maker.token, &body(&["ledger.read-accounts"])).await?;
    let second = make(&stack, &maker.token, &body(&["ledger.read-accounts"])).await?;
    let foreign = make(&stack, &stranger.token, &body(&["ledger.read-accounts"])).await?;
    let text = key.text.as_str();
    let part = |text: &str, n: usize| text.split('_').nth(n).unwrap_or_default().to_owned();
    let joined = |tenant: &str, id: &str, secret: &str| checked(&format!("qk_{tenant}_{id}_{secret}"));
    let secret = |text: &str| part(text, 3)[..part(text, 3).len() - 6].to_owned();
    assert_eq!(joined(&part(text, 1), &part(text, 2), &secret(text)), text, "the test makes keys as we do");
    let forged = [
        ("cut by one", text[..text.len() - 1].to_owned()),
        ("cut by its checksum", text[..text.len() - 6].to_owned()),
        ("longer by one", format!("{text}a")),
        ("in large letters", text.to_uppercase()),
        ("of another kind", text.replacen("qk_", "qr_", 1)),
        ("with a wrong checksum", format!("{}aaaaaa", &text[..text.len() - 6])),
        ("with another's secret", joined(&part(text, 1), &part(text, 2), &secret(&second.text))),
        ("of another tenant", joined(&part(&foreign.text, 1), &part(text, 2), &secret(text))),
        (
            "of another tenant's tenant",
            joined(&part(text, 1), &part(&foreign.text, 2), &secret(&foreign.text)),
        ),
        ("of a key that is not there", joined(&part(text, 1), &"a".repeat(26), &secret(text))),
        ("nothing but its kind", "qk_".to_owned()),
    ];
    let doors = [(&stack.command_url, "/v1/providers"), (&stack.query_url, "/v1/ledger/accounts")];
    for (base, path) in doors {
        for (name, forged) in &forged {
            let refused = answer(stack.request(Method::GET, forged, &format!("{base}{path}"))).await?;
            assert_eq!(told(&refused), (401, "auth.token-invalid"), "{name}: {}", refused.text);
            assert!(refused.header("www-authenticate").starts_with("Bearer"), "{name}");
        }
    }
    assert_eq!(stack.get(text, "/v1/ledger/accounts").await?.status, StatusCode::OK);
    Ok(())
}

/// A text with the checksum that keys have: the lower 30 bits of CRC-32 in the letters of base32, said here once more.
fn checked(text: &str) -> String {
    let crc = !text.bytes().fold(!0_u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    });
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let sum: String = (0..6).rev().map(|n| char::from(letters[(crc >> (5 * n)) as usize & 31])).collect();
    format!("{text}{sum}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_by_every_process_within_a_second() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let members = Members::of(&stack, tenant(1))?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let maker = members.join(&[RoleRef::ADMIN]).await?;
    let allowed = body(&["ledger.read-accounts", "ledger.post-transfer", "events.read-events"]);
    let (key, other) =
        (make(&stack, &maker.token, &allowed).await?, make(&stack, &maker.token, &allowed).await?);
    for text in [&key.text, &other.text] {
        all_open(&stack, &doors, text).await?;
    }
    books.read("/v1/events").await?;
    let streams = doors.iter().filter(|it| !it.is_of_commands).map(|door| {
        let url = format!("{}/v1/events/stream", door.url);
        Reader::open(stack.request(Method::GET, &key.text, &url))
    });
    let mut streams = try_join_all(streams).await?;
    let revoked = revoke(&stack, &maker.token, key.id).await?;
    assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text);
    let since = Instant::now();
    // In processes that have seen the key it does not stand any more; its hash is gone for all others.
    let no_more = async |door: &super::access::Door| {
        until(AGE_MAX, || async {
            let (status, code) = door.tells(&stack, &key.text).await?;
            Ok(status == 401 && ["auth.session-ended", "auth.token-invalid"].contains(&code.as_str()))
        })
        .await
        .with_context(|| format!("{} still takes it", door.url))
    };
    try_join_all(doors.iter().map(no_more)).await?;
    for stream in &mut streams {
        let mut last = stream.next().await?.context("a last word")?;
        while last.name.contains('.') {
            last = stream.next().await?.context("a last word")?;
        }
        assert_eq!(last.name, "revoked");
        assert!(since.elapsed() < AGE_MAX, "the stream went on for {:?}", since.elapsed());
    }
    all_open(&stack, &doors, &other.text).await?;
    let again = revoke(&stack, &maker.token, key.id).await?;
    assert_eq!(again.status, StatusCode::OK, "it is so already: {}", again.text);
    let unknown = revoke(&stack, &maker.token, Uuid::now_v7()).await?;
    assert_eq!(told(&unknown), (404, "application.key-not-found"));
    let stranger = Members::of(&stack, tenant(2))?.join(&[RoleRef::OWNER]).await?;
    assert_eq!(told(&revoke(&stack, &stranger.token, other.id).await?), (404, "application.key-not-found"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_with_a_revoked_key_never_commits() -> Test {
    const WRITERS: usize = 8;
    let stack = Arc::new(Stack::commands_only().await?);
    let other = stack.another_command_api().await?;
    let _books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let maker = Members::of(&stack, tenant(1))?.join(&[RoleRef::ADMIN]).await?;
    for round in 0..3 {
        let key = make(&stack, &maker.token, &body(&["ledger.post-transfer"])).await?;
        let written = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| {
                let (stack, text, written) = (Arc::clone(&stack), key.text.clone(), Arc::clone(&written));
                let base = if n % 2 == 0 { stack.command_url.clone() } else { other.clone() };
                tokio::spawn(async move {
                    loop {
                        let url = format!("{base}/v1/ledger/transfers");
                        let request = stack.request(Method::POST, &text, &url);
                        let request = request.header("Idempotency-Key", Uuid::now_v7().to_string());
                        let answer = answer(request.json(&transfer(0, 1, "0.01"))).await?;
                        match answer.status.as_u16() {
                            201 => written.fetch_add(1, Ordering::SeqCst),
                            401 => return anyhow::Ok(()),
                            _ => anyhow::bail!("{}", answer.text),
                        };
                    }
                })
            })
            .collect();
        until(PATIENCE, || async { Ok(written.load(Ordering::SeqCst) > 4 * WRITERS) }).await?;
        revoke(&stack, &maker.token, key.id).await?;
        for writer in writers {
            tokio::time::timeout(PATIENCE, writer).await.context("a writer goes on")???;
        }
        let mut conn = stack.database.superuser().await?;
        let (before, after): (i64, i64) = sqlx::query_as(
            "select count(*) filter (where e.position < r.position), count(*) filter (where e.position > r.position)
             from store.events e, (select position from store.events
                                   where type = 'application.api-key-revoked' and payload ->> 'key_id' = $1) r
             where e.type = 'ledger.transfer-posted' and e.meta ->> 'token' = $1",
        )
        .bind(key.id.to_string())
        .fetch_one(&mut conn)
        .await?;
        assert_eq!(after, 0, "round {round}: written after the key was revoked");
        assert_eq!(usize::try_from(before)?, written.load(Ordering::SeqCst), "round {round}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_service_does_what_both_may_and_expires() -> Test {
    let stack = Stack::whole().await?;
    let doors = doors(&stack).await?;
    let members = Members::of(&stack, tenant(1))?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let service = registered(&members, &["ledger.read-accounts", "ledger.post-transfer"]).await?;
    let mut asked = body(&["ledger.read-accounts", "ledger.post-transfer", "events.read-events"]);
    asked["service_id"] = json!(service.to_string());
    let key = make(&stack, &owner.token, &asked).await?;
    all_open(&stack, &doors, &key.text).await?;
    let me = stack.get(&key.text, "/v1/auth/me").await?;
    assert_eq!(me.json["actor_id"], json!(service.to_string()), "{}", me.text);
    assert_eq!(
        me.json["permissions"],
        json!(["ledger.post-transfer", "ledger.read-accounts"]),
        "within its scopes"
    );
    let elsewhere = Members::of(&stack, tenant(2))?.join(&[RoleRef::OWNER]).await?;
    let refused = stack.post(&elsewhere.token, KEYS, &asked).await?;
    assert_eq!(told(&refused), (404, "application.service-not-found"), "of another tenant");
    // A key that ends while it is known to every process.
    let ends = Utc::now() + TimeDelta::seconds(2);
    asked["expires_at"] = json!(ends);
    let short = make(&stack, &owner.token, &asked).await?;
    all_open(&stack, &doors, &short.text).await?;
    until(PATIENCE, || async { Ok(Utc::now() >= ends) }).await?;
    for door in &doors {
        assert_eq!(door.tells(&stack, &short.text).await?, (ENDED.0, ENDED.1.to_owned()), "{}", door.url);
    }
    let late = stack.post(&owner.token, KEYS, &asked).await?;
    assert_eq!(told(&late), (422, "application.key-expired"));
    members.done(SuspendService { service_id: service, because: Word::of("a-test") }).await?;
    all_tell(&stack, &doors, &key.text, ENDED).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_of_the_last_use_is_noted_without_an_event() -> Test {
    let stack = Stack::whole().await?;
    let maker = Members::of(&stack, tenant(1))?.join(&[RoleRef::ADMIN]).await?;
    let key = make(&stack, &maker.token, &body(&["ledger.read-accounts"])).await?;
    let mut conn = stack.database.superuser().await?;
    let used = "select last_used_on = (now() at time zone 'UTC')::date from vault.api_keys where key_id = $1";
    let noted: Option<bool> = sqlx::query_scalar(used).bind(key.id).fetch_one(&mut conn).await?;
    assert_eq!(noted, None, "it was not used yet");
    let head = "select position from store.log_head";
    let before: i64 = sqlx::query_scalar(head).fetch_one(&mut conn).await?;
    assert_eq!(stack.get(&key.text, "/v1/ledger/accounts").await?.status, StatusCode::OK);
    let noted: Option<bool> = sqlx::query_scalar(used).bind(key.id).fetch_one(&mut conn).await?;
    assert_eq!(noted, Some(true));
    // A process that knows the key of yesterday looks it up again; one that knows it of today does not.
    sqlx::query("update vault.api_keys set last_used_on = '2000-01-01'").execute(&mut conn).await?;
    assert_eq!(stack.get(&key.text, "/v1/ledger/accounts").await?.status, StatusCode::OK);
    let noted: Option<bool> = sqlx::query_scalar(used).bind(key.id).fetch_one(&mut conn).await?;
    assert_eq!(noted, Some(false), "once a day and process");
    assert_eq!(sqlx::query_scalar::<_, i64>(head).fetch_one(&mut conn).await?, before, "no event");
    Ok(())
}

#[tokio::test]
async fn only_whoever_shows_the_secret_learns_whose_a_key_is() -> Test {
    let stack = Stack::whole().await?;
    let maker = Members::of(&stack, tenant(1))?.join(&[RoleRef::ADMIN]).await?;
    let key = make(&stack, &maker.token, &body(&["ledger.read-accounts"])).await?;
    let pool = stack.database.pool("quipu_query")?;
    let ask = async |tenant: TenantId, hash: Vec<u8>| -> anyhow::Result<usize> {
        let rows = sqlx::query("select * from store.api_key($1, $2, $3)");
        Ok(rows.bind(tenant.uuid()).bind(key.id).bind(hash).fetch_all(&pool).await?.len())
    };
    let mut conn = stack.database.superuser().await?;
    let hash: Vec<u8> = sqlx::query_scalar("select hash from vault.api_keys").fetch_one(&mut conn).await?;
    assert_eq!(ask(tenant(1), hash.clone()).await?, 1);
    assert_eq!((ask(tenant(2), hash.clone()).await?, ask(tenant(1), vec![0; 32]).await?), (0, 0));
    for hidden in
        ["select * from vault.api_keys", "select vault.api_keys_of(gen_random_uuid(), gen_random_uuid())"]
    {
        let refused = sqlx::query(hidden).execute(&pool).await;
        assert!(refused.is_err_and(|it| it.to_string().contains("permission denied")), "{hidden}");
    }
    Ok(())
}

/// What is about oneself, with the permission that opens the same of everybody.
const ABOUT: [(&str, &str); 5] = [
    ("/v1/auth/sessions", "identity.read-sessions"),
    ("/v1/auth/permissions", "identity.read-users"),
    ("/v1/auth/security-feed", "identity.read-sign-ins"),
    ("/v1/auth/factors", "identity.read-users"),
    ("/v1/auth/links/external", "identity.read-users"),
];

/// Asks the API that has it.
async fn about(stack: &Stack, token: &str, path: &str) -> anyhow::Result<Answer> {
    let writes = path.ends_with("/factors") || path.ends_with("/external");
    let base = if writes { &stack.command_url } else { &stack.query_url };
    answer(stack.request(Method::GET, token, &format!("{base}{path}"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_tells_nothing_of_its_owner_that_it_was_not_given() -> Test {
    let stack = Stack::whole().await?;
    let members = Members::of(&stack, tenant(1))?;
    let maker = members.join_at("grace@example.com", &[RoleRef::ADMIN]).await?;
    let position = members.position().await?;
    let mine = stack.get_at(&maker.token, "/v1/auth/me", &position).await?;
    assert_eq!(mine.json["user"]["email"], "grace@example.com", "{}", mine.text);

    let narrow = make(&stack, &maker.token, &body(&["ledger.read-accounts"])).await?;
    let every: Vec<&str> = ABOUT.iter().map(|(_, permission)| *permission).collect();
    let wide = make(&stack, &maker.token, &body(&every)).await?;
    for key in [&narrow, &wide] {
        let me = stack.get(&key.text, "/v1/auth/me").await?;
        assert_eq!(told(&me), (200, ""), "{}", me.text);
        let (who, user) = (&me.json["actor_id"], &me.json["user"]);
        assert_eq!((who, user), (&json!(maker.user.to_string()), &Value::Null), "for whom, and no more");
        assert!(!me.text.contains("grace"), "{}", me.text);
    }
    let mut keys = vec![wide.id.to_string()];
    for (path, permission) in ABOUT {
        let own = about(&stack, &maker.token, path).await?;
        assert_eq!(told(&own), (200, ""), "{path}: {}", own.text);
        let refused = about(&stack, &narrow.text, path).await?;
        assert_eq!(told(&refused), (403, "auth.permission-missing"), "{path}: {}", refused.text);
        assert!(refused.text.contains(permission), "{}", refused.text);
        let allowed = about(&stack, &wide.text, path).await?;
        assert_eq!(told(&allowed), (200, ""), "{path}: {}", allowed.text);
        let one = make(&stack, &maker.token, &body(&[permission])).await?;
        assert_eq!(told(&about(&stack, &one.text, path).await?), (200, ""), "{path}");
        keys.push(one.id.to_string());
    }

    // Who reads their own is nobody's business; what a program reads of its owner is in the trail.
    let mut conn = stack.database.superuser().await?;
    let recorded: Vec<(String, String)> = sqlx::query_as(
        "select distinct type, payload::jsonb->>'action' from store.events
         where tenant_id = $1 and type in ('audit.data-read', 'audit.read-refused') order by 1, 2",
    )
    .bind(tenant(1).uuid())
    .fetch_all(&mut conn)
    .await?;
    let distinct = ["identity.read-sessions", "identity.read-sign-ins", "identity.read-users"];
    let of = |kind: &str| distinct.map(|it| (kind.to_owned(), it.to_owned()));
    assert_eq!(recorded, [of("audit.data-read"), of("audit.read-refused")].concat());
    let by_others: i64 = sqlx::query_scalar(
        "select count(*) from store.events where type = 'audit.data-read' and meta::jsonb->>'token' <> all($1)",
    )
    .bind(keys)
    .fetch_one(&mut conn)
    .await?;
    assert_eq!(by_others, 0, "each by a key");
    Ok(())
}
