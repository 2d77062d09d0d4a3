//! Ledger accounts: open, freeze, unfreeze, close.

use axum::extract::State;
use axum::response::Response;
use domain::ids::AccountId;
use domain::ledger::{
    CloseAccount, FreezeAccount, FreezeRequest, OpenAccountRequest, UnfreezeAccount, account,
};
use service_kit::access::{Allowed, permissions};
use service_kit::body::{Json, Path};
use service_kit::problem::{Problem, ProblemBody};
use uuid::Uuid;

use crate::answer::Accepted;
use crate::app::App;
use crate::keys::{IfMatch, OptionalKey, Request};
use crate::schema::{FreezeBody, OpenAccountBody};

const LOCATION: &str = "/v1/ledger/accounts";

/// Opens an account
///
/// Its identifier is yours to choose and never used twice. Permission: `ledger.open-account`.
#[utoipa::path(
    post, path = "/v1/ledger/accounts", tag = "accounts", operation_id = "openAccount",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = OpenAccountBody, example = json!({
        "name": "cash", "currency": "EUR", "normal_side": "debit", "min_balance": "0"
    })),
    responses(
        (status = 201, description = "The account is open.", body = Accepted),
        (status = 409, description = "The identifier is in use.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A rule refuses it.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn open(
    State(app): State<App>,
    allowed: Allowed<permissions::OpenAccount>,
    key: OptionalKey,
    Json(body): Json<OpenAccountRequest>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("POST /v1/ledger/accounts", &body))?;
    let minted = AccountId::new(Uuid::now_v7());
    let decision = body.into_decision(minted);
    app.run_new(&allowed, key, account::stream(minted), LOCATION, decision).await
}

/// Freezes an account
///
/// It takes no more debits, credits or both, beside what is frozen already. Permission: `ledger.freeze-account`.
#[utoipa::path(
    post, path = "/v1/ledger/accounts/{id}/freeze", tag = "accounts", operation_id = "freezeAccount",
    params(("id" = Uuid, Path, description = "The account"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that it must have")),
    request_body(content = FreezeBody, example = json!({ "side": "debits" })),
    responses(
        (status = 200, description = "It is frozen.", body = Accepted),
        (status = 404, description = "There is no such account.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is closed.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn freeze(
    State(app): State<App>,
    allowed: Allowed<permissions::FreezeAccount>,
    key: OptionalKey,
    if_match: IfMatch,
    Path(account_id): Path<AccountId>,
    Json(body): Json<FreezeRequest>,
) -> Result<Response, Problem> {
    let request =
        Request::new("POST /v1/ledger/accounts/{id}/freeze", &body).about(account_id).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let expected = if_match.of(account::stream(account_id));
    let decision = FreezeAccount { account_id, side: body.side };
    app.run(&allowed, key, expected, LOCATION, decision).await
}

/// Unfreezes an account
///
/// It takes both sides again. Permission: `ledger.unfreeze-account`.
#[utoipa::path(
    post, path = "/v1/ledger/accounts/{id}/unfreeze", tag = "accounts", operation_id = "unfreezeAccount",
    params(("id" = Uuid, Path, description = "The account"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that it must have")),
    responses(
        (status = 200, description = "It takes both sides.", body = Accepted),
        (status = 404, description = "There is no such account.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is closed.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn unfreeze(
    State(app): State<App>,
    allowed: Allowed<permissions::UnfreezeAccount>,
    key: OptionalKey,
    if_match: IfMatch,
    Path(account_id): Path<AccountId>,
) -> Result<Response, Problem> {
    let request =
        Request::new("POST /v1/ledger/accounts/{id}/unfreeze", &()).about(account_id).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let expected = if_match.of(account::stream(account_id));
    app.run(&allowed, key, expected, LOCATION, UnfreezeAccount { account_id }).await
}

/// Closes an account
///
/// For good; it must be empty, with nothing on hold. Permission: `ledger.close-account`.
#[utoipa::path(
    post, path = "/v1/ledger/accounts/{id}/close", tag = "accounts", operation_id = "closeAccount",
    params(("id" = Uuid, Path, description = "The account"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that it must have")),
    responses(
        (status = 200, description = "It is closed.", body = Accepted),
        (status = 404, description = "There is no such account.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not empty.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn close(
    State(app): State<App>,
    allowed: Allowed<permissions::CloseAccount>,
    key: OptionalKey,
    if_match: IfMatch,
    Path(account_id): Path<AccountId>,
) -> Result<Response, Problem> {
    let request =
        Request::new("POST /v1/ledger/accounts/{id}/close", &()).about(account_id).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let expected = if_match.of(account::stream(account_id));
    app.run(&allowed, key, expected, LOCATION, CloseAccount { account_id }).await
}
