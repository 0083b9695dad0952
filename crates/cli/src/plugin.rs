//! `kubectl cryptopipeline`: a pipeline of a cluster, by the rights of whoever asks. What its database holds is asked inside
//! the cluster, by the same command in one of the pipeline's own pods: whoever may use kubectl mostly cannot reach the
//! database, and need not know its password.

mod exec;
mod lag;
mod question;
mod rebuild;
mod report;
mod status;
mod suspend;
mod worker_pods;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::candles::CandlesOptions;
use crate::cluster::ClusterArguments;
use crate::output::FormatOptions;
use lag::LagArguments;
use question::{Asked, Question};
use rebuild::RebuildArguments;
use report::ReportArguments;
use status::StatusArguments;
use suspend::{SuspendArguments, Wish};

/// Shows how a CryptoPipeline does, what it holds and what it misses, and suspends, resumes and rebuilds it.
///
/// Ends with 0 where all is as it should be, with 3 where it is not, with 1 where that cannot be told or something failed,
/// with 2 where the command line is wrong, and with 130 after Ctrl-C.
#[derive(Parser)]
#[command(
    name = "kubectl-cryptopipeline",
    bin_name = "kubectl cryptopipeline",
    version,
    propagate_version = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show how a pipeline does: what is wrong first, with what to do. Without a name, list the pipelines.
    ///
    /// Ends with 0 only if it is Ready (without a name: there are pipelines, and all are), with 3 where it is not, with 1
    /// where that cannot be told.
    Status(StatusArguments),
    /// Show how far each partition is behind, and which pod reads it.
    ///
    /// Ends with 0 where that is known of every partition, else with 1.
    Lag(LagArguments),
    /// Print which trades are held and which are missing, and how far the exchange's ids go.
    ///
    /// Ends with 0 where none is missing, with 3 where some are, with 1 where that cannot be told.
    Gaps(Asked<FormatOptions>),
    /// Print the candles that a pipeline holds.
    Candles(Asked<CandlesOptions>),
    /// Print what comparing candles with the exchange's own has found.
    ///
    /// Ends with 0 where no candle is wrong here, with 3 where one is, with 1 where that cannot be told.
    Verify(Asked<FormatOptions>),
    /// Remove trades and candles that are wrong, so that they are asked of the exchange and folded again.
    ///
    /// The range is widened to whole windows of the longest candle length, and further where ids of trades reach over its
    /// edges; what would be removed is shown, and asked for on a terminal. The pipeline's repairer brings the trades back.
    /// Until then they are missing, and every status says so.
    Rebuild(RebuildArguments),
    /// Stop a pipeline without loss: producers stop, what is in the topic is read, aggregators stop.
    ///
    /// Sets spec.suspend, nothing else, and waits until everything has stopped. Ends with 3 where that did not come.
    Suspend(SuspendArguments),
    /// Let a suspended pipeline go on, and wait until it is Ready.
    ///
    /// Sets spec.suspend, nothing else. Ends with 3 where it did not become Ready.
    Resume(SuspendArguments),
    /// Gather what a person who helps needs to see into one file, without passwords.
    ///
    /// Secrets are never read. What you may not read is left out and named.
    Report(ReportArguments),
}

/// A pipeline by its name.
#[derive(Args, Clone, Debug)]
struct Target {
    /// The pipeline.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Reads the arguments and does what they say.
///
/// # Errors
/// Where it cannot be done; a program that fails so ends with 1.
pub async fn main() -> anyhow::Result<ExitCode> {
    runtime::shutdown::end_on_panic();
    runtime::tls::install_provider();
    match Arguments::parse().command {
        Command::Status(arguments) => status::run(arguments).await,
        Command::Lag(arguments) => lag::run(arguments).await,
        Command::Gaps(Asked { place, options }) => question::run(place, Question::Gaps(options)).await,
        Command::Candles(Asked { place, options }) => question::run(place, Question::Candles(options)).await,
        Command::Verify(Asked { place, options }) => question::run(place, Question::Verify(options)).await,
        Command::Rebuild(arguments) => rebuild::run(arguments).await,
        Command::Suspend(arguments) => suspend::run(arguments, Wish::Suspend).await,
        Command::Resume(arguments) => suspend::run(arguments, Wish::Resume).await,
        Command::Report(arguments) => report::run(arguments).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Arguments::command().debug_assert();
    }
}
