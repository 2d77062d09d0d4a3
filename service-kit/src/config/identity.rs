//! How people prove who they are: the cost of a password and how many are looked at at once.

use std::path::PathBuf;

use clap::Args;
use clap::builder::RangedU64ValueParser;

/// Argon2id costs at least this much memory, in KiB (OWASP Password Storage Cheat Sheet).
pub const HASH_MEMORY_KIB_MIN: u32 = 19 * 1024;
/// And at most this much, so that a slip of the hand does not take the machine.
pub const HASH_MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Passes over that memory at least.
pub const HASH_PASSES_MIN: u32 = 2;
const HASH_PASSES_MAX: u64 = 64;

/// How passwords are hashed (Argon2id, RFC 9106, one lane). Raised costs hold for new passwords at once, and for an old one
/// when its owner signs in the next time.
#[derive(Debug, Clone, Args)]
pub struct HashConfig {
    /// Threads that hash passwords; each keeps the memory of one hash. Half of the processors by default, 1 to 4.
    #[arg(long, env = "QUIPU_HASH_THREADS", value_parser = RangedU64ValueParser::<u16>::new().range(1..=64))]
    pub hash_threads: Option<u16>,
    /// Passwords that may wait for a thread; one more is answered 503.
    #[arg(long, env = "QUIPU_HASH_QUEUE", default_value_t = 64, value_parser = RangedU64ValueParser::<u16>::new().range(1..=4096))]
    pub hash_queue: u16,
    /// Memory of a hash, in KiB.
    #[arg(long, env = "QUIPU_HASH_MEMORY_KIB", default_value_t = HASH_MEMORY_KIB_MIN,
        value_parser = RangedU64ValueParser::<u32>::new().range(u64::from(HASH_MEMORY_KIB_MIN)..=u64::from(HASH_MEMORY_KIB_MAX)))]
    pub hash_memory_kib: u32,
    /// Passes over that memory.
    #[arg(long, env = "QUIPU_HASH_PASSES", default_value_t = HASH_PASSES_MIN,
        value_parser = RangedU64ValueParser::<u32>::new().range(u64::from(HASH_PASSES_MIN)..=HASH_PASSES_MAX))]
    pub hash_passes: u32,
    /// File of further passwords that nobody may choose, one a line; compared without regard to large and small letters.
    #[arg(long, env = "QUIPU_PASSWORD_BLOCKLIST")]
    pub password_blocklist: Option<PathBuf>,
}

impl HashConfig {
    /// How many threads there are to be.
    #[must_use]
    pub fn threads(&self) -> u16 {
        let cores =
            || std::thread::available_parallelism().map_or(1, |it| u16::try_from(it.get()).unwrap_or(4));
        self.hash_threads.unwrap_or_else(|| (cores() / 2).clamp(1, 4))
    }
}

impl Default for HashConfig {
    fn default() -> Self {
        Self {
            hash_threads: None,
            hash_queue: 64,
            hash_memory_kib: HASH_MEMORY_KIB_MIN,
            hash_passes: HASH_PASSES_MIN,
            password_blocklist: None,
        }
    }
}
