//! What the consumer group gives and takes. Positions come from the database only, so a partition is read
//! only once the database has said where.
//!
//! All of it is called by librdkafka on the consumer's own thread, inside `poll`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientContext, Offset, Statistics, TopicPartitionList};
use runtime::backoff::Backoff;
use runtime::error_chain::error_chain;
use store::{PartitionPosition, Store};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::pipeline::Pipeline;
use super::state::AggregatorState;

/// How long one question to the database may take before it is asked again.
const LONGEST_ASSIGN: Duration = Duration::from_secs(10);

/// Where the database says that reading goes on.
#[derive(Clone)]
pub(super) struct Positions {
    pub(super) runtime: Handle,
    pub(super) store: Store,
    pub(super) topic: String,
    pub(super) topic_id: String,
    pub(super) state: Arc<AggregatorState>,
    pub(super) shutdown: CancellationToken,
}

impl Positions {
    /// The positions of these partitions, asked once. Blocks the calling thread, which is not the runtime's.
    pub(super) fn ask(&self, partitions: &[i32]) -> Option<Vec<PartitionPosition>> {
        let asking = self.store.assign(&self.topic, &self.topic_id, partitions);
        let asked = self.runtime.block_on(async {
            tokio::select! {
                () = self.shutdown.cancelled() => None,
                answer = tokio::time::timeout(LONGEST_ASSIGN, asking) => Some(answer),
            }
        })?;
        match asked {
            Ok(Ok(positions)) => {
                self.state.note_database(Ok(()));
                Some(positions)
            }
            Ok(Err(error)) => {
                self.state.note_database(Err(error_chain(&error)));
                None
            }
            Err(_) => {
                self.state.note_database(Err(format!("no answer within {} s", LONGEST_ASSIGN.as_secs())));
                None
            }
        }
    }

    /// Asks until there is an answer; `None` once the worker shuts down.
    ///
    /// Without the database nothing could be done with the records anyhow. Where it stays away for longer
    /// than `max.poll.interval.ms`, the group gives the partitions to somebody else, and again later.
    fn ask_until_answered(&self, partitions: &[i32]) -> Option<Vec<PartitionPosition>> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            if let Some(positions) = self.ask(partitions) {
                return Some(positions);
            }
            if !self.runtime.block_on(backoff.wait(&self.shutdown)) {
                return None;
            }
        }
    }
}

/// The partitions with the offsets to read from.
pub(super) fn with_offsets(topic: &str, positions: &[PartitionPosition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for position in positions {
        // Only a negative offset is refused, and the database holds none.
        let _ = list.add_partition_offset(topic, position.partition, Offset::Offset(position.next_offset));
    }
    list
}

/// Takes the group's decisions.
pub(super) struct Assignment {
    positions: Positions,
    pipeline: Arc<Mutex<Pipeline>>,
}

impl Assignment {
    pub(super) fn new(positions: Positions, pipeline: Arc<Mutex<Pipeline>>) -> Self {
        Self { positions, pipeline }
    }

    fn pipeline(&self) -> MutexGuard<'_, Pipeline> {
        self.pipeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_over(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) {
        let positions = self.positions.ask_until_answered(partitions).unwrap_or_default();
        tracing::info!(?partitions, "partitions assigned");
        let list = with_offsets(&self.positions.topic, &positions);
        if let Err(error) = consumer.incremental_assign(&list) {
            tracing::error!(error = error_chain(&error), "cannot begin to read assigned partitions");
            return;
        }
        self.pipeline().assign(&positions);
    }

    /// What was read of the partitions is committed first: whoever gets them goes on behind it.
    fn give_up(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList, partitions: &[i32]) {
        let mut pipeline = self.pipeline();
        pipeline.drain();
        pipeline.revoke(partitions);
        tracing::info!(?partitions, "partitions revoked");
        if let Err(error) = consumer.incremental_unassign(list) {
            tracing::error!(error = error_chain(&error), "cannot stop reading revoked partitions");
        }
    }
}

impl ConsumerContext for Assignment {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.take_over(consumer, &partitions),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.give_up(consumer, list, &partitions),
            other => {
                let code = RDKafkaErrorCode::from(other);
                tracing::warn!(%code, "the group could not be balanced");
                self.give_up(consumer, list, &partitions);
            }
        }
    }
}

impl ClientContext for Assignment {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "consumer");
        self.positions.state.broker.note_client_error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.positions.state.broker.note_statistics(statistics);
        let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else { return };
        let Some(topic) = statistics.topics.get(&self.positions.topic) else { return };
        let known = topic.partitions.values().filter(|partition| partition.hi_offset >= 0);
        self.positions
            .state
            .note_end_offsets(known.map(|partition| (partition.partition, partition.hi_offset)));
    }
}
