//! The `cryptopipeline` command: arguments, then one module a subcommand.

mod candles;
mod manifest;
mod place;
mod run;

use std::path::PathBuf;

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
}

/// Which pipeline, and where its database is.
#[derive(clap::Args, Clone, Debug)]
struct PipelineArguments {
    /// The manifest: YAML with one CryptoPipeline, and the Secret of its database if you like.
    #[arg(value_name = "FILE")]
    manifest: PathBuf,
    /// The database of a manifest that names one: postgres://USER:PASSWORD@HOST:PORT/DATABASE. Without it, the
    /// Secret that the manifest refers to must stand in the same file.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    runtime::tls::install_provider();
    match Arguments::parse().command {
        Command::Run(arguments) => run::run(arguments).await,
        Command::Candles(arguments) => candles::print(arguments).await,
    }
}
