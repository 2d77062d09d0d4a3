//! Transfers: post or hold, capture, void, reverse.

use axum::extract::State;
use axum::response::Response;
use domain::ids::TransferId;
use domain::ledger::{
    PostHold, PostHoldRequest, ReverseRequest, ReverseTransfer, TransferRequest, VoidHold, transfer,
};
use service_kit::access::{Allowed, permissions};
use service_kit::body::{Json, Path};
use service_kit::problem::{Problem, ProblemBody};
use uuid::Uuid;

use crate::answer::Accepted;
use crate::app::App;
use crate::keys::{IfMatch, Request, RequiredKey};
use crate::schema::{PostHoldBody, ReverseBody, TransferBody};

const LOCATION: &str = "/v1/ledger/transfers";

/// Posts a transfer, or holds it
///
/// Any number of legs that balance in every currency. With `hold`, the money is set aside and moves when the hold is
/// posted. Permission: `ledger.post-transfer`.
#[utoipa::path(
    post, path = "/v1/ledger/transfers", tag = "transfers", operation_id = "postTransfer",
    params(("Idempotency-Key" = String, Header, description = "Makes the command safe to repeat")),
    request_body(content = TransferBody, example = json!({
        "legs": [
            { "account_id": "0190a5c4-7c1e-7000-8000-000000000001", "side": "debit", "amount": { "amount": "12.50", "currency": "EUR" } },
            { "account_id": "0190a5c4-7c1e-7000-8000-000000000002", "side": "credit", "amount": { "amount": "12.50", "currency": "EUR" } },
        ],
        "code": "sale"
    })),
    responses(
        (status = 201, description = "It is posted, or held.", body = Accepted),
        (status = 404, description = "An account is not there.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "An account or the book does not allow it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A rule refuses it, with its figures.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn post(
    State(app): State<App>,
    allowed: Allowed<permissions::PostTransfer>,
    key: RequiredKey,
    Json(body): Json<TransferRequest>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("POST /v1/ledger/transfers", &body))?;
    let minted = TransferId::new(Uuid::now_v7());
    let decision = body.into_decision(minted);
    app.run_new(&allowed, key, transfer::stream(minted), LOCATION, decision).await
}

/// Posts a hold
///
/// In whole, or in part; what is not posted is free again. Permission: `ledger.post-hold`.
#[utoipa::path(
    post, path = "/v1/ledger/transfers/{id}/post", tag = "transfers", operation_id = "postHold",
    params(("id" = Uuid, Path, description = "The held transfer"),
           ("Idempotency-Key" = String, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that it must have")),
    request_body(content = PostHoldBody, example = json!({ "amount": { "amount": "10.00", "currency": "EUR" } })),
    responses(
        (status = 200, description = "It is posted.", body = Accepted),
        (status = 404, description = "There is no such transfer.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not an open hold.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A rule refuses it, with its figures.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn post_hold(
    State(app): State<App>,
    allowed: Allowed<permissions::PostHold>,
    key: RequiredKey,
    if_match: IfMatch,
    Path(transfer_id): Path<TransferId>,
    Json(body): Json<PostHoldRequest>,
) -> Result<Response, Problem> {
    let request =
        Request::new("POST /v1/ledger/transfers/{id}/post", &body).about(transfer_id).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let expected = if_match.of(transfer::stream(transfer_id));
    let decision = PostHold { transfer_id, amount: body.amount, effective_at: body.effective_at };
    app.run(&allowed, key, expected, LOCATION, decision).await
}

/// Voids a hold
///
/// The money is free again. Permission: `ledger.void-hold`.
#[utoipa::path(
    post, path = "/v1/ledger/transfers/{id}/void", tag = "transfers", operation_id = "voidHold",
    params(("id" = Uuid, Path, description = "The held transfer"),
           ("Idempotency-Key" = String, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that it must have")),
    responses(
        (status = 200, description = "It is void.", body = Accepted),
        (status = 404, description = "There is no such transfer.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not an open hold.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn void_hold(
    State(app): State<App>,
    allowed: Allowed<permissions::VoidHold>,
    key: RequiredKey,
    if_match: IfMatch,
    Path(transfer_id): Path<TransferId>,
) -> Result<Response, Problem> {
    let request =
        Request::new("POST /v1/ledger/transfers/{id}/void", &()).about(transfer_id).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let expected = if_match.of(transfer::stream(transfer_id));
    app.run(&allowed, key, expected, LOCATION, VoidHold { transfer_id }).await
}

/// Reverses a transfer
///
/// By a new transfer with the legs turned round, in whole or in part, never above what was posted. Permission:
/// `ledger.reverse-transfer`.
#[utoipa::path(
    post, path = "/v1/ledger/transfers/{id}/reverse", tag = "transfers", operation_id = "reverseTransfer",
    params(("id" = Uuid, Path, description = "The posted transfer"),
           ("Idempotency-Key" = String, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that it must have")),
    request_body(content = ReverseBody, example = json!({ "amount": { "amount": "2.50", "currency": "EUR" } })),
    responses(
        (status = 201, description = "The reversal is posted; the answer is about it.", body = Accepted),
        (status = 404, description = "There is no such transfer.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It cannot be reversed, or is already.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A rule refuses it, with its figures.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn reverse(
    State(app): State<App>,
    allowed: Allowed<permissions::ReverseTransfer>,
    key: RequiredKey,
    if_match: IfMatch,
    Path(transfer_id): Path<TransferId>,
    Json(body): Json<ReverseRequest>,
) -> Result<Response, Problem> {
    let request =
        Request::new("POST /v1/ledger/transfers/{id}/reverse", &body).about(transfer_id).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let expected = if_match.of(transfer::stream(transfer_id));
    let reversal_id = body.id.unwrap_or_else(|| TransferId::new(Uuid::now_v7()));
    let (amount, effective_at) = (body.amount, body.effective_at);
    let decision = ReverseTransfer { transfer_id, reversal_id, amount, effective_at };
    app.run(&allowed, key, expected, LOCATION, decision).await
}
