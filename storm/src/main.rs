//! The program `storm`: `./dev storm`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use quipu::console;

/// Breaks the product on purpose for some minutes, and compares what is left with what clients were told.
///
/// Exit codes: 0, every promise was kept; 1, one was broken; 2, the storm itself failed; 3, too little happened for
/// saying anything.
#[derive(Debug, Parser)]
#[command(
    name = "storm",
    version,
    after_help = "Examples:
  ./dev storm                          eight minutes, another seed each time
  ./dev storm --minutes 1 --seed 7     the plan of seed 7, for a minute
  ./dev storm --json storm.json        the whole report beside the line"
)]
struct Args {
    /// Minutes of faults; starting and comparing come on top.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=600))]
    minutes: u32,
    /// What the faults are drawn from; it is in the verdict, so that a plan can be repeated.
    #[arg(long)]
    seed: Option<u64>,
    /// File for the whole report.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keep journal and logs also if every promise was kept.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(code) => code,
        Err(error) => {
            console::note(format_args!("error: the storm failed: {error:#}"));
            ExitCode::from(2)
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    service_kit::install_crypto();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    // It goes only if every promise was kept: whatever else happens has to be looked into.
    let folder = tempfile::Builder::new().prefix("quipu-storm-").tempdir()?.keep();
    let report = storm::run::storm(seed, args.minutes, &folder)
        .await
        .with_context(|| format!("journal and logs are in {}", folder.display()))?;
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    for check in report.checks.iter().filter(|it| !it.holds()) {
        console::note(format_args!("{}: {} faults in {}", check.name, check.faults, check.looked_at));
        check.told.iter().for_each(|it| console::note(format_args!("  {it}")));
    }
    console::data(report.line());
    if args.keep || report.verdict != storm::verdict::Verdict::Kept {
        console::note(format_args!("journal and logs are in {}", folder.display()));
    } else {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(ExitCode::from(report.verdict.exit_code()))
}
