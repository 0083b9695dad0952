//! Pipelines as users write them, and what may be known of the world around them.

use std::collections::{BTreeMap, BTreeSet};

use crds::CryptoPipeline;
use crds::condition::Reason;
use crds::worker_status::{
    AggregatorStatus, DependencyStatus, ProducerStatus, RepairerStatus, SymbolState, SymbolStatus,
};
use jiff::Timestamp;
use operator::reconcile::observe::secrets::SecretProblem;
use operator::reconcile::observe::{
    Failure, Observed, Reading, SchemaState, SecretState, TopicState, WorkerReport, WorkerReports, Workload,
    Workloads,
};
use operator::reconcile::plan::{PipelinePlan, Place, plan};
use runtime::kafka_admin::TopicDescription;
use store::{HeadState, LATEST_SCHEMA_VERSION, MarketLedger, Owner, PartitionPosition};

/// 2026-09-21: after the starts that the fixtures name.
pub(crate) const NOW: i64 = 1_790_000_000;
const TOPIC_ID: &str = "topic-id";

/// The pipeline of `tests/fixtures/<case>/pipeline.yaml`.
pub(crate) fn fixture(case: &str) -> CryptoPipeline {
    let path = format!("{}/tests/fixtures/{case}/pipeline.yaml", env!("CARGO_MANIFEST_DIR"));
    crds::manifest::read(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The minimal pipeline, changed.
pub(crate) fn minimal(change: impl FnOnce(&mut CryptoPipeline)) -> CryptoPipeline {
    let mut pipeline = fixture("minimal");
    change(&mut pipeline);
    pipeline
}

pub(crate) fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn planned(pipeline: &CryptoPipeline, observed: &Observed) -> PipelinePlan {
    plan(pipeline, observed, Place::Cluster, second(NOW)).unwrap()
}

pub(crate) fn known<T>(value: T) -> Reading<T> {
    Reading::Known { value, at: second(NOW) }
}

pub(crate) fn away<T>(message: &str) -> Reading<T> {
    Reading::Failed(Failure { message: message.to_owned(), is_transient: true })
}

pub(crate) fn refuses<T>(message: &str) -> Reading<T> {
    Reading::Failed(Failure { message: message.to_owned(), is_transient: false })
}

/// What a Secret that is not there comes to.
pub(crate) fn missing(reason: Reason) -> SecretState {
    SecretState::Missing(SecretProblem { reason, message: "Secret postgres does not exist".to_owned() })
}

/// Nothing runs yet; credentials, broker and database are there and empty.
pub(crate) fn empty_world() -> Observed {
    Observed {
        topic: known(None),
        kafka_secrets: SecretState::NotNeeded,
        database_secrets: SecretState::Found {
            checksum: "0123456789abcdef".to_owned(),
            server: Some(("postgres".to_owned(), 5433).into()),
        },
        schema: known(SchemaState::default()),
        ..Observed::default()
    }
}

/// Everything runs as `pipeline` asks.
pub(crate) fn running_world(pipeline: &CryptoPipeline) -> Observed {
    let spec = &pipeline.spec;
    let workload = |count: i32| Workload {
        wished: count,
        replicas: count,
        ready: count,
        is_current: true,
        problem: None,
    };
    let topic = topic_as_declared(pipeline);
    let partitions = topic.description.partitions;
    let producers =
        spec.sources.iter().map(|source| (source.name.clone(), workload(source.redundancy))).collect();
    let reports = WorkerReports {
        producers: spec
            .sources
            .iter()
            .map(|source| report(producer(&source.name, &source.symbols)))
            .collect(),
        aggregators: vec![report(AggregatorStatus {
            broker: fine(),
            database: fine(),
            ..Default::default()
        })],
        repairers: vec![report(RepairerStatus { broker: fine(), database: fine(), ..Default::default() })],
    };
    Observed {
        schema: known(schema_as_needed(pipeline)),
        workloads: Workloads {
            producers,
            aggregator: Some(workload(partitions.min(spec.aggregators.max_replicas))),
            repairer: Some(workload(1)),
        },
        workers: known(reports),
        topic: known(Some(topic)),
        ..empty_world()
    }
}

pub(crate) fn topic_as_declared(pipeline: &CryptoPipeline) -> TopicState {
    let wished = planned(pipeline, &empty_world()).topic.wished;
    let mut config = BTreeMap::from([("compression.type".to_owned(), "producer".to_owned())]);
    config.extend(wished.config);
    TopicState {
        description: TopicDescription {
            id: TOPIC_ID.to_owned(),
            partitions: wished.partitions,
            replication_factor: wished.replication_factor,
        },
        config,
        end_offsets: (0..wished.partitions).map(|_| 100).collect(),
        brokers: BTreeSet::from([("broker-0.brokers.kafka.svc".to_owned(), 9093).into()]),
    }
}

pub(crate) fn schema_as_needed(pipeline: &CryptoPipeline) -> SchemaState {
    let plan = planned(pipeline, &empty_world());
    let position = |partition| PartitionPosition {
        partition,
        topic_id: TOPIC_ID.to_owned(),
        next_offset: 100,
        records_read: 100,
        trades_new: 100,
        trades_duplicate: 0,
        records_set_aside: 0,
    };
    let ledger = |market: &market::Market| MarketLedger {
        first_trade_id: Some(1),
        last_trade_id: Some(50),
        last_trade_time_us: Some(NOW * 1_000_000),
        trades_held: 50,
        head: Some(HeadState { last_id: 50, probed_at_us: NOW * 1_000_000 }),
        history_from_us: history_from_us(pipeline, market),
        ..MarketLedger::of(market.clone())
    };
    SchemaState {
        version: Some(LATEST_SCHEMA_VERSION),
        owner: Some(plan.schema.owner),
        positions: (0..plan.topic.wished.partitions).map(position).collect(),
        ledgers: plan.markets.iter().map(ledger).collect(),
        ..SchemaState::default()
    }
}

/// The start that the pipeline wishes for a market.
fn history_from_us(pipeline: &CryptoPipeline, market: &market::Market) -> Option<i64> {
    let of_market = |source: &&crds::spec::SourceSpec| source.effective_venue() == market.venue.as_str();
    let source = pipeline.spec.sources.iter().find(of_market)?;
    Some(source.history.as_ref()?.from.0.as_microsecond())
}

pub(crate) fn other_owner() -> Owner {
    Owner { namespace: "trading".to_owned(), name: "older".to_owned(), uid: "33".to_owned() }
}

pub(crate) fn producer(source: &str, symbols: &[String]) -> ProducerStatus {
    let symbol = SymbolStatus { state: SymbolState::Streaming, ..SymbolStatus::default() };
    ProducerStatus {
        source: source.to_owned(),
        exchange: fine(),
        broker: fine(),
        symbols: symbols.iter().map(|name| (name.clone(), symbol.clone())).collect(),
        ..ProducerStatus::default()
    }
}

pub(crate) fn fine() -> DependencyStatus {
    DependencyStatus { available: true, message: String::new() }
}

pub(crate) fn report<S>(status: S) -> WorkerReport<S> {
    WorkerReport { pod: "pod".to_owned(), answer: Ok(status) }
}
