//! What is asked for by somebody whom we do not know yet. Who asks is answered at once and always the same; a reactor
//! looks later whether there is an account, and writes a letter or does not. So neither the answer nor its time tells.

use std::fmt;
use std::time::Duration;

use domain::ids::TenantId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Language, Vault, interval};
use crate::keyring::{Cell, KeyError, MasterKey};

/// Something that is asked for. Kept sealed, and deleted when it is done. What it prints with `Debug` is its kind alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Request {
    /// The link to choose a new password with.
    Reset(Asker),
    /// Once more the link that verifies an address.
    Resend(Asker),
    /// An account, in an organisation where nobody may learn whether there is one already. It comes to be when the link
    /// of the letter is used; until then it is nowhere but here.
    Register(Registration),
    /// Another address for an account. Whether somebody else has it is found out later, and told to nobody.
    ChangeAddress(AddressChange),
    /// An organisation and its first account. Neither is anywhere but here, and no name is taken, until the link is used.
    Found(Founding),
}

/// The address that somebody says is theirs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// As it was written, to send to it.
    pub mailbox: String,
    /// In the form in which addresses are compared.
    pub normal: String,
    /// The language to write in, unless there is an account that says another one.
    pub language: Language,
}

/// An account to be.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Whose.
    pub asker: Asker,
    /// What they are called by friends.
    pub given_name: Option<String>,
    /// What their family is called.
    pub family_name: Option<String>,
    /// Their password, as Argon2id in the PHC format.
    pub phc: String,
    /// Which pepper was mixed in.
    pub pepper: i16,
}

/// Somebody wants another address, and has shown who they are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressChange {
    /// Who.
    pub user: Uuid,
    /// How many passwords they had had when they showed it: if there is another one by now, it was perhaps not them.
    pub credential_version: u32,
    /// The address that they want.
    pub asker: Asker,
}

/// An organisation to be, and its owner.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// The owner.
    pub owner: Registration,
}

impl Request {
    /// Its kind, as stored.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Reset(_) => "reset",
            Self::Resend(_) => "resend",
            Self::Register(_) => "register",
            Self::ChangeAddress(_) => "change-address",
            Self::Found(_) => "found",
        }
    }

    /// Whose address it came with.
    #[must_use]
    pub const fn asker(&self) -> &Asker {
        match self {
            Self::Reset(asker) | Self::Resend(asker) => asker,
            Self::Register(it) => &it.asker,
            Self::ChangeAddress(it) => &it.asker,
            Self::Found(it) => &it.owner.asker,
        }
    }

    /// Reads a request of the vault.
    ///
    /// # Errors
    /// [`KeyError::Unopenable`] if it was sealed elsewhere or with another master key, or asks for something that this
    /// build does not know.
    pub fn open(tenant: TenantId, id: Uuid, sealed: &[u8], master: &MasterKey) -> Result<Self, KeyError> {
        let plain = master.open_cell(&cell(tenant, id), sealed)?;
        serde_json::from_slice(&plain).map_err(|_| KeyError::Unopenable)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

const fn cell(tenant: TenantId, id: Uuid) -> Cell<'static> {
    Cell { table: "requests", tenant, row: id, column: "sealed" }
}

/// Why something could not be asked for.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// So much is waiting in this tenant that more would only make it worse.
    #[error("too much waits already")]
    Full,
    /// It could not be sealed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
}

impl Vault {
    /// Remembers what somebody asks for, until it is done or `lasts` is over. Costs the same whatever is known of them.
    ///
    /// # Errors
    /// See [`NotAsked`].
    pub async fn ask(
        &self,
        tenant: TenantId,
        id: Uuid,
        request: &Request,
        lasts: Duration,
        master: &MasterKey,
    ) -> Result<(), NotAsked> {
        let plain = serde_json::to_vec(request).map_err(|_| KeyError::Unsealable)?;
        let sealed = master.seal_cell(&cell(tenant, id), &plain)?;
        let taken = sqlx::query_scalar!(
            r#"select vault.ask($1, $2, $3, $4, $5) as "taken!""#,
            tenant.uuid(),
            id,
            request.kind(),
            sealed,
            interval(lasts),
        )
        .fetch_one(&self.pool)
        .await?;
        if taken { Ok(()) } else { Err(NotAsked::Full) }
    }

    /// What was asked for, while it waits for the link that completes it.
    ///
    /// # Errors
    /// See [`NotAsked`].
    pub async fn asked(
        &self,
        tenant: TenantId,
        id: Uuid,
        master: &MasterKey,
    ) -> Result<Option<Request>, NotAsked> {
        let mut tx = self.pool.begin().await?;
        sqlx::query!(
            "select set_config('app.tenants', array[$1::uuid]::text, true) as served",
            tenant.uuid()
        )
        .fetch_one(&mut *tx)
        .await?;
        let sealed = sqlx::query_scalar!(
            "select sealed from vault.requests
             where tenant_id = $1 and request_id = $2 and expires_at > clock_timestamp()",
            tenant.uuid(),
            id
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.rollback().await?;
        Ok(sealed.map(|it| Request::open(tenant, id, &it, master)).transpose()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_opens_in_its_place_alone_and_shows_nothing() {
        let asker = Asker {
            mailbox: "Ada@example.org".to_owned(),
            normal: "ada@example.org".to_owned(),
            language: Language::En,
        };
        let registration = Registration {
            asker: asker.clone(),
            given_name: Some("Ada".to_owned()),
            family_name: None,
            phc: "$argon2id$".to_owned(),
            pepper: 1,
        };
        let master = MasterKey::new(&vec![7_u8; 32].into()).unwrap();
        let (tenant, id) = (TenantId::new(Uuid::from_u128(1)), Uuid::from_u128(2));
        let (slug, name, owner) = ("acme".to_owned(), "Acme".to_owned(), registration.clone());
        for request in [
            Request::Reset(asker.clone()),
            Request::Resend(asker.clone()),
            Request::ChangeAddress(AddressChange { user: Uuid::from_u128(3), credential_version: 1, asker }),
            Request::Register(registration),
            Request::Found(Founding { slug, name, owner }),
        ] {
            assert_eq!(format!("{request:?}"), request.kind());
            let plain = serde_json::to_value(&request).unwrap();
            assert_eq!(plain["kind"], request.kind());
            let sealed = master.seal_cell(&cell(tenant, id), plain.to_string().as_bytes()).unwrap();
            assert_eq!(Request::open(tenant, id, &sealed, &master).unwrap(), request);
            assert!(Request::open(TenantId::PLATFORM, id, &sealed, &master).is_err());
            assert!(Request::open(tenant, Uuid::nil(), &sealed, &master).is_err());
        }
    }
}
