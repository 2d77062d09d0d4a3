//! `/v1/invitations`: who was invited, and what became of it. The invited addresses are opened here, so each use is recorded.

use axum::extract::State;
use axum::response::Response;
use read_models::invitations::{InvitationFilter, InvitationRow};
use read_models::progress::Touch;
use read_models::{Invitations, Order, Page};
use serde::Deserialize;
use service_kit::access::permissions::ReadInvitations;
use service_kit::access::{Allowed, Audited};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::accounts::NoParameters;
use crate::app::App;
use crate::reading::{Conditions, asked, listed};
use crate::{answer, privacy};

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum InvitationStatus {
    Pending,
    Accepted,
    Declined,
    Revoked,
    Expired,
}

impl InvitationStatus {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// Which invitations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InvitationsQuery {
    /// Only those in this state; one whose time is over is `expired`, whether that is recorded yet or not.
    #[param(inline)]
    status: Option<InvitationStatus>,
    /// Only those that this member sent.
    inviter: Option<Uuid>,
    /// Only the one to this address that is open, and those that whoever has the address accepted. What else is over keeps its
    /// address in no form that can be searched.
    #[param(example = "ada@example.com", max_length = 254)]
    email: Option<String>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List invitations
///
/// By when they were first sent, with the addresses that were invited. The links that were mailed are nowhere to be read.
#[utoipa::path(get, operation_id = "listInvitations", path = "/v1/invitations", tag = "organisation",
    params(InvitationsQuery), responses(
    (status = 200, description = "A page of invitations.", body = Page<InvitationRow>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<Audited<ReadInvitations>>,
    conditions: Conditions,
    Query(query): Query<InvitationsQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let status = query.status.map(|it| it.as_str().to_owned());
    let tenant = allowed.caller().tenant;
    let email = query.email.map(|it| privacy::address(&app, tenant, &it)).transpose()?;
    let filter = InvitationFilter { status, inviter: query.inviter, email };
    let mut reading = app.read(tenant, &conditions, &[Touch::all::<Invitations>()]).await?;
    let mut page = Invitations::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    privacy::open(&app.master, &mut reading.tx, &mut page.items).await?;
    answer::json(reading, &conditions, &page).await
}

/// Show an invitation
#[utoipa::path(get, operation_id = "getInvitation", path = "/v1/invitations/{invitation_id}", tag = "organisation",
    params(("invitation_id" = Uuid, Path, description = "Which.")),
    responses(
        (status = 200, description = "The invitation as it is now.", body = InvitationRow),
        (status = 404, description = "There is no such invitation.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn find(
    State(app): State<App>,
    allowed: Allowed<Audited<ReadInvitations>>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let touches = [Touch::one::<Invitations>(id)];
    let mut reading = app.read(allowed.caller().tenant, &conditions, &touches).await?;
    let mut row = [Invitations::find(&mut reading.tx, id).await?.ok_or_else(|| reading.not_found())?];
    privacy::open(&app.master, &mut reading.tx, &mut row).await?;
    let [row] = row;
    answer::json(reading, &conditions, &row).await
}
