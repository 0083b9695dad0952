//! `worker aggregate`: Kafka records become rows, candles and the ledger, each trade exactly once.
//!
//! A thread reads and decodes (`consumer`, `batch`), a task commits one batch while the next is read
//! (`pipeline`, `committer`), and the group's decisions are met with positions from the database
//! (`assignment`). Whatever fails, what was read is thrown away and read again from there.

mod assignment;
mod batch;
mod batch_trace;
mod committer;
mod consumer;
mod database_room;
mod maintenance;
pub mod metrics;
mod pipeline;
mod state;

use std::sync::Arc;
use std::time::Duration;

use crds::worker_settings::{AggregationSettings, AggregatorSettings};
use runtime::backoff::Backoff;
use runtime::error_chain::error_chain;
use runtime::kafka::KafkaConnection;
use runtime::kafka_admin::{KafkaAdmin, KafkaAdminError};
use store::{DatabaseConnection, Flusher, Store, StoreError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::database;
use crate::flow_gate::FlowGate;
use crate::outputs::{OutputsError, flush_settings};
use assignment::Positions;
use batch::BatchBuilder;
use consumer::TopicReader;
use pipeline::Pipeline;

pub use consumer::ConsumeError;
pub use state::AggregatorState;

/// How often the topic is asked whether it is still the same one.
const TOPIC_CHECK_INTERVAL: Duration = Duration::from_secs(30);
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// One connection flushes; the others prepare days, move floors and read positions.
const DATABASE_CONNECTIONS: u32 = 4;

/// What an aggregator is given beside its settings.
pub struct AggregateContext {
    /// How to reach the broker, credentials included.
    pub kafka: KafkaConnection,
    /// Where the rows go; with credentials.
    pub database: DatabaseConnection,
    /// How the topic's own id is found.
    pub topic_id: TopicId,
    /// Told how many bytes were committed.
    pub gate: Arc<FlowGate>,
    /// What others see of this aggregator.
    pub state: Arc<AggregatorState>,
}

/// How the id of the topic is found: a topic that was deleted and made anew has another one.
#[derive(Clone, Debug)]
pub enum TopicId {
    /// The broker knows it.
    AskBroker,
    /// The broker lives and dies with this process and names it.
    Fixed(String),
}

/// Why an aggregator cannot go on, whatever it waits for.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    /// The settings cannot be used.
    #[error("cannot use the settings")]
    Outputs(#[from] OutputsError),
    /// The database refuses for good.
    #[error("cannot use the database")]
    Store(#[from] StoreError),
    /// The broker's client cannot be made.
    #[error("cannot use the broker")]
    Admin(#[from] KafkaAdminError),
    /// The topic cannot be read.
    #[error("cannot read the topic")]
    Consume(#[from] ConsumeError),
    /// A task of ours broke.
    #[error("the reader ended unexpectedly")]
    Reader(#[from] tokio::task::JoinError),
}

/// Aggregates until `shutdown`, then commits what was read and returns.
///
/// # Errors
/// [`AggregateError`] for what waiting cannot mend; everything else is retried and shown in the state.
pub async fn run(
    settings: AggregatorSettings,
    context: AggregateContext,
    shutdown: CancellationToken,
) -> Result<(), AggregateError> {
    let AggregateContext { kafka, database, topic_id, gate, state } = context;
    let AggregationSettings { intervals, store_trades, indicators, .. } = &settings.aggregation;
    let flush_settings = flush_settings(intervals, *store_trades, indicators.as_ref())?;
    let note = |answer| state.note_database(answer);
    let schema = &settings.database.schema;
    let Some(store) = database::connect(&database, schema, DATABASE_CONNECTIONS, note, &shutdown).await?
    else {
        return Ok(());
    };
    let (commits, requests) = mpsc::channel(1);
    let flusher = Flusher::new(store.clone(), flush_settings);
    let committer = tokio::spawn(committer::commit_batches(flusher, requests, gate, state.clone()));
    let room = tokio::spawn(database_room::keep_asking(store.clone(), state.clone(), shutdown.clone()));
    let maintenance =
        tokio::spawn(maintenance::keep_in_order(store.clone(), settings.database.clone(), shutdown.clone()));

    let watch = TopicWatch::new(&kafka, &settings.kafka.topic, topic_id, state.clone())?;
    let reading = read_topic(&settings, &kafka, &watch, &store, &state, commits, &shutdown).await;
    committer.await?;
    maintenance.await?;
    room.await?;
    store.close().await;
    reading
}

/// Reads the topic until `shutdown`; begins anew when the topic was made anew.
async fn read_topic(
    settings: &AggregatorSettings,
    kafka: &KafkaConnection,
    watch: &TopicWatch,
    store: &Store,
    state: &Arc<AggregatorState>,
    commits: mpsc::Sender<committer::CommitRequest>,
    shutdown: &CancellationToken,
) -> Result<(), AggregateError> {
    let topic = &settings.kafka.topic;
    let group = format!("cryptopipeline.{}.{}", settings.pipeline.namespace, settings.pipeline.name);
    let config = kafka.client_config("cryptopipeline-aggregator", &consumer_defaults(&group));
    while let Some(topic_id) = watch.wait_for_topic(shutdown).await {
        let stop = shutdown.child_token();
        let positions = Positions {
            runtime: Handle::current(),
            store: store.clone(),
            topic: topic.clone(),
            topic_id: topic_id.clone(),
            state: state.clone(),
            shutdown: shutdown.clone(),
        };
        let builder = BatchBuilder::new(topic.clone(), topic_id.clone());
        let flush_interval = Duration::from_millis(settings.aggregation.flush_interval_ms);
        let pipeline = Pipeline::new(builder, commits.clone(), flush_interval, state.clone());
        let reader = TopicReader::new(&config, pipeline, positions, stop.clone())?;
        let reading = tokio::task::spawn_blocking(|| reader.read_until_stopped());
        watch.wait_for_another(&topic_id, &stop).await;
        stop.cancel();
        reading.await?;
    }
    Ok(())
}

/// What a consumer of ours needs of librdkafka. The user's own settings go over these.
#[must_use]
pub fn consumer_defaults(group: &str) -> [(&str, &str); 14] {
    [
        ("group.id", group),
        // Positions come from the database; what the group knows is for lag tools.
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // With "latest", what reached a new partition before its assignment would be passed over.
        ("auto.offset.reset", "earliest"),
        // Only what moves stops, not everybody.
        ("partition.assignment.strategy", "cooperative-sticky"),
        // A killed aggregator's partitions are somebody else's after this.
        ("session.timeout.ms", "10000"),
        // Partitions that one gives up stand still until the next heartbeat of another.
        ("heartbeat.interval.ms", "1000"),
        // Where its local queue was full, librdkafka would wait a whole second.
        ("fetch.queue.backoff.ms", "5"),
        ("queued.min.messages", "50000"),
        ("queued.max.messages.kbytes", "16384"),
        ("fetch.max.bytes", "8388608"),
        ("max.partition.fetch.bytes", "2097152"),
        ("statistics.interval.ms", "1000"),
        // Shutting down must not wait for a broker that is away.
        ("socket.timeout.ms", "10000"),
    ]
}

/// Finds the topic's id, and notices when it changes, which librdkafka does not.
struct TopicWatch {
    admin: Option<KafkaAdmin>,
    topic: String,
    fixed: Option<String>,
    state: Arc<AggregatorState>,
}

impl TopicWatch {
    fn new(
        connection: &KafkaConnection,
        topic: &str,
        topic_id: TopicId,
        state: Arc<AggregatorState>,
    ) -> Result<Self, KafkaAdminError> {
        let (admin, fixed) = match topic_id {
            TopicId::AskBroker => {
                (Some(KafkaAdmin::new(connection, "cryptopipeline-aggregator-admin", ADMIN_TIMEOUT)?), None)
            }
            TopicId::Fixed(id) => (None, Some(id)),
        };
        Ok(Self { admin, topic: topic.to_owned(), fixed, state })
    }

    /// The topic's id; `None` where nobody knows it now.
    async fn ask(&self) -> Option<String> {
        let Some(admin) = &self.admin else { return self.fixed.clone() };
        match admin.describe_topic(&self.topic).await {
            Ok(Some(description)) => Some(description.id),
            Ok(None) => {
                self.state.broker.note_failure(format!("topic {} does not exist", self.topic));
                None
            }
            Err(error) => {
                self.state.broker.note_failure(error_chain(&error));
                None
            }
        }
    }

    async fn wait_for_topic(&self, shutdown: &CancellationToken) -> Option<String> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        while !shutdown.is_cancelled() {
            if let Some(id) = self.ask().await {
                return Some(id);
            }
            backoff.wait(shutdown).await;
        }
        None
    }

    async fn wait_for_another(&self, id: &str, stop: &CancellationToken) {
        let mut next_look = tokio::time::interval(TOPIC_CHECK_INTERVAL);
        while stop.run_until_cancelled(next_look.tick()).await.is_some() {
            // A broker that does not answer has said nothing about the topic.
            if let Some(admin) = &self.admin
                && let Ok(Some(found)) = admin.describe_topic(&self.topic).await
                && found.id != id
            {
                tracing::warn!(topic = self.topic, was = id, is = found.id, "the topic was made anew");
                return;
            }
        }
    }
}
