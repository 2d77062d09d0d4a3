//! How often a service may ask, as its organisation says: beside what it has booked, and counted with it.

use axum::extract::State;
use axum::response::Response;
use domain::application::{LimitService, ServiceLimits, UnlimitService};
use domain::ids::ServiceId;
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, permissions};
use service_kit::body::{Json, Path};
use service_kit::problem::{Problem, ProblemBody};
use utoipa::ToSchema;

use super::{LOCATION, field, stands};
use crate::answer::{Accepted, Together};
use crate::app::App;
use crate::keys::{OptionalKey, Request};

/// The most that can be said: no caller may make more anyway.
const MOST: u32 = 10_000;

/// How often a service may ask.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceLimitsBody {
    /// Requests a second, in the long run.
    #[schema(minimum = 1, maximum = 10000, example = 50)]
    per_second: u32,
    /// Requests at once.
    #[schema(minimum = 1, maximum = 10000, example = 100)]
    burst: u32,
}

impl ServiceLimitsBody {
    fn limits(self) -> Result<ServiceLimits, Problem> {
        let Self { per_second, burst } = self;
        for (pointer, value) in [("/per_second", per_second), ("/burst", burst)] {
            if !(1..=MOST).contains(&value) {
                return Err(field(pointer.to_owned(), "it is from 1 to 10000"));
            }
        }
        Ok(ServiceLimits { per_second, burst })
    }
}

/// Limits a service
///
/// It may ask no more often from the next second on: for itself, for all people and with all its API keys together, each process
/// counting what it is asked. What the organisation has booked holds beside it. Permission: `application.manage-services`.
#[utoipa::path(
    put, path = "/v1/services/{id}/limits", tag = "services", operation_id = "limitService",
    params(("id" = Uuid, Path, description = "The service"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = ServiceLimitsBody, example = json!({ "per_second": 50, "burst": 100 })),
    responses(
        (status = 200, description = "It may ask that often.", body = Accepted),
        (status = 404, description = "There is no such service.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn limit(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageServices>,
    key: OptionalKey,
    Path(service_id): Path<ServiceId>,
    Json(body): Json<ServiceLimitsBody>,
) -> Result<Response, Problem> {
    let request = Request::new("PUT /v1/services/{id}/limits", &body).about(service_id);
    let key = app.key(&allowed, &key, &request)?;
    let command = LimitService { service_id, limits: body.limits()? };
    app.run_together(&allowed, key, LOCATION, Together::one(command, [])).await
}

/// Takes the limits of a service away
///
/// It may ask as often as the organisation has booked. Permission: `application.manage-services`.
#[utoipa::path(
    delete, path = "/v1/services/{id}/limits", tag = "services", operation_id = "unlimitService",
    params(("id" = Uuid, Path, description = "The service"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It has none of its own.", body = Accepted),
        (status = 404, description = "There is no such service.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn unlimit(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageServices>,
    key: OptionalKey,
    Path(service_id): Path<ServiceId>,
) -> Result<Response, Problem> {
    let command = Box::new(UnlimitService { service_id });
    stands(&app, &allowed, &key, "DELETE /v1/services/{id}/limits", service_id, command).await
}
