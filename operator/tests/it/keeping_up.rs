//! What is said of aggregators that do not keep up, and what would help.

use crds::CryptoPipeline;
use operator::reconcile::apply::Applied;
use operator::reconcile::describe::{Findings, describe};
use operator::reconcile::lag::LagReport;
use operator::reconcile::plan::{Place, plan};
use runtime::kafka_admin::partition_of;

use crate::describe::{condition, said};
use crate::world::{NOW, minimal, running_world, second};

const SYMBOLS: [&str; 5] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT"];

/// Five symbols in three partitions.
fn five_symbols() -> CryptoPipeline {
    minimal(|pipeline| pipeline.spec.sources[0].symbols = SYMBOLS.map(str::to_owned).to_vec())
}

/// What `DataFlowing` says: its status and reason, and its message.
fn flowing(pipeline: &CryptoPipeline, records: &[i64], not_keeping_up: &[i32]) -> (String, String) {
    let observed = running_world(pipeline);
    let now = second(NOW);
    let plan = plan(pipeline, &observed, Place::Cluster, now).unwrap();
    let lag = LagReport { records: records.to_vec(), not_keeping_up: not_keeping_up.to_vec() };
    let status = describe(
        &Findings {
            pipeline,
            observed: &observed,
            plan: Ok(&plan),
            applied: &Applied::default(),
            holes: None,
            lag: Some(&lag),
        },
        now,
    );
    assert_eq!(status.lag, Some(records.iter().sum()));
    (said(&status, "DataFlowing"), condition(&status, "DataFlowing").message.clone())
}

#[test]
fn a_lag_that_passes_is_a_figure_and_no_worry() {
    let (said, message) = flowing(&five_symbols(), &[90_000, 0, 0], &[]);
    assert_eq!((said.as_str(), message.as_str()), ("True/TradesArriving", "trades come from every symbol"));
}

#[test]
fn a_hot_partition_is_named_with_its_symbols() {
    let hot = partition_of(b"binance:BTCUSDT", 3);
    let there: Vec<&str> = SYMBOLS
        .into_iter()
        .filter(|symbol| partition_of(format!("binance:{symbol}").as_bytes(), 3) == hot)
        .collect();
    let mut records = [7, 7, 7];
    records[usize::try_from(hot).unwrap()] = 41_203;
    let (said, message) = flowing(&five_symbols(), &records, &[hot]);
    assert_eq!(said, "True/PartitionHot");
    assert!(message.contains(&format!("partition {hot} alone: 41,203 records behind")), "{message}");
    assert!(message.contains("scaling will not help"), "{message}");
    for symbol in SYMBOLS {
        assert_eq!(message.contains(symbol), there.contains(&symbol), "{symbol}: {message}");
    }
    assert_eq!(message.contains("kafka.topic.partitions"), there.len() > 1, "{message}");
}

#[test]
fn who_shares_its_aggregator_is_not_called_hot() {
    let hot = partition_of(b"binance:BTCUSDT", 3);
    let mut records = [0, 0, 0];
    records[usize::try_from(hot).unwrap()] = 5_000;
    let mut pipeline = five_symbols();
    pipeline.spec.aggregators.replicas = Some(1);
    let (said, message) = flowing(&pipeline, &records, &[hot]);
    assert_eq!(said, "True/FallingBehind");
    assert!(message.ends_with("raise aggregators.replicas, up to 3"), "{message}");
}

#[test]
fn more_partitions_are_no_cure_for_a_symbol_that_has_one_for_itself() {
    let alone = minimal(|pipeline| pipeline.spec.sources[0].symbols = vec!["BTCUSDT".to_owned()]);
    let hot = partition_of(b"binance:BTCUSDT", 3);
    let mut records = [0, 0, 0];
    records[usize::try_from(hot).unwrap()] = 5_000;
    let (_, message) = flowing(&alone, &records, &[hot]);
    assert!(!message.contains("kafka.topic.partitions") && message.contains("flushInterval"), "{message}");
}

#[test]
fn who_falls_behind_as_a_whole_hears_what_to_raise() {
    let cases = [
        (Some(1), "1 aggregators read them: raise aggregators.replicas, up to 3"),
        (None, "every partition has its aggregator: raise kafka.topic.partitions, or give the database more"),
    ];
    for (replicas, cure) in cases {
        let mut pipeline = five_symbols();
        pipeline.spec.aggregators.replicas = replicas;
        let (said, message) = flowing(&pipeline, &[4_000, 5_000, 10], &[0, 1]);
        assert_eq!(said, "True/FallingBehind");
        assert!(
            message.contains("2 of 3 partitions: 9,000 records behind") && message.ends_with(cure),
            "{message}"
        );
    }
    let mut pipeline = five_symbols();
    pipeline.spec.aggregators.max_replicas = 2;
    let (_, message) = flowing(&pipeline, &[4_000, 5_000, 6_000], &[0, 1, 2]);
    assert!(
        message.ends_with("2 aggregators read them: raise aggregators.maxReplicas, up to 3"),
        "{message}"
    );
}
