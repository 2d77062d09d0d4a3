//! The pages: whom they take forms from, what they keep in a browser, and what looking at them does, which is nothing.

mod browser;
mod consents;
mod links;
mod lost;
mod onward;
mod passkeys;
mod set_up;

use std::time::Duration;

use anyhow::Context as _;
use command_api::pages::{FORMS, PAGES};
use domain::organisation::RoleRef;
use reqwest::{Method, StatusCode, Url};
use serde_json::json;
use tests::members::Members;
use tests::oidc::GitHub;
use tests::person::{Organisation, PASSWORD, Person};
use tests::stack::{Answer, PUBLIC_URL, Stack, answer};
use tests::tab::{Tab, hidden};

type Test = anyhow::Result<()>;

const ANOTHER: &str = "violet-anchor-marble-tundra";
/// What stands for a session, and what forms are bound to.
const BROWSER: &str = "__Host-quipu";
const VISIT: &str = "__Host-quipu-visit";
/// Pages that read the fragment of their address.
const SCRIPTED: [&str; 5] = ["/reset", "/verify", "/verify/address", "/verify/organization", "/invitation"];

/// How many events there are, without those of the audit trail.
async fn events(stack: &Stack) -> anyhow::Result<i64> {
    let mut conn = stack.database.superuser().await?;
    let count = sqlx::query_scalar("select count(*) from store.events where category < 90");
    Ok(count.fetch_one(&mut conn).await?)
}

fn heading(page: &str) -> &str {
    let behind = page.split_once("<h1>").map_or("", |it| it.1);
    behind.split("</h1>").next().unwrap_or_default()
}

/// Signs somebody in, in a window.
async fn enter(acme: &Organisation<'_>, person: &Person) -> anyhow::Result<Tab> {
    let mut tab = Tab::at(&acme.stack.command_url)?;
    let done = entered(&mut tab, &acme.slug, &person.email, PASSWORD).await?;
    anyhow::ensure!(done.status == StatusCode::SEE_OTHER, "{} {}", done.status, done.text);
    Ok(tab)
}

async fn entered(tab: &mut Tab, slug: &str, email: &str, password: &str) -> anyhow::Result<Answer> {
    tab.get(&format!("/sign-in?organization={slug}")).await?;
    tab.send("/sign-in", &[("organization", slug), ("email", email), ("password", password)]).await
}

fn second_half<'a>(ticket: &'a str, code: &'a str) -> [(&'static str, &'a str); 3] {
    [("organization", "acme"), ("ticket", ticket), ("code", code)]
}

/// Whether the window shows that somebody is signed in.
async fn is_in(tab: &mut Tab) -> anyhow::Result<bool> {
    let page = tab.get("/sign-in").await?;
    match heading(&page.text) {
        "You are signed in" => Ok(true),
        "Sign in" => Ok(false),
        other => anyhow::bail!("{other}: {}", page.text),
    }
}

#[tokio::test]
async fn pages_forge_nothing_across_sites() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let (mut tab, mut other) = (enter(&acme, &ann).await?, enter(&acme, &bob).await?);
    assert!(is_in(&mut tab).await? && is_in(&mut other).await?);
    // Of a visit before the sign-in, of somebody else, and no token at all.
    let mut stranger = Tab::at(&stack.command_url)?;
    stranger.get("/forgot").await?;
    let (right, before) = (tab.form.clone(), events(&stack).await?);
    assert!(right.len() == 64 && right != other.form && right != stranger.form);
    let fields = [
        ("organization", "acme"),
        ("email", "ann@example.com"),
        ("password", PASSWORD),
        ("token", "qm_x"),
        ("new_password", ANOTHER),
        ("request", "qp_x"),
        ("answer", "allow"),
        ("ticket", "x"),
        ("user_code", "BCDF-GHJK"),
        ("credential", "eA"),
        ("signature", "eA"),
    ];
    for path in FORMS {
        for (form, origin) in [
            (None, Some(PUBLIC_URL)),
            (Some(""), Some(PUBLIC_URL)),
            (Some(&*other.form), Some(PUBLIC_URL)),
            (Some(&*stranger.form), Some(PUBLIC_URL)),
            (Some(&right[1..]), Some(PUBLIC_URL)),
            (Some(&*right), Some("https://evil.example")),
            (Some(&*right), Some("https://quipu.example.evil.example")),
            (Some(&*right), Some("http://quipu.example")),
            (Some(&*right), Some("null")),
            (Some(&*right), None),
        ] {
            let mut sent = fields.to_vec();
            sent.extend(form.map(|it| ("form", it)));
            let refused = tab.clone().forge(path, &sent, origin).await?;
            let told = (refused.status, refused.text.contains("This form is too old"));
            // From our own page: somebody signed in elsewhere meanwhile, and goes on to where they were.
            if origin == Some(PUBLIC_URL) {
                let begin = "/sign-in?request=qp_x&organization=acme";
                let led = (refused.status, refused.header("location").ends_with(begin));
                assert_eq!(led, (StatusCode::SEE_OTHER, true), "{path} {form:?}: {}", refused.text);
                continue;
            }
            assert_eq!(told, (StatusCode::FORBIDDEN, true), "{path} {form:?} {origin:?}: {}", refused.text);
        }
        let twice = [("form", &*right), ("form", &*right)];
        let refused = tab.clone().forge(path, &twice, Some(PUBLIC_URL)).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        // What a form of another site can send without being asked about it.
        for media_type in ["text/plain", "multipart/form-data; boundary=x", "application/json"] {
            let cookies = tab.cookies.iter().map(|(name, value)| format!("{name}={value}"));
            let request = stack.request(Method::POST, "", &format!("{}{path}", stack.command_url));
            let request =
                request.header("cookie", cookies.collect::<Vec<_>>().join("; ")).header("origin", PUBLIC_URL);
            let refused =
                answer(request.header("content-type", media_type).body(format!("form={right}"))).await?;
            assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {media_type}");
        }
    }
    assert_eq!(events(&stack).await?, before, "nothing has happened");
    assert!(is_in(&mut tab).await?);
    // And with the token, from here, it does.
    let out = tab.send("/sign-out", &[]).await?;
    assert_eq!((out.status, out.header("location")), (StatusCode::SEE_OTHER, "/signed-out"));
    assert!(tab.cookie(BROWSER).is_none() && !is_in(&mut tab).await?);
    Ok(())
}

fn assert_guarded(page: &Answer, path: &str) {
    let policy = page.header("content-security-policy");
    let parts: Vec<&str> = policy.split(';').map(str::trim).collect();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"] {
        assert!(parts.contains(&part), "{path}: {policy}");
    }
    assert_eq!(parts.contains(&"script-src 'self'"), page.text.contains("<script"), "{path}: {policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), value, "{path}: {name}");
    }
    assert_eq!(page.text.matches("<h1>").count(), 1, "{path}");
    assert!(page.text.contains("<html lang=\"en\">"), "{path}");
    // No style, no script and no handler stands in the page, and nothing is loaded from elsewhere.
    for inline in [" style=", "<style", " onclick=", " onload=", " onsubmit=", "javascript:"] {
        assert!(!page.text.contains(inline), "{path}: {inline}");
    }
    for (at, _) in page.text.match_indices("src=\"").chain(page.text.match_indices("href=\"")) {
        let value = page.text[at..].split('"').nth(1).unwrap_or_default();
        let ours = value.starts_with('/') && !value.starts_with("//");
        // An authenticator app of the same device is no place from which anything is loaded.
        assert!(ours || value == "data:," || value.starts_with("otpauth://totp/"), "{path}: {value}");
    }
}

#[tokio::test]
async fn a_page_is_never_framed() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    for mut tab in [Tab::at(&stack.command_url)?, enter(&acme, &ann).await?] {
        for path in PAGES {
            let page = tab.get(path).await?;
            if page.status == StatusCode::SEE_OTHER {
                assert!(page.header("location").starts_with('/'), "{path}");
                continue;
            }
            assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
            assert_guarded(&page, path);
            assert_eq!(page.text.contains("/pages/link.js"), SCRIPTED.contains(path), "{path}");
        }
        for (path, status) in
            [("/consent?request=qp_x", StatusCode::NOT_FOUND), ("/consent", StatusCode::BAD_REQUEST)]
        {
            let page = tab.get(path).await?;
            assert_eq!(page.status, status, "{path}: {}", page.text);
            assert_guarded(&page, path);
        }
        for path in FORMS {
            let page = tab.forge(path, &[], None).await?;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
            assert_guarded(&page, path);
        }
    }
    for (path, media_type) in [
        ("/pages/style.css", "text/css; charset=utf-8"),
        ("/pages/link.js", "text/javascript; charset=utf-8"),
        ("/pages/passkey.js", "text/javascript; charset=utf-8"),
    ] {
        let file = Tab::at(&stack.command_url)?.get(path).await?;
        assert_eq!((file.status, file.header("content-type")), (StatusCode::OK, media_type));
        assert!(!file.text.contains("://") && !file.text.contains("@import"), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn looking_at_a_link_consumes_nothing() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    let ann = acme.register("ann").await?;
    let link = acme.link("verify-address", 1).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let before = events(&stack).await?;
    for path in SCRIPTED {
        // A scanner of mails sees no fragment; one that knew the secret would get as far with it.
        for path in [path.to_owned(), format!("{path}?token={link}"), format!("{path}?{link}")] {
            for method in [Method::GET, Method::HEAD, Method::GET] {
                let request = stack.request(method, "", &format!("{}{path}", stack.command_url));
                assert_eq!(answer(request).await?.status, StatusCode::OK, "{path}");
            }
        }
    }
    assert_eq!(events(&stack).await?, before);
    let page = tab.get("/verify").await?;
    assert!(!page.text.contains("qm_") && page.text.contains("<script src=\"/pages/link.js\" defer>"));
    // Whoever has the mailbox does not confirm for whoever registered with its address.
    let fields = |password| [("token", &*link), ("password", password)];
    let wrong = tab.send("/verify", &fields(ANOTHER)).await?;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{}", wrong.text);
    let done = tab.send("/verify", &fields(PASSWORD)).await?;
    assert_eq!((done.status, heading(&done.text)), (StatusCode::OK, "Your address is confirmed"));
    assert!(done.text.contains("acme (acme)") && done.text.contains("/sign-in?organization=acme"));
    let again = tab.send("/verify", &fields(PASSWORD)).await?;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert!(again.text.contains("The link is not good, or not any more."));

    // The whole way of somebody who has forgotten their password.
    let page = tab.get("/forgot?organization=acme").await?;
    assert!(page.text.contains("value=\"acme\""), "{}", page.text);
    let asked = tab.send("/forgot", &[("organization", "acme"), ("email", "ANN@example.com")]).await?;
    assert_eq!((asked.status, heading(&asked.text)), (StatusCode::OK, "Look into your mailbox"));
    assert!(asked.text.contains("href=\"/sign-in?organization=acme\""), "{}", asked.text);
    let nobody = tab.send("/forgot", &[("organization", "acme"), ("email", "bob@example.com")]).await?;
    assert_eq!(nobody.text, asked.text, "who is there is told by mail alone");
    let link = acme.link("reset", 1).await?;
    tab.get("/reset").await?;
    let weak = tab.send("/reset", &[("token", &link), ("new_password", "short")]).await?;
    assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(weak.text.contains("This password is too weak") && weak.text.contains("at least 15 characters"));
    assert_eq!(hidden(&weak.text, "form"), Some(tab.form.clone()));
    assert!(
        weak.text.contains(&format!("value=\"{link}\"")) && !weak.text.contains("short\""),
        "{}",
        weak.text
    );
    let done = tab.send("/reset", &[("token", &link), ("new_password", ANOTHER)]).await?;
    assert_eq!((done.status, heading(&done.text)), (StatusCode::OK, "Your password was changed"));
    assert!(!is_in(&mut tab).await?, "nobody is signed in by it");
    let done = entered(&mut tab, "acme", &ann.email, ANOTHER).await?;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    Ok(())
}

#[tokio::test]
async fn session_fixation_what_a_browser_keeps_is_new_with_each_sign_in() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, eve) = (acme.join("ann").await?, acme.join("eve").await?);
    let mut evil = enter(&acme, &eve).await?;
    let planted = evil.cookie(BROWSER).context("a session")?.to_owned();
    // Ann's browser has what Eve's has, whoever put it there.
    let mut tab = Tab::at(&stack.command_url)?;
    tab.cookies.clone_from(&evil.cookies);
    assert!(is_in(&mut tab).await?);
    let (visit, form) = (tab.cookie(VISIT).map(str::to_owned), tab.form.clone());
    let done = entered(&mut tab, "acme", &ann.email, PASSWORD).await?;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let kept = tab.cookie(BROWSER).context("a session")?.to_owned();
    assert_ne!(kept, planted);
    assert!(tab.get("/sign-in").await?.text.contains("ann@example.com"));
    // Eve is not Ann, nor is she even Eve any more; and what she knows of forms is of no use.
    assert!(!is_in(&mut evil).await?, "the session before was ended");
    assert_eq!(visit.as_deref(), tab.cookie(VISIT));
    assert_ne!(tab.form, form);
    let forged = tab.clone().forge("/sign-out", &[("form", &form)], Some(PUBLIC_URL)).await?;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert!(is_in(&mut tab).await?);
    // What was never given out is nobody, of whatever form.
    let cut = &kept[..kept.len() - 1];
    for odd in ["", "qb_", cut, &kept.replacen("qb_", "qr_", 1), &kept.to_uppercase(), &format!("{kept}a")] {
        let mut tab = Tab::at(&stack.command_url)?;
        tab.cookies.insert(BROWSER.to_owned(), odd.to_owned());
        assert!(!is_in(&mut tab).await?, "{odd}");
    }
    Ok(())
}

#[tokio::test]
async fn what_ends_a_session_ends_it_in_the_browser() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let (mut here, mut there) = (enter(&acme, &ann).await?, enter(&acme, &ann).await?);
    let program = acme.sign_in(&ann).await?;
    assert!(is_in(&mut here).await? && is_in(&mut there).await?);
    // Signing out ends the session itself, not only what the browser keeps.
    let kept = here.cookies.clone();
    here.send("/sign-out", &[]).await?;
    here.cookies = kept;
    assert!(!is_in(&mut here).await?, "a copy of it is worth nothing");
    assert!(is_in(&mut there).await?);
    let url = format!("{}/v1/auth/sessions?keep=current", stack.command_url);
    let ended = answer(stack.request(Method::DELETE, &program.access, &url)).await?;
    assert_eq!((ended.status, &ended.json["ended"]), (StatusCode::OK, &1.into()), "a browser is one of them");
    assert!(!is_in(&mut there).await?);
    assert!(acme.is_taken(&program.access).await?);
    // Forms of a session that has ended are of no use to it.
    let late = there.send("/device", &[("user_code", "BCDF-GHJK")]).await?;
    assert_eq!((late.status, late.header("location")), (StatusCode::SEE_OTHER, "/sign-in?device=BCDF-GHJK"));
    Ok(())
}

#[tokio::test]
async fn the_page_tells_no_more_of_people_than_the_interface_and_counts_the_same_guesses() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let mut told = Vec::new();
    for (slug, email) in [("acme", &*ann.email), ("acme", "nob@example.com"), ("none", &*ann.email)] {
        let mut tab = Tab::at(&stack.command_url)?;
        let refused = entered(&mut tab, slug, email, "a wrong one").await?;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(tab.cookie(BROWSER).is_none() && !refused.text.contains("a wrong one"));
        let page = refused.text.replace(&tab.form, "FORM").replace(slug, "SLUG").replace(email, "EMAIL");
        told.push(page);
    }
    assert!(told.iter().all(|it| *it == told[0]), "{told:#?}");
    let mut tab = Tab::at(&stack.command_url)?;
    for _ in 0..4 {
        assert_eq!(
            entered(&mut tab, "acme", &ann.email, "a wrong one").await?.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let locked = entered(&mut tab, "acme", &ann.email, PASSWORD).await?;
    assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(locked.header("retry-after").parse::<u32>()? > 60);
    assert_eq!(acme.log_in(&ann.email, PASSWORD).await?.code(), "identity.locked", "one counter for both");
    Ok(())
}

#[tokio::test]
async fn nonsense_is_told_as_a_page() -> Test {
    let stack = Stack::commands_only().await?;
    Organisation::found(&stack, "acme").await?;
    let mut tab = Tab::at(&stack.command_url)?;
    tab.get("/sign-in?organization=acme").await?;
    let long = "x".repeat(9_000);
    for (fields, status) in [
        (vec![("organization", "acme"), ("email", "a@b.c"), ("password", "x\0y")], 400),
        (vec![("organization", "ac\nme"), ("email", "a@b.c"), ("password", "x")], 400),
        (vec![("organization", "acme"), ("email", "a@b.c")], 400),
        (vec![("organization", "acme"), ("email", "a@b.c"), ("password", "x"), ("admin", "1")], 400),
        (vec![("organization", "acme"), ("email", "a@b.c"), ("email", "c@b.a"), ("password", "x")], 400),
        (vec![("email", "a@b.c"), ("password", "x")], 400),
        (vec![("organization", "acme"), ("email", "nonsense"), ("password", "x")], 400),
        (vec![("request", "qp_x"), ("email", "a@b.c"), ("password", "x")], 404),
        (vec![("organization", "acme"), ("email", "a@b.c"), ("password", &*long)], 413),
    ] {
        let refused = tab.send("/sign-in", &fields).await?;
        assert_eq!(refused.status.as_u16(), status, "{fields:?} {}", refused.text);
        assert_guarded(&refused, "/sign-in");
    }
    for path in [
        "/sign-in?organization=%00",
        "/sign-in?organization=%ff",
        "/device?user_code=%00",
        "/sign-in?request=a&request=b",
        "/consent?request=",
        "/sign-out?id_token_hint=x",
        "/sign-in/back",
        "/sign-in/back?code=x",
        "/sign-in/with?provider=x",
        "/sign-in/with?provider=x&organization=none",
    ] {
        let refused = tab.get(path).await?;
        assert!((400..500).contains(&refused.status.as_u16()), "{path} {} {}", refused.status, refused.text);
        assert_guarded(&refused, path);
    }
    // What others hang on to an address is passed over.
    let tagged = tab.get("/sign-in?next=//evil.example&utm_source=letter").await?;
    assert!(tagged.status == StatusCode::OK && !tagged.text.contains("evil"), "{}", tagged.text);
    // What somebody types stays text, wherever it is shown.
    let hostile = "\"><script>alert(1)</script>";
    let path = "/sign-in?organization=%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let shown = tab.get(path).await?;
    assert!(!shown.text.contains(hostile) && !shown.text.contains("<script>"), "{}", shown.text);
    let refused =
        tab.send("/sign-in", &[("organization", hostile), ("email", hostile), ("password", "x")]).await?;
    assert!(!refused.text.contains("<script>"), "{}", refused.text);
    // Where an application sends a browser, a person is told as one; and a program as it is used to.
    for path in
        ["/oauth2/authorize?client_id=x", "/v1/auth/nobody?tenant_slug=none&redirect_uri=x&code_challenge=x"]
    {
        let url = format!("{}{path}", stack.command_url);
        let request = || stack.request(Method::GET, "", &url);
        let program = answer(request()).await?;
        assert_eq!((program.status, program.code().is_empty()), (StatusCode::BAD_REQUEST, false), "{path}");
        let person = answer(request().header("accept", "text/html,*/*;q=0.8")).await?;
        assert_eq!((person.status, heading(&person.text)), (program.status, "That did not work"), "{path}");
        assert_guarded(&person, path);
    }
    for (method, path) in
        [(Method::PUT, "/sign-in"), (Method::GET, "/device/answer"), (Method::POST, "/signed-out")]
    {
        let request = stack.request(method, "", &format!("{}{path}", stack.command_url));
        assert_eq!(answer(request).await?.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_page_is_in_the_language_of_whoever_looks() -> Test {
    let stack = Stack::commands_only().await?;
    let mut tab = Tab::at(&stack.command_url)?;
    tab.language = "de-AT,de;q=0.9,en;q=0.8";
    let page = tab.get("/forgot").await?;
    assert!(page.text.contains("<html lang=\"de\">") && heading(&page.text) == "Neues Passwort wählen");
    let refused = tab.send("/forgot", &[("organization", "acme"), ("email", "nonsense")]).await?;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("Das ist keine E-Mail-Adresse."));
    let refused = tab.forge("/forgot", &[], None).await?;
    assert!(
        refused.text.contains("<html lang=\"de\">") && refused.text.contains("Dieses Formular ist zu alt")
    );
    Ok(())
}

/// A device that is known is counted by itself, on the page as over the interface.
#[tokio::test]
async fn a_stranger_who_guesses_locks_nobody_out_of_their_own_browser() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let mut tab = enter(&acme, &ann).await?;
    assert!(is_in(&mut tab).await?);
    assert_eq!(tab.send("/sign-out", &[]).await?.status, StatusCode::SEE_OTHER);
    for _ in 0..6 {
        acme.log_in(&ann.email, "a wrong one").await?;
    }
    assert_eq!(acme.log_in(&ann.email, PASSWORD).await?.code(), "identity.locked");
    let done = entered(&mut tab, "acme", &ann.email, PASSWORD).await?;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    tests::until(Duration::from_secs(5), async || is_in(&mut tab.clone()).await).await?;
    Ok(())
}

#[tokio::test]
async fn a_second_factor_is_the_second_page_of_a_sign_in() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let factor = acme.enrol(&acme.sign_in(&ann).await?.access).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let first = entered(&mut tab, "acme", &ann.email, PASSWORD).await?;
    assert_eq!((first.status, heading(&first.text)), (StatusCode::OK, "One more step"));
    assert!(tab.cookie(BROWSER).is_none(), "half a sign-in is none");
    let ticket = hidden(&first.text, "ticket").context("a ticket")?;
    let wrong = factor.authenticator.wrong_code()?;
    let refused = tab.send("/sign-in/second-factor", &second_half(&ticket, &wrong)).await?;
    assert_eq!((refused.status, heading(&refused.text)), (StatusCode::UNAUTHORIZED, "One more step"));
    assert!(tab.cookie(BROWSER).is_none() && !refused.text.contains(&wrong));
    acme.as_if_later().await?;
    let code = factor.authenticator.code()?;
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let done = tab.send("/sign-in/second-factor", &second_half(&ticket, &spaced)).await?;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert!(is_in(&mut tab).await?);
    // What was written down does as well, once.
    let recovery = &factor.recovery_codes[0];
    for (count, status) in [(1, StatusCode::SEE_OTHER), (2, StatusCode::UNAUTHORIZED)] {
        let mut tab = Tab::at(&stack.command_url)?;
        let first = entered(&mut tab, "acme", &ann.email, PASSWORD).await?;
        let ticket = hidden(&first.text, "ticket").context("a ticket")?;
        let shown = tab.send("/sign-in/second-factor", &second_half(&ticket, recovery)).await?;
        assert_eq!(shown.status, status, "{count}");
    }
    Ok(())
}

#[tokio::test]
async fn a_provider_brings_people_back_to_the_page_in_the_browser_that_left() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let github = GitHub::start().await?;
    github.has(1, "cat", "cat@corp.example", true);
    let owner = Members::of(&stack, acme.tenant)?.join(&[RoleRef::OWNER]).await?.token;
    let settings = json!({
        "name": "corp", "title": "The <b>company", "kind": "github", "issuer": github.issuer, "client_id": "quipu",
        "client_secret": "ours", "trusted_domains": ["corp.example"], "return_uris": ["https://app.example.com/back"],
    });
    let made = acme.post(&owner, "/v1/providers", &settings).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let mut tab = Tab::at(&stack.command_url)?;
    let page = tab.get("/sign-in?organization=acme").await?;
    let path = "/sign-in/with?provider=corp&organization=acme";
    let link = format!("href=\"{}\"", path.replace('&', "&#38;"));
    assert!(page.text.contains(&link) && page.text.contains("The &#60;b&#62;company"), "{}", page.text);
    let leaves = async |tab: &mut Tab| {
        let sent = tab.get(path).await?;
        anyhow::ensure!(sent.status == StatusCode::SEE_OTHER, "{} {}", sent.status, sent.text);
        let url: Url = sent.header("location").parse()?;
        anyhow::ensure!(url.as_str().starts_with(&github.issuer), "{url}");
        let state = url.query_pairs().find(|(it, _)| it == "state").map(|it| it.1.into_owned());
        let callback = url.query_pairs().find(|(it, _)| it == "redirect_uri").map(|it| it.1.into_owned());
        let callback = callback.context("a way back")?;
        let callback = callback.strip_prefix(PUBLIC_URL).context("to us")?.to_owned();
        let back = tab.get(&format!("{callback}?code=cat&state={}", state.context("a state")?)).await?;
        let page = back.header("location").strip_prefix(PUBLIC_URL).context("to our page")?.to_owned();
        anyhow::ensure!(page.starts_with("/sign-in/back?code=qh_"), "{page}");
        anyhow::Ok(page)
    };
    let page = leaves(&mut tab).await?;
    let mut other = Tab::at(&stack.command_url)?;
    other.get("/sign-in").await?;
    let stranger = other.get(&page).await?;
    assert_eq!(
        stranger.status,
        StatusCode::UNAUTHORIZED,
        "nobody is signed in as somebody else (login CSRF)"
    );
    assert!(other.cookie(BROWSER).is_none());
    let done = tab.get(&page).await?;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, "/sign-in"), "{}", done.text);
    assert!(is_in(&mut tab).await? && tab.cookie("__Host-quipu-back").is_none());
    // One who left, and shows in another sign-in what was meant for the first.
    let mut other = Tab::at(&stack.command_url)?;
    let mine = leaves(&mut other).await?;
    let theirs = leaves(&mut tab.clone()).await?;
    assert_ne!(mine, theirs);
    let refused = other.get(&theirs).await?;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.text.contains("did not work") && other.cookie(BROWSER).is_none());
    // What the provider says went wrong is told in our words.
    leaves(&mut other).await?;
    let denied = other.get("/sign-in/back?error=federation.denied").await?;
    assert!(denied.text.contains("not allowed at the provider"), "{}", denied.text);
    leaves(&mut other).await?;
    let odd = other.get("/sign-in/back?error=You+won+a+prize").await?;
    assert!(!odd.text.contains("prize"));
    Ok(())
}
