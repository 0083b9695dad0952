//! The program `operator`: reconciles CryptoPipelines, or prints their definition.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use operator::context::FirstLists;
use operator::controller::{self, Options};
use operator::metrics::Metrics;
use operator::reconcile::desired::WorkerImage;
use prometheus_client::registry::Registry;
use runtime::health::{self, Probes};
use serde::Serialize;
use tokio::net::TcpListener;

#[derive(Parser)]
#[command(name = "operator", version, about = "Reconciles CryptoPipelines in a Kubernetes cluster")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Reconciles (the default).
    Run(RunArgs),
    /// Prints the CustomResourceDefinition as YAML.
    Crd,
}

#[derive(Args, Clone)]
struct RunArgs {
    /// Namespaces to watch; all of them without.
    #[arg(long = "namespace", env = "WATCH_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// The image that holds the program `worker`.
    #[arg(long, env = "WORKER_IMAGE", default_value = "cryptopipeline:dev")]
    worker_image: String,
    /// When a node pulls it: Always, IfNotPresent or Never.
    #[arg(long, env = "WORKER_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    worker_image_pull_policy: String,
    /// Where /livez, /readyz, /metrics and /status answer.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
}

fn main() -> anyhow::Result<()> {
    runtime::shutdown::end_on_panic();
    runtime::tls::install_provider();
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Crd) => print_crd(),
        Some(Command::Run(args)) => run(args),
        None => run(cli.run),
    }
}

fn print_crd() -> anyhow::Result<()> {
    match io::stdout().write_all(crds::crd_yaml()?.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot print"),
    }
}

#[tokio::main]
async fn run(args: RunArgs) -> anyhow::Result<()> {
    runtime::telemetry::init("info,kube=warn,rdkafka=error")?;
    let shutdown = runtime::shutdown::on_signals()?;
    let client = kube::Client::try_default().await.context("cannot find out how to reach the API server")?;
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let first_lists = FirstLists::default();
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let probes = Arc::new(OperatorProbes { first_lists: first_lists.clone() });
    let serving = health::serve(listener, probes, registry, shutdown.clone());
    let options = Options {
        namespaces: args.namespaces,
        image: WorkerImage { name: args.worker_image, pull_policy: args.worker_image_pull_policy },
    };
    let controlling = controller::run(client, options, metrics, first_lists, shutdown.clone());
    tokio::select! {
        outcome = controlling => outcome.context("cannot start")?,
        outcome = serving => outcome.context("cannot serve probes and metrics")?,
    }
    Ok(())
}

struct OperatorProbes {
    first_lists: FirstLists,
}

/// What `/status` answers.
#[derive(Serialize)]
struct OperatorStatus {
    version: &'static str,
    reconciling: bool,
}

impl Probes for OperatorProbes {
    type Status = OperatorStatus;

    fn why_not_ready(&self) -> Vec<String> {
        if self.first_lists.have_arrived() {
            Vec::new()
        } else {
            vec!["waits for the first lists: is the CRD installed, may the operator list?".to_owned()]
        }
    }

    fn status(&self) -> OperatorStatus {
        OperatorStatus { version: env!("CARGO_PKG_VERSION"), reconciling: self.first_lists.have_arrived() }
    }
}
