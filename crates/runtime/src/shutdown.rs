//! How a program ends: a signal asks it to drain, a second one does not wait for that, and a panic ends it at once.

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

/// A panic in any thread ends the process from now on, once it is reported: it is an error of ours, after which nothing in
/// memory can be trusted, and threads that wait for the one that is gone would wait for ever. What is committed is
/// whole, and whoever watches the process starts another.
pub fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    const SIGABRT: i32 = 6;

    /// Not a test: what the one below starts.
    #[test]
    #[ignore = "ends its process"]
    fn panics_in_a_thread_while_others_wait() {
        end_on_panic();
        let waits_for_ever = std::thread::spawn(|| std::thread::sleep(Duration::from_secs(3_600)));
        let _ = std::thread::spawn(|| panic!("an error of ours")).join();
        waits_for_ever.join().unwrap();
    }

    #[test]
    fn a_panic_in_any_thread_is_reported_and_ends_the_process() {
        let name = "shutdown::tests::panics_in_a_thread_while_others_wait";
        let program = std::env::current_exe().unwrap();
        let ended =
            Command::new(program).args(["--exact", name, "--ignored", "--nocapture"]).output().unwrap();
        assert_eq!(ended.status.signal(), Some(SIGABRT), "{ended:?}");
        assert!(String::from_utf8_lossy(&ended.stderr).contains("an error of ours"), "{ended:?}");
    }
}
