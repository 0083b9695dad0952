//! What is said, for what was found and done.

use crds::candle_interval::CandleInterval;
use crds::condition::Reason;
use crds::worker_status::{
    DependencyStatus, SourceHistoryStatus, SymbolHistoryStatus, SymbolState, UnavailableFile,
    UnavailableHole, UndecidedCheck,
};
use crds::{CryptoPipeline, CryptoPipelineStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use operator::reconcile::apply::Applied;
use operator::reconcile::describe::{Findings, announce, describe};
use operator::reconcile::holes::{HoleReport, HoleWatch, Missing, count_holes};
use operator::reconcile::lag::{LagWatch, flush_interval};
use operator::reconcile::observe::{CandleChecks, Observed, Reading, Workloads};
use operator::reconcile::plan::{Complaint, Place, plan};
use store::{
    CheckCount, CheckVerdict, Difference, DifferingCandle, HeadState, Hole, RefusedIds, RefusedTrades,
};

use crate::world::{
    NOW, away, empty_world, fine, fixture, minimal, missing, other_owner, refuses, running_world,
    schema_as_needed, second,
};
use crate::world::{known, planned, producer, report};

pub(crate) fn status(
    pipeline: &CryptoPipeline,
    observed: &Observed,
    applied: &Applied,
) -> CryptoPipelineStatus {
    let now = second(NOW);
    let plan = plan(pipeline, observed, Place::Cluster, now);
    let holes = count_holes(&mut HoleWatch::default(), observed, now);
    let plan = plan.as_ref().map_err(Vec::as_slice);
    let lag = LagWatch::default().update(observed, flush_interval(&pipeline.spec), now);
    let (holes, lag) = (holes.as_ref(), lag.as_ref());
    describe(&Findings { pipeline, observed, plan, applied, holes, lag }, now)
}

/// [`status`] where these trades are missing and count.
fn status_missing(
    pipeline: &CryptoPipeline,
    observed: &Observed,
    missing: &[(&str, Missing)],
) -> CryptoPipelineStatus {
    let plan = plan(pipeline, observed, Place::Cluster, second(NOW));
    let missing =
        missing.iter().map(|(symbol, missing)| (market::Market::new("binance", *symbol), missing.clone()));
    let holes = HoleReport { missing: missing.collect(), ..HoleReport::default() };
    let (plan, applied) = (plan.as_ref().map_err(Vec::as_slice), Applied::default());
    let findings = Findings { pipeline, observed, plan, applied: &applied, holes: Some(&holes), lag: None };
    describe(&findings, second(NOW))
}

pub(crate) fn condition<'a>(status: &'a CryptoPipelineStatus, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.type_ == kind).unwrap()
}

/// `status/reason` of a condition.
pub(crate) fn said(status: &CryptoPipelineStatus, kind: &str) -> String {
    let condition = condition(status, kind);
    format!("{}/{}", condition.status, condition.reason)
}

fn all_said(status: &CryptoPipelineStatus) -> Vec<String> {
    status.conditions.iter().map(|c| format!("{} {}/{}", c.type_, c.status, c.reason)).collect()
}

/// No condition may contradict another, whatever is known.
fn assert_consistent(status: &CryptoPipelineStatus) {
    let is = |kind: &str, value: &str| condition(status, kind).status == value;
    let resources = ["SpecValid", "TopicReady", "SchemaReady", "ProducersReady", "AggregatorsReady"];
    assert_eq!(is("Ready", "True"), resources.iter().all(|kind| is(kind, "True")), "{status:?}");
    assert!(!(is("Reconciling", "True") && is("Stalled", "True")), "{status:?}");
    assert!(!(is("Ready", "True") && (is("Reconciling", "True") || is("Stalled", "True"))), "{status:?}");
}

#[test]
fn a_running_pipeline_is_ready_and_claims_no_more_than_is_known() {
    let pipeline = fixture("minimal");
    let status = status(&pipeline, &running_world(&pipeline), &Applied::default());
    assert_consistent(&status);
    assert_eq!(
        all_said(&status),
        [
            "SpecValid True/Accepted",
            "TopicReady True/TopicAsDeclared",
            "SchemaReady True/SchemaCurrent",
            "ProducersReady True/PodsReady",
            "AggregatorsReady True/PodsReady",
            "DataFlowing True/TradesArriving",
            "DataContinuous True/ChainUnbroken",
            "DataVerified Unknown/NotCompared",
            "Ready True/AllReady",
            "Reconciling False/Settled",
            "Stalled False/Settled",
        ]
    );
    assert_eq!(
        (status.symbols, status.partitions, status.lag, status.missing_trades),
        (Some(2), Some(3), Some(0), Some(0))
    );
    assert_eq!((status.aggregators.desired, status.aggregators.ready), (3, 3));
    assert!(status.selector.unwrap().contains("app.kubernetes.io/component=aggregator"));
}

#[test]
fn nothing_read_yet_is_unknown_and_never_good() {
    let pipeline = fixture("minimal");
    let status = status(&pipeline, &Observed::default(), &Applied::default());
    assert_consistent(&status);
    assert_eq!(said(&status, "TopicReady"), "Unknown/NotReadYet");
    assert_eq!(said(&status, "SchemaReady"), "Unknown/NotReadYet");
    assert_eq!(said(&status, "DataFlowing"), "Unknown/NotReadYet");
    assert_eq!(said(&status, "DataContinuous"), "Unknown/NotReadYet");
    assert_eq!(said(&status, "Ready"), "False/NotReadYet");
    assert_eq!(said(&status, "Reconciling"), "True/NotReadYet");
    assert_eq!((status.lag, status.missing_trades, status.topic), (None, None, None));
}

#[test]
fn a_broken_rule_stalls_with_field_and_rule() {
    let pipeline = minimal(|pipeline| pipeline.spec.kafka = None);
    let status = status(&pipeline, &empty_world(), &Applied::default());
    assert_consistent(&status);
    assert_eq!(said(&status, "Stalled"), "True/RuleBroken");
    assert!(condition(&status, "SpecValid").message.starts_with("spec.kafka: required in a cluster"));
}

#[test]
fn a_field_without_effect_is_said() {
    let pipeline = fixture("full");
    let status = status(&pipeline, &running_world(&pipeline), &Applied::default());
    assert_eq!(said(&status, "SpecValid"), "True/AcceptedWithoutEffect");
    assert_eq!(
        condition(&status, "SpecValid").message,
        "no effect in this version: spec.aggregation.whaleTrade"
    );
}

#[test]
fn what_is_away_is_unknown_and_waited_for() {
    let pipeline = fixture("minimal");
    let broker =
        Observed { topic: away("the broker kafka:9092 does not answer"), ..running_world(&pipeline) };
    let status_then = status(&pipeline, &broker, &Applied::default());
    assert_consistent(&status_then);
    assert_eq!(said(&status_then, "TopicReady"), "Unknown/BrokerUnreachable");
    assert_eq!(said(&status_then, "Reconciling"), "True/BrokerUnreachable");
    assert_eq!((status_then.lag, status_then.partitions), (None, None));
    let database = Observed { schema: away("connection refused"), ..running_world(&pipeline) };
    let status_then = status(&pipeline, &database, &Applied::default());
    assert_eq!(said(&status_then, "SchemaReady"), "Unknown/DatabaseUnreachable");
    assert_eq!(said(&status_then, "DataContinuous"), "Unknown/DatabaseUnreachable");
    assert_eq!((status_then.lag, status_then.missing_trades), (None, None));
}

#[test]
fn refusals_stall_and_hold_the_pods() {
    let pipeline = fixture("minimal");
    let mut foreign = schema_as_needed(&pipeline);
    foreign.owner = Some(other_owner());
    for (observed, kind, expected) in [
        (
            Observed { topic_rival: Some("trading/older".to_owned()), ..empty_world() },
            "TopicReady",
            "False/TopicOwnedByAnother",
        ),
        (Observed { schema: known(foreign), ..empty_world() }, "SchemaReady", "False/SchemaOwnedByAnother"),
        (
            Observed { database_secrets: missing(Reason::SecretNotFound), ..empty_world() },
            "SchemaReady",
            "False/SecretNotFound",
        ),
        (
            Observed { kafka_secrets: missing(Reason::SecretKeyNotFound), ..empty_world() },
            "TopicReady",
            "False/SecretKeyNotFound",
        ),
        (Observed { topic: refuses("other password"), ..empty_world() }, "TopicReady", "False/BrokerRefused"),
    ] {
        let status = status(&pipeline, &observed, &Applied::default());
        assert_consistent(&status);
        assert_eq!(said(&status, kind), expected);
        assert!(said(&status, "Stalled").starts_with("True/"), "{:?}", all_said(&status));
        assert_eq!(said(&status, "ProducersReady"), "False/Waiting");
    }
}

#[test]
fn what_failed_while_applying_is_said_where_it_belongs() {
    let pipeline = fixture("minimal");
    let failure = |reason| Some(Complaint::new(reason, "because"));
    let topic = Applied { topic_failure: failure(Reason::BrokerRefused), ..Applied::default() };
    assert_eq!(said(&status(&pipeline, &empty_world(), &topic), "TopicReady"), "False/BrokerRefused");
    let schema = Applied { schema_failure: failure(Reason::DatabaseUnreachable), ..Applied::default() };
    assert_eq!(
        said(&status(&pipeline, &empty_world(), &schema), "SchemaReady"),
        "Unknown/DatabaseUnreachable"
    );
    let objects = Applied { workloads_failure: failure(Reason::ApplyFailed), ..Applied::default() };
    assert_eq!(said(&status(&pipeline, &empty_world(), &objects), "AggregatorsReady"), "False/ApplyFailed");
}

#[test]
fn a_topic_that_is_about_to_be_made_is_ours_whoever_completes_it() {
    let mut pipeline = fixture("minimal");
    let planned_now = planned(&pipeline, &empty_world());
    let announced = announce(&pipeline, &planned_now).unwrap();
    assert!(announced.topic.as_ref().is_some_and(|topic| topic.created && topic.id.is_none()));
    pipeline.status = Some(announced);
    assert_eq!(announce(&pipeline, &planned_now), None, "said once");
    // The operator that created it did not live to say so.
    let topic = status(&pipeline, &running_world(&pipeline), &Applied::default()).topic.unwrap();
    assert_eq!((topic.id.as_deref(), topic.created), (Some("topic-id"), true));
    // A broker that does not answer may have created it, one that refuses has not.
    let failure =
        |reason| Applied { topic_failure: Some(Complaint::new(reason, "because")), ..Applied::default() };
    let unanswered = status(&pipeline, &empty_world(), &failure(Reason::BrokerUnreachable));
    assert_eq!(unanswered.topic, pipeline.status.as_ref().unwrap().topic);
    let refused = status(&pipeline, &empty_world(), &failure(Reason::BrokerRefused));
    assert_eq!(refused.topic, None);
    // Not said again and again while it is refused again and again.
    pipeline.status = Some(refused);
    assert_eq!(announce(&pipeline, &planned_now), None);
}

#[test]
fn a_topic_made_by_us_is_remembered_as_ours_by_its_id() {
    let mut pipeline = fixture("minimal");
    let created = Applied { created_topic: Some("topic-id".to_owned()), ..Applied::default() };
    let first = status(&pipeline, &empty_world(), &created);
    assert!(first.topic.as_ref().unwrap().created);
    pipeline.status = Some(first);
    assert!(status(&pipeline, &running_world(&pipeline), &Applied::default()).topic.unwrap().created);
    let mut other = running_world(&pipeline);
    if let Reading::Known { value: Some(topic), .. } = &mut other.topic {
        topic.description.id = "made-anew".to_owned();
    }
    let adopted = status(&pipeline, &other, &Applied::default()).topic.unwrap();
    assert_eq!((adopted.id.as_deref(), adopted.created), (Some("made-anew"), false));
}

#[test]
fn pods_that_do_not_come_up_say_why() {
    let pipeline = fixture("minimal");
    let mut observed = running_world(&pipeline);
    let aggregator = observed.workloads.aggregator.as_mut().unwrap();
    aggregator.ready = 1;
    let starting = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&starting, "AggregatorsReady"), "False/PodsStarting");
    assert_eq!(condition(&starting, "AggregatorsReady").message, "1 of 3 pods are ready");
    observed.workloads.aggregator.as_mut().unwrap().problem = Some("pod x: ImagePullBackOff".to_owned());
    let failing = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&failing, "AggregatorsReady"), "False/PodsFailing");
    assert!(condition(&failing, "AggregatorsReady").message.ends_with("ImagePullBackOff"));
}

fn with_symbol(pipeline: &CryptoPipeline, state: SymbolState) -> Observed {
    let mut observed = running_world(pipeline);
    let mut status = producer("binance", &pipeline.spec.sources[0].symbols);
    status.symbols.get_mut("BTCUSDT").unwrap().state = state;
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.producers = vec![report(status)];
    observed
}

#[test]
fn an_unknown_symbol_is_refused_by_name() {
    let pipeline = fixture("minimal");
    let status = status(&pipeline, &with_symbol(&pipeline, SymbolState::Unknown), &Applied::default());
    assert_consistent(&status);
    assert_eq!(said(&status, "ProducersReady"), "False/UnknownSymbol");
    assert_eq!(said(&status, "Stalled"), "True/UnknownSymbol");
    assert!(condition(&status, "ProducersReady").message.contains("binance:BTCUSDT"));
    assert_eq!(status.unhealthy_symbols[0].symbol, "BTCUSDT");
}

#[test]
fn data_flows_only_if_every_symbol_streams() {
    let pipeline = fixture("minimal");
    for (state, expected) in [
        (SymbolState::Streaming, "True/TradesArriving"),
        (SymbolState::Subscribed, "Unknown/WaitingForTrades"),
        (SymbolState::Unchecked, "Unknown/WaitingForTrades"),
        (SymbolState::Silent, "False/SymbolSilent"),
        (SymbolState::NotTrading, "False/SymbolNotTrading"),
        (SymbolState::Unknown, "False/UnknownSymbol"),
    ] {
        let status = status(&pipeline, &with_symbol(&pipeline, state), &Applied::default());
        assert_eq!(said(&status, "DataFlowing"), expected, "{state:?}");
    }
}

#[test]
fn of_two_producers_one_that_streams_is_enough() {
    let pipeline = fixture("minimal");
    let mut observed = with_symbol(&pipeline, SymbolState::Silent);
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.producers.push(report(producer("binance", &pipeline.spec.sources[0].symbols)));
    let status = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&status, "DataFlowing"), "True/TradesArriving");
}

#[test]
fn workers_that_are_cut_off_are_said_with_the_cause() {
    let pipeline = fixture("minimal");
    let cut_off = DependencyStatus { available: false, message: "connection refused".to_owned() };
    let mut observed = running_world(&pipeline);
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.producers[0].answer.as_mut().unwrap().exchange = cut_off.clone();
    assert_eq!(
        said(&status(&pipeline, &observed, &Applied::default()), "DataFlowing"),
        "False/ExchangeUnreachable"
    );
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.aggregators[0].answer.as_mut().unwrap().database = cut_off;
    let blocked = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&blocked, "DataFlowing"), "False/WorkersBlocked");
    assert_eq!(
        condition(&blocked, "DataFlowing").message,
        "no aggregator reaches the database: connection refused"
    );
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.aggregators[0].answer = Err("timed out".to_owned());
    reports.producers[0].answer = Err("timed out".to_owned());
    let silent = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&silent, "DataFlowing"), "Unknown/WorkersNotAnswering");
}

#[test]
fn missing_trades_are_named_with_their_ids() {
    let pipeline = fixture("minimal");
    let observed = running_world(&pipeline);
    let missing =
        Missing { trades: 1_203, holes: vec![Hole { first_id: 5_412_300_001, last_id: 5_412_301_203 }] };
    let status =
        status_missing(&pipeline, &observed, &[("BTCUSDT", missing.clone()), ("NOLONGERWISHED", missing)]);
    assert_eq!(said(&status, "DataContinuous"), "False/TradesMissing");
    let message = &condition(&status, "DataContinuous").message;
    assert_eq!(message, "binance:BTCUSDT misses 1,203 trades (ids 5412300001..5412301203)");
    assert_eq!(status.missing_trades, Some(1_203));
    assert_eq!(status.unhealthy_symbols[0].reason, "TradesMissing");
}

#[test]
fn without_a_fresh_probe_of_every_market_the_end_is_unknown() {
    let pipeline = fixture("minimal");
    let asked_at = |probed_at_us: Option<i64>| {
        let mut schema = schema_as_needed(&pipeline);
        schema.ledgers[0].head = probed_at_us.map(|probed_at_us| HeadState { last_id: 50, probed_at_us });
        let observed = Observed { schema: known(schema), ..running_world(&pipeline) };
        status(&pipeline, &observed, &Applied::default())
    };
    let (now_us, minute_us) = (NOW * 1_000_000, 60_000_000);
    assert_eq!(said(&asked_at(Some(now_us - 5 * minute_us)), "DataContinuous"), "True/ChainUnbroken");
    for probed_at_us in [None, Some(now_us - 5 * minute_us - 1)] {
        let status = asked_at(probed_at_us);
        assert_eq!(said(&status, "DataContinuous"), "Unknown/HeadNotProbed");
        let message = &condition(&status, "DataContinuous").message;
        assert!(message.ends_with("nobody has asked for the last id of binance:BTCUSDT"), "{message}");
    }
}

#[test]
fn why_a_hole_stays_open_is_said() {
    let pipeline = fixture("minimal");
    let mut observed = running_world(&pipeline);
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.repairers[0].answer.as_mut().unwrap().unavailable = vec![UnavailableHole {
        venue: "binance".to_owned(),
        symbol: "BTCUSDT".to_owned(),
        first_id: 10,
        last_id: 12,
        reason: "the exchange does not have these trades (any more)".to_owned(),
    }];
    let missing = Missing { trades: 3, holes: vec![Hole { first_id: 10, last_id: 12 }] };
    let status = status_missing(&pipeline, &observed, &[("BTCUSDT", missing)]);
    assert_eq!(
        condition(&status, "DataContinuous").message,
        "binance:BTCUSDT misses 3 trades (ids 10..12); repair of binance:BTCUSDT: the exchange does not have these \
         trades (any more)"
    );
}

/// The full pipeline, of whose history the repairer tells this.
fn with_history(symbol: SymbolHistoryStatus, trades_per_second: u64, seconds_left: Option<u64>) -> Observed {
    let pipeline = fixture("full");
    let mut observed = running_world(&pipeline);
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    let spot = SourceHistoryStatus {
        trades_per_second,
        seconds_left,
        dumps: fine(),
        symbols: [("BTCUSDT".to_owned(), symbol.clone()), ("SOLUSDT".to_owned(), symbol)].into(),
        ..SourceHistoryStatus::default()
    };
    reports.repairers[0].answer.as_mut().unwrap().history = [("spot".to_owned(), spot)].into();
    observed
}

#[test]
fn history_that_is_loading_is_told_with_what_is_missing_and_how_far_it_is() {
    let pipeline = fixture("full");
    let bad = UnavailableFile { file: "x.zip".to_owned(), reason: "x.zip is corrupt".to_owned() };
    let symbol =
        SymbolHistoryStatus { days: 90, days_loaded: 45, unavailable: vec![bad], ..Default::default() };
    let mut observed = with_history(symbol, 12_000, Some(181));
    let plan = plan(&pipeline, &observed, Place::Cluster, second(NOW)).unwrap();
    let mut holes = HoleReport::default();
    let missing = Missing { trades: 5_000, holes: vec![Hole { first_id: 1, last_id: 5_000 }] };
    holes.missing.insert(market::Market::new("binance", "BTCUSDT"), missing);
    let applied = Applied::default();
    let describe_with = |observed: &Observed| {
        let (pipeline, plan) = (&pipeline, Ok(&plan));
        let findings =
            Findings { pipeline, observed, plan, applied: &applied, holes: Some(&holes), lag: None };
        describe(&findings, second(NOW))
    };
    let status = describe_with(&observed);
    assert_eq!(said(&status, "DataContinuous"), "False/TradesMissing");
    assert_eq!(
        condition(&status, "DataContinuous").message,
        "binance:BTCUSDT misses 5,000 trades (ids 1..5000); history of source spot: 90 of 180 files loaded, \
         12,000 trades a second, about 4 min left, not usable: x.zip is corrupt and 1 more"
    );
    let history = &status.history[0];
    assert_eq!((history.source.as_str(), history.files, history.files_loaded), ("spot", Some(180), Some(90)));
    // By whole minutes.
    assert_eq!(history.estimated_end.as_ref().unwrap().0, second(NOW + 181 - (NOW + 181) % 60 + 60));
    observed.workers = away("not answered");
    let silent = describe_with(&observed);
    assert_eq!((silent.history[0].files, silent.history[0].estimated_end.clone()), (None, None));
}

#[test]
fn nothing_is_continuous_before_the_first_trade_of_the_history_is_known() {
    let pipeline = fixture("full");
    let loaded = SymbolHistoryStatus { days: 90, days_loaded: 90, ..Default::default() };
    let known_of_series = |from_us: Option<i64>, since_us: Option<i64>| {
        let mut observed = with_history(loaded.clone(), 0, Some(0));
        let Reading::Known { value: schema, .. } = &mut observed.schema else { unreachable!() };
        for ledger in &mut schema.ledgers {
            (ledger.history_from_us, ledger.series_since_us) = (from_us, since_us);
        }
        status(&pipeline, &observed, &Applied::default())
    };
    let known_from = |from_us: Option<i64>| known_of_series(from_us, None);
    let wished_us = pipeline.spec.sources[0].history.as_ref().unwrap().from.0.as_microsecond();
    assert_eq!(said(&known_from(Some(wished_us)), "DataContinuous"), "True/ChainUnbroken");
    assert_eq!(said(&known_from(Some(wished_us - 1)), "DataContinuous"), "True/ChainUnbroken");
    // A series that began later wishes nothing from before.
    let of_series = known_of_series(Some(wished_us + 9), Some(wished_us + 9));
    assert_eq!(said(&of_series, "DataContinuous"), "True/ChainUnbroken");
    for not_known in [None, Some(wished_us + 1)] {
        let status = known_from(not_known);
        assert_eq!(said(&status, "DataContinuous"), "Unknown/HistoryNotBegun");
        let message = &condition(&status, "DataContinuous").message;
        assert!(message.ends_with("of binance:BTCUSDT, binance:SOLUSDT"), "{message}");
    }
}

#[test]
fn trades_that_cannot_be_held_are_named_with_the_reason() {
    let pipeline = fixture("minimal");
    let mut schema = schema_as_needed(&pipeline);
    let newest = vec![RefusedIds { first_id: 123, last_id: 123, reason: market::RefusalReason::Overflow }];
    schema.ledgers[0].refused = RefusedTrades { trades: 1, newest };
    let observed = Observed { schema: known(schema), ..running_world(&pipeline) };
    let status_then = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&status_then, "DataContinuous"), "False/TradesRefused");
    let named = "1 trade refused (ids 123 overflow)";
    assert_eq!(condition(&status_then, "DataContinuous").message, format!("binance:BTCUSDT: {named}"));
    assert_eq!(status_then.missing_trades, Some(0));
    assert_eq!(status_then.unhealthy_symbols[0].reason, "TradesRefused");
    // Beside what is missing they are not forgotten.
    let missing = Missing { trades: 1, holes: vec![Hole { first_id: 7, last_id: 7 }] };
    let both = status_missing(&pipeline, &observed, &[("BTCUSDT", missing)]);
    assert_eq!(said(&both, "DataContinuous"), "False/TradesMissing");
    assert_eq!(
        condition(&both, "DataContinuous").message,
        format!("binance:BTCUSDT misses 1 trade (ids 7); binance:BTCUSDT: {named}")
    );
}

#[test]
fn a_fresh_hole_and_an_empty_ledger_are_unknown() {
    let pipeline = fixture("minimal");
    let mut schema = schema_as_needed(&pipeline);
    schema.ledgers[0].missing = 3;
    schema.ledgers[0].holes = vec![Hole { first_id: 10, last_id: 12 }];
    let fresh = Observed { schema: known(schema), ..running_world(&pipeline) };
    let status_then = status(&pipeline, &fresh, &Applied::default());
    assert_eq!(said(&status_then, "DataContinuous"), "Unknown/HoleUnconfirmed");
    assert_eq!(status_then.missing_trades, Some(0));
    let mut schema = schema_as_needed(&pipeline);
    schema.ledgers.pop();
    let empty = Observed { schema: known(schema), ..running_world(&pipeline) };
    assert_eq!(
        said(&status(&pipeline, &empty, &Applied::default()), "DataContinuous"),
        "Unknown/NoTradesYet"
    );
}

#[test]
fn a_suspended_pipeline_is_settled_once_everything_has_stopped() {
    let pipeline = minimal(|pipeline| pipeline.spec.suspend = true);
    let draining = status(&pipeline, &running_world(&pipeline), &Applied::default());
    assert_consistent(&draining);
    assert_eq!(said(&draining, "AggregatorsReady"), "False/Draining");
    assert_eq!(said(&draining, "Reconciling"), "True/Draining");
    let mut observed = running_world(&pipeline);
    let stopped = |workloads: &mut Workloads| {
        let others = workloads.aggregator.iter_mut().chain(&mut workloads.repairer);
        for workload in workloads.producers.values_mut().chain(others) {
            (workload.wished, workload.replicas, workload.ready) = (0, 0, 0);
        }
    };
    stopped(&mut observed.workloads);
    let stopped = status(&pipeline, &observed, &Applied::default());
    assert_consistent(&stopped);
    assert_eq!(said(&stopped, "Ready"), "False/Suspended");
    assert_eq!(said(&stopped, "Reconciling"), "False/Settled");
    assert_eq!(said(&stopped, "DataFlowing"), "False/Suspended");
}

fn market(symbol: &str) -> market::Market {
    market::Market::new("binance", symbol)
}

fn count(symbol: &str, verdict: CheckVerdict, windows: i64) -> CheckCount {
    CheckCount { market: market(symbol), interval: "1m".parse().unwrap(), verdict, windows }
}

/// A world in which these candles were compared.
fn compared(pipeline: &CryptoPipeline, counts: Vec<CheckCount>, differing: Vec<DifferingCandle>) -> Observed {
    let mut schema = schema_as_needed(pipeline);
    schema.checks = CandleChecks { counts, differing };
    Observed { schema: known(schema), ..running_world(pipeline) }
}

fn equal_and_differing() -> Vec<CheckCount> {
    vec![
        count("BTCUSDT", CheckVerdict::Equal, 1_230),
        count("BTCUSDT", CheckVerdict::ExchangeDiffers, 4),
        count("NOLONGERWISHED", CheckVerdict::Equal, 7),
    ]
}

fn wrong(symbol: &str, fields: usize) -> DifferingCandle {
    let difference =
        Difference { field: "volume".to_owned(), ours: "3".to_owned(), theirs: Some("4".to_owned()) };
    DifferingCandle {
        market: market(symbol),
        interval: "1m".parse().unwrap(),
        open_time_us: 1_767_225_600_000_000,
        verdict: CheckVerdict::OursWrong,
        differences: vec![difference; fields],
    }
}

#[test]
fn candles_that_follow_from_the_exchanges_trades_are_verified_with_figures() {
    let pipeline = fixture("minimal");
    let observed = compared(&pipeline, equal_and_differing(), vec![]);
    let status = status(&pipeline, &observed, &Applied::default());
    assert_consistent(&status);
    assert_eq!(said(&status, "DataVerified"), "True/CandlesVerified");
    assert_eq!(
        condition(&status, "DataVerified").message,
        "1,234 candles checked, 1,230 equal, 4 differ at the exchange"
    );
}

#[test]
fn a_wrong_candle_is_named_with_what_mends_it_whoever_looks_now() {
    for repairs in [true, false] {
        let pipeline = minimal(|pipeline| pipeline.spec.repair.enabled = repairs);
        let differing = vec![wrong("BTCUSDT", 3), wrong("NOLONGERWISHED", 1)];
        let observed = compared(&pipeline, equal_and_differing(), differing);
        let status = status(&pipeline, &observed, &Applied::default());
        assert_consistent(&status);
        assert_eq!(said(&status, "DataVerified"), "False/CandlesWrong");
        assert_eq!(
            condition(&status, "DataVerified").message,
            "binance:BTCUSDT 1m 2026-01-01T00:00:00Z: volume is 3, the exchange has 4 (and 2 fields more); \
             `cryptopipeline rebuild` with --symbol BTCUSDT --from 2026-01-01T00:00:00Z --to 2026-01-01T00:01:00Z folds \
             it again from the exchange"
        );
        assert_eq!(status.unhealthy_symbols.len(), 1);
        assert_eq!(status.unhealthy_symbols[0].reason, "CandlesWrong");
        // The resources are none the worse for it.
        assert_eq!(said(&status, "Ready"), "True/AllReady");
    }
}

#[test]
fn what_nobody_compares_is_unknown() {
    let counts = equal_and_differing;
    let message = |pipeline: &CryptoPipeline, observed: &Observed| {
        let status = status(pipeline, observed, &Applied::default());
        assert_eq!(said(&status, "DataVerified"), "Unknown/NotCompared");
        condition(&status, "DataVerified").message.clone()
    };
    let pipeline = fixture("minimal");
    let nothing = compared(&pipeline, vec![], vec![]);
    assert_eq!(message(&pipeline, &nothing), "no candle has been compared with the exchange's own yet");
    let off = minimal(|pipeline| pipeline.spec.repair.enabled = false);
    let said_when_off = message(&off, &compared(&off, counts(), vec![]));
    assert!(said_when_off.starts_with("without spec.repair.enabled"), "{said_when_off}");
    let odd = minimal(|pipeline| {
        pipeline.spec.aggregation.intervals =
            vec![CandleInterval::FiveSeconds, CandleInterval::FifteenSeconds];
    });
    let said_of_odd = message(&odd, &compared(&odd, vec![], vec![]));
    assert_eq!(said_of_odd, "the exchange has no candles of its own of 5s, 15s");
    let mut stale = compared(&pipeline, counts(), vec![]);
    let Reading::Known { value: schema, .. } = &mut stale.schema else { unreachable!() };
    schema.ledgers[0].head = None;
    let said_of_stale = message(&pipeline, &stale);
    assert!(said_of_stale.ends_with("nobody compares those of binance:BTCUSDT now"), "{said_of_stale}");
}

#[test]
fn a_difference_that_is_not_decided_is_neither_good_nor_bad() {
    let pipeline = fixture("minimal");
    let mut observed = compared(&pipeline, equal_and_differing(), vec![]);
    let Reading::Known { value: reports, .. } = &mut observed.workers else { unreachable!() };
    reports.repairers[0].answer.as_mut().unwrap().undecided = vec![UndecidedCheck {
        venue: "binance".to_owned(),
        symbol: "BTCUSDT".to_owned(),
        interval: "1m".to_owned(),
        open_time: "2026-01-01T00:00:00Z".to_owned(),
        reason: "volume is 3, the exchange has 4; its trades are being asked for".to_owned(),
    }];
    let status = status(&pipeline, &observed, &Applied::default());
    assert_eq!(said(&status, "DataVerified"), "Unknown/CheckUndecided");
    let message = &condition(&status, "DataVerified").message;
    assert!(message.contains("binance:BTCUSDT 1m 2026-01-01T00:00:00Z: volume is 3"), "{message}");
}
