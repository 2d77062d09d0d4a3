//! What answers say of versions, against the log: `version` and `ETag` are those of the newest event in the stream that a command is
//! about, that event is the request's own and not behind the answer's position, and `If-Match` compares with that very stream.

use std::collections::BTreeSet;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::application::GrantConsent;
use domain::identity::{EnrolTotp, MintAccessToken, Role};
use domain::ids::{FactorId, ServiceId, TenantId, TokenId, UserId};
use domain::metadata::Label;
use domain::organisation::{
    ChangeStanding, Policy, Registration, RequestTenant, RoleRef, Slug, TenantStatus,
};
use domain::words::{Scope, Word};
use event_schemas::catalog;
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tests::database::cause;
use tests::ledger::accepted;
use tests::members::{Member, Members};
use tests::person::Organisation;
use tests::stack::{Answer, Stack, answer};
use uuid::Uuid;

type Test = anyhow::Result<()>;

/// What is not walked here, and why.
const LEFT_OUT: [(&str, &str); 1] =
    [("DELETE /v1/auth/links/external/{id}", "needs somebody who signed in with a provider")];

/// A version that no stream comes to here.
const NEVER: i64 = 1_000_000;

/// Carries commands out and notes what an answer said wrongly, so that one run tells all of it.
struct Walk<'a> {
    stack: &'a Stack,
    conn: PgConnection,
    token: String,
    /// Operations whose description names `If-Match`.
    conditional: BTreeSet<String>,
    walked: BTreeSet<String>,
    faults: Vec<String>,
}

/// What the log holds of the newest event of a stream: its version, the request that it is of, and the last event of that.
type Logged = (i64, Option<Uuid>, i64);

/// A path with identifiers in the place of its parameters.
fn filled(template: &str, ids: &[&str]) -> String {
    let mut ids = ids.iter();
    let part = |it| if str::starts_with(it, '{') { ids.next().copied().unwrap_or_default() } else { it };
    template.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Every operation of the description of which this holds, as `METHOD /path`.
fn operations(holds: impl Fn(&Value, &Value) -> bool) -> anyhow::Result<BTreeSet<String>> {
    let document = serde_json::to_value(command_api::app::document())?;
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().context("paths")? {
        for (method, operation) in item.as_object().context("operations")? {
            if holds(&document, operation) {
                found.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    Ok(found)
}

/// Whether what an operation answers has a version.
fn tells_a_version(document: &Value, operation: &Value) -> bool {
    let answers = operation["responses"].as_object().into_iter().flatten();
    let mut good = answers.filter(|(status, _)| status.starts_with('2'));
    good.any(|(_, it)| {
        let named = it["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
        let schema = named.strip_prefix('#').and_then(|it| document.pointer(it)).unwrap_or(&Value::Null);
        let parts = schema["allOf"].as_array().into_iter().flatten().chain([schema]);
        let mut properties = parts.map(|it| &it["properties"]);
        properties.any(|it| it.get("version").is_some() && it.get("position").is_some())
    })
}

fn takes_if_match(_: &Value, operation: &Value) -> bool {
    operation["parameters"].as_array().into_iter().flatten().any(|it| it["name"] == "If-Match")
}

fn id(answer: &Answer) -> String {
    answer.json["id"].as_str().unwrap_or_default().to_owned()
}

impl<'a> Walk<'a> {
    async fn begin(stack: &'a Stack) -> anyhow::Result<Self> {
        let conn = stack.database.superuser().await?;
        let conditional = operations(takes_if_match)?;
        let (token, walked, faults) = (String::new(), BTreeSet::new(), Vec::new());
        Ok(Self { stack, conn, token, conditional, walked, faults })
    }

    fn by(&mut self, token: &str) {
        token.clone_into(&mut self.token);
    }

    async fn send(
        &self,
        operation: &str,
        ids: &[&str],
        body: &Value,
        if_match: Option<i64>,
    ) -> anyhow::Result<Answer> {
        let (method, template) = operation.split_once(' ').context("a method and a path")?;
        let url = format!("{}{}", self.stack.command_url, filled(template, ids));
        let request = self.stack.request(method.parse()?, &self.token, &url);
        let request = request.header("Idempotency-Key", Uuid::now_v7().to_string());
        let request =
            if_match.iter().fold(request, |it, version| it.header("If-Match", format!("\"{version}\"")));
        answer(if body.is_null() { request } else { request.json(body) }).await
    }

    /// Carries out a command about a stream of a category, and looks at the answer.
    async fn does(
        &mut self,
        operation: &str,
        ids: &[&str],
        body: Value,
        category: &str,
    ) -> anyhow::Result<Answer> {
        let told = self.send(operation, ids, &body, None).await?;
        self.walked.insert(operation.to_owned());
        if !told.status.is_success() {
            self.faults.push(format!("{operation}: {} {}", told.status, told.text));
            return Ok(told);
        }
        let said = Said::of(&told)?;
        let logged = self.logged(category, said.id, said.position).await?;
        if logged != Some(said.expected()) || !said.agrees {
            self.faults.push(format!("{operation}: {said:?}, but the log says {logged:?}"));
        }
        if self.conditional.contains(operation) {
            let stale = self.send(operation, ids, &body, Some(NEVER)).await?;
            // What is made of something has a version of its own; the condition is about what the path names.
            let is_of_the_path = ids.is_empty() || ids.contains(&&*said.id.to_string());
            let actual = is_of_the_path.then(|| json!(said.version.to_string()));
            let compared = actual.is_none_or(|it| stale.json["details"]["actual"] == it);
            if stale.status != StatusCode::PRECONDITION_FAILED || !compared {
                self.faults.push(format!("{operation}: If-Match is not about {said:?}: {}", stale.text));
            }
        }
        Ok(told)
    }

    async fn logged(&mut self, category: &str, id: Uuid, until: i64) -> anyhow::Result<Option<Logged>> {
        let category = catalog::category_named(category).context("a category")?;
        let query = "select s.version, (e.meta->>'correlation')::uuid,
                            (select max(o.position) from store.events o
                             where o.meta->>'correlation' = e.meta->>'correlation')
                     from store.stream_events s join store.events e on e.position = s.position
                     where s.category = $1 and s.stream_id = $2 and s.position <= $3 order by s.version desc limit 1";
        let newest = sqlx::query_as(query).bind(category.code).bind(id).bind(until);
        Ok(newest.fetch_optional(&mut self.conn).await?)
    }
}

/// What an answer says of itself.
#[derive(Debug)]
struct Said {
    id: Uuid,
    version: i64,
    position: i64,
    request: Option<Uuid>,
    /// Whether headers and body say the same.
    agrees: bool,
}

impl Said {
    fn of(answer: &Answer) -> anyhow::Result<Self> {
        let version = answer.json["version"].as_i64().context("a version")?;
        let position = answer.json["position"].as_str().context("a position")?;
        Ok(Self {
            id: id(answer).parse()?,
            version,
            position: position.parse::<LogPosition>()?.position,
            request: Uuid::parse_str(answer.header("x-request-id")).ok(),
            agrees: answer.header("etag") == format!("\"{version}\"")
                && answer.header("quipu-position") == position,
        })
    }

    const fn expected(&self) -> Logged {
        (self.version, self.request, self.position)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_the_version_that_the_log_has() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let members = Members::of(&stack, acme.tenant)?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    let mut walk = Walk::begin(&stack).await?;
    walk.by(&owner.token);
    ledger(&mut walk).await?;
    people(&mut walk, &members).await?;
    factors(&mut walk, &members, &owner).await?;
    programs(&mut walk, &members, &owner).await?;
    roles(&mut walk, &members).await?;
    platform(&mut walk).await?;
    staff(&mut walk, &members).await?;
    walk.by(&owner.token);
    organisation(&mut walk, &members, &acme.slug).await?;

    assert!(walk.faults.is_empty(), "{:#?}", walk.faults);
    let left_out = LEFT_OUT.map(|(operation, _)| operation.to_owned());
    let told: BTreeSet<String> = walk.walked.into_iter().chain(left_out).collect();
    assert_eq!(told, operations(tells_a_version)?, "every command that tells a version is walked");
    Ok(())
}

async fn ledger(walk: &mut Walk<'_>) -> Test {
    let mut accounts = Vec::new();
    for name in ["Cash", "Till", "Old"] {
        let body = json!({ "name": name, "currency": "EUR", "min_balance": null });
        accounts.push(id(&walk.does("POST /v1/ledger/accounts", &[], body, "ledger.account").await?));
    }
    let old = [accounts[2].as_str()];
    let frozen = json!({ "side": "both" });
    walk.does("POST /v1/ledger/accounts/{id}/freeze", &old, frozen, "ledger.account").await?;
    walk.does("POST /v1/ledger/accounts/{id}/unfreeze", &old, json!({}), "ledger.account").await?;
    walk.does("POST /v1/ledger/accounts/{id}/close", &old, json!({}), "ledger.account").await?;

    let leg = |account: &str, side: &str| json!({ "account_id": account, "side": side, "amount": { "amount": "1.00", "currency": "EUR" } });
    let legs = json!([leg(&accounts[0], "debit"), leg(&accounts[1], "credit")]);
    let (at_once, held) = (json!({ "legs": legs }), json!({ "legs": legs, "hold": {} }));
    for (body, what) in [(&at_once, "reverse"), (&held, "post"), (&held, "void")] {
        let made = walk.does("POST /v1/ledger/transfers", &[], body.clone(), "ledger.transfer").await?;
        let operation = format!("POST /v1/ledger/transfers/{{id}}/{what}");
        walk.does(&operation, &[&id(&made)], json!({}), "ledger.transfer").await?;
    }
    let period = json!({ "through": "2020-01-01T00:00:00Z" });
    walk.does("POST /v1/ledger/periods/close", &[], period, "ledger.book").await?;
    Ok(())
}

async fn people(walk: &mut Walk<'_>, members: &Members<'_>) -> Test {
    let invited = json!({ "email": "new@example.com", "roles": ["user"] });
    let invited = id(&walk.does("POST /v1/invitations", &[], invited, "organisation.invitation").await?);
    for what in ["resend", "revoke"] {
        let operation = format!("POST /v1/invitations/{{id}}/{what}");
        walk.does(&operation, &[&invited], Value::Null, "organisation.invitation").await?;
    }
    let names = json!({ "given_name": "Eve", "family_name": "Smith" });
    let body = json!({ "email": "eve@example.com", "name": names, "roles": ["user"] });
    let eve = id(&walk.does("POST /v1/users", &[], body, "identity.user").await?);
    // Several events of one stream, too.
    let profile = json!({ "name": { "given_name": "Eva" }, "phone": "+43 1 58858-0", "language": "de" });
    walk.does("PATCH /v1/users/{id}", &[&eve], profile.clone(), "identity.user").await?;
    walk.does("PATCH /v1/auth/me", &[], profile, "identity.user").await?;
    for operation in
        ["DELETE /v1/users/{id}/sessions", "POST /v1/users/{id}/deactivate", "POST /v1/users/{id}/reactivate"]
    {
        walk.does(operation, &[&eve], Value::Null, "identity.user").await?;
    }
    let (bob, carl) = (members.join(&[RoleRef::USER]).await?, members.join(&[RoleRef::USER]).await?);
    let roles = json!({ "roles": ["manager"] });
    let of_bob = [&*bob.user.to_string()];
    walk.does("PUT /v1/members/{id}/roles", &of_bob, roles, "organisation.membership").await?;
    let of_carl = [&*carl.user.to_string()];
    walk.does("DELETE /v1/members/{id}", &of_carl, Value::Null, "organisation.membership").await?;
    Ok(())
}

async fn factors(walk: &mut Walk<'_>, members: &Members<'_>, owner: &Member) -> Test {
    let dan = members.join(&[RoleRef::USER]).await?;
    let factor_id = FactorId::new(Uuid::now_v7());
    members.done(EnrolTotp { user_id: dan.user, factor_id, label: None }).await?;
    walk.by(&members.session(owner.user).await?.token);
    let dan = [&*dan.user.to_string()];
    walk.does("DELETE /v1/users/{id}/factors", &dan, Value::Null, "identity.factors").await?;
    Ok(())
}

async fn programs(walk: &mut Walk<'_>, members: &Members<'_>, owner: &Member) -> Test {
    const SERVICE: &str = "application.service";
    let till = json!({ "name": "Till", "confidential": true, "grants": ["client-credentials"] });
    let till = id(&walk.does("POST /v1/services", &[], till, SERVICE).await?);
    let changed = json!({ "name": "Front till", "scopes": ["reports:read"] });
    walk.does("PATCH /v1/services/{id}", &[&till], changed, SERVICE).await?;
    let limits = json!({ "per_second": 5, "burst": 9 });
    walk.does("PUT /v1/services/{id}/limits", &[&till], limits, SERVICE).await?;
    walk.does("DELETE /v1/services/{id}/limits", &[&till], Value::Null, SERVICE).await?;
    let secret = walk.does("POST /v1/services/{id}/secrets", &[&till], json!({}), SERVICE).await?;
    let secret = secret.json["secret_id"].as_str().unwrap_or_default().to_owned();
    let removed = "DELETE /v1/services/{id}/secrets/{secret_id}";
    walk.does(removed, &[&till, &secret], Value::Null, SERVICE).await?;

    let bob = members.join(&[RoleRef::USER]).await?;
    let service_id: ServiceId = till.parse()?;
    for user_id in [owner.user, bob.user] {
        members
            .done(GrantConsent { user_id, service_id, scopes: vec![Scope::parse("reports:read")?] })
            .await?;
    }
    let consent = "application.consent";
    walk.does("DELETE /v1/auth/consents/{service_id}", &[&till], Value::Null, consent).await?;
    let of_bob = [&*bob.user.to_string(), &till];
    walk.does("DELETE /v1/users/{id}/consents/{service_id}", &of_bob, Value::Null, consent).await?;
    walk.does("POST /v1/services/{id}/suspend", &[&till], Value::Null, SERVICE).await?;
    walk.does("POST /v1/services/{id}/resume", &[&till], Value::Null, SERVICE).await?;
    walk.does("DELETE /v1/services/{id}", &[&till], Value::Null, SERVICE).await?;

    let key = json!({ "name": "Nightly", "permissions": ["ledger.read-accounts"] });
    let key = id(&walk.does("POST /v1/api-keys", &[], key, "application.api-key").await?);
    walk.does("POST /v1/api-keys/{id}/revoke", &[&key], Value::Null, "application.api-key").await?;

    let operator = minted(members).await?;
    let operation = "POST /v1/access-tokens/{id}/revoke";
    walk.does(operation, &[&operator], Value::Null, "identity.access-token").await?;

    let mut corp = json!({
        "name": "corp", "title": "The company", "kind": "github", "client_id": "quipu", "client_secret": "none of theirs",
        "return_uris": ["https://a.example/"]
    });
    let provider = "federation.provider";
    let made = id(&walk.does("POST /v1/providers", &[], corp.clone(), provider).await?);
    corp["title"] = json!("Another title");
    walk.does("PUT /v1/providers/{id}", &[&made], corp, provider).await?;
    walk.does("DELETE /v1/providers/{id}", &[&made], Value::Null, provider).await?;
    Ok(())
}

/// A token of an operator, to be revoked.
async fn minted(members: &Members<'_>) -> anyhow::Result<String> {
    let token_id = TokenId::new(Uuid::now_v7());
    let (subject, expires_at) = (UserId::new(Uuid::now_v7()).actor(), Utc::now() + TimeDelta::hours(1));
    members.done(MintAccessToken { token_id, subject, roles: vec![Role::Owner], expires_at }).await?;
    Ok(token_id.to_string())
}

async fn roles(walk: &mut Walk<'_>, members: &Members<'_>) -> Test {
    let role = |name: &str| json!({ "name": name, "permissions": ["ledger.read-accounts"] });
    let made = id(&walk.does("POST /v1/roles", &[], role("Cashier"), "organisation.role").await?);
    walk.does("PUT /v1/roles/{id}", &[&made], role("Clerk"), "organisation.role").await?;
    walk.does("DELETE /v1/roles/{id}", &[&made], Value::Null, "organisation.role").await?;
    // Whoever hands ownership over is no owner any more.
    let before = walk.token.clone();
    let (other, heir) = (members.join(&[RoleRef::OWNER]).await?, members.join(&[RoleRef::ADMIN]).await?);
    walk.by(&other.token);
    let operation = "POST /v1/organization/transfer-ownership";
    walk.does(operation, &[], json!({ "to": heir.user }), "organisation.membership").await?;
    walk.by(&before);
    Ok(())
}

/// An organisation that waits for what the platform says.
async fn waiting(stack: &Stack, slug: &str) -> anyhow::Result<TenantId> {
    let (tenant_id, founder) = (TenantId::new(Uuid::now_v7()), UserId::new(Uuid::now_v7()));
    let members = Members::of(stack, tenant_id)?;
    members.join_as(founder, &[RoleRef::OWNER]).await?;
    let request = RequestTenant { tenant_id, slug: Slug::parse(slug)?, name: Label::parse(slug)?, founder };
    let pending = ChangeStanding { to: TenantStatus::Pending, because: Word::of("requested") };
    let unit = Unit::new(TenantId::PLATFORM, cause(), request).and(tenant_id, pending);
    accepted(&stack.executor()?.submit(unit).await?)?;
    Ok(tenant_id)
}

async fn platform(walk: &mut Walk<'_>) -> Test {
    let pia = Members::of(walk.stack, TenantId::PLATFORM)?.join(&[RoleRef::OWNER]).await?;
    walk.by(&pia.token);
    let [bell, core] = [waiting(walk.stack, "bell").await?, waiting(walk.stack, "core").await?];
    let (bell, core) = (bell.to_string(), core.to_string());
    let dossier = "organisation.tenant";
    for (what, of, body) in [
        ("POST /v1/platform/organizations/{id}/approve", &bell, Value::Null),
        ("POST /v1/platform/organizations/{id}/suspend", &bell, json!({ "because": "unpaid" })),
        ("POST /v1/platform/organizations/{id}/activate", &bell, Value::Null),
        ("PATCH /v1/platform/organizations/{id}/tier", &bell, json!({ "tier": "tiny" })),
        ("POST /v1/platform/organizations/{id}/reject", &core, json!({ "reason": "tested" })),
    ] {
        walk.does(what, &[of], body, dossier).await?;
    }
    let seats = json!({ "seats": 250 });
    let operation = "PUT /v1/platform/organizations/{id}/seats";
    walk.does(operation, &[&bell], seats, "organisation.standing").await?;
    Ok(())
}

/// What staff of the platform do within an organisation.
async fn staff(walk: &mut Walk<'_>, members: &Members<'_>) -> Test {
    let user = members.join(&[RoleRef::USER]).await?;
    let body = json!({ "reason": "a test", "ticket": "1", "minutes": 5 });
    let (tenant, user) = (members.tenant().to_string(), user.user.to_string());
    let begins = "POST /v1/platform/users/{tenant_id}/{id}/impersonate";
    let begun = walk.send(begins, &[&tenant, &user], &body, None).await?;
    let ends = "POST /v1/platform/impersonations/{tenant_id}/{id}/end";
    walk.does(ends, &[&tenant, &id(&begun)], Value::Null, "platform.impersonation").await?;
    let operator = minted(members).await?;
    let revokes = "POST /v1/platform/access-tokens/{tenant_id}/{id}/revoke";
    walk.does(revokes, &[&tenant, &operator], Value::Null, "identity.access-token").await?;
    Ok(())
}

async fn organisation(walk: &mut Walk<'_>, members: &Members<'_>, slug: &str) -> Test {
    let name = json!({ "name": "Acme & Sons" });
    walk.does("PATCH /v1/organization", &[], name, "organisation.profile").await?;
    let policy = serde_json::to_value(Policy { registration: Registration::Closed, ..Policy::default() })?;
    walk.does("PUT /v1/organization/policy", &[], policy, "organisation.policy").await?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    walk.by(&owner.token);
    let closing = json!({ "slug": slug });
    walk.does("POST /v1/organization/close", &[], closing, "organisation.standing").await?;
    Ok(())
}
