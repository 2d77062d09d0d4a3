//! What people were told against the log and the rows made of it: what was acknowledged is there, nothing is there that nobody
//! asked for, and roles, keys and persons are what they were last told to be, or one of what is in doubt.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::Event;
use domain::identity::IdentityEvent;
use domain::ids::{TenantId, UserId};
use domain::organisation::{OrganisationEvent, RoleRef};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Check;
use super::image::{Entry, Image};
use crate::people::promises::{Fact, Person, Promises, State, sorted};

/// The event that starts a session.
const STARTED: &str = "identity.session-started";

/// No answer showed by itself that something is wrong, and no code of a device was good twice.
#[must_use]
pub fn answers_to_people(book: &Promises) -> Check {
    let mut check = Check::new("answers to people");
    check.looked_at = book.acknowledged();
    book.faults.iter().for_each(|it| check.fault(it.clone()));
    check.faults = check.faults.max(book.fault_count);
    for (at, times) in book.codes.iter().enumerate() {
        check.look(*times <= 1, || format!("code {at} of a device was exchanged {times} times"));
    }
    check
}

/// Everything that was acknowledged is in the log, as often as it was; roles are those last told or one in doubt.
#[must_use]
pub fn people_are_in_the_log(book: &Promises, image: &Image, tenant: TenantId) -> Check {
    let mut check = Check::new("what people were told is in the log");
    let log = image.by_subject();
    let mut facts: BTreeMap<Fact, usize> = BTreeMap::new();
    for fact in &book.facts {
        *facts.entry(*fact).or_default() += 1;
    }
    for (fact, told) in facts {
        let found = log.get(&(tenant, fact.event_type, fact.stream)).map_or(0, Vec::len);
        check.look(found >= told, || {
            format!("{} of {} was told {told} times and is there {found} times", fact.event_type, fact.stream)
        });
    }
    let roles = roles(image, tenant);
    for person in &book.people {
        let found = roles.get(&person.user);
        check.look(found.is_some_and(|it| person.roles.contains(it)), || {
            format!("{} has {found:?} in the log and was told {:?}", person.user, person.roles)
        });
    }
    check
}

/// The newest roles of everybody.
fn roles(image: &Image, tenant: TenantId) -> HashMap<UserId, Vec<String>> {
    let named = |roles: &[RoleRef]| sorted(roles.iter().map(ToString::to_string).collect());
    let mut found = HashMap::new();
    for entry in image.entries.iter().filter(|it| it.tenant == tenant) {
        match &entry.event {
            Event::Organisation(OrganisationEvent::MemberAdded(it)) => {
                found.insert(it.user_id, named(&it.roles))
            }
            Event::Organisation(OrganisationEvent::RolesAssigned(it)) => {
                found.insert(it.user_id, named(&it.roles))
            }
            _ => None,
        };
    }
    found
}

/// Of what is in the log, everything was asked for: what nobody was told of is no more than answers that were lost. Each
/// invitation has brought in one person at most.
#[must_use]
pub fn the_log_is_what_people_asked(book: &Promises, image: &Image, tenant: TenantId) -> Check {
    let mut check = Check::new("log is what people asked for");
    let told: BTreeSet<Fact> = book.facts.iter().copied().collect();
    let mut unknown: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut came: HashMap<Uuid, u32> = HashMap::new();
    let people: BTreeSet<UserId> = book.people.iter().map(|it| it.user).collect();
    for entry in image.entries.iter().filter(|it| it.tenant == tenant) {
        check.looked_at += 1;
        if let Event::Organisation(OrganisationEvent::InvitationAccepted(it)) = &entry.event {
            *came.entry(it.invitation_id.uuid()).or_default() += 1;
        }
        if let Some((event_type, act)) = asked(entry, &people)
            && !told.contains(&Fact { event_type, stream: entry.stream.id })
        {
            *unknown.entry(act).or_default() += 1;
        }
    }
    for (act, count) in unknown {
        let lost = book.lost_of(act);
        check.look(count <= lost, || format!("{act}: {count} nobody was told of, {lost} answers were lost"));
    }
    for (invitation, times) in came {
        check.look(times == 1, || format!("{times} came by invitation {invitation}"));
    }
    check
}

/// What one of our people must have been told when this happened, or must have lost the answer of.
fn asked(entry: &Entry, people: &BTreeSet<UserId>) -> Option<(&'static str, &'static str)> {
    if let Event::Identity(IdentityEvent::SessionStarted(it)) = &entry.event {
        return (people.contains(&it.user_id) && it.service_id.is_none()).then_some((STARTED, "sign-in"));
    }
    [
        ("application.api-key-issued", "key"),
        ("application.api-key-revoked", "key-revoked"),
        ("organisation.role-defined", "role"),
        ("organisation.role-deleted", "role-deleted"),
        ("organisation.invitation-sent", "invitation"),
        ("organisation.invitation-accepted", "acceptance"),
    ]
    .into_iter()
    .find(|(event_type, _)| *event_type == entry.event_type)
}

/// A row of somebody, as far as it is compared.
#[derive(Debug, Clone)]
pub struct Row {
    /// Who.
    pub user: Uuid,
    /// How they stand.
    pub status: String,
    /// Their roles; `null` if they are no member.
    pub roles: Value,
}

/// The rows of people and of their keys and sessions, as the read models have them.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Everybody.
    pub people: Vec<Row>,
    /// The status of each key.
    pub keys: HashMap<Uuid, String>,
    /// Every session, and whether an event of its own has ended it.
    pub sessions: HashMap<Uuid, bool>,
}

impl Rows {
    /// Reads them, past all walls.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn read(conn: &mut PgConnection, tenant: TenantId) -> anyhow::Result<Self> {
        let people = sqlx::query_as::<_, (Uuid, String, Value)>(
            "select u.user_id, u.status, coalesce(m.roles, 'null')
             from read.users u left join read.members m using (tenant_id, user_id) where u.tenant_id = $1",
        )
        .bind(tenant.uuid())
        .fetch_all(&mut *conn)
        .await?;
        let keys = sqlx::query_as("select key_id, status from read.api_keys where tenant_id = $1")
            .bind(tenant.uuid())
            .fetch_all(&mut *conn)
            .await?;
        let sessions =
            sqlx::query_as("select session_id, ended_at is not null from read.sessions where tenant_id = $1")
                .bind(tenant.uuid())
                .fetch_all(&mut *conn)
                .await?;
        let people = people.into_iter().map(|(user, status, roles)| Row { user, status, roles }).collect();
        Ok(Self { people, keys: keys.into_iter().collect(), sessions: sessions.into_iter().collect() })
    }
}

/// The read models show what people were told.
#[must_use]
pub fn rows_are_what_people_were_told(book: &Promises, rows: &Rows) -> Check {
    let mut check = Check::new("rows of people");
    for person in &book.people {
        let row = rows.people.iter().find(|it| it.user == person.user.uuid());
        check.look(row.is_some_and(|it| is_told(it, person)), || {
            format!(
                "{} was told {:?}, erased: {}; the row is {row:?}",
                person.user, person.roles, person.is_erased
            )
        });
    }
    for key in &book.keys {
        let status = rows.keys.get(&key.id).map(String::as_str);
        let is_right = match key.state {
            State::Live => status == Some("live"),
            State::Ended => status == Some("revoked"),
            State::Doubtful => status.is_some(),
        };
        check.look(is_right, || format!("key {} is {:?}, and its row {status:?}", key.id, key.state));
    }
    for session in &book.sessions {
        let row = rows.sessions.get(&session.id);
        check.look(row.is_some_and(|ended| !ended || session.state != State::Live), || {
            format!("session {} is {:?}; whether its row has ended: {row:?}", session.id, session.state)
        });
    }
    check
}

fn is_told(row: &Row, person: &Person) -> bool {
    let roles: Option<Vec<String>> = row
        .roles
        .as_array()
        .map(|it| sorted(it.iter().filter_map(Value::as_str).map(str::to_owned).collect()));
    let status = if person.is_erased { "erased" } else { "active" };
    row.status == status && (person.is_erased || roles.is_some_and(|it| person.roles.contains(&it)))
}

#[cfg(test)]
mod tests;
