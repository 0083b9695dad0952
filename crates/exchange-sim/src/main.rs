//! `exchange-sim`: plays trade logs as an exchange would.

mod arguments;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use exchange_sim::control::Status;
use exchange_sim::{Running, Simulator};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval_at};

const PROGRESS_EVERY: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(is_terminal).with_target(false).init();
    let config = arguments::Arguments::parse().into_config()?;
    let running = Simulator::start(config).await?;
    announce(&running);
    run_until_signal(running).await
}

/// The one line on stdout, for those who start the simulator on a free port.
#[allow(clippy::print_stdout, reason = "the address is this program's output")]
fn announce(running: &Running) {
    println!("listening on {}", running.address());
}

async fn run_until_signal(mut running: Running) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let started = Instant::now();
    let mut progress = interval_at(started + PROGRESS_EVERY, PROGRESS_EVERY);
    let mut before = running.status();
    let failure = loop {
        tokio::select! {
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            failure = running.failure() => break Some(failure),
            _ = progress.tick() => before = report_progress(running.status(), &before),
        }
    };
    let status = running.status();
    tracing::info!("played for {} s: {}", started.elapsed().as_secs(), summary(&status));
    let stopped = running.stop().await;
    failure.map_or(stopped, Err).context("the played log is not complete")
}

/// One line of progress, unless all is as it was before. Returns the status, to compare with next time.
fn report_progress(status: Status, before: &Status) -> Status {
    let has_moved = status.symbols != before.symbols || status.connections != before.connections;
    if has_moved {
        let seconds = usize::try_from(PROGRESS_EVERY.as_secs()).unwrap_or(1);
        tracing::info!(
            "{} trades, {}/s, {} connections, {} streams{}",
            played(&status),
            (played(&status) - played(before)) / seconds,
            status.connections,
            status.subscriptions,
            if status.done { ", at the end of the log" } else { "" }
        );
    }
    status
}

fn played(status: &Status) -> usize {
    status.symbols.iter().map(|symbol| symbol.played).sum()
}

fn summary(status: &Status) -> String {
    let symbols = status.symbols.iter().map(|symbol| {
        let last = symbol.last_played_id.map_or_else(|| "none".to_owned(), |id| format!("up to id {id}"));
        format!("{}: {} trades, {last}", symbol.symbol, symbol.played)
    });
    symbols.collect::<Vec<_>>().join("; ")
}
