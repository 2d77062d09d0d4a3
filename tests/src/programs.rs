//! Invitations, services, keys and failed sign-ins of an organisation, made by commands through an executor.

use chrono::{DateTime, TimeDelta, Utc};
use domain::Decision;
use domain::application::{
    AddSecret, GrantConsent, IssueApiKey, KeyOwner, LimitService, RedirectUri, RegisterService, RemoveSecret,
    RevokeApiKey, ServiceLimits, SuspendService, UnlimitService,
};
use domain::email::EmailHash;
use domain::identity::{RecordSignIn, SignInFact, SignInFailed, SignInLocked, SignInUnlocked, month_subject};
use domain::ids::{ApiKeyId, InvitationId, SecretId, ServiceId, TenantId, UserId};
use domain::metadata::Label;
use domain::organisation::{Granter, Invite, ResendInvitation, RevokeInvitation, RoleRef};
use domain::private::Private;
use domain::words::{Permission, Scope, Word};
use event_store::{Executor, Unit};
use service_kit::permissions::role_table;
use uuid::Uuid;

use crate::database::cause;
use crate::ledger::accepted;

/// An invitation of an address of its own, open for a week.
#[must_use]
pub fn invitation(tenant: TenantId, id: InvitationId) -> Invite {
    Invite {
        invitation_id: id,
        email: Private::new(id.uuid(), format!("{id}@example.com")),
        email_hash: address_of(id),
        holder: None,
        roles: vec![RoleRef::USER],
        expires_at: Utc::now() + TimeDelta::days(7),
        by: Granter::Platform,
        table: role_table(tenant).clone(),
    }
}

/// The address of [`invitation`] as the claims know it.
#[must_use]
pub fn address_of(id: InvitationId) -> EmailHash {
    let mut hash = [7; 32];
    hash[..16].copy_from_slice(id.uuid().as_bytes());
    EmailHash::new(hash)
}

/// A service with a name of its own.
///
/// # Errors
/// If it cannot be described, which is a defect of this.
pub fn service(id: ServiceId) -> anyhow::Result<RegisterService> {
    Ok(RegisterService {
        service_id: id,
        name: Label::parse(&format!("Till {id}"))?,
        confidential: true,
        redirect_uris: vec![RedirectUri::parse("https://till.example/back")?],
        grants: vec![Word::of("authorization-code"), Word::of("client-credentials")],
        scopes: vec![Scope::parse("openid")?],
        limits: None,
    })
}

/// A key that acts for somebody.
///
/// # Errors
/// If it cannot be described, which is a defect of this.
pub fn api_key(id: ApiKeyId, owner: KeyOwner) -> anyhow::Result<IssueApiKey> {
    Ok(IssueApiKey {
        key_id: id,
        owner,
        name: Label::parse("Nightly \\export")?,
        permissions: vec![Permission::parse("ledger.read-journal")?],
        expires_at: Some(Utc::now() + TimeDelta::days(30)),
    })
}

/// Sign-ins that failed alike, for somebody or nobody.
#[must_use]
pub fn failed_sign_ins(
    tenant: TenantId,
    user: Option<UserId>,
    count: u64,
    at: DateTime<Utc>,
) -> RecordSignIn {
    RecordSignIn(SignInFact::Failed(SignInFailed {
        method: Word::of("password"),
        because: Word::of("credentials"),
        user_id: user,
        identifier: Some(Private::new(month_subject(tenant, at.date_naive()), "a keyed hash")),
        count,
        first_at: at - TimeDelta::seconds(30),
        last_at: at,
    }))
}

/// A lock of somebody, or of a name that nobody has.
#[must_use]
pub fn locked_sign_in(user: Option<UserId>, at: DateTime<Utc>) -> RecordSignIn {
    RecordSignIn(SignInFact::Locked(SignInLocked {
        method: Word::of("password"),
        user_id: user,
        identifier: None,
        failures: 5,
        until: at + TimeDelta::minutes(30),
        at,
    }))
}

/// Gives an organisation programs and invitations of every sort, and sign-ins that failed.
///
/// # Errors
/// If it is refused.
pub async fn equip(executor: &Executor, tenant: TenantId, user: UserId) -> anyhow::Result<()> {
    let does = async |command: Box<dyn Decision>| {
        accepted(&executor.submit(Unit::of(tenant, cause(), [command])).await?)
    };
    let now = Utc::now();
    let invitations = [(); 3].map(|()| InvitationId::new(Uuid::now_v7()));
    for id in invitations {
        does(Box::new(invitation(tenant, id))).await?;
    }
    let expires_at = now + TimeDelta::days(9);
    does(Box::new(ResendInvitation { invitation_id: invitations[0], expires_at })).await?;
    let email_hash = address_of(invitations[1]);
    does(Box::new(RevokeInvitation { invitation_id: invitations[1], email_hash })).await?;

    let services = [(); 2].map(|()| ServiceId::new(Uuid::now_v7()));
    for service_id in services {
        does(Box::new(service(service_id)?)).await?;
        let secrets = [(); 2].map(|()| SecretId::new(Uuid::now_v7()));
        for secret_id in secrets {
            does(Box::new(AddSecret { service_id, secret_id, expires_at: Some(expires_at) })).await?;
        }
        let because = Word::of("asked");
        does(Box::new(RemoveSecret { service_id, secret_id: secrets[0], because })).await?;
    }
    let limits = ServiceLimits { per_second: 5, burst: 9 };
    for service_id in services {
        does(Box::new(LimitService { service_id, limits })).await?;
    }
    does(Box::new(UnlimitService { service_id: services[1] })).await?;
    does(Box::new(SuspendService { service_id: services[1], because: Word::of("leaked") })).await?;
    let scopes = vec![Scope::parse("openid")?];
    does(Box::new(GrantConsent { user_id: user, service_id: services[0], scopes })).await?;

    let keys = [(); 2].map(|()| ApiKeyId::new(Uuid::now_v7()));
    does(Box::new(api_key(keys[0], KeyOwner::User(user))?)).await?;
    does(Box::new(api_key(keys[1], KeyOwner::Service(services[0]))?)).await?;
    does(Box::new(RevokeApiKey { key_id: keys[1], of: None, by: user.actor() })).await?;

    does(Box::new(failed_sign_ins(tenant, Some(user), 4, now))).await?;
    does(Box::new(failed_sign_ins(tenant, None, 2, now))).await?;
    does(Box::new(locked_sign_in(Some(user), now))).await?;
    let unlocked = SignInUnlocked { user_id: user, by: user.actor(), at: now };
    does(Box::new(RecordSignIn(SignInFact::Unlocked(unlocked)))).await
}
