//! What binds the steps of a sign-in together: state, browser, code, and the addresses that people are sent to.

use std::collections::BTreeMap;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use reqwest::{StatusCode, Url};
use tests::person::SignedIn;
use tests::stack::{Answer, Stack, answer};
use uuid::Uuid;

use super::{CHALLENGE, RETURN, Test, VERIFIER, github, parameter};

#[tokio::test]
async fn a_callback_without_state_or_from_another_browser_is_refused() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    github.has(1, "cat", "cat@corp.example", true);
    let (begun, other) = (shop.begin().await?, shop.begin().await?);
    let state = begun.state()?;
    let good = format!("code=cat&state={state}");
    let invalid = async |answer: Answer| {
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::UNAUTHORIZED, "federation.state-invalid"),
            "{}",
            answer.text
        );
    };
    invalid(shop.back("code=cat", &begun.cookie).await?).await;
    invalid(shop.back("code=cat&state=", &begun.cookie).await?).await;
    invalid(shop.back(&format!("{good}&state={state}"), &begun.cookie).await?).await;
    invalid(shop.back(&good[..good.len() - 1], &begun.cookie).await?).await;
    invalid(shop.back(&good, "").await?).await;
    invalid(shop.back(&good, &other.cookie).await?).await;
    invalid(
        shop.back_at(Uuid::now_v7(), &format!("code=cat&state={}", other.state()?), &other.cookie).await?,
    )
    .await;
    // None of this took it away from the browser in which it was begun.
    let back = shop.back(&good, &begun.cookie).await?;
    assert!(
        back.header("location").starts_with(&format!("{RETURN}?code=qh_")),
        "{}",
        back.header("location")
    );
    Ok(())
}

/// Twenty times the same callback, then twenty times the same code.
#[tokio::test]
async fn cve_2025_46815_a_state_and_a_handover_code_work_once() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    github.has(1, "cat", "cat@corp.example", true);
    let begun = shop.begin().await?;
    let query = format!("code=cat&state={}", begun.state()?);
    let answers = try_join_all((0..20).map(|_| shop.back(&query, &begun.cookie))).await?;
    let codes: Vec<String> = answers
        .iter()
        .filter_map(|it| it.header("location").parse::<Url>().ok())
        .filter_map(|url| parameter(&url, "code"))
        .collect();
    assert_eq!(codes.len(), 1);
    assert_eq!(answers.iter().filter(|it| it.code() == "federation.state-invalid").count(), 19);

    let answers = try_join_all((0..20).map(|_| shop.hand_over(&codes[0], VERIFIER))).await?;
    let mut counts = BTreeMap::new();
    for it in &answers {
        *counts.entry((it.status.as_u16(), it.code())).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([((200, ""), 1), ((401, "federation.handover-invalid"), 19)]));

    // In wrong hands the code is lost to the right ones too.
    let code = parameter(&shop.come("cat").await?, "code").context("a code")?;
    let stolen = shop.hand_over(&code, &VERIFIER.replace('d', "e")).await?;
    assert_eq!(stolen.code(), "federation.handover-invalid");
    assert_eq!(shop.hand_over(&code, VERIFIER).await?.code(), "federation.handover-invalid");
    assert_eq!(shop.hand_over("qh_x", VERIFIER).await?.code(), "federation.handover-invalid");
    Ok(())
}

#[tokio::test]
async fn no_token_and_no_secret_is_ever_in_an_address() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    github.has(1, "cat", "cat@corp.example", true);
    let begun = shop.begin().await?;
    let there = begun.url.to_string();
    let url = shop.come("cat").await?;
    let code = parameter(&url, "code").context("a code")?;
    assert_eq!(url.query_pairs().count(), 1);
    let signed_in = SignedIn::of(&shop.hand_over(&code, VERIFIER).await?)?;
    for address in [there.as_str(), url.as_str()] {
        for secret in [signed_in.access.as_str(), &signed_in.refresh, VERIFIER, "ours", &begun.cookie] {
            assert!(!address.contains(secret), "{address}");
        }
    }
    // Whoever reads the code in a log cannot use it: neither again, nor without the verifier.
    assert_eq!(shop.hand_over(&code, VERIFIER).await?.code(), "federation.handover-invalid");
    Ok(())
}

#[tokio::test]
async fn people_are_sent_back_only_where_the_organisation_says() -> Test {
    let stack = Stack::commands_only().await?;
    let (_github, shop) = github(&stack).await?;
    let begin = async |slug: &str, name: &str, back: &str, challenge: &str| {
        let address = format!("{}/v1/auth/{name}", stack.command_url);
        let query = [("tenant_slug", slug), ("redirect_uri", back), ("code_challenge", challenge)];
        answer(shop.browser.get(Url::parse_with_params(&address, query)?)).await
    };
    for (slug, name, back, challenge, status, code) in [
        (
            "acme",
            "corp",
            "https://app.example.com/signed-in/",
            CHALLENGE,
            400,
            "federation.return-uri-unknown",
        ),
        (
            "acme",
            "corp",
            "https://APP.example.com/signed-in",
            CHALLENGE,
            400,
            "federation.return-uri-unknown",
        ),
        (
            "acme",
            "corp",
            "https://app.example.com/signed-in?a",
            CHALLENGE,
            400,
            "federation.return-uri-unknown",
        ),
        ("acme", "corp", "https://evil.example/", CHALLENGE, 400, "federation.return-uri-unknown"),
        ("acme", "corp", RETURN, "plain", 400, "request.invalid-parameter"),
        ("acme", "other", RETURN, CHALLENGE, 404, "request.not-found"),
        ("nowhere", "corp", RETURN, CHALLENGE, 404, "request.not-found"),
    ] {
        let told = begin(slug, name, back, challenge).await?;
        assert_eq!((told.status.as_u16(), told.code()), (status, code), "{back} {}", told.text);
    }
    Ok(())
}
