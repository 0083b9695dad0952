//! The kubectl plugin: `kubectl cryptopipeline`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    cli::plugin::main().await
}
