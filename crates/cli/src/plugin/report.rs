//! `kubectl cryptopipeline report`: what a person who helps needs to see, in one file. What whoever asks may not read is
//! left out and named; Secrets are never read, and what looks like a password is masked before it is written.

mod bundle;
mod gather;
mod mask;
mod objects;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::Target;
use crate::output::{Format, FormatOptions, print, write_json};
use bundle::Bundle;
use gather::Gatherer;

#[derive(Args)]
pub(super) struct ReportArguments {
    #[command(flatten)]
    target: Target,
    /// The file to write, which must not exist; in this folder and named after pipeline and time unless told.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where the operator runs; looked for in all namespaces unless told.
    #[arg(long, value_name = "NAMESPACE")]
    operator_namespace: Option<String>,
    #[command(flatten)]
    format: FormatOptions,
}

/// Gathers, writes the file, and says what is in it.
pub(super) async fn run(arguments: ReportArguments) -> anyhow::Result<ExitCode> {
    let ReportArguments { target, file, operator_namespace, format } = arguments;
    let cluster = target.cluster.connect().await?;
    let pipeline = cluster.pipeline(&target.name).await?;
    let now = Timestamp::now();
    let title = format!("cryptopipeline-report-{}-{}", cluster.namespace, target.name);
    let path = file.unwrap_or_else(|| format!("{title}-{}.tar.gz", now.strftime("%Y%m%dT%H%M%SZ")).into());
    // Before anything is gathered: a file that cannot be written is told at once.
    let out = File::create_new(&path).with_context(|| format!("cannot make the file {}", path.display()))?;
    let mut bundle = Bundle::new(&title, now);
    Gatherer::new(&cluster, &pipeline, operator_namespace.as_deref(), &mut bundle).gather(now).await;
    let written = bundle.write(out).with_context(|| format!("cannot write {}", path.display()));
    if written.is_err() {
        // Half a report would pass for a whole one.
        let _ = std::fs::remove_file(&path);
    }
    let contents = written?;
    print(|out| match format.output {
        Format::Table => {
            writeln!(out, "{}: {} files", path.display(), contents.files.len())?;
            for (what, why) in &contents.left_out {
                writeln!(out, "left out: {what}: {why}")?;
            }
            writeln!(out, "passwords are masked; look through it before you give it away")
        }
        Format::Json => {
            let left_out: Vec<_> =
                contents.left_out.iter().map(|(what, why)| json!({"what": what, "why": why})).collect();
            let answer = json!({"file": path, "files": contents.files, "left_out": left_out});
            write_json(&answer, out)
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
