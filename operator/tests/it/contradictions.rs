//! No status contradicts itself, whatever was found: some of the things that can happen to a running pipeline, in any
//! combination and order, and what must hold of every status.

use crds::condition::ConditionKind::{
    AggregatorsReady, DataContinuous, DataFlowing, DataVerified, ProducersReady, Ready, Reconciling,
    SchemaReady, SpecValid, Stalled, TopicReady,
};
use crds::condition::{ConditionKind, Reason};
use crds::worker_status::{DependencyStatus, SymbolState, UnavailableHole, UndecidedCheck};
use crds::{CryptoPipeline, CryptoPipelineStatus};
use operator::reconcile::apply::Applied;
use operator::reconcile::describe::{Findings, describe};
use operator::reconcile::holes::{HoleReport, HoleWatch, Missing, count_holes};
use operator::reconcile::lag::{LagWatch, flush_interval};
use operator::reconcile::observe::{
    CandleChecks, Observed, Reading, SchemaState, SecretState, TopicState, WorkerReports, Workload, Workloads,
};
use operator::reconcile::plan::{Complaint, Place, plan};
use proptest::prelude::*;
use proptest::sample::subsequence;
use store::{
    CheckCount, CheckVerdict, DifferingCandle, Hole, LATEST_SCHEMA_VERSION, MarketLedger, RefusedIds,
    RefusedTrades,
};

use crate::describe::condition;
use crate::world::{NOW, away, fixture, known, missing, other_owner, refuses, running_world, second};

/// Everything that a status is made of.
struct World {
    pipeline: CryptoPipeline,
    observed: Observed,
    applied: Applied,
    /// Which of the ledgers' holes count; `None` for what the looks say.
    holes: Option<HoleReport>,
    /// The partitions that do not keep up, of those that there are.
    not_keeping_up: Vec<i32>,
}

/// Something that can be so: its name, and how it comes to be.
type Circumstance = (&'static str, fn(&mut World));

const CIRCUMSTANCES: &[Circumstance] = &[
    ("suspended", |world| world.pipeline.spec.suspend = true),
    ("no repair", |world| world.pipeline.spec.repair.enabled = false),
    ("no broker named", |world| world.pipeline.spec.kafka = None),
    ("no database named", |world| world.pipeline.spec.database = None),
    ("foreign topic", |world| on(&mut world.pipeline.spec.kafka, |kafka| kafka.topic.managed = false)),
    ("foreign schema", |world| on(&mut world.pipeline.spec.database, |database| database.managed = false)),
    ("more partitions wished", |world| {
        on(&mut world.pipeline.spec.kafka, |kafka| kafka.topic.partitions += 3)
    }),
    ("scaled to zero", |world| world.pipeline.spec.aggregators.replicas = Some(0)),
    ("one symbol more", |world| world.pipeline.spec.sources[0].symbols.push("NEWUSDT".to_owned())),
    ("topic not read", |world| world.observed.topic = Reading::Pending),
    ("broker away", |world| world.observed.topic = away("refused")),
    ("broker refuses", |world| world.observed.topic = refuses("not allowed")),
    ("no topic", |world| world.observed.topic = known(None)),
    ("topic made anew", |world| topic(world, |topic| topic.description.id = "anew".to_owned())),
    ("fewer partitions", |world| topic(world, |topic| topic.description.partitions = 1)),
    ("more partitions", |world| topic(world, |topic| topic.description.partitions += 1)),
    ("other replication", |world| topic(world, |topic| topic.description.replication_factor += 1)),
    ("other settings", |world| topic(world, |topic| topic.config.clear())),
    ("records to read", |world| topic(world, |topic| topic.end_offsets[0] += 1_000)),
    ("a partition does not keep up", |world| world.not_keeping_up = vec![0]),
    ("no partition keeps up", |world| world.not_keeping_up = (0..100).collect()),
    ("topic of another", |world| world.observed.topic_rival = Some("trading/older".to_owned())),
    ("database's secrets not read", |world| world.observed.database_secrets = SecretState::Pending),
    ("no secret", |world| world.observed.database_secrets = missing(Reason::SecretNotFound)),
    ("no key", |world| world.observed.database_secrets = missing(Reason::SecretKeyNotFound)),
    ("broker's secrets not read", |world| world.observed.kafka_secrets = SecretState::Pending),
    ("secret forbidden", |world| world.observed.kafka_secrets = missing(Reason::SecretUnreadable)),
    ("workers' user without rights", |world| {
        schema(world, |schema| schema.worker_user = Some("market".to_owned()))
    }),
    ("schema not read", |world| world.observed.schema = Reading::Pending),
    ("database away", |world| world.observed.schema = away("refused")),
    ("database refuses", |world| world.observed.schema = refuses("not allowed")),
    ("empty database", |world| world.observed.schema = known(SchemaState::default())),
    ("old schema", |world| schema(world, |schema| schema.version = Some(LATEST_SCHEMA_VERSION - 1))),
    ("new schema", |world| schema(world, |schema| schema.version = Some(LATEST_SCHEMA_VERSION + 1))),
    ("altered tables", |world| {
        schema(world, |schema| schema.differences = vec!["view holes is missing".to_owned()])
    }),
    ("schema of nobody", |world| schema(world, |schema| schema.owner = None)),
    ("schema of another", |world| schema(world, |schema| schema.owner = Some(other_owner()))),
    ("nothing held", |world| schema(world, |schema| schema.ledgers.clear())),
    ("no trade held", |world| ledger(world, |ledger| ledger.trades_held = 0)),
    ("a hole", |world| ledger(world, |ledger| (ledger.missing, ledger.holes) = (3, vec![HOLE]))),
    ("a hole that counts", |world| {
        let market = first_market(world);
        ledger(world, |ledger| (ledger.missing, ledger.holes) = (3, vec![HOLE]));
        let missing = Missing { trades: 3, holes: vec![HOLE] };
        world.holes.get_or_insert_default().missing.insert(market, missing);
    }),
    ("a hole that may wait in the topic", |world| {
        let market = first_market(world);
        ledger(world, |ledger| (ledger.missing, ledger.holes) = (3, vec![HOLE]));
        world.holes.get_or_insert_default().unconfirmed.insert(market, 3);
    }),
    ("trades refused", |world| {
        let reason = market::RefusalReason::TooLarge;
        let newest = vec![RefusedIds { first_id: 7, last_id: 7, reason }];
        ledger(world, |ledger| ledger.refused = RefusedTrades { trades: 1, newest });
    }),
    ("ids restarted", |world| {
        ledger(world, |ledger| {
            ledger.restart = Some(market::IdRestart { since_us: NOW * 1_000_000, trades: 10 });
        });
    }),
    ("head not probed", |world| ledger(world, |ledger| ledger.head = None)),
    ("head probed long ago", |world| {
        ledger(world, |ledger| on(&mut ledger.head, |head| head.probed_at_us -= 3_600_000_000));
    }),
    ("candles equal", |world| checks(world, CheckVerdict::Equal)),
    ("candle of the exchange differs", |world| checks(world, CheckVerdict::ExchangeDiffers)),
    ("candle of ours is wrong", |world| checks(world, CheckVerdict::OursWrong)),
    ("nothing runs", |world| world.observed.workloads = Workloads::default()),
    ("no producer is ready", |world| workloads(world, |workload| workload.ready = 0, |_| {})),
    ("no aggregator is ready", |world| workloads(world, |_| {}, |workload| workload.ready = 0)),
    ("pods are replaced", |world| workloads(world, outdated, outdated)),
    ("pods fail", |world| workloads(world, failing, failing)),
    ("pods are gone", |world| workloads(world, gone, gone)),
    ("producers are gone", |world| workloads(world, gone, |_| {})),
    ("workers not asked", |world| world.observed.workers = Reading::Pending),
    ("workers not reached", |world| world.observed.workers = away("refused")),
    ("no worker known", |world| world.observed.workers = known(WorkerReports::default())),
    ("producers do not answer", |world| {
        workers(world, |reports| {
            reports.producers.iter_mut().for_each(|one| one.answer = Err("late".to_owned()))
        });
    }),
    ("aggregators do not answer", |world| {
        workers(world, |reports| {
            reports.aggregators.iter_mut().for_each(|one| one.answer = Err("late".to_owned()))
        });
    }),
    ("exchange away", |world| producers(world, |producer| producer.exchange = unavailable())),
    ("producers cut off", |world| producers(world, |producer| producer.broker = unavailable())),
    ("aggregators cut off", |world| {
        workers(world, |reports| {
            let answers = reports.aggregators.iter_mut().filter_map(|report| report.answer.as_mut().ok());
            answers.for_each(|aggregator| aggregator.database = unavailable());
        });
    }),
    ("symbol not checked", |world| symbol(world, SymbolState::Unchecked)),
    ("symbol not listed", |world| symbol(world, SymbolState::Unknown)),
    ("symbol halted", |world| symbol(world, SymbolState::NotTrading)),
    ("symbol silent", |world| symbol(world, SymbolState::Silent)),
    ("price frozen", |world| symbol(world, SymbolState::Frozen)),
    ("no trade yet", |world| symbol(world, SymbolState::Subscribed)),
    ("hole unavailable", |world| {
        let (venue, symbol, reason) = ("binance".to_owned(), "BTCUSDT".to_owned(), "gone".to_owned());
        let hole = UnavailableHole { venue, symbol, first_id: 5, last_id: 7, reason };
        repairers(world, |repairer| repairer.unavailable.push(hole.clone()));
    }),
    ("difference undecided", |world| {
        let (venue, symbol, reason) = ("binance".to_owned(), "BTCUSDT".to_owned(), "asked".to_owned());
        let (interval, open_time) = ("1m".to_owned(), "2026-01-01T00:00:00Z".to_owned());
        let check = UndecidedCheck { venue, symbol, interval, open_time, reason };
        repairers(world, |repairer| repairer.undecided.push(check.clone()));
    }),
    ("topic failed", |world| world.applied.topic_failure = failed(Reason::BrokerRefused)),
    ("topic not answered", |world| world.applied.topic_failure = failed(Reason::BrokerUnreachable)),
    ("schema failed", |world| world.applied.schema_failure = failed(Reason::DatabaseRefused)),
    ("schema not answered", |world| world.applied.schema_failure = failed(Reason::DatabaseUnreachable)),
    ("objects failed", |world| world.applied.workloads_failure = failed(Reason::ApplyFailed)),
    ("topic made", |world| world.applied.created_topic = Some("made".to_owned())),
    ("schema migrated", |world| world.applied.schema_version = Some(LATEST_SCHEMA_VERSION)),
];

const HOLE: Hole = Hole { first_id: 5, last_id: 7 };

/// Changes what the pipeline names, if it still does.
fn on<T>(named: &mut Option<T>, change: impl FnOnce(&mut T)) {
    if let Some(named) = named {
        change(named);
    }
}

fn unavailable() -> DependencyStatus {
    DependencyStatus { available: false, message: "refused".to_owned() }
}

fn failed(reason: Reason) -> Option<Complaint> {
    Some(Complaint::new(reason, "because"))
}

fn topic(world: &mut World, change: impl FnOnce(&mut TopicState)) {
    if let Reading::Known { value: Some(topic), .. } = &mut world.observed.topic {
        change(topic);
    }
}

fn schema(world: &mut World, change: impl FnOnce(&mut SchemaState)) {
    if let Reading::Known { value, .. } = &mut world.observed.schema {
        change(value);
    }
}

fn ledger(world: &mut World, change: impl FnOnce(&mut MarketLedger)) {
    schema(world, |schema| {
        if let Some(first) = schema.ledgers.first_mut() {
            change(first);
        }
    });
}

fn first_market(world: &World) -> market::Market {
    let source = &world.pipeline.spec.sources[0];
    market::Market::new(source.effective_venue(), source.symbols[0].as_str())
}

fn checks(world: &mut World, verdict: CheckVerdict) {
    let (market, interval) = (first_market(world), "1m".parse().unwrap());
    let counts = vec![CheckCount { market: market.clone(), interval, verdict, windows: 5 }];
    let candle = DifferingCandle { market, interval, open_time_us: 0, verdict, differences: Vec::new() };
    let differing = if verdict == CheckVerdict::Equal { Vec::new() } else { vec![candle] };
    schema(world, |schema| schema.checks = CandleChecks { counts, differing });
}

fn workloads(world: &mut World, producers: fn(&mut Workload), others: fn(&mut Workload)) {
    let workloads = &mut world.observed.workloads;
    workloads.producers.values_mut().for_each(producers);
    workloads.aggregator.iter_mut().chain(&mut workloads.repairer).for_each(others);
}

fn outdated(workload: &mut Workload) {
    workload.is_current = false;
}

fn failing(workload: &mut Workload) {
    (workload.ready, workload.problem) = (0, Some("ImagePullBackOff".to_owned()));
}

fn gone(workload: &mut Workload) {
    (workload.wished, workload.replicas, workload.ready) = (0, 0, 0);
}

fn workers(world: &mut World, change: impl FnOnce(&mut WorkerReports)) {
    if let Reading::Known { value, .. } = &mut world.observed.workers {
        change(value);
    }
}

fn producers(world: &mut World, change: impl Fn(&mut crds::worker_status::ProducerStatus)) {
    workers(world, |reports| {
        reports.producers.iter_mut().filter_map(|report| report.answer.as_mut().ok()).for_each(change);
    });
}

fn repairers(world: &mut World, change: impl Fn(&mut crds::worker_status::RepairerStatus)) {
    workers(world, |reports| {
        reports.repairers.iter_mut().filter_map(|report| report.answer.as_mut().ok()).for_each(change);
    });
}

fn symbol(world: &mut World, state: SymbolState) {
    producers(world, |producer| producer.symbols.values_mut().next().unwrap().state = state);
}

/// The status of the world, and what was known of the holes.
fn told(world: &World) -> (CryptoPipelineStatus, bool) {
    let World { pipeline, observed, applied, holes, not_keeping_up } = world;
    let now = second(NOW);
    let plan = plan(pipeline, observed, Place::Cluster, now);
    let plan = plan.as_ref().map_err(Vec::as_slice);
    let seen = count_holes(&mut HoleWatch::default(), observed, now);
    let holes = seen.map(|seen| holes.clone().unwrap_or(seen));
    let mut lag = LagWatch::default().update(observed, flush_interval(&pipeline.spec), now);
    on(&mut lag, |lag| lag.not_keeping_up = not_keeping_up.clone());
    let findings = Findings { pipeline, observed, plan, applied, holes: holes.as_ref(), lag: lag.as_ref() };
    (describe(&findings, now), holes.is_some())
}

fn assert_no_contradiction(world: &World, status: &CryptoPipelineStatus, holes_are_known: bool) {
    let is = |kind: ConditionKind, truth: &str| condition(status, &kind.to_string()).status == truth;
    let is_true = |kind| is(kind, "True");
    let resources = [SpecValid, TopicReady, SchemaReady, ProducersReady, AggregatorsReady];

    let kinds: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    let all = resources.into_iter().chain([DataFlowing, DataContinuous, DataVerified]);
    let all: Vec<String> = all.chain([Ready, Reconciling, Stalled]).map(|kind| kind.to_string()).collect();
    assert_eq!(kinds, all, "every condition once");
    for condition in &status.conditions {
        assert!(["True", "False", "Unknown"].contains(&condition.status.as_str()), "{condition:?}");
        assert!(!condition.message.is_empty() && !condition.reason.is_empty(), "{condition:?}");
        assert_eq!(condition.observed_generation, world.pipeline.metadata.generation);
    }

    assert_eq!(is_true(Ready), resources.into_iter().all(is_true), "Ready is all resources together");
    assert!(!is_true(Stalled) || is(Ready, "False"), "what stalls is not ready");
    assert!(!(is_true(Stalled) && is_true(Reconciling)), "who waits for a person is not at work");
    assert!(!(is_true(Ready) && (is_true(Reconciling) || is_true(Stalled))), "what is ready is at rest");
    let suspended = condition(status, "Ready").reason == Reason::Suspended.to_string();
    let is_explained = is_true(Ready) || suspended || is_true(Reconciling) || is_true(Stalled);
    assert!(is_explained, "what is not ready goes on or waits for a person");

    let is_draining = resources
        .into_iter()
        .any(|kind| condition(status, &kind.to_string()).reason == Reason::Draining.to_string());
    assert!(
        !is_draining || is_true(Reconciling) || is_true(Stalled),
        "what is read to its end is not settled"
    );

    let Observed { topic, schema, workers, .. } = &world.observed;
    if topic.value().is_none() {
        assert!(!is_true(TopicReady) && status.lag.is_none(), "nothing is known of the topic");
    }
    if schema.value().is_none() {
        let claims = [SchemaReady, DataContinuous, DataVerified];
        assert!(!claims.into_iter().any(is_true), "nothing is known of the database");
        assert!(status.lag.is_none() && status.missing_trades.is_none(), "nor of its figures");
    }
    assert!(workers.value().is_some() || !is_true(DataFlowing), "nothing is known of the workers");
    assert!(holes_are_known || !is_true(DataContinuous), "nothing is known of the holes");

    if is_true(DataContinuous) {
        assert_eq!(status.missing_trades, Some(0));
    }
    let sick =
        |reason: Reason| status.unhealthy_symbols.iter().any(|symbol| symbol.reason == reason.to_string());
    for reason in [Reason::TradesMissing, Reason::TradesRefused, Reason::IdsRestarted] {
        assert!(!(is_true(DataContinuous) && sick(reason)), "{reason} while continuous");
    }
    for reason in [Reason::SymbolSilent, Reason::SymbolNotTrading, Reason::UnknownSymbol] {
        assert!(!(is_true(DataFlowing) && sick(reason)), "{reason} while flowing");
    }
    assert!(!(is_true(DataVerified) && sick(Reason::CandlesWrong)), "a wrong candle while verified");
    assert!(!(world.pipeline.spec.suspend && is_true(DataFlowing)), "suspended and flowing");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_status_contradicts_itself_or_claims_what_is_not_known(
        case in prop::sample::select(vec!["minimal", "full"]),
        circumstances in subsequence(CIRCUMSTANCES.to_vec(), 0..=6).prop_shuffle(),
    ) {
        let pipeline = fixture(case);
        let observed = running_world(&pipeline);
        let mut world = World {
            pipeline,
            observed,
            applied: Applied::default(),
            holes: None,
            not_keeping_up: Vec::new(),
        };
        for (_, become_so) in &circumstances {
            become_so(&mut world);
        }
        let (status, holes_are_known) = told(&world);
        assert_no_contradiction(&world, &status, holes_are_known);
        // What was said once is not said anew: a steady pipeline causes no writes. What was made is not steady.
        prop_assume!(world.applied.created_topic.is_none() && world.applied.schema_version.is_none());
        world.pipeline.status = Some(status.clone());
        let (again, _) = told(&world);
        prop_assert_eq!(again, status);
    }
}
