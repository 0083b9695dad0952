//! `cryptopipeline run`: the operator's plan and conditions, with tasks of this process instead of pods.

mod embedded_broker;
mod machine;
mod manifest_watch;
mod progress;
mod workers;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use runtime::shutdown;
use runtime::telemetry::Program;
use store::{ConnectOptions, Store};

use crate::duration::positive_duration;
use crate::place::{self, ManifestArguments};
use machine::Machine;
use manifest_watch::ManifestWatch;
use progress::Progress;

/// How often the pipeline is looked at and brought closer to what the manifest says.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pipeline: ManifestArguments,
    /// End by itself, as after Ctrl-C, once trades have come, all are committed and none came for this long.
    #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
    until_idle: Option<Duration>,
}

/// Runs the pipeline until it is told to end.
pub(crate) async fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let program = Program { service: "cryptopipeline", ..Program::default() };
    let telemetry = runtime::telemetry::init("warn", &program)?;
    let outcome = run_pipeline(arguments).await;
    telemetry.end().await;
    outcome
}

async fn run_pipeline(arguments: RunArguments) -> anyhow::Result<()> {
    let (manifest, database) = place::open(&arguments.pipeline)?;
    if database.is_own_file {
        let options = ConnectOptions { create: true, ..ConnectOptions::default() };
        let made = Store::connect(&database.connection, "", options).await;
        made.with_context(|| format!("cannot make the database file {}", database.connection.url))?
            .close()
            .await;
    }
    let shutdown = shutdown::on_signals().context("signal handlers cannot be installed")?;
    let mut watch = ManifestWatch::new(&arguments.pipeline.manifest);
    let mut machine = Machine::new(manifest, database)?;
    let mut progress = Progress::new();
    progress.say(&format!("running {}", machine.describe_parts()));

    let mut next_look = tokio::time::interval(LOOK_INTERVAL);
    while shutdown.run_until_cancelled(next_look.tick()).await.is_some() {
        match watch.changed() {
            Some(Ok(edited)) => {
                let database = place::database(&arguments.pipeline, &edited);
                progress.say(&machine.take_edit(edited, database));
            }
            Some(Err(error)) => progress.say(&format!("the edited manifest is not used: {error:#}")),
            None => {}
        }
        for line in machine.reconcile(Timestamp::now()).await {
            progress.say(&line);
        }
        progress.show(&machine.figures());
        if arguments
            .until_idle
            .is_some_and(|idle| progress.idle_for(Instant::now()).is_some_and(|quiet| quiet >= idle))
        {
            progress.say("idle: everything that came is committed");
            break;
        }
    }
    progress.say("draining: producers stop, what is in flight is committed");
    let drained = machine.drain().await;
    progress.finish();
    for line in machine.summary().await? {
        println_line(&line);
    }
    drained
}

#[expect(clippy::print_stdout, reason = "the summary is what the command is asked for")]
fn println_line(line: &str) {
    println!("{line}");
}
