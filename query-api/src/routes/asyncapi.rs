//! `/asyncapi.json`: what is on NATS, as `./dev docs` wrote it when this build was made.

use axum::Router;
use axum::http::header;
use axum::routing::get;

const DOCUMENT: &str = include_str!("../../../docs/asyncapi.json");

/// The document, for everybody, like `/openapi.json`.
pub(super) fn routes() -> Router {
    Router::new()
        .route("/asyncapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], DOCUMENT) }))
}
