//! What a unit changes in the vault beside its events: data that the append hands to `vault.apply`.
//!
//! A change is never a guard. What must hold when it lands (that nobody changed the password meanwhile, say) is told by a
//! stream that the unit's decision reads.

use std::fmt;

use chrono::{DateTime, Utc};
use domain::ids::{
    ApiKeyId, FactorId, GrantId, KeyId, LinkId, ProviderId, SecretId, ServiceId, SessionId, TenantId, UserId,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::api_keys::NewApiKey;
use super::factors::NewTotp;
use super::federation::{NewIdentity, NewProviderSecret};
use super::link::{MailTokenKind, NewMailToken};
use super::mail::QueuedMail;
use super::oauth::NewClientSecret;
use super::passkeys::NewPasskey;
use super::person_links::NewPersonLink;
use super::signing_keys::NewSigningKey;

/// A change of the vault, carried out in the transaction of the events that say so, in the order in which they stand.
///
/// Each variant is a function `vault.do_<variant>` of the migrations. What it prints with `Debug` is its name alone.
#[derive(Clone, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum VaultChange {
    /// Sets the password of a person, whether they had one or not.
    PutPassword {
        /// The person's tenant.
        tenant: TenantId,
        /// The person.
        user: Uuid,
        /// Counts the passwords of this person; the event that says the password was changed has the same number.
        version: i32,
        /// Argon2id in the PHC format.
        phc: SecretText,
        /// Which pepper was mixed in.
        pepper: i16,
    },
    /// Begins a family of refresh tokens with its first token.
    OpenFamily(NewFamily),
    /// Revokes the families of one session.
    RevokeSession {
        /// The session's tenant.
        tenant: TenantId,
        /// The session.
        session: Uuid,
        /// Why, in a word.
        because: &'static str,
    },
    /// Revokes the families that a service has of one person, as many as there are at that moment of the log.
    RevokeLent {
        /// The person's tenant.
        tenant: TenantId,
        /// The person.
        user: UserId,
        /// The service.
        service: ServiceId,
        /// Why, in a word.
        because: &'static str,
    },
    /// Revokes the families of one person, as many as there are at that moment of the log.
    RevokeUser {
        /// The person's tenant.
        tenant: TenantId,
        /// The person.
        user: Uuid,
        /// A session that stays.
        except: Option<Uuid>,
        /// Why, in a word.
        because: &'static str,
    },
    /// Revokes all families of a tenant that is open and stays open.
    RevokeTenant {
        /// The tenant.
        tenant: TenantId,
    },
    /// From now on no refresh token of a tenant is exchanged.
    CloseTenant {
        /// The tenant.
        tenant: TenantId,
    },
    /// Ends [`VaultChange::CloseTenant`] for families that begin from now on; those from before stay dead.
    ReopenTenant {
        /// The tenant.
        tenant: TenantId,
    },
    /// Sets a counter of guesses back, and with it a lock.
    ClearAttempts {
        /// In which tenant.
        tenant: TenantId,
        /// What was guessed.
        kind: AttemptKind,
        /// At whom.
        subject: Digest,
    },
    /// Sets the counter of guesses at an address back, and those of all devices on which somebody signed in with it.
    OpenLocks {
        /// In which tenant.
        tenant: TenantId,
        /// What guesses at the address are counted under, on devices that nobody knows.
        subject: Digest,
    },
    /// Takes one guess back that was right and is no complete sign-in; those that were wrong stay counted.
    ReturnAttempt {
        /// In which tenant.
        tenant: TenantId,
        /// What was guessed.
        kind: AttemptKind,
        /// At whom.
        subject: Digest,
        /// Guesses until the lock.
        most: u16,
    },
    /// Keeps the seed of an authenticator.
    PutTotp(NewTotp),
    /// Forgets the seed of an authenticator, and the recovery codes that were for it.
    DropTotp {
        /// The person's tenant.
        tenant: TenantId,
        /// The person.
        user: Uuid,
    },
    /// Keeps the public half of a passkey.
    PutPasskey(NewPasskey),
    /// Forgets a passkey.
    DropPasskey {
        /// The person's tenant.
        tenant: TenantId,
        /// The passkey.
        factor: FactorId,
    },
    /// Forgets every factor of a person.
    DropFactors {
        /// The person's tenant.
        tenant: TenantId,
        /// The person.
        user: Uuid,
    },
    /// Keeps recovery codes, in the place of those before.
    PutRecoveryCodes {
        /// The person's tenant.
        tenant: TenantId,
        /// The person.
        user: Uuid,
        /// What is kept of each.
        hashes: Vec<Digest>,
    },
    /// Keeps a key that is announced.
    PutSigningKey(NewSigningKey),
    /// Says that a key signs now.
    ActivateSigningKey {
        /// The key.
        key: KeyId,
        /// When the next one is due.
        use_until: DateTime<Utc>,
    },
    /// Says that a key signs no more, and destroys its private half.
    RetireSigningKey {
        /// The key.
        key: KeyId,
        /// Until when what it signed is believed.
        believe_until: DateTime<Utc>,
    },
    /// Says that a key is believed no more, whether it was ever kept or not, and destroys its private half.
    RemoveSigningKey {
        /// The key.
        key: KeyId,
        /// Its name in the header of tokens.
        kid: String,
    },
    /// Deletes a retired key.
    ForgetSigningKey {
        /// The key.
        key: KeyId,
    },
    /// Keeps our secret at a provider, in place of any other one at it.
    PutProviderSecret(NewProviderSecret),
    /// Forgets our secret at a provider that is removed, and every sign-in that is under way there.
    DropProvider {
        /// The tenant.
        tenant: TenantId,
        /// The provider.
        provider: ProviderId,
    },
    /// Keeps which user a person of a provider is.
    PutIdentity(NewIdentity),
    /// Forgets it.
    DropIdentity {
        /// The tenant.
        tenant: TenantId,
        /// The link.
        link: LinkId,
    },
    /// Keeps where the other half of a link is.
    PutPersonLink(NewPersonLink),
    /// Forgets it.
    DropPersonLink {
        /// The tenant of the half.
        tenant: TenantId,
        /// The half.
        link: Uuid,
    },
    /// Keeps by what a key is known again.
    PutApiKey(NewApiKey),
    /// Forgets it.
    DropApiKey {
        /// Of which organisation.
        tenant: TenantId,
        /// The key.
        key: ApiKeyId,
    },
    /// Keeps a secret of a service.
    PutClientSecret(NewClientSecret),
    /// Forgets it.
    DropClientSecret {
        /// The tenant.
        tenant: TenantId,
        /// Whose.
        service: ServiceId,
        /// Which.
        secret: SecretId,
    },
    /// Forgets the secrets of a service that is removed.
    DropService {
        /// The tenant.
        tenant: TenantId,
        /// Which.
        service: ServiceId,
    },
    /// Notes what a person decided about a device.
    DecideDevice {
        /// The tenant.
        tenant: TenantId,
        /// Which.
        grant: GrantId,
        /// Whether it may come in.
        approved: bool,
        /// Who decided.
        user: UserId,
        /// In which session.
        came_by: SessionId,
    },
    /// Notes that a device got its tokens.
    RedeemDevice {
        /// The tenant.
        tenant: TenantId,
        /// Which.
        grant: GrantId,
        /// The session that began.
        session: SessionId,
    },
    /// Deletes every row that the vault has of a person.
    ForgetUser {
        /// The person's tenant.
        tenant: TenantId,
        /// The person.
        user: Uuid,
    },
    /// Deletes the keys of somebody about whom something private was said, and sees to it that they get no other. For the
    /// role of the platform alone.
    EraseSubject {
        /// In which tenant.
        tenant: TenantId,
        /// A person, or the invitation of somebody who is none yet.
        subject: Uuid,
        /// Names the entry in the journal of erasures.
        receipt: Uuid,
        /// Whether in the logs of other tenants too, as persons are.
        everywhere: bool,
    },
    /// Puts a letter into the outbox; [`super::Letter::queued`] makes it.
    QueueMail(QueuedMail),
    /// Makes the link of a letter good, and older ones of its kind about the same thing useless.
    PutMailToken(NewMailToken),
    /// Makes a link useless, since it was used.
    UseMailToken {
        /// The tenant of the link.
        tenant: TenantId,
        /// Its readable half.
        token: Uuid,
    },
    /// Makes every link of a kind about one thing useless.
    DropMailTokens {
        /// The tenant of the links.
        tenant: TenantId,
        /// Their kind.
        kind: MailTokenKind,
        /// What they are about.
        about: Uuid,
    },
    /// Makes every link of a kind about one thing useless, and leaves what it says of when that is over.
    SpoilMailTokens {
        /// The tenant of the links.
        tenant: TenantId,
        /// Their kind.
        kind: MailTokenKind,
        /// What they are about.
        about: Uuid,
    },
    /// Forgets what was asked for, since it is done.
    DropRequest {
        /// In which tenant it was asked for.
        tenant: TenantId,
        /// The request.
        request: Uuid,
    },
}

impl VaultChange {
    const fn name(&self) -> &'static str {
        match self {
            Self::PutPassword { .. } => "PutPassword",
            Self::OpenFamily(_) => "OpenFamily",
            Self::RevokeSession { .. } => "RevokeSession",
            Self::RevokeLent { .. } => "RevokeLent",
            Self::RevokeUser { .. } => "RevokeUser",
            Self::RevokeTenant { .. } => "RevokeTenant",
            Self::CloseTenant { .. } => "CloseTenant",
            Self::ReopenTenant { .. } => "ReopenTenant",
            Self::ClearAttempts { .. } => "ClearAttempts",
            Self::OpenLocks { .. } => "OpenLocks",
            Self::ReturnAttempt { .. } => "ReturnAttempt",
            Self::PutTotp(_) => "PutTotp",
            Self::DropTotp { .. } => "DropTotp",
            Self::PutPasskey(_) => "PutPasskey",
            Self::DropPasskey { .. } => "DropPasskey",
            Self::DropFactors { .. } => "DropFactors",
            Self::PutRecoveryCodes { .. } => "PutRecoveryCodes",
            Self::PutSigningKey(_) => "PutSigningKey",
            Self::ActivateSigningKey { .. } => "ActivateSigningKey",
            Self::RetireSigningKey { .. } => "RetireSigningKey",
            Self::RemoveSigningKey { .. } => "RemoveSigningKey",
            Self::ForgetSigningKey { .. } => "ForgetSigningKey",
            Self::PutProviderSecret(_) => "PutProviderSecret",
            Self::DropProvider { .. } => "DropProvider",
            Self::PutIdentity(_) => "PutIdentity",
            Self::DropIdentity { .. } => "DropIdentity",
            Self::PutPersonLink(_) => "PutPersonLink",
            Self::DropPersonLink { .. } => "DropPersonLink",
            Self::PutApiKey(_) => "PutApiKey",
            Self::DropApiKey { .. } => "DropApiKey",
            Self::PutClientSecret(_) => "PutClientSecret",
            Self::DropClientSecret { .. } => "DropClientSecret",
            Self::DropService { .. } => "DropService",
            Self::DecideDevice { .. } => "DecideDevice",
            Self::RedeemDevice { .. } => "RedeemDevice",
            Self::ForgetUser { .. } => "ForgetUser",
            Self::EraseSubject { .. } => "EraseSubject",
            Self::QueueMail(_) => "QueueMail",
            Self::PutMailToken(_) => "PutMailToken",
            Self::UseMailToken { .. } => "UseMailToken",
            Self::DropMailTokens { .. } => "DropMailTokens",
            Self::SpoilMailTokens { .. } => "SpoilMailTokens",
            Self::DropRequest { .. } => "DropRequest",
        }
    }
}

impl fmt::Debug for VaultChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A family of refresh tokens, and its first token.
#[derive(Clone, Serialize)]
pub struct NewFamily {
    /// The tenant of the session.
    pub tenant: TenantId,
    /// The family.
    pub family: Uuid,
    /// The session that it keeps alive.
    pub session: Uuid,
    /// Whose session.
    pub user: Uuid,
    /// The service that alone may show its tokens; none if the person signed in with us.
    pub service: Option<Uuid>,
    /// What its access tokens are for: names parted by spaces, or nothing.
    pub scope: String,
    /// From then on no token of the family is exchanged.
    pub absolute_until: DateTime<Utc>,
    /// How long a token that is not used stays good, in seconds.
    pub idle_seconds: u32,
    /// The first token.
    pub token: Uuid,
    /// The hash of its secret.
    pub hash: Digest,
}

/// What is guessed. Numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum AttemptKind {
    /// Any proof of a person: password, code, recovery code. One counter for all of them.
    SignIn = 1,
    /// The same, from a device on which this person signed in before.
    KnownDevice = 2,
}

impl AttemptKind {
    /// As stored.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The kind that is stored so.
    pub(super) fn of(code: i16) -> Option<Self> {
        [Self::SignIn, Self::KnownDevice].into_iter().find(|it| it.code() == code)
    }
}

impl Serialize for AttemptKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i16(self.code())
    }
}

/// 32 bytes of SHA-256 or HMAC-SHA-256; hexadecimal where it is text. What it prints with `Debug` is its name alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is only ever shown to the vault.
#[derive(Clone)]
pub struct SecretText(SecretString);

impl SecretText {
    /// Keeps `text`.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text.into())
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}
