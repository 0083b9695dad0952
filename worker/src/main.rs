//! Arguments, then run: each subcommand is one role of the data plane.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use crds::worker_settings::{
    AggregatorSettings, DATABASE_URL_ENV, PipelineId, ProducerSettings, RepairerSettings,
};
use prometheus_client::registry::Registry;
use runtime::health::{self, Probes};
use runtime::telemetry::{self, Program};
use runtime::{metrics, shutdown, tls};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use worker::aggregate::{self, AggregateContext, AggregatorState, TopicId};
use worker::credentials::{database_connection, kafka_connection};
use worker::flow_gate::FlowGate;
use worker::produce::{self, ProduceContext, ProducerState, Timings};
use worker::repair::{self, RepairContext, RepairTimings, RepairerState};

/// The data plane of a CryptoPipeline.
///
/// Logs go to standard error: RUST_LOG filters them (info by default), LOG_FORMAT is text or json
/// (by default text on a terminal). Traces go where OTEL_EXPORTER_OTLP_ENDPOINT says. SIGTERM drains and ends with 0; a second signal does not wait.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Bring the trades of one source from its exchange to Kafka.
    Produce(WorkerArguments),
    /// Make rows, candles and the ledger of the trades in Kafka, each trade exactly once.
    Aggregate(DatabaseArguments),
    /// Ask the exchange for the trades that the ledger misses, and how far its ids go.
    Repair(DatabaseArguments),
}

#[derive(Args)]
struct WorkerArguments {
    /// The settings file of this worker (YAML), as the operator writes it.
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
    /// Where to answer GET /livez, /readyz, /status and /metrics, e.g. 0.0.0.0:8080; nowhere if absent.
    #[arg(long, value_name = "ADDRESS", env = "LISTEN")]
    listen: Option<SocketAddr>,
}

#[derive(Args)]
struct DatabaseArguments {
    #[command(flatten)]
    worker: WorkerArguments,
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE, mysql:// likewise, or sqlite://PATH. Best given by the
    /// environment, where no process list shows it.
    #[arg(long, value_name = "URL", env = DATABASE_URL_ENV, hide_env_values = true)]
    database_url: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    shutdown::end_on_panic();
    tls::install_provider();
    let Arguments { role } = Arguments::parse();
    match role {
        Role::Produce(arguments) => {
            let settings: ProducerSettings = read_settings(&arguments.settings)?;
            let source = settings.source.name.clone();
            let program = program("cryptopipeline-producer", &settings.pipeline, Some(source));
            until_told_to_end(&program, |shutdown| produce(arguments, settings, shutdown)).await
        }
        Role::Aggregate(arguments) => {
            let settings: AggregatorSettings = read_settings(&arguments.worker.settings)?;
            let program = program("cryptopipeline-aggregator", &settings.pipeline, None);
            until_told_to_end(&program, |shutdown| aggregate(arguments, settings, shutdown)).await
        }
        Role::Repair(arguments) => {
            let settings: RepairerSettings = read_settings(&arguments.worker.settings)?;
            let program = program("cryptopipeline-repairer", &settings.pipeline, None);
            until_told_to_end(&program, |shutdown| repair(arguments, settings, shutdown)).await
        }
    }
}

/// What a role says of itself in its traces.
fn program(service: &'static str, pipeline: &PipelineId, source: Option<String>) -> Program {
    let PipelineId { namespace, name, .. } = pipeline;
    let mut attributes = vec![
        ("service.namespace", format!("{namespace}/{name}")),
        ("k8s.namespace.name", namespace.clone()),
        ("cryptopipeline.pipeline", name.clone()),
    ];
    attributes.extend(source.map(|source| ("cryptopipeline.source", source)));
    Program { service, attributes }
}

/// Does the work of `role` with everything around it that each of them needs.
async fn until_told_to_end<F: Future<Output = anyhow::Result<()>>>(
    program: &Program,
    role: impl FnOnce(CancellationToken) -> F,
) -> anyhow::Result<()> {
    let telemetry = telemetry::init("info", program)?;
    let shutdown = shutdown::on_signals().context("signal handlers cannot be installed")?;
    let outcome = role(shutdown).await;
    telemetry.end().await;
    outcome
}

async fn produce(
    arguments: WorkerArguments,
    settings: ProducerSettings,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let state = Arc::new(ProducerState::new(&settings.source));
    let mut registry = registry();
    produce::metrics::register(&mut registry, Arc::clone(&state));
    // The answers stay up during the drain.
    let answers = CancellationToken::new();
    let server = serve(arguments.listen, Arc::clone(&state), registry, answers.clone()).await?;
    let context = ProduceContext {
        kafka: kafka_connection(&settings.kafka)?,
        state,
        gate: Arc::new(FlowGate::unlimited()),
        timings: Timings::default(),
    };
    produce::run(settings, context, shutdown).await?;
    answers.cancel();
    server.await.context("the http server has panicked")?.context("the http server has failed")
}

async fn aggregate(
    arguments: DatabaseArguments,
    settings: AggregatorSettings,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let DatabaseArguments { worker, database_url } = arguments;
    let state = Arc::new(AggregatorState::default());
    let mut registry = registry();
    aggregate::metrics::register(&mut registry, Arc::clone(&state));
    // The answers stay up during the drain.
    let answers = CancellationToken::new();
    let server = serve(worker.listen, Arc::clone(&state), registry, answers.clone()).await?;
    let context = AggregateContext {
        kafka: kafka_connection(&settings.kafka)?,
        database: database_connection(database_url, settings.database.tls.as_ref())?,
        topic_id: TopicId::AskBroker,
        gate: Arc::new(FlowGate::unlimited()),
        state,
    };
    aggregate::run(settings, context, shutdown).await?;
    answers.cancel();
    server.await.context("the http server has panicked")?.context("the http server has failed")
}

async fn repair(
    arguments: DatabaseArguments,
    settings: RepairerSettings,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let DatabaseArguments { worker, database_url } = arguments;
    let sources = settings.sources.iter().map(|source| source.name.as_str());
    let state = Arc::new(RepairerState::new(sources));
    let mut registry = registry();
    repair::metrics::register(&mut registry, Arc::clone(&state));
    let answers = CancellationToken::new();
    let server = serve(worker.listen, Arc::clone(&state), registry, answers.clone()).await?;
    let context = RepairContext {
        kafka: kafka_connection(&settings.kafka)?,
        database: database_connection(database_url, settings.database.tls.as_ref())?,
        gate: Arc::new(FlowGate::unlimited()),
        state,
        timings: RepairTimings::default(),
    };
    repair::run(settings, context, shutdown).await?;
    answers.cancel();
    server.await.context("the http server has panicked")?.context("the http server has failed")
}

fn registry() -> Registry {
    metrics::registry("worker", env!("CARGO_PKG_VERSION"))
}

/// Answers on `listen`, if that is given, until `shutdown`.
async fn serve<P: Probes>(
    listen: Option<SocketAddr>,
    probes: Arc<P>,
    registry: Registry,
    shutdown: CancellationToken,
) -> anyhow::Result<tokio::task::JoinHandle<std::io::Result<()>>> {
    let Some(address) = listen else {
        return Ok(tokio::spawn(std::future::ready(Ok(()))));
    };
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("--listen {address} cannot be opened"))?;
    Ok(tokio::spawn(health::serve(listener, probes, registry, shutdown)))
}

fn read_settings<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("settings file {} cannot be read", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("settings file {} is not valid", path.display()))
}
