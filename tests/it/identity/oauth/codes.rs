//! Codes: where they go, whose they are, and that each is good once.

use anyhow::Context as _;
use futures_util::future::try_join_all;
use reqwest::{StatusCode, Url};
use secrecy::ExposeSecret as _;
use serde_json::json;
use service_kit::bearer::{Bearer, Kind};
use tests::person::Organisation;
use tests::relying::{BACK, DEVICE, Relying, Tokens, VERIFIER, parameter, shop};
use tests::stack::{PUBLIC_URL, Stack};
use tests::tab::Tab;
use uuid::Uuid;

use super::{ALL, INVALID_GRANT, Test, said_no, set_up};

#[tokio::test]
async fn redirect_uris_match_to_the_letter() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    tab.takes = "application/json";
    for uri in [
        "https://shop.example/back/",
        "https://shop.example/back?x=1",
        "https://shop.example/back#x",
        "https://shop.example/Back",
        "https://SHOP.example/back",
        "https://shop.example:443/back",
        "https://shop.example/./back",
        "https://shop.example/back%2f",
        "https://shop.example",
        "http://shop.example/back",
        "https://shop.example.evil.example/back",
        "https://evil.example",
        "https://shop.example@evil.example/back",
        "https://shop.example/bac",
        " https://shop.example/back",
        "//shop.example/back",
    ] {
        let refused = tab.get(&shop.authorize("openid", &[("redirect_uri", Some(uri))])?).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "oauth.request-invalid"), "{uri}");
        assert!(refused.header("location").is_empty(), "nobody is sent anywhere: {uri}");
    }
    for change in [
        ("redirect_uri", None),
        ("client_id", None),
        ("client_id", Some("qa_x")),
        ("client_id", Some(&*shop.id)),
    ] {
        let refused = tab.get(&shop.authorize("openid", &[change])?).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "oauth.request-invalid"), "{change:?}");
    }
    let twice = format!("{}&redirect_uri=https%3A%2F%2Fshop.example%2Fback", shop.authorize("openid", &[])?);
    assert_eq!(tab.get(&twice).await?.status, StatusCode::BAD_REQUEST);
    // A code is good with the address alone to which it went, and lost with another one.
    let code = shop.code(&ann, "openid").await?;
    let with = |uri| {
        [
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", uri),
            ("code_verifier", VERIFIER),
        ]
    };
    assert_eq!(said_no(&shop.token(&with("https://shop.example/back/")).await?), INVALID_GRANT);
    assert_eq!(said_no(&shop.token(&with(BACK)).await?), INVALID_GRANT);
    Ok(())
}

#[tokio::test]
async fn pkce_plain_is_refused() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    shop.walk(&mut tab, &ann, &shop.authorize("openid", &[])?).await?;
    for change in [
        vec![("code_challenge_method", Some("plain")), ("code_challenge", Some(VERIFIER))],
        vec![("code_challenge_method", None)],
        vec![("code_challenge_method", None), ("code_challenge", None)],
        vec![("code_challenge", Some("short"))],
    ] {
        let refused = tab.get(&shop.authorize("openid", &change)?).await?;
        let url: Url = refused.header("location").parse()?;
        assert!(url.as_str().starts_with(BACK), "{url}");
        let said = ["error", "state", "iss", "code"].map(|it| parameter(&url, it));
        let expected = [Some("invalid_request"), Some("a state"), Some(PUBLIC_URL), None];
        assert_eq!(said, expected.map(|it| it.map(ToOwned::to_owned)), "{url}");
    }
    // Whoever has the code and not the verifier has nothing, and the code is lost.
    for verifier in [Some("x".repeat(43)), Some(tests::relying::CHALLENGE.to_owned()), None] {
        let code = shop.code(&ann, "openid").await?;
        let mut fields = vec![("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", BACK)];
        fields.extend(verifier.as_deref().map(|it| ("code_verifier", it)));
        let refused = shop.token(&fields).await?;
        let expected = if verifier.is_some() { INVALID_GRANT } else { (400, "invalid_request") };
        assert_eq!(said_no(&refused), expected);
        let then = shop.redeem(&code).await?;
        assert_eq!(then.status == StatusCode::OK, verifier.is_none(), "{}", then.text);
    }
    Ok(())
}

#[tokio::test]
async fn a_replayed_code_ends_its_tokens() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let code = shop.code(&ann, ALL).await?;
    let tokens = Tokens::of(&shop.redeem(&code).await?)?;
    let active = async |token: &str| {
        anyhow::Ok(shop.ask("introspect", &[("token", token)]).await?.json["active"] == true)
    };
    assert!(active(&tokens.access).await? && active(&tokens.refresh).await?);
    assert_eq!(said_no(&shop.redeem(&code).await?), INVALID_GRANT);
    assert!(!active(&tokens.access).await? && !active(&tokens.refresh).await?);
    assert_eq!(said_no(&shop.refresh(&tokens.refresh).await?), INVALID_GRANT);
    Ok(())
}

/// Whoever comes first may get tokens; as two came, nobody keeps them.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_show_one_code_at_once_nobody_keeps_tokens() -> Test {
    let stack = Stack::commands_only().await?;
    let other = stack.another_command_api().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    for _ in 0..5 {
        let code = shop.code(&ann, ALL).await?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ];
        let urls = [format!("{}/oauth2/token", stack.command_url), format!("{other}/oauth2/token")];
        let answers = try_join_all((0..10).map(|n| shop.ask_at(&urls[n % 2], &fields))).await?;
        let good: Vec<_> = answers.iter().filter(|it| it.status == StatusCode::OK).collect();
        assert!(good.len() <= 1, "one at most");
        assert!(answers.iter().all(|it| it.status == StatusCode::OK || said_no(it) == INVALID_GRANT));
        for it in good {
            let facts = shop.ask("introspect", &[("token", &Tokens::of(it)?.access)]).await?;
            assert_eq!(facts.json["active"], false, "the others ended what it began");
        }
    }
    Ok(())
}

#[tokio::test]
async fn cve_2026_9094_a_client_redeems_only_in_its_organisation() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let evil = Organisation::found(&stack, "evil").await?;
    let (mine, theirs) = (Relying::register(&acme, &shop()).await?, Relying::register(&evil, &shop()).await?);
    let mut till = shop();
    till["name"] = json!("Till");
    let till = Relying::register(&acme, &till).await?;
    for other in [&theirs, &till] {
        let code = mine.code(&ann, ALL).await?;
        assert_eq!(said_no(&other.redeem(&code).await?), INVALID_GRANT);
        let tokens = mine.sign_in(&ann, ALL).await?;
        assert_eq!(said_no(&other.refresh(&tokens.refresh).await?), INVALID_GRANT);
        let facts = other.ask("introspect", &[("token", &tokens.refresh)]).await?;
        assert_eq!(facts.json, json!({ "active": false }));
        // Nobody gives back what is another's, nor learns by trying whose it is.
        let told = other.ask("revoke", &[("token", &tokens.access)]).await?;
        assert_eq!(said_no(&told), (200, ""), "{}", told.text);
        assert_eq!(mine.refresh(&tokens.refresh).await?.status, StatusCode::OK, "it is good all the same");
        let device = mine.ask("device_authorization", &[("scope", "openid")]).await?;
        let device = device.json["device_code"].as_str().context("a code")?;
        let polled = other.token(&[("grant_type", DEVICE), ("device_code", device)]).await?;
        assert_eq!(said_no(&polled), INVALID_GRANT);
        // And nobody of another organisation signs in to it: there they are asked to.
        let mut request = mine.authorize("openid", &[])?;
        request = request.replace(&mine.client_id, &other.client_id);
        let page = Tab::at(&stack.command_url)?.get(&request).await?;
        assert!(page.header("location").starts_with("/sign-in?request="));
    }
    // A secret of one is none of another.
    let mut mixed = mine;
    mixed.secret.clone_from(&till.secret);
    assert_eq!(
        said_no(&mixed.token(&[("grant_type", "client_credentials")]).await?),
        (401, "invalid_client")
    );
    Ok(())
}

#[tokio::test]
async fn ghsa_6mq3_a_cut_or_lengthened_token_is_none() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let (code, tokens) = (shop.code(&ann, "openid").await?, shop.sign_in(&ann, "openid").await?);
    for end in [1, 2, 3, 20, 60, code.len() - 1] {
        assert_eq!(said_no(&shop.redeem(&code[..end]).await?), INVALID_GRANT);
        assert_eq!(said_no(&shop.refresh(&tokens.refresh[..end]).await?), INVALID_GRANT);
    }
    for more in ["a", "=", " ", "_", "%"] {
        assert_ne!(shop.redeem(&format!("{code}{more}")).await?.status, StatusCode::OK);
        assert_ne!(shop.refresh(&format!("{}{more}", tokens.refresh)).await?.status, StatusCode::OK);
    }
    // One with the right row and a secret of somebody's own making.
    let it = Bearer::make(Kind::AuthorizationCode, acme.tenant, Uuid::now_v7())?;
    let guessed = code.rsplit_once('_').context("its secret")?.0;
    let made = it.text();
    let secret = made.expose_secret().rsplit_once('_').context("its secret")?.1;
    assert_eq!(said_no(&shop.redeem(&format!("{guessed}_{secret}")).await?), INVALID_GRANT);
    assert_eq!(shop.redeem(&code).await?.status, StatusCode::OK);
    assert_eq!(shop.refresh(&tokens.refresh).await?.status, StatusCode::OK);
    Ok(())
}
