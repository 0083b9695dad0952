//! `kubectl cryptopipeline status`: what the operator says of a pipeline, what is wrong first, with what to do.

mod health;
mod list;
mod next_step;
mod write;

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use crate::cluster::ClusterArguments;
use crate::output::{FOUND_WRONG, Format, FormatOptions, print, write_json};
use health::{Health, Readiness};
pub(super) use health::{condition, speaks_of_this_generation};
pub(super) use write::as_text;

#[derive(Args)]
pub(super) struct StatusArguments {
    /// The pipeline; all of the namespace without.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// List those of all namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["name", "namespace"])]
    all_namespaces: bool,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    format: FormatOptions,
}

/// Prints how one pipeline does, or all of them.
pub(super) async fn run(arguments: StatusArguments) -> anyhow::Result<ExitCode> {
    let StatusArguments { name, all_namespaces, cluster, format } = arguments;
    let cluster = cluster.connect().await?;
    let Some(name) = name else {
        return list::run(&cluster, all_namespaces, format.output).await;
    };
    let pipeline = cluster.pipeline(&name).await?;
    let health = Health::of(&pipeline);
    print(|out| match format.output {
        Format::Table => write::write_text(&health, Timestamp::now(), out),
        Format::Json => write_json(&health, out),
    })?;
    Ok(exit_code(health.readiness))
}

fn exit_code(readiness: Readiness) -> ExitCode {
    match readiness {
        Readiness::Ready => ExitCode::SUCCESS,
        Readiness::NotReady => FOUND_WRONG.into(),
        Readiness::Unknown => ExitCode::FAILURE,
    }
}
