//! The trace of a trade, from the frame that brings it until the broker has it. Of most frames none is made: they are not drawn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;
use rdkafka::message::OwnedHeaders;
use runtime::telemetry::traces;
use tracing::Span;
use tracing::field::Empty;

/// While the broker is away, records wait and their spans with them: so many are some 2 MB, further records are not traced.
const MOST_OPEN_SPANS: usize = 1_024;

/// The span of what has just come by this protocol; none unless it is drawn.
pub(super) fn frame_span(protocol: &'static str) -> Span {
    if !traces::draw_frame() {
        return Span::none();
    }
    let span = tracing::info_span!(
        "exchange frame received",
        network.protocol.name = protocol,
        cryptopipeline.symbol = Empty,
        cryptopipeline.trade_id = Empty,
        cryptopipeline.trade.duplicate = Empty,
    );
    traces::begin(&span);
    span
}

/// Names a record's span; goes with the record through the Kafka client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceKey(usize);

impl TraceKey {
    /// Of a record that is not traced.
    pub(super) const NONE: Self = Self(0);

    /// As the Kafka client keeps it.
    pub(super) const fn opaque(self) -> usize {
        self.0
    }

    pub(super) const fn from_opaque(opaque: usize) -> Self {
        Self(opaque)
    }
}

/// The spans of the traced records that the broker does not have yet.
#[derive(Debug, Default)]
pub(crate) struct PublishTraces {
    spans: Mutex<HashMap<usize, Span>>,
    last_key: AtomicUsize,
}

impl PublishTraces {
    /// Begins the span of a record that is made of `frame`, if that is traced.
    pub(super) fn begin(&self, frame: &Span, topic: &str, record_key: &[u8]) -> TraceKey {
        if frame.is_none() || self.spans(|spans| spans.len() >= MOST_OPEN_SPANS) {
            return TraceKey::NONE;
        }
        let span = tracing::info_span!(
            parent: frame,
            "send",
            otel.name = format!("send {topic}"),
            otel.kind = "producer",
            messaging.system = "kafka",
            messaging.operation.name = "send",
            messaging.operation.type = "send",
            messaging.destination.name = topic,
            messaging.kafka.message.key = %String::from_utf8_lossy(record_key),
            messaging.destination.partition.id = Empty,
            messaging.kafka.offset = Empty,
        );
        let key = self.last_key.fetch_add(1, Ordering::Relaxed) + 1;
        self.spans(|spans| spans.insert(key, span));
        TraceKey(key)
    }

    /// What tells the record's readers of its trace.
    pub(super) fn headers(&self, key: TraceKey) -> Option<OwnedHeaders> {
        if key == TraceKey::NONE {
            return None;
        }
        self.spans(|spans| spans.get(&key.0).map(traces::kafka_headers))
    }

    /// The broker has the record.
    pub(super) fn acknowledged(&self, key: TraceKey, partition: i32, offset: i64) {
        if let Some(span) = self.end(key) {
            span.record("messaging.destination.partition.id", partition.to_string());
            span.record("messaging.kafka.offset", offset);
            span.in_scope(|| tracing::debug!(partition, offset, "record acknowledged"));
        }
    }

    /// The broker will not have the record.
    pub(super) fn lost(&self, key: TraceKey, reason: &str) {
        if let Some(span) = self.end(key) {
            traces::fail(&span, reason);
            span.in_scope(|| tracing::debug!(reason, "record lost"));
        }
    }

    fn end(&self, key: TraceKey) -> Option<Span> {
        if key == TraceKey::NONE { None } else { self.spans(|spans| spans.remove(&key.0)) }
    }

    fn spans<T>(&self, with: impl FnOnce(&mut HashMap<usize, Span>) -> T) -> T {
        with(&mut self.spans.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(traces: &PublishTraces, frame: &Span) -> TraceKey {
        traces.begin(frame, "trades", b"binance:BTCUSDT")
    }

    #[test]
    fn without_an_exporter_no_frame_is_drawn_and_no_record_gets_a_header() {
        let traces = PublishTraces::default();
        let frame = frame_span("websocket");
        assert!(frame.is_none());
        let key = begin(&traces, &frame);
        assert_eq!(key, TraceKey::NONE);
        assert!(traces.headers(key).is_none());
    }

    #[test]
    fn a_broker_that_is_away_holds_a_bounded_number_of_spans() {
        let subscriber = tracing_subscriber::registry();
        tracing::subscriber::with_default(subscriber, || {
            let (traces, frame) = (PublishTraces::default(), tracing::info_span!("frame"));
            let keys: Vec<TraceKey> = (0..MOST_OPEN_SPANS).map(|_| begin(&traces, &frame)).collect();
            assert!(keys.iter().all(|key| *key != TraceKey::NONE));
            assert_eq!(begin(&traces, &frame), TraceKey::NONE);
            traces.acknowledged(keys[7], 0, 1);
            traces.lost(keys[9], "dropped");
            let again = [(); 3].map(|()| begin(&traces, &frame) != TraceKey::NONE);
            assert_eq!(again, [true, true, false]);
        });
    }
}
