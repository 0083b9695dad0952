//! How a program ends: a signal asks it to drain, a second one does not wait for that.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports for a program that a signal ended: 128 + SIGINT.
const EXIT_CODE_INTERRUPTED: i32 = 130;

/// A token that SIGTERM or SIGINT cancels. Whoever holds it stops taking work, finishes what is in
/// hand and returns. A second signal ends the process at once.
///
/// # Errors
/// Where the handlers cannot be installed.
pub fn on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        let mut next_signal = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let first = next_signal().await;
        tracing::info!(signal = first, "draining");
        token.cancel();
        let second = next_signal().await;
        tracing::warn!(signal = second, "ending without waiting for the drain");
        std::process::exit(EXIT_CODE_INTERRUPTED);
    });
    Ok(shutdown)
}
