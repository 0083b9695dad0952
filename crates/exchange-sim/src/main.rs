//! `exchange-sim`: plays trade logs as an exchange would.

mod arguments;

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
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
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
    let mut played_before = 0;
    let failure = loop {
        tokio::select! {
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            failure = running.failure() => break Some(failure),
            _ = progress.tick() => played_before = report(&running.status(), played_before),
        }
    };
    let status = running.status();
    tracing::info!(seconds = started.elapsed().as_secs(), "{}", summary(&status));
    let stopped = running.stop().await;
    failure.map_or(stopped, Err).context("the played log is not complete")
}

/// One line of progress; returns how many trades have been played.
fn report(status: &Status, played_before: usize) -> usize {
    let played: usize = status.symbols.iter().map(|symbol| symbol.played).sum();
    let per_second = (played - played_before) / usize::try_from(PROGRESS_EVERY.as_secs()).unwrap_or(1);
    let end = if status.done { ", at the end of the log" } else { "" };
    tracing::info!(
        "{played} trades, {per_second}/s, {} connections, {} streams{end}",
        status.connections,
        status.subscriptions
    );
    played
}

fn summary(status: &Status) -> String {
    let symbols = status.symbols.iter().map(|symbol| {
        let last = symbol.last_played_id.map_or_else(|| "none".to_owned(), |id| format!("up to id {id}"));
        format!("{}: {} trades, {last}", symbol.symbol, symbol.played)
    });
    symbols.collect::<Vec<_>>().join("; ")
}
