//! The process: settings, logs, signals, and the server until it is told to stop.

use query_api::{Config, serve};
use service_kit::{config, serve as accept, shutdown, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service_kit::install_crypto();
    let config: Config = config::load();
    telemetry::init(&config.log)?;
    let shutdown = shutdown::on_signals()?;
    let listener = accept::bind(&config.http).await?;
    serve(config, listener, shutdown).await?;
    Ok(())
}
