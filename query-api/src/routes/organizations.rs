//! `/v1/organization`: what an organisation sees of itself. `/v1/platform/organizations`: what the platform sees of all.

use axum::extract::State;
use axum::response::Response;
use domain::Aggregate as _;
use domain::ids::TenantId;
use domain::organisation::{self, Policy, Profile, Slug, TenantStatus};
use event_store::log::{self, Direction};
use read_models::organizations::{OrganizationFilter, OrganizationRow};
use read_models::progress::Touch;
use read_models::tenants::TenantRow;
use read_models::{Order, Organizations, Page, TenantTx, Tenants};
use serde::{Deserialize, Serialize};
use service_kit::access::Allowed;
use service_kit::access::permissions::{ReadOrganisation, ReadOrganisations, ReadPolicy};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::accounts::NoParameters;
use crate::app::App;
use crate::reading::{Conditions, asked, invalid, listed};
use crate::{answer, privacy};

/// The caller's organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OwnOrganization {
    /// `pending`, `active`, `suspended`, `rejected` or `closed`.
    #[schema(example = "active")]
    status: String,
    /// How often it was renamed; `If-Match` of the next change of its name takes it. 0 while it is called as it was founded.
    #[schema(example = 0)]
    version: i64,
    #[serde(flatten)]
    row: TenantRow,
}

/// Show my organisation
#[utoipa::path(get, operation_id = "getOrganization", path = "/v1/organization", tag = "organisation", responses(
    (status = 200, description = "The caller's organisation.", body = OwnOrganization),
    (status = 404, description = "The caller is of none, but of the platform.", body = ProblemBody, content_type = "application/problem+json"),
))]
pub(crate) async fn own(
    State(app): State<App>,
    allowed: Allowed<ReadOrganisation>,
    conditions: Conditions,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let caller = allowed.caller();
    let touches = [Touch::one::<Tenants>(caller.tenant.uuid())];
    let mut reading = app.read(caller.tenant, &conditions, &touches).await?;
    let row = Tenants::own(&mut reading.tx).await?.ok_or_else(|| reading.not_found())?;
    let (version, row) = as_renamed(&mut reading.tx, row).await?;
    let status = caller.standing.status.word().to_string();
    answer::json(reading, &conditions, &OwnOrganization { status, version, row }).await
}

/// An organisation under the newest name of its own log, and the version of that: the read model may not have come as far, and
/// whoever changes a name on a condition must have seen the name that the version stands for.
async fn as_renamed(tx: &mut TenantTx, row: TenantRow) -> Result<(i64, TenantRow), Problem> {
    let tenant = tx.tenant();
    let stream = organisation::profile::stream(tenant);
    let newest = log::stream(tx.conn(), tenant, stream, i64::MAX, Direction::Backwards, 1).await?;
    let Some((version, event)) = newest.first() else { return Ok((0, row)) };
    let told = event.decode().map_err(|error| Problem::fault(&error))?;
    let name = Profile::restore(stream.id, &told).and_then(|it| it.name);
    let name = name.filter(|_| event.position > row.position).map(|it| it.to_string());
    Ok((*version, TenantRow { name: name.unwrap_or(row.name), ..row }))
}

/// What the organisation asks of its people.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OwnPolicy {
    /// Version of its stream; `If-Match` of a change takes it. 0 while it is as every organisation begins.
    #[schema(example = 1)]
    version: i64,
    /// All of it.
    #[schema(value_type = Object)]
    policy: Policy,
}

/// Show my organisation's settings and policies
#[utoipa::path(get, operation_id = "getPolicy", path = "/v1/organization/policy", tag = "organisation", responses(
    (status = 200, description = "The settings and policies.", body = OwnPolicy),
))]
pub(crate) async fn policy(
    State(app): State<App>,
    allowed: Allowed<ReadPolicy>,
    conditions: Conditions,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let tenant = allowed.caller().tenant;
    let mut reading = app.read(tenant, &conditions, &[]).await?;
    let (version, policy) = policy_of(&mut reading.tx, tenant).await?;
    answer::json(reading, &conditions, &OwnPolicy { version, policy }).await
}

/// What an organisation asks of its people, and the version of that.
pub(super) async fn policy_of(tx: &mut TenantTx, tenant: TenantId) -> Result<(i64, Policy), Problem> {
    let stream = organisation::policy::stream(tenant);
    let newest = log::stream(tx.conn(), tenant, stream, i64::MAX, Direction::Backwards, 1).await?;
    let Some((version, event)) = newest.first() else { return Ok((0, Policy::default())) };
    let event = event.decode().map_err(|error| Problem::fault(&error))?;
    Ok((*version, Policy::restore(tenant.uuid(), &event).unwrap_or_default()))
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pending,
    Active,
    Suspended,
    Rejected,
    Closed,
}

/// Which organisations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrganizationsQuery {
    /// Only those in this state; `pending` are those that await approval.
    #[param(inline)]
    status: Option<Status>,
    /// Only what is called so in addresses, and what was before it.
    #[param(example = "acme", min_length = 3, max_length = 40)]
    slug: Option<String>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List organisations
///
/// By when they were asked for. For members of the platform alone.
#[utoipa::path(get, operation_id = "listOrganizations", path = "/v1/platform/organizations", tag = "platform",
    params(OrganizationsQuery), responses(
    (status = 200, description = "A page of organisations.", body = Page<OrganizationRow>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadOrganisations>,
    conditions: Conditions,
    Query(query): Query<OrganizationsQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let status = query.status.map(|it| match it {
        Status::Pending => TenantStatus::Pending,
        Status::Active => TenantStatus::Active,
        Status::Suspended => TenantStatus::Suspended,
        Status::Rejected => TenantStatus::Rejected,
        Status::Closed => TenantStatus::Closed,
    });
    let slug = query.slug.as_deref().map(Slug::parse).transpose();
    let slug = slug.map_err(|error| invalid(&error.to_string()).with("parameter", "slug"))?;
    let filter = OrganizationFilter {
        status: status.map(|it| it.word().to_string()),
        slug: slug.map(|it| it.to_string()),
    };
    let mut reading =
        app.read(allowed.caller().tenant, &conditions, &[Touch::all::<Organizations>()]).await?;
    let mut page = Organizations::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    privacy::open(&app.master, &mut reading.tx, &mut page.items).await?;
    answer::json(reading, &conditions, &page).await
}

/// Show an organisation
#[utoipa::path(get, operation_id = "getPlatformOrganization", path = "/v1/platform/organizations/{organization_id}", tag = "platform",
    params(("organization_id" = Uuid, Path, description = "Which.")),
    responses(
        (status = 200, description = "The organisation as it is now.", body = OrganizationRow),
        (status = 404, description = "There is no such organisation.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn find(
    State(app): State<App>,
    allowed: Allowed<ReadOrganisations>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let touches = [Touch::one::<Organizations>(id)];
    let mut reading = app.read(allowed.caller().tenant, &conditions, &touches).await?;
    let mut row = [Organizations::find(&mut reading.tx, id).await?.ok_or_else(|| reading.not_found())?];
    privacy::open(&app.master, &mut reading.tx, &mut row).await?;
    let [row] = row;
    answer::json(reading, &conditions, &row).await
}
