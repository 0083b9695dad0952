//! Trades or price samples -> records -> the Kafka client, within bounds: what the client has no room for waits here,
//! and where the broker stays away too long the oldest of that are dropped and counted.
//!
//! As long as the broker takes records, readers are told to wait instead of anything being dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use runtime::kafka::KafkaConnection;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::delivery::{Deliveries, DeliveryReports};
use super::frame_trace::{PublishTraces, TraceKey};
use super::state::ProducerState;
use crate::flow_gate::FlowGate;
use crate::record::{Content, client_settings};

/// Records that wait while the client's own queue is full: of trades some 7 MB.
const WAITING_RECORDS: usize = 65_536;

/// Without any delivery for so long, the broker counts as away and readers wait for it no more.
const BROKER_PATIENCE: Duration = Duration::from_secs(5);

/// How often whoever waits looks again, whatever was signalled.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a producer wants beside that; the user's own settings go over these.
const OWN_SETTINGS: &[(&str, &str)] = &[
    // Both bound the memory; a record takes about 500 bytes of it.
    ("queue.buffering.max.messages", "10000"),
    ("queue.buffering.max.kbytes", "16384"),
    // Nothing expires by age: what is dropped is dropped here, oldest first, and counted.
    ("message.timeout.ms", "0"),
    ("statistics.interval.ms", "1000"),
];

/// Sends what comes of one source to its topic.
pub(crate) struct Publisher {
    client: ThreadedProducer<DeliveryReports>,
    topic: String,
    state: Arc<ProducerState>,
    gate: Arc<FlowGate>,
    deliveries: Arc<Deliveries>,
    traces: Arc<PublishTraces>,
    outbox: Mutex<Outbox>,
}

/// What is used while a record is published, by one reader at a time.
#[derive(Default)]
struct Outbox {
    /// What found no room in the client, oldest first.
    waiting: VecDeque<Outgoing>,
    waiting_since: Option<Instant>,
    /// The record value; kept for its memory.
    value: Vec<u8>,
}

/// What is on its way to the client.
struct Outgoing {
    /// The place of its symbol.
    place: usize,
    content: Content,
    trace: TraceKey,
}

/// What became of a record that was handed to the client.
#[derive(PartialEq, Eq)]
enum Handed {
    Over,
    NoRoom,
}

impl Publisher {
    /// A publisher to `topic` at `connection`.
    ///
    /// # Errors
    /// Where librdkafka refuses a setting.
    pub(crate) fn new(
        connection: &KafkaConnection,
        client_id: &str,
        topic: &str,
        state: Arc<ProducerState>,
        gate: Arc<FlowGate>,
        failed: CancellationToken,
    ) -> Result<Self, KafkaError> {
        let deliveries = Arc::new(Deliveries::default());
        let traces = Arc::new(PublishTraces::default());
        let reports = DeliveryReports::new(
            Arc::clone(&state),
            Arc::clone(&gate),
            Arc::clone(&deliveries),
            Arc::clone(&traces),
            failed,
        );
        let settings = [&client_settings(state.encoding), OWN_SETTINGS].concat();
        let client = connection.client_config(client_id, &settings).create_with_context(reports)?;
        let topic = topic.to_owned();
        Ok(Self { client, topic, state, gate, deliveries, traces, outbox: Mutex::default() })
    }

    /// Publishes what `frame` brought of the symbol at `place`. Never waits.
    pub(crate) fn publish(&self, place: usize, content: Content, frame: &Span) {
        let trace = self.traces.begin(frame, &self.topic, self.state.feeds.all()[place].encoder.key());
        let outgoing = Outgoing { place, content, trace };
        self.state.records_accepted.add(1);
        let mut outbox = self.outbox();
        if outbox.waiting.is_empty() && self.hand_over(&outgoing, &mut outbox.value) == Handed::Over {
            return;
        }
        if outbox.waiting.len() == WAITING_RECORDS
            && let Some(oldest) = outbox.waiting.pop_front()
        {
            self.traces.lost(oldest.trace, "dropped: the broker is away");
            self.state.records_dropped.add(1);
        }
        outbox.waiting.push_back(outgoing);
        outbox.waiting_since.get_or_insert_with(Instant::now);
        self.deliveries.set_awaited(true);
    }

    /// Whether a reader may read on at once.
    pub(crate) fn is_ready(&self) -> bool {
        self.gate.is_open() && !self.deliveries.are_awaited()
    }

    /// Waits until a reader may read on: the gate is open, and nothing waits for room in the client
    /// unless the broker is away.
    pub(crate) async fn ready(&self) {
        self.gate.open().await;
        while self.deliveries.are_awaited() && !self.broker_is_away(Instant::now()) {
            self.deliveries.until_not_awaited(LOOK_AGAIN).await;
        }
    }

    /// Waits until the broker has everything, for at most `grace`. Blocks the thread. What is left
    /// then is dropped, and counted, with the publisher.
    pub(crate) fn flush(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        loop {
            self.hand_over_waiting();
            let left = deadline.saturating_duration_since(Instant::now());
            // The error says that the time was up, which the loop sees by itself.
            let _ = self.client.flush(left.min(LOOK_AGAIN));
            let undelivered =
                usize::try_from(self.client.in_flight_count()).unwrap_or(0) + self.outbox().waiting.len();
            if undelivered == 0 || left.is_zero() {
                break;
            }
        }
        let waiting = std::mem::take(&mut self.outbox().waiting);
        self.state.records_dropped.add(waiting.len() as u64);
    }

    fn hand_over_waiting(&self) {
        let mut outbox = self.outbox();
        let Outbox { waiting, waiting_since, value } = &mut *outbox;
        while let Some(outgoing) = waiting.front() {
            if self.hand_over(outgoing, value) == Handed::NoRoom {
                return;
            }
            waiting.pop_front();
        }
        if waiting_since.take().is_some() {
            // An outage must not cost its memory for ever.
            waiting.shrink_to_fit();
            self.deliveries.set_awaited(false);
        }
    }

    fn hand_over(&self, outgoing: &Outgoing, value: &mut Vec<u8>) -> Handed {
        let Outgoing { place, content, trace } = outgoing;
        let encoder = &self.state.feeds.all()[*place].encoder;
        encoder.encode(content, value);
        let mut record = BaseRecord::with_opaque_to(&self.topic, trace.opaque())
            .key(encoder.key())
            .payload(value.as_slice());
        record.headers = self.traces.headers(*trace);
        // Headers do not count: few records have any, and with all of them a third more still fits what the gate is for.
        let bytes = encoder.key().len() + value.len();
        // Counted first: the aggregator may have committed it before this line is left.
        self.gate.published(bytes);
        let Err((error, _)) = self.client.send(record) else {
            return Handed::Over;
        };
        self.gate.committed(bytes);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) {
            return Handed::NoRoom;
        }
        // Not a matter of time: too large, or the client has failed for good.
        self.traces.lost(*trace, "refused by the client");
        self.state.records_dropped.add(1);
        self.state.broker.note_failure(error.to_string());
        Handed::Over
    }

    fn broker_is_away(&self, now: Instant) -> bool {
        let heard = self.outbox().waiting_since.max(self.deliveries.last());
        heard.is_some_and(|heard| now.saturating_duration_since(heard) > BROKER_PATIENCE)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands over what waits, as deliveries make room for it. Runs until it is dropped.
pub(crate) async fn send_waiting(publisher: Arc<Publisher>) {
    loop {
        publisher.deliveries.next(LOOK_AGAIN).await;
        publisher.hand_over_waiting();
    }
}
