//! `/v1/members`, `/v1/roles`, `/v1/permissions`: who belongs to the organisation, and what they may do.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use domain::ids::TenantId;
use read_models::members::{MemberFilter, MemberRow};
use read_models::progress::Touch;
use read_models::roles::RoleRow;
use read_models::{Members, Order, Page, Roles, Users};
use serde::{Deserialize, Serialize};
use service_kit::access::permissions::{self, PermissionDoc, ReadMembers, ReadRoles};
use service_kit::access::{Allowed, Audited, Recognised};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::accounts::NoParameters;
use crate::app::App;
use crate::privacy::address;
use crate::reading::{Conditions, asked, listed, none_of};
use crate::{answer, privacy};

const OWNER: &str = "owner";

/// Which members.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MembersQuery {
    /// Only those with this role: the name of a built-in one, or the identifier of one of the organisation's own.
    #[param(max_length = 40, example = "admin")]
    role: Option<String>,
    /// Only who has this address, or has asked for it and not confirmed it yet.
    #[param(example = "ada@example.com", max_length = 254)]
    email: Option<String>,
    /// Those too who are members no more.
    removed: Option<bool>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List members
///
/// By when they came, with what they are called; so each use is recorded in the audit trail.
#[utoipa::path(get, operation_id = "listMembers", path = "/v1/members", tag = "organisation",
    params(MembersQuery), responses(
    (status = 200, description = "A page of members.", body = Page<MemberRow>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<Audited<ReadMembers>>,
    conditions: Conditions,
    Query(query): Query<MembersQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let tenant = allowed.caller().tenant;
    let filter = MemberFilter {
        role: query.role.map(|it| role(tenant, it)).transpose()?,
        removed: query.removed.unwrap_or(false),
        email: query.email.map(|it| address(&app, tenant, &it)).transpose()?,
    };
    let touches = [Touch::all::<Members>(), Touch::all::<Users>()];
    let mut reading = app.read(tenant, &conditions, &touches).await?;
    let mut page = Members::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    privacy::open(&app.master, &mut reading.tx, &mut page.items).await?;
    answer::json(reading, &conditions, &page).await
}

/// A role as rows name it. Of the organisation's own there may be any; of those that are built in, each has a name.
fn role(tenant: TenantId, text: String) -> Result<String, Problem> {
    if let Ok(own) = Uuid::parse_str(&text) {
        return Ok(own.to_string());
    }
    let table = permissions::role_table(tenant);
    // What an owner may do is no list, so the table has none of them.
    let built_in =
        || std::iter::once(OWNER).chain(table.rows().map(|(name, _)| name)).collect::<BTreeSet<_>>();
    if built_in().contains(text.as_str()) { Ok(text) } else { Err(none_of("role", built_in())) }
}

/// Show a member
#[utoipa::path(get, operation_id = "getMember", path = "/v1/members/{user_id}", tag = "organisation",
    params(("user_id" = Uuid, Path, description = "Who.")),
    responses(
        (status = 200, description = "The member as they are now.", body = MemberRow),
        (status = 404, description = "They were never a member.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn find(
    State(app): State<App>,
    allowed: Allowed<Audited<ReadMembers>>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let touches = [Touch::one::<Members>(id), Touch::one::<Users>(id)];
    let mut reading = app.read(allowed.caller().tenant, &conditions, &touches).await?;
    let mut row = [Members::find(&mut reading.tx, id).await?.ok_or_else(|| reading.not_found())?];
    privacy::open(&app.master, &mut reading.tx, &mut row).await?;
    let [row] = row;
    answer::json(reading, &conditions, &row).await
}

/// The roles of an organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RolesAnswer {
    /// Those that every organisation has. `owner` is not a list: it is everything.
    built_in: Vec<BuiltInRole>,
    /// Those that the organisation made itself.
    custom: Vec<RoleRow>,
}

/// A role that every organisation has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuiltInRole {
    /// Its name.
    #[schema(example = "manager")]
    name: String,
    /// What it grants.
    #[schema(example = json!(["ledger.post-transfer"]))]
    permissions: Vec<String>,
}

/// List roles
#[utoipa::path(get, operation_id = "listRoles", path = "/v1/roles", tag = "organisation",
    responses((status = 200, description = "All roles, at most 100 of the organisation's own.", body = RolesAnswer)))]
pub(crate) async fn roles(
    State(app): State<App>,
    allowed: Allowed<ReadRoles>,
    conditions: Conditions,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let tenant = allowed.caller().tenant;
    let mut reading = app.read(tenant, &conditions, &[Touch::all::<Roles>()]).await?;
    let built_in = permissions::role_table(tenant)
        .rows()
        .map(|(name, held)| BuiltInRole {
            name: name.to_owned(),
            permissions: held.iter().map(ToString::to_string).collect(),
        })
        .collect();
    let answer = RolesAnswer { built_in, custom: Roles::all(&mut reading.tx).await? };
    answer::json(reading, &conditions, &answer).await
}

/// A permission that can be put into a role.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PermissionRow {
    /// Its name.
    #[schema(example = "ledger.post-transfer")]
    name: &'static str,
    /// What it allows, as the rest of "allows to ...".
    #[schema(example = "move money, or set it aside")]
    text: &'static str,
    /// Whether every use of it is recorded in the audit trail.
    is_audited: bool,
    /// Whether a session must have been proven anew shortly before.
    needs_step_up: bool,
    /// Whether it is used in person: neither by a program, whatever a role or a key says, nor by staff in somebody's place.
    only_in_person: bool,
}

impl From<&PermissionDoc> for PermissionRow {
    fn from(doc: &PermissionDoc) -> Self {
        let PermissionDoc { name, text, is_audited, needs_step_up, only_in_person, .. } = *doc;
        Self { name, text, is_audited, needs_step_up, only_in_person }
    }
}

/// List permissions
///
/// Everything that a role of the caller's organisation can grant.
#[utoipa::path(get, operation_id = "listPermissions", path = "/v1/permissions", tag = "organisation",
    responses((status = 200, description = "The permissions.", body = Vec<PermissionRow>)))]
pub(crate) async fn permissions(
    State(app): State<App>,
    who: Recognised,
    conditions: Conditions,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let tenant = who.caller().tenant;
    let reading = app.read(tenant, &conditions, &[]).await?;
    let exist = permissions::ALL.iter().filter(|it| it.exists_in(tenant));
    let rows: Vec<PermissionRow> = exist.map(PermissionRow::from).collect();
    answer::json(reading, &conditions, &rows).await
}
