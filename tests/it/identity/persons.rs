//! One person in two organisations: linked on the proof of both, seen by themselves alone, and let in where the organisation
//! there lets them in.

mod proofs;

use std::time::Duration;

use anyhow::Context as _;
use domain::identity::{DeactivateUser, ReactivateUser};
use domain::ids::SessionId;
use domain::organisation::{Granter, RemoveMember, TenantStatus};
use domain::sign_in::StartSession;
use domain::words::Word;
use event_store::vault::{FactorChange, Mail};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::permissions::role_table;
use tests::members::Members;
use tests::passkey::Passkey;
use tests::person::{Organisation, Person, SignedIn};
use tests::stack::{Answer, PUBLIC_URL, Stack, answer};
use tests::until;
use uuid::Uuid;

type Test = anyhow::Result<()>;

/// Within which what ended is known to have ended, everywhere.
const DOWN: Duration = Duration::from_secs(5);

/// Ann, who is in two organisations, and signed in to both.
pub(super) struct Both<'a> {
    stack: &'a Stack,
    pub(super) acme: Organisation<'a>,
    pub(super) globex: Organisation<'a>,
    /// Who she is in the one and in the other.
    pub(super) ann: Person,
    pub(super) anna: Person,
    here: SignedIn,
    pub(super) there: SignedIn,
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

impl<'a> Both<'a> {
    pub(super) async fn of(stack: &'a Stack) -> anyhow::Result<Self> {
        let acme = Organisation::found(stack, "acme").await?;
        let globex = Organisation::found(stack, "globex").await?;
        let (ann, anna) = (acme.join("ann").await?, globex.join("anna").await?);
        let (here, there) = (acme.sign_in(&ann).await?, globex.sign_in(&anna).await?);
        Ok(Self { stack, acme, globex, ann, anna, here, there })
    }

    /// Asks at home for a code for somebody of the other organisation.
    async fn ask(&self, token: &str, slug: &str, email: &str) -> anyhow::Result<Answer> {
        let body = json!({ "tenant_slug": slug, "email": email });
        self.stack.post(token, "/v1/auth/links/identities", &body).await
    }

    async fn code(&self) -> anyhow::Result<String> {
        let offered = self.ask(&self.here.access, "globex", &self.anna.email).await?;
        anyhow::ensure!(offered.status == StatusCode::OK, "{} {}", offered.status, offered.text);
        assert_eq!((offered.header("cache-control"), &offered.json["expires_in"]), ("no-store", &json!(600)));
        Ok(offered.json["code"].as_str().context("a code")?.to_owned())
    }

    async fn show(&self, token: &str, code: &str) -> anyhow::Result<Answer> {
        self.stack.post(token, "/v1/auth/links/identities/confirm", &json!({ "code": code })).await
    }

    /// Links the two, and says how the link is called in the organisation where the code was shown.
    pub(super) async fn link(&self) -> anyhow::Result<Uuid> {
        let linked = self.show(&self.there.access, &self.code().await?).await?;
        anyhow::ensure!(linked.status == StatusCode::OK, "{} {}", linked.status, linked.text);
        Ok(linked.json["id"].as_str().context("a link")?.parse()?)
    }

    async fn unlink(&self, token: &str, link: Uuid) -> anyhow::Result<Answer> {
        let url = format!("{}/v1/auth/links/identities/{link}", self.stack.command_url);
        answer(self.stack.request(Method::DELETE, token, &url)).await
    }

    async fn go(&self, token: &str, slug: &str) -> anyhow::Result<Answer> {
        self.stack.post(token, "/v1/auth/switch", &json!({ "tenant_slug": slug })).await
    }

    /// A session of the other organisation that came by the link.
    pub(super) async fn switched(&self) -> anyhow::Result<SignedIn> {
        SignedIn::of(&self.go(&self.here.access, "globex").await?)
    }

    /// What the person sees: the names of the organisations, and whether or why not they could go there.
    pub(super) async fn list(&self, token: &str) -> anyhow::Result<Vec<Value>> {
        let url = format!("{}/v1/auth/organizations", self.stack.command_url);
        let list = answer(self.stack.request(Method::GET, token, &url)).await?;
        anyhow::ensure!(list.status == StatusCode::OK, "{} {}", list.status, list.text);
        Ok(list.json["organizations"].as_array().context("organisations")?.clone())
    }

    /// The same of the other organisation alone: whether, and why not.
    async fn could_go(&self) -> anyhow::Result<(Value, Value)> {
        let all = self.list(&self.here.access).await?;
        let other = all.get(1).context("the other one")?;
        Ok((other["can_switch"].clone(), other["reason"].clone()))
    }

    async fn rows(&self) -> anyhow::Result<i64> {
        let mut conn = self.stack.database.superuser().await?;
        Ok(sqlx::query_scalar("select count(*) from vault.person_links").fetch_one(&mut conn).await?)
    }
}

/// How many sides of a link each log tells of: written less taken away.
async fn halves(both: &Both<'_>) -> anyhow::Result<Vec<i64>> {
    let mut conn = both.stack.database.superuser().await?;
    let mut halves = Vec::new();
    for (organisation, user) in [(&both.acme, &both.ann), (&both.globex, &both.anna)] {
        let count = sqlx::query_scalar(
            "select count(*) filter (where type = 'identity.identities-linked')
                  - count(*) filter (where type = 'identity.identities-unlinked')
             from store.events where tenant_id = $1 and stream_id = $2",
        )
        .bind(organisation.tenant.uuid())
        .bind(user.user.uuid());
        halves.push(count.fetch_one(&mut conn).await?);
    }
    Ok(halves)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_goes_from_one_organisation_to_the_other_without_signing_in_again() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    assert_eq!(told(&both.go(&both.here.access, "globex").await?), (404, "identity.not-linked"));
    let link = both.link().await?;
    for organisation in [&both.acme, &both.globex] {
        assert_eq!(organisation.letters("factors-changed").await?.len(), 1, "{}", organisation.slug);
    }

    let seen = both.list(&both.here.access).await?;
    let named = |it: &Value| (it["slug"].clone(), it["user_id"].clone(), it["current"].clone());
    let (ann, anna) = (json!(both.ann.user.to_string()), json!(both.anna.user.to_string()));
    assert_eq!(
        seen.iter().map(named).collect::<Vec<_>>(),
        [(json!("acme"), ann, json!(true)), (json!("globex"), anna.clone(), json!(false))]
    );
    assert_eq!(seen[1]["can_switch"], json!(true), "{seen:?}");
    let from_there = both.list(&both.there.access).await?;
    assert_eq!(from_there[1]["slug"], json!("acme"));
    assert_eq!(from_there[1]["link_id"], json!(link.to_string()));
    assert_ne!(seen[1]["link_id"], from_there[1]["link_id"], "each side has a name of its own for it");

    let gone = both.go(&both.here.access, "globex").await?;
    let session = SignedIn::of(&gone)?;
    assert_eq!(gone.header("cache-control"), "no-store");
    let (before, after) = (both.here.claims()?, session.claims()?);
    assert_eq!(after["sub"], anna);
    assert_eq!((&after["amr"], &after["auth_time"]), (&before["amr"], &before["auth_time"]), "no fresher");
    assert!(both.globex.is_taken(&session.access).await?);
    let session = SignedIn::of(&both.globex.refresh(&session.refresh).await?)?;

    // Whatever becomes of the session that it came from, this one goes on.
    let out = json!({ "refresh_token": both.here.refresh });
    assert_eq!(stack.post("", "/v1/auth/logout", &out).await?.status, StatusCode::NO_CONTENT);
    until(DOWN, async || Ok(!both.acme.is_taken(&both.here.access).await?)).await?;
    assert!(both.globex.is_taken(&session.access).await?);
    assert_eq!(both.globex.refresh(&session.refresh).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_came_by_a_link_ends_with_it_whoever_takes_it_away() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    for by_the_other in [false, true] {
        let link = both.link().await?;
        let session = both.switched().await?;
        let listed = both.list(&both.here.access).await?[1]["link_id"].as_str().context("a link")?.parse()?;
        let (token, link) = if by_the_other { (&both.there, link) } else { (&both.here, listed) };
        assert_eq!(both.unlink(&token.access, link).await?.status, StatusCode::NO_CONTENT);
        until(DOWN, async || Ok(!both.globex.is_taken(&session.access).await?)).await?;
        let refresh = both.globex.refresh(&session.refresh).await?;
        assert_eq!(told(&refresh), (401, "identity.refresh-invalid"));
        assert_eq!(told(&both.unlink(&token.access, link).await?), (404, "identity.not-linked"));
        for organisation in [&both.acme, &both.globex] {
            let last = organisation.letters("factors-changed").await?.pop().context("a letter")?.mail;
            assert!(matches!(last, Mail::FactorsChanged { change: FactorChange::Unlinked, .. }), "{last:?}");
        }
        assert_eq!((halves(&both).await?, both.rows().await?), (vec![0, 0], 0));
        assert_eq!(both.list(&both.there.access).await?.len(), 1);
        for it in [&both.here, &both.there] {
            assert!(both.acme.is_taken(&it.access).await?, "other sessions go on");
        }
    }
    // Somebody else's link is not there.
    let link = both.link().await?;
    let eve = both.globex.sign_in(&both.globex.join("eve").await?).await?;
    assert_eq!(told(&both.unlink(&eve.access, link).await?), (404, "identity.not-linked"));
    assert_eq!(halves(&both).await?, [1, 1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_code_links_nobody_else() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    let eve = both.globex.sign_in(&both.globex.join("eve").await?).await?;
    let mallory = both.acme.sign_in(&both.acme.join("mallory").await?).await?;
    let code = both.code().await?;
    for thief in [&eve, &mallory, &both.here] {
        let refused = both.show(&thief.access, &code).await?;
        assert_eq!(told(&refused), (404, "identity.link-code-invalid"), "{}", refused.text);
    }
    assert_eq!(both.rows().await?, 0);
    // It was not used up by that, and is by her; and a newer one takes its place.
    let newer = both.code().await?;
    assert_eq!(told(&both.show(&both.there.access, &code).await?), (404, "identity.link-code-invalid"));
    assert_eq!(both.show(&both.there.access, &newer).await?.status, StatusCode::OK);
    assert_eq!(told(&both.show(&both.there.access, &newer).await?), (404, "identity.link-code-invalid"));
    // No code tells whether there is such an organisation, or such a person in it.
    for (slug, email) in [("nowhere", "ann@example.com"), ("globex", "nobody@example.com")] {
        assert_eq!(both.ask(&both.here.access, slug, email).await?.status, StatusCode::OK, "{slug} {email}");
    }
    let own = both.ask(&both.here.access, "acme", "eve@example.com").await?;
    assert_eq!(told(&own), (422, "identity.same-organisation"));
    for odd in ["", "ql_", "ql_a_b_c", "qr_a_b_c", &newer.replace("ql_", "qm_")] {
        assert_eq!(told(&both.show(&both.there.access, odd).await?), (404, "identity.link-code-invalid"));
    }
    Ok(())
}

/// The owner of an organisation can come back from a provider of theirs as any of its people, and set up what such a session can.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_s_word_with_a_factor_enrolled_on_it_opens_no_other_organisation() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    both.link().await?;
    let members = Members::of(&stack, both.acme.tenant)?;
    let vouched = async || {
        let session_id = SessionId::new(Uuid::now_v7());
        let start = members.start(both.ann.user, session_id);
        members.done(StartSession { amr: vec![Word::of("fed")], ..start }).await?;
        members.token(both.ann.user, session_id)
    };
    let opens_nothing = async |token: &str| {
        assert_eq!(both.list(token).await?.len(), 1, "nor is it told of another one");
        // Nor does anything say where else she is, and nobody tries codes there.
        for slug in ["globex", "platform", "nowhere"] {
            let body = json!({ "tenant_slug": slug, "code": "000000" });
            for refused in [both.go(token, slug).await?, stack.post(token, "/v1/auth/switch", &body).await?] {
                assert_eq!(told(&refused), (403, "identity.own-proof-required"), "{slug}");
            }
        }
        let mut conn = stack.database.superuser().await?;
        let guesses: i64 =
            sqlx::query_scalar("select count(*) from vault.attempts").fetch_one(&mut conn).await?;
        assert_eq!(guesses, 0);
        let asked = both.ask(token, "globex", &both.anna.email).await?;
        assert_eq!(told(&asked), (403, "identity.own-proof-required"));
        anyhow::Ok(())
    };
    let by_provider = vouched().await?;
    opens_nothing(&by_provider).await?;
    let mut passkey = Passkey::at(PUBLIC_URL)?;
    let asked = both.acme.post(&by_provider, "/v1/auth/passkeys/options", &Value::Null).await?;
    let added = both.acme.post(&by_provider, "/v1/auth/passkeys", &passkey.make(&asked.json)?).await?;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
    let here = json!({ "tenant_slug": "acme" });
    let asked = both.acme.post("", "/v1/auth/passkey-sign-in/options", &here).await?;
    let signed = passkey.sign("acme", &asked.json)?;
    let by_passkey = SignedIn::of(&both.acme.post("", "/v1/auth/passkey-sign-in", &signed).await?)?;
    assert_eq!(by_passkey.claims()?["amr"], json!(["fed", "pop", "mfa"]));
    opens_nothing(&by_passkey.access).await?;
    // Nor what is set up by such a passkey, and so on.
    both.acme.enrol(&by_passkey.access).await?;
    opens_nothing(&by_passkey.access).await?;
    // With the password it is herself.
    let shown = SessionId::new(Uuid::now_v7());
    let start = members.start(both.ann.user, shown);
    let amr = vec![Word::of("fed"), Word::of("otp"), Word::of("pwd")];
    members.done(StartSession { amr, ..start }).await?;
    let shown = members.token(both.ann.user, shown)?;
    assert_eq!(both.list(&shown).await?.len(), 2);
    assert_eq!(both.go(&shown, "globex").await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_organisation_there_decides_who_comes_in() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    both.link().await?;
    let refused = async |status: u16, code: &str| {
        let gone = both.go(&both.here.access, "globex").await?;
        assert_eq!(told(&gone), (status, code), "{}", gone.text);
        assert_eq!(both.could_go().await?, (json!(false), json!(code)));
        anyhow::Ok(())
    };
    let user_id = both.anna.user;
    both.globex.done(DeactivateUser { user_id, because: Word::of("left") }).await?;
    refused(409, "identity.user-inactive").await?;
    both.globex.done(ReactivateUser { user_id }).await?;
    let globex = Members::of(&stack, both.globex.tenant)?;
    globex.stand(TenantStatus::Suspended).await?;
    refused(403, "organisation.not-active").await?;
    globex.stand(TenantStatus::Active).await?;
    assert_eq!(both.could_go().await?, (json!(true), Value::Null));

    // Who has a second factor there is asked for it, and it is theirs there that counts.
    let there = both.globex.sign_in(&both.anna).await?;
    let enrolled = both.globex.enrol(&there.access).await?;
    refused(403, "identity.second-factor-required").await?;
    both.globex.as_if_later().await?;
    let with = async |code: &str| {
        let body = json!({ "tenant_slug": "globex", "code": code });
        stack.post(&both.here.access, "/v1/auth/switch", &body).await
    };
    let wrong = with(&enrolled.authenticator.wrong_code()?).await?;
    assert_eq!(told(&wrong), (401, "identity.code-invalid"));
    let code = enrolled.authenticator.code()?;
    let session = SignedIn::of(&with(&code).await?)?;
    assert_eq!(session.claims()?["amr"], json!(["pwd", "otp"]));
    assert_eq!(session.claims()?["auth_time"], both.here.claims()?["auth_time"]);
    let again = with(&code).await?;
    assert_eq!(told(&again), (401, "identity.code-invalid"), "a code is good once");

    let (because, table) = (Word::of("left"), role_table(both.globex.tenant).clone());
    both.globex.done(RemoveMember { user_id, because, by: Granter::Platform, table }).await?;
    let gone = with(&enrolled.authenticator.next_code()?).await?;
    assert_eq!(told(&gone), (403, "organisation.not-a-member"), "{}", gone.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_organisation_is_told_of_the_other() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    both.link().await?;
    let session = both.switched().await?;
    let listed = both.list(&both.here.access).await?;
    let link: Uuid = listed[1]["link_id"].as_str().context("a link")?.parse()?;
    let ids = [
        [both.acme.tenant.uuid(), both.ann.user.uuid(), both.here.session()?.uuid(), link],
        [both.globex.tenant.uuid(), both.anna.user.uuid(), session.session()?.uuid(), Uuid::nil()],
    ];
    assert_eq!(both.unlink(&both.here.access, link).await?.status, StatusCode::NO_CONTENT);
    let mut conn = stack.database.superuser().await?;
    let kinds =
        ["identity.identities-linked", "identity.organization-switched", "identity.identities-unlinked"];
    let mut traces = Vec::new();
    for (own, (organisation, others)) in
        [&both.acme, &both.globex].into_iter().zip(ids.iter().rev()).enumerate()
    {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "select type, payload::text, meta::text from store.events where tenant_id = $1 order by position",
        )
        .bind(organisation.tenant.uuid())
        .fetch_all(&mut conn)
        .await?;
        for (kind, payload, meta) in &rows {
            for id in others.iter().filter(|it| !it.is_nil()) {
                let told = payload.contains(&id.to_string()) || meta.contains(&id.to_string());
                assert!(!told, "{kind} of {} tells {id}: {payload} {meta}", organisation.slug);
            }
        }
        let told: Vec<&str> = rows.iter().map(|it| it.0.as_str()).filter(|it| kinds.contains(it)).collect();
        let there = ["identity.identities-linked", "identity.identities-unlinked"];
        assert_eq!(told, if own == 0 { &kinds[..] } else { &there[..] });
        let linked = rows.iter().find(|it| it.0 == kinds[0]).context("a link")?;
        let meta: Value = serde_json::from_str(&linked.2)?;
        traces.push((meta["correlation"].clone(), meta["trace"].clone()));
    }
    assert!(traces[0].0 != traces[1].0 && traces[0].1 != traces[1].1, "nothing is in both: {traces:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_show_codes_at_once_one_links() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    let other = stack.another_command_api().await?;
    for _ in 0..5 {
        // One code at either side, each shown many times in two processes at once: two links would be one too many.
        let to_there = both.code().await?;
        let offered = both.ask(&both.there.access, "acme", &both.ann.email).await?;
        let to_here = offered.json["code"].as_str().context("a code")?.to_owned();
        let shown = (0..12).map(|n| {
            let (token, code) = if n % 2 == 0 { (&both.there, &to_there) } else { (&both.here, &to_here) };
            let base = if n % 4 < 2 { &stack.command_url } else { &other };
            let url = format!("{base}/v1/auth/links/identities/confirm");
            answer(stack.request(Method::POST, &token.access, &url).json(&json!({ "code": code })))
        });
        let answers = join_all(shown).await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let linked = answers.iter().filter(|it| it.status == StatusCode::OK).count();
        assert_eq!(linked, 1, "{:?}", answers.iter().map(told).collect::<Vec<_>>());
        assert_eq!((halves(&both).await?, both.rows().await?), (vec![1, 1], 2));
        let link = both.list(&both.here.access).await?[1]["link_id"].as_str().context("a link")?.parse()?;
        assert_eq!(both.unlink(&both.here.access, link).await?.status, StatusCode::NO_CONTENT);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_by_a_link_that_is_being_taken_away() -> Test {
    let stack = Stack::commands_only().await?;
    let both = Both::of(&stack).await?;
    let other = stack.another_command_api().await?;
    for n in 0..5 {
        let link = both.link().await?;
        let goes = (0..6).map(|n| {
            let base = if n % 2 == 0 { &stack.command_url } else { &other };
            let request = stack.request(Method::POST, &both.here.access, &format!("{base}/v1/auth/switch"));
            answer(request.json(&json!({ "tenant_slug": "globex" })))
        });
        let url = format!("{other}/v1/auth/links/identities/{link}");
        let away = (0..2).map(|_| answer(stack.request(Method::DELETE, &both.there.access, &url)));
        let (gone, away) = tokio::join!(join_all(goes), join_all(away));
        for it in away {
            let it = it?;
            assert!([204, 404].contains(&it.status.as_u16()), "{n}: {} {}", it.status, it.text);
        }
        assert_eq!((halves(&both).await?, both.rows().await?), (vec![0, 0], 0));
        for it in gone {
            let it = it?;
            if it.status == StatusCode::OK {
                let session = SignedIn::of(&it)?;
                until(DOWN, async || Ok(!both.globex.is_taken(&session.access).await?)).await?;
                assert_eq!(both.globex.refresh(&session.refresh).await?.status, StatusCode::UNAUTHORIZED);
            } else {
                // Before the answer, a session that began is looked at once more.
                let codes = ["identity.not-linked", "identity.invalid-credentials"];
                assert!(codes.contains(&it.code()), "{n}: {} {}", it.status, it.text);
            }
        }
    }
    Ok(())
}
