//! The links of letters: each is a token of which the vault keeps the hash, and says what it is for.

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{Digest, Vault};

/// What the link of a letter does. Numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum MailTokenKind {
    /// Proves the address of a new account; about the user.
    VerifyAddress = 1,
    /// Proves the new address of an account; about the user.
    ChangeAddress = 2,
    /// Sets a password; about the user.
    Reset = 3,
    /// Accepts or declines an invitation; about the invitation.
    Invitation = 4,
    /// Completes a registration of which nothing exists yet; about the request.
    Register = 5,
    /// Founds an organisation of which nothing exists yet; about the request.
    Found = 6,
}

impl MailTokenKind {
    /// As stored.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }
}

impl Serialize for MailTokenKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i16(self.code())
    }
}

/// A link of a letter, as the vault keeps it.
#[derive(Debug, Clone, Serialize)]
pub struct NewMailToken {
    /// Whose.
    pub tenant: TenantId,
    /// Its readable half.
    pub token: Uuid,
    /// What it does.
    pub kind: MailTokenKind,
    /// The hash of its secret half.
    pub hash: Digest,
    /// What it is about; of its kind, the newest link about it is the only good one.
    pub about: Uuid,
    /// The person, if there is one.
    pub user: Option<Uuid>,
    /// The keyed hash of the address that it was sent to, if it proves that address.
    pub address_hash: Option<Digest>,
    /// The version of what it changes, as it stood: the decision compares it.
    pub version: i64,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// What a good link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailToken {
    /// What it is about.
    pub about: Uuid,
    /// The person, if there is one.
    pub user: Option<Uuid>,
    /// The keyed hash of the address that it proves, if it proves one.
    pub address_hash: Option<Digest>,
    /// The version of what it changes, as it stood when the link was made.
    pub version: i64,
}

impl Vault {
    /// What a link is for, if it is good: of this kind, not used, not over, and not replaced by a newer one. Looking
    /// consumes nothing; [`super::VaultChange::UseMailToken`] does.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn mail_token(
        &self,
        tenant: TenantId,
        token: Uuid,
        kind: MailTokenKind,
        shown: Digest,
    ) -> sqlx::Result<Option<MailToken>> {
        let row = sqlx::query!(
            r#"select about as "about!", user_id, address_hash, version as "version!"
               from vault.mail_token($1, $2, $3, $4)"#,
            tenant.uuid(),
            token,
            kind.code(),
            &shown.0[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| MailToken {
            about: row.about,
            user: row.user_id,
            address_hash: row.address_hash.and_then(|it| it.try_into().ok()).map(Digest),
            version: row.version,
        }))
    }
}
