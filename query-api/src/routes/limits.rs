//! `/v1/organization/limits`: what an organisation may have, and has. It is read from the log itself, where commands are judged by
//! it, so it is exact however far the read models have come.

use axum::extract::State;
use axum::response::Response;
use domain::application::inventory::{self, Inventory, KEYS_MAX, SERVICES_MAX};
use domain::organisation::roster::{self, Roster, SEATS_DEFAULT};
use domain::organisation::{Standing, standing};
use domain::{Aggregate, StreamId};
use event_store::log::{self, Direction};
use read_models::TenantTx;
use serde::Serialize;
use service_kit::access::Allowed;
use service_kit::access::permissions::ReadOrganisation;
use service_kit::body::Query;
use service_kit::problem::Problem;
use utoipa::ToSchema;

use super::accounts::NoParameters;
use crate::answer;
use crate::app::App;
use crate::reading::Conditions;
use crate::time_travel::decoded;

/// What the organisation may have, and has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OwnLimits {
    /// What it has booked; `null` if the platform has set nothing.
    #[schema(example = "standard")]
    tier: Option<String>,
    /// Services.
    services: Room,
    /// API keys that were not revoked, expired ones among them.
    api_keys: Room,
    /// Members and open invitations.
    seats: Room,
    /// Requests a minute; `null` where what it has booked says nothing of them.
    requests_per_minute: Option<PerMinute>,
}

/// How many there may be, and are. What is there stays, also if it is more than there may be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Room {
    /// At most.
    #[schema(example = 20)]
    limit: u32,
    /// At this moment.
    #[schema(example = 3)]
    used: u32,
}

/// How many requests a minute may be made. Each process counts by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PerMinute {
    /// By each service, for itself and for people together.
    #[schema(example = 6000)]
    service: u32,
    /// With each API key.
    #[schema(example = 1200)]
    api_key: u32,
}

impl OwnLimits {
    fn of(standing: Standing, inventory: Inventory, roster: &Roster) -> Self {
        let Standing { seats, allowance, .. } = standing;
        let booked = allowance.as_ref();
        let services = booked.map_or(SERVICES_MAX, |it| it.services);
        let api_keys = booked.map_or(KEYS_MAX, |it| it.api_keys);
        let members = roster.members.saturating_add(roster.invited);
        Self {
            services: Room { limit: services, used: inventory.services },
            api_keys: Room { limit: api_keys, used: inventory.api_keys },
            seats: Room { limit: seats.unwrap_or(SEATS_DEFAULT), used: members },
            requests_per_minute: booked
                .map(|it| PerMinute { service: it.service_per_minute, api_key: it.api_key_per_minute }),
            tier: allowance.map(|it| it.tier.to_string()),
        }
    }
}

/// Show my organisation's limits
///
/// What comes with the tier that the platform has set, and how much of it is used.
#[utoipa::path(get, operation_id = "getLimits", path = "/v1/organization/limits", tag = "organisation", responses(
    (status = 200, description = "What there may be, and is.", body = OwnLimits),
))]
pub(crate) async fn read(
    State(app): State<App>,
    allowed: Allowed<ReadOrganisation>,
    conditions: Conditions,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let tenant = allowed.caller().tenant;
    let mut reading = app.read(tenant, &conditions, &[]).await?;
    let standing = newest(&mut reading.tx, standing::stream(tenant)).await?;
    let inventory = newest(&mut reading.tx, inventory::stream(tenant)).await?;
    let roster = newest(&mut reading.tx, roster::stream(tenant)).await?;
    answer::json(reading, &conditions, &OwnLimits::of(standing, inventory, &roster)).await
}

/// A state that its newest event tells whole; as it is in the beginning, if nothing has happened.
async fn newest<A: Aggregate>(tx: &mut TenantTx, stream: StreamId) -> Result<A, Problem> {
    let tenant = tx.tenant();
    let page = log::stream(tx.conn(), tenant, stream, i64::MAX, Direction::Backwards, 1).await;
    let page = page.map_err(|error| Problem::store_unavailable(&error))?;
    let Some((_, event)) = page.first() else { return Ok(A::default()) };
    Ok(A::restore(stream.id, &decoded(event)?).unwrap_or_default())
}
