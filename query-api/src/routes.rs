//! Every route of the process, each with its permission.

mod accounts;
mod asyncapi;
mod audit;
mod causation;
mod consents;
mod entries;
mod events;
mod invitations;
mod journal;
mod limits;
mod live;
mod me;
mod members;
mod named;
mod organizations;
mod programs;
mod projections;
mod rights;
mod security_feed;
mod sign_ins;
mod statement;
mod streams;
mod transfers;
mod trial_balance;
mod users;

use std::sync::Arc;

use axum::{Extension, Router};
use domain::{ErrorKind, metadata, money};
use service_kit::access::{Audited, Permission, permissions as may, verified_by};
use service_kit::body::ParseCodes;
use service_kit::health::Health;
use service_kit::openapi::{self, Way};
use service_kit::problem::{PROBLEM_JSON, ProblemBody};
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Info, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::app::{App, Doors};

/// What can be asked of what a list shows first.
const WAYS: &[Way] = &[
    way("listAccounts", "getAccount", "account_id", "$response.body#/items/0/account_id"),
    way("listAccounts", "getBalance", "account_id", "$response.body#/items/0/account_id"),
    way("listAccounts", "listEntries", "account_id", "$response.body#/items/0/account_id"),
    way("listAccounts", "getStatement", "account_id", "$response.body#/items/0/account_id"),
    way("listUsers", "getUser", "user_id", "$response.body#/items/0/user_id"),
    way("listUsers", "listSessions", "user_id", "$response.body#/items/0/user_id"),
    way("listUsers", "getPermissionsOf", "user_id", "$response.body#/items/0/user_id"),
    way("listUsers", "listActivity", "user_id", "$response.body#/items/0/user_id"),
    way("listMembers", "getMember", "user_id", "$response.body#/items/0/user_id"),
    way("listPermissions", "listHolders", "permission", "$response.body#/0/name"),
    way("listInvitations", "getInvitation", "invitation_id", "$response.body#/items/0/invitation_id"),
    way("listServices", "getService", "service_id", "$response.body#/items/0/service_id"),
    way("listApiKeys", "getApiKey", "key_id", "$response.body#/items/0/key_id"),
    way(
        "listOrganizations",
        "getPlatformOrganization",
        "organization_id",
        "$response.body#/items/0/organization_id",
    ),
    way("listTransfers", "getTransfer", "transfer_id", "$response.body#/items/0/transfer_id"),
    way("listEvents", "getEvent", "position", "$response.body#/items/0/position"),
    way("listEvents", "getCausation", "position", "$response.body#/items/0/position"),
    way("searchTrail", "getTrailEntry", "position", "$response.body#/items/0/position"),
    way("exportTrail", "getTrailExport", "export_id", "$response.body#/export_id"),
    way("exportTrail", "getTrailExportContent", "export_id", "$response.body#/export_id"),
];

const fn way(from: &'static str, to: &'static str, parameter: &'static str, value: &'static str) -> Way {
    Way { from, to, parameter, value }
}

/// Kinds of the codes that domain types report while parameters and bodies are parsed.
const PARSE_CODES: &[&[(&str, ErrorKind)]] = &[money::PARSE_CODES, metadata::PARSE_CODES];

/// The one list.
fn all() -> OpenApiRouter<App> {
    let mut all = OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info()).build())
        .routes(needs::<may::ReadAccounts>(routes!(accounts::list)))
        .routes(needs::<may::ReadAccounts>(routes!(accounts::find)))
        .routes(needs::<may::ReadAccounts>(routes!(accounts::balance)))
        .routes(follows::<may::ReadAccounts>(routes!(live::account)))
        .routes(needs::<may::ReadAccounts>(routes!(entries::list)))
        .routes(needs::<may::ReadAccounts>(routes!(statement::statement)))
        .routes(needs::<may::ReadTransfers>(routes!(transfers::list)))
        .routes(needs::<may::ReadTransfers>(routes!(transfers::find)))
        .routes(needs::<may::ReadJournal>(routes!(trial_balance::trial_balance)))
        .routes(needs::<Audited<may::ReadJournal>>(routes!(journal::journal)))
        .routes(needs::<may::ReadEvents>(routes!(events::list)))
        .routes(follows::<may::ReadEvents>(routes!(live::events)))
        .routes(needs::<may::ReadEvents>(routes!(events::find)))
        .routes(needs::<may::ReadEvents>(routes!(causation::causation)))
        .routes(needs::<may::ReadEvents>(routes!(streams::list)))
        .routes(needs::<may::ReadEvents>(routes!(streams::state)))
        .routes(needs::<may::ReadTrail>(routes!(audit::list)))
        .routes(needs::<may::ReadTrail>(routes!(audit::find)))
        .routes(does::<may::ExportTrail>(routes!(audit::exports::create)))
        .routes(needs::<may::ReadTrail>(routes!(audit::exports::list)))
        .routes(needs::<may::ReadTrail>(routes!(audit::exports::find)))
        .routes(needs::<may::ExportTrail>(routes!(audit::exports::content)))
        .routes(needs::<may::ReadProjections>(routes!(projections::list)))
        .routes(own(routes!(me::me)))
        .routes(about_oneself::<may::ReadSessions>(routes!(me::sessions)))
        .routes(about_oneself::<may::ReadSessions>(routes!(consents::own)))
        .routes(needs::<may::ReadUsers>(routes!(users::list)))
        .routes(needs::<may::ReadUsers>(routes!(users::find)))
        .routes(needs::<may::ReadSessions>(routes!(users::sessions)))
        .routes(needs::<may::ReadSessions>(routes!(consents::of_user)))
        .routes(needs::<may::ReadUsers>(routes!(users::activity)))
        .routes(needs::<may::ReadUsers>(routes!(rights::of_user)))
        .routes(about_oneself::<may::ReadUsers>(routes!(rights::own)))
        .routes(needs::<may::ReadSignIns>(routes!(sign_ins::list)))
        .routes(needs::<may::ReadSignIns>(routes!(sign_ins::by_day)))
        .routes(needs::<may::ReadSignIns>(routes!(security_feed::list)))
        .routes(follows::<may::ReadSignIns>(routes!(security_feed::follow)))
        .routes(about_oneself::<may::ReadSignIns>(routes!(security_feed::own)))
        .routes(needs::<Audited<may::ReadMembers>>(routes!(members::list)))
        .routes(needs::<Audited<may::ReadMembers>>(routes!(members::find)))
        .routes(needs::<may::ReadRoles>(routes!(members::roles)))
        .routes(own(routes!(members::permissions)))
        .routes(needs::<may::ReadMembers>(routes!(rights::holders)))
        .routes(needs::<Audited<may::ReadInvitations>>(routes!(invitations::list)))
        .routes(needs::<Audited<may::ReadInvitations>>(routes!(invitations::find)))
        .routes(needs::<may::ReadServices>(routes!(programs::services)))
        .routes(needs::<may::ReadServices>(routes!(programs::service)))
        .routes(needs::<may::ReadApiKeys>(routes!(programs::api_keys)))
        .routes(needs::<may::ReadApiKeys>(routes!(programs::api_key)))
        .routes(needs::<may::ReadOrganisation>(routes!(organizations::own)))
        .routes(needs::<may::ReadOrganisation>(routes!(limits::read)))
        .routes(needs::<may::ReadPolicy>(routes!(organizations::policy)))
        .routes(needs::<may::ReadOrganisations>(routes!(organizations::list)))
        .routes(needs::<may::ReadOrganisations>(routes!(organizations::find)));
    openapi::link(all.get_openapi_mut(), WAYS);
    named::refer_to_rows(all.get_openapi_mut());
    all
}

fn info() -> Info {
    let mut info = Info::new("Quipu reads", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Every answer comes from one snapshot and says in `Quipu-Position` how far in the log it is exact. Send that \
         header, as a command answered it, to read what you wrote: the answer waits up to two seconds for it. Amounts \
         are text with exactly the digits of their currency; times are RFC 3339 in UTC."
            .to_owned(),
    );
    info
}

/// The description of the interface.
#[must_use]
pub fn document() -> OpenApi {
    openapi::complete(all().into_openapi())
}

/// Everything that the process serves, to be hardened.
pub(crate) fn router(app: App, health: Health) -> Result<Router, serde_json::Error> {
    let (router, description) = all().split_for_parts();
    let described = openapi::routes(&openapi::complete(description))?;
    let recorder = Arc::clone(&app.recorder);
    let Doors { verifier, access } = app.doors.clone();
    let router = verified_by(router.with_state(app), verifier, access).layer(Extension(recorder));
    let router = router.layer(Extension(ParseCodes(PARSE_CODES)));
    Ok(router
        .merge(health.routes())
        .merge(described)
        .merge(openapi::problem_pages())
        .merge(asyncapi::routes()))
}

/// Writes the permission, and what all reads have in common, into the description of operations.
fn needs<P: Permission>(routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    described::<P>(routes, describe_rows)
}

/// The same for what everybody may read who stands.
fn own(mut routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    for operation in routes.1.paths.values_mut().filter_map(|it| it.get.as_mut()) {
        describe_rows(operation);
        describe_for_whom(operation, "Permission: none but to be signed in.");
    }
    routes
}

/// The same for what is about the caller, by [`service_kit::access::Own`].
fn about_oneself<P: Permission>(mut routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    for operation in routes.1.paths.values_mut().filter_map(|it| it.get.as_mut()) {
        describe_rows(operation);
        let recorded = if P::SENSITIVE { ", and every such use is recorded in the audit trail" } else { "" };
        let whose = "Permission: none but to be signed in. Whoever acts for another needs";
        describe_for_whom(operation, &format!("{whose} `{}`{recorded}.", P::NAME));
    }
    routes
}

fn describe_for_whom(operation: &mut Operation, line: &str) {
    let text = operation.description.get_or_insert_default();
    let gap = if text.is_empty() { "" } else { "\n\n" };
    text.push_str(gap);
    text.push_str(line);
}

fn describe_rows(operation: &mut Operation) {
    let headers = [
        ("Quipu-Position", "The answer must be exact at least up to here, such as `1-4711`."),
        ("If-None-Match", "Tags of content that the client has; an equal answer is 304 without a body."),
    ];
    describe_read(operation, &headers);
    let not_modified = ResponseBuilder::new().description("The client has it already.").build();
    operation.responses.responses.entry("304".to_owned()).or_insert(RefOr::T(not_modified));
}

/// The same for what is made, not read.
fn does<P: Permission>(routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    let at_least = "It must hold everything at least up to here, such as `1-4711`.";
    described::<P>(routes, |operation| describe_read(operation, &[("Quipu-Position", at_least)]))
}

/// The same for live streams.
fn follows<P: Permission>(routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    described::<P>(routes, |operation| {
        let headers = [
            (
                "Quipu-Position",
                "The stream begins no earlier than its models have come here, such as `1-4711`.",
            ),
            ("Last-Event-ID", "The `id` that came last, such as `1-4711`: the stream goes on behind it."),
        ];
        describe_read(operation, &headers);
    })
}

fn described<P: Permission>(
    mut routes: UtoipaMethodRouter<App>,
    describe: impl Fn(&mut Operation),
) -> UtoipaMethodRouter<App> {
    for item in routes.1.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            openapi::describe_permission::<P>(operation);
            describe(operation);
        }
    }
    routes
}

fn describe_read(operation: &mut Operation, headers: &[(&str, &str)]) {
    for (name, description) in headers {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        let parameter = ParameterBuilder::new()
            .name(*name)
            .parameter_in(ParameterIn::Header)
            .description(Some(*description))
            .schema(Some(text))
            .build();
        operation.parameters.get_or_insert_with(Vec::new).push(parameter.into());
    }
    let problem = || ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build();
    let another_epoch = ResponseBuilder::new()
        .description("The position is of another life of the log.")
        .content(PROBLEM_JSON, problem())
        .build();
    operation.responses.responses.entry("409".to_owned()).or_insert(RefOr::T(another_epoch));
}
