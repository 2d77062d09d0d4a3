//! `/v1/ledger/accounts`: accounts as they are, and their balances as they were.

use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use domain::money::Currency;
use event_schemas::envelope::LogPosition;
use read_models::account_entries::statement::{BalanceRow, Basis, Until};
use read_models::accounts::{AccountFilter, AccountOrder, AccountRow};
use read_models::progress::Touch;
use read_models::{AccountEntries, Accounts, Moment, Page};
use serde::Deserialize;
use service_kit::access::{Allowed, permissions::ReadAccounts};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::answer;
use crate::app::App;
use crate::reading::{Conditions, asked, invalid, listed, searched};

/// What an account can be.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum AccountStatus {
    Open,
    Frozen,
    Closed,
}

/// Which accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AccountsQuery {
    /// Only those that are open, frozen or closed.
    #[param(inline)]
    status: Option<AccountStatus>,
    /// Only those of this currency.
    #[param(value_type = Option<String>, example = "EUR")]
    currency: Option<Currency>,
    /// Only those whose name begins with this, letter by letter.
    #[param(example = "Customer")]
    name_prefix: Option<String>,
    /// By when they were opened, or by name; `-` is backwards. The newest first, if left out.
    #[param(inline)]
    order: Option<AccountOrder>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List accounts
///
/// Pages by keyset: what is opened meanwhile neither repeats rows nor hides any.
#[utoipa::path(get, operation_id = "listAccounts", path = "/v1/ledger/accounts", tag = "ledger",
    params(AccountsQuery), responses(
    (status = 200, description = "A page of accounts.", body = Page<AccountRow>),
    (status = 422, description = "The currency is not in use.", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadAccounts>,
    conditions: Conditions,
    Query(query): Query<AccountsQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let status = query.status.map(|it| match it {
        AccountStatus::Open => "open".to_owned(),
        AccountStatus::Frozen => "frozen".to_owned(),
        AccountStatus::Closed => "closed".to_owned(),
    });
    let currency = query.currency.map(|it| it.code().to_owned());
    let name_prefix = query.name_prefix.map(|it| searched("name_prefix", it)).transpose()?;
    let filter = AccountFilter { status, currency, name_prefix };
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[Touch::all::<Accounts>()]).await?;
    let page = Accounts::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    answer::json(reading, &conditions, &page).await
}

/// Show an account
#[utoipa::path(get, operation_id = "getAccount", path = "/v1/ledger/accounts/{account_id}", tag = "ledger",
    params(("account_id" = Uuid, Path, description = "Which account.")),
    responses(
        (status = 200, description = "The account as it is now.", body = AccountRow),
        (status = 404, description = "There is no such account.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn find(
    State(app): State<App>,
    allowed: Allowed<ReadAccounts>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[Touch::one::<Accounts>(id)]).await?;
    let row = Accounts::find(&mut reading.tx, id).await?.ok_or_else(|| reading.not_found())?;
    answer::json(reading, &conditions, &row).await
}

/// A route without query parameters, which refuses those that are sent all the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParameters {}

/// As of when: at most one of `as_of`, `at_version` and `at_position`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BalanceQuery {
    /// As of a moment that has passed, inclusive; now, if left out.
    #[param(value_type = Option<chrono::DateTime<Utc>>)]
    as_of: Option<Moment>,
    /// Whether entries count by when they were recorded (what was known then) or by their effective date (what is known
    /// now about then).
    #[param(inline)]
    basis: Option<Basis>,
    /// As of a version of the account.
    #[param(example = 7, minimum = 1)]
    at_version: Option<i64>,
    /// As of a position of the log.
    #[param(example = "1-4711", pattern = r"^[0-9]{1,9}-[0-9]{1,18}$")]
    at_position: Option<String>,
}

/// Show a balance, now or as it was
///
/// The answer is exact for its `Quipu-Position`. With `basis=recorded` it never changes once anything later than the
/// moment is recorded: until then, a command that is being decided may still get that time. With `basis=effective`
/// entries that are dated back change it.
#[utoipa::path(get, operation_id = "getBalance", path = "/v1/ledger/accounts/{account_id}/balance", tag = "ledger",
    params(("account_id" = Uuid, Path, description = "Which account."), BalanceQuery),
    responses(
        (status = 200, description = "The balance; nothing, before the account was opened.", body = BalanceRow),
        (status = 404, description = "There is no such account, or no such version of it.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn balance(
    State(app): State<App>,
    allowed: Allowed<ReadAccounts>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(query): Query<BalanceQuery>,
) -> Result<Response, Problem> {
    let tenant = allowed.caller().tenant;
    let touches = [Touch::one::<Accounts>(id), Touch::one::<AccountEntries>(id)];
    let basis = query.basis.unwrap_or_default();
    let mut reading;
    let until;
    match (query.as_of.map(|it| it.0), query.at_version, query.at_position) {
        (as_of, None, None) if as_of.is_some() || basis == Basis::Effective => {
            let moment = as_of.unwrap_or_else(Utc::now);
            reading = app.read_as_of(tenant, &conditions, &touches, moment).await?;
            until =
                if basis == Basis::Effective { Until::Effective(moment) } else { Until::Recorded(moment) };
        }
        (None, None, None) => {
            reading = app.read(tenant, &conditions, &touches).await?;
            until = Until::Now;
        }
        (None, Some(version), None) if basis == Basis::Recorded => {
            if version < 1 {
                return Err(invalid("at_version begins at 1"));
            }
            reading = app.read(tenant, &conditions, &touches).await?;
            until = Until::Version(version);
        }
        (None, None, Some(position)) if basis == Basis::Recorded => {
            let position: LogPosition =
                position.parse().map_err(|_| Problem::new(&code::POSITION_MALFORMED, "at_position"))?;
            let conditions = conditions.clone().exactly_at(position)?;
            reading = app.read(tenant, &conditions, &touches).await?;
            until = Until::Position(position.position);
        }
        _ => {
            let what = "give one of as_of, at_version and at_position; basis=effective goes with as_of only";
            return Err(invalid(what));
        }
    }
    let account = Accounts::find(&mut reading.tx, id).await?.ok_or_else(|| reading.not_found())?;
    let mut row = AccountEntries::balance(&mut reading.tx, &account, until).await?;
    if let Until::Version(version) = until {
        if version > account.version {
            let problem = Problem::new(&code::VERSION_AHEAD, "");
            return Err(problem.with("newest_version", account.version.to_string()));
        }
        let made_by = LogPosition { epoch: reading.served.epoch, position: account.position };
        if row.version != Some(version) && made_by.position > reading.served.position {
            // The account is ahead of its entries: what the version made of the balance may be to come.
            reading.tx.end().await?;
            reading = app.read(tenant, &conditions.clone().reaching(made_by)?, &touches).await?;
            row = AccountEntries::balance(&mut reading.tx, &account, until).await?;
        }
    }
    answer::json(reading, &conditions, &row).await
}
