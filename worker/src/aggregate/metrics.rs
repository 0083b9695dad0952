//! An aggregator's figures for Prometheus.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use runtime::metrics::{Metric, count, one_if};

use store::FlushError;

use super::committer::TIMEOUT;
use super::state::AggregatorState;

const RECORDS_READ: Metric = Metric::counter(
    "cryptopipeline_aggregator_records_read_total",
    &[],
    "Records read and committed, duplicates and those set aside included",
);
const TRADES_NEW: Metric = Metric::counter(
    "cryptopipeline_aggregator_trades_new_total",
    &[],
    "Trades stored: those that were new to the ledger",
);
const TRADES_DUPLICATE: Metric = Metric::counter(
    "cryptopipeline_aggregator_trades_duplicate_total",
    &[],
    "Trades left out because the ledger held them",
);
const SAMPLES_NEW: Metric = Metric::counter(
    "cryptopipeline_aggregator_samples_new_total",
    &[],
    "Samples of prices stored: those of a time of which none was held",
);
const SAMPLES_DUPLICATE: Metric = Metric::counter(
    "cryptopipeline_aggregator_samples_duplicate_total",
    &[],
    "Samples of prices left out because one of their time was held",
);
const RECORDS_SET_ASIDE: Metric = Metric::counter(
    "cryptopipeline_aggregator_records_set_aside_total",
    &["reason"],
    "Records kept in the table set_aside because they are no valid trade or sample",
);
const FLUSHES_RETRIED: Metric = Metric::counter(
    "cryptopipeline_aggregator_flushes_retried_total",
    &["reason"],
    "Flushes that failed: nothing was committed, and their records were read again",
);
const LAG: Metric = Metric::gauge(
    "cryptopipeline_aggregator_lag_records",
    &["partition"],
    "Records of an assigned partition that are not committed yet",
);
const FLUSH_DURATION: Metric = Metric::histogram(
    "cryptopipeline_aggregator_flush_duration_seconds",
    &[],
    "From the begin to the commit of a flush",
);
const FLUSH_RECORDS: Metric =
    Metric::histogram("cryptopipeline_aggregator_flush_records", &[], "Records of one flush");
const COMMIT_LATENCY: Metric = Metric::histogram(
    "cryptopipeline_aggregator_commit_latency_seconds",
    &[],
    "From the exchange's event time of the oldest record of a flush to its commit",
);
const DATABASE_AVAILABLE: Metric = Metric::gauge(
    "cryptopipeline_aggregator_database_available",
    &[],
    "1 while the database answers, else 0",
);
const BROKER_AVAILABLE: Metric =
    Metric::gauge("cryptopipeline_aggregator_broker_available", &[], "1 while the broker answers, else 0");

const DATABASE_SIZE: Metric = Metric::gauge(
    "cryptopipeline_database_size_bytes",
    &[],
    "The whole database on disk, other schemas included; none while it does not answer",
);
const TABLE_SIZE: Metric = Metric::gauge(
    "cryptopipeline_database_table_size_bytes",
    &["table"],
    "A table on disk with its days, indexes and large values; none while the database does not answer, or is SQLite",
);
const OLDEST_SNAPSHOT: Metric = Metric::gauge(
    "cryptopipeline_database_oldest_snapshot_age_seconds",
    &[],
    "Age of the oldest transaction whose snapshot keeps removed rows on disk, 0 if there is none; those of other users only where this user may see them (pg_read_all_stats)",
);

/// What an aggregator exposes.
pub const METRICS: &[Metric] = &[
    RECORDS_READ,
    TRADES_NEW,
    TRADES_DUPLICATE,
    SAMPLES_NEW,
    SAMPLES_DUPLICATE,
    RECORDS_SET_ASIDE,
    FLUSHES_RETRIED,
    LAG,
    FLUSH_DURATION,
    FLUSH_RECORDS,
    COMMIT_LATENCY,
    DATABASE_AVAILABLE,
    BROKER_AVAILABLE,
    DATABASE_SIZE,
    TABLE_SIZE,
    OLDEST_SNAPSHOT,
];

/// What the state counts by.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) records_read: Counter,
    pub(super) trades_new: Counter,
    pub(super) trades_duplicate: Counter,
    pub(super) samples_new: Counter,
    pub(super) samples_duplicate: Counter,
    pub(super) records_set_aside: Family<ReasonLabel, Counter>,
    pub(super) flushes_retried: Family<ReasonLabel, Counter>,
    pub(super) lag: Family<PartitionLabel, Gauge>,
    pub(super) flush_duration: Histogram,
    pub(super) flush_records: Histogram,
    pub(super) commit_latency: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    pub(super) reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PartitionLabel {
    pub(super) partition: i32,
}

impl Figures {
    pub(super) fn new() -> Self {
        let flushes_retried = Family::default();
        for reason in [FlushError::REASONS.as_slice(), &[TIMEOUT]].concat() {
            // From the start: what is not there yet cannot rise.
            let _ = flushes_retried.get_or_create(&ReasonLabel { reason: reason.to_owned() });
        }
        Self {
            records_read: Counter::default(),
            trades_new: Counter::default(),
            trades_duplicate: Counter::default(),
            samples_new: Counter::default(),
            samples_duplicate: Counter::default(),
            records_set_aside: Family::default(),
            flushes_retried,
            lag: Family::default(),
            flush_duration: Histogram::new(exponential_buckets(0.000_5, 2.0, 16)),
            flush_records: Histogram::new(exponential_buckets(1.0, 4.0, 9)),
            commit_latency: Histogram::new(exponential_buckets(0.001, 1.5, 26)),
        }
    }
}

/// Registers the figures of the aggregator whose state this is.
pub fn register(registry: &mut Registry, state: Arc<AggregatorState>) {
    let figures = &state.figures;
    RECORDS_READ.register(registry, figures.records_read.clone());
    TRADES_NEW.register(registry, figures.trades_new.clone());
    TRADES_DUPLICATE.register(registry, figures.trades_duplicate.clone());
    SAMPLES_NEW.register(registry, figures.samples_new.clone());
    SAMPLES_DUPLICATE.register(registry, figures.samples_duplicate.clone());
    RECORDS_SET_ASIDE.register(registry, figures.records_set_aside.clone());
    FLUSHES_RETRIED.register(registry, figures.flushes_retried.clone());
    LAG.register(registry, figures.lag.clone());
    FLUSH_DURATION.register(registry, figures.flush_duration.clone());
    FLUSH_RECORDS.register(registry, figures.flush_records.clone());
    COMMIT_LATENCY.register(registry, figures.commit_latency.clone());
    registry.register_collector(Box::new(Dependencies(state)));
}

#[derive(Debug)]
struct Dependencies(Arc<AggregatorState>);

impl Collector for Dependencies {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let encoder = &mut encoder;
        DATABASE_AVAILABLE.tell_one(encoder, one_if(self.0.database_is_available()))?;
        BROKER_AVAILABLE.tell_one(encoder, one_if(self.0.broker.is_available()))?;
        let room = self.0.database_room();
        let whole = room.as_ref().map(|room| ([""; 0], count(room.database_bytes)));
        DATABASE_SIZE.tell(encoder, whole)?;
        let tables = room.iter().flat_map(|room| &room.table_bytes);
        TABLE_SIZE.tell(encoder, tables.map(|(table, bytes)| ([table], count(*bytes))))?;
        let snapshot = room.as_ref().and_then(|room| room.oldest_snapshot);
        OLDEST_SNAPSHOT.tell(encoder, snapshot.map(|age| ([""; 0], age.as_secs_f64())))
    }
}
