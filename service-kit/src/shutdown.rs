//! Turns SIGTERM and SIGINT into one token. A second signal ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code after a second signal: 128 + SIGINT, as shells expect.
const IMPATIENT: i32 = 130;

#[expect(clippy::disallowed_methods, reason = "the second signal asks for an end without destructors")]
fn end_now() {
    std::process::exit(IMPATIENT);
}

/// Begins to listen for signals; the token is cancelled by the first one.
pub fn on_signals() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked.is_cancelled() {
                end_now();
            }
            tracing::info!("stopping; a second signal stops at once");
            asked.cancel();
        }
    });
    Ok(token)
}
