//! What is known of a person, and persons whom an administrator makes.

use domain::identity::DeactivateUser;
use domain::organisation::RoleRef;
use domain::words::Word;
use event_store::vault::Mail;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::members::{Member, Members};
use tests::person::{Organisation, PASSWORD, SignedIn};
use tests::stack::{Answer, Stack, answer};
use uuid::Uuid;

type Test = anyhow::Result<()>;

const ANOTHER: &str = "violet-anchor-marble-tundra";

fn said(answer: &Answer) -> (StatusCode, &str) {
    (answer.status, answer.code())
}

async fn member(acme: &Organisation<'_>, role: RoleRef) -> anyhow::Result<Member> {
    Members::of(acme.stack, acme.tenant)?.join(&[role]).await
}

async fn patch(stack: &Stack, token: &str, path: &str, body: &Value) -> anyhow::Result<Answer> {
    let url = format!("{}{path}", stack.command_url);
    answer(stack.request(Method::PATCH, token, &url).json(body)).await
}

#[tokio::test]
async fn what_is_known_of_oneself_changes_and_what_is_not_named_stays() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let session = acme.sign_in(&acme.join("ann").await?).await?;
    let change = async |body: Value| {
        let done = patch(&stack, &session.access, "/v1/auth/me", &body).await?;
        anyhow::ensure!(done.status == StatusCode::OK, "{body} {}", done.text);
        let me = stack.get_at(&session.access, "/v1/auth/me", done.header("quipu-position")).await?;
        anyhow::Ok(me.json["user"].clone())
    };
    let all = json!({
        "name": { "given_name": "Ann", "family_name": "Smith" }, "phone": "+43 1 58858-0",
        "address": "1 Main Street\nA-1010 Wien", "language": "de-AT"
    });
    let me = change(all).await?;
    assert_eq!((&me["given_name"], &me["family_name"]), (&json!("Ann"), &json!("Smith")));
    assert_eq!((&me["phone"], &me["language"]), (&json!("+43 1 58858-0"), &json!("de-AT")));
    assert_eq!(me["address"], "1 Main Street\nA-1010 Wien");
    let me = change(json!({ "phone": null, "name": { "given_name": "Anna" } })).await?;
    let both = |me: &Value| (me["given_name"].clone(), me["family_name"].clone());
    assert_eq!(both(&me), (json!("Anna"), json!("Smith")), "the half that is not named stays");
    assert!(me["phone"].is_null());
    assert_eq!(me["address"], "1 Main Street\nA-1010 Wien");
    let me = change(json!({ "name": { "family_name": "Jones" } })).await?;
    assert_eq!(both(&me), (json!("Anna"), json!("Jones")));
    assert_eq!(change(json!({ "name": {} })).await?["version"], me["version"], "no half is no change");
    let me = change(json!({ "name": { "given_name": null } })).await?;
    assert_eq!(both(&me), (Value::Null, json!("Jones")), "and goes where it is said");
    let version = me["version"].clone();
    assert_eq!(change(json!({})).await?["version"], version, "nothing is no change");
    // In the log nothing of it can be read.
    let mut conn = stack.database.superuser().await?;
    let logged: String = sqlx::query_scalar("select string_agg(payload::text, ' ') from store.events")
        .fetch_one(&mut conn)
        .await?;
    assert!(logged.contains("\"phone\""));
    assert!(["Anna", "Jones", "Main Street", "58858"].iter().all(|it| !logged.contains(it)));
    Ok(())
}

/// A language is kept as it was given, also one that no letter is written in; letters take the nearest that there is.
#[tokio::test]
async fn a_language_without_letters_is_kept_and_letters_are_in_english() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let session = acme.sign_in(&ann).await?;
    let _reactors = stack.with_reactors()?;
    for (n, (language, letters)) in [("fr", "en"), ("de-AT", "de")].into_iter().enumerate() {
        let changed = patch(&stack, &session.access, "/v1/auth/me", &json!({ "language": language })).await?;
        assert_eq!(changed.status, StatusCode::OK, "{language} {}", changed.text);
        let me = stack.get_at(&session.access, "/v1/auth/me", changed.header("quipu-position")).await?;
        assert_eq!(me.json["user"]["language"], language);
        let asked = json!({ "tenant_slug": "acme", "email": ann.email });
        let asked = acme.post("", "/v1/auth/password/forgot", &asked).await?;
        assert_eq!(asked.status, StatusCode::ACCEPTED, "{language} {}", asked.text);
        acme.link("reset", n + 1).await?;
        let sent = acme.letters("reset").await?;
        assert_eq!(sent.last().map(|it| it.language.tag()), Some(letters), "{language}");
    }
    let odd = patch(&stack, &session.access, "/v1/auth/me", &json!({ "language": "French" })).await?;
    assert_eq!(said(&odd), (StatusCode::BAD_REQUEST, "text.language-malformed"));
    Ok(())
}

/// CVE-2026-27946: an update of the profile that sets what nobody may set of themselves.
#[tokio::test]
async fn cve_2026_27946_nobody_sets_verified_through_an_update() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let admin = member(&acme, RoleRef::ADMIN).await?;
    acme.ask(|it| it.sign_in_unverified = true).await?;
    let ann = acme.register("ann").await?;
    let session = acme.sign_in(&ann).await?;
    let user = format!("/v1/users/{}", ann.user);
    for field in [
        json!({ "email_verified": true }),
        json!({ "email": "owner@example.com" }),
        json!({ "email_version": 7 }),
        json!({ "roles": ["owner"] }),
        json!({ "status": "active" }),
        json!({ "is_admin": true }),
        json!({ "password": ANOTHER }),
        json!({ "tenant_id": Uuid::nil() }),
        json!({ "user_id": admin.user }),
        json!({ "name": { "given_name": "Ann", "email_verified": true } }),
    ] {
        for (token, path) in [(&session.access, "/v1/auth/me"), (&admin.token, user.as_str())] {
            let refused = patch(&stack, token, path, &field).await?;
            assert_eq!(said(&refused), (StatusCode::BAD_REQUEST, "request.unknown-field"), "{path} {field}");
        }
    }
    let register = json!({
        "tenant_slug": acme.slug, "email": "eve@example.com", "password": PASSWORD, "email_verified": true
    });
    assert_eq!(acme.post("", "/v1/auth/register", &register).await?.code(), "request.unknown-field");
    let create = json!({ "email": "eve@example.com", "email_verified": true });
    assert_eq!(acme.post(&admin.token, "/v1/users", &create).await?.code(), "request.unknown-field");
    let position = Members::of(&stack, acme.tenant)?.position().await?;
    let me = stack.get_at(&session.access, "/v1/auth/me", &position).await?;
    assert_eq!(me.json["user"]["email_verified"], false, "{}", me.text);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_known_of_anybody_is_refused() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let session = acme.sign_in(&acme.join("ann").await?).await?;
    for (body, code) in [
        (json!({ "phone": "call me" }), "identity.phone-malformed"),
        (json!({ "phone": "" }), "identity.phone-malformed"),
        (json!({ "address": "" }), "text.empty"),
        (json!({ "address": "x".repeat(501) }), "text.too-long"),
        (json!({ "name": { "given_name": "a\u{202e}b" } }), "text.not-allowed"),
        (json!({ "name": { "given_name": "x".repeat(201) } }), "text.too-long"),
        (json!({ "name": "Ann" }), "request.invalid-field"),
        (json!({ "name": null }), "request.invalid-field"),
        (json!({ "language": null }), "request.invalid-field"),
        (json!({ "phone": 5 }), "request.invalid-field"),
        (json!({ "address": "a\u{0}b" }), "request.nul-character"),
    ] {
        let refused = patch(&stack, &session.access, "/v1/auth/me", &body).await?;
        assert_eq!(said(&refused), (StatusCode::BAD_REQUEST, code), "{body} {}", refused.text);
    }
    // Of two who read the same version one writes.
    let url = format!("{}/v1/auth/me", stack.command_url);
    let stale = stack.request(Method::PATCH, &session.access, &url).header("If-Match", "\"1\"");
    let stale = answer(stale.json(&json!({ "phone": "12345" }))).await?;
    assert_eq!(said(&stale), (StatusCode::PRECONDITION_FAILED, "precondition.version-mismatch"));
    // An operator is no person.
    let operator = patch(&stack, &stack.owner(acme.tenant)?, "/v1/auth/me", &json!({})).await?;
    assert_eq!(said(&operator), (StatusCode::NOT_FOUND, "identity.user-not-found"));
    Ok(())
}

#[tokio::test]
async fn a_person_whom_an_administrator_makes_chooses_the_password_alone() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let admin = member(&acme, RoleRef::ADMIN).await?;
    let body = json!({
        "email": "Ann@example.com", "name": { "given_name": "Ann" }, "roles": ["manager"], "language": "de"
    });
    let made = acme.post(&admin.token, "/v1/users", &body).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let id = made.json["id"].as_str().expect("an id").to_owned();
    assert_eq!(made.header("location"), format!("/v1/users/{id}"));
    let token = acme.link("account-made", 1).await?;
    assert!(!made.text.contains(&token));
    let letters = acme.letters("account-made").await?;
    assert_eq!(letters[0].to, "Ann@example.com");
    assert!(matches!(&letters[0].mail, Mail::AccountMade { organisation, .. } if organisation == "acme"));
    assert_eq!(acme.log_in("ann@example.com", PASSWORD).await?.code(), "identity.invalid-credentials");
    let choose = async |password: &str| {
        let body = json!({ "token": token, "new_password": password });
        acme.post("", "/v1/auth/password/reset", &body).await
    };
    let weak = choose("ann@example.com").await?;
    assert_eq!(said(&weak), (StatusCode::UNPROCESSABLE_ENTITY, "identity.password-weak"));
    assert_eq!(weak.json["errors"][0]["pointer"], "/new_password", "{}", weak.text);
    assert_eq!(choose(PASSWORD).await?.status, StatusCode::NO_CONTENT);
    assert_eq!(choose(ANOTHER).await?.code(), "identity.link-invalid", "once");
    let ann = SignedIn::of(&acme.log_in("ann@example.com", PASSWORD).await?)?;
    assert_eq!((&ann.claims()?["sub"], &ann.claims()?["roles"]), (&json!(id), &json!(["manager"])));

    let twice = acme.post(&admin.token, "/v1/users", &json!({ "email": "ann@example.com" })).await?;
    assert_eq!(said(&twice), (StatusCode::CONFLICT, "identity.email-taken"));
    let much = json!({ "email": "eve@example.com", "roles": ["owner"] });
    let much = acme.post(&admin.token, "/v1/users", &much).await?;
    assert_eq!(said(&much), (StatusCode::FORBIDDEN, "organisation.grants-too-much"));
    assert_eq!(acme.letters("account-made").await?.len(), 1, "what is refused writes no letter");
    // The same request once more is the same person.
    let url = format!("{}/v1/users", stack.command_url);
    let again = async || {
        let request = stack.request(Method::POST, &admin.token, &url).header("Idempotency-Key", "bob");
        answer(request.json(&json!({ "email": "bob@example.com" }))).await
    };
    assert_eq!(again().await?.json["id"], again().await?.json["id"]);
    assert_eq!(acme.letters("account-made").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_administrator_has_a_new_password_asked_for_and_sees_nothing_of_it() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    let admin = member(&acme, RoleRef::ADMIN).await?;
    let ann = acme.join("ann").await?;
    let asked =
        acme.post(&admin.token, &format!("/v1/users/{}/password-reset", ann.user), &Value::Null).await?;
    assert_eq!((asked.status, asked.text.as_str()), (StatusCode::ACCEPTED, "{}"));
    let body = json!({ "token": acme.link("reset", 1).await?, "new_password": ANOTHER });
    assert_eq!(acme.post("", "/v1/auth/password/reset", &body).await?.status, StatusCode::NO_CONTENT);
    SignedIn::of(&acme.log_in(&ann.email, ANOTHER).await?)?;
    let nobody = format!("/v1/users/{}/password-reset", Uuid::now_v7());
    assert_eq!(acme.post(&admin.token, &nobody, &Value::Null).await?.code(), "identity.user-not-found");
    Ok(())
}

#[tokio::test]
async fn an_owner_who_cannot_act_does_not_let_the_last_one_go() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (owner, absent) = (member(&acme, RoleRef::OWNER).await?, member(&acme, RoleRef::OWNER).await?);
    acme.done(DeactivateUser { user_id: absent.user, because: Word::of("a-test") }).await?;
    let url = format!("{}/v1/members/{}", stack.command_url, owner.user);
    let left = answer(stack.request(Method::DELETE, &owner.token, &url)).await?;
    assert_eq!(said(&left), (StatusCode::CONFLICT, "organisation.last-owner"), "{}", left.text);
    let roles = |roles: Value| {
        let request = stack.request(Method::PUT, &owner.token, &format!("{url}/roles"));
        answer(request.json(&json!({ "roles": roles })))
    };
    let less = roles(json!(["admin"])).await?;
    assert_eq!(said(&less), (StatusCode::CONFLICT, "organisation.last-owner"), "{}", less.text);
    let more = roles(json!(["owner", "user"])).await?;
    assert_eq!(more.status, StatusCode::OK, "{}", more.text);
    Ok(())
}
