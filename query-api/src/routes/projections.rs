//! `/v1/projections`: how far readers of the log have come.

use axum::extract::State;
use axum::response::Response;
use event_schemas::envelope::LogPosition;
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

/// A reader of the log. Its position is of the epoch of its checkpoint, which after a restore is not the log's.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reader<R> {
    /// Everything up to here is in it.
    #[schema(example = "1-4711")]
    position: String,
    /// The newest position of the log.
    #[schema(example = "1-4711")]
    head: String,
    #[serde(flatten)]
    row: R,
}

/// All readers of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Projections {
    /// The newest position of the log.
    #[schema(example = "1-4711")]
    head: String,
    /// Read models, by name and version.
    items: Vec<Reader<ProjectionRow>>,
    /// The publisher to NATS, once it has begun.
    publisher: Option<Reader<PublisherRow>>,
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
    let head = reading.position().to_string();
    let at = |epoch, position| LogPosition { epoch, position }.to_string();
    let model =
        |row: ProjectionRow| Reader { position: at(row.epoch, row.position), head: head.clone(), row };
    let published =
        |row: PublisherRow| Reader { position: at(row.epoch, row.position), head: head.clone(), row };
    let content = Projections {
        items: items.into_iter().map(model).collect(),
        publisher: publisher.map(published),
        head: head.clone(),
    };
    answer::json(reading, &conditions, &content).await
}
