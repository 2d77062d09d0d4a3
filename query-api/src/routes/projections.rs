//! `/v1/projections`: how far readers of the log have come.

use axum::extract::State;
use axum::response::Response;
use read_models::progress::{self, ProjectionRow, PublisherRow};
use serde::Serialize;
use service_kit::access::{Allowed, permissions::ReadProjections};
use service_kit::body::Query;
use service_kit::problem::Problem;
use utoipa::ToSchema;

use super::accounts::NoParameters;
use crate::answer;
use crate::app::App;
use crate::reading::Conditions;

/// All readers of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Projections {
    /// The newest position of the log.
    #[schema(example = "1-4711")]
    head: String,
    /// Read models, by name and version.
    items: Vec<ProjectionRow>,
    /// The publisher to NATS, once it has begun.
    publisher: Option<PublisherRow>,
}

/// Show how far read models and the publisher have come
#[utoipa::path(get, operation_id = "listProjections", path = "/v1/projections", tag = "operations",
    responses(
    (status = 200, description = "Positions and lags.", body = Projections),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadProjections>,
    conditions: Conditions,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[]).await?;
    let items = progress::projections(&mut reading.tx).await?;
    let publisher = progress::publisher(&mut reading.tx).await?;
    let content = Projections { head: reading.position().to_string(), items, publisher };
    answer::json(reading, &conditions, &content).await
}
