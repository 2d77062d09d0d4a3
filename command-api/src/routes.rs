//! The one list of routes.

use service_kit::openapi::{self, Way};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub mod access_tokens;
pub mod account;
pub mod accounts;
pub mod api_keys;
pub mod auth;
pub mod batches;
pub mod consents;
pub mod devices;
pub mod factors;
pub mod federation;
pub mod impersonation;
pub mod invitations;
pub mod members;
pub mod oauth;
pub mod organizations;
pub mod passkeys;
pub mod periods;
pub mod persons;
pub mod platform;
pub mod provider_tokens;
pub mod providers;
pub mod roles;
pub mod services;
pub mod sessions;
pub mod transfers;
pub mod users;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Quipu command API",
        description = "Writes. Every command is judged on the state of the moment of its commit; every answer carries \
                       `Quipu-Position`, up to which the log holds what the answer says.\n\nAn `Idempotency-Key` \
                       makes a command safe to repeat: the same request under the same key is answered as the first time, \
                       with `Idempotent-Replayed: true`, and nothing happens again. Keys count for each caller and for \
                       each operation apart: the same key names another request with another operation, but with the \
                       same one it may not come with another path, body or `If-Match` (422 `idempotency.key-reused`).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "accounts", description = "Ledger accounts"),
        (name = "transfers", description = "Moving money, holding it, moving it back"),
        (name = "batches", description = "Many items in one request"),
        (name = "periods", description = "Closing the book"),
        (name = "members", description = "Who belongs to the organisation, and what they may do"),
        (name = "invitations", description = "Asking people in, and coming"),
        (name = "auth", description = "Registering, signing in, and the sessions of oneself"),
        (name = "providers", description = "Signing in with others, and whom an organisation trusts for it"),
        (name = "organizations", description = "Organisations: asked for, named, closed, with their policies"),
        (name = "api-keys", description = "Keys with which programs act"),
        (name = "access-tokens", description = "Tokens that operators issue by hand"),
        (name = "services", description = "Programs that let people of the organisation sign in, or sign in themselves"),
        (name = "oauth", description = "OAuth 2.0 and OpenID Connect, as services speak it"),
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

/// Whether an operation passes over parameters of the query that it does not know. RFC 6749 demands it of OAuth (sections
/// 3.1 and 3.2), and a provider may send people back with more than we ask for.
#[must_use]
pub fn takes_any_query(operation: &Operation) -> bool {
    operation.tags.iter().flatten().any(|it| it == "oauth")
        || operation.operation_id.as_deref() == Some("endProviderSignIn")
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
        .merge(persons::routes())
        .merge(sessions::routes())
        .merge(account::routes())
        .merge(federation::routes())
        .merge(services::routes())
        .merge(oauth::routes())
        .merge(devices::routes())
        .merge(consents::routes())
        .merge(factors::routes())
        .merge(passkeys::routes())
        .merge(providers::routes())
        .routes(routes!(provider_tokens::read))
        .merge(api_keys::routes())
        .merge(access_tokens::routes())
        .merge(impersonation::routes())
        .merge(organizations::routes())
        .merge(platform::routes())
        .routes(routes!(periods::close))
        .routes(routes!(members::assign_roles))
        .routes(routes!(members::remove))
        .routes(routes!(members::transfer_ownership))
        .routes(routes!(roles::define))
        .routes(routes!(roles::redefine, roles::delete))
        .merge(invitations::routes())
        .merge(users::routes());
    openapi::link(all.get_openapi_mut(), WAYS);
    all
}
