//! A producer in this process, with waits short enough for a test.

use std::sync::Arc;
use std::time::Duration;

use crds::worker_settings::{
    ExchangeKind, Feed, KafkaSettings, PipelineId, ProducerSettings, RecordEncoding, SourceSettings,
};
use crds::worker_status::ProducerStatus;
use exchange_sim::Running;
use runtime::kafka::KafkaConnection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::flow_gate::FlowGate;
use worker::produce::{self, ProduceContext, ProduceError, ProducerState, SilenceBounds, Timings};

use crate::broker::{PATIENCE, Read, TOPIC, TopicReader};
use crate::lab::Lab;

/// The waits of a real producer, made short where a test depends on their passing.
pub(crate) fn short_timings() -> Timings {
    Timings {
        retry_shortest: Duration::from_millis(20),
        retry_longest: Duration::from_millis(200),
        overlap_at_least: Duration::from_millis(200),
        overlap_at_most: Duration::from_secs(2),
        watch_interval: Duration::from_millis(50),
        listing_interval: Duration::from_millis(300),
        ..Timings::default()
    }
}

/// Suspects any stream that is silent for half a second.
pub(crate) fn impatient_timings() -> Timings {
    let silence = SilenceBounds { floor: Duration::from_millis(500), ceiling: Duration::from_millis(500) };
    Timings { silence, ..short_timings() }
}

pub(crate) fn settings(exchange: &Running, symbols: &[&str], bootstrap_servers: &str) -> ProducerSettings {
    ProducerSettings {
        pipeline: PipelineId { namespace: "local".into(), name: "test".into(), uid: "1".into() },
        source: SourceSettings {
            encoding: RecordEncoding::Own,
            name: "spot".into(),
            exchange: ExchangeKind::Binance,
            venue: "binance".into(),
            symbols: symbols.iter().map(ToString::to_string).collect(),
            feed: Feed::Trades,
            poll_interval_ms: None,
            websocket_url: exchange.websocket_url(),
            rest_url: exchange.rest_url(),
        },
        kafka: KafkaSettings {
            bootstrap_servers: bootstrap_servers.to_owned(),
            topic: TOPIC.to_owned(),
            tls: None,
            sasl: None,
            client_config: Default::default(),
        },
    }
}

pub(crate) struct TestProducer {
    pub(crate) state: Arc<ProducerState>,
    pub(crate) gate: Arc<FlowGate>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ProduceError>>,
}

impl TestProducer {
    pub(crate) fn start(
        exchange: &Running,
        symbols: &[&str],
        kafka: KafkaConnection,
        timings: Timings,
    ) -> Self {
        Self::start_with_gate(exchange, symbols, kafka, timings, FlowGate::unlimited())
    }

    pub(crate) fn start_with_gate(
        exchange: &Running,
        symbols: &[&str],
        kafka: KafkaConnection,
        timings: Timings,
        gate: FlowGate,
    ) -> Self {
        let settings = settings(exchange, symbols, &kafka.bootstrap_servers);
        Self::run(settings, kafka, timings, gate)
    }

    /// With short waits, into the topic of `lab`.
    pub(crate) fn start_in(lab: &Lab, exchange: &Running, symbols: &[&str]) -> Self {
        Self::start_on(&lab.topic, exchange, symbols, lab.connection.clone(), short_timings())
    }

    /// One that writes to another topic than the embedded broker's.
    pub(crate) fn start_on(
        topic: &str,
        exchange: &Running,
        symbols: &[&str],
        kafka: KafkaConnection,
        timings: Timings,
    ) -> Self {
        let mut settings = settings(exchange, symbols, &kafka.bootstrap_servers);
        settings.kafka.topic = topic.to_owned();
        Self::run(settings, kafka, timings, FlowGate::unlimited())
    }

    /// One with settings of its own.
    pub(crate) fn start_with(settings: ProducerSettings, kafka: KafkaConnection, timings: Timings) -> Self {
        Self::run(settings, kafka, timings, FlowGate::unlimited())
    }

    fn run(settings: ProducerSettings, kafka: KafkaConnection, timings: Timings, gate: FlowGate) -> Self {
        let state = Arc::new(ProducerState::new(&settings.source));
        let (gate, shutdown) = (Arc::new(gate), CancellationToken::new());
        let context = ProduceContext { kafka, state: Arc::clone(&state), gate: Arc::clone(&gate), timings };
        let task = tokio::spawn(produce::run(settings, context, shutdown.clone()));
        Self { state, gate, shutdown, task }
    }

    /// Waits until the status is as wished.
    pub(crate) async fn wait_until(&self, wished: impl Fn(&ProducerStatus) -> bool) {
        let reached = async {
            while !wished(&self.state.snapshot()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("waited in vain; the status is {:#?}", self.state.snapshot());
        }
    }

    /// Commits what is read, as an aggregator would, until that is as wished.
    pub(crate) async fn commit_until(&self, topic: &TopicReader, wished: impl Fn(&Read) -> bool) {
        let mut committed = 0;
        let commit = || {
            let read = topic.look(|read| read.record_bytes);
            self.gate.committed(read - std::mem::replace(&mut committed, read));
        };
        topic.wait_until(wished, commit).await;
    }

    /// Drains it and returns its last status.
    pub(crate) async fn stop(self) -> ProducerStatus {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
        self.state.snapshot()
    }
}
