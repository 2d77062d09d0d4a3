//! Argon2id on one thread, with memory that is taken once. What is kept is a PHC string; a pepper that is not in the
//! database is mixed in.

use std::sync::Arc;

use anyhow::Context as _;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use domain::ids::{TenantId, UserId};
use event_store::MasterKey;
use event_store::keyring::PEPPER_VERSION;
use event_store::vault::{SecretText, StoredPassword, VaultChange};
use service_kit::config::{HASH_MEMORY_KIB_MAX, HashConfig};
use service_kit::random;
use subtle::ConstantTimeEq;

use super::HashError;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// What is kept of a password.
#[derive(Clone)]
pub struct Hashed {
    /// Argon2id in the PHC format.
    pub phc: String,
    /// Which pepper was mixed in.
    pub pepper: i16,
}

impl Hashed {
    /// What puts it into the vault, as the password of this number.
    #[must_use]
    pub fn put(self, tenant: TenantId, user: UserId, version: i32) -> VaultChange {
        let phc = SecretText::new(self.phc);
        VaultChange::PutPassword { tenant, user: user.uuid(), version, phc, pepper: self.pepper }
    }
}

impl std::fmt::Debug for Hashed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hashed")
    }
}

/// The answer about a password.
#[derive(Debug)]
pub enum Checked {
    /// It is not this one, or there is none.
    Wrong,
    /// It is this one.
    Right {
        /// The same password at today's cost, if what is kept is cheaper.
        renewed: Option<Hashed>,
    },
}

/// What hashing takes on one thread.
pub struct Argon {
    shared: Arc<Shared>,
    memory: Vec<Block>,
}

struct Shared {
    pepper: [u8; 32],
    params: Params,
    /// Stands in where nobody has a password.
    stand_in: StoredPassword,
}

impl Argon {
    /// Takes the memory of one hash and makes the stand-in.
    ///
    /// # Errors
    /// If the costs are impossible, or the machine gives no random bytes.
    pub fn new(config: &HashConfig, master: &MasterKey) -> anyhow::Result<Self> {
        let params = Params::new(config.hash_memory_kib, config.hash_passes, 1, Some(HASH_BYTES))
            .map_err(|error| anyhow::anyhow!("QUIPU_HASH_MEMORY_KIB, QUIPU_HASH_PASSES: {error}"))?;
        let (salt, hash) = (random::bytes::<SALT_BYTES>()?, random::bytes::<HASH_BYTES>()?);
        let stand_in = phc(&params, &salt, &hash).context("the stand-in cannot be written")?;
        let stand_in = StoredPassword { version: 0, phc: stand_in, pepper: PEPPER_VERSION };
        let memory = vec![Block::new(); params.block_count()];
        Ok(Self { shared: Arc::new(Shared { pepper: *master.pepper(), params, stand_in }), memory })
    }

    /// The same for another thread.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            memory: vec![Block::new(); self.shared.params.block_count()],
        }
    }

    /// Hashes a password with a fresh salt.
    ///
    /// # Errors
    /// [`HashError::Fault`] if the machine gives no random bytes.
    pub fn make(&mut self, password: &str) -> Result<Hashed, HashError> {
        let salt = random::bytes::<SALT_BYTES>().map_err(|_| HashError::Fault)?;
        let params = self.shared.params.clone();
        let hash = self.compute(password, &salt, params)?;
        let phc = phc(&self.shared.params, &salt, &hash).ok_or(HashError::Fault)?;
        Ok(Hashed { phc, pepper: PEPPER_VERSION })
    }

    /// Compares a password with what is kept of one, or with the stand-in.
    ///
    /// # Errors
    /// [`HashError::Fault`] if what is kept is not ours.
    pub fn check(&mut self, password: &str, stored: Option<&StoredPassword>) -> Result<Checked, HashError> {
        let shared = Arc::clone(&self.shared);
        let kept = stored.unwrap_or(&shared.stand_in);
        let parsed = PasswordHash::new(&kept.phc).map_err(|_| HashError::Fault)?;
        let params = Params::try_from(&parsed).map_err(|_| HashError::Fault)?;
        let ours = parsed.algorithm == Algorithm::Argon2id.ident()
            && parsed.version == Some(Version::V0x13.into())
            && params.m_cost() <= HASH_MEMORY_KIB_MAX
            && kept.pepper == PEPPER_VERSION;
        let (Some(salt), Some(hash), true) = (&parsed.salt, &parsed.hash, ours) else {
            return Err(HashError::Fault);
        };
        let cheap = params.m_cost() < shared.params.m_cost() || params.t_cost() < shared.params.t_cost();
        let same = self.compute(password, salt, params)?.ct_eq(hash.as_bytes());
        // Invariant: the stand-in is nobody's password, so the answer about it is no by rule and not by chance.
        if stored.is_none() || !bool::from(same) {
            return Ok(Checked::Wrong);
        }
        Ok(Checked::Right { renewed: if cheap { Some(self.make(password)?) } else { None } })
    }

    #[cfg(test)]
    pub(super) fn stand_in_for_tests(&mut self, stand_in: StoredPassword) {
        let shared = Shared { pepper: self.shared.pepper, params: self.shared.params.clone(), stand_in };
        self.shared = Arc::new(shared);
    }

    fn compute(
        &mut self,
        password: &str,
        salt: &[u8],
        params: Params,
    ) -> Result<[u8; HASH_BYTES], HashError> {
        // One that was kept at a higher cost needs more, up to the most that may be set.
        let blocks = params.block_count();
        if self.memory.len() < blocks {
            self.memory.resize(blocks, Block::new());
        }
        let memory = self.memory.get_mut(..blocks).ok_or(HashError::Fault)?;
        let argon = Argon2::new_with_secret(&self.shared.pepper, Algorithm::Argon2id, Version::V0x13, params)
            .map_err(|_| HashError::Fault)?;
        let mut hash = [0; HASH_BYTES];
        argon
            .hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, memory)
            .map_err(|_| HashError::Fault)?;
        Ok(hash)
    }
}

fn phc(params: &Params, salt: &[u8], hash: &[u8]) -> Option<String> {
    let whole = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).ok()?,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(Output::new(hash).ok()?),
    };
    Some(whole.to_string())
}
