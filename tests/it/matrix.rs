//! Every operation of both APIs with every kind of identity. An operation that is not in the list fails, and so does one
//! whose description names another permission than the list.

mod factors;
mod identities;
mod identity;
mod invitations;
mod keys;
mod ledger;
mod organisation;
mod platform;
mod providers;
mod reads;
pub(crate) mod security;
mod services;

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::UserId;
use domain::organisation::RoleRef;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::permissions;
use tests::books::{Books, id, leg};
use tests::database::tenant;
use tests::members::Members;
use tests::stack::{Answer, FIRST_POSITION, Stack, answer};
use uuid::Uuid;

use identities::{Expected, Identity, identities};

type Test = anyhow::Result<()>;

/// The transfer that the books of the matrix have.
pub(crate) const TRANSFER: u128 = 0x7a;
/// A hold of theirs.
const HOLD: u128 = 0x7c;
/// Their export of the audit trail.
pub(crate) const EXPORT: u128 = 0x7b;
/// A member whom nobody who comes is.
pub(crate) const PERSON: u128 = 0x7d;

/// Which process answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Api {
    /// command-api.
    Commands,
    /// query-api.
    Queries,
}

/// What an operation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Needs {
    /// A permission.
    Permission(&'static str),
    /// To be somebody.
    Own,
    /// To be somebody in person, since it is about the caller; and of whoever acts for another, a permission.
    About(&'static str),
    /// The same in person: no program, and nobody in another's place.
    InPerson,
    /// Nothing.
    Open,
}

/// One operation, with things of the books of the matrix.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) api: Api,
    pub(crate) method: Method,
    /// As the description of the interface names it.
    pub(crate) template: &'static str,
    pub(crate) path: String,
    /// What would be accepted from somebody who may.
    pub(crate) body: Option<Value>,
    pub(crate) needs: Needs,
    /// Whether it is about a thing that the path names, and that is to be as little there for others as nobody's.
    names_a_thing: bool,
}

/// All of them. Each resource has a file of its own.
pub(crate) fn rows() -> Vec<Row> {
    let of_organisations = [
        organisation::rows(),
        platform::rows(),
        identity::rows(),
        factors::rows(),
        providers::rows(),
        keys::rows(),
    ];
    [
        ledger::rows(),
        invitations::rows(),
        reads::rows(),
        security::rows(),
        services::rows(),
        of_organisations.concat(),
    ]
    .concat()
}

/// What query-api reads of the books: organisations are not among it, since the platform knows none of these.
pub(crate) fn every_read() -> Vec<Row> {
    let is_of_books = |it: &Row| {
        let organisations = ["/v1/organization", "/v1/platform/"];
        !organisations.iter().any(|of| it.template.starts_with(of))
    };
    let reads = rows().into_iter().filter(|it| it.api == Api::Queries && it.method == Method::GET);
    reads.filter(is_of_books).collect()
}

impl Row {
    /// Asks for it. Commands have a fresh key each.
    async fn send(&self, stack: &Stack, token: &str, position: &str) -> anyhow::Result<Answer> {
        let base = if self.api == Api::Commands { &stack.command_url } else { &stack.query_url };
        let request = stack.request(self.method.clone(), token, &format!("{base}{}", self.path));
        let request = match (self.api, position) {
            (Api::Commands, _) => request.header("Idempotency-Key", Uuid::now_v7().to_string()),
            (Api::Queries, "") => request,
            (Api::Queries, _) => request.header("Quipu-Position", position),
        };
        answer(match &self.body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }
}

/// A template with the things of the books of the matrix in it.
fn filled(template: &str) -> String {
    template
        .replace("{account_id}", &id(1))
        .replace("{category}", "ledger.account")
        .replace("{stream_id}", &id(1))
        .replace("{export_id}", &Uuid::from_u128(EXPORT).to_string())
        .replace("{transfer_id}", &Uuid::from_u128(TRANSFER).to_string())
        .replace("{user_id}", &Uuid::from_u128(PERSON).to_string())
        .replace("{position}", FIRST_POSITION)
}

/// What a description says that an operation needs.
fn described(operation: &Value) -> String {
    let text = operation["description"].as_str().unwrap_or_default().replace('\n', " ");
    let named_behind = |words: &str| {
        let named = text.split_once(words).and_then(|(_, rest)| rest.trim_start().strip_prefix('`'));
        named.and_then(|it| it.split_once('`')).map(|(name, _)| name.to_owned())
    };
    if let Some(name) = named_behind("Whoever acts for another needs") {
        return format!("own, or {name}");
    }
    match named_behind("Permission:") {
        Some(name) => name,
        None if text.contains("to be signed in, in person.") => "in person".to_owned(),
        None if operation["security"].as_array().is_some_and(|all| all.contains(&json!({}))) => {
            "open".to_owned()
        }
        None => "own".to_owned(),
    }
}

impl Needs {
    fn told(self) -> String {
        match self {
            Self::Permission(name) => name.to_owned(),
            Self::Own => "own".to_owned(),
            Self::About(name) => format!("own, or {name}"),
            Self::InPerson => "in person".to_owned(),
            Self::Open => "open".to_owned(),
        }
    }
}

#[test]
fn every_operation_is_in_the_matrix_with_its_permission() -> Test {
    let documents = [
        (Api::Commands, serde_json::to_value(command_api::app::document())?),
        (Api::Queries, serde_json::to_value(query_api::document())?),
    ];
    let mut found = BTreeMap::new();
    for (api, document) in &documents {
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                found.insert((*api, method.to_uppercase(), path.as_str()), described(operation));
            }
        }
    }
    let all = rows();
    let key = |it: &Row| (it.api, it.method.to_string(), it.template);
    let listed: BTreeMap<_, _> = all.iter().map(|it| (key(it), it.needs.told())).collect();
    assert_eq!(listed.len(), all.len(), "each operation is listed once");
    let differing: Vec<_> = found
        .keys()
        .chain(listed.keys())
        .filter(|it| found.get(*it) != listed.get(*it))
        .map(|it| (it, found.get(it), listed.get(it)))
        .collect();
    assert!(differing.is_empty(), "operation, described, listed: {differing:#?}");
    for row in &all {
        if let Needs::Permission(name) | Needs::About(name) = row.needs {
            assert!(permissions::find(name).is_some(), "{name}");
        }
    }
    let writing = all.iter().filter(|it| it.api == Api::Queries && it.method != Method::GET);
    let writing: BTreeSet<&str> = writing.map(|it| it.template).collect();
    assert_eq!(writing, ["/v1/audit/exports"].into(), "whoever reads changes nothing, but for an export");
    Ok(())
}

#[test]
fn cve_2025_61524_the_path_names_no_tenant() -> Test {
    let documents =
        [serde_json::to_value(command_api::app::document())?, serde_json::to_value(query_api::document())?];
    for document in &documents {
        for (path, item) in document["paths"].as_object().expect("paths") {
            // The platform's own members manage organisations by their ids.
            if path.starts_with("/v1/platform/") {
                continue;
            }
            for (method, operation) in item.as_object().expect("operations") {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let names: Vec<&str> = parameters.filter_map(|it| it["name"].as_str()).collect();
                let is_open = described(operation) == "open";
                for name in names.into_iter().chain(path.split('/')) {
                    let names_one = name.contains("tenant") || name.contains("organization_id");
                    assert!(is_open || !names_one, "{method} {path}: {name}");
                }
            }
        }
    }
    Ok(())
}

/// Accounts 0 and 1, transfer [`TRANSFER`], hold [`HOLD`], and export [`EXPORT`] of the audit trail, in a tenant.
pub(crate) async fn books(stack: &Stack, n: u128) -> anyhow::Result<Books<'_>> {
    let books = Books::of(stack, tenant(n))?;
    let name = |account: u128| json!({ "name": format!("tenant-{n} account-{account}"), "min_balance": null, "metadata": { "of": format!("tenant-{n}") } });
    books.open(0, name(0)).await?;
    books.open(1, name(1)).await?;
    let amount = format!("{n}.5{n}");
    let body = json!({
        "id": Uuid::from_u128(TRANSFER), "code": format!("tenant-{n}"),
        "legs": [leg(0, "debit", &amount), leg(1, "credit", &amount)],
    });
    books.transfer(&body).await?;
    furnish(&books).await?;
    Ok(books)
}

/// Makes the export [`EXPORT`] of the audit trail, the member [`PERSON`], and what [`security`] reads.
pub(crate) async fn furnish(books: &Books<'_>) -> Test {
    let person = UserId::new(Uuid::from_u128(PERSON));
    let members = Members::of(books.stack, books.tenant)?;
    members.join_as(person, &[RoleRef::USER]).await?;
    books.saw(&security::furnish(&members, person).await?);
    let request = reqwest::Client::new().post(format!("{}/v1/audit/exports", books.stack.query_url));
    let request = request.bearer_auth(&books.token).header("Quipu-Position", books.position());
    let made = answer(request.json(&reads::export_body(EXPORT))).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    Ok(())
}

/// How many events a tenant's log has, without those of the audit trail: what is refused changes nothing, but is recorded.
async fn events(stack: &Stack, n: u128) -> anyhow::Result<i64> {
    let mut conn = stack.database.superuser().await?;
    let count =
        sqlx::query_scalar("select count(*) from store.events where tenant_id = $1 and category < 90");
    Ok(count.bind(tenant(n).uuid()).fetch_one(&mut conn).await?)
}

fn check(row: &Row, identity: &Identity, answer: &Answer) {
    let told = format!("{} {} as {}: {} {}", row.method, row.path, identity.name, answer.status, answer.text);
    match identity.expected(row) {
        Expected::Admitted => {
            let refused = answer.code().starts_with("auth.") || answer.code() == "organisation.not-active";
            assert!(!refused && !answer.status.is_server_error(), "{told}");
        }
        Expected::Refused(status, code) => {
            assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{told}");
            assert!(!answer.text.contains(&id(1)), "a refusal tells nothing: {told}");
        }
    }
    if answer.status == StatusCode::UNAUTHORIZED {
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_only_for_those_who_may() -> Test {
    let stack = Stack::whole().await?;
    let books = books(&stack, 1).await?;
    let hold = json!({
        "id": Uuid::from_u128(HOLD), "hold": {},
        "legs": [leg(0, "debit", "5.00"), leg(1, "credit", "5.00")],
    });
    books.transfer(&hold).await?;
    for row in every_read() {
        books.read(&row.path).await?;
    }
    let identities = identities(&stack, &books).await?;
    let before = events(&stack, 1).await?;
    for row in rows() {
        for identity in identities.iter().filter(|it| matches!(it.expected(&row), Expected::Refused(..))) {
            check(&row, identity, &row.send(&stack, &identity.token, "").await?);
        }
    }
    assert_eq!(events(&stack, 1).await?, before, "nothing has happened");
    for row in rows() {
        let comes = |it: &&Identity| match row.needs {
            // What is open is so to whoever shows nothing. Some of it is about the token that is shown, and may end it.
            Needs::Open => it.token.is_empty(),
            Needs::Own | Needs::About(_) | Needs::InPerson | Needs::Permission(_) => {
                matches!(it.expected(&row), Expected::Admitted)
            }
        };
        for identity in identities.iter().filter(comes) {
            check(&row, identity, &row.send(&stack, &identity.token, "").await?);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_owner_meets_nothing_and_finds_out_nothing() -> Test {
    let stack = Stack::whole().await?;
    let books = books(&stack, 1).await?;
    let stranger = stack.owner(tenant(2))?;
    let (before, position) = (events(&stack, 1).await?, books.position());
    for row in rows() {
        let answer = row.send(&stack, &stranger, &position).await?;
        let told = format!("{} {}: {} {}", row.method, row.path, answer.status, answer.text);
        let in_batch = answer.json["results"][0]["problem"]["code"] == "ledger.account-not-found";
        let names_accounts = row.body.as_ref().is_some_and(|it| it.to_string().contains(&id(1)));
        if row.names_a_thing || (names_accounts && !in_batch) {
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{told}");
        }
        assert!(!answer.status.is_server_error() && !answer.text.contains("tenant-1"), "{told}");
    }
    assert_eq!(events(&stack, 1).await?, before, "the tenant's log has not moved");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_looked_for_in_one_place_and_a_path_takes_its_methods_alone() -> Test {
    let stack = Stack::whole().await?;
    let books = books(&stack, 1).await?;
    let all = rows();
    for row in &all {
        let sign = if row.path.contains('?') { '&' } else { '?' };
        let smuggled = Row { path: format!("{}{sign}access_token={}", row.path, books.token), ..row.clone() };
        if row.needs != Needs::Open {
            let answer = smuggled.send(&stack, "", "").await?;
            // Commands look at the names of parameters first.
            let told = (answer.status.as_u16(), answer.code());
            let is_refused =
                told == (401, "auth.token-missing") || told == (400, "request.unknown-parameter");
            assert!(is_refused, "{} {told:?}", row.path);
        }
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let same = |it: &&Row| it.api == row.api && it.template == row.template;
            if all.iter().filter(same).any(|it| it.method == method) {
                continue;
            }
            let other = Row { method: method.clone(), body: None, ..row.clone() };
            let answer = other.send(&stack, &books.token, "").await?;
            let told = (answer.status.as_u16(), answer.code());
            assert_eq!(told, (405, "request.method-not-allowed"), "{method} {}", row.path);
        }
    }
    Ok(())
}
