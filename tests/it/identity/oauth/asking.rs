//! What a service asks: how it finds out where, whom it means, what the person is asked, and how they are signed out.

use anyhow::Context as _;
use domain::ids::SessionId;
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};
use service_kit::config::KeyConfig;
use service_kit::token::{PublicKeys, Verifier};
use tests::oidc::browser;
use tests::relying::{BACK, Relying, Tokens, parameter, shop};
use tests::stack::{PUBLIC_URL, Stack, answer};
use tests::tab::{PAGES, Tab};

use super::{Test, set_up};

#[tokio::test]
async fn what_is_asked_is_used_up_once_and_prompts_are_heard() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let first = shop.walk(&mut tab, &ann, &shop.authorize("openid", &[])?).await?;
    assert!(parameter(&first, "code").is_some());
    // Signed in or not, whoever is asked to sign in again is.
    let asked = tab.get(&shop.authorize("openid", &[("max_age", Some("100000"))])?).await?;
    let page = tab.get(asked.header("location")).await?;
    assert!(!page.text.contains("name=\"password\""), "{}", page.text);
    for change in [("prompt", Some("login")), ("prompt", Some("select_account")), ("max_age", Some("0"))] {
        let asked = tab.get(&shop.authorize("openid", &[change])?).await?;
        let page = tab.get(asked.header("location")).await?;
        assert!(page.text.contains("name=\"password\""), "{change:?}");
        let url = shop.walk(&mut tab, &ann, &shop.authorize("openid", &[change])?).await?;
        assert!(parameter(&url, "code").is_some(), "{url}");
    }
    // Once used, a request is nothing any more; and so for whoever said no.
    let request = tab.get(&shop.authorize("openid reports:read", &[])?).await?;
    let request = request.header("location").split_once("request=").context("a request")?.1.to_owned();
    tab.get(&format!("/consent?request={request}")).await?;
    let denied = tab.send("/consent", &[("request", &request), ("answer", "deny")]).await?;
    assert!(denied.text.contains("error=access_denied"), "{}", denied.text);
    let again = tab.send("/consent", &[("request", &request), ("answer", "allow")]).await?;
    assert_eq!(again.status, StatusCode::NOT_FOUND, "{}", again.text);
    Ok(())
}

#[tokio::test]
async fn the_documents_say_where_and_how_and_id_tokens_are_signed_with_the_published_key() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let at = async |path: &str| answer(browser()?.get(format!("{}{path}", stack.command_url))).await;
    let (openid, oauth) = (
        at("/.well-known/openid-configuration").await?,
        at("/.well-known/oauth-authorization-server").await?,
    );
    assert_eq!((openid.status, &openid.json), (StatusCode::OK, &oauth.json));
    assert_eq!(openid.json["issuer"], PUBLIC_URL);
    for endpoint in [
        "authorization",
        "token",
        "userinfo",
        "introspection",
        "revocation",
        "device_authorization",
        "end_session",
    ] {
        let url = openid.json[format!("{endpoint}_endpoint")].as_str().context("an address")?.to_owned();
        let path = url.strip_prefix(PUBLIC_URL).context("ours")?;
        let status = at(path).await?.status;
        assert_ne!(status, StatusCode::NOT_FOUND, "{path}");
    }
    let key_set = at("/.well-known/jwks.json").await?;
    let tokens = shop.sign_in(&ann, "openid").await?;
    use base64::Engine as _;
    let head = tokens.id.split('.').next().context("a head")?;
    let head: Value =
        serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head)?)?;
    assert_eq!((&head["alg"], &head["typ"]), (&json!("EdDSA"), &json!("JWT")));
    assert!(key_set.json["keys"].as_array().context("keys")?.iter().any(|it| it["kid"] == head["kid"]));
    let keys = PublicKeys::load(&KeyConfig::at(stack.keys.path()))?;
    let verifier = Verifier::new(&keys, &stack.tokens)?;
    let hint = verifier.verify_id_token(&tokens.id, PUBLIC_URL).context("a hint")?;
    assert_eq!((hint.aud, hint.sub), (shop.client_id.clone(), ann.user.uuid()));
    assert!(verifier.verify_id_token(&tokens.access, PUBLIC_URL).is_none());
    assert!(verifier.verify_id_token(&tokens.id, "https://other.example").is_none());
    Ok(())
}

#[tokio::test]
async fn signing_out_from_a_service_leads_to_its_own_addresses_alone() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let url = shop.walk(&mut tab, &ann, &shop.authorize("openid", &[])?).await?;
    let tokens = Tokens::of(&shop.redeem(&parameter(&url, "code").context("a code")?).await?)?;
    let leave = |pairs: &[(&str, &str)]| {
        let query = Url::parse_with_params("x:", pairs).map(|it| it.query().unwrap_or_default().to_owned());
        query.map(|it| format!("/oauth2/logout?{it}"))
    };
    for pairs in [
        &[("id_token_hint", &*tokens.id), ("post_logout_redirect_uri", "https://evil.example")][..],
        &[("post_logout_redirect_uri", BACK)],
        &[("id_token_hint", &tokens.access)],
        &[("id_token_hint", &tokens.id), ("client_id", "qa_x")],
        &[("client_id", "qa_x")],
    ] {
        tab.takes = "application/json";
        let refused = tab.get(&leave(pairs)?).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "oauth.request-invalid"), "{pairs:?}");
    }
    tab.takes = PAGES;
    let good = leave(&[("id_token_hint", &tokens.id), ("post_logout_redirect_uri", BACK), ("state", "a&b")])?;
    let asked = tab.get(&good).await?;
    assert!(asked.header("location").starts_with("/sign-out?"), "{}", asked.text);
    let page = tab.get(asked.header("location")).await?;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("Shop"));
    let session = Tokens::said(&tokens.id)?["sid"].as_str().context("a session")?.parse::<SessionId>();
    assert!(session.is_ok());
    Ok(())
}

/// OpenID Connect Core sections 3.1.2.1 and 3.1.2.2: a service that shows an ID token of somebody is given them or nobody.
#[tokio::test]
async fn whoever_a_service_means_signs_in_and_nobody_in_their_place() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let bob = acme.join("bob").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut till = tests::relying::shop();
    till["name"] = json!("Till");
    let till = Relying::register(&acme, &till).await?;
    let (of_ann, of_bob) = (shop.sign_in(&ann, "openid").await?.id, shop.sign_in(&bob, "openid").await?.id);
    let mut tab = Tab::at(&stack.command_url)?;
    let begin =
        |hint: &str, prompt| shop.authorize("openid", &[("id_token_hint", Some(hint)), ("prompt", prompt)]);
    let said = |url: &Url| (parameter(url, "code").is_some(), parameter(url, "error").unwrap_or_default());
    // Nobody is there: whoever is meant signs in, and from then on need not.
    let url = shop.walk(&mut tab, &ann, &begin(&of_ann, None)?).await?;
    assert_eq!(said(&url), (true, String::new()), "{url}");
    let url = shop.walk(&mut tab, &ann, &begin(&of_ann, Some("none"))?).await?;
    assert_eq!(said(&url), (true, String::new()), "{url}");
    // Ann is there and Bob is meant: without a word it is no, and otherwise it is asked for him.
    let url = shop.walk(&mut tab, &bob, &begin(&of_bob, Some("none"))?).await?;
    assert_eq!(said(&url), (false, "login_required".to_owned()), "{url}");
    let asked = tab.get(&begin(&of_bob, None)?).await?;
    let request = asked.header("location").split_once("request=").context("a request")?.1.to_owned();
    let page = tab.get(asked.header("location")).await?;
    assert!(page.text.contains("name=\"password\""), "{}", page.text);
    let around = tab.send("/consent", &[("request", &request), ("answer", "allow")]).await?;
    assert_eq!(around.status, StatusCode::NOT_FOUND, "{}", around.text);
    // Ann signs in once more instead of him: the service is told that he did not.
    let url = shop.walk(&mut tab, &ann, &begin(&of_bob, None)?).await?;
    assert_eq!(said(&url), (false, "login_required".to_owned()), "{url}");
    let url = shop.walk(&mut tab, &bob, &begin(&of_bob, None)?).await?;
    assert_eq!(said(&url), (true, String::new()), "{url}");
    // A token of another service, an access token and no token at all are no hints.
    let of_till = till.sign_in(&ann, "openid").await?;
    for hint in [&*of_till.id, &of_till.access, "x.y.z", &of_ann[1..]] {
        let refused = tab.get(&begin(hint, None)?).await?;
        let url: Url = refused.header("location").parse()?;
        assert_eq!(said(&url), (false, "invalid_request".to_owned()), "{hint}");
    }
    Ok(())
}

#[tokio::test]
async fn a_service_that_wants_somebody_else_signed_out_signs_nobody_out() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let bob = acme.join("bob").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let of_bob = shop.sign_in(&bob, "openid").await?.id;
    let mut tab = Tab::at(&stack.command_url)?;
    let url = shop.walk(&mut tab, &ann, &shop.authorize("openid", &[])?).await?;
    let of_ann = Tokens::of(&shop.redeem(&parameter(&url, "code").context("a code")?).await?)?.id;
    let leave = |hint: &str| {
        let pairs = [("id_token_hint", hint), ("post_logout_redirect_uri", BACK)];
        Url::parse_with_params("x:", pairs).map(|it| it.query().unwrap_or_default().to_owned())
    };
    let still = |tab: &Tab| tab.cookie("__Host-quipu").is_some();
    let asked = leave(&of_bob)?;
    let page = tab.get(&format!("/sign-out?{asked}")).await?;
    assert!(tests::relying::left(&page)?.is_some_and(|it| it.as_str() == BACK), "{}", page.text);
    // Nor by the form of a page that asked for the one who is there.
    tab.get(&format!("/sign-out?{}", leave(&of_ann)?)).await?;
    let page = tab.send("/sign-out", &[("asked", &asked)]).await?;
    assert!(tests::relying::left(&page)?.is_some_and(|it| it.as_str() == BACK), "{}", page.text);
    assert!(still(&tab));
    let silent = shop.walk(&mut tab, &ann, &shop.authorize("openid", &[("prompt", Some("none"))])?).await?;
    assert!(parameter(&silent, "code").is_some(), "Ann is signed in: {silent}");
    // Whoever is meant and there is signed out.
    tab.get(&format!("/sign-out?{}", leave(&of_ann)?)).await?;
    tab.send("/sign-out", &[("asked", &leave(&of_ann)?)]).await?;
    assert!(!still(&tab));
    Ok(())
}
