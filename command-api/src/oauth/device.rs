//! Devices without a keyboard (RFC 8628): a device asks and shows a code, a person types it where they are signed in, sees who
//! asks, and decides. The device comes back for its tokens in [`super::grants`].
//!
//! What a person decides is about the device whose code they typed, in the session in which they typed it: they carry a ticket
//! that says so from the one page to the next.

use aws_lc_rs::constant_time;
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use domain::Decision;
use domain::application::{ApproveDevice, DenyDevice, GrantConsent};
use domain::ids::{GrantId, TenantId};
use domain::words::Scope;
use event_store::keyring::IndexOf;
use event_store::vault::{AskingDevice, Digest, VaultChange, WaitingDevice};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use service_kit::bearer::{Bearer, ClientId, Kind};
use service_kit::oauth_error::OauthError;
use service_kit::problem::{Problem, code};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ask::wanted;
use super::authorize::not_kept;
use super::batch::{EVERY_SECONDS, LASTS, spelt, typed, user_code};
use super::params::Params;
use super::{Oauth, grant, scopes, written};
use crate::identity::Origin;
use crate::identity::limits::{Counted, LocalPolicy, Policy};
use crate::identity::sessions::InSession;

/// What a device goes on with (RFC 8628 section 3.2).
#[derive(Serialize, ToSchema)]
pub struct DeviceBody {
    /// What it polls the token endpoint with.
    device_code: String,
    /// What a person types.
    #[schema(example = "WDJB-MJHT")]
    user_code: String,
    /// Where they type it.
    #[schema(example = "https://id.example.org/device")]
    verification_uri: String,
    /// The same with the code filled in, for a picture that a telephone reads.
    #[schema(example = "https://id.example.org/device?user_code=WDJB-MJHT")]
    verification_uri_complete: String,
    /// Seconds that all of this may take.
    #[schema(example = 600)]
    expires_in: u64,
    /// Seconds to wait between two polls.
    #[schema(example = 5)]
    interval: i16,
}

/// A device about which a person is to decide.
#[derive(Debug, Clone)]
pub struct Device {
    /// What they decide with. It is good in this session and for this device alone.
    pub ticket: String,
    /// The code that they typed, as the device shows it.
    pub user_code: String,
    /// The service that asks for it, by its name for people.
    pub client: String,
    /// What it asks for.
    pub scopes: Vec<Scope>,
    /// From which address of the network, if it is known.
    pub ip: Option<String>,
    /// When.
    pub asked_at: DateTime<Utc>,
}

fn unknown() -> Problem {
    Problem::new(&code::USER_CODE_UNKNOWN, "")
}

impl Oauth {
    /// Takes a device in that asks.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn ask_for_device(
        &self,
        headers: &HeaderMap,
        params: &Params,
        origin: &Origin,
    ) -> Result<DeviceBody, OauthError> {
        let issuer = self.issuer()?;
        let identity = &self.parts().identity;
        let limits = identity.limits();
        // First, so that one address cannot use up what all devices of a service have together.
        limits.check_here(Counted::address(LocalPolicy::DeviceCodesAddress, origin.ip))?;
        let client = self.client(headers, params).await?;
        client.granted(grant::DEVICE_CODE)?;
        limits.check_here(Counted::tenant(LocalPolicy::DeviceCodesAll, TenantId::PLATFORM))?;
        let ClientId { tenant, service } = client.id;
        limits.check_here(Counted::id(LocalPolicy::DeviceCodes, tenant, service.uuid()))?;
        let asked = params.get("scope").map(scopes).transpose()?;
        let asked = asked.unwrap_or_else(|| client.service.scopes.clone());
        let asked = wanted(asked, &client.service)?;
        let device = Bearer::make(Kind::DeviceCode, tenant, Uuid::now_v7()).map_err(Problem::from)?;
        let (grant, address) = (GrantId::new(device.id), origin.ip.to_string());
        let asked_from = AskingDevice::sealed(tenant, grant, &address, &self.parts().master)
            .map_err(|error| OauthError::from(Problem::fault(&error)))?;
        let asking = AskingDevice {
            tenant,
            grant,
            service,
            hash: Digest(device.hash()),
            user_code: user_code()?,
            scope: written(&asked),
            asked_from,
        };
        let user_code = spelt(&self.0.devices.ask(asking).await?);
        identity.figures().gave_device_code();
        let verification_uri = format!("{issuer}/device");
        Ok(DeviceBody {
            device_code: device.text().expose_secret().to_owned(),
            verification_uri_complete: format!("{verification_uri}?user_code={user_code}"),
            user_code,
            verification_uri,
            expires_in: LASTS.as_secs(),
            interval: EVERY_SECONDS,
        })
    }

    /// Looks a typed code up, in the session of whoever typed it. Every look may be a guess and counts, until it is known to
    /// be none.
    ///
    /// # Errors
    /// `rate.limited`, `oauth.user-code-unknown`.
    pub async fn device(&self, who: InSession, text: &str) -> Result<Device, Problem> {
        let parts = self.parts();
        let (limits, looks) =
            (parts.identity.limits(), Counted::id(Policy::UserCodes, who.tenant, who.session.uuid()));
        limits.check([looks]).await?;
        let code = typed(text).ok_or_else(unknown)?;
        let waiting = parts.vault.device_of_code(who.tenant, &code, &parts.master).await;
        let waiting = waiting.map_err(not_kept)?;
        let waiting = waiting.ok_or_else(unknown)?;
        limits.give_back(looks).await?;
        let client = ClientId { tenant: who.tenant, service: waiting.service };
        let service = parts.identity.service(client).await?.ok_or_else(unknown)?;
        Ok(Device {
            ticket: format!("{}.{}", waiting.grant, self.ticket(who, waiting.grant)),
            user_code: spelt(&code),
            client: service.name.to_string(),
            scopes: scopes_of(&waiting),
            ip: waiting.asked_from,
            asked_at: waiting.asked_at,
        })
    }

    /// Lets a device in.
    ///
    /// # Errors
    /// `oauth.user-code-unknown` if it waits no more, or the ticket is not for this session; `application.grant-decided`,
    /// `auth.session-ended`.
    pub async fn approve_device(&self, who: InSession, ticket: &str, origin: &Origin) -> Result<(), Problem> {
        let waiting = self.ticketed(who, ticket).await?;
        let approve = ApproveDevice {
            grant_id: waiting.grant,
            service_id: waiting.service,
            user_id: who.user,
            scopes: scopes_of(&waiting),
        };
        // It stands among what they allow, so that they find it there and can take it back.
        let consent =
            GrantConsent { user_id: who.user, service_id: waiting.service, scopes: scopes_of(&waiting) };
        self.decide(who, &waiting, true, [Box::new(approve), Box::new(consent)], origin).await
    }

    /// Does not let a device in.
    ///
    /// # Errors
    /// As [`Oauth::approve_device`].
    pub async fn deny_device(&self, who: InSession, ticket: &str, origin: &Origin) -> Result<(), Problem> {
        let waiting = self.ticketed(who, ticket).await?;
        let deny = DenyDevice { grant_id: waiting.grant, service_id: waiting.service, user_id: who.user };
        self.decide(who, &waiting, false, [Box::new(deny)], origin).await
    }

    async fn decide<const N: usize>(
        &self,
        who: InSession,
        waiting: &WaitingDevice,
        approved: bool,
        commands: [Box<dyn Decision>; N],
        origin: &Origin,
    ) -> Result<(), Problem> {
        let (tenant, grant) = (who.tenant, waiting.grant);
        let noted =
            VaultChange::DecideDevice { tenant, grant, approved, user: who.user, came_by: who.session };
        self.parts().identity.by_own_hand(who, commands, Some(noted), origin).await
    }

    /// The device of a ticket, if it waits still.
    async fn ticketed(&self, who: InSession, ticket: &str) -> Result<WaitingDevice, Problem> {
        let (grant, proof) = ticket.split_once('.').ok_or_else(unknown)?;
        let grant: GrantId = grant.parse().map_err(|_| unknown())?;
        let right = self.ticket(who, grant).to_string();
        constant_time::verify_slices_are_equal(right.as_bytes(), proof.as_bytes()).map_err(|_| unknown())?;
        let (vault, master) = (&self.parts().vault, &self.parts().master);
        let waiting = vault.device_to_decide(who.tenant, grant, master).await.map_err(not_kept)?;
        waiting.ok_or_else(unknown)
    }

    /// What proves that a code was typed in this session. Nobody else can make it, and nothing need be kept.
    fn ticket(&self, who: InSession, grant: GrantId) -> Digest {
        let value = [grant.uuid().into_bytes(), who.session.uuid().into_bytes()].concat();
        self.parts().master.index(who.tenant, IndexOf::TypedDevice, &value)
    }
}

fn scopes_of(waiting: &WaitingDevice) -> Vec<Scope> {
    waiting.scope.split(' ').filter_map(|it| Scope::parse(it).ok()).collect()
}
