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
    names: Option<Vec<Sealed>>,
    phone: Option<Vec<Sealed>>,
    updated_at: Option<DateTime<Utc>>,
}

impl Found {
    /// Takes the event before those that it has seen, and says whether there can be more.
    fn take(&mut self, recorded: &Recorded) -> bool {
        // An event of a newer build says nothing that is looked for here.
        let Ok(Event::Identity(event)) = recorded.decode() else { return true };
        let sealed = |values: Vec<(&'static str, Option<Private>)>| -> Vec<Sealed> {
            let told = values.into_iter().filter_map(|(place, it)| Some((place, it?)));
            told.map(|(place, it)| (recorded.clone(), place, it)).collect()
        };
        let names = |given, family| sealed(vec![(GIVEN_NAME, given), (FAMILY_NAME, family)]);
        match event {
            IdentityEvent::PersonErased(_) => {
                *self = Self::default();
                return false;
            }
            IdentityEvent::UserRegistered(it) => {
                self.names.get_or_insert_with(|| names(it.given_name, it.family_name));
            }
            IdentityEvent::UserRenamed(it) => {
                self.names.get_or_insert_with(|| names(it.given_name, it.family_name));
            }
            IdentityEvent::UserPhoneChanged(it) => {
                self.phone.get_or_insert_with(|| sealed(vec![(PHONE, it.phone)]));
            }
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
    let values: Vec<Sealed> = [found.names, found.phone].into_iter().flatten().flatten().collect();
    let opened = |place: &str| {
        let (event, path, private) = values.iter().find(|(_, it, _)| *it == place)?;
        open(master, wrapped.as_deref()?, event, path, private)
    };
    Ok(Profile {
        given_name: opened(GIVEN_NAME),
        family_name: opened(FAMILY_NAME),
        phone: opened(PHONE),
        updated_at: found.updated_at,
    })
}
