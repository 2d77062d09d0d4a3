//! Passkeys: added, signed in with, copied, removed.

use domain::identity::DeactivateUser;
use domain::organisation::{RoleRef, SecondFactor};
use domain::words::Word;
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::members::Members;
use tests::oidc::browser;
use tests::passkey::Passkey;
use tests::person::{Organisation, PASSWORD, Person, SignedIn};
use tests::stack::{Answer, PUBLIC_URL, Stack, answer};

use super::{Test, WRONG, told};

const INVALID: (u16, &str) = (401, "identity.passkey-invalid");

/// Somebody with a passkey, and a session in which they showed it.
struct Keyed<'a> {
    acme: Organisation<'a>,
    ann: Person,
    session: SignedIn,
    passkey: Passkey,
    /// What it was added as.
    id: String,
}

async fn asked(acme: &Organisation<'_>, token: &str) -> anyhow::Result<Value> {
    let options = acme.post(token, "/v1/auth/passkeys/options", &Value::Null).await?;
    anyhow::ensure!(options.status == StatusCode::OK, "{} {}", options.status, options.text);
    Ok(options.json)
}

impl<'a> Keyed<'a> {
    async fn of(stack: &'a Stack) -> anyhow::Result<Self> {
        Self::with(stack, Passkey::at(PUBLIC_URL)?).await
    }

    async fn with(stack: &'a Stack, passkey: Passkey) -> anyhow::Result<Self> {
        let acme = Organisation::found(stack, "acme").await?;
        let ann = acme.join("ann").await?;
        let session = acme.sign_in(&ann).await?;
        let body = passkey.make(&asked(&acme, &session.access).await?)?;
        let added = acme.post(&session.access, "/v1/auth/passkeys", &body).await?;
        anyhow::ensure!(added.status == StatusCode::CREATED, "{} {}", added.status, added.text);
        let id = added.json["id"].as_str().unwrap_or_default().to_owned();
        let mut it = Self { acme, ann, session, passkey, id };
        it.session = SignedIn::of(&it.sign_in().await?)?;
        Ok(it)
    }

    async fn options(&self) -> anyhow::Result<Value> {
        let body = json!({ "tenant_slug": self.acme.slug });
        Ok(self.acme.post("", "/v1/auth/passkey-sign-in/options", &body).await?.json)
    }

    async fn sign_in(&mut self) -> anyhow::Result<Answer> {
        let options = self.options().await?;
        let body = self.passkey.sign(&self.acme.slug, &options)?;
        self.acme.post("", "/v1/auth/passkey-sign-in", &body).await
    }

    async fn remove(&self, id: &str) -> anyhow::Result<Answer> {
        self.remove_in(&self.session, id).await
    }

    async fn remove_in(&self, session: &SignedIn, id: &str) -> anyhow::Result<Answer> {
        let url = format!("{}/v1/auth/passkeys/{id}", self.acme.stack.command_url);
        answer(self.acme.stack.request(Method::DELETE, &session.access, &url)).await
    }
}

#[tokio::test]
async fn nothing_that_is_open_to_everybody_tells_which_organisations_there_are() -> Test {
    let stack = Stack::commands_only().await?;
    let mut it = Keyed::of(&stack).await?;
    let options = "/v1/auth/passkey-sign-in/options";
    let mut told = Vec::new();
    for slug in ["acme", "nowhere"] {
        let asked = it.acme.post("", options, &json!({ "tenant_slug": slug })).await?;
        let mut shape = asked.json.clone();
        assert!(shape["challenge"].take().as_str().is_some_and(|it| it.len() == 43), "{}", asked.text);
        // Signed with a passkey that nobody there has.
        let signed = Passkey::at(PUBLIC_URL)?.sign(slug, &asked.json)?;
        let refused = it.acme.post("", "/v1/auth/passkey-sign-in", &signed).await?;
        let providers = format!("{}/v1/auth/providers?tenant_slug={slug}", stack.command_url);
        let providers = answer(stack.request(Method::GET, "", &providers)).await?;
        told.push((
            asked.status,
            shape,
            refused.status,
            refused.code().to_owned(),
            providers.status,
            providers.text,
        ));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!((told[0].0, told[0].3.as_str()), (StatusCode::OK, INVALID.1));
    assert_eq!(it.sign_in().await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_passkey_signs_in_by_itself_and_shows_two_factors() -> Test {
    let stack = Stack::commands_only().await?;
    let mut it = Keyed::of(&stack).await?;
    let options = it.options().await?;
    assert_eq!(
        (&options["rpId"], &options["userVerification"]),
        (&json!("quipu.example"), &json!("required"))
    );
    let signed_in = SignedIn::of(&it.sign_in().await?)?;
    let claims = signed_in.claims()?;
    assert_eq!((&claims["sub"], &claims["amr"]), (&json!(it.ann.user), &json!(["pop", "mfa"])));
    assert!(it.acme.is_taken(&signed_in.access).await?);
    // A password still does, since a passkey is no second factor of it; but not where one is asked of everybody.
    it.acme.sign_in(&it.ann).await?;
    it.acme.ask(|it| it.second_factor = SecondFactor::Required).await?;
    SignedIn::of(&it.sign_in().await?)?;
    // Nothing can be guessed, so nothing is locked, and the lock on passwords stays.
    for _ in 0..5 {
        it.acme.log_in(&it.ann.email, WRONG).await?;
    }
    SignedIn::of(&it.sign_in().await?)?;
    assert_eq!(told(&it.acme.log_in(&it.ann.email, PASSWORD).await?), (429, "identity.locked"));
    Ok(())
}

#[tokio::test]
async fn what_was_signed_is_good_once_even_in_two_processes() -> Test {
    let stack = Stack::commands_only().await?;
    // One that does not count: so it is the challenge alone that tells a second time.
    let mut passkey = Passkey::at(PUBLIC_URL)?;
    passkey.count = None;
    let mut it = Keyed::with(&stack, passkey).await?;
    let options = it.options().await?;
    let body = it.passkey.sign(&it.acme.slug, &options)?;
    let processes = [stack.command_url.clone(), stack.another_command_api().await?];
    let tries = (0..20).map(|n: usize| {
        let url = format!("{}/v1/auth/passkey-sign-in", processes[n % 2]);
        answer(stack.request(Method::POST, "", &url).json(&body))
    });
    let answers = try_join_all(tries).await?;
    let good = answers.iter().filter(|it| it.status == StatusCode::OK).count();
    assert_eq!(good, 1);
    assert!(answers.iter().filter(|it| it.status != StatusCode::OK).all(|it| told(it) == INVALID));
    Ok(())
}

#[tokio::test]
async fn what_was_signed_elsewhere_or_for_something_else_is_not_good() -> Test {
    let stack = Stack::commands_only().await?;
    let mut it = Keyed::of(&stack).await?;
    let origin = it.passkey.origin.clone();
    for elsewhere in
        ["https://quipu.example.evil.example", "http://quipu.example", "https://quipu.example:8443"]
    {
        it.passkey.origin = elsewhere.to_owned();
        assert_eq!(told(&it.sign_in().await?), INVALID, "{elsewhere}");
    }
    it.passkey.origin = origin;
    it.passkey.rp_id = "evil.example".to_owned();
    assert_eq!(told(&it.sign_in().await?), INVALID);
    it.passkey.rp_id = "quipu.example".to_owned();
    it.passkey.flags = 0x01;
    assert_eq!(told(&it.sign_in().await?), INVALID, "nobody showed that it is the owner");
    it.passkey.flags = 0x05;
    // What was to be signed to add one is not what was to be signed to come in, and the other way round.
    let to_add = asked(&it.acme, &it.session.access).await?;
    let body = it.passkey.sign(&it.acme.slug, &to_add)?;
    assert_eq!(told(&it.acme.post("", "/v1/auth/passkey-sign-in", &body).await?), INVALID);
    let body = Passkey::at(PUBLIC_URL)?.make(&it.options().await?)?;
    assert_eq!(told(&it.acme.post(&it.session.access, "/v1/auth/passkeys", &body).await?), INVALID);
    // Nor is what somebody else was to sign.
    let bob = it.acme.sign_in(&it.acme.join("bob").await?).await?;
    let body = Passkey::at(PUBLIC_URL)?.make(&asked(&it.acme, &bob.access).await?)?;
    assert_eq!(told(&it.acme.post(&it.session.access, "/v1/auth/passkeys", &body).await?), INVALID);
    // A passkey of one organisation is nothing in another.
    let other = Organisation::found(&stack, "other").await?;
    let options =
        it.acme.post("", "/v1/auth/passkey-sign-in/options", &json!({ "tenant_slug": "other" })).await?;
    let body = it.passkey.sign(&other.slug, &options.json)?;
    assert_eq!(told(&it.acme.post("", "/v1/auth/passkey-sign-in", &body).await?), INVALID);
    SignedIn::of(&it.sign_in().await?)?;
    Ok(())
}

#[tokio::test]
async fn a_passkey_that_counts_backwards_lets_nobody_in_and_is_told() -> Test {
    let stack = Stack::commands_only().await?;
    let mut it = Keyed::of(&stack).await?;
    it.passkey.count = Some(10);
    SignedIn::of(&it.sign_in().await?)?;
    it.passkey.count = Some(4);
    assert_eq!(told(&it.sign_in().await?), INVALID);
    let mut conn = stack.database.superuser().await?;
    let events: i64 =
        sqlx::query_scalar("select count(*) from store.events where type = 'identity.passkey-regressed'")
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(events, 1);
    it.passkey.count = Some(11);
    SignedIn::of(&it.sign_in().await?)?;
    Ok(())
}

/// Where everybody needs a second factor, a passkey is one: whoever has only learnt the password comes by none of their own.
#[tokio::test]
async fn a_password_alone_changes_nothing_beside_a_passkey() -> Test {
    let stack = Stack::commands_only().await?;
    let it = Keyed::of(&stack).await?;
    it.acme.ask(|it| it.second_factor = SecondFactor::Required).await?;
    let known = it.acme.sign_in(&it.ann).await?;
    let lacking = (403, "auth.second-factor-missing");
    for path in ["/v1/auth/totp", "/v1/auth/recovery-codes", "/v1/auth/passkeys/options"] {
        assert_eq!(told(&it.acme.post(&known.access, path, &Value::Null).await?), lacking, "{path}");
    }
    assert_eq!(told(&it.remove_in(&known, &it.id).await?), lacking);
    let again = it.acme.post(&known.access, "/v1/auth/step-up", &json!({ "password": PASSWORD })).await?;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    assert_eq!(told(&it.remove_in(&known, &it.id).await?), lacking, "nor does showing it again help");
    let change = json!({ "current": PASSWORD, "new": "violet-anchor-marble-tundra" });
    let address = json!({ "new_email": "mallory@example.com", "password": PASSWORD });
    // The new password ends other sessions, so it comes last.
    let ways = [("/v1/auth/email/change", &address), ("/v1/auth/password/change", &change)];
    for (path, body) in ways {
        assert_eq!(told(&it.acme.post(&known.access, path, body).await?), lacking, "{path}");
        let by_passkey = it.acme.post(&it.session.access, path, body).await?;
        assert!(by_passkey.status.is_success(), "{path} {}", by_passkey.text);
    }
    // Whoever shows the passkey may.
    it.acme.enrol(&it.session.access).await?;
    assert_eq!(it.remove(&it.id).await?.status, StatusCode::NO_CONTENT);
    Ok(())
}

/// Who has no factor yet adds the first by their password: of two who know it, one does, and the other has to show that one.
#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_add_the_first_factor_by_a_password_at_once_one_does() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let other = stack.another_command_api().await?;
    for round in 0..5 {
        let ann = acme.join(&format!("ann{round}")).await?;
        let mut tries = Vec::new();
        for n in 0..6 {
            let session = acme.sign_in(&ann).await?;
            let body = Passkey::at(PUBLIC_URL)?.make(&asked(&acme, &session.access).await?)?;
            let base = if n % 2 == 0 { &stack.command_url } else { &other };
            let request = stack.request(Method::POST, &session.access, &format!("{base}/v1/auth/passkeys"));
            tries.push(answer(request.json(&body)));
        }
        let answers = try_join_all(tries).await?;
        let (added, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|it| it.status == StatusCode::CREATED);
        assert_eq!(added.len(), 1, "{:?}", answers.iter().map(told).collect::<Vec<_>>());
        assert!(refused.iter().all(|it| told(it) == (403, "auth.second-factor-missing")));
    }
    Ok(())
}

#[tokio::test]
async fn a_passkey_is_good_while_its_owner_has_it() -> Test {
    let stack = Stack::commands_only().await?;
    let mut it = Keyed::of(&stack).await?;
    let again = it.passkey.make(&asked(&it.acme, &it.session.access).await?)?;
    let again = it.acme.post(&it.session.access, "/v1/auth/passkeys", &again).await?;
    assert_eq!(told(&again), (409, "identity.factor-exists"));
    assert_eq!(
        asked(&it.acme, &it.session.access).await?["excludeCredentials"].as_array().map(Vec::len),
        Some(1)
    );
    let nobodys = uuid::Uuid::nil().to_string();
    assert_eq!(told(&it.remove(&nobodys).await?), (404, "identity.factor-not-found"));
    assert_eq!(it.remove(&it.id).await?.status, StatusCode::NO_CONTENT);
    assert_eq!(told(&it.sign_in().await?), INVALID);
    assert_eq!(it.acme.letters("factors-changed").await?.len(), 2, "added, and removed");
    // Ten at most; an administrator takes all of them away.
    let mut last = None;
    for _ in 0..10 {
        let passkey = Passkey::at(PUBLIC_URL)?;
        let body = passkey.make(&asked(&it.acme, &it.session.access).await?)?;
        let added = it.acme.post(&it.session.access, "/v1/auth/passkeys", &body).await?;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
        last = Some(passkey);
    }
    let body = Passkey::at(PUBLIC_URL)?.make(&asked(&it.acme, &it.session.access).await?)?;
    let eleventh = it.acme.post(&it.session.access, "/v1/auth/passkeys", &body).await?;
    assert_eq!(told(&eleventh), (422, "identity.too-many-factors"));
    it.passkey = last.expect("the tenth");
    SignedIn::of(&it.sign_in().await?)?;
    it.acme.done(DeactivateUser { user_id: it.ann.user, because: Word::of("left") }).await?;
    assert_eq!(told(&it.sign_in().await?), INVALID, "nobody is told that there is such a person");
    it.acme.done(domain::identity::ReactivateUser { user_id: it.ann.user }).await?;
    SignedIn::of(&it.sign_in().await?)?;
    let admin = Members::of(&stack, it.acme.tenant)?.join(&[RoleRef::ADMIN]).await?;
    let url = format!("{}/v1/users/{}/factors", stack.command_url, it.ann.user);
    let removed = answer(stack.request(Method::DELETE, &admin.token, &url)).await?;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.text);
    assert_eq!(told(&it.sign_in().await?), INVALID);
    Ok(())
}

/// Browsers would refuse to make one, and say nothing that helps.
#[tokio::test(flavor = "multi_thread")]
async fn where_we_have_an_address_and_no_name_there_are_no_passkeys() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let session = acme.sign_in(&ann).await?;
    let unnamed = stack.command_api_at("http://127.0.0.1:8080").await?;
    let begin = json!({ "tenant_slug": "acme" });
    for (token, path, body) in [
        (session.access.as_str(), "/v1/auth/passkeys/options", &Value::Null),
        ("", "/v1/auth/passkey-sign-in/options", &begin),
    ] {
        let asked =
            |base: &str| answer(stack.request(Method::POST, token, &format!("{base}{path}")).json(body));
        assert_eq!(told(&asked(&unnamed).await?), (503, "identity.passkeys-off"), "{path}");
        assert_eq!(asked(&stack.command_url).await?.status, StatusCode::OK, "{path}");
    }
    let page = browser()?.get(format!("{unnamed}/sign-in?organization=acme")).send().await?.text().await?;
    assert!(page.contains("Password") && !page.contains("Sign in with a passkey"), "{page}");
    Ok(())
}
