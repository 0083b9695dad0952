//! The `cryptopipeline` command: arguments, then one module a subcommand.

mod candles;
mod gaps;
mod manifest;
mod output;
mod place;
mod rebuild;
mod run;
mod table;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs a CryptoPipeline manifest on this machine, and reads what it holds.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a pipeline on this machine: embedded broker and SQLite where the manifest names none.
    ///
    /// Ctrl-C (or SIGTERM) drains what is in flight and ends with a summary; a second one does not wait.
    /// Edits of the file are picked up while it runs. Logs go to standard error, filtered by RUST_LOG.
    Run(run::RunArguments),
    /// Print the candles that a pipeline holds.
    Candles(candles::CandlesArguments),
    /// Print which trades are held and which are missing, and how far the exchange's ids go.
    ///
    /// Ends with 0 where none is missing, with 3 where some are, with 1 where that cannot be told.
    Gaps(gaps::GapsArguments),
    /// Print what comparing candles with the exchange's own has found.
    ///
    /// Ends with 0 where no candle is wrong here, with 3 where one is, with 1 where that cannot be told.
    Verify(verify::VerifyArguments),
    /// Remove trades and candles that are wrong, so that they are asked of the exchange and folded again.
    ///
    /// The range is widened to whole windows of the longest candle length, and further where ids of trades reach over its
    /// edges; what was removed is printed. The pipeline may run meanwhile; its repairer brings the trades back. Until then
    /// they are missing, and every status says so.
    Rebuild(rebuild::RebuildArguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    runtime::shutdown::end_on_panic();
    runtime::tls::install_provider();
    match Arguments::parse().command {
        Command::Run(arguments) => run::run(arguments).await?,
        Command::Candles(arguments) => candles::run(arguments).await?,
        Command::Gaps(arguments) => return gaps::run(arguments).await,
        Command::Verify(arguments) => return verify::run(arguments).await,
        Command::Rebuild(arguments) => rebuild::run(arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}
