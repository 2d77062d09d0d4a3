//! Devices that ask to be signed in by a code that a person types (RFC 8628): taken in by the batch, and asked after. That a
//! person decided, and that a device got its tokens, is told by events; the rows follow them as [`super::VaultChange`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::{GrantId, ServiceId, SessionId, TenantId, UserId};
use uuid::Uuid;

use super::oauth::RequestVaultError;
use super::{Digest, Shown, Vault, interval};
use crate::keyring::{Cell, KeyError, MasterKey};

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
    /// The address of the network from which it asked, sealed by [`AskingDevice::sealed`].
    pub asked_from: Vec<u8>,
}

const fn address_cell(tenant: TenantId, grant: Uuid) -> Cell<'static> {
    Cell { table: "device_grants", tenant, row: grant, column: "asked_from" }
}

impl AskingDevice {
    /// Seals the address from which a device asks, for the person to see who decides about it.
    ///
    /// # Errors
    /// If the library refuses.
    pub fn sealed(
        tenant: TenantId,
        grant: GrantId,
        address: &str,
        master: &MasterKey,
    ) -> Result<Vec<u8>, KeyError> {
        master.seal_cell(&address_cell(tenant, grant.uuid()), address.as_bytes())
    }
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
    /// From where it asked; nothing of one that asked before addresses were sealed.
    pub asked_from: Option<String>,
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
    asked_from: Option<Vec<u8>>,
    asked_at: DateTime<Utc>,
}

impl WaitingRow {
    fn opened(self, tenant: TenantId, master: &MasterKey) -> Result<WaitingDevice, RequestVaultError> {
        let open = |sealed: Vec<u8>| master.open_cell(&address_cell(tenant, self.grant), &sealed);
        let address = self.asked_from.map(open).transpose()?;
        let text = address.map(|it| String::from_utf8(it).map_err(|_| KeyError::Unopenable));
        Ok(WaitingDevice {
            grant: GrantId::new(self.grant),
            service: ServiceId::new(self.service),
            scope: self.scope,
            asked_from: text.transpose()?,
            asked_at: self.asked_at,
        })
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
        let addresses: Vec<Vec<u8>> = devices.iter().map(|it| it.asked_from.clone()).collect();
        let taken = sqlx::query_scalar!(
            r#"select vault.ask_devices($1, $2, $3, $4, $5, $6, $7, $8, $9) as "grant!""#,
            &all(|it| it.tenant.uuid()),
            &all(|it| it.grant.uuid()),
            &all(|it| it.service.uuid()),
            &hashes,
            &texts(|it| &it.user_code),
            &texts(|it| &it.scope),
            &addresses,
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
    /// [`RequestVaultError`].
    pub async fn device_of_code(
        &self,
        tenant: TenantId,
        code: &str,
        master: &MasterKey,
    ) -> Result<Option<WaitingDevice>, RequestVaultError> {
        let row = sqlx::query_as!(
            WaitingRow,
            r#"select grant_id as "grant!", service_id as "service!", scope as "scope!", asked_from,
                      asked_at as "asked_at!"
               from vault.device_of_code($1, $2)"#,
            tenant.uuid(),
            code,
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|it| it.opened(tenant, master)).transpose()
    }

    /// The same device again, when they decide.
    ///
    /// # Errors
    /// [`RequestVaultError`].
    pub async fn device_to_decide(
        &self,
        tenant: TenantId,
        grant: GrantId,
        master: &MasterKey,
    ) -> Result<Option<WaitingDevice>, RequestVaultError> {
        let row = sqlx::query_as!(
            WaitingRow,
            r#"select grant_id as "grant!", service_id as "service!", scope as "scope!", asked_from,
                      asked_at as "asked_at!"
               from vault.device_to_decide($1, $2)"#,
            tenant.uuid(),
            grant.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|it| it.opened(tenant, master)).transpose()
    }
}
