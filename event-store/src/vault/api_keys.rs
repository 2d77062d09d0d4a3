//! Keys with which programs act: by what they are known again, and for whom they act. What one allows and until when it is
//! good is in the log, and asked there at every request.
//!
//! A key that was known once is remembered by its hash, in bounded memory: a hash never becomes another's, and a key that is
//! revoked does not stand any more whatever is remembered here. Once a day it is looked up all the same, and the day noted.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{NaiveDate, Utc};
use domain::ids::{ApiKeyId, ServiceId, TenantId, UserId};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Digest, Vault};

/// Keys remembered in each of two generations.
const REMEMBERED_MAX: usize = 5_000;

/// For whom a key acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyHolder {
    /// A person.
    User(UserId),
    /// A service.
    Service(ServiceId),
}

/// A key on its way into the vault.
#[derive(Clone, Serialize)]
pub struct NewApiKey {
    /// Of which organisation.
    pub tenant: TenantId,
    /// The key.
    pub key: ApiKeyId,
    /// For whom it acts.
    #[serde(flatten)]
    pub holder: KeyHolder,
    /// The hash of its secret.
    pub hash: Digest,
}

impl Vault {
    /// The keys of a person, at most a thousand.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn api_keys_of(&self, tenant: TenantId, user: UserId) -> sqlx::Result<Vec<ApiKeyId>> {
        let keys = sqlx::query_scalar!(
            r#"select key as "key!" from vault.api_keys_of($1, $2) as key"#,
            tenant.uuid(),
            user.uuid()
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(keys.into_iter().map(ApiKeyId::new).collect())
    }
}

type Key = (TenantId, ApiKeyId, Digest);

/// When a key was looked up, and what was found.
type Known = (NaiveDate, KeyHolder);

/// Two halves: when the younger is full it becomes the older, and what was older is forgotten.
#[derive(Default)]
struct Memory {
    young: HashMap<Key, Known>,
    old: HashMap<Key, Known>,
}

impl Memory {
    fn recall(&self, key: &Key, today: NaiveDate) -> Option<KeyHolder> {
        let known = self.young.get(key).or_else(|| self.old.get(key))?;
        (known.0 == today).then_some(known.1)
    }

    fn remember(&mut self, key: Key, known: Known) {
        if self.young.len() >= REMEMBERED_MAX && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, known);
    }
}

/// The keys that a process has seen. Clones are the same.
#[derive(Clone)]
pub struct ApiKeys {
    pool: PgPool,
    memory: Arc<RwLock<Memory>>,
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKeys")
    }
}

impl ApiKeys {
    /// Keys that are looked up over these connections, of a role that answers requests.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, memory: Arc::default() }
    }

    /// For whom the key acts that has this hash; nobody, if there is none. Whether it still may is the log's to say.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn holder(
        &self,
        tenant: TenantId,
        key: ApiKeyId,
        shown: Digest,
    ) -> sqlx::Result<Option<KeyHolder>> {
        let (today, name) = (Utc::now().date_naive(), (tenant, key, shown));
        let known = self.memory.read().unwrap_or_else(PoisonError::into_inner).recall(&name, today);
        if known.is_some() {
            return Ok(known);
        }
        let row = sqlx::query!(
            "select user_id, service_id from store.api_key($1, $2, $3)",
            tenant.uuid(),
            key.uuid(),
            &shown.0[..]
        )
        .fetch_optional(&self.pool)
        .await?;
        let holder = row.and_then(|it| holder_of(it.user_id, it.service_id));
        if let Some(holder) = holder {
            self.memory.write().unwrap_or_else(PoisonError::into_inner).remember(name, (today, holder));
        }
        Ok(holder)
    }
}

fn holder_of(user: Option<Uuid>, service: Option<Uuid>) -> Option<KeyHolder> {
    let user = user.map(|it| KeyHolder::User(UserId::new(it)));
    user.or_else(|| service.map(|it| KeyHolder::Service(ServiceId::new(it))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        let id = u128::try_from(n).unwrap();
        (TenantId::PLATFORM, ApiKeyId::new(Uuid::from_u128(id)), Digest([7; 32]))
    }

    #[test]
    fn a_key_is_remembered_for_the_day_and_no_more_than_so_many() {
        let today = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        let holder = KeyHolder::User(UserId::new(Uuid::from_u128(1)));
        let mut memory = Memory::default();
        memory.remember(key(0), (today, holder));
        assert_eq!(memory.recall(&key(0), today), Some(holder));
        assert_eq!(memory.recall(&key(0), today.succ_opt().unwrap()), None, "its use is noted every day");
        let (tenant, id, _) = key(0);
        assert_eq!(memory.recall(&(tenant, id, Digest([8; 32])), today), None, "another secret");
        (1..=2 * REMEMBERED_MAX).for_each(|n| memory.remember(key(n), (today, holder)));
        assert_eq!(memory.recall(&key(0), today), None);
        assert!(memory.young.len() + memory.old.len() <= 2 * REMEMBERED_MAX);
    }

    #[test]
    fn what_goes_into_the_vault_names_one_holder() {
        let holder = KeyHolder::Service(ServiceId::new(Uuid::from_u128(9)));
        let (tenant, key, hash) = key(3);
        let text = serde_json::to_value(NewApiKey { tenant, key, holder, hash }).unwrap();
        assert_eq!(text["service"], Uuid::from_u128(9).to_string());
        assert!(text.get("user").is_none());
    }
}
