//! What is planned, for what is known.

use std::collections::{BTreeMap, BTreeSet};

use crds::condition::Reason;
use crds::spec::Compatibility;
use crds::status::{SchemaStatus, TopicStatus};
use crds::{CryptoPipeline, CryptoPipelineStatus};
use operator::reconcile::apply::Applied;
use operator::reconcile::describe::{Findings, describe};
use operator::reconcile::observe::{Observed, SchemaState, SecretState, TopicState};
use operator::reconcile::plan::{Place, SchemaStep, TopicStep, WorkloadStep, plan};
use store::{LATEST_SCHEMA_VERSION, Owner, WishedViews};

use crate::world::{
    NOW, away, empty_world, fixture, known, minimal, missing, other_owner, planned, refuses, running_world,
    schema_as_needed, second, topic_as_declared,
};

/// The pipeline as it is once it uses the topic that the world has.
fn in_use(mut pipeline: CryptoPipeline) -> CryptoPipeline {
    let topic = topic_as_declared(&pipeline);
    let topic =
        TopicStatus { name: "crypto-trades".to_owned(), id: Some(topic.description.id), created: true };
    pipeline.status = Some(CryptoPipelineStatus { topic: Some(topic), ..CryptoPipelineStatus::default() });
    pipeline
}

fn described(pipeline: &CryptoPipeline, observed: &Observed) -> CryptoPipelineStatus {
    let plan = planned(pipeline, observed);
    let applied = Applied::default();
    let findings =
        Findings { pipeline, observed, plan: Ok(&plan), applied: &applied, holes: None, lag: None };
    describe(&findings, second(NOW))
}

/// The running world with another topic in it.
fn with_topic(pipeline: &CryptoPipeline, change: impl FnOnce(&mut TopicState)) -> Observed {
    let mut topic = topic_as_declared(pipeline);
    change(&mut topic);
    Observed { topic: known(Some(topic)), ..running_world(pipeline) }
}

fn with_schema(pipeline: &CryptoPipeline, change: impl FnOnce(&mut SchemaState)) -> Observed {
    let mut schema = schema_as_needed(pipeline);
    change(&mut schema);
    Observed { schema: known(schema), ..running_world(pipeline) }
}

fn refused_topic(step: &TopicStep) -> (Reason, &str) {
    match step {
        TopicStep::Refuse(complaint) => (complaint.reason, &complaint.message),
        other => panic!("not refused: {other:?}"),
    }
}

fn refused_schema(step: &SchemaStep) -> (Reason, &str) {
    match step {
        SchemaStep::Refuse(complaint) => (complaint.reason, &complaint.message),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_new_pipeline_makes_topic_schema_and_pods() {
    let plan = planned(&fixture("minimal"), &empty_world());
    assert_eq!((plan.topic.step, plan.schema.step), (TopicStep::Create, SchemaStep::Migrate));
    assert_eq!(plan.workloads.step, WorkloadStep::Apply);
    assert_eq!((plan.workloads.producers[0].replicas, plan.workloads.aggregator.replicas), (1, 3));
}

#[test]
fn a_topic_that_was_about_to_be_made_is_ours_if_it_looks_so() {
    let mut pipeline = fixture("full");
    let topic = TopicStatus { name: "crypto-trades".to_owned(), id: None, created: true };
    pipeline.status = Some(CryptoPipelineStatus { topic: Some(topic), ..CryptoPipelineStatus::default() });
    // More partitions may have been declared meanwhile.
    let smaller = with_topic(&pipeline, |topic| topic.description.partitions -= 1);
    assert!(matches!(planned(&pipeline, &smaller).topic.step, TopicStep::Change { grow_to: Some(_), .. }));
    let somebodys = with_topic(&pipeline, |topic| topic.config.clear());
    assert_eq!(refused_topic(&planned(&pipeline, &somebodys).topic.step).0, Reason::TopicDiffers);
}

#[test]
fn a_settled_pipeline_needs_nothing() {
    let pipeline = in_use(fixture("full"));
    let plan = planned(&pipeline, &running_world(&pipeline));
    assert_eq!(
        (plan.topic.step, plan.topic.complaint, plan.schema.step),
        (TopicStep::Keep, None, SchemaStep::Keep)
    );
}

#[test]
fn a_topic_is_always_stamped_by_the_broker_and_keeps_what_the_spec_says() {
    let config = planned(&fixture("full"), &empty_world()).topic.wished.config;
    let expected = [
        ("message.timestamp.type", "LogAppendTime"),
        ("retention.ms", "43200000"),
        ("segment.bytes", "1048576"),
    ];
    let expected: BTreeMap<String, String> =
        expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(config, expected);
}

#[test]
fn a_topic_in_use_is_grown_and_its_drift_corrected() {
    let pipeline = in_use(minimal(|pipeline| pipeline.spec.kafka.as_mut().unwrap().topic.partitions = 6));
    let observed = with_topic(&pipeline, |topic| {
        topic.description.partitions = 3;
        topic.config.insert("retention.ms".to_owned(), "1".to_owned());
    });
    let plan = planned(&pipeline, &observed);
    let config = BTreeMap::from([("retention.ms".to_owned(), "604800000".to_owned())]);
    assert_eq!(plan.topic.step, TopicStep::Change { grow_to: Some(6), config });
    assert_eq!(plan.workloads.aggregator.replicas, 6, "replicas follow the partitions");
}

#[test]
fn a_topic_that_somebody_else_grew_is_used_and_complained_of() {
    let pipeline = in_use(fixture("minimal"));
    let plan = planned(&pipeline, &with_topic(&pipeline, |topic| topic.description.partitions = 5));
    assert_eq!(plan.topic.step, TopicStep::Keep);
    assert_eq!(plan.topic.complaint.unwrap().reason, Reason::TopicDiffers);
    assert_eq!(plan.workloads.aggregator.replicas, 5);
}

#[test]
fn a_foreign_topic_is_adopted_only_as_declared() {
    let pipeline = fixture("minimal");
    let same = planned(&pipeline, &with_topic(&pipeline, |_| {}));
    assert_eq!(same.topic.step, TopicStep::Keep);
    let other = planned(
        &pipeline,
        &with_topic(&pipeline, |topic| {
            topic.description.partitions = 1;
            topic.config.insert("message.timestamp.type".to_owned(), "CreateTime".to_owned());
        }),
    );
    let (reason, message) = refused_topic(&other.topic.step);
    assert_eq!(reason, Reason::TopicDiffers);
    assert!(message.contains("partitions is 1, not 3"), "{message}");
    assert!(message.contains("message.timestamp.type is CreateTime, not LogAppendTime"), "{message}");
}

#[test]
fn an_unmanaged_topic_is_only_checked() {
    let pipeline = minimal(|pipeline| pipeline.spec.kafka.as_mut().unwrap().topic.managed = false);
    let missing = planned(&pipeline, &empty_world());
    assert_eq!(refused_topic(&missing.topic.step).0, Reason::TopicNotFound);
    let pipeline = in_use(pipeline);
    let drifted = planned(
        &pipeline,
        &with_topic(&pipeline, |topic| {
            topic.config.insert("retention.ms".to_owned(), "1".to_owned());
        }),
    );
    assert_eq!(drifted.topic.step, TopicStep::Keep);
    assert_eq!(drifted.topic.complaint.unwrap().reason, Reason::TopicDiffers);
}

#[test]
fn the_younger_of_two_that_want_one_topic_is_refused() {
    let pipeline = fixture("minimal");
    let observed = Observed { topic_rival: Some("trading/older".to_owned()), ..empty_world() };
    let plan = planned(&pipeline, &observed);
    assert_eq!(refused_topic(&plan.topic.step).0, Reason::TopicOwnedByAnother);
    assert_eq!(plan.workloads.step, WorkloadStep::Hold);
}

#[test]
fn a_schema_of_another_pipeline_is_refused_with_its_owner() {
    let pipeline = fixture("minimal");
    let plan = planned(&pipeline, &with_schema(&pipeline, |schema| schema.owner = Some(other_owner())));
    let (reason, message) = refused_schema(&plan.schema.step);
    assert_eq!(reason, Reason::SchemaOwnedByAnother);
    assert!(message.contains("trading/older (uid 33)"), "{message}");
    assert_eq!(plan.workloads.step, WorkloadStep::Hold);
}

#[test]
fn a_pipeline_made_anew_takes_up_what_its_namesake_left() {
    let namesake =
        Owner { namespace: "trading".to_owned(), name: "markets".to_owned(), uid: "deleted".to_owned() };
    let mut pipeline = fixture("minimal");
    let observed = with_schema(&pipeline, |schema| schema.owner = Some(namesake));
    assert_eq!(planned(&pipeline, &observed).schema.step, SchemaStep::Claim);
    // Who had the schema already has lost it to a namesake elsewhere, and does not take it back.
    let schema = Some(SchemaStatus { name: "market".to_owned(), version: LATEST_SCHEMA_VERSION });
    pipeline.status = Some(CryptoPipelineStatus { schema, ..CryptoPipelineStatus::default() });
    let plan = planned(&pipeline, &observed);
    assert_eq!(refused_schema(&plan.schema.step).0, Reason::SchemaOwnedByAnother);
}

#[test]
fn a_newer_schema_is_refused_and_an_older_one_migrated() {
    let pipeline = fixture("minimal");
    let at = |version| with_schema(&pipeline, |schema| schema.version = version);
    let newer = planned(&pipeline, &at(Some(LATEST_SCHEMA_VERSION + 1)));
    assert_eq!(refused_schema(&newer.schema.step).0, Reason::SchemaTooNew);
    assert_eq!(planned(&pipeline, &at(Some(LATEST_SCHEMA_VERSION - 1))).schema.step, SchemaStep::Migrate);
    let unmanaged = minimal(|pipeline| pipeline.spec.database.as_mut().unwrap().managed = false);
    let plan = planned(&unmanaged, &at(None));
    assert_eq!(refused_schema(&plan.schema.step).0, Reason::MigrationRequired);
}

#[test]
fn views_are_made_where_they_are_wished_and_not_there() {
    let pipeline = in_use(fixture("minimal"));
    assert_eq!(planned(&pipeline, &running_world(&pipeline)).schema.views, None);
    let wishing = in_use(minimal(|pipeline| {
        let database = pipeline.spec.database.as_mut().unwrap();
        database.compatibility = vec![Compatibility::Ohlc];
        database.compatibility_schema = Some("stock".to_owned());
    }));
    let views = planned(&wishing, &running_world(&wishing)).schema.views.unwrap();
    let systems = BTreeSet::from([store::Compatibility::Ohlc]);
    assert_eq!(views, WishedViews { schema: "stock".to_owned(), systems, of_tickers: false });
    // What is there is not known.
    assert_eq!(planned(&wishing, &Observed::default()).schema.views, None);
}

#[test]
fn a_missing_secret_holds_everything() {
    let pipeline = fixture("minimal");
    let database_secrets = missing(Reason::SecretNotFound);
    let plan = planned(&pipeline, &Observed { database_secrets, ..running_world(&pipeline) });
    assert_eq!(refused_schema(&plan.schema.step).0, Reason::SecretNotFound);
    assert_eq!(plan.workloads.step, WorkloadStep::Hold, "pods would be made without their credentials");
    let kafka_secrets = missing(Reason::SecretUnreadable);
    let plan = planned(&pipeline, &Observed { kafka_secrets, ..running_world(&pipeline) });
    assert_eq!(refused_topic(&plan.topic.step).0, Reason::SecretUnreadable);
    assert_eq!(plan.workloads.step, WorkloadStep::Hold, "pods would be made without their credentials");
}

#[test]
fn pods_start_only_with_topic_and_schema_and_go_on_without_them() {
    let pipeline = in_use(fixture("minimal"));
    for observed in [
        Observed { topic: away("the broker does not answer"), ..running_world(&pipeline) },
        Observed { schema: away("connection refused"), ..running_world(&pipeline) },
    ] {
        let running = planned(&pipeline, &observed);
        assert_eq!(running.workloads.step, WorkloadStep::Apply);
        assert_eq!(running.workloads.aggregator.replicas, 3, "what cannot be read is no reason to scale");
        let starting = planned(&pipeline, &Observed { workloads: Default::default(), ..observed });
        assert_eq!(starting.workloads.step, WorkloadStep::Hold);
    }
}

#[test]
fn a_database_that_refuses_is_not_waited_for() {
    let pipeline = fixture("minimal");
    let plan = planned(&pipeline, &Observed { schema: refuses("the URL is not usable"), ..empty_world() });
    assert_eq!(refused_schema(&plan.schema.step).0, Reason::DatabaseRefused);
}

#[test]
fn a_broker_that_refuses_is_not_waited_for() {
    let pipeline = fixture("minimal");
    let plan = planned(&pipeline, &Observed { topic: refuses("another CA"), ..running_world(&pipeline) });
    assert_eq!(refused_topic(&plan.topic.step), (Reason::BrokerRefused, "another CA"));
    assert_eq!(plan.workloads.step, WorkloadStep::Hold);
}

#[test]
fn the_workers_user_is_let_in_before_any_worker_starts() {
    let pipeline = in_use(fixture("minimal"));
    let schema = |pipeline: &CryptoPipeline, may_write: bool| {
        let observed = with_schema(pipeline, |schema| {
            schema.worker_user = Some("market".to_owned());
            schema.workers_may_write = may_write;
        });
        planned(pipeline, &observed).schema
    };
    assert_eq!(schema(&pipeline, true).step, SchemaStep::Keep);
    let locked_out = schema(&pipeline, false);
    assert_eq!((locked_out.step, locked_out.let_in.as_deref()), (SchemaStep::Claim, Some("market")));
    let unmanaged = in_use(minimal(|pipeline| pipeline.spec.database.as_mut().unwrap().managed = false));
    let locked_out = schema(&unmanaged, false);
    assert_eq!(refused_schema(&locked_out.step).0, Reason::RightsRequired);
    assert_eq!(locked_out.let_in, None, "a person grants what a person manages");
}

#[test]
fn aggregators_follow_the_partitions_up_to_the_bounds() {
    let replicas = |replicas, max_replicas| {
        let pipeline = in_use(minimal(|pipeline| {
            pipeline.spec.kafka.as_mut().unwrap().topic.partitions = 6;
            pipeline.spec.aggregators.replicas = replicas;
            pipeline.spec.aggregators.max_replicas = max_replicas;
        }));
        planned(&pipeline, &running_world(&pipeline)).workloads.aggregator.replicas
    };
    assert_eq!(replicas(None, 12), 6);
    assert_eq!(replicas(None, 4), 4);
    assert_eq!(replicas(Some(2), 12), 2);
    assert_eq!(
        replicas(Some(9), 4),
        6,
        "never more than partitions; what is asked for goes over maxReplicas"
    );
    assert_eq!(replicas(Some(0), 12), 0);
}

#[test]
fn a_suspended_pipeline_drains_before_its_aggregators_stop() {
    let pipeline = in_use(minimal(|pipeline| pipeline.spec.suspend = true));
    let replicas = |observed: &Observed| {
        let plan = planned(&pipeline, observed);
        assert_eq!(plan.workloads.repairer.unwrap().replicas, 0, "it writes to the topic too");
        (plan.workloads.producers[0].replicas, plan.workloads.aggregator.replicas)
    };
    let mut observed = running_world(&pipeline);
    assert_eq!(replicas(&observed), (0, 3), "producers still run");
    let producer = observed.workloads.producers.get_mut("binance").unwrap();
    (producer.wished, producer.replicas, producer.ready) = (0, 0, 0);
    observed.writers_gone_since = Some(second(NOW - 1));
    assert_eq!(replicas(&observed), (0, 3), "the repairer still runs");
    let repairer = observed.workloads.repairer.as_mut().unwrap();
    (repairer.wished, repairer.replicas, repairer.ready) = (0, 0, 0);
    observed.writers_gone_since = Some(second(NOW));
    assert_eq!(replicas(&observed), (0, 3), "both looks are as old as the last producer's end");
    observed.writers_gone_since = Some(second(NOW - 1));
    assert_eq!(replicas(&observed), (0, 0), "all is read");
    observed.schema = known(SchemaState { positions: Vec::new(), ..schema_as_needed(&pipeline) });
    assert_eq!(replicas(&observed), (0, 3), "records are left");
    observed.schema = away("connection refused");
    assert_eq!(replicas(&observed), (0, 3), "nobody knows what is left");
    observed.workloads.aggregator.as_mut().unwrap().wished = 0;
    assert_eq!(replicas(&observed), (0, 0), "what has stopped stays stopped");
}

#[test]
fn a_repairer_runs_unless_it_is_switched_off() {
    let planned = |enabled| {
        let pipeline = minimal(|pipeline| pipeline.spec.repair.enabled = enabled);
        planned(&pipeline, &empty_world()).workloads.repairer.map(|repairer| repairer.replicas)
    };
    assert_eq!((planned(true), planned(false)), (Some(1), None));
}

#[test]
fn the_repairer_alone_depends_on_history() {
    let pipeline = fixture("full");
    let wished = planned(&pipeline, &empty_world()).workloads;
    let history = wished.repairer.as_ref().unwrap().settings.history.as_ref().unwrap();
    assert_eq!(history.sources.keys().collect::<Vec<_>>(), ["spot"]);
    let spot = &history.sources["spot"];
    assert_eq!(spot.dumps_url, "https://data.binance.vision");
    assert_eq!(spot.from, "2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(history.intervals, wished.aggregator.settings.aggregation.intervals);
    let mut without = pipeline.clone();
    without.spec.sources[0].history = None;
    let without = planned(&without, &empty_world()).workloads;
    assert_eq!(without.repairer.unwrap().settings.history, None);
    assert_eq!((without.producers, without.aggregator), (wished.producers, wished.aggregator));
}

#[test]
fn a_start_that_cannot_be_is_refused_with_field_value_and_rule() {
    let mut pipeline = fixture("full");
    let refused = |pipeline: &CryptoPipeline, now: i64| {
        plan(pipeline, &empty_world(), Place::Cluster, second(now)).err().unwrap_or_default()
    };
    let year_s = 365 * 86_400;
    let broken = refused(&pipeline, NOW + year_s);
    assert_eq!(broken[0].field, "spec.sources[0].history.from");
    assert!(
        broken[0].rule.starts_with("2026-01-01T00:00:00Z lies before what database.retention"),
        "{broken:?}"
    );
    // Once it was accepted, time may pass.
    let observed = running_world(&pipeline);
    pipeline.status = Some(described(&pipeline, &observed));
    assert_eq!(refused(&pipeline, NOW + year_s), []);
}

#[test]
fn a_cluster_needs_broker_and_database_and_a_machine_has_them() {
    let bare = minimal(|pipeline| {
        pipeline.spec.kafka = None;
        pipeline.spec.database = None;
    });
    let broken = plan(&bare, &empty_world(), Place::Cluster, second(NOW)).unwrap_err();
    let fields: Vec<&str> = broken.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["spec.kafka", "spec.database"]);
    let here = Place::Machine { embedded_broker: "127.0.0.1:40000" };
    let observed = Observed { database_secrets: SecretState::NotNeeded, ..empty_world() };
    let plan = plan(&bare, &observed, here, second(NOW)).unwrap();
    let kafka = &plan.workloads.aggregator.settings.kafka;
    assert_eq!((kafka.bootstrap_servers.as_str(), kafka.topic.as_str()), ("127.0.0.1:40000", "markets"));
    assert_eq!(plan.workloads.step, WorkloadStep::Apply);
}

#[test]
fn every_interval_of_the_spec_is_one_that_the_workers_read() {
    for interval in plan_intervals() {
        interval.parse::<market::Interval>().unwrap();
    }
}

fn plan_intervals() -> Vec<String> {
    let crd = crds::crd_yaml().unwrap();
    let crd: serde_json::Value = serde_yaml::from_str(&crd).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let spec = &schema["properties"]["spec"]["properties"];
    let intervals = &spec["aggregation"]["properties"]["intervals"]["items"]["enum"];
    let intervals: Vec<String> = serde_json::from_value(intervals.clone()).unwrap();
    assert_eq!(intervals.len(), 16);
    intervals
}
