//! What is said, for what was found and done.

use crds::condition::Reason;
use crds::worker_status::SymbolState;
use crds::{CryptoPipeline, CryptoPipelineStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use operator::reconcile::apply::Applied;
use operator::reconcile::describe::{Findings, announce, describe};
use operator::reconcile::holes::{HoleWatch, count_holes};
use operator::reconcile::lag::{LagWatch, flush_interval};
use operator::reconcile::observe::{Observed, Reading, Workload, Workloads};
use operator::reconcile::plan::{Complaint, Place, plan};

use crate::world::{
    NOW, away, empty_world, fixture, minimal, missing, other_owner, refuses, running_world, schema_as_needed,
    second,
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
pub(crate) fn assert_consistent(status: &CryptoPipelineStatus) {
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

pub(crate) fn with_symbol(pipeline: &CryptoPipeline, state: SymbolState) -> Observed {
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
fn a_suspended_pipeline_is_settled_once_everything_has_stopped() {
    let pipeline = minimal(|pipeline| pipeline.spec.suspend = true);
    let draining = status(&pipeline, &running_world(&pipeline), &Applied::default());
    assert_consistent(&draining);
    assert_eq!(said(&draining, "AggregatorsReady"), "False/Draining");
    assert_eq!(said(&draining, "Reconciling"), "True/Draining");
    let mut observed = running_world(&pipeline);
    let stop = |workload: &mut Workload| (workload.wished, workload.replicas, workload.ready) = (0, 0, 0);
    observed.workloads.producers.values_mut().for_each(stop);
    let draining = status(&pipeline, &observed, &Applied::default());
    assert_consistent(&draining);
    assert_eq!(said(&draining, "ProducersReady"), "False/Suspended");
    assert_eq!(said(&draining, "Ready"), "False/Draining");
    assert_eq!(said(&draining, "Reconciling"), "True/Draining");
    let Workloads { aggregator, repairer, .. } = &mut observed.workloads;
    aggregator.iter_mut().chain(repairer).for_each(stop);
    let stopped = status(&pipeline, &observed, &Applied::default());
    assert_consistent(&stopped);
    assert_eq!(said(&stopped, "Ready"), "False/Suspended");
    assert_eq!(said(&stopped, "Reconciling"), "False/Settled");
    assert_eq!(said(&stopped, "DataFlowing"), "False/Suspended");
}
