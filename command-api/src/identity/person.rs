//! What only a person's key opens: their address. It is read from their own stream, so it is right at this moment and gone
//! when they are erased.

use domain::Event;
use domain::identity::{IdentityEvent, user};
use domain::ids::{TenantId, UserId};
use domain::private::Private;
use event_store::keyring::Place;
use event_store::log::{self, Direction};
use event_store::{MasterKey, Recorded};
use service_kit::email::EmailAddress;
use service_kit::problem::Problem;
use sqlx::{PgConnection, PgPool};

use super::{Identity, unavailable};

/// Events of a person that are read at once. Few have more.
const PAGE: i64 = 100;

impl Identity {
    /// The address of a person, while they have not been erased.
    pub(super) async fn address_of(
        &self,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Option<EmailAddress>, Problem> {
        let parts = self.parts();
        let text = read(&parts.pool, &parts.master, tenant, user).await.map_err(unavailable)?;
        Ok(text.and_then(|it| EmailAddress::parse(&it).ok()))
    }
}

async fn read(
    pool: &PgPool,
    master: &MasterKey,
    tenant: TenantId,
    person: UserId,
) -> sqlx::Result<Option<String>> {
    let mut tx = pool.begin().await?;
    sqlx::query!("select set_config('app.tenants', array[$1::uuid]::text, true) as served", tenant.uuid())
        .fetch_one(&mut *tx)
        .await?;
    let Some((event, sealed)) = newest(&mut tx, tenant, person).await? else { return Ok(None) };
    let wrapped = sqlx::query_scalar!(
        "select wrapped from keys.subject_keys where tenant_id = $1 and subject_id = $2",
        tenant.uuid(),
        person.uuid()
    )
    .fetch_optional(&mut *tx)
    .await?;
    tx.rollback().await?;
    Ok(wrapped.and_then(|it| open(master, &it, &event, &sealed)))
}

/// The event that holds the address that is good now.
async fn newest(
    conn: &mut PgConnection,
    tenant: TenantId,
    person: UserId,
) -> sqlx::Result<Option<(Recorded, Private)>> {
    let mut below = i64::MAX;
    let mut wanted = None;
    loop {
        let page = log::stream(conn, tenant, user::stream(person), below, Direction::Backwards, PAGE).await?;
        let Some((oldest, _)) = page.last() else { return Ok(None) };
        below = *oldest;
        for (_, event) in page {
            match event.decode() {
                Ok(Event::Identity(IdentityEvent::PersonErased(_))) => return Ok(None),
                Ok(Event::Identity(IdentityEvent::EmailChanged(it))) if wanted.is_none() => {
                    wanted = Some(it.email_version);
                }
                Ok(Event::Identity(IdentityEvent::EmailChangeRequested(it)))
                    if wanted == Some(it.email_version) =>
                {
                    return Ok(Some((event, it.email)));
                }
                Ok(Event::Identity(IdentityEvent::UserRegistered(it))) => return Ok(Some((event, it.email))),
                _ => {}
            }
        }
    }
}

fn open(master: &MasterKey, wrapped: &[u8], event: &Recorded, private: &Private) -> Option<String> {
    let Private::Sealed(sealed) = private else { return None };
    let key = master.unwrap(event.tenant, sealed.subject, wrapped).ok()?;
    let place =
        Place { tenant: event.tenant, stream: event.stream, event_id: event.event_id, path: "payload.email" };
    String::from_utf8(key.open(&place, sealed).ok()?).ok()
}
