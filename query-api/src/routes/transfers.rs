//! `/v1/ledger/transfers`: transfers as they are now.

use axum::extract::State;
use axum::response::Response;
use read_models::progress::Touch;
use read_models::transfers::{TransferFilter, TransferRow};
use read_models::{AccountEntries, Moment, Order, Page, Transfers};
use serde::Deserialize;
use service_kit::access::{Allowed, permissions::ReadTransfers};
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
enum TransferStatus {
    Posted,
    Pending,
    Voided,
    Expired,
}

/// Which transfers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TransfersQuery {
    /// Only those that touch this account.
    account_id: Option<Uuid>,
    /// Only those in this state, as recorded.
    #[param(inline)]
    status: Option<TransferStatus>,
    /// Only those first recorded at or after this moment.
    #[param(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    from: Option<Moment>,
    /// Only those first recorded before this moment.
    #[param(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    to: Option<Moment>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List transfers
///
/// By when they were first recorded.
#[utoipa::path(get, operation_id = "listTransfers", path = "/v1/ledger/transfers", tag = "ledger",
    params(TransfersQuery), responses(
    (status = 200, description = "A page of transfers.", body = Page<TransferRow>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadTransfers>,
    conditions: Conditions,
    Query(query): Query<TransfersQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let status = query.status.map(|it| match it {
        TransferStatus::Posted => "posted".to_owned(),
        TransferStatus::Pending => "pending".to_owned(),
        TransferStatus::Voided => "voided".to_owned(),
        TransferStatus::Expired => "expired".to_owned(),
    });
    let mut touches = vec![Touch::all::<Transfers>()];
    touches.extend(query.account_id.map(Touch::one::<AccountEntries>));
    let (from, to) = (query.from.map(|it| it.0), query.to.map(|it| it.0));
    let filter = TransferFilter { account_id: query.account_id, status, from, to };
    let mut reading = app.read(allowed.caller().tenant, &conditions, &touches).await?;
    let page = Transfers::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    answer::json(reading, &conditions, &page).await
}

/// Show a transfer
#[utoipa::path(get, operation_id = "getTransfer", path = "/v1/ledger/transfers/{transfer_id}", tag = "ledger",
    params(("transfer_id" = Uuid, Path, description = "Which transfer.")),
    responses(
        (status = 200, description = "The transfer as it is now.", body = TransferRow),
        (status = 404, description = "There is no such transfer.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn find(
    State(app): State<App>,
    allowed: Allowed<ReadTransfers>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[Touch::one::<Transfers>(id)]).await?;
    let row = Transfers::find(&mut reading.tx, id).await?.ok_or_else(|| reading.not_found())?;
    answer::json(reading, &conditions, &row).await
}
