//! The page of metrics.

use runtime::metrics::{BUILD_INFO, Metric, MetricKind};

const HEAD: &str = "\
# Metrics

Every program answers `GET /metrics` on its port 8080 in the OpenMetrics format. This page is made of the declarations in
the code: `cargo run -p reference`.

The chart's ServiceMonitor and PodMonitor have Prometheus scrape them (`monitoring` in the values). They add the labels
`namespace`, `pod`, `pipeline`, `role`, and of producers `source`, to what workers expose. Times are in seconds, sizes in
bytes, everything else is a number of what the name says. What is not known has no value: an old one, or a zero, would look
like a good one.
";

fn sections() -> [(&'static str, &'static str, Vec<Metric>); 6] {
    [
        ("Every program", "", vec![BUILD_INFO]),
        (
            "Pipelines",
            "Told by the operator that leads, of every pipeline, whether its workers run or not.",
            operator::metrics::pipelines::METRICS.to_vec(),
        ),
        ("Operator", "Told by each operator of itself.", operator::metrics::METRICS.to_vec()),
        (
            "Producer",
            "One pod for each source; more where it has `replicas`, which all receive every trade.",
            worker::produce::metrics::METRICS.to_vec(),
        ),
        (
            "Aggregator",
            "Each pod tells of the partitions that are assigned to it; the one that has the first asks for the database's sizes too, once a minute.",
            worker::aggregate::metrics::METRICS.to_vec(),
        ),
        ("Repairer", "One pod for a pipeline.", worker::repair::metrics::METRICS.to_vec()),
    ]
}

pub(crate) fn page() -> String {
    let mut page = HEAD.to_owned();
    for (title, about, metrics) in sections() {
        page += &format!("\n## {title}\n");
        if !about.is_empty() {
            page += &format!("\n{about}\n");
        }
        page += "\n| Name | Type | Labels | What |\n|---|---|---|---|\n";
        page.extend(metrics.iter().map(row));
    }
    page
}

fn row(metric: &Metric) -> String {
    let Metric { name, kind, labels, help } = metric;
    let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{name}` | {} | {} | {help} |\n", kind_name(*kind), labels.join(", "))
}

const fn kind_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_say_what_they_count() {
        let mut names = BTreeSet::new();
        for metric in sections().into_iter().flat_map(|(_, _, metrics)| metrics) {
            assert!(names.insert(metric.name), "{} is declared twice", metric.name);
            assert!(metric.name.starts_with("cryptopipeline_"), "{}", metric.name);
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == MetricKind::Counter,
                "{}",
                metric.name
            );
            assert!(!metric.help.ends_with('.') && !metric.help.contains('|'), "{}", metric.help);
        }
    }
}
