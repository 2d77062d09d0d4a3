//! A person as letters need to know them: how they stand, and the address that they have now, opened with their own key.

use std::sync::Arc;

use domain::identity::IdentityEvent;
use domain::identity::user::{self, User};
use domain::ids::{TenantId, UserId};
use domain::private::{Private, Sealed};
use domain::{Event, StreamId, View};
use event_store::access::{self, Question};
use event_store::keyring::Place;
use event_store::log::{self, Direction};
use event_store::{MasterKey, Recorded};
use sqlx::{PgConnection, PgPool};

use crate::run::Fault;

/// Events of a person that are read at once. Few have more.
const PAGE: i64 = 100;

/// A person who can be written to.
pub(super) struct Person {
    pub(super) id: UserId,
    pub(super) user: User,
    /// Their address.
    pub(super) mailbox: String,
}

/// How somebody stands.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Standing {
    tenant: TenantId,
    user: UserId,
}

impl Question for Standing {
    type Answer = User;

    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![user::stream(self.user)]
    }

    fn answer(&self, view: &View<'_>) -> User {
        view.find::<User>(self.user.uuid()).map(|seen| seen.state.clone()).unwrap_or_default()
    }
}

impl Person {
    /// Reads them from the log; `None` if they are not there, or were erased.
    pub(super) async fn read(
        pool: &PgPool,
        master: &MasterKey,
        tenant: TenantId,
        id: UserId,
    ) -> Result<Option<Self>, Fault> {
        let mut tx = pool.begin().await?;
        let standing = access::look(&mut tx, &Standing { tenant, user: id }).await;
        let user = standing.map_err(|error| Fault::Odd(error.to_string()))?;
        sqlx::query!(
            "select set_config('app.tenants', array[$1::uuid]::text, true) as served",
            tenant.uuid()
        )
        .fetch_one(&mut *tx)
        .await?;
        let found = address(&mut tx, tenant, id, None).await?;
        let mailbox = opened(&mut tx, master, found).await?;
        tx.rollback().await?;
        Ok(mailbox.map(|mailbox| Self { id, user: Arc::unwrap_or_clone(user), mailbox }))
    }

    /// The address that somebody asked for with a number, while they have not been erased.
    pub(super) async fn asked_for(
        pool: &PgPool,
        master: &MasterKey,
        tenant: TenantId,
        id: UserId,
        version: u32,
    ) -> Result<Option<String>, Fault> {
        let mut tx = pool.begin().await?;
        sqlx::query!(
            "select set_config('app.tenants', array[$1::uuid]::text, true) as served",
            tenant.uuid()
        )
        .fetch_one(&mut *tx)
        .await?;
        let found = address(&mut tx, tenant, id, Some(version)).await?;
        let mailbox = opened(&mut tx, master, found).await?;
        tx.rollback().await?;
        Ok(mailbox)
    }
}

/// Opens what was found with the key of its person, while that is there.
async fn opened(
    conn: &mut PgConnection,
    master: &MasterKey,
    found: Option<(Recorded, Sealed)>,
) -> sqlx::Result<Option<String>> {
    let Some((event, sealed)) = found else { return Ok(None) };
    let wrapped = sqlx::query_scalar!(
        "select wrapped from keys.subject_keys where tenant_id = $1 and subject_id = $2",
        event.tenant.uuid(),
        sealed.subject
    )
    .fetch_optional(conn)
    .await?;
    Ok(wrapped.and_then(|it| open(master, &it, &event, &sealed)))
}

/// The event that holds the address with the number that is wanted, or else the one that is good now.
async fn address(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: UserId,
    mut wanted: Option<u32>,
) -> sqlx::Result<Option<(Recorded, Sealed)>> {
    let mut below = i64::MAX;
    loop {
        let page = log::stream(conn, tenant, user::stream(id), below, Direction::Backwards, PAGE).await?;
        let Some((oldest, _)) = page.last() else { return Ok(None) };
        below = *oldest;
        for (_, event) in page {
            let found = match event.decode() {
                Ok(Event::Identity(IdentityEvent::PersonErased(_))) => return Ok(None),
                Ok(Event::Identity(IdentityEvent::EmailChanged(it))) => {
                    // The newest one tells; those before it are history.
                    wanted = wanted.or(Some(it.email_version));
                    continue;
                }
                Ok(Event::Identity(IdentityEvent::EmailChangeRequested(it)))
                    if wanted == Some(it.email_version) =>
                {
                    it.email
                }
                Ok(Event::Identity(IdentityEvent::UserRegistered(it))) => it.email,
                _ => continue,
            };
            let Private::Sealed(sealed) = found else { return Ok(None) };
            return Ok(Some((event, sealed)));
        }
    }
}

fn open(master: &MasterKey, wrapped: &[u8], event: &Recorded, sealed: &Sealed) -> Option<String> {
    let key = master.unwrap(event.tenant, sealed.subject, wrapped).ok()?;
    let place =
        Place { tenant: event.tenant, stream: event.stream, event_id: event.event_id, path: "payload.email" };
    String::from_utf8(key.open(&place, sealed).ok()?).ok()
}
