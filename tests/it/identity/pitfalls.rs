//! Mistakes that others have shipped around signing in, each named after its report, else after the mistake.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::organisation::RoleRef;
use futures_util::future::{join, join_all, try_join_all};
use projector::mail;
use reqwest::StatusCode;
use serde_json::json;
use service_kit::config::PublicUrl;
use tests::database::tenant;
use tests::members::Members;
use tests::person::{Organisation, PASSWORD, SignedIn};
use tests::stack::{Stack, answer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

type Test = anyhow::Result<()>;

const ANOTHER: &str = "violet-anchor-marble-tundra";
const FORGOT: &str = "/v1/auth/password/forgot";
/// Somebody else's address, as it would stand in a letter.
const THIEF: &str = "thief.example";

/// How a request may claim that it was sent to another host.
const CLAIMS: [(&str, &str); 7] = [
    ("host", THIEF),
    ("x-forwarded-host", THIEF),
    ("x-forwarded-server", THIEF),
    ("x-original-host", THIEF),
    ("forwarded", "host=thief.example;proto=https"),
    ("origin", "https://thief.example"),
    ("referer", "https://thief.example/reset"),
];

#[tokio::test]
async fn cve_2023_49097_links_come_from_configuration_alone() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    let ann = acme.join("ann").await?;
    let body = json!({ "tenant_slug": acme.slug, "email": ann.email });
    for (name, value) in CLAIMS {
        let url = format!("{}{FORGOT}", stack.command_url);
        let asked = answer(stack.request(reqwest::Method::POST, "", &url).header(name, value).json(&body));
        assert_eq!(asked.await?.status, StatusCode::ACCEPTED, "{name}");
    }
    // The target itself can name a host, too (RFC 9112 section 3.2.2).
    let mut connection = TcpStream::connect(stack.command_url.trim_start_matches("http://")).await?;
    let text = body.to_string();
    let request = format!(
        "POST http://{THIEF}{FORGOT} HTTP/1.1\r\nhost: {THIEF}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    connection.write_all(request.as_bytes()).await?;
    let mut told = String::new();
    connection.read_to_string(&mut told).await?;
    assert!(told.starts_with("HTTP/1.1 202"), "{told}");

    acme.link("reset", CLAIMS.len() + 1).await?;
    let public: PublicUrl = "https://id.quipu.example".parse()?;
    for letter in acme.letters("reset").await? {
        let page = mail::render(&letter, &public, None)?;
        for said in [&page.text, &page.html] {
            assert!(said.contains("https://id.quipu.example/reset#qm_"), "{said}");
            assert!(!said.contains("thief"), "{said}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_the_old_password_cannot_outlive_its_change() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let (mut old, mut new) = (PASSWORD, ANOTHER);
    for _ in 0..12 {
        let session = SignedIn::of(&acme.log_in(&ann.email, old).await?)?;
        let change = json!({ "current": old, "new": new });
        let changed = acme.post(&session.access, "/v1/auth/password/change", &change);
        let (changed, came) = join(changed, join_all((0..3).map(|_| acme.log_in(&ann.email, old)))).await;
        assert_eq!(changed?.status, StatusCode::NO_CONTENT);
        for came in came {
            let Ok(tokens) = SignedIn::of(&came?) else { continue };
            assert_eq!(acme.refresh(&tokens.refresh).await?.code(), "identity.refresh-invalid");
            tests::until(Duration::from_secs(1), async || Ok(!acme.is_taken(&tokens.access).await?)).await?;
        }
        // What was tried with the old one after the change must not lock the next round out.
        SignedIn::of(&acme.log_in(&ann.email, new).await?)?;
        (old, new) = (new, old);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hydra_3604_the_losers_of_a_refresh_get_one_defined_answer() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let tokens = acme.sign_in(&acme.join("ann").await?).await?;
    let answers = try_join_all((0..24).map(|_| acme.refresh(&tokens.refresh))).await?;
    let said = |it: &tests::stack::Answer| (it.status, it.json["code"].clone(), it.json["title"].clone());
    let losers: BTreeSet<String> =
        answers.iter().filter(|it| it.status != StatusCode::OK).map(|it| format!("{:?}", said(it))).collect();
    assert_eq!(losers.len(), 1, "{losers:?}");
    assert_eq!(answers.iter().filter(|it| it.code() == "identity.refresh-reused").count(), 23);
    Ok(())
}

#[tokio::test]
async fn engram_341_a_revoked_token_is_not_saved_by_the_grace() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    acme.ask(|policy| policy.sessions.grace_s = 10).await?;
    let ann = acme.join("ann").await?;
    let lost = acme.sign_in(&ann).await?;
    acme.refresh(&lost.refresh).await?;
    SignedIn::of(&acme.refresh(&lost.refresh).await?)?;
    let ended = acme.sign_in(&ann).await?;
    let next = SignedIn::of(&acme.refresh(&ended.refresh).await?)?;
    let out = acme.post("", "/v1/auth/logout", &json!({ "refresh_token": next.refresh })).await?;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert_eq!(acme.refresh(&ended.refresh).await?.code(), "identity.refresh-invalid");
    Ok(())
}

#[tokio::test]
async fn nobody_disarms_whoever_stands_above_them() -> Test {
    let stack = Stack::commands_only().await?;
    let members = Members::of(&stack, tenant(1))?;
    let (owner, other) = (members.join(&[RoleRef::OWNER]).await?, members.join(&[RoleRef::OWNER]).await?);
    let (admin, clerk) = (members.join(&[RoleRef::ADMIN]).await?, members.join(&[RoleRef::USER]).await?);
    let send = async |token: &str, method: reqwest::Method, path: String| {
        answer(stack.request(method, token, &format!("{}{path}", stack.command_url))).await
    };
    for (method, what) in [(reqwest::Method::POST, "deactivate"), (reqwest::Method::DELETE, "factors")] {
        let path = |user: &domain::ids::UserId| format!("/v1/users/{user}/{what}");
        let refused = send(&admin.token, method.clone(), path(&owner.user)).await?;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::FORBIDDEN, "organisation.outranked"),
            "{what}"
        );
        let done = send(&admin.token, method.clone(), path(&clerk.user)).await?;
        assert!([200, 409].contains(&done.status.as_u16()), "{what}: {}", done.text);
    }
    let done =
        send(&owner.token, reqwest::Method::POST, format!("/v1/users/{}/deactivate", other.user)).await?;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    Ok(())
}
