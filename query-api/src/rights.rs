//! Who may do what, now and at any moment of the past: a fold of the streams of a person, a membership, its roles and the
//! organisation, as they were then, with what the built-in roles meant then. It reads the log itself, so it is exact however
//! far the read models have come.
//!
//! What a caller may do now is not asked here, but of [`service_kit::access`].

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::ids::{RoleId, TenantId, UserId};
use domain::organisation::grants::{self, RoleTable};
use domain::organisation::{Membership, Role, RoleRef, Standing, TenantStatus, membership, role, standing};
use domain::platform::Permissions;
use domain::{Aggregate, StreamId};
use event_store::log;
use read_models::{TenantTx, event_index};
use service_kit::permissions::{self, role_table};
use service_kit::problem::Problem;
use uuid::Uuid;

use crate::app::App;
use crate::reading::{Conditions, Reading};
use crate::time_travel::{History, Point};

/// Memberships that are looked at for one page of holders.
const MEMBERSHIPS_MAX: i64 = 2_000;

/// When rights are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// As the log stands.
    Now,
    /// As it stood at a moment that has passed, inclusive.
    Then(DateTime<Utc>),
}

impl When {
    fn point(self) -> Point {
        match self {
            Self::Now => Point::Now,
            Self::Then(moment) => Point::Time(moment),
        }
    }
}

/// What somebody may do.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rights {
    /// What the person is: absent, active, inactive or erased.
    pub(crate) person: domain::identity::User,
    /// The roles that they hold; none if they are no member.
    pub(crate) roles: Vec<RoleRef>,
    /// How their organisation stands; nothing before somebody asked for it.
    pub(crate) organisation: Option<TenantStatus>,
    /// Whether they hold everything there is.
    pub(crate) everything: bool,
    /// The permissions that their roles grant, of those that exist.
    pub(crate) permissions: BTreeSet<String>,
}

/// Somebody who holds a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) user: UserId,
    /// Those of their roles that grant it.
    pub(crate) roles: Vec<RoleRef>,
}

/// One organisation's rights at one moment, within one snapshot.
pub(crate) struct RightsAt {
    pub(crate) reading: Reading,
    when: When,
    table: RoleTable,
    roles: HashMap<RoleId, Role>,
}

impl RightsAt {
    /// Opens a snapshot that holds everything up to the moment.
    pub(crate) async fn open(
        app: &App,
        tenant: TenantId,
        conditions: &Conditions,
        when: When,
    ) -> Result<Self, Problem> {
        let (table, reading) = match when {
            When::Now => (role_table(tenant).clone(), app.read(tenant, conditions, &[]).await?),
            When::Then(moment) => (
                meaning_then(app, tenant, moment).await?,
                app.read_as_of(tenant, conditions, &[], moment).await?,
            ),
        };
        Ok(Self { reading, when, table, roles: HashMap::new() })
    }

    /// What a person may do; `None` if nobody of that identifier was ever there, up to the moment or since.
    pub(crate) async fn of(&mut self, user: UserId) -> Result<Option<Rights>, Problem> {
        let tenant = self.reading.tx.tenant();
        let person = self.state(domain::identity::user::stream(user)).await?;
        let member = self.state::<Membership>(membership::stream(user)).await?;
        if person.is_none() && member.is_none() {
            return Ok(None);
        }
        let roles = member.unwrap_or_default().roles().to_vec();
        self.learn(&roles).await?;
        let granted = grants::granted(&roles, &self.table, |id| self.roles.get(&id));
        let organisation = self.organisation().await?;
        let exist = permissions::ALL.iter().filter(|it| it.exists_in(tenant)).map(|it| it.name.to_owned());
        let (everything, held) = match granted {
            grants::Granted::All => (true, exist.collect()),
            grants::Granted::Only(names) => (false, names.into_iter().map(String::from).collect()),
        };
        Ok(Some(Rights {
            person: person.unwrap_or_default(),
            roles,
            organisation,
            everything,
            permissions: held,
        }))
    }

    /// Who holds a permission, behind an identifier and in the order of identifiers: at most so many, and where to go on if
    /// there may be more.
    pub(crate) async fn holders(
        &mut self,
        permission: &str,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<Holder>, Option<Uuid>), Problem> {
        let members = self.members(after).await?;
        let all_looked_at = i64::try_from(members.len()).is_ok_and(|it| it < MEMBERSHIPS_MAX);
        let mut holders = Vec::new();
        let mut last = None;
        for (user, roles) in members {
            if holders.len() == limit {
                return Ok((holders, last));
            }
            last = Some(user.uuid());
            self.learn(&roles).await?;
            let grants = |role: &RoleRef| {
                grants::allows(std::slice::from_ref(role), permission, &self.table, |id| self.roles.get(&id))
            };
            let through: Vec<RoleRef> = roles.iter().filter(|it| grants(it)).cloned().collect();
            if !through.is_empty() {
                holders.push(Holder { user, roles: through });
            }
        }
        Ok((holders, last.filter(|_| !all_looked_at)))
    }

    /// The members behind an identifier with their roles, at most [`MEMBERSHIPS_MAX`], those who were one among them.
    async fn members(&mut self, after: Option<Uuid>) -> Result<Vec<(UserId, Vec<RoleRef>)>, Problem> {
        let tx = &mut self.reading.tx;
        let tenant = tx.tenant().uuid();
        let until = match self.when {
            When::Now => None,
            When::Then(moment) => Some(moment),
        };
        // Their newest events up to the moment: versions of a stream rise with positions and times.
        let newest = sqlx::query!(
            "select distinct on (s.stream_id) s.stream_id, s.position
             from store.stream_events s join store.events e on e.position = s.position
             where s.tenant_id = $1 and s.category = $2 and ($3::uuid is null or s.stream_id > $3)
                   and ($4::timestamptz is null or e.recorded_at <= $4)
             order by s.stream_id, s.version desc limit $5",
            tenant,
            Membership::CATEGORY.code,
            after,
            until,
            MEMBERSHIPS_MAX
        )
        .map(|row| (row.stream_id, row.position))
        .fetch_all(tx.conn())
        .await?;
        let positions: Vec<i64> = newest.iter().map(|(_, position)| *position).collect();
        let events = log::at(tx.conn(), &positions).await?;
        let events: HashMap<i64, _> = events.into_iter().map(|it| (it.position, it)).collect();
        let mut members = Vec::with_capacity(newest.len());
        for (id, position) in newest {
            let Some(event) = events.get(&position) else { continue };
            let event = crate::time_travel::decoded(event)?;
            let membership = Membership::restore(id, &event).unwrap_or_default();
            members.push((UserId::new(id), membership.roles().to_vec()));
        }
        Ok(members)
    }

    /// Reads the organisation's own roles among these that are not known yet.
    async fn learn(&mut self, roles: &[RoleRef]) -> Result<(), Problem> {
        for id in roles.iter().filter_map(RoleRef::custom) {
            if !self.roles.contains_key(&id) {
                let role = self.state::<Role>(role::stream(id)).await?.unwrap_or_default();
                self.roles.insert(id, role);
            }
        }
        Ok(())
    }

    /// How the organisation stood; nothing before somebody asked for it, or anything was recorded of it. One that was there
    /// before there was a standing worked from its beginning.
    pub(crate) async fn organisation(&mut self) -> Result<Option<TenantStatus>, Problem> {
        let tx = &mut self.reading.tx;
        if let When::Then(moment) = self.when
            && !event_index::began_by(tx, moment).await?
        {
            return Ok(None);
        }
        let stream = standing::stream(tx.tenant());
        let Some(mut history) = History::find(tx, stream).await? else {
            return Ok(Some(TenantStatus::Active));
        };
        let version = history.version(self.when.point()).await?;
        let told = history.at(version.max(1)).await?;
        let status = told.known_as::<Standing>().cloned().unwrap_or_default().status;
        Ok(match (version, status) {
            (0, TenantStatus::Pending) => None,
            (0, _) => Some(TenantStatus::Active),
            _ => Some(status),
        })
    }

    async fn state<A: Aggregate>(&mut self, stream: StreamId) -> Result<Option<A>, Problem> {
        state_at(&mut self.reading.tx, stream, self.when).await
    }
}

/// A stream at a moment; `None` if the tenant has no such stream, at whatever moment.
async fn state_at<A: Aggregate>(
    tx: &mut TenantTx,
    stream: StreamId,
    when: When,
) -> Result<Option<A>, Problem> {
    let Some(mut history) = History::find(tx, stream).await? else { return Ok(None) };
    let version = history.version(when.point()).await?;
    Ok(history.at(version).await?.known_as::<A>().cloned())
}

/// What the built-in roles meant to members of a tenant at a moment: as tenant zero had recorded it by then; before anything
/// was recorded, as this build has it.
async fn meaning_then(app: &App, tenant: TenantId, moment: DateTime<Utc>) -> Result<RoleTable, Problem> {
    let mut reading = app.read_as_of(TenantId::PLATFORM, &Conditions::default(), &[], moment).await?;
    let stream = domain::platform::permissions::stream();
    let recorded = state_at::<Permissions>(&mut reading.tx, stream, When::Then(moment)).await?;
    reading.tx.end().await?;
    let recorded = recorded.filter(|it| !it.roles.is_empty());
    Ok(recorded.map_or_else(|| role_table(tenant).clone(), |it| table_of(&it, tenant)))
}

/// What was recorded is the platform's table: to others, what is the platform's own means nothing.
fn table_of(recorded: &Permissions, tenant: TenantId) -> RoleTable {
    let exists = |name: &str| {
        let known = permissions::find(name);
        known.map_or_else(
            || tenant == TenantId::PLATFORM || !name.starts_with("platform."),
            |it| it.exists_in(tenant),
        )
    };
    RoleTable::new(recorded.roles.iter().map(|role| {
        let names = role.permissions.iter().map(ToString::to_string).filter(|it| exists(it));
        (role.role.to_string(), names.collect::<Vec<_>>())
    }))
}

#[cfg(test)]
mod tests {
    use domain::platform::RoleGrants;
    use domain::words::{Permission, Word};

    use super::*;

    #[test]
    fn what_is_the_platforms_own_means_nothing_to_others() {
        let names =
            ["ledger.read-journal", "platform.set-tier", "platform.gone-by-now", "ledger.gone-by-now"];
        let permissions = names.iter().map(|it| Permission::parse(it).unwrap()).collect();
        let recorded = Permissions { roles: vec![RoleGrants { role: Word::of("admin"), permissions }] };
        let held = |tenant| {
            let table = table_of(&recorded, tenant);
            let granted = grants::granted(&[RoleRef::ADMIN], &table, |_| None);
            names.map(|it| granted.allows(it))
        };
        assert_eq!(held(TenantId::PLATFORM), [true; 4]);
        // A permission that this build knows no more was still granted then.
        assert_eq!(held(TenantId::new(Uuid::from_u128(1))), [true, false, false, true]);
    }
}
