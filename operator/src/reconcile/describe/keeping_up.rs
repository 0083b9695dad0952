//! Whether the aggregators keep up with the topic, and what would help where they do not.

use crds::condition::Reason;
use runtime::kafka_admin::partition_of;

use super::{Findings, Verdict, listed, with_separators};
use crate::reconcile::observe::WorkerReports;
use crate::reconcile::plan::markets;

/// What is to be said beside that trades arrive; `None` where the aggregators keep up, or nobody knows whether.
pub(super) fn worry(findings: &Findings<'_>) -> Option<Verdict> {
    let lag = findings.lag?;
    let late = lag.not_keeping_up.as_slice();
    if late.is_empty() {
        return None;
    }
    let partitions = lag.records.len();
    let records = late.iter().filter_map(|partition| lag.records.get(usize::try_from(*partition).ok()?));
    let records = with_separators(records.sum::<i64>());
    // A partition is never read by two: one that has its aggregator to itself gains nothing by more of them.
    let is_hot = late.len() * 2 <= partitions
        && late.iter().all(|partition| is_alone(findings, *partition, partitions));
    let (reason, message) = if is_hot {
        let which = if late.len() == 1 { "partition" } else { "partitions" };
        let cure = hot_cure(findings, late, partitions);
        (Reason::PartitionHot, format!("{which} {} alone: {records} records behind; {cure}", listed(late)))
    } else {
        let cure = cure(findings, partitions);
        let count = late.len();
        (
            Reason::FallingBehind,
            format!("{count} of {partitions} partitions: {records} records behind; {cure}"),
        )
    };
    let message = format!("trades come from every symbol, and not all are stored in time of {message}");
    Some(Verdict::yes(reason, message))
}

/// Whether no other partition is read by the same aggregator.
fn is_alone(findings: &Findings<'_>, partition: i32, partitions: usize) -> bool {
    let reports = findings.observed.workers.value();
    let mut told = reports.into_iter().flat_map(WorkerReports::answered_aggregators);
    let has_it_alone = told.any(|aggregator| match aggregator.partitions.as_slice() {
        [only] => only.partition == partition,
        _ => false,
    });
    has_it_alone || usize::try_from(planned(findings)).is_ok_and(|planned| planned >= partitions)
}

fn planned(findings: &Findings<'_>) -> i32 {
    findings.plan.ok().map(|plan| plan.workloads.aggregator.replicas).unwrap_or_default()
}

/// More partitions spread the symbols of one, but a symbol's trades stay together.
fn hot_cure(findings: &Findings<'_>, late: &[i32], partitions: usize) -> String {
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
    let is_late = |key: &str| late.contains(&partition_of(key.as_bytes(), partitions));
    let markets: Vec<String> = markets(&findings.pipeline.spec)
        .iter()
        .map(ToString::to_string)
        .filter(|market| is_late(market))
        .collect();
    let spread = if markets.len() > late.len() {
        "more partitions (kafka.topic.partitions) may spread its symbols"
    } else {
        "a longer aggregation.flushInterval or a faster database may"
    };
    // None, where a symbol was removed and what it left has not been read yet.
    let symbols =
        if markets.is_empty() { String::new() } else { format!("; its symbols: {}", listed(markets)) };
    format!("scaling will not help, {spread}{symbols}")
}

fn cure(findings: &Findings<'_>, partitions: usize) -> String {
    let planned = planned(findings);
    if usize::try_from(planned).is_ok_and(|planned| planned < partitions) {
        let field = match findings.pipeline.spec.aggregators.replicas {
            Some(_) => "aggregators.replicas",
            None => "aggregators.maxReplicas",
        };
        return format!("{planned} aggregators read them: raise {field}, up to {partitions}");
    }
    "every partition has its aggregator: raise kafka.topic.partitions, or give the database more".to_owned()
}
