//! Reads the topic on a thread of its own, since librdkafka blocks.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use runtime::backoff::Backoff;
use runtime::error_chain::error_chain;
use runtime::telemetry::traces;
use tokio_util::sync::CancellationToken;

use super::assignment::{Assignment, Positions, with_offsets};
use super::batch::{Added, RawRecord};
use super::batch_trace::record_span;
use super::pipeline::Pipeline;

/// Longest wait for a record: so soon a shutdown and the end of a commit are noticed.
const LONGEST_POLL: Duration = Duration::from_millis(100);
/// While a commit is under way its end is waited for too.
const COMMITTING_POLL: Duration = Duration::from_millis(2);
/// How many records are taken between two looks at the clock and at what is being committed.
const RECORDS_PER_LOOK: usize = 256;
/// How often positions are told to the group, for tools that show its lag.
const GROUP_COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// How long leaving the group may take.
const LONGEST_LEAVE: Duration = Duration::from_secs(5);
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(5);
/// A gap that is there again after so many looks is real: the offsets hold no records for us.
const GAP_LOOKS: u32 = 3;

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// librdkafka refused its settings.
    #[error("cannot make a consumer")]
    Create(#[source] KafkaError),
    /// The topic cannot be subscribed.
    #[error("cannot subscribe to topic {topic}")]
    Subscribe {
        /// The topic.
        topic: String,
        /// What librdkafka said.
        source: KafkaError,
    },
}

/// A consumer and the batches that it fills.
pub(super) struct TopicReader {
    consumer: BaseConsumer<Assignment>,
    pipeline: Arc<Mutex<Pipeline>>,
    positions: Positions,
    /// Cancelled when the worker shuts down or the topic is another one.
    stop: CancellationToken,
    group_commit_at: Instant,
    uncommitted: Vec<(i32, i64)>,
    /// The gap seen last, and how often in a row.
    gap: Cell<Option<((i32, i64), u32)>>,
}

impl TopicReader {
    pub(super) fn new(
        config: &ClientConfig,
        pipeline: Pipeline,
        positions: Positions,
        stop: CancellationToken,
    ) -> Result<Self, ConsumeError> {
        let pipeline = Arc::new(Mutex::new(pipeline));
        let context = Assignment::new(positions.clone(), pipeline.clone());
        let consumer: BaseConsumer<Assignment> =
            config.create_with_context(context).map_err(ConsumeError::Create)?;
        let topic = positions.topic.clone();
        consumer.subscribe(&[&topic]).map_err(|source| ConsumeError::Subscribe { topic, source })?;
        let group_commit_at = Instant::now() + GROUP_COMMIT_INTERVAL;
        Ok(Self {
            consumer,
            pipeline,
            positions,
            stop,
            group_commit_at,
            uncommitted: Vec::new(),
            gap: Cell::new(None),
        })
    }

    fn pipeline(&self) -> MutexGuard<'_, Pipeline> {
        self.pipeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads until stopped, then commits what was read. Blocks: give it a thread of its own.
    pub(super) fn read_until_stopped(mut self) {
        while !self.stop.is_cancelled() {
            if self.pipeline().has_failed() {
                self.begin_again();
            }
            self.wait_while_full();
            self.take_what_came();
            self.pipeline().commit_if_due();
            self.tell_the_group();
        }
        self.pipeline().drain();
        self.group_commit_at = Instant::now();
        self.tell_the_group();
        self.leave_the_group();
    }

    /// Leaves the group, as its members would otherwise learn only at the end of the session.
    ///
    /// Not for longer than [`LONGEST_LEAVE`]: a position that was told while the broker went away keeps
    /// librdkafka from closing, for ever (confluentinc/librdkafka#3740). All that was read is committed.
    fn leave_the_group(self) {
        let Self { consumer, pipeline, .. } = self;
        let begun = Instant::now();
        if let Err(error) = consumer.close_queue() {
            tracing::warn!(error = error_chain(&error), "cannot leave the group");
        }
        while !consumer.closed() {
            if begun.elapsed() > LONGEST_LEAVE {
                tracing::warn!("the broker is away: the group will notice the end of this aggregator later");
                pipeline.lock().unwrap_or_else(PoisonError::into_inner).end();
                // Its drop would wait.
                std::mem::forget(consumer);
                return;
            }
            drop(consumer.poll(LONGEST_POLL));
        }
    }

    /// Waits for a record, and takes those that came with it without a look at the clock for each.
    fn take_what_came(&self) {
        let mut timeout = self.poll_timeout();
        for _ in 0..RECORDS_PER_LOOK {
            match self.consumer.poll(timeout) {
                Some(Ok(message)) => self.take(&message),
                Some(Err(error)) => self.note_poll_error(&error),
                None => return,
            }
            if self.pipeline().is_full() {
                return;
            }
            timeout = Duration::ZERO;
        }
    }

    fn poll_timeout(&self) -> Duration {
        let pipeline = self.pipeline();
        if pipeline.is_committing() {
            return COMMITTING_POLL;
        }
        pipeline.until_due().map_or(LONGEST_POLL, |due| due.min(LONGEST_POLL))
    }

    fn take(&self, message: &BorrowedMessage<'_>) {
        self.positions.state.broker.note_success();
        let (partition, offset) = (message.partition(), message.offset());
        let key_bytes = message.key().map_or(0, <[u8]>::len);
        let record = RawRecord { partition, offset, key_bytes, value: message.payload() };
        let added = self.pipeline().add(record);
        if added == Added::Yes && traces::are_on() {
            self.trace(message);
        }
        if let Added::Gap { expected } = added {
            if self.is_gap_real(partition, expected) {
                tracing::warn!(partition, expected, found = offset, "offsets are gone from the topic");
                let mut pipeline = self.pipeline();
                pipeline.skip_to(partition, offset);
                pipeline.add(record);
            } else {
                self.begin_again();
            }
        }
    }

    /// Goes on with the trace of a record that is in the batch, if it has one.
    fn trace(&self, message: &BorrowedMessage<'_>) {
        let Some(parent) = message.headers().and_then(traces::parent_of_record) else { return };
        let mut pipeline = self.pipeline();
        let trace = pipeline.trace();
        if trace.has_room() {
            let (partition, offset) = (message.partition(), message.offset());
            trace.add(record_span(&self.positions.topic, partition, offset, parent));
        }
    }

    /// A gap is real where the broker's log begins behind the position, or where it was met again after
    /// reading from the position anew. Everything else might be a record from before a seek.
    fn is_gap_real(&self, partition: i32, expected: i64) -> bool {
        let place = (partition, expected);
        let looks = self.gap.get().filter(|(last, _)| *last == place).map_or(1, |(_, looks)| looks + 1);
        self.gap.set(Some((place, looks)));
        let watermarks = self.consumer.fetch_watermarks(&self.positions.topic, partition, WATERMARK_TIMEOUT);
        looks >= GAP_LOOKS || watermarks.is_ok_and(|(low, _)| expected < low)
    }

    /// Back-pressure: a full batch waits for the commit before it. Nothing is polled meanwhile, and nothing paused: a
    /// paused partition loses what was fetched and comes back half a second later. The client goes on fetching up to its
    /// own bound, and the group's patience is longer than any commit.
    fn wait_while_full(&self) {
        let mut pipeline = self.pipeline();
        pipeline.commit_if_due();
        if pipeline.is_full() && pipeline.is_committing() {
            pipeline.await_reply();
            pipeline.commit_if_due();
        }
    }

    /// Throws away what was read and goes on from the positions that the database has.
    fn begin_again(&self) {
        let paused = self.paused();
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(5));
        self.pipeline().discard();
        while !self.stop.is_cancelled() && !self.seek_to_stored_positions() {
            let delay = backoff.next_delay();
            let until = Instant::now() + delay;
            while Instant::now() < until && !self.stop.is_cancelled() {
                if let Some(Err(error)) = self.consumer.poll(LONGEST_POLL.min(delay)) {
                    self.note_poll_error(&error);
                }
            }
        }
        self.resume(&paused);
    }

    fn seek_to_stored_positions(&self) -> bool {
        let partitions = self.pipeline().assigned();
        if partitions.is_empty() {
            self.pipeline().restart(&[]);
            return true;
        }
        let Some(positions) = self.positions.ask(&partitions) else { return false };
        let list = with_offsets(&self.positions.topic, &positions);
        let sought = self.consumer.seek_partitions(list, SEEK_TIMEOUT).and_then(|list| {
            list.elements().iter().try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)
        });
        match sought {
            Ok(()) => {
                self.pipeline().restart(&positions);
                true
            }
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "cannot go back to the stored positions yet");
                false
            }
        }
    }

    fn paused(&self) -> TopicPartitionList {
        let assignment = self.consumer.assignment().unwrap_or_default();
        if let Err(error) = self.consumer.pause(&assignment) {
            tracing::warn!(error = error_chain(&error), "cannot pause");
        }
        assignment
    }

    fn resume(&self, paused: &TopicPartitionList) {
        if let Err(error) = self.consumer.resume(paused) {
            tracing::warn!(error = error_chain(&error), "cannot resume");
        }
    }

    /// Tells the group how far the database is. Nothing of ours ever reads it.
    fn tell_the_group(&mut self) {
        let committed = self.pipeline().take_committed();
        self.uncommitted.extend(committed);
        if self.uncommitted.is_empty() || Instant::now() < self.group_commit_at {
            return;
        }
        self.group_commit_at = Instant::now() + GROUP_COMMIT_INTERVAL;
        let newest: BTreeMap<i32, i64> = self.uncommitted.drain(..).collect();
        let mut list = TopicPartitionList::new();
        for (partition, offset) in newest {
            let _ = list.add_partition_offset(&self.positions.topic, partition, Offset::Offset(offset));
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(error = error_chain(&error), "positions not told to the group");
        }
    }

    fn note_poll_error(&self, error: &KafkaError) {
        tracing::warn!(error = error_chain(error), "cannot read from the broker");
        self.positions.state.broker.note_client_error(error, &error_chain(error));
    }
}
