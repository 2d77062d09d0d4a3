//! Clients of others, as they come: in browsers, on somebody's own machine, behind a proxy, and with the defaults of their
//! libraries.

use anyhow::Context as _;
use axum::http::HeaderValue;
use reqwest::header::{CONTENT_TYPE, ORIGIN};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;
use service_kit::config::HttpConfig;
use tests::person::PASSWORD;
use tests::relying::{BACK, Relying, Tokens, VERIFIER, form, parameter, shop};
use tests::stack::{Answer, PUBLIC_URL, Stack, answer, http_config};
use tests::tab::{Tab, hidden};

use super::{INVALID_GRANT, Test, said_no, set_up};

/// The origin of pages of the shop.
const SHOP: &str = "https://shop.example";
/// The origin of somebody else's.
const EVIL: &str = "https://evil.example";
/// Where a browser asks before it sends something.
const OPENED: [&str; 6] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/.well-known/jwks.json",
    "/oauth2/token",
    "/oauth2/revoke",
    "/oauth2/userinfo",
];

/// A shop that can keep no secret, as one in a browser.
fn public() -> serde_json::Value {
    let mut public = shop();
    public["confidential"] = json!(false);
    public["grants"] = json!(["authorization-code", "refresh-token"]);
    public
}

/// From a page of this origin; and who may read the answer.
async fn read(request: RequestBuilder, origin: &str) -> anyhow::Result<(Answer, String)> {
    let answer = answer(request.header(ORIGIN, origin)).await?;
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    let reads = answer.header("access-control-allow-origin").to_owned();
    Ok((answer, reads))
}

#[tokio::test]
async fn a_service_in_a_browser_reads_its_answers_and_no_other_page_does() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &public()).await?;
    let post = |path: &str, fields: &[(&str, &str)]| {
        let request = stack.request(Method::POST, "", &format!("{}{path}", stack.command_url));
        form(request, &[fields, &[("client_id", &shop.client_id)]].concat())
    };
    let refresh =
        |token: &str| post("/oauth2/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]);
    let code = shop.code(&ann, "openid email").await?;
    let fields = [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", BACK)];
    let (got, reads) =
        read(post("/oauth2/token", &[&fields[..], &[("code_verifier", VERIFIER)]].concat()), SHOP).await?;
    assert_eq!((got.status, &*reads, got.header("vary")), (StatusCode::OK, SHOP, "Origin"), "{}", got.text);
    let tokens = Tokens::of(&got)?;
    // Refusals too, so that the page can tell them.
    let (refused, reads) = read(refresh("qr_x"), SHOP).await?;
    assert_eq!((said_no(&refused), &*reads), (INVALID_GRANT, SHOP));
    for origin in [EVIL, "http://shop.example", "https://shop.example:8443", "null"] {
        let (refused, reads) = read(refresh("qr_x"), origin).await?;
        assert_eq!(
            (said_no(&refused), &*reads, refused.header("vary")),
            (INVALID_GRANT, "", "Origin"),
            "{origin}"
        );
    }
    let user_info =
        || stack.request(Method::GET, &tokens.access, &format!("{}/oauth2/userinfo", stack.command_url));
    let (told, reads) = read(user_info(), SHOP).await?;
    assert_eq!((told.json["email"].as_str(), &*reads), (Some(&*ann.email), SHOP));
    assert_eq!(read(user_info(), EVIL).await?.1, "");
    let (given_back, reads) = read(post("/oauth2/revoke", &[("token", &*tokens.refresh)]), SHOP).await?;
    assert_eq!((given_back.status, &*reads), (StatusCode::OK, SHOP));
    // What is public anybody may read; what else the interface says, nobody.
    for path in &OPENED[..3] {
        let request = stack.request(Method::GET, "", &format!("{}{path}", stack.command_url));
        assert_eq!(read(request, EVIL).await?.1, "*", "{path}");
    }
    let sign_in = json!({ "tenant_slug": "acme", "email": ann.email, "password": PASSWORD });
    let login = stack.request(Method::POST, "", &format!("{}/v1/auth/login", stack.command_url));
    let (signed_in, reads) = read(login.json(&sign_in), SHOP).await?;
    assert_eq!((signed_in.status, &*reads), (StatusCode::OK, ""));
    Ok(())
}

#[tokio::test]
async fn browsers_that_ask_first_may_send_whatever_else_an_operator_opens() -> Test {
    let stack = Stack::commands_only().await?;
    let opened = HttpConfig {
        cors_origins: vec![HeaderValue::from_static("https://console.example.org")],
        ..http_config()
    };
    let (other, _) = stack.command_api_with(opened).await?;
    for base in [&stack.command_url, &other] {
        for path in OPENED {
            let asked = stack.request(Method::OPTIONS, "", &format!("{base}{path}"));
            let asked = asked.header("Access-Control-Request-Method", "POST");
            let (may, reads) =
                read(asked.header("Access-Control-Request-Headers", "authorization"), SHOP).await?;
            assert_eq!((may.status, &*reads), (StatusCode::NO_CONTENT, SHOP), "{base}{path}");
            assert!(may.header("access-control-allow-headers").contains("authorization"), "{path}");
            assert!(may.header("access-control-allow-methods").contains("POST"), "{path}");
        }
        // Nothing else is opened by it.
        for path in ["/oauth2/introspect", "/oauth2/authorize", "/v1/auth/login"] {
            let asked = stack.request(Method::OPTIONS, "", &format!("{base}{path}"));
            let asked = asked.header("Access-Control-Request-Method", "POST");
            assert_eq!(read(asked, SHOP).await?.1, "", "{base}{path}");
        }
    }
    Ok(())
}

/// RFC 8252 section 7.3.
#[tokio::test]
async fn a_program_on_somebodys_machine_takes_the_port_that_is_free() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let mut program = public();
    program["redirect_uris"] = json!(["http://127.0.0.1:3939/cb"]);
    let program = Relying::register(&acme, &program).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    for other in
        ["http://localhost:3939/cb", "http://127.0.0.1:51234/other", "http://127.0.0.1:1@evil.example/cb"]
    {
        let refused = tab.get(&program.authorize("openid", &[("redirect_uri", Some(other))])?).await?;
        assert_eq!((refused.status, refused.header("location")), (StatusCode::BAD_REQUEST, ""), "{other}");
    }
    let free = "http://127.0.0.1:51234/cb";
    let begin = program.authorize("openid", &[("redirect_uri", Some(free))])?;
    // The code is bound to the address that was asked with, not to the one that is registered.
    for (uri, good) in [("http://127.0.0.1:3939/cb", false), (free, true)] {
        let url = program.walk(&mut tab, &ann, &begin).await?;
        assert!(url.as_str().starts_with(free), "{url}");
        let code = parameter(&url, "code").context("a code")?;
        let fields = [("code", &*code), ("redirect_uri", uri), ("code_verifier", VERIFIER)];
        let got = program.token(&[&fields[..], &[("grant_type", "authorization_code")]].concat()).await?;
        assert_eq!(got.status == StatusCode::OK, good, "{}", got.text);
    }
    Ok(())
}

/// What oidc-client-ts, NextAuth and AppAuth ask for if nobody says otherwise. OpenID Connect Core 1.0 section 11.
#[tokio::test]
async fn going_on_while_the_person_is_away_can_be_asked_for_by_whoever_it_means_something_to() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let goes_on = Relying::register(&acme, &public()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let url = goes_on.walk(&mut tab, &ann, &goes_on.authorize("openid offline_access", &[])?).await?;
    let got = goes_on.redeem(&parameter(&url, "code").context("a code")?).await?;
    assert_eq!(got.json["scope"], "offline_access openid", "{}", got.text);
    let again = goes_on.refresh(&Tokens::of(&got)?.refresh).await?;
    assert_eq!((again.status, &again.json["scope"]), (StatusCode::OK, &got.json["scope"]), "{}", again.text);
    // Where no service goes on it means nothing, and nobody is asked to allow it.
    let mut once = public();
    once["name"] = json!("Once");
    once["grants"] = json!(["authorization-code"]);
    let once = Relying::register(&acme, &once).await?;
    let asked = tab.get(&once.authorize("openid offline_access", &[])?).await?;
    let page = tab.follow(&asked).await?;
    let page = tab.follow(&page).await?;
    assert!(
        page.text.contains("know who you are") && !page.text.contains("while you are away"),
        "{}",
        page.text
    );
    let url = once.walk(&mut tab, &ann, &once.authorize("openid offline_access", &[])?).await?;
    let got = once.redeem(&parameter(&url, "code").context("a code")?).await?;
    assert_eq!(
        (&got.json["scope"], got.json["refresh_token"].as_str()),
        (&json!("openid"), None),
        "{}",
        got.text
    );
    // It can be registered as well, and nothing else is passed over.
    let mut named = public();
    named["name"] = json!("Named");
    named["scopes"] = json!(["openid", "offline_access"]);
    Relying::register(&acme, &named).await?;
    let refused = tab.get(&goes_on.authorize("openid nobody:knows", &[])?).await?;
    assert!(refused.header("location").contains("error=invalid_scope"), "{}", refused.header("location"));
    Ok(())
}

#[tokio::test]
async fn a_service_that_may_know_it_learns_the_organisation_and_the_roles_of_this_moment() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let mut body = shop();
    body["scopes"] = json!(["openid", "organization"]);
    let shop = Relying::register(&acme, &body).await?;
    let learns = async |token: &str| {
        let asked = stack.request(Method::GET, token, &format!("{}/oauth2/userinfo", stack.command_url));
        anyhow::Ok(answer(asked).await?.json)
    };
    let user = ann.user.to_string();
    let quiet = shop.sign_in(&ann, "openid").await?;
    assert_eq!(learns(&quiet.access).await?, json!({ "sub": user }));
    let tokens = shop.sign_in(&ann, "openid organization").await?;
    let told = learns(&tokens.access).await?;
    assert_eq!(
        (&told["tenant_id"], &told["org_slug"], &told["roles"]),
        (&json!(acme.tenant.to_string()), &json!("acme"), &json!(["manager"])),
        "{told}"
    );
    assert!(told["org_name"].as_str().is_some_and(|it| !it.is_empty()) && told["email"].is_null(), "{told}");
    // Not those of when the token was signed.
    let url = format!("{}/v1/members/{user}/roles", stack.command_url);
    let changed = stack.request(Method::PUT, &shop.owner, &url).json(&json!({ "roles": ["user"] }));
    let changed = answer(changed).await?;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    assert_eq!(learns(&tokens.access).await?["roles"], json!(["user"]));
    Ok(())
}

/// RFC 6749 section 5.2: a client reads `error` and nothing else.
#[tokio::test]
async fn what_is_no_form_is_refused_in_words_that_clients_of_oauth_know() -> Test {
    let stack = Stack::commands_only().await?;
    for path in ["/oauth2/token", "/oauth2/revoke", "/oauth2/introspect", "/oauth2/device_authorization"] {
        let url = format!("{}{path}", stack.command_url);
        let request = stack.request(Method::POST, "", &url).header(CONTENT_TYPE, "application/json");
        let refused = answer(request.body("{}")).await?;
        assert_eq!(said_no(&refused), (400, "invalid_request"), "{path} {}", refused.text);
        let told = refused.json["error_description"].as_str().unwrap_or_default();
        assert!(told.contains("application/x-www-form-urlencoded"), "{told}");
    }
    Ok(())
}

/// RP-Initiated Logout 1.0 section 2: by an address and by a form.
#[tokio::test]
async fn a_service_asks_by_a_form_that_somebody_is_signed_out() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    shop.walk(&mut tab, &ann, &shop.authorize("openid", &[])?).await?;
    let fields = [("client_id", &*shop.client_id), ("post_logout_redirect_uri", BACK), ("state", "a&b ü")];
    let asked = tab.forge("/oauth2/logout", &fields, Some(SHOP)).await?;
    assert!(asked.header("location").starts_with("/sign-out?"), "{} {}", asked.status, asked.text);
    let page = tab.follow(&asked).await?;
    assert!(page.text.contains("Shop") && hidden(&page.text, "asked").is_some(), "{}", page.text);
    // Anybody can make such an address; with nobody signed in nothing happens by itself, and it is shown where it leads.
    let mut stranger = Tab::at(&stack.command_url)?;
    let asked = stranger.forge("/oauth2/logout", &fields, Some(SHOP)).await?;
    let page = stranger.follow(&asked).await?;
    assert!(page.text.contains(&format!("<strong>{BACK}")), "{}", page.text);
    assert!(!page.text.contains("http-equiv"), "{}", page.text);
    let nobodys = tab.forge("/oauth2/logout", &fields[1..], Some(SHOP)).await?;
    assert_eq!(nobodys.status, StatusCode::BAD_REQUEST, "{}", nobodys.text);
    assert!(nobodys.text.contains("needs id_token_hint or client_id"), "{}", nobodys.text);
    Ok(())
}

#[tokio::test]
async fn behind_a_proxy_that_takes_a_path_away_people_stay_within_it() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let base = stack.command_api_under("/id").await?;
    let mut tab = Tab::at(&base)?;
    // What the proxy does with where a page sends the browser.
    let within = |page: &Answer| {
        let path = page.header("location").strip_prefix("/id").map(ToOwned::to_owned);
        path.with_context(|| format!("{} {}", page.status, page.header("location")))
    };
    let asked = tab.get(&shop.authorize("openid", &[])?).await?;
    let page = tab.get(&within(&asked)?).await?;
    assert!(page.text.contains("action=\"/id/sign-in\""), "{}", page.text);
    let request = hidden(&page.text, "request").context("a request")?;
    let fields = [("request", &*request), ("email", &ann.email), ("password", PASSWORD)];
    let signed_in = tab.send("/sign-in", &fields).await?;
    let page = tab.get(&within(&signed_in)?).await?;
    assert!(page.text.contains("action=\"/id/consent\""), "{}", page.text);
    let allowed = tab.send("/consent", &[("request", &request), ("answer", "allow")]).await?;
    let url = tests::relying::left(&allowed)?.context("back to the shop")?;
    let issuer = format!("{PUBLIC_URL}/id");
    assert_eq!(parameter(&url, "iss").as_deref(), Some(&*issuer));
    let code = parameter(&url, "code").context("a code")?;
    let fields = [("code", &*code), ("redirect_uri", BACK), ("code_verifier", VERIFIER)];
    let fields = [&fields[..], &[("grant_type", "authorization_code")]].concat();
    let tokens = Tokens::of(&shop.ask_at(&format!("{base}/oauth2/token"), &fields).await?)?;
    assert_eq!(Tokens::said(&tokens.id)?["iss"], issuer);
    let leaving = tab.get(&format!("/oauth2/logout?client_id={}", shop.client_id)).await?;
    assert!(within(&leaving)?.starts_with("/sign-out?"));
    assert_eq!(within(&tab.get("/").await?)?, "/sign-in");
    Ok(())
}
