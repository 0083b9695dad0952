//! What the Kafka client tells about the records that it was given. Everything here runs on the
//! client's own thread and must neither wait nor panic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::{ClientContext, Message as _};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::frame_trace::{PublishTraces, TraceKey};
use super::state::ProducerState;
use crate::flow_gate::FlowGate;

/// The deliveries, for those who wait for room in the client.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    awaited: AtomicBool,
    changed: Notify,
    no_longer_awaited: Notify,
    last: Mutex<Option<Instant>>,
}

impl Deliveries {
    pub(crate) fn are_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire)
    }

    pub(crate) fn set_awaited(&self, awaited: bool) {
        if self.awaited.swap(awaited, Ordering::AcqRel) == awaited {
            return;
        }
        if awaited {
            self.changed.notify_one();
        } else {
            self.no_longer_awaited.notify_waiters();
        }
    }

    /// Waits until deliveries are awaited no longer, at most for `at_most`.
    pub(crate) async fn until_not_awaited(&self, at_most: Duration) {
        // Either way the caller looks for itself.
        let _ = tokio::time::timeout(at_most, self.no_longer_awaited.notified()).await;
    }

    /// When the last awaited delivery was reported.
    pub(crate) fn last(&self) -> Option<Instant> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next awaited delivery, and while they are awaited at most for `at_most`.
    pub(crate) async fn next(&self, at_most: Duration) {
        if self.are_awaited() {
            // Either way the caller looks for itself.
            let _ = tokio::time::timeout(at_most, self.changed.notified()).await;
        } else {
            self.changed.notified().await;
        }
    }

    fn note(&self) {
        if self.are_awaited() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            self.changed.notify_one();
        }
    }
}

/// Counts delivered and failed records, and watches the broker.
pub(crate) struct DeliveryReports {
    state: Arc<ProducerState>,
    gate: Arc<FlowGate>,
    deliveries: Arc<Deliveries>,
    traces: Arc<PublishTraces>,
    /// Cancelled when the client will never work again.
    failed: CancellationToken,
}

impl DeliveryReports {
    pub(crate) fn new(
        state: Arc<ProducerState>,
        gate: Arc<FlowGate>,
        deliveries: Arc<Deliveries>,
        traces: Arc<PublishTraces>,
        failed: CancellationToken,
    ) -> Self {
        Self { state, gate, deliveries, traces, failed }
    }
}

impl ClientContext for DeliveryReports {
    fn stats_raw(&self, statistics: &[u8]) {
        self.state.broker.note_statistics(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.state.broker.note_client_error(&error, reason);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            tracing::error!(reason, "the kafka client has failed for good");
            self.state.set_fatal(format!("the kafka client has failed for good: {reason}"));
            self.failed.cancel();
        } else {
            tracing::warn!(%error, reason, "kafka");
        }
    }
}

impl ProducerContext for DeliveryReports {
    /// A [`TraceKey`].
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let trace = TraceKey::from_opaque(opaque);
        match result {
            Ok(record) => {
                self.state.records_published.add(1);
                self.state.broker.note_success();
                self.traces.acknowledged(trace, record.partition(), record.offset());
            }
            Err((error, record)) => {
                // It will reach no aggregator that could say so.
                self.gate.committed(record.key_len() + record.payload_len());
                self.state.records_dropped.add(1);
                let problem = format!("a record was not delivered: {error}");
                self.traces.lost(trace, &problem);
                self.state.broker.note_failure(problem);
            }
        }
        self.deliveries.note();
    }
}
