//! Devices that ask to be signed in by a code that a person types (RFC 8628): taken in by the batch, and asked after. That a
//! person decided, and that a device got its tokens, is told by events; the rows follow them as [`super::VaultChange`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::{GrantId, ServiceId, SessionId, TenantId, UserId};
use uuid::Uuid;

use super::{Digest, Shown, Vault, interval};

/// A device that asks.
#[derive(Debug, Clone)]
pub struct AskingDevice {
    /// The tenant of its service.
    pub tenant: TenantId,
    /// Names it.
    pub grant: GrantId,
    /// The service that asks for it.
    pub service: ServiceId,
    /// The hash of what it comes back with.
    pub hash: Digest,
    /// What a person types: eight letters.
    pub user_code: String,
    /// For what: names parted by spaces.
    pub scope: String,
    /// The address of the network from which it asked, for the person to see.
    pub asked_from: String,
}

/// A device about which somebody is to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingDevice {
    /// Which.
    pub grant: GrantId,
    /// The service that asked for it.
    pub service: ServiceId,
    /// For what: names parted by spaces.
    pub scope: String,
    /// From where it asked.
    pub asked_from: String,
    /// When.
    pub asked_at: DateTime<Utc>,
}

/// What a device is told that comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// It may have its tokens: the person who let it in, in which session of theirs, and for what.
    Approved {
        /// Who.
        user: UserId,
        /// In which session they did.
        came_by: SessionId,
        /// For what.
        scope: String,
    },
    /// Nobody has decided.
    Pending,
    /// It came too soon, and has to wait five seconds longer from now on.
    TooSoon,
    /// The person said no. It is told once.
    Denied,
    /// Its time is over.
    Expired,
    /// It has had its tokens: the session that began, which must end.
    Redeemed(SessionId, UserId),
    /// There is no such device.
    Unknown,
}

struct WaitingRow {
    grant: Uuid,
    service: Uuid,
    scope: String,
    asked_from: String,
    asked_at: DateTime<Utc>,
}

impl From<WaitingRow> for WaitingDevice {
    fn from(row: WaitingRow) -> Self {
        Self {
            grant: GrantId::new(row.grant),
            service: ServiceId::new(row.service),
            scope: row.scope,
            asked_from: row.asked_from,
            asked_at: row.asked_at,
        }
    }
}

impl Vault {
    /// Takes devices in, in one statement, and answers those that are in. The others need another code.
    ///
    /// # Errors
    /// If the database cannot be used; then none is in.
    pub async fn ask_devices(
        &self,
        devices: &[AskingDevice],
        lasts: Duration,
        every_s: i16,
    ) -> sqlx::Result<Vec<GrantId>> {
        let all = |of: fn(&AskingDevice) -> Uuid| devices.iter().map(of).collect::<Vec<_>>();
        let texts =
            |of: fn(&AskingDevice) -> &String| devices.iter().map(|it| of(it).clone()).collect::<Vec<_>>();
        let hashes: Vec<Vec<u8>> = devices.iter().map(|it| it.hash.0.to_vec()).collect();
        let taken = sqlx::query_scalar!(
            r#"select vault.ask_devices($1, $2, $3, $4, $5, $6, $7, $8, $9) as "grant!""#,
            &all(|it| it.tenant.uuid()),
            &all(|it| it.grant.uuid()),
            &all(|it| it.service.uuid()),
            &hashes,
            &texts(|it| &it.user_code),
            &texts(|it| &it.scope),
            &texts(|it| &it.asked_from),
            interval(lasts),
            every_s,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(taken.into_iter().map(GrantId::new).collect())
    }

    /// Tells a device that comes back what became of it, and remembers that it came.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn poll_device(&self, shown: &Shown, service: ServiceId) -> sqlx::Result<Polled> {
        let row = sqlx::query!(
            r#"select outcome as "outcome!", user_id, came_by, session_id, scope
               from vault.poll_device($1, $2, $3, $4)"#,
            shown.tenant.uuid(),
            shown.id,
            &shown.hash.0[..],
            service.uuid(),
        )
        .fetch_one(&self.pool)
        .await?;
        let user = row.user_id.map(UserId::new);
        Ok(match (row.outcome.as_str(), user, row.came_by, row.session_id, row.scope) {
            ("approved", Some(user), Some(came_by), _, Some(scope)) => {
                Polled::Approved { user, came_by: SessionId::new(came_by), scope }
            }
            ("redeemed", Some(user), _, Some(session), _) => Polled::Redeemed(SessionId::new(session), user),
            ("pending", ..) => Polled::Pending,
            ("slow_down", ..) => Polled::TooSoon,
            ("denied", ..) => Polled::Denied,
            ("expired", ..) => Polled::Expired,
            _ => Polled::Unknown,
        })
    }

    /// The device whose code somebody typed, while nobody has decided.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn device_of_code(&self, tenant: TenantId, code: &str) -> sqlx::Result<Option<WaitingDevice>> {
        let row = sqlx::query_as!(
            WaitingRow,
            r#"select grant_id as "grant!", service_id as "service!", scope as "scope!", asked_from as "asked_from!",
                      asked_at as "asked_at!"
               from vault.device_of_code($1, $2)"#,
            tenant.uuid(),
            code,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(WaitingDevice::from))
    }

    /// The same device again, when they decide.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn device_to_decide(
        &self,
        tenant: TenantId,
        grant: GrantId,
    ) -> sqlx::Result<Option<WaitingDevice>> {
        let row = sqlx::query_as!(
            WaitingRow,
            r#"select grant_id as "grant!", service_id as "service!", scope as "scope!", asked_from as "asked_from!",
                      asked_at as "asked_at!"
               from vault.device_to_decide($1, $2)"#,
            tenant.uuid(),
            grant.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(WaitingDevice::from))
    }
}
