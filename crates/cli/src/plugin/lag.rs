//! `kubectl cryptopipeline lag`: how far each partition is behind, as the aggregators tell it themselves.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use crds::CryptoPipeline;
use crds::worker_status::{AggregatorStatus, PartitionStatus};
use futures::future::join_all;
use jiff::Timestamp;
use kube::ResourceExt as _;
use operator::reconcile::desired::Role;
use operator::reconcile::plan::markets;
use runtime::kafka_admin::partition_of;
use serde::Serialize;
use worker::record::RecordEncoder;

use super::Target;
use super::worker_pods::{ask_status, has_role, is_running, worker_pods};
use crate::output::{Format, FormatOptions, UNKNOWN, age, counted, or_unknown, print, write_json};
use crate::table::{self, Column};

/// A table names so many symbols of a partition.
const MOST_NAMED: usize = 4;

#[derive(Args)]
pub(super) struct LagArguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatOptions,
}

/// What is known of the lag. What is not is `None`, never 0.
#[derive(Debug, Serialize)]
struct Lag {
    namespace: String,
    pipeline: String,
    suspended: bool,
    /// Of all partitions, where every one is known.
    records: Option<i64>,
    partitions: Vec<PartitionLag>,
    not_answering: Vec<NotAnswering>,
    /// What the operator said last, all partitions together.
    operator: Option<OperatorFigure>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct PartitionLag {
    partition: i32,
    records: Option<i64>,
    end_offset: Option<i64>,
    /// The offset that the database expects next.
    committed_offset: Option<i64>,
    /// Who reads it.
    pod: Option<String>,
    /// Whose records go there at the present number of partitions.
    symbols: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct NotAnswering {
    pod: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct OperatorFigure {
    records: i64,
    at: Option<Timestamp>,
}

/// What each aggregator that runs has answered.
type Answers = Vec<(String, anyhow::Result<AggregatorStatus>)>;

/// Prints the lag.
pub(super) async fn run(arguments: LagArguments) -> anyhow::Result<ExitCode> {
    let LagArguments { target, format } = arguments;
    let cluster = target.cluster.connect().await?;
    let pipeline = cluster.pipeline(&target.name).await?;
    let pods = worker_pods(&cluster, &target.name).await?;
    let aggregators = pods.iter().filter(|pod| has_role(pod, Role::Aggregator) && is_running(pod));
    let answers = join_all(aggregators.map(async |pod| {
        let name = pod.name_any();
        let answer = ask_status(&cluster, &name).await;
        (name, answer)
    }));
    let lag = lag_of(&pipeline, answers.await);
    print(|out| match format.output {
        Format::Table => write_table(&lag, Timestamp::now(), out),
        Format::Json => write_json(&lag, out),
    })?;
    Ok(if lag.records.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lag_of(pipeline: &CryptoPipeline, answers: Answers) -> Lag {
    let status = pipeline.status.clone().unwrap_or_default();
    let mut told: BTreeMap<i32, (String, PartitionStatus)> = BTreeMap::new();
    let mut not_answering = Vec::new();
    for (pod, answer) in answers {
        match answer {
            Err(error) => not_answering.push(NotAnswering { pod, reason: format!("{error:#}") }),
            Ok(status) => {
                for partition in status.partitions {
                    take_in(&mut told, &pod, partition);
                }
            }
        }
    }
    let highest_told = told.keys().next_back().map_or(0, |highest| highest + 1);
    let count = status.partitions.unwrap_or_default().max(highest_told);
    let mut partitions: Vec<PartitionLag> =
        (0..count).map(|partition| partition_lag(partition, told.remove(&partition))).collect();
    for market in markets(&pipeline.spec).into_iter().filter(|_| count > 0) {
        let partition = partition_of(RecordEncoder::new(&market).key(), count);
        if let Some(lag) = partitions.iter_mut().find(|lag| lag.partition == partition) {
            lag.symbols.push(market.to_string());
        }
    }
    let known: Option<i64> = partitions.iter().map(|lag| lag.records).sum();
    Lag {
        namespace: pipeline.namespace().unwrap_or_default(),
        pipeline: pipeline.name_any(),
        suspended: pipeline.spec.suspend,
        records: known.filter(|_| count > 0),
        partitions,
        not_answering,
        operator: status
            .lag
            .map(|records| OperatorFigure { records, at: status.figures_time.map(|time| time.0) }),
    }
}

/// While a partition goes from one pod to another, both may name it: the one that has committed more has it now.
fn take_in(told: &mut BTreeMap<i32, (String, PartitionStatus)>, pod: &str, partition: PartitionStatus) {
    let known = told.get(&partition.partition);
    if known.is_none_or(|(_, known)| known.next_offset < partition.next_offset) {
        told.insert(partition.partition, (pod.to_owned(), partition));
    }
}

fn partition_lag(partition: i32, told: Option<(String, PartitionStatus)>) -> PartitionLag {
    let Some((pod, PartitionStatus { next_offset, end_offset, .. })) = told else {
        return PartitionLag { partition, ..PartitionLag::default() };
    };
    PartitionLag {
        partition,
        records: end_offset.map(|end| end.saturating_sub(next_offset).max(0)),
        end_offset,
        committed_offset: Some(next_offset),
        pod: Some(pod),
        symbols: Vec::new(),
    }
}

fn write_table(lag: &Lag, now: Timestamp, mut out: &mut dyn Write) -> io::Result<()> {
    let columns = [
        Column::Right("PARTITION"),
        Column::Right("LAG"),
        Column::Right("END OFFSET"),
        Column::Right("COMMITTED"),
        Column::Left("POD"),
        Column::Left("SYMBOLS"),
    ];
    let row = |lag: &PartitionLag| {
        vec![
            lag.partition.to_string(),
            or_unknown(lag.records),
            or_unknown(lag.end_offset),
            or_unknown(lag.committed_offset),
            lag.pod.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
            named(&lag.symbols),
        ]
    };
    table::write(&columns, &lag.partitions.iter().map(row).collect::<Vec<_>>(), &mut out)?;
    for NotAnswering { pod, reason } in &lag.not_answering {
        writeln!(out, "\npod {pod} does not tell: {reason}")?;
    }
    writeln!(out, "\n{}", verdict(lag, now))
}

fn named(symbols: &[String]) -> String {
    let mut text = symbols.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if symbols.len() > MOST_NAMED {
        text.push_str(&format!(" and {} more", symbols.len() - MOST_NAMED));
    }
    text
}

fn verdict(lag: &Lag, now: Timestamp) -> String {
    let records = |count| counted(count, "record", "records");
    if let Some(count) = lag.records {
        return format!("the database is {} behind the topic", records(count));
    }
    let said = match &lag.operator {
        Some(OperatorFigure { records: count, at }) => {
            let when = at.map_or_else(String::new, |at| format!(" {} ago", age(at, now)));
            format!("the operator said {}{when}", records(*count))
        }
        None => "the operator does not know it either".to_owned(),
    };
    let why = match lag.partitions.iter().filter(|lag| lag.records.is_none()).count() {
        _ if lag.suspended => "the pipeline is suspended".to_owned(),
        0 => "the topic's partitions are not known".to_owned(),
        unknown => format!(
            "no aggregator tells of {}",
            counted(i64::try_from(unknown).unwrap_or(i64::MAX), "partition", "partitions")
        ),
    };
    format!("the lag is not known: {why}; {said}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pipeline(partitions: Option<i32>) -> CryptoPipeline {
        serde_json::from_value(json!({
            "metadata": {"name": "quickstart", "namespace": "market"},
            "spec": {"sources": [{"name": "a", "exchange": "binance", "symbols": ["BTCUSDT", "ETHUSDT"]}]},
            "status": {"partitions": partitions, "lag": 7, "figuresTime": "2026-01-01T00:00:00Z"},
        }))
        .unwrap()
    }

    fn aggregator(
        pod: &str,
        partitions: &[(i32, i64, Option<i64>)],
    ) -> (String, anyhow::Result<AggregatorStatus>) {
        let partition = |&(partition, next_offset, end_offset): &(i32, i64, Option<i64>)| PartitionStatus {
            partition,
            next_offset,
            end_offset,
        };
        let partitions = partitions.iter().map(partition).collect();
        (pod.to_owned(), Ok(AggregatorStatus { partitions, ..AggregatorStatus::default() }))
    }

    fn printed(lag: &Lag) -> String {
        let mut out = Vec::new();
        write_table(lag, "2026-01-01T00:00:12Z".parse().unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_partition_has_its_reader_and_its_lag() {
        let answers = vec![aggregator("one", &[(0, 90, Some(100))]), aggregator("two", &[(1, 50, Some(50))])];
        let lag = lag_of(&pipeline(Some(2)), answers);
        assert_eq!(lag.records, Some(10));
        let mut symbols: Vec<&str> =
            lag.partitions.iter().flat_map(|lag| &lag.symbols).map(String::as_str).collect();
        symbols.sort_unstable();
        assert_eq!(symbols, ["binance:BTCUSDT", "binance:ETHUSDT"]);
        let table = printed(&lag);
        assert!(table.starts_with("PARTITION  LAG  END OFFSET  COMMITTED  POD  SYMBOLS\n"), "{table}");
        assert!(table.contains("\n        0   10         100         90  one"), "{table}");
        assert!(table.ends_with("\nthe database is 10 records behind the topic\n"), "{table}");
    }

    #[test]
    fn what_is_not_known_is_not_zero() {
        let silent = ("two".to_owned(), Err(anyhow::anyhow!("pods \"two\" is forbidden")));
        let lag = lag_of(&pipeline(Some(3)), vec![aggregator("one", &[(0, 90, None)]), silent]);
        assert_eq!(lag.records, None);
        let records: Vec<Option<i64>> = lag.partitions.iter().map(|lag| lag.records).collect();
        assert_eq!(records, [None; 3]);
        assert_eq!(lag.partitions[0].committed_offset, Some(90));
        let table = printed(&lag);
        assert!(table.contains("pod two does not tell: pods \"two\" is forbidden\n"), "{table}");
        let verdict = "the lag is not known: no aggregator tells of 3 partitions; the operator said 7 records 12 s ago\n";
        assert!(table.ends_with(verdict), "{table}");
        assert_eq!(lag_of(&pipeline(None), Vec::new()).records, None);
    }

    #[test]
    fn of_two_that_name_a_partition_the_one_that_is_further_has_it() {
        let answers =
            vec![aggregator("old", &[(0, 80, Some(100))]), aggregator("new", &[(0, 95, Some(100))])];
        let lag = lag_of(&pipeline(Some(1)), answers);
        assert_eq!((lag.records, lag.partitions[0].pod.as_deref()), (Some(5), Some("new")));
    }
}
