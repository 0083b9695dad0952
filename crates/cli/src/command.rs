//! `cryptopipeline`: its arguments, then one module a subcommand.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::candles::CandlesOptions;
use crate::output::FormatOptions;
use crate::place::{PipelineArguments, open_store};
use crate::rebuild::{Consent, RebuildOptions};
use crate::run::RunArguments;
use crate::{candles, gaps, rebuild, run, verify};

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
    Run(RunArguments),
    /// Print the candles that a pipeline holds.
    Candles(Asked<CandlesOptions>),
    /// Print which trades are held and which are missing, and how far the exchange's ids go.
    ///
    /// Ends with 0 where none is missing, with 3 where some are, with 1 where that cannot be told.
    Gaps(Asked<FormatOptions>),
    /// Print what comparing candles with the exchange's own has found.
    ///
    /// Ends with 0 where no candle is wrong here, with 3 where one is, with 1 where that cannot be told.
    Verify(Asked<FormatOptions>),
    /// Remove trades and candles that are wrong, so that they are asked of the exchange and folded again.
    ///
    /// The range is widened to whole windows of the longest candle length, and further where ids of trades reach over its
    /// edges; what would be removed is shown, and asked for on a terminal. The pipeline may run meanwhile; its repairer
    /// brings the trades back. Until then they are missing, and every status says so.
    Rebuild(RebuildArguments),
}

/// What is asked, and of which pipeline.
#[derive(Args)]
struct Asked<Options: Args> {
    #[command(flatten)]
    pipeline: PipelineArguments,
    #[command(flatten)]
    options: Options,
}

#[derive(Args)]
struct RebuildArguments {
    #[command(flatten)]
    asked: Asked<RebuildOptions>,
    #[command(flatten)]
    consent: Consent,
}

/// Reads the arguments and does what they say.
///
/// # Errors
/// Where it cannot be done; a program that fails so ends with 1.
pub async fn main() -> anyhow::Result<ExitCode> {
    runtime::shutdown::end_on_panic();
    runtime::tls::install_provider();
    match Arguments::parse().command {
        Command::Run(arguments) => {
            run::run(arguments).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Candles(Asked { pipeline, options }) => {
            candles::run(open_store(pipeline).await?, options).await
        }
        Command::Gaps(Asked { pipeline, options }) => gaps::run(open_store(pipeline).await?, options).await,
        Command::Verify(Asked { pipeline, options }) => {
            verify::run(open_store(pipeline).await?, options).await
        }
        Command::Rebuild(RebuildArguments { asked, consent }) => {
            asked.options.check()?;
            rebuild::run(open_store(asked.pipeline).await?, asked.options, consent).await
        }
    }
}
