//! Devices without a keyboard ask here; people decide about them on a page.

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use service_kit::body::Json;
use service_kit::oauth_error::{OauthError, OauthErrorBody};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::BODY_BYTES_MAX;
use super::oauth::kept_by_nobody;
use crate::app::App;
use crate::identity::Origin;
use crate::oauth::device::DeviceBody;
use crate::oauth::read_form;

/// Everything that devices ask, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ask)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// A device wants to be signed in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used: a form is read by its parameters")]
pub struct DeviceForm {
    /// The service that asks for it, if it does not show itself by HTTP Basic.
    #[schema(example = "qa_...")]
    client_id: Option<String>,
    /// Its secret, likewise; none, if it can keep none.
    client_secret: Option<String>,
    /// What it asks for: names parted by spaces; all that the service is registered with, if it is left out.
    #[schema(example = "openid profile")]
    scope: Option<String>,
}

/// Asks for a code that a person types
///
/// The device shows it, and polls `/oauth2/token` until somebody has decided (RFC 8628). Open to services.
#[utoipa::path(
    post, path = "/oauth2/device_authorization", tag = "oauth", operation_id = "askForDeviceCode", security(()),
    request_body(content = DeviceForm, content_type = "application/x-www-form-urlencoded", example = json!({
        "client_id": "qa_...", "scope": "openid profile"
    })),
    responses(
        (status = 200, description = "These are the codes.", body = DeviceBody),
        (status = 400, description = "The service may not ask for this.", body = OauthErrorBody),
        (status = 401, description = "The service is not known by what it shows.", body = OauthErrorBody),
    )
)]
pub async fn ask(
    State(app): State<App>,
    origin: Origin,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, OauthError> {
    let params = read_form(request).await?;
    Ok(kept_by_nobody(Json(app.oauth.ask_for_device(&headers, &params, &origin).await?)))
}
