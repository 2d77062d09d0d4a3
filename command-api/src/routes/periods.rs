//! Closing periods of the tenant's book.

use axum::extract::State;
use axum::response::Response;
use domain::ledger::{ClosePeriod, ClosePeriodRequest};
use service_kit::access::{Allowed, permissions};
use service_kit::body::Json;
use service_kit::problem::{Problem, ProblemBody};

use crate::answer::Accepted;
use crate::app::App;
use crate::keys::{OptionalKey, Request};
use crate::schema::ClosePeriodBody;

/// Closes a period
///
/// Nothing can become effective any more up to and including the moment. There is no way back. Permission:
/// `ledger.close-period`.
#[utoipa::path(
    post, path = "/v1/ledger/periods/close", tag = "periods", operation_id = "closePeriod",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = ClosePeriodBody, example = json!({ "through": "2026-09-30T23:59:59Z" })),
    responses(
        (status = 200, description = "The period is closed.", body = Accepted),
        (status = 409, description = "A later period is closed already.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The moment is in the future.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn close(
    State(app): State<App>,
    allowed: Allowed<permissions::ClosePeriod>,
    key: OptionalKey,
    Json(body): Json<ClosePeriodRequest>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("POST /v1/ledger/periods/close", &body))?;
    app.run(&allowed, key, None, "/v1/ledger/periods", ClosePeriod { through: body.through }).await
}
