//! The traces that a batch belongs to: a span for each record that was traced where it was published, from reading to commit, and
//! one for the flush, with links to them.

use runtime::telemetry::traces;
use store::{FlushBatch, FlushReport};
use tracing::Span;
use tracing::field::Empty;

/// A flush links to so many records at most, as many as a span may have links; further ones are counted with the others only.
const MOST_RECORDS: usize = 128;

/// The spans of the traced records of one batch. Dropped without a word, the records were thrown away.
#[derive(Debug, Default)]
pub(super) struct BatchTrace {
    records: Vec<Span>,
}

impl BatchTrace {
    /// Whether another record may be traced.
    pub(super) fn has_room(&self) -> bool {
        self.records.len() < MOST_RECORDS
    }

    /// Adds the span of a record.
    pub(super) fn add(&mut self, record: Span) {
        self.records.push(record);
    }

    /// The span of the flush of `batch`; none where none of its records is traced.
    pub(super) fn flush_span(&self, batch: &FlushBatch) -> Span {
        if self.records.is_empty() {
            return Span::none();
        }
        let read: i64 = batch.partitions.iter().map(|progress| progress.records_read).sum();
        let span = tracing::info_span!(
            "flush",
            otel.name = format!("flush {}", batch.topic),
            otel.kind = "consumer",
            messaging.system = "kafka",
            messaging.operation.name = "flush",
            messaging.operation.type = "process",
            messaging.destination.name = batch.topic,
            messaging.batch.message_count = read,
            cryptopipeline.offsets = offsets(batch),
            cryptopipeline.trades_new = Empty,
            cryptopipeline.trades_duplicate = Empty,
            cryptopipeline.samples_new = Empty,
            cryptopipeline.samples_duplicate = Empty,
            cryptopipeline.records_set_aside = Empty,
        );
        traces::begin(&span);
        for record in &self.records {
            traces::link(&span, record);
        }
        span
    }

    /// The database has the batch.
    pub(super) fn committed(mut self, flush: &Span, report: &FlushReport) {
        let set_aside: i64 = report.set_aside.iter().map(|(_, records)| records).sum();
        flush.record("cryptopipeline.trades_new", report.trades_new);
        flush.record("cryptopipeline.trades_duplicate", report.trades_duplicate);
        flush.record("cryptopipeline.samples_new", report.samples_new);
        flush.record("cryptopipeline.samples_duplicate", report.samples_duplicate);
        flush.record("cryptopipeline.records_set_aside", set_aside);
        if !flush.is_none() {
            traces::note(flush, "committed");
            tracing::debug!(records = report.records_read, "batch committed");
        }
        for record in self.records.drain(..) {
            traces::note(&record, "committed");
            traces::link(&record, flush);
            record.in_scope(|| tracing::debug!("record committed"));
        }
    }

    /// The database has not taken the batch, or that is not known.
    pub(super) fn failed(self, flush: &Span, reason: &str) {
        traces::fail(flush, reason);
    }
}

impl Drop for BatchTrace {
    fn drop(&mut self) {
        for record in self.records.drain(..) {
            traces::fail(&record, "thrown away, to be read again");
        }
    }
}

/// From where to where each partition was read, such as `0: 120..180, 3: 7..8`.
fn offsets(batch: &FlushBatch) -> String {
    let read = batch.partitions.iter().map(|progress| {
        format!("{}: {}..{}", progress.partition, progress.expected_offset, progress.next_offset)
    });
    read.collect::<Vec<_>>().join(", ")
}

/// The span of a record that was published by whoever `parent` says.
pub(super) fn record_span(topic: &str, partition: i32, offset: i64, parent: traces::Parent) -> Span {
    let span = tracing::info_span!(
        "process",
        otel.name = format!("process {topic}"),
        otel.kind = "consumer",
        messaging.system = "kafka",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = topic,
        messaging.destination.partition.id = partition.to_string(),
        messaging.kafka.offset = offset,
    );
    traces::go_on(&span, parent);
    span
}
