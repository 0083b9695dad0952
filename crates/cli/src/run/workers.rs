//! The workers as tasks of this process. One is started, left alone or replaced exactly as a pod would be: when
//! its settings change.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::worker_settings::{AggregatorSettings, ProducerSettings, RepairerSettings};
use operator::reconcile::observe::{WorkerReport, WorkerReports, Workload, Workloads};
use operator::reconcile::plan::{WorkloadStep, WorkloadsPlan};
use runtime::error_chain::error_chain;
use runtime::health::Probes;
use runtime::kafka::KafkaConnection;
use store::DatabaseConnection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::aggregate::{self, AggregateContext, AggregatorState, TopicId};
use worker::flow_gate::FlowGate;
use worker::produce::{self, ProduceContext, ProducerState, Timings};
use worker::repair::{self, RepairContext, RepairTimings, RepairerState};

use super::embedded_broker::{EmbeddedBroker, MOST_OUTSTANDING_BYTES};

/// What the workers run on.
pub(super) struct Ground {
    database: DatabaseConnection,
    kafka: KafkaConnection,
    pub(super) broker: Option<EmbeddedBroker>,
    gate: Arc<FlowGate>,
}

impl Ground {
    /// `broker` is the embedded one, if `kafka` leads there.
    pub(super) fn new(
        database: DatabaseConnection,
        kafka: KafkaConnection,
        broker: Option<EmbeddedBroker>,
    ) -> Self {
        let gate =
            if broker.is_some() { FlowGate::limited(MOST_OUTSTANDING_BYTES) } else { FlowGate::unlimited() };
        Self { database, kafka, broker, gate: Arc::new(gate) }
    }
}

/// One running role.
struct Worker<Settings, State> {
    settings: Settings,
    state: Arc<State>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
    /// Why the task ended by itself.
    failure: Option<String>,
}

impl<Settings: Clone + PartialEq, State: Probes> Worker<Settings, State> {
    /// Replaces the worker in `place` where it failed or has other settings than are wished, or none are.
    async fn keep(
        place: &mut Option<Self>,
        name: &str,
        wished: Option<&Settings>,
        start: impl FnOnce(Settings) -> Self,
    ) {
        let is_current = place.as_ref().map(|worker| &worker.settings) == wished
            && place.as_ref().is_none_or(|worker| worker.failure.is_none());
        if is_current {
            return;
        }
        if let Some(worker) = place.take() {
            worker.stop(name).await;
        }
        *place = wished.cloned().map(start);
    }

    async fn stop(self, name: &str) {
        self.stop.cancel();
        let ended = match self.failure {
            // Its end was noted then.
            Some(_) => Ok(()),
            None => self.task.await.unwrap_or_else(|error| Err(error.to_string())),
        };
        if let Err(error) = ended {
            tracing::warn!(worker = name, error, "it ended with an error");
        }
    }

    /// Takes note of a task that ended without being asked to.
    async fn look_after(&mut self) {
        if self.failure.is_none() && self.task.is_finished() {
            let ended = (&mut self.task).await.unwrap_or_else(|error| Err(error.to_string()));
            self.failure = Some(ended.err().unwrap_or_else(|| "ended by itself".to_owned()));
        }
    }

    fn workload(&self, name: &str) -> Workload {
        let is_ready = self.failure.is_none() && self.state.why_not_ready().is_empty();
        Workload {
            wished: 1,
            replicas: 1,
            ready: i32::from(is_ready),
            is_current: true,
            problem: self.failure.as_ref().map(|failure| format!("{name}: {failure}")),
        }
    }

    fn report(&self, name: &str) -> WorkerReport<State::Status> {
        let answer = self.failure.clone().map_or_else(|| Ok(self.state.status()), Err);
        WorkerReport { pod: name.to_owned(), answer }
    }
}

/// All workers of the pipeline.
#[derive(Default)]
pub(super) struct Workers {
    producers: BTreeMap<String, Worker<ProducerSettings, ProducerState>>,
    aggregator: Option<Worker<AggregatorSettings, AggregatorState>>,
    repairer: Option<Worker<RepairerSettings, RepairerState>>,
}

impl Workers {
    /// Brings the tasks to what is planned.
    pub(super) async fn apply(&mut self, plan: &WorkloadsPlan, ground: &Ground) {
        for producer in self.producers.values_mut() {
            producer.look_after().await;
        }
        if let Some(aggregator) = &mut self.aggregator {
            aggregator.look_after().await;
        }
        if let Some(repairer) = &mut self.repairer {
            repairer.look_after().await;
        }
        if plan.step == WorkloadStep::Hold {
            return;
        }
        let wished: BTreeMap<&str, &ProducerSettings> = plan
            .producers
            .iter()
            .filter(|producer| producer.replicas > 0)
            .map(|producer| (producer.settings.source.name.as_str(), &producer.settings))
            .collect();
        let outdated: Vec<String> = self
            .producers
            .iter()
            .filter(|(name, worker)| {
                wished.get(name.as_str()) != Some(&&worker.settings) || worker.failure.is_some()
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in outdated {
            self.stop_producer(&name).await;
        }
        let aggregator = (plan.aggregator.replicas > 0).then_some(&plan.aggregator.settings);
        Worker::keep(&mut self.aggregator, "aggregator", aggregator, |settings| {
            start_aggregator(settings, ground)
        })
        .await;
        let repairer = plan.repairer.as_ref().filter(|repairer| repairer.replicas > 0);
        let repairer = repairer.map(|repairer| &repairer.settings);
        Worker::keep(&mut self.repairer, "repairer", repairer, |settings| start_repairer(settings, ground))
            .await;
        for (name, settings) in wished {
            self.producers.entry(name.to_owned()).or_insert_with(|| start_producer(settings.clone(), ground));
        }
    }

    async fn stop_producer(&mut self, name: &str) {
        if let Some(worker) = self.producers.remove(name) {
            worker.stop(name).await;
        }
    }

    /// Stops everybody who writes to the topic; what the producers have read is delivered.
    pub(super) async fn stop_writers(&mut self) {
        if let Some(worker) = self.repairer.take() {
            worker.stop("repairer").await;
        }
        let names: Vec<String> = self.producers.keys().cloned().collect();
        for name in names {
            self.stop_producer(&name).await;
        }
    }

    /// Stops the aggregator; what it has read is committed.
    pub(super) async fn stop_aggregator(&mut self) {
        if let Some(worker) = self.aggregator.take() {
            worker.stop("aggregator").await;
        }
    }

    /// As the Deployments of a cluster would be seen.
    pub(super) fn workloads(&self) -> Workloads {
        Workloads {
            producers: self
                .producers
                .iter()
                .map(|(name, worker)| (name.clone(), worker.workload(name)))
                .collect(),
            aggregator: self.aggregator.as_ref().map(|worker| worker.workload("aggregator")),
            repairer: self.repairer.as_ref().map(|worker| worker.workload("repairer")),
        }
    }

    /// What they tell of themselves.
    pub(super) fn reports(&self) -> WorkerReports {
        WorkerReports {
            producers: self.producers.iter().map(|(name, worker)| worker.report(name)).collect(),
            aggregators: self.aggregator.iter().map(|worker| worker.report("aggregator")).collect(),
            repairers: self.repairer.iter().map(|worker| worker.report("repairer")).collect(),
        }
    }
}

fn start_producer(settings: ProducerSettings, ground: &Ground) -> Worker<ProducerSettings, ProducerState> {
    let state = Arc::new(ProducerState::new(&settings.source));
    let context = ProduceContext {
        kafka: ground.kafka.clone(),
        state: state.clone(),
        gate: ground.gate.clone(),
        timings: Timings::default(),
    };
    let stop = CancellationToken::new();
    let run = produce::run(settings.clone(), context, stop.clone());
    let task = tokio::spawn(async move { run.await.map_err(|error| error_chain(&error)) });
    Worker { settings, state, stop, task, failure: None }
}

fn start_aggregator(
    settings: AggregatorSettings,
    ground: &Ground,
) -> Worker<AggregatorSettings, AggregatorState> {
    let state = Arc::new(AggregatorState::default());
    let topic_id = match &ground.broker {
        Some(broker) => TopicId::Fixed(broker.topic_id.clone()),
        None => TopicId::AskBroker,
    };
    let mut kafka = ground.kafka.clone();
    if ground.broker.is_some() {
        // On an empty log the embedded broker would wait 500 ms before it answers a fetch.
        kafka.client_config.insert("fetch.wait.max.ms".to_owned(), "10".to_owned());
    }
    let context = AggregateContext {
        kafka,
        database: ground.database.clone(),
        topic_id,
        gate: ground.gate.clone(),
        state: state.clone(),
    };
    let stop = CancellationToken::new();
    let run = aggregate::run(settings.clone(), context, stop.clone());
    let task = tokio::spawn(async move { run.await.map_err(|error| error_chain(&error)) });
    Worker { settings, state, stop, task, failure: None }
}

fn start_repairer(settings: RepairerSettings, ground: &Ground) -> Worker<RepairerSettings, RepairerState> {
    let sources = settings.sources.iter().map(|source| source.name.as_str());
    let state = Arc::new(RepairerState::new(sources));
    let context = RepairContext {
        kafka: ground.kafka.clone(),
        database: ground.database.clone(),
        gate: ground.gate.clone(),
        state: state.clone(),
        timings: RepairTimings::default(),
    };
    let stop = CancellationToken::new();
    let run = repair::run(settings.clone(), context, stop.clone());
    let task = tokio::spawn(async move { run.await.map_err(|error| error_chain(&error)) });
    Worker { settings, state, stop, task, failure: None }
}
