//! The one list of routes.

use service_kit::openapi::{self, Way};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub mod account;
pub mod accounts;
pub mod auth;
pub mod batches;
pub mod federation;
pub mod members;
pub mod organizations;
pub mod periods;
pub mod providers;
pub mod roles;
pub mod transfers;
pub mod users;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Quipu command API",
        description = "Writes. Every command is judged on the state of the moment of its commit; every answer carries \
                       `Quipu-Position`, up to which the log holds what the answer says.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "accounts", description = "Ledger accounts"),
        (name = "transfers", description = "Moving money, holding it, moving it back"),
        (name = "batches", description = "Many items in one request"),
        (name = "periods", description = "Closing the book"),
        (name = "members", description = "Who belongs to the organisation, and what they may do"),
        (name = "auth", description = "Registering, signing in, and the sessions of oneself"),
        (name = "providers", description = "Signing in with others, and whom an organisation trusts for it"),
        (name = "organizations", description = "Organisations: asked for, named, closed, with their policies"),
        (name = "platform", description = "What the platform decides about organisations"),
        (name = "users", description = "Persons, as an administrator changes them"),
    )
)]
struct Document;

/// What can be done with a thing that was just made. An answer about an existing thing tells nothing new.
const WAYS: &[Way] = &[
    way("openAccount", "freezeAccount"),
    way("openAccount", "unfreezeAccount"),
    way("openAccount", "closeAccount"),
    way("postTransfer", "postHold"),
    way("postTransfer", "voidHold"),
    way("postTransfer", "reverseTransfer"),
];

const fn way(from: &'static str, to: &'static str) -> Way {
    Way { from, to, parameter: "id", value: "$response.body#/id" }
}

/// Every command, with its description.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    let mut all = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(accounts::open))
        .routes(routes!(accounts::freeze))
        .routes(routes!(accounts::unfreeze))
        .routes(routes!(accounts::close))
        .routes(routes!(transfers::post))
        .routes(routes!(transfers::post_hold))
        .routes(routes!(transfers::void_hold))
        .routes(routes!(transfers::reverse))
        .merge(batches::routes())
        .merge(auth::routes())
        .merge(account::routes())
        .merge(federation::routes())
        .merge(providers::routes())
        .merge(organizations::routes())
        .routes(routes!(periods::close))
        .routes(routes!(members::assign_roles))
        .routes(routes!(members::remove))
        .routes(routes!(members::transfer_ownership))
        .routes(routes!(roles::define))
        .routes(routes!(roles::redefine, roles::delete))
        .routes(routes!(users::deactivate))
        .routes(routes!(users::reactivate))
        .routes(routes!(users::end_sessions));
    openapi::link(all.get_openapi_mut(), WAYS);
    all
}
