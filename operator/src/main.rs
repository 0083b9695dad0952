//! The program `operator`: reconciles CryptoPipelines, or prints their definition.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use operator::context::FirstLists;
use operator::controller::{self, Options};
use operator::leader::{Contender, Pace};
use operator::metrics::Metrics;
use operator::reconcile::desired::{Installation, WorkerImage};
use prometheus_client::metrics::gauge::Gauge;
use runtime::error_chain::error_chain;
use runtime::health::{self, Probes};
use runtime::telemetry::Program;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long `operator probe` waits.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

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
    /// Asks a program for what it answers at a URL, such as http://operator:8080/readyz; fails unless that is a success.
    Probe {
        /// Where to ask.
        url: String,
    },
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
    /// The Lease that one of several operators holds: it works, the others wait. Without, nobody is waited for.
    #[arg(long, env = "LEASE", requires = "operator_namespace")]
    lease: Option<String>,
    /// The namespace that this operator runs in, and that its Lease is in; workers are asked from there.
    #[arg(long, env = "OPERATOR_NAMESPACE")]
    operator_namespace: Option<String>,
    /// What this operator is called in the Lease; unlike any other. By default made up.
    #[arg(long, env = "LEASE_IDENTITY")]
    lease_identity: Option<String>,
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
        Some(Command::Probe { url }) => probe(&url),
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
async fn probe(url: &str) -> anyhow::Result<()> {
    let client =
        reqwest::Client::builder().timeout(PROBE_LIMIT).build().context("cannot make an HTTP client")?;
    let asked = async {
        let answer = client.get(url).send().await?;
        Ok::<_, reqwest::Error>((answer.status(), answer.text().await?))
    };
    let (status, text) = asked.await.with_context(|| format!("{url} does not answer"))?;
    writeln!(io::stdout(), "{status}\n{}", text.trim_end())?;
    anyhow::ensure!(status.is_success(), "{url} answers {status}");
    Ok(())
}

#[tokio::main]
async fn run(args: RunArgs) -> anyhow::Result<()> {
    let program = Program { service: "cryptopipeline-operator", ..Program::default() };
    let telemetry = runtime::telemetry::init("info,kube=warn,rdkafka=error", &program)?;
    let outcome = operate(args).await;
    telemetry.end().await;
    outcome
}

async fn operate(args: RunArgs) -> anyhow::Result<()> {
    let shutdown = runtime::shutdown::on_signals()?;
    let client = kube::Client::try_default().await.context("cannot find out how to reach the API server")?;
    let metrics = Metrics::default();
    let mut registry = runtime::metrics::registry("operator", env!("CARGO_PKG_VERSION"));
    metrics.register(&mut registry);
    let first_lists = FirstLists::default();
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let leads = metrics.leads.clone();
    let probes = Arc::new(OperatorProbes { first_lists: first_lists.clone(), leads: leads.clone() });
    let mut contender = args.lease.zip(args.operator_namespace.as_ref()).map(|(lease, namespace)| {
        let identity = args.lease_identity.unwrap_or_else(own_identity);
        Contender::new(client.clone(), namespace, &lease, identity, Pace::default())
    });
    let options = Options {
        namespaces: args.namespaces,
        installation: Installation {
            image: WorkerImage { name: args.worker_image, pull_policy: args.worker_image_pull_policy },
            namespace: args.operator_namespace,
        },
    };
    let working = async {
        if let Some(contender) = &mut contender
            && shutdown.run_until_cancelled(contender.lead()).await.is_none()
        {
            return Ok(());
        }
        leads.set(1);
        let controlling = controller::run(client, options, metrics, first_lists, shutdown.clone());
        let Some(contender) = &mut contender else { return controlling.await.context("cannot start") };
        tokio::select! {
            outcome = controlling => outcome.context("cannot start")?,
            lost = contender.keep() => {
                tracing::error!(error = error_chain(&lost), "no longer leads");
                // At once, whatever is in hand: the next one may have begun.
                std::process::exit(1);
            }
        }
        contender.give_back().await.context("cannot give the Lease back")
    };
    // Answers until the last reconcile has ended.
    let serving = health::serve(listener, probes, registry, CancellationToken::new());
    tokio::select! {
        outcome = working => outcome,
        outcome = serving => outcome.context("cannot serve probes and metrics"),
    }
}

/// Unlike every other operator's, whatever hosts and processes are called.
fn own_identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".to_owned());
    format!("{host}_{}_{}", std::process::id(), jiff::Timestamp::now().as_nanosecond())
}

struct OperatorProbes {
    first_lists: FirstLists,
    leads: Gauge,
}

impl OperatorProbes {
    fn leads(&self) -> bool {
        self.leads.get() == 1
    }
}

/// What `/status` answers.
#[derive(Serialize)]
struct OperatorStatus {
    version: &'static str,
    leading: bool,
    reconciling: bool,
}

impl Probes for OperatorProbes {
    type Status = OperatorStatus;

    fn why_not_ready(&self) -> Vec<String> {
        // Who waits to lead is ready to.
        if !self.leads() || self.first_lists.have_arrived() {
            Vec::new()
        } else {
            vec!["waits for the first lists: is the CRD installed, may the operator list?".to_owned()]
        }
    }

    fn status(&self) -> OperatorStatus {
        OperatorStatus {
            version: env!("CARGO_PKG_VERSION"),
            leading: self.leads(),
            reconciling: self.first_lists.have_arrived(),
        }
    }
}
