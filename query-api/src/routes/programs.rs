//! `/v1/services` and `/v1/api-keys`: the programs of an organisation, and the keys with which programs act. Neither list has
//! anything of a secret.

use axum::extract::State;
use axum::response::Response;
use read_models::api_keys::{ApiKeyFilter, ApiKeyRow};
use read_models::progress::Touch;
use read_models::services::ServiceRow;
use read_models::{ApiKeys, Order, Page, Services};
use serde::Deserialize;
use service_kit::access::Allowed;
use service_kit::access::permissions::{ReadApiKeys, ReadServices};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::accounts::NoParameters;
use crate::answer;
use crate::app::App;
use crate::reading::{Conditions, asked, listed};

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ServiceStatus {
    Active,
    Suspended,
    Removed,
}

impl ServiceStatus {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Removed => "removed",
        }
    }
}

/// Which services.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ServicesQuery {
    /// Only those in this state; all that are not removed, if left out.
    #[param(inline)]
    status: Option<ServiceStatus>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List services
///
/// By when they were registered.
#[utoipa::path(get, operation_id = "listServices", path = "/v1/services", tag = "application",
    params(ServicesQuery), responses(
    (status = 200, description = "A page of services.", body = Page<ServiceRow>),
))]
pub(crate) async fn services(
    State(app): State<App>,
    allowed: Allowed<ReadServices>,
    conditions: Conditions,
    Query(query): Query<ServicesQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let status = query.status.map(ServiceStatus::as_str);
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[Touch::all::<Services>()]).await?;
    let page = Services::list(&mut reading.tx, status, &asked).await.map_err(listed)?;
    answer::json(reading, &conditions, &page).await
}

/// Show a service
#[utoipa::path(get, operation_id = "getService", path = "/v1/services/{service_id}", tag = "application",
    params(("service_id" = Uuid, Path, description = "Which.")),
    responses(
        (status = 200, description = "The service as it is now.", body = ServiceRow),
        (status = 404, description = "There is no such service.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn service(
    State(app): State<App>,
    allowed: Allowed<ReadServices>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[Touch::one::<Services>(id)]).await?;
    let row = Services::find(&mut reading.tx, id).await?.ok_or_else(|| reading.not_found())?;
    answer::json(reading, &conditions, &row).await
}

/// Which keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApiKeysQuery {
    /// Only those that act for this person or service.
    owner: Option<Uuid>,
    /// Only those that are good.
    live: Option<bool>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List API keys
///
/// By when they were made.
#[utoipa::path(get, operation_id = "listApiKeys", path = "/v1/api-keys", tag = "application",
    params(ApiKeysQuery), responses(
    (status = 200, description = "A page of keys.", body = Page<ApiKeyRow>),
))]
pub(crate) async fn api_keys(
    State(app): State<App>,
    allowed: Allowed<ReadApiKeys>,
    conditions: Conditions,
    Query(query): Query<ApiKeysQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let filter = ApiKeyFilter { owner: query.owner, live: query.live.unwrap_or(false) };
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[Touch::all::<ApiKeys>()]).await?;
    let page = ApiKeys::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    answer::json(reading, &conditions, &page).await
}

/// Show an API key
#[utoipa::path(get, operation_id = "getApiKey", path = "/v1/api-keys/{key_id}", tag = "application",
    params(("key_id" = Uuid, Path, description = "Which.")),
    responses(
        (status = 200, description = "The key as it is now.", body = ApiKeyRow),
        (status = 404, description = "There is no such key.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn api_key(
    State(app): State<App>,
    allowed: Allowed<ReadApiKeys>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[Touch::one::<ApiKeys>(id)]).await?;
    let row = ApiKeys::find(&mut reading.tx, id).await?.ok_or_else(|| reading.not_found())?;
    answer::json(reading, &conditions, &row).await
}
