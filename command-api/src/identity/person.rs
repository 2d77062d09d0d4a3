//! What only the key of its subject opens: the address of a person, and the one that was invited. It is read from their own stream, so it is right at this moment and gone when they are erased.

use domain::identity::{IdentityEvent, user};
use domain::ids::{InvitationId, TenantId, UserId};
use domain::organisation::OrganisationEvent;
use domain::organisation::invitation;
use domain::private::Private;
use domain::{Event, StreamId};
use event_store::keyring::Place;
use event_store::log::{self, Direction};
use event_store::{MasterKey, Recorded};
use service_kit::email::EmailAddress;
use service_kit::problem::Problem;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::{Identity, unavailable};

/// Events of a stream that are read at once. Few have more.
pub(super) const PAGE: i64 = 100;

const EMAIL: &str = "payload.email";

/// What an event says to somebody who reads backwards, from the newest one.
enum Told {
    /// Nothing of what is looked for.
    Else,
    /// That there is nothing any more.
    Gone,
    /// What is looked for: private values, each with its place.
    This(Vec<(&'static str, Private)>),
}

impl Identity {
    /// The address of a person, while they have not been erased.
    pub(super) async fn address_of(
        &self,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Option<EmailAddress>, Problem> {
        let mut wanted = None;
        let told = |event| match event {
            Event::Identity(IdentityEvent::PersonErased(_)) => Told::Gone,
            Event::Identity(IdentityEvent::EmailChanged(it)) => {
                // The newest one tells; those before it are history.
                wanted = wanted.or(Some(it.email_version));
                Told::Else
            }
            Event::Identity(IdentityEvent::EmailChangeRequested(it)) if wanted == Some(it.email_version) => {
                Told::This(vec![(EMAIL, it.email)])
            }
            Event::Identity(IdentityEvent::UserRegistered(it)) => Told::This(vec![(EMAIL, it.email)]),
            _ => Told::Else,
        };
        Ok(address(self.opened(tenant, user::stream(user), told).await?))
    }

    /// The address that a person asked for with a number.
    pub(super) async fn address_asked_for(
        &self,
        tenant: TenantId,
        user: UserId,
        version: u32,
    ) -> Result<Option<EmailAddress>, Problem> {
        let told = |event| match event {
            Event::Identity(IdentityEvent::PersonErased(_)) => Told::Gone,
            Event::Identity(IdentityEvent::EmailChangeRequested(it)) if it.email_version == version => {
                Told::This(vec![(EMAIL, it.email)])
            }
            _ => Told::Else,
        };
        Ok(address(self.opened(tenant, user::stream(user), told).await?))
    }

    /// The address that was invited, while it is known.
    pub(super) async fn address_invited(
        &self,
        tenant: TenantId,
        invitation: InvitationId,
    ) -> Result<Option<EmailAddress>, Problem> {
        let told = |event| match event {
            Event::Organisation(OrganisationEvent::InvitationSent(it)) => Told::This(vec![(EMAIL, it.email)]),
            _ => Told::Else,
        };
        Ok(address(self.opened(tenant, invitation::stream(invitation), told).await?))
    }

    /// The private values of the newest event that has what is looked for, opened. `None` if there is none, or if one of them
    /// cannot be opened any more.
    async fn opened(
        &self,
        tenant: TenantId,
        stream: StreamId,
        told: impl FnMut(Event) -> Told,
    ) -> Result<Option<Vec<String>>, Problem> {
        let parts = self.parts();
        read(&parts.pool, &parts.master, tenant, stream, told).await.map_err(unavailable)
    }
}

fn address(opened: Option<Vec<String>>) -> Option<EmailAddress> {
    EmailAddress::parse(opened?.first()?).ok()
}

async fn read(
    pool: &PgPool,
    master: &MasterKey,
    tenant: TenantId,
    stream: StreamId,
    told: impl FnMut(Event) -> Told,
) -> sqlx::Result<Option<Vec<String>>> {
    let mut tx = begin(pool, tenant).await?;
    let Some((event, privates)) = newest(&mut tx, tenant, stream, told).await? else { return Ok(None) };
    let subject = privates.first().map(|(_, it)| it.subject());
    let wrapped = key_of(&mut tx, tenant, subject.unwrap_or_default()).await?;
    tx.rollback().await?;
    let open = |wrapped: Vec<u8>| -> Option<Vec<String>> {
        privates.iter().map(|(place, it)| open(master, &wrapped, &event, place, it)).collect()
    };
    Ok(wrapped.and_then(open))
}

/// A transaction that serves one tenant.
pub(super) async fn begin(pool: &PgPool, tenant: TenantId) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut tx = pool.begin().await?;
    sqlx::query!("select set_config('app.tenants', array[$1::uuid]::text, true) as served", tenant.uuid())
        .fetch_one(&mut *tx)
        .await?;
    Ok(tx)
}

/// The key of a subject, wrapped, while there is one.
pub(super) async fn key_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    subject: Uuid,
) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        "select wrapped from keys.subject_keys where tenant_id = $1 and subject_id = $2",
        tenant.uuid(),
        subject
    )
    .fetch_optional(conn)
    .await
}

/// The newest event that tells what is looked for.
async fn newest(
    conn: &mut PgConnection,
    tenant: TenantId,
    stream: StreamId,
    mut told: impl FnMut(Event) -> Told,
) -> sqlx::Result<Option<(Recorded, Vec<(&'static str, Private)>)>> {
    let mut below = i64::MAX;
    loop {
        let page = log::stream(conn, tenant, stream, below, Direction::Backwards, PAGE).await?;
        let Some((oldest, _)) = page.last() else { return Ok(None) };
        below = *oldest;
        for (_, event) in page {
            // An event of a newer build says nothing that is looked for here.
            match event.decode().map_or(Told::Else, &mut told) {
                Told::Else => {}
                Told::Gone => return Ok(None),
                Told::This(privates) => return Ok(Some((event, privates))),
            }
        }
    }
}

pub(super) fn open(
    master: &MasterKey,
    wrapped: &[u8],
    event: &Recorded,
    path: &'static str,
    private: &Private,
) -> Option<String> {
    let Private::Sealed(sealed) = private else { return None };
    let key = master.unwrap(event.tenant, sealed.subject, wrapped).ok()?;
    let place = Place { tenant: event.tenant, stream: event.stream, event_id: event.event_id, path };
    String::from_utf8(key.open(&place, sealed).ok()?).ok()
}
