//! What happens to a person in one organisation.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{ActorId, SessionId, TenantId, UserId};
use crate::private::Private;
use crate::words::{Language, Word};

/// A person registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserRegistered {
    /// Who.
    pub user_id: UserId,
    /// Their address, number 1 of their addresses.
    pub email: Private,
    /// What they are called by friends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<Private>,
    /// What their family is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<Private>,
    /// The language in which they are written to.
    pub language: Language,
    /// How they came, such as `form`, `invitation`, `github`.
    pub via: Word,
    /// Whether it was shown already that the address is theirs.
    pub verified: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// They are called something else now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserRenamed {
    /// Who.
    pub user_id: UserId,
    /// What they are called by friends; nothing if it is not known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<Private>,
    /// What their family is called, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<Private>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Friends call them something else now; what their family is called stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserGivenNameChanged {
    /// Who.
    pub user_id: UserId,
    /// What they are called by friends; nothing if it is not known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<Private>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Their family is called something else now; what friends call them stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserFamilyNameChanged {
    /// Who.
    pub user_id: UserId,
    /// What their family is called; nothing if it is not known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<Private>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Their telephone number is another one, or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserPhoneChanged {
    /// Who.
    pub user_id: UserId,
    /// The number; nothing if they have none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Private>,
    /// When.
    pub at: DateTime<Utc>,
}

/// They live somewhere else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserAddressChanged {
    /// Who.
    pub user_id: UserId,
    /// Where; nothing if it is not known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Private>,
    /// When.
    pub at: DateTime<Utc>,
}

/// They are written to in another language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserLanguageChanged {
    /// Who.
    pub user_id: UserId,
    /// Which one.
    pub language: Language,
    /// When.
    pub at: DateTime<Utc>,
}

/// They have shown that their address is theirs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailVerified {
    /// Who.
    pub user_id: UserId,
    /// Which of their addresses, counted from 1.
    pub email_version: u32,
    /// How, such as `link`, `reset`, `invitation`, `github`.
    pub via: Word,
    /// When.
    pub at: DateTime<Utc>,
}

/// They asked for another address; the old one stays until the new one is confirmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailChangeRequested {
    /// Who.
    pub user_id: UserId,
    /// The number that the address will have.
    pub email_version: u32,
    /// The new address.
    pub email: Private,
    /// Until when it is kept for them.
    pub expires_at: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The address that they asked for is theirs now, and verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailChanged {
    /// Who.
    pub user_id: UserId,
    /// Which of their addresses: the one of the request with this number.
    pub email_version: u32,
    /// When.
    pub at: DateTime<Utc>,
}

/// The address that they asked for was not confirmed in time, and is free again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmailChangeExpired {
    /// Who.
    pub user_id: UserId,
    /// The number that the address would have had.
    pub email_version: u32,
    /// When.
    pub at: DateTime<Utc>,
}

/// They have another password. Neither it nor anything made of it is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordChanged {
    /// Who.
    pub user_id: UserId,
    /// Which of their passwords, counted from 1.
    pub credential_version: u32,
    /// Why, such as `registered`, `change`, `reset`, `invited`.
    pub because: Word,
    /// When.
    pub at: DateTime<Utc>,
}

/// All their sessions, or all but one, ended: every session of an earlier generation than this is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionsEnded {
    /// Whose.
    pub user_id: UserId,
    /// The generation that begins: sessions that start from now on are of it. Exact where the time is not: a session
    /// that starts in the same microsecond is either before or after.
    pub generation: u32,
    /// The one that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<SessionId>,
    /// Why, such as `asked`, `password-changed`, `deactivated`, `member-removed`.
    pub because: Word,
    /// Who ended them.
    pub by: ActorId,
    /// When.
    pub at: DateTime<Utc>,
}

/// They may not act any more, until they are reactivated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserDeactivated {
    /// Who.
    pub user_id: UserId,
    /// Why.
    pub because: Word,
    /// Whether their address is free for others from now on, since they never showed that it is theirs. They are never
    /// active again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frees_address: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// They may act again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserReactivated {
    /// Who.
    pub user_id: UserId,
    /// When.
    pub at: DateTime<Utc>,
}

/// Everything personal about them is gone for ever: the key that opens it is deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PersonErased {
    /// Who.
    pub user_id: UserId,
    /// Names the entry in the journal of erasures.
    pub receipt: Uuid,
    /// When.
    pub at: DateTime<Utc>,
}

/// A user of an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkedUser {
    /// Of which.
    pub tenant_id: TenantId,
    /// Who.
    pub user_id: UserId,
}

/// Users of several organisations are shown to be one person. Each of the organisations tells it of its own user, and not
/// where the other one is: that is for the person alone to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdentitiesLinked {
    /// Who.
    pub user_id: UserId,
    /// Names this user's half of the link. The other organisation's event has another name for its own.
    pub person: Uuid,
    /// Nobody: an organisation is not told of another one.
    pub users: Vec<LinkedUser>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A user and one of another organisation are not taken for one person any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdentitiesUnlinked {
    /// Who.
    pub user_id: UserId,
    /// Names this user's half of the link.
    pub person: Uuid,
    /// When.
    pub at: DateTime<Utc>,
}
