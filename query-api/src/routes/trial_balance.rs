//! `/v1/ledger/trial-balance`: that debits equal credits, and where they are.

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use read_models::progress::Touch;
use read_models::trial_balance::{CurrencyTotals, TrialBalanceRow};
use read_models::{AccountEntries, Accounts, Moment, TrialBalance};
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, permissions::ReadJournal};
use service_kit::body::Query;
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};

use crate::answer;
use crate::app::App;
use crate::reading::{Conditions, limit, listed};

/// As of when, and which page of accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TrialBalanceQuery {
    /// As of a moment that has passed, by when things were recorded; now, if left out.
    #[param(value_type = Option<DateTime<Utc>>)]
    as_of: Option<Moment>,
    /// Accounts of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The trial balance: the sums of every currency, and a page of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrialBalanceAnswer {
    /// The moment asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<DateTime<Utc>>,
    /// Sums over all accounts, by currency.
    totals: Vec<CurrencyTotals>,
    /// Accounts by currency and id.
    items: Vec<TrialBalanceRow>,
    /// Gives the next page of accounts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Show the trial balance, now or as it was
#[utoipa::path(get, operation_id = "getTrialBalance", path = "/v1/ledger/trial-balance", tag = "ledger",
    params(TrialBalanceQuery), responses(
    (status = 200, description = "Sums by currency and a page of accounts.", body = TrialBalanceAnswer),
))]
pub(crate) async fn trial_balance(
    State(app): State<App>,
    allowed: Allowed<ReadJournal>,
    conditions: Conditions,
    Query(query): Query<TrialBalanceQuery>,
) -> Result<Response, Problem> {
    let limit = limit(query.limit)?;
    let tenant = allowed.caller().tenant;
    // Rows carry the accounts' names.
    let mut touches = vec![Touch::all::<TrialBalance>(), Touch::all::<Accounts>()];
    let as_of = query.as_of.map(|it| it.0);
    let mut reading = match as_of {
        None => app.read(tenant, &conditions, &touches).await?,
        Some(moment) => {
            touches.push(Touch::all::<AccountEntries>());
            app.read_as_of(tenant, &conditions, &touches, moment).await?
        }
    };
    let totals = TrialBalance::totals(&mut reading.tx, as_of).await?;
    let page = TrialBalance::accounts(&mut reading.tx, as_of, query.cursor.as_deref(), limit)
        .await
        .map_err(listed)?;
    let content = TrialBalanceAnswer { as_of, totals, items: page.items, next_cursor: page.next_cursor };
    answer::json(reading, &conditions, &content).await
}
