//! Who people are: registering, signing in, keeping a session, ending it. It knows no transport: what comes in is typed,
//! and an [`Origin`] says from where; so every API answers alike.
//!
//! | what | where |
//! |---|---|
//! | registering | [`sign_up`] |
//! | the platform's first owner | [`bootstrap`] |
//! | signing in with a password | [`sign_in`] |
//! | second factors: shown, enrolled, removed | [`second_factor`], [`totp`], [`recovery_codes`] |
//! | passkeys: added, removed, signed in with | [`passkeys`] |
//! | the lock on guessing, and the record of failures | [`guessing`], [`failures`] |
//! | how often may be tried | [`limits`] |
//! | founding an organisation | [`founding`] |
//! | links in letters, and another password | [`recovery`] |
//! | another address | [`email_change`] |
//! | coming by an invitation | [`invitations`] |
//! | what is known of a person, and who is made one | [`profile`] |
//! | signing in with a provider, and its tokens | [`federated`], [`provider_tokens`] |
//! | refreshing, ending and strengthening sessions | [`sessions`] |
//! | one person in several organisations | [`persons`] |
//! | browsers in which somebody is signed in | [`browser`] |
//! | sessions that services are let have | [`lent`] |
//! | tokens | [`tokens`] |
//! | what states and secrets say of somebody | [`facts`], [`person`] |
//!
//! **Invariant:** whoever asks is told the same whether an organisation or a person exists, and the same work is done for it,
//! but where the policy of the organisation says otherwise.
//!
//! **Invariant:** a guess is reserved before it is looked at, and a session starts only by a command that judges person and
//! organisation at its commit.

use std::fmt;
use std::sync::Arc;

use domain::Refusal;
use domain::ids::TenantId;
use domain::organisation::tenant::SLUG_SCOPE;
use event_schemas::envelope::LogPosition;
use event_store::keyring::IndexOf;
use event_store::unit::NOT_APPLIED;
use event_store::vault::{Digest, Vault};
use event_store::{Executor, MasterKey, Unit};
use service_kit::email::EmailAddress;
use service_kit::problem::Problem;
use service_kit::token::Signer;
use sqlx::PgPool;
use uuid::Uuid;

use crate::answer::carried_out;
use crate::passwords::{HashError, Passwords};

mod bootstrap;
pub mod browser;
pub(crate) mod claims;
pub mod consents;
pub mod device;
pub mod displacing;
pub mod email_change;
mod facts;
mod failures;
pub mod federated;
pub mod figures;
pub mod founding;
mod guessing;
pub mod impersonation;
pub mod invitations;
pub(crate) mod lent;
mod letters;
pub mod limits;
pub mod opening;
pub mod origin;
pub mod passkeys;
mod person;
pub mod persons;
pub mod profile;
pub mod provider_tokens;
pub mod recovery;
mod recovery_codes;
pub mod rulings;
pub mod second_factor;
pub mod sessions;
pub mod sign_in;
pub mod sign_up;
pub mod tokens;
mod totp;

use failures::Failures;
use figures::Figures;
use limits::Limits;
pub use origin::Origin;

/// How the platform itself is named where an organisation is asked for. No organisation can take the name.
pub const PLATFORM_SLUG: &str = "platform";

/// Everything that identity works with. Clones are the same.
#[derive(Clone)]
pub struct Identity(Arc<Parts>, Arc<Failures>, Figures);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// What identity is put together of.
pub struct Parts {
    /// The one way to write.
    pub executor: Executor,
    /// The keys of indexes and of the vault.
    pub master: Arc<MasterKey>,
    /// Connections for looking things up.
    pub pool: PgPool,
    /// The vault, over the same connections.
    pub vault: Vault,
    /// The threads that hash.
    pub passwords: Passwords,
    /// Signs access tokens.
    pub signer: Arc<Signer>,
    /// How often may be tried.
    pub limits: Limits,
    /// Who may become the platform's first owner, if anybody.
    pub first_owner: Option<EmailAddress>,
}

impl Identity {
    /// Puts it together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts), Arc::default(), Figures::default())
    }

    fn parts(&self) -> &Parts {
        &self.0
    }

    fn failures(&self) -> &Failures {
        &self.1
    }

    /// What it tells its monitoring.
    #[must_use]
    pub const fn figures(&self) -> &Figures {
        &self.2
    }

    /// The organisation of a name; none if nobody has it.
    async fn tenant(&self, slug: &str) -> Result<Option<TenantId>, Problem> {
        let slug = &*spelt(slug);
        if slug == PLATFORM_SLUG {
            return Ok(Some(TenantId::PLATFORM));
        }
        let holder = self.0.vault.claim_holder(TenantId::PLATFORM, SLUG_SCOPE, slug).await;
        Ok(holder.map_err(unavailable)?.map(TenantId::new))
    }

    /// The organisation of a name, or what stands in for it.
    async fn tenant_or_stand_in(&self, slug: &str) -> Result<TenantId, Problem> {
        Ok(self.tenant(slug).await?.unwrap_or_else(|| self.nobodys(slug)))
    }

    /// What stands in for an organisation that does not exist, so that everything that follows is the same, the counters too:
    /// an identifier that nobody has and nobody can guess.
    fn nobodys(&self, slug: &str) -> TenantId {
        let slug = spelt(slug);
        let Digest(hash) = self.0.master.index(TenantId::PLATFORM, IndexOf::UnknownTenant, slug.as_bytes());
        let (half, _) = hash.as_chunks::<16>();
        // Of version 8, which we give to nothing: so it is nobody's.
        TenantId::new(
            half.first().map_or(Uuid::max(), |it| uuid::Builder::from_custom_bytes(*it).into_uuid()),
        )
    }

    /// An address as claims know it.
    fn email_index(&self, tenant: TenantId, email: &EmailAddress) -> Digest {
        self.0.master.index(tenant, IndexOf::Email, email.normal().as_bytes())
    }

    /// Has a unit carried out: where the log stands then, or why it was refused.
    async fn submit(&self, unit: Unit) -> Result<Result<LogPosition, Refusal>, Problem> {
        let receipt = carried_out(&self.0.executor, unit).await?;
        let refused = receipt.results.into_iter().filter_map(Result::err).find(|it| it.code != NOT_APPLIED);
        Ok(refused.map_or(Ok(receipt.position), Err))
    }
}

/// A slug as it is looked up, of what people type: phones begin with a capital and end with a space.
fn spelt(slug: &str) -> String {
    slug.trim().to_ascii_lowercase()
}

/// The database did not answer a look-up.
fn unavailable(error: sqlx::Error) -> Problem {
    Problem::store_unavailable(&error)
}

/// Nothing can be said of a password.
fn not_hashed(error: HashError) -> Problem {
    match error {
        HashError::Overloaded => Problem::new(&service_kit::problem::code::HASHING, ""),
        HashError::Fault => Problem::fault(&error),
    }
}
