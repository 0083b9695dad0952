//! Repaired trades -> the topic, in the same records and by the same partitioner as the producers', and how far the
//! topic goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crds::worker_settings::{PipelineId, RecordEncoding};
use futures::future::try_join_all;
use market::{Market, Trade};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use runtime::broker_reminder::BrokerReminder;
use runtime::kafka::KafkaConnection;
use runtime::kafka_admin::KafkaAdmin;
use tokio::sync::{Mutex, MutexGuard};

use super::RepairError;
use super::state::RepairerState;
use crate::flow_gate::FlowGate;
use crate::record::{RecordEncoder, client_settings};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A record that the broker does not take is given up, and asked for again.
const OWN_SETTINGS: &[(&str, &str)] = &[("message.timeout.ms", "30000")];

/// Publishes repaired trades.
pub(super) struct RepairPublisher {
    client: FutureProducer,
    reminder: BrokerReminder,
    admin: KafkaAdmin,
    topic: String,
    encoding: RecordEncoding,
    gate: Arc<FlowGate>,
    state: Arc<RepairerState>,
    under_way: Mutex<()>,
}

impl RepairPublisher {
    pub(super) fn new(
        connection: &KafkaConnection,
        pipeline: &PipelineId,
        topic: &str,
        encoding: RecordEncoding,
        gate: Arc<FlowGate>,
        state: Arc<RepairerState>,
    ) -> Result<Self, RepairError> {
        let client_id = format!("{}-repairer", pipeline.name);
        Ok(Self {
            client: connection
                .client_config(&client_id, &[&client_settings(encoding), OWN_SETTINGS].concat())
                .create()?,
            reminder: BrokerReminder::new(&connection.bootstrap_servers),
            admin: KafkaAdmin::new(connection, &format!("{client_id}-admin"), TIMEOUT)?,
            topic: topic.to_owned(),
            encoding,
            gate,
            state,
            under_way: Mutex::default(),
        })
    }

    /// Held while an answer is on its way through the topic: one at a time, of whatever source, so that live trades never
    /// wait behind more than one in a partition.
    pub(super) async fn under_way(&self) -> MutexGuard<'_, ()> {
        self.under_way.lock().await
    }

    /// Publishes the trades and waits until the broker has them. Says behind which offset of each partition they lie.
    pub(super) async fn publish(
        &self,
        market: &Market,
        trades: &[Trade],
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        self.gate.open().await;
        let encoder = RecordEncoder::new(market).with(self.encoding);
        let deliveries = trades.iter().map(async |trade| {
            let mut value = Vec::new();
            encoder.encode_value(trade, &mut value);
            let bytes = encoder.key().len() + value.len();
            let record = FutureRecord::to(&self.topic).key(encoder.key()).payload(&value);
            // Counted first: the aggregator may have committed it before the answer is here.
            self.gate.published(bytes);
            self.client.send(record, TIMEOUT).await.map_err(|(error, _)| {
                self.gate.committed(bytes);
                error
            })
        });
        let delivered = try_join_all(deliveries).await;
        let mut behind = BTreeMap::new();
        for delivery in self.noted(delivered)? {
            let end: &mut i64 = behind.entry(delivery.partition).or_default();
            *end = (*end).max(delivery.offset + 1);
        }
        Ok(behind)
    }

    /// The offset after the last record of each partition from 0 on, as of a moment after the call.
    pub(super) async fn end_offsets(&self) -> Result<Vec<i64>, String> {
        let (client, topic) = (self.client.clone(), self.topic.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = client.client().fetch_metadata(Some(&topic), TIMEOUT)?;
            Ok(metadata.topics().first().map_or(0, |topic| topic.partitions().len()))
        });
        let partitions = match asked.await {
            Ok(partitions) => {
                if partitions.is_err() {
                    self.reminder.remind(self.client.client());
                }
                self.noted(partitions).map_err(|error| error.to_string())?
            }
            Err(error) => return Err(error.to_string()),
        };
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        self.admin.end_offsets(&self.topic, partitions).await.map_err(|error| error.to_string())
    }

    fn noted<T>(&self, outcome: Result<T, KafkaError>) -> Result<T, KafkaError> {
        self.state.note_broker(outcome.as_ref().map(drop).map_err(ToString::to_string));
        outcome
    }
}
