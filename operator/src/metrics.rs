//! The operator's own figures, and those of the pipelines.

pub mod pipelines;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use runtime::metrics::Metric;
use tokio::time::Instant;

use crate::reconcile::ReconcileError;

pub use pipelines::PipelineFigures;

const RECONCILE_DURATION: Metric = Metric::histogram(
    "cryptopipeline_operator_reconcile_duration_seconds",
    &[],
    "How long one reconcile took, whatever came of it",
);
const RECONCILE_FAILURES: Metric = Metric::counter(
    "cryptopipeline_operator_reconcile_failures_total",
    &["reason"],
    "Reconciles that the API server did not let finish, by what it refused: finalizer, status or delete; anything else is a condition",
);
const LEADS: Metric = Metric::gauge(
    "cryptopipeline_operator_leads",
    &[],
    "1 for the operator that reconciles, 0 for one that waits to lead",
);

/// What an operator exposes of itself.
pub const METRICS: &[Metric] = &[RECONCILE_DURATION, RECONCILE_FAILURES, LEADS];

/// Counts and times reconciles.
#[derive(Clone, Debug)]
pub struct Metrics {
    durations: Histogram,
    failures: Family<Failure, Counter>,
    /// 1 while this operator works, 0 while it waits to lead.
    pub leads: Gauge,
    /// What is seen of the pipelines.
    pub pipelines: PipelineFigures,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    reason: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let failures = Family::default();
        for reason in ReconcileError::REASONS {
            // From the start: what is not there yet cannot rise.
            let _ = failures.get_or_create(&Failure { reason });
        }
        Self {
            durations: Histogram::new(exponential_buckets(0.001, 4.0, 8)),
            failures,
            leads: Gauge::default(),
            pipelines: PipelineFigures::default(),
        }
    }
}

impl Metrics {
    /// Puts the figures under `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        RECONCILE_DURATION.register(registry, self.durations.clone());
        RECONCILE_FAILURES.register(registry, self.failures.clone());
        LEADS.register(registry, self.leads.clone());
        registry.register_collector(Box::new(self.pipelines.clone()));
    }

    /// Measures a reconcile until the guard is dropped, however it ends.
    #[must_use]
    pub fn reconcile_started(&self) -> ReconcileMeasure {
        ReconcileMeasure { durations: self.durations.clone(), started: Instant::now() }
    }

    /// Counts a failure under the name of its reason.
    pub fn reconcile_failed(&self, reason: &'static str) {
        self.failures.get_or_create(&Failure { reason }).inc();
    }
}

/// Observes the duration of a reconcile on drop.
#[derive(Debug)]
pub struct ReconcileMeasure {
    durations: Histogram,
    started: Instant,
}

impl Drop for ReconcileMeasure {
    fn drop(&mut self) {
        self.durations.observe(self.started.elapsed().as_secs_f64());
    }
}
