//! `/v1/ledger/accounts/{account_id}/entries`: all that happened to an account's money.

use axum::extract::State;
use axum::response::Response;
use read_models::account_entries::EntryRow;
use read_models::progress::Touch;
use read_models::{AccountEntries, Accounts, Order, Page};
use serde::Deserialize;
use service_kit::access::{Allowed, permissions::ReadAccounts};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::answer;
use crate::app::App;
use crate::reading::{Conditions, asked, listed};

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EntriesQuery {
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List an account's entries
///
/// Every posting, hold and end of a hold, each with the account's totals after it.
#[utoipa::path(get, operation_id = "listEntries", path = "/v1/ledger/accounts/{account_id}/entries", tag = "ledger",
    params(("account_id" = Uuid, Path, description = "Which account."), EntriesQuery),
    responses(
        (status = 200, description = "A page of entries.", body = Page<EntryRow>),
        (status = 404, description = "There is no such account.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadAccounts>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(query): Query<EntriesQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let touches = [Touch::one::<Accounts>(id), Touch::one::<AccountEntries>(id)];
    let mut reading = app.read(allowed.caller().tenant, &conditions, &touches).await?;
    if Accounts::find(&mut reading.tx, id).await?.is_none() {
        return Err(reading.not_found());
    }
    let page = AccountEntries::list(&mut reading.tx, id, &asked).await.map_err(listed)?;
    answer::json(reading, &conditions, &page).await
}
