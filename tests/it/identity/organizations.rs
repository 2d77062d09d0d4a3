//! Organisations from the request to the end: founded by a letter, decided about by the platform, closed by their owners.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{SecondsFormat, Utc};
use domain::ids::TenantId;
use domain::organisation::RoleRef;
use event_store::MasterKey;
use event_store::vault::{Letter, Mail, Ruling};
use futures_util::future::join_all;
use projector::{Projector, ProjectorOptions, ReactorOptions};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::config::KeyConfig;
use tests::members::Members;
use tests::person::PASSWORD;
use tests::stack::{Answer, Stack, answer, quick};
use tests::tab::Tab;
use tests::until;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);
const ANOTHER: &str = "violet-anchor-marble-tundra";

/// A platform whose post is looked after.
struct Platform {
    stack: Stack,
    master: std::sync::Arc<MasterKey>,
    _reactors: (Projector, DropGuard),
}

impl Platform {
    async fn open() -> anyhow::Result<Self> {
        let stack = Stack::whole().await?;
        let keys = KeyConfig::at(stack.keys.path());
        let master = std::sync::Arc::new(MasterKey::new(&keys.master_key()?)?);
        let shutdown = CancellationToken::new();
        let reactor =
            ReactorOptions::new(stack.database.options("quipu_reactor")?, std::sync::Arc::clone(&master));
        let options = ProjectorOptions::new(stack.database.options("quipu_projector")?, shutdown.clone());
        let projector = Projector::start(ProjectorOptions {
            followers: Vec::new(),
            reactor: Some(reactor),
            timing: quick(),
            connections_max: 4,
            ..options
        });
        Ok(Self { stack, master, _reactors: (projector, shutdown.drop_guard()) })
    }

    async fn send(
        &self,
        method: Method,
        token: &str,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Answer> {
        let request = self.stack.request(method, token, &format!("{}{path}", self.stack.command_url));
        let request = request.header("Idempotency-Key", Uuid::now_v7().to_string());
        answer(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn ask(&self, slug: &str, email: &str) -> anyhow::Result<Answer> {
        let owner = json!({ "email": email, "password": PASSWORD, "given_name": "Ann" });
        let body = json!({ "slug": slug, "name": "Acme", "owner": owner });
        self.send(Method::POST, "", "/v1/organizations", Some(body)).await
    }

    /// The links of all letters to an address, once there are as many.
    async fn links(&self, email: &str, count: usize) -> anyhow::Result<Vec<String>> {
        let found = async || {
            let mut conn = self.stack.database.superuser().await?;
            let rows: Vec<(Uuid, Uuid, Vec<u8>)> = sqlx::query_as(
                "select tenant_id, mail_id, sealed from vault.outbox where sealed is not null",
            )
            .fetch_all(&mut conn)
            .await?;
            let mut links = Vec::new();
            for (tenant, mail, sealed) in rows {
                let letter = Letter::open(TenantId::new(tenant), mail, &sealed, &self.master)?;
                if let Mail::VerifyAddress { token, .. } = letter.mail
                    && letter.to == email
                {
                    links.push(token);
                }
            }
            anyhow::Ok(links)
        };
        until(PATIENCE, async || Ok(found().await?.len() >= count)).await?;
        found().await
    }

    /// An organisation that waits for approval: which, and whose password opens it.
    async fn found(&self, slug: &str) -> anyhow::Result<TenantId> {
        let email = format!("ann@{slug}.example");
        let asked = self.ask(slug, &email).await?;
        anyhow::ensure!(asked.status == StatusCode::ACCEPTED, "{} {}", asked.status, asked.text);
        let link = self.links(&email, 1).await?.pop().context("a link")?;
        let founded = self.confirm(&link, None).await?;
        anyhow::ensure!(founded.status == StatusCode::CREATED, "{} {}", founded.status, founded.text);
        Ok(founded.json["id"].as_str().context("an id")?.parse()?)
    }

    async fn confirm(&self, link: &str, slug: Option<&str>) -> anyhow::Result<Answer> {
        let body = slug.map_or(json!({ "token": link }), |slug| json!({ "token": link, "slug": slug }));
        self.send(Method::POST, "", "/v1/organizations/confirm", Some(body)).await
    }

    async fn log_in(&self, slug: &str, email: &str) -> anyhow::Result<Answer> {
        let body = json!({ "tenant_slug": slug, "email": email, "password": PASSWORD });
        self.send(Method::POST, "", "/v1/auth/login", Some(body)).await
    }

    async fn decide(&self, token: &str, what: &str, organization: TenantId) -> anyhow::Result<Answer> {
        let body = matches!(what, "reject" | "suspend").then(|| json!({ "reason": "not as agreed" }));
        self.send(Method::POST, token, &format!("/v1/platform/organizations/{organization}/{what}"), body)
            .await
    }

    /// What the people of an organisation are told of it, in the order in which it was decided: who, what, and why.
    async fn rulings(&self, organization: TenantId) -> anyhow::Result<Vec<(String, Ruling, Option<String>)>> {
        let mut conn = self.stack.database.superuser().await?;
        let sql = "select mail_id, sealed from vault.outbox
                   where tenant_id = $1 and kind = 'organisation-decided' order by queued_at, mail_id";
        let rows: Vec<(Uuid, Vec<u8>)> =
            sqlx::query_as(sql).bind(organization.uuid()).fetch_all(&mut conn).await?;
        let told = |(mail, sealed): (Uuid, Vec<u8>)| {
            let letter = Letter::open(organization, mail, &sealed, &self.master)?;
            match letter.mail {
                Mail::OrganisationDecided { decision, reason, .. } => Ok((letter.to, decision, reason)),
                other => anyhow::bail!("{other:?}"),
            }
        };
        rows.into_iter().map(told).collect()
    }

    async fn open_account(&self, token: &str) -> anyhow::Result<Answer> {
        let cash = json!({ "name": "cash", "currency": "EUR", "normal_side": "debit" });
        self.send(Method::POST, token, "/v1/ledger/accounts", Some(cash)).await
    }
}

fn token(answer: &Answer, name: &str) -> anyhow::Result<String> {
    Ok(answer.json[name].as_str().with_context(|| answer.text.clone())?.to_owned())
}

#[tokio::test]
async fn an_organisation_is_founded_approved_suspended_and_closed() -> Test {
    let platform = Platform::open().await?;
    let before = Utc::now();
    let acme = platform.found("acme-1").await?;
    let owner = platform.stack.owner(TenantId::PLATFORM)?;
    let signed_in = platform.log_in("acme-1", "ann@acme-1.example").await?;
    let (ann, refresh) = (token(&signed_in, "access_token")?, token(&signed_in, "refresh_token")?);
    assert_eq!(platform.open_account(&ann).await?.code(), "organisation.not-active", "it waits");
    let waiting = platform.stack.get(&owner, "/v1/platform/organizations?status=pending").await?;
    assert_eq!(waiting.status, StatusCode::OK, "{}", waiting.text);

    for (slug, there) in [("acme-1", 1), ("acme-2", 0)] {
        let path = format!("/v1/platform/organizations?slug={slug}");
        let found = platform.stack.get(&owner, &path).await?;
        assert_eq!(found.json["items"].as_array().map(Vec::len), Some(there), "{slug}: {}", found.text);
    }
    let malformed = platform.stack.get(&owner, "/v1/platform/organizations?slug=Acme%201").await?;
    assert_eq!((malformed.status.as_u16(), malformed.code()), (400, "request.invalid-parameter"));

    let approved = platform.decide(&owner, "approve", acme).await?;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text);
    until(PATIENCE, async || Ok(platform.open_account(&ann).await?.status == StatusCode::CREATED)).await?;
    let position = approved.header("quipu-position");
    let row = platform.stack.get_at(&owner, &format!("/v1/platform/organizations/{acme}"), position).await?;
    assert_eq!(
        (&row.json["status"], &row.json["slug"]),
        (&json!("active"), &json!("acme-1")),
        "{}",
        row.text
    );
    let own = platform.stack.get_at(&ann, "/v1/organization", position).await?;
    assert_eq!((&own.json["status"], &own.json["name"]), (&json!("active"), &json!("Acme")), "{}", own.text);

    let early = format!("/v1/auth/permissions?as_of={}", before.to_rfc3339_opts(SecondsFormat::Millis, true));
    let early = platform.stack.get(&ann, &early).await?;
    assert_eq!(early.json["organization_status"], "absent", "{}", early.text);

    let suspended = platform.decide(&owner, "suspend", acme).await?;
    assert_eq!(suspended.status, StatusCode::OK, "{}", suspended.text);
    assert_eq!(platform.open_account(&ann).await?.code(), "organisation.not-active", "at once");
    let refused = platform
        .send(Method::POST, "", "/v1/auth/refresh", Some(json!({ "refresh_token": refresh })))
        .await?;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.text);
    let refused = platform.log_in("acme-1", "ann@acme-1.example").await?;
    assert_eq!(refused.code(), "organisation.not-active", "{}", refused.text);
    let row = platform
        .stack
        .get_at(&owner, &format!("/v1/platform/organizations/{acme}"), suspended.header("quipu-position"))
        .await?;
    assert_eq!(row.json["reason"], "not as agreed", "{}", row.text);

    let again = platform.decide(&owner, "activate", acme).await?;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    let signed_in = platform.log_in("acme-1", "ann@acme-1.example").await?;
    let ann = token(&signed_in, "access_token")?;
    let close = async |slug: &str| {
        platform.send(Method::POST, &ann, "/v1/organization/close", Some(json!({ "slug": slug }))).await
    };
    assert_eq!(close("acme-9").await?.code(), "organisation.close-unconfirmed", "not by mistake");
    let closed = close("acme-1").await?;
    assert_eq!(closed.status, StatusCode::OK, "{}", closed.text);
    let told = platform.rulings(acme).await?;
    let rulings: Vec<Ruling> = told.iter().map(|(_, ruling, _)| *ruling).collect();
    let expected = [Ruling::Approved, Ruling::Suspended, Ruling::Reactivated, Ruling::Closed];
    assert_eq!(rulings, expected);
    assert!(told.iter().all(|(to, ..)| to == "ann@acme-1.example"), "{told:?}");
    assert_eq!(told[1].2.as_deref(), Some("not as agreed"));
    assert_eq!(platform.open_account(&ann).await?.status, StatusCode::FORBIDDEN);
    assert_eq!(platform.decide(&owner, "activate", acme).await?.code(), "organisation.wrong-state");
    Ok(())
}

#[tokio::test]
async fn nothing_is_taken_before_the_link_is_used_and_a_slug_is_given_once() -> Test {
    const ASKERS: usize = 8;
    let platform = Platform::open().await?;
    for (slug, code) in [("admin", "organisation.slug-reserved"), ("-acme", "organisation.slug-malformed")] {
        let refused = platform.ask(slug, "eve@example.com").await?;
        assert_eq!(refused.code(), code, "{}", refused.text);
    }
    for _ in 0..ASKERS {
        assert_eq!(platform.ask("acme-2", "eve@example.com").await?.status, StatusCode::ACCEPTED);
    }
    let links = platform.links("eve@example.com", ASKERS).await?;
    let mut conn = platform.stack.database.superuser().await?;
    let others = "select count(*) from store.events where type <> 'platform.permissions-recorded'";
    let said: i64 = sqlx::query_scalar(others).fetch_one(&mut conn).await?;
    assert_eq!(said, 0, "the log knows of nothing");

    let answers = join_all(links.iter().map(|link| platform.confirm(link, None))).await;
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_, _>>()?;
    let lost: Vec<usize> = (0..ASKERS).filter(|n| answers[*n].code() == "organisation.slug-taken").collect();
    assert_eq!(lost.len(), ASKERS - 1, "{answers:?}");
    let loser = &links[lost[0]];
    assert_eq!(
        platform.confirm(loser, Some("acme-3")).await?.status,
        StatusCode::CREATED,
        "the link was good"
    );
    assert_eq!(platform.confirm(loser, Some("acme-4")).await?.code(), "identity.link-invalid", "once");
    let taken = platform.ask("acme-2", "late@example.com").await?;
    assert_eq!(taken.code(), "organisation.slug-taken", "{}", taken.text);
    Ok(())
}

/// Somebody asks for an organisation with the address of somebody else, and waits with a password of their own for them to follow
/// the link.
#[tokio::test]
async fn prehijacking_nobody_founds_an_organisation_with_the_password_of_somebody_else() -> Test {
    let platform = Platform::open().await?;
    let email = "chief@acme.example";
    assert_eq!(platform.ask("acme", email).await?.status, StatusCode::ACCEPTED);
    let link = platform.links(email, 1).await?.pop().context("a link")?;
    let confirm = async |password: &str| {
        let body = json!({ "token": link, "password": password });
        platform.send(Method::POST, "", "/v1/organizations/confirm", Some(body)).await
    };
    let wrong = confirm(ANOTHER).await?;
    assert_eq!(
        (wrong.status.as_u16(), wrong.code()),
        (401, "identity.invalid-credentials"),
        "{}",
        wrong.text
    );
    let mut tab = Tab::at(&platform.stack.command_url)?;
    let page = tab.get("/verify/organization").await?;
    assert!(page.text.contains("name=\"password\" type=\"password\" required"), "{}", page.text);
    let bare = tab.send("/verify/organization", &[("token", &link)]).await?;
    assert_eq!(bare.status, StatusCode::BAD_REQUEST, "{}", bare.text);
    let wrong = tab.send("/verify/organization", &[("token", &link), ("password", ANOTHER)]).await?;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{}", wrong.text);
    let mut conn = platform.stack.database.superuser().await?;
    let others = "select count(*) from store.events where type <> 'platform.permissions-recorded'";
    let said: i64 = sqlx::query_scalar(others).fetch_one(&mut conn).await?;
    assert_eq!(said, 0, "nobody is there");
    // The link is good still, for who asked.
    let done = tab.send("/verify/organization", &[("token", &link), ("password", PASSWORD)]).await?;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(platform.log_in("acme", email).await?.status, StatusCode::OK);
    assert_eq!(confirm(PASSWORD).await?.code(), "identity.link-invalid", "once");
    Ok(())
}

#[tokio::test]
async fn whoever_asked_for_an_organisation_does_not_approve_it() -> Test {
    let platform = Platform::open().await?;
    let acme = platform.found("acme-5").await?;
    let staff = Members::of(&platform.stack, TenantId::PLATFORM)?;
    let founder = staff.join_at("ann@acme-5.example", &[RoleRef::OWNER]).await?;
    let other = staff.join(&[RoleRef::ADMIN]).await?;
    let refused = platform.decide(&founder.token, "approve", acme).await?;
    assert_eq!(refused.code(), "organisation.approver-is-requester", "{}", refused.text);
    let approved = platform.decide(&other.token, "approve", acme).await?;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text);
    // Nobody of another organisation is the platform, whatever role they have there.
    let strangers = Members::of(&platform.stack, acme)?;
    let stranger = strangers.join(&[RoleRef::OWNER]).await?;
    let refused = platform.decide(&stranger.token, "suspend", acme).await?;
    assert_eq!(refused.code(), "auth.permission-missing", "{}", refused.text);
    Ok(())
}

#[tokio::test]
async fn whoever_asked_for_an_organisation_learns_why_it_was_rejected() -> Test {
    let platform = Platform::open().await?;
    let acme = platform.found("acme-7").await?;
    let owner = platform.stack.owner(TenantId::PLATFORM)?;
    let path = format!("/v1/platform/organizations/{acme}/reject");
    let word = platform.send(Method::POST, &owner, &path, Some(json!({ "because": "spam" }))).await?;
    assert_eq!(word.code(), "request.unknown-field", "nothing that is thrown away");
    for _ in 0..2 {
        let rejected = platform.decide(&owner, "reject", acme).await?;
        assert_eq!(rejected.status, StatusCode::OK, "{}", rejected.text);
    }
    let told = platform.rulings(acme).await?;
    let expected = ("ann@acme-7.example".to_owned(), Ruling::Rejected, Some("not as agreed".to_owned()));
    assert_eq!(told, [expected], "once, in the words of whoever decided");
    Ok(())
}

#[tokio::test]
async fn the_platform_gives_an_organisation_seats() -> Test {
    let platform = Platform::open().await?;
    let acme = platform.found("acme-8").await?;
    let owner = platform.stack.owner(TenantId::PLATFORM)?;
    assert_eq!(platform.decide(&owner, "approve", acme).await?.status, StatusCode::OK);
    let signed_in = platform.log_in("acme-8", "ann@acme-8.example").await?;
    let ann = token(&signed_in, "access_token")?;
    let seats = async |id: TenantId, seats: Value| {
        let path = format!("/v1/platform/organizations/{id}/seats");
        platform.send(Method::PUT, &owner, &path, Some(json!({ "seats": seats }))).await
    };
    let invite = async || {
        let body = json!({ "email": "bob@example.com", "roles": ["user"] });
        platform.send(Method::POST, &ann, "/v1/invitations", Some(body)).await
    };
    for odd in [json!(0), json!(1_000_001), json!("two")] {
        assert_eq!(seats(acme, odd.clone()).await?.status, StatusCode::BAD_REQUEST, "{odd}");
    }
    assert_eq!(seats(acme, json!(1)).await?.status, StatusCode::OK);
    assert_eq!(invite().await?.code(), "organisation.seats-used-up");
    let more = seats(acme, Value::Null).await?;
    assert_eq!(more.status, StatusCode::OK, "{}", more.text);
    let invited = invite().await?;
    assert_eq!(invited.status, StatusCode::CREATED, "{}", invited.text);
    assert_eq!(seats(TenantId::new(Uuid::now_v7()), json!(2)).await?.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn every_decision_in_every_state_is_done_or_refused() -> Test {
    let platform = Platform::open().await?;
    let owner = platform.stack.owner(TenantId::PLATFORM)?;
    for (n, (before, what, expected)) in [
        (vec![], "suspend", "organisation.wrong-state"),
        (vec![], "activate", "organisation.wrong-state"),
        (vec!["approve"], "approve", ""),
        (vec!["approve"], "reject", "organisation.wrong-state"),
        (vec!["approve"], "activate", ""),
        (vec!["reject"], "approve", "organisation.wrong-state"),
        (vec!["reject"], "reject", ""),
        (vec!["reject"], "suspend", "organisation.wrong-state"),
        (vec!["approve", "suspend"], "approve", "organisation.wrong-state"),
        (vec!["approve", "suspend"], "suspend", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let acme = platform.found(&format!("state-{n}")).await?;
        for step in &before {
            assert_eq!(platform.decide(&owner, step, acme).await?.code(), "", "{step} of {before:?}");
        }
        let told = platform.decide(&owner, what, acme).await?;
        assert_eq!(told.code(), expected, "{before:?} {what}: {}", told.text);
    }
    assert_eq!(
        platform.decide(&owner, "approve", TenantId::new(Uuid::now_v7())).await?.status,
        StatusCode::NOT_FOUND
    );
    Ok(())
}

#[tokio::test]
async fn an_organisation_is_renamed_and_sets_its_policies() -> Test {
    let stack = Stack::whole().await?;
    let organisation = tests::person::Organisation::found(&stack, "acme-6").await?;
    let members = Members::of(&stack, organisation.tenant)?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let url = |path: &str| format!("{}{path}", stack.command_url);
    let renamed = stack.request(Method::PATCH, &owner.token, &url("/v1/organization"));
    let renamed = answer(renamed.json(&json!({ "name": "Acme & Sons" }))).await?;
    assert_eq!(renamed.status, StatusCode::OK, "{}", renamed.text);
    let own = stack.get_at(&owner.token, "/v1/organization", renamed.header("quipu-position")).await?;
    assert_eq!(own.json["name"], "Acme & Sons", "{}", own.text);

    let before = stack.get(&owner.token, "/v1/organization/policy").await?;
    assert_eq!(
        (&before.json["version"], &before.json["policy"]["registration"]),
        (&json!(1), &json!("explicit"))
    );
    let mut policy = before.json["policy"].clone();
    policy["registration"] = json!("closed");
    let set = async |policy: &Value, version: &str| {
        let request = stack.request(Method::PUT, &owner.token, &url("/v1/organization/policy"));
        answer(request.header("If-Match", format!("\"{version}\"")).json(policy)).await
    };
    let done = set(&policy, "1").await?;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(set(&policy, "7").await?.status, StatusCode::PRECONDITION_FAILED);
    policy["lockout"]["failures"] = json!(1_000);
    assert_eq!(set(&policy, "2").await?.code(), "organisation.policy-out-of-range");
    let after = stack.get_at(&owner.token, "/v1/organization/policy", done.header("quipu-position")).await?;
    assert_eq!(
        (&after.json["version"], &after.json["policy"]["registration"]),
        (&json!(2), &json!("closed"))
    );
    let newcomer = json!({ "tenant_slug": "acme-6", "email": "new@example.com", "password": PASSWORD });
    let closed = organisation.post("", "/v1/auth/register", &newcomer).await?;
    assert_eq!(closed.code(), "identity.registration-closed");
    Ok(())
}
