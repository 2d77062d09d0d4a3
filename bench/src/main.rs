//! Measures the product beside the physical limit of the same server, and beside its peers, in one run.
//!
//! Absolute figures are of the machine and of the minute; what is promised are ratios within a round. Every scenario
//! makes its own database, starts the product's processes on it, and is gone afterwards.

#![expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "figures of measurements, never money"
)]
#![expect(clippy::indexing_slicing, reason = "a measurement may stop at a value that is not there")]

mod figures;
mod ledger;
mod load;
mod plot;
mod processes;
mod product;
mod references;
mod report;
mod scenarios;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::Utc;
use clap::Parser;

use report::{Report, note};
use scenarios::{ALL, Scenario, Setting};
use server::Server;

/// Ratios inside one run on one PostgreSQL, with the load beside it on the same cores.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Scenarios to run; all without a name. `list` names them.
    names: Vec<String>,
    /// How often each thing is measured; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement of a round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// A short run: three rounds of a second, a tenth of the sizes. It says whether something broke, not how fast it is.
    #[arg(long)]
    short: bool,
    /// Where the figures go as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The folder where plots go.
    #[arg(long)]
    plots: Option<PathBuf>,
    /// Shows the figures of an earlier run, and measures nothing.
    #[arg(long)]
    from: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.names == ["list"] {
        ALL.iter().for_each(|it| note(format_args!("{:<12} {}", it.name, it.question)));
        return Ok(ExitCode::SUCCESS);
    }
    let report = match &arguments.from {
        Some(path) => Report::load(path)?,
        None => measure(&arguments).await?,
    };
    report.print()?;
    if let Some(path) = &arguments.json {
        report.save(path)?;
    }
    if let Some(folder) = &arguments.plots {
        plot::write(&report, folder)?;
    }
    let far_off = report.figures.iter().filter(|it| it.fails_by_half()).count();
    Ok(if far_off == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(arguments: &Arguments) -> anyhow::Result<Report> {
    service_kit::install_crypto();
    let server = Server::of_harness().await?;
    let setting = Setting {
        server,
        rounds: if arguments.short { 3 } else { arguments.rounds.max(1) },
        slice: Duration::from_secs(if arguments.short { 1 } else { arguments.seconds.max(1) }),
        shrink: if arguments.short { 10 } else { 1 },
    };
    let mut figures = Vec::new();
    for scenario in chosen(&arguments.names)? {
        note(format_args!("== {}: {}", scenario.name, scenario.question));
        figures.extend((scenario.measure)(setting.clone()).await?);
    }
    Ok(Report {
        cores: std::thread::available_parallelism()?.get(),
        postgres: setting.server.version().await?,
        release_build: !cfg!(debug_assertions),
        at: Utc::now().format("%F %T UTC").to_string(),
        figures,
    })
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let find = |name: &String| ALL.iter().find(|it| it.name == name);
    let unknown: Vec<&String> = names.iter().filter(|name| find(name).is_none()).collect();
    anyhow::ensure!(unknown.is_empty(), "there is no scenario {unknown:?}: `bench list` names them");
    Ok(names.iter().filter_map(find).collect())
}
