//! The `cryptopipeline` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    cli::command::main().await
}
