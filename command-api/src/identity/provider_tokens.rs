//! The tokens that providers give for their people, where the organisation wants them kept: taken at a sign-in, kept fresh
//! while the provider lets us, shown to their person alone. Nothing of them is in an event; that somebody looked is.
//!
//! Every process of command-api looks for tokens that are due. One that it finds it leases first, so however many processes
//! there are, one asks the provider: many providers take a second use of a refresh token for theft (RFC 9700 section 4.14.2).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::federation::provider::NAME_SCOPE;
use domain::ids::{ProviderId, TenantId};
use domain::words::Word;
use event_store::vault::{Arrival, LeasedTokens, TokenOwner};
use futures_util::StreamExt as _;
use futures_util::stream;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Problem, code};
use tokio_util::sync::CancellationToken;

use super::federated::{Providers, not_kept};
use super::sessions::InSession;
use super::{Identity, unavailable};
use crate::federation::Tokens;

/// How often a process looks for tokens that are due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Tokens that are looked for at once.
const DUE_MAX: u16 = 64;
/// Exchanges at once.
const EXCHANGES_MAX: usize = 8;
/// How long an exchange may take: longer than a provider may, so that no second process begins meanwhile.
const LEASE: Duration = Duration::from_secs(60);
/// Tokens are exchanged so long before they end, or at half of their time if that is later.
const AHEAD: TimeDelta = TimeDelta::minutes(5);
/// Between two exchanges of one token, however soon its provider says that it ends.
const EXCHANGE_EVERY: TimeDelta = TimeDelta::seconds(30);
/// After so many tries that failed, tokens are forgotten.
const TRIES_MAX: i32 = 10;
/// A token that ends so soon is not shown any more.
const USELESS: TimeDelta = TimeDelta::seconds(10);

/// As it is kept, sealed. Fields may be added.
#[derive(Serialize, Deserialize)]
struct Kept {
    access_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// A token of a provider, for its person.
pub struct ProviderToken {
    /// What the provider takes.
    pub access_token: SecretString,
    /// When it ends, if the provider says so.
    pub expires_at: Option<DateTime<Utc>>,
    /// What it is good for, if the provider says so.
    pub scope: Option<String>,
}

impl Kept {
    /// What came of an exchange at `now`; a refresh token that is not replaced stays.
    fn of(tokens: &Tokens, before: Option<String>, now: DateTime<Utc>) -> Self {
        let text = |it: &SecretString| it.expose_secret().to_owned();
        Self {
            access_token: text(&tokens.access_token),
            refresh_token: tokens.refresh_token.as_ref().map(text).or(before),
            expires_at: tokens
                .expires_in
                .and_then(|it| now.checked_add_signed(TimeDelta::seconds(it.into()))),
            scope: tokens.scope.clone(),
        }
    }

    /// When it is due: never, if there is nothing to exchange, or no end.
    fn due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.refresh_token.as_ref()?;
        let end = self.expires_at?;
        Some((end - AHEAD.min((end - now) / 2)).max(now + EXCHANGE_EVERY))
    }

    fn bytes(&self) -> Result<Vec<u8>, Problem> {
        serde_json::to_vec(self).map_err(|error| Problem::fault(&error))
    }
}

/// What became of tokens that were due.
enum Outcome {
    /// There are newer ones.
    Renewed(Kept),
    /// They are tried again later.
    Again,
    /// They are good for nothing.
    Over,
}

impl Identity {
    /// Keeps what a provider gave for somebody who came back from it.
    pub(super) async fn keep_tokens(
        &self,
        tenant: TenantId,
        arrival: &Arrival,
        tokens: &Tokens,
        now: DateTime<Utc>,
    ) -> Result<(), Problem> {
        let kept = Kept::of(tokens, None, now);
        let Arrival { user, link, provider } = *arrival;
        let (parts, owner) = (self.parts(), TokenOwner { tenant, link, provider, user });
        let (bytes, due) = (kept.bytes()?, kept.due(now));
        parts.vault.put_provider_tokens(&owner, &bytes, due, &parts.master).await.map_err(not_kept)
    }

    /// The token that a provider gave for a person, if it is good now.
    ///
    /// # Errors
    /// `federation.provider-token-missing`.
    pub async fn provider_token(&self, who: InSession, provider: &Word) -> Result<ProviderToken, Problem> {
        let missing = || Problem::new(&code::PROVIDER_TOKEN_MISSING, "");
        let parts = self.parts();
        let holder = parts.vault.claim_holder(who.tenant, NAME_SCOPE, provider.as_str()).await;
        let provider = ProviderId::new(holder.map_err(unavailable)?.ok_or_else(missing)?);
        let kept = parts.vault.provider_tokens_of(who.tenant, provider, who.user, &parts.master).await;
        let kept: Kept = serde_json::from_slice(&kept.map_err(not_kept)?.ok_or_else(missing)?)
            .map_err(|error| Problem::fault(&error))?;
        if kept.expires_at.is_some_and(|it| it - USELESS <= Utc::now()) {
            return Err(missing());
        }
        let access_token = SecretString::from(kept.access_token);
        Ok(ProviderToken { access_token, expires_at: kept.expires_at, scope: kept.scope })
    }

    /// Keeps tokens fresh, until it is told to stop.
    pub async fn refresh_provider_tokens(self, with: Providers, shutdown: CancellationToken) {
        let mut failing = false;
        while shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let due = self.parts().vault.provider_tokens_due(DUE_MAX).await;
            // Told once: the database is missed everywhere.
            if let (false, Err(error)) = (failing, &due) {
                tracing::warn!(%error, "tokens of providers cannot be looked for");
            }
            failing = due.is_err();
            stream::iter(due.unwrap_or_default())
                .take_until(shutdown.cancelled())
                .for_each_concurrent(EXCHANGES_MAX, |(tenant, link)| {
                    let (identity, with) = (&self, &with);
                    async move {
                        let (vault, master) = (&identity.parts().vault, &identity.parts().master);
                        match vault.lease_provider_tokens(tenant, link, LEASE, master).await {
                            Ok(Some(leased)) => identity.renew(with, &leased).await,
                            Ok(None) => {}
                            Err(error) => tracing::warn!(%error, "tokens of a provider cannot be had"),
                        }
                    }
                })
                .await;
        }
    }

    /// Exchanges leased tokens, and notes what came of it. If that cannot be noted, the lease ends by itself.
    async fn renew(&self, with: &Providers, leased: &LeasedTokens) {
        let (vault, now) = (&self.parts().vault, Utc::now());
        let noted = match self.exchanged(with, leased).await {
            Outcome::Renewed(kept) => match kept.bytes() {
                Ok(bytes) => {
                    let renewed =
                        vault.renew_provider_tokens(leased, &bytes, kept.due(now), &self.parts().master);
                    renewed.await.map(drop).map_err(not_kept)
                }
                Err(problem) => Err(problem),
            },
            Outcome::Again if leased.tries < TRIES_MAX => {
                let wait = TimeDelta::minutes(1_i64 << leased.tries.clamp(0, 6));
                vault.put_provider_tokens_off(leased, now.checked_add_signed(wait)).await.map_err(unavailable)
            }
            Outcome::Again | Outcome::Over => {
                vault.put_provider_tokens_off(leased, None).await.map_err(unavailable)
            }
        };
        if let Err(problem) = noted {
            tracing::warn!(code = problem.code(), "what became of tokens of a provider was not noted");
        }
    }

    async fn exchanged(&self, with: &Providers, leased: &LeasedTokens) -> Outcome {
        let LeasedTokens { tenant, provider, .. } = *leased;
        let settings = match self.provider(tenant, provider).await {
            Ok(Some(settings)) if settings.keeps_tokens => settings,
            Ok(_) => return Outcome::Over,
            Err(_) => return Outcome::Again,
        };
        let kept: Option<Kept> = serde_json::from_slice(&leased.content).ok();
        let Some(token) = kept.and_then(|it| it.refresh_token) else { return Outcome::Over };
        let Ok(secret) = self.secret_at(tenant, &settings).await else { return Outcome::Again };
        let now = Utc::now();
        let shown = SecretString::from(token.clone());
        match with.federation(tenant).refresh(&settings, secret.as_ref(), &shown).await {
            Ok(tokens) => Outcome::Renewed(Kept::of(&tokens, Some(token), now)),
            Err(error) => {
                tracing::info!(%provider, %error, "a provider exchanged no token");
                if error.says_that_it_is_over() { Outcome::Over } else { Outcome::Again }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(refresh: Option<&str>, lasts: Option<i64>) -> (Kept, DateTime<Utc>) {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let expires_at = lasts.map(|it| now + TimeDelta::seconds(it));
        let refresh_token = refresh.map(ToOwned::to_owned);
        (Kept { access_token: "a".to_owned(), refresh_token, expires_at, scope: None }, now)
    }

    #[test]
    fn tokens_are_due_before_they_end_if_they_can_be_exchanged() {
        let due = |refresh, lasts| {
            let (kept, now) = kept(refresh, lasts);
            kept.due(now).map(|it| (it - now).num_seconds())
        };
        assert_eq!(due(Some("r"), Some(3_600)), Some(3_300));
        assert_eq!(due(Some("r"), Some(80)), Some(40), "at half of a short time");
        assert_eq!(due(Some("r"), Some(1)), Some(30), "and not again and again");
        assert_eq!((due(None, Some(3_600)), due(Some("r"), None)), (None, None));
    }
}
