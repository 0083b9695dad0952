//! librdkafka's in-process cluster: the same client code path as with a real broker, without one.
//!
//! It keeps 5 MiB or 100,000 records a partition in memory and forgets older ones, so the producer is held
//! back by a `FlowGate`. It has no admin calls: partitions cannot grow, nothing can be configured.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use runtime::kafka::KafkaConnection;
use runtime::kafka_admin::KafkaAdmin;

/// Bytes that may be published and not committed; all of them could be in one partition.
pub(super) const MOST_OUTSTANDING_BYTES: u32 = 2 * 1024 * 1024;
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A broker that lives as long as this value, with one topic.
pub(super) struct EmbeddedBroker {
    pub(super) connection: KafkaConnection,
    pub(super) topic: String,
    /// A broker that begins anew has a new topic, and offsets from zero.
    pub(super) topic_id: String,
    pub(super) partitions: i32,
    admin: KafkaAdmin,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Starts the broker on loopback ports of its own.
    pub(super) fn start(topic: &str, partitions: i32) -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let name = topic.to_owned();
        // The cluster cannot change threads, so it gets one.
        let thread = std::thread::Builder::new().name("embedded-broker".to_owned()).spawn(move || {
            let cluster = make_cluster(&name, partitions);
            let _ =
                tell.send(cluster.as_ref().map(MockCluster::bootstrap_servers).map_err(ToString::to_string));
            // Ends when the other side says so or is gone.
            let _ = stopped.recv();
        })?;
        let answer = told.recv().context("the embedded broker's thread ended")?;
        let bootstrap_servers =
            answer.map_err(anyhow::Error::msg).context("cannot start the embedded broker")?;
        let connection = KafkaConnection { bootstrap_servers, ..KafkaConnection::default() };
        Ok(Self {
            admin: KafkaAdmin::new(&connection, "cryptopipeline-run", ADMIN_TIMEOUT)?,
            connection,
            topic: topic.to_owned(),
            topic_id: uuid::Uuid::new_v4().to_string(),
            partitions,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The offset after the last record of each partition.
    pub(super) async fn end_offsets(&self) -> Result<Vec<i64>, String> {
        self.admin.end_offsets(&self.topic, self.partitions).await.map_err(|error| error.to_string())
    }
}

fn make_cluster(
    topic: &str,
    partitions: i32,
) -> Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>, KafkaError> {
    let cluster = MockCluster::new(1)?;
    cluster.create_topic(topic, partitions, 1)?;
    Ok(cluster)
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
