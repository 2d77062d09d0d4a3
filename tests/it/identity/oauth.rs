//! People sign in to services: what they are asked, the code, its tokens, and what ends them.

mod peers;

use std::time::Duration;

use anyhow::Context as _;
use domain::application::RevokeConsent;
use domain::identity::DeactivateUser;
use domain::ids::{ServiceId, SessionId};
use domain::organisation::{Granter, RemoveMember, TenantStatus};
use domain::words::Word;
use futures_util::future::try_join_all;
use reqwest::{StatusCode, Url};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use service_kit::bearer::{Bearer, Kind};
use service_kit::config::{KeyConfig, TokenConfig};
use service_kit::permissions::role_table;
use service_kit::token::{PublicKeys, Verifier};
use tests::members::Members;
use tests::oidc::browser;
use tests::person::{Organisation, Person, SignedIn};
use tests::relying::{BACK, DEVICE, Relying, Tokens, VERIFIER, form, parameter, shop};
use tests::stack::{Answer, PUBLIC_URL, Stack, answer};
use tests::tab::Tab;
use uuid::Uuid;

type Test = anyhow::Result<()>;

/// What somebody who may read accounts is told is not there, and others that they may not know.
const ACCOUNT: &str = "/v1/ledger/accounts/00000000-0000-0000-0000-000000000000";
/// The same of transfers.
const TRANSFER: &str = "/v1/ledger/transfers/00000000-0000-0000-0000-000000000000";

/// All that the shop may ask of a person.
const ALL: &str = "openid profile email ledger.read-accounts";

/// What an endpoint of OAuth says no with.
fn said_no(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.json["error"].as_str().unwrap_or_default())
}

const INVALID_GRANT: (u16, &str) = (400, "invalid_grant");

async fn set_up(stack: &Stack) -> anyhow::Result<(Organisation<'_>, Person)> {
    let acme = Organisation::found(stack, "acme").await?;
    let ann = acme.join("ann").await?;
    Ok((acme, ann))
}

#[tokio::test]
async fn somebody_signs_in_to_a_service_which_learns_what_they_allowed() -> Test {
    let stack = Stack::whole().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let url = shop.walk(&mut tab, &ann, &shop.authorize(ALL, &[])?).await?;
    assert!(url.as_str().starts_with(BACK));
    assert_eq!(
        (parameter(&url, "state").as_deref(), parameter(&url, "iss").as_deref()),
        (Some("a state"), Some(PUBLIC_URL))
    );
    let redeemed = shop.redeem(&parameter(&url, "code").context("a code")?).await?;
    assert_eq!(redeemed.header("cache-control"), "no-store");
    let tokens = Tokens::of(&redeemed)?;
    let id = Tokens::said(&tokens.id)?;
    let user = ann.user.to_string();
    for (name, value) in [
        ("iss", json!(PUBLIC_URL)),
        ("aud", json!(shop.client_id)),
        ("sub", json!(user)),
        ("nonce", json!("a nonce")),
        ("amr", json!(["pwd"])),
    ] {
        assert_eq!(id[name], value, "{name}");
    }
    assert!(id["auth_time"].is_i64() && id["email"].is_null() && id["exp"].as_i64() > id["iat"].as_i64());
    let told = stack.request(
        reqwest::Method::GET,
        &tokens.access,
        &format!("{}/oauth2/userinfo", stack.command_url),
    );
    let told = answer(told).await?;
    assert_eq!(
        told.json,
        json!({ "sub": user, "locale": "en", "email": ann.email, "email_verified": true }),
        "{}",
        told.text
    );

    // It acts for them within what they allowed and what they may, and has no hand in their account.
    assert_eq!(stack.get(&tokens.access, ACCOUNT).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(stack.get(&tokens.access, TRANSFER).await?.code(), "auth.permission-missing");
    assert_eq!(stack.get(&tokens.access, "/v1/auth/sessions").await?.code(), "auth.acts-for-another");
    let step_up = acme
        .post(&tokens.access, "/v1/auth/step-up", &json!({ "password": tests::person::PASSWORD }))
        .await?;
    assert_eq!(step_up.code(), "auth.acts-for-another", "{}", step_up.text);
    // An ID token opens nothing, and an access token of the product is none of a service.
    assert_eq!(stack.get(&tokens.id, ACCOUNT).await?.code(), "auth.token-invalid");
    let own = acme.sign_in(&ann).await?.access;
    let told = stack.request(reqwest::Method::GET, &own, &format!("{}/oauth2/userinfo", stack.command_url));
    assert_eq!(answer(told).await?.code(), "oauth.scope-missing");

    // Whoever allowed it once is not asked again; whoever asks for more, is.
    let again = tab.get(&shop.authorize("openid email", &[("prompt", Some("none"))])?).await?;
    let location = again.header("location");
    assert!(location.starts_with("/sign-in?request=qp_"), "{location}");
    let silent =
        shop.walk(&mut tab, &ann, &shop.authorize("openid email", &[("prompt", Some("none"))])?).await?;
    assert!(parameter(&silent, "code").is_some(), "{silent}");
    let more = shop
        .walk(&mut tab, &ann, &shop.authorize("openid reports:read", &[("prompt", Some("none"))])?)
        .await?;
    assert_eq!(parameter(&more, "error").as_deref(), Some("consent_required"));
    let mut nobody = Tab::at(&stack.command_url)?;
    let none = shop.walk(&mut nobody, &ann, &shop.authorize("openid", &[("prompt", Some("none"))])?).await?;
    assert_eq!(parameter(&none, "error").as_deref(), Some("login_required"));
    // What they allowed they can take back.
    acme.done(RevokeConsent { user_id: ann.user, service_id: ServiceId::new(shop.id.parse()?) }).await?;
    let asked = shop.walk(&mut tab, &ann, &shop.authorize("openid", &[("prompt", Some("none"))])?).await?;
    assert_eq!(parameter(&asked, "error").as_deref(), Some("consent_required"));
    Ok(())
}

#[tokio::test]
async fn a_session_of_a_service_goes_on_by_refresh_tokens_and_ends_when_one_comes_back() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let first = shop.sign_in(&ann, ALL).await?;
    let second = shop.refresh(&first.refresh).await?;
    assert_eq!(second.json["scope"], "email ledger.read-accounts openid profile");
    let second = Tokens::of(&second)?;
    let said = Tokens::said(&second.access)?;
    assert_eq!(
        (&said["email"], &said["roles"]),
        (&json!(ann.email), &Value::Null),
        "it was allowed the address alone"
    );
    // Less can be asked for, and more cannot; asking for more uses no token up.
    let wider = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*second.refresh),
        ("scope", "openid reports:read"),
    ];
    assert_eq!(said_no(&shop.token(&wider).await?), (400, "invalid_scope"));
    let narrow = [("grant_type", "refresh_token"), ("refresh_token", &*second.refresh), ("scope", "openid")];
    let third = shop.token(&narrow).await?;
    assert_eq!(third.json["scope"], "openid");
    let third = Tokens::of(&third)?;
    let said = Tokens::said(&third.access)?;
    assert_eq!(
        (&said["scope"], &said["email"], &said["roles"]),
        (&json!("openid"), &Value::Null, &Value::Null)
    );
    // The product itself takes none of them.
    assert_eq!(acme.refresh(&third.refresh).await?.code(), "identity.refresh-invalid");
    // One that was used comes back: the whole session is over.
    assert_eq!(said_no(&shop.refresh(&first.refresh).await?), INVALID_GRANT);
    assert_eq!(said_no(&shop.refresh(&third.refresh).await?), INVALID_GRANT);
    let facts = shop.ask("introspect", &[("token", &third.access)]).await?;
    assert_eq!(facts.json, json!({ "active": false }));
    Ok(())
}

#[tokio::test]
async fn redirect_uris_match_to_the_letter() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
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
    for (other, is_of_acme) in [(&theirs, false), (&till, true)] {
        let code = mine.code(&ann, ALL).await?;
        assert_eq!(said_no(&other.redeem(&code).await?), INVALID_GRANT);
        let tokens = mine.sign_in(&ann, ALL).await?;
        assert_eq!(said_no(&other.refresh(&tokens.refresh).await?), INVALID_GRANT);
        let facts = other.ask("introspect", &[("token", &tokens.refresh)]).await?;
        assert_eq!(facts.json, json!({ "active": false }));
        // Nobody gives back what is another's; what is of another organisation is not even known.
        let refused = other.ask("revoke", &[("token", &tokens.access)]).await?;
        let expected = if is_of_acme { INVALID_GRANT } else { (200, "") };
        assert_eq!(said_no(&refused), expected, "{}", refused.text);
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

/// Every secret that is given out, at every place where one is taken.
#[tokio::test]
async fn cve_2026_4282_a_secret_of_one_kind_opens_no_other() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let lent = shop.sign_in(&ann, ALL).await?;
    let own = acme.sign_in(&ann).await?;
    let device = shop.ask("device_authorization", &[("scope", "openid")]).await?;
    let device = device.json["device_code"].as_str().context("a code")?.to_owned();
    let request = Tab::at(&stack.command_url)?.get(&shop.authorize("openid", &[])?).await?;
    let request = request.header("location").split_once("request=").context("a request")?.1.to_owned();
    let code = shop.code(&ann, "openid").await?;
    let secret = shop.secret.clone().context("a secret")?;
    let all =
        [&lent.access, &lent.refresh, &lent.id, &own.access, &own.refresh, &device, &request, &code, &secret];
    // The same row and the same secret, under the name of every other kind.
    let renamed = |text: &str| {
        let rest = text.split_once('_').map(|it| it.1.to_owned());
        Kind::ALL.iter().filter_map(move |kind| rest.clone().map(|rest| format!("{}_{rest}", kind.prefix())))
    };
    let shown: Vec<String> = all.iter().flat_map(|it| renamed(it).chain([(*it).clone()])).collect();
    for text in &shown {
        if text != &code {
            assert_eq!(said_no(&shop.redeem(text).await?), INVALID_GRANT, "{text}");
        }
        if text != &lent.refresh {
            assert_eq!(said_no(&shop.refresh(text).await?), INVALID_GRANT, "{text}");
        }
        if text != &own.refresh {
            assert_eq!(acme.refresh(text).await?.status, StatusCode::UNAUTHORIZED, "{text}");
        }
        if text != &device {
            let polled = shop.token(&[("grant_type", DEVICE), ("device_code", text)]).await?;
            assert_eq!(said_no(&polled), INVALID_GRANT, "{text}");
        }
        if text != &secret {
            let fields = [
                ("grant_type", "client_credentials"),
                ("client_id", &*shop.client_id),
                ("client_secret", &**text),
            ];
            let url = format!("{}/oauth2/token", stack.command_url);
            let refused = answer(form(browser()?.post(url), &fields)).await?;
            assert_eq!(said_no(&refused), (401, "invalid_client"), "{text}");
        }
        if ![&lent.access, &own.access].contains(&text) {
            let taken =
                stack.request(reqwest::Method::GET, text, &format!("{}/oauth2/userinfo", stack.command_url));
            assert_eq!(answer(taken).await?.status, StatusCode::UNAUTHORIZED, "{text}");
        }
        if text != &request {
            let page = Tab::at(&stack.command_url)?.get(&format!("/sign-in?request={text}")).await?;
            assert_eq!(page.status, StatusCode::NOT_FOUND, "{text}");
        }
    }
    // None of that has used anything up.
    assert_eq!(shop.redeem(&code).await?.status, StatusCode::OK);
    assert_eq!(shop.refresh(&lent.refresh).await?.status, StatusCode::OK);
    assert_eq!(acme.refresh(&own.refresh).await?.status, StatusCode::OK);
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

/// Whatever stands between what was allowed and the tokens: each way looks again.
#[tokio::test]
async fn cve_2026_9798_every_grant_looks_at_lock_user_and_organisation_again() -> Test {
    let stack = Stack::commands_only().await?;
    for (n, end) in ["deactivated", "removed", "signed-out-everywhere", "suspended", "service-suspended"]
        .iter()
        .enumerate()
    {
        let acme = Organisation::found(&stack, &format!("acme-{n}")).await?;
        let ann = acme.join("ann").await?;
        let shop = Relying::register(&acme, &shop()).await?;
        let lent = shop.sign_in(&ann, ALL).await?;
        let own = acme.sign_in(&ann).await?;
        let code = shop.code(&ann, ALL).await?;
        let device = super::device::approved(&shop, &ann).await?;
        let because = Word::of("a-test");
        match *end {
            "deactivated" => acme.done(DeactivateUser { user_id: ann.user, because }).await?,
            "removed" => {
                let table = role_table(acme.tenant).clone();
                acme.done(RemoveMember { user_id: ann.user, because, by: Granter::Platform, table }).await?;
            }
            "signed-out-everywhere" => {
                let all = domain::identity::EndSessions {
                    user_id: ann.user,
                    except: None,
                    because,
                    by: ann.user.actor(),
                };
                acme.done(all).await?;
            }
            "suspended" => {
                Members::of(&stack, acme.tenant)?.stand(TenantStatus::Suspended).await?;
            }
            _ => assert_eq!(shop.command("/suspend", &json!({})).await?.status, StatusCode::OK),
        }
        let of_client = ["suspended", "service-suspended"].contains(end);
        let expected = if of_client { (401, "invalid_client") } else { INVALID_GRANT };
        assert_eq!(said_no(&shop.redeem(&code).await?), expected, "{end}: code");
        assert_eq!(said_no(&shop.refresh(&lent.refresh).await?), expected, "{end}: refresh");
        let polled = shop.token(&[("grant_type", DEVICE), ("device_code", &device)]).await?;
        assert_eq!(said_no(&polled), expected, "{end}: device");
        let product = acme.refresh(&own.refresh).await?.status;
        let goes_on = *end == "service-suspended";
        assert_eq!(product == StatusCode::OK, goes_on, "{end}: what the product itself gave");
        let url = format!("{}/oauth2/userinfo", stack.command_url);
        tests::until(Duration::from_secs(1), async || {
            let told = answer(stack.request(reqwest::Method::GET, &lent.access, &url)).await?;
            Ok(told.status != StatusCode::OK)
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_token_can_be_asked_about_and_given_back() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let tokens = shop.sign_in(&ann, ALL).await?;
    let facts = shop.ask("introspect", &[("token", &tokens.access)]).await?;
    let user = json!(ann.user.to_string());
    let known = [&facts.json["active"], &facts.json["sub"], &facts.json["client_id"], &facts.json["scope"]];
    assert_eq!(
        known,
        [&json!(true), &user, &json!(shop.client_id), &json!("email ledger.read-accounts openid profile")]
    );
    assert_eq!(
        shop.ask("introspect", &[("token", &tokens.refresh)]).await?.json["token_type"],
        "refresh_token"
    );
    let nothing = json!({ "active": false });
    for token in ["nothing", "qr_x", &tokens.id, &tokens.access[1..]] {
        assert_eq!(shop.ask("introspect", &[("token", token)]).await?.json, nothing);
        let back = shop.ask("revoke", &[("token", token)]).await?;
        assert_eq!(back.status, StatusCode::OK, "what is not known is as good as given back");
    }
    let other = Organisation::found(&stack, "other").await?;
    let bob = other.join("bob").await?;
    let theirs = other.sign_in(&bob).await?;
    assert_eq!(shop.ask("introspect", &[("token", &theirs.access)]).await?.json, nothing);
    // Of the own organisation it may ask about every access token.
    let own: SignedIn = acme.sign_in(&ann).await?;
    assert_eq!(shop.ask("introspect", &[("token", &own.access)]).await?.json["active"], true);
    assert_eq!(said_no(&shop.ask("revoke", &[("token", &own.access)]).await?), INVALID_GRANT);
    for (n, back) in [&tokens.refresh, &shop.sign_in(&ann, ALL).await?.access].into_iter().enumerate() {
        assert_eq!(shop.ask("revoke", &[("token", back)]).await?.status, StatusCode::OK);
        assert_eq!(shop.ask("introspect", &[("token", back)]).await?.json, nothing, "{n}");
    }
    assert_eq!(
        shop.ask("introspect", &[("token", &tokens.access)]).await?.json,
        nothing,
        "all of the session"
    );
    let itself = Tokens::of(&shop.token(&[("grant_type", "client_credentials")]).await?)?;
    let ends_by_itself = shop.ask("revoke", &[("token", &itself.access)]).await?;
    assert_eq!(said_no(&ends_by_itself), (400, "unsupported_token_type"));
    // A service that can keep no secret has shown nothing, and asks about nothing.
    let phone = json!({ "name": "Phone", "confidential": false, "redirect_uris": ["com.example.app:/back"],
                        "grants": ["authorization-code"], "scopes": ["openid"] });
    let phone = Relying::register(&acme, &phone).await?;
    assert_eq!(said_no(&phone.ask("introspect", &[("token", &own.access)]).await?), (401, "invalid_client"));
    Ok(())
}

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
    let verifier = Verifier::new(&keys, &TokenConfig::default())?;
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
        let refused = tab.get(&leave(pairs)?).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "oauth.request-invalid"), "{pairs:?}");
    }
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
