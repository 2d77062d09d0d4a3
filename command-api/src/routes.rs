//! The one list of routes.

use axum::routing::get;
use axum::{Json, Router};
use service_kit::openapi::{self, Way};
use service_kit::token::PublicKeys;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub mod accounts;
pub mod batches;
pub mod periods;
pub mod transfers;

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
        .routes(routes!(periods::close));
    openapi::link(all.get_openapi_mut(), WAYS);
    all
}

/// The public keys of our tokens, for services that verify them themselves.
///
/// # Errors
/// If they cannot be written as JSON.
pub fn jwks(keys: &PublicKeys) -> Result<Router, serde_json::Error> {
    let set = serde_json::to_value(keys)?;
    Ok(Router::new().route("/.well-known/jwks.json", get(move || async move { Json(set) })))
}
