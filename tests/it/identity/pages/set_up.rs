//! Setting up a second factor on the pages: on the way to an application or a device, by choice, and when it does not go on.

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::ids::SessionId;
use domain::organisation::SecondFactor;
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_kit::config::RateConfig;
use service_kit::rate::Rate;
use tests::authenticator::Authenticator;
use tests::members::Members;
use tests::person::{Organisation, PASSWORD, Person};
use tests::relying::{Relying, Tokens, left, parameter, shop};
use tests::stack::{Answer, Stack};
use tests::tab::{Tab, hidden};
use uuid::Uuid;

use super::{BROWSER, Test, assert_guarded, enter, entered, events, heading, is_in, second_half};

const BEGIN: &str = "/second-factor/set-up";
const CODE: &str = "/second-factor/set-up/code";
const RENEW: &str = "/second-factor/recovery-codes";
const HOUR: u64 = 3_600;

/// What a page shows to be put into an app, and what its form sends with the first code.
struct Offered {
    secret: String,
    authenticator: Authenticator,
    ticket: String,
}

impl Offered {
    fn on(page: &Answer) -> anyhow::Result<Self> {
        anyhow::ensure!(
            heading(&page.text) == "Add your account to the app",
            "{} {}",
            page.status,
            page.text
        );
        let secret = between(&page.text, "id=\"secret\" translate=\"no\">", "</p>").context("a seed")?;
        let secret = secret.replace(' ', "");
        let uri = between(&page.text, "href=\"otpauth://totp/", "\"").context("a link to the app")?;
        anyhow::ensure!(uri.contains(&format!("?secret={secret}&#38;")), "{uri} {secret}");
        let picture = between(&page.text, "<svg", "</svg>").context("a picture")?;
        anyhow::ensure!(picture.contains("<path d=\"M4 4h7v1h-7z"), "{picture}");
        let ticket = hidden(&page.text, "ticket").context("a ticket")?;
        Ok(Self { authenticator: Authenticator::of(&secret)?, secret, ticket })
    }

    fn typed<'a>(&'a self, code: &'a str) -> [(&'static str, &'a str); 2] {
        [("ticket", &self.ticket), ("code", code)]
    }
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split(behind).next()
}

/// The recovery codes that a page shows.
fn codes(page: &Answer) -> anyhow::Result<Vec<String>> {
    anyhow::ensure!(heading(&page.text) == "Keep your recovery codes", "{} {}", page.status, page.text);
    let shown = page.text.split("<li class=\"code\">").skip(1).filter_map(|it| it.split('<').next());
    Ok(shown.map(ToOwned::to_owned).collect())
}

/// Where the one link leads that looks like a button.
fn choice(page: &Answer) -> anyhow::Result<String> {
    let link = between(&page.text, "class=\"choice\" href=\"", "\"").context("a way on")?;
    Ok(link.replace("&#38;", "&"))
}

/// An organisation, and somebody who has no second factor.
async fn people(stack: &Stack) -> anyhow::Result<(Organisation<'_>, Person)> {
    let acme = Organisation::found(stack, "acme").await?;
    let ann = acme.join("ann").await?;
    Ok((acme, ann))
}

/// The same, where everybody is asked for one.
async fn strict(stack: &Stack) -> anyhow::Result<(Organisation<'_>, Person)> {
    let (acme, ann) = people(stack).await?;
    acme.ask(|it| it.second_factor = SecondFactor::Required).await?;
    Ok((acme, ann))
}

/// From the page where somebody chooses to the codes: what they keep, and where they go on to.
async fn sets_up(tab: &mut Tab, onward: &[(&str, &str)]) -> anyhow::Result<(Offered, Vec<String>, String)> {
    let offered = Offered::on(&tab.send(BEGIN, onward).await?)?;
    let code = offered.authenticator.code()?;
    let done = tab.send(CODE, &[&offered.typed(&code), onward].concat()).await?;
    Ok((offered, codes(&done)?, choice(&done)?))
}

#[tokio::test]
async fn whoever_needs_a_second_factor_sets_it_up_on_the_way_to_an_application() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = people(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    acme.ask(|it| it.second_factor = SecondFactor::Required).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let page = tab.get(&shop.authorize("openid", &[("ui_locales", Some("de"))])?).await?;
    let page = tab.follow(&page).await?;
    let request = hidden(&page.text, "request").context("a request")?;
    let fields = [("request", &*request), ("email", &ann.email), ("password", PASSWORD)];
    let page = tab.send("/sign-in", &fields).await?;
    assert!(page.header("location").starts_with("/second-factor/set-up?request="), "{}", page.text);
    let page = tab.follow(&page).await?;
    assert_eq!((page.status, heading(&page.text)), (StatusCode::OK, "Zweiten Faktor einrichten"));
    assert!(
        page.text.contains("verlangt von allen einen zweiten Faktor") && !page.text.contains("Nicht jetzt")
    );
    // Nobody comes past it, whatever they send.
    let refused = tab.send("/consent", &[("request", &request), ("answer", "allow")]).await?;
    assert_eq!(refused.header("location"), format!("/sign-in?request={request}"), "{}", refused.text);
    let page = tab.follow(&refused).await?;
    assert!(page.header("location").starts_with("/second-factor/set-up?request="), "{}", page.text);

    let page = tab.send(BEGIN, &[("request", &request)]).await?;
    let german = between(&page.text, "<h1>", "</h1>").context("a title")?;
    assert_eq!(german, "Konto zur App hinzufügen");
    let ticket = hidden(&page.text, "ticket").context("a ticket")?;
    let secret = between(&page.text, "id=\"secret\" translate=\"no\">", "</p>").context("a seed")?;
    let authenticator = Authenticator::of(&secret.replace(' ', ""))?;
    let wrong = authenticator.wrong_code()?;
    let fields = |code: &str| {
        vec![("request", request.clone()), ("ticket", ticket.clone()), ("code", code.to_owned())]
    };
    let typed = async |tab: &mut Tab, code: &str| {
        let fields = fields(code);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        tab.send(CODE, &fields).await
    };
    let page = typed(&mut tab, &wrong).await?;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{}", page.text);
    assert!(page.text.contains("Der Code stimmt nicht") && page.text.contains(secret), "the same seed");
    assert!(!page.text.contains(&wrong) && page.text.contains("Fehler: Konto"), "{}", page.text);
    let code = authenticator.code()?;
    let page = typed(&mut tab, &format!("{} {}", &code[..3], &code[3..])).await?;
    assert_eq!((page.status, heading(&page.text)), (StatusCode::OK, "Bewahren Sie Ihre Ersatzcodes auf"));
    assert_eq!(page.text.matches("<li class=\"code\">").count(), 10);
    assert_eq!(acme.letters("factors-changed").await?.len(), 1, "they are written to");

    // On to the application, with what was just shown.
    let url = shop.walk(&mut tab, &ann, &choice(&page)?).await?;
    let tokens = Tokens::of(&shop.redeem(&parameter(&url, "code").context("a code")?).await?)?;
    assert_eq!(Tokens::said(&tokens.id)?["amr"], json!(["pwd", "otp"]));
    // And the next time it is asked for.
    let mut other = Tab::at(&stack.command_url)?;
    let first = entered(&mut other, "acme", &ann.email, PASSWORD).await?;
    assert_eq!(heading(&first.text), "One more step", "{}", first.text);
    Ok(())
}

#[tokio::test]
async fn whoever_needs_a_second_factor_sets_it_up_on_the_way_to_a_device() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = people(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    acme.ask(|it| it.second_factor = SecondFactor::Required).await?;
    let asked = shop.ask("device_authorization", &[("scope", "openid")]).await?;
    let user_code = asked.json["user_code"].as_str().context("a code")?.to_owned();
    let mut tab = Tab::at(&stack.command_url)?;
    tab.get(&format!("/sign-in?organization=acme&device={user_code}")).await?;
    let fields =
        [("organization", "acme"), ("device", &*user_code), ("email", &*ann.email), ("password", PASSWORD)];
    let page = tab.send("/sign-in", &fields).await?;
    let there = format!("{BEGIN}?device={user_code}");
    assert_eq!(page.header("location"), there, "{}", page.text);
    // Nor do they get past it to the device.
    tab.follow(&page).await?;
    for page in [
        tab.get(&format!("/device?user_code={user_code}")).await?,
        tab.send("/device", &[("user_code", &user_code)]).await?,
    ] {
        assert_eq!((page.status, page.header("location")), (StatusCode::SEE_OTHER, &*there), "{}", page.text);
    }
    let page = tab.send("/device/answer", &[("ticket", "x"), ("answer", "allow")]).await?;
    assert_eq!(page.header("location"), format!("{BEGIN}?device="), "{}", page.text);
    let (_, _, on) = sets_up(&mut tab, &[("device", &user_code)]).await?;
    assert_eq!(on, format!("/device?user_code={user_code}"));
    let page = tab.get(&on).await?;
    assert_eq!(heading(&page.text), "Connect a device", "{}", page.text);
    let page = tab.send("/device", &[("user_code", &user_code)]).await?;
    let ticket = hidden(&page.text, "ticket").context("a ticket")?;
    let page = tab.send("/device/answer", &[("ticket", &ticket), ("answer", "allow")]).await?;
    assert_eq!((page.status, heading(&page.text)), (StatusCode::OK, "The device is connected"));
    Ok(())
}

#[tokio::test]
async fn a_sign_in_that_leads_nowhere_else_leads_to_the_factor_and_back() -> Test {
    let stack = Stack::commands_only().await?;
    let (_, ann) = strict(&stack).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let page = entered(&mut tab, "acme", &ann.email, PASSWORD).await?;
    assert_eq!(page.header("location"), format!("{BEGIN}?"), "{}", page.text);
    let page = tab.follow(&page).await?;
    assert!(page.text.contains("<strong>acme</strong> asks everybody"), "{}", page.text);
    assert!(is_in(&mut tab).await?, "and nothing keeps them from signing out instead");
    let (offered, codes, on) = sets_up(&mut tab, &[]).await?;
    assert_eq!((codes.len(), &*on), (10, "/sign-in"));
    assert!(is_in(&mut tab).await?);

    // Looking at that page again gives no codes; other ones are given for these.
    let code = offered.authenticator.next_code()?;
    let again = tab.send(CODE, &offered.typed(&code)).await?;
    assert_eq!(heading(&again.text), "Your second factor is set up", "{}", again.text);
    assert!(!again.text.contains(&codes[0]) && !again.text.contains(&offered.secret));
    assert_eq!(heading(&tab.get(BEGIN).await?.text), "Your second factor is set up");
    assert_eq!(heading(&tab.send(BEGIN, &[]).await?.text), "Your second factor is set up");
    let others = self::codes(&tab.send(RENEW, &[]).await?)?;
    assert!(others.len() == 10 && codes.iter().all(|it| !others.contains(it)), "{others:?}");
    for (code, status) in [(&codes[0], StatusCode::UNAUTHORIZED), (&others[0], StatusCode::SEE_OTHER)] {
        let mut other = Tab::at(&stack.command_url)?;
        let first = entered(&mut other, "acme", &ann.email, PASSWORD).await?;
        let ticket = hidden(&first.text, "ticket").context("a ticket")?;
        let shown = other.send("/sign-in/second-factor", &second_half(&ticket, code)).await?;
        assert_eq!(shown.status, status, "{}", shown.text);
    }
    Ok(())
}

#[tokio::test]
async fn looking_at_the_page_of_a_factor_offers_none() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let mut stranger = Tab::at(&stack.command_url)?;
    let sent = stranger.get(&format!("{BEGIN}?device=BCDF-GHJK")).await?;
    assert_eq!(sent.header("location"), "/sign-in?device=BCDF-GHJK", "{}", sent.text);
    let mut tab = enter(&acme, &ann).await?;
    assert!(tab.get("/sign-in").await?.text.contains(&format!("href=\"{BEGIN}\"")), "it is offered");
    let before = events(&stack).await?;
    for _ in 0..2 {
        let page = tab.get(BEGIN).await?;
        assert_eq!((page.status, heading(&page.text)), (StatusCode::OK, "Set up a second factor"));
        assert!(page.text.contains("href=\"/sign-in\">Not now"), "{}", page.text);
        assert_guarded(&page, BEGIN);
    }
    let mut conn = stack.database.superuser().await?;
    let offers = async |conn: &mut sqlx::PgConnection| {
        sqlx::query_scalar::<_, i64>("select count(*) from vault.totp_offers").fetch_one(conn).await
    };
    assert_eq!((events(&stack).await?, offers(&mut conn).await?), (before, 0));
    let page = tab.send(BEGIN, &[]).await?;
    assert_guarded(&page, CODE);
    Offered::on(&page)?;
    assert_eq!((events(&stack).await?, offers(&mut conn).await?), (before, 1), "offered, and no factor yet");
    assert!(acme.log_in(&ann.email, PASSWORD).await?.status == StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn the_newest_of_two_windows_counts_and_another_session_is_shown_nothing() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let (mut tab, mut thief) = (enter(&acme, &ann).await?, enter(&acme, &ann).await?);
    tab.get(BEGIN).await?;
    let early = Offered::on(&tab.send(BEGIN, &[]).await?)?;
    let late = Offered::on(&tab.send(BEGIN, &[]).await?)?;
    assert_ne!(early.secret, late.secret);
    let code = early.authenticator.code()?;
    let page = tab.send(CODE, &early.typed(&code)).await?;
    assert_eq!((page.status, heading(&page.text)), (StatusCode::NOT_FOUND, "Set up a second factor"));
    assert!(page.text.contains("you began anew in another window"), "{}", page.text);
    // Whoever knows the password and sees the form, but not in the session in which it was given.
    thief.get(BEGIN).await?;
    let wrong = late.authenticator.wrong_code()?;
    let factor = late.ticket.split('.').next().context("a factor")?;
    for ticket in [&*late.ticket, factor, &format!("{factor}.{}", "0".repeat(64)), "x", "x.y", "."] {
        let page = thief.send(CODE, &[("ticket", ticket), ("code", &wrong)]).await?;
        assert_eq!((page.status, heading(&page.text)), (StatusCode::NOT_FOUND, "Set up a second factor"));
        assert!(!page.text.contains("id=\"secret\"") && !page.text.contains("otpauth:"), "{ticket}");
    }
    let code = late.authenticator.code()?;
    codes(&tab.send(CODE, &late.typed(&code)).await?)?;
    // The other session has not shown it: it changes nothing any more.
    let typed = late.typed(&code);
    for (path, fields) in [(BEGIN, &[][..]), (RENEW, &[]), (CODE, &typed)] {
        let page = thief.send(path, fields).await?;
        assert_eq!((page.status, heading(&page.text)), (StatusCode::FORBIDDEN, "Sign in"), "{path}");
        assert!(page.text.contains("this sign-in has shown none"), "{path} {}", page.text);
    }
    Ok(())
}

#[tokio::test]
async fn an_offer_ends_and_an_organisation_can_take_it_back() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let mut tab = enter(&acme, &ann).await?;
    tab.get(BEGIN).await?;
    let offered = Offered::on(&tab.send(BEGIN, &[]).await?)?;
    let mut conn = stack.database.superuser().await?;
    sqlx::query("update vault.totp_offers set expires_at = now()").execute(&mut conn).await?;
    let code = offered.authenticator.code()?;
    let page = tab.send(CODE, &offered.typed(&code)).await?;
    assert_eq!((page.status, heading(&page.text)), (StatusCode::NOT_FOUND, "Set up a second factor"));
    assert!(page.text.contains("This took too long"), "{}", page.text);

    let offered = Offered::on(&tab.send(BEGIN, &[]).await?)?;
    acme.ask(|it| it.second_factor = SecondFactor::Off).await?;
    let code = offered.authenticator.code()?;
    for page in
        [tab.get(BEGIN).await?, tab.send(BEGIN, &[]).await?, tab.send(CODE, &offered.typed(&code)).await?]
    {
        assert_eq!((page.status, heading(&page.text)), (StatusCode::CONFLICT, "That did not work"));
        assert!(page.text.contains("lets nobody set up a second factor"), "{}", page.text);
    }
    assert!(!tab.get("/sign-in").await?.text.contains(BEGIN), "nor is it offered");
    Ok(())
}

/// Has a window stand for another session of the same person, which was shown who they are some minutes ago.
async fn grows_old(acme: &Organisation<'_>, person: &Person) -> Test {
    let members = Members::of(acme.stack, acme.tenant)?;
    let session = SessionId::new(Uuid::now_v7());
    let mut start = members.start(person.user, session);
    start.auth_time = Utc::now() - TimeDelta::minutes(11);
    start.amr = vec![domain::words::Word::of("pwd")];
    members.done(start).await?;
    let mut conn = acme.stack.database.superuser().await?;
    let moved = sqlx::query("update vault.browser_sessions set session_id = $1 where user_id = $2")
        .bind(session.uuid())
        .bind(person.user.uuid())
        .execute(&mut conn)
        .await?;
    anyhow::ensure!(moved.rows_affected() == 1, "{moved:?}");
    Ok(())
}

#[tokio::test]
async fn whoever_showed_who_they_are_long_ago_does_it_again_and_comes_back() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = people(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    acme.ask(|it| it.second_factor = SecondFactor::Required).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    entered(&mut tab, "acme", &ann.email, PASSWORD).await?;
    tab.get(BEGIN).await?;
    let offered = Offered::on(&tab.send(BEGIN, &[]).await?)?;
    grows_old(&acme, &ann).await?;
    let before = tab.cookie(BROWSER).map(str::to_owned);
    let code = offered.authenticator.code()?;
    for page in [
        tab.get(BEGIN).await?,
        tab.send(BEGIN, &[]).await?,
        tab.send(CODE, &offered.typed(&code)).await?,
        tab.send(RENEW, &[]).await?,
    ] {
        assert_eq!((page.status, heading(&page.text)), (StatusCode::FORBIDDEN, "Sign in"), "{}", page.text);
        assert!(page.text.contains("show once more who you are"), "{}", page.text);
        assert!(!page.text.contains("id=\"secret\""), "{}", page.text);
    }
    // The same on the way to an application, and through the sign-in back to the factor, and on.
    let page = tab.get(&shop.authorize("openid", &[])?).await?;
    let page = tab.follow(&page).await?;
    assert!(page.header("location").starts_with("/second-factor/set-up?request="), "{}", page.text);
    let page = tab.follow(&page).await?;
    assert_eq!(heading(&page.text), "Sign in", "{}", page.text);
    let request = hidden(&page.text, "request").context("a request")?;
    let fields = [("request", &*request), ("email", &*ann.email), ("password", PASSWORD)];
    let page = tab.send("/sign-in", &fields).await?;
    assert!(page.header("location").starts_with("/second-factor/set-up?request="), "{}", page.text);
    assert_ne!(tab.cookie(BROWSER).map(str::to_owned), before, "it is another session");
    tab.follow(&page).await?;
    let (_, _, on) = sets_up(&mut tab, &[("request", &request)]).await?;
    let url = shop.walk(&mut tab, &ann, &on).await?;
    assert!(parameter(&url, "code").is_some(), "{url}");
    // Whoever gave the application up meanwhile has the factor all the same.
    let late = tab.get(&on).await?;
    assert_eq!((left(&late)?, late.status), (None, StatusCode::NOT_FOUND), "{}", late.text);
    Ok(())
}

#[tokio::test]
async fn first_codes_are_tried_so_often_and_no_more_on_the_page_as_over_the_interface() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let rates = RateConfig { rate_links: Rate::new(4, HOUR), ..RateConfig::OFF };
    let base = stack.command_api_limited(rates).await?;
    let mut tab = Tab::at(&base)?;
    entered(&mut tab, "acme", &ann.email, PASSWORD).await?;
    tab.get(BEGIN).await?;
    let offered = Offered::on(&tab.send(BEGIN, &[]).await?)?;
    let wrong = offered.authenticator.wrong_code()?;
    for _ in 0..3 {
        let page = tab.send(CODE, &offered.typed(&wrong)).await?;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{}", page.text);
    }
    let own = acme.sign_in(&ann).await?;
    let confirm = async || {
        let request =
            stack.request(reqwest::Method::POST, &own.access, &format!("{base}/v1/auth/totp/confirm"));
        tests::stack::answer(request.json(&json!({ "code": wrong }))).await
    };
    assert_eq!(confirm().await?.code(), "identity.code-invalid");
    assert_eq!(confirm().await?.code(), "rate.limited");
    let right = offered.authenticator.code()?;
    let page = tab.send(CODE, &offered.typed(&right)).await?;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS, "{}", page.text);
    assert!(page.header("retry-after").parse::<u32>()? > 60, "{:?}", page.headers);
    assert!(page.text.contains("tried too often") && page.text.contains("id=\"secret\""), "{}", page.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_that_a_factor_is_missing() -> Test {
    let stack = Stack::whole().await?;
    let (acme, ann) = strict(&stack).await?;
    let told = |required, enrolled| json!({ "required": required, "enrolled": enrolled });
    let answered = acme.log_in(&ann.email, PASSWORD).await?;
    assert_eq!(answered.json["second_factor"], told(true, false), "{}", answered.text);
    let own = tests::person::SignedIn::of(&answered)?;
    let me = stack.get_at(&own.access, "/v1/auth/me", answered.header("quipu-position")).await?;
    assert_eq!(me.json["second_factor"], told(true, false), "{}", me.text);
    let enrolled = acme.enrol(&own.access).await?;
    let ticket = tests::authenticator::ticket(&acme.log_in(&ann.email, PASSWORD).await?)?;
    let second = acme.second(&ticket, "recovery_code", &enrolled.recovery_codes[0]).await?;
    assert_eq!(second.json["second_factor"], told(true, true), "{}", second.text);
    let position = second.header("quipu-position");
    let me = stack.get_at(&own.access, "/v1/auth/me", position).await?;
    assert_eq!(me.json["second_factor"], told(true, true), "{}", me.text);
    acme.ask(|_| {}).await?;
    let ben = acme.join("ben").await?;
    let answered = acme.log_in(&ben.email, PASSWORD).await?;
    assert_eq!(answered.json["second_factor"], told(false, false), "{}", answered.text);
    // A program is nobody who could have one.
    let me = stack.get(&stack.owner(acme.tenant)?, "/v1/auth/me").await?;
    assert_eq!(me.json["second_factor"], Value::Null, "{}", me.text);
    Ok(())
}
