//! `/v1/users/{user_id}/permissions`, `/v1/auth/permissions` and `/v1/permissions/{permission}/holders`: who may do what, now
//! and at any moment of the past.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::identity::User;
use domain::ids::UserId;
use read_models::page::{decode, encode};
use read_models::{CursorInvalid, Moment, Page};
use serde::{Deserialize, Serialize};
use service_kit::access::permissions::{self, ReadMembers, ReadUsers};
use service_kit::access::{Allowed, Own};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::me::held;
use crate::answer;
use crate::app::App;
use crate::reading::{Conditions, limit};
use crate::rights::{Holder, Rights, RightsAt, When};

/// As of when.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RightsQuery {
    /// As of a moment that has passed, inclusive; now, if left out.
    #[param(value_type = Option<DateTime<Utc>>)]
    as_of: Option<Moment>,
}

/// When is meant.
fn when(as_of: Option<Moment>) -> When {
    as_of.map_or(When::Now, |it| When::Then(it.0))
}

/// What somebody may do, or might at a moment of the past.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RightsAnswer {
    /// Who.
    user_id: Uuid,
    /// The moment that was asked for; `null` for now.
    as_of: Option<DateTime<Utc>>,
    /// The person: `absent` (not registered then), `active`, `inactive` or `erased`. Only who is active can use a permission.
    #[schema(example = "active")]
    status: &'static str,
    /// The organisation: `absent` (nobody had asked for it then), `pending`, `active`, `suspended`, `rejected` or `closed`. Only in one that is active all
    /// permissions can be used.
    #[schema(example = "active")]
    organization_status: String,
    /// The roles that they hold: names of built-in ones, identifiers of the organisation's own. None, if they are no member.
    #[schema(example = json!(["admin"]))]
    roles: Vec<String>,
    /// Whether they hold everything there is, as owners do.
    everything: bool,
    /// What these roles granted then. Of owners: everything that exists today.
    #[schema(example = json!(["ledger.read-accounts"]))]
    permissions: BTreeSet<String>,
}

impl RightsAnswer {
    fn of(user: UserId, when: When, rights: Rights) -> Self {
        let Rights { person, roles, organisation, everything, permissions } = rights;
        Self {
            user_id: user.uuid(),
            as_of: match when {
                When::Now => None,
                When::Then(moment) => Some(moment),
            },
            status: match person {
                User::Absent => "absent",
                User::Active(_) => "active",
                User::Inactive(_) => "inactive",
                User::Erased => "erased",
            },
            organization_status: organisation.map_or_else(|| "absent".to_owned(), |it| it.word().to_string()),
            roles: roles.iter().map(ToString::to_string).collect(),
            everything,
            permissions,
        }
    }
}

/// Show what a person may do, now or at any moment of the past
///
/// Replayed from the log: the roles that they held then, what these roles granted then, and whether they were active. The
/// answer for a moment never changes once anything later is recorded.
#[utoipa::path(get, operation_id = "getPermissionsOf", path = "/v1/users/{user_id}/permissions", tag = "organisation",
    params(("user_id" = Uuid, Path, description = "Who."), RightsQuery),
    responses(
        (status = 200, description = "What they may do.", body = RightsAnswer),
        (status = 404, description = "There is no such person.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "More than 10,000 versions would have to be replayed.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn of_user(
    State(app): State<App>,
    allowed: Allowed<ReadUsers>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(query): Query<RightsQuery>,
) -> Result<Response, Problem> {
    let (user, when) = (UserId::new(id), when(query.as_of));
    let mut at = RightsAt::open(&app, allowed.caller().tenant, &conditions, when).await?;
    let rights = at.of(user).await?.ok_or_else(|| at.reading.not_found())?;
    answer::json(at.reading, &conditions, &RightsAnswer::of(user, when, rights)).await
}

/// Show what I may do, now or at any moment of the past
///
/// What the roles of the person grant for whom the caller acts. Of operators and services, who have no roles: what they may do
/// now, and nothing for the past. What a key or a token allows by itself, `/v1/auth/me` says without a permission.
#[utoipa::path(get, operation_id = "getMyPermissions", path = "/v1/auth/permissions", tag = "organisation",
    params(RightsQuery),
    responses(
        (status = 200, description = "What the caller may do.", body = RightsAnswer),
        (status = 422, description = "More than 10,000 versions would have to be replayed.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn own(
    State(app): State<App>,
    who: Own<ReadUsers>,
    conditions: Conditions,
    Query(query): Query<RightsQuery>,
) -> Result<Response, Problem> {
    let caller = who.caller();
    let (user, when) = (UserId::new(caller.actor.uuid()), when(query.as_of));
    let mut at = RightsAt::open(&app, caller.tenant, &conditions, when).await?;
    let rights = match at.of(user).await? {
        Some(rights) => rights,
        None => Rights {
            organisation: at.organisation().await?,
            permissions: if when == When::Now { held(caller) } else { BTreeSet::new() },
            ..Rights::default()
        },
    };
    answer::json(at.reading, &conditions, &RightsAnswer::of(user, when, rights)).await
}

/// Which page of holders, as of when.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HoldersQuery {
    /// As of a moment that has passed, inclusive; now, if left out.
    #[param(value_type = Option<DateTime<Utc>>)]
    as_of: Option<Moment>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A member who holds a permission.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HolderRow {
    /// Who.
    user_id: Uuid,
    /// Those of their roles that grant it.
    #[schema(example = json!(["admin"]))]
    roles: Vec<String>,
}

impl HolderRow {
    fn of(holder: &Holder) -> Self {
        Self { user_id: holder.user.uuid(), roles: holder.roles.iter().map(ToString::to_string).collect() }
    }
}

/// List who holds a permission, now or at any moment of the past
///
/// In the order of their identifiers, with the roles that grant it. Replayed from the log. A page looks at 2,000 members at
/// most, so it may have fewer rows than were asked for, or none, and still another page behind it.
#[utoipa::path(get, operation_id = "listHolders", path = "/v1/permissions/{permission}/holders", tag = "organisation",
    params(
        ("permission" = String, Path, description = "Which permission.", example = "ledger.post-transfer"),
        HoldersQuery,
    ),
    responses(
        (status = 200, description = "A page of members.", body = Page<HolderRow>),
        (status = 404, description = "There is no such permission.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn holders(
    State(app): State<App>,
    allowed: Allowed<ReadMembers>,
    conditions: Conditions,
    Path(name): Path<String>,
    Query(query): Query<HoldersQuery>,
) -> Result<Response, Problem> {
    let limit = limit(query.limit)?;
    let tenant = allowed.caller().tenant;
    let known = permissions::find(&name).filter(|it| it.exists_in(tenant));
    let known = known.ok_or_else(|| Problem::new(&code::NOT_FOUND, ""))?;
    let when = when(query.as_of);
    let list = match when {
        When::Now => format!("holders/{}", known.name),
        // The answers of two moments are two lists.
        When::Then(moment) => format!("holders/{}/{}", known.name, moment.timestamp_micros()),
    };
    let after = query.cursor.as_deref().map(|it| decode::<Uuid>(&list, it)).transpose();
    let after = after.map_err(|CursorInvalid| Problem::new(&code::CURSOR_INVALID, ""))?;
    let mut at = RightsAt::open(&app, tenant, &conditions, when).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let (holders, next) = at.holders(known.name, after, most).await?;
    let items = holders.iter().map(HolderRow::of).collect();
    let page: Page<HolderRow> = Page { items, next_cursor: next.map(|it| encode(&list, &it)) };
    answer::json(at.reading, &conditions, &page).await
}
