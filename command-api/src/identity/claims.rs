//! What services may be told of a person beyond their address: names and number, and when any of what is known of them changed
//! last. One reading of their own stream, backwards.

use chrono::{DateTime, Utc};
use domain::Event;
use domain::identity::{IdentityEvent, user};
use domain::ids::{TenantId, UserId};
use domain::private::Private;
use event_store::log::{self, Direction};
use event_store::{MasterKey, Recorded};
use service_kit::problem::Problem;
use sqlx::PgPool;

use super::person::{PAGE, begin, key_of, open};
use super::{Identity, unavailable};

/// What is known of a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// What they are called by friends.
    pub given_name: Option<String>,
    /// What their family is called.
    pub family_name: Option<String>,
    /// Their telephone number, of which nobody has shown that it is theirs.
    pub phone: Option<String>,
    /// When anything of it, their address or their language changed last.
    pub updated_at: Option<DateTime<Utc>>,
}

impl Profile {
    /// Both names, as far as they are known.
    pub(crate) fn name(&self) -> Option<String> {
        let names: Vec<&str> =
            [&self.given_name, &self.family_name].into_iter().flatten().map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(" "))
    }
}

impl Identity {
    /// What is known of a person; nothing, once they were erased.
    pub(crate) async fn profile_of(&self, tenant: TenantId, user: UserId) -> Result<Profile, Problem> {
        let parts = self.parts();
        read(&parts.pool, &parts.master, tenant, user).await.map_err(unavailable)
    }
}

/// A private value and the event in which it stands.
type Sealed = (Recorded, &'static str, Private);

/// What the newest events say, sealed as they say it. What is told first is what holds.
#[derive(Default)]
struct Found {
    given_name: Option<Option<Sealed>>,
    family_name: Option<Option<Sealed>>,
    phone: Option<Option<Sealed>>,
    updated_at: Option<DateTime<Utc>>,
}

impl Found {
    /// Takes the event before those that it has seen, and says whether there can be more.
    fn take(&mut self, recorded: &Recorded) -> bool {
        // An event of a newer build says nothing that is looked for here.
        let Ok(Event::Identity(event)) = recorded.decode() else { return true };
        let tell = |told: &mut Option<Option<Sealed>>, place, value: Option<Private>| {
            told.get_or_insert_with(|| value.map(|it| (recorded.clone(), place, it)));
        };
        match event {
            IdentityEvent::PersonErased(_) => {
                *self = Self::default();
                return false;
            }
            IdentityEvent::UserRegistered(it) => {
                tell(&mut self.given_name, GIVEN_NAME, it.given_name);
                tell(&mut self.family_name, FAMILY_NAME, it.family_name);
            }
            IdentityEvent::UserRenamed(it) => {
                tell(&mut self.given_name, GIVEN_NAME, it.given_name);
                tell(&mut self.family_name, FAMILY_NAME, it.family_name);
            }
            IdentityEvent::UserGivenNameChanged(it) => tell(&mut self.given_name, GIVEN_NAME, it.given_name),
            IdentityEvent::UserFamilyNameChanged(it) => {
                tell(&mut self.family_name, FAMILY_NAME, it.family_name);
            }
            IdentityEvent::UserPhoneChanged(it) => tell(&mut self.phone, PHONE, it.phone),
            IdentityEvent::UserLanguageChanged(_) | IdentityEvent::EmailChanged(_) => {}
            _ => return true,
        }
        self.updated_at.get_or_insert(recorded.recorded_at);
        true
    }
}

const GIVEN_NAME: &str = "payload.given_name";
const FAMILY_NAME: &str = "payload.family_name";
const PHONE: &str = "payload.phone";

async fn read(pool: &PgPool, master: &MasterKey, tenant: TenantId, user: UserId) -> sqlx::Result<Profile> {
    let mut tx = begin(pool, tenant).await?;
    let mut found = Found::default();
    let (mut below, mut more) = (i64::MAX, true);
    while more {
        let page =
            log::stream(&mut tx, tenant, user::stream(user), below, Direction::Backwards, PAGE).await?;
        let Some((oldest, _)) = page.last() else { break };
        below = *oldest;
        more = page.iter().all(|(_, event)| found.take(event));
    }
    let wrapped = key_of(&mut tx, tenant, user.uuid()).await?;
    tx.rollback().await?;
    let opened = |told: Option<Option<Sealed>>| {
        let (event, path, private) = told??;
        open(master, wrapped.as_deref()?, &event, path, &private)
    };
    Ok(Profile {
        given_name: opened(found.given_name),
        family_name: opened(found.family_name),
        phone: opened(found.phone),
        updated_at: found.updated_at,
    })
}
