//! The keys that sign access tokens: making them, letting one take over from another, removing them. The reactor does it
//! as time passes, `quipu keys` when an operator says so.
//!
//! Everything goes through the executor: one key signs and one is announced at most, however many processes ask at once.
//! See [`domain::platform::signing_key`] for the states.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::Refusal;
use domain::ids::{KeyId, TenantId};
use domain::platform::signing_key::{BELIEVED_AFTER, EXPIRED, NOTICE, TERM};
use domain::platform::{
    ActivateSigningKey, AnnounceSigningKey, KeyName, PublicKey, RemoveSigningKey, RetireSigningKey,
};
use domain::words::Word;
use event_store::keyring::KeyError;
use event_store::vault::{Digest, KeyState, NewSigningKey, StoredKey, Vault, VaultChange, wrap_signing_key};
use event_store::{Cause, Executor, MasterKey, SubmitError, Unit};
use secrecy::ExposeSecret as _;
use service_kit::token::NewKey;
use uuid::Uuid;

/// Why a key that was announced is removed: another takes its place before it could sign.
const SUPERSEDED: Word = Word::of("superseded");

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database cannot be used.
    #[error("the signing keys could not be read: {0}")]
    Database(#[from] sqlx::Error),
    /// The executor gave no answer.
    #[error("the signing keys could not be changed: {0}")]
    Submit(#[from] SubmitError),
    /// A rule forbids it, or somebody else was faster.
    #[error("{} ({})", .0.message, .0.code)]
    Refused(Refusal),
    /// No key could be made or wrapped.
    #[error("{0}")]
    Making(String),
}

impl From<KeyError> for KeysError {
    fn from(error: KeyError) -> Self {
        Self::Making(error.to_string())
    }
}

/// What the time has come for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Due {
    /// Nothing signs: a new key does at once.
    SignAtOnce,
    /// Publish the next key.
    Announce { use_from: DateTime<Utc> },
    /// The key that was announced signs from now on.
    TakeOver { next: KeyId },
    /// What it signed has ended.
    Expire { key: KeyId },
}

/// How the keys stand.
#[derive(Debug, Clone, Copy, Default)]
struct Ring<'a> {
    active: Option<&'a StoredKey>,
    announced: Option<&'a StoredKey>,
}

impl<'a> Ring<'a> {
    fn of(keys: &'a [StoredKey]) -> Self {
        let find = |state| keys.iter().find(|it| it.state == state);
        Self { active: find(KeyState::Active), announced: find(KeyState::Announced) }
    }
}

/// The one thing that is due, the most pressing first.
fn due(keys: &[StoredKey], now: DateTime<Utc>) -> Option<Due> {
    let Ring { active, announced } = Ring::of(keys);
    let passed = |at: Option<DateTime<Utc>>| at.is_none_or(|it| it <= now);
    if let Some(next) = announced.filter(|it| passed(it.use_from)) {
        return Some(Due::TakeOver { next: next.key });
    }
    let Some(active) = active else { return Some(Due::SignAtOnce) };
    let ends = active.use_until.unwrap_or(now);
    if announced.is_none() && ends - NOTICE <= now {
        return Some(Due::Announce { use_from: ends.max(now + NOTICE) });
    }
    let over = keys.iter().find(|it| it.state == KeyState::Retired && passed(it.believe_until));
    over.map(|it| Due::Expire { key: it.key })
}

/// The keys, in the hands of somebody who may change them.
#[derive(Clone)]
pub struct SigningKeys {
    vault: Vault,
    executor: Executor,
    master: Arc<MasterKey>,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKeys")
    }
}

impl SigningKeys {
    /// The keys over these connections, as the role `quipu_reactor` or `quipu_platform`.
    #[must_use]
    pub const fn new(vault: Vault, executor: Executor, master: Arc<MasterKey>) -> Self {
        Self { vault, executor, master }
    }

    /// The keys that are remembered, the last changed first.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn list(&self) -> Result<Vec<StoredKey>, KeysError> {
        Ok(self.vault.signing_keys().await?)
    }

    /// Does the one thing that is due at `now`. Says whether there was one.
    ///
    /// # Errors
    /// [`KeysError`]; a refusal mostly means that another process did it.
    pub async fn tend(&self, now: DateTime<Utc>) -> Result<bool, KeysError> {
        let keys = self.list().await?;
        let Some(due) = due(&keys, now) else { return Ok(false) };
        let unit = match &due {
            Due::SignAtOnce => self.at_once(nothing(), &keys, now)?.1,
            Due::Announce { use_from } => self.announce(nothing(), *use_from)?.1,
            Due::TakeOver { next } => activate(retire(nothing(), &keys, now), *next, now),
            Due::Expire { key } => {
                let kid = name_of(&keys, *key)?;
                let decision = RemoveSigningKey { key_id: *key, kid, because: EXPIRED };
                nothing()
                    .and(TenantId::PLATFORM, decision)
                    .with_vault([VaultChange::ForgetSigningKey { key: *key }])
            }
        };
        self.submit(unit).await?;
        tracing::info!(due = ?due, "signing keys changed");
        Ok(true)
    }

    /// Announces the next key, which takes over as soon as others had time to learn it; or, `at_once`, makes one that
    /// takes over now, for which others may have to look again. Gives its name.
    ///
    /// # Errors
    /// [`KeysError`], among them that a key is announced already.
    pub async fn rotate(&self, at_once: bool) -> Result<String, KeysError> {
        let (keys, now) = (self.list().await?, Utc::now());
        let (kid, unit) = if at_once {
            self.at_once(retire(nothing(), &keys, now), &keys, now)?
        } else {
            self.announce(nothing(), now + NOTICE)?
        };
        self.submit(unit).await?;
        Ok(kid)
    }

    /// Removes a key now: nothing that it signed is believed any more. If it was the one that signs, another does from now
    /// on, whose name is given. It need not be one of these: operators have keys of their own.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn remove(&self, kid: &KeyName, because: Word) -> Result<Option<String>, KeysError> {
        let (keys, now) = (self.list().await?, Utc::now());
        let key = id_of(kid.as_str());
        let removed = remove(nothing(), key, kid.clone(), because);
        let signs = Ring::of(&keys).active.is_some_and(|it| it.key == key);
        let (next, unit) = if signs {
            let (next, unit) = self.at_once(removed, &keys, now)?;
            (Some(next), unit)
        } else {
            (None, removed)
        };
        self.submit(unit).await?;
        Ok(next)
    }

    /// A new key that signs at once, in the place of one that is announced.
    fn at_once(
        &self,
        mut unit: Unit,
        keys: &[StoredKey],
        now: DateTime<Utc>,
    ) -> Result<(String, Unit), KeysError> {
        if let Some(waiting) = Ring::of(keys).announced {
            unit = remove(unit, waiting.key, name_of(keys, waiting.key)?, SUPERSEDED);
        }
        let (kid, unit) = self.announce(unit, now)?;
        let next = id_of(&kid);
        Ok((kid, activate(unit, next, now)))
    }

    fn announce(&self, unit: Unit, use_from: DateTime<Utc>) -> Result<(String, Unit), KeysError> {
        let new = NewKey::generate().map_err(|error| KeysError::Making(error.to_string()))?;
        let key = id_of(&new.kid);
        let wrapped = wrap_signing_key(&self.master, key, new.pkcs8.expose_secret())?;
        let decision = AnnounceSigningKey {
            key_id: key,
            kid: KeyName::parse(&new.kid).map_err(|error| KeysError::Making(error.to_string()))?,
            public_key: PublicKey::new(new.public),
            use_from,
        };
        let row = NewSigningKey { key, kid: new.kid.clone(), public: Digest(new.public), wrapped, use_from };
        let unit = unit.and(TenantId::PLATFORM, decision).with_vault([VaultChange::PutSigningKey(row)]);
        Ok((new.kid, unit))
    }

    async fn submit(&self, unit: Unit) -> Result<(), KeysError> {
        let receipt = self.executor.submit(unit).await?;
        let refused = receipt.results.into_iter().filter_map(Result::err);
        // The others of the unit only say that they were not carried out because of it.
        match refused.into_iter().find(|it| it.code != event_store::unit::NOT_APPLIED) {
            Some(refusal) => Err(KeysError::Refused(refusal)),
            None => Ok(()),
        }
    }
}

fn nothing() -> Unit {
    Unit::empty(TenantId::PLATFORM, Cause::system(Uuid::now_v7()))
}

/// The identifier of a key follows from its name, so that an operator's key has one too.
fn id_of(kid: &str) -> KeyId {
    KeyId::new(Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("urn:quipu:signing-key:{kid}").as_bytes()))
}

fn name_of(keys: &[StoredKey], key: KeyId) -> Result<KeyName, KeysError> {
    let kid = keys.iter().find(|it| it.key == key).map(|it| it.kid.as_str()).unwrap_or_default();
    KeyName::parse(kid).map_err(|error| KeysError::Making(error.to_string()))
}

fn activate(unit: Unit, key: KeyId, now: DateTime<Utc>) -> Unit {
    unit.and(TenantId::PLATFORM, ActivateSigningKey { key_id: key })
        .with_vault([VaultChange::ActivateSigningKey { key, use_until: now + TERM }])
}

/// Retires the key that signs, if there is one.
fn retire(unit: Unit, keys: &[StoredKey], now: DateTime<Utc>) -> Unit {
    let Some(active) = Ring::of(keys).active else { return unit };
    let (key, believe_until) = (active.key, now + BELIEVED_AFTER);
    unit.and(TenantId::PLATFORM, RetireSigningKey { key_id: key })
        .with_vault([VaultChange::RetireSigningKey { key, believe_until }])
}

fn remove(unit: Unit, key: KeyId, kid: KeyName, because: Word) -> Unit {
    let change = VaultChange::RemoveSigningKey { key, kid: kid.as_str().to_owned() };
    unit.and(TenantId::PLATFORM, RemoveSigningKey { key_id: key, kid, because }).with_vault([change])
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    fn stored(number: u128, state: KeyState) -> StoredKey {
        StoredKey {
            key: KeyId::new(Uuid::from_u128(number)),
            kid: format!("key-{number}"),
            state,
            use_from: None,
            use_until: None,
            believe_until: None,
            changed_at: now(),
        }
    }

    fn active(until: TimeDelta) -> StoredKey {
        StoredKey { use_until: Some(now() + until), ..stored(1, KeyState::Active) }
    }

    fn announced(from: TimeDelta) -> StoredKey {
        StoredKey { use_from: Some(now() + from), ..stored(2, KeyState::Announced) }
    }

    fn retired(until: TimeDelta) -> StoredKey {
        StoredKey { believe_until: Some(now() + until), ..stored(3, KeyState::Retired) }
    }

    #[test]
    fn where_nothing_signs_a_key_is_made_at_once() {
        assert_eq!(due(&[], now()), Some(Due::SignAtOnce));
        assert_eq!(due(&[stored(1, KeyState::Removed), retired(TERM)], now()), Some(Due::SignAtOnce));
        assert_eq!(due(&[announced(NOTICE)], now()), Some(Due::SignAtOnce));
    }

    #[test]
    fn the_next_key_is_announced_in_time_and_takes_over_when_the_term_ends() {
        let moment = TimeDelta::milliseconds(1);
        assert_eq!(due(&[active(TERM)], now()), None);
        assert_eq!(due(&[active(NOTICE + moment)], now()), None);
        let announce = |use_from| Some(Due::Announce { use_from: now() + use_from });
        assert_eq!(due(&[active(NOTICE)], now()), announce(NOTICE));
        assert_eq!(
            due(&[active(-TERM)], now()),
            announce(NOTICE),
            "after a long pause it still waits its notice"
        );
        assert_eq!(due(&[active(TimeDelta::zero()), announced(moment)], now()), None);
        let next = KeyId::new(Uuid::from_u128(2));
        let take_over = Some(Due::TakeOver { next });
        assert_eq!(due(&[active(TERM), announced(TimeDelta::zero())], now()), take_over);
        assert_eq!(due(&[announced(-moment)], now()), take_over);
    }

    #[test]
    fn a_retired_key_goes_when_its_last_token_has_ended() {
        let moment = TimeDelta::milliseconds(1);
        assert_eq!(due(&[active(TERM), retired(moment)], now()), None);
        let key = KeyId::new(Uuid::from_u128(3));
        assert_eq!(due(&[active(TERM), retired(TimeDelta::zero())], now()), Some(Due::Expire { key }));
    }
}
