//! The process `query-api`.

use std::process::ExitCode;

use query_api::{Config, QueryApi};
use service_kit::{config, serve, shutdown, telemetry};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "query-api ends");
            ExitCode::FAILURE
        }
    }
}

/// Settings, logs, signals, and the server until it is told to stop.
async fn run() -> anyhow::Result<()> {
    service_kit::install_crypto();
    let config: Config = config::load();
    let _telemetry = telemetry::init("query-api", &config.log, &config.telemetry)?;
    let shutdown = shutdown::on_signals()?;
    let listener = serve::bind(&config.http).await?;
    QueryApi::connect(config, shutdown).await?.serve(listener).await?;
    Ok(())
}
