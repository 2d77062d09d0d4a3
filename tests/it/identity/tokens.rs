//! Tokens that are believed, and those that are not: the same everywhere, and the same to programs of others.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use domain::organisation::RoleRef;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::config::{TokenConfig, TokenMode};
use service_kit::token::{Claims, PublicKeys, Role, Signer, Verifier};
use tests::books::Books;
use tests::database::{Database, tenant};
use tests::forge::Forger;
use tests::oidc::browser;
use tests::person::Organisation;
use tests::relying::{Relying, Tokens, shop};
use tests::stack::{PUBLIC_URL, Stack, answer};
use tests::tools;

type Test = anyhow::Result<()>;

const ACCOUNTS: &str = "/v1/ledger/accounts";
const STREAM: &str = "/v1/events/stream";

fn cash() -> Value {
    json!({ "name": "Cash", "currency": "EUR", "normal_side": "debit" })
}

/// What commands, queries and live streams say to a bearer.
async fn told(stack: &Stack, token: &str) -> anyhow::Result<Vec<(StatusCode, String)>> {
    let command = stack.command(token, ACCOUNTS).header("Idempotency-Key", uuid::Uuid::now_v7().to_string());
    let mut told = Vec::new();
    for request in [command.json(&cash()), stack.query(token, ACCOUNTS), stack.query(token, STREAM)] {
        let answer = answer(request).await?;
        told.push((answer.status, answer.code().to_owned()));
    }
    Ok(told)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_forged_tokens_are_refused_everywhere() -> Test {
    let stack = Stack::whole().await?;
    let forger = Forger::new(&stack, &stack.claims(tenant(1), Role::Owner))?;
    let genuine = forger.true_one();
    let opened =
        answer(stack.command(&genuine, ACCOUNTS).header("Idempotency-Key", "1").json(&cash())).await?;
    assert_eq!(opened.status, StatusCode::CREATED, "{}", opened.text);
    assert_eq!(stack.get(&genuine, ACCOUNTS).await?.status, StatusCode::OK);

    let forged = forger.all()?;
    let distinct: BTreeSet<&str> = forged.iter().map(|(_, token)| token.as_str()).collect();
    assert!(
        distinct.len() >= 200 && !distinct.contains(genuine.as_str()),
        "{} of {}",
        distinct.len(),
        forged.len()
    );
    let mut believed = Vec::new();
    for (what, token) in &forged {
        for (place, (status, code)) in
            ["command", "query", "stream"].into_iter().zip(told(&stack, token).await?)
        {
            let of_tokens = ["auth.token-invalid", "auth.token-expired"].contains(&code.as_str());
            if status != StatusCode::UNAUTHORIZED || !of_tokens {
                believed.push(format!("{place}: {what}: {status} {code}"));
            }
        }
    }
    assert_eq!(believed, Vec::<String>::new(), "{} forgeries", forged.len());
    // Nothing that they asked for was recorded, and nobody who asks is remembered as somebody.
    let mut conn = stack.database.superuser().await?;
    let accounts: i64 =
        sqlx::query_scalar("select count(*) from store.events where type = 'ledger.account-opened'")
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(accounts, 1);
    assert_eq!(stack.get(&genuine, ACCOUNTS).await?.status, StatusCode::OK, "what is genuine still is");
    Ok(())
}

fn secret_file(folder: &Path, secret: &str) -> anyhow::Result<TokenConfig> {
    let path = folder.join("token.secret");
    std::fs::write(&path, secret)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(TokenConfig { mode: TokenMode::Hs256, secret_file: Some(path), ..TokenConfig::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_shared_secret_everything_works_and_no_key_is_believed() -> Test {
    let folder = tempfile::tempdir()?;
    let tokens = secret_file(folder.path(), "0123456789abcdef0123456789abcdef")?;
    let stack = Stack::commands_with(Database::fresh().await?, tokens.clone()).await?.with_readers().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    assert_eq!(stack.get(&books.token, ACCOUNTS).await?.status, StatusCode::OK);

    let jwks =
        answer(stack.request(Method::GET, "", &format!("{}/.well-known/jwks.json", stack.command_url)))
            .await?;
    let published = jwks.json["keys"].as_array().context("keys")?;
    assert!(!published.is_empty() && published.iter().all(|it| it["kty"] == "OKP"), "{}", jwks.text);
    assert!(!jwks.text.contains("\"k\"") && !jwks.text.contains("shared"), "a secret is not published");

    let claims = |role| stack.claims(tenant(1), role);
    let of_keys =
        Signer::load(&service_kit::config::KeyConfig::at(stack.keys.path()), &TokenConfig::default())?;
    let other = tempfile::tempdir()?;
    let of_another = secret_file(other.path(), "fedcba9876543210fedcba9876543210")?;
    let of_another = Signer::load(&service_kit::config::KeyConfig::at(stack.keys.path()), &of_another)?;
    for (what, signer) in [("the operator's key", of_keys), ("another secret", of_another)] {
        for (status, code) in told(&stack, &signer.mint(&claims(Role::Owner))?).await? {
            assert_eq!((status, code.as_str()), (StatusCode::UNAUTHORIZED, "auth.token-invalid"), "{what}");
        }
    }
    let forged = Forger::new(&stack, &claims(Role::Owner))?.all()?;
    for (what, token) in forged.iter().filter(|(what, _)| what.contains("HS") || what.contains("kid")) {
        assert_eq!(stack.get(token, ACCOUNTS).await?.status, StatusCode::UNAUTHORIZED, "{what}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_shared_secret_services_still_learn_who_signed_in_and_can_verify_it() -> Test {
    let folder = tempfile::tempdir()?;
    let tokens = secret_file(folder.path(), "0123456789abcdef0123456789abcdef")?;
    let stack = Stack::commands_with(Database::fresh().await?, tokens.clone()).await?.with_readers().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    acme.give(&ann, &[RoleRef::MANAGER]).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let signed_in = shop.sign_in(&ann, "openid ledger.read-accounts").await?;
    assert_eq!(stack.get(&signed_in.access, ACCOUNTS).await?.status, StatusCode::OK);
    assert_eq!(head(&signed_in.access)?["alg"], "HS256");
    let refreshed = Tokens::of(&shop.refresh(&signed_in.refresh).await?)?;

    // Whoever knows what is published alone verifies the ID token, and nothing else.
    let url = format!("{}/.well-known/jwks.json", stack.command_url);
    let keys: PublicKeys = serde_json::from_value(answer(stack.request(Method::GET, "", &url)).await?.json)?;
    let by_keys = TokenConfig::default().issued_at(Some(&PUBLIC_URL.parse()?));
    let outsider = Verifier::new(&keys, &by_keys)?;
    for tokens in [&signed_in, &refreshed] {
        assert_eq!(head(&tokens.id)?["alg"], "EdDSA");
        let told = outsider.verify_id_token(&tokens.id, PUBLIC_URL).context("an ID token")?;
        assert_eq!((told.aud, told.sub), (shop.client_id.clone(), ann.user.uuid()));
        assert!(outsider.verify(&tokens.access).is_err(), "for whoever has the secret alone");
        // And it opens nothing here, where keys are believed for ID tokens alone.
        assert_eq!(stack.get(&tokens.id, ACCOUNTS).await?.code(), "auth.token-invalid");
    }
    let openid = answer(stack.request(
        Method::GET,
        "",
        &format!("{}/.well-known/openid-configuration", stack.command_url),
    ));
    assert_eq!(openid.await?.json["id_token_signing_alg_values_supported"], json!(["EdDSA"]));
    // What it gets back from a service, it knows again.
    let leave = format!("{}/oauth2/logout?id_token_hint={}", stack.command_url, signed_in.id);
    let left = browser()?.get(leave).send().await?.status();
    assert!(left.is_redirection() || left.is_success(), "{left}");
    Ok(())
}

/// What the head of a token says.
fn head(token: &str) -> anyhow::Result<Value> {
    use base64::Engine as _;
    let head = token.split('.').next().context("a head")?;
    Ok(serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head)?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_of_others_believes_our_tokens_and_not_the_forged_ones() -> Test {
    let stack = Stack::commands_only().await?;
    let url = format!("{}/.well-known/jwks.json", stack.command_url);
    let jwks = answer(stack.request(Method::GET, "", &url)).await?;
    assert_eq!(jwks.header("cache-control"), "public, max-age=300");
    // Whoever finds the keys by that document believes the issuer that it names (RFC 8414, section 3.3).
    let url = format!("{}/.well-known/openid-configuration", stack.command_url);
    let found = answer(stack.request(Method::GET, "", &url)).await?;
    let issuer = found.json["issuer"].as_str().context("an issuer")?;
    let claims: Claims = stack.claims(tenant(1), Role::Owner);
    let genuine = stack.signer.mint(&claims)?;
    let (head, signature) = genuine.rsplit_once('.').expect("three parts");
    let cut = format!("{head}.{}", &signature[..signature.len() - 4]);
    let mut of_others = claims.clone();
    of_others.aud = "other-api".to_owned();
    let of_others = stack.signer.mint(&of_others)?;
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/token-verifier");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("token-verifier");
    let Some(python) = tools::python(&folder, &tool.join("requirements.txt")).await? else { return Ok(()) };
    let (python, program) = (python.to_str().context("a path")?, tool.join("verify.py"));
    let arguments = [program.to_str().context("a path")?, issuer, &jwks.text, &genuine, &cut, &of_others];
    let Some(said) = tools::run(python, &arguments)? else { return Ok(()) };
    let said: Value = serde_json::from_str(&said)?;
    assert_eq!(said[0]["claims"], serde_json::to_value(&claims)?, "{said}");
    assert_eq!(said[0]["header"]["alg"], "EdDSA");
    assert_eq!(said[0]["header"]["typ"], "at+jwt");
    for (number, what) in [(1, "a cut signature"), (2, "a token for others")] {
        assert!(said[number]["refused"].is_string(), "{what}: {said}");
    }
    Ok(())
}
