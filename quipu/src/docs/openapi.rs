//! The descriptions of both APIs, as the servers serve them at `/openapi.json`.

use serde_json::Value;

/// Each with the name of its server.
pub(super) fn all() -> serde_json::Result<[(&'static str, Value); 2]> {
    Ok([
        ("command-api", serde_json::to_value(command_api::app::document())?),
        ("query-api", serde_json::to_value(query_api::document())?),
    ])
}
