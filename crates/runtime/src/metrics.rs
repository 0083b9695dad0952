//! What programs count and measure, each figure declared once: `/metrics` exposes it under that name, and
//! docs/reference/metrics.md lists it.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{self, Registry};

/// A figure that a program exposes.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As Prometheus is asked for it: a counter's ends with `_total`, what has a unit names it before that.
    pub name: &'static str,
    /// Whether it only grows, is at some height, or counts by size.
    pub kind: MetricKind,
    /// What its values are told apart by.
    pub labels: &'static [&'static str],
    /// What it counts, in a sentence without its full stop.
    pub help: &'static str,
}

/// How a figure moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Grows from the start of the program on.
    Counter,
    /// Is as high as it is.
    Gauge,
    /// Counts observations by their size.
    Histogram,
}

/// The program's own version, 1: to see which versions run.
pub const BUILD_INFO: Metric =
    Metric::gauge("cryptopipeline_build_info", &["program", "version"], "1, by the version that runs");

impl Metric {
    /// Something that only grows.
    #[must_use]
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: MetricKind::Counter, labels, help }
    }

    /// Something that rises and falls.
    #[must_use]
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: MetricKind::Gauge, labels, help }
    }

    /// Observations, counted by their size.
    #[must_use]
    pub const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: MetricKind::Histogram, labels, help }
    }

    /// Enters what holds the figure's values in `registry`.
    pub fn register(&self, registry: &mut Registry, values: impl registry::Metric) {
        registry.register(self.family(), self.help, values);
    }

    /// Tells values that are read as they are asked for, each with those of its labels.
    ///
    /// # Errors
    /// Where the text cannot be written.
    pub fn tell<L: AsRef<str>, const N: usize>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        values: impl IntoIterator<Item = ([L; N], f64)>,
    ) -> Result<(), Error> {
        let kind = self.kind.as_type();
        let mut encoder = encoder.encode_descriptor(self.family(), self.help, None, kind)?;
        for (labels, value) in values {
            let labels: Vec<(&str, &str)> =
                self.labels.iter().copied().zip(labels.iter().map(AsRef::as_ref)).collect();
            encode_value(kind, value, encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Tells the one value of a figure without labels.
    ///
    /// # Errors
    /// Where the text cannot be written.
    pub fn tell_one(&self, encoder: &mut DescriptorEncoder<'_>, value: f64) -> Result<(), Error> {
        let kind = self.kind.as_type();
        encode_value(kind, value, encoder.encode_descriptor(self.family(), self.help, None, kind)?)
    }

    /// The name without what the format puts behind it.
    fn family(&self) -> &'static str {
        self.name.strip_suffix("_total").unwrap_or(self.name)
    }
}

impl MetricKind {
    const fn as_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
        }
    }
}

fn encode_value(kind: MetricType, value: f64, encoder: MetricEncoder<'_>) -> Result<(), Error> {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(encoder),
        _ => ConstGauge::new(value).encode(encoder),
    }
}

/// A registry of `program`, which says the version that runs.
#[must_use]
pub fn registry(program: &'static str, version: &'static str) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(BuildInfo { program, version }));
    registry
}

#[derive(Debug)]
struct BuildInfo {
    program: &'static str,
    version: &'static str,
}

impl Collector for BuildInfo {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        BUILD_INFO.tell(&mut encoder, [([self.program, self.version], 1.0)])
    }
}

/// 1 for what holds, 0 for what does not.
#[must_use]
pub fn one_if(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// A count as Prometheus takes it; from 2^53 on it is rounded.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "Prometheus keeps doubles")]
pub fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[derive(Debug)]
    struct Two;

    const READ: Metric = Metric::counter("reads_total", &[], "Reads");
    const HEIGHT: Metric = Metric::gauge("height_bytes", &["of", "at"], "How high");
    const HELD: Metric = Metric::counter("held_total", &[], "Held");

    impl Collector for Two {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
            READ.tell_one(&mut encoder, count(7))?;
            HEIGHT.tell(&mut encoder, [(["a", "1"], 2.5), (["b", "2"], one_if(true))])
        }
    }

    #[test]
    fn figures_are_exposed_under_the_names_that_are_declared() {
        let mut registry = registry("worker", "1.2.3");
        registry.register_collector(Box::new(Two));
        let held = Counter::<u64>::default();
        held.inc_by(3);
        HELD.register(&mut registry, held);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            values,
            [
                "held_total 3",
                r#"cryptopipeline_build_info{program="worker",version="1.2.3"} 1.0"#,
                "reads_total 7.0",
                r#"height_bytes{of="a",at="1"} 2.5"#,
                r#"height_bytes{of="b",at="2"} 1.0"#,
            ]
        );
    }
}
