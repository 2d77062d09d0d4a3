//! `quipu journal export`: the books as text for hledger, ledger or a spreadsheet.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::console;
use crate::remote::RemoteArgs;
use crate::stack::layout::Layout;

/// What to do with the journal.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Write everything that moved.
    Export(ExportArgs),
}

/// Options of `journal export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu journal export | hledger -f - balance
  quipu journal export --format csv --out journal.csv")]
pub struct ExportArgs {
    /// For which program.
    #[arg(long, value_enum, default_value = "hledger")]
    format: Format,
    /// A file; standard output if left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Hledger,
    Ledger,
    Csv,
}

/// Runs the command.
///
/// # Errors
/// If the query API refuses, breaks off, or the file cannot be written.
pub async fn run(layout: &Layout, command: JournalCommand) -> anyhow::Result<()> {
    let JournalCommand::Export(args) = command;
    let remote = args.remote.connect(layout)?;
    let format = match args.format {
        Format::Hledger => "hledger",
        Format::Ledger => "ledger",
        Format::Csv => "csv",
    };
    let url = remote.url("/v1/ledger/journal", &[("format", Some(format.to_owned()))])?;
    save(remote.open(url, None).await?, args.out).await
}

/// Writes an answer to a file, which is there only once it is whole, or to standard output.
pub(crate) async fn save(response: reqwest::Response, out: Option<PathBuf>) -> anyhow::Result<()> {
    let mut chunks = response.bytes_stream();
    let Some(path) = out else {
        while let Some(chunk) = chunks.next().await {
            if !console::bytes(&chunk.context("the answer broke off")?) {
                return Ok(());
            }
        }
        return Ok(());
    };
    let partial = path.with_extension("partial");
    let mut file = tokio::fs::File::create(&partial)
        .await
        .with_context(|| format!("{} cannot be written", partial.display()))?;
    let mut size = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.context("the answer broke off")?;
        file.write_all(&chunk).await?;
        size += chunk.len();
    }
    file.sync_all().await?;
    tokio::fs::rename(&partial, &path).await?;
    console::note(format_args!("{}: {size} bytes", path.display()));
    Ok(())
}
