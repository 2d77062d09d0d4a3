//! Where it is written down who was erased.

use std::path::PathBuf;

use clap::Args;

/// Where it is written down who was erased.
#[derive(Debug, Clone, Default, Args)]
pub struct ErasureConfig {
    /// The journal of erasures, a file outside of the database and of its backups. Nobody starts on a database that has
    /// forgotten one of them. Without it, nobody may have been erased.
    #[arg(long, env = "QUIPU_ERASURE_JOURNAL", value_name = "FILE")]
    pub erasure_journal: Option<PathBuf>,
}
