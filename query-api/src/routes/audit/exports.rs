//! `/v1/audit/exports`: parts of the trail, carried out with a checksum. That it was carried out is an entry itself.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use domain::audit::{AuditEvent, ExportFormat, TrailExported, export};
use domain::ids::ExportId;
use domain::{Event, StreamId};
use event_schemas::envelope::LogPosition;
use event_store::Recorded;
use event_store::log::{self, Direction};
use read_models::audit_trail::TrailFilter;
use read_models::progress::Touch;
use read_models::{AuditTrail, Order, Page};
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, permissions::ExportTrail, permissions::ReadTrail};
use service_kit::audit::NotWritten;
use service_kit::body::{Json, Path, Query};
use service_kit::problem::{Problem, ProblemBody, code};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::answer;
use crate::app::App;
use crate::audit::author;
use crate::audit::export::{ExportFailed, Made, ROWS_MAX, Recipe, columns, make, parts};
use crate::audit::filters::TrailFilters;
use crate::export::TEXT_CSV;
use crate::reading::{Conditions, QUIPU_POSITION, Reading, asked, listed, position_header};
use crate::routes::accounts::NoParameters;

const APPLICATION_NDJSON: &str = "application/x-ndjson";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// Asks for an export.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportRequest {
    /// Its identifier, yours to choose and never used twice; asking again with the same one gives the first answer.
    #[serde(default)]
    id: Option<Uuid>,
    /// How it is written.
    #[schema(value_type = String, example = "csv")]
    format: ExportFormat,
    /// Which entries; all of them, if left out.
    #[serde(default)]
    filters: TrailFilters,
}

/// An export that was made.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ExportRow {
    /// Its identifier.
    export_id: Uuid,
    /// `csv` or `ndjson`.
    #[schema(value_type = String, example = "csv")]
    format: ExportFormat,
    /// Which entries.
    filters: BTreeMap<String, String>,
    /// Up to which position of the log.
    #[schema(example = "1-4711")]
    up_to: String,
    /// How many entries.
    rows: u64,
    /// Bytes of its text.
    size: u64,
    /// SHA-256 of its text.
    sha256: String,
    #[serde(skip)]
    #[schema(ignore)]
    columns: Option<u16>,
    /// When it was made.
    at: DateTime<Utc>,
    /// By whom; `null` if that cannot be read.
    actor: Option<Uuid>,
    /// Where that it was made stands in the log.
    #[schema(example = "1-4712")]
    position: String,
}

impl ExportRow {
    fn of(recorded: &Recorded, epoch: i32) -> Result<Self, Problem> {
        let event = recorded.decode().map_err(|error| {
            let newer = error.is_newer().then(|| Problem::new(&code::NEWER_EVENT, ""));
            newer.unwrap_or_else(|| Problem::fault(&error))
        })?;
        let Event::Audit(AuditEvent::TrailExported(made)) = event else {
            return Err(Problem::new(&code::NOT_FOUND, ""));
        };
        let actor = recorded.meta().ok().map(|it| it.actor.uuid());
        let position = LogPosition { epoch, position: recorded.position };
        Ok(Self {
            export_id: made.export_id.uuid(),
            format: made.format,
            filters: made.filters,
            up_to: made.up_to,
            rows: made.rows,
            size: made.size,
            sha256: made.sha256,
            columns: made.columns,
            at: made.at,
            actor,
            position: position.to_string(),
        })
    }
}

/// Export the audit trail
///
/// Every entry that fits the filters, up to the position that the answer names, at most 1,000,000. The text is fetched
/// from `/v1/audit/exports/{export_id}/content`, as often as needed and always the same to the byte. It does not say
/// from where something was done: that can be erased.
#[utoipa::path(post, operation_id = "exportTrail", path = "/v1/audit/exports", tag = "audit",
    request_body(content = ExportRequest, example = json!({ "format": "csv", "filters": { "result": "refused" } })),
    responses(
        (status = 201, description = "It is made, and recorded in the trail.", body = ExportRow),
        (status = 409, description = "The identifier is in use for another export.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "There are too many entries.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn create(
    State(app): State<App>,
    allowed: Allowed<ExportTrail>,
    conditions: Conditions,
    Json(request): Json<ExportRequest>,
) -> Result<Response, Problem> {
    let caller = allowed.caller();
    let filter = request.filters.parsed()?;
    let export_id = ExportId::new(request.id.unwrap_or_else(Uuid::now_v7));
    let touches = [Touch::all::<AuditTrail>()];
    let mut reading = app.read(caller.tenant, &conditions, &touches).await?;
    if request.id.is_some()
        && let Some(first) = made(&mut reading, export_id).await?
    {
        return again(&request, &first);
    }
    let up_to = reading.position();
    reading.tx.end().await?;
    let columns = columns(request.format);
    let recipe = Recipe { tenant: caller.tenant, format: request.format, columns, filter, up_to };
    let Made { rows, size, sha256 } = make(&app.pool, &recipe).await.map_err(not_made)?;
    let exported = TrailExported {
        export_id,
        format: request.format,
        filters: request.filters.recorded(),
        up_to: up_to.to_string(),
        rows,
        size,
        sha256,
        columns,
        at: Utc::now(),
    };
    let written = app.recorder.write(&author(caller), AuditEvent::TrailExported(exported)).await;
    // The answer is what the log says; also if another request with the same id was quicker.
    let mut reading = app.read(caller.tenant, &Conditions::default(), &[]).await?;
    let found = made(&mut reading, export_id).await?;
    reading.tx.end().await?;
    match (found, written) {
        (Some(row), Ok(_)) => Ok(created(&row)),
        (Some(row), Err(_)) => again(&request, &row),
        (None, Err(NotWritten::Standby)) => Err(Problem::new(&code::AUDIT_ON_STANDBY, "")),
        (None, _) => Err(Problem::new(&code::AUDIT_NOT_RECORDED, "")),
    }
}

fn not_made(error: ExportFailed) -> Problem {
    match error {
        ExportFailed::TooLarge => {
            Problem::new(&code::AUDIT_EXPORT_TOO_LARGE, "").with("rows_max", ROWS_MAX.to_string())
        }
        ExportFailed::Part(answer::PartFailed::Database(error)) => error.into(),
        ExportFailed::Part(error) => Problem::fault(&error),
    }
}

fn created(row: &ExportRow) -> Response {
    let mut response = (StatusCode::CREATED, Json(row)).into_response();
    let headers = response.headers_mut();
    if let Ok(position) = HeaderValue::try_from(row.position.as_str()) {
        headers.insert(QUIPU_POSITION, position);
    }
    if let Ok(location) = HeaderValue::try_from(format!("/v1/audit/exports/{}", row.export_id)) {
        headers.insert(header::LOCATION, location);
    }
    response
}

/// The first answer again, if the same was asked for.
fn again(request: &ExportRequest, first: &ExportRow) -> Result<Response, Problem> {
    if (request.format, &request.filters.recorded()) != (first.format, &first.filters) {
        return Err(Problem::new(&code::AUDIT_EXPORT_EXISTS, ""));
    }
    let mut response = created(first);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// An export, as the log has it.
async fn made(reading: &mut Reading, id: ExportId) -> Result<Option<ExportRow>, Problem> {
    let stream: StreamId = export::stream(id);
    let tenant = reading.tx.tenant();
    let first = log::stream(reading.tx.conn(), tenant, stream, 0, Direction::Forwards, 1).await?.pop();
    first.map(|(_, recorded)| ExportRow::of(&recorded, reading.served.epoch)).transpose()
}

/// Which page of exports.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportsQuery {
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List exports of the audit trail
///
/// By when they were made.
#[utoipa::path(get, operation_id = "listTrailExports", path = "/v1/audit/exports", tag = "audit",
    params(ExportsQuery), responses(
    (status = 200, description = "A page of exports.", body = Page<ExportRow>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadTrail>,
    conditions: Conditions,
    Query(query): Query<ExportsQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let touches = [Touch::all::<AuditTrail>()];
    let mut reading = app.read(allowed.caller().tenant, &conditions, &touches).await?;
    let filter = TrailFilter { result: Some("exported".to_owned()), ..TrailFilter::default() };
    let page = AuditTrail::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    let positions: Vec<i64> = page.items.iter().map(|it| it.position).collect();
    let mut events = log::at(reading.tx.conn(), &positions).await?;
    events.reverse();
    let epoch = reading.served.epoch;
    let items = events.iter().map(|it| ExportRow::of(it, epoch)).collect::<Result<Vec<_>, _>>()?;
    answer::json(reading, &conditions, &Page { items, next_cursor: page.next_cursor }).await
}

/// Show an export of the audit trail
///
/// It is read from the log itself, so it is there as soon as it is made.
#[utoipa::path(get, operation_id = "getTrailExport", path = "/v1/audit/exports/{export_id}", tag = "audit",
    params(("export_id" = Uuid, Path, description = "Which export.")),
    responses(
        (status = 200, description = "The export.", body = ExportRow),
        (status = 404, description = "There is no such export.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn find(
    State(app): State<App>,
    allowed: Allowed<ReadTrail>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[]).await?;
    let row = made(&mut reading, ExportId::new(id)).await?.ok_or_else(|| reading.not_found())?;
    answer::json(reading, &conditions, &row).await
}

/// Fetch the text of an export
///
/// The same bytes every time; `Repr-Digest` is their checksum. If they were not the same any more, the answer would be
/// cut off before its end.
#[utoipa::path(get, operation_id = "getTrailExportContent", path = "/v1/audit/exports/{export_id}/content", tag = "audit",
    params(("export_id" = Uuid, Path, description = "Which export.")),
    responses(
        (status = 200, description = "The entries.", content((String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 404, description = "There is no such export.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn content(
    State(app): State<App>,
    allowed: Allowed<ExportTrail>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let tenant = allowed.caller().tenant;
    let mut reading = app.read(tenant, &conditions, &[]).await?;
    let row = made(&mut reading, ExportId::new(id)).await?.ok_or_else(|| reading.not_found())?;
    reading.tx.end().await?;
    let up_to: LogPosition = row.up_to.parse().map_err(|error| Problem::fault(&error))?;
    let filters = TrailFilters::of_recorded(&row.filters);
    let filter = filters.ok_or_else(|| Problem::new(&code::NEWER_EVENT, ""))?.parsed()?;
    // The trail must have come as far as it had when the export was made, as after a rebuild it may not have.
    let touches = [Touch::all::<AuditTrail>()];
    let reading = app.read(tenant, &conditions.reaching(up_to)?, &touches).await?;
    let position = reading.position();
    reading.tx.end().await?;
    let recipe = Recipe { tenant, format: row.format, columns: row.columns, filter, up_to };
    let made = Made { rows: row.rows, size: row.size, sha256: row.sha256.clone() };
    let (media_type, file) = match row.format {
        ExportFormat::Csv => (TEXT_CSV, "audit.csv"),
        ExportFormat::Ndjson => (APPLICATION_NDJSON, "audit.ndjson"),
    };
    let mut response = answer::streamed(position, media_type, file, parts(app.pool.clone(), recipe, made));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(row.size));
    if let Ok(digest) = HeaderValue::try_from(format!("sha-256=:{}:", BASE64.encode(bytes_of(&row.sha256)))) {
        headers.insert(REPR_DIGEST, digest);
    }
    headers.insert(QUIPU_POSITION, position_header(position));
    Ok(response)
}

/// The bytes that hexadecimal digits stand for.
fn bytes_of(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
