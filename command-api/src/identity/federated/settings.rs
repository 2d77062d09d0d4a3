//! How the providers of an organisation are set up, and who is linked to them.

use domain::federation::ProviderSettings;
use domain::federation::provider::{self, Provider};
use domain::ids::{ProviderId, TenantId, UserId};
use domain::{StreamId, View};
use event_store::access::{Question, look};
use event_store::vault::{FederationVaultError, LinkRow};
use secrecy::SecretString;
use service_kit::problem::{Problem, code};

use crate::identity::facts::unknown;
use crate::identity::{Identity, unavailable};

/// How is a provider set up?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SettingsOf(TenantId, ProviderId);

impl Question for SettingsOf {
    type Answer = Option<ProviderSettings>;

    fn tenant(&self) -> TenantId {
        self.0
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![provider::stream(self.1)]
    }

    fn answer(&self, view: &View<'_>) -> Option<ProviderSettings> {
        match view.find::<Provider>(self.1.uuid())?.state {
            Provider::Active(settings) => Some(settings.as_ref().clone()),
            Provider::Absent | Provider::Removed => None,
        }
    }
}

/// There is no such provider for whoever asks.
pub(super) fn no_provider() -> Problem {
    Problem::new(&code::NOT_FOUND, "there is no such provider")
}

/// A sign-in that was kept cannot be had.
pub(in crate::identity) fn not_kept(error: FederationVaultError) -> Problem {
    match error {
        FederationVaultError::Database(error) => unavailable(error),
        FederationVaultError::Key(error) => Problem::fault(&error),
    }
}

impl Identity {
    /// The organisation of a name, or one that has no providers if nobody has that name: who asks cannot tell.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn organisation(&self, slug: &str) -> Result<TenantId, Problem> {
        self.tenant_or_stand_in(slug).await
    }

    /// The providers of an organisation, by name.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn providers(&self, tenant: TenantId) -> Result<Vec<(ProviderId, ProviderSettings)>, Problem> {
        let listed = self.parts().vault.providers(tenant).await.map_err(unavailable)?;
        let mut all = Vec::with_capacity(listed.len());
        for provider in listed {
            all.extend(self.provider(tenant, provider).await?.map(|settings| (provider, settings)));
        }
        Ok(all)
    }

    /// Those of them that know who we are and that the policy lets people sign in with: the ones that people are offered.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn provider_choices(
        &self,
        tenant: TenantId,
    ) -> Result<Vec<(ProviderId, ProviderSettings)>, Problem> {
        let policy = self.policy(tenant).await?;
        let mut all = self.providers(tenant).await?;
        all.retain(|(_, it)| !it.incomplete && policy.offers(&it.kind));
        Ok(all)
    }

    /// How a provider is set up, if the policy lets people sign in with it.
    pub(super) async fn offered_provider(
        &self,
        tenant: TenantId,
        provider: ProviderId,
    ) -> Result<Option<ProviderSettings>, Problem> {
        let Some(settings) = self.provider(tenant, provider).await? else { return Ok(None) };
        let is_offered = self.policy(tenant).await?.offers(&settings.kind);
        Ok(is_offered.then_some(settings))
    }

    /// How a provider is set up, if it is there.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn provider(
        &self,
        tenant: TenantId,
        provider: ProviderId,
    ) -> Result<Option<ProviderSettings>, Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let settings = look(&mut conn, &SettingsOf(tenant, provider)).await.map_err(unknown)?;
        Ok(settings.as_ref().clone())
    }

    /// Our secret at a provider.
    pub(in crate::identity) async fn secret_at(
        &self,
        tenant: TenantId,
        settings: &ProviderSettings,
    ) -> Result<Option<SecretString>, Problem> {
        let Some(secret) = settings.secret_id else { return Ok(None) };
        let parts = self.parts();
        let text = parts.vault.provider_secret(tenant, secret, &parts.master).await.map_err(not_kept)?;
        Ok(text.map(SecretString::from))
    }

    /// The links of a user, with how the provider is set up where it still is.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn links(
        &self,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Vec<(LinkRow, Option<ProviderSettings>)>, Problem> {
        let rows = self.parts().vault.links_of(tenant, user).await.map_err(unavailable)?;
        let mut links = Vec::with_capacity(rows.len());
        for row in rows {
            links.push((row, self.provider(tenant, row.provider).await?));
        }
        Ok(links)
    }
}
