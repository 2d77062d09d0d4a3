//! Many items in one request, in one transaction: each by itself, or all or none.

use std::collections::HashSet;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use domain::ids::{AccountId, TransferId};
use domain::ledger::{
    OpenAccountRequest, PostHold, PostHoldRequest, ReverseRequest, ReverseTransfer, TransferRequest,
    VoidHold, account, transfer,
};
use domain::{Decision, ErrorKind, StreamId, batch};
use event_store::Linkage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, Caller, Permission, permissions};
use service_kit::body::Json;
use service_kit::config::BATCH_BODY_BYTES_MAX;
use service_kit::permissions::PermissionDoc;
use service_kit::problem::{Problem, ProblemBody};
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::answer::BatchAnswer;
use crate::app::App;
use crate::keys::{Request, RequiredKey};
use crate::schema::BatchBody;

/// Items of a batch at most.
pub const ITEMS_MAX: usize = 1_000;

/// A list of items.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// Whether all happen or none; else each happens or is refused by itself.
    #[serde(default)]
    pub atomic: bool,
    /// 1 to 1,000 items, judged in order, each on what those before it left.
    #[schemars(length(min = 1, max = 1000))]
    pub items: Vec<Item>,
}

/// One command of a batch, under its name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Opens an account.
    OpenAccount(OpenAccountRequest),
    /// Posts a transfer, or holds it.
    Transfer(TransferRequest),
    /// Posts a hold.
    Post(HoldItem<PostHoldRequest>),
    /// Voids a hold.
    Void(VoidItem),
    /// Reverses a transfer.
    Reverse(HoldItem<ReverseRequest>),
}

/// A request about a transfer that is there already.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldItem<T> {
    /// Which transfer.
    pub transfer_id: TransferId,
    /// What is asked of it.
    pub with: T,
}

/// A hold to be given up.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VoidItem {
    /// Which transfer.
    pub transfer_id: TransferId,
}

impl Item {
    /// The permission that the item would need by itself.
    fn permission(&self) -> &'static PermissionDoc {
        match self {
            Self::OpenAccount(_) => &permissions::OpenAccount::DOC,
            Self::Transfer(_) => &permissions::PostTransfer::DOC,
            Self::Post(_) => &permissions::PostHold::DOC,
            Self::Void(_) => &permissions::VoidHold::DOC,
            Self::Reverse(_) => &permissions::ReverseTransfer::DOC,
        }
    }

    fn into_decision(self, minted: &mut HashSet<StreamId>) -> Box<dyn Decision> {
        match self {
            Self::OpenAccount(request) => {
                let id = AccountId::new(Uuid::now_v7());
                minted.insert(account::stream(id));
                Box::new(request.into_decision(id))
            }
            Self::Transfer(request) => Box::new(request.into_decision(mint_transfer(minted))),
            Self::Post(HoldItem { transfer_id, with }) => {
                Box::new(PostHold { transfer_id, amount: with.amount, effective_at: with.effective_at })
            }
            Self::Void(VoidItem { transfer_id }) => Box::new(VoidHold { transfer_id }),
            Self::Reverse(HoldItem { transfer_id, with }) => Box::new(ReverseTransfer {
                transfer_id,
                reversal_id: with.id.unwrap_or_else(|| mint_transfer(minted)),
                amount: with.amount,
                effective_at: with.effective_at,
            }),
        }
    }
}

/// The route, which takes larger bodies than others.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(utoipa_axum::routes!(run)).layer(DefaultBodyLimit::max(BATCH_BODY_BYTES_MAX))
}

/// Runs a batch
///
/// One transaction and one remembered answer, whatever `atomic` says: repeating the request gives the same results
/// again. The status is 200 also if items were refused; each result has its own. Permission: `ledger.post-transfer`,
/// and what each item needs by itself.
#[utoipa::path(
    post, path = "/v1/ledger/batches", tag = "batches", operation_id = "runBatch",
    params(("Idempotency-Key" = String, Header, description = "Makes the batch safe to repeat")),
    request_body(content = BatchBody, example = json!({
        "atomic": true,
        "items": [
            { "transfer": { "legs": [
                { "account_id": "0190a5c4-7c1e-7000-8000-000000000001", "side": "debit", "amount": { "amount": "12.50", "currency": "EUR" } },
                { "account_id": "0190a5c4-7c1e-7000-8000-000000000002", "side": "credit", "amount": { "amount": "12.50", "currency": "EUR" } },
            ] } },
            { "void": { "transfer_id": "0190a5c4-7c1e-7000-8000-000000000003" } },
        ]
    })),
    responses(
        (status = 200, description = "What became of each item.", body = BatchAnswer),
        (status = 413, description = "The body is larger than 1 MiB.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The key was used for another batch.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn run(
    State(app): State<App>,
    allowed: Allowed<permissions::PostTransfer>,
    key: RequiredKey,
    Json(body): Json<BatchRequest>,
) -> Result<Response, Problem> {
    let caller = allowed.caller();
    check(&body, caller)?;
    let key = app.key(&allowed, &key, &Request::new("POST /v1/ledger/batches", &body))?;
    let linkage = if body.atomic { Linkage::AllOrNone } else { Linkage::Each };
    let mut minted = HashSet::new();
    let commands = body.items.into_iter().map(|item| (item.permission(), item.into_decision(&mut minted)));
    let commands: Vec<_> = commands.collect();
    app.run_batch(&allowed, key, linkage, minted, commands).await
}

fn mint_transfer(minted: &mut HashSet<StreamId>) -> TransferId {
    let id = TransferId::new(Uuid::now_v7());
    minted.insert(transfer::stream(id));
    id
}

fn check(body: &BatchRequest, caller: &Caller) -> Result<(), Problem> {
    let count = body.items.len();
    if !(1..=ITEMS_MAX).contains(&count) {
        let detail = format!("a batch has 1 to {ITEMS_MAX} items, not {count}");
        return Err(Problem::field(batch::SIZE, ErrorKind::Invalid, "/items".to_owned(), detail));
    }
    body.items.iter().try_for_each(|item| caller.check(Some(item.permission())))
}
