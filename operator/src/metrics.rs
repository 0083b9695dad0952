//! The operator's own figures, and those of the pipelines.

mod pipelines;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::time::Instant;

pub use pipelines::PipelineFigures;

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
    error: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            durations: Histogram::new(exponential_buckets(0.001, 4.0, 8)),
            failures: Family::default(),
            leads: Gauge::default(),
            pipelines: PipelineFigures::default(),
        }
    }
}

impl Metrics {
    /// Puts the figures under `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "How long one reconcile took, in seconds";
        registry.register("cryptopipeline_operator_reconcile_duration_seconds", help, self.durations.clone());
        let help = "Reconciles that the API server did not let finish";
        registry.register("cryptopipeline_operator_reconcile_failures", help, self.failures.clone());
        let help = "1 for the operator that reconciles, 0 for one that waits to lead";
        registry.register("cryptopipeline_operator_leads", help, self.leads.clone());
        registry.register_collector(Box::new(self.pipelines.clone()));
    }

    /// Measures a reconcile until the guard is dropped, however it ends.
    #[must_use]
    pub fn reconcile_started(&self) -> ReconcileMeasure {
        ReconcileMeasure { durations: self.durations.clone(), started: Instant::now() }
    }

    /// Counts a failure under the name of its error.
    pub fn reconcile_failed(&self, error: &str) {
        self.failures.get_or_create(&Failure { error: error.to_owned() }).inc();
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
